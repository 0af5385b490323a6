package pyjson

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// An Appender writes itself. AppendPyJSON appends one JSON value in Python's
// form to b; what it appends is not checked.
type Appender interface {
	AppendPyJSON(b []byte) ([]byte, error)
}

// An AppendError says why [Append] cannot write a value, and where in it.
type AppendError struct {
	Path string // as in board[2], empty for the value itself
	Err  error
}

func (e *AppendError) Error() string { return prefixError(e.Path, e.Err.Error()) }

func (e *AppendError) Unwrap() error { return e.Err }

// Under returns the error with the path of the value put before its own, as in
// payload.board[2].
func (e *AppendError) Under(path string) *AppendError {
	return &AppendError{joinPath(path, e.Path), e.Err}
}

// Append appends v as json.dumps would write its Python counterpart.
//
// Go's integers are written as integers and its floats as floats, so float64(1)
// is 1.0. float32 is written in the fewest digits that read back as that
// float32. Maps are sorted by their keys, which are strings or integers. Structs
// follow their json tags as in encoding/json, with the options omitempty and
// omitzero; the option string has no effect. []byte is written in base64. Nil
// maps and slices are written empty, as the peers break on a null there; nil
// pointers and interfaces are null.
//
// A value that implements [Appender] writes itself. Otherwise what json.Marshaler
// or encoding.TextMarshaler give is taken and put in Python's form, as are
// json.RawMessage and json.Number.
//
// Channels, functions and complex numbers, and what nests more than 512 deep,
// such as cycles, give an *[AppendError] and b as it was.
func Append(b []byte, v any) ([]byte, error) {
	out, bad := appendAny(b, v, maxNesting)
	if bad != nil {
		return b, bad
	}
	return out, nil
}

// appendAny appends v, in which left containers may nest. The types listed are
// those a game is most likely to send, and need no reflection.
func appendAny(b []byte, v any, left int) ([]byte, *AppendError) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case string:
		return AppendString(b, v), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case float64:
		return AppendFloat(b, v), nil
	case map[string]any:
		return appendMap(b, v, left)
	case []any:
		return appendSlice(b, v, left, appendAny)
	case []string:
		return appendSlice(b, v, left, appendStringItem)
	case []int:
		return appendSlice(b, v, left, appendIntItem)
	case json.RawMessage:
		return appendText(b, v, left)
	}
	rv := reflect.ValueOf(v)
	return encoderOf(rv.Type())(b, rv, left)
}

func appendStringItem(b []byte, s string, _ int) ([]byte, *AppendError) {
	return AppendString(b, s), nil
}

func appendIntItem(b []byte, i int, _ int) ([]byte, *AppendError) {
	return strconv.AppendInt(b, int64(i), 10), nil
}

func appendMap(b []byte, m map[string]any, left int) ([]byte, *AppendError) {
	if left <= 0 {
		return b, tooDeep()
	}
	var few [16]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(AppendString(b, k), ": "...)
		var bad *AppendError
		if b, bad = appendAny(b, m[k], left-1); bad != nil {
			return b, bad.Under(KeyPath(k))
		}
	}
	return append(b, '}'), nil
}

func appendSlice[T any](b []byte, s []T, left int, item func([]byte, T, int) ([]byte, *AppendError)) ([]byte, *AppendError) {
	if left <= 0 {
		return b, tooDeep()
	}
	b = append(b, '[')
	for i, v := range s {
		if i > 0 {
			b = append(b, ", "...)
		}
		var bad *AppendError
		if b, bad = item(b, v, left-1); bad != nil {
			return b, bad.Under(IndexPath(i))
		}
	}
	return append(b, ']'), nil
}

// appendText appends JSON text of unknown origin. As in encoding/json, no text
// at all is null.
func appendText(b, raw []byte, left int) ([]byte, *AppendError) {
	if len(raw) == 0 {
		return append(b, "null"...), nil
	}
	if err := Check(raw, left); err != nil {
		return b, &AppendError{Err: err}
	}
	return AppendRaw(b, raw), nil
}

func tooDeep() *AppendError {
	return &AppendError{Err: ErrDepth}
}

// An encFunc appends a value of one type.
type encFunc func(b []byte, v reflect.Value, left int) ([]byte, *AppendError)

// encoders caches encFuncs by reflect.Type.
var encoders sync.Map

func encoderOf(t reflect.Type) encFunc {
	if enc, ok := encoders.Load(t); ok {
		return enc.(encFunc)
	}
	kept, _ := encoders.LoadOrStore(t, newEncoder(t))
	return kept.(encFunc)
}

// lazyEncoder finds the encoder of t when it is first needed, as types may
// contain themselves.
func lazyEncoder(t reflect.Type) func() encFunc {
	return sync.OnceValue(func() encFunc { return encoderOf(t) })
}

var (
	appenderType      = reflect.TypeFor[Appender]()
	marshalerType     = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
	numberType        = reflect.TypeFor[json.Number]()
	rawType           = reflect.TypeFor[json.RawMessage]()
)

func newEncoder(t reflect.Type) encFunc {
	switch {
	case t == numberType:
		return encodeNumber
	case t == rawType:
		return encodeRaw
	case t.Kind() == reflect.Interface:
		return encodeInterface
	}
	if enc := methodEncoder(t); enc != nil {
		return enc
	}
	enc := kindEncoder(t)
	if t.Kind() == reflect.Pointer {
		return enc
	}
	byPointer := methodEncoder(reflect.PointerTo(t))
	if byPointer == nil {
		return enc
	}
	return func(b []byte, v reflect.Value, left int) ([]byte, *AppendError) {
		if v.CanAddr() {
			return byPointer(b, v.Addr(), left)
		}
		return enc(b, v, left)
	}
}

// methodEncoder returns the encoder for types that say themselves how they are
// written, nil for others.
func methodEncoder(t reflect.Type) encFunc {
	var enc encFunc
	switch {
	case t.Implements(appenderType):
		enc = encodeAppender
	case t.Implements(marshalerType):
		enc = encodeMarshaler
	case t.Implements(textMarshalerType):
		enc = encodeTextMarshaler
	default:
		return nil
	}
	if t.Kind() != reflect.Pointer {
		return enc
	}
	return func(b []byte, v reflect.Value, left int) ([]byte, *AppendError) {
		if v.IsNil() { // whose methods may not expect it
			return append(b, "null"...), nil
		}
		return enc(b, v, left)
	}
}

func encodeAppender(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
	out, err := v.Interface().(Appender).AppendPyJSON(b)
	if err != nil {
		return b, appendError(err)
	}
	return out, nil
}

func encodeMarshaler(b []byte, v reflect.Value, left int) ([]byte, *AppendError) {
	text, err := v.Interface().(json.Marshaler).MarshalJSON()
	if err != nil {
		return b, appendError(err)
	}
	return appendText(b, text, left)
}

func encodeTextMarshaler(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
	text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return b, appendError(err)
	}
	return AppendString(b, string(text)), nil
}

// appendError keeps the path of an error that comes from an Append within.
func appendError(err error) *AppendError {
	if bad, ok := err.(*AppendError); ok {
		return bad
	}
	return &AppendError{Err: err}
}

func encodeNumber(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
	num := v.String()
	if num == "" {
		num = "0" // as in encoding/json
	}
	raw := []byte(num)
	sc := scanner{b: raw}
	if k := KindOf(raw); k != Int && k != Float || sc.value(0, 0) != len(raw) {
		return b, &AppendError{Err: fmt.Errorf("json.Number %s is not a number", shorten(ReprString(num)))}
	}
	return AppendRaw(b, raw), nil
}

func encodeRaw(b []byte, v reflect.Value, left int) ([]byte, *AppendError) {
	return appendText(b, v.Bytes(), left)
}

func encodeInterface(b []byte, v reflect.Value, left int) ([]byte, *AppendError) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	return appendAny(b, v.Elem().Interface(), left)
}

// kindEncoder returns the encoder for a type without methods of its own.
func kindEncoder(t reflect.Type) encFunc {
	switch t.Kind() {
	case reflect.Bool:
		return func(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
			return strconv.AppendBool(b, v.Bool()), nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
			return strconv.AppendInt(b, v.Int(), 10), nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
			return strconv.AppendUint(b, v.Uint(), 10), nil
		}
	case reflect.Float32:
		return func(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
			return appendFloat32(b, float32(v.Float())), nil
		}
	case reflect.Float64:
		return func(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
			return AppendFloat(b, v.Float()), nil
		}
	case reflect.String:
		return func(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
			return AppendString(b, v.String()), nil
		}
	case reflect.Slice:
		if isBytes(t) {
			return encodeBytes
		}
		return listEncoder(t)
	case reflect.Array:
		return listEncoder(t)
	case reflect.Map:
		return mapEncoder(t)
	case reflect.Struct:
		return structEncoder(t)
	case reflect.Pointer:
		return pointerEncoder(t)
	default:
		return func(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
			return b, cannotWrite(t)
		}
	}
}

func cannotWrite(t reflect.Type) *AppendError {
	return &AppendError{Err: fmt.Errorf("cannot write %s as JSON", t)}
}

// isBytes reports whether a slice type is written in base64: bytes, unless they
// know better how to be written.
func isBytes(t reflect.Type) bool {
	e := t.Elem()
	p := reflect.PointerTo(e)
	return e.Kind() == reflect.Uint8 &&
		!p.Implements(appenderType) && !p.Implements(marshalerType) && !p.Implements(textMarshalerType)
}

func encodeBytes(b []byte, v reflect.Value, _ int) ([]byte, *AppendError) {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, v.Bytes())
	return append(b, '"'), nil
}

func listEncoder(t reflect.Type) encFunc {
	elem := lazyEncoder(t.Elem())
	return func(b []byte, v reflect.Value, left int) ([]byte, *AppendError) {
		if left <= 0 {
			return b, tooDeep()
		}
		enc := elem()
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ", "...)
			}
			var bad *AppendError
			if b, bad = enc(b, v.Index(i), left-1); bad != nil {
				return b, bad.Under(IndexPath(i))
			}
		}
		return append(b, ']'), nil
	}
}

// pointerEncoder follows pointers. Each counts as a container, or one that
// points to itself would be followed for ever.
func pointerEncoder(t reflect.Type) encFunc {
	elem := lazyEncoder(t.Elem())
	selfish := t.Elem().Kind() == reflect.Pointer || t.Elem().Kind() == reflect.Interface
	return func(b []byte, v reflect.Value, left int) ([]byte, *AppendError) {
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		if selfish {
			if left--; left < 0 {
				return b, tooDeep()
			}
		}
		return elem()(b, v.Elem(), left)
	}
}

func structEncoder(t reflect.Type) encFunc {
	st := structTypeOf(t)
	return func(b []byte, v reflect.Value, left int) ([]byte, *AppendError) {
		if left <= 0 {
			return b, tooDeep()
		}
		b = append(b, '{')
		first := true
		for i := range st.fields {
			f := &st.fields[i]
			fv, ok := f.get(v)
			if !ok || f.omitted(fv) {
				continue
			}
			if !first {
				b = append(b, ", "...)
			}
			first = false
			b = append(b, f.prefix...)
			var bad *AppendError
			if b, bad = f.enc()(b, fv, left-1); bad != nil {
				return b, bad.Under(KeyPath(f.name))
			}
		}
		return append(b, '}'), nil
	}
}

// An entry is one of a map, with its key as text to sort by.
type entry struct {
	key   string
	value reflect.Value
}

func mapEncoder(t reflect.Type) encFunc {
	keyText := mapKeyText(t.Key().Kind())
	if keyText == nil {
		return func(b []byte, _ reflect.Value, _ int) ([]byte, *AppendError) {
			return b, cannotWrite(t)
		}
	}
	elem := lazyEncoder(t.Elem())
	return func(b []byte, v reflect.Value, left int) ([]byte, *AppendError) {
		if left <= 0 {
			return b, tooDeep()
		}
		entries := make([]entry, 0, v.Len())
		for it := v.MapRange(); it.Next(); {
			entries = append(entries, entry{keyText(it.Key()), it.Value()})
		}
		slices.SortFunc(entries, func(x, y entry) int { return strings.Compare(x.key, y.key) })
		enc := elem()
		b = append(b, '{')
		for i, e := range entries {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(AppendString(b, e.key), ": "...)
			var bad *AppendError
			if b, bad = enc(b, e.value, left-1); bad != nil {
				return b, bad.Under(KeyPath(e.key))
			}
		}
		return append(b, '}'), nil
	}
}

// mapKeyText returns how keys of a kind are written, nil if they cannot be.
func mapKeyText(k reflect.Kind) func(reflect.Value) string {
	switch k {
	case reflect.String:
		return reflect.Value.String
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value) string { return strconv.FormatInt(v.Int(), 10) }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(v reflect.Value) string { return strconv.FormatUint(v.Uint(), 10) }
	default:
		return nil
	}
}
