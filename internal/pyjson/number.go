package pyjson

import (
	"bytes"
	"math"
	"strconv"
)

// maxIntDigits is Python's own limit (sys.int_info.default_max_str_digits): it
// refuses to read longer integers because reading them takes quadratic time.
const maxIntDigits = 4300

// number passes over the number at i.
func (s *scanner) number(i int) int {
	b := s.b
	start := i
	if b[i] == '-' {
		i++
		if i < len(b) && b[i] == 'I' {
			return s.word(i, "Infinity")
		}
	}
	first := i
	i = digits(b, i)
	if i == first {
		return s.fail(start, "expected a value")
	}
	if b[first] == '0' {
		i = first + 1 // a zero stands alone: 01 is 0 with text after it
	}
	isInt := true
	if i < len(b) && b[i] == '.' {
		if j := digits(b, i+1); j > i+1 {
			i, isInt = j, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		j := i + 1
		if j < len(b) && (b[j] == '+' || b[j] == '-') {
			j++
		}
		if k := digits(b, j); k > j {
			i, isInt = k, false
		}
	}
	if isInt && i-first > maxIntDigits {
		return s.fail(start, "integer of more than 4300 digits")
	}
	return i
}

// digits returns the offset of the first byte from i on that is not a digit.
func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// numberKind returns the kind of the number b starts with.
func numberKind(b []byte) Kind {
	i := 0
	if b[0] == '-' {
		i = 1
	}
	if i < len(b) && b[i] == 'I' {
		return Float
	}
	end := digits(b, i)
	switch {
	case end == i:
		return Invalid
	case end < len(b) && (b[end] == '.' || b[end]|0x20 == 'e'):
		return Float
	default:
		return Int
	}
}

// AppendFloat appends f as json.dumps writes it: the shortest text that reads
// back equal, never without a point or an exponent, and NaN, Infinity or
// -Infinity for what is not a number.
func AppendFloat(b []byte, f float64) []byte {
	if b, ok := appendFewDecimals(b, f); ok {
		return b
	}
	switch {
	case f != f:
		return append(b, "NaN"...)
	case f > math.MaxFloat64:
		return append(b, "Infinity"...)
	case f < -math.MaxFloat64:
		return append(b, "-Infinity"...)
	}
	return appendFinite(b, f)
}

// appendReprFloat is AppendFloat with the words repr uses.
func appendReprFloat(b []byte, f float64) []byte {
	switch {
	case f != f:
		return append(b, "nan"...)
	case f > math.MaxFloat64:
		return append(b, "inf"...)
	case f < -math.MaxFloat64:
		return append(b, "-inf"...)
	}
	return appendFinite(b, f)
}

func appendFinite(b []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	n := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	return withPoint(b, n)
}

// appendFewDecimals appends f if it is a number of at most 15 digits, three of them
// behind the point, as most are that people and games make. If one of so few
// digits reads back as f, no other does, so it is the shortest. It spares looking
// for that.
func appendFewDecimals(b []byte, f float64) ([]byte, bool) {
	abs := math.Abs(f)
	if !(abs < 1e12) { // nor is NaN
		return b, false
	}
	n := uint64(abs*1000 + 0.5)
	if float64(n)/1000 != abs {
		return b, false
	}
	if math.Signbit(f) {
		b = append(b, '-')
	}
	whole, decimals := n/1000, n%1000
	if whole < 10 {
		b = append(b, '0'+byte(whole))
	} else {
		b = strconv.AppendUint(b, whole, 10)
	}
	b = append(b, '.', '0'+byte(decimals/100))
	if decimals%100 != 0 {
		b = append(b, '0'+byte(decimals/10%10))
	}
	if decimals%10 != 0 {
		b = append(b, '0'+byte(decimals%10))
	}
	return b, true
}

// appendFloat32 appends the shortest text that reads back as f, in Python's
// form. The text decides between the forms, as the float64 it reads as need not
// be on the same side of 0.0001 as f is.
func appendFloat32(b []byte, f float32) []byte {
	wide := float64(f)
	if f != f || math.IsInf(wide, 0) {
		return AppendFloat(b, wide)
	}
	n := len(b)
	b = strconv.AppendFloat(b, wide, 'e', -1, 32)
	e := n + bytes.IndexByte(b[n:], 'e')
	if exp, _ := strconv.Atoi(string(b[e+1:])); exp < -4 || exp >= 16 {
		return b
	}
	b = strconv.AppendFloat(b[:n], wide, 'f', -1, 32)
	return withPoint(b, n)
}

// withPoint adds .0 to the number at b[n:] if it has no fraction.
func withPoint(b []byte, n int) []byte {
	if bytes.IndexByte(b[n:], '.') < 0 {
		return append(b, ".0"...)
	}
	return b
}

// settled reports whether the text of a float is what Python would write, for
// the common ones: a plain decimal of at most 15 digits, which every float64
// keeps, with no zeros to drop, neither so small nor so large as to need an
// exponent. It spares reading and writing the number.
func settled(num []byte) bool {
	if num[0] == '-' {
		num = num[1:]
	}
	point := bytes.IndexByte(num, '.')
	if point < 1 || len(num) > 16 || digits(num, point+1) != len(num) {
		return false
	}
	frac := num[point+1:]
	if len(frac) == 1 {
		return true // d.d, of which 0.0 is the least
	}
	if frac[len(frac)-1] == '0' {
		return false
	}
	if num[0] != '0' {
		return true
	}
	for _, c := range frac[:min(len(frac), 4)] {
		if c != '0' {
			return true
		}
	}
	return false
}
