package msgpack

import (
	"math"

	"github.com/tinylib/msgp/msgp"
)

// Map is a map that keeps its order, and keys of bytes apart from keys of text. It is written in that
// order; reading one keeps the wire's order, here and in all maps within. Of equal keys the last value
// counts, at the place of the first, as in Python.
type Map []Pair

// Pair is an entry of a [Map].
type Pair struct {
	// Key is text, or any bytes if Bin is set. Keys of the two sorts are never equal.
	Key   string
	Bin   bool
	Value any
}

// Get is the value under a key of text, and whether there is one. It goes through the pairs in turn.
func (m Map) Get(key string) (any, bool) {
	for i := range m {
		if m[i].Key == key && !m[i].Bin {
			return m[i].Value, true
		}
	}
	return nil, false
}

func appendMap(b []byte, m Map, depth int) ([]byte, error) {
	if depth <= 0 {
		return b, errTooDeep()
	}
	b, err := appendMapHeader(b, len(m))
	for i := 0; i < len(m) && err == nil; i++ {
		p := &m[i]
		if p.Bin {
			b = msgp.AppendBytes(b, []byte(p.Key))
		} else if b, err = appendString(b, p.Key); err != nil {
			return b, inKey(p.Key, err)
		}
		if b, err = appendAny(b, p.Value, depth-1); err != nil {
			err = inKey(p.Key, err)
		}
	}
	return b, err
}

// index finds the equal keys of a Map while it is read. Small maps are searched, so that most need no memory
// for it; a hostile one must not cost the square of its length.
type index struct{ at map[pairKey]int }

type pairKey struct {
	key string
	bin bool
}

const searchUpTo = 8

// find returns where m has the key, or -1, in which case it will be appended.
func (x *index) find(m Map, key string, bin bool) int {
	if len(m) < searchUpTo {
		for i := range m {
			if m[i].Key == key && m[i].Bin == bin {
				return i
			}
		}
		return -1
	}
	if x.at == nil {
		x.at = make(map[pairKey]int, 2*len(m))
		for i := range m {
			x.at[pairKey{m[i].Key, m[i].Bin}] = i
		}
	}
	k := pairKey{key, bin}
	if i, ok := x.at[k]; ok {
		return i
	}
	x.at[k] = len(m)
	return -1
}

// fits tells whether a length can be written in the 32 bits of the longest header.
func fits(n int) bool { return uint64(n) <= math.MaxUint32 }
