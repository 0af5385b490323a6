package room

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"math/rand/v2"
	"time"

	"parlor"
)

// durable is what a room has beside the rest if its game is durable. It belongs to the room's goroutine.
//
// The game sees a clock that moves only with what is in the journal: an entry has its time, and a timer that of which it was due.
// What it says waits in the outbox for the entry to be on disk, while the room goes on.
type durable struct {
	room    *Room
	journal Journal
	began   time.Time     // when the clock was 0
	clock   time.Duration // in whole microseconds
	ticks   uint64        // timers fired so far
	source  *source
	undone  bool // what was undone is in the journal, from which nothing is dropped any more

	entry   uint64 // the last one
	batch   []byte // entries that are not handed to the journal yet
	first   uint64 // of these
	marks   marks
	inEntry bool      // what happens now is of the next entry
	said    bool      // something was said in it
	sum     hash.Hash // of what was said in it
	summed  bool      // sum is not empty
	scratch []byte

	replaying bool
	remaking  bool                   // the game is being made of a save
	heard     func(Said)             // of who replays; may be nil
	answered  func(*parlor.Response) // likewise

	writes uint64 // handed to the journal
	done   uint64 // of these those that are on disk
	outbox []output
	paused bool // timers wait, as too much waits in the outbox

	saving     bool              // since there are enough entries
	saved      uint64            // the entry of the last save that was handed to the journal
	tried      uint64            // the entry of the last one that was made, and may have been refused
	savedTicks uint64            // timers fired until then
	savedSize  int               // of the last one that was made, in bytes
	grown      int               // bytes of the journal since a save was made
	seated     map[string]Member // users, as the lobby was told
	failed     *failure          // the game cannot be played now
	pause      time.Duration     // before the next try to make it again
}

// source is a random source that counts.
type source struct {
	rand.PCG
	draws uint64
}

// Uint64 draws a number.
func (s *source) Uint64() uint64 {
	s.draws++
	return s.PCG.Uint64()
}

// newDurable is for a room whose game may turn out to be durable.
func newDurable(r *Room) *durable {
	d := &durable{
		room: r, journal: r.cfg.Journal, seated: make(map[string]Member),
		began: r.cfg.Now().UTC().Truncate(time.Microsecond), source: new(source), sum: sha256.New(),
	}
	d.source.Seed(r.cfg.Seed[0], r.cfg.Seed[1])
	return d
}

// wanted tells whether the game says that it is durable.
func (d *durable) wanted() (is bool) {
	if g, ok := d.room.game.(parlor.Durable); ok {
		d.aside(func() { d.room.guard("durable", func() { is = g.Durable() }) })
	}
	return is
}

// start makes a new game, and answers when that is stored, or makes again what is.
func (d *durable) start(opened func(error)) {
	r := d.room
	if st := r.cfg.Stored; st != nil {
		r.cfg.Stored, r.cfg.Save = nil, "" // they may be large
		d.startAgain(*st, opened)
		return
	}
	begin := Save{Version: r.cfg.SaveVersion, Data: r.cfg.Save, Room: d.state(true)}
	r.cfg.Save = "" // likewise
	if err := r.make(begin); err != nil || r.durable == nil {
		opened(err)
		return
	}
	d.enter()
	d.end(&entry{kind: entryBegin, begin: begin})
	d.say(func() { opened(nil) }, func() {
		d.failed.ended = true
		r.end()
		r.tellEnd() // also if it had ended already, which was to be told when that was stored
		opened(ErrNotStored)
	})
}

// elapsed is the time that has passed on the room's clock, if it were to move on now.
func (d *durable) elapsed() time.Duration {
	return max(d.room.sinceBegan().Truncate(time.Microsecond), d.clock)
}

// begin begins an entry of now: timers that are due by then are fired first.
func (d *durable) begin() {
	t := d.elapsed()
	if d.late(t) {
		d.beLate(t, entryLate)
	}
	d.enter()
	d.moveTo(t)
}

// enter begins an entry.
func (d *durable) enter() {
	d.inEntry, d.said = true, false
	if d.summed {
		d.sum.Reset()
		d.summed = false
	}
}

// moveTo moves the clock on.
func (d *durable) moveTo(t time.Duration) {
	d.fire(t, math.MaxUint64)
	d.clock = t
}

// beLate makes an entry of timers that are too late to make up for: entryLate, or entryOpen.
func (d *durable) beLate(t time.Duration, kind entryKind) {
	fired := d.ticks
	d.enter()
	d.catchUp(t, fired+mostMadeUp)
	d.end(&entry{kind: kind, fired: fired, madeUp: min(d.ticks, fired+mostMadeUp)})
}

// mostMadeUp is how many calls of timers that are too late are made up for, each at its own time: a timer that always sets the next one, every 10 ms,
// would otherwise be called 60 million times after a week in which the server did not run, and all that is said then would be in memory.
const mostMadeUp = 10_000

// catchUp moves the clock on over timers that are too late. They are made up for until so many were fired since the beginning; what is left of them
// is called at the time that it is.
func (d *durable) catchUp(t time.Duration, ticks uint64) {
	d.moveOn(t)
	d.fire(t, ticks)
	d.clock = t
	d.moveOn(t) // of those that were set meanwhile
	d.moveTo(t)
}

// end makes the entry.
func (d *durable) end(e *entry) {
	d.inEntry = false
	if len(d.batch) == 0 {
		d.first, d.marks = d.entry+1, marks{}
	}
	d.entry++
	e.time, e.ticks, e.draws = d.clock, d.ticks, d.source.draws
	e.spoke, e.said = d.sumUp()
	d.batch = d.marks.append(d.batch, e)
}

// endQuietly makes an entry only if something was said.
func (d *durable) endQuietly() {
	if d.said {
		d.end(&entry{kind: entryTick})
	}
	d.inEntry = false
}

// tick is the room's, when the alarm has gone off. Timers that say nothing leave no entry.
func (d *durable) tick() {
	switch {
	case d.failed != nil || d.room.closed:
		return
	case len(d.outbox) >= mostWaiting:
		d.paused = true
		return
	}
	if t := d.elapsed(); d.late(t) {
		d.beLate(t, entryLate)
	} else {
		d.enter()
		d.fire(t, math.MaxUint64)
		if d.said {
			d.clock = t
		}
		d.endQuietly()
	}
	d.room.setAlarm(d.room.sinceBegan())
}

// mostLate is how far timers may be behind before not all of their times are made up for.
const mostLate = time.Second

// late tells whether a timer is too far behind its time.
func (d *durable) late(t time.Duration) bool {
	q := d.room.timers.queue
	return len(q) > 0 && t-q[0].due > mostLate
}

// moveOn leaves out the times of repeated timers that have passed, but for the last of each.
func (d *durable) moveOn(t time.Duration) {
	q := &d.room.timers.queue
	for _, timer := range *q {
		if timer.interval <= 0 || timer.due >= t {
			continue
		}
		n := (t - timer.due) / timer.interval
		timer.due += n * timer.interval
		if !d.replaying && n > 0 {
			d.room.stats.Late.Add(int64(n))
		}
	}
	heap.Init(q)
}

// fire calls the timers that are due by then, each at its own time, until so many were fired since the beginning.
func (d *durable) fire(t time.Duration, ticks uint64) {
	ts := &d.room.timers
	ts.atWork = true
	for len(ts.queue) > 0 && ts.queue[0].due <= t && d.ticks < ticks {
		timer := heap.Pop(&ts.queue).(*timer)
		d.clock = max(d.clock, timer.due)
		d.ticks++
		if timer.interval == 0 {
			d.room.drop(timer)
		}
		d.room.guard(timer.hook, timer.call)
		if timer.live {
			timer.due += timer.interval
			heap.Push(&ts.queue, timer)
		}
	}
	if !d.replaying {
		ts.atWork = false
		d.room.setAlarm(d.room.sinceBegan())
	}
}

// push takes a push of the game into the entry, and has it leave; user is empty for one to all.
func (d *durable) push(user string, p *parlor.Push, to []Member) {
	d.add('p', user, p.Message, p.Payload.JSON())
	if d.heard != nil {
		d.heard(Said{User: user, Push: p})
	}
	if !d.replaying {
		d.room.stats.Pushes.Add(int64(len(to)))
	}
	d.say(func() {
		for _, m := range to {
			m.Push(p)
		}
	}, nil)
}

// answers takes an answer of the game into the entry.
func (d *durable) answers(r *parlor.Response) {
	d.add(byte(r.Status), "", r.Message, r.Payload.JSON())
}

func (d *durable) add(what byte, user, message string, payload []byte) {
	b := append(d.scratch[:0], what)
	b = appendText(appendText(b, user), message)
	b = append(binary.AppendUvarint(b, uint64(len(payload))), payload...)
	d.sum.Write(b)
	d.summed, d.scratch = true, b[:0]
	if cap(b) > mostScratch {
		d.scratch = nil
	}
}

// mostScratch is how much memory is kept for what is added to the sum.
const mostScratch = 4096

// sumUp is the hash of what was said in the entry, if there is any.
func (d *durable) sumUp() (spoke bool, said [saidSize]byte) {
	if d.summed {
		d.scratch = d.sum.Sum(d.scratch[:0])
		copy(said[:], d.scratch)
	}
	return d.summed, said
}

// aside is durable.aside of a game that may be durable.
func (r *Room) aside(look func()) {
	if r.durable != nil {
		r.durable.aside(look)
	} else {
		look()
	}
}

// aside calls what looks at the game and must not change it, as it is not done again: what it draws from the random source is put back.
func (d *durable) aside(look func()) {
	before := *d.source
	look()
	*d.source = before
}
