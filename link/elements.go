package link

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"parlor"
)

// elements reads an envelope's elements, one after the other. After an error it reads nothing. That texts are UTF-8 it does
// not look at.
type elements struct {
	b    []byte // what is not read yet
	n    int    // how many the array has
	at   int    // which comes next
	kind Kind
	err  error
}

// envelope reads all elements before the payload.
func (r *elements) envelope(e *Envelope) {
	r.open()
	e.Kind = r.readKind()
	e.Ack = r.number()
	switch e.Kind {
	case KindRequest:
		e.ID = r.number()
	case KindAnswer:
		e.Seq = r.number()
		e.ID = r.number()
		e.Status = r.status()
		e.Disconnecting = r.bool()
		e.Game = r.textOrNil()
	case KindPush:
		e.Seq = r.number()
		e.Game = r.textOrNil()
	case KindNote:
		return
	}
	e.Message = r.text()
}

func (r *elements) open() {
	n, rest, err := msgp.ReadArrayHeaderBytes(r.b)
	switch {
	case err != nil:
		r.fail("want an array, got %s", describe(r.b))
	case n == 0:
		r.fail("kind is missing")
	}
	r.n, r.b = int(n), rest
}

// readKind reads the kind, and says if an element is missing that it asks for.
func (r *elements) readKind() Kind {
	k := r.number()
	if r.err != nil {
		return 0
	}
	if k >= uint64(len(shapes)) {
		r.fail("unknown kind %d", k)
		return 0
	}
	r.kind = Kind(k)
	if shape := shapes[k]; r.n < len(shape) {
		r.fail("%s: %s is missing", r.kind, shape[r.n])
	}
	return r.kind
}

func (r *elements) fail(format string, args ...any) {
	r.err = fmt.Errorf("%w: %s", ErrEnvelope, fmt.Sprintf(format, args...))
}

// want fails for the next element.
func (r *elements) want(what string) {
	if r.at == 0 {
		r.fail("kind: want %s, got %s", what, describe(r.b))
		return
	}
	r.fail("%s: %s: want %s, got %s", r.kind, shapes[r.kind][r.at], what, describe(r.b))
}

// took goes on to the next element.
func (r *elements) took(rest []byte) {
	r.b = rest
	r.at++
}

// number reads an integer of any form.
func (r *elements) number() uint64 {
	if r.err != nil {
		return 0
	}
	n, rest, err := msgp.ReadUint64Bytes(r.b)
	if err != nil {
		r.want("an integer from 0")
		return 0
	}
	r.took(rest)
	return n
}

func (r *elements) status() parlor.Status {
	if r.err != nil {
		return 0
	}
	n, rest, err := msgp.ReadInt64Bytes(r.b)
	if err != nil || int64(int(n)) != n {
		r.want("an integer that fits an int")
		return 0
	}
	r.took(rest)
	return parlor.Status(n)
}

func (r *elements) bool() bool {
	if r.err != nil {
		return false
	}
	v, rest, err := msgp.ReadBoolBytes(r.b)
	if err != nil {
		r.want("a bool")
		return false
	}
	r.took(rest)
	return v
}

func (r *elements) text() string { return r.textOr("text") }

// textOrNil reads nil as an empty text.
func (r *elements) textOrNil() string {
	if r.err == nil && msgp.IsNil(r.b) {
		r.took(r.b[1:])
		return ""
	}
	return r.textOr("text or nil")
}

func (r *elements) textOr(what string) string {
	if r.err != nil {
		return ""
	}
	s, rest, err := msgp.ReadStringBytes(r.b)
	if err != nil {
		r.want(what)
		return ""
	}
	r.took(rest)
	return s
}

// payload reads the payload of an envelope that was read up to there. Notes have the empty one.
func (r *elements) payload() (parlor.Payload, error) {
	if r.kind == KindNote {
		return parlor.Payload{}, nil
	}
	value := r.b
	if r.at < r.n-1 { // elements follow that a later version knows
		rest, err := msgp.Skip(r.b)
		if err != nil { // never: the value is valid
			return parlor.Payload{}, err
		}
		value = r.b[:len(r.b)-len(rest)]
	}
	return parlor.ParseMsgPack(value)
}

// describe says in errors what a value is that b begins with.
func describe(b []byte) string {
	switch msgp.NextType(b) {
	case msgp.NilType:
		return "nil"
	case msgp.BoolType:
		return "a bool"
	case msgp.IntType, msgp.UintType:
		if n, _, err := msgp.ReadInt64Bytes(b); err == nil {
			return fmt.Sprint(n)
		}
		return "an integer above 2^63-1"
	case msgp.Float32Type, msgp.Float64Type:
		return "a float"
	case msgp.StrType:
		return "text"
	case msgp.BinType:
		return "bytes"
	case msgp.ArrayType:
		return "an array"
	case msgp.MapType:
		return "a map"
	}
	return "an extension"
}
