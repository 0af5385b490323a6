package pyjson

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A field is a field of a struct as JSON sees it.
type field struct {
	name      string
	prefix    string // the quoted name and the colon
	index     []int  // for reflect, through embedded structs
	tagged    bool
	omitEmpty bool
	omitZero  bool
	enc       func() encFunc
	dec       func() decFunc
}

// A structType is what is known of a struct type: its fields in order, and
// where each name is.
type structType struct {
	fields []field
	byName map[string]int
}

// structTypes caches structTypes by reflect.Type.
var structTypes sync.Map

func structTypeOf(t reflect.Type) *structType {
	if st, ok := structTypes.Load(t); ok {
		return st.(*structType)
	}
	st := &structType{fields: visibleFields(t), byName: map[string]int{}}
	for i, f := range st.fields {
		st.byName[f.name] = i
	}
	kept, _ := structTypes.LoadOrStore(t, st)
	return kept.(*structType)
}

// visibleFields returns the fields of t, those of embedded structs included,
// by the rules of encoding/json: of several with one name the shallowest
// counts, then the tagged one, and if that leaves more than one, none does.
func visibleFields(t reflect.Type) []field {
	var all []field
	collectFields(t, nil, map[reflect.Type]bool{}, &all)
	byName := map[string][]int{}
	for i, f := range all {
		byName[f.name] = append(byName[f.name], i)
	}
	var fields []field
	for i, f := range all {
		if dominant(all, byName[f.name]) == i {
			fields = append(fields, f)
		}
	}
	return fields
}

// dominant returns which of the fields of one name counts, -1 if none does.
func dominant(all []field, same []int) int {
	rank := func(i int) int {
		r := 2 * len(all[i].index)
		if !all[i].tagged {
			r++
		}
		return r
	}
	best := slices.MinFunc(same, func(i, j int) int { return rank(i) - rank(j) })
	for _, i := range same {
		if i != best && rank(i) == rank(best) {
			return -1
		}
	}
	return best
}

// collectFields appends the fields of t in their order in the source. open holds
// the types being walked, as a struct may embed a pointer to itself.
func collectFields(t reflect.Type, index []int, open map[reflect.Type]bool, all *[]field) {
	if open[t] {
		return
	}
	open[t] = true
	defer delete(open, t)
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(slices.Clip(index), i)
		tag := sf.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if sf.Anonymous {
			in := sf.Type
			if in.Kind() == reflect.Pointer {
				in = in.Elem()
			}
			if !sf.IsExported() && in.Kind() != reflect.Struct {
				continue
			}
			if name == "" && in.Kind() == reflect.Struct {
				collectFields(in, at, open, all)
				continue
			}
		}
		if !sf.IsExported() {
			continue
		}
		*all = append(*all, newField(sf, at, name, options))
	}
}

func newField(sf reflect.StructField, index []int, name, options string) field {
	f := field{name: name, index: index, tagged: name != ""}
	if !f.tagged {
		f.name = sf.Name
	}
	f.prefix = string(AppendString(nil, f.name)) + ": "
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			f.omitEmpty = true
		case "omitzero":
			f.omitZero = true
		}
	}
	f.enc = sync.OnceValue(func() encFunc { return encoderOf(sf.Type) })
	f.dec = sync.OnceValue(func() decFunc { return decoderOf(sf.Type) })
	return f
}

// get returns the field in v, and false if a nil embedded pointer is in the way.
func (f *field) get(v reflect.Value) (reflect.Value, bool) {
	if len(f.index) == 1 {
		return v.Field(f.index[0]), true
	}
	for i, x := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	return v, true
}

// set is get for writing: nil embedded pointers get a new struct. It reports
// false where that is impossible, as the embedded type is unexported.
func (f *field) set(v reflect.Value) (reflect.Value, bool) {
	if len(f.index) == 1 {
		return v.Field(f.index[0]), true
	}
	for i, x := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return reflect.Value{}, false
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	return v, true
}

// omitted reports whether the tag of the field keeps v from being written.
func (f *field) omitted(v reflect.Value) bool {
	if f.omitZero {
		if z, ok := v.Interface().(interface{ IsZero() bool }); ok && !(isNilable(v.Kind()) && v.IsNil()) {
			return z.IsZero()
		}
		return v.IsZero()
	}
	return f.omitEmpty && isEmpty(v)
}

func isNilable(k reflect.Kind) bool {
	return k == reflect.Pointer || k == reflect.Interface
}

// isEmpty is what omitempty of encoding/json means: zero, but never a struct,
// and for arrays, maps and slices their length.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}
