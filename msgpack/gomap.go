package msgpack

import (
	"reflect"
	"slices"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// goMap builds the codec of a map whose key is of a string type.
func (b builder) goMap(t reflect.Type) codec {
	elem := b.codec(t.Elem())
	return codec{
		encode: func(b []byte, v reflect.Value, depth int) ([]byte, error) {
			return appendReflectMap(b, v, elem, depth)
		},
		decode: nilOr(kindMap, func(b []byte, v reflect.Value) ([]byte, error) {
			return decodeReflectMap(b, v, elem)
		}),
	}
}

func appendReflectMap(b []byte, v reflect.Value, elem *codec, depth int) ([]byte, error) {
	if depth <= 0 {
		return b, errTooDeep()
	}
	b, err := appendMapHeader(b, v.Len())
	if err != nil {
		return b, err
	}
	type entry struct {
		key   string
		value reflect.Value
	}
	entries := make([]entry, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		entries = append(entries, entry{it.Key().String(), it.Value()})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for _, e := range entries {
		if b, err = appendString(b, e.key); err != nil {
			return b, inKey(e.key, err)
		}
		if b, err = elem.encode(b, e.value, depth-1); err != nil {
			return b, inKey(e.key, err)
		}
	}
	return b, nil
}

func decodeReflectMap(b []byte, v reflect.Value, elem *codec) ([]byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return b, err
	}
	t := v.Type()
	m := reflect.MakeMapWithSize(t, firstCap(int(n), t.Key().Size()+t.Elem().Size()))
	key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
	for range n {
		if kindOf(b) != kindStr {
			return b, &TypeError{Want: "a map with string keys", Got: "a key of bytes"}
		}
		var k string
		if k, b, err = msgp.ReadStringBytes(b); err != nil {
			return b, err
		}
		key.SetString(k)
		value.SetZero()
		if b, err = elem.decode(b, value); err != nil {
			return b, inKey(k, err)
		}
		m.SetMapIndex(key, value)
	}
	v.Set(m)
	return b, nil
}
