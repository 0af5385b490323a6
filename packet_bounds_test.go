package parlor_test

import (
	"strings"
	"testing"

	"parlor"
)

// TestHeldMemory: what a packet counts as is the whole text that it holds on to, and a debug text of a large
// payload is short.
func TestHeldMemory(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	p, err := parlor.DecodePacket([]byte(`{"message": "x", "payload": {"a": 1}, "username": "` + long + `"}`))
	if err != nil || p.Size() < len(long) {
		t.Errorf("size %d, error %v", p.Size(), err)
	}
	if text := p.DebugText(); text != "Packet(message='x', created_on='')+{'a': 1}" {
		t.Errorf("debug text %s", text)
	}
	p = parlor.Packet{Message: "x", Payload: parlor.Encode(parlor.Map{"a": long})}
	if n := len(p.DebugText()); n > 100 || p.Size() < len(long) {
		t.Errorf("debug text of %d bytes, size %d", n, p.Size())
	}
}
