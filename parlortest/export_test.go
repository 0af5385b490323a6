package parlortest

import (
	"context"
	"time"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/packetlink"
	"parlor/link/wslink"
)

// DialOver is Dial over connections with the given paths, one after the other, and then with none. It tries again when a connection ends before the login is answered.
func (l *Lobby) DialOver(wire Wire, cfg client.Config, up, down []memnet.Path) *Client {
	l.t.Helper()
	c := l.New(wire, cfg)
	c.phone.paths = func(n int) (p [2]memnet.Path) {
		if n < len(up) {
			p[0] = up[n]
		}
		if n < len(down) {
			p[1] = down[n]
		}
		return p
	}
	var err error
	for range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err = c.Connect(ctx)
		cancel()
		if err == nil {
			return c
		}
		l.Step(10 * time.Second) // the server notices what the client has
	}
	l.t.Fatalf("the client cannot log in: %v", err)
	return nil
}

// Socket is the last socket of the client.
func (c *Client) Socket() *memnet.Conn {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	return c.phone.socket
}

// DialLink opens a link of a wire that speaks envelopes, and logs in a user on it, whom no client looks after. It is cut off when
// the test ends.
func (l *Lobby) DialLink(wire Wire, user string) link.StreamConn {
	l.t.Helper()
	key, err := box.NewKey()
	if err != nil {
		l.t.Fatal(err)
	}
	dialed, err := (&phone{lobby: l, wire: wire, key: key}).Dial(context.Background(), "")
	if err != nil {
		l.t.Fatal(err)
	}
	conn := dialed.(link.StreamConn)
	l.t.Cleanup(func() {
		conn.Abort()
		conn.Close()
	})
	if _, err := conn.Handshake(context.Background()); err != nil {
		l.t.Fatal(err)
	}
	login := parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": user, "password": "pw"})}
	if _, w, err := conn.Login(context.Background(), login, link.Offer{}); err != nil || w == nil {
		l.t.Fatalf("%s logs in on the %s wire: welcome %v, error %v", user, wire, w, err)
	}
	return conn
}

// Unread is how many links of a wire were closed as their clients did not read.
func (l *Lobby) Unread(wire Wire) int64 {
	var n int64
	for _, server := range l.server.Load().wires {
		switch server := server.(type) {
		case *wslink.Server:
			if wire == Native {
				n += server.Stats().QueueFull.Load()
			}
		case *packetlink.Server:
			if wire == Packet {
				n += server.Stats().QueueFull.Load()
			}
		}
	}
	return n
}

// Dialed is how many connections the client has dialed.
func (c *Client) Dialed() int {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	return c.phone.dialed
}

// DialSocket opens a connection to where a wire listens, on which nobody speaks yet.
func (l *Lobby) DialSocket(wire Wire) *memnet.Conn {
	l.t.Helper()
	address := addressWS
	if wire == Packet {
		address = addressPacket
	}
	socket, err := l.network.Dial(context.Background(), address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { socket.Close() })
	return socket
}

// Vanish takes the network from the client, without a word to either side, until Online.
func (c *Client) Vanish() {
	c.phone.set(func() {
		c.phone.offline = true
		c.phone.socket.Out().Swallow()
		c.phone.socket.In().Swallow()
	}, false)
}
