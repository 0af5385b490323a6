package msgpack

import (
	"fmt"
	"math"
	"reflect"
	"strconv"

	"github.com/tinylib/msgp/msgp"
)

var boolCodec = codec{
	encode: func(b []byte, v reflect.Value, _ int) ([]byte, error) { return msgp.AppendBool(b, v.Bool()), nil },
	decode: func(b []byte, v reflect.Value) ([]byte, error) {
		if kindOf(b) != kindBool {
			return b, typeError("a bool", b)
		}
		v.SetBool(b[0] == leadTrue)
		return b[1:], nil
	},
}

func intCodec(t reflect.Type) codec {
	low, high := int64(-1)<<(t.Bits()-1), int64(1)<<(t.Bits()-1)-1
	return codec{
		encode: func(b []byte, v reflect.Value, _ int) ([]byte, error) { return appendInt(b, v.Int()), nil },
		decode: func(b []byte, v reflect.Value) ([]byte, error) {
			i, u, rest, err := readInteger(b)
			if err != nil {
				return b, err
			}
			if u != 0 {
				return b, rangeError(low, uint64(high), u)
			}
			if i < low || i > high {
				return b, rangeError(low, uint64(high), i)
			}
			v.SetInt(i)
			return rest, nil
		},
	}
}

func uintCodec(t reflect.Type) codec {
	high := uint64(math.MaxUint64) >> (64 - t.Bits())
	return codec{
		encode: func(b []byte, v reflect.Value, _ int) ([]byte, error) {
			return msgp.AppendUint64(b, v.Uint()), nil
		},
		decode: func(b []byte, v reflect.Value) ([]byte, error) {
			i, u, rest, err := readInteger(b)
			if err != nil {
				return b, err
			}
			if i < 0 {
				return b, rangeError(0, high, i)
			}
			if u |= uint64(i); u > high {
				return b, rangeError(0, high, u)
			}
			v.SetUint(u)
			return rest, nil
		},
	}
}

// readInteger reads an integer of any form: i, unless it is above the range of int64, when it is u and i is 0.
func readInteger(b []byte) (i int64, u uint64, rest []byte, err error) {
	if kindOf(b) != kindInt {
		return 0, 0, b, typeError("an integer", b)
	}
	switch c := b[0]; {
	case c < 0x80 || c >= 0xe0:
		return int64(int8(c)), 0, b[1:], nil
	case c == leadUint64:
		if u, rest, err = msgp.ReadUint64Bytes(b); u <= math.MaxInt64 {
			return int64(u), 0, rest, err
		}
		return 0, u, rest, err
	default:
		i, rest, err = msgp.ReadInt64Bytes(b)
		return i, 0, rest, err
	}
}

// rangeError says that an integer does not fit its Go type.
func rangeError(low int64, high uint64, got any) error {
	return &TypeError{Want: fmt.Sprintf("an integer of %d to %d", low, high), Got: fmt.Sprint(got)}
}

var floatCodec = codec{
	encode: func(b []byte, v reflect.Value, _ int) ([]byte, error) {
		return msgp.AppendFloat64(b, v.Float()), nil // float32 too: peers write nothing else
	},
	decode: func(b []byte, v reflect.Value) ([]byte, error) {
		f, rest, err := readFloat(b)
		if err != nil {
			return b, err
		}
		if v.OverflowFloat(f) {
			return b, &TypeError{Want: "a float of 32 bits", Got: strconv.FormatFloat(f, 'g', -1, 64)}
		}
		v.SetFloat(f)
		return rest, nil
	},
}

// readFloat reads a float, or an integer that a float holds exactly: Python's users write 1 for 1.0.
func readFloat(b []byte) (float64, []byte, error) {
	switch kindOf(b) {
	case kindFloat:
		return msgp.ReadFloat64Bytes(b)
	case kindInt:
		const exact = 1 << 53
		i, u, rest, err := readInteger(b)
		if err == nil && (u != 0 || i > exact || i < -exact) {
			err = &TypeError{Want: "a float", Got: "an integer beyond 2^53"}
		}
		return float64(i), rest, err
	}
	return 0, b, typeError("a float", b)
}

var stringCodec = codec{
	encode: func(b []byte, v reflect.Value, _ int) ([]byte, error) { return appendString(b, v.String()) },
	decode: func(b []byte, v reflect.Value) ([]byte, error) {
		if kindOf(b) != kindStr {
			return b, typeError("a string", b)
		}
		s, rest, err := msgp.ReadStringBytes(b)
		v.SetString(s)
		return rest, err
	},
}

var bytesCodec = codec{
	encode: func(b []byte, v reflect.Value, _ int) ([]byte, error) { return appendBytes(b, v.Bytes()) },
	decode: func(b []byte, v reflect.Value) ([]byte, error) {
		if kindOf(b) == kindNil {
			v.SetZero()
			return b[1:], nil
		}
		if kindOf(b) != kindBin {
			return b, typeError("bytes", b)
		}
		p, rest, err := msgp.ReadBytesZC(b)
		v.SetBytes(clone(p))
		return rest, err
	},
}

var byteArrayCodec = codec{
	encode: func(b []byte, v reflect.Value, _ int) ([]byte, error) {
		if !v.CanAddr() {
			v = addressable(v)
		}
		return appendBytes(b, v.Bytes())
	},
	decode: func(b []byte, v reflect.Value) ([]byte, error) {
		if kindOf(b) != kindBin {
			return b, typeError("bytes", b)
		}
		p, rest, err := msgp.ReadBytesZC(b)
		if err == nil && len(p) != v.Len() {
			return b, &TypeError{Want: fmt.Sprintf("%d bytes", v.Len()), Got: strconv.Itoa(len(p))}
		}
		copy(v.Bytes(), p)
		return rest, err
	},
}
