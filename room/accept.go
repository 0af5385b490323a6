package room

import (
	"errors"
	"slices"
	"time"

	"parlor"
)

// Here is what a durable game accepts from outside: each makes an entry.

// packets has the game answer packets of a member.
func (d *durable) packets(ps []parlor.Packet, from Member) {
	for i := range ps {
		d.packet(&ps[i], numberOf(from, i), from)
	}
}

func (d *durable) packet(p *parlor.Packet, request uint64, from Member) {
	r := d.room
	a := &reply{room: r, from: from, request: request}
	if d.failed != nil && !d.failed.ended {
		a.beRefused()
		return
	}
	if a.seat = r.seatFor(p.Username, from); r.closed || a.seat == nil {
		a.err = ErrClosed
		d.put(output{reply: a})
		return
	}
	if p.Message == parlor.RequestHeartbeat && r.heartbeatsOnlyLook() {
		a.resp, a.request = d.look(a.seat, p), 0
		d.put(output{reply: a})
		return
	}
	d.begin()
	a.resp = r.answer(a.seat, p)
	d.answers(&a.resp)
	r.note(a.seat, Answered{Number: request, Response: a.resp})
	d.end(&entry{kind: entryPacket, user: p.Username, request: request, packet: *p})
	d.put(output{reply: a})
}

// look has the game answer a heartbeat that changes nothing. What it pushes meanwhile then waits for what was before, as no entry follows. An
// answer that takes the user out does so in an entry of its own.
func (d *durable) look(s *seat, p *parlor.Packet) (resp parlor.Response) {
	d.enter()
	before := len(d.outbox)
	d.aside(func() { resp = d.room.ask(p) })
	d.inEntry = false
	pushes := slices.Clone(d.outbox[before:])
	d.outbox = slices.Delete(d.outbox, before, len(d.outbox))
	for _, o := range pushes {
		d.put(o)
	}
	if resp.Disconnecting {
		resp.Disconnecting = false
		d.begin()
		d.room.remove(s)
		d.end(&entry{kind: entryLeave, user: p.Username})
	}
	return resp
}

// refusal is what users are told whose requests cannot be taken now.
func (d *durable) refusal() string {
	if d.failed != nil && d.failed.why != nil {
		return d.failed.why.Error()
	}
	return textNotStored
}

// join is Room.Join's, on the room's goroutine.
func (d *durable) join(user string, m Member, done func(Joined, error)) {
	r := d.room
	if d.failed != nil {
		done(Joined{}, d.failed.error())
		return
	}
	there := r.seatOf[user] != nil // in another session, which is removed whatever comes of this one
	d.begin()
	e := entry{kind: entryJoin, user: user, session: sessionOf(m), request: numberOf(m, 0)}
	var j Joined
	var err error
	if s := r.seatOf[user]; s != nil && s.vacant() {
		e.kind = entryReturn
		j = r.takeOver(s, m)
	} else {
		j, err = r.join(user, m)
	}
	s := r.seatOf[user]
	switch {
	case err == nil:
		r.note(s, Answered{Number: e.request, Joined: &j, First: d.entry+1 == firstJoin})
		if m, ok := m.(Resumer); ok && r.cfg.Joining != nil {
			r.cfg.Joining(m)
		}
		d.end(&e)
		d.know(s)
	case there || errors.Is(err, ErrJoinFailed):
		d.end(&e)
	default:
		d.endQuietly()
	}
	d.say(func() {
		if err == nil {
			s.given(e.request)
			d.seated[user] = m
		}
		done(j, err)
	}, func() { done(Joined{}, d.failed.error()) })
}

// know makes an entry of what the session of who has joined may not have been told yet, of what was before, in this game too: all else that could tell it is
// of a seat that she has left.
func (d *durable) know(s *seat) {
	m, ok := s.member.(Resumer)
	if !ok {
		return
	}
	if list := m.Answers(); len(list) > 0 {
		d.enter()
		d.end(&entry{kind: entryKnown, user: s.user, answers: list})
	}
}

// leave is Room.Leave's. Nobody is kept in the room who has gone: if that cannot be stored now, it is when it can.
func (d *durable) leave(user string, m Member, done func()) {
	later := func() {
		d.unseat(user, m)
		done()
	}
	if d.failed != nil {
		later()
		return
	}
	s := d.room.seatFor(user, m)
	if s == nil {
		d.say(done, later)
		return
	}
	d.begin()
	d.room.remove(s)
	d.end(&entry{kind: entryLeave, user: user})
	d.say(done, later)
}

// left tells the lobby that a user is gone.
func (d *durable) left(user string, m Member) {
	if _, nobody := m.(*ghost); nobody {
		return
	}
	d.say(func() { d.unseat(user, m) }, nil)
}

// unseat tells the lobby that a user is gone, unless it was.
func (d *durable) unseat(user string, m Member) {
	if d.seated[user] == m {
		delete(d.seated, user)
		d.room.cfg.Left(m)
	}
}

// present tells the game where a member is.
func (d *durable) present(p *presence) {
	if d.failed != nil {
		d.failed.present(d, p)
		return
	}
	s := d.room.seatFor(p.user, p.member)
	if s == nil || s.away == p.away && !p.missed {
		return
	}
	d.begin()
	d.room.presentSeat(s, p.away, p.missed)
	kind := entryBack
	if p.away {
		kind = entryAway
	}
	d.end(&entry{kind: kind, user: p.user, missed: p.missed})
	d.say(func() {}, func() { d.failed.present(d, p) })
}

// drain tells the game that the server is about to stop.
func (d *durable) drain(deadline time.Time, done func()) {
	if d.failed != nil || d.room.closed {
		done()
		return
	}
	d.begin()
	end := deadline.Sub(d.room.timers.began).Truncate(time.Microsecond) // on the room's clock, which may be ahead of the machine's
	d.room.drainBy(d.began.Add(end))
	d.end(&entry{kind: entryDrain, end: end})
	d.say(done, done)
}

// close takes every user out and ends the room.
func (d *durable) close(done func()) {
	switch {
	case d.failed != nil:
		d.failed.end(d)
		done()
		return
	case d.room.closed:
		d.say(done, done)
		return
	}
	d.begin()
	d.room.closeNow()
	d.end(&entry{kind: entryClose})
	d.say(done, func() {
		d.failed.end(d)
		done()
	})
}

// stop takes nothing more, and answers when all that was done is stored.
func (d *durable) stop(done func()) {
	d.failed = &failure{ended: true}
	d.room.closed = true
	d.room.stopTimers()
	d.say(done, done)
}
