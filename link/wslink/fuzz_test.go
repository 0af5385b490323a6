package wslink_test

import (
	"bytes"
	"testing"

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
