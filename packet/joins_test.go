package packet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/memnet"
	"parlor/packet"
)

// TestBurstsStayJoined: what a burst sends leaves each millisecond, in as many writes, however long the burst takes.
func TestBurstsStayJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := packet.NewRegistry()
		var echo *packet.Type[any]
		echo = packet.MustRegister(reg, "t:echo", func(c *packet.Conn, v any) error {
			time.Sleep(100 * time.Microsecond) // sleep: the handler's work, in virtual time
			return echo.Send(c, v)
		})
		ours, theirs := memnet.Dialer{Network: memnet.New(1), Down: memnet.Path{Record: true}}.Pair()
		serveMemory(t, packet.NewServer(reg, packet.Config{JoinClassic: true, Logger: quiet})).give(t, theirs)
		w := &wire{t, ours}
		w.handshake()
		const frames = 200 // in 20 ms
		var burst []byte
		for range frames {
			burst = append(burst, frameOf(t, 64, "x")...)
		}
		before := len(ours.In().Writes())
		begun := time.Now()
		w.bytes(burst)
		for n := range frames {
			w.want(64)
			if took, most := time.Since(begun), time.Duration(n+1)*100*time.Microsecond+time.Millisecond; took > most {
				t.Errorf("answer %d after %v, want %v at most", n, took, most)
			}
		}
		if n := len(ours.In().Writes()) - before; n > 60 { // two in a millisecond, if one comes while the writer runs
			t.Errorf("%d writes in 20 ms", n)
		}
		ours.Close()
	})
}

// TestSlowHandlerHoldsNothingBack: what waits when a handler takes its time leaves after a millisecond, and what is sent
// then leaves at once.
func TestSlowHandlerHoldsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := packet.NewRegistry()
		packet.MustRegister(reg, "t:slow", func(c *packet.Conn, v any) error {
			for range 2 {
				if err := c.Send("t:slow", v); err != nil {
					return err
				}
				time.Sleep(time.Second) // sleep: the handler's work, in virtual time
			}
			return nil
		})
		ln, end := serveMemnet(t, packet.NewServer(reg, packet.Config{JoinClassic: true, Logger: quiet}))
		defer end()
		ours := ln.dial()
		w := &wire{t, ours}
		w.handshake()
		synctest.Wait() // the writer may be at what the handshake has left, and would take the answers with it
		begun := time.Now()
		w.bytes(append(frameOf(t, 64, 1), frameOf(t, 64, 2)...))
		for i, want := range []time.Duration{time.Millisecond, time.Second} {
			w.want(64)
			if took := time.Since(begun); took != want {
				t.Errorf("answer %d after %v, want %v", i, took, want)
			}
		}
		ours.Close()
	})
}
