package memnet

import (
	"cmp"
	"slices"
	"time"
)

// Stream is one direction of a connection. Its methods act on what is written from then on; what has departed comes
// as it would have.
//
// What is written is held until it departs, which is at once unless the stream is stalled; then it is under way for
// the latency; then it is there to be read. Nothing runs for that: whoever reads or writes looks at the clock
// first (settle), and waits until the next time at which something happens by itself.
type Stream struct {
	from, to *Conn
	line     *line // its lock guards the fields below
	seed     uint64

	path Path

	buf      buffer    // what is there, under way and held, in this order
	there    int       // bytes
	underway int       // bytes
	held     int       // bytes; of a stream without a reader they are not in buf
	arrivals []arrival // of what is under way

	sent     int64 // bytes written
	taken    int64 // bytes read
	fragment int   // bytes that may be read before the next break

	free  time.Time // when the line can take the next byte
	last  time.Time // when the last of what has departed arrives
	slow  time.Time // when the reader reads on
	until time.Time // when the stall ends; the zero time is none

	stalled  bool
	busy     bool      // a write is under way: others wait for their turn
	finished bool      // the writer is through: the end follows what is held
	aborted  bool      // a reset follows what is held
	end      time.Time // when the end arrives; the zero time is before it has departed
	deserted bool      // the reader is gone: what arrives is answered by a reset
	swallows bool      // all is lost from here on
	over     bool      // nothing departs any more: it swallows, or its reader was reset

	writes []Write

	readers, writers signal
}

// arrival is when bytes that are under way will be there.
type arrival struct {
	n  int
	at time.Time
}

// Write is what was written by one call, also if it had to wait for room on the way.
type Write struct {
	Offset int64     // where it begins in the stream
	Bytes  []byte    // to be read only
	Time   time.Time // when the first of them were taken
}

// Sent is how many bytes were written so far.
func (s *Stream) Sent() int64 {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	return s.sent
}

// Received is how many of them were read.
func (s *Stream) Received() int64 {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	return s.taken
}

// Writes are all writes so far, if the path records them.
func (s *Stream) Writes() []Write {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	return slices.Clone(s.writes)
}

// Stall keeps what is written from now on, for this time, or until Release if that is 0.
func (s *Stream) Stall(d time.Duration) { s.change(func(now time.Time) { s.stall(now, d) }) }

// Release ends a stall.
func (s *Stream) Release() {
	s.change(func(now time.Time) {
		s.stalled = false
		s.depart(now)
	})
}

// Swallow loses what is held and what is written from now on, without a word to either side.
func (s *Stream) Swallow() { s.change(func(time.Time) { s.swallow() }) }

// Add adds faults. Those at bytes that have departed already happen now.
func (s *Stream) Add(faults ...Fault) {
	s.change(func(now time.Time) {
		s.path.Faults = append(s.path.Faults, faults...)
		s.order()
		s.depart(now)
	})
}

// SetPath changes what happens to bytes that depart from now on, and how they are read. Faults that have not happened
// are replaced.
func (s *Stream) SetPath(p Path) {
	s.change(func(now time.Time) {
		s.path = p.filled()
		s.order()
		s.depart(now)
	})
}

// change does something to a stream, and lets all who wait look at it.
func (s *Stream) change(do func(now time.Time)) {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	now := time.Now()
	s.line.settle(now)
	do(now)
	s.line.wake()
}

// The lock of the line is held in all that follows.

// order puts the faults into order.
func (s *Stream) order() {
	slices.SortStableFunc(s.path.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
}

// room is how many bytes can be written.
func (s *Stream) room() int {
	if s.over {
		return s.path.Buffer
	}
	return s.path.Buffer - s.there - s.underway - s.held
}

// put takes bytes from a write, for which there is room. first is set for the first of one.
func (s *Stream) put(b []byte, first bool, now time.Time) {
	if s.path.Record {
		s.record(b, first, now)
	}
	s.sent += int64(len(b))
	if s.over {
		return
	}
	s.held += len(b)
	if !s.deserted {
		s.buf.put(b)
	}
	s.depart(now)
	s.readers.wake()
}

// record remembers bytes of a write.
func (s *Stream) record(b []byte, first bool, now time.Time) {
	last := len(s.writes) - 1
	if first || last < 0 || s.writes[last].Offset+int64(len(s.writes[last].Bytes)) != s.sent {
		s.writes = append(s.writes, Write{Offset: s.sent, Time: now})
		last++
	}
	s.writes[last].Bytes = append(s.writes[last].Bytes, b...)
}

// settle does what was due by now.
func (s *Stream) settle(now time.Time) {
	for s.stalled && reached(s.until, now) {
		s.stalled = false
		s.depart(s.until)
	}
	n := 0
	for ; n < len(s.arrivals) && reached(s.arrivals[n].at, now); n++ {
		s.there += s.arrivals[n].n
		s.underway -= s.arrivals[n].n
	}
	s.arrivals = slices.Delete(s.arrivals, 0, n)
}

// depart sends what is held on its way, up to the next fault that keeps it.
func (s *Stream) depart(now time.Time) {
	for !s.stalled && !s.over {
		n := s.held
		if faults := s.path.Faults; len(faults) > 0 {
			left := faults[0].At - (s.sent - int64(s.held))
			if left <= 0 {
				s.path.Faults = faults[1:]
				s.happen(faults[0], now)
				continue
			}
			n = int(min(int64(n), left))
		}
		if n == 0 {
			s.leave(now)
			return
		}
		n = min(n, s.path.piece())
		at := s.travel(n, now)
		if s.deserted {
			s.forget()
			s.from.in.refuse(at)
			return
		}
		s.held -= n
		s.underway += n
		s.arrivals = append(s.arrivals, arrival{n, at})
	}
}

// leave sends the end and the reset behind all else, where they are due.
func (s *Stream) leave(now time.Time) {
	if s.finished && s.end.IsZero() {
		s.end = s.travel(0, now)
	}
	if s.aborted {
		s.refuse(now)
	}
}

// refuse answers what nobody reads by a reset, no sooner than at a time.
func (s *Stream) refuse(at time.Time) {
	switch {
	case s.swallows:
	case s.stalled:
		s.aborted = true
	default:
		s.to.reset(s.travel(0, at))
	}
}

// travel is when bytes arrive that depart at a time, or as soon as the line is free.
func (s *Stream) travel(n int, now time.Time) time.Time {
	at := later(now, s.free)
	if s.path.Bandwidth > 0 {
		at = at.Add(time.Duration(n) * time.Second / time.Duration(s.path.Bandwidth))
		s.free = at
	}
	at = at.Add(s.path.Latency)
	if s.path.Jitter > 0 {
		at = at.Add(time.Duration(s.chance(1, s.sent-int64(s.held)) % (uint64(s.path.Jitter) + 1)))
	}
	s.last = later(at, s.last)
	return s.last
}

// happen makes a fault happen.
func (s *Stream) happen(f Fault, now time.Time) {
	switch f.Do {
	case Reset:
		s.line.reset(later(now, s.last))
	case End:
		s.line.finish(now)
	case Stall:
		s.stall(now, f.For)
	case Swallow:
		s.swallow()
	}
	s.line.wake()
}

func (s *Stream) stall(now time.Time, d time.Duration) {
	s.stalled, s.until = true, time.Time{}
	if d > 0 {
		s.until = now.Add(d)
	}
}

// stalledUntil is when a stall ends, the zero time if it does not by itself.
func (s *Stream) stalledUntil() time.Time {
	if !s.stalled {
		return time.Time{}
	}
	return s.until
}

// forget loses what is held.
func (s *Stream) forget() {
	if !s.deserted {
		s.buf.truncate(s.there + s.underway)
	}
	s.held = 0
	s.writers.wake()
}

// drop loses what is held, and all that follows.
func (s *Stream) drop() {
	s.forget()
	s.over = true
}

func (s *Stream) swallow() {
	s.drop()
	s.swallows = true
}

// finish has the end follow what has departed. What is written later is answered by a reset.
func (s *Stream) finish(now time.Time) {
	if s.over {
		return
	}
	s.forget()
	s.stalled, s.deserted = false, true
	if s.end.IsZero() {
		s.end = s.travel(0, now)
	}
}

// cut loses also what would arrive after a time.
func (s *Stream) cut(at time.Time) {
	for n := len(s.arrivals) - 1; n >= 0 && s.arrivals[n].at.After(at); n-- {
		s.underway -= s.arrivals[n].n
		s.arrivals = s.arrivals[:n]
	}
	if s.end.After(at) {
		s.end = time.Time{}
	}
	if s.deserted {
		s.forget() // and the writer learns that nobody reads
		return
	}
	s.drop()
}

// desert is the end of the reader. It tells whether something is there that was not read, and when the next will come.
func (s *Stream) desert() (unread bool, coming time.Time) {
	unread = s.there > 0
	if s.underway > 0 {
		coming = s.arrivals[0].at
	}
	s.buf, s.arrivals = buffer{}, nil
	s.there, s.underway = 0, 0
	s.deserted = true
	s.writers.wake()
	return unread, coming
}

// take reads what is there.
func (s *Stream) take(b []byte, now time.Time) int {
	n := min(len(b), s.there)
	if s.path.Fragment > 0 {
		if s.fragment == 0 {
			s.fragment = 1 + int(s.chance(2, s.taken)%uint64(s.path.Fragment))
		}
		n = min(n, s.fragment)
		s.fragment -= n
	}
	s.buf.take(b[:n])
	s.there -= n
	s.taken += int64(n)
	if s.path.ReadRate > 0 {
		s.slow = now.Add(time.Duration(n) * time.Second / time.Duration(s.path.ReadRate))
	}
	s.writers.wake()
	return n
}

// chance is a number that follows from the seed, what it is for, and the offset.
func (s *Stream) chance(purpose uint64, offset int64) uint64 {
	return mix(s.seed, purpose, uint64(offset))
}

// mix makes a number of numbers, by the steps of splitmix64.
func mix(numbers ...uint64) (x uint64) {
	for _, n := range numbers {
		x = (x ^ n) + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}
