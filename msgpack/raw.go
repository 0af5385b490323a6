package msgpack

import "github.com/tinylib/msgp/msgp"

// Raw is one encoded value, kept as it is. As a field it holds what came until somebody knows what to read
// it into, and is written without being decoded. An empty Raw is nil.
//
// [Unmarshal] gives it memory of its own. [Append] validates it, as the rest of a message would be
// lost with it.
type Raw []byte

// MarshalMsg appends the value, for types that the msgp generator wrote.
func (r Raw) MarshalMsg(b []byte) ([]byte, error) { return appendRaw(b, r, DefaultDepth) }

// UnmarshalMsg takes a copy of the value that b starts with, and returns what follows.
func (r *Raw) UnmarshalMsg(b []byte) ([]byte, error) {
	rest, err := msgp.Skip(b)
	if err != nil {
		return b, err
	}
	*r = clone(b[:len(b)-len(rest)])
	return rest, nil
}

// Msgsize is the encoded length at most.
func (r Raw) Msgsize() int { return max(1, len(r)) }

// appendRaw appends r, which may nest depth levels.
func appendRaw(b []byte, r Raw, depth int) ([]byte, error) {
	if len(r) == 0 {
		return msgp.AppendNil(b), nil
	}
	if depth <= 0 {
		if k := kindOf(r); k == kindArray || k == kindMap {
			return b, errTooDeep()
		}
		depth = 1
	}
	if err := Valid(r, Limits{Depth: depth}); err != nil {
		return b, err
	}
	return append(b, r...), nil
}

// clone copies b; it is never nil, so that empty bytes do not become nil.
func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
