package msgpack_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parlor/msgpack"
)

func TestUnmarshalAny(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      any
	}{
		{"nil", "c0", nil},
		{"true", "c3", true},
		{"1", "01", int64(1)},
		{"1.0", "cb 3ff0000000000000", 1.0},
		{"float32", "ca 3fc00000", 1.5},
		{"inf", "ca 7f800000", math.Inf(1)},
		{"nan", "cb 7ff8000000000000", math.NaN()},
		{"long 1", "cf 0000000000000001", int64(1)},
		{"signed 1", "d3 0000000000000001", int64(1)},
		{"max int64", "cf 7fffffffffffffff", int64(math.MaxInt64)},
		{"above int64", "cf 8000000000000000", uint64(1 << 63)},
		{"min int64", "d3 8000000000000000", int64(math.MinInt64)},
		{"-32", "e0", int64(-32)},
		{"empty str", "a0", ""},
		{"empty bin", "c4 00", []byte{}},
		{"bin", "c4 01 ff", []byte{0xff}},
		{"empty array", "90", []any{}},
		{"empty map", "80", map[string]any{}},
		{"nested", "81 a161 92 01 80", map[string]any{"a": []any{int64(1), map[string]any{}}}},
		{"last wins", "82 a161 01 a161 02", map[string]any{"a": int64(2)}},
		{"bin key", "81 c40161 01", msgpack.Map{{Key: "a", Bin: true, Value: int64(1)}}},
		{"both keys", "83 c40161 01 a162 02 a161 03", msgpack.Map{
			{Key: "a", Value: int64(3)}, {Key: "a", Bin: true, Value: int64(1)}, {Key: "b", Value: int64(2)}}},
		{"ext", "c7 03 05 616263", msgpack.Ext{Code: 5, Data: []byte("abc")}},
		{"ext16", "c8 0001 05 61", msgpack.Ext{Code: 5, Data: []byte("a")}},
		{"timestamp", "c7 0c ff 00000005 ffffffffffffffff", time.Unix(-1, 5).UTC()},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.hex)
			if diff := cmp.Diff(c.want, decode(t, b), cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var boxed struct{ V any }
			in := append(unhex(t, "81 a156"), b...)
			if err := msgpack.Unmarshal(in, &boxed, msgpack.Limits{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, boxed.V, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("in a struct: -want +got:\n%s", diff)
			}
		})
	}
}

func TestOrdered(t *testing.T) {
	b := unhex(t, "84 a162 01 a161 92 81a17a01 80 a162 02 c40162 03")
	got, err := msgpack.Ordered(b, msgpack.Limits{})
	want := msgpack.Map{
		{Key: "b", Value: int64(2)},
		{Key: "a", Value: []any{msgpack.Map{{Key: "z", Value: int64(1)}}, msgpack.Map{}}},
		{Key: "b", Bin: true, Value: int64(3)},
	}
	if diff := cmp.Diff(any(want), got); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
	if v, ok := got.(msgpack.Map).Get("b"); v != int64(2) || !ok {
		t.Errorf("Get gave %v, %v", v, ok)
	}
	if v, ok := got.(msgpack.Map).Get("c"); v != nil || ok {
		t.Errorf("Get of nothing gave %v, %v", v, ok)
	}
}

// More keys than are searched one by one.
func TestOrderedManyKeys(t *testing.T) {
	var in, want msgpack.Map
	for round := range 2 {
		for c := 'a'; c <= 'z'; c++ {
			in = append(in, msgpack.Pair{Key: string(c), Value: int64(round)})
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		want = append(want, msgpack.Pair{Key: string(c), Value: int64(1)})
	}
	got, err := msgpack.Ordered(encode(t, in), msgpack.Limits{})
	if diff := cmp.Diff(any(want), got); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}

func TestNothingIsShared(t *testing.T) {
	b := unhex(t, "94 a161 c40161 d40561 81a16101")
	var v struct{ A []any }
	var raw msgpack.Raw
	first := append(unhex(t, "81 a141"), b...)
	if err := msgpack.Unmarshal(first, &v, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if err := msgpack.Unmarshal(first, &raw, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	before := encode(t, v)
	clear(first)
	if diff := cmp.Diff(before, encode(t, v)); diff != "" {
		t.Errorf("the value changed with the message: %s", diff)
	}
	if diff := cmp.Diff(before, []byte(raw)); diff != "" {
		t.Errorf("the raw value changed with the message: %s", diff)
	}
}
