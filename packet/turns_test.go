package packet_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"parlor/msgpack"
	"parlor/packet"
)

// TestSendBeforeHandshake: until the server's IDs are known, a packet would go out under a wrong one.
func TestSendBeforeHandshake(t *testing.T) {
	t.Parallel()
	s := serve(t, packet.NewServer(echoing(t), packet.Config{Logger: quiet}))
	early := make(chan error, 1)
	c := packet.NewClient(echoing(t), packet.Config{Hooks: packet.Hooks{Connect: func(c *packet.Conn) error {
		early <- c.Send("test:a", 1)
		return nil
	}}})
	connect(t, c, s.addr)
	if err := <-early; !errors.Is(err, packet.ErrNotConnected) {
		t.Errorf("%v", err)
	}
	if err := c.Send("test:a", 1); err != nil {
		t.Error(err)
	}
}

// TestShortUntilKnown: of a peer of whom nothing is known, and in the protocol's own packets, little is taken.
func TestShortUntilKnown(t *testing.T) {
	t.Parallel()
	many := make([]any, 2000)
	for name, test := range map[string]struct {
		conntype any
		reason   string
	}{
		"long":  {strings.Repeat("x", 70_000), packet.ReasonFrameTooLarge},
		"bomb":  {"", packet.ReasonBodyTooLarge},
		"many":  {many, packet.ReasonBodyTooLarge},
		"usual": {"classics", packet.ReasonUnknownConnType},
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan *packet.CloseError, 1)
			cfg := packet.Config{Logger: quiet, Hooks: packet.Hooks{Close: func(_ *packet.Conn, err *packet.CloseError) { closed <- err }}}
			s := serve(t, packet.NewServer(echoing(t), cfg))
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			body, err := msgpack.Append(nil, map[string]any{"conntype": test.conntype})
			if err != nil {
				t.Fatal(err)
			}
			var flags packet.Flags
			if name == "bomb" {
				body, err = msgpack.Append(nil, map[string]any{"conntype": strings.Repeat("x", 100_000)})
				if err != nil {
					t.Fatal(err)
				}
				body, flags = zlibbed(body), packet.FlagCompressed
			}
			if _, err := nc.Write(packet.AppendFrame(nil, packet.IDSetType, flags, body)); err != nil {
				t.Fatal(err)
			}
			if err := within(t, "the close", closed); err.Reason != test.reason {
				t.Errorf("%v, want %s", err, test.reason)
			}
		})
	}
}

// TestHugeInTurn: while as many huge bodies are handled as may be, others of their kind wait, and nobody else does.
func TestHugeInTurn(t *testing.T) {
	t.Parallel()
	reg := packet.NewRegistry()
	begun, release := make(chan int64, 2), make(chan struct{})
	packet.MustRegister(reg, "t:huge", func(c *packet.Conn, b packet.Body) error {
		begun <- c.CID()
		<-release
		return nil
	})
	small := make(chan int, 1)
	packet.MustRegister(reg, "t:small", func(_ *packet.Conn, n int) error { small <- n; return nil })
	s := serve(t, packet.NewServer(reg, packet.Config{MaxHuge: 1, Logger: quiet}))
	mine := packet.NewRegistry()
	packet.MustRegister[any](mine, "t:huge", nil)
	packet.MustRegister[any](mine, "t:small", nil)
	clients := make([]*packet.Client, 3)
	for i := range clients {
		clients[i] = packet.NewClient(mine, packet.Config{})
		connect(t, clients[i], s.addr)
	}
	huge := strings.Repeat("x", 300<<10) // a few hundred bytes on the wire
	if err := clients[0].Send("t:huge", huge); err != nil {
		t.Fatal(err)
	}
	first := within(t, "the first handler", begun)
	if err := clients[1].Send("t:huge", huge); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second waits", func() bool { return s.Stats().Waited.Load() == 1 })
	if err := clients[2].Send("t:small", 7); err != nil {
		t.Fatal(err)
	}
	if n := within(t, "the small one", small); n != 7 {
		t.Errorf("got %d", n)
	}
	select {
	case cid := <-begun:
		t.Errorf("connection %d did not wait", cid)
	default:
	}
	close(release)
	if second := within(t, "the second handler", begun); second == first {
		t.Errorf("connection %d twice", second)
	}
}

// TestSendBeforeIntroduction: nor does a server send anything but the protocol's own packets before the Handshake tells its
// IDs.
func TestSendBeforeIntroduction(t *testing.T) {
	reg := packet.NewRegistry()
	typed := packet.MustRegister[int](reg, "test:a", nil)
	early := func(c *packet.Conn, when string) {
		for how, err := range map[string]error{"Send": c.Send("test:a", 1), "SendID": c.SendID(64, 1), "Type.Send": typed.Send(c, 1)} {
			if !errors.Is(err, packet.ErrNotConnected) {
				t.Errorf("%s, %s: %v", when, how, err)
			}
		}
		if err := typed.Broadcast(slices.Values([]*packet.Conn{c}), 1); err != nil {
			t.Errorf("%s, Broadcast: %v", when, err)
		}
	}
	s := packet.NewServer(reg, packet.Config{Logger: quiet, Hooks: packet.Hooks{
		Connect: func(c *packet.Conn) error { early(c, "in the Connect hook"); return nil },
		Send: func(c *packet.Conn, o *packet.Outgoing) error {
			if o.ID == packet.IDHandshake { // which is not queued yet
				early(c, "in the Send hook")
			}
			return nil
		},
	}})
	r := dialRaw(t, serveMemory(t, s))
	r.expect(helloFrame)
	early(s.Conn(1), "after Hello")
	r.send(classicFrame)
	if id := frameID(r.next()); id != packet.IDHandshake {
		t.Fatalf("packet %d before the Handshake", id)
	}
	eventually(t, "it can be sent", func() bool { return s.Conn(1).Send("test:a", 2) == nil })
	r.expect(framed(64, 2))
}
