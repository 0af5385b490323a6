package transcode_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"testing"

	"parlor/internal/pyjson"
	"parlor/internal/transcode"
	"parlor/msgpack"
)

// unhex reads hexadecimal digits, with spaces where they help.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fromJSON is the table, towards MessagePack. Instead of the message there may be an error, and where.
var fromJSON = []struct {
	json, msgpack string
	err           error
	path          string
}{
	{json: `null`, msgpack: "c0"}, {json: ` true `, msgpack: "c3"}, {json: "\t\r\nfalse\n", msgpack: "c2"},

	// Integers, in their smallest form; unsigned unless negative.
	{json: `0`, msgpack: "00"}, {json: `-0`, msgpack: "00"}, {json: `127`, msgpack: "7f"}, {json: `128`, msgpack: "cc80"}, {json: `255`, msgpack: "ccff"},
	{json: `256`, msgpack: "cd0100"}, {json: `65535`, msgpack: "cdffff"}, {json: `65536`, msgpack: "ce00010000"},
	{json: `4294967295`, msgpack: "ceffffffff"}, {json: `4294967296`, msgpack: "cf0000000100000000"},
	{json: `9223372036854775808`, msgpack: "cf8000000000000000"}, {json: `9999999999999999999`, msgpack: "cf8ac7230489e7ffff"},
	{json: `10000000000000000000`, msgpack: "cf8ac7230489e80000"}, {json: `18446744073709551615`, msgpack: "cfffffffffffffffff"},
	{json: `-1`, msgpack: "ff"}, {json: `-32`, msgpack: "e0"}, {json: `-33`, msgpack: "d0df"}, {json: `-128`, msgpack: "d080"},
	{json: `-129`, msgpack: "d1ff7f"}, {json: `-32768`, msgpack: "d18000"}, {json: `-32769`, msgpack: "d2ffff7fff"},
	{json: `-2147483648`, msgpack: "d280000000"}, {json: `-2147483649`, msgpack: "d3ffffffff7fffffff"},
	{json: `-9223372036854775808`, msgpack: "d38000000000000000"},
	{json: `18446744073709551616`, err: transcode.ErrInteger}, {json: `-9223372036854775809`, err: transcode.ErrInteger},
	{json: `100000000000000000000`, err: transcode.ErrInteger}, {json: `-18446744073709551617`, err: transcode.ErrInteger},
	{json: strings.Repeat("9", 4300), err: transcode.ErrInteger},
	{json: `{"a": 1, "board": [0, 1, {"x": 99999999999999999999}]}`, err: transcode.ErrInteger, path: "board[2].x"},

	// Floats, always of 64 bits. 1.0 is not 1.
	{json: `1.0`, msgpack: "cb3ff0000000000000"}, {json: `-0.0`, msgpack: "cb8000000000000000"}, {json: `0.1`, msgpack: "cb3fb999999999999a"},
	{json: `1e2`, msgpack: "cb4059000000000000"}, {json: `1E+2`, msgpack: "cb4059000000000000"}, {json: `-12.5e-1`, msgpack: "cbbff4000000000000"},
	{json: `99999999999999999999.0`, msgpack: "cb4415af1d78b58c40"}, {json: `123456789012345.6`, msgpack: "cb42dc12218377de66"},
	{json: `5e-324`, msgpack: "cb0000000000000001"}, {json: `1e400`, msgpack: "cb7ff0000000000000"}, {json: `-1e400`, msgpack: "cbfff0000000000000"},
	{json: `NaN`, msgpack: "cb7ff8000000000000"}, {json: `Infinity`, msgpack: "cb7ff0000000000000"}, {json: `-Infinity`, msgpack: "cbfff0000000000000"},

	// Text.
	{json: `""`, msgpack: "a0"}, {json: `"é"`, msgpack: "a2c3a9"}, {json: `"\u00e9"`, msgpack: "a2c3a9"}, {json: `"\ud83d\ude00"`, msgpack: "a4f09f9880"},
	{json: `"\"\\\/\b\f\n\r\t"`, msgpack: "a8225c2f080c0a0d09"}, {json: "\"\x7f\"", msgpack: "a17f"},
	{json: `"` + strings.Repeat("a", 31) + `"`, msgpack: "bf" + strings.Repeat("61", 31)},
	{json: `"` + strings.Repeat("a", 32) + `"`, msgpack: "d920" + strings.Repeat("61", 32)},
	{json: `"\n` + strings.Repeat("a", 31) + `"`, msgpack: "d9200a" + strings.Repeat("61", 31)},
	{json: `"` + strings.Repeat(`\u0061`, 256) + `"`, msgpack: "da0100" + strings.Repeat("61", 256)},
	{json: `"` + strings.Repeat("a", 65536) + `"`, msgpack: "db00010000" + strings.Repeat("61", 65536)},
	{json: `"\u000a` + strings.Repeat("a", 65536) + `"`, msgpack: "db000100010a" + strings.Repeat("61", 65536)},
	{json: `"\ud800"`, err: transcode.ErrSurrogate}, {json: `"a\udc00b"`, err: transcode.ErrSurrogate}, {json: `"\ud800\u0041"`, err: transcode.ErrSurrogate},
	{json: `{"a": {"\ud800": 1}}`, err: transcode.ErrSurrogate, path: `a['\ud800']`}, {json: `{"two words": ["\ud800"]}`, err: transcode.ErrSurrogate, path: `['two words'][0]`},
	{json: `{"": {"a\"b": "\ud800"}}`, err: transcode.ErrSurrogate, path: `['']['a"b']`},

	// Lists and objects, which keep their order.
	{json: `[]`, msgpack: "90"}, {json: ` [ ] `, msgpack: "90"}, {json: `{ }`, msgpack: "80"}, {json: `[1,[2,[]],{}]`, msgpack: "93 01 9202 90 80"},
	{json: `{"b":1,"a":{"d" : 2 , "c":3}}`, msgpack: "82 a162 01 a161 82 a164 02 a163 03"},
	{json: list(15), msgpack: "9f" + strings.Repeat("00", 15)}, {json: list(16), msgpack: "dc0010" + strings.Repeat("00", 16)},
	{json: list(65535), msgpack: "dcffff" + strings.Repeat("00", 65535)}, {json: list(65536), msgpack: "dd00010000" + strings.Repeat("00", 65536)},
	{json: "[" + list(16) + "," + list(65536) + ",1," + list(16) + "]",
		msgpack: "94 dc0010" + strings.Repeat("00", 16) + "dd00010000" + strings.Repeat("00", 65536) + "01 dc0010" + strings.Repeat("00", 16)},
	{json: `[` + strings.Repeat(list(16)+",", 17) + `[` + list(16) + `]]`,
		msgpack: "dc0012" + strings.Repeat("dc0010"+strings.Repeat("00", 16), 17) + "91 dc0010" + strings.Repeat("00", 16)},

	// Equal keys: the last value counts, at the place of the first; what it replaces may be anything.
	{json: `{"a":1,"b":2,"\u0061":3}`, msgpack: "82 a161 03 a162 02"}, {json: `{"a":{"b":1,"b":2},"a":{"b":3,"b":4}}`, msgpack: "81 a161 81 a162 04"},
	{json: `{"a":[99999999999999999999],"a":"\ud800","a":1}`, msgpack: "81 a161 01"},
	{json: `[{"a":1,"a":[0,99999999999999999999]}]`, err: transcode.ErrInteger, path: "[0].a[1]"},

	{json: deepJSON(128), msgpack: strings.Repeat("91", 127) + "90"}, {json: deepJSON(129), err: transcode.ErrDepth},
	{json: `{"a":` + deepJSON(128) + `,"a":1}`, err: transcode.ErrDepth}, // the limit is one of the text
}

// fromMsgPack is the table, towards JSON.
var fromMsgPack = []struct {
	msgpack, json string
	err           error
	path          string
}{
	{msgpack: "c0", json: `null`}, {msgpack: "c3", json: `true`}, {msgpack: "c2", json: `false`},

	// Integers, of any form.
	{msgpack: "00", json: `0`}, {msgpack: "09", json: `9`}, {msgpack: "0a", json: `10`}, {msgpack: "7f", json: `127`}, {msgpack: "ff", json: `-1`}, {msgpack: "e0", json: `-32`},
	{msgpack: "cc80", json: `128`}, {msgpack: "cc01", json: `1`}, {msgpack: "cdffff", json: `65535`}, {msgpack: "ceffffffff", json: `4294967295`},
	{msgpack: "cfffffffffffffffff", json: `18446744073709551615`}, {msgpack: "cf0000000000000001", json: `1`},
	{msgpack: "d080", json: `-128`}, {msgpack: "d07f", json: `127`}, {msgpack: "d18000", json: `-32768`}, {msgpack: "d280000000", json: `-2147483648`},
	{msgpack: "d38000000000000000", json: `-9223372036854775808`}, {msgpack: "d3ffffffffffffffff", json: `-1`},

	// Floats; those of 32 bits become the ones of 64 that are equal.
	{msgpack: "cb3ff0000000000000", json: `1.0`}, {msgpack: "cb8000000000000000", json: `-0.0`}, {msgpack: "cb3fb999999999999a", json: `0.1`},
	{msgpack: "ca3f800000", json: `1.0`}, {msgpack: "ca3dcccccd", json: `0.10000000149011612`}, {msgpack: "ca7fc00000", json: `NaN`}, {msgpack: "caff800000", json: `-Infinity`},
	{msgpack: "cb7ff8000000000000", json: `NaN`}, {msgpack: "cbfff8000000000001", json: `NaN`}, {msgpack: "cb7ff0000000000000", json: `Infinity`}, {msgpack: "cbfff0000000000000", json: `-Infinity`},
	{msgpack: "cb4341c37937e08000", json: `1e+16`}, {msgpack: "cb3f1a36e2eb1c432d", json: `0.0001`}, {msgpack: "cb3ee4f8b588e368f1", json: `1e-05`},

	// Text, of any form.
	{msgpack: "a0", json: `""`}, {msgpack: "a3616263", json: `"abc"`}, {msgpack: "d90161", json: `"a"`}, {msgpack: "da000161", json: `"a"`}, {msgpack: "db0000000161", json: `"a"`},
	{msgpack: "a2c3a9", json: `"\u00e9"`}, {msgpack: "a4f09f9880", json: `"\ud83d\ude00"`}, {msgpack: "a6 00 0a 22 5c 2f 7f", json: `"\u0000\n\"\\/\u007f"`},

	// Bytes become text in base64.
	{msgpack: "c400", json: `""`}, {msgpack: "c401ff", json: `"/w=="`}, {msgpack: "c5000300ff10", json: `"AP8Q"`}, {msgpack: "c6000000020102", json: `"AQI="`},

	// What has no form in JSON.
	{msgpack: "d40501", err: transcode.ErrExtension}, {msgpack: "c70005", err: transcode.ErrExtension}, {msgpack: "c8000105ff", err: transcode.ErrExtension}, {msgpack: "c90000000105ff", err: transcode.ErrExtension},
	{msgpack: "d50501ff", err: transcode.ErrExtension}, {msgpack: "d60501020304", err: transcode.ErrExtension}, {msgpack: "d8 05" + strings.Repeat("01", 16), err: transcode.ErrExtension},
	{msgpack: "d6ff00000001", err: transcode.ErrTimestamp}, {msgpack: "d7ff0000000000000001", err: transcode.ErrTimestamp}, {msgpack: "c70cff000000000000000000000001", err: transcode.ErrTimestamp},
	{msgpack: "82 a161 01 a162 92 00 81 a178 d6ff00000001", err: transcode.ErrTimestamp, path: "b[1].x"},
	{msgpack: "81 c40161 01", err: transcode.ErrKey}, {msgpack: "81 a161 91 81 c40161 01", err: transcode.ErrKey, path: "a[0]"},

	// Arrays and maps, of any form, which keep their order.
	{msgpack: "90", json: `[]`}, {msgpack: "80", json: `{}`}, {msgpack: "93 01 9202 90 80", json: `[1, [2, []], {}]`}, {msgpack: "dc0001 01", json: `[1]`}, {msgpack: "dd00000001 01", json: `[1]`},
	{msgpack: "82 a162 01 a161 82 a164 02 a163 03", json: `{"b": 1, "a": {"d": 2, "c": 3}}`}, {msgpack: "de0001 a0 01", json: `{"": 1}`}, {msgpack: "df00000001 d90161 01", json: `{"a": 1}`},

	// Equal keys: the last value counts, at the place of the first; what it replaces may be anything.
	{msgpack: "83 a161 01 a162 02 d90161 03", json: `{"a": 3, "b": 2}`}, {msgpack: "82 a161 82 a162 01 a162 02 a161 82 a162 03 a162 04", json: `{"a": {"b": 4}}`},
	{msgpack: "83 a161 d40501 a161 81 c40161 01 a161 01", json: `{"a": 1}`}, {msgpack: "91 82 a161 01 a161 92 00 d40501", err: transcode.ErrExtension, path: "[0].a[1]"},
	{msgpack: "82 c40161 01 a161 02", err: transcode.ErrKey}, {msgpack: "83 c40161 01 a161 02 a161 03", err: transcode.ErrKey},

	{msgpack: strings.Repeat("91", 127) + "90", json: deepJSON(128)}, {msgpack: strings.Repeat("91", 128) + "90", err: transcode.ErrDepth},
	{msgpack: "82 a161" + strings.Repeat("91", 128) + "90 a161 01", err: transcode.ErrDepth},
}

// list is a list of n zeros.
func list(n int) string { return "[" + strings.Repeat("0,", n-1) + "0]" }

// deepJSON is an empty list in lists, n in all.
func deepJSON(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestAppendMsgPack(t *testing.T) {
	for _, c := range fromJSON {
		got, err := transcode.AppendMsgPack([]byte("<"), []byte(c.json))
		checkError(t, c.json, err, c.err, c.path)
		if want := append([]byte("<"), unhex(t, c.msgpack)...); !bytes.Equal(got, want) {
			t.Errorf("%.80s: got %.80x, want %.80x", c.json, got, want)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	for _, c := range fromMsgPack {
		mp := unhex(t, c.msgpack)
		got, err := appendJSON([]byte("<"), mp)
		checkError(t, c.msgpack, err, c.err, c.path)
		if string(got) != "<"+c.json {
			t.Errorf("%s: got %s, want <%s", c.msgpack, got, c.json)
		}
		if err := msgpack.Valid(mp, msgpack.Limits{}); err != nil && c.err != transcode.ErrDepth {
			t.Errorf("%s: %v", c.msgpack, err)
		}
	}
}

func checkError(t *testing.T, what string, got, want error, path string) {
	t.Helper()
	if want == nil {
		if got != nil {
			t.Errorf("%.80s: %v", what, got)
		}
		return
	}
	bad, ok := errors.AsType[*transcode.Error](got)
	if !ok || bad.Err != want || bad.Path != path {
		t.Errorf("%.80s: error %v, want %q at %q", what, got, want, path)
	}
}

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`{"board": [0, 1, {"x": 99999999999999999999}]}`, "board[2].x: an integer of more than 64 bits has no form in MessagePack: send it as text or as a float"},
		{`"\ud800"`, "text with a lone surrogate has no form in MessagePack, whose text is UTF-8: leave the surrogate out or replace it"},
		{deepJSON(129), "nested deeper than 128 levels: make it flatter, or send it in parts"},
		{`[1, 2`, "bad JSON at offset 5: expected a comma or the end of the array"},
	} {
		if _, err := transcode.AppendMsgPack(nil, []byte(c.json)); err == nil || err.Error() != c.want {
			t.Errorf("%.80s: error %v, want %s", c.json, err, c.want)
		}
	}
	for _, c := range []struct{ msgpack, want string }{
		{"81a161d40501", "a: an extension of MessagePack has no form in JSON: send text, numbers or bytes"},
		{"d6ff00000001", "a timestamp of MessagePack has no form in JSON: send it as text or as a number of seconds"},
		{"9181c4016101", "[0]: a key of bytes has no form in JSON: use text for the keys of a map"},
		{"92", "msgpack: truncated, at byte 0"},
	} {
		if _, err := appendJSON(nil, unhex(t, c.msgpack)); err == nil || err.Error() != c.want {
			t.Errorf("%s: error %v, want %s", c.msgpack, err, c.want)
		}
	}
}

// TestNotJSON: whatever is not JSON gets the error of pyjson, and changes nothing.
func TestNotJSON(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{`, `[`, `[1`, `[1,`, `[1,]`, `[,]`, `[1 2]`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a" 1}`, `{1:2}`, `{"a":}`, `{a:1}`,
		`1 2`, `01`, `-`, `-01`, `+1`, `1.`, `.5`, `1.e5`, `1e`, `1e+`, `1.5e`, `0x1`, `--1`, `-N`, `-Inf`, `nul`, `nulL`, `tru`, `falsey`, `Na`, `Infinit`, `nope`,
		`"`, `"a`, `"\`, `"\"`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\x01\"", "\"a\nb\"", "\"\\n\x01n\"", "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\\n\xff\"", "\xef\xbb\xbf1",
		strings.Repeat("9", 4301), `{"a":1,"a":2`, `{"a":1,"a":nope}`, `[99999999999999999999,`, `["\ud800",`,
	} {
		want := pyjson.Check([]byte(text), 128)
		got, err := transcode.AppendMsgPack([]byte("<"), []byte(text))
		if want == nil || err == nil || err.Error() != want.Error() || string(got) != "<" {
			t.Errorf("%.40q: got %q, error %v, want %v", text, got, err, want)
		}
	}
}

// TestNotMsgPack: whatever is not MessagePack gets the error of package msgpack, and changes nothing.
func TestNotMsgPack(t *testing.T) {
	for _, text := range []string{
		"", "c1", "0101", "c000", "92", "9201", "91c1", "dc", "dc00", "dc0001", "dd000000", "ddffffffff01", "81", "81a1", "81a161", "8101c0", "81c0c0", "8190c0", "81d4050101", "de0001", "dfffffffffa16101",
		"a1", "a261", "d9", "d901", "da00", "da000261", "db000000", "dbffffffff61", "a1ff", "a3eda080", "81a1ff01", "d901ff",
		"cc", "cd01", "ce010203", "cf01020304050607", "d0", "d101", "d2010203", "d301020304050607", "ca010203", "cb01020304050607",
		"c4", "c401", "c500", "c6ffffffff00", "c7", "c701", "c70105", "d4", "d405", "d8050101", "d4fe01", "d4ff01", "d7ffffffffffffffffff", "81a16192d40501", "83a16101a16102",
	} {
		mp := unhex(t, text)
		want := msgpack.Valid(mp, msgpack.Limits{Depth: 128})
		got, err := appendJSON([]byte("<"), mp)
		if want == nil || err == nil || err.Error() != want.Error() || string(got) != "<" {
			t.Errorf("%s: got %q, error %v, want %v", text, got, err, want)
		}
	}
}

// TestManyKeys: also a wide object keeps its order, and the last of equal keys counts at the place of the first.
func TestManyKeys(t *testing.T) {
	var in, want []string
	for i := range 100 {
		in = append(in, `"k`+strconv.Itoa(i%40)+`": `+strconv.Itoa(i))
	}
	for i := range 40 {
		last := i + 40
		if i < 20 {
			last = i + 80
		}
		want = append(want, `"k`+strconv.Itoa(i)+`": `+strconv.Itoa(last))
	}
	mp, err := transcode.AppendMsgPack(nil, []byte("{"+strings.Join(in, ",")+"}"))
	if err != nil || mp[0] != 0xde || mp[2] != 40 {
		t.Fatalf("got %x, error %v", mp, err)
	}
	text, err := appendJSON(nil, mp)
	if err != nil || string(text) != "{"+strings.Join(want, ", ")+"}" {
		t.Errorf("got %s, error %v", text, err)
	}
	var odd []byte
	for i := range 100 {
		odd = append(append(odd, byte(0xa0+len("k"+strconv.Itoa(i%40)))), "k"+strconv.Itoa(i%40)...)
		odd = append(odd, byte(i))
	}
	text, err = appendJSON(nil, append([]byte{0xde, 0, 100}, odd...))
	if err != nil || string(text) != "{"+strings.Join(want, ", ")+"}" {
		t.Errorf("got %s, error %v", text, err)
	}
}
