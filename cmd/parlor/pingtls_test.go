package main

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"parlor/internal/certtest"
	"parlor/packet"
)

// TestPingTLS: either kind of server, with a certificate that nobody signed.
func TestPingTLS(t *testing.T) {
	t.Parallel()
	cert, key := certtest.Make(t)
	_, port := lobby(t, "--tls-cert", cert, "--tls-key", key)
	conf := packet.Config{TLS: packet.TLS{Enabled: true, CertFile: cert, KeyFile: key}, Logger: slog.New(slog.DiscardHandler)}
	addr, _ := servePackets(t, "127.0.0.1:0", pingable(t, conf, nil))
	_, packetPort, _ := net.SplitHostPort(addr)
	plain, _ := servePackets(t, "127.0.0.1:0", pingable(t, packet.Config{Logger: slog.New(slog.DiscardHandler)}, nil))
	_, clearPort := lobby(t)
	clearLobby := "localhost:" + clearPort
	for _, test := range []struct {
		args string
		want string // of the output, or else of the news
		fail bool
	}{
		{"localhost:" + packetPort + " --ca " + cert, ": a packet server at ", false},
		{addr + " --insecure", ": a packet server at ", false},
		{"localhost:" + port + " --tls --ca " + cert, ": a lobby at ", false},
		{"wss://localhost:" + port + " --ca " + cert, ": a lobby at ", false},
		{"localhost:" + packetPort + " --tls", "give the authority's certificate with --ca FILE", true},
		{addr + " --ca " + cert, "use a name that the certificate is for", true},
		{plain + " --insecure --tls", "a packet server without TLS answers at " + plain + " (leave out --tls, --insecure)", true},
		{"wss://" + plain, "a packet server without TLS answers at " + plain + " (try ws:// instead of wss://)", true},
		{"wss://" + plain + " --ca " + cert, "(try ws:// instead of wss://, and leave out --ca)", true},
		{clearLobby + " --tls", "an HTTP server without TLS answers, perhaps a lobby, at " + clearLobby + " (leave out --tls)", true},
		{addr, "a server with TLS answers at " + addr + " (try --tls)", true},
		{"localhost:" + port, "a server with TLS answers at localhost:" + port + " (try --tls)", true},
		{"ws://localhost:" + port, "a server with TLS answers at localhost:" + port + " (try wss://)", true},
	} {
		out, news, err := runPinging(t, append(strings.Fields(test.args), "-c", "1", "-W", "20")...)
		if test.fail {
			out = news
		}
		if (err != nil) != test.fail || !strings.Contains(out, test.want) {
			t.Errorf("ping %s: error %v, %s, want %q", test.args, err, out, test.want)
		}
	}
}

// TestPingClientCertificate: servers that want a certificate, in both versions of TLS, which differ in when they say so.
func TestPingClientCertificate(t *testing.T) {
	t.Parallel()
	serverCert, serverKey := certtest.Make(t)
	cert, key := certtest.Make(t)
	otherCert, otherKey := certtest.Make(t)
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		conf := packet.Config{Logger: slog.New(slog.DiscardHandler), TLS: packet.TLS{
			Enabled: true, CertFile: serverCert, KeyFile: serverKey, CAFile: cert, RequireClientCert: true, Config: &tls.Config{MaxVersion: version},
		}}
		addr, _ := servePackets(t, "127.0.0.1:0", pingable(t, conf, nil))
		_, port, _ := net.SplitHostPort(addr)
		own, err := tls.LoadX509KeyPair(serverCert, serverKey)
		if err != nil {
			t.Fatal(err)
		}
		lobby := httptest.NewUnstartedServer(webSockets(t))
		lobby.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: certtest.Pool(t, cert), ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: version}
		lobby.Config.ErrorLog = log.New(io.Discard, "", 0)
		lobby.StartTLS()
		t.Cleanup(lobby.Close)
		_, lobbyPort, _ := net.SplitHostPort(lobby.Listener.Addr().String())
		for _, at := range []string{"localhost:" + port, "wss://localhost:" + lobbyPort} {
			for _, test := range []struct {
				args, want string
				code       int
			}{
				{"--cert " + cert + " --key " + key, "\n2 sent, 2 answered, 0% lost\n", 0},
				{"", "wants a client certificate (give it with --cert FILE --key FILE)", 1},
				{"--cert " + otherCert + " --key " + otherKey, "does not take the certificate of --cert", 1},
			} {
				args := append([]string{at, "--ca", serverCert, "-c", "2", "-i", "0", "-W", "20"}, strings.Fields(test.args)...)
				out, news, err := runPinging(t, args...)
				if test.code != 0 {
					wantCode(t, err, test.code)
					out = news
				} else if err != nil || news != "" {
					t.Errorf("TLS %s, ping %s %s: error %v, news %s", name, at, test.args, err, news)
				}
				if !strings.Contains(out, test.want) || test.code != 0 && strings.Count(out, "\n") != 1 {
					t.Errorf("TLS %s, ping %s %s: %s, want %q", name, at, test.args, out, test.want)
				}
			}
		}
	}
}

// webSockets is a lobby as far as pings can tell. The test waits for its connections to end.
func webSockets(t *testing.T) http.Handler {
	var open sync.WaitGroup
	t.Cleanup(open.Wait)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Done()
		if ws, err := websocket.Accept(w, r, nil); err == nil {
			<-ws.CloseRead(context.Background()).Done()
		}
	})
}

// TestPingKeyOfServe: PARLOR_KEY in the environment is that of parlor serve, and does not keep anybody from pinging.
func TestPingKeyOfServe(t *testing.T) {
	t.Setenv("PARLOR_KEY", "/none")
	addr, _ := servePackets(t, "127.0.0.1:0", pingable(t, packet.Config{}, nil))
	if out, news, err := runPinging(t, addr, "-c", "1", "-W", "20"); err != nil || news != "" {
		t.Errorf("error %v, news %q, output\n%s", err, news, out)
	}
}
