package pyjson

import (
	"bytes"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"sync"
)

// ParseFloat returns the value of a valid number, or of NaN or Infinity, as
// Python's float reads it: beyond the range it is infinite.
func ParseFloat(num []byte) float64 {
	switch num[0] {
	case 'N':
		return math.NaN()
	case 'I':
		return math.Inf(1)
	case '-':
		if num[1] == 'I' {
			return math.Inf(-1)
		}
	}
	if len(num) > 20 || bytes.IndexByte(num[1:], '-') >= 0 { // others are neither long nor tiny
		var few [64]byte
		if d := decimalOf(few[:0], num); d.hard() {
			if num[0] == '-' {
				return -d.float()
			}
			return d.float()
		}
	}
	f, _ := strconv.ParseFloat(string(num), 64)
	return f
}

// A decimal is a number 0.ddd times ten to the power of exp.
type decimal struct {
	digits []byte // neither the first nor the last is 0; none for 0 itself
	exp    int
}

// maxDigits is how many digits are looked at one by one. What lies in the middle
// between two floats has fewer; of any behind them it only counts whether all are
// zeros.
const maxDigits = 800

// decimalOf reads a valid number, but for its sign. It appends the digits to b.
func decimalOf(b, num []byte) decimal {
	d := decimal{digits: b}
	point, more := false, false
	for i, c := range num {
		switch {
		case c == '-':
		case c == '.':
			point = true
		case c|0x20 == 'e':
			d.exp += exponent(num[i+1:])
			return d.trim(more)
		case c == '0' && len(d.digits) == 0:
			if point {
				d.exp--
			}
		default:
			if !point {
				d.exp++
			}
			if len(d.digits) < maxDigits {
				d.digits = append(d.digits, c)
			} else {
				more = more || c != '0'
			}
		}
	}
	return d.trim(more)
}

// exponent reads what follows the e. Large ones all mean the same.
func exponent(text []byte) int {
	negative := text[0] == '-'
	exp := 0
	for _, c := range text {
		if c >= '0' && exp < 1e8 {
			exp = exp*10 + int(c-'0')
		}
	}
	if negative {
		return -exp
	}
	return exp
}

// trim drops zeros at the end, unless there is more.
func (d decimal) trim(more bool) decimal {
	if more {
		d.digits = append(d.digits, '1')
		return d
	}
	d.digits = bytes.TrimRight(d.digits, "0")
	return d
}

// hard reports whether strconv may take very long: some 10 µs for the 6 bytes of
// 1e-310, or for 20 digits near the middle of two tiny floats. A hostile text can be
// full of them. What is done here instead takes a fortieth of that.
func (d decimal) hard() bool { return len(d.digits) > 19 || d.exp < -306 }

// float returns the nearest float, of two the even one.
func (d decimal) float() float64 {
	switch {
	case len(d.digits) == 0 || d.exp < -330:
		return 0
	case d.exp > 310:
		return math.Inf(1)
	}
	s := floats.Get().(*floatScratch)
	defer floats.Put(s)
	// The number is a/b times two to the power of exp.
	exp := d.exp - len(d.digits)
	a, b := s.integer(d.digits), &s.b
	if exp >= 0 {
		a.Mul(a, s.pow5(exp))
		b.SetInt64(1)
	} else {
		b.Set(s.pow5(-exp))
	}
	// With two bits more than a float has, or three, and with nothing below the two
	// bits behind the last that the smallest have.
	shift := min(55-(a.BitLen()-b.BitLen()), exp+1076)
	if shift >= 0 {
		a.Lsh(a, uint(shift))
	} else {
		b.Lsh(b, uint(-shift))
	}
	s.quo.QuoRem(a, b, &s.rem)
	q := s.quo.Uint64()
	if s.rem.Sign() != 0 {
		q |= 1 // only counts in whether it is more than the half
	}
	return round(q, exp-shift)
}

// round returns q times two to the power of exp, where q has two bits at least that
// do not fit.
func round(q uint64, exp int) float64 {
	drop := max(bits.Len64(q)-53, -1074-exp)
	half := uint64(1) << (drop - 1)
	rest := q & (2*half - 1)
	q >>= drop
	if rest > half || rest == half && q&1 == 1 {
		q++
	}
	return math.Ldexp(float64(q), exp+drop)
}

// floatScratch is memory for the integers of one number.
type floatScratch struct{ a, b, quo, rem, power, word big.Int }

var floats = sync.Pool{New: func() any { return new(floatScratch) }}

// integer returns the digits as an integer.
func (s *floatScratch) integer(digits []byte) *big.Int {
	s.a.SetInt64(0)
	for len(digits) > 0 {
		n := min(len(digits), 19)
		u, unit := uint64(0), uint64(1)
		for _, c := range digits[:n] {
			u, unit = u*10+uint64(c-'0'), unit*10
		}
		s.a.Mul(&s.a, s.word.SetUint64(unit))
		s.a.Add(&s.a, s.word.SetUint64(u))
		digits = digits[n:]
	}
	return &s.a
}

// pow5 returns five to the power of n.
func (s *floatScratch) pow5(n int) *big.Int {
	u := uint64(1)
	for range n % powerStep {
		u *= 5
	}
	return s.power.Mul(powersOf5()[n/powerStep], s.word.SetUint64(u))
}

// powerStep is the largest power of five in 64 bits.
const powerStep = 27

// powersOf5 are five to the power of each multiple of 27 that is needed.
var powersOf5 = sync.OnceValue(func() []*big.Int {
	step := new(big.Int).Exp(big.NewInt(5), big.NewInt(powerStep), nil)
	powers := []*big.Int{big.NewInt(1)}
	for len(powers) <= (330+maxDigits+1)/powerStep {
		powers = append(powers, new(big.Int).Mul(powers[len(powers)-1], step))
	}
	return powers
})
