package link_test

import (
	"bytes"
	"testing"

	"parlor"
	"parlor/link"
	"parlor/msgpack"
)

// usual are envelopes as games have them by the thousand.
var usual = []struct {
	name  string
	e     link.Envelope
	texts float64 // and payloads, which decoding allocates
}{
	{"request", link.Envelope{Kind: link.KindRequest, Ack: 1000, ID: 400, Message: "move", Payload: parlor.Encode(parlor.Map{"x": 1, "y": 2})}, 2},
	{"answer", link.Envelope{Kind: link.KindAnswer, Ack: 400, Seq: 1001, ID: 400, Game: "chess 1", Message: "moved",
		Payload: parlor.Encode(parlor.Map{"turn": "black"})}, 3},
	{"answer outside of a game", link.Envelope{Kind: link.KindAnswer, Ack: 400, Seq: 1001, ID: 400, Message: "left"}, 1},
	{"push", link.Envelope{Kind: link.KindPush, Ack: 400, Seq: 1002, Game: "chess 1", Message: "moved",
		Payload: parlor.Encode(parlor.Map{"from": "e2", "to": "e4", "clock": 59.25})}, 3},
	{"note", link.Envelope{Kind: link.KindNote, Ack: 1002}, 0},
}

// spare is how many more allocations so many payloads may cost: none, but with the race detector sync.Pool forgets a quarter of what
// it is given.
func spare(payloads float64) float64 {
	if raceEnabled {
		return 3 * payloads
	}
	return 0
}

func TestAllocations(t *testing.T) {
	for _, c := range usual {
		t.Run(c.name, func(t *testing.T) {
			buf := make([]byte, 0, 1024)
			if n := testing.AllocsPerRun(100, func() { buf, _ = c.e.Append(buf[:0]) }); n != 0 {
				t.Errorf("Append: %v allocations, want none", n)
			}
			if n := testing.AllocsPerRun(100, func() { _, _, _ = link.DecodeEnvelope(buf, msgpack.Limits{}) }); n < c.texts || n > c.texts+spare(1) {
				t.Errorf("DecodeEnvelope: %v allocations, want %v, those of its texts and its payload", n, c.texts)
			}
			frame := bytes.Repeat(buf, 10)
			if n := testing.AllocsPerRun(100, func() {
				for _, err := range link.Envelopes(frame, msgpack.Limits{}) {
					if err != nil {
						t.Fatal(err)
					}
				}
			}); n < 10*c.texts || n > 10*c.texts+spare(10) {
				t.Errorf("Envelopes: %v allocations for ten, want %v", n, 10*c.texts)
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range usual {
		b.Run(c.name, func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = c.e.Append(buf[:0]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(buf)), "bytes")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range usual {
		b.Run(c.name, func(b *testing.B) {
			buf := appendEnvelope(b, nil, c.e)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := link.DecodeEnvelope(buf, msgpack.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPushToMany is what a push to one more client costs, when its body was made before.
func BenchmarkPushToMany(b *testing.B) {
	e := usual[3].e
	body, err := link.AppendBody(nil, e.Message, e.Payload)
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = e.AppendHead(buf[:0]); err != nil {
			b.Fatal(err)
		}
		buf = append(buf, body...)
	}
}

func BenchmarkFrameFullOfNotes(b *testing.B) {
	frame := bytes.Repeat([]byte{0x92, 3, 0}, link.MaxPerFrame)
	b.ReportAllocs()
	for b.Loop() {
		for range link.Envelopes(frame, msgpack.Limits{}) {
		}
	}
}
