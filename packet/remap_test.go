package packet_test

import (
	"errors"
	"testing"

	"parlor/msgpack"
	"parlor/packet"
)

type pairs = msgpack.Map

// named returns a registry of packets with automatic IDs, whose handlers tell their name.
func named(t testing.TB, got chan string, names ...string) *packet.Registry {
	t.Helper()
	reg := packet.NewRegistry()
	for _, name := range names {
		packet.MustRegister(reg, name, func(*packet.Conn, any) error { got <- name; return nil })
	}
	return reg
}

func wantID(t testing.TB, reg *packet.Registry, name string, id packet.ID, lost bool) {
	t.Helper()
	if e, err := reg.Lookup(name); err != nil || e.ID != id || e.Lost != lost || e.Name != name {
		t.Errorf("%s: %v, %v; want ID %d, lost %v", name, e, err, id, lost)
	}
}

// TestRemap is section 6: the client takes over the server's IDs all at once (D5).
func TestRemap(t *testing.T) {
	got := make(chan string, 10)
	c, r := clientAndRaw(t, named(t, got, "a", "b", "c"), packet.Config{}, pairs{pair("c", 64), pair("a", 65), pair("b", 66)})
	for name, id := range map[string]packet.ID{"c": 64, "a": 65, "b": 66} {
		wantID(t, c.Registry(), name, id, false)
		if e, err := c.Registry().Lookup(id); err != nil || e.Name != name {
			t.Errorf("ID %d: %v, %v", id, e, err)
		}
		if err := c.Send(name, 1); err != nil {
			t.Error(err)
		}
		r.expect(framed(id, 1))
		r.send(framed(id, 1))
		if s := within(t, name, got); s != name {
			t.Errorf("ID %d reached %s", id, s)
		}
	}
}

// TestRemapKeepsOriginal checks that a client's remap does not touch the registry that it was given.
func TestRemapKeepsOriginal(t *testing.T) {
	reg := named(t, nil, "a", "b")
	clientAndRaw(t, reg, packet.Config{}, pairs{pair("a", 1000), pair("b", 64)})
	wantID(t, reg, "a", 64, false)
	wantID(t, reg, "b", 65, false)
}

// TestRemapLost checks that a packet that only the client has never shadows one of the server's.
func TestRemapLost(t *testing.T) {
	got := make(chan string, 10)
	reg := named(t, got, "mine", "kept", "both")
	mine := packet.MustRegister[int](reg, "typed", nil, packet.WithID(70))
	c, r := clientAndRaw(t, reg, packet.Config{AllowMissing: true}, pairs{pair("both", 64), pair("theirs", 70)})
	wantID(t, c.Registry(), "mine", 64, true)
	wantID(t, c.Registry(), "kept", 65, false)
	wantID(t, c.Registry(), "both", 64, false)
	if err := c.Send("mine", 1); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("the lost packet: %v", err)
	}
	if err := mine.Send(c.Conn, 1); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("the lost packet by its type: %v", err)
	}
	if err := c.SendID(70, 1); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("the server's own packet, which this client does not know: %v", err)
	}
	if err := c.Send("kept", 1); err != nil {
		t.Error(err)
	}
	r.expect(framed(65, 1))
	r.send(framed(70, 1), framed(64, 1))
	if s := within(t, "the packet", got); s != "both" {
		t.Errorf("ID 64 reached %s", s)
	}
	if n := c.Stats().Unknown.Load(); n != 1 {
		t.Errorf("%d unknown packets, want the server's own", n)
	}
}

// TestRemapRefused checks what a client makes of registries that cannot be.
func TestRemapRefused(t *testing.T) {
	hello := pairs{pair("version", "0.2.0"), pair("protoversion", 2)}
	handshake := func(registry any) []byte {
		return framed(packet.IDHandshake, append(hello[:2:2], pair("registry", registry)))
	}
	and := func(more ...msgpack.Pair) pairs { return append(internals[:len(internals):len(internals)], more...) }
	moved := and(pair("a", 64))
	moved[0].Value = 7
	for _, row := range []struct {
		name     string
		registry any
		lenient  bool // AllowMissing
		keep     bool // KeepIDs
		good     bool
	}{
		{"right", and(pair("a", 64)), false, false, true},
		{"largest", and(pair("a", uint32(1<<32-1))), false, false, true},
		{"zero", and(pair("a", 0)), false, false, true},
		{"server has more", and(pair("a", 64), pair("b", 65)), false, false, false},
		{"server has more, allowed", and(pair("a", 64), pair("b", 65)), true, false, true},
		{"server has less", and(), false, false, false},
		{"server has less, allowed", and(), true, false, true},
		{"without internal ones", pairs{pair("a", 64)}, false, false, false},
		{"without internal ones, allowed", pairs{pair("a", 64)}, true, false, true},
		{"duplicate ID", and(pair("a", 64), pair("b", 64)), true, false, false},
		{"ID of an internal one", and(pair("a", 16)), true, false, false},
		{"internal one moved", moved, true, false, false},
		{"negative", and(pair("a", -1)), true, false, false},
		{"too large", and(pair("a", 1<<32)), true, false, false},
		{"text", and(pair("a", "64")), true, false, false},
		{"float", and(pair("a", 64.0)), true, false, false},
		{"nil", and(pair("a", nil)), true, false, false},
		{"no map", []any{}, true, false, false},
		{"key of bytes", and(msgpack.Pair{Key: "a", Bin: true, Value: 64}), true, false, false},
		{"wrong but not looked at", "nothing", false, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			closed := make(chan *packet.CloseError, 2)
			cfg := calm(closed)
			cfg.AllowMissing, cfg.KeepIDs = row.lenient, row.keep
			c := packet.NewClient(named(t, nil, "a"), cfg)
			a, b := newMemory()
			r := newRaw(t, b)
			result := make(chan error, 1)
			go func() { result <- c.ConnectConn(t.Context(), a) }()
			r.send(helloFrame)
			r.expect(classicFrame)
			r.send(handshake(row.registry))
			if row.good {
				r.expect(acceptFrame)
				if err := within(t, "Connect", result); err != nil {
					t.Error(err)
				}
				c.Abort(nil)
			} else {
				r.expect(closeFrame(packet.ReasonRegistryMismatch))
				r.expectEnd()
				checkClose(t, within(t, "Close hook", closed), packet.ReasonRegistryMismatch, false, packet.ErrRegistry)
				if err := within(t, "Connect", result); !errors.Is(err, packet.ErrRegistry) {
					t.Errorf("Connect: %v", err)
				}
				wantID(t, c.Registry(), "a", 64, false)
			}
			within(t, "Done", c.Done())
		})
	}
}

// TestKeepIDs checks that a client with KeepIDs keeps its own IDs.
func TestKeepIDs(t *testing.T) {
	c, r := clientAndRaw(t, named(t, nil, "a", "b"), packet.Config{KeepIDs: true}, pairs{pair("b", 64), pair("a", 65)})
	wantID(t, c.Registry(), "a", 64, false)
	if err := c.Send("b", 1); err != nil {
		t.Error(err)
	}
	r.expect(framed(65, 1))
}

// TestRegisterLater checks that packets may be registered and deleted while connections stand.
func TestRegisterLater(t *testing.T) {
	got := make(chan string, 10)
	reg := named(t, got, "a")
	srv := packet.NewServer(reg, calm(make(chan *packet.CloseError, 5)))
	ln := serveMemory(t, srv)
	dial := func() *raw { return dialRaw(t, ln) }
	first := dial()
	first.shake()
	packet.MustRegister(reg, "late", func(*packet.Conn, any) error { got <- "late"; return nil })
	first.send(framed(65, 1))
	if s := within(t, "the late packet", got); s != "late" {
		t.Error(s)
	}
	second := dial()
	second.expect(helloFrame)
	second.send(classicFrame)
	second.expect(handshakeFrame(pairs{pair("a", 64), pair("late", 65)}))
	if err := reg.Delete("a"); err != nil {
		t.Fatal(err)
	}
	second.send(acceptFrame, framed(64, 1), framed(65, 1))
	if s := within(t, "a packet", got); s != "late" {
		t.Errorf("the deleted packet was handled, or %s", s)
	}
	if n := srv.Stats().Unknown.Load(); n != 1 {
		t.Errorf("%d unknown packets", n)
	}
	if err := srv.Conns()[0].Send("a", 1); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("Send of the deleted packet: %v", err)
	}
	third := dial()
	third.expect(helloFrame)
	third.send(classicFrame)
	third.expect(handshakeFrame(pairs{pair("late", 65)}))

	// A client registers with its own registry; automatic IDs never take one that the server gave (D15).
	c, r := clientAndRaw(t, named(t, got, "a", "b"), packet.Config{}, pairs{pair("a", 66), pair("b", 67)})
	packet.MustRegister[any](c.Registry(), "next", nil)
	packet.MustRegister[any](c.Registry(), "after", nil)
	wantID(t, c.Registry(), "next", 68, false)
	wantID(t, c.Registry(), "after", 69, false)
	wantID(t, c.Registry(), "a", 66, false)
	if err := c.Send("next", 1); err != nil {
		t.Error(err)
	}
	r.expect(framed(68, 1))
}

// TestTypeOfTwoRegistries: a *Type goes out under the ID of the connection's own registry, also where the one used before
// has that ID for another packet.
func TestTypeOfTwoRegistries(t *testing.T) {
	reg := packet.NewRegistry()
	a := packet.MustRegister[string](reg, "a", nil)
	b := packet.MustRegister[string](reg, "b", nil)
	s := packet.NewServer(reg, packet.Config{Logger: quiet})
	atServer := dialRaw(t, serveMemory(t, s))
	atServer.shake()
	conn := active(t, s)
	c, atClient := clientAndRaw(t, reg, packet.Config{}, pairs{pair("a", 65), pair("b", 64)})
	for range 2 {
		for _, to := range []struct {
			conn *packet.Conn
			r    *raw
			a, b packet.ID
		}{{conn, atServer, 64, 65}, {c.Conn, atClient, 65, 64}} {
			if err := errors.Join(a.Send(to.conn, "a"), b.Send(to.conn, "b")); err != nil {
				t.Fatal(err)
			}
			to.r.expect(framed(to.a, "a"))
			to.r.expect(framed(to.b, "b"))
		}
	}
}

// TestFoundBeforeRemap: what was looked up before the handshake is sent under the server's ID, or not at all if it has lost
// its own.
func TestFoundBeforeRemap(t *testing.T) {
	var moved, lost func() (packet.ID, error)
	cfg := packet.Config{AllowMissing: true, Hooks: packet.Hooks{Connect: func(c *packet.Conn) error {
		moved, lost = c.FoundBefore("moved"), c.FoundBefore("lost")
		return nil
	}}}
	clientAndRaw(t, named(t, nil, "moved", "lost"), cfg, pairs{pair("moved", 65)})
	if id, err := moved(); id != 65 || err != nil {
		t.Errorf("packet %d, %v", id, err)
	}
	if id, err := lost(); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("packet %d, whose ID is another's: %v", id, err)
	}
}
