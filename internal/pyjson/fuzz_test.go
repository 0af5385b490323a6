package pyjson_test

import (
	"bytes"
	"reflect"
	"testing"

	"parlor/internal/pyjson"
)

// What Check accepts is rewritten to text that Check accepts and that is not
// changed again; what it refuses is taken without a panic.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(packet))
	f.Add([]byte(`{"a":[1.50,-0,1e400,NaN],"\u0061":"\ud800\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		const depth = 100
		err := pyjson.Check(text, depth)
		once := pyjson.AppendRaw(nil, text)
		repr := pyjson.AppendRepr(nil, text)
		kind := pyjson.KindOf(text)
		pyjson.Unquote(text)
		nop := func(key, value []byte) error { return pyjson.Check(value, depth) }
		members := pyjson.Members(text, depth, nop)
		elements := pyjson.Elements(text, depth, func(value []byte) error { return nop(nil, value) })
		if err != nil {
			if members == nil || elements == nil {
				t.Errorf("Check: %v, Members: %v, Elements: %v", err, members, elements)
			}
			return
		}
		if (members == nil) != (kind == pyjson.Object) || (elements == nil) != (kind == pyjson.Array) || kind == pyjson.Invalid {
			t.Errorf("a %v: Members: %v, Elements: %v", kind, members, elements)
		}
		if err := pyjson.Check(once, depth); err != nil {
			t.Errorf("rewritten to %q: %v", once, err)
		}
		if twice := pyjson.AppendRaw(nil, once); !bytes.Equal(once, twice) {
			t.Errorf("rewritten to %q, then to %q", once, twice)
		}
		if again := pyjson.AppendRepr(nil, once); !bytes.Equal(repr, again) {
			t.Errorf("repr %q, then %q", repr, again)
		}
		if pyjson.KindOf(once) != kind {
			t.Errorf("a %v became %q", kind, once)
		}
	})
}

// What Bind reads, Append writes, and that reads back the same. Values whose
// keys are in order are written as they came.
func FuzzBindAppend(f *testing.F) {
	f.Add([]byte(packet))
	f.Add([]byte(`{"id":1,"move":{"x":1,"y":0.5},"names":{"a":1},"any":[null,12345678901234567890]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var v any
		err := pyjson.Bind(text, &v)
		if checked := pyjson.Check(text, 512); (checked == nil) != (err == nil) {
			t.Fatalf("Bind: %v, Check: %v", err, checked)
		}
		if err == nil {
			rebind(t, v)
		}
		var m message
		if pyjson.Bind(text, &m) == nil {
			rebind(t, m)
		}
	})
}

func rebind[T any](t *testing.T, v T) {
	text, err := pyjson.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	if raw := pyjson.AppendRaw(nil, text); !bytes.Equal(raw, text) {
		t.Errorf("written as %q, not as %q", text, raw)
	}
	var back T
	if err := pyjson.Bind(text, &back); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	again, err := pyjson.Append(nil, back)
	if err != nil || !bytes.Equal(again, text) {
		t.Errorf("%q came back as %q, %v (equal: %v)", text, again, err, reflect.DeepEqual(v, back))
	}
}
