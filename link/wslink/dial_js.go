package wslink

import (
	"time"

	"github.com/coder/websocket"
)

// options are none: in a browser, the network, TLS and its checks are the browser's.
func (d Dialer) options() *websocket.DialOptions { return nil }

// keepalive does nothing: the browser pings by itself, and tells nobody.
func (c *clientConn) keepalive(time.Duration) {}
