package memnet_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"parlor/internal/memnet"
)

// TestConn is the suite of the Go project for every net.Conn.
func TestConn(t *testing.T) {
	n := memnet.New(1)
	for name, path := range map[string]memnet.Path{
		"default":   {},
		"small":     {Buffer: 100},
		"fragments": {Fragment: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (client, server net.Conn, stop func(), err error) {
				a, b := memnet.Dialer{Network: n, Up: path, Down: path}.Pair()
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}
