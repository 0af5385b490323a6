package parlor

import (
	"errors"
	"fmt"
	"sync"

	"parlor/internal/pyjson"
	"parlor/internal/transcode"
	"parlor/msgpack"
)

// Map is a payload in the making, or part of one.
type Map = map[string]any

// Payload is the data of a packet or a response. It is kept as it came, encoded, until it is asked for, and
// never changes: it may be shared between goroutines. The zero Payload is the empty object.
//
// Integers and floats stay apart: 1 and 1.0 are different values on the wire, and Go's float64(1) is
// written as 1.0 (section 3.6).
type Payload struct {
	raw    []byte // one valid JSON value; nil is {}
	python bool   // raw is as Python would write it already
	err    error  // why a value could not be encoded; it shows when the payload is to be sent
}

// emptyMap is MessagePack's {}, all of it.
const emptyMap = 0x80

// maxDepth bounds the nesting of a payload, of our own and of the network's.
const maxDepth = 128

// Encode makes a payload of a Go value: structs by their json tags, maps, slices, numbers, text, nil, or a
// Payload. The value is read at once and not kept. If it cannot be written, the payload's Err says why,
// and a response that carries it is answered with [StatusBad] instead. Values nested deeper than 512
// levels, functions and channels cannot be written.
func Encode(v any) Payload {
	if p, ok := v.(Payload); ok {
		return p
	}
	raw, err := pyjson.Append(make([]byte, 0, 128), v)
	if err != nil {
		return Payload{err: fmt.Errorf("encode payload: %w", err)}
	}
	return Payload{raw: raw, python: true}
}

// ParsePayload takes JSON text as a payload: one value, nested 128 levels at most. It copies nothing: the
// bytes are the payload's from now on.
func ParsePayload(text []byte) (Payload, error) {
	if err := pyjson.Check(text, maxDepth); err != nil {
		return Payload{}, fmt.Errorf("parse payload: %w", err)
	}
	return Payload{raw: text}, nil
}

// ParseMsgPack takes one MessagePack value as a payload, nested 128 levels at most: for the wires that carry
// MessagePack. It copies what it needs of b.
//
// The payload is JSON from then on. Bytes become text in base64, so that Bind into a []byte gives them back. Of equal
// keys the last counts. Extensions, timestamps and keys of bytes have no form in JSON: the error names the key and what
// to try, and may be shown to the user who sent the payload.
func ParseMsgPack(b []byte) (Payload, error) {
	p, rest, err := CutMsgPack(b)
	if err == nil && len(rest) > 0 {
		return Payload{}, transcodeError("parse payload", &msgpack.SyntaxError{Offset: len(b) - len(rest), Err: msgpack.ErrTrailing})
	}
	return p, err
}

// CutMsgPack is ParseMsgPack for the value that b begins with. It returns what follows, after an error nothing.
func CutMsgPack(b []byte) (p Payload, rest []byte, err error) {
	if len(b) > 0 && b[0] == emptyMap {
		return Payload{}, b[1:], nil
	}
	scratch := scratches.Get().(*[]byte)
	defer putScratch(scratch)
	text, n, err := transcode.AppendJSON((*scratch)[:0], b)
	if err != nil {
		return Payload{}, nil, transcodeError("parse payload", err)
	}
	*scratch = text
	text = append(make([]byte, 0, len(text)), text...) // payloads may wait for long, in crowds
	return Payload{raw: text, python: true}, b[n:], nil
}

// scratches are space to make texts in whose length is not known before.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// putScratch gives it back, unless it has grown large.
func putScratch(scratch *[]byte) {
	if cap(*scratch) <= 64<<10 {
		scratches.Put(scratch)
	}
}

// transcodeError names the place in the payload, or says what was being done if there is none.
func transcodeError(doing string, err error) error {
	if bad, ok := errors.AsType[*transcode.Error](err); ok {
		return bad.Under("payload")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Err is why the value given to [Encode] could not be encoded, or nil.
func (p Payload) Err() error { return p.err }

// JSON is the payload as JSON text: as it was received, or as it will be sent. It must not be changed. A
// payload that could not be encoded gives {}.
func (p Payload) JSON() []byte {
	if p.raw == nil {
		return []byte("{}")
	}
	return p.raw
}

// IsObject tells whether the payload is an object. The lobby's requests need one; games may get any value.
func (p Payload) IsObject() bool { return p.raw == nil || pyjson.KindOf(p.raw) == pyjson.Object }

// Empty tells whether the payload is an object without members.
func (p Payload) Empty() bool {
	empty := p.IsObject()
	_ = p.each(func(string, Payload) error { empty = false; return errStop })
	return empty
}

// Bind decodes the payload into a Go value: structs by their json tags or field names, which are
// case-sensitive. Unknown keys are ignored, missing ones leave the field as it is: a pointer field tells
// whether a key was there. 2.0 does not go into an integer field. The error names the key,
// what was wanted and what came, and may be shown to the user who sent the payload.
func (p Payload) Bind(into any) error {
	if p.err != nil {
		return p.err
	}
	err := pyjson.Bind(p.JSON(), into)
	var bad *pyjson.BindError
	if errors.As(err, &bad) {
		return bad.Under("payload")
	}
	return err
}

// Get is the value under a key of an object, and whether there is one: nil, bool, int64 (or *big.Int),
// float64, string, []any or map[string]any. Of equal keys the last counts. A payload that is no object has
// no keys.
func (p Payload) Get(key string) (any, bool) {
	var found *Payload
	_ = p.each(func(k string, v Payload) error {
		if k == key {
			found = &v // the last of equal keys counts
		}
		return nil
	})
	if found == nil {
		return nil, false
	}
	var v any
	err := found.Bind(&v)
	return v, err == nil
}

var errStop = errors.New("stop")

// each calls fn for the members of an object, in the order sent.
func (p Payload) each(fn func(key string, value Payload) error) error {
	return pyjson.Members(p.JSON(), maxDepth, func(key, value []byte) error {
		return fn(string(key), Payload{raw: value})
	})
}

// AppendPyJSON appends the payload as Python would write it. The error is that of Err.
func (p Payload) AppendPyJSON(b []byte) ([]byte, error) {
	if p.err != nil {
		return b, p.err
	}
	if p.python {
		return append(b, p.raw...), nil
	}
	return pyjson.AppendRaw(b, p.JSON()), nil
}

// AppendMsgPack appends the payload as one MessagePack value, for the wires that carry MessagePack. Integers and floats
// stay apart, and keys in order. The error is that of Err, or says what has no form there and what to try, and names the
// key: integers below -2^63 or above 2^64-1, text with a lone surrogate, more than 128 levels. b is returned
// as it was then.
func (p Payload) AppendMsgPack(b []byte) ([]byte, error) {
	if p.err != nil {
		return b, p.err
	}
	if p.raw == nil {
		return append(b, emptyMap), nil
	}
	out, err := transcode.AppendMsgPack(b, p.JSON())
	if err != nil {
		return b, transcodeError("encode payload", err)
	}
	return out, nil
}

// MarshalJSON writes the payload for encoding/json, which refuses NaN and infinities.
func (p Payload) MarshalJSON() ([]byte, error) { return p.AppendPyJSON(nil) }

// UnmarshalJSON keeps a copy of the text.
func (p *Payload) UnmarshalJSON(text []byte) (err error) {
	*p, err = ParsePayload(append([]byte(nil), text...))
	return err
}

// BindPyJSON keeps the text of a value inside a larger payload, unchecked and uncopied: it is for Bind.
func (p *Payload) BindPyJSON(raw []byte) error {
	*p = Payload{raw: raw}
	return nil
}

// String is the payload as Python renders it (section 7.5), for logs and debug texts.
func (p Payload) String() string {
	if p.err != nil {
		return p.err.Error()
	}
	return string(pyjson.AppendRepr(nil, p.JSON()))
}
