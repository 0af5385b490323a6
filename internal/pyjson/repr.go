package pyjson

import (
	"strings"
	"unicode"
)

// AppendRepr appends Python's repr of the value json.loads reads from raw, which
// must be valid as for [AppendRaw]. Text that is not JSON is written as None.
func AppendRepr(b, raw []byte) []byte {
	return rewrite(b, raw, true)
}

// ReprString returns Python's repr of s.
func ReprString(s string) string {
	return string(AppendReprString(nil, s))
}

// AppendReprString appends Python's repr of s, in UTF-8: in single quotes, or in
// double quotes if that saves escaping. s may hold surrogates in WTF-8; bytes
// that belong to no character count as U+FFFD.
func AppendReprString(b []byte, s string) []byte {
	quote := byte('\'')
	if strings.IndexByte(s, '\'') >= 0 && strings.IndexByte(s, '"') < 0 {
		quote = '"'
	}
	b = append(b, quote)
	for len(s) > 0 {
		c := s[0]
		if c < 0x80 {
			b = appendReprASCII(b, c, quote)
			s = s[1:]
			continue
		}
		r, size := decodeWTF8(s)
		switch {
		case !printable(r):
			b = appendReprEscape(b, r)
		case size == 1:
			b = append(b, string(unicode.ReplacementChar)...)
		default:
			b = append(b, s[:size]...)
		}
		s = s[size:]
	}
	return append(b, quote)
}

func appendReprASCII(b []byte, c, quote byte) []byte {
	switch {
	case c == '\\' || c == quote:
		return append(b, '\\', c)
	case c == '\t' || c == '\n' || c == '\r':
		return append(b, '\\', escaped[c])
	case c < ' ' || c == 0x7f:
		return appendReprEscape(b, rune(c))
	default:
		return append(b, c)
	}
}

func appendReprEscape(b []byte, r rune) []byte {
	letter, width := byte('x'), 2
	switch {
	case r > 0xffff:
		letter, width = 'U', 8
	case r > 0xff:
		letter, width = 'u', 4
	}
	b = append(b, '\\', letter)
	for shift := 4 * (width - 1); shift >= 0; shift -= 4 {
		b = append(b, hexDigits[r>>shift&15])
	}
	return b
}

// printable is Python's str.isprintable: everything but controls, formats,
// surrogates, private use, the unassigned, and separators.
func printable(r rune) bool {
	return unicode.IsPrint(r) && !unicode.Is(newer, r)
}

// newer holds what Unicode 15 assigned. Go knows these characters; Python 3.11,
// with which the reference texts were made, has Unicode 14 and escapes them.
var newer = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0cf3, 0x0cf3, 1},
		{0x0ece, 0x0ece, 1},
	},
	R32: []unicode.Range32{
		{0x10efd, 0x10eff, 1}, {0x1123f, 0x11241, 1}, {0x11b00, 0x11b09, 1},
		{0x11f00, 0x11f10, 1}, {0x11f12, 0x11f3a, 1}, {0x11f3e, 0x11f59, 1},
		{0x1342f, 0x1342f, 1}, {0x13440, 0x13455, 1}, {0x1b132, 0x1b132, 1},
		{0x1b155, 0x1b155, 1}, {0x1d2c0, 0x1d2d3, 1}, {0x1df25, 0x1df2a, 1},
		{0x1e030, 0x1e06d, 1}, {0x1e08f, 0x1e08f, 1}, {0x1e4d0, 0x1e4f9, 1},
		{0x1f6dc, 0x1f6dc, 1}, {0x1f774, 0x1f776, 1}, {0x1f77b, 0x1f77f, 1},
		{0x1f7d9, 0x1f7d9, 1}, {0x1fa75, 0x1fa77, 1}, {0x1fa87, 0x1fa88, 1},
		{0x1faad, 0x1faaf, 1}, {0x1fabb, 0x1fabd, 1}, {0x1fabf, 0x1fabf, 1},
		{0x1face, 0x1facf, 1}, {0x1fada, 0x1fadb, 1}, {0x1fae8, 0x1fae8, 1},
		{0x1faf7, 0x1faf8, 1}, {0x2b739, 0x2b739, 1}, {0x31350, 0x323af, 1},
	},
}

// reprStr rewrites the string whose opening quote is at i as repr.
func (w *rewriter) reprStr(b []byte, i int) ([]byte, int) {
	end := w.scanner.str(i)
	if end < 0 {
		return b, -1
	}
	s, _ := Unquote(w.b[i:end])
	return AppendReprString(b, s), end
}
