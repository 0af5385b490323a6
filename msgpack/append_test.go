package msgpack_test

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"parlor/msgpack"
)

type name string

func ptr[T any](v T) *T { return &v }

func TestAppend(t *testing.T) {
	type inner struct{ A int }
	for _, c := range []struct {
		name string
		v    any
		want string
	}{
		{"nil", nil, "c0"},
		{"nil pointer", (*int)(nil), "c0"},
		{"pointer", ptr(5), "05"},
		{"true", true, "c3"},
		{"zero", 0, "00"},
		{"127", 127, "7f"},
		{"128 is uint8", 128, "cc80"},
		{"int8", int8(127), "7f"},
		{"256", int16(256), "cd0100"},
		{"65536", int32(65536), "ce00010000"},
		{"max int64", int64(math.MaxInt64), "cf7fffffffffffffff"},
		{"max uint64", uint64(math.MaxUint64), "cfffffffffffffffff"},
		{"uint", uint(200), "ccc8"},
		{"duration", time.Microsecond, "cd03e8"},
		{"-1", -1, "ff"},
		{"-32", -32, "e0"},
		{"-33", -33, "d0df"},
		{"-128", -128, "d080"},
		{"-129", -129, "d1ff7f"},
		{"-32769", -32769, "d2ffff7fff"},
		{"min int64", int64(math.MinInt64), "d38000000000000000"},
		{"float", 1.0, "cb3ff0000000000000"},
		{"float32", float32(1.5), "cb3ff8000000000000"},
		{"-0.0", math.Copysign(0, -1), "cb8000000000000000"},
		{"string", "a", "a161"},
		{"named string", name("a"), "a161"},
		{"bytes", []byte("a"), "c40161"},
		{"nil bytes", []byte(nil), "c400"},
		{"byte array", [2]byte{1, 2}, "c4020102"},
		{"array", [2]int{1, 2}, "920102"},
		{"nil slice", []int(nil), "90"},
		{"slice of any", []any{1, "a", nil}, "9301a161c0"},
		{"slice of interfaces", []error{nil}, "91c0"},
		{"nil map", map[string]int(nil), "80"},
		{"map in key order", map[string]int{"b": 2, "a": 1, "c": 3}, "83a16101a16202a16303"},
		{"any map in key order", map[string]any{"b": 2, "a": 1}, "82a16101a16202"},
		{"named keys", map[name]bool{"a": true}, "81a161c3"},
		{"ordered map", msgpack.Map{{Key: "b", Value: 1}, {Key: "a", Bin: true, Value: 2}}, "82a16201c4016102"},
		{"raw", msgpack.Raw{0xcc, 0x01}, "cc01"},
		{"empty raw", msgpack.Raw{}, "c0"},
		{"ext", msgpack.Ext{Code: 5, Data: []byte("aaa")}, "c70305616161"},
		{"fixext", msgpack.Ext{Code: 127, Data: []byte("aa")}, "d57f6161"},
		{"struct", inner{1}, "81a14101"},
		{"empty struct", struct{}{}, "80"},
		{"epoch", time.Unix(0, 0), "d6ff00000000"},
		{"timestamp 32", time.Unix(math.MaxUint32, 0), "d6ffffffffff"},
		{"timestamp 64", time.Unix(1<<32, 0), "d7ff0000000100000000"},
		{"timestamp 64 with ns", time.Unix(1, 999_999_999), "d7ffee6b27fc00000001"},
		{"timestamp 96", time.Unix(1<<34, 1), "c70cff000000010000000400000000"},
		{"timestamp before the epoch", time.Unix(-1, 5), "c70cff00000005ffffffffffffffff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := encode(t, c.v); !bytes.Equal(got, unhex(t, c.want)) {
				t.Errorf("got %x, want %s", got, c.want)
			}
			boxed := encode(t, struct{ V any }{c.v})
			if got := boxed[3:]; !bytes.Equal(got, unhex(t, c.want)) {
				t.Errorf("in a struct: got %x, want %s", got, c.want)
			}
		})
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	b, err := msgpack.Append([]byte("head"), "tail")
	if err != nil || string(b) != "head\xa4tail" {
		t.Errorf("got %q, %v", b, err)
	}
	b, err = msgpack.Append([]byte("head"), []any{1, make(chan int)})
	if err == nil || string(b) != "head" {
		t.Errorf("after an error: got %q, %v", b, err)
	}
}

func TestAppendErrors(t *testing.T) {
	circle := map[string]any{}
	circle["self"] = circle
	var loop any
	loop = &loop
	type node struct{ Next *node }
	ring := &node{}
	ring.Next = ring
	deep := any(1)
	for range 129 {
		deep = []any{deep}
	}
	for _, c := range []struct {
		name string
		v    any
		want error
		text string
	}{
		{"not UTF-8", "\xff", msgpack.ErrUTF8, "msgpack: string is not valid UTF-8"},
		{"key not UTF-8", map[string]any{"\xff": 1}, msgpack.ErrUTF8, `["\xff"]`},
		{"within", map[string]any{"a": []any{1, "\xff"}}, msgpack.ErrUTF8,
			`msgpack: ["a"][1]: string is not valid UTF-8`},
		{"ext -1", msgpack.Ext{Code: -1}, msgpack.ErrExt, ""},
		{"map circle", circle, msgpack.ErrDepth, "the limit is 128"},
		{"pointer circle", loop, msgpack.ErrDepth, ""},
		{"struct circle", ring, msgpack.ErrDepth, ""},
		{"129 deep", deep, msgpack.ErrDepth, ""},
		{"raw not valid", []any{msgpack.Raw{0x92, 0x01}}, msgpack.ErrTruncated, "[0]: truncated, at byte 0"},
		{"raw of two values", msgpack.Raw{0x01, 0x01}, msgpack.ErrTrailing, ""},
		{"raw too deep", []any{msgpack.Raw(nested(128))}, msgpack.ErrDepth, ""},
		{"channel", map[string]any{"c": make(chan int)}, nil, `msgpack: ["c"]: unsupported Go type chan int`},
		{"function", struct{ F func() }{}, nil, "msgpack: F: unsupported Go type func()"},
		{"int keys", map[int]int{}, nil, "unsupported Go type map[int]int"},
		{"complex", 1i, nil, "unsupported Go type complex128"},
		{"opaque struct", big.NewInt(1), nil, "unsupported Go type big.Int"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := msgpack.Append(nil, c.v)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %v %q", err, c.want, c.text)
			}
			var unsupported *msgpack.UnsupportedTypeError
			if c.want == nil && !errors.As(err, &unsupported) {
				t.Errorf("%v is no UnsupportedTypeError", err)
			}
		})
	}
}

func TestDeepestIsReadable(t *testing.T) {
	deep := any(1)
	for range msgpack.DefaultDepth {
		deep = []any{deep}
	}
	decode(t, encode(t, deep))
	decode(t, encode(t, []any{msgpack.Raw(nested(msgpack.DefaultDepth - 1))}))
}
