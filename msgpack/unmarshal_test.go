package msgpack_test

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parlor/msgpack"
)

type position struct {
	X, Y int8
}

type Base struct {
	ID     int `msgpack:"id"`
	Shadow int `msgpack:"shadow"`
}

type everything struct {
	Base
	*position0
	Text     string         `msgpack:"text"`
	ByJSON   uint16         `json:"by_json,omitempty"`
	Both     int            `msgpack:",omitzero" json:"both"`
	Bytes    []byte         `msgpack:"bytes"`
	Fixed    [3]byte        `msgpack:"fixed"`
	Three    [3]int         `msgpack:"three"`
	List     []position     `msgpack:"list"`
	Pointer  *position      `msgpack:"pointer"`
	Map      map[name]int   `msgpack:"map"`
	Structs  map[string]any `msgpack:"structs"`
	Float    float32        `msgpack:"float"`
	When     time.Time      `msgpack:"when"`
	Ext      msgpack.Ext    `msgpack:"ext"`
	Raw      msgpack.Raw    `msgpack:"raw"`
	Ordered  msgpack.Map    `msgpack:"ordered"`
	Any      any            `msgpack:"any"`
	Flag     bool           `msgpack:"flag"`
	Wait     time.Duration  `msgpack:"wait"`
	Small    uint8          `msgpack:"small"`
	Deep     **int          `msgpack:"deep"`
	Shadow   string         `msgpack:"shadow"`
	Skipped  chan int       `msgpack:"-"`
	SkippedJ func()         `json:"-"`
	_        int
}

type position0 struct{ Never int } // embedded by pointer and unexported: it cannot be set

func TestStructRoundTrip(t *testing.T) {
	want := everything{
		Base: Base{ID: 7}, Text: "text", ByJSON: 65535, Both: -5, Bytes: []byte{1}, Fixed: [3]byte{1, 2, 3},
		Three: [3]int{1, 2, 3}, List: []position{{1, 2}, {-3, 4}}, Pointer: &position{5, 6},
		Map: map[name]int{"a": 1}, Structs: map[string]any{"x": []any{int64(1)}}, Float: 1.5,
		When: time.Unix(1, 2).UTC(), Ext: msgpack.Ext{Code: 3, Data: []byte("abc")}, Raw: msgpack.Raw{0x91, 0x01},
		Ordered: msgpack.Map{{Key: "z", Value: true}, {Key: "a", Value: nil}}, Any: "any", Flag: true,
		Wait: time.Second, Small: 255, Deep: ptr(ptr(9)), Shadow: "outer",
	}
	var got everything
	if err := msgpack.Unmarshal(encode(t, want), &got, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(everything{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	byName := decode(t, encode(t, &want)).(map[string]any)
	for _, key := range []string{"id", "by_json", "both", "shadow"} {
		if byName[key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
	if len(byName) != 22 || byName["shadow"] != "outer" {
		t.Errorf("%d keys: %v", len(byName), byName)
	}
}

func TestOmitted(t *testing.T) {
	type s struct {
		A int            `msgpack:"a,omitempty"`
		B []int          `msgpack:"b,omitempty"`
		C map[string]int `json:",omitempty"`
		D time.Time      `msgpack:"d,omitzero"`
		E *int           `msgpack:"e,omitempty"`
		F position       `msgpack:"f,omitempty"`
	}
	if got := decode(t, encode(t, s{B: []int{}})).(map[string]any); len(got) != 1 || got["f"] == nil {
		t.Errorf("got %v", got)
	}
	full := s{1, []int{1}, map[string]int{"a": 1}, time.Unix(1, 0), ptr(0), position{}}
	if got := decode(t, encode(t, full)).(map[string]any); len(got) != 6 || got["C"] == nil {
		t.Errorf("got %v", got)
	}
}

func TestEmbedding(t *testing.T) {
	type Left struct{ Same, OnlyLeft int }
	type Right struct {
		Same      int
		OnlyRight int
	}
	type Tree struct {
		*Left
		Right
		time.Time
		Named Base
		*Base `msgpack:"base"`
	}
	got := decode(t, encode(t, Tree{})).(map[string]any)
	want := map[string]any{"OnlyRight": int64(0), "Time": time.Time{},
		"Named": map[string]any{"id": int64(0), "shadow": int64(0)}, "base": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var tree Tree
	if err := msgpack.Unmarshal(encode(t, map[string]any{"OnlyLeft": 5, "Same": 6}), &tree, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if tree.Left == nil || tree.OnlyLeft != 5 || tree.Left.Same != 0 || tree.Right.Same != 0 {
		t.Errorf("got %+v", tree)
	}
}

func TestKeysOfStructs(t *testing.T) {
	type s struct {
		A     int `msgpack:"a"`
		Inner position
	}
	got := s{A: 1, Inner: position{X: 9, Y: 9}}
	for _, hex := range []string{
		"80",                              // missing: left alone
		"82 a141 05 a162 93010203",        // case matters, unknown ones are ignored
		"81 c40161 05",                    // bytes are no name
		"81 a5496e6e6572 81 a158 09",      // within too
		"82 a161 c0 a161 05",              // refused, below
		"82 a161 05 a161 01",              // the last counts
		"82 a5496e6e6572 80 a161 01",      // in any order
		"81 a5496e6e6572 82 a15809a15909", // restore
	} {
		err := msgpack.Unmarshal(unhex(t, hex), &got, msgpack.Limits{})
		if (err != nil) != (hex == "82 a161 c0 a161 05") || got.A != 1 || got.Inner != (position{9, 9}) {
			t.Errorf("after %s: %+v, %v", hex, got, err)
		}
	}
	// The last of two maps counts, not what both make together.
	twice := unhex(t, "82 a5496e6e6572 82a15801a15902 a5496e6e6572 81a15803")
	if err := msgpack.Unmarshal(twice, &got, msgpack.Limits{}); err != nil || got.Inner != (position{X: 3}) {
		t.Errorf("got %+v, %v", got.Inner, err)
	}
}

func TestManyFields(t *testing.T) {
	fields := make([]reflect.StructField, 100)
	for i := range fields {
		fields[i] = reflect.StructField{Name: "F" + strings.Repeat("x", i), Type: reflect.TypeFor[position]()}
	}
	v := reflect.New(reflect.StructOf(fields))
	v.Elem().Field(99).Field(0).SetInt(5)
	b := encode(t, v.Interface())
	got := reflect.New(v.Type().Elem())
	if err := msgpack.Unmarshal(b, got.Interface(), msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if x := got.Elem().Field(99).Field(0).Int(); x != 5 {
		t.Errorf("the last field is %d", x)
	}
}

func TestRecursiveType(t *testing.T) {
	type node struct {
		Value int
		Next  *node
		Kids  []node
		Named map[string]node
	}
	want := node{1, &node{Value: 2}, []node{{Value: 3}}, map[string]node{"a": {Value: 4}}}
	var got node
	if err := msgpack.Unmarshal(encode(t, want), &got, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if got.Next.Value != 2 || got.Kids[0].Value != 3 || got.Named["a"].Value != 4 {
		t.Errorf("got %+v", got)
	}
}

func TestReplacedAndReused(t *testing.T) {
	at := &position{1, 2}
	v := struct {
		Map  map[string]int
		List []position
		P    *position
		Set  any
	}{map[string]int{"old": 1}, []position{{7, 7}}, at, "old"}
	old, list := v.Map, v.List
	msg := encode(t, map[string]any{
		"Map": map[string]any{"new": 2}, "List": []any{map[string]any{"X": 1}}, "P": map[string]any{"X": 5}, "Set": nil})
	if err := msgpack.Unmarshal(msg, &v, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if len(old) != 1 || list[0] != (position{7, 7}) || len(v.Map) != 1 || v.List[0] != (position{X: 1}) {
		t.Errorf("maps and slices are replaced: got %+v, before %v %v", v, old, list)
	}
	if v.P != at || *at != (position{5, 2}) || v.Set != nil {
		t.Errorf("what a pointer points to is kept: got %+v", v)
	}
}

func TestInterfaceField(t *testing.T) {
	var s struct{ R io.Reader }
	msg := unhex(t, "81 a152 80")
	if err := msgpack.Unmarshal(msg, &s, msgpack.Limits{}); err == nil {
		t.Error("a nil interface with methods was filled")
	}
	s.R = &io.LimitedReader{}
	if err := msgpack.Unmarshal(unhex(t, "81 a152 81 a14e 05"), &s, msgpack.Limits{}); err != nil {
		t.Error(err)
	}
	if n := s.R.(*io.LimitedReader).N; n != 5 {
		t.Errorf("got %d", n)
	}
}

func TestTypeErrors(t *testing.T) {
	type target struct {
		Move  struct{ X int } `msgpack:"move"`
		Moves []position      `msgpack:"moves"`
		Users map[string]position
		I8    int8
		U8    uint8
		U64   uint64
		I64   int64
		F     float64
		F32   float32
		S     string
		B     []byte
		Fix   [2]byte
		Arr   [2]int
		Bool  bool
		T     time.Time
		Ext   msgpack.Ext
		M     map[string]any
		MI    map[string]int
		Chan  chan int
	}
	for _, c := range []struct{ hex, want string }{
		{"81 a46d6f7665 81 a158 a131", "move.X: want an integer, got a string"},
		{"81 a46d6f7665 81 a158 cb3ff0000000000000", "move.X: want an integer, got a float"},
		{"81 a46d6f7665 05", "move: want a map, got an integer"},
		{"81 a46d6f7665 c0", "move: want a map, got nil"},
		{"81 a56d6f766573 92 80 81 a158 c3", "moves[1].X: want an integer, got a bool"},
		{"81 a56d6f766573 92 80 81 a158 cc80", "moves[1].X: want an integer of -128 to 127, got 128"},
		{"81 a56d6f766573 81 a161 01", "moves: want an array, got a map"},
		{"81 a55573657273 81 a3626f62 81 a158 90", `Users["bob"].X: want an integer, got an array`},
		{"81 a24938 d1ff7f", "I8: want an integer of -128 to 127, got -129"},
		{"81 a25538 ff", "U8: want an integer of 0 to 255, got -1"},
		{"81 a25538 cd0100", "U8: want an integer of 0 to 255, got 256"},
		{"81 a3553634 ff", "U64: want an integer of 0 to 18446744073709551615, got -1"},
		{"81 a3493634 cf8000000000000000",
			"I64: want an integer of -9223372036854775808 to 9223372036854775807, got 9223372036854775808"},
		{"81 a146 a131", "F: want a float, got a string"},
		{"81 a146 cf0020000000000001", "F: want a float, got an integer beyond 2^53"},
		{"81 a146 cfffffffffffffffff", "F: want a float, got an integer beyond 2^53"},
		{"81 a3463332 cb7fe0000000000000", "F32: want a float of 32 bits, got 8.98846567431158e+307"},
		{"81 a153 c40161", "S: want a string, got bytes"},
		{"81 a153 c0", "S: want a string, got nil"},
		{"81 a142 a161", "B: want bytes, got a string"},
		{"81 a3466978 c403010203", "Fix: want 2 bytes, got 3"},
		{"81 a3466978 920102", "Fix: want bytes, got an array"},
		{"81 a3417272 9101", "Arr: want an array of 2, got one of 1"},
		{"81 a3417272 80", "Arr: want an array, got a map"},
		{"81 a4426f6f6c 01", "Bool: want a bool, got an integer"},
		{"81 a154 01", "T: want a timestamp, got an integer"},
		{"81 a154 d40561", "T: want a timestamp, got an extension"},
		{"81 a3457874 d6ff00000000", "Ext: want an extension, got a timestamp"},
		{"81 a14d 81 c40161 01", "M: want a map with string keys, got a key of bytes"},
		{"81 a24d49 81 c40161 01", "MI: want a map with string keys, got a key of bytes"},
		{"81 a44368616e 01", "Chan: unsupported Go type chan int"},
	} {
		var v target
		err := msgpack.Unmarshal(unhex(t, c.hex), &v, msgpack.Limits{})
		if err == nil || err.Error() != "msgpack: "+c.want {
			t.Errorf("%s: got %v, want %s", c.hex, err, c.want)
		}
		var path *msgpack.PathError
		if !errors.As(err, &path) {
			t.Errorf("%v is no PathError", err)
		}
	}
}

func TestTypeErrorAtTheTop(t *testing.T) {
	var i int
	err := msgpack.Unmarshal(unhex(t, "a161"), &i, msgpack.Limits{})
	var typeErr *msgpack.TypeError
	if !errors.As(err, &typeErr) || err.Error() != "msgpack: want an integer, got a string" {
		t.Errorf("got %v", err)
	}
}

// A key of the network's in an error is quoted and cut.
func TestLongKeyInPath(t *testing.T) {
	var v map[string]int
	key := "a\n" + strings.Repeat("ü", 1000)
	err := msgpack.Unmarshal(encode(t, map[string]any{key: "x"}), &v, msgpack.Limits{})
	if err == nil || len(err.Error()) > 120 || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestLenientNumbers(t *testing.T) {
	var v struct {
		F  float64
		F3 float32
		U  uint64
		I  int64
	}
	msg := unhex(t, "84 a146 ff a24633 05 a155 d37fffffffffffffff a149 cf0000000000000005")
	if err := msgpack.Unmarshal(msg, &v, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if v.F != -1 || v.F3 != 5 || v.U != 1<<63-1 || v.I != 5 {
		t.Errorf("got %+v", v)
	}
}

func TestNilTargets(t *testing.T) {
	v := struct {
		P *int
		S []int
		B []byte
		M map[string]int
		O msgpack.Map
		A any
		R msgpack.Raw
	}{ptr(1), []int{1}, []byte{1}, map[string]int{"a": 1}, msgpack.Map{{}}, 1, nil}
	msg := unhex(t, "87 a150 c0 a153 c0 a142 c0 a14d c0 a14f c0 a141 c0 a152 c0")
	if err := msgpack.Unmarshal(msg, &v, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if v.P != nil || v.S != nil || v.B != nil || v.M != nil || v.O != nil || v.A != nil || string(v.R) != "\xc0" {
		t.Errorf("got %+v", v)
	}
}

func TestBadTargets(t *testing.T) {
	for _, into := range []any{nil, 5, (*int)(nil), position{}} {
		if err := msgpack.Unmarshal([]byte{1}, into, msgpack.Limits{}); err == nil {
			t.Errorf("%#v was decoded into", into)
		}
	}
}
