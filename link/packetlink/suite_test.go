package packetlink_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"parlor/internal/certtest"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/linktest"
	"parlor/link/packetlink"
)

// quiet is for servers and clients whose logs nobody reads.
var quiet = slog.New(slog.DiscardHandler)

// start serves a listener until the test ends.
func start(t *testing.T, ln net.Listener, cfg packetlink.Config) *packetlink.Server {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	srv, err := packetlink.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }() // ends with Close
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return srv
}

func dialing(d packetlink.Dialer, address string) func(ctx context.Context) (link.StreamConn, error) {
	d.Logger = quiet
	return func(ctx context.Context) (link.StreamConn, error) {
		c, err := d.Dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return c.(link.StreamConn), nil
	}
}

func TestSuite(t *testing.T) {
	const size = 1 << 20
	cert, key := certtest.Make(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{pair}}
	client := &tls.Config{RootCAs: certtest.Pool(t, cert)}
	listen := func(t *testing.T, network, address string) net.Listener {
		ln, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	crowded := func(cfg packetlink.Config, client *tls.Config) func(*testing.T, link.Lobby, int, int) func(context.Context, string) (link.StreamConn, error) {
		return func(t *testing.T, lobby link.Lobby, connections, pending int) func(context.Context, string) (link.StreamConn, error) {
			cfg := cfg
			cfg.Lobby, cfg.AllowClear, cfg.Connections, cfg.Pending = lobby, true, connections, pending
			n, _ := listenServer(t, cfg, "far:38930")
			secure := client.Clone()
			if secure != nil {
				secure.ServerName, secure.Time = "localhost", certTime(t, pair)
			}
			return func(ctx context.Context, from string) (link.StreamConn, error) {
				d := memnet.Dialer{Network: n, From: from}
				return dialing(packetlink.Dialer{DialContext: d.DialContext, TLS: secure, AllowClear: true}, "far")(ctx)
			}
		}
	}
	for _, c := range []struct {
		name string
		wire linktest.Wire
	}{
		{"memnet", linktest.Wire{Virtual: true, MessageSize: size, Start: func(t *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
			n := memnet.New(1)
			ln, err := n.Listen("127.0.0.1:38930")
			if err != nil {
				t.Fatal(err)
			}
			start(t, ln, packetlink.Config{Lobby: lobby})
			return dialing(packetlink.Dialer{DialContext: n.DialContext}, "127.0.0.1")
		}, Crowded: crowded(packetlink.Config{}, nil)}},
		{"TLS over memnet", linktest.Wire{Virtual: true, MessageSize: size, Start: func(t *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
			n := memnet.New(2)
			ln, err := n.Listen("far:38930")
			if err != nil {
				t.Fatal(err)
			}
			server := server.Clone()
			start(t, ln, packetlink.Config{Lobby: lobby, TLS: server})
			client := client.Clone()
			client.ServerName = "localhost"
			client.Time = certTime(t, pair)
			return dialing(packetlink.Dialer{DialContext: n.DialContext, TLS: client}, "far")
		}, Crowded: crowded(packetlink.Config{TLS: server}, client)}},
		{"TCP", linktest.Wire{MessageSize: size, Start: func(t *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
			ln := listen(t, "tcp", "127.0.0.1:0")
			start(t, ln, packetlink.Config{Lobby: lobby})
			return dialing(packetlink.Dialer{}, "tcp://"+ln.Addr().String())
		}}},
		{"TLS", linktest.Wire{MessageSize: size, Start: func(t *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
			ln := listen(t, "tcp", "127.0.0.1:0")
			start(t, ln, packetlink.Config{Lobby: lobby, TLS: server})
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			return dialing(packetlink.Dialer{TLS: client}, "localhost:"+port)
		}}},
		{"unix", linktest.Wire{MessageSize: size, Start: func(t *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
			path := filepath.Join(t.TempDir(), "socket")
			start(t, listen(t, "unix", path), packetlink.Config{Lobby: lobby})
			return dialing(packetlink.Dialer{}, "unix:"+path)
		}}},
	} {
		t.Run(c.name, func(t *testing.T) { linktest.Run(t, c.wire) })
	}
}

// certTime is a clock at which a certificate is good: in virtual time it is not made yet.
func certTime(t *testing.T, pair tls.Certificate) func() time.Time {
	t.Helper()
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return func() time.Time { return cert.NotBefore.Add(time.Minute) }
}
