package msgpack_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"parlor/msgpack"
)

func TestFirst(t *testing.T) {
	for _, c := range []struct {
		name, value, rest string
	}{
		{"nothing follows", "01", ""},
		{"a value follows", "92 01 02", "03"},
		{"what is no value follows", "a2 6869", "c1"},
		{"a value that is cut off follows", "82 a161 01 a162 c0", "d9"},
		{"a length that nothing is behind follows", "c0", "dd ffffffff"},
		{"text that is no UTF-8 follows", "a0", "a1 ff"},
		{"long forms", "dc 0002 da 0001 61 c5 0001 ff", "00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			value, rest := unhex(t, c.value), unhex(t, c.rest)
			b := append(bytes.Clone(value), rest...)
			n, err := msgpack.First(b, msgpack.Limits{})
			if err != nil || n != len(value) {
				t.Errorf("got %d, error %v, want %d", n, err, len(value))
			}
			if !bytes.Equal(b[n:], rest) {
				t.Errorf("%x is left", b[n:])
			}
		})
	}
}

// TestFirstAsValid: what Valid says of a message First says too, but for bytes behind it.
func TestFirstAsValid(t *testing.T) {
	for _, c := range malformed {
		b := unhex(t, c.hex)
		n, err := msgpack.First(b, msgpack.Limits{})
		if c.want == msgpack.ErrTrailing {
			if err != nil || msgpack.Valid(b[:n], msgpack.Limits{}) != nil {
				t.Errorf("%s: got %d, error %v", c.name, n, err)
			}
			continue
		}
		want := msgpack.Valid(b, msgpack.Limits{})
		if n != 0 || !errors.Is(err, c.want) || err.Error() != want.Error() {
			t.Errorf("%s: got %d, error %v, want %v", c.name, n, err, want)
		}
	}
}

func TestFirstOffset(t *testing.T) {
	_, err := msgpack.First(unhex(t, "93 01 a161 a1ff 00"), msgpack.Limits{})
	bad, ok := errors.AsType[*msgpack.SyntaxError](err)
	if !ok || bad.Offset != 4 {
		t.Errorf("got %v, want it at byte 4", err)
	}
}

func TestFirstLimits(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		lim       msgpack.Limits
		want      error
	}{
		{"bytes are the caller's to count", "92 01 02 03", msgpack.Limits{Bytes: 1}, nil},
		{"elements of the value", "92 01 02 9f", msgpack.Limits{Elements: 2}, nil},
		{"an element more", "93 01 02 03", msgpack.Limits{Elements: 2}, msgpack.ErrElements},
		{"depth of the value", "91 90 91 91 90", msgpack.Limits{Depth: 2}, nil},
		{"one deeper", "91 91 90", msgpack.Limits{Depth: 2}, msgpack.ErrDepth},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n, err := msgpack.First(unhex(t, c.hex), c.lim); !errors.Is(err, c.want) || (n == 0) != (c.want != nil) {
				t.Errorf("got %d, error %v, want %v", n, err, c.want)
			}
		})
	}
}

// Values that stand one behind the other are found one after the other.
func TestFirstOfMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var ends []int
		for _, v := range rapid.SliceOfN(value(2, true), 1, 5).Draw(t, "values") {
			var err error
			if b, err = msgpack.Append(b, v); err != nil {
				t.Fatal(err)
			}
			ends = append(ends, len(b))
		}
		at := 0
		for _, end := range ends {
			n, err := msgpack.First(b[at:], msgpack.Limits{})
			if at += n; err != nil || at != end {
				t.Fatalf("%x: at %d, error %v, want %v", b, at, err, ends)
			}
		}
	})
}

func TestFirstAllocatesNothing(t *testing.T) {
	b := append(encode(t, map[string]any{"a": []any{1, -2.5, "text"}}), 0xc1)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := msgpack.First(b, msgpack.Limits{}); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
