package msgpack_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tinylib/msgp/msgp"

	"parlor/msgpack"
)

// point is written as the msgp generator writes a tuple: methods on the pointer, and a Raw within.
type point struct {
	X, Y int64
	Rest msgpack.Raw
}

func (p *point) MarshalMsg(b []byte) ([]byte, error) {
	b = msgp.AppendArrayHeader(b, 3)
	b = msgp.AppendInt64(b, p.X)
	b = msgp.AppendInt64(b, p.Y)
	return p.Rest.MarshalMsg(b)
}

func (p *point) UnmarshalMsg(b []byte) ([]byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return b, err
	}
	if n != 3 {
		return b, msgp.ArrayError{Wanted: 3, Got: n}
	}
	if p.X, b, err = msgp.ReadInt64Bytes(b); err != nil {
		return b, err
	}
	if p.Y, b, err = msgp.ReadInt64Bytes(b); err != nil {
		return b, err
	}
	return p.Rest.UnmarshalMsg(b)
}

// level has its method on the value, and is of a kind that would do without.
type level uint8

func (l level) MarshalMsg(b []byte) ([]byte, error) { return append(b, 0xa1, '0'+byte(l)), nil }

// lazy reads less than its value.
type lazy struct{ N int }

func (*lazy) UnmarshalMsg(b []byte) ([]byte, error) { return b, nil }

func TestGeneratedTypes(t *testing.T) {
	type shape struct {
		Points []point `msgpack:"points"`
		At     *point  `msgpack:"at"`
		Levels []level `msgpack:"levels"`
		None   *point  `msgpack:"none"`
	}
	raw := msgpack.Raw{0xa1, 'r'}
	s := shape{Points: []point{{1, -2, raw}}, At: &point{3, 4, raw}, Levels: []level{5}}
	want := unhex(t, "84 a6706f696e7473 91 93 01 fe a172 a26174 93 03 04 a172 a66c6576656c73 91 a135 a46e6f6e65 c0")
	for _, v := range []any{s, &s} {
		if diff := cmp.Diff(want, encode(t, v)); diff != "" {
			t.Fatal(diff)
		}
	}
	if diff := cmp.Diff(want[9:14], encode(t, s.Points[0])); diff != "" {
		t.Error(diff)
	}
	var got struct {
		Points []point `msgpack:"points"`
		At     *point  `msgpack:"at"`
	}
	if err := msgpack.Unmarshal(want, &got, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Points, got.Points); diff != "" || got.At.Y != 4 {
		t.Error(diff, got.At)
	}
}

func TestGeneratedTypeErrors(t *testing.T) {
	var v struct {
		P point `msgpack:"p"`
		L lazy  `msgpack:"l"`
	}
	err := msgpack.Unmarshal(unhex(t, "81 a170 91 05"), &v, msgpack.Limits{})
	var array msgp.ArrayError
	if !errors.As(err, &array) || err.Error() != "msgpack: p: "+array.Error() {
		t.Errorf("got %v", err)
	}
	// What would make the generated code allocate is refused before it is called.
	err = msgpack.Unmarshal(unhex(t, "81 a170 dd ffffffff"), &v, msgpack.Limits{})
	if !errors.Is(err, msgpack.ErrTruncated) {
		t.Errorf("got %v", err)
	}
	err = msgpack.Unmarshal(unhex(t, "81 a16c 05"), &v, msgpack.Limits{})
	if !errors.Is(err, msgpack.ErrTrailing) {
		t.Errorf("got %v", err)
	}
}
