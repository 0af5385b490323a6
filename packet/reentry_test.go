package packet_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"parlor/packet"
)

// Hooks that panic end their own connection at most.
func TestHooksThatPanicWhileConnecting(t *testing.T) {
	bad := make(chan bool, 10)
	hooks := map[string]packet.Hooks{
		"Connect": {Connect: func(*packet.Conn) error {
			if <-bad {
				panic("on purpose")
			}
			return nil
		}},
		"Send": {Send: func(_ *packet.Conn, o *packet.Outgoing) error {
			if o.ID == packet.IDHello && <-bad {
				panic("on purpose")
			}
			return nil
		}},
	}
	for name, h := range hooks {
		s := serve(t, packet.NewServer(regOf(t), packet.Config{Logger: quiet, Hooks: h}))
		bad <- true
		if reason := dialWire(t, s.addr).reason(); reason != packet.ReasonInternalError {
			t.Errorf("%s: %v", name, reason)
		}
		bad <- false
		connect(t, packet.NewClient(regOf(t), packet.Config{}), s.addr)
	}
	s := serve(t, packet.NewServer(regOf(t), packet.Config{Logger: quiet}))
	c := packet.NewClient(regOf(t), packet.Config{Hooks: packet.Hooks{Connect: func(*packet.Conn) error { panic("on purpose") }}, Logger: quiet})
	if err := c.Connect(t.Context(), s.addr); err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("client: %v", err)
	}
	<-c.Done()
}

// What a Connect hook says stays on its side, in the log or with whoever connects. What it closes with goes to the other.
func TestConnectHookRefuses(t *testing.T) {
	own := errors.New("rule 7 of the secret list")
	run := func(t *testing.T, hook func(*packet.Conn) error, check func(seen *packet.CloseError, log string, closed *packet.CloseError)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var log syncBuffer
			closed := make(chan *packet.CloseError, 1)
			s := packet.NewServer(regOf(t), packet.Config{Logger: slogTo(&log), Hooks: packet.Hooks{Connect: hook,
				Close: func(_ *packet.Conn, err *packet.CloseError) { closed <- err }}})
			ln, end := serveMemnet(t, s)
			defer end()
			c := packet.NewClient(regOf(t), packet.Config{Logger: quiet})
			err := c.ConnectConn(t.Context(), ln.dial())
			seen, ok := errors.AsType[*packet.CloseError](err)
			if !ok || !seen.Remote || strings.Contains(err.Error(), "secret") {
				t.Fatalf("the client sees %v", err)
			}
			if n := s.Stats().FramesIn.Load(); n != 0 {
				t.Errorf("%d frames came: it got Hello", n)
			}
			check(seen, log.String(), <-closed)
		})
	}
	t.Run("error", func(t *testing.T) {
		run(t, func(*packet.Conn) error { return own }, func(seen *packet.CloseError, log string, closed *packet.CloseError) {
			if seen.Reason != packet.ReasonInternalError {
				t.Errorf("the client hears %v", seen)
			}
			if strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "Connect hook failed") || !strings.Contains(log, own.Error()) {
				t.Errorf("the log says %s", log)
			}
			if !errors.Is(closed, own) || closed.Reason != packet.ReasonInternalError {
				t.Errorf("the Close hook hears %v", closed)
			}
		})
	})
	t.Run("Close", func(t *testing.T) {
		run(t, func(c *packet.Conn) error { c.Close("banned"); return nil }, func(seen *packet.CloseError, log string, closed *packet.CloseError) {
			if seen.Reason != "banned" || log != "" || closed.Reason != "banned" || closed.Cause != nil {
				t.Errorf("the client hears %v, the Close hook %v, and the log says %s", seen, closed, log)
			}
		})
	})
	t.Run("client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log syncBuffer
			closed, end := make(chan *packet.CloseError, 1), make(chan *packet.CloseError, 1)
			s := packet.NewServer(regOf(t), packet.Config{Logger: quiet, Hooks: packet.Hooks{Close: func(_ *packet.Conn, err *packet.CloseError) { end <- err }}})
			ln, over := serveMemnet(t, s)
			defer over()
			c := packet.NewClient(regOf(t), packet.Config{Logger: slogTo(&log), Hooks: packet.Hooks{
				Connect: func(*packet.Conn) error { return own },
				Close:   func(_ *packet.Conn, err *packet.CloseError) { closed <- err },
			}})
			err := c.ConnectConn(t.Context(), ln.dial())
			if !errors.Is(err, own) || err.Error() != "packet: Connect hook: "+own.Error() {
				t.Errorf("Connect returns %v", err)
			}
			if err := <-closed; !errors.Is(err, own) || err.Reason != nil || log.String() != "" {
				t.Errorf("the Close hook hears %v, and the log says %s", err, log.String())
			}
			if err := <-end; err.Remote || err.Reason != nil {
				t.Errorf("the server hears %v", err)
			}
		})
	})
}

// Handlers and hooks may call everything that does not wait for them.
func TestCallsFromHandlersAndHooks(t *testing.T) {
	var s *packet.Server
	reg := packet.NewRegistry()
	closed := make(chan error, 10)
	packet.MustRegister(reg, "t:close", func(c *packet.Conn, v any) error { c.Close(v); return c.Send("t:close", 1) })
	packet.MustRegister(reg, "t:abort", func(c *packet.Conn, v any) error { c.Abort(v); return c.Send("t:close", 1) })
	packet.MustRegister(reg, "t:stop", func(c *packet.Conn, v any) error { s.Stop(v); return nil })
	s = packet.NewServer(reg, packet.Config{Logger: quiet, Hooks: packet.Hooks{Close: func(c *packet.Conn, err *packet.CloseError) {
		c.Close("again")
		c.Abort("again")
		if err := c.Send("t:close", 1); !errors.Is(err, packet.ErrClosed) {
			t.Errorf("Send in the Close hook: %v", err)
		}
		if c.State() == packet.StateClosed || s.Conn(c.CID()) != c {
			t.Error("it is over before the Close hook")
		}
		closed <- err
	}}})
	r := serve(t, s)
	if s.Addrs() == nil {
		eventually(t, "it listens", func() bool { return s.Addrs() != nil })
	}
	for _, name := range []string{"t:close", "t:abort", "t:stop"} {
		c := packet.NewClient(reg, packet.Config{Logger: quiet})
		connect(t, c, r.addr)
		if err := c.Send(name, "why"); err != nil {
			t.Fatal(err)
		}
		var ce *packet.CloseError
		if err := receive(t, closed); !errors.As(err, &ce) || ce.Reason != "why" || ce.Remote {
			t.Errorf("%s: at the server %v", name, err)
		}
		receive(t, c.Done())
		want := map[string]any{"t:close": "why", "t:abort": packet.ReasonSocketClose, "t:stop": "why"}[name]
		if err := c.Err(); !errors.As(err, &ce) || ce.Reason != want {
			t.Errorf("%s: at the client %v", name, err)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, "it has no addresses, as it does not listen", func() bool { return s.Addrs() == nil }) // when Serve is out
}

func TestLongReasonsAreCut(t *testing.T) {
	for _, reason := range []any{strings.Repeat("ä", 10_000), make([]any, 10_000), map[string]any{"x": make([]byte, 10_000)}} {
		if text := (&packet.CloseError{Reason: reason}).Error(); len(text) > 300 {
			t.Errorf("a text of %d bytes", len(text))
		}
	}
}

// A Send hook that refuses, or panics at, what the other side waits for ends the connection, with a reason.
func TestHandshakesThatTheSendHookRefuses(t *testing.T) {
	for _, panics := range []bool{false, true} {
		for _, id := range []packet.ID{packet.IDHello, packet.IDSetType, packet.IDHandshake, packet.IDHandshakeAccept} {
			cfg := packet.Config{Logger: quiet, Hooks: packet.Hooks{Send: func(_ *packet.Conn, o *packet.Outgoing) error {
				switch {
				case o.ID == id && panics:
					panic("on purpose")
				case o.ID == id:
					return errors.New("on purpose")
				}
				return nil
			}}}
			closed := make(chan *packet.CloseError, 1)
			s := serve(t, packet.NewServer(regOf(t), packet.Config{Logger: cfg.Logger, Hooks: packet.Hooks{Send: cfg.Hooks.Send,
				Close: func(_ *packet.Conn, err *packet.CloseError) { closed <- err }}}))
			c := packet.NewClient(regOf(t), cfg)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			err := c.Connect(ctx, s.addr)
			cancel()
			if ce, ok := errors.AsType[*packet.CloseError](err); !ok || ce.Reason != packet.ReasonInternalError {
				t.Errorf("packet %d, panics %t: %v", id, panics, err)
			}
			if ce := receive(t, closed); ce.Reason != packet.ReasonInternalError {
				t.Errorf("packet %d, panics %t: at the server %v", id, panics, ce)
			}
		}
	}
}
