package server

import (
	"net"
	"time"

	"parlor"
	"parlor/link"
)

// request is one entry of a session's queue: a packet, or why there is none.
type request struct {
	packet parlor.Packet
	number uint64 // on a stream
	err    error
	paid   bool // the limit of requests per second has let it pass
}

// size is how many bytes a client has made a request hold.
func (r *request) size() int { return r.packet.Size() }

// requests are the space of sessions' queues.
var requests = newPool[request]()

// enqueue takes a request that came on a link.
func (ss *session) enqueue(p *port, r request) error {
	ss.mu.Lock()
	first, err := ss.admit(p, &r)
	ss.mu.Unlock()
	if first {
		ss.work(r)
	}
	return err
}

// admit has a request that came on a link wait in the queue, when there is room for it; first tells that the caller is to
// work on it instead, as nothing is before it. The lock is held, but for the time that it waits.
func (ss *session) admit(p *port, r *request) (first bool, err error) {
	for ss.port == p && !ss.ended && ss.full() {
		if err := ss.waitForSpace(); err != nil {
			return false, err
		}
	}
	if ss.ended || ss.port != p { // or the client has come back on another link, on which it will send this again
		return false, net.ErrClosed
	}
	if ss.stream != nil {
		ss.stream.lastID = r.number
		if !ss.busy && !ss.held && ss.waits(r) {
			ss.hold()
		}
	}
	if ss.busy || ss.held {
		ss.queue.push(*r)
		ss.bytes += r.size()
		return false, nil
	}
	ss.busy = true
	return true, nil
}

func (ss *session) full() bool {
	l := &ss.srv.cfg.Limits
	if !ss.welcomed.Load() && ss.queue.len() > 0 {
		return true // a stranger's login is under way: one more request may wait for it
	}
	return ss.queue.len()+ss.underway >= l.Queue || ss.bytes >= l.QueueBytes
}

// waitForSpace waits, unlocked, until the queue has moved. The client is sending faster than it is answered;
// that its link is read no further meanwhile pushes back on it, as with pgnet's server (section 6.1).
func (ss *session) waitForSpace() error {
	ss.srv.stats.QueueFull.Add(1)
	if ss.space == nil {
		ss.space = make(chan struct{})
	}
	space := ss.space
	ss.mu.Unlock()
	defer ss.mu.Lock()
	timer := time.NewTimer(ss.srv.cfg.Limits.QueueWait)
	defer timer.Stop()
	select {
	case <-space:
		return nil
	case <-timer.C:
		return &link.CloseError{Code: link.ClosePolicy, Reason: "limit of waiting requests"}
	}
}

// wake has whoever waits for space look again. The lock is held.
func (ss *session) wake() {
	if ss.space != nil {
		close(ss.space)
		ss.space = nil
	}
}

// next takes the next request from the queue, or ends the work. It is called by whoever is busy.
func (ss *session) next() (r request, ok bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.wake()
	ss.orphans.Store(false)
	if ss.queue.len() == 0 || ss.ended {
		ss.busy = false
		ss.queue.clear()
		return request{}, false
	}
	if ss.stream != nil && ss.waits(ss.queue.at(0)) {
		ss.busy = false
		ss.hold()
		return request{}, false
	}
	return ss.take(), true
}

// waits tells whether a request is not to be executed before the client has acknowledged some answers. One to join a game waits at less: all those answers
// go into the journal of a durable one, and a client that joined again and again would fill the disk with them. The lock is held.
func (ss *session) waits(r *request) bool {
	joins := r.packet.Message == parlor.RequestJoinGame || r.packet.Message == parlor.RequestCreateGame
	return ss.stream.full() || joins && ss.stream.answers.bytes >= sharedAnyway
}

// hold has requests wait until the client has acknowledged some answers. The lock is held.
func (ss *session) hold() {
	ss.held = true
	ss.srv.stats.Held.Add(1)
}

// take takes the first request from the queue. The lock is held.
func (ss *session) take() request {
	r := *ss.queue.at(0)
	ss.queue.drop(1)
	ss.bytes -= r.size()
	return r
}
