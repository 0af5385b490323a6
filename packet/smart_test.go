package packet_test

import (
	"errors"
	"testing"

	"parlor/packet"
)

// smartRow is a packet with options on a connection, and the check that fails.
type smartRow struct {
	name  string
	opts  []packet.Option
	set   func(c *packet.Conn) // before the packet
	send  string               // the check that fails, empty if none, when this side sends
	recv  string               // likewise when it receives
	recvS string               // likewise at the server, if it is another one there
	sendS string
}

func smartRows() []smartRow {
	none := func(*packet.Conn) {}
	return []smartRow{
		{"plain", nil, none, "", "", "", ""},
		{"smart", []packet.Option{packet.Smart()}, none, "", "", "", ""},
		{"smart, in another state", []packet.Option{packet.Smart()}, func(c *packet.Conn) { c.SetState(packet.StateLoggedIn) }, "state", "state", "state", "state"},
		{"state", []packet.Option{packet.InState(packet.StateLoggedIn)}, none, "state", "state", "state", "state"},
		{"state reached", []packet.Option{packet.InState(packet.StateLoggedIn)}, func(c *packet.Conn) { c.SetState(packet.StateLoggedIn) }, "", "", "", ""},
		{"any state", []packet.Option{packet.Smart(), packet.InAnyState()}, func(c *packet.Conn) { c.SetState(200) }, "", "", "", ""},
		{"received by the server", []packet.Option{packet.ReceivedBy(packet.SideServer)}, none, "", "side", "", "side"},
		{"received by the client", []packet.Option{packet.ReceivedBy(packet.SideClient)}, none, "side", "", "side", ""},
		{"mode", []packet.Option{packet.InMode(packet.ModePlay)}, none, "mode", "mode", "mode", "mode"},
		{"mode reached", []packet.Option{packet.InMode(packet.ModePlay)}, func(c *packet.Conn) { c.SetMode(packet.ModePlay) }, "", "", "", ""},
		{"connection type", []packet.Option{packet.OnConnType("classic")}, none, "", "", "", ""}, // D6: failed at the client
		{"other connection type", []packet.Option{packet.OnConnType("game")}, none, "conntype", "conntype", "conntype", "conntype"},
		{"security", []packet.Option{packet.MinSecurity(packet.SecurityEncrypted)}, none, "security", "", "", "security"},
	}
}

// TestSmart is section 9: the checks on send and on receipt, at both sides, with both actions. What may not be
// sent is not, and its sender gets an error (D20, D32, D33).
func TestSmart(t *testing.T) {
	for _, row := range smartRows() {
		for _, side := range []packet.Side{packet.SideClient, packet.SideServer} {
			send, recv := row.send, row.recv
			if side == packet.SideServer {
				send, recv = row.sendS, row.recvS
			}
			for _, action := range []packet.Action{packet.ActionIgnore, packet.ActionClose} {
				opts := row.opts
				if opts != nil {
					opts = append([]packet.Option{packet.OnInvalid(action)}, opts...)
				}
				t.Run(row.name+"/send at the "+side.String()+"/"+string(action), func(t *testing.T) {
					e := newSmartEnd(t, side, opts, row.set)
					err := e.conn.Send("test:smart", 1)
					var check *packet.CheckError
					switch {
					case send == "":
						if err != nil {
							t.Error(err)
						}
						e.raw.expect(framed(64, 1))
					case !errors.As(err, &check) || !errors.Is(err, packet.ErrInvalidPacket) || check.Check != send || check.Packet != "test:smart":
						t.Errorf("error %v, want check %s", err, send)
					}
					e.check(send != "" && action == packet.ActionClose)
				})
				t.Run(row.name+"/receipt at the "+side.String()+"/"+string(action), func(t *testing.T) {
					e := newSmartEnd(t, side, opts, row.set)
					e.raw.send(framed(64, 1))
					within(t, "the Receive hook, which hears of refused packets too", e.hooked)
					handled, invalid := 1, int64(0)
					if recv != "" {
						handled, invalid = 0, 1
					}
					if n := e.stats.Invalid.Load(); n != invalid {
						t.Errorf("%d counted as invalid", n)
					}
					if n := len(e.handled); n != handled {
						t.Errorf("handled %d times", n)
					}
					e.check(recv != "" && action == packet.ActionClose)
				})
			}
		}
	}
}

// smartEnd is a connection of ours whose packet test:smart has options.
type smartEnd struct {
	t       *testing.T
	conn    *packet.Conn
	raw     *raw
	stats   *packet.Stats
	handled chan any
	hooked  chan packet.ID
	closed  chan *packet.CloseError
}

func newSmartEnd(t *testing.T, side packet.Side, opts []packet.Option, set func(*packet.Conn)) *smartEnd {
	t.Helper()
	e := &smartEnd{t: t, handled: make(chan any, 9), hooked: make(chan packet.ID, 9), closed: make(chan *packet.CloseError, 9)}
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:smart", func(_ *packet.Conn, v any) error { e.handled <- v; return nil }, opts...)
	packet.MustRegister(reg, "test:echo", func(c *packet.Conn, v packet.Body) error { return c.Send("test:echo", v) })
	cfg := calm(e.closed)
	cfg.Hooks.Receive = func(c *packet.Conn, m *packet.Message) {
		if m.ID == 64 {
			e.hooked <- m.ID
		}
	}
	if side == packet.SideServer {
		srv := packet.NewServer(reg, cfg)
		e.raw, e.stats = dialRaw(t, serveMemory(t, srv)), srv.Stats()
		e.raw.shake()
		e.raw.send(framed(65, 1))
		e.raw.expect(framed(65, 1)) // so the handshake is over
		e.conn = srv.Conns()[0]
	} else {
		c, r := clientAndRaw(t, reg, cfg, pairs{pair("test:smart", 64), pair("test:echo", 65)})
		e.conn, e.raw, e.stats = c.Conn, r, c.Stats()
	}
	set(e.conn)
	return e
}

// check checks whether the connection goes on.
func (e *smartEnd) check(closed bool) {
	e.t.Helper()
	if closed {
		e.raw.expect(closeFrame(packet.ReasonSmartPacketInvalid))
		e.raw.expectEnd()
		checkClose(e.t, within(e.t, "Close hook", e.closed), packet.ReasonSmartPacketInvalid, false, packet.ErrInvalidPacket)
		return
	}
	e.raw.send(framed(65, "go on"))
	e.raw.expect(framed(65, "go on"))
}

// TestInvalidAction checks that actions are looked at when a packet is registered (D19).
func TestInvalidAction(t *testing.T) {
	reg := packet.NewRegistry()
	for _, a := range []packet.Action{"", "explode"} {
		if _, err := packet.Register[any](reg, "test:a", nil, packet.OnInvalid(a)); !errors.Is(err, packet.ErrInvalidAction) {
			t.Errorf("%q: %v", a, err)
		}
	}
	if _, err := packet.Register[any](reg, "test:a", nil, packet.OnInvalid(packet.ActionClose)); err != nil {
		t.Error(err)
	}
}

// TestClientConnType checks that a client knows its own connection type from SetType on (D6).
func TestClientConnType(t *testing.T) {
	reg := packet.NewRegistry()
	c := packet.NewClient(reg, packet.Config{ConnType: "game"})
	if err := c.AddConnType("game", packet.ConnType{Init: func(c *packet.Conn) error {
		if c.ConnType() != "game" || c.State() != packet.StateWaitType {
			t.Errorf("in Init: %s, state %d", c.ConnType(), c.State())
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	if c.ConnType() != packet.ConnTypeNotSet || c.State() != packet.StateInit {
		t.Errorf("new: %s, state %d", c.ConnType(), c.State())
	}
	a, b := newMemory()
	r := newRaw(t, b)
	result := make(chan error, 1)
	go func() { result <- c.ConnectConn(t.Context(), a) }()
	r.send(helloFrame)
	r.expect(typeFrame("game"))
	if err := within(t, "Connect", result); err != nil {
		t.Fatal(err)
	}
	c.Abort(nil)
	within(t, "Done", c.Done())

	c = packet.NewClient(reg, packet.Config{ConnType: "unknown"}) // 0.2.0 sent SetType and failed inside
	if err := c.ConnectConn(t.Context(), b); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("a type that the client does not have: %v", err)
	}
}
