package packet_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"parlor/packet"
)

// TestManualEarlyPackets checks that what comes before the handshake is complete reaches the program in Process alone:
// hook, connection type and handlers. What is not valid when it comes does not become so by waiting.
func TestManualEarlyPackets(t *testing.T) {
	var processing atomic.Bool
	var notes []string
	note := func(s string) {
		if !processing.Load() {
			t.Errorf("%s outside of Process", s)
		}
		notes = append(notes, s)
	}
	handler := func(_ *packet.Conn, s string) error { note(s); return nil }
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:smart", handler, packet.Smart())
	packet.MustRegister(reg, "test:low", handler, packet.WithID(20))
	packet.MustRegister(reg, "test:strict", handler, packet.Smart(), packet.OnInvalid(packet.ActionClose))
	srv := packet.NewServer(reg, packet.Config{Manual: true, Logger: quiet, Hooks: packet.Hooks{
		Receive: func(_ *packet.Conn, m *packet.Message) { note("received " + m.Name()) },
	}})
	if err := srv.AddConnType("custom", packet.ConnType{Receive: func(_ *packet.Conn, m *packet.Message) (bool, error) {
		note("type")
		return false, nil
	}}); err != nil {
		t.Fatal(err)
	}
	ln := serveMemory(t, srv)
	process := func() []string {
		processing.Store(true)
		defer processing.Store(false)
		notes = nil
		srv.Process(0)
		return slices.DeleteFunc(notes, func(s string) bool { return strings.HasPrefix(s, "received peng3dnet:") })
	}
	for name, c := range map[string]struct {
		frames [][]byte
		want   []string
	}{
		"classic": {[][]byte{framed(20, "low"), classicFrame, framed(64, "smart"), acceptFrame},
			[]string{"low", "received test:low", "received test:smart"}},
		"custom": {[][]byte{typeFrame("custom"), framed(64, "smart")},
			[]string{"type", "received test:smart"}},
		"closed": {[][]byte{classicFrame, framed(65, "strict"), acceptFrame},
			[]string{"received test:strict"}},
	} {
		invalid := srv.Stats().Invalid.Load()
		r := dialRaw(t, ln)
		r.expect(helloFrame)
		conn := srv.Conns()[0]
		r.send(c.frames...)
		r.finish()
		eventually(t, name+": the end was seen", func() bool { return conn.Err() != nil })
		if got := process(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if n := srv.Stats().Invalid.Load() - invalid; n != 1 {
			t.Errorf("%s: %d were invalid", name, n)
		}
		eventually(t, name+": the end", func() bool { process(); return len(srv.Conns()) == 0 })
	}
}

// TestManualEndedConnections checks that connections which have ended keep their place until Process has come to the
// last of them, and lose nothing.
func TestManualEndedConnections(t *testing.T) {
	const most = 4
	g := newGame(t, packet.Config{MaxConns: most})
	for range most {
		r := dialRaw(t, g.ln)
		r.shake()
		conns := g.Conns()
		c := conns[len(conns)-1]
		r.send(framed(64, "x"))
		r.finish()
		r.expectEnd()
		eventually(t, "the end was seen", func() bool { return c.Err() != nil })
	}
	a, b := tcpPair(t) // which takes the reason though nobody reads yet
	g.ln.give(t, b)
	r := newRaw(t, a)
	r.expect(closeFrame(packet.ReasonServerFull))
	r.expectEnd()
	if n := g.Stats().Refused.Load(); n != 1 {
		t.Errorf("%d were refused", n)
	}
	g.process(t, most)
	eventually(t, "the connections have gone", func() bool { g.Process(0); return len(g.Conns()) == 0 })
	r = dialRaw(t, g.ln)
	r.shake()
}

// TestManualLargePackets checks that a packet counts itself: it waits while it and what waits are too much together.
// One that is too large alone is handled all the same.
func TestManualLargePackets(t *testing.T) {
	g := newGame(t, packet.Config{QueuedBytes: 1000})
	r := dialRaw(t, g.ln)
	r.shake()
	large := strings.Repeat("l", 5000)
	texts := []string{"small", large, "small"}
	var written atomic.Int64
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for _, s := range texts {
			r.send(framed(64, s))
			written.Add(1)
		}
	}()
	eventually(t, "the first two", func() bool { return written.Load() == 2 })
	for range 3 {
		other := dialRaw(t, g.ln)
		other.shake()
		other.send(closeFrame("enough"))
		other.expectEnd()
	}
	read := written.Load()
	if n := g.Process(0); n != 1 || read != 2 {
		t.Errorf("%d were queued, and %d read", n, read)
	}
	got := slices.DeleteFunc(append(g.notes, g.process(t, 2)...), func(s string) bool { return s != "small" && s != large })
	within(t, "the sender", finished)
	if !slices.Equal(got, texts) {
		t.Errorf("%d were handled", len(got))
	}
}

// TestProcessEndsWithBusyPeers checks that Process handles what there is when it is called, and not what comes meanwhile.
func TestProcessEndsWithBusyPeers(t *testing.T) {
	const many = 200
	more := func(r *raw, n *int, frame []byte) {
		if *n++; *n < many {
			r.send(frame) // when it returns, the one before is queued: there is always something
		}
	}
	t.Run("packets", func(t *testing.T) {
		n := 0
		var r *raw
		reg := packet.NewRegistry()
		packet.MustRegister(reg, "test:a", func(*packet.Conn, packet.Body) error { more(r, &n, framed(64, 1)); return nil })
		srv := packet.NewServer(reg, packet.Config{Manual: true})
		r = dialRaw(t, serveMemory(t, srv))
		r.shake()
		for range 3 {
			r.send(framed(64, 1))
		}
		if done := srv.Process(0); done > 3 || done != n {
			t.Errorf("Process: %d, handled %d", done, n)
		}
		if done := srv.Process(0); done == 0 {
			t.Error("nothing came")
		}
	})
	t.Run("notes", func(t *testing.T) {
		n := 0
		var r *raw
		srv := packet.NewServer(packet.NewRegistry(), packet.Config{Manual: true, Hooks: packet.Hooks{
			Receive: func(*packet.Conn, *packet.Message) { more(r, &n, helloFrame) },
		}})
		r = dialRaw(t, serveMemory(t, srv))
		r.shake()
		for range 3 {
			r.send(helloFrame)
		}
		if done := srv.Process(1); done != 0 || n > 5 {
			t.Errorf("Process: %d, and %d notes", done, n)
		}
	})
}

// TestManualCloseInHandlers checks that what Process calls may end the server and wait for that.
func TestManualCloseInHandlers(t *testing.T) {
	var srv *packet.Server
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:close", func(*packet.Conn, packet.Body) error { return srv.Close() })
	srv = packet.NewServer(reg, packet.Config{Manual: true, QueuedPackets: 1})
	r := dialRaw(t, serveMemory(t, srv))
	r.shake()
	r.send(framed(64, 1), framed(64, 1)) // the second one waits
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := srv.ProcessWait(t.Context(), 1); err != nil {
				done <- err
				return
			}
		}
	}()
	if err := within(t, "the end", done); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// TestManualEndedBeforeTheServer checks that what waits of clients who had ended is handled, however the server then ends;
// and nothing of those whom the server closes.
func TestManualEndedBeforeTheServer(t *testing.T) {
	for name, end := range map[string]func(s *packet.Server){
		"Stop":     func(s *packet.Server) { s.Stop(nil) },
		"Shutdown": func(s *packet.Server) { s.Shutdown(t.Context()) },
		"Close":    func(s *packet.Server) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGame(t, packet.Config{})
			gone := dialRaw(t, g.ln)
			gone.shake()
			gone.send(framed(64, "of who has gone"))
			gone.finish()
			gone.expectEnd()
			stays := dialRaw(t, g.ln)
			stays.shake()
			stays.send(framed(64, "of who stays"))
			eventually(t, "all has come", func() bool { return g.Conn(1).Err() != nil && g.Stats().FramesIn.Load() == 6 })
			end(g.Server)
			eventually(t, "the end", func() bool { g.Process(0); return len(g.Conns()) == 0 })
			if !slices.Contains(g.notes, "of who has gone") || slices.Contains(g.notes, "of who stays") {
				t.Errorf("handled: %q", g.notes)
			}
		})
	}
}

// TestManualCloseIsTold checks that the Receive hook hears of CloseConnection when as many of the protocol's own packets
// wait to be told of as may.
func TestManualCloseIsTold(t *testing.T) {
	var told []packet.ID
	s := packet.NewServer(packet.NewRegistry(), packet.Config{Manual: true, Logger: quiet, Hooks: packet.Hooks{
		Receive: func(_ *packet.Conn, m *packet.Message) { told = append(told, m.ID) },
	}})
	r := dialRaw(t, serveMemory(t, s))
	r.shake()
	for range 14 { // with SetType and HandshakeAccept 16
		r.send(helloFrame)
	}
	eventually(t, "they wait", func() bool { return s.Stats().Invalid.Load() == 14 })
	r.send(closeFrame("bye"))
	r.expectEnd()
	eventually(t, "the end", func() bool { s.Process(0); return len(s.Conns()) == 0 })
	if len(told) != 17 || told[16] != packet.IDCloseConnection {
		t.Errorf("told of %d", told)
	}
}
