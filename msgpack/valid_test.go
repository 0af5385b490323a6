package msgpack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"parlor/msgpack"
)

var malformed = []struct {
	name, hex string
	want      error
}{
	{"empty", "", msgpack.ErrEmpty},
	{"trailing", "01 02", msgpack.ErrTrailing},
	{"lead byte", "c1", msgpack.ErrLeadByte},
	{"lead byte within", "91 c1", msgpack.ErrLeadByte},

	{"str8 without length", "d9", msgpack.ErrTruncated},
	{"str16 with half a length", "da 00", msgpack.ErrTruncated},
	{"str one short", "a2 61", msgpack.ErrTruncated},
	{"str of 2^32-1", "db ffffffff 6161616161", msgpack.ErrTruncated},
	{"bin of 2^32-1", "c6 ffffffff 6161616161", msgpack.ErrTruncated},
	{"ext of 2^32-1", "c9 ffffffff 05 61616161", msgpack.ErrTruncated},
	{"ext without code", "c7 00", msgpack.ErrTruncated},
	{"fixext without data", "d8 05", msgpack.ErrTruncated},
	{"array of 2^32-1", "dd ffffffff 0101010101", msgpack.ErrTruncated},
	{"map of 2^32-1", "df ffffffff a161 01 a162 01", msgpack.ErrTruncated},
	{"map of 2^31", "df 80000000 a161 01 a162 01", msgpack.ErrTruncated},
	{"array of more than is left", "93 01 02", msgpack.ErrTruncated},
	{"map of more than is left", "82 a161 01", msgpack.ErrTruncated},
	{"map without its value", "81 a3616161", msgpack.ErrTruncated},
	{"float64 cut", "cb 00000000000000", msgpack.ErrTruncated},
	{"uint64 cut", "cf 00000000000000", msgpack.ErrTruncated},
	{"int8 cut", "d0", msgpack.ErrTruncated},

	{"not UTF-8", "a1 ff", msgpack.ErrUTF8},
	{"surrogate", "a3 eda080", msgpack.ErrUTF8},
	{"overlong", "a2 c080", msgpack.ErrUTF8},
	{"key not UTF-8", "81 a1ff 01", msgpack.ErrUTF8},

	{"int key", "81 01 02", msgpack.ErrKey},
	{"negative key", "81 ff 02", msgpack.ErrKey},
	{"nil key", "81 c0 02", msgpack.ErrKey},
	{"bool key", "81 c3 02", msgpack.ErrKey},
	{"float key", "81 cb0000000000000000 02", msgpack.ErrKey},
	{"array key", "81 90 02", msgpack.ErrKey},
	{"map key", "81 80 02", msgpack.ErrKey},
	{"ext key", "81 d40561 02", msgpack.ErrKey},
	{"second key", "82 a161 01 02 03", msgpack.ErrKey},

	{"ext -2", "d4 fe 00", msgpack.ErrExt},
	{"ext -128", "d4 80 00", msgpack.ErrExt},
	{"timestamp of 1 byte", "d4 ff 00", msgpack.ErrExt},
	{"timestamp of 16 bytes", "d8 ff 00000000000000000000000000000000", msgpack.ErrExt},
	{"timestamp of 0 bytes", "c7 00 ff", msgpack.ErrExt},
	{"timestamp 64 of 10^9 ns", "d7 ff ee6b280000000000", msgpack.ErrExt},
	{"timestamp 96 of 10^9 ns", "c7 0c ff 3b9aca00 0000000000000001", msgpack.ErrExt},
}

func TestMalformed(t *testing.T) {
	for _, c := range malformed {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.hex)
			var v any
			var syntax *msgpack.SyntaxError
			if err := msgpack.Unmarshal(b, &v, msgpack.Limits{}); !errors.Is(err, c.want) || !errors.As(err, &syntax) {
				t.Errorf("Unmarshal gave %v, %v; want %v", v, err, c.want)
			}
			if _, err := msgpack.Ordered(b, msgpack.Limits{}); !errors.Is(err, c.want) {
				t.Errorf("Ordered gave %v, want %v", err, c.want)
			}
			if v != nil {
				t.Errorf("a part was decoded: %v", v)
			}
		})
	}
}

func TestSyntaxErrorOffset(t *testing.T) {
	err := msgpack.Valid(unhex(t, "93 01 a161 a1ff"), msgpack.Limits{})
	if got, want := err.Error(), "msgpack: string is not valid UTF-8, at byte 4"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func nested(depth int) []byte { return append(bytes.Repeat([]byte{0x91}, depth-1), 0x90) }

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		lim  msgpack.Limits
		want error
		max  int
	}{
		{"default depth", nested(msgpack.DefaultDepth), msgpack.Limits{}, nil, 0},
		{"one deeper", nested(msgpack.DefaultDepth + 1), msgpack.Limits{}, msgpack.ErrDepth, 128},
		{"chosen depth", nested(3), msgpack.Limits{Depth: 3}, nil, 0},
		{"chosen depth and one", nested(4), msgpack.Limits{Depth: 3}, msgpack.ErrDepth, 3},
		{"depth of maps", unhex(t, "81 a0 81 a0 81 a0 c0"), msgpack.Limits{Depth: 2}, msgpack.ErrDepth, 2},
		{"greatest depth", nested(msgpack.MaxDepth), msgpack.Limits{Depth: 1 << 30}, nil, 0},
		{"beyond the greatest", nested(msgpack.MaxDepth + 1), msgpack.Limits{Depth: 1 << 30}, msgpack.ErrDepth, 1024},
		{"100,000 arrays", nested(100_000), msgpack.Limits{}, msgpack.ErrDepth, 128},
		{"bytes", unhex(t, "a3 616161"), msgpack.Limits{Bytes: 4}, nil, 0},
		{"a byte more", unhex(t, "a3 616161"), msgpack.Limits{Bytes: 3}, msgpack.ErrBytes, 3},
		{"elements", unhex(t, "92 c0 82 a0 c0 a0 c0"), msgpack.Limits{Elements: 6}, nil, 0},
		{"an element more", unhex(t, "92 c0 82 a0 c0 a0 c0"), msgpack.Limits{Elements: 5}, msgpack.ErrElements, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := msgpack.Valid(c.b, c.lim)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			var limit *msgpack.LimitError
			if c.want != nil && (!errors.As(err, &limit) || limit.Max != c.max) {
				t.Errorf("%v does not name the limit %d", err, c.max)
			}
		})
	}
}

// bomb nests arrays that each declare as much as is left: 66 KB that make a decoder which believes them
// allocate 63 MB.
func bomb(levels, size int) []byte {
	var b []byte
	for range levels {
		b = append(b, 0xdc)
		b = binary.BigEndian.AppendUint16(b, uint16(min(size-len(b)-2, 65535)))
	}
	return append(b, bytes.Repeat([]byte{0xc0}, size-len(b))...)
}

func TestBombIsRefused(t *testing.T) {
	for _, levels := range []int{2, 60, 120} {
		if err := msgpack.Valid(bomb(levels, 66_000), msgpack.Limits{}); !errors.Is(err, msgpack.ErrElements) {
			t.Errorf("%d levels: got %v, want %v", levels, err, msgpack.ErrElements)
		}
	}
}

func TestValidAllocatesNothing(t *testing.T) {
	b := encode(t, map[string]any{"a": []any{1, -2.5, "text", []byte("bin"), nil}, "b": msgpack.Ext{Code: 5}})
	if n := testing.AllocsPerRun(100, func() {
		if err := msgpack.Valid(b, msgpack.Limits{}); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
