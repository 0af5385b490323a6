package transcode

import (
	"math"
	"strconv"

	"parlor/internal/pyjson"
)

// The floats that JSON writes as words. This is the NaN that Python writes; Go has another.
const (
	nanBits    = 0x7ff8000000000000
	infBits    = 0x7ff0000000000000
	negInfBits = 0xfff0000000000000
)

// number appends the number at i.
func (p *packer) number(b []byte, i int) ([]byte, int) {
	start := i
	negative := p.json[i] == '-'
	if negative {
		i++
		if i < len(p.json) && p.json[i] == 'I' {
			return p.word(appendFloatBits(b, negInfBits), i, "Infinity")
		}
	}
	first := i
	u, i := p.digits(0, i)
	if i == first || i-first > 1 && p.json[first] == '0' {
		return b, p.stop(errSyntax)
	}
	if i < len(p.json) && (p.json[i] == '.' || p.json[i]|0x20 == 'e') {
		return p.float(b, start, first, i, u)
	}
	if i-first >= 20 { // more than the 19 digits that u always holds
		var err error
		if u, err = strconv.ParseUint(string(p.json[first:min(i, first+21)]), 10, 64); err != nil {
			return b, p.stop(ErrInteger)
		}
	}
	switch {
	case !negative || u == 0: // -0 is 0
		return appendUint(b, u), i
	case u > 1<<63:
		return b, p.stop(ErrInteger)
	default:
		return appendNegative(b, -int64(u)), i
	}
}

// digits passes over the digits at i and appends them to the number u.
func (p *packer) digits(u uint64, i int) (uint64, int) {
	for i < len(p.json) && p.json[i]-'0' <= 9 {
		u = u*10 + uint64(p.json[i]-'0')
		i++
	}
	return u, i
}

// exact are powers of ten, all exact.
var exact = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14}

// float appends the float at start. Its digits from first to i, where its point or exponent is, are already in u.
func (p *packer) float(b []byte, start, first, i int, u uint64) ([]byte, int) {
	all, fraction := i-first, 0 // digits
	if p.json[i] == '.' {
		point := i
		u, i = p.digits(u, i+1)
		fraction = i - point - 1
		if fraction == 0 {
			return b, p.stop(errSyntax)
		}
		all += fraction
	}
	exponent := i < len(p.json) && p.json[i]|0x20 == 'e'
	if exponent {
		i++
		if i < len(p.json) && (p.json[i] == '+' || p.json[i] == '-') {
			i++
		}
		from := i
		if _, i = p.digits(0, i); i == from {
			return b, p.stop(errSyntax)
		}
	}
	if !exponent && all <= 15 {
		// Both numbers are exact, so that their quotient is the nearest there is.
		f := float64(u) / exact[fraction]
		if first > start {
			f = -f
		}
		return appendFloatBits(b, math.Float64bits(f)), i
	}
	return appendFloatBits(b, math.Float64bits(pyjson.ParseFloat(p.json[start:i]))), i
}
