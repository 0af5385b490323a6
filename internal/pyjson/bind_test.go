package pyjson_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"parlor/internal/pyjson"
)

// flag reads itself, and refuses what is not a list.
type flag struct{ raw string }

func (f *flag) BindPyJSON(raw []byte) error {
	if pyjson.KindOf(raw) == pyjson.Array {
		var n []int
		if err := pyjson.Bind(raw, &n); err != nil {
			return err
		}
	}
	if pyjson.KindOf(raw) == pyjson.Bool {
		return errors.New("not a flag")
	}
	f.raw = string(raw)
	return nil
}

func bound[T any](raw string) (any, error) {
	var v T
	err := pyjson.Bind([]byte(raw), &v)
	return v, err
}

func TestBind(t *testing.T) {
	big1, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	three := 3
	cases := []struct {
		bind func(string) (any, error)
		raw  string
		want any
	}{
		{bound[bool], ` true `, true}, {bound[int], `-5`, -5}, {bound[int], `-0`, 0}, {bound[int8], `-128`, int8(-128)},
		{bound[uint8], `255`, uint8(255)}, {bound[uint], `-0`, uint(0)}, {bound[float64], `1`, 1.0}, {bound[float64], `1e400`, math.Inf(1)},
		{bound[float32], `-Infinity`, float32(math.Inf(-1))}, {bound[float32], `0.5`, float32(0.5)}, {bound[string], `"\u00e9\ud800"`, "é\xed\xa0\x80"},
		{bound[suit], `"x"`, suit("x")}, {bound[[]byte], `"AQI="`, []byte{1, 2}}, {bound[[]int], `[1, 2, 3]`, []int{1, 2, 3}}, {bound[[]int], `[]`, []int{}},
		{bound[[2]int], `[1,2]`, [2]int{1, 2}}, {bound[[2]byte], `[1,2]`, [2]byte{1, 2}}, {bound[*int], `null`, (*int)(nil)}, {bound[*int], `3`, &three},
		{bound[map[string]int], `{"a":1,"a":2,"\u0062":3}`, map[string]int{"a": 2, "b": 3}}, {bound[map[int8]string], `{"-1":"x"}`, map[int8]string{-1: "x"}},
		{bound[map[uint]int], `{"7":1}`, map[uint]int{7: 1}}, {bound[map[string]int], `{"a":"x","a":2}`, map[string]int{"a": 2}},
		{bound[any], `null`, nil}, {bound[any], `1`, int64(1)}, {bound[any], `1.0`, 1.0}, {bound[any], `-123456789012345678901234567890`, big1},
		{bound[any], `{"a":[true,"x",{}],"b":[]}`, map[string]any{"a": []any{true, "x", map[string]any{}}, "b": []any{}}},
		{bound[json.Number], `1E2`, json.Number("1E2")}, {bound[json.RawMessage], ` [1, 2] `, json.RawMessage("[1, 2]")},
		{bound[flag], `"x"`, flag{`"x"`}}, {bound[[]*flag], `[null, 1]`, []*flag{nil, {"1"}}}, {bound[netip.Addr], `"::1"`, netip.MustParseAddr("::1")},
		{bound[time.Time], `"2026-11-20T00:00:00Z"`, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)},
		{bound[big.Int], `-123456789012345678901234567890`, *big1},
		{bound[position], `{"X":1,"x":2,"other":[{}],"y":3}`, position{2, 3}}, {bound[position], `{"x":"a","x":1}`, position{X: 1}},
		{bound[message], `{"id":1,"Owner":"o","Both":2,"move":{"x":1,"y":2},"back":{"x":3},"move":{"x":4},"-d":5,"any":1}`,
			message{base: base{ID: 1, Owner: "o"}, Move: position{X: 4}, Back: &position{X: 3}, Dash: 5, Any: int64(1)}},
		{bound[struct {
			*Other
			N int
		}], `{"Both":2,"N":1}`, struct {
			*Other
			N int
		}{&Other{2}, 1}},
	}
	for _, c := range cases {
		got, err := c.bind(c.raw)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %#v, %v, want %#v", c.raw, got, err, c.want)
		}
	}
	nan, err := bound[float64](`NaN`)
	if err != nil || !math.IsNaN(nan.(float64)) {
		t.Errorf("NaN: got %v, %v", nan, err)
	}
}

func TestBindLeavesMissingKeys(t *testing.T) {
	m := message{Move: position{X: 1, Y: 2}, Back: &position{X: 3}, Names: map[string]int{"a": 1}, Empty: []int{1, 2}}
	back := m.Back
	if err := pyjson.Bind([]byte(`{"move":{"y":5},"back":{"y":6},"names":{"b":2},"empty":[3]}`), &m); err != nil {
		t.Fatal(err)
	}
	want := message{Move: position{1, 5}, Back: &position{3, 6}, Names: map[string]int{"b": 2}, Empty: []int{3}}
	if !reflect.DeepEqual(m, want) || m.Back != back {
		t.Errorf("got %+v", m)
	}
}

type hidden struct{ X int }

func TestBindErrors(t *testing.T) {
	type nested struct {
		Move  position            `json:"move"`
		Board [][]int             `json:"board"`
		Names map[string][]string `json:"names"`
		Flag  flag                `json:"flag"`
		When  time.Time           `json:"when"`
	}
	cases := []struct {
		bind func(string) (any, error)
		raw  string
		want string
	}{
		{bound[nested], `{"move":{"x":"a"}}`, "move.x: want an integer, got a str 'a'"},
		{bound[nested], `{"board":[[1],[2,null]],"move":1}`, "board[1][1]: want an integer, got None"},
		{bound[nested], `{"move":1,"board":2}`, "move: want an object, got an int 1"},
		{bound[nested], `{"names":{"a b":["x",1.0]}}`, "names['a b'][1]: want a string, got a float 1.0"},
		{bound[nested], `{"flag":true}`, "flag: not a flag"},
		{bound[nested], `{"flag":[1,"x"]}`, "flag[1]: want an integer, got a str 'x'"},
		{bound[int], `1.0`, "want an integer, got a float 1.0"}, {bound[int], `true`, "want an integer, got a bool True"},
		{bound[int8], `128`, "want an integer from -128 to 127, got an int 128"}, {bound[uint8], `-1`, "want an integer from 0 to 255, got an int -1"},
		{bound[int64], `9223372036854775808`, "want an integer from -9223372036854775808 to 9223372036854775807, got an int 9223372036854775808"},
		{bound[uint64], `18446744073709551616`, "want an integer from 0 to 18446744073709551615, got an int 18446744073709551616"},
		{bound[uint], `"1"`, "want an integer, got a str '1'"},
		{bound[float64], `"1"`, "want a number, got a str '1'"}, {bound[float32], `1e300`, "want a number that fits float32, got a float 1e+300"},
		{bound[bool], `1`, "want a bool, got an int 1"}, {bound[string], `null`, "want a string, got None"}, {bound[string], `["a"]`, "want a string, got a list ['a']"},
		{bound[[]byte], `"*"`, "want base64 text, got a str '*'"}, {bound[[]byte], `[1]`, "want base64 text, got a list [1]"},
		{bound[[2]int], `[1]`, "want a list of 2, got one of 1"}, {bound[[2]int], `[1,2,3]`, "want a list of 2, got one of 3"},
		{bound[[2]int], `{}`, "want a list of 2, got a dict {}"}, {bound[[]int], `null`, "want a list, got None"}, {bound[map[string]int], `[]`, "want an object, got a list []"},
		{bound[map[int8]int], `{"300":1}`, "['300']: want a key that fits int8, got a str '300'"},
		{bound[map[bool]int], `{"true":1}`, "true: cannot read JSON into keys of bool"},
		{bound[json.Number], `"1"`, "want a number, got a str '1'"}, {bound[netip.Addr], `1`, "want a string, got an int 1"},
		{bound[error], `1`, "cannot read JSON into error"}, {bound[struct{ *hidden }], `{"X":1}`, "X: cannot set the embedded pointer of struct { *pyjson_test.hidden }"},
		{bound[int], `"` + strings.Repeat("é", 100) + `"`, "want an integer, got a str '" + strings.Repeat("é", 28) + "..."},
	}
	for _, c := range cases {
		_, err := c.bind(c.raw)
		var bad *pyjson.BindError
		if !errors.As(err, &bad) || err.Error() != c.want {
			t.Errorf("%s:\n got %v\nwant %s", c.raw, err, c.want)
		}
	}
	var parse *time.ParseError
	if _, err := bound[nested](`{"when":"now"}`); !errors.As(err, &parse) {
		t.Errorf("when: %v", err)
	}
	var bad *pyjson.BindError
	if _, err := bound[[]int](`["x"]`); !errors.As(err, &bad) || bad.Under("payload").Error() != "payload[0]: want an integer, got a str 'x'" {
		t.Errorf("below payload: %v", err)
	}
}

func TestBindBrokenText(t *testing.T) {
	for _, bind := range []func(string) (any, error){bound[any], bound[message], bound[map[string]any], bound[[]any], bound[[1]any], bound[int], bound[uint],
		bound[float64], bound[string], bound[bool], bound[[]byte], bound[json.Number], bound[json.RawMessage], bound[flag], bound[time.Time], bound[netip.Addr], bound[*int], bound[error]} {
		for _, raw := range []string{``, `{`, `{"id":`, `{"move":{"x":"a"},`, `{"id":1`, `{"any":[1,]}`, `[1`, `["x",}`, `[`, `"a`, `nul`, `1 x`, `{"a":1} x`, `{"a\x":1}`} {
			var bad *pyjson.SyntaxError
			if v, err := bind(raw); !errors.As(err, &bad) {
				t.Errorf("%s into %T: %v", raw, v, err)
			}
		}
	}
	deep := strings.Repeat("[", 513) + strings.Repeat("]", 513)
	type list []list
	for _, bind := range []func(string) (any, error){bound[any], bound[list], bound[json.RawMessage], bound[int]} {
		if _, err := bind(deep); err != pyjson.ErrDepth {
			t.Errorf("513 lists: %v", err)
		}
		if _, err := bind(deep[1 : len(deep)-1]); err == pyjson.ErrDepth {
			t.Errorf("512 lists: %v", err)
		}
	}
	for _, into := range []any{nil, 1, (*int)(nil)} {
		if err := pyjson.Bind([]byte("1"), into); err == nil {
			t.Errorf("no error for %T", into)
		}
	}
}
