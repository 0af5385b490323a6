// Package memlink carries a session within the process: no socket, and no bytes. Packets and responses are
// handed over as they are, as they never change.
//
// A [Dialer] connects to a lobby in the same process; what it dials is safe to use like any link.Conn.
package memlink

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"parlor"
	"parlor/link"
)

// queueLimit bounds the responses that wait for a client to receive them; beyond it the link is closed.
const queueLimit = 1024

// Dialer connects to a lobby. Both fields are for the lobby's owner to set.
type Dialer struct {
	Lobby     link.Lobby
	ServerKey string // the public key that Handshake returns; may be empty
}

// Dial opens a link to the lobby. The address is not looked at.
func (d Dialer) Dial(context.Context, string) (link.Conn, error) {
	p := &pipe{key: d.ServerKey, ready: make(chan struct{}, 1), done: make(chan struct{})}
	session, err := d.Lobby.Open((*serverEnd)(p))
	if err != nil {
		return nil, fmt.Errorf("open local link: %w", err)
	}
	p.open(session)
	return (*clientEnd)(p), nil
}

// pipe is both ends of a link.
type pipe struct {
	key   string
	ready chan struct{} // has an entry when queue may have one
	done  chan struct{} // closed with the link

	mu      sync.Mutex   // guards the fields below
	session link.Session // nil until the lobby has opened it
	queue   []parlor.Response
	closed  bool
}

// open gives the pipe its session. The lobby may have closed the link already.
func (p *pipe) open(session link.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session = session
	if p.closed {
		go session.Closed(true) // ends at once, as in end
	}
}

// end closes the link. The session is told on a goroutine of its own, as the lobby may be the one who calls.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	close(p.done)
	if p.session != nil {
		go p.session.Closed(true) // ends at once: Closed does not block
	}
}

type serverEnd pipe

// Send hands a response over. A client that does not receive loses the link at 1024 responses.
func (s *serverEnd) Send(r parlor.Response) error {
	if err := r.Payload.Err(); err != nil {
		return err
	}
	if r.CreatedOn == "" {
		r.CreatedOn = parlor.Timestamp(time.Now())
	}
	s.mu.Lock()
	closed, full := s.closed, len(s.queue) >= queueLimit
	if !closed && !full {
		s.queue = append(s.queue, r)
	}
	s.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	if full {
		(*pipe)(s).end()
		return net.ErrClosed
	}
	(*pipe)(s).wake()
	return nil
}

func (p *pipe) wake() {
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

// Close ends the link. What was sent before can still be received.
func (s *serverEnd) Close(link.Code, string) { (*pipe)(s).end() }

// Peer is a peer in this process, which limits by address leave alone.
func (s *serverEnd) Peer() link.Peer { return link.Peer{Remote: "local"} }

type clientEnd pipe

// Handshake returns the server's key: there is nothing to trade.
func (c *clientEnd) Handshake(context.Context) (string, error) { return c.key, nil }

// Send hands a packet over. It blocks only while the session's queue is full.
func (c *clientEnd) Send(_ context.Context, p parlor.Packet) error {
	if err := p.Payload.Err(); err != nil {
		return err
	}
	select {
	case <-c.done:
		return net.ErrClosed
	default:
	}
	if err := c.session.Receive(p); err != nil {
		(*pipe)(c).end()
		return err
	}
	return nil
}

// Receive waits for the next response.
func (c *clientEnd) Receive(ctx context.Context) (parlor.Response, error) {
	for {
		if r, ok := c.take(); ok {
			return r, nil
		}
		select {
		case <-c.ready:
		case <-c.done:
			if r, ok := c.take(); ok {
				return r, nil
			}
			return parlor.Response{}, net.ErrClosed
		case <-ctx.Done():
			return parlor.Response{}, context.Cause(ctx)
		}
	}
}

func (c *clientEnd) take() (parlor.Response, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return parlor.Response{}, false
	}
	r := c.queue[0]
	c.queue = c.queue[1:]
	return r, true
}

// Remote is "local".
func (c *clientEnd) Remote() string { return "local" }

// Close ends the link.
func (c *clientEnd) Close() error {
	(*pipe)(c).end()
	return nil
}
