package msgpack

import (
	"reflect"
	"time"
)

// special returns the codec of a type that has a form of its own, or a short way.
func special(t reflect.Type) (codec, bool) {
	switch t {
	case reflect.TypeFor[time.Time]():
		return timeCodec(), true
	case reflect.TypeFor[Ext]():
		return extCodec(), true
	case reflect.TypeFor[Raw]():
		return rawCodec(), true
	case reflect.TypeFor[Map]():
		return mapCodec(), true
	case reflect.TypeFor[[]any]():
		return sliceCodec(), true
	case reflect.TypeFor[map[string]any]():
		return goMapCodec(), true
	}
	return codec{}, false
}

func timeCodec() codec {
	return codec{
		encode: func(b []byte, v reflect.Value, _ int) ([]byte, error) {
			return appendTime(b, v.Interface().(time.Time)), nil
		},
		decode: func(b []byte, v reflect.Value) ([]byte, error) {
			if kindOf(b) == kindExt {
				if code, data, rest := splitExt(b); code == timestampCode {
					*target[time.Time](v) = readTimestamp(data)
					return rest, nil
				}
			}
			return b, typeError("a timestamp", b)
		},
	}
}

func extCodec() codec {
	return codec{
		encode: func(b []byte, v reflect.Value, _ int) ([]byte, error) { return appendExt(b, v.Interface().(Ext)) },
		decode: func(b []byte, v reflect.Value) ([]byte, error) {
			if kindOf(b) == kindExt {
				if code, data, rest := splitExt(b); code >= 0 {
					*target[Ext](v) = Ext{Code: code, Data: clone(data)}
					return rest, nil
				}
			}
			return b, typeError("an extension", b)
		},
	}
}

func rawCodec() codec {
	return codec{
		encode: func(b []byte, v reflect.Value, depth int) ([]byte, error) { return appendRaw(b, v.Bytes(), depth) },
		decode: func(b []byte, v reflect.Value) ([]byte, error) { return target[Raw](v).UnmarshalMsg(b) },
	}
}

func mapCodec() codec {
	return codec{
		encode: func(b []byte, v reflect.Value, depth int) ([]byte, error) {
			return appendMap(b, v.Interface().(Map), depth)
		},
		decode: nilOr(kindMap, func(b []byte, v reflect.Value) ([]byte, error) {
			m, rest, err := (&dynamic{ordered: true}).orderedMap(b)
			*target[Map](v) = m
			return rest, err
		}),
	}
}

func sliceCodec() codec {
	return codec{
		encode: func(b []byte, v reflect.Value, depth int) ([]byte, error) {
			return appendSlice(b, v.Interface().([]any), depth)
		},
		decode: nilOr(kindArray, func(b []byte, v reflect.Value) ([]byte, error) {
			s, rest, err := new(dynamic).array(b)
			*target[[]any](v) = s
			return rest, err
		}),
	}
}

func goMapCodec() codec {
	return codec{
		encode: func(b []byte, v reflect.Value, depth int) ([]byte, error) {
			return appendGoMap(b, v.Interface().(map[string]any), depth)
		},
		decode: nilOr(kindMap, func(b []byte, v reflect.Value) ([]byte, error) {
			m, rest, err := new(dynamic).goMap(b)
			if err != nil {
				return b, err
			}
			gm, ok := m.(map[string]any)
			if !ok {
				return b, &TypeError{Want: "a map with string keys", Got: "a key of bytes"}
			}
			*target[map[string]any](v) = gm
			return rest, nil
		}),
	}
}

// target is v's address as the pointer it is. Asking for it allocates nothing.
func target[T any](v reflect.Value) *T { return v.Addr().Interface().(*T) }

// nilOr decodes nil as the zero value, values of the kind with decode, and refuses others.
func nilOr(k kind, decode decodeFunc) decodeFunc {
	return func(b []byte, v reflect.Value) ([]byte, error) {
		switch kindOf(b) {
		case kindNil:
			v.SetZero()
			return b[1:], nil
		case k:
			return decode(b, v)
		}
		return b, typeError(k.String(), b)
	}
}
