package wslink

import (
	"time"

	"github.com/coder/websocket"
)

// options are none: in a browser, the network, TLS and its checks are the browser's.
func (d Dialer) options() *websocket.DialOptions { return nil }

// keepalive does nothing: the browser pings by itself, and tells nobody.
func (c *clientConn) keepalive(time.Duration) {}

// closeAway is the code by which a browser, which cannot cut a connection off, says that the session shall stay: any but 1000
// does, and 1001 is not for pages to use.
const closeAway = 4001

// Abort closes the connection with a code of its own.
func (c *clientConn) Abort() {
	c.end()
	go c.ws.Close(closeAway, "") // ends when the browser has closed it
}
