package link_test

import (
	"errors"
	"testing"

	"parlor/link"
	"parlor/msgpack"
)

func FuzzDecodeEnvelope(f *testing.F) {
	for _, b := range readVectors(f).all(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkDecode(t, b) })
}

// FuzzEnvelopes: a frame gives what its envelopes give one by one.
func FuzzEnvelopes(f *testing.F) {
	var frame []byte
	for _, c := range readVectors(f).Envelopes {
		f.Add(c.bytes(f))
		frame = append(frame, c.bytes(f)...)
	}
	f.Add(frame)
	f.Fuzz(func(t *testing.T, frame []byte) {
		n := 0
		for e, err := range link.Envelopes(frame, msgpack.Limits{}) {
			if n++; n > link.MaxPerFrame {
				if !errors.Is(err, link.ErrEnvelope) {
					t.Fatalf("envelope %d: error %v", n, err)
				}
				return
			}
			want, rest, wantErr := link.DecodeEnvelope(frame, msgpack.Limits{})
			if text(e) != text(want) || (err == nil) != (wantErr == nil) || errors.Is(err, link.ErrEnvelope) != errors.Is(wantErr, link.ErrEnvelope) {
				t.Fatalf("envelope %d: got %s, error %v, want %s, error %v", n, text(e), err, text(want), wantErr)
			}
			if errors.Is(err, link.ErrEnvelope) {
				return
			}
			frame = rest
		}
		if n == 0 || len(frame) > 0 {
			t.Fatalf("%d envelopes, %x is left", n, frame)
		}
	})
}
