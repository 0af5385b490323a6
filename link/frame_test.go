package link_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"parlor/link"
	"parlor/msgpack"
)

// cut cuts a frame: what is in it, and the errors.
func cut(frame []byte, lim msgpack.Limits) (es []link.Envelope, errs []error) {
	for e, err := range link.Envelopes(frame, lim) {
		if err != nil {
			errs = append(errs, err)
		}
		if !errors.Is(err, link.ErrEnvelope) {
			es = append(es, e)
		}
	}
	return es, errs
}

func TestEnvelopes(t *testing.T) {
	var frame []byte
	var want []string
	for _, c := range readVectors(t).Envelopes {
		frame = append(frame, c.bytes(t)...)
		want = append(want, text(c.envelope(t)))
	}
	got, errs := cut(frame, msgpack.Limits{Bytes: 200})
	if len(got) != len(want) || len(errs) > 0 {
		t.Fatalf("%d envelopes, errors %v, want %d", len(got), errs, len(want))
	}
	for i := range got {
		if text(got[i]) != want[i] {
			t.Errorf("%d: got %s, want %s", i, text(got[i]), want[i])
		}
	}
}

func TestFrames(t *testing.T) {
	const note, request, odd = "920300", "95000001a080", "95000002a0d40500"
	for _, c := range []struct {
		name, hex string
		n         int
		says      string // of the only error
		fatal     bool
	}{
		{"one", request, 1, "", false},
		{"two", note + request, 2, "", false},
		{"nothing", "", 0, "not an envelope: msgpack: empty message", true},
		{"no envelope", "c0", 0, "not an envelope: want an array, got nil", true},
		{"no envelope behind two", note + request + "c0" + note, 2, "envelope 3 of a frame: not an envelope: want an array, got nil", true},
		{"the last one is cut off", note + "9203", 1, "envelope 2 of a frame: not an envelope: msgpack: truncated", true},
		{"a payload without form between two", note + odd + request, 3, "payload: an extension", false},
		{"a payload without form at the end", request + odd, 2, "payload: an extension", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			es, errs := cut(unhex(t, c.hex), msgpack.Limits{})
			if len(es) != c.n || (c.says != "") != (len(errs) == 1) {
				t.Fatalf("%d envelopes, errors %v", len(es), errs)
			}
			for _, e := range es {
				if e.Err != nil && (len(errs) != 1 || !errors.Is(e.Err, errs[0])) {
					t.Errorf("an envelope has the error %v, %v came beside it", e.Err, errs)
				}
			}
			if c.says != "" && !c.fatal && !slices.ContainsFunc(es, func(e link.Envelope) bool { return e.Err != nil }) {
				t.Error("no envelope says why its payload is missing")
			}
			if c.says != "" && (!strings.Contains(errs[0].Error(), c.says) || errors.Is(errs[0], link.ErrEnvelope) != c.fatal) {
				t.Errorf("got %v, want %s", errs[0], c.says)
			}
		})
	}
}

func TestFrameFullOfNotes(t *testing.T) {
	note := unhex(t, "920300")
	for n, want := range map[int]bool{1: true, link.MaxPerFrame: true, link.MaxPerFrame + 1: false, 300_000: false} {
		es, errs := cut(bytes.Repeat(note, n), msgpack.Limits{})
		switch {
		case want && (len(es) != n || len(errs) > 0):
			t.Errorf("%d notes: %d were read, errors %v", n, len(es), errs)
		case !want && (len(es) != link.MaxPerFrame || len(errs) != 1 || !errors.Is(errs[0], link.ErrEnvelope)):
			t.Errorf("%d notes: %d were read, errors %v", n, len(es), errs)
		}
	}
}

func TestFrameLeftEarly(t *testing.T) {
	n := 0
	for range link.Envelopes(bytes.Repeat(unhex(t, "920300"), 5), msgpack.Limits{}) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d envelopes", n)
	}
}
