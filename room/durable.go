package room

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"parlor"
)

// Journal is where a room writes what its game must not lose. Its methods may be called concurrently, and do not block. Their
// callbacks come on any goroutine, in the order of the calls.
type Journal interface {
	// Append writes the entries from first to last, behind those before. Done is told when they are on disk. An error means that
	// they are not; all that is written later fails too then, until Read is called.
	Append(first, last uint64, entries []byte, done func(error))
	// Save writes a save behind what was appended before.
	Save(s Save, done func(error))
	// Read gives what is stored: the newest save and the entries behind it.
	Read(done func(Stored, error))
}

// Save is a durable game's state, up to an entry of its journal.
type Save struct {
	Entry   uint64 // the last one that is in it; 0: the game is new
	Version int    // the game's, of Data
	Data    string // what the game gave; empty for a new game
	Room    []byte // the room's own state
}

// Stored is what a durable game is made of again.
type Stored struct {
	Save   Save
	Pieces []Piece // in order; those at the beginning may be in the save already
}

// Piece is a run of entries, as Append was given them.
type Piece struct {
	First   uint64
	Entries []byte
}

// ErrNotStored is what those are told whose requests of a durable game could not be stored. Nothing has come of them.
var ErrNotStored = errors.New("it could not be stored")

// textNotStored is what users are answered then.
const textNotStored = "The server could not store this. Please try again later."

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
	source  source

	entry     uint64 // the last one
	batch     []byte // entries that are not handed to the journal yet
	first     uint64 // of these
	marks     marks
	inEntry   bool // what happens now is of the next entry
	said      bool // something was said in it
	replaying bool
	remaking  bool            // the game is being made of a save
	replayed  parlor.Response // the last answer of a replay

	writes uint64 // handed to the journal
	done   uint64 // of these those that are on disk
	outbox []output

	saving bool              // since there are enough entries
	saved  uint64            // the entry of the last save that was handed to the journal
	seated map[string]Member // users, as the lobby was told
	failed *failure          // the journal has failed, and the game is to be read again
}

// output is something that waits for a write.
type output struct {
	write  uint64
	do     func()
	refuse func() // in place of do, if it failed; may be nil
}

// failure is what comes to a room while it has no game.
type failure struct {
	left  map[string]bool      // users who are to leave
	seats map[string]*presence // where the others are by now
	pause time.Duration        // before the next try
	why   error                // there is no next one
	ended bool                 // the room was closed
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

// elapsed is the time that has passed on the room's clock, if it were to move on now.
func (d *durable) elapsed() time.Duration {
	return max(d.room.sinceBegan().Truncate(time.Microsecond), d.clock)
}

// begin begins an entry of now: timers that are due by then are fired first.
func (d *durable) begin() {
	t := d.elapsed()
	if d.lateBy(t) > mostLate {
		d.beLate(t, entryLate)
	}
	d.beginAt(t)
}

// beginAt is begin for a time.
func (d *durable) beginAt(t time.Duration) {
	d.inEntry, d.said = true, false
	d.fire(t, math.MaxUint64)
	d.clock = t
}

// beLate makes an entry of timers that are too late to make up for: entryLate, or entryOpen.
func (d *durable) beLate(t time.Duration, kind entryKind) {
	fired := d.ticks
	d.inEntry = true
	d.moveOn(t)
	d.beginAt(t)
	d.end(&entry{kind: kind, fired: fired})
}

// end makes the entry.
func (d *durable) end(e *entry) {
	d.inEntry = false
	if d.replaying {
		return
	}
	if len(d.batch) == 0 {
		d.first, d.marks = d.entry+1, marks{}
	}
	d.entry++
	e.time, e.ticks, e.draws = d.clock, d.ticks, d.source.draws
	d.batch = d.marks.append(d.batch, e)
}

// mostLate is how far timers may be behind before those that are repeated are not made up for.
const mostLate = time.Second

// lateBy is how far the repeated timer that is the most late is behind its time.
func (d *durable) lateBy(t time.Duration) (late time.Duration) {
	for _, timer := range d.room.timers.queue {
		if timer.interval > 0 {
			late = max(late, t-timer.due)
		}
	}
	return late
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
	ts.atWork = d.replaying
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
	if d.failed != nil {
		return
	}
	if t := d.elapsed(); d.lateBy(t) > mostLate {
		d.beLate(t, entryLate)
	} else {
		d.inEntry, d.said = true, false
		d.fire(t, math.MaxUint64)
		if d.said {
			d.clock = t
		}
		d.endQuietly()
	}
	d.room.setAlarm(d.room.sinceBegan())
}

// say has something leave the room: when what it follows from is on disk. If that fails, refuse is called instead.
func (d *durable) say(do, refuse func()) {
	if d.replaying {
		return
	}
	d.said = true
	write := d.writes
	if d.inEntry || len(d.batch) > 0 {
		write++
	}
	if write <= d.done {
		do()
		return
	}
	d.outbox = append(d.outbox, output{write, do, refuse})
}

// flush hands what the room has done since the last time to the journal.
func (d *durable) flush() {
	if len(d.batch) == 0 {
		return
	}
	if d.entry-d.saved >= uint64(d.room.cfg.SaveEvery) && !d.saving {
		d.saving = true
		defer d.save(func(error) { d.saving = false })
	}
	d.writes++
	write := d.writes
	d.journal.Append(d.first, d.entry, d.batch, func(err error) { d.room.post(func() { d.wrote(write, err) }) })
	d.batch = nil
}

// wrote is told of each write, in order.
func (d *durable) wrote(write uint64, err error) {
	if write <= d.done || d.failed != nil { // of before the room went back to what is stored
		return
	}
	if err != nil {
		d.fail(err)
		return
	}
	d.done = write
	n := 0
	for n < len(d.outbox) && d.outbox[n].write <= write {
		n++
	}
	out := d.outbox[:n]
	d.outbox = d.outbox[n:]
	for i := range out {
		out[i].do()
		out[i] = output{}
	}
}

// packets has the game answer packets of a member.
func (d *durable) packets(ps []parlor.Packet, numbers []uint64, from Member) {
	r := d.room
	for i := range ps {
		p := &ps[i]
		closed := func() {
			r.packets.Add(-1)
			from.Answer(parlor.Response{}, ErrClosed)
		}
		refuse := func() {
			r.packets.Add(-1)
			from.Answer(parlor.Unexpected(d.refusal()), nil)
		}
		if d.failed != nil {
			refuse()
			continue
		}
		if r.seatFor(p.Username, from) == nil {
			d.say(closed, closed)
			continue
		}
		d.begin()
		s := r.seatFor(p.Username, from)
		if s == nil { // a timer has ended the game
			d.endQuietly()
			d.say(closed, closed)
			continue
		}
		resp := r.answer(s, p)
		e := entry{kind: entryPacket, user: p.Username, packet: *p, answer: hashOf(&resp)}
		if i < len(numbers) {
			e.number = numbers[i]
		}
		d.end(&e)
		d.say(func() {
			r.packets.Add(-1)
			from.Answer(resp, nil)
		}, refuse)
	}
}

// refusal is what users are told whose requests cannot be taken now.
func (d *durable) refusal() string {
	if d.failed != nil && d.failed.why != nil {
		return "This game cannot be played any more: " + d.failed.why.Error()
	}
	return textNotStored
}

// join is Room.Join's, on the room's goroutine.
func (d *durable) join(user string, m Member, done func(Joined, error)) {
	r := d.room
	if d.failed != nil {
		done(Joined{}, ErrNotStored)
		return
	}
	d.begin()
	j, err := r.join(user, m)
	if err == nil || errors.Is(err, ErrJoinFailed) {
		d.end(&entry{kind: entryJoin, user: user, session: sessionOf(m)})
	} else {
		d.endQuietly()
	}
	d.say(func() {
		if err == nil {
			d.seated[user] = m
		}
		done(j, err)
	}, func() { done(Joined{}, ErrNotStored) })
}

// leave is Room.Leave's. Nobody is kept in the room who has gone: if it cannot be stored now, she leaves when it can.
func (d *durable) leave(user string, m Member, done func()) {
	r := d.room
	later := func() {
		if d.seated[user] == m {
			d.failed.left[user] = true
		}
		done()
	}
	if d.failed != nil {
		later()
		return
	}
	if r.seatFor(user, m) == nil {
		d.say(done, done)
		return
	}
	d.begin()
	d.endLeave(user, m)
	d.say(done, later)
}

func (d *durable) endLeave(user string, m Member) {
	s := d.room.seatFor(user, m)
	if s == nil {
		d.endQuietly()
		return
	}
	d.room.remove(s)
	d.end(&entry{kind: entryLeave, user: user})
}

// left tells the lobby that a user is gone.
func (d *durable) left(user string, m Member) {
	d.say(func() {
		if d.seated[user] == m {
			delete(d.seated, user)
		}
		d.room.cfg.Left(m)
	}, nil)
}

// present tells the game where a member is.
func (d *durable) present(p *presence) {
	if d.failed != nil {
		if d.seated[p.user] == p.member {
			d.failed.seats[p.user] = p
		}
		return
	}
	s := d.room.seatFor(p.user, p.member)
	if s == nil || s.away == p.away && !p.missed {
		return
	}
	d.begin()
	if s = d.room.seatFor(p.user, p.member); s == nil {
		d.endQuietly()
		return
	}
	d.room.presentSeat(s, p.away, p.missed)
	kind := entryBack
	switch {
	case p.away:
		kind = entryAway
	case p.missed:
		kind = entryMissed
	}
	d.end(&entry{kind: kind, user: p.user})
}

// drain tells the game that the server is about to stop.
func (d *durable) drain(deadline time.Time, done func()) {
	if d.failed != nil || d.room.closed {
		done()
		return
	}
	d.begin()
	end := deadline.Sub(d.began).Truncate(time.Microsecond)
	d.room.drainBy(d.began.Add(end))
	d.end(&entry{kind: entryDrain, end: end})
	d.say(done, done)
}

// close takes every user out and ends the room.
func (d *durable) close(done func()) {
	if d.failed != nil {
		d.failed.ended = true
		d.room.end()
		for _, m := range d.seated {
			d.room.cfg.Left(m)
		}
		clear(d.seated)
		done()
		return
	}
	if d.room.closed {
		d.say(done, done)
		return
	}
	d.begin()
	d.room.closeNow()
	d.end(&entry{kind: entryClose})
	d.say(done, done)
}

// fail takes the game away until it is read again. All that waits to be stored is refused.
func (d *durable) fail(err error) {
	r := d.room
	r.logger.Error("a durable game could not be stored: it goes back to what is", "entry", d.entry, "err", err)
	d.failed = &failure{left: make(map[string]bool), seats: make(map[string]*presence)}
	r.stopTimers()
	out := d.outbox
	d.outbox, d.batch, d.done = nil, nil, d.writes
	for _, o := range out {
		if o.refuse != nil {
			o.refuse()
		}
	}
	d.read()
}

func (d *durable) read() {
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
		f.pause = min(max(2*f.pause, firstPause), mostPause)
		time.AfterFunc(f.pause, d.read)
		return
	}
	if err := d.replay(st); err != nil {
		r.logger.Error("a durable game could not be made again", "err", err)
		f.why = err
		return
	}
	d.failed = nil
	seated := d.seated
	d.open(func(user, _ string) Member {
		if f.left[user] {
			return nil
		}
		return seated[user]
	})
	for _, p := range f.seats {
		d.present(p)
	}
	r.logger.Info("a durable game is back", "entry", d.entry)
}

// open goes on with a game behind a replay. Reseat gives the member that has a user's seat now; users without one leave.
func (d *durable) open(reseat func(user, session string) Member) {
	r := d.room
	seated := d.seated
	d.seated = make(map[string]Member)
	for _, s := range r.seats {
		if m := reseat(s.user, sessionOf(s.member)); m != nil {
			s.member = m
			d.seated[s.user] = m
		}
	}
	for user, m := range seated {
		if d.seated[user] == nil && r.seatOf[user] == nil {
			r.cfg.Left(m)
		}
	}
	if r.closed { // as it has done before what was read is told of
		r.cfg.Ended()
		return
	}
	d.beLate(d.elapsed(), entryOpen)
	for _, s := range slices.Clone(r.seats) {
		if s.member != nil && d.seated[s.user] == nil {
			d.begin()
			d.endLeave(s.user, s.member)
		}
	}
	r.setAlarm(r.sinceBegan())
}

// put hands a save to the journal, behind all entries.
func (d *durable) put(s Save, done func(error)) {
	d.flush()
	d.writes++
	write := d.writes
	d.outbox = append(d.outbox, output{write, func() { done(nil) }, func() { done(ErrNotStored) }})
	d.saved = s.Entry
	d.journal.Save(s, func(err error) { d.room.post(func() { d.wrote(write, err) }) })
}

// save saves the game, unless it has nothing new.
func (d *durable) save(done func(error)) {
	r := d.room
	saver, saves := r.game.(parlor.Saver)
	switch {
	case d.failed != nil:
		done(ErrNotStored)
		return
	case r.closed:
		d.say(func() { done(ErrClosed) }, func() { done(ErrClosed) })
		return
	case !saves || d.entry == d.saved:
		d.say(func() { done(nil) }, func() { done(ErrNotStored) })
		return
	}
	var save string
	if !r.guard("save", func() { save = saver.SaveString() }) {
		done(fmt.Errorf("save game %q: the hook panicked", r.cfg.Name))
		return
	}
	s := Save{Entry: d.entry, Data: save, Room: d.state(false)}
	if v, ok := r.game.(parlor.Versioner); ok {
		r.guard("save version", func() { s.Version = v.SaveVersion() })
	}
	d.put(s, done)
}

// refresh brings the line for the directory up to date, when all that it may tell is stored.
func (d *durable) refresh(done func()) {
	if d.failed != nil {
		done()
		return
	}
	r := d.room
	info := r.line()
	r.stale.Store(false) // what happens from now on is not in it
	d.say(func() {
		r.info.Store(&info)
		done()
	}, func() {
		r.stale.Store(true)
		done()
	})
}

// hashOf is what is kept of an answer.
func hashOf(r *parlor.Response) (short [answerSize]byte) {
	h := sha256.New()
	var head [17]byte
	binary.BigEndian.PutUint64(head[:], uint64(r.Status))
	binary.BigEndian.PutUint64(head[8:], uint64(len(r.Message)))
	if r.Disconnecting {
		head[16] = 1
	}
	h.Write(head[:])
	h.Write([]byte(r.Message))
	h.Write(r.Payload.JSON())
	copy(short[:], h.Sum(nil))
	return short
}

// DivergedError means that a game, given the same as in its journal, did something else: its code has changed, or it uses what is not
// the room's own, such as the clock of the machine, or the order of a map.
type DivergedError struct {
	Game  string
	Entry uint64
	What  string
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("game %q does not do again what its journal says, from entry %d on: %s", e.Game, e.Entry, e.What)
}

// sessionOf names the session of a member, for a journal; empty if it has no name.
func sessionOf(m Member) string {
	if s, ok := m.(interface{ Session() string }); ok {
		return s.Session()
	}
	return ""
}

// newDurable is for a room whose game may turn out to be durable.
func newDurable(r *Room) *durable {
	d := &durable{room: r, journal: r.cfg.Journal, seated: make(map[string]Member), began: r.cfg.Now().Truncate(time.Microsecond)}
	d.source.Seed(r.cfg.Seed[0], r.cfg.Seed[1])
	return d
}

// wanted tells whether the game says that it is durable.
func (d *durable) wanted() (is bool) {
	if g, ok := d.room.game.(parlor.Durable); ok {
		d.room.guard("durable", func() { is = g.Durable() })
	}
	return is
}

// start makes the game, or makes it again, and answers when that is stored.
func (d *durable) start(opened func(error)) {
	r := d.room
	if r.cfg.Stored != nil {
		err := d.replay(*r.cfg.Stored)
		r.cfg.Stored = nil // it may be large
		if err != nil {    // nothing may be written behind what is stored
			d.failed = &failure{why: err, left: make(map[string]bool), seats: make(map[string]*presence)}
			r.stopTimers()
		} else {
			reseat := r.cfg.Reseat
			if reseat == nil {
				reseat = func(string, string) Member { return nil }
			}
			d.open(reseat)
		}
		opened(err)
		return
	}
	first := d.state(true)
	if err := r.make(r.cfg.Save); err != nil || r.durable == nil {
		opened(err)
		return
	}
	d.put(Save{Room: first, Data: r.cfg.Save}, func(err error) {
		if err != nil {
			r.end()
		}
		opened(err)
	})
}
