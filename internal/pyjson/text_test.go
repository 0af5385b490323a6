package pyjson_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parlor/internal/pyjson"
)

func TestTextVectors(t *testing.T) {
	for _, v := range vectors(t, "json_text.json") {
		if err := pyjson.Check([]byte(v["in"]), 10); err != nil {
			t.Errorf("%s: %v", v["in"], err)
		}
		if got := string(pyjson.AppendRaw(nil, []byte(v["in"]))); got != v["out"] {
			t.Errorf("%s: got %s, want %s", v["in"], got, v["out"])
		}
	}
}

func TestReprVectors(t *testing.T) {
	for _, v := range vectors(t, "python_repr.json") {
		raw := []byte(v["json"])
		if got := string(pyjson.AppendRepr(nil, raw)); got != v["repr"] {
			t.Errorf("%s: got %s, want %s", raw, got, v["repr"])
		}
		if got := pyjson.KindOf(raw).PythonType(); got != v["type"] {
			t.Errorf("%s: got a %s, want a %s", raw, got, v["type"])
		}
	}
}

// The outcomes are those of json.dumps(json.loads(text)) in Python 3.11.
func TestAppendRaw(t *testing.T) {
	cases := []struct{ in, want string }{
		{" [ 1 ,\n{ \"a\":\t2 } ] ", `[1, {"a": 2}]`},
		{`{"a":1,"b":2,"\u0061":3}`, `{"a": 3, "b": 2}`},
		{`{"a":{"x":1,"x":2},"b":2,"a":{"y":1,"z":2,"y":3}}`, `{"a": {"y": 3, "z": 2}, "b": 2}`},
		{`{"a":1,"a":2,"a":3}`, `{"a": 3}`},
		{`{"é":1,"\u00E9":2}`, `{"\u00e9": 2}`},
		{`"\u000a\u000D\u0022\u005c\u002f\u0041\u007F"`, `"\n\r\"\\/A\u007f"`},
		{`"\ud800\ud83d\ude00\udc00"`, `"\ud800\ud83d\ude00\udc00"`},
		{`"\ud83dA\ud83d\u0041"`, `"\ud83dA\ud83dA"`},
		{`1E2`, `100.0`}, {`1.50`, `1.5`}, {`1.00`, `1.0`}, {`-0.0`, `-0.0`}, {`-0e1`, `-0.0`}, {`0.00`, `0.0`}, {`0.0001`, `0.0001`},
		{`0.00001`, `1e-05`}, {`0.000012345`, `1.2345e-05`}, {`123456789012.123`, `123456789012.123`},
		{`1234567890123456.5`, `1234567890123456.5`}, {`12345678901234567.5`, `1.2345678901234568e+16`},
		{`0.1000000000000000055`, `0.1`}, {`9999999999999998.0`, `9999999999999998.0`}, {`9999999999999999.9`, `1e+16`},
		{`-1e400`, `-Infinity`}, {`1e-400`, `0.0`}, {`5e-324`, `5e-324`}, {`1.7976931348623157e308`, `1.7976931348623157e+308`},
		{`-17`, `-17`}, {`[-0, -0.0]`, `[0, -0.0]`},
		{`{`, `null`}, {`"\u12"`, `null`}, {``, `null`}, {"\"\xff\"", `null`}, {`{"a" 1}`, `null`}, {`[1 2]`, `null`}, {"\"\x01\"", `null`},
		{`{"a":}`, `null`}, {`{1:2}`, `null`}, {`[x]`, `null`},
	}
	for _, c := range cases {
		if got := string(pyjson.AppendRaw([]byte("<"), []byte(c.in))); got != "<"+c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
	if got := string(pyjson.AppendRepr(nil, []byte("{"))); got != "None" {
		t.Errorf("repr of broken text: %s", got)
	}
}

func TestAppendRawManyMembers(t *testing.T) {
	var in, want strings.Builder
	for i := range 100 {
		in.WriteString(`,"k` + strconv.Itoa(i%40) + `":` + strconv.Itoa(i))
	}
	for i := range 40 {
		last := i + 40
		if i < 20 {
			last = i + 80
		}
		want.WriteString(`, "k` + strconv.Itoa(i) + `": ` + strconv.Itoa(last))
	}
	got := string(pyjson.AppendRaw(nil, []byte("{"+in.String()[1:]+"}")))
	if got != "{"+want.String()[2:]+"}" {
		t.Errorf("got %s", got)
	}
}

func TestUnquote(t *testing.T) {
	cases := []struct{ raw, want string }{
		{`""`, ""}, {` "a" `, "a"}, {`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"}, {`"caf\u00e9é"`, "caféé"},
		{`"\ud83d\ude00"`, "\U0001f600"}, {`"\uD83D\uDE00"`, "\U0001f600"}, {`"\ud800"`, "\xed\xa0\x80"}, {`"\udfffx"`, "\xed\xbf\xbfx"},
		{`"\ud83d\ud83d\ude00"`, "\xed\xa0\xbd\U0001f600"}, {`"\ud83d\n"`, "\xed\xa0\xbd\n"},
	}
	for _, c := range cases {
		got, ok := pyjson.Unquote([]byte(c.raw))
		if !ok || got != c.want {
			t.Errorf("%s: got %q, %v", c.raw, got, ok)
		}
		if again, _ := pyjson.Unquote(pyjson.AppendString(nil, got)); again != got {
			t.Errorf("%s: %q after writing it", c.raw, again)
		}
	}
	for _, raw := range []string{``, `"`, `1`, `null`, `[]`, `"a`, `a"`, `"\"`, `"\x"`, `"\u12"`} {
		if got, ok := pyjson.Unquote([]byte(raw)); ok {
			t.Errorf("%s: got %q", raw, got)
		}
	}
}

func TestAppendString(t *testing.T) {
	cases := []struct{ s, want string }{
		{"", `""`}, {"plain text of some length </&>", `"plain text of some length </&>"`}, {"\"\\\b\f\n\r\t", `"\"\\\b\f\n\r\t"`},
		{"\x00\x1f\x7f", `"\u0000\u001f\u007f"`}, {"éa\u2028\uffff", `"\u00e9a\u2028\uffff"`}, {"\U0001f600", `"\ud83d\ude00"`},
		{"\xed\xa0\x80x", `"\ud800x"`}, {"a\xffb\xc3", `"a\ufffdb\ufffd"`}, {"\xed\xa0", `"\ufffd\ufffd"`}, {"0123456789\"", `"0123456789\""`},
	}
	for _, c := range cases {
		if got := string(pyjson.AppendString(nil, c.s)); got != c.want {
			t.Errorf("%q: got %s, want %s", c.s, got, c.want)
		}
	}
}

func TestAppendUTF8(t *testing.T) {
	for _, s := range []string{
		"", "plain text of some length </&>", "\"\\\b\f\n\r\t", "\x00\x1f\x7f", "éa\u2028\uffff\ufffd", "\U0001f600", "0123456789\"",
	} {
		got, ok := pyjson.AppendUTF8([]byte("<"), []byte(s))
		if want := "<" + string(pyjson.AppendString(nil, s)); !ok || string(got) != want {
			t.Errorf("%q: got %s, %v, want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "plain text and \xe2\x82"} {
		if got, ok := pyjson.AppendUTF8(nil, []byte(s)); ok {
			t.Errorf("%q: got %s", s, got)
		}
	}
}

func TestEveryByteInAStringEveryPlace(t *testing.T) {
	for c := range 0x80 {
		for place := range 20 {
			s := strings.Repeat("x", place) + string(rune(c)) + strings.Repeat("y", 20-place)
			text := pyjson.AppendString(nil, s)
			if back, _ := pyjson.Unquote(text); back != s {
				t.Fatalf("%q came back as %q", s, back)
			}
			raw := []byte(`"` + s + `"`)
			valid := c >= 0x20 && c != '"' && c != '\\'
			if err := pyjson.Check(raw, 0); (err == nil) != valid {
				t.Fatalf("Check(%q): %v", raw, err)
			}
			if valid && string(pyjson.AppendRaw(nil, raw)) != string(text) {
				t.Fatalf("AppendRaw(%q) = %s", raw, pyjson.AppendRaw(nil, raw))
			}
		}
	}
}

func TestAppendFloat(t *testing.T) {
	cases := []struct {
		f    float64
		want string
	}{
		{0, "0.0"}, {math.Copysign(0, -1), "-0.0"}, {1, "1.0"}, {-1.5, "-1.5"}, {1e15, "1000000000000000.0"}, {1e16, "1e+16"}, {1e22, "1e+22"},
		{0.29, "0.29"}, {-44.5, "-44.5"}, {0.001, "0.001"}, {0.0005, "0.0005"}, {1e12, "1000000000000.0"}, {999999999999.999, "999999999999.999"}, {1e-4, "0.0001"}, {9.999e-5, "9.999e-05"}, {1e100, "1e+100"}, {5e-324, "5e-324"}, {math.MaxFloat64, "1.7976931348623157e+308"},
		{math.NaN(), "NaN"}, {math.Inf(1), "Infinity"}, {math.Inf(-1), "-Infinity"},
	}
	for _, c := range cases {
		if got := string(pyjson.AppendFloat(nil, c.f)); got != c.want {
			t.Errorf("%g: got %s, want %s", c.f, got, c.want)
		}
	}
}

// TestAppendFewDecimals: what is a short decimal is written as strconv writes it, and so are its neighbours.
func TestAppendFewDecimals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := float64(rapid.Int64Range(-2e15, 2e15).Draw(t, "n"))
		f := n / rapid.SampledFrom([]float64{1, 10, 100, 1000, 1e4}).Draw(t, "unit")
		if rapid.Bool().Draw(t, "small") {
			f = math.Trunc(math.Remainder(n, 1e6)) / 1000
		}
		for _, f := range []float64{f, math.Nextafter(f, math.Inf(1)), math.Nextafter(f, math.Inf(-1))} {
			want := strconv.FormatFloat(f, 'f', -1, 64)
			if abs := math.Abs(f); abs != 0 && abs < 1e-4 {
				continue
			}
			if !strings.Contains(want, ".") {
				want += ".0"
			}
			if got := string(pyjson.AppendFloat(nil, f)); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	})
}

func TestReprString(t *testing.T) {
	cases := []struct{ s, want string }{
		{"", "''"}, {"it's", `"it's"`}, {`'"`, `'\'"'`}, {"a\\b\x00\x7f\t", `'a\\b\x00\x7f\t'`}, {"\x85\xff", `'��'`},
		{"é\u00a0\u00ad", `'é\xa0\xad'`}, {"\xed\xa0\x80", `'\ud800'`}, {"\U000e0001", `'\U000e0001'`}, {"\ufffd", `'�'`},
		{"\U0001fae8", `'\U0001fae8'`}, // assigned in Unicode 15
	}
	for _, c := range cases {
		if got := pyjson.ReprString(c.s); got != c.want {
			t.Errorf("%q: got %s, want %s", c.s, got, c.want)
		}
	}
}
