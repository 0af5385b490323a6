package msgpack_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"parlor/msgpack"
)

// seed adds the captured bodies and the malformed messages.
func seed(f *testing.F) {
	text, err := os.ReadFile("testdata/peng3dnet.json")
	var bodies []body
	if err == nil {
		err = json.Unmarshal(text, &bodies)
	}
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range bodies {
		if c.Hex != nil && len(*c.Hex) < 600 {
			f.Add(unhex(f, *c.Hex))
		}
	}
	for _, c := range malformed {
		f.Add(unhex(f, c.hex))
	}
	f.Add(bomb(20, 2000))
	f.Add(nested(200))
}

// boundedMemory fails if f allocates more than a message of n bytes may cost.
func boundedMemory(t *testing.T, n int, f func()) {
	const slack = 64 << 10 // other goroutines, errors
	if got := allocated(f); got > uint64(costliest*n+slack) {
		t.Errorf("%d bytes cost %d", n, got)
	}
}

func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var plain, ordered any
		var err, orderedErr error
		valid := msgpack.Valid(b, msgpack.Limits{})
		boundedMemory(t, len(b), func() { err = msgpack.Unmarshal(b, &plain, msgpack.Limits{}) })
		boundedMemory(t, len(b), func() { ordered, orderedErr = msgpack.Ordered(b, msgpack.Limits{}) })
		if (valid == nil) != (err == nil) || (valid == nil) != (orderedErr == nil) {
			t.Fatalf("Valid says %v, Unmarshal %v, Ordered %v", valid, err, orderedErr)
		}
		if valid != nil {
			return
		}
		sameAgain(t, plain, func(b []byte) (v any, err error) {
			return v, msgpack.Unmarshal(b, &v, msgpack.Limits{})
		})
		sameAgain(t, ordered, func(b []byte) (any, error) { return msgpack.Ordered(b, msgpack.Limits{}) })
		asTinylib(t, b, ordered)
	})
}

// sameAgain encodes v, decodes that, and encodes it again: NaN is not equal to itself, but its bytes are.
func sameAgain(t *testing.T, v any, decode func([]byte) (any, error)) {
	first := encode(t, v)
	again, err := decode(first)
	if err != nil {
		t.Fatalf("%x does not decode: %v", first, err)
	}
	if second := encode(t, again); !bytes.Equal(first, second) {
		t.Errorf("%x became %x", first, second)
	}
	if err := msgpack.Valid(first, msgpack.Limits{}); err != nil {
		t.Error(err)
	}
}

// asTinylib compares a decoded value with what tinylib's own decoder makes of the message.
func asTinylib(t *testing.T, b []byte, got any) {
	if rest, err := msgp.Skip(b); err != nil || len(rest) != 0 {
		t.Fatalf("tinylib skips to %x, %v", rest, err)
	}
	plain, ok := withoutExtras(got)
	if !ok {
		return
	}
	theirs, _, err := msgp.ReadIntfBytes(b)
	if err != nil {
		t.Fatalf("tinylib: %v", err)
	}
	if want := encode(t, theirs); !bytes.Equal(encode(t, plain), want) {
		t.Errorf("%x is %#v, tinylib says %#v", b, plain, theirs)
	}
}

// withoutExtras turns each Map into a Go map. It refuses what tinylib decodes in other ways: extensions, keys of
// bytes, and NaN, of which tinylib keeps other bits.
func withoutExtras(v any) (any, bool) {
	switch v := v.(type) {
	case msgpack.Ext, time.Time:
		return nil, false
	case float64:
		return v, !math.IsNaN(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var ok bool
			if out[i], ok = withoutExtras(v[i]); !ok {
				return nil, false
			}
		}
		return out, true
	case msgpack.Map:
		out := make(map[string]any)
		for _, p := range v {
			x, ok := withoutExtras(p.Value)
			if !ok || p.Bin {
				return nil, false
			}
			out[p.Key] = x
		}
		return out, true
	}
	return v, true
}

// fuzzed has a field of each sort.
type fuzzed struct {
	Base
	A int8             `msgpack:"a"`
	B uint32           `msgpack:"b"`
	C string           `msgpack:"c"`
	D []byte           `msgpack:"d"`
	E float32          `msgpack:"e"`
	F []fuzzed         `msgpack:"f"`
	G map[string]int64 `msgpack:"g"`
	H *fuzzed          `msgpack:"h"`
	I any              `msgpack:"i"`
	J msgpack.Raw      `msgpack:"j"`
	K time.Time        `msgpack:"k"`
	L msgpack.Ext      `msgpack:"l"`
	M msgpack.Map      `msgpack:"m"`
	N [2]bool          `msgpack:"n"`
	O [2]byte          `msgpack:"o"`
	P uint64           `msgpack:"p,omitempty"`
	Q point            `msgpack:"q"`
	R map[string]any   `msgpack:"r"`
	S []any            `msgpack:"s"`
}

func FuzzUnmarshalStruct(f *testing.F) {
	seed(f)
	full := fuzzed{A: -1, C: "text", D: []byte{1}, E: 1.5, G: map[string]int64{"x": 1}, I: []any{1}, P: 1 << 63,
		J: msgpack.Raw{0x90}, L: msgpack.Ext{Code: 1}, M: msgpack.Map{{Key: "k", Bin: true}}}
	full.H, full.F = &fuzzed{B: 5}, []fuzzed{{}, {}}
	f.Add(encode(f, full))
	f.Fuzz(func(t *testing.T, b []byte) {
		var first, second fuzzed
		if err := msgpack.Unmarshal(b, &first, msgpack.Limits{}); err != nil {
			return
		}
		once, err := msgpack.Append(nil, first)
		if err != nil {
			return // with the fields that were missing it may be deeper than the message was
		}
		if err := msgpack.Unmarshal(once, &second, msgpack.Limits{}); err != nil {
			t.Fatalf("%x does not decode: %v", once, err)
		}
		if twice := encode(t, &second); !bytes.Equal(once, twice) {
			t.Errorf("%x became %x", once, twice)
		}
	})
}
