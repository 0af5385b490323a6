package transcode

import "parlor/internal/keyset"

// An oddMap is a map in which keys repeat.
type oddMap struct {
	pairs []pair // what counts, at the place of the first
	end   int    // what follows the map
}

// A pair is a key of size bytes at key, and the last value that it has.
type pair struct{ key, size, value int }

// oddMaps finds those of a valid message, by their offsets. They are only noted here: writing each anew would write
// what is within it again for each one around.
func oddMaps(mp []byte) map[int]oddMap {
	f := finder{mp: mp, odd: map[int]oddMap{}}
	f.value(0)
	return f.odd
}

type finder struct {
	mp  []byte
	odd map[int]oddMap
}

// value passes over the value at i.
func (f *finder) value(i int) int {
	k, n, at := header(f.mp, i)
	switch k {
	case kindArray:
		for range n {
			at = f.value(at)
		}
		return at
	case kindMap:
		return f.object(i, at, n)
	}
	return at + n
}

// object passes over the map at start, of n pairs, of which the first is at i.
func (f *finder) object(start, i, n int) int {
	var pairs []pair
	var keys keyset.Set
	odd, bytes := false, false
	for range n {
		k, size, key := header(f.mp, i)
		value := key + size
		i = f.value(value)
		if k == kindBytes {
			bytes = true
			continue
		}
		if same := keys.Add(f.mp, key, value); same >= 0 {
			pairs[same].value, odd = value, true
		} else {
			pairs = append(pairs, pair{key, size, value})
		}
	}
	if odd && !bytes { // with a key of bytes it has no form in JSON at all
		f.odd[start] = oddMap{pairs, i}
	}
	return i
}
