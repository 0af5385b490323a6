// Package memlink carries a session within the process: no socket, and no bytes. Packets, responses and envelopes are
// handed over as they are, as they never change. So a payload passes here that MessagePack cannot carry, such as an
// integer of more than 64 bits, which Parlor's other wires refuse.
//
// A [Dialer] connects to a lobby in the same process; what it dials is safe to use like any link.StreamConn. It speaks
// envelopes to who logs in with Login, and is a plain link to who logs in with Send.
//
// A session is resumed here too, as long as its lobby is there: [link.StreamConn] has an Abort, which tests use to cut a link.
package memlink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"parlor"
	"parlor/link"
)

// queueLimit bounds the responses, and the envelopes, that wait for a client to receive them; beyond it the link is closed.
const queueLimit = 1024

// Dialer connects to a lobby. Both fields are for the lobby's owner to set.
type Dialer struct {
	Lobby     link.Lobby
	ServerKey string // the public key that Handshake returns; may be empty
}

// Dial opens a link to the lobby, which is a link.StreamConn. The address is not looked at.
func (d Dialer) Dial(context.Context, string) (link.Conn, error) {
	p := &pipe{key: d.ServerKey, calls: make(chan call), ready: make(chan struct{}, 1), done: make(chan struct{}), left: make(chan struct{}), gone: make(chan struct{})}
	session, err := d.Lobby.Open((*serverEnd)(p))
	if err != nil {
		return nil, fmt.Errorf("open local link: %w", err)
	}
	go p.read(session) // ends with the link
	return (*clientEnd)(p), nil
}

// pipe is both ends of a link.
type pipe struct {
	key   string
	calls chan call     // from the client to the reader
	ready chan struct{} // has an entry when one of the queues may have one
	done  chan struct{} // closed with the link
	left  chan struct{} // closed when the client has ended it
	gone  chan struct{} // closed when the session was told of the end

	once sync.Once // of left

	mu        sync.Mutex // guards the fields below
	queue     []parlor.Response
	closed    bool
	why       error // that it was closed for, if there is more to say
	onPurpose bool  // that end; not changed once done is closed

	stream // of a link whose client has made an offer
}

// call is what the client hands over.
type call struct {
	hand  func(session link.Session) error
	taken chan error // gets what hand has returned
}

// read is the link's reader: what the session is told it is told here, the end of the link last.
func (p *pipe) read(session link.Session) {
	for {
		select {
		case c := <-p.calls:
			c.taken <- p.take(session, c)
		case <-p.done:
			session.Closed(p.onPurpose)
			close(p.gone)
			return
		}
	}
}

// take has the session take a call, unless the link has ended.
func (p *pipe) take(session link.Session, c call) error {
	if p.ended() {
		return p.cause()
	}
	err := c.hand(session)
	if err == nil {
		return nil
	}
	if p.refuse(err); !errors.Is(err, net.ErrClosed) {
		err = fmt.Errorf("%w: %w", net.ErrClosed, err)
	}
	return err
}

// hand hands something over, and waits until the session has taken it. Should ctx end first, nobody knows whether it has, and
// the link ends.
func (p *pipe) hand(ctx context.Context, hand func(session link.Session) error) error {
	if p.ended() {
		return p.cause()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c := call{hand, make(chan error, 1)}
	select {
	case p.calls <- c:
	case <-p.done:
		return p.cause()
	case <-ctx.Done():
		p.end(nil, false)
		return context.Cause(ctx)
	}
	select {
	case err := <-c.taken:
		return err
	case <-p.left: // while the session waits for room; it is told when it does no more
		return p.cause()
	case <-ctx.Done():
		p.end(nil, false)
		return context.Cause(ctx)
	}
}

func (p *pipe) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// end closes the link. It does not block: the lobby may be the one who calls, and the reader tells the session.
func (p *pipe) end(why error, onPurpose bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed, p.why, p.onPurpose = true, why, onPurpose
	p.stopNotes()
	close(p.done)
}

// leave is the end by the client.
func (p *pipe) leave(onPurpose bool) {
	p.end(nil, onPurpose)
	p.once.Do(func() { close(p.left) })
}

// cause is the error of whoever finds the link closed.
func (p *pipe) cause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why != nil {
		return fmt.Errorf("%w: %w", net.ErrClosed, p.why)
	}
	return net.ErrClosed
}

type serverEnd pipe

// Send hands a response over. A client that does not receive loses the link at 1024 responses.
func (s *serverEnd) Send(r parlor.Response) error { return s.answer(r, nil) }

// answer is Send, also of the answer to the login of a client that is welcome.
func (s *serverEnd) answer(r parlor.Response, w *link.Welcome) error {
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
		if w != nil {
			s.welcome, s.got, s.told = w, w.ID, w.ID
		}
	}
	s.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	if full {
		(*pipe)(s).end(nil, true)
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
func (s *serverEnd) Close(code link.Code, reason string) {
	(*pipe)(s).end(&link.CloseError{Code: code, Reason: reason}, code.EndsSession())
}

// Peer is a peer in this process, which limits by address leave alone.
func (s *serverEnd) Peer() link.Peer { return link.Peer{Remote: "local"} }

type clientEnd pipe

// Handshake returns the server's key: there is nothing to trade.
func (c *clientEnd) Handshake(context.Context) (string, error) { return c.key, nil }

// Send hands a packet over. It blocks while the session's queue is full, or until ctx ends.
func (c *clientEnd) Send(ctx context.Context, p parlor.Packet) error {
	if err := p.Payload.Err(); err != nil {
		return err
	}
	return (*pipe)(c).hand(ctx, func(session link.Session) error { return session.Receive(p) })
}

// Receive waits for the next response.
func (c *clientEnd) Receive(ctx context.Context) (r parlor.Response, err error) {
	err = c.await(ctx, func() bool {
		if len(c.queue) == 0 {
			return false
		}
		r = c.queue[0]
		c.queue = c.queue[1:]
		return true
	})
	return r, err
}

// await blocks until take, which is called with the lock held, has found something. What is there is
// taken also after the end.
func (c *clientEnd) await(ctx context.Context, take func() bool) error {
	for {
		if c.took(take) {
			return nil
		}
		select {
		case <-c.ready:
		case <-c.done:
			if c.took(take) {
				return nil
			}
			return (*pipe)(c).cause()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *clientEnd) took(take func() bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return take()
}

// Remote is "local".
func (c *clientEnd) Remote() string { return "local" }

// Close ends the link, and the session with it. It waits until the session knows, so that its user can log in again at once; for a
// second at most, as the session may be at something that came before.
func (c *clientEnd) Close() error {
	(*pipe)(c).leave(true)
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-c.gone:
	case <-timer.C:
	}
	return nil
}
