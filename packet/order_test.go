package packet_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parlor/packet"
)

// diary notes what happened, with the events of a subscription at the places where they happened.
type diary struct {
	mu    sync.Mutex // guards the fields below
	sub   *packet.Subscription
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drain()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) drain() {
	for {
		select {
		case e, ok := <-d.sub.C:
			if !ok {
				return
			}
			line := "event " + strings.TrimPrefix(strings.TrimPrefix(string(e.Name), "peng3dnet:"), "server.connection.")
			switch e.Name {
			case packet.EventServerSend, packet.EventClientSend:
				line += fmt.Sprintf(" %v %v", e.ID, e.Packet)
			case packet.EventServerRecv, packet.EventClientRecv:
				line += fmt.Sprintf(" %d", e.ID)
			case packet.EventServerClose, packet.EventClientClose, packet.EventServerStop, packet.EventClientStop, packet.EventServerShutdown:
				line += fmt.Sprintf(" %v", e.Reason)
			}
			if (e.Server == nil) == (e.Client == nil) {
				line += " OF NOBODY"
			}
			d.lines = append(d.lines, line)
		default:
			return
		}
	}
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drain()
	return d.lines
}

func (d *diary) hooks() packet.Hooks {
	return packet.Hooks{
		Connect:   func(c *packet.Conn) error { d.note("Connect in %d", c.State()); return nil },
		Handshake: func(c *packet.Conn) { d.note("Handshake in %d", c.State()) },
		Receive:   func(c *packet.Conn, m *packet.Message) { d.note("Receive %d in %d", m.ID, c.State()) },
		Send: func(c *packet.Conn, o *packet.Outgoing) error {
			d.note("Send %d %v", o.ID, o.Type)
			return nil
		},
		Close: func(c *packet.Conn, err *packet.CloseError) {
			d.note("Close %v in %d, mode %d", err.Reason, c.State(), c.Mode())
		},
	}
}

// registry has test:a, whose handler at the server sends it back.
func (d *diary) registry(t *testing.T) *packet.Registry {
	t.Helper()
	reg := packet.NewRegistry()
	_, err := reg.Handle("test:a", func(c *packet.Conn, m *packet.Message) error {
		d.note("handler of %s", m.Name())
		if c.Side() == packet.SideServer {
			return c.SendID(m.ID, m.Value())
		}
		return nil
	}, packet.OnSend(func(c *packet.Conn, v any) error { d.note("OnSend %v", v); return nil }))
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func checkLines(t *testing.T, who string, got []string, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(want), "\n"), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", who, diff)
	}
}

// TestOrderServer and TestOrderClient are section 8: what happens in which order, and that it is the same at both
// sides (D7: events did not work on servers; D29: the send hooks saw bytes).
func TestOrderServer(t *testing.T) {
	d := new(diary)
	srv := packet.NewServer(d.registry(t), packet.Config{Hooks: d.hooks()})
	d.sub = srv.Subscribe(1000)
	ln := serveMemory(t, srv)
	r := dialRaw(t, ln)
	r.shake()
	b := framed(64, "hello")
	r.send(b)
	r.expect(b)
	r.send(closeFrame("bye"))
	r.expectEnd()
	eventually(t, "the end of the connection", func() bool { return len(srv.Conns()) == 0 })
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	checkLines(t, "server", d.all(), `
event server.initialize
event server.bind
event server.start
Connect in 4
Send 1 1
event send 1 1
event accept
Send 3 3
event send 3 3
Receive 2 in 1
event recv 2
event handshakecomplete
Handshake in 64
Receive 4 in 64
event recv 4
handler of test:a
Send 64 64
event send 64 64
OnSend hello
Receive 64 in 64
event recv 64
event close bye
Close bye in 64, mode 0
Receive 16 in 128
event recv 16
event server.stop method
event server.interrupt
event server.shutdown servershutdown`)
}

func TestOrderClient(t *testing.T) {
	d := new(diary)
	c := packet.NewClient(d.registry(t), packet.Config{Hooks: d.hooks()})
	d.sub = c.Subscribe(1000)
	a, b := newMemory()
	r := newRaw(t, b)
	result := make(chan error, 1)
	go func() { result <- c.ConnectConn(t.Context(), a) }()
	r.greet(append(internals[:0:0], pair("test:a", 64)))
	if err := within(t, "Connect", result); err != nil {
		t.Fatal(err)
	}
	f := framed(64, "hello")
	r.send(f)
	eventually(t, "the packet", func() bool { return c.Stats().FramesIn.Load() == 3 })
	eventually(t, "its event", func() bool { return strings.HasSuffix(strings.Join(d.all(), "\n"), "client.recv 64") })
	if err := c.Send("test:a", "answer"); err != nil {
		t.Fatal(err)
	}
	r.expect(framed(64, "answer"))
	r.send(closeFrame("kicked"))
	r.expectEnd()
	within(t, "Done", c.Done())
	eventually(t, "the last event", func() bool { return strings.HasSuffix(strings.Join(d.all(), "\n"), "client.stop method") })
	checkLines(t, "client", d.all(), `
event client.initialize
event client.connect
Connect in 0
event client.start
Send 2 2
event client.send 2 2
Receive 1 in 1
event client.recv 1
Send 4 4
event client.send 4 4
event client.handshakecomplete
Handshake in 64
Receive 3 in 64
event client.recv 3
handler of test:a
Receive 64 in 64
event client.recv 64
Send 64 test:a
event client.send 64 test:a
OnSend answer
event client.close kicked
Close kicked in 64, mode 0
Receive 16 in 128
event client.recv 16
event client.stop method`)
}

// TestSendHooks checks that hooks of both sides see values and may change or refuse them, and that nothing is written
// then (D29).
func TestSendHooks(t *testing.T) {
	refused := errors.New("refused")
	for _, side := range []string{"server", "client"} {
		t.Run(side, func(t *testing.T) {
			ready := make(chan *packet.Conn, 1)
			var last error // of OnSend; the test sends on one goroutine
			reg := packet.NewRegistry()
			packet.MustRegister[any](reg, "test:a", nil, packet.OnSend(func(c *packet.Conn, v any) error {
				if v == "refused last" {
					last = refused
					return refused
				}
				return nil
			}))
			cfg := packet.Config{Hooks: packet.Hooks{
				Handshake: func(c *packet.Conn) { ready <- c },
				Send: func(c *packet.Conn, o *packet.Outgoing) error {
					switch o.Value {
					case "refused":
						return refused
					case "changed":
						o.Value = map[string]any{"to": 1}
					}
					return nil
				},
			}}
			var r *raw
			if side == "server" {
				r = dialRaw(t, serveMemory(t, packet.NewServer(reg, cfg)))
				r.shake()
			} else {
				_, r = clientAndRaw(t, reg, cfg, append(internals[:0:0], pair("test:a", 64)))
			}
			c := within(t, "the handshake", ready)
			if err := c.Send("test:a", "refused"); !errors.Is(err, refused) {
				t.Errorf("the hook's refusal: %v", err)
			}
			if err := c.Send("test:a", "refused last"); !errors.Is(err, refused) || last == nil {
				t.Errorf("OnSend's refusal: %v", err)
			}
			if err := c.Send("test:a", make(chan int)); err == nil {
				t.Error("a channel was sent")
			}
			if err := c.Send("test:nothing", 1); !errors.Is(err, packet.ErrNotRegistered) {
				t.Errorf("a name that nobody registered: %v", err)
			}
			if err := c.SendID(999, 1); !errors.Is(err, packet.ErrNotRegistered) {
				t.Errorf("an ID that nobody registered: %v", err)
			}
			if err := c.Send("test:a", "changed"); err != nil {
				t.Error(err)
			}
			r.expect(framed(64, map[string]any{"to": 1}))
			c.Close("end")
			r.expect(closeFrame("end"))
			r.expectEnd()
			within(t, "Done", c.Done())
			if err := c.Send("test:a", 1); !errors.Is(err, packet.ErrClosed) { // D31
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// TestConnTypeHooks is section 7: what the functions of a connection type see, and what their results do.
func TestConnTypeHooks(t *testing.T) {
	d := new(diary)
	reg := packet.NewRegistry()
	handle := func(c *packet.Conn, m *packet.Message) error { d.note("handler %d", m.ID); return nil }
	for name, id := range map[string]packet.ID{"test:a": 64, "test:low": 20} {
		if _, err := reg.Handle(name, handle, packet.WithID(id)); err != nil {
			t.Fatal(err)
		}
	}
	ready := make(chan *packet.Conn, 1)
	srv := packet.NewServer(reg, packet.Config{Logger: slog.New(slog.DiscardHandler), Hooks: packet.Hooks{
		Receive: func(c *packet.Conn, m *packet.Message) { d.note("Receive %d", m.ID) },
		Send:    func(c *packet.Conn, o *packet.Outgoing) error { d.note("Send %v", o.Type); return nil },
	}})
	d.sub = srv.Subscribe(1)
	d.sub.Close()
	refused := errors.New("refused")
	err := srv.AddConnType("game", packet.ConnType{
		Init: func(c *packet.Conn) error { c.SetState(packet.StateActive); ready <- c; return nil },
		Receive: func(c *packet.Conn, m *packet.Message) (bool, error) {
			d.note("type receives %d", m.ID)
			if m.Value() == "panic" {
				panic("of the test")
			}
			return m.Value() == "mine", nil
		},
		Send: func(c *packet.Conn, o *packet.Outgoing) (bool, error) {
			d.note("type sends %v", o.Type)
			if o.Value == "refused" {
				return false, refused
			}
			return o.Value == "mine", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"game", "classic", "", "_notset"} {
		if err := srv.AddConnType(name, packet.ConnType{}); !errors.Is(err, packet.ErrRegistry) {
			t.Errorf("AddConnType(%q) again: %v", name, err)
		}
	}
	r := dialRaw(t, serveMemory(t, srv))
	r.expect(helloFrame)
	r.send(typeFrame("game"))
	c := within(t, "Init", ready)
	r.send(framed(64, "mine"), framed(64, "other"), framed(20, "low"), framed(999, "unknown"), framed(64, "panic"))
	eventually(t, "the packets", func() bool { return srv.Stats().HandlerErrors.Load() == 1 })
	for _, v := range []string{"mine", "other", "refused"} {
		if err := c.Send("test:a", v); (v == "refused") != errors.Is(err, refused) {
			t.Errorf("Send %s: %v", v, err)
		}
	}
	if err := c.SendID(20, "low"); err != nil {
		t.Error(err)
	}
	if err := c.Send("test:low", "by name"); err != nil {
		t.Error(err)
	}
	for _, want := range [][]byte{framed(64, "mine"), framed(64, "other"), framed(20, "low"), framed(20, "by name")} {
		r.expect(want)
	}
	checkLines(t, "server", d.all(), `
Send 1
Receive 2
type receives 64
type receives 64
handler 64
Receive 64
handler 20
Receive 20
type receives 999
type receives 64
type sends test:a
type sends test:a
Send test:a
type sends test:a
Send 20
type sends test:low
Send test:low`)
}

// TestInitFails checks that a connection is closed whose type cannot begin, and one whose Connect hook fails.
func TestInitFails(t *testing.T) {
	t.Run("Init", func(t *testing.T) {
		for _, fails := range []func() error{func() error { return errors.New("of the test") }, func() error { panic("of the test") }} {
			closed := make(chan *packet.CloseError, 1)
			srv := packet.NewServer(packet.NewRegistry(), calm(closed))
			if err := srv.AddConnType("game", packet.ConnType{Init: func(*packet.Conn) error { return fails() }}); err != nil {
				t.Fatal(err)
			}
			r := dialRaw(t, serveMemory(t, srv))
			r.expect(helloFrame)
			r.send(typeFrame("game"))
			r.expect(closeFrame(packet.ReasonInternalError))
			r.expectEnd()
			checkClose(t, within(t, "Close hook", closed), packet.ReasonInternalError, false, nil)
		}
	})
	t.Run("Connect hook", func(t *testing.T) {
		for _, fails := range []func() error{func() error { return errors.New("of the test") }, func() error { panic("of the test") }} {
			closed := make(chan *packet.CloseError, 1)
			cfg := calm(closed)
			cfg.Hooks.Connect = func(*packet.Conn) error { return fails() }
			r := dialRaw(t, serveMemory(t, packet.NewServer(packet.NewRegistry(), cfg)))
			r.expect(closeFrame(packet.ReasonInternalError))
			r.expectEnd()
			checkClose(t, within(t, "Close hook", closed), packet.ReasonInternalError, false, nil)
		}
	})
}

// TestHandlersFail checks that errors and panics of handlers and hooks end nothing, at both sides (D3).
func TestHandlersFail(t *testing.T) {
	fails := func(c *packet.Conn, body any) error {
		switch body {
		case "error":
			return errors.New("of the test")
		case "panic":
			panic("of the test")
		}
		return c.Send("test:a", body)
	}
	for _, side := range []string{"server", "client"} {
		t.Run(side, func(t *testing.T) {
			reg := packet.NewRegistry()
			packet.MustRegister(reg, "test:a", fails)
			hooked := make(chan any, 10)
			cfg := calm(make(chan *packet.CloseError, 2))
			cfg.Hooks.Handshake = func(*packet.Conn) { panic("of the test") }
			cfg.Hooks.Receive = func(c *packet.Conn, m *packet.Message) {
				if m.ID == 64 {
					hooked <- m.Value()
					panic("of the test")
				}
			}
			var stats *packet.Stats
			var r *raw
			if side == "server" {
				srv := packet.NewServer(reg, cfg)
				stats = srv.Stats()
				r = dialRaw(t, serveMemory(t, srv))
				r.shake()
			} else {
				var c *packet.Client
				c, r = clientAndRaw(t, reg, cfg, append(internals[:0:0], pair("test:a", 64)))
				stats = c.Stats()
			}
			r.send(framed(64, "error"), framed(64, "panic"))
			r.echoes()
			eventually(t, "the count", func() bool { return stats.HandlerErrors.Load() == 4 })
			if v := within(t, "the hook", hooked); v != "are you there?" {
				t.Errorf("the hook was called for %v, whose handler failed", v)
			}
		})
	}
}
