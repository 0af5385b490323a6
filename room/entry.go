package room

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"parlor"
	"parlor/internal/pyjson"
)

// entryKind is what an entry of the journal is about. The numbers are in journals: new ones come behind the others.
type entryKind uint8

const (
	entryBegin  entryKind = iota // the game begins with a save
	entryTick                    // a timer has said something
	entryLate                    // timers were too late, and have moved on
	entryOpen                    // the room was opened again
	entryPacket                  // of a user
	entryJoin
	entryLeave
	entryAway
	entryBack
	entryDrain
	entryClose
	entryReturn // of a user whose seat was kept for her
	entryKnown  // what the session of who has joined was answered before
	entryKinds
)

var entryNames = [entryKinds]string{"begin", "tick", "late", "open", "packet", "join", "leave", "away", "back", "drain", "close", "return", "known"}

func (k entryKind) String() string {
	if k < entryKinds {
		return entryNames[k]
	}
	return fmt.Sprintf("entryKind(%d)", uint8(k))
}

func (k entryKind) hasUser() bool {
	return k >= entryPacket && k <= entryBack || k == entryReturn || k == entryKnown
}

// entry is one thing that has happened to a durable game, from outside or by its timers. Timers that were due by then have been
// fired before it.
type entry struct {
	kind    entryKind
	time    time.Duration // of the room's clock, in whole microseconds
	ticks   uint64        // timers fired so far, a check
	draws   uint64        // numbers drawn from the random source so far, a check
	spoke   bool          // something was said
	said    [saidSize]byte
	fired   uint64        // of late and open: timers fired before they moved on
	madeUp  uint64        // of late and open: and until they were not made up for any more
	end     time.Duration // of drain: the deadline, by the room's clock
	user    string        // of packet, join, return, known, leave, away and back
	missed  bool          // of away and back: she has missed something
	session string        // of join and return: who has the seat
	request uint64        // of packet, join and return: its number in the session
	packet  parlor.Packet // without the user
	answers []Answered    // of known: those that the session may not have got
	begin   Save          // of begin: its Entry is that of which it is the state, 0 for a new game
}

// firstJoin is the number of the entry by which the creator of a game joins it.
const firstJoin = 2

// saidSize is how many bytes of the hash of what was said are kept.
const saidSize = 8

// kindSpoke is set in the byte of the kind if the hash is there.
const kindSpoke = 0x80

// kindCut is set in it if not all timers of a late or an open were made up for: in journals of before there was mostMadeUp all were, however many.
const kindCut = 0x40

// ErrJournal means bytes that are no entries, or entries that do not follow each other.
var ErrJournal = errors.New("the journal is damaged")

// marks are what the numbers of an entry are counted from: those of the one before in the same piece.
type marks struct {
	time         time.Duration
	ticks, draws uint64
}

// append appends an entry to a piece.
func (m *marks) append(b []byte, e *entry) []byte {
	kind := byte(e.kind)
	if e.spoke {
		kind |= kindSpoke
	}
	cut := (e.kind == entryLate || e.kind == entryOpen) && e.madeUp < e.ticks
	if cut {
		kind |= kindCut
	}
	b = append(b, kind)
	b = binary.AppendUvarint(b, uint64((e.time-m.time)/time.Microsecond))
	b = binary.AppendUvarint(b, e.ticks-m.ticks)
	b = binary.AppendUvarint(b, e.draws-m.draws)
	*m = marks{e.time, e.ticks, e.draws}
	if e.spoke {
		b = append(b, e.said[:]...)
	}
	if e.kind.hasUser() {
		b = appendText(b, e.user)
	}
	switch e.kind {
	case entryBegin:
		b = binary.AppendUvarint(b, e.begin.Entry)
		b = binary.AppendVarint(b, int64(e.begin.Version))
		b = appendText(b, e.begin.Data)
		b = appendText(b, e.begin.Room)
	case entryLate, entryOpen:
		b = binary.AppendUvarint(b, e.ticks-e.fired)
		if cut {
			b = binary.AppendUvarint(b, e.ticks-e.madeUp)
		}
	case entryPacket:
		b = binary.AppendUvarint(b, e.request)
		b = appendText(b, e.packet.Message)
		b = appendText(b, e.packet.Payload.JSON())
		b = appendText(b, e.packet.CreatedOn)
	case entryJoin, entryReturn:
		b = appendText(b, e.session)
		b = binary.AppendUvarint(b, e.request)
	case entryKnown:
		b = appendAnswers(b, e.answers)
	case entryAway, entryBack:
		b = append(b, flag(e.missed))
	case entryDrain:
		b = binary.AppendVarint(b, int64((e.end-e.time)/time.Microsecond))
	}
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendAnswers(b []byte, list []Answered) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, a := range list {
		b = binary.AppendUvarint(b, a.Number)
		b = binary.AppendVarint(b, int64(a.Response.Status))
		b = appendText(b, a.Response.Message)
		b = appendText(b, a.Response.Payload.JSON())
	}
	return b
}

// next reads the entry that b begins with, and returns what follows.
func (m *marks) next(b []byte) (e entry, rest []byte, err error) {
	r := reader{b: b}
	kind := r.byte()
	e.kind, e.spoke = entryKind(kind&^(kindSpoke|kindCut)), kind&kindSpoke != 0
	cut := kind&kindCut != 0
	e.time = m.time + r.microseconds()
	e.ticks, e.draws = m.ticks+r.number(), m.draws+r.number()
	if e.spoke {
		copy(e.said[:], r.bytes(saidSize))
	}
	if e.kind.hasUser() {
		e.user = r.text()
	}
	switch e.kind {
	case entryBegin:
		e.begin = Save{Entry: r.number(), Version: int(r.signed()), Data: r.text(), Room: []byte(r.text())}
	case entryLate, entryOpen:
		e.fired, e.madeUp = e.ticks-r.number(), e.ticks
		if cut {
			e.madeUp -= r.number()
			r.bad = r.bad || e.madeUp >= e.ticks || e.madeUp < e.fired
			cut = false
		}
	case entryPacket:
		e.request = r.number()
		e.packet.Message = r.text()
		payload := r.text()
		e.packet.CreatedOn = r.text()
		if r.bad {
			break
		}
		if e.packet.Payload, err = payloadOf([]byte(payload)); err != nil {
			return entry{}, nil, fmt.Errorf("%w: %w", ErrJournal, err)
		}
	case entryJoin, entryReturn:
		e.session = r.text()
		e.request = r.number()
	case entryKnown:
		e.answers = r.answers()
	case entryAway, entryBack:
		missed := r.byte()
		e.missed = missed == 1
		r.bad = r.bad || missed > 1
	case entryDrain:
		n := r.signed()
		e.end = e.time + time.Duration(n)*time.Microsecond
		r.bad = r.bad || (e.end-e.time)/time.Microsecond != time.Duration(n)
	}
	if r.bad || cut || e.kind >= entryKinds || e.time < m.time || e.ticks < m.ticks || e.draws < m.draws || e.fired > e.ticks {
		return entry{}, nil, ErrJournal
	}
	*m = marks{e.time, e.ticks, e.draws}
	return e, r.b, nil
}

// payloadOf takes the text of a payload that was in the room already: one that came from within the process may be nested deeper than
// parlor.ParsePayload takes.
func payloadOf(text []byte) (p parlor.Payload, err error) {
	if err = pyjson.Check(text, math.MaxInt); err == nil {
		err = p.BindPyJSON(text)
	}
	return p, err
}

// reader reads what an entry is made of. Once something is bad it reads nothing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n uint64) (b []byte) {
	if r.bad = r.bad || n > uint64(len(r.b)); r.bad {
		return nil
	}
	b, r.b = r.b[:n], r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); !r.bad {
		return b[0]
	}
	return 0
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.bad = r.bad || size <= 0; r.bad {
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) signed() int64 {
	n, size := binary.Varint(r.b)
	if r.bad = r.bad || size <= 0; r.bad {
		return 0
	}
	r.b = r.b[size:]
	return n
}

// microseconds are so many that a duration can have them.
func (r *reader) microseconds() time.Duration {
	n := r.number()
	r.bad = r.bad || n > uint64(math.MaxInt64/time.Microsecond)
	return time.Duration(n) * time.Microsecond
}

func (r *reader) text() string { return string(r.bytes(r.number())) }

func (r *reader) answers() (list []Answered) {
	for n := r.number(); n > 0 && !r.bad; n-- {
		a := Answered{Number: r.number()}
		status := r.signed()
		a.Response.Status, a.Response.Message = parlor.Status(status), r.text()
		payload, err := payloadOf([]byte(r.text()))
		a.Response.Payload = payload
		r.bad = r.bad || err != nil || int64(a.Response.Status) != status
		list = append(list, a)
	}
	return list
}
