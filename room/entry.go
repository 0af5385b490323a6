package room

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"parlor"
)

// entryKind is what an entry of the journal is about.
type entryKind uint8

const (
	entryTick   entryKind = iota // a timer has said something
	entryLate                    // timers were too late, and have moved on
	entryPacket                  // of a user
	entryJoin
	entryLeave
	entryAway
	entryBack   // of a user who has missed nothing
	entryMissed // of one who has
	entryDrain
	entryClose
	entryOpen // the room was opened again
	entryKinds
)

var entryNames = [entryKinds]string{"tick", "late", "packet", "join", "leave", "away", "back", "back, and has missed something", "drain", "close", "open"}

func (k entryKind) String() string {
	if k < entryKinds {
		return entryNames[k]
	}
	return fmt.Sprintf("entryKind(%d)", uint8(k))
}

// entry is one thing that has happened to a durable game, from outside or by its timers. Timers that were due by then have been
// fired before it.
type entry struct {
	kind    entryKind
	time    time.Duration // of the room's clock, in whole microseconds
	ticks   uint64        // timers fired so far, a check
	draws   uint64        // numbers drawn from the random source so far, a check
	fired   uint64        // of late and open: timers fired before they moved on
	end     time.Duration // of drain: the deadline, by the room's clock
	user    string        // of all but ticks, late ones, drain, close and open
	session string        // of a join: who has the seat
	number  uint64        // of a packet: that of its request in the session
	packet  parlor.Packet // without the user
	answer  [answerSize]byte
}

// answerSize is how many bytes of the hash of an answer are kept.
const answerSize = 8

// errEntry means bytes that are no entries.
var errEntry = errors.New("the journal is damaged")

// marks are what the numbers of an entry are counted from: those of the one before in the same piece.
type marks struct {
	time         time.Duration
	ticks, draws uint64
}

// append appends an entry to a piece.
func (m *marks) append(b []byte, e *entry) []byte {
	b = append(b, byte(e.kind))
	b = binary.AppendUvarint(b, uint64((e.time-m.time)/time.Microsecond))
	b = binary.AppendUvarint(b, e.ticks-m.ticks)
	b = binary.AppendUvarint(b, e.draws-m.draws)
	*m = marks{e.time, e.ticks, e.draws}
	if e.kind.hasUser() {
		b = appendText(b, e.user)
	}
	switch e.kind {
	case entryLate, entryOpen:
		b = binary.AppendUvarint(b, e.ticks-e.fired)
	case entryDrain:
		b = binary.AppendVarint(b, int64((e.end-e.time)/time.Microsecond))
	case entryJoin:
		b = appendText(b, e.session)
	case entryPacket:
		b = binary.AppendUvarint(b, e.number)
		b = appendText(b, e.packet.Message)
		b = appendText(b, string(e.packet.Payload.JSON()))
		b = appendText(b, e.packet.CreatedOn)
		b = append(b, e.answer[:]...)
	}
	return b
}

func (k entryKind) hasUser() bool { return k >= entryPacket && k <= entryMissed }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// next reads the entry that b begins with, and returns what follows.
func (m *marks) next(b []byte) (e entry, rest []byte, err error) {
	r := piece{b: b}
	e.kind = entryKind(r.byte())
	e.time = m.time + time.Duration(r.number())*time.Microsecond
	e.ticks, e.draws = m.ticks+r.number(), m.draws+r.number()
	if e.kind.hasUser() {
		e.user = r.text()
	}
	switch e.kind {
	case entryLate, entryOpen:
		e.fired = e.ticks - r.number()
	case entryDrain:
		e.end = e.time + time.Duration(r.signed())*time.Microsecond
	case entryJoin:
		e.session = r.text()
	case entryPacket:
		e.number = r.number()
		e.packet.Message = r.text()
		payload := r.text()
		e.packet.CreatedOn = r.text()
		copy(e.answer[:], r.bytes(answerSize))
		if r.bad {
			break
		}
		if e.packet.Payload, err = parlor.ParsePayload([]byte(payload)); err != nil {
			return entry{}, nil, fmt.Errorf("%w: %w", errEntry, err)
		}
	}
	if r.bad || e.kind >= entryKinds || e.time < m.time {
		return entry{}, nil, errEntry
	}
	*m = marks{e.time, e.ticks, e.draws}
	return e, r.b, nil
}

// piece reads what an entry is made of. Once something is bad it reads nothing.
type piece struct {
	b   []byte
	bad bool
}

func (r *piece) bytes(n uint64) (b []byte) {
	if r.bad = r.bad || n > uint64(len(r.b)); r.bad {
		return nil
	}
	b, r.b = r.b[:n], r.b[n:]
	return b
}

func (r *piece) byte() byte {
	if b := r.bytes(1); !r.bad {
		return b[0]
	}
	return 0
}

func (r *piece) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.bad = r.bad || size <= 0; r.bad {
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *piece) signed() int64 {
	n, size := binary.Varint(r.b)
	if r.bad = r.bad || size <= 0; r.bad {
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *piece) text() string { return string(r.bytes(r.number())) }
