package parlor_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"parlor"
	"parlor/msgpack"
)

func TestEncode(t *testing.T) {
	inner := parlor.Encode(parlor.Map{"n": 1})
	type tagged struct {
		X int   `json:"x"`
		Y []any `json:"y"`
	}
	for _, test := range []struct {
		v    any
		want string
	}{
		{parlor.Map{}, `{}`},
		{parlor.Map{"b": 1.0, "a": 1}, `{"a": 1, "b": 1.0}`},
		{tagged{1, []any{true, nil}}, `{"x": 1, "y": [true, null]}`},
		{map[string]string{"name": "é"}, `{"name": "\u00e9"}`},
		{inner, `{"n": 1}`},
		{parlor.Map{"p": inner}, `{"p": {"n": 1}}`},
		{nil, `null`},
		{[]float64{1.5, math.NaN(), math.Inf(-1)}, `[1.5, NaN, -Infinity]`},
		{bigInt("123456789012345678901234567890"), `123456789012345678901234567890`},
	} {
		if p := parlor.Encode(test.v); p.Err() != nil || string(p.JSON()) != test.want {
			t.Errorf("Encode(%v) = %s, error %v, want %s", test.v, p.JSON(), p.Err(), test.want)
		}
	}
	if p := parlor.Encode(make(chan int)); p.Err() == nil || p.Bind(new(any)) == nil || !strings.Contains(p.String(), "encode payload") {
		t.Errorf("of a channel: error %v, text %s", p.Err(), p)
	}
}

func bigInt(text string) *big.Int {
	n, _ := new(big.Int).SetString(text, 10)
	return n
}

func TestZeroPayload(t *testing.T) {
	var p parlor.Payload
	if string(p.JSON()) != "{}" || !p.IsObject() || !p.Empty() || p.Err() != nil || p.String() != "{}" {
		t.Errorf("the zero payload: %s", p)
	}
	if v, ok := p.Get("x"); ok || v != nil {
		t.Errorf("Get = %v, %v", v, ok)
	}
	var m map[string]any
	if err := p.Bind(&m); err != nil || m == nil || len(m) != 0 {
		t.Errorf("bound to %v, error %v", m, err)
	}
}

func TestObjects(t *testing.T) {
	for text, want := range map[string]struct{ object, empty bool }{
		`{}`: {true, true}, ` { } `: {true, true}, `{"a": 1}`: {true, false},
		`[]`: {false, false}, `null`: {false, false}, `5`: {false, false}, `""`: {false, false},
	} {
		p, err := parlor.ParsePayload([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if p.IsObject() != want.object || p.Empty() != want.empty {
			t.Errorf("%s: object %v, empty %v, want %v", text, p.IsObject(), p.Empty(), want)
		}
	}
}

func TestGet(t *testing.T) {
	p, err := parlor.ParsePayload([]byte(`{"i": 1, "f": 1.0, "big": 99999999999999999999, "s": "é", "n": null, "b": true, "l": [1], "o": {"a": 1}, "twice": 1, "twice": 2, "\u0061": 3}`))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"i": int64(1), "f": 1.0, "big": bigInt("99999999999999999999"), "s": "é", "n": nil, "b": true,
		"l": []any{int64(1)}, "o": map[string]any{"a": int64(1)}, "twice": int64(2), "a": int64(3),
	} {
		if got, ok := p.Get(key); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("Get(%s) = %v (%T), %v, want %v", key, got, got, ok, want)
		}
	}
	if v, ok := p.Get("I"); ok {
		t.Errorf("Get(I) = %v: keys are case-sensitive", v)
	}
}

// TestBindErrors: the texts may be shown to the user who sent the payload.
func TestBindErrors(t *testing.T) {
	type move struct {
		X, Y int
		Path []struct {
			To string `json:"to"`
		} `json:"path"`
	}
	for text, want := range map[string]string{
		`{"X": "a"}`:                    "payload.X: want an integer, got a str 'a'",
		`{"X": 1.0}`:                    "payload.X: want an integer, got a float 1.0",
		`{"path": [{"to": "a"}, 5]}`:    "payload.path[1]: want an object, got an int 5",
		`{"path": [{"to": {"a": []}}]}`: "payload.path[0].to: want a string, got a dict {'a': []}",
		`[]`:                            "payload: want an object, got a list []",
		`null`:                          "payload: want an object, got None",
	} {
		p, err := parlor.ParsePayload([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var m move
		if err := p.Bind(&m); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
	m := move{X: 1, Y: 2}
	p, err := parlor.ParsePayload([]byte(`{"Y": 3, "x": 9, "z": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Bind(&m); err != nil || m.X != 1 || m.Y != 3 {
		t.Errorf("%+v, error %v: missing and unknown keys change nothing", m, err)
	}
}

func TestParsePayload(t *testing.T) {
	for _, text := range []string{``, `{`, `{} {}`, `nope`, `{"a": 01}`, strings.Repeat("[", 129) + strings.Repeat("]", 129)} {
		if _, err := parlor.ParsePayload([]byte(text)); err == nil {
			t.Errorf("%.40q: no error", text)
		}
	}
}

// TestNested: payloads inside of values, for both kinds of JSON.
func TestNested(t *testing.T) {
	type outer struct {
		In parlor.Payload `json:"in"`
	}
	text := `{"in": {"b": 1.0, "a": 10}}`
	var o outer
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	if string(o.In.JSON()) != `{"b": 1.0, "a": 10}` {
		t.Errorf("unmarshalled as %s", o.In.JSON())
	}
	if got, err := json.Marshal(o); err != nil || string(got) != `{"in":{"b":1.0,"a":10}}` {
		t.Errorf("marshalled as %s, error %v", got, err)
	}
	p, err := parlor.ParsePayload([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var bound outer
	if err := p.Bind(&bound); err != nil || string(bound.In.JSON()) != `{"b": 1.0, "a": 10}` {
		t.Errorf("bound as %s, error %v", bound.In.JSON(), err)
	}
	if got := parlor.Encode(bound); string(got.JSON()) != text {
		t.Errorf("encoded as %s", got.JSON())
	}
}

func TestMsgPack(t *testing.T) {
	type shot struct {
		X    int64   `json:"x"`
		Y    float64 `json:"y"`
		Data []byte  `json:"data"`
	}
	want := shot{X: 1 << 40, Y: 1, Data: []byte{0, 255}}
	message, err := msgpack.Append(nil, msgpack.Map{{Key: "x", Value: want.X}, {Key: "y", Value: want.Y}, {Key: "data", Value: want.Data}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := parlor.ParseMsgPack(message)
	if err != nil || string(p.JSON()) != `{"x": 1099511627776, "y": 1.0, "data": "AP8="}` {
		t.Fatalf("got %s, error %v", p.JSON(), err)
	}
	clear(message)
	var got shot
	if err := p.Bind(&got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("bound to %+v, error %v, want %+v", got, err, want)
	}

	// Bytes have become text, all else is as it was.
	back, err := p.AppendMsgPack([]byte("<"))
	if err != nil || string(back) != "<\x83\xa1x\xcf\x00\x00\x01\x00\x00\x00\x00\x00\xa1y\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xa4data\xa4AP8=" {
		t.Errorf("went back as %q, error %v", back, err)
	}
	if b, err := (parlor.Payload{}).AppendMsgPack(nil); err != nil || string(b) != "\x80" {
		t.Errorf("the zero payload: %x, error %v", b, err)
	}
	p, rest, err := parlor.CutMsgPack(append(back[1:], "\x2a\xc1"...))
	if err != nil || string(p.JSON()) != `{"x": 1099511627776, "y": 1.0, "data": "AP8="}` || string(rest) != "\x2a\xc1" {
		t.Errorf("cut to %s, and %q is left, error %v", p.JSON(), rest, err)
	}
	for message, want := range map[string]string{"": "empty", "\xc1\x80": "0xc1", "\xd4\x01\x00\x2a": "extension"} {
		if p, rest, err := parlor.CutMsgPack([]byte(message)); err == nil || !strings.Contains(err.Error(), want) || len(rest) > 0 || !p.Empty() {
			t.Errorf("%q was cut to %s, and %q is left, error %v", message, p.JSON(), rest, err)
		}
	}
	for _, message := range []string{"\x2a\xc1", "\x80\x80"} {
		if _, err := parlor.ParseMsgPack([]byte(message)); !errors.Is(err, msgpack.ErrTrailing) {
			t.Errorf("%q: error %v", message, err)
		}
	}
	floats := []byte("\xdc\x10\x00" + strings.Repeat("\xcb\x00\x00\x00\x00\x00\x00\x00\x00", 1<<12))
	if p, err := parlor.ParseMsgPack(floats); err != nil || len(p.JSON()) != 5<<12 || cap(p.JSON()) > 10<<12 {
		t.Errorf("%d bytes of JSON in %d, error %v", len(p.JSON()), cap(p.JSON()), err)
	}
}

// TestMsgPackErrors: the texts may be shown to the user who sent the payload.
func TestMsgPackErrors(t *testing.T) {
	for message, want := range map[string]string{
		"":                              "parse payload: msgpack: empty message, at byte 0",
		"\x01\x01":                      "parse payload: msgpack: bytes after the value, at byte 1",
		"\x81\x01\x01":                  "parse payload: msgpack: map key is not a string or bytes, at byte 1",
		"\x81\xa1a\x92\x00\xd4\x05\x00": "payload.a[1]: an extension of MessagePack has no form in JSON: send text, numbers or bytes",
		"\xd6\xff\x00\x00\x00\x00":      "payload: a timestamp of MessagePack has no form in JSON: send it as text or as a number of seconds",
		strings.Repeat("\x91", 200):     "payload: nested deeper than 128 levels: make it flatter, or send it in parts",
	} {
		if p, err := parlor.ParseMsgPack([]byte(message)); err == nil || err.Error() != want || string(p.JSON()) != "{}" {
			t.Errorf("%.20q: got %s, error %v, want %s", message, p.JSON(), err, want)
		}
	}
	deep := any(0)
	for range 129 {
		deep = []any{deep}
	}
	for _, test := range []struct {
		v    any
		want string
	}{
		{make(chan int), "encode payload: cannot write chan int as JSON"},
		{parlor.Map{"board": []any{1, parlor.Map{"x": bigInt("99999999999999999999")}}}, "payload.board[1].x: an integer of more than 64 bits has no form in MessagePack: send it as text or as a float"},
		{"\xed\xa0\x80", "payload: text with a lone surrogate has no form in MessagePack, whose text is UTF-8: leave the surrogate out or replace it"},
		{deep, "payload: nested deeper than 128 levels: make it flatter, or send it in parts"},
		{broken{}, "encode payload: bad JSON at offset 1: expected a value"},
	} {
		if b, err := parlor.Encode(test.v).AppendMsgPack([]byte("<")); err == nil || err.Error() != test.want || string(b) != "<" {
			t.Errorf("%T: got %q, error %v, want %s", test.v, b, err, test.want)
		}
	}
}

// broken writes itself as what is no JSON.
type broken struct{}

func (broken) AppendPyJSON(b []byte) ([]byte, error) { return append(b, '['), nil }

func TestMsgPackAllocations(t *testing.T) {
	p, err := parlor.ParsePayload([]byte(`{"from": [4, 1], "to": [4, 3], "piece": "pawn", "takes": false}`))
	if err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { message, err = p.AppendMsgPack(message[:0]) }); n != 0 || err != nil {
		t.Errorf("AppendMsgPack: %v allocations, error %v", n, err)
	}
	if n := testing.AllocsPerRun(1000, func() { _, err = parlor.ParseMsgPack(message) }); n != 1 || err != nil {
		t.Errorf("ParseMsgPack: %v allocations, error %v, want that of the text", n, err)
	}
}
