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
	start := func(t *testing.T, lobby link.Lobby, ln net.Listener, d wslink.Dialer) func(context.Context) (link.StreamConn, error) {
		key, err := box.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		srv, err := wslink.New(wslink.Config{Lobby: lobby, Key: key, Logger: slog.New(slog.DiscardHandler)})
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
		return func(ctx context.Context) (link.StreamConn, error) {
			c, err := d.Dial(ctx, ln.Addr().String())
			if err != nil {
				return nil, err
			}
			return c.(link.StreamConn), nil
		}
	}
	t.Run("memnet", func(t *testing.T) {
		linktest.Run(t, linktest.Wire{Virtual: true, MessageSize: 1 << 20, Start: func(t *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
			n := memnet.New(1)
			ln, err := n.Listen("127.0.0.1:38929")
			if err != nil {
				t.Fatal(err)
			}
			return start(t, lobby, ln, wslink.Dialer{DialContext: n.DialContext})
		}})
	})
	t.Run("TCP", func(t *testing.T) {
		linktest.Run(t, linktest.Wire{MessageSize: 1 << 20, Start: func(t *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return start(t, lobby, ln, wslink.Dialer{})
		}})
	})
}
