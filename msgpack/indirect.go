package msgpack

import (
	"reflect"

	"github.com/tinylib/msgp/msgp"
)

// pointer builds the codec of a pointer type: nil, or what it points to.
func (b builder) pointer(t reflect.Type) codec {
	elem := b.codec(t.Elem())
	cost := 0
	if k := t.Elem().Kind(); k == reflect.Pointer || k == reflect.Interface {
		cost = 1 // a level, as such pointers can go in a circle without a container
	}
	return codec{
		encode: func(b []byte, v reflect.Value, depth int) ([]byte, error) {
			if v.IsNil() {
				return msgp.AppendNil(b), nil
			}
			if depth < cost {
				return b, errTooDeep()
			}
			return elem.encode(b, v.Elem(), depth-cost)
		},
		decode: func(b []byte, v reflect.Value) ([]byte, error) {
			if kindOf(b) == kindNil {
				v.SetZero()
				return b[1:], nil
			}
			if v.IsNil() {
				v.Set(reflect.New(t.Elem()))
			}
			return elem.decode(b, v.Elem())
		},
	}
}

// interfaceCodec builds a codec that writes what an interface holds. It reads any value into an empty interface;
// one with methods must hold a pointer to read into.
func interfaceCodec() codec {
	return codec{
		encode: func(b []byte, v reflect.Value, depth int) ([]byte, error) {
			return appendAny(b, v.Interface(), depth)
		},
		decode: func(b []byte, v reflect.Value) ([]byte, error) {
			if v.NumMethod() == 0 {
				x, rest, err := new(dynamic).any(b)
				if x == nil {
					v.SetZero()
				} else {
					v.Set(reflect.ValueOf(x))
				}
				return rest, err
			}
			if kindOf(b) == kindNil {
				v.SetZero()
				return b[1:], nil
			}
			p := v.Elem()
			if p.Kind() != reflect.Pointer || p.IsNil() {
				return b, &UnsupportedTypeError{Type: v.Type()}
			}
			return codecOf(p.Type().Elem()).decode(b, p.Elem())
		},
	}
}
