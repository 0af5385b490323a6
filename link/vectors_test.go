package link_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"parlor"
	"parlor/link"
)

// vectors are the examples of testdata/parlor, which its README describes.
type vectors struct{ Envelopes, Refused, Payloads []vector }

type vector struct {
	Name, Hex, Written, Says string
	Envelope                 *struct {
		Kind          string
		Ack, Seq, ID  uint64
		Status        parlor.Status
		Disconnecting bool
		Game          *string
		Message       string
		Payload       parlor.Payload
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	text, err := os.ReadFile("../testdata/parlor/envelopes.json")
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// all are the bytes of every example.
func (v vectors) all(t testing.TB) (all [][]byte) {
	for _, c := range slices.Concat(v.Envelopes, v.Refused, v.Payloads) {
		all = append(all, c.bytes(t))
	}
	return all
}

func (c vector) bytes(t testing.TB) []byte {
	t.Helper()
	return unhex(t, c.Hex)
}

// written is how the envelope is written.
func (c vector) written(t testing.TB) []byte {
	t.Helper()
	if c.Written != "" {
		return unhex(t, c.Written)
	}
	return c.bytes(t)
}

func (c vector) envelope(t testing.TB) link.Envelope {
	t.Helper()
	kind := slices.Index([]string{"request", "answer", "push", "note"}, c.Envelope.Kind)
	if kind < 0 {
		t.Fatalf("kind %q", c.Envelope.Kind)
	}
	e := link.Envelope{
		Kind: link.Kind(kind), Ack: c.Envelope.Ack, Seq: c.Envelope.Seq, ID: c.Envelope.ID,
		Status: c.Envelope.Status, Disconnecting: c.Envelope.Disconnecting,
		Message: c.Envelope.Message, Payload: c.Envelope.Payload,
	}
	if c.Envelope.Game != nil {
		e.Game = *c.Envelope.Game
	}
	return e
}

// unhex reads hexadecimal digits, with spaces where they help.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
