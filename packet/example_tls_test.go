package packet_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"testing"

	"parlor/internal/certtest"
	"parlor/packet"
)

// TLS with certificates of both sides: each takes for authorities what stands in its CAFile, and here, where the
// certificates sign themselves, that is the other side's certificate. A pair of files is made by
//
//	openssl req -x509 -newkey ed25519 -nodes -days 365 -subj /CN=game -addext subjectAltName=DNS:localhost \
//	    -keyout server-key.pem -out server.pem
func ExampleTLS() {
	files := newCertificates()
	defer files.remove()

	reg := packet.NewRegistry()
	var secret *packet.Type[string]
	secret = packet.MustRegister(reg, "game:secret", func(c *packet.Conn, text string) error {
		fmt.Printf("the server got %q, %v\n", text, c.Security())
		return secret.Send(c, "well done")
	})
	srv := packet.NewServer(reg, packet.Config{TLS: packet.TLS{
		Enabled: true, CertFile: files.server, KeyFile: files.serverKey,
		CAFile: files.client, RequireClientCert: true, // without these two, anybody may connect
	}})
	ln, err := srv.Listen("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(ln) // ends with srv
	defer srv.Close()

	mine, got := packet.NewRegistry(), make(chan string)
	hers := packet.MustRegister(mine, "game:secret", func(_ *packet.Conn, text string) error {
		got <- text
		return nil
	}, packet.MinSecurity(packet.SecurityServerAuth)) // not sent to a server that is not known for sure
	client := packet.NewClient(mine, packet.Config{TLS: packet.TLS{
		Enabled: true, CAFile: files.server,
		ServerName: "localhost", // only as the address below is 127.0.0.1; by default it is the address's host
		CertFile:   files.client, KeyFile: files.clientKey,
		ServerVerifies: true, // is known of this server; without it, Security says less
	}})
	if err := client.Connect(context.Background(), ln.Addr().String()); err != nil {
		log.Fatal(err)
	}
	if err := hers.Send(client.Conn, "xyzzy"); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("the client got %q, %v\n", <-got, client.Security())
	client.Close(nil)
	<-client.Done()
	// Output:
	// the server got "xyzzy", both authenticated
	// the client got "well done", both authenticated
}

// certificates are files in PEM form, of a server at localhost and of a client.
type certificates struct {
	testing.TB // nil: what certtest needs of it is below
	dir        string

	server, serverKey, client, clientKey string
}

func newCertificates() *certificates {
	dir, err := os.MkdirTemp("", "example-tls-")
	if err != nil {
		log.Fatal(err)
	}
	c := &certificates{dir: dir}
	c.server, c.serverKey = certtest.Make(c)
	c.client, c.clientKey = certtest.Make(c)
	return c
}

func (c *certificates) remove() { os.RemoveAll(c.dir) }

func (c *certificates) Helper()           {}
func (c *certificates) Fatal(args ...any) { log.Fatal(args...) }

func (c *certificates) TempDir() string {
	dir, err := os.MkdirTemp(c.dir, "")
	if err != nil {
		log.Fatal(err)
	}
	return dir
}
