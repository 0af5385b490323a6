package msgpack

import (
	"bytes"
	"reflect"

	"github.com/tinylib/msgp/msgp"
)

// structCodec reads and writes a struct type as a map.
type structCodec struct {
	fields []field
	byName map[string]*field
	sparse bool // fields may be left out
}

func (b builder) structOf(t reflect.Type) codec {
	s := &structCodec{fields: b.fieldsOf(t), byName: make(map[string]*field)}
	if len(s.fields) == 0 && t.NumField() > 0 && !hasExported(t) {
		return unsupported(t) // such as big.Int or sync.Mutex: an empty map would be a silent loss
	}
	for i := range s.fields {
		f := &s.fields[i]
		s.byName[f.name] = f
		s.sparse = s.sparse || f.omit != nil || len(f.path) > 1
	}
	return codec{encode: s.encode, decode: s.decode}
}

func hasExported(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() || f.Anonymous {
			return true
		}
	}
	return false
}

func (s *structCodec) encode(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth <= 0 {
		return b, errTooDeep()
	}
	n := len(s.fields)
	if s.sparse {
		n = s.count(v)
	}
	b = msgp.AppendMapHeader(b, uint32(n))
	var err error
	for i := range s.fields {
		f := &s.fields[i]
		fv, ok := f.value(v)
		if !ok {
			continue
		}
		b = append(b, f.key...)
		if b, err = f.codec.encode(b, fv, depth-1); err != nil {
			return b, inField(f.name, err)
		}
	}
	return b, nil
}

// count is how many fields of v are not left out.
func (s *structCodec) count(v reflect.Value) (n int) {
	for i := range s.fields {
		if _, ok := s.fields[i].value(v); ok {
			n++
		}
	}
	return n
}

// value is the field of v, unless it is left out or within an embedded pointer that is nil.
func (f *field) value(v reflect.Value) (reflect.Value, bool) {
	v = v.Field(f.path[0])
	for _, i := range f.path[1:] {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, f.omit == nil || !f.omit(v)
}

// place is the field of v to read into, within embedded pointers made as needed.
func (f *field) place(v reflect.Value) reflect.Value {
	v = v.Field(f.path[0])
	for _, i := range f.path[1:] {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

func (s *structCodec) decode(b []byte, v reflect.Value) ([]byte, error) {
	if kindOf(b) != kindMap {
		return b, typeError("a map", b)
	}
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return b, err
	}
	var seen fieldSet
	next := 0
	for range n {
		var f *field
		if f, b, err = s.key(b, next); err == nil && f == nil {
			b, err = msgp.Skip(b)
		}
		if err != nil {
			return b, err
		}
		if f == nil {
			continue
		}
		fv := f.place(v)
		if seen.add(f.number) {
			fv.SetZero() // the last counts: nothing of the first may shine through
		}
		if b, err = f.codec.decode(b, fv); err != nil {
			return b, inField(f.name, err)
		}
		next = f.number + 1
	}
	return b, nil
}

// key reads a key and returns its field, or nil if it has none. Fields mostly come in their order, so the
// one numbered next is tried first.
func (s *structCodec) key(b []byte, next int) (*field, []byte, error) {
	if next < len(s.fields) && bytes.HasPrefix(b, s.fields[next].key) {
		f := &s.fields[next]
		return f, b[len(f.key):], nil
	}
	if kindOf(b) == kindBin {
		rest, err := msgp.Skip(b)
		return nil, rest, err
	}
	name, rest, err := msgp.ReadStringZC(b)
	return s.byName[string(name)], rest, err
}

// fieldSet is which fields of a struct have been read.
type fieldSet struct {
	low  uint64
	high map[int]struct{} // from 64
}

// add adds a field and tells whether it was there.
func (s *fieldSet) add(number int) bool {
	if number < 64 {
		was := s.low&(1<<number) != 0
		s.low |= 1 << number
		return was
	}
	_, was := s.high[number]
	if s.high == nil {
		s.high = make(map[int]struct{})
	}
	s.high[number] = struct{}{}
	return was
}
