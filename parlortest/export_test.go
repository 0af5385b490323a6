package parlortest

import (
	"context"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/internal/memnet"
	"parlor/link"
)

// DialOver is Dial over connections with the given paths, one after the other, and then with none; it tries again when a
// connection ends before the login is answered. It returns the sockets too, as they are dialed.
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
	for range len(up) + len(down) + 1 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := c.Connect(ctx)
		cancel()
		if err == nil {
			return c
		}
		l.Settle() // the server has noticed
	}
	l.t.Fatal("the client cannot log in")
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
	r := l.server.Load()
	if wire == Packet {
		return r.packets.Stats().QueueFull.Load()
	}
	return r.ws.Stats().QueueFull.Load()
}
