package msgpack

import (
	"fmt"
	"reflect"

	"github.com/tinylib/msgp/msgp"
)

func (b builder) slice(t reflect.Type) codec {
	elem := b.codec(t.Elem())
	return codec{
		encode: sequenceEncoder(elem),
		decode: nilOr(kindArray, func(b []byte, v reflect.Value) ([]byte, error) {
			n, b, err := msgp.ReadArrayHeaderBytes(b)
			if err != nil {
				return b, err
			}
			// The slice grows while elements turn out to be of the right type: an element may be far larger
			// in memory than the one byte that a peer needs to declare it.
			v.Set(reflect.MakeSlice(t, 0, firstCap(int(n), t.Elem().Size())))
			for i := range int(n) {
				if i == v.Cap() {
					v.Grow(min(i, int(n)-i))
				}
				v.SetLen(i + 1)
				if b, err = elem.decode(b, v.Index(i)); err != nil {
					return b, inIndex(i, err)
				}
			}
			return b, nil
		}),
	}
}

// firstCap is how many of n elements of size bytes to make room for at first.
func firstCap(n int, size uintptr) int {
	const enough = 4 << 10
	return min(n, max(1, enough/int(max(1, size))))
}

func (b builder) array(t reflect.Type) codec {
	elem := b.codec(t.Elem())
	return codec{
		encode: sequenceEncoder(elem),
		decode: func(b []byte, v reflect.Value) ([]byte, error) {
			if kindOf(b) != kindArray {
				return b, typeError("an array", b)
			}
			n, b, err := msgp.ReadArrayHeaderBytes(b)
			if err == nil && int(n) != v.Len() {
				err = &TypeError{Want: fmt.Sprintf("an array of %d", v.Len()), Got: fmt.Sprintf("one of %d", n)}
			}
			if err != nil {
				return b, err
			}
			for i := range v.Len() {
				if b, err = elem.decode(b, v.Index(i)); err != nil {
					return b, inIndex(i, err)
				}
			}
			return b, nil
		},
	}
}

func sequenceEncoder(elem *codec) encodeFunc {
	return func(b []byte, v reflect.Value, depth int) ([]byte, error) {
		if depth <= 0 {
			return b, errTooDeep()
		}
		n := v.Len()
		b, err := appendArrayHeader(b, n)
		if err != nil {
			return b, err
		}
		for i := range n {
			if b, err = elem.encode(b, v.Index(i), depth-1); err != nil {
				return b, inIndex(i, err)
			}
		}
		return b, nil
	}
}
