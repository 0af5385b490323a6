package wslink_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"parlor/box"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/linktest"
	"parlor/link/wslink"
)

// TestSuite: the native wire passes the suite of all wires with envelopes, in memory and over TCP.
func TestSuite(t *testing.T) {
	serve := func(t *testing.T, ln net.Listener, cfg wslink.Config) {
		key, err := box.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Key, cfg.Logger = key, slog.New(slog.DiscardHandler)
		srv, err := wslink.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }() // ends with Close
		t.Cleanup(func() {
			srv.Close()
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
	dial := func(ctx context.Context, ln net.Listener, d wslink.Dialer) (link.StreamConn, error) {
		c, err := d.Dial(ctx, ln.Addr().String())
		if err != nil {
			return nil, err
		}
		return c.(link.StreamConn), nil
	}
	listen := func(t *testing.T, address string) (*memnet.Network, net.Listener) {
		n := memnet.New(1)
		ln, err := n.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		return n, ln
	}
	t.Run("memnet", func(t *testing.T) {
		linktest.Run(t, linktest.Wire{Virtual: true, MessageSize: 1 << 20, Start: func(t *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
			n, ln := listen(t, "127.0.0.1:38929")
			serve(t, ln, wslink.Config{Lobby: lobby})
			return func(ctx context.Context) (link.StreamConn, error) {
				return dial(ctx, ln, wslink.Dialer{DialContext: n.DialContext})
			}
		}, Crowded: func(t *testing.T, lobby link.Lobby, connections, pending int) func(context.Context, string) (link.StreamConn, error) {
			n, ln := listen(t, "192.0.2.7:38929")
			serve(t, ln, wslink.Config{Lobby: lobby, Connections: connections, Pending: pending})
			return func(ctx context.Context, from string) (link.StreamConn, error) {
				return dial(ctx, ln, wslink.Dialer{DialContext: memnet.Dialer{Network: n, From: from}.DialContext})
			}
		}})
	})
	t.Run("TCP", func(t *testing.T) {
		linktest.Run(t, linktest.Wire{MessageSize: 1 << 20, Start: func(t *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			serve(t, ln, wslink.Config{Lobby: lobby})
			return func(ctx context.Context) (link.StreamConn, error) { return dial(ctx, ln, wslink.Dialer{}) }
		}})
	})
}
