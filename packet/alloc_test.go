package packet_test

import (
	"io"
	"testing"

	"parlor/packet"
)

// flat is a struct without anything that must be allocated.
type flat struct {
	ID   uint32  `msgpack:"id"`
	X, Y float64 `msgpack:",omitempty"`
	On   bool    `msgpack:"on"`
}

// allocations is how many there are, in the whole program, per round trip of a frame: the least of several
// measurements, as other goroutines allocate now and then.
func allocations(t *testing.T, w *wire, frame []byte) float64 {
	t.Helper()
	reply := make([]byte, len(frame))
	round := func() {
		if _, err := w.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(w, reply); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		round()
	}
	least := 1e9
	for range 3 {
		least = min(least, testing.AllocsPerRun(100, round))
	}
	return least
}

// spare is how many allocations a frame may cost: none, but with the race detector sync.Pool forgets a quarter of
// what it is given.
func spare(frames float64) float64 {
	if raceEnabled {
		return 2 * frames
	}
	return 0
}

// No allocation per frame in the read and in the write path, over a real socket.
func TestAllocationsPerFrame(t *testing.T) {
	var body *packet.Type[packet.Body]
	var typed *packet.Type[flat]
	var message *packet.Type[any]
	reg := packet.NewRegistry()
	body = packet.MustRegister(reg, "t:body", func(c *packet.Conn, b packet.Body) error { return body.Send(c, b) })
	typed = packet.MustRegister(reg, "t:flat", func(c *packet.Conn, f flat) error { return typed.Send(c, f) }, packet.Smart())
	message, err := reg.Handle("t:message", func(c *packet.Conn, m *packet.Message) error { return body.Send(c, m.Body()) },
		packet.ReceivedBy(packet.SideServer))
	if err != nil {
		t.Fatal(err)
	}
	quickly := packet.MustRegister(reg, "t:high", func(c *packet.Conn, f flat) error { return typed.Send(c, f) }, packet.WithID(1_000_000))
	for name, cfg := range map[string]packet.Config{"classic": {}, "joined": {JoinClassic: true}} {
		s := serve(t, packet.NewServer(reg, cfg))
		w := dialWire(t, s.addr)
		w.handshake()
		for _, c := range []struct {
			name  string
			frame []byte
		}{
			{"Body", frameOf(t, idOf(t, reg, body), map[string]any{"x": 1, "y": []any{1, 2, 3}, "s": "text"})},
			{"Message", frameOf(t, idOf(t, reg, message), "text")},
			{"struct", frameOf(t, idOf(t, reg, typed), flat{1, 2, 3, true})},
			{"struct of a high ID", frameOf(t, idOf(t, reg, quickly), flat{1, 2, 3, true})},
		} {
			if n := allocations(t, w, c.frame); n > spare(1) {
				t.Errorf("%s, %s: %v allocations per round trip, want none", name, c.name, n)
			}
			// Bursts, in which replies may be joined.
			burst := make([]byte, 0, 10*len(c.frame))
			for range 10 {
				burst = append(burst, c.frame...)
			}
			if n := allocations(t, w, burst); n > spare(10) {
				t.Errorf("%s, %s: %v allocations per burst, want none", name, c.name, n)
			}
		}
		if s.Stats().HandlerErrors.Load() != 0 {
			t.Error("handlers failed")
		}
	}
}

// Events cost nothing when nobody listens, nor after somebody has, nor if it is to others.
func TestAllocationsWithoutListeners(t *testing.T) {
	var body *packet.Type[packet.Body]
	reg := packet.NewRegistry()
	body = packet.MustRegister(reg, "t:body", func(c *packet.Conn, b packet.Body) error { return body.Send(c, b) })
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	w := dialWire(t, s.addr)
	w.handshake()
	frame := frameOf(t, 64, "text")
	sub := s.Subscribe(1)
	if n := allocations(t, w, frame); n == 0 {
		t.Error("somebody listens, and nothing is allocated: the measurement is wrong")
	}
	sub.Close()
	if n := allocations(t, w, frame); n > spare(1) {
		t.Errorf("%v allocations per round trip, want none", n)
	}
	defer s.Subscribe(1, packet.EventAccept, packet.EventServerClose).Close()
	if n := allocations(t, w, frame); n > spare(1) {
		t.Errorf("%v allocations per round trip for who listens to connections, want none", n)
	}
}

func TestAllocationsOfFrames(t *testing.T) {
	buf := make([]byte, 0, 100)
	body := []byte{0xa1, 'x'}
	if n := testing.AllocsPerRun(100, func() {
		buf = packet.AppendFrame(buf[:0], 64, 0, body)
		if _, _, got, _, ok, err := packet.CutFrame(buf, 100); !ok || err != nil || len(got) != 2 {
			t.Error("not cut")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
