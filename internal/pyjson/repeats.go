package pyjson

import (
	"bytes"
	"cmp"
	"slices"

	"parlor/internal/keyset"
)

// A member says where in the output a member of an object was written: the key at
// [key:colon], the value at [colon+2:end].
type member struct{ key, colon, end int }

// repeats reports whether two keys are equal. Short lists are compared each with
// each.
func repeats(b []byte, members []member) bool {
	if len(members) > 16 {
		return repeatsInMany(b, members)
	}
	for i, m := range members {
		for _, n := range members[:i] {
			if m.colon-m.key == n.colon-n.key && bytes.Equal(b[m.key:m.colon], b[n.key:n.colon]) {
				return true
			}
		}
	}
	return false
}

func repeatsInMany(b []byte, members []member) bool {
	var keys keyset.Set
	for _, m := range members {
		if keys.Add(b, m.key, m.colon) >= 0 {
			return true
		}
	}
	return false
}

// An oddObject was written at [start:end] of the output, though keys repeat in it.
type oddObject struct {
	start, end int
	pairs      []pair // what counts, at the place of the first
}

// A pair is a key and the last value it has: the key at [key:colon], the value at
// [value:end].
type pair struct{ key, colon, value, end int }

func newOddObject(b []byte, start int, members []member) oddObject {
	o := oddObject{start: start, end: len(b)}
	var keys keyset.Set
	for _, m := range members {
		if first := keys.Add(b, m.key, m.colon); first >= 0 {
			o.pairs[first].value, o.pairs[first].end = m.colon+2, m.end
		} else {
			o.pairs = append(o.pairs, pair{m.key, m.colon, m.colon + 2, m.end})
		}
	}
	return o
}

// oddObjects are all of one output.
type oddObjects []oddObject

// resolve writes the output, b[from:], again without the repeats. Its time is
// linear however many there are and however they nest.
func (odd oddObjects) resolve(b []byte, from int) []byte {
	slices.SortFunc(odd, func(x, y oddObject) int { return cmp.Compare(x.start, y.start) })
	text := slices.Clone(b)
	return odd.append(b[:from], text, from, len(text))
}

// append appends text[from:to].
func (odd oddObjects) append(b, text []byte, from, to int) []byte {
	for {
		i, _ := slices.BinarySearchFunc(odd, from, func(o oddObject, from int) int { return cmp.Compare(o.start, from) })
		if i == len(odd) || odd[i].start >= to {
			return append(b, text[from:to]...)
		}
		o := odd[i]
		b = append(b, text[from:o.start]...)
		b = append(b, '{')
		for n, p := range o.pairs {
			if n > 0 {
				b = append(b, ", "...)
			}
			b = append(b, text[p.key:p.colon]...)
			b = append(b, ": "...)
			b = odd.append(b, text, p.value, p.end)
		}
		b = append(b, '}')
		from = o.end
	}
}
