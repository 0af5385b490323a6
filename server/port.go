package server

import (
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
	p.session.Load().closed(p, onPurpose)
}
