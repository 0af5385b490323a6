package pyjson_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"parlor/internal/pyjson"
)

type suit string

type level int

func (l level) MarshalText() ([]byte, error) { return []byte("level-" + string('0'+rune(l))), nil }

// card writes itself when it is not a value but a pointer to one.
type card struct {
	Suit suit
	Rank int
}

func (c *card) AppendPyJSON(b []byte) ([]byte, error) {
	if c.Rank > 13 {
		return nil, errors.New("no such card")
	}
	return pyjson.AppendString(b, string(c.Suit)), nil
}

type position struct {
	X int     `json:"x"`
	Y float32 `json:"y,omitempty"`
}

type base struct {
	ID    int `json:"id"`
	Owner string
	Both  int
}

// Other has a field of the same name and depth as base: neither counts.
type Other struct{ Both int }

type message struct {
	base
	*Other
	Move  position       `json:"move"`
	Back  *position      `json:"back"`
	Skip  func()         `json:"-"`
	Dash  int            `json:"-d"`
	Empty []int          `json:"empty,omitempty"`
	None  []int          `json:"none"`
	Names map[string]int `json:"names"`
	At    time.Time      `json:"at,omitzero"`
	Any   any            `json:"any"`
}

type loop struct {
	Next *loop `json:"next"`
}

type self *self

func TestAppend(t *testing.T) {
	type bytes []byte
	big1, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	var nilCard *card
	var nilMap map[string]any
	one := 1
	cases := []struct {
		v    any
		want string
	}{
		{nil, `null`}, {true, `true`}, {1, `1`}, {int8(-8), `-8`}, {uint64(math.MaxUint64), `18446744073709551615`}, {uintptr(3), `3`},
		{1.0, `1.0`}, {math.NaN(), `NaN`}, {math.Inf(-1), `-Infinity`}, {float32(0.1), `0.1`}, {float32(1e-4), `0.0001`},
		{float32(1e16), `1e+16`}, {float32(16777216), `16777216.0`}, {float32(1e-5), `1e-05`}, {float32(math.Inf(1)), `Infinity`},
		{"é", `"\u00e9"`}, {suit("x"), `"x"`}, {[]byte{1, 2}, `"AQI="`}, {bytes(nil), `""`}, {[2]byte{1, 2}, `[1, 2]`},
		{[]int(nil), `[]`}, {[]int{1, 2}, `[1, 2]`}, {[]string{"a", "b"}, `["a", "b"]`}, {[]any{1, nil, 2.0}, `[1, null, 2.0]`},
		{[]position{{1, 0}, {2, 1}}, `[{"x": 1}, {"x": 2, "y": 1.0}]`}, {[]*int{nil, &one}, `[null, 1]`}, {nilMap, `{}`},
		{map[suit]int(nil), `{}`}, {map[string]any{"b": 1, "a": map[string]any{}}, `{"a": {}, "b": 1}`},
		{map[int]string{10: "x", 9: "y", -1: "z"}, `{"-1": "z", "10": "x", "9": "y"}`}, {map[uint8]bool{7: true}, `{"7": true}`},
		{json.Number("1E2"), `100.0`}, {json.Number("-12"), `-12`}, {json.Number(""), `0`}, {json.Number("NaN"), `NaN`},
		{json.RawMessage(`{"a":1,"a":1.50}`), `{"a": 1.5}`}, {json.RawMessage(nil), `null`}, {struct{ R json.RawMessage }{}, `{"R": null}`},
		{big1, `123456789012345678901234567890`}, {netip.MustParseAddr("::1"), `"::1"`}, {level(3), `"level-3"`},
		{time.Date(2026, 11, 20, 0, 0, 0, 5000, time.UTC), `"2026-11-20T00:00:00.000005Z"`},
		{&card{"hearts", 1}, `"hearts"`}, {card{"hearts", 1}, `{"Suit": "hearts", "Rank": 1}`}, {nilCard, `null`}, {(*time.Time)(nil), `null`},
		{[]card{{"spades", 2}}, `["spades"]`}, {[]pyjson.Appender{nil, &card{"x", 1}}, `[null, "x"]`},
		{message{base: base{ID: 7, Both: 1}, Back: &position{X: 1}, Any: 1.0},
			`{"id": 7, "Owner": "", "move": {"x": 0}, "back": {"x": 1}, "-d": 0, "none": [], "names": {}, "any": 1.0}`},
		{message{Other: &Other{2}}, `{"id": 0, "Owner": "", "move": {"x": 0}, "back": null, "-d": 0, "none": [], "names": {}, "any": null}`},
		{struct {
			P *loop `json:",omitempty"`
			T time.Time
		}{}, `{"T": "0001-01-01T00:00:00Z"}`},
	}
	for _, c := range cases {
		got, err := pyjson.Append([]byte("<"), c.v)
		if err != nil || string(got) != "<"+c.want {
			t.Errorf("%#v:\n got %s, %v\nwant %s", c.v, got, err, c.want)
		}
	}
}

func TestAppendErrors(t *testing.T) {
	cycle := map[string]any{}
	cycle["a"] = []any{cycle}
	ring := &loop{}
	ring.Next = ring
	var me self
	me = &me
	var box any
	box = &box
	deep := json.RawMessage(strings.Repeat("[", 512) + strings.Repeat("]", 512))
	cases := []struct {
		v    any
		want string
	}{
		{func() {}, "cannot write func() as JSON"},
		{map[string]any{"payload": map[string]any{"board": []any{1, 2, func() {}}}}, "payload.board[2]: cannot write func() as JSON"},
		{[]map[string]chan int{{"a b": nil}}, "[0]['a b']: cannot write chan int as JSON"},
		{struct {
			Z []complex64 `json:"z"`
		}{make([]complex64, 1)}, "z[0]: cannot write complex64 as JSON"},
		{map[float64]int{}, "cannot write map[float64]int as JSON"},
		{map[string]*card{"c": {Rank: 14}}, "c: no such card"},
		{[]any{json.RawMessage("{")}, "[0]: bad JSON at offset 1: expected a key in double quotes"},
		{json.Number("1 "), "json.Number '1 ' is not a number"},
		{json.Number("true"), "json.Number 'true' is not a number"},
		{[]any{deep}, "[0]: JSON nested too deep"},
		{cycle, "JSON nested too deep"}, {ring, "JSON nested too deep"}, {me, "JSON nested too deep"}, {box, "JSON nested too deep"},
	}
	for _, c := range cases {
		b, err := pyjson.Append([]byte("<"), c.v)
		if string(b) != "<" {
			t.Errorf("%s: left %s", c.want, b)
		}
		var bad *pyjson.AppendError
		if !errors.As(err, &bad) || !strings.HasSuffix(err.Error(), c.want) || len(err.Error()) > 300 {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if _, err := pyjson.Append(nil, deep); err != nil {
		t.Errorf("512 containers: %v", err)
	}
}
