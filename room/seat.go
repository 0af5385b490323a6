package room

import (
	"slices"

	"parlor"
)

// seat is a user's place in the room.
type seat struct {
	user   string
	member Member // who holds it; nil when the user was removed
	away   bool   // the game was told so last
	missed bool   // the game is to be told so when she is back

	answers []Answered // of a durable game: those that her session has not got yet
	space   []Answered // theirs, from its beginning
}

// Join adds a user and answers with what the game says of how to serve her, or with ErrClosed, ErrFull or
// ErrJoinFailed, or, at once, with ErrBusy. Another session of the same user, whose removal has not come yet,
// is removed first.
func (r *Room) Join(user string, m Member, done func(j Joined, err error)) {
	r.mu.Lock()
	if r.space(&r.joins, 1) == 0 {
		r.mu.Unlock()
		done(Joined{}, ErrBusy)
		return
	}
	delete(r.presence, m) // what comes now is about her new seat
	r.put(message{do: func() {
		if r.durable != nil {
			r.durable.join(user, m, func(j Joined, err error) {
				r.joins.Add(-1)
				done(j, err)
			})
			return
		}
		r.joins.Add(-1)
		done(r.join(user, m))
	}})
}

// Leave removes a user, if this session of hers is present, and answers when the game has been told.
func (r *Room) Leave(user string, m Member, done func()) {
	r.post(func() {
		if r.durable != nil {
			r.durable.leave(user, m, done)
			return
		}
		if s := r.seatFor(user, m); s != nil {
			r.remove(s)
		}
		done()
	})
}

// Away tells that a user's link is gone and that her seat is kept, if this session of hers holds it. The game is
// told, and her session gets the answers to her packets and what is sent to her, as before.
func (r *Room) Away(user string, m Member) {
	r.notePresence(user, m, func(p *presence) { p.away = true })
}

// Back tells that a user who was away is back; missed, that not all that was sent to her can be given to her. If
// she went and came back while the room was busy, the game hears of it only if she missed something.
func (r *Room) Back(user string, m Member, missed bool) {
	r.notePresence(user, m, func(p *presence) { p.away, p.missed = false, p.missed || missed })
}

// presence is one message about where a member is: as it was told last, however often that was.
type presence struct {
	user   string
	member Member
	away   bool
	missed bool
}

func (r *Room) notePresence(user string, m Member, note func(*presence)) {
	r.mu.Lock()
	if p := r.presence[m]; p != nil { // a client that comes and goes does not fill the mailbox of a room that is stuck
		note(p)
		r.mu.Unlock()
		return
	}
	p := &presence{user: user, member: m}
	note(p)
	if r.presence == nil {
		r.presence = make(map[Member]*presence)
	}
	r.presence[m] = p
	r.put(message{do: func() { r.present(p) }})
}

// present tells the game where a member is, if that is news.
func (r *Room) present(p *presence) {
	r.mu.Lock()
	if r.presence[p.member] == p {
		delete(r.presence, p.member)
	}
	r.mu.Unlock()
	if r.durable != nil {
		r.durable.present(p)
		return
	}
	if s := r.seatFor(p.user, p.member); s != nil {
		r.presentSeat(s, p.away, p.missed)
	}
}

func (r *Room) presentSeat(s *seat, away, missed bool) {
	s.missed = s.missed || missed
	if away || s.missed {
		r.away(s)
	}
	if !away {
		r.back(s)
	}
}

func (r *Room) away(s *seat) {
	if s.away {
		return
	}
	s.away = true
	if h, ok := r.game.(parlor.UserVanisher); ok {
		r.guard("user away", func() { h.UserAway(s.user) })
	}
}

func (r *Room) back(s *seat) {
	if !s.away {
		return
	}
	missed := s.missed
	s.away, s.missed = false, false
	if h, ok := r.game.(parlor.UserReturner); ok {
		r.guard("user back", func() { h.UserBack(s.user, missed) })
	}
}

// seatFor is the user's seat, if this member holds it, or nil.
func (r *Room) seatFor(user string, m Member) *seat {
	if s := r.seatOf[user]; s != nil && s.member == m {
		return s
	}
	return nil
}

func (r *Room) join(user string, m Member) (Joined, error) {
	if s := r.seatOf[user]; s != nil {
		r.remove(s)
	}
	if r.closed {
		return Joined{}, ErrClosed
	}
	if limit := r.maxUsers(); limit > 0 && len(r.seats) >= limit {
		return Joined{}, ErrFull
	}
	s := &seat{user: user, member: m}
	r.seats = append(r.seats, s)
	r.seatOf[user] = s
	if h, ok := r.game.(parlor.UserJoiner); ok {
		if !r.guard("user joined", func() { h.UserJoined(user) }) {
			r.forget(s)
			r.endIfEmpty()
			return Joined{}, ErrJoinFailed
		}
	}
	return r.joined(), nil
}

// joined asks the game how a user is to be served.
func (r *Room) joined() Joined {
	return Joined{HeartbeatRate: r.heartbeatRate(), Window: r.window(), PushOnHeartbeat: r.pushOnHeartbeat()}
}

// remove takes a user out, tells the game, ends the room if it has become empty, and tells the lobby.
func (r *Room) remove(s *seat) {
	m := s.member
	r.forget(s)
	if h, ok := r.game.(parlor.UserLeaver); ok {
		r.guard("user left", func() { h.UserLeft(s.user) })
	}
	r.endIfEmpty()
	if r.durable != nil {
		r.durable.left(s.user, m)
		return
	}
	r.cfg.Left(m)
}

func (r *Room) forget(s *seat) {
	delete(r.seatOf, s.user)
	s.member = nil
	r.seats = slices.DeleteFunc(r.seats, func(o *seat) bool { return o == s })
}

// endIfEmpty ends a room that has no users, unless the game is persistent.
func (r *Room) endIfEmpty() {
	if len(r.seats) == 0 && !r.persistent() {
		r.end()
	}
}
