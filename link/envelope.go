package link

import (
	"errors"
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"parlor"
	"parlor/msgpack"
)

// Kind is the first element of an envelope (docs/PROTOCOL.md, section 1).
type Kind uint8

// The kinds of envelopes.
const (
	KindRequest Kind = 0 // of a client
	KindAnswer  Kind = 1 // of a server
	KindPush    Kind = 2 // of a server
	KindNote    Kind = 3 // of either side: an acknowledgement alone
)

// Envelope is what Parlor's own wires carry. Which fields count depends on the kind.
type Envelope struct {
	Kind Kind
	Ack  uint64 // the highest number that came from the other side
	Seq  uint64 // of answers and pushes: 1, 2, 3, …; 0 answers the login
	ID   uint64 // of requests, and of the request that an answer is for: 1, 2, 3, …; 0 is the login

	Message       string
	Payload       parlor.Payload
	Status        parlor.Status // of answers
	Disconnecting bool          // of answers
	Game          string        // of answers and pushes; empty is none
}

// ErrEnvelope means bytes that are no envelope.
var ErrEnvelope = errors.New("not an envelope")

// heads are how many elements each kind has at least.
var elements = map[Kind]int{KindRequest: 5, KindAnswer: 9, KindPush: 6, KindNote: 2}

// AppendHead appends an envelope up to its message and payload, which AppendBody makes: those of a push to many are
// made once.
func (e *Envelope) AppendHead(b []byte) []byte {
	b = msgp.AppendArrayHeader(b, uint32(elements[e.Kind]))
	b = msgp.AppendUint64(b, uint64(e.Kind))
	b = msgp.AppendUint64(b, e.Ack)
	switch e.Kind {
	case KindRequest:
		return msgp.AppendUint64(b, e.ID)
	case KindAnswer:
		b = msgp.AppendUint64(b, e.Seq)
		b = msgp.AppendUint64(b, e.ID)
		b = appendStatus(b, e.Status)
		b = msgp.AppendBool(b, e.Disconnecting)
		return appendGame(b, e.Game)
	case KindPush:
		b = msgp.AppendUint64(b, e.Seq)
		return appendGame(b, e.Game)
	}
	return b
}

func appendStatus(b []byte, s parlor.Status) []byte {
	if s >= 0 {
		return msgp.AppendUint64(b, uint64(s))
	}
	return msgp.AppendInt64(b, int64(s))
}

func appendGame(b []byte, game string) []byte {
	if game == "" {
		return msgp.AppendNil(b)
	}
	return msgp.AppendString(b, game)
}

// AppendBody appends a message and its payload. The error is of what cannot be written: text that is no UTF-8, and what
// MessagePack does not have; b is returned as it was then.
func AppendBody(b []byte, message string, payload parlor.Payload) ([]byte, error) {
	start := b
	b, err := msgpack.Append(b, message)
	if err == nil {
		b, err = payload.AppendMsgPack(b)
	}
	if err != nil {
		return start, err
	}
	return b, nil
}

// Append appends the whole envelope. The error is AppendBody's.
func (e *Envelope) Append(b []byte) ([]byte, error) {
	start := b
	b = e.AppendHead(b)
	if e.Kind == KindNote {
		return b, nil
	}
	b, err := AppendBody(b, e.Message, e.Payload)
	if err != nil {
		return start, err
	}
	return b, nil
}

// DecodeEnvelope reads the envelope that b begins with, and returns what follows. It keeps nothing of b. Errors wrap
// ErrEnvelope, or say why a payload cannot be had (parlor.ParseMsgPack).
func DecodeEnvelope(b []byte, lim msgpack.Limits) (e Envelope, rest []byte, err error) {
	n, err := msgpack.First(b, lim)
	if err != nil {
		return e, b, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	r := elementReader{b: b[:n]}
	r.open()
	e.Kind = Kind(min(r.number(), 255))
	least, known := elements[e.Kind]
	if r.err == nil && (!known || r.n < least) {
		r.fail("kind %d with %d elements", e.Kind, r.n)
	}
	e.Ack = r.number()
	switch e.Kind {
	case KindRequest:
		e.ID = r.number()
	case KindAnswer:
		e.Seq, e.ID, e.Status, e.Disconnecting, e.Game = r.number(), r.number(), r.status(), r.bool(), r.textOrNil()
	case KindPush:
		e.Seq, e.Game = r.number(), r.textOrNil()
	}
	if e.Kind != KindNote {
		e.Message = r.text()
		e.Payload = r.payload()
	}
	if r.err != nil {
		return Envelope{}, b, r.err
	}
	return e, b[n:], nil
}

// elementReader reads the elements of an array that is valid. After an error it reads nothing.
type elementReader struct {
	b   []byte
	n   int // elements of the array
	err error
}

func (r *elementReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrEnvelope, fmt.Sprintf(format, args...))
	}
}

func (r *elementReader) open() {
	n, b, err := msgp.ReadArrayHeaderBytes(r.b)
	if err != nil || n == 0 {
		r.fail("no array")
		return
	}
	r.n, r.b = int(n), b
}

// read takes the next element by a function of msgp.
func read[T any](r *elementReader, what string, f func(b []byte) (T, []byte, error)) (v T) {
	if r.err != nil {
		return v
	}
	v, rest, err := f(r.b)
	if err != nil {
		r.fail("want %s", what)
		return v
	}
	r.b = rest
	return v
}

func (r *elementReader) number() uint64 { return read(r, "a number from 0", msgp.ReadUint64Bytes) }
func (r *elementReader) bool() bool     { return read(r, "a bool", msgp.ReadBoolBytes) }
func (r *elementReader) text() string   { return read(r, "a text", msgp.ReadStringBytes) }

func (r *elementReader) status() parlor.Status {
	return parlor.Status(read(r, "a status", msgp.ReadIntBytes))
}

func (r *elementReader) textOrNil() string {
	if r.err == nil && msgp.IsNil(r.b) {
		r.b = r.b[1:]
		return ""
	}
	return r.text()
}

func (r *elementReader) payload() (p parlor.Payload) {
	if r.err != nil {
		return p
	}
	rest, err := msgp.Skip(r.b)
	if err != nil {
		r.fail("no payload")
		return p
	}
	p, r.err = parlor.ParseMsgPack(r.b[:len(r.b)-len(rest)])
	return p
}
