package msgpack_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parlor/msgpack"
)

// body is a packet body captured from peng3dnet 0.2.0, with what a second decoder made of it.
type body struct {
	From  string          // the capture
	Hex   *string         // or SHA256, for a long one
	Value json.RawMessage // in the notation of notation
	Error string          // why it has no value
	// Canonical means the library wrote it; else it was only made to read it.
	Canonical bool
	SHA256    string
}

func captures(t *testing.T) (bodies []body) {
	text, err := os.ReadFile("testdata/peng3dnet.json")
	if err == nil {
		err = json.Unmarshal(text, &bodies)
	}
	if err != nil || len(bodies) < 200 {
		t.Fatalf("%d bodies, %v", len(bodies), err)
	}
	return bodies
}

func TestCaptures(t *testing.T) {
	for i, c := range captures(t) {
		t.Run(c.From+"/"+strconv.Itoa(i), func(t *testing.T) {
			if c.Hex == nil {
				sum := sha256.Sum256(encode(t, notation(t, c.Value)))
				if hex.EncodeToString(sum[:]) != c.SHA256 {
					t.Error("encoded to other bytes")
				}
				return
			}
			b := unhex(t, *c.Hex)
			got, err := msgpack.Ordered(b, msgpack.Limits{})
			if c.Error != "" {
				if err == nil {
					t.Errorf("accepted as %v, though %s", got, c.Error)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := notation(t, c.Value)
			if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
			again := encode(t, got)
			if c.Canonical && !bytes.Equal(again, b) {
				t.Errorf("%x encoded again as %x", b, again)
			}
			if expect := encode(t, want); !bytes.Equal(again, expect) {
				t.Errorf("decoded and encoded again as %x, want %x", again, expect)
			}
		})
	}
}

// The echo server of the capture answered each odd form with the canonical one.
func TestCapturedEchoes(t *testing.T) {
	for _, c := range []struct{ sent, echoed string }{
		{"d3 ffffffffffffffff", "ff"},
		{"cf 0000000000000001", "01"},
		{"ca 7fc00000", "cb 7ff8000000000000"},
		{"db 00000001 61", "a1 61"},
		{"df 00000001 a161 01", "81 a161 01"},
		{"82 a161 01 a161 02", "81 a161 02"},
		{"81 c40161 01", "81 c40161 01"},
		{"c9 00000001 05 61", "d4 05 61"},
		{"c7 0c ff 00000005 0000000000000001", "d7 ff 0000001400000001"},
	} {
		want := unhex(t, c.echoed)
		if got := encode(t, decode(t, unhex(t, c.sent))); !bytes.Equal(got, want) {
			t.Errorf("%s came back as %x, want %x", c.sent, got, want)
		}
	}
}

// notation reads the notation of the captures: JSON, with {"$bin": ...} and the like for what JSON has not.
func notation(t *testing.T, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return notationValue(t, d)
}

func notationValue(t *testing.T, d *json.Decoder) any {
	switch tok := token(t, d).(type) {
	case json.Number:
		return integer(t, tok.String())
	case json.Delim:
		if tok == '[' {
			s := []any{}
			for d.More() {
				s = append(s, notationValue(t, d))
			}
			token(t, d)
			return s
		}
		m := msgpack.Map{}
		for d.More() {
			key := token(t, d).(string)
			m = append(m, msgpack.Pair{Key: key, Value: notationValue(t, d)})
		}
		token(t, d)
		if len(m) > 0 && strings.HasPrefix(m[0].Key, "$") {
			return notationSpecial(t, m)
		}
		return m
	default:
		return tok
	}
}

func token(t *testing.T, d *json.Decoder) json.Token {
	tok, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func notationSpecial(t *testing.T, m msgpack.Map) any {
	v := m[0].Value
	switch m[0].Key {
	case "$int":
		return integer(t, v.(string))
	case "$float":
		bits, err := strconv.ParseUint(m[1].Value.(string), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return math.Float64frombits(bits)
	case "$bin":
		return unhex(t, v.(string))
	case "$ext":
		ext := v.([]any)
		return msgpack.Ext{Code: int8(ext[0].(int64)), Data: unhex(t, ext[1].(string))}
	case "$timestamp":
		ts := v.([]any)
		return time.Unix(ts[0].(int64), ts[1].(int64)).UTC()
	case "$repeat":
		r := v.(msgpack.Map)
		count, _ := r.Get("count")
		s, _ := r.Get("str")
		return strings.Repeat(s.(string), int(count.(int64)))
	case "$map":
		out := msgpack.Map{}
		for _, pair := range v.([]any) {
			switch key := pair.([]any)[0].(type) {
			case string:
				out = append(out, msgpack.Pair{Key: key, Value: pair.([]any)[1]})
			case []byte:
				out = append(out, msgpack.Pair{Key: string(key), Bin: true, Value: pair.([]any)[1]})
			}
		}
		return out
	}
	t.Fatalf("notation %q is not known", m[0].Key)
	return nil
}

func integer(t *testing.T, s string) any {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i
	}
	u, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
