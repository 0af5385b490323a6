package pyjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plain marks the bytes that stand for themselves in a string, both as read and
// as Python writes it.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// unescaped maps the letter after a backslash to what it stands for.
var unescaped = [256]byte{
	'"': '"', '\\': '\\', '/': '/',
	'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// escaped maps a character to the letter of its short escape.
var escaped = [0x80]byte{
	'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't',
}

// hexValue maps a hex digit to its value, anything else to 0xff.
var hexValue = func() (t [256]byte) {
	for c := range t {
		t[c] = 0xff
	}
	for v, c := range []byte(hexDigits) {
		t[c] = byte(v)
		t[bytes.ToUpper([]byte{c})[0]] = byte(v)
	}
	return t
}()

// hex4 returns the value of the four hex digits b starts with, -1 if it does
// not.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	h0, h1, h2, h3 := hexValue[b[0]], hexValue[b[1]], hexValue[b[2]], hexValue[b[3]]
	if h0|h1|h2|h3 == 0xff {
		return -1
	}
	return rune(h0)<<12 | rune(h1)<<8 | rune(h2)<<4 | rune(h3)
}

// plainRun returns the offset of the first byte from i on that is not plain.
// It tests eight bytes at a time, as most strings are plain to the end.
func plainRun(b []byte, i int) int {
	for len(b)-i >= 8 {
		if m := oddBytes(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(b) && plain[b[i]] {
		i++
	}
	return i
}

// plainRunString is plainRun for strings. The compiler joins the eight loads.
func plainRunString(s string, i int) int {
	for len(s)-i >= 8 {
		t := s[i : i+8]
		x := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		if m := oddBytes(x); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(s) && plain[s[i]] {
		i++
	}
	return i
}

// oddBytes sets the top bit of each byte of x that is not plain. Bytes above
// the lowest such may be set wrongly, by a borrow; the lowest is exact.
func oddBytes(x uint64) uint64 {
	const (
		ones = 0x0101010101010101
		tops = 0x80 * ones
	)
	quote := x ^ '"'*ones
	slash := x ^ '\\'*ones
	del := x ^ 0x7f*ones
	low := (x - ' '*ones) &^ x
	eq := (quote-ones)&^quote | (slash-ones)&^slash | (del-ones)&^del
	return (low | eq | x) & tops
}

// Unquote decodes a valid JSON string, which white space may surround. Escapes
// of lone surrogates become WTF-8. It reports false if raw is not a string.
func Unquote(raw []byte) (string, bool) {
	body, ok := quoted(raw)
	if !ok {
		return "", false
	}
	if bytes.IndexByte(body, '\\') < 0 {
		return string(body), true
	}
	var few [128]byte
	b, ok := appendUnquoted(few[:0], body)
	if !ok {
		return "", false
	}
	return string(b), true
}

// quoted returns what is between the quotes of a JSON string.
func quoted(raw []byte) ([]byte, bool) {
	i, j := skipSpace(raw, 0), len(raw)
	for j > i && raw[j-1] <= ' ' && isSpace[raw[j-1]] {
		j--
	}
	if j-i < 2 || raw[i] != '"' || raw[j-1] != '"' {
		return nil, false
	}
	return raw[i+1 : j-1], true
}

// appendUnquoted appends what the inside of a JSON string stands for.
func appendUnquoted(b, body []byte) ([]byte, bool) {
	for {
		n := bytes.IndexByte(body, '\\')
		if n < 0 {
			return append(b, body...), true
		}
		b = append(b, body[:n]...)
		r, size := DecodeEscape(body[n:])
		if size == 0 {
			return b, false
		}
		b = appendWTF8(b, r)
		body = body[n+size:]
	}
}

// DecodeEscape decodes the escape b starts with, two of them for a surrogate
// pair, and returns its length, 0 if it is broken. As in Python, a surrogate
// without its other half stands for itself.
func DecodeEscape(b []byte) (rune, int) {
	if len(b) < 2 {
		return 0, 0
	}
	if b[1] != 'u' {
		c := unescaped[b[1]]
		if c == 0 {
			return 0, 0
		}
		return rune(c), 2
	}
	r := hex4(b[2:])
	if r < 0 {
		return 0, 0
	}
	if r>>10 == 0xd800>>10 && len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if low := hex4(b[8:]); low>>10 == 0xdc00>>10 {
			return utf16.DecodeRune(r, low), 12
		}
	}
	return r, 6
}

// appendWTF8 appends r, which may be a surrogate.
func appendWTF8(b []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		return append(b, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	}
	return utf8.AppendRune(b, r)
}

// decodeWTF8 decodes the character s starts with. A byte that belongs to none
// gives U+FFFD and size 1.
func decodeWTF8(s string) (rune, int) {
	r, size := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size == 1 && len(s) >= 3 &&
		s[0] == 0xed && s[1] >= 0xa0 && s[1] <= 0xbf && s[2] >= 0x80 && s[2] <= 0xbf {
		return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), 3
	}
	return r, size
}

// AppendString appends s as a JSON string in ASCII: everything outside U+0020
// to U+007E is escaped, with a short escape where there is one. Surrogates in
// WTF-8 are written as their escapes, other bytes that are not UTF-8 as \ufffd.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for {
		i := plainRunString(s, from)
		b = append(b, s[from:i]...)
		if i == len(s) {
			return append(b, '"')
		}
		r, size := rune(s[i]), 1
		if r >= 0x80 {
			r, size = decodeWTF8(s[i:])
		}
		b = appendEscape(b, r)
		from = i + size
	}
}

// AppendUTF8 is [AppendString] for text that must be valid UTF-8. If it is not,
// it reports false, and what it has appended is of no use.
func AppendUTF8(b, text []byte) ([]byte, bool) {
	b = append(b, '"')
	from := 0
	for {
		i := plainRun(text, from)
		b = append(b, text[from:i]...)
		if i == len(text) {
			return append(b, '"'), true
		}
		r, size := rune(text[i]), 1
		if r >= 0x80 {
			r, size = utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				return b, false
			}
		}
		b = appendEscape(b, r)
		from = i + size
	}
}

// appendEscape appends the escape of a character that is not plain.
func appendEscape(b []byte, r rune) []byte {
	if r < 0x80 {
		if c := escaped[r]; c != 0 {
			return append(b, '\\', c)
		}
	}
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return appendHex4(appendHex4(b, high), low)
	}
	return appendHex4(b, r)
}

func appendHex4(b []byte, r rune) []byte {
	return append(b, '\\', 'u',
		hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
