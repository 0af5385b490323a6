package msgpack_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parlor/msgpack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unhex reads hexadecimal digits, with spaces where they help.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := msgpack.Append(nil, v)
	if err != nil {
		t.Fatalf("encode %#v: %v", v, err)
	}
	return b
}

func decode(t testing.TB, b []byte) (v any) {
	t.Helper()
	if err := msgpack.Unmarshal(b, &v, msgpack.Limits{}); err != nil {
		t.Fatalf("decode %x: %v", b, err)
	}
	return v
}
