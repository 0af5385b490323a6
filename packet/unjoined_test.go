package packet_test

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	"parlor/packet"
)

// bounded are connections on which a read returns what one write wrote. A write in memory calls Write. One to a socket
// of packets goes directly to the system, as to any other socket.
var bounded = []network{
	{"memory", func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }},
	{"socket", func(t testing.TB) (a, b net.Conn) {
		ln, err := net.Listen("unixpacket", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Skip("this system has no such sockets: ", err)
		}
		defer ln.Close()
		if a, err = net.Dial("unixpacket", ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if b, err = ln.Accept(); err != nil {
			t.Fatal(err)
		}
		return a, b
	}},
}

// reads takes a frame that came by one read, and nothing with it.
func (w *wire) reads(id packet.ID) {
	w.t.Helper()
	b := make([]byte, 1<<16)
	n, err := w.Read(b)
	if err != nil {
		w.t.Fatal(err)
	}
	got, _, _, rest, ok, err := packet.CutFrame(b[:n], packet.MaxPacketLength)
	if !ok || err != nil || len(rest) > 0 || got != id {
		w.t.Fatalf("%d bytes were written with one call (packet %d, whole %v, %d bytes more, %v), want packet %d alone", n, got, ok, len(rest), err, id)
	}
}

// TestClassicFramesApart: on classic connections each frame is written with one call, and each call writes one frame,
// also those of a burst and those that had to wait (D1).
func TestClassicFramesApart(t *testing.T) {
	const frames = 20
	for _, network := range bounded {
		t.Run(network.name, func(t *testing.T) {
			handled := make(chan struct{}, frames)
			reg := packet.NewRegistry()
			packet.MustRegister(reg, "t:echo", func(c *packet.Conn, v any) error {
				defer func() { handled <- struct{}{} }()
				return c.Send("t:echo", v)
			})
			ours, theirs := network.pair(t)
			s := packet.NewServer(reg, packet.Config{Logger: quiet})
			ln := serveMemory(t, s)
			ln.give(t, theirs)
			w := wireOf(t, ours)
			w.reads(packet.IDHello)
			w.send(packet.IDSetType, map[string]any{"conntype": "classic"})
			w.reads(packet.IDHandshake)
			burst := frameOf(t, packet.IDHandshakeAccept, map[string]any{"success": true})
			for n := range frames {
				burst = append(burst, frameOf(t, 64, n)...)
			}
			w.bytes(burst) // all of which is read at once
			for range frames {
				within(t, "the handler", handled) // in memory all answers but the first one wait now
			}
			for range frames {
				w.reads(64)
			}
			s.Stop("bye")
			w.reads(packet.IDCloseConnection)
		})
	}
}

// TestUnderWayCounts: what the writer has begun to write counts for Config.WriteQueue.
func TestUnderWayCounts(t *testing.T) {
	ours, theirs := net.Pipe()
	writes := make(chan struct{}, 10)
	s := packet.NewServer(regOf(t, "t:a"), packet.Config{WriteQueue: 1000, Logger: quiet})
	ln := serveMemory(t, s)
	ln.give(t, toldWrites{theirs, writes})
	w := wireOf(t, ours)
	w.handshake()
	c := active(t, s)
	for len(writes) > 0 {
		<-writes
	}
	body := make([]byte, 600)
	if err := c.Send("t:a", body); err != nil {
		t.Fatal(err)
	}
	within(t, "the first write", writes) // which nobody reads
	if err := c.Send("t:a", body); !errors.Is(err, packet.ErrWriteQueueFull) {
		t.Errorf("600 bytes with 600 under way, limit 1000: %v", err)
	}
}

// toldWrites tells of each write that begins.
type toldWrites struct {
	net.Conn
	begun chan struct{}
}

func (c toldWrites) Write(b []byte) (int, error) {
	c.begun <- struct{}{}
	return c.Conn.Write(b)
}
