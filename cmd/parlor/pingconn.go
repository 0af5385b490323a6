package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"parlor/host"
	"parlor/link/wslink"
	"parlor/packet"
	"parlor/packet/ping"
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

// packetPinger pings a packet server.
type packetPinger struct {
	client *ping.Client
	first  *ping.Pong // that of connecting, which nobody has seen yet
}

// dialPackets finds out whether it is a lobby whose packets these are: such a one says so.
func (t *target) dialPackets(ctx context.Context, nc net.Conn) (pinger, error) {
	c, first, err := ping.DialConn(ctx, nc, nil, packet.Config{Logger: slog.New(slog.DiscardHandler), CloseTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	t.kind = packetKind
	if _, isLobby := first.Data[host.PingKey].(map[string]any); isLobby {
		t.wires = []string{wirePacket}
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
	scheme, at := "ws://", t.address
	if t.tls != nil {
		scheme = "wss://"
	}
	if t.network == "unix" {
		at = "localhost"
	}
	at = strings.ReplaceAll(at, "%", "%25") // before the zone of an IPv6 address
	transport := &http.Transport{DialContext: give, DialTLSContext: give, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	ws, answer, err := websocket.Dial(ctx, scheme+at+t.path, &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Subprotocols: []string{wslink.Subprotocol}, // which servers of pgnet do not know
	})
	if err != nil {
		nc.Close()
		if answer != nil {
			text, _ := io.ReadAll(answer.Body) // the first 1024 bytes, which were read already
			err = &httpError{answer.StatusCode, answer.Header.Get("Location"), string(text), err}
		}
		return nil, err
	}
	if t.wires = []string{wirePgnet}; ws.Subprotocol() == wslink.Subprotocol {
		t.wires = []string{wireNative, wirePgnet}
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

	mu    sync.Mutex // guards first and asked
	first []byte     // up to seenBytes
	asked bool       // for a WebSocket, to which a frame is no answer
}

// errFrame is what reading ends with if a frame comes where a WebSocket was asked for. The rest of it need not come.
var errFrame = errors.New("a packet server answers")

// seenBytes is enough for a line by which servers of other kinds say what they are.
const seenBytes = 100

// peek waits for bytes, and tells whether some came in time.
func (c *seenConn) peek(ctx context.Context, wait time.Duration) (bool, error) {
	c.SetReadDeadline(time.Now().Add(wait))
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	b := make([]byte, seenBytes)
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
	case hungUp(err):
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
	c.first = append(c.first, b[:min(n, seenBytes-len(c.first))]...)
	if c.asked && isFrame(c.first) {
		return 0, errFrame
	}
	return n, err
}

// ask says that a WebSocket is asked for from now on.
func (c *seenConn) ask() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = true
}

// CloseWrite lets a packet connection end in order.
func (c *seenConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// begin is how what came begins.
func (c *seenConn) begin() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.first)
}

// looksLikeFrame tells whether what came begins as a frame of a sensible length does.
func (c *seenConn) looksLikeFrame() bool { return isFrame([]byte(c.begin())) }

func isFrame(first []byte) bool { return bytes.HasPrefix(first, []byte{0}) }
