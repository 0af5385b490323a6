//go:build !js

package wslink

import (
	"crypto/tls"
	"net/http"

	"github.com/coder/websocket"
)

// dialOptions offer no compression and no subprotocol: pgnet's peers take both, but gain nothing.
func dialOptions(cfg *tls.Config) *websocket.DialOptions {
	if cfg == nil {
		return nil
	}
	transport := &http.Transport{TLSClientConfig: cfg, Proxy: http.ProxyFromEnvironment}
	return &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}}
}
