package msgpack

import (
	"math"
	"slices"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// dynamic decodes into Go's own types. The zero value will do.
type dynamic struct {
	ordered bool   // maps become a Map
	message string // of which the texts are parts; if empty, each is allocated for itself
}

// sharedText is how long a message may be of which the texts share one allocation: whoever keeps one of them keeps
// all of it.
const sharedText = 256

// whole returns a decoder for a message, which ends where what it is given ends.
func whole(b []byte, ordered bool) *dynamic {
	d := &dynamic{ordered: ordered}
	if len(b) <= sharedText {
		d.message = string(b)
	}
	return d
}

// text is p as a string, where p stands in the message right before rest.
func (d *dynamic) text(p, rest []byte) string {
	if d.message == "" {
		return string(p)
	}
	end := len(d.message) - len(rest)
	return d.message[end-len(p) : end]
}

// any reads the value that b, part of a valid message, starts with.
func (d *dynamic) any(b []byte) (v any, rest []byte, err error) {
	switch kindOf(b) {
	case kindNil:
		return nil, b[1:], nil
	case kindBool:
		return b[0] == leadTrue, b[1:], nil
	case kindInt:
		return decodeInteger(b)
	case kindFloat:
		f, rest, err := msgp.ReadFloat64Bytes(b)
		return f, rest, err
	case kindStr:
		p, rest, err := msgp.ReadStringZC(b)
		return d.text(p, rest), rest, err
	case kindBin:
		p, rest, err := msgp.ReadBytesZC(b)
		return clone(p), rest, err
	case kindExt:
		code, data, rest := splitExt(b)
		if code == timestampCode {
			return readTimestamp(data), rest, nil
		}
		return Ext{Code: code, Data: clone(data)}, rest, nil
	case kindArray:
		s, rest, err := d.array(b)
		return s, rest, err
	case kindMap:
		if d.ordered {
			m, rest, err := d.orderedMap(b)
			return m, rest, err
		}
		return d.goMap(b)
	}
	return nil, b, typeError("a value", b)
}

// decodeInteger gives an int64, or a uint64 if it must.
func decodeInteger(b []byte) (any, []byte, error) {
	if b[0] == leadUint64 {
		u, rest, err := msgp.ReadUint64Bytes(b)
		if u > math.MaxInt64 {
			return u, rest, err
		}
		return int64(u), rest, err
	}
	i, rest, err := msgp.ReadInt64Bytes(b)
	return i, rest, err
}

func (d *dynamic) array(b []byte) ([]any, []byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return nil, b, err
	}
	s := make([]any, n)
	for i := range s {
		if s[i], b, err = d.any(b); err != nil {
			return nil, b, err
		}
	}
	return s, b, nil
}

// goMap gives a map[string]any, or a Map in key order if there is a key that is not text.
func (d *dynamic) goMap(b []byte) (any, []byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return nil, b, err
	}
	m := make(map[string]any, n)
	var bins map[string]any // not a second try as a Map: nested, that would take twice the time at each level
	for range n {
		into := m
		var key []byte
		if kindOf(b) == kindBin {
			if bins == nil {
				bins = make(map[string]any)
			}
			into = bins
			key, b, err = msgp.ReadBytesZC(b)
		} else {
			key, b, err = msgp.ReadStringZC(b)
		}
		if err != nil {
			return nil, b, err
		}
		if into[d.text(key, b)], b, err = d.any(b); err != nil {
			return nil, b, err
		}
	}
	if bins != nil {
		return mixedMap(m, bins), b, nil
	}
	return m, b, nil
}

// mixedMap joins the entries with keys of text and of bytes, in key order.
func mixedMap(texts, bins map[string]any) Map {
	m := make(Map, 0, len(texts)+len(bins))
	for k, v := range texts {
		m = append(m, Pair{Key: k, Value: v})
	}
	for k, v := range bins {
		m = append(m, Pair{Key: k, Bin: true, Value: v})
	}
	slices.SortFunc(m, func(a, b Pair) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 || a.Bin == b.Bin {
			return c
		}
		if b.Bin {
			return -1
		}
		return 1
	})
	return m
}

// decodeMap reads a map as a Map, and with ordered the maps within too.
func (d *dynamic) orderedMap(b []byte) (Map, []byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return nil, b, err
	}
	m := make(Map, 0, n)
	var seen index
	for range n {
		var key []byte
		bin := kindOf(b) == kindBin
		if bin {
			key, b, err = msgp.ReadBytesZC(b)
		} else {
			key, b, err = msgp.ReadStringZC(b)
		}
		if err != nil {
			return nil, b, err
		}
		p := Pair{Key: d.text(key, b), Bin: bin}
		if p.Value, b, err = d.any(b); err != nil {
			return nil, b, err
		}
		if i := seen.find(m, p.Key, bin); i >= 0 {
			m[i].Value = p.Value
		} else {
			m = append(m, p)
		}
	}
	return m, b, nil
}

// typeError says that the value b starts with is not what was wanted.
func typeError(want string, b []byte) error {
	got := kindOf(b).String()
	if kindOf(b) == kindExt {
		if code, _, _ := splitExt(b); code == timestampCode {
			got = "a timestamp"
		}
	}
	return &TypeError{Want: want, Got: got}
}
