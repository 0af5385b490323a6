package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"parlor"
	"parlor/packet"
	"parlor/packet/ping"
)

// kind is what answers at an address.
type kind string

const (
	unknownKind kind = ""
	packetKind  kind = "packet server"
	lobbyKind   kind = "lobby"
)

// pinger is a connection that can be pinged, one ping after the other.
type pinger interface {
	// ping returns the round trip, and what the server has to say.
	ping(ctx context.Context) (time.Duration, map[string]any, error)
	// lasts tells whether the connection is good until then.
	lasts(until time.Time) bool
	remote() net.Addr
	// close ends it in order, if it has not ended.
	close()
}

// tlsOptions are the flags for TLS.
type tlsOptions struct {
	on       bool
	ca       string
	insecure bool
}

// config returns nil for no TLS.
func (o tlsOptions) config(hostname string) (*tls.Config, error) {
	if !o.on && o.ca == "" && !o.insecure {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: hostname, InsecureSkipVerify: o.insecure, MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: %s holds no certificate in PEM form", o.ca)
		}
	}
	return cfg, nil
}

// target is a server that is pinged.
type target struct {
	network, address string
	path             string        // of the WebSocket's URL
	tls              *tls.Config   // nil: none
	kind             kind          // once it is known
	took             time.Duration // by the last connecting, TLS included
}

// newTarget reads an address. That of a URL is a lobby's.
func newTarget(address string, o tlsOptions) (*target, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		conf, err := o.config("localhost")
		return &target{network: "unix", address: path, path: "/", tls: conf, kind: packetKind}, err
	}
	t := &target{network: "tcp", path: "/"}
	hostport := address
	if strings.Contains(address, "://") {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "ws" && u.Scheme != "wss" {
			return nil, fmt.Errorf("address %q: want HOST:PORT, unix:/PATH, or a ws:// or wss:// URL", address)
		}
		o.on = o.on || u.Scheme == "wss"
		t.kind, t.path, hostport = lobbyKind, u.RequestURI(), u.Host
	}
	name, port, err := packet.ParseAddress(hostport, parlor.DefaultPort)
	if err == nil && name == "" {
		err = errors.New("it names no host")
	}
	if err != nil {
		return nil, fmt.Errorf("address %q: %w: try localhost, or localhost:%d", address, err, parlor.DefaultPort)
	}
	t.address = packet.FormatAddress(name, port)
	t.tls, err = o.config(name)
	return t, err
}

// helloWait is how long a packet server has for its Hello, beside a few times what connecting took.
const helloWait = 500 * time.Millisecond

// dial connects, and finds out at the first time what answers.
func (t *target) dial(ctx context.Context) (pinger, error) {
	begun := time.Now()
	nc, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	t.took = time.Since(begun)
	switch t.kind {
	case packetKind:
		return dialPacket(ctx, nc)
	case lobbyKind:
		return t.dialLobby(ctx, nc)
	}
	seen := &seenConn{Conn: nc}
	wait := helloWait + 4*t.took
	if deadline, ok := ctx.Deadline(); ok { // the other half is for asking a lobby
		wait = min(wait, time.Until(deadline)/2)
	}
	heard, err := seen.peek(ctx, wait)
	if err != nil {
		nc.Close()
		return nil, err
	}
	if heard {
		p, err := dialPacket(ctx, seen)
		if err == nil {
			t.kind = packetKind
		}
		return p, err
	}
	p, err := t.dialLobby(ctx, seen)
	switch {
	case err == nil:
		t.kind = lobbyKind
	case seen.looksLikeFrame(): // a packet server that was slow
		t.kind = packetKind
		return t.dial(ctx)
	}
	return p, err
}

// open opens a socket, with TLS.
func (t *target) open(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, t.network, t.address)
	if err != nil || t.tls == nil {
		return nc, err
	}
	secured := tls.Client(nc, t.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secured, nil
}

// packetPinger pings a packet server.
type packetPinger struct {
	client *ping.Client
	first  *ping.Pong // that of connecting, which nobody has seen yet
}

func dialPacket(ctx context.Context, nc net.Conn) (pinger, error) {
	c, first, err := ping.DialConn(ctx, nc, nil, packet.Config{Logger: slog.New(slog.DiscardHandler), CloseTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	return &packetPinger{c, first}, nil
}

func (p *packetPinger) ping(ctx context.Context) (time.Duration, map[string]any, error) {
	pong := p.first
	p.first = nil
	if pong == nil {
		var err error
		if pong, err = p.client.Ping(ctx, nil); err != nil {
			return 0, nil, err
		}
	}
	delete(pong.Data, "oldmsg") // what we have said ourselves
	return pong.RTT, pong.Data, nil
}

func (p *packetPinger) lasts(time.Time) bool { return p.client.Conn().Err() == nil }
func (p *packetPinger) remote() net.Addr     { return p.client.Conn().RemoteAddr() }
func (p *packetPinger) close()               { p.client.Close() }

// lobbyPinger pings a lobby by WebSocket.
type lobbyPinger struct {
	ws     *websocket.Conn
	nc     net.Conn
	ended  context.Context // with the connection
	opened time.Time
	failed bool
}

// strangerTime is how long a connection to a lobby is used. Lobbies give those who do not log in five seconds.
const strangerTime = 3 * time.Second

func (t *target) dialLobby(ctx context.Context, nc net.Conn) (pinger, error) {
	give := func(context.Context, string, string) (net.Conn, error) { return nc, nil }
	scheme := "ws://"
	if t.tls != nil {
		scheme = "wss://"
	}
	transport := &http.Transport{DialContext: give, DialTLSContext: give, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	ws, _, err := websocket.Dial(ctx, scheme+t.address+t.path, &websocket.DialOptions{HTTPClient: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it is elsewhere: ping that address") },
	}})
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &lobbyPinger{ws: ws, nc: nc, ended: ws.CloseRead(context.Background()), opened: time.Now()}, nil
}

func (p *lobbyPinger) ping(ctx context.Context) (time.Duration, map[string]any, error) {
	sent := time.Now()
	if err := p.ws.Ping(ctx); err != nil {
		p.failed = true
		return 0, nil, err
	}
	return time.Since(sent), nil, nil
}

func (p *lobbyPinger) lasts(until time.Time) bool {
	return p.ended.Err() == nil && until.Sub(p.opened) < strangerTime
}

func (p *lobbyPinger) remote() net.Addr { return p.nc.RemoteAddr() }

func (p *lobbyPinger) close() {
	if p.failed {
		p.ws.CloseNow()
	} else {
		cut := time.AfterFunc(time.Second, func() { p.nc.Close() })
		p.ws.Close(websocket.StatusNormalClosure, "")
		cut.Stop()
	}
	<-p.ended.Done()
}

// seenConn is a connection of which the first bytes that come are looked at, and read all the same.
type seenConn struct {
	net.Conn
	unread []byte

	mu    sync.Mutex // guards first
	first []byte     // up to 16 bytes
}

// peek waits for bytes, and tells whether some came in time.
func (c *seenConn) peek(ctx context.Context, wait time.Duration) (bool, error) {
	c.SetReadDeadline(time.Now().Add(wait))
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	b := make([]byte, 16)
	n, err := c.Conn.Read(b)
	c.unread, c.first = b[:n], bytes.Clone(b[:n])
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case n > 0:
		return true, c.SetReadDeadline(time.Time{})
	case errors.As(err, &timeout) && timeout.Timeout():
		return false, c.SetReadDeadline(time.Time{})
	case err == io.EOF:
		return false, errHungUp
	}
	return false, err
}

func (c *seenConn) Read(b []byte) (int, error) {
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first = append(c.first, b[:min(n, 16-len(c.first))]...)
	return n, err
}

// CloseWrite lets a packet connection end in order.
func (c *seenConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// looksLikeFrame tells whether the first bytes are those of a short frame.
func (c *seenConn) looksLikeFrame() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.HasPrefix(c.first, []byte{0, 0})
}
