package msgpack

import (
	"encoding/binary"
	"unicode/utf8"
)

// Valid tells whether b is exactly one value within the limits. It allocates nothing unless it fails; the error
// is a [*SyntaxError] or a [*LimitError].
func Valid(b []byte, lim Limits) error {
	if lim.Bytes > 0 && len(b) > lim.Bytes {
		return &LimitError{Max: lim.Bytes, Err: ErrBytes}
	}
	n, err := First(b, lim)
	if err == nil && n != len(b) {
		return &SyntaxError{Offset: n, Err: ErrTrailing}
	}
	return err
}

// First is Valid for a message that begins with a value and goes on behind it. It returns how many bytes that value
// takes. Limits.Bytes is of no effect.
func First(b []byte, lim Limits) (int, error) {
	if len(b) == 0 {
		return 0, &SyntaxError{Err: ErrEmpty}
	}
	lim = lim.withDefaults(len(b))
	w := walker{b: b, lim: lim, depth: lim.Depth, elements: lim.Elements}
	if err := w.values(1, false); err != nil {
		return 0, err
	}
	return w.pos, nil
}

// walker goes through a message and builds nothing. It trusts no length: each is held against the bytes left,
// and each count against the budget, before anything is done with it.
type walker struct {
	b        []byte
	pos      int
	depth    int // containers that may still be opened
	elements int // elements that may still be declared
	lim      Limits
}

func (w *walker) fail(err error) error { return &SyntaxError{Offset: w.pos, Err: err} }

// values walks n values; if keyed, every other one is a map key, the first to begin with.
func (w *walker) values(n int, keyed bool) error {
	for i := range n {
		if w.pos >= len(w.b) {
			return w.fail(ErrTruncated)
		}
		c := w.b[w.pos]
		if c>>5 == leadFixStr>>5 {
			if !w.short(int(c & 0x1f)) {
				if err := w.text(1, uint64(c&0x1f)); err != nil {
					return err
				}
			}
			continue
		}
		if keyed && i&1 == 0 {
			if k := kinds[c]; k != kindStr && k != kindBin {
				return w.fail(ErrKey)
			}
		}
		var err error
		switch {
		case c < 0x80 || c >= 0xe0:
			w.pos++
		case c < 0x90:
			err = w.open(1, 2*uint64(c&0x0f), true)
		case c < 0xa0:
			err = w.open(1, uint64(c&0x0f), false)
		default:
			err = w.wide(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// high are the bits that plain text has not, of each of eight bytes.
const high = 0x8080808080808080

// short passes a text of up to eight plain bytes, as most keys are, if that can be told with one look.
func (w *walker) short(n int) bool {
	rest := w.b[w.pos+1:]
	if n > 8 || len(rest) < 8 || binary.LittleEndian.Uint64(rest)<<(64-8*n)&high != 0 {
		return false
	}
	w.pos += 1 + n
	return true
}

// wide walks a value whose lead byte is c0 to df.
func (w *walker) wide(c byte) error {
	switch c {
	case leadNil, leadFalse, leadTrue:
		w.pos++
		return nil
	case leadNever:
		return w.fail(ErrLeadByte)
	case leadFloat32:
		return w.skip(1, 4)
	case leadFloat64:
		return w.skip(1, 8)
	case leadUint8, leadUint16, leadUint32, leadUint64:
		return w.skip(1, 1<<(c-leadUint8))
	case leadInt8, leadInt16, leadInt32, leadInt64:
		return w.skip(1, 1<<(c-leadInt8))
	case leadFixExt1, leadFixExt1 + 1, leadFixExt1 + 2, leadFixExt1 + 3, leadFixEx16:
		return w.ext(1, 1<<(c-leadFixExt1))
	}
	return w.sized(c)
}

// sized walks a value that has its length after the lead byte.
func (w *walker) sized(c byte) error {
	width := lengthWidth(c)
	rest := w.b[w.pos+1:]
	if len(rest) < width {
		return w.fail(ErrTruncated)
	}
	var n uint64
	switch width {
	case 1:
		n = uint64(rest[0])
	case 2:
		n = uint64(binary.BigEndian.Uint16(rest))
	default:
		n = uint64(binary.BigEndian.Uint32(rest))
	}
	header := 1 + width
	switch kinds[c] {
	case kindStr:
		return w.text(header, n)
	case kindExt:
		return w.ext(header, n)
	case kindArray:
		return w.open(header, n, false)
	case kindMap:
		return w.open(header, 2*n, true)
	default: // kindBin
		return w.skip(header, n)
	}
}

// lengthWidth is how many bytes of length follow the lead byte.
func lengthWidth(c byte) int {
	switch c {
	case leadStr8, leadBin8, leadExt8:
		return 1
	case leadStr16, leadBin16, leadExt16, leadArray16, leadMap16:
		return 2
	default:
		return 4
	}
}

// skip passes a header and n bytes.
func (w *walker) skip(header int, n uint64) error {
	left := len(w.b) - w.pos - header
	if left < 0 || n > uint64(left) {
		return w.fail(ErrTruncated)
	}
	w.pos += header + int(n)
	return nil
}

func (w *walker) text(header int, n uint64) error {
	start := w.pos
	if err := w.skip(header, n); err != nil {
		return err
	}
	if s := w.b[start+header : w.pos]; !ascii(s) && !utf8.Valid(s) {
		w.pos = start
		return w.fail(ErrUTF8)
	}
	return nil
}

// ascii tells whether a text is short and plain, as most are: that is told faster than that it is valid.
func ascii(s []byte) bool {
	if len(s) > 64 {
		return false
	}
	var all byte
	for len(s) >= 8 {
		if binary.LittleEndian.Uint64(s)&high != 0 {
			return false
		}
		s = s[8:]
	}
	for _, c := range s {
		all |= c
	}
	return all < 0x80
}

func (w *walker) ext(header int, n uint64) error {
	start := w.pos
	if err := w.skip(header+1, n); err != nil {
		return err
	}
	code := int8(w.b[start+header])
	if code < -1 || code == timestampCode && !validTimestamp(w.b[start+header+1:w.pos]) {
		w.pos = start
		return w.fail(ErrExt)
	}
	return nil
}

// open walks the n values of an array or map. Each takes a byte at least.
func (w *walker) open(header int, n uint64, keyed bool) error {
	if n > uint64(len(w.b)-w.pos-header) {
		return w.fail(ErrTruncated)
	}
	if n > uint64(w.elements) {
		return &LimitError{Max: w.lim.Elements, Err: ErrElements}
	}
	if w.depth == 0 {
		return &LimitError{Max: w.lim.Depth, Err: ErrDepth}
	}
	w.pos += header
	w.elements -= int(n)
	w.depth--
	err := w.values(int(n), keyed)
	w.depth++
	return err
}
