package transcode

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// A wideHeader is that of an array or map whose count does not fit into the byte that was left for it.
type wideHeader struct {
	at     int // of that byte
	n      uint32
	lead16 byte // of the form with 16 bits
}

// wideHeaders are those of one value. They are put in at the end, all of them: making room for each at once would move
// what is within it again for each one around.
type wideHeaders struct {
	n    int
	few  [8]wideHeader
	more []wideHeader
}

func (w *wideHeaders) add(h wideHeader) {
	if w.n < len(w.few) {
		w.few[w.n] = h
		w.n++
		return
	}
	w.more = append(w.more, h)
}

// insert makes room for all the headers in b, and puts them in.
func (w *wideHeaders) insert(b []byte) []byte {
	if w.n == 0 {
		return b
	}
	all := w.few[:w.n]
	if w.more != nil {
		all = append(w.more, all...)
	}
	slices.SortFunc(all, func(x, y wideHeader) int { return cmp.Compare(x.at, y.at) })
	room := 0
	for _, h := range all {
		room += h.size() - 1
	}
	from, to := len(b), len(b)+room
	b = slices.Grow(b, room)[:to]
	for _, h := range slices.Backward(all) {
		to -= copy(b[to-(from-h.at-1):to], b[h.at+1:from])
		to -= h.put(b[:to])
		from = h.at
	}
	return b
}

func (h wideHeader) size() int {
	if h.n < 1<<16 {
		return 3
	}
	return 5
}

// put writes the header to the end of b, and returns its size.
func (h wideHeader) put(b []byte) int {
	b = b[len(b)-h.size():]
	if len(b) == 3 {
		b[0] = h.lead16
		binary.BigEndian.PutUint16(b[1:], uint16(h.n))
	} else {
		b[0] = h.lead16 + 1 // that of the form with 32 bits
		binary.BigEndian.PutUint32(b[1:], h.n)
	}
	return len(b)
}
