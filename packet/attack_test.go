package packet_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor/packet"
	"parlor/packet/ping"
)

// TestSendEventKeepsItsData: a body that is sent as it came lies in a read buffer, in which the next connection's comes.
func TestSendEventKeepsItsData(t *testing.T) {
	reg := packet.NewRegistry()
	var echo *packet.Type[packet.Body]
	echo = packet.MustRegister(reg, "t:echo", func(c *packet.Conn, b packet.Body) error { return echo.Send(c, b) })
	s := packet.NewServer(reg, packet.Config{Logger: quiet})
	sub := s.Subscribe(64, packet.EventServerSend)
	addr := serve(t, s).addr
	w := dialWire(t, addr)
	w.handshake()
	first := strings.Repeat("A", 100)
	w.send(64, first)
	w.want(64)
	second := dialWire(t, addr)
	second.handshake()
	for range 20 {
		second.send(64, strings.Repeat("B", 100))
		second.want(64)
	}
	for ev := range sub.C {
		if ev.ID != 64 || ev.Conn.CID() != 1 {
			continue
		}
		if v := ev.Value(); v != first {
			t.Errorf("the event of what connection 1 was sent has %.20q", v)
		}
		return
	}
}

// TestSetTypeOnce: a type that sets no state waits for no other type, and does not put off the end of a silent stranger.
func TestSetTypeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := packet.NewServer(packet.NewRegistry(), packet.Config{HandshakeTimeout: time.Second, IdleTimeout: time.Second, Logger: quiet})
		var inits atomic.Int64
		err := s.AddConnType("own", packet.ConnType{Init: func(*packet.Conn) error { inits.Add(1); return nil }})
		if err != nil {
			t.Fatal(err)
		}
		ln, end := serveMemnet(t, s)
		defer end()
		w := wireOf(t, ln.dial())
		w.SetDeadline(time.Time{})
		w.want(packet.IDHello)
		for range 5 {
			w.send(packet.IDSetType, map[string]any{"conntype": "own"})
		}
		w.send(packet.IDSetType, map[string]any{"conntype": packet.ConnTypeClassic})
		if reason := w.reason(); reason != packet.ReasonIdleTimeout {
			t.Errorf("closed with %v", reason)
		}
		if n := inits.Load(); n != 1 {
			t.Errorf("Init was called %d times", n)
		}
		w.Close()
	})
}

// TestBroadcastErrors: pings are passed over; an error of the program's own is not.
func TestBroadcastErrors(t *testing.T) {
	reg := packet.NewRegistry()
	gone := packet.NewClient(packet.NewRegistry(), packet.Config{Logger: quiet}) // say, of a log server that is not there
	gone.Close(nil)
	move := packet.MustRegister[int](reg, "t:move", nil)
	logged := packet.MustRegister[int](reg, "t:logged", nil, packet.OnSend(func(*packet.Conn, any) error { return gone.SendID(1, nil) }))
	s := packet.NewServer(reg, packet.Config{Logger: quiet})
	if err := ping.Serve(s, ping.Options{}); err != nil {
		t.Fatal(err)
	}
	addr := serve(t, s).addr
	stranger := dialWire(t, addr)
	stranger.want(packet.IDHello)
	stranger.send(packet.IDSetType, map[string]any{"conntype": packet.ConnTypePing})
	for range 2 {
		dialWire(t, addr).handshake()
	}
	eventually(t, "all are active", func() bool {
		return len(s.Conns()) == 3 && !slices.ContainsFunc(s.Conns(), func(c *packet.Conn) bool { return c.State() != packet.StateActive })
	})
	if err := move.Broadcast(slices.Values(s.Conns()), 1); err != nil {
		t.Errorf("with a ping: %v", err)
	}
	if err := logged.Broadcast(slices.Values(s.Conns()), 1); err == nil || !strings.HasPrefix(err.Error(), "2 connections, ") {
		t.Errorf("of two that did not get it: %v", err)
	}
}

// TestHeldBackIsNotUnread: what a burst holds back does not count as what the other side does not read.
func TestHeldBackIsNotUnread(t *testing.T) {
	for name, c := range map[string]struct {
		cfg        packet.Config
		many, size int
	}{
		"large frame": {packet.Config{WriteQueue: 100 << 10, NoCompression: true}, 2, 200 << 10},
		"small queue": {packet.Config{WriteQueue: 16 << 10}, 40, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			reg := packet.NewRegistry()
			n := 0
			packet.MustRegister(reg, "t:ask", func(c2 *packet.Conn, _ int) error {
				if n++; n == 1 {
					return c2.Send("t:text", "small")
				}
				return c2.Send("t:text", strings.Repeat("x", c.size))
			})
			packet.MustRegister[string](reg, "t:text", nil)
			cfg := c.cfg
			cfg.JoinClassic, cfg.Logger = true, quiet
			w := dialWire(t, serve(t, packet.NewServer(reg, cfg)).addr)
			w.handshake()
			w.bytes(slices.Concat(slices.Repeat([][]byte{frameOf(t, 64, 1)}, c.many)...))
			for range c.many {
				if id, v, err := w.next(); err != nil || id != 65 {
					t.Fatalf("who reads all that comes is told %d %v %v", id, v, err)
				}
			}
		})
	}
}

// TestBroadcastSparesNewcomers: who is still in its handshake neither gets a smart packet nor is thrown out for it.
func TestBroadcastSparesNewcomers(t *testing.T) {
	reg := packet.NewRegistry()
	move := packet.MustRegister[int](reg, "t:move", nil, packet.Smart(), packet.OnInvalid(packet.ActionClose))
	s := packet.NewServer(reg, packet.Config{Logger: quiet})
	w := dialWire(t, serve(t, s).addr)
	w.want(packet.IDHello)
	w.send(packet.IDSetType, map[string]any{"conntype": packet.ConnTypeClassic})
	w.want(packet.IDHandshake)
	if err := move.Broadcast(slices.Values(s.Conns()), 1); err != nil {
		t.Errorf("in the handshake: %v", err)
	}
	w.send(packet.IDHandshakeAccept, map[string]any{"success": true})
	c := active(t, s)
	if err := move.Broadcast(slices.Values([]*packet.Conn{c}), 2); err != nil {
		t.Error(err)
	}
	if v := w.want(64); v != int64(2) {
		t.Errorf("%v", v)
	}
}

// TestListenersStay: on a connection of the program's own type that sets no state, what the server says counts as life.
func TestListenersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := packet.NewRegistry()
		news := packet.MustRegister[int](reg, "t:news", nil)
		s := packet.NewServer(reg, packet.Config{HandshakeTimeout: time.Minute, Logger: quiet})
		if err := s.AddConnType("own", packet.ConnType{}); err != nil {
			t.Fatal(err)
		}
		ln, end := serveMemnet(t, s)
		defer end()
		w := wireOf(t, ln.dial())
		w.SetDeadline(time.Time{})
		w.want(packet.IDHello)
		w.send(packet.IDSetType, map[string]any{"conntype": "own"})
		synctest.Wait()
		for n := range 10 {
			time.Sleep(30 * time.Second) // sleep: virtual
			if err := news.Send(s.Conns()[0], n); err != nil {
				t.Fatal(err)
			}
			w.want(64)
		}
		begun := time.Now()
		if reason := w.reason(); reason != packet.ReasonIdleTimeout || time.Since(begun) > 2*time.Minute {
			t.Errorf("closed with %v after %v of silence", reason, time.Since(begun))
		}
		w.Close()
	})
}
