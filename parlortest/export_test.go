package parlortest

import (
	"context"

	"parlor/client"
	"parlor/internal/memnet"
)

// DialOver is Dial over connections with the given paths, one after the other, and then with none; it tries again when a
// connection ends before the login is answered. It returns the sockets too, as they are dialed.
func (l *Lobby) DialOver(wire Wire, cfg client.Config, up, down []memnet.Path) *Client {
	l.t.Helper()
	c := l.newClient(wire, cfg)
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
