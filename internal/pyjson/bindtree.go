package pyjson

import (
	"bytes"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
)

// enter passes over the bracket at i if it is the wanted one.
func (d *decoder) enter(i, left int, opening byte) (first int, more bool) {
	if left <= 0 {
		return d.fail(i, depthMsg), false
	}
	return d.open(i, opening+2) // in ASCII ] is [ + 2 and } is { + 2
}

// items calls each for the elements of the array at i. After one that does not
// fit the rest is only checked.
func (d *decoder) items(i, left int, each func(i, n int) (int, *BindError)) (end, n int, bad *BindError) {
	i, more := d.enter(i, left, '[')
	for more {
		if bad == nil {
			if i, bad = each(i, n); bad != nil {
				bad = bad.Under(IndexPath(n))
			}
		} else {
			i = d.value(i, left-1)
		}
		if i < 0 {
			return -1, n, nil
		}
		n++
		i, more = d.next(i, ']')
	}
	return i, n, bad
}

func sliceDecoder(t reflect.Type) decFunc {
	elem := lazyDecoder(t.Elem())
	return func(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
		if !d.at(i, '[') {
			return d.refuse(i, left, "a list")
		}
		dec := elem()
		list := reflect.New(t).Elem()
		list.Set(reflect.MakeSlice(t, 0, 0)) // an empty list is not nil
		end, _, bad := d.items(i, left, func(i, n int) (int, *BindError) {
			if n == list.Cap() {
				list.Grow(1)
			}
			list.SetLen(n + 1)
			return dec(d, i, left-1, list.Index(n))
		})
		v.Set(list)
		return end, bad
	}
}

func arrayDecoder(t reflect.Type) decFunc {
	elem := lazyDecoder(t.Elem())
	return func(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
		want := "a list of " + strconv.Itoa(t.Len())
		if !d.at(i, '[') {
			return d.refuse(i, left, want)
		}
		dec := elem()
		end, n, bad := d.items(i, left, func(i, n int) (int, *BindError) {
			if n >= t.Len() {
				return d.value(i, left-1), nil
			}
			return dec(d, i, left-1, v.Index(n))
		})
		if end >= 0 && n != t.Len() {
			return end, &BindError{Want: want, Got: "one of " + strconv.Itoa(n)}
		}
		return end, bad
	}
}

// members calls each for the members of the object at i. It returns the first
// misfit that no later member with an equal key made up for. The key given to
// each is valid only during the call.
func (d *decoder) members(i, left int, each func(key []byte, i int) (int, *BindError)) (int, *BindError) {
	var bad misfits
	var scratch []byte
	i, more := d.enter(i, left, '{')
	for more {
		end := d.key(i)
		start := d.colon(end)
		if start < 0 {
			return -1, nil
		}
		key := d.b[i+1 : end-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			scratch, _ = appendUnquoted(scratch[:0], key)
			key = scratch
		}
		var err *BindError
		if i, err = each(key, start); i < 0 {
			return -1, nil
		}
		if err != nil || bad != nil {
			bad.note(string(key), start, err)
		}
		i, more = d.next(i, '}')
	}
	return i, bad.first()
}

// misfits holds what went wrong with the members of an object, by key. It is a
// map for the sake of objects with very many wrong members.
type misfits map[string]misfitAt

type misfitAt struct {
	offset int
	err    *BindError
}

// note records how the last member with this key went.
func (m *misfits) note(key string, offset int, err *BindError) {
	if err == nil {
		delete(*m, key)
		return
	}
	if *m == nil {
		*m = misfits{}
	}
	(*m)[key] = misfitAt{offset, err}
}

func (m misfits) first() *BindError {
	var first misfitAt
	var at string
	for key, x := range m {
		if first.err == nil || x.offset < first.offset {
			first, at = x, key
		}
	}
	if first.err == nil {
		return nil
	}
	return first.err.Under(KeyPath(at))
}

func structDecoder(t reflect.Type) decFunc {
	st := structTypeOf(t)
	return func(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
		if !d.at(i, '{') {
			return d.refuse(i, left, "an object")
		}
		var few [64]bool
		seen := few[:]
		if len(st.fields) > len(few) {
			seen = make([]bool, len(st.fields))
		}
		return d.members(i, left, func(key []byte, i int) (int, *BindError) {
			n, ok := st.byName[string(key)]
			if !ok {
				return d.value(i, left-1), nil
			}
			f := &st.fields[n]
			fv, ok := f.set(v)
			if !ok {
				return d.value(i, left-1), &BindError{Err: fmt.Errorf("cannot set the embedded pointer of %s", t)}
			}
			if seen[n] {
				fv.SetZero() // or the last value would be mixed with the first
			}
			seen[n] = true
			return f.dec()(d, i, left-1, fv)
		})
	}
}

func mapDecoder(t reflect.Type) decFunc {
	elem := lazyDecoder(t.Elem())
	return func(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
		if !d.at(i, '{') {
			return d.refuse(i, left, "an object")
		}
		dec := elem()
		m := reflect.MakeMap(t)
		end, bad := d.members(i, left, func(key []byte, i int) (int, *BindError) {
			k := reflect.New(t.Key()).Elem()
			wrong := setMapKey(k, string(key))
			e := reflect.New(t.Elem()).Elem()
			end, bad := dec(d, i, left-1, e)
			if wrong != nil {
				return end, wrong
			}
			m.SetMapIndex(k, e)
			return end, bad
		})
		v.Set(m)
		return end, bad
	}
}

// setMapKey sets k, which like the keys [Append] writes is a string or an
// integer.
func setMapKey(k reflect.Value, key string) *BindError {
	bits := 64
	if k.CanInt() || k.CanUint() {
		bits = k.Type().Bits()
	}
	var err error
	switch {
	case k.Kind() == reflect.String:
		k.SetString(key)
	case k.CanInt():
		var n int64
		n, err = strconv.ParseInt(key, 10, bits)
		k.SetInt(n)
	case k.CanUint():
		var n uint64
		n, err = strconv.ParseUint(key, 10, bits)
		k.SetUint(n)
	default:
		return &BindError{Err: fmt.Errorf("cannot read JSON into keys of %s", k.Type())}
	}
	if err != nil {
		return &BindError{Want: "a key that fits " + k.Kind().String(), Got: "a str " + shorten(ReprString(key))}
	}
	return nil
}

func decodeAny(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	x, end := d.any(i, left)
	if end < 0 {
		return -1, nil
	}
	if x == nil {
		v.SetZero()
		return end, nil
	}
	v.Set(reflect.ValueOf(x))
	return end, nil
}

// any decodes the value at i into the Go type closest to its Python type.
func (d *decoder) any(i, left int) (any, int) {
	switch {
	case d.at(i, '{'):
		m := map[string]any{}
		end, _ := d.members(i, left, func(key []byte, i int) (int, *BindError) {
			x, end := d.any(i, left-1)
			m[string(key)] = x
			return end, nil
		})
		return m, end
	case d.at(i, '['):
		list := []any{}
		end, _, _ := d.items(i, left, func(i, _ int) (int, *BindError) {
			x, end := d.any(i, left-1)
			list = append(list, x)
			return end, nil
		})
		return list, end
	}
	raw, kind, end := d.take(i, left)
	switch kind {
	case Bool:
		return raw[0] == 't', end
	case Int:
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return n, end
		}
		n, _ := new(big.Int).SetString(string(raw), 10)
		return n, end
	case Float:
		return ParseFloat(raw), end
	case String:
		s, _ := Unquote(raw)
		return s, end
	}
	return nil, end
}
