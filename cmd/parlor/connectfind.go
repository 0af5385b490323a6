package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"parlor"
	"parlor/link/wslink"
)

// checkLobbyAddress finds what cannot be a lobby's address before anything is asked for, and says what to try.
func checkLobbyAddress(address string) error {
	switch {
	case strings.HasPrefix(address, unixPrefix), isPath(address):
		return fmt.Errorf("address %q: connect is for lobbies, which listen at HOST:PORT and not at unix sockets; parlor ping %s%s says what answers there",
			address, unixPrefix, visible(strings.TrimPrefix(address, unixPrefix)))
	case strings.HasPrefix(address, ":") && net.ParseIP(address) == nil:
		return fmt.Errorf("address %q: it names no host: try %s", address, strings.TrimPrefix(suggest("ws", address), "ws://"))
	}
	return nil
}

// quietDialer is the default one, but nothing is read of a connection before something was written. Servers that
// speak first, as those of packets do, are an event for the log to net/http, if they are quick.
func quietDialer() wslink.Dialer {
	return wslink.Dialer{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &politeConn{Conn: nc, spoken: make(chan struct{})}, nil
	}}
}

// politeConn is a connection on which this side speaks first.
type politeConn struct {
	net.Conn
	once   sync.Once     // closes spoken
	spoken chan struct{} // closed by the first Write, or by Close
}

func (c *politeConn) speak() { c.once.Do(func() { close(c.spoken) }) }

// Read blocks until something was written, and then until something comes; Close unblocks it.
func (c *politeConn) Read(b []byte) (int, error) {
	<-c.spoken
	return c.Conn.Read(b)
}

func (c *politeConn) Write(b []byte) (int, error) {
	c.speak()
	return c.Conn.Write(b)
}

func (c *politeConn) Close() error {
	c.speak()
	return c.Conn.Close()
}

// findWait bounds finding out what answers instead of a lobby.
const findWait = 5 * time.Second

// explainCall puts into e what is at an address at which no WebSocket was to be had, for which the address is asked once
// more, as ping does. Where that is not known, the error stays, with a hint at the forms of addresses.
func (e *connectError) explainCall(ctx context.Context, address string, o tlsOptions) {
	e.hint = addressHint
	t, err := newTarget(address, o)
	if err != nil {
		return
	}
	t.scheme = cmp.Or(t.scheme, "ws")
	ctx, cancel := context.WithTimeout(ctx, findWait)
	defer cancel()
	p, err := t.dial(ctx)
	if err == nil {
		p.close()
		return
	}
	var certain *hopelessError
	explained := t.explain(ctx, err, findWait)
	switch {
	case t.kind == packetKind:
		ping := "parlor ping " + t.where()
		if t.tls != nil && !errors.Is(err, errHandshake) {
			ping += " --tls"
		}
		e.reason = "a packet server answers there, and no lobby"
		e.hint = fmt.Sprintf("connect is for lobbies, which mostly have port %d; a packet server has clients of its own, "+
			"and %s measures how fast it answers", parlor.DefaultPort, visible(ping))
	case errors.As(explained, &certain), t.notOurs(err) != nil:
		e.reason, e.hint = visible(explained.Error()), "" // with its own hint
	}
}

const addressHint = "check the address: HOST, HOST:PORT, or wss://HOST for a server with TLS"
