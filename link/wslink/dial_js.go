package wslink

import (
	"crypto/tls"

	"github.com/coder/websocket"
)

// dialOptions are none: in a browser, TLS and its checks are the browser's.
func dialOptions(*tls.Config) *websocket.DialOptions { return nil }
