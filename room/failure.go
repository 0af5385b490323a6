package room

import (
	"errors"
	"slices"
	"time"
)

// failure is what comes to a durable room while its game cannot be played: after a write that failed, until the game was made again of
// what is stored, or, if it cannot be made again, for good.
type failure struct {
	seats map[string]*presence // where users are by now, as far as that is not stored
	why   *UnplayableError     // there is no next one
	ended bool                 // the room was closed

	unknown []output // what waits for a write of which it is not known whether it is there
}

// error is what is said to who wants to join.
func (f *failure) error() error {
	switch {
	case f.ended:
		return ErrClosed
	case f.why != nil:
		return f.why
	}
	return ErrNotStored // also of a game that has closed, as what closed it could not be stored
}

// present notes where a member is.
func (f *failure) present(d *durable, p *presence) {
	if d.seated[p.user] != p.member {
		return
	}
	if before := f.seats[p.user]; before != nil && before.member == p.member {
		p.missed = p.missed || before.missed
	}
	f.seats[p.user] = p
}

// end ends the room, whose game cannot be told.
func (f *failure) end(d *durable) {
	if f.ended {
		return
	}
	f.ended = true
	f.resolve(0)
	d.dismiss()
	d.room.closed = true
	d.room.stopTimers()
	d.room.tellEnd()
}

// dismiss tells the lobby that all users are gone.
func (d *durable) dismiss() {
	for user, m := range d.seated {
		d.unseat(user, m)
	}
}

// fail takes the game away until it is read again. All that waits to be stored is refused, unless it may be there.
func (d *durable) fail(err error) {
	r := d.room
	if n := r.stats.Unstored.Add(1); worthLogging(n) { // it may be all games, again and again
		r.logger.Error("a durable game could not be stored: it goes back to what is", "entry", d.entry, "err", err, "count", n)
	}
	d.failed = &failure{seats: make(map[string]*presence), ended: d.failed != nil} // it was being stopped, if anything
	r.stopTimers()
	out := d.outbox
	d.outbox, d.batch, d.done, d.paused = nil, nil, d.writes, false
	d.failed.unknown = out
	if d.failed.ended || !errors.Is(err, ErrUnknown) {
		d.failed.resolve(0)
	}
	if !d.failed.ended {
		d.readLater()
	}
}

// resolve has what follows from entries up to the last one leave the room, and refuses the rest.
func (f *failure) resolve(last uint64) {
	out := f.unknown
	f.unknown = nil
	for _, o := range out {
		if o.entry <= last {
			o.leave()
		} else {
			o.beRefused()
		}
	}
}

// readLater reads the game after a pause, at once if a write was the last that has succeeded.
func (d *durable) readLater() {
	if d.pause == 0 {
		d.read()
	} else {
		time.AfterFunc(d.pause, func() { d.room.post(d.read) })
	}
	d.pause = min(max(2*d.pause, firstPause), mostPause)
}

func (d *durable) read() {
	if d.failed.ended { // it was destroyed meanwhile, or the server stops
		return
	}
	d.journal.Read(func(st Stored, err error) { d.room.post(func() { d.reread(st, err) }) })
}

// Pauses between two tries to read a game.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
)

// reread makes the game again of what is stored.
func (d *durable) reread(st Stored, err error) {
	r, f := d.room, d.failed
	if f.ended { // it was destroyed meanwhile
		return
	}
	if err != nil {
		d.readLater()
		return
	}
	if err := d.restore(st); err != nil {
		_, last, _ := st.newest() // 0 if that cannot be told
		f.resolve(last)           // what is there is done, also if it can only be looked at for now
		if r.told {
			f.ended, r.closed = true, true
			r.stopTimers()
			return
		}
		d.giveUp(err)
		return
	}
	if f.resolve(d.entry); f.ended { // that it was made, or closed, is not there
		return
	}
	seated := d.seated
	d.seat(func(s Seated) Member { return seated[s.User] })
	d.open(seated)
	for _, p := range f.seats {
		d.present(p)
	}
	r.logger.Debug("a durable game is back", "entry", d.entry)
}

// startAgain makes a game of what is stored when the room opens. A game that does something else than its journal says is no error:
// it can be looked at.
// Who has a seat has it when opened is told.
func (d *durable) startAgain(st Stored, opened func(error)) {
	r := d.room
	reseat := r.cfg.Reseat
	if reseat == nil {
		reseat = func(Seated) Member { return nil }
	}
	err := d.restore(st)
	d.seat(reseat)
	if err == nil {
		opened(nil)
		d.open(nil)
		return
	}
	if r.game != nil {
		opened(nil)
		d.giveUp(err)
		return
	}
	opened(err) // who is told logs it
	d.beUnplayable(err)
	d.failed.ended, r.closed = true, true
	r.tellEnd()
}

// giveUp leaves the game as something to be looked at.
func (d *durable) giveUp(err error) {
	text := "a durable game could not be made again, and is open for reading only"
	if diverged := (*DivergedError)(nil); errors.As(err, &diverged) { // else no save helps
		text += ": run it with the code that has written its journal, or have games go on from their newest saves (--divergence from-save)"
	}
	d.room.logger.Error(text, "err", err)
	d.beUnplayable(err)
}

// beUnplayable has nothing written any more behind what is stored.
func (d *durable) beUnplayable(err error) {
	r := d.room
	d.failed = &failure{why: &UnplayableError{err}}
	d.dismiss()
	r.stopTimers()
	r.closed = false
	if r.game != nil {
		info := r.line()
		r.info.Store(&info)
	}
	r.stale.Store(false)
}

// restore makes the game again of what is stored. If it does something else than its journal says it goes on from the newest save, if that is
// wanted.
func (d *durable) restore(st Stored) error {
	err := d.replay(st)
	var diverged *DivergedError
	if d.room.cfg.Divergence != FromSave || !errors.As(err, &diverged) {
		return err
	}
	again, last, err := st.newest()
	if err != nil {
		return err
	}
	return d.goOnFrom(again, last, diverged)
}

// goOnFrom goes on from a save behind the last entry of the journal, from which on nothing is dropped.
func (d *durable) goOnFrom(s Save, last uint64, diverged *DivergedError) error {
	d.replaying = true
	err := d.makeAgain(s)
	d.replaying = false
	if err != nil {
		return err
	}
	d.room.timers.atWork = false
	if f := d.failed; f != nil {
		if f.resolve(s.Entry); f.ended { // what is undone is not done, though it is there; but who has closed the game has it closed
			return nil
		}
	}
	d.room.logger.Error("a durable game does something else than its journal says, and goes on from its newest save: what was done since is undone. "+
		"It stays in the journal, which is kept from now on, with all that follows",
		"err", diverged, "save", s.Entry, "undone from", s.Entry+1, "to", last)
	d.entry, d.undone = last, true
	d.enter()
	d.end(&entry{kind: entryBegin, begin: s})
	return nil
}

// seat gives those their seats in a game that was made again of whom it is known who they are.
func (d *durable) seat(reseat func(Seated) Member) {
	d.seated = make(map[string]Member)
	for _, s := range d.room.seats {
		if m := reseat(d.seatedAs(s)); m != nil {
			s.member, s.answers = m, nil
			d.seated[s.user] = m
		}
	}
}

// open goes on with a game that was made again. Who was in it before, and has no seat in what is stored, is not any more. Users whom nobody has the
// seats of leave.
func (d *durable) open(before map[string]Member) {
	r := d.room
	d.failed = nil
	for user, m := range before {
		if d.seated[user] == nil {
			r.cfg.Left(m)
		}
	}
	if r.closed { // as it has done before what was read is told of
		r.tellEnd()
		return
	}
	d.beLate(d.elapsed(), entryOpen)
	for _, s := range slices.Clone(r.seats) {
		if s.member != nil && d.seated[s.user] == nil {
			d.begin()
			r.remove(s)
			d.end(&entry{kind: entryLeave, user: s.user})
		}
	}
}
