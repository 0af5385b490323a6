// Package keyset finds equal keys in an object while its text is walked: few keys without allocating, and any number
// in linear time, also if they were chosen to make it slow.
package keyset

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// few is up to how many keys are compared each with each. The usual object has no more.
const few = 16

// A Set holds the keys of one object, as spans of a text. The zero Set is empty. It must not be used by several
// goroutines at a time.
type Set struct {
	n      int
	prints [few]uint64
	first  [few]span
	many   *table // all keys, if there are more than few
}

// span is where a key stands.
type span struct{ from, to int }

func (s span) of(text []byte) []byte { return text[s.from:s.to] }

// Add adds the key text[from:to] and returns -1. If there is an equal one already, it adds nothing and returns how many
// had been added before that. Each time the text must have what it had where those keys are; it may be longer or
// moved. Add is fastest if the text goes on for a few bytes behind the key, whatever they are.
func (s *Set) Add(text []byte, from, to int) int {
	if s.many != nil {
		return s.many.add(text, span{from, to})
	}
	var p uint64
	if len(text)-from >= 8 {
		p = print(binary.LittleEndian.Uint64(text[from:]), to-from)
	} else {
		p = shortPrint(text[from:to])
	}
	for i := range s.prints[:s.n] {
		if s.prints[i] == p && bytes.Equal(s.first[i].of(text), text[from:to]) {
			return i
		}
	}
	if s.n == few {
		s.many = newTable(text, s.first[:])
		return s.many.add(text, span{from, to})
	}
	s.prints[s.n], s.first[s.n] = p, span{from, to}
	s.n++
	return -1
}

// print is a number that equal keys have in common and others mostly not: the first seven bytes, and the length. The key
// has n bytes, and x is it, in little endian, and what follows.
func print(x uint64, n int) uint64 { return x<<8<<(8*max(0, 7-n)) | uint64(byte(n)) }

// shortPrint is the print of a key that ends with its text.
func shortPrint(key []byte) uint64 {
	var x uint64
	for i := len(key) - 1; i >= 0; i-- {
		x = x<<8 | uint64(key[i])
	}
	return print(x, len(key))
}

// seed makes it impossible to choose keys that collide.
var seed = maphash.MakeSeed()

// table is a hash table with open addressing.
type table struct {
	keys  []span
	slots []slot // a power of two of them, at most half of them taken
}

// slot is the hash of a key and its number, from 1; 0 is a free slot.
type slot struct {
	hash   uint32
	number uint32
}

func newTable(text []byte, keys []span) *table {
	t := &table{slots: make([]slot, 4*few)}
	for _, k := range keys {
		t.add(text, k)
	}
	return t
}

func (t *table) add(text []byte, key span) int {
	hash := uint32(maphash.Bytes(seed, key.of(text)))
	mask := len(t.slots) - 1
	i := int(hash) & mask
	for t.slots[i].number > 0 {
		number := int(t.slots[i].number) - 1
		if t.slots[i].hash == hash && bytes.Equal(t.keys[number].of(text), key.of(text)) {
			return number
		}
		i = (i + 1) & mask
	}
	t.keys = append(t.keys, key)
	t.slots[i] = slot{hash, uint32(len(t.keys))}
	if 2*len(t.keys) > len(t.slots) {
		t.grow()
	}
	return -1
}

func (t *table) grow() {
	slots := make([]slot, 2*len(t.slots))
	mask := len(slots) - 1
	for _, s := range t.slots {
		if s.number == 0 {
			continue
		}
		i := int(s.hash) & mask
		for slots[i].number > 0 {
			i = (i + 1) & mask
		}
		slots[i] = s
	}
	t.slots = slots
}
