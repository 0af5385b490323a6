package msgpack

import (
	"reflect"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// field is a struct field that is an entry of the map.
type field struct {
	name   string
	key    []byte // the name, encoded
	path   []int  // of indexes, through embedded structs
	number int    // among the fields of its struct
	tagged bool   // named by a tag
	omit   func(reflect.Value) bool
	codec  *codec
}

// fieldsOf lists the entries of a struct type, those of embedded structs included, in the order of the
// source. Of equal names the least deep counts, then the tagged one; if that leaves two, neither, as in
// encoding/json.
func (b builder) fieldsOf(t reflect.Type) []field {
	all := b.collect(nil, t, nil, map[reflect.Type]bool{})
	best := make(map[string][]int)
	for i, f := range all {
		rivals := best[f.name]
		if len(rivals) == 0 || f.beats(all[rivals[0]]) {
			best[f.name] = []int{i}
		} else if !all[rivals[0]].beats(f) {
			best[f.name] = append(rivals, i)
		}
	}
	var fields []field
	for i, f := range all {
		if winners := best[f.name]; len(winners) == 1 && winners[0] == i {
			f.number = len(fields)
			f.key = msgp.AppendString(nil, f.name)
			f.codec = b.codec(t.FieldByIndex(f.path).Type)
			fields = append(fields, f)
		}
	}
	return fields
}

func (f field) beats(g field) bool {
	if len(f.path) != len(g.path) {
		return len(f.path) < len(g.path)
	}
	return f.tagged && !g.tagged
}

// collect appends the fields of t, which is embedded at path, to all. Within are the types t is within.
func (b builder) collect(all []field, t reflect.Type, path []int, within map[reflect.Type]bool) []field {
	if within[t] {
		return all
	}
	within[t] = true
	defer delete(within, t)
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, skip := tagOf(sf)
		if skip {
			continue
		}
		here := append(path[:len(path):len(path)], i)
		if embedded := embeddedStruct(sf); embedded != nil && name == "" {
			all = b.collect(all, embedded, here, within)
			continue
		}
		if !sf.IsExported() {
			continue
		}
		f := field{name: name, path: here, tagged: name != "", omit: omission(sf.Type, options)}
		if name == "" {
			f.name = sf.Name
		}
		all = append(all, f)
	}
	return all
}

// embeddedStruct returns the struct type whose fields sf stands for, or nil if it is a field of its own. A
// pointer to an unexported type is no such thing, as it cannot be set.
func embeddedStruct(sf reflect.StructField) reflect.Type {
	if !sf.Anonymous {
		return nil
	}
	t := sf.Type
	if t.Kind() == reflect.Pointer {
		if !sf.IsExported() {
			return nil
		}
		t = t.Elem()
	}
	p := reflect.PointerTo(t)
	_, own := special(t)
	if t.Kind() != reflect.Struct || own || p.Implements(marshalerType) || p.Implements(unmarshalerType) {
		return nil
	}
	return t
}

// tagOf reads the msgpack tag of a field, and the json tag for what it does not say.
func tagOf(sf reflect.StructField) (name, options string, skip bool) {
	own, hasOwn := sf.Tag.Lookup("msgpack")
	other := sf.Tag.Get("json")
	if own == "-" || other == "-" && !hasOwn {
		return "", "", true
	}
	name, options, _ = strings.Cut(own, ",")
	otherName, otherOptions, _ := strings.Cut(other, ",")
	if !hasOwn {
		options = otherOptions
	}
	if name == "" && other != "-" {
		name = otherName
	}
	return name, options, false
}

// omission returns when a field is left out, or nil for never.
func omission(t reflect.Type, options string) func(reflect.Value) bool {
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			switch t.Kind() {
			case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
				return func(v reflect.Value) bool { return v.Len() == 0 }
			case reflect.Struct:
				continue
			}
			return reflect.Value.IsZero
		case "omitzero":
			return reflect.Value.IsZero
		}
	}
	return nil
}
