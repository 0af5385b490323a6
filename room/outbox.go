package room

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"parlor"
)

// output is something that waits for a write.
type output struct {
	write  uint64
	entry  uint64 // that it follows from; there it is stored
	do     func()
	refuse func() // in place of do, if it failed; may be nil
	reply  *reply // in place of both: most of what waits are answers to packets
}

func (o *output) leave() {
	if o.reply != nil {
		o.reply.leave()
	} else {
		o.do()
	}
}

func (o *output) beRefused() {
	switch {
	case o.reply != nil:
		o.reply.beRefused()
	case o.refuse != nil:
		o.refuse()
	}
}

// reply is the answer to a packet.
type reply struct {
	room    *Room
	from    Member
	seat    *seat // whose answer it is
	request uint64
	resp    parlor.Response
	err     error // in place of a response, and of a refusal
}

func (a *reply) leave() {
	if a.err == nil {
		a.seat.given(a.request)
	}
	a.room.packets.Add(-1)
	a.from.Answer(a.resp, a.err)
}

func (a *reply) beRefused() {
	d := a.room.durable
	if a.err != nil && !d.failed.ended { // what has taken her out, or closed the room, is not stored either
		a.err = nil
	}
	if a.err == nil {
		a.resp = parlor.Unexpected(d.refusal())
	}
	a.room.packets.Add(-1)
	a.from.Answer(a.resp, a.err)
}

// mostKept is for how many there is space left in an outbox that is empty.
const mostKept = 64

// mostWaiting is how much may wait in the outbox before the timers of the game wait too. Packets are bounded by Config.Mailbox, as they count
// until they are answered.
const mostWaiting = 10_000

// say has something leave the room: when what it follows from is on disk. If that fails, refuse is called instead.
func (d *durable) say(do, refuse func()) { d.put(output{do: do, refuse: refuse}) }

func (d *durable) put(o output) {
	if d.replaying {
		return
	}
	d.said = true
	o.write = d.writes
	if d.inEntry || len(d.batch) > 0 {
		o.write++
	}
	if o.write <= d.done {
		o.leave()
		return
	}
	o.entry = d.entry
	if d.inEntry {
		o.entry++
	}
	d.outbox = append(d.outbox, o)
}

// flush hands what the room has done since the last time to the journal.
func (d *durable) flush() {
	if len(d.batch) == 0 {
		return
	}
	write := d.nextWrite()
	d.journal.Append(d.first, d.entry, bytes.Clone(d.batch), d.written(write))
	d.grown += len(d.batch)
	if d.batch = d.batch[:0]; cap(d.batch) > mostScratch {
		d.batch = nil
	}
	many := d.entry >= max(d.saved, d.tried)+uint64(d.room.cfg.SaveEvery)
	if large := d.grown >= max(mostGrown, d.savedSize); (many || large) && !d.saving {
		d.saving = true
		d.save(func(error) { d.saving = false })
	}
}

// mostGrown is how many bytes a journal grows by before the game is saved, unless its save is larger yet: all of it is in memory when the game is made
// again.
const mostGrown = 4 << 20

func (d *durable) nextWrite() uint64 {
	d.writes++
	return d.writes
}

func (d *durable) written(write uint64) func(error) {
	return func(err error) { d.room.post(func() { d.wrote(write, err) }) }
}

// wrote is told of each write, in order.
func (d *durable) wrote(write uint64, err error) {
	if write <= d.done { // of before the room went back to what is stored
		return
	}
	if err != nil {
		d.fail(err)
		return
	}
	d.done, d.pause = write, 0
	n := 0
	for ; n < len(d.outbox) && d.outbox[n].write <= write; n++ {
		o := d.outbox[n] // what leaves may put more behind
		o.leave()
	}
	if d.outbox = slices.Delete(d.outbox, 0, n); len(d.outbox) == 0 && cap(d.outbox) > mostKept {
		d.outbox = nil
	}
	if d.paused && len(d.outbox) < mostWaiting {
		d.paused = false
		d.tick()
	}
}

// save saves the game, unless it has nothing new, or gives an empty save: then all is in the journal.
func (d *durable) save(done func(error)) {
	r := d.room
	defer r.inVain()()
	d.tried, d.grown = d.entry, 0
	saver, saves := r.game.(parlor.Saver)
	switch {
	case d.failed != nil && d.failed.why != nil: // what is stored is all that has come of it
		done(nil)
		return
	case d.failed != nil && !d.failed.ended:
		done(ErrNotStored)
		return
	case r.closed:
		d.say(func() { done(ErrClosed) }, func() { done(ErrClosed) })
		return
	case !saves || d.entry == d.saved && d.ticks == d.savedTicks:
		d.say(func() { done(nil) }, func() { done(ErrNotStored) })
		return
	}
	s := Save{Version: r.versionOfSaves(), Entry: d.entry, Keep: d.undone || r.cfg.KeepJournal}
	ok := true
	d.aside(func() { ok = r.guard("save", func() { s.Data = saver.SaveString() }) })
	if !ok {
		done(fmt.Errorf("save game %q: the hook panicked", r.cfg.Name))
		return
	}
	d.savedSize = len(s.Data) // also of one that is refused, so that it is not tried more often
	if s.Data == "" {         // there is none: a game that was made of it would be a new one
		d.say(func() { done(nil) }, func() { done(ErrNotStored) })
		return
	}
	if r.cfg.MaySave != nil {
		if err := r.cfg.MaySave(len(s.Data)); err != nil {
			done(err)
			return
		}
	}
	s.Room = d.state(false)
	d.saved, d.savedTicks, d.savedSize = s.Entry, d.ticks, len(s.Data)+len(s.Room)
	d.flush()
	write := d.nextWrite()
	d.outbox = append(d.outbox, output{write: write, entry: math.MaxUint64, do: func() { done(nil) }, refuse: func() { done(ErrNotStored) }})
	d.journal.Save(s, d.written(write))
}

// refresh brings the line for the directory up to date, when all that it may tell is stored.
func (d *durable) refresh(done func()) {
	if d.failed != nil {
		done()
		return
	}
	r := d.room
	var info string
	d.aside(func() { info = r.line() })
	r.stale.Store(false) // what happens from now on is not in it
	d.say(func() {
		r.info.Store(&info)
		done()
	}, func() {
		r.stale.Store(true)
		done()
	})
}
