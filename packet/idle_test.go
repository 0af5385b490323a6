package packet_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"parlor/packet"
	"parlor/packet/ping"
)

// pause lets time go by, on the clock of synctest.
func pause(d time.Duration) {
	time.Sleep(d) // sleep: on the clock of synctest, which takes no time
}

// expectIdle waits until a client's connection is closed for having said nothing since last.
func expectIdle(t *testing.T, c *packet.Conn, s *packet.Server, last time.Time, timeout time.Duration) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(2 * timeout):
		t.Fatalf("it is still there after %v, want %v", 2*timeout, timeout)
	}
	var closed *packet.CloseError
	if err := c.Err(); !errors.As(err, &closed) || closed.Reason != packet.ReasonIdleTimeout || !closed.Remote {
		t.Errorf("it ended with %v", err)
	}
	if took := time.Since(last); took < timeout || took > timeout+timeout/4 {
		t.Errorf("closed after %v, want %v", took, timeout)
	}
	if n := s.Stats().IdleTimeout.Load(); n != 1 {
		t.Errorf("%d counted", n)
	}
}

// TestIdlePings: a connection that pings stays, one that does not is closed after a minute, or what the program says.
func TestIdlePings(t *testing.T) {
	for name, c := range map[string]struct {
		given, want time.Duration
		late        bool // ping.Serve after Serve
	}{
		"default": {0, time.Minute, false}, "late": {0, time.Minute, true}, "given": {8 * time.Second, 8 * time.Second, false}, "never": {-1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := packet.NewServer(regOf(t), packet.Config{Logger: quiet})
				opts := ping.Options{IdleTimeout: c.given}
				if !c.late {
					must(ping.Serve(s, opts))
				}
				ln, end := serveMemnet(t, s)
				defer end()
				if c.late {
					synctest.Wait()
					must(ping.Serve(s, opts))
				}
				client, _, err := ping.DialConn(t.Context(), ln.dial(), nil, packet.Config{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				between := c.want - time.Second
				if c.want == 0 {
					between = 24 * time.Hour
				}
				for range 10 {
					pause(between)
					if _, err := client.Ping(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
				}
				if c.want > 0 {
					expectIdle(t, client.Conn(), s, time.Now(), c.want)
				} else {
					client.Close()
				}
			})
		})
	}
}

// TestSilentStrangers: who completes no handshake is closed, and so is who announces a type of the program's own that has
// one of its own to make, or none, and says no more. The program can let them stay.
func TestSilentStrangers(t *testing.T) {
	const half = 30 * time.Second
	active := func(c *packet.Conn) error { c.SetState(packet.StateActive); return nil }
	for name, c := range map[string]struct {
		typ    packet.ConnType
		cfg    packet.Config
		sends  [][]byte
		every  time.Duration // it repeats the last one so often
		reason string        // empty: it stays
		after  time.Duration
	}{
		"no SetType":         {reason: packet.ReasonHandshakeTimeout, after: half},
		"no accept":          {sends: [][]byte{classicFrame}, reason: packet.ReasonHandshakeTimeout, after: half},
		"classic":            {sends: [][]byte{classicFrame, acceptFrame}},
		"own":                {sends: [][]byte{typeFrame("own")}, reason: packet.ReasonIdleTimeout, after: half},
		"own, timeout":       {cfg: packet.Config{HandshakeTimeout: 8 * time.Second}, sends: [][]byte{typeFrame("own")}, reason: packet.ReasonIdleTimeout, after: 8 * time.Second},
		"own, idle timeout":  {cfg: packet.Config{IdleTimeout: time.Hour}, sends: [][]byte{typeFrame("own")}, reason: packet.ReasonIdleTimeout, after: time.Hour},
		"own, talks":         {sends: [][]byte{typeFrame("own"), framed(64, 1)}, every: half - time.Second},
		"own, may stay":      {typ: packet.ConnType{IdleTimeout: -1}, sends: [][]byte{typeFrame("own")}},
		"own, state by Init": {typ: packet.ConnType{Init: active}, sends: [][]byte{typeFrame("own")}},
		"own, state later": {typ: packet.ConnType{Receive: func(c *packet.Conn, m *packet.Message) (bool, error) { return true, active(c) }},
			sends: [][]byte{typeFrame("own"), framed(64, "password")}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.cfg.Logger = quiet
				s := packet.NewServer(regOf(t, "t:a"), c.cfg)
				must(s.AddConnType("own", c.typ))
				ln, end := serveMemnet(t, s)
				defer end()
				begun := time.Now()
				nc := ln.dial()
				defer nc.Close()
				closed := make(chan any, 1)
				go func() { // ends with the connection
					w := &wire{t, nc}
					for {
						id, v, err := w.next()
						if err != nil {
							return
						}
						if id == packet.IDCloseConnection {
							closed <- v.(map[string]any)["reason"]
							nc.Close()
						}
					}
				}()
				for _, frame := range c.sends {
					if _, err := nc.Write(frame); err != nil {
						t.Fatal(err)
					}
				}
				if c.reason != "" {
					var reason any = "nothing"
					select {
					case reason = <-closed:
					case <-time.After(2 * c.after):
					}
					took := time.Since(begun)
					if reason != c.reason || took < c.after || took > c.after+c.after/4 {
						t.Errorf("closed with %v after %v, want %s after %v", reason, took, c.reason, c.after)
					}
					return
				}
				for time.Since(begun) < 24*time.Hour {
					if c.every == 0 {
						pause(24 * time.Hour)
						break
					}
					pause(c.every)
					if _, err := nc.Write(c.sends[len(c.sends)-1]); err != nil {
						t.Fatal(err)
					}
				}
				if len(closed) > 0 {
					t.Errorf("closed with %v", <-closed)
				}
			})
		})
	}
}

// TestIdleTimeout: other connections may be silent for as long as they like, unless Config.IdleTimeout says otherwise.
// One whose packet the server still works on is not idle.
func TestIdleTimeout(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"default": 0, "given": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := packet.NewRegistry()
				packet.MustRegister(reg, "t:slow", func(_ *packet.Conn, _ any) error { pause(time.Hour); return nil })
				packet.MustRegister(reg, "t:quick", func(_ *packet.Conn, _ any) error { return nil })
				s := packet.NewServer(reg, packet.Config{IdleTimeout: timeout, Logger: quiet})
				ln, end := serveMemnet(t, s)
				defer end()
				client := packet.NewClient(reg, packet.Config{Logger: quiet})
				if err := client.ConnectConn(t.Context(), ln.dial()); err != nil {
					t.Fatal(err)
				}
				for range 10 {
					pause(59 * time.Second)
					must(client.Send("t:quick", nil))
				}
				must(client.Send("t:slow", nil))
				pause(time.Hour)
				if timeout > 0 {
					expectIdle(t, client.Conn, s, time.Now(), timeout)
					return
				}
				pause(24 * time.Hour)
				if err := client.Err(); err != nil {
					t.Error(err)
				}
				client.Close("bye")
				<-client.Done()
			})
		})
	}
}
