//go:build !js

package wslink

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// options offer no compression and no subprotocol: pgnet's peers take both, but gain nothing.
func (d Dialer) options() *websocket.DialOptions {
	return &websocket.DialOptions{HTTPClient: &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            d.DialContext,
			TLSClientConfig:        d.TLS,
			DisableKeepAlives:      true, // so that an answer that is no upgrade leaves nothing open
			MaxResponseHeaderBytes: 64 << 10,
		},
	}}
}

// checkRedirect follows a few redirects, as pgnet's client does. The WebSocket library has set http.Client's
// own limit aside.
func checkRedirect(_ *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// keepalive pings the server, as pgnet's client does (section 2.4): a connection that is cut without a word
// shows in no other way while nothing is asked.
func (c *clientConn) keepalive(interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-c.ended.Done():
			return
		}
		ctx, cancel := context.WithTimeout(c.ended, interval)
		err := c.ws.Ping(ctx)
		cancel()
		if err != nil && c.ended.Err() == nil {
			c.close(websocket.StatusInternalError, "keepalive ping timeout")
			return
		}
	}
}

// Abort cuts the connection off.
func (c *clientConn) Abort() {
	c.end()
	cut(c.nc)
}
