package memlink_test

import (
	"context"
	"testing"

	"parlor/link"
	"parlor/link/linktest"
	"parlor/link/memlink"
)

// TestSuite: a link within the process passes the suite of all wires with envelopes.
func TestSuite(t *testing.T) {
	linktest.Run(t, linktest.Wire{Virtual: true, Start: func(_ *testing.T, lobby link.Lobby) func(context.Context) (link.StreamConn, error) {
		return func(ctx context.Context) (link.StreamConn, error) {
			c, err := memlink.Dialer{Lobby: lobby}.Dial(ctx, "")
			if err != nil {
				return nil, err
			}
			return c.(link.StreamConn), nil
		}
	}})
}
