package server

import (
	"sync"
	"time"

	"parlor"
)

// maxHandover bounds how many requests of one session a room gets at once, so that the others in the room are not kept
// waiting for more. It is as far as fairness goes within a room: who has many requests on their way gets so many turns
// in a row, where a user with one at a time gets one. In other rooms nobody notices.
const maxHandover = 32

// handover is what a session has handed to its room together: requests that stood one behind the other in its queue. It
// is made by whoever is busy, and then belongs to the room's goroutine, but for taken, which the session's mutex guards.
type handover struct {
	packets [maxHandover]parlor.Packet
	numbers [maxHandover]uint64 // of the requests
	taken   int                 // how many the room has taken
	at      int                 // the one that it is answering
}

// handovers are those that no session uses: an idle one has none.
var handovers = sync.Pool{New: func() any { return new(handover) }}

// forGame tells whether a request is not the lobby's to answer.
func (ss *session) forGame(r *request) bool {
	return r.err == nil && ss.spec(r.packet.Message) == nil && !ss.wasAnswered(r.number)
}

// hand gives the user's game a packet, and those behind it in the queue that are for the game too. Of these the room takes as
// many as it has space for; the others wait for their turn. The error is room.ErrBusy, if it has not taken the packet.
func (ss *session) hand(g *game, p parlor.Packet) error {
	ss.mu.Lock()
	if ss.queue.len() == 0 || !ss.forGame(ss.queue.at(0)) {
		ss.mu.Unlock()
		ss.current = p
		return g.room.Packet(p, ss)
	}
	defer ss.mu.Unlock() // when it is known how many were taken: the room may have answered the first by then
	h := handovers.Get().(*handover)
	h.packets[0], h.numbers[0] = p, ss.number
	n := ss.gather(h)
	ss.handed = h
	taken, err := g.room.Packets(h.packets[:n], ss)
	if taken == 0 {
		ss.handed = nil
		h.release()
		return err
	}
	h.taken = taken
	ss.queue.drop(taken - 1)
	ss.underway = taken - 1
	return nil
}

// gather puts those of the queue behind the first packet that may go with it, and leaves them in the queue. It returns how
// many there are then. The lock is held.
func (ss *session) gather(h *handover) int {
	limit := min(1+ss.queue.len(), maxHandover, ss.srv.cfg.Limits.Mailbox)
	st, bytes := ss.stream, 0 // that their answers may still have
	if st != nil {
		var requests int
		requests, bytes = st.space()
		limit = min(limit, requests)
		bytes -= st.expected(&request{packet: h.packets[0]})
	}
	now := time.Now() // looked at once for all, which is a tenth of what each costs here
	timestamp := parlor.Timestamp(now)
	n := 1
	for n < limit {
		r := ss.queue.at(n - 1)
		if st != nil {
			if bytes -= st.expected(r); bytes < 0 {
				break // until the client has acknowledged those before it
			}
		}
		if !ss.forGame(r) || !r.paid && ss.limiter != nil && !ss.limiter.AllowN(now, 1) {
			break // it waits for its turn, and is refused then, if it still has to be
		}
		r.paid = true
		p := &h.packets[n]
		*p, h.numbers[n] = r.packet, r.number
		p.Username = ss.user
		if p.CreatedOn == "" {
			p.CreatedOn = timestamp
		}
		if ss.srv.verbose.Load() {
			ss.srv.logPacket(ss, *p)
		}
		n++
	}
	return n
}

// release gives a handover back whose packets are answered.
func (h *handover) release() {
	clear(h.packets[:])
	h.taken, h.at = 0, 0
	handovers.Put(h)
}

// Answer takes a room's answer to the current packet, or to the next of those that it was handed together. It runs on the
// room's goroutine.
func (ss *session) Answer(resp parlor.Response, err error) {
	h := ss.handed
	if h == nil {
		ss.finish(ss.answer(&ss.current, resp, err))
		return
	}
	ss.number = h.numbers[h.at]
	ss.reply(ss.answer(&h.packets[h.at], resp, err))
	if ss.answered(h) {
		ss.goOn()
	}
}

// answer is what a packet is answered, by what the room says.
func (ss *session) answer(p *parlor.Packet, resp parlor.Response, err error) parlor.Response {
	switch {
	case err != nil: // the room has closed, or the user was taken out, while the packet waited
		return ss.nowhere(*p)
	case p.Message == parlor.RequestHeartbeat && !ss.orphans.Load():
		return ss.withRiders(resp)
	}
	return resp
}

// answered goes on to the next packet of a handover, and tells whether that was the last.
func (ss *session) answered(h *handover) (last bool) {
	ss.mu.Lock()
	if h.at++; h.at < h.taken {
		ss.underway--
		ss.bytes -= h.packets[h.at].Size() // it is under way now, where it waited
		ss.wake()
		ss.mu.Unlock()
		return false
	}
	ss.handed = nil
	ss.mu.Unlock()
	h.release()
	return true
}

// goOn has the next request worked off. What is for the game goes there from here: when this is the room's goroutine, nothing
// else has to wake up. All else gets a goroutine of its own, so that no room works for others.
func (ss *session) goOn() {
	for r, ok := ss.proceed(); ok; r, ok = ss.proceed() {
		if !ss.forGame(&r) || ss.game.Load() == nil {
			go ss.work(r) // ends with the queue
			return
		}
		ss.number = r.number
		resp, done := ss.srv.handle(ss, r)
		if !done {
			return
		}
		ss.reply(resp) // a refusal
	}
}
