package pyjson

import (
	"slices"
	"unicode/utf8"
)

// AppendRaw appends valid JSON text as Python would write the value it reads
// from it: its separators, escapes and numbers, integers in full, and of equal
// keys the last value at the place of the first. Numbers keep their kind: 1
// stays 1, 1E+2 becomes 100.0, 1e400 becomes Infinity.
//
// raw must have passed [Check] or come from [Members] or [Elements]. Text that
// is not JSON is written as null.
func AppendRaw(b, raw []byte) []byte {
	return rewrite(b, raw, false)
}

func rewrite(b, raw []byte, repr bool) []byte {
	w := rewriter{scanner: scanner{b: raw}, repr: repr}
	n := len(b)
	b = slices.Grow(b, len(raw)+len(raw)/8+8)
	b, i := w.value(b, skipSpace(raw, 0), deepest)
	switch {
	case i >= 0 && w.odd == nil:
		return b
	case i >= 0:
		return w.odd.resolve(b, n)
	case repr:
		return append(b[:n], "None"...)
	default:
		return append(b[:n], "null"...)
	}
}

// A rewriter walks a text and appends its values in another form.
type rewriter struct {
	scanner
	repr bool       // Python's repr instead of its JSON
	odd  oddObjects // what was written, but has equal keys
}

func (w *rewriter) value(b []byte, i, left int) ([]byte, int) {
	if i >= len(w.b) {
		return b, w.fail(i, "expected a value")
	}
	switch c := w.b[i]; c {
	case '"':
		if w.repr {
			return w.reprStr(b, i)
		}
		return w.str(b, i)
	case '{':
		return w.object(b, i, left)
	case '[':
		return w.array(b, i, left)
	case 't':
		return w.word(b, i, "true", "True")
	case 'f':
		return w.word(b, i, "false", "False")
	case 'n':
		return w.word(b, i, "null", "None")
	case 'N':
		return w.word(b, i, "NaN", "nan")
	case 'I':
		return w.word(b, i, "Infinity", "inf")
	default:
		return w.number(b, i)
	}
}

func (w *rewriter) word(b []byte, i int, json, repr string) ([]byte, int) {
	if w.repr {
		return append(b, repr...), w.scanner.word(i, json)
	}
	return append(b, json...), w.scanner.word(i, json)
}

func (w *rewriter) array(b []byte, i, left int) ([]byte, int) {
	if left <= 0 {
		return b, w.fail(i, depthMsg)
	}
	b = append(b, '[')
	i, more := w.open(i, ']')
	for more {
		if b, i = w.value(b, i, left-1); i < 0 {
			return b, -1
		}
		if i, more = w.next(i, ']'); more {
			b = append(b, ", "...)
		}
	}
	return append(b, ']'), i
}

// object writes all members as they come. Equal keys are rare, so they are
// looked for at the end, and in the output, where equal keys are equal bytes. What
// to do about them is only noted here: done at once, it would be done again for
// each object around.
func (w *rewriter) object(b []byte, i, left int) ([]byte, int) {
	if left <= 0 {
		return b, w.fail(i, depthMsg)
	}
	var few [16]member // keeps the usual object off the heap
	members := few[:0]
	start := len(b)
	b = append(b, '{')
	i, more := w.open(i, '}')
	for more {
		if i >= len(w.b) || w.b[i] != '"' {
			return b, w.key(i)
		}
		m := member{key: len(b)}
		b, i = w.value(b, i, left-1)
		m.colon = len(b)
		if i = w.colon(i); i < 0 {
			return b, -1
		}
		b = append(b, ": "...)
		if b, i = w.value(b, i, left-1); i < 0 {
			return b, -1
		}
		m.end = len(b)
		members = append(members, m)
		if i, more = w.next(i, '}'); more {
			b = append(b, ", "...)
		}
	}
	b = append(b, '}')
	if repeats(b, members) {
		w.odd = append(w.odd, newOddObject(b, start, members))
	}
	return b, i
}

// str rewrites the string whose opening quote is at i.
func (w *rewriter) str(b []byte, i int) ([]byte, int) {
	raw := w.b
	from := i
	i++
	for {
		i = plainRun(raw, i)
		if i >= len(raw) {
			return b, w.fail(i, "string without an end")
		}
		c := raw[i]
		if c == '"' {
			return append(b, raw[from:i+1]...), i + 1
		}
		b = append(b, raw[from:i]...)
		r, size := w.char(i)
		if size == 0 {
			return b, -1
		}
		if r < 0x80 && plain[r] {
			b = append(b, byte(r))
		} else {
			b = appendEscape(b, r)
		}
		i += size
		from = i
	}
}

// char decodes the character or escape at i of a string and returns its length,
// 0 if it is broken.
func (w *rewriter) char(i int) (rune, int) {
	switch c := w.b[i]; {
	case c == '\\':
		r, size := DecodeEscape(w.b[i:])
		if size == 0 {
			w.escape(i)
		}
		return r, size
	case c < 0x20:
		w.fail(i, "control character in a string")
		return 0, 0
	case c < 0x80:
		return rune(c), 1
	}
	r, size := utf8.DecodeRune(w.b[i:])
	if r == utf8.RuneError && size == 1 {
		w.fail(i, "invalid UTF-8 in a string")
		return 0, 0
	}
	return r, size
}

func (w *rewriter) number(b []byte, i int) ([]byte, int) {
	end := w.scanner.number(i)
	if end < 0 {
		return b, -1
	}
	return appendNumber(b, w.b[i:end], w.repr), end
}

// appendNumber appends a number Python's way.
func appendNumber(b, num []byte, repr bool) []byte {
	switch {
	case string(num) == "-0":
		return append(b, '0')
	case numberKind(num) == Int || settled(num):
		return append(b, num...)
	case repr:
		return appendReprFloat(b, ParseFloat(num))
	default:
		return AppendFloat(b, ParseFloat(num))
	}
}
