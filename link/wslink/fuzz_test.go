package wslink_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"parlor/link/wslink"
)

// FuzzReader: no bytes make the frame reader panic or give a message over the limit, and what it reads is
// read again when it is written as whole frames.
func FuzzReader(f *testing.F) {
	whole := frame(ws.OpText, true, []byte("hello"))
	f.Add(whole)
	f.Add(append(frame(ws.OpText, false, []byte("he")), append(frame(ws.OpPing, true, []byte("?")), frame(ws.OpContinuation, true, []byte("llo"))...)...))
	f.Add(append(frame(ws.OpBinary, true, make([]byte, 300)), frame(ws.OpClose, true, ws.NewCloseFrameBody(1000, "bye"))...))
	f.Add(append(frame(ws.OpText, true, make([]byte, 2000)), whole...))
	f.Add([]byte{0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0})
	f.Add(bytes.Repeat([]byte{0xFF}, 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1000
		messages, err := wslink.ReadMessages(b, limit)
		if err == nil {
			t.Error("no error at the end")
		}
		var again []byte
		for _, m := range messages {
			if len(m) > limit {
				t.Errorf("message of %d bytes", len(m))
			}
			again = append(again, frame(ws.OpText, true, m)...)
		}
		same, _ := wslink.ReadMessages(again, limit)
		if len(same) != len(messages) {
			t.Fatalf("%d messages, then %d", len(messages), len(same))
		}
		for i := range same {
			if !bytes.Equal(same[i], messages[i]) {
				t.Errorf("message %q, then %q", messages[i], same[i])
			}
		}
	})
}

// FuzzFromUTF16: what is read as UTF-16 is UTF-8 then, and JSON in UTF-16 keeps its text.
func FuzzFromUTF16(f *testing.F) {
	f.Add([]byte("{\x00}\x00"))
	f.Add([]byte("\xfe\xff\x00{\x00}"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		if got := wslink.FromUTF16(b); !bytes.Equal(got, before) && !utf8.Valid(got) {
			t.Errorf("%q is read as %q", before, got)
		}
		if !bytes.Equal(b, before) {
			t.Error("the input was changed")
		}
	})
}

// FuzzNonces: whatever stands in the file, what is added to it is found again.
func FuzzNonces(f *testing.F) {
	f.Add([]byte(""), []byte("0123456789abcdef01234567"))
	f.Add([]byte("torn"), []byte("0123456789abcdef01234567"))
	f.Add(bytes.Repeat([]byte{7}, 80), make([]byte, 24))
	f.Fuzz(func(t *testing.T, file, added []byte) {
		var nonce [24]byte
		copy(nonce[:], added)
		path := filepath.Join(t.TempDir(), "nonces")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			n, err := wslink.OpenNonces(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.Add(nonce); err != nil || !n.Has(nonce) {
				t.Errorf("not there: %v", err)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		}
		n, err := wslink.OpenNonces(path)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if again, err := n.Add(nonce); again || err != nil {
			t.Errorf("added again: %v, %v", again, err)
		}
	})
}
