package room

import (
	"encoding/json"
	"fmt"
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
	Update time.Duration `json:"update,omitempty"` // when the game is updated next
	Seats  []seatState   `json:"seats,omitempty"`
}

type seatState struct {
	User    string `json:"user"`
	Session string `json:"session,omitempty"`
	Away    bool   `json:"away,omitempty"`
	Missed  bool   `json:"missed,omitempty"`
}

// state is the room's own, as it is now.
func (d *durable) state(fresh bool) []byte {
	source, _ := d.source.MarshalBinary() // it never fails
	st := state{Began: d.began, Clock: d.clock, Ticks: d.ticks, Source: source, Draws: d.source.draws, Fresh: fresh}
	for _, t := range d.room.timers.queue {
		if t.hook == hookUpdate {
			st.Update = t.due
		}
	}
	for _, s := range d.room.seats {
		st.Seats = append(st.Seats, seatState{s.user, sessionOf(s.member), s.away, s.missed})
	}
	b, _ := json.Marshal(st) // likewise
	return b
}

// ghost has a seat of which it is not known yet who has it.
type ghost struct{ session string }

func (*ghost) Answer(parlor.Response, error) {}
func (*ghost) Push(*parlor.Push)             {}
func (g *ghost) Session() string             { return g.session }

// replay makes the game again of what is stored, on the room's clock.
func (d *durable) replay(stored Stored) error {
	r := d.room
	var st state
	if err := json.Unmarshal(stored.Save.Room, &st); err != nil {
		return fmt.Errorf("read the save of game %q: %w: %w", r.cfg.Name, errEntry, err)
	}
	if err := d.source.UnmarshalBinary(st.Source); err != nil {
		return fmt.Errorf("read the save of game %q: %w: %w", r.cfg.Name, errEntry, err)
	}
	d.replaying = true
	defer func() { d.replaying = false }()
	r.forgetAll()
	d.began, d.clock, d.ticks, d.source.draws = st.Began, st.Clock, st.Ticks, st.Draws
	r.timers.atWork = true
	r.timers.began = r.now().Add(-max(d.clock, r.now().Sub(d.began)))
	d.remaking = !st.Fresh
	err := r.make(stored.Save.Data)
	d.remaking = false
	if err != nil {
		return err
	}
	if !st.Fresh { // what the constructor has drawn this time is not of the game's course
		_ = d.source.UnmarshalBinary(st.Source) // as above
		d.source.draws, d.ticks = st.Draws, st.Ticks
		r.updatesFrom(st.Update)
	}
	for _, s := range st.Seats {
		seat := &seat{user: s.User, member: &ghost{s.Session}, away: s.Away, missed: s.Missed}
		r.seats = append(r.seats, seat)
		r.seatOf[s.User] = seat
	}
	d.entry, d.saved = stored.Save.Entry, stored.Save.Entry
	for _, piece := range stored.Pieces {
		var m marks
		number := piece.First
		for b := piece.Entries; len(b) > 0; number++ {
			e, rest, err := m.next(b)
			if err != nil {
				return fmt.Errorf("read entry %d of game %q: %w", number, r.cfg.Name, err)
			}
			b = rest
			if number <= d.entry {
				continue
			}
			if number != d.entry+1 {
				return fmt.Errorf("read entry %d of game %q: %w: it has no entry %d", number, r.cfg.Name, errEntry, d.entry+1)
			}
			if what := d.redo(&e); what != "" {
				return &DivergedError{r.cfg.Name, number, what}
			}
			d.entry = number
		}
	}
	r.timers.atWork = false
	return nil
}

// redo does again what an entry says, and tells what is not as it was.
func (d *durable) redo(e *entry) (diverged string) {
	r := d.room
	if e.kind == entryLate || e.kind == entryOpen {
		d.fire(e.time, e.fired)
		d.moveOn(e.time)
	}
	d.beginAt(e.time)
	s := r.seatOf[e.user]
	if e.kind.hasUser() && e.kind != entryJoin && s == nil {
		return fmt.Sprintf("user %q, of whom a %s is, is not in the room", e.user, e.kind)
	}
	switch e.kind {
	case entryPacket:
		p := e.packet
		p.Username = e.user
		resp := r.answer(s, &p)
		if got := hashOf(&resp); got != e.answer {
			return fmt.Sprintf("the answer to %q of user %q is another one: now it is %q with the payload %.200s", p.Message, e.user, resp.Message, resp.Payload.JSON())
		}
	case entryJoin:
		_, _ = r.join(e.user, &ghost{e.session}) // if the game fails, it did then
	case entryLeave:
		r.remove(s)
	case entryAway, entryBack, entryMissed:
		r.presentSeat(s, e.kind == entryAway, e.kind == entryMissed)
	case entryDrain:
		r.drainBy(d.began.Add(e.end))
	case entryClose:
		r.closeNow()
	}
	switch {
	case d.ticks != e.ticks:
		return fmt.Sprintf("%d timers were fired, where it were %d", d.ticks, e.ticks)
	case d.source.draws != e.draws:
		return fmt.Sprintf("%d numbers were drawn from room.Rand, where it were %d", d.source.draws, e.draws)
	}
	return ""
}
