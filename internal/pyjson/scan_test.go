package pyjson_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parlor/internal/pyjson"
)

const packet = `{"message": "move piece", "payload": {"from": [1, 2], "to": [3, 4], "note": "a longer text, as people write them"}, "created_on": "2026-11-20T20:59:49.783977+00:00", "username": null}`

func TestCheck(t *testing.T) {
	good := []string{
		`null`, ` true `, "\t\r\nfalse\n", `""`, `"a\u00E9\ud800"`, "\"\x7f\u00e9\U0001f600\"", `0`, `-0`, `10`, `-1.5`,
		`1e5`, `1E+5`, `1.0e-5`, `1e400`, `NaN`, `Infinity`, `-Infinity`, `[]`, `[ ]`, `{}`, `{ }`, `[1,2]`,
		`{"a":1,"a":2}`, ` { "a" : [ 1 , { } ] } `, strings.Repeat("9", 4300), "-" + strings.Repeat("9", 4300),
		strings.Repeat("9", 5000) + ".0",
	}
	for _, text := range good {
		if err := pyjson.Check([]byte(text), 10); err != nil {
			t.Errorf("Check(%.40q): %v", text, err)
		}
	}
	bad := []struct {
		text   string
		offset int
	}{
		{``, 0}, {` `, 1}, {`nul`, 0}, {`nulL`, 0}, {`True`, 0}, {`nan`, 0}, {`-NaN`, 0}, {`+1`, 0}, {`-`, 0}, {`.5`, 0},
		{`-Inf`, 1}, {`01`, 1}, {`-01`, 2}, {`1.`, 1}, {`1.e5`, 1}, {`1e`, 1}, {`1e+`, 1}, {`0x1`, 1}, {`1_0`, 1}, {`1 2`, 2},
		{`"`, 1}, {`"a`, 2}, {`"\`, 1}, {`"\"`, 3}, {`"\x"`, 1}, {`"\u12"`, 1}, {`"\u12g4"`, 1}, {`"\U0041"`, 1},
		{"\"a\nb\"", 2}, {"\"a\x00\"", 2}, {"\"0123456789\x1f\"", 11}, {"\"\xff\"", 1}, {"\"abc\xed\xa0\x80\"", 4}, {"\"\xc3\"", 1},
		{`[`, 1}, {`[1`, 2}, {`[1,`, 3}, {`[1,]`, 3}, {`[,1]`, 1}, {`[1 2]`, 3}, {`[1}`, 2}, {`]`, 0},
		{`{`, 1}, {`{1:2}`, 1}, {`{"a"}`, 4}, {`{"a":}`, 5}, {`{"a":1,}`, 7}, {`{"a":1 "b":2}`, 7}, {`{"a" 1}`, 5}, {`{'a':1}`, 1},
		{`{"a":1]`, 6}, {"\ufeff1", 0}, {"\v1", 0}, {"1\x00", 1}, {"\u00a01", 0}, {`// 1`, 0}, {`é`, 0},
		{strings.Repeat("9", 4301), 0}, {"[-" + strings.Repeat("9", 4301) + "]", 1},
	}
	for _, c := range bad {
		var bad *pyjson.SyntaxError
		if err := pyjson.Check([]byte(c.text), 10); !errors.As(err, &bad) || bad.Offset != c.offset {
			t.Errorf("Check(%.40q) = %v, want a syntax error at %d", c.text, err, c.offset)
		}
	}
}

func TestDepth(t *testing.T) {
	for depth := range 4 {
		text := []byte(strings.Repeat(`[{"a":`, depth) + "1" + strings.Repeat("}]", depth))
		if err := pyjson.Check(text, 2*depth); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if depth == 0 {
			continue
		}
		if err := pyjson.Check(text, 2*depth-1); err != pyjson.ErrDepth {
			t.Errorf("%s: %v", text, err)
		}
	}
	deep := []byte(strings.Repeat("[", 1<<20))
	if err := pyjson.Check(deep, 1<<30); err != pyjson.ErrDepth {
		t.Errorf("a million brackets: %v", err)
	}
	if err := pyjson.Members([]byte("{}"), 0, nil); err != pyjson.ErrDepth {
		t.Errorf("Members at depth 0: %v", err)
	}
	if err := pyjson.Elements([]byte("[[]]"), 1, nil); err != pyjson.ErrDepth {
		t.Errorf("Elements at depth 1: %v", err)
	}
	if got := pyjson.AppendRaw(nil, deep); string(got) != "null" {
		t.Errorf("AppendRaw of a million brackets: %.20s", got)
	}
}

func TestKindOf(t *testing.T) {
	cases := map[string]pyjson.Kind{
		"null": pyjson.Null, "true": pyjson.Bool, "false": pyjson.Bool, "1": pyjson.Int, "-0": pyjson.Int, "1.0": pyjson.Float,
		"1e0": pyjson.Float, "0E1": pyjson.Float, "1e400": pyjson.Float, "NaN": pyjson.Float, "Infinity": pyjson.Float,
		"-Infinity": pyjson.Float, `"1"`: pyjson.String, "[1]": pyjson.Array, " \t\r\n{}": pyjson.Object,
		"": pyjson.Invalid, " ": pyjson.Invalid, "-": pyjson.Invalid, "x": pyjson.Invalid, "]": pyjson.Invalid,
	}
	for text, want := range cases {
		if got := pyjson.KindOf([]byte(text)); got != want {
			t.Errorf("KindOf(%q) = %v, want %v", text, got, want)
		}
	}
	if got := pyjson.Kind(99).PythonType(); got != "" {
		t.Errorf("Kind(99) is a Python %q", got)
	}
}

func TestMembers(t *testing.T) {
	cases := []struct{ text, want string }{
		{`{}`, ""},
		{` { "a" : 1 , "b":[1, {}] } `, "a=1;b=[1, {}];"},
		{`{"a":1,"a":2,"\u0061":"x y"}`, `a=1;a=2;a="x y";`},
		{`{"":null,"\ud83d\ude00\n":true}`, "=null;\U0001f600\n=true;"},
		{`{"a":1,}`, "a=1;bad JSON at offset 7: expected a key in double quotes"},
		{`{"a":1} x`, "a=1;bad JSON at offset 8: text after the end of the value"},
		{`{"a":tru}`, "bad JSON at offset 5: expected a value"},
		{`{"a":[[[]]]}`, "JSON nested too deep"},
		{`[1]`, "not a JSON object"},
		{`[1`, "bad JSON at offset 2: expected a comma or the end of the array"},
		{``, "bad JSON at offset 0: expected a value"},
	}
	for _, c := range cases {
		var got strings.Builder
		err := pyjson.Members([]byte(c.text), 3, func(key, value []byte) error {
			fmt.Fprintf(&got, "%s=%s;", key, value)
			return nil
		})
		if err != nil {
			got.WriteString(err.Error())
		}
		if got.String() != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got.String(), c.want)
		}
	}
	enough := errors.New("enough")
	n := 0
	err := pyjson.Members([]byte(`{"a":1,"b":`), 3, func(key, value []byte) error { n++; return enough })
	if err != enough || n != 1 {
		t.Errorf("stopped with %v after %d calls", err, n)
	}
}

func TestElements(t *testing.T) {
	var got []string
	collect := func(value []byte) error { got = append(got, string(value)); return nil }
	if err := pyjson.Elements([]byte(` [ 1,"a, b" , [2] ,{"c":3}] `), 2, collect); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1", `"a, b"`, "[2]", `{"c":3}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := pyjson.Elements([]byte(`{}`), 2, collect); err != pyjson.ErrNotArray {
		t.Errorf("object: %v", err)
	}
	if err := pyjson.Elements([]byte(`[1,`), 2, collect); err == nil || err == pyjson.ErrNotArray {
		t.Errorf("broken array: %v", err)
	}
}

func TestAllocations(t *testing.T) {
	text := []byte(packet)
	buf := make([]byte, 0, 4*len(text))
	nop := func(key, value []byte) error { return nil }
	for name, f := range map[string]func(){
		"Check":        func() { _ = pyjson.Check(text, 64) },
		"Members":      func() { _ = pyjson.Members(text, 64, nop) },
		"KindOf":       func() { pyjson.KindOf(text) },
		"AppendRaw":    func() { pyjson.AppendRaw(buf, text) },
		"AppendRepr":   func() { pyjson.AppendReprString(buf, packet) },
		"AppendString": func() { pyjson.AppendString(buf, packet) },
		"AppendFloat":  func() { pyjson.AppendFloat(buf, 0.1) },
		"Append":       func() { _, _ = pyjson.Append(buf, packet) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
