package link_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"parlor"
	"parlor/link"
	"parlor/msgpack"
)

// number draws numbers of every width alike.
func number() *rapid.Generator[uint64] {
	return rapid.Custom(func(t *rapid.T) uint64 {
		return rapid.Uint64().Draw(t, "number") >> rapid.IntRange(0, 63).Draw(t, "less bits")
	})
}

// value draws what payloads have, which nests up to depth levels.
func value(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), number().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(),
	}
	if depth > 0 {
		inner := rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) })
		kinds = append(kinds, rapid.SliceOfN(inner, 0, 20).AsAny(), rapid.MapOfN(rapid.String(), inner, 0, 20).AsAny())
	}
	return rapid.OneOf(kinds...)
}

// envelope draws what a peer may send: only what the kind has is set.
func envelope() *rapid.Generator[link.Envelope] {
	return rapid.Custom(func(t *rapid.T) link.Envelope {
		e := link.Envelope{Kind: link.Kind(rapid.IntRange(0, 3).Draw(t, "kind")), Ack: number().Draw(t, "ack")}
		if e.Kind == link.KindNote {
			return e
		}
		if e.Kind != link.KindRequest {
			e.Seq = number().Draw(t, "seq")
			e.Game = rapid.String().Draw(t, "game")
		}
		if e.Kind != link.KindPush {
			e.ID = number().Draw(t, "id")
		}
		if e.Kind == link.KindAnswer {
			e.Status = parlor.Status(rapid.Int().Draw(t, "status"))
			e.Disconnecting = rapid.Bool().Draw(t, "disconnecting")
		}
		e.Message = rapid.String().Draw(t, "message")
		e.Payload = parlor.Encode(value(2).Draw(t, "payload"))
		return e
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := envelope().Draw(t, "envelope")
		b := appendEnvelope(t, []byte("<"), e)
		if b[0] != '<' {
			t.Fatalf("%x was changed", b)
		}
		if got := decodeEnvelope(t, b[1:]); text(got) != text(e) {
			t.Fatalf("%x:\ngot  %s\nwant %s", b, text(got), text(e))
		}
		if !checkDecode(t, b[1:]) {
			t.Fatalf("%x is none", b)
		}
	})
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(envelope(), 1, 20).Draw(t, "envelopes")
		var frame []byte
		for _, e := range want {
			frame = appendEnvelope(t, frame, e)
		}
		got, errs := cut(frame, msgpack.Limits{})
		if len(got) != len(want) || len(errs) > 0 {
			t.Fatalf("%x: %d envelopes, errors %v, want %d", frame, len(got), errs, len(want))
		}
		for i := range got {
			if text(got[i]) != text(want[i]) {
				t.Fatalf("%x: envelope %d:\ngot  %s\nwant %s", frame, i+1, text(got[i]), text(want[i]))
			}
		}
	})
}

// An envelope cut anywhere is refused, and with any byte changed it is none or another one.
func TestHarmed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := appendEnvelope(t, nil, envelope().Draw(t, "envelope"))
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		if _, _, err := link.DecodeEnvelope(b[:at], msgpack.Limits{}); !errors.Is(err, link.ErrEnvelope) {
			t.Fatalf("%x, cut off behind %d bytes: error %v", b, at, err)
		}
		harmed := bytes.Clone(b)
		harmed[at] = rapid.Byte().Draw(t, "byte")
		checkDecode(t, harmed)
	})
}
