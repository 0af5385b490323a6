package memlink

import (
	"context"
	"errors"
	"net"
	"time"

	"parlor"
	"parlor/link"
)

var (
	_ link.Stream     = (*serverEnd)(nil)
	_ link.StreamConn = (*clientEnd)(nil)
)

// stream is what a pipe has of a client that speaks envelopes. It is guarded by the pipe's mutex.
type stream struct {
	offer     *link.Offer // what the client has said in its login; nil on a plain link
	welcome   *link.Welcome
	envelopes []link.Envelope // for the client
	missed    int             // of these the first ones, which it missed on the link before: they do not count for queueLimit

	got, told uint64 // the last request that the session has taken, and that was acknowledged
	unnoted   link.Unnoted
	note      *time.Timer // set while told is behind
}

// Offer is what the client said in Login.
func (s *serverEnd) Offer() (o link.Offer, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offer == nil {
		return o, false
	}
	return *s.offer, true
}

// Welcome answers the login.
func (s *serverEnd) Welcome(r parlor.Response, w link.Welcome) error { return s.answer(r, &w) }

// Deliver hands messages over. A client that does not read loses the link, and may resume its session, when 1024 envelopes wait:
// those of one call are taken together, and do not count, as there may be as many as a session keeps.
func (s *serverEnd) Deliver(ack uint64, messages ...link.Message) error {
	for _, m := range messages {
		if err := payloadOf(m).Err(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	closed, full := s.closed, len(s.envelopes)-s.missed >= queueLimit
	if !closed && !full {
		if len(messages) > 1 {
			s.missed += len(messages)
		}
		for i := range messages {
			s.envelopes = append(s.envelopes, messages[i].Envelope(ack))
		}
		if len(messages) > 0 {
			s.acknowledged(ack)
		}
	}
	s.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	if full {
		(*pipe)(s).end(nil, false)
		return net.ErrClosed
	}
	(*pipe)(s).wake()
	return nil
}

func payloadOf(m link.Message) parlor.Payload {
	if m.Push != nil {
		return m.Push.Payload
	}
	return m.Response.Payload
}

// tookRequest notes that the session has taken a request, and sees to its acknowledgement.
func (c *clientEnd) tookRequest(e *link.Envelope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = e.ID
	due := c.unnoted.Add(len(e.Message)+len(e.Payload.JSON()), c.got, c.told)
	switch {
	case c.closed || c.got <= c.told:
	case due:
		(*pipe)(c).sendNote()
	case c.note == nil:
		c.note = time.AfterFunc(link.NoteAfter, (*pipe)(c).noteIsDue) // stopped when told is not behind any more, or the link ends
	}
}

func (p *pipe) noteIsDue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed && p.got > p.told {
		p.sendNote()
	}
}

// sendNote acknowledges what was taken. The lock is held.
func (p *pipe) sendNote() {
	p.envelopes = append(p.envelopes, link.Envelope{Kind: link.KindNote, Ack: p.got})
	p.acknowledged(p.got)
	p.wake()
}

// acknowledged notes that requests were acknowledged.
func (st *stream) acknowledged(ack uint64) {
	st.told = max(st.told, ack)
	if st.told >= st.got {
		st.stopNotes()
	}
}

func (st *stream) stopNotes() {
	if st.note != nil {
		st.note.Stop()
		st.note = nil
	}
}

// Login hands the login over, with the offer beside it.
func (c *clientEnd) Login(ctx context.Context, p parlor.Packet, o link.Offer) (r parlor.Response, w *link.Welcome, err error) {
	c.mu.Lock()
	c.offer = &o
	c.mu.Unlock()
	if err := c.Send(ctx, p); err != nil {
		return r, nil, err
	}
	if r, err = c.Receive(ctx); err != nil {
		return r, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return r, c.welcome, nil
}

// Write hands envelopes over. It blocks while the session's queue is full, or until ctx ends.
func (c *clientEnd) Write(ctx context.Context, envelopes ...*link.Envelope) error {
	list := make([]link.Envelope, 0, len(envelopes)) // what the caller has is hers again, also when ctx ends first
	for _, e := range envelopes {
		if err := e.Payload.Err(); err != nil {
			return err
		}
		list = append(list, *e)
	}
	return (*pipe)(c).hand(ctx, func(session link.Session) error {
		for i := range list {
			if (*pipe)(c).ended() {
				return net.ErrClosed
			}
			if err := session.Request(&list[i]); err != nil {
				return err
			}
			if list[i].Kind == link.KindRequest {
				c.tookRequest(&list[i])
			}
		}
		return nil
	})
}

// refuse ends the link for an error of the session.
func (p *pipe) refuse(err error) {
	var closes *link.CloseError
	switch {
	case errors.As(err, &closes):
	case errors.Is(err, link.ErrOutOfTurn):
		closes = &link.CloseError{Code: link.CloseProtocol, Reason: err.Error()}
	default: // the session is closed, or has another link
		p.end(nil, p.plain())
		return
	}
	p.end(closes, closes.Code.EndsSession() || p.plain())
}

// plain tells whether the link carries packets, whose sessions end with it.
func (p *pipe) plain() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.welcome == nil
}

// Read waits for envelopes, and returns all that are there, up to link.MaxPerFrame.
func (c *clientEnd) Read(ctx context.Context) (envelopes []link.Envelope, err error) {
	err = c.await(ctx, func() bool {
		n := min(len(c.envelopes), link.MaxPerFrame)
		if n == 0 {
			return false
		}
		envelopes, c.envelopes = c.envelopes[:n:n], c.envelopes[n:]
		c.missed = max(0, c.missed-n)
		if len(c.envelopes) == 0 {
			c.envelopes = nil // an idle link holds nothing
		}
		return true
	})
	return envelopes, err
}

// Abort ends the link as a network does that is cut: what was not read yet is lost.
func (c *clientEnd) Abort() { (*pipe)(c).abort() }

// Abort is that of the other end.
func (s *serverEnd) Abort() { (*pipe)(s).abort() }

func (p *pipe) abort() {
	p.leave(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue, p.envelopes = nil, nil
}
