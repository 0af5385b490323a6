//go:build !js

package wslink

import (
	"net"

	"parlor/internal/crowd"
)

// stranger is a client that has not logged in.
type stranger struct {
	socket net.Conn // before the upgrade
	conn   *conn    // after it
	place  *crowd.Place[*stranger]
}

// cut ends a stranger's connection. Of nobody it ends nothing.
func (s *stranger) cut() {
	switch {
	case s == nil:
	case s.conn != nil:
		s.conn.Abort()
	default:
		cut(s.socket)
	}
}

// cut closes a socket at once, which does not block. TLS would say goodbye first, and wait for a peer that
// does not read for 5 s.
func cut(nc net.Conn) { below(nc).Close() }

// below is the socket of a connection: what TLS runs on, or the connection itself.
func below(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return nc
}
