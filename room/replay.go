package room

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"parlor"
)

// state is what a room keeps beside the save of a durable game.
type state struct {
	Began  time.Time     `json:"began"`
	Clock  time.Duration `json:"clock"`
	Ticks  uint64        `json:"ticks"`
	Source []byte        `json:"source"`
	Draws  uint64        `json:"draws"`
	Fresh  bool          `json:"fresh,omitempty"`  // the game was made with this source, and not with the save
	Undone bool          `json:"undone,omitempty"` // there is something in the journal that was undone
	Timers []timerState  `json:"timers,omitempty"` // by number
	Seats  []seatState   `json:"seats,omitempty"`
}

type seatState struct {
	User    string        `json:"user"`
	Session string        `json:"session,omitempty"`
	Away    bool          `json:"away,omitempty"`
	Missed  bool          `json:"missed,omitempty"`
	Answers []answerState `json:"answers,omitempty"` // that the session may not have got
}

// state is the room's own, as it is now.
func (d *durable) state(fresh bool) []byte {
	source, _ := d.source.MarshalBinary() // it never fails
	st := state{
		Began: d.began, Clock: d.clock, Ticks: d.ticks, Source: source, Draws: d.source.draws, Fresh: fresh, Undone: d.undone,
		Timers: d.room.timers.states(),
	}
	for _, s := range d.room.seats {
		st.Seats = append(st.Seats, seatState{s.user, sessionOf(s.member), s.away, s.missed, answerStates(s.unknown())})
	}
	b, _ := json.Marshal(st) // likewise
	return b
}

// ghost has a seat of which it is not known who has it.
type ghost struct{ session string }

func (*ghost) Answer(parlor.Response, error) {}
func (*ghost) Push(*parlor.Push)             {}

// numbered is an entry, with its number.
type numbered struct {
	number uint64
	entry
}

// entries yields the entries behind one. An error is the last that it yields.
func (s Stored) entries(after uint64) iter.Seq2[numbered, error] {
	return func(yield func(numbered, error) bool) {
		for _, piece := range s.Pieces {
			var m marks
			number := piece.First
			for b := piece.Entries; len(b) > 0; number++ {
				e, rest, err := m.next(b)
				switch {
				case err != nil:
					yield(numbered{}, fmt.Errorf("read entry %d: %w", number, err))
					return
				case number > after && number != after+1:
					yield(numbered{}, fmt.Errorf("read entry %d: %w: there is no entry %d", number, ErrJournal, after+1))
					return
				}
				b = rest
				if number <= after {
					continue
				}
				if after = number; !yield(numbered{number, e}, nil) {
					return
				}
			}
		}
	}
}

// begins is the entry of a piece with which a game begins.
func (p Piece) begins() (e entry, is bool) {
	if len(p.Entries) == 0 || entryKind(p.Entries[0]&^kindSpoke) != entryBegin {
		return entry{}, false
	}
	e, _, err := new(marks).next(p.Entries)
	return e, err == nil
}

// after is the entry behind which a game is made again: that of the newest save, or the one before the last with which the game begins, and
// then there is no need of a save.
func (s Stored) after() (entry uint64, save bool) {
	entry, save = s.Save.Entry, len(s.Save.Room) > 0
	for _, p := range s.Pieces {
		if _, begins := p.begins(); begins && (p.First > entry || !save) {
			entry, save = p.First-1, false
		}
	}
	return entry, save
}

// Untouched tells whether nothing has happened in the game since it was made: not even its creator has joined.
func (s Stored) Untouched() bool {
	if len(s.Save.Room) > 0 || s.Save.Data != "" {
		return false
	}
	n := 0
	for _, err := range s.entries(0) {
		if n++; n > 1 || err != nil {
			return false
		}
	}
	return n == 1
}

// newest is the newest save, and the number of the last entry.
func (s Stored) newest() (save Save, last uint64, err error) {
	after, _ := s.after()
	save, last = s.Save, s.Save.Entry
	for e, err := range s.entries(after) {
		if err != nil {
			return Save{}, 0, err
		}
		if last = e.number; e.kind == entryBegin {
			save = e.begin
			save.Entry = e.number
		}
	}
	return save, last, nil
}

// replay makes the game again of what is stored, on the room's clock.
func (d *durable) replay(st Stored) error {
	d.replaying = true
	defer func() { d.replaying, d.inEntry = false, false }()
	after, save := st.after()
	d.entry, d.grown = after, 0
	for _, p := range st.Pieces {
		if p.First > after {
			d.grown += len(p.Entries)
		}
	}
	if save {
		if err := d.makeAgain(st.Save); err != nil {
			return err
		}
	}
	for e, err := range st.entries(after) {
		if err != nil {
			return fmt.Errorf("game %q: %w", d.room.cfg.Name, err)
		}
		if err := d.redo(&e); err != nil {
			return err
		}
	}
	if d.room.game == nil {
		return fmt.Errorf("game %q: %w: nothing is stored of it", d.room.cfg.Name, ErrJournal)
	}
	d.room.timers.atWork = false
	if behind := d.clock - d.room.sinceBegan(); behind > 0 { // the machine's clock was set back: the room's goes on from here
		d.room.timers.began = d.room.timers.began.Add(-behind)
	}
	return nil
}

// makeAgain makes the game of a save.
func (d *durable) makeAgain(s Save) error {
	r := d.room
	var st state
	err := json.Unmarshal(s.Room, &st)
	if err == nil {
		err = d.source.UnmarshalBinary(st.Source)
	}
	if err != nil {
		return fmt.Errorf("read the save of game %q: %w: %w", r.cfg.Name, ErrJournal, err)
	}
	r.forgetAll()
	d.began, d.clock, d.ticks, d.source.draws, d.undone = st.Began, st.Clock, st.Ticks, st.Draws, st.Undone
	d.saved, d.savedTicks, d.savedSize = s.Entry, st.Ticks, len(s.Data)+len(s.Room)
	r.timers.atWork = true
	r.timers.began = r.now().Add(-max(d.clock, r.now().Sub(d.began)))
	d.remaking = !st.Fresh
	err = r.make(s)
	d.remaking = false
	if err != nil {
		return err
	}
	if !st.Fresh { // what the constructor has drawn this time is not of the game's course
		_ = d.source.UnmarshalBinary(st.Source) // as above
		d.source.draws = st.Draws
		r.restoreTimers(st.Timers)
	}
	for _, s := range st.Seats {
		seat := &seat{user: s.User, member: &ghost{s.Session}, away: s.Away, missed: s.Missed, answers: answersOf(s.Answers)}
		r.seats = append(r.seats, seat)
		r.seatOf[s.User] = seat
	}
	return nil
}

// redo does again what an entry says. The error is a *DivergedError if it was not as it was.
func (d *durable) redo(e *numbered) error {
	r := d.room
	diverged := func(format string, args ...any) error {
		return &DivergedError{r.cfg.Name, e.number, fmt.Sprintf(format, args...)}
	}
	if e.kind == entryBegin {
		if err := d.makeAgain(e.begin); err != nil {
			return err
		}
		d.saved, d.undone = e.number, e.number > 1
	} else if r.game == nil {
		return fmt.Errorf("game %q: %w: it does not begin before entry %d", r.cfg.Name, ErrJournal, e.number)
	}
	d.entry = e.number
	d.enter()
	if e.kind == entryLate || e.kind == entryOpen {
		d.fire(e.time, e.fired)
		d.catchUp(e.time, e.madeUp)
	}
	if e.kind != entryBegin { // behind which timers are fired that the game has set for the moment of its making
		d.moveTo(e.time)
	}
	s := r.seatOf[e.user]
	if e.kind.hasUser() && e.kind != entryJoin && s == nil {
		return diverged("user %q, of whom a %s is, is not in the room", e.user, e.kind)
	}
	switch e.kind {
	case entryPacket:
		p := e.packet
		p.Username = e.user
		resp := r.answer(s, &p)
		d.answers(&resp)
		r.note(s, Answered{Number: e.request, Response: resp})
		if d.answered != nil {
			d.answered(&resp)
		}
	case entryJoin:
		j, err := r.join(e.user, &ghost{e.session}) // if the game fails, it did then
		if err == nil {
			r.note(r.seatOf[e.user], Answered{Number: e.request, Joined: &j, First: e.number == firstJoin})
		}
	case entryReturn:
		j := r.takeOver(s, &ghost{e.session})
		s.answers = nil
		r.note(s, Answered{Number: e.request, Joined: &j})
	case entryKnown:
		s.answers = append(slices.Clone(e.answers), s.answers...)
	case entryLeave:
		r.remove(s)
	case entryAway, entryBack:
		r.presentSeat(s, e.kind == entryAway, e.missed)
	case entryDrain:
		r.drainBy(d.began.Add(e.end))
	case entryClose:
		r.closeNow()
	}
	spoke, said := d.sumUp()
	switch {
	case spoke != e.spoke || said != e.said:
		return diverged("at a %s of user %q it does not say what it has said", e.kind, e.user)
	case d.ticks != e.ticks:
		return diverged("%d timers were fired until a %s, and not %d", d.ticks, e.kind, e.ticks)
	case d.source.draws != e.draws:
		return diverged("%d numbers were drawn from room.Rand until a %s, and not %d", d.source.draws, e.kind, e.draws)
	}
	return nil
}
