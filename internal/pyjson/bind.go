package pyjson

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"sync"
)

// A Binder reads itself from the raw text of one valid JSON value, which it must
// not keep or change.
type Binder interface {
	BindPyJSON(raw []byte) error
}

// A BindError says which value does not fit where it was to go.
type BindError struct {
	Path string // as in move.x, empty for the value itself
	Want string // as in "an integer"
	Got  string // as in "a str 'a'", shortened
	Err  error  // instead of Want and Got, what a type that reads itself said
}

func (e *BindError) Error() string {
	if e.Err != nil {
		return prefixError(e.Path, e.Err.Error())
	}
	return prefixError(e.Path, "want "+e.Want+", got "+e.Got)
}

func (e *BindError) Unwrap() error { return e.Err }

// Under returns the error with the path of the value put before its own, as in
// payload.move.x.
func (e *BindError) Under(path string) *BindError {
	under := *e
	under.Path = joinPath(path, e.Path)
	return &under
}

// Bind decodes JSON text into the value that into, a pointer, points to.
//
// Nothing is converted: an integer is taken for a float, but 1.0 is not an
// integer and null is only for pointers and any. Structs follow their json tags
// as in encoding/json, except that keys must match case by case. Unknown keys are
// ignored, missing ones leave the field as it is, and of equal ones the last
// counts. Slices and maps are replaced, arrays must have the length of the list.
// []byte takes base64. any takes nil, bool, int64 or *big.Int, float64, string,
// []any or map[string]any. json.Number and json.RawMessage keep the text.
// Types that implement [Binder], json.Unmarshaler or encoding.TextUnmarshaler
// read themselves.
//
// A value that does not fit gives a *[BindError], the first of them; the rest of
// into may have been set. Text that is not JSON gives a *[SyntaxError], and more
// than 512 nested containers [ErrDepth].
func Bind(raw []byte, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("bind JSON: need a pointer to a value, not %T", into)
	}
	d := decoder{scanner{b: raw}}
	end, bad := decoderOf(v.Type().Elem())(&d, skipSpace(raw, 0), maxNesting, v.Elem())
	if !d.end(end) {
		return d.err()
	}
	if bad != nil {
		return bad
	}
	return nil
}

// A decoder walks a text once and sets values as it goes.
type decoder struct{ scanner }

// A decFunc decodes the value at i into v and returns the offset after it. A
// value that does not fit is passed over nonetheless, as a later one with an
// equal key may replace it. If the text is broken the offset is -1.
type decFunc func(d *decoder, i, left int, v reflect.Value) (int, *BindError)

// take passes over the value at i and returns its text and kind.
func (d *decoder) take(i, left int) (raw []byte, kind Kind, end int) {
	if end = d.value(i, left); end < 0 {
		return nil, Invalid, -1
	}
	raw = d.b[i:end:end]
	return raw, KindOf(raw), end
}

// refuse passes over a value that is not what is wanted.
func (d *decoder) refuse(i, left int, want string) (int, *BindError) {
	raw, _, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	return end, misfit(want, raw)
}

func misfit(want string, raw []byte) *BindError {
	return &BindError{Want: want, Got: describe(raw)}
}

// describe returns the type and the value of a text, for people.
func describe(raw []byte) string {
	kind := KindOf(raw)
	if kind == Null {
		return "None"
	}
	article := "a "
	if kind == Int {
		article = "an "
	}
	return article + kind.PythonType() + " " + shorten(string(AppendRepr(nil, raw)))
}

// at reports whether c is at i.
func (d *decoder) at(i int, c byte) bool {
	return i < len(d.b) && d.b[i] == c
}

// decoders caches decFuncs by reflect.Type.
var decoders sync.Map

func decoderOf(t reflect.Type) decFunc {
	if dec, ok := decoders.Load(t); ok {
		return dec.(decFunc)
	}
	kept, _ := decoders.LoadOrStore(t, newDecoder(t))
	return kept.(decFunc)
}

func lazyDecoder(t reflect.Type) func() decFunc {
	return sync.OnceValue(func() decFunc { return decoderOf(t) })
}

var (
	binderType          = reflect.TypeFor[Binder]()
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func newDecoder(t reflect.Type) decFunc {
	switch p := reflect.PointerTo(t); {
	case t == numberType:
		return decodeJSONNumber
	case t == rawType:
		return decodeRaw
	case p.Implements(binderType):
		return decodeBinder
	case p.Implements(unmarshalerType):
		return decodeUnmarshaler
	case p.Implements(textUnmarshalerType):
		return decodeTextUnmarshaler
	}
	switch t.Kind() {
	case reflect.Bool:
		return decodeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return decodeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return decodeUint
	case reflect.Float32, reflect.Float64:
		return decodeFloat
	case reflect.String:
		return decodeString
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return decodeBytes
		}
		return sliceDecoder(t)
	case reflect.Array:
		return arrayDecoder(t)
	case reflect.Map:
		return mapDecoder(t)
	case reflect.Struct:
		return structDecoder(t)
	case reflect.Pointer:
		return pointerDecoder(t)
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return decodeAny
		}
	}
	return func(d *decoder, i, left int, _ reflect.Value) (int, *BindError) {
		end := d.value(i, left)
		return end, &BindError{Err: fmt.Errorf("cannot read JSON into %s", t)}
	}
}

func decodeBool(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, kind, end := d.take(i, left)
	if end >= 0 && kind != Bool {
		return end, misfit("a bool", raw)
	}
	if end >= 0 {
		v.SetBool(raw[0] == 't')
	}
	return end, nil
}

func decodeInt(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, kind, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	if kind != Int {
		return end, misfit("an integer", raw)
	}
	n, err := strconv.ParseInt(string(raw), 10, v.Type().Bits())
	if err != nil {
		most := int64(1)<<(v.Type().Bits()-1) - 1
		return end, misfit(fmt.Sprintf("an integer from %d to %d", -most-1, most), raw)
	}
	v.SetInt(n)
	return end, nil
}

func decodeUint(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, kind, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	if kind != Int {
		return end, misfit("an integer", raw)
	}
	digits := string(raw)
	if digits == "-0" {
		digits = "0"
	}
	n, err := strconv.ParseUint(digits, 10, v.Type().Bits())
	if err != nil {
		most := ^uint64(0) >> (64 - v.Type().Bits())
		return end, misfit(fmt.Sprintf("an integer from 0 to %d", most), raw)
	}
	v.SetUint(n)
	return end, nil
}

func decodeFloat(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, kind, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	if kind != Float && kind != Int {
		return end, misfit("a number", raw)
	}
	f := ParseFloat(raw)
	inf := f-f != 0 && f == f
	if inf && kind == Int || !inf && v.OverflowFloat(f) {
		// Python, too, reads 1e400 as infinity and refuses the integer.
		return end, misfit("a number that fits "+v.Kind().String(), raw)
	}
	v.SetFloat(f)
	return end, nil
}

func decodeJSONNumber(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, kind, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	if kind != Float && kind != Int {
		return end, misfit("a number", raw)
	}
	v.SetString(string(raw))
	return end, nil
}

func decodeRaw(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, _, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	v.SetBytes(append([]byte(nil), raw...))
	return end, nil
}

func decodeString(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	if !d.at(i, '"') {
		return d.refuse(i, left, "a string")
	}
	end := d.str(i)
	if end < 0 {
		return -1, nil
	}
	s, _ := Unquote(d.b[i:end])
	v.SetString(s)
	return end, nil
}

func decodeBytes(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, _, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	s, ok := Unquote(raw)
	if !ok {
		return end, misfit("base64 text", raw)
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return end, misfit("base64 text", raw)
	}
	v.SetBytes(data)
	return end, nil
}

func decodeBinder(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, _, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	return end, bindError(v.Addr().Interface().(Binder).BindPyJSON(raw))
}

func decodeUnmarshaler(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, _, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	return end, bindError(v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(raw))
}

func decodeTextUnmarshaler(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
	raw, _, end := d.take(i, left)
	if end < 0 {
		return -1, nil
	}
	s, ok := Unquote(raw)
	if !ok {
		return end, misfit("a string", raw)
	}
	return end, bindError(v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)))
}

// bindError keeps the path of an error that comes from a Bind within.
func bindError(err error) *BindError {
	if err == nil {
		return nil
	}
	if bad, ok := err.(*BindError); ok {
		return bad
	}
	return &BindError{Err: err}
}

func pointerDecoder(t reflect.Type) decFunc {
	elem := lazyDecoder(t.Elem())
	return func(d *decoder, i, left int, v reflect.Value) (int, *BindError) {
		if d.at(i, 'n') {
			v.SetZero()
			return d.word(i, "null"), nil
		}
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		return elem()(d, i, left, v.Elem())
	}
}
