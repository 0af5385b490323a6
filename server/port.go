package server

import (
	"sync"
	"sync/atomic"

	"parlor"
	"parlor/link"
)

// port is the lobby's end of one link. The session behind it is one of its own, until its login takes up another, whose
// link has ended.
type port struct {
	srv     *Server
	link    link.Link
	session atomic.Pointer[session]

	mu     sync.Mutex // guards closed, and that session does not change from then on; it comes after those of sessions
	closed bool       // the link has ended
}

var _ link.Session = (*port)(nil)

// Receive takes the next packet of the link.
func (p *port) Receive(packet parlor.Packet) error {
	return p.session.Load().enqueue(p, request{packet: packet})
}

// Malformed takes a message that was not a packet. Before the login it ends the link, as in section 5.5;
// afterwards it is answered, where pgnet 0.2.1 closes without a word (defect 25).
func (p *port) Malformed(err error) error {
	p.srv.stats.Malformed.Add(1)
	return p.session.Load().enqueue(p, request{err: err})
}

// Request takes the next envelope of a link that was welcomed.
func (p *port) Request(e *link.Envelope) error {
	if e.Err != nil {
		p.srv.stats.Malformed.Add(1)
	}
	return p.session.Load().envelope(p, e)
}

// Closed tells that the link has ended.
func (p *port) Closed(onPurpose bool) {
	p.srv.mu.Lock()
	delete(p.srv.ports, p)
	p.srv.mu.Unlock()
	p.mu.Lock()
	p.closed = true
	ss := p.session.Load()
	p.mu.Unlock()
	ss.closed(p, onPurpose)
}

// carry has the link carry a session from now on, which hears of its end then. It fails for a link that has ended already, of
// which nobody would hear: its login was under way, and may have waited for long.
func (p *port) carry(ss *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.session.Store(ss)
	return true
}
