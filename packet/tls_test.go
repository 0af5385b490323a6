package packet_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/memnet"
	"parlor/packet"
)

// authority signs certificates, whose files it writes.
type authority struct {
	dir  string
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(dir, name string) *authority {
	a := &authority{dir: dir, file: filepath.Join(dir, name+".pem")}
	a.cert, a.key = a.make(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, a.file, filepath.Join(dir, name+".key"))
	return a
}

func (a *authority) make(name string, template *x509.Certificate, certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	must(err)
	must(os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}

// under makes an authority whose certificate this one signs.
func (a *authority) under(name string) *authority {
	sub := &authority{dir: a.dir, file: filepath.Join(a.dir, name+".pem")}
	sub.cert, sub.key = a.make(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, sub.file, filepath.Join(a.dir, name+".key"))
	return sub
}

// issueChain is issue with this authority's own certificate behind the new one, as those do who are under another.
func (a *authority) issueChain(name string, hosts ...string) (certFile, keyFile string) {
	certFile, keyFile = a.issue(name, hosts...)
	leaf, err := os.ReadFile(certFile)
	must(err)
	own, err := os.ReadFile(a.file)
	must(err)
	must(os.WriteFile(certFile, append(leaf, own...), 0o600))
	return certFile, keyFile
}

// issue makes a certificate for hosts, or for a client if there are none.
func (a *authority) issue(name string, hosts ...string) (certFile, keyFile string) {
	template := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, h := range hosts {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	a.make(name, template, certFile, keyFile)
	return certFile, keyFile
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// pki is made once.
var pki = sync.OnceValue(func() (p struct {
	ca, other                    *authority
	server, client, elsewhere    packet.TLS // Enabled, with their certificate and CA
	otherServer, otherClient     packet.TLS
	chain, chainElsewhere        packet.TLS // certificates of an authority under the CA
	anonymous, anonymousOtherCAs packet.TLS
}) {
	dir, err := os.MkdirTemp("", "packet-tls-")
	must(err)
	scratch = append(scratch, dir)
	p.ca, p.other = newAuthority(dir, "ca"), newAuthority(dir, "other")
	own := func(cert, key string) packet.TLS {
		return packet.TLS{Enabled: true, CAFile: p.ca.file, CertFile: cert, KeyFile: key}
	}
	p.server = own(p.ca.issue("server", "localhost", "127.0.0.1"))
	p.elsewhere = own(p.ca.issue("elsewhere", "elsewhere.example"))
	p.client = own(p.ca.issue("client"))
	sub := p.ca.under("sub")
	p.chain = own(sub.issueChain("chain", "localhost", "127.0.0.1"))
	p.chainElsewhere = own(sub.issueChain("chainelsewhere", "elsewhere.example"))
	p.otherServer = own(p.other.issue("otherserver", "localhost", "127.0.0.1"))
	p.otherClient = own(p.other.issue("otherclient"))
	p.anonymous = packet.TLS{Enabled: true, CAFile: p.ca.file}
	p.anonymousOtherCAs = packet.TLS{Enabled: true, CAFile: p.other.file}
	return p
})

func with(t packet.TLS, change ...func(*packet.TLS)) packet.TLS {
	for _, f := range change {
		f(&t)
	}
	return t
}

func requireCert(t *packet.TLS)    { t.RequireClientCert = true }
func askForCert(t *packet.TLS)     { t.Config = &tls.Config{ClientAuth: tls.RequestClientCert} }
func noCA(t *packet.TLS)           { t.CAFile = "" }
func skipHostname(t *packet.TLS)   { t.SkipHostname = true }
func skipVerify(t *packet.TLS)     { t.SkipVerify = true }
func serverVerifies(t *packet.TLS) { t.ServerVerifies = true }
func version(v uint16) func(*packet.TLS) {
	return func(t *packet.TLS) {
		if t.Config == nil {
			t.Config = &tls.Config{}
		}
		t.Config = t.Config.Clone() // it is shared
		t.Config.MinVersion, t.Config.MaxVersion = v, v
	}
}

// In both versions: who gets through, and what each side knows then.
func TestTLS(t *testing.T) {
	p := pki()
	for _, c := range []struct {
		name           string
		server, client packet.TLS
		atServer       packet.Security
		atClient       packet.Security
		fails          string // in the client's error, if it does not connect
	}{
		{"server certificate", with(p.server, noCA), p.anonymous, packet.SecurityEncrypted, packet.SecurityServerAuth, ""},
		{"client certificate not asked for", with(p.server, noCA), p.client, packet.SecurityEncrypted, packet.SecurityServerAuth, ""},
		{"client certificate optional, given", p.server, p.client, packet.SecurityBothAuth, packet.SecurityServerAuth, ""},
		{"client certificate optional, given, known to be verified", p.server, with(p.client, serverVerifies), packet.SecurityBothAuth, packet.SecurityBothAuth, ""},
		{"client certificate optional, missing", p.server, p.anonymous, packet.SecurityEncrypted, packet.SecurityServerAuth, ""},
		{"client certificate optional, wrong", p.server, p.otherClient, 0, 0, "tls"},
		{"client certificate required, given", with(p.server, requireCert), p.client, packet.SecurityBothAuth, packet.SecurityServerAuth, ""},
		{"client certificate required, given, known to be verified", with(p.server, requireCert), with(p.client, serverVerifies), packet.SecurityBothAuth, packet.SecurityBothAuth, ""},
		{"client certificate asked for, not verified", with(p.server, noCA, askForCert), p.client, packet.SecurityEncrypted, packet.SecurityServerAuth, ""},
		{"client certificate not asked for, said to be verified", with(p.server, noCA), with(p.client, serverVerifies), packet.SecurityEncrypted, packet.SecurityServerAuth, ""},
		{"client certificate missing, said to be verified", p.server, with(p.anonymous, serverVerifies), packet.SecurityEncrypted, packet.SecurityServerAuth, ""},
		{"client certificate required, missing", with(p.server, requireCert), p.anonymous, 0, 0, "tls"},
		{"client certificate required, wrong", with(p.server, requireCert), p.otherClient, 0, 0, "tls"},
		{"host name wrong", with(p.elsewhere, noCA), p.anonymous, 0, 0, "127.0.0.1"},
		{"host name wrong, skipped", with(p.elsewhere, noCA), with(p.anonymous, skipHostname), packet.SecurityEncrypted, packet.SecurityEncrypted, ""},
		{"host name given", with(p.elsewhere, noCA), with(p.anonymous, func(t *packet.TLS) { t.ServerName = "elsewhere.example" }), packet.SecurityEncrypted, packet.SecurityServerAuth, ""},
		{"chain", with(p.chain, noCA), p.anonymous, packet.SecurityEncrypted, packet.SecurityServerAuth, ""},
		{"chain, host name skipped", with(p.chainElsewhere, noCA), with(p.anonymous, skipHostname), packet.SecurityEncrypted, packet.SecurityEncrypted, ""},
		{"host name skipped, certificate not", with(p.otherServer, noCA), with(p.anonymous, skipHostname), 0, 0, "unknown authority"},
		{"host name skipped, client certificate", p.server, with(p.client, skipHostname, serverVerifies), packet.SecurityBothAuth, packet.SecurityEncrypted, ""},
		{"unknown authority", with(p.otherServer, noCA), p.anonymous, 0, 0, "unknown authority"},
		{"the system's authorities", with(p.server, noCA), packet.TLS{Enabled: true}, 0, 0, "unknown authority"},
		{"nothing verified", with(p.otherServer, noCA), packet.TLS{Enabled: true, SkipVerify: true}, packet.SecurityEncrypted, packet.SecurityEncrypted, ""},
		{"nothing verified, client certificate", p.server, with(p.client, skipVerify, serverVerifies), packet.SecurityBothAuth, packet.SecurityEncrypted, ""},
	} {
		for name, v := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
			t.Run(c.name+", TLS "+name, func(t *testing.T) {
				t.Parallel()
				reg := packet.NewRegistry()
				seen := make(chan packet.Security, 1)
				packet.MustRegister(reg, "t:a", func(c *packet.Conn, _ any) error { seen <- c.Security(); return nil }, packet.MinSecurity(packet.SecurityServerAuth))
				s := serve(t, packet.NewServer(reg, packet.Config{TLS: with(c.server, version(v)), Logger: quiet}))
				client := packet.NewClient(reg, packet.Config{TLS: c.client, Logger: quiet})
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				err := client.Connect(ctx, s.addr)
				defer func() { client.Abort(nil); <-client.Done() }()
				if c.fails != "" {
					if err == nil || !strings.Contains(err.Error(), c.fails) || errors.Is(err, packet.ErrTimeout) {
						t.Errorf("Connect: %v, want %q", err, c.fails)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if state := client.NetConn().(*tls.Conn).ConnectionState(); state.Version != v {
					t.Errorf("version %x", state.Version)
				}
				if client.Security() != c.atClient {
					t.Errorf("at the client: %v, want %v", client.Security(), c.atClient)
				}
				err = client.Send("t:a", nil)
				if want := c.atClient >= packet.SecurityServerAuth; (err == nil) != want {
					t.Errorf("a packet with MinSecurity: %v", err)
				}
				var check *packet.CheckError
				if err != nil && (!errors.As(err, &check) || check.Check != "security" || !errors.Is(err, packet.ErrInvalidPacket)) {
					t.Errorf("%v", err)
				}
				if err == nil {
					if got := receive(t, seen); got != c.atServer { // MinSecurity is not checked on receipt
						t.Errorf("at the server: %v, want %v", got, c.atServer)
					}
				}
				eventually(t, "it is there", func() bool { return s.Conn(1) != nil })
				if got := s.Conn(1).Security(); got != c.atServer {
					t.Errorf("at the server: %v, want %v", got, c.atServer)
				}
				client.Close("bye")
				eventually(t, "it is gone", func() bool { return len(s.Conns()) == 0 })
			})
		}
	}
}

func TestNoTLSIsNoSecurity(t *testing.T) {
	reg := regOf(t)
	packet.MustRegister[any](reg, "t:secret", nil, packet.MinSecurity(packet.SecurityEncrypted))
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	c := packet.NewClient(reg, packet.Config{})
	connect(t, c, s.addr)
	if err := c.Send("t:secret", 1); !errors.Is(err, packet.ErrInvalidPacket) || c.Security() != packet.SecurityNone {
		t.Errorf("%v, %v", err, c.Security())
	}
}

func TestTLSWithoutCertificate(t *testing.T) {
	reg := regOf(t)
	for name, c := range map[string]struct {
		tls  packet.TLS
		want string // in the error; empty: it starts
	}{
		"nothing":           {packet.TLS{Enabled: true}, "TLS.CertFile"},
		"a CA only":         {pki().anonymous, "net.ssl.server.certfile"},
		"no key":            {packet.TLS{Enabled: true, CertFile: pki().server.CertFile}, "TLS.KeyFile"},
		"a key for another": {packet.TLS{Enabled: true, CertFile: pki().server.CertFile, KeyFile: pki().client.KeyFile}, "private key does not match"},
		"CA is no PEM":      {with(pki().server, func(t *packet.TLS) { t.CAFile = pki().server.KeyFile }), "no certificate in PEM form"},
		"CA is not there":   {with(pki().server, func(t *packet.TLS) { t.CAFile = "/nowhere" }), "/nowhere"},
		"no CA for clients": {with(pki().server, noCA, requireCert), "TLS.CAFile"},
		"optional":          {packet.TLS{Enabled: true, Optional: true}, ""},
		"optional, but broken": {packet.TLS{Enabled: true, Optional: true, CertFile: "/nowhere", KeyFile: "/nowhere"},
			"/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			var log syncBuffer
			s := packet.NewServer(reg, packet.Config{TLS: c.tls, Logger: slogTo(&log)})
			ln, err := s.Listen("127.0.0.1:0")
			if c.want != "" {
				if !errors.Is(err, packet.ErrConfig) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			ln.Close()
			if !strings.Contains(log.String(), "NOT encrypted") {
				t.Errorf("no warning: %q", log.String())
			}
			running := serve(t, s)
			plain := packet.NewClient(reg, packet.Config{})
			connect(t, plain, running.addr)
			if plain.Security() != packet.SecurityNone || running.Conn(1).Security() != packet.SecurityNone {
				t.Error("it claims to be secure")
			}
		})
	}
}

// What TLS.Config asks for is never weakened by the other fields.
func TestTLSConfigIsKept(t *testing.T) {
	reg := regOf(t)
	pinned := errors.New("pinned to another key")
	conf := &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server := with(pki().server, func(t *packet.TLS) { t.Config = conf })
	s := serve(t, packet.NewServer(reg, packet.Config{TLS: server, Logger: quiet}))
	for name, c := range map[string]packet.TLS{
		"a certificate is required": pki().anonymous,
		"of an authority":           pki().otherClient,
		"pinning": with(pki().client, skipHostname, func(t *packet.TLS) {
			t.Config = &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return pinned }}
		}),
		"expired": with(pki().client, skipHostname, func(t *packet.TLS) {
			t.Config = &tls.Config{Time: func() time.Time { return time.Now().Add(1000 * time.Hour) }}
		}),
	} {
		if err := connectWith(t, reg, s.addr, c); err == nil || errors.Is(err, packet.ErrTimeout) || name == "pinning" && !errors.Is(err, pinned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(conf.Certificates) != 0 || conf.ClientCAs != nil || conf.MinVersion != 0 {
		t.Error("the config was changed")
	}
	if err := connectWith(t, reg, s.addr, with(pki().client, func(t *packet.TLS) {
		t.Config = &tls.Config{MaxVersion: tls.VersionTLS11}
	})); err == nil {
		t.Error("TLS 1.1")
	}
}

func connectWith(t *testing.T, reg *packet.Registry, addr string, conf packet.TLS) error {
	c := packet.NewClient(reg, packet.Config{TLS: conf, Logger: quiet})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := c.Connect(ctx, addr)
	c.Abort(nil)
	within(t, "the client's end", c.Done())
	return err
}

// Those who say nothing hold up nobody, and are gone after the time limit.
func TestTLSHandshakeOffTheAcceptPath(t *testing.T) {
	conf := with(pki().server, noCA)
	patient(t, "does a TLS handshake hold up all others?")
	synctest.Test(t, func(t *testing.T) {
		const limit, silent = 3 * time.Second, 100
		s := packet.NewServer(regOf(t), packet.Config{TLS: conf, HandshakeTimeout: limit, Logger: quiet})
		ln, end := serveMemnet(t, s)
		defer end()
		begun := time.Now()
		var peers []net.Conn
		for range silent {
			nc := ln.dial()
			defer nc.Close()
			peers = append(peers, nc)
		}
		c := packet.NewClient(regOf(t), packet.Config{TLS: packet.TLS{Enabled: true, SkipVerify: true}, Logger: quiet})
		if err := c.ConnectConn(t.Context(), ln.dial()); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("somebody else had to wait for %v", took)
		}
		c.Abort(nil)
		<-c.Done()
		for _, nc := range peers {
			if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Fatalf("bytes before the TLS handshake: %d, %v", n, err)
			}
		}
		synctest.Wait()
		if took, left := time.Since(begun), len(s.Conns()); took != limit || left != 0 {
			t.Errorf("after %v %d are left, want none after %v", took, left, limit)
		}
		if n := s.Stats().HandshakeTimeout.Load(); n != silent {
			t.Errorf("%d counted, want %d", n, silent)
		}
	})
}

func TestTLSMixedUp(t *testing.T) {
	reg := regOf(t)
	secure := serve(t, packet.NewServer(reg, packet.Config{TLS: with(pki().server, noCA), Logger: quiet}))
	plain := serve(t, packet.NewServer(reg, packet.Config{Logger: quiet}))
	others := []*packet.Client{packet.NewClient(reg, packet.Config{TLS: pki().anonymous}), packet.NewClient(reg, packet.Config{})}
	connect(t, others[0], secure.addr)
	connect(t, others[1], plain.addr)

	c := packet.NewClient(reg, packet.Config{HandshakeTimeout: 200 * time.Millisecond, Logger: quiet})
	err := c.Connect(t.Context(), secure.addr) // it hears nothing, as the server waits for it
	var closed *packet.CloseError
	if !errors.As(err, &closed) || closed.Reason != packet.ReasonHandshakeTimeout || !errors.Is(err, packet.ErrTimeout) {
		t.Errorf("plain client, TLS server: %v", err)
	}
	<-c.Done()

	var record tls.RecordHeaderError
	if err := connectWith(t, reg, plain.addr, pki().anonymous); !errors.As(err, &record) || errors.Is(err, packet.ErrTimeout) {
		t.Errorf("TLS client, plain server: %v", err)
	}
	w := dialWire(t, secure.addr)
	w.bytes(frameOf(t, packet.IDSetType, map[string]any{"conntype": "classic"}))
	got := new(bytes.Buffer)
	got.ReadFrom(w)
	if b := got.Bytes(); bytes.Contains(b, []byte("protoversion")) || len(b) > 7 { // nothing, or an alert
		t.Errorf("a plain client gets %q", b)
	}
	for _, s := range []*running{secure, plain} {
		eventually(t, "only the others are left", func() bool { return len(s.Conns()) == 1 })
	}
	for _, c := range others {
		if c.Err() != nil || c.State() != packet.StateActive {
			t.Errorf("another one was disturbed: %v", c.Err())
		}
	}
}

func TestTLSStopDuringHandshakes(t *testing.T) {
	for _, how := range []string{"Stop", "Shutdown", "Close"} {
		t.Run(how, func(t *testing.T) {
			s := serve(t, packet.NewServer(regOf(t), packet.Config{TLS: with(pki().server, noCA), Logger: quiet}))
			var peers []*wire
			for range 20 {
				peers = append(peers, dialWire(t, s.addr))
			}
			eventually(t, "they wait", func() bool { return len(s.Conns()) == 20 })
			switch how {
			case "Stop":
				s.Stop("x")
			case "Shutdown":
				if err := s.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			case "Close":
				s.Close()
			}
			for _, w := range peers {
				if n, err := w.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			}
			eventually(t, "they are gone", func() bool { return len(s.Conns()) == 0 })
		})
	}
	// A client whose server says nothing gives up when its context ends.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := packet.NewClient(regOf(t), packet.Config{TLS: pki().anonymous})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Connect(ctx, ln.Addr().String()); !errors.Is(err, packet.ErrTimeout) {
		t.Errorf("%v", err)
	}
	<-c.Done()
}

// All that goes over the socket is TLS records, up to a Close with a reason, on both sides.
func TestNothingInClearOverTLS(t *testing.T) {
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "t:a", func(c *packet.Conn, v any) error { return c.Send("t:b", v) })
	got := make(chan any, 1)
	packet.MustRegister(reg, "t:b", func(_ *packet.Conn, v any) error { got <- v; return nil })
	s := packet.NewServer(reg, packet.Config{TLS: with(pki().server, noCA), Logger: quiet})
	recorded := memnet.Path{Record: true}
	ours, theirs := memnet.Dialer{Network: memnet.New(1), Up: recorded, Down: recorded}.Pair()
	serveMemory(t, s).give(t, theirs)
	c := packet.NewClient(reg, packet.Config{TLS: with(pki().anonymous, func(t *packet.TLS) { t.ServerName = "localhost" })})
	if err := c.ConnectConn(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	if err := c.Send("t:a", "secret"); err != nil {
		t.Fatal(err)
	}
	if v := receive(t, got); v != "secret" {
		t.Errorf("%v", v)
	}
	c.Close("secret reason")
	<-c.Done()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for i, out := range []*memnet.Stream{ours.In(), ours.Out()} {
		var b []byte
		for _, w := range out.Writes() {
			b = append(b, w.Bytes...)
		}
		if len(b) == 0 {
			t.Errorf("side %d wrote nothing", i)
		}
		for len(b) > 0 {
			n := 5
			if len(b) >= n {
				n += int(b[3])<<8 | int(b[4])
			}
			if len(b) < n || b[0] < 20 || b[0] > 23 || b[1] != 3 {
				t.Fatalf("side %d wrote no TLS record: %q", i, b[:min(len(b), 50)])
			}
			b = b[n:]
		}
	}
}
