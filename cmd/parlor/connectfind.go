package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"parlor"
	"parlor/link/packetlink"
	"parlor/link/wslink"
	"parlor/packet"
)

// checkLobbyAddress finds what cannot be a lobby's address before anything is asked for, and says what to try.
func checkLobbyAddress(address string) error {
	switch {
	case isPath(address):
		return fmt.Errorf("address %q: for a lobby's packet wire at a unix socket write %s%s", address, unixPrefix, visible(address))
	case strings.HasPrefix(address, ":") && net.ParseIP(address) == nil:
		return fmt.Errorf("address %q: it names no host: try %s", address, strings.TrimPrefix(suggest("ws", address), "ws://"))
	}
	return nil
}

// quietDialer is the default one, but nothing is read of a connection before something was written. Servers that
// speak first, as those of packets do, are an event for the log to net/http, if they are quick.
func quietDialer() wslink.Dialer { return wslink.Dialer{DialContext: politeDial} }

func politeDial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &politeConn{Conn: nc, spoken: make(chan struct{})}, nil
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

// explainCall puts into e what is at an address at which no lobby was to be had on the wire that was meant, for which the
// address is asked once more, as ping does. Where that is not known, the error stays, with a hint at the forms of addresses.
func (e *connectError) explainCall(ctx context.Context, o connectOptions) {
	e.hint = addressHint
	port := parlor.DefaultPort
	if o.wire == wirePacket {
		port = packetlink.DefaultPort
	}
	t, err := newTarget(o.address, o.tls, port)
	if err != nil {
		return
	}
	t.any = true
	ctx, cancel := context.WithTimeout(ctx, findWait)
	defer cancel()
	p, err := t.dial(ctx)
	if err == nil {
		p.close()
		e.notMeant(t, o.wire)
		return
	}
	var certain *hopelessError
	var closed *packet.CloseError
	explained := t.explain(ctx, err, findWait)
	switch {
	case errors.Is(err, errHandshake) && errors.As(explained, &certain) && o.wire == wirePacket:
		e.reason, e.hint = visible(explained.Error()), ""
	case t.kind == packetKind, errors.As(err, &closed) && closed.Remote:
		e.noLobby(t, t.tls != nil && !errors.Is(err, errHandshake))
	case errors.As(explained, &certain), t.notOurs(err) != nil:
		e.reason, e.hint = visible(explained.Error()), "" // with its own hint
	}
}

// notMeant says what answers, which is not what the wire needs.
func (e *connectError) notMeant(t *target, wire string) {
	scheme := "tcp://"
	if t.tls != nil {
		scheme = "tls://"
	}
	switch {
	case t.kind == lobbyKind && wire == wirePacket:
		e.reason = "a lobby answers there on WebSocket, and not on the packet wire"
		e.hint = "leave out --wire packet, tcp:// or tls://; whoever runs it can open the packet wire with --packet-listen"
	case t.kind == packetKind && t.what() == lobbyKind && wire != wirePacket:
		e.reason = "a lobby answers there on its packet wire, and not on WebSocket"
		e.hint = "try " + visible(scheme+t.address)
		if t.network == "unix" {
			e.hint = "try " + visible(t.where())
		}
	case t.kind == packetKind && t.what() != lobbyKind:
		e.noLobby(t, t.tls != nil)
	}
}

// noLobby is for a packet server that is of no lobby.
func (e *connectError) noLobby(t *target, secured bool) {
	ping := "parlor ping " + t.where()
	if secured {
		ping += " --tls"
	}
	e.reason = "a packet server answers there, and no lobby"
	e.hint = fmt.Sprintf("connect is for lobbies, which mostly have port %d; a packet server has clients of its own, "+
		"and %s measures how fast it answers", parlor.DefaultPort, visible(ping))
}

const addressHint = "check the address: HOST, HOST:PORT, wss://HOST for a server with TLS, or tcp://HOST for its packet wire"
