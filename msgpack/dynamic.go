package msgpack

import (
	"math"
	"slices"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// decodeAny reads the value that b, part of a valid message, starts with. With ordered, maps become a Map.
func decodeAny(b []byte, ordered bool) (v any, rest []byte, err error) {
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
		s, rest, err := msgp.ReadStringBytes(b)
		return s, rest, err
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
		s, rest, err := decodeArray(b, ordered)
		return s, rest, err
	case kindMap:
		if ordered {
			m, rest, err := decodeMap(b, true)
			return m, rest, err
		}
		return decodeGoMap(b)
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

func decodeArray(b []byte, ordered bool) ([]any, []byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return nil, b, err
	}
	s := make([]any, n)
	for i := range s {
		if s[i], b, err = decodeAny(b, ordered); err != nil {
			return nil, b, err
		}
	}
	return s, b, nil
}

// decodeGoMap gives a map[string]any, or a Map in key order if there is a key that is not text.
func decodeGoMap(b []byte) (any, []byte, error) {
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
		if into[string(key)], b, err = decodeAny(b, false); err != nil {
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
func decodeMap(b []byte, ordered bool) (Map, []byte, error) {
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
		p := Pair{Key: string(key), Bin: bin}
		if p.Value, b, err = decodeAny(b, ordered); err != nil {
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
