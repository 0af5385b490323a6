package parlor_test

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"parlor"
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
