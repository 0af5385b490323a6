package msgpack

import (
	"reflect"
	"sync"

	"github.com/tinylib/msgp/msgp"
)

// encodeFunc appends v, which may nest depth levels.
type encodeFunc func(b []byte, v reflect.Value, depth int) ([]byte, error)

// decodeFunc reads the value that b, part of a valid message, starts with, into v, which can be set. It returns
// what follows.
type decodeFunc func(b []byte, v reflect.Value) (rest []byte, err error)

// codec reads and writes the values of one Go type.
type codec struct {
	encode encodeFunc
	decode decodeFunc
}

// codecs holds the *codec of each reflect.Type met so far: as many as the program has types.
var codecs sync.Map

// codecOf returns the codec of t, built at the first call.
func codecOf(t reflect.Type) *codec {
	if c, ok := codecs.Load(t); ok {
		return c.(*codec)
	}
	b := builder{}
	c := b.codec(t)
	for t, c := range b {
		codecs.LoadOrStore(t, c)
	}
	return c
}

// builder builds the codec of a type and of all the types within. They refer to each other by pointer, because
// types may be recursive; none is used before all are complete.
type builder map[reflect.Type]*codec

func (b builder) codec(t reflect.Type) *codec {
	if c, ok := b[t]; ok {
		return c
	}
	if c, ok := codecs.Load(t); ok {
		return c.(*codec)
	}
	c := new(codec)
	b[t] = c
	*c = b.build(t)
	return c
}

var (
	marshalerType   = reflect.TypeFor[msgp.Marshaler]()
	unmarshalerType = reflect.TypeFor[msgp.Unmarshaler]()
)

func (b builder) build(t reflect.Type) codec {
	if c, ok := special(t); ok {
		return c
	}
	c := b.ofKind(t)
	// Pointers and interfaces lead to the types that have the methods, past nil.
	if k := t.Kind(); k != reflect.Pointer && k != reflect.Interface {
		if reflect.PointerTo(t).Implements(marshalerType) {
			c.encode = marshaler(t)
		}
		if reflect.PointerTo(t).Implements(unmarshalerType) {
			c.decode = decodeUnmarshaler
		}
	}
	return c
}

func (b builder) ofKind(t reflect.Type) codec {
	switch t.Kind() {
	case reflect.Bool:
		return boolCodec
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intCodec(t)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return uintCodec(t)
	case reflect.Float32, reflect.Float64:
		return floatCodec
	case reflect.String:
		return stringCodec
	case reflect.Interface:
		return interfaceCodec()
	case reflect.Pointer:
		return b.pointer(t)
	case reflect.Slice:
		if isByte(t.Elem()) {
			return bytesCodec
		}
		return b.slice(t)
	case reflect.Array:
		if isByte(t.Elem()) {
			return byteArrayCodec
		}
		return b.array(t)
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return b.goMap(t)
		}
	case reflect.Struct:
		return b.structOf(t)
	}
	return unsupported(t)
}

// isByte tells whether a slice of t is bin rather than an array.
func isByte(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t.Kind() == reflect.Uint8 && !p.Implements(marshalerType) && !p.Implements(unmarshalerType)
}

func unsupported(t reflect.Type) codec {
	err := &UnsupportedTypeError{Type: t}
	return codec{
		encode: func(b []byte, _ reflect.Value, _ int) ([]byte, error) { return b, err },
		decode: func(b []byte, _ reflect.Value) ([]byte, error) { return b, err },
	}
}

// marshaler returns how a type with MarshalMsg, its own or its pointer's, writes itself.
func marshaler(t reflect.Type) encodeFunc {
	byValue := t.Implements(marshalerType)
	return func(b []byte, v reflect.Value, _ int) ([]byte, error) {
		if !v.CanAddr() {
			if byValue {
				return v.Interface().(msgp.Marshaler).MarshalMsg(b)
			}
			v = addressable(v)
		}
		return v.Addr().Interface().(msgp.Marshaler).MarshalMsg(b)
	}
}

// addressable returns a copy of v that has an address.
func addressable(v reflect.Value) reflect.Value {
	p := reflect.New(v.Type()).Elem()
	p.Set(v)
	return p
}

// decodeUnmarshaler lets a type with UnmarshalMsg read its value, and no more than that.
func decodeUnmarshaler(b []byte, v reflect.Value) ([]byte, error) {
	rest, err := msgp.Skip(b)
	if err != nil {
		return b, err
	}
	left, err := v.Addr().Interface().(msgp.Unmarshaler).UnmarshalMsg(b[:len(b)-len(rest)])
	if err == nil && len(left) > 0 {
		err = ErrTrailing
	}
	return rest, err
}
