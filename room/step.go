package room

import (
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"parlor"
)

// Entry is an entry of a journal, for people.
type Entry struct {
	Number uint64 // from 1
	// Kind is what it is about: "packet", "join", "return" to a seat that was kept, "known" of what her session was answered before, "leave", "away" and "back" of a user; "tick" of timers that have said something; "late"
	// of timers whose times have passed unused; "drain" of a server that is about to stop; "close"; "open" of the room when it was opened again; and
	// "begin" of the game, or of its going on from a save.
	Kind string
	// Time is that of the room's clock since the game began.
	Time    time.Duration
	User    string        // of packet, join, return, known, leave, away and back
	Missed  bool          // of away and back: she has missed something
	Session string        // of join and return
	Request uint64        // of packet, join and return: its number in the session, if there was one
	Packet  parlor.Packet // of packet
	Until   time.Duration // of drain: the deadline, by the room's clock
	Save    Save          // of begin

	Timers uint64 // calls of timers so far
	Draws  uint64 // numbers drawn from the random source so far
	Hash   string // of the answer and the pushes; empty if nothing was said
}

// String tells all but the hash, and of saves only their size, in a line.
func (e Entry) String() string {
	s := fmt.Sprintf("%d %v %s", e.Number, e.Time, e.Kind)
	if e.User != "" {
		s += fmt.Sprintf(" %q", e.User)
	}
	switch {
	case e.Kind == entryPacket.String():
		s += fmt.Sprintf(" %q %s", e.Packet.Message, e.Packet.Payload.JSON())
		if e.Request > 0 {
			s += fmt.Sprintf(" (request %d)", e.Request)
		}
	case e.Kind == entryDrain.String():
		s += fmt.Sprintf(" until %v", e.Until)
	case e.Kind == entryBegin.String() && e.Save.Entry > 0:
		s += fmt.Sprintf(" again, with the save of entry %d: what was behind it is undone", e.Save.Entry)
	case e.Kind == entryBegin.String() && e.Save.Data != "":
		s += fmt.Sprintf(" with a save of %d bytes of version %d", len(e.Save.Data), e.Save.Version)
	case e.Missed:
		s += " who has missed something"
	}
	return s
}

// Entries yields all entries that there are, also those that are in the save. An error is the last that it yields: it is of entries that
// are damaged, or missing.
func (s Stored) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for e, err := range s.entries(s.before()) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !yield(e.public(), nil) {
				return
			}
		}
	}
}

// before is the entry before all.
func (s Stored) before() uint64 {
	if len(s.Pieces) == 0 || s.Pieces[0].First == 0 {
		return s.Save.Entry
	}
	return s.Pieces[0].First - 1
}

func (e *numbered) public() Entry {
	p := Entry{
		Number: e.number, Kind: e.kind.String(), Time: e.time, User: e.user, Missed: e.missed, Session: e.session, Request: e.request,
		Packet: e.packet, Until: e.end, Save: e.begin, Timers: e.ticks, Draws: e.draws,
	}
	p.Packet.Username = e.user
	if e.spoke {
		p.Hash = fmt.Sprintf("%x", e.said)
	}
	return p
}

// Began is when the clock of the room of a save was 0; the zero time if there is no save.
func (s Save) Began() time.Time {
	var st state
	if json.Unmarshal(s.Room, &st) != nil {
		return time.Time{}
	}
	return st.Began
}

// Said is a push of a game.
type Said struct {
	User string // empty: all, but for those that it names
	Push *parlor.Push
}

// Step is an entry that was done again.
type Step struct {
	Entry
	Game     parlor.Game      // behind the entry, to be looked at until the next step
	Pushes   []Said           // what it says this time
	Response *parlor.Response // what it answers this time; nil if it is no packet
	Again    string           // the hash of both
	Diverged *DivergedError   // what is not as it was; nil if all is
}

// Replay makes a game again, and yields a step for each of its entries: from its beginning, if the journal has that, or else from its newest save on. A game
// that has gone on from a save, with what was done since undone, is made again from there on: what is before was done by other code. It ends behind an entry that
// is not as it was. An error is the last that it yields: of a game that cannot be made, or of entries
// that are damaged. The game runs on the goroutine of who iterates; a nil logger is none.
func Replay(name string, newGame parlor.NewGame, s Stored, logger *slog.Logger) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		if logger == nil {
			logger = slog.New(slog.DiscardHandler)
		}
		p := &player{}
		p.room = newRoom(Config{
			Name: name, New: newGame, Logger: logger,
		})
		p.room.beDurable()
		d := p.room.durable
		d.answered = func(r *parlor.Response) { p.response = r }
		d.replaying, d.heard = true, func(s Said) { p.pushes = append(p.pushes, s) }
		defer p.room.stopTimers()
		p.play(s, yield)
	}
}

// player replays a game for somebody who watches.
type player struct {
	room     *Room
	pushes   []Said
	response *parlor.Response
}

func (p *player) play(s Stored, yield func(Step, error) bool) {
	d := p.room.durable
	after, save, err := s.farthest()
	if err == nil && save {
		err = d.makeAgain(s.Save)
	}
	if err != nil {
		yield(Step{}, err)
		return
	}
	d.entry = after
	for e, err := range s.entries(after) {
		if err != nil {
			yield(Step{}, err)
			return
		}
		step, err := p.step(&e)
		if !yield(step, err) || err != nil || step.Diverged != nil {
			return
		}
	}
}

// step does an entry again.
func (p *player) step(e *numbered) (Step, error) {
	p.pushes, p.response = nil, nil
	err := p.room.durable.redo(e)
	step := Step{Entry: e.public(), Game: p.room.game, Pushes: p.pushes, Response: p.response}
	if spoke, said := p.room.durable.sumUp(); spoke {
		step.Again = fmt.Sprintf("%x", said)
	}
	if diverged, ok := err.(*DivergedError); ok {
		step.Diverged, err = diverged, nil
	}
	return step, err
}

// farthest is the entry behind which as many can be done again as possible: the one before the last with which the game begins, or goes on from a save, and
// then there is no need of the newest save; or that of this save.
func (s Stored) farthest() (after uint64, save bool, err error) {
	for _, p := range slices.Backward(s.Pieces) {
		if _, begins := p.begins(); begins {
			return p.First - 1, false, nil
		}
	}
	if len(s.Save.Room) == 0 {
		return 0, false, fmt.Errorf("%w: there is neither a save nor the beginning of the game", ErrJournal)
	}
	return s.Save.Entry, true, nil
}
