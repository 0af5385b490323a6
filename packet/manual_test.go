package packet_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"parlor/packet"
)

// game is a server with Config.Manual, whose handlers note what they get. The notes have no lock: the race detector
// tells if a handler or a hook of the program runs on any other goroutine than that of Process.
type game struct {
	*packet.Server
	ln    *listener
	notes []string
}

func newGame(t *testing.T, cfg packet.Config) *game {
	t.Helper()
	g := new(game)
	cfg.Manual = true
	cfg.Logger = calm(nil).Logger
	note := func(s string) { g.notes = append(g.notes, s) }
	cfg.Hooks = packet.Hooks{
		Handshake: func(c *packet.Conn) { note("handshake") },
		Receive: func(c *packet.Conn, m *packet.Message) {
			if m.ID >= packet.FirstAutoID {
				note("received")
			}
		},
		Close: func(c *packet.Conn, err *packet.CloseError) { note("close") },
	}
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:a", func(c *packet.Conn, s string) error {
		note(s)
		if s == "fail" {
			return errors.New("of the test")
		}
		return nil
	})
	packet.MustRegister(reg, "test:smart", func(c *packet.Conn, s string) error { note(s); return nil }, packet.Smart())
	g.Server = packet.NewServer(reg, cfg)
	g.ln = serveMemory(t, g.Server)
	return g
}

// process calls ProcessWait until it has handled n packets, and returns the notes.
func (g *game) process(t *testing.T, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n > 0 {
		done, err := g.ProcessWait(ctx, 0)
		if err != nil {
			t.Fatalf("%d packets short: %v", n, err)
		}
		n -= done
	}
	if n < 0 {
		t.Errorf("%d packets too many", -n)
	}
	notes := g.notes
	g.notes = nil
	return notes
}

// TestManual checks order and counts: everything the program hears of comes in Process, in the order of the
// connection.
func TestManual(t *testing.T) {
	g := newGame(t, packet.Config{})
	r := dialRaw(t, g.ln)
	r.shake() // this needs no Process
	r.send(framed(64, "one"), framed(64, "fail"), framed(999, 1), framed(64, 5), framed(65, "two"), closeFrame("bye"))
	r.expectEnd()
	want := []string{"handshake", "one", "received", "fail", "two", "received"}
	got := g.process(t, 5) // the failed, the unknown and the one of a wrong type included
	eventually(t, "the Close hook", func() bool {
		g.Process(0)
		return slices.Contains(g.notes, "close") || slices.Contains(got, "close")
	})
	if got = append(got, g.notes...); !slices.Equal(got, append(want, "close")) {
		t.Errorf("%q, want %q and close", got, want)
	}
	if n := g.Stats().HandlerErrors.Load(); n != 2 {
		t.Errorf("%d handlers failed", n)
	}
	if n := g.Process(0); n != 0 {
		t.Errorf("%d packets more", n)
	}
}

// TestProcessMax checks that Process handles no more than it is told to, and ProcessWait does not wait while there is
// something (D18).
func TestProcessMax(t *testing.T) {
	g := newGame(t, packet.Config{})
	r := dialRaw(t, g.ln)
	r.shake()
	for _, s := range []string{"1", "2", "3", "4", "5"} {
		r.send(framed(64, s))
	}
	eventually(t, "the packets", func() bool { return g.Stats().FramesIn.Load() == 7 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // if there is something, it matters not
	total := 0
	for _, n := range []int{1, 2} {
		done, err := g.ProcessWait(ctx, n)
		if total += done; err != nil || done > n || done == 0 {
			t.Errorf("ProcessWait(%d): %d, %v", n, done, err)
		}
	}
	if n := g.Process(1); n != 1 {
		t.Errorf("Process(1): %d", n)
	}
	eventually(t, "the rest", func() bool { total += g.Process(0); return total == 4 })
	if n, err := g.ProcessWait(ctx, 0); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("with nothing left: %d, %v", n, err)
	}
}

// TestProcessEnds checks that ProcessWait ends with the server, for all who wait, when everything was handled.
func TestProcessEnds(t *testing.T) {
	g := newGame(t, packet.Config{})
	r := dialRaw(t, g.ln)
	r.shake()
	c := g.Conns()[0]
	r.send(framed(64, "last"))
	r.finish()
	r.expectEnd()
	eventually(t, "the end of the connection", func() bool { return c.Err() != nil })
	go g.Shutdown(t.Context()) // returns before its packets are handled, or after
	if got := g.process(t, 1); !slices.Contains(got, "last") {
		t.Errorf("%q", got)
	}
	results := make(chan error, 3)
	var turn = make(chan struct{}, 1) // Process may be called by several, but this test's hooks have no lock
	turn <- struct{}{}
	for range cap(results) {
		go func() {
			<-turn
			_, err := g.ProcessWait(t.Context(), 0)
			turn <- struct{}{}
			results <- err
		}()
	}
	for range cap(results) {
		if err := within(t, "ProcessWait", results); !errors.Is(err, packet.ErrClosed) {
			t.Errorf("%v", err)
		}
	}
}

// TestProcessWaiters checks that all who wait are told of the end.
func TestProcessWaiters(t *testing.T) {
	srv := packet.NewServer(packet.NewRegistry(), packet.Config{Manual: true})
	results := make(chan error, 3)
	for range cap(results) {
		go func() { _, err := srv.ProcessWait(t.Context(), 0); results <- err }()
	}
	srv.Interrupt() // ends nothing
	srv.Close()
	for range cap(results) {
		if err := within(t, "ProcessWait", results); !errors.Is(err, packet.ErrClosed) {
			t.Errorf("%v", err)
		}
	}
}

// TestManualBackpressure checks that a connection which has too much queued is not read from, and that others
// are.
func TestManualBackpressure(t *testing.T) {
	for _, cfg := range []packet.Config{{QueuedPackets: 4}, {QueuedBytes: 4 * len(framed(64, "x")[10:])}} {
		g := newGame(t, cfg)
		r := dialRaw(t, g.ln)
		r.shake()
		const many = 100
		var written atomic.Int64
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			for range many {
				r.send(framed(64, "x"))
				written.Add(1)
			}
		}()
		// Four are queued, and one was read and waits.
		eventually(t, "the first packets", func() bool { return written.Load() == 5 })
		for range 3 {
			other := dialRaw(t, g.ln)
			other.shake()
			other.send(closeFrame("enough"))
			other.expectEnd()
		}
		if n := written.Load(); n != 5 {
			t.Errorf("%d packets were read, want 5", n)
		}
		if n := g.Process(2); n != 2 {
			t.Errorf("Process: %d", n)
		}
		eventually(t, "room for two more", func() bool { return written.Load() == 7 })
		got := g.process(t, many-2)
		within(t, "the sender", finished)
		n := 0
		for _, s := range got {
			if s == "x" {
				n++
			}
		}
		if n != many {
			t.Errorf("%d packets were handled", n)
		}
	}
}

// TestManualIgnoredPackets checks that packets of the protocol's own, which are handled at once, do not pile up for the
// Receive hook that waits for Process.
func TestManualIgnoredPackets(t *testing.T) {
	g := newGame(t, packet.Config{})
	r := dialRaw(t, g.ln)
	r.shake()
	const many = 200
	var written atomic.Int64
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for range many {
			r.send(helloFrame) // out of place
			written.Add(1)
		}
	}()
	eventually(t, "the first packets", func() bool { return written.Load() > 10 })
	for range 3 {
		other := dialRaw(t, g.ln)
		other.shake()
		other.send(closeFrame("enough"))
		other.expectEnd()
	}
	if n := written.Load(); n > 50 {
		t.Errorf("%d packets were read", n)
	}
	eventually(t, "the sender", func() bool {
		g.Process(0)
		select {
		case <-finished:
			return true
		default:
			return false
		}
	})
	if n := g.Stats().Invalid.Load(); n < many-1 {
		t.Errorf("%d packets came", n)
	}
}

// TestManualClosedWhileWaiting checks that a connection which waits for room can end.
func TestManualClosedWhileWaiting(t *testing.T) {
	g := newGame(t, packet.Config{QueuedPackets: 1})
	r := dialRaw(t, g.ln)
	r.shake()
	r.send(framed(64, "x"))
	r.send(framed(64, "x"))
	eventually(t, "the packets", func() bool { return g.Stats().FramesIn.Load() == 4 })
	c := g.Conns()[0]
	c.Close("done")
	r.expect(closeFrame("done"))
	r.expectEnd()
	eventually(t, "the end", func() bool {
		g.Process(0)
		select {
		case <-c.Done():
			return true
		default:
			return false
		}
	})
	if slices.Contains(g.notes, "x") {
		t.Error("a packet was handled after this side had closed")
	}
}

// TestManualClient checks that a client with Config.Manual connects without Process, and handles in it.
func TestManualClient(t *testing.T) {
	var notes []string
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:a", func(c *packet.Conn, s string) error { notes = append(notes, s); return nil })
	cfg := packet.Config{Manual: true, Hooks: packet.Hooks{
		Handshake: func(*packet.Conn) { notes = append(notes, "handshake") },
		Close:     func(_ *packet.Conn, err *packet.CloseError) { notes = append(notes, "close") },
	}}
	c := packet.NewClient(reg, cfg)
	a, b := newMemory()
	r := newRaw(t, b)
	result := make(chan error, 1)
	go func() { result <- c.ConnectConn(t.Context(), a) }()
	r.greet(pairs{pair("test:a", 64)})
	if err := within(t, "Connect", result); err != nil {
		t.Fatal(err)
	}
	r.send(framed(64, "one"), framed(64, "two"), closeFrame("bye"))
	r.expectEnd()
	total := 0
	for {
		n, err := c.ProcessWait(t.Context(), 0)
		if total += n; err != nil {
			if !errors.Is(err, packet.ErrClosed) {
				t.Error(err)
			}
			break
		}
	}
	within(t, "Done", c.Done())
	if want := []string{"handshake", "one", "two", "close"}; total != 2 || !slices.Equal(notes, want) {
		t.Errorf("%d packets: %q, want %q", total, notes, want)
	}
}
