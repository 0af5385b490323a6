package room

import (
	"time"

	"parlor"
)

// Waiting is how many messages wait in the mailbox.
func (r *Room) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mailbox == nil {
		return 0
	}
	return len(r.mailbox.list)
}

// MostWaiting bounds the outbox of a durable game with timers.
const MostWaiting = mostWaiting

// Rewrite writes the entries of a piece again.
func Rewrite(b []byte) (again []byte, err error) {
	var m, to marks
	for len(b) > 0 {
		var e entry
		if e, b, err = m.next(b); err != nil {
			return nil, err
		}
		again = to.append(again, &e)
	}
	return again, nil
}

// EntriesOf are the entries of a piece.
func EntriesOf(b []byte) (all []Entry) {
	for e, err := range (Stored{Pieces: []Piece{{First: 1, Entries: b}}}).Entries() {
		if err != nil {
			return nil
		}
		e.Packet.Payload = parlor.Payload{}
		all = append(all, e)
	}
	return all
}

// OneOfEach is a piece with an entry of each kind.
func OneOfEach() (b []byte) {
	var m marks
	for kind := range entryKinds {
		e := entry{kind: kind, time: time.Duration(kind) * time.Second, ticks: uint64(kind), draws: 7, spoke: kind%2 == 0, user: "zoe", session: "s", request: 9, end: -time.Second}
		if !kind.hasUser() {
			e.user = ""
		}
		e.packet.Message, e.packet.CreatedOn = "move", "then"
		e.fired, e.madeUp = e.ticks-min(e.ticks, 2), e.ticks-min(e.ticks, 1)
		e.answers = []Answered{{Number: 3, Response: parlor.Bad("no", parlor.Map{"n": 1})}}
		e.begin = Save{Entry: 3, Version: -1, Data: "data", Room: []byte("{}")}
		b = m.append(b, &e)
	}
	return b
}
