package packet_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parlor/packet"
)

// ends is a server and a client of it, both ours.
type ends struct {
	srv                          *packet.Server
	client                       *packet.Client
	conn                         *packet.Conn // the server's
	clientClosed, serverClosed   chan *packet.CloseError
	clientHandled, serverHandled atomic.Int64
}

// bothEnds connects them; the config is that of both.
func bothEnds(t *testing.T, net network, cfg packet.Config) *ends {
	t.Helper()
	e := &ends{clientClosed: make(chan *packet.CloseError, 2), serverClosed: make(chan *packet.CloseError, 2)}
	registry := func(n *atomic.Int64) *packet.Registry {
		reg := packet.NewRegistry()
		packet.MustRegister(reg, "test:a", func(*packet.Conn, packet.Body) error { n.Add(1); return nil })
		return reg
	}
	ready := make(chan *packet.Conn, 1)
	cfg.Hooks.Handshake = func(c *packet.Conn) { ready <- c }
	cfg.Hooks.Close = func(_ *packet.Conn, err *packet.CloseError) { e.serverClosed <- err }
	e.srv = packet.NewServer(registry(&e.serverHandled), cfg)
	ln := serveMemory(t, e.srv)
	cfg.Hooks = packet.Hooks{Close: func(_ *packet.Conn, err *packet.CloseError) { e.clientClosed <- err }}
	e.client = packet.NewClient(registry(&e.clientHandled), cfg)
	a, b := net.pair(t)
	ln.give(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.client.ConnectConn(ctx, a); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.client.Abort(nil); <-e.client.Done() })
	e.conn = within(t, "the handshake", ready)
	return e
}

// TestCloseReasons checks that who closes reports its own reason, and the other side the one that it received (D8).
func TestCloseReasons(t *testing.T) {
	for _, net := range networks {
		for _, reason := range []any{"done", nil, ""} {
			t.Run(net.name+"/by the client", func(t *testing.T) {
				e := bothEnds(t, net, packet.Config{})
				e.client.Close(reason)
				e.client.Close("not the first")
				e.check(t, e.clientClosed, e.serverClosed, reason)
			})
			t.Run(net.name+"/by the server", func(t *testing.T) {
				e := bothEnds(t, net, packet.Config{})
				e.conn.Close(reason)
				e.conn.Close("not the first")
				e.check(t, e.serverClosed, e.clientClosed, reason)
			})
		}
	}
}

func (e *ends) check(t *testing.T, own, other chan *packet.CloseError, reason any) {
	t.Helper()
	checkClose(t, within(t, "the hook of the side that closed", own), reason, false, packet.ErrClosed)
	checkClose(t, within(t, "the hook of the other side", other), reason, true, packet.ErrClosed)
	within(t, "Done of the client", e.client.Done())
	within(t, "Done of the server's connection", e.conn.Done())
	if len(own)+len(other) != 0 {
		t.Error("a hook was called twice")
	}
	for _, c := range []*packet.Conn{e.client.Conn, e.conn} {
		var why *packet.CloseError
		if c.State() != packet.StateClosed || c.Mode() != packet.ModeClosed || !errors.As(c.Err(), &why) || why.Reason != reason {
			t.Errorf("%v: state %d, mode %d, %v", c.Side(), c.State(), c.Mode(), c.Err())
		}
	}
}

// TestAbort drops connections without a word.
func TestAbort(t *testing.T) {
	for _, net := range networks {
		t.Run(net.name+"/client", func(t *testing.T) {
			e := bothEnds(t, net, packet.Config{})
			e.client.Abort("local")
			checkClose(t, within(t, "client", e.clientClosed), "local", false, nil)
			checkClose(t, within(t, "server", e.serverClosed), nil, false, nil)
		})
		t.Run(net.name+"/server", func(t *testing.T) {
			e := bothEnds(t, net, packet.Config{})
			e.conn.Abort("local")
			checkClose(t, within(t, "server", e.serverClosed), "local", false, nil)
			checkClose(t, within(t, "client", e.clientClosed), packet.ReasonSocketClose, false, nil)
		})
	}
}

// TestSentBeforeTheEnd checks that what was sent before a close or the end of the stream is handled before it (D9).
func TestSentBeforeTheEnd(t *testing.T) {
	const many = 300
	for _, net := range networks {
		t.Run(net.name+"/client closes", func(t *testing.T) {
			e := bothEnds(t, net, packet.Config{})
			for i := range many {
				if err := e.client.Send("test:a", i); err != nil {
					t.Fatal(err)
				}
			}
			e.client.Close("bye")
			checkClose(t, within(t, "server", e.serverClosed), "bye", true, nil)
			if n := e.serverHandled.Load(); n != many {
				t.Errorf("%d of %d handled", n, many)
			}
		})
		t.Run(net.name+"/server closes", func(t *testing.T) {
			e := bothEnds(t, net, packet.Config{})
			for i := range many {
				if err := e.conn.Send("test:a", i); err != nil {
					t.Fatal(err)
				}
			}
			e.conn.Close("bye")
			checkClose(t, within(t, "client", e.clientClosed), "bye", true, nil)
			if n := e.clientHandled.Load(); n != many {
				t.Errorf("%d of %d handled", n, many)
			}
		})
	}
	t.Run("EOF", func(t *testing.T) {
		closed := make(chan *packet.CloseError, 1)
		var handled atomic.Int64
		reg := packet.NewRegistry()
		packet.MustRegister(reg, "test:a", func(*packet.Conn, any) error { handled.Add(1); return nil })
		ln := serveMemory(t, packet.NewServer(reg, calm(closed)))
		a, b := tcpPair(t)
		ln.give(t, b)
		r := newRaw(t, a)
		r.shake()
		for range many {
			r.send(framed(64, 1))
		}
		r.finish()
		r.expectEnd()
		checkClose(t, within(t, "server", closed), nil, false, nil)
		if n := handled.Load(); n != many {
			t.Errorf("%d of %d handled", n, many)
		}
	})
}

// TestPeerDoesNotClose checks that a side that has closed goes, even if the other does not (D21).
func TestPeerDoesNotClose(t *testing.T) {
	closed := make(chan *packet.CloseError, 2)
	cfg := calm(closed)
	cfg.CloseTimeout = time.Millisecond
	c, r := clientAndRaw(t, packet.NewRegistry(), cfg, nil)
	c.Close("done")
	r.expect(closeFrame("done"))
	checkClose(t, within(t, "client", closed), "done", false, nil)
	within(t, "Done", c.Done())

	closed = make(chan *packet.CloseError, 2)
	cfg = calm(closed)
	cfg.CloseTimeout = time.Millisecond
	srv := packet.NewServer(packet.NewRegistry(), cfg)
	s := dialRaw(t, serveMemory(t, srv))
	s.shake()
	eventually(t, "the handshake", func() bool { return srv.Conns()[0].State() == packet.StateActive })
	srv.Conns()[0].Close("done")
	s.expect(closeFrame("done"))
	checkClose(t, within(t, "server", closed), "done", false, nil)
	eventually(t, "the connection was forgotten", func() bool { return len(srv.Conns()) == 0 })
}

// TestNothingHandledAfterClose checks that what comes after this side has closed is not handled.
func TestNothingHandledAfterClose(t *testing.T) {
	closed := make(chan *packet.CloseError, 2)
	got := make(chan string, 10)
	c, r := clientAndRaw(t, named(t, got, "a"), calm(closed), pairs{pair("a", 64)})
	c.Close("done")
	r.expect(closeFrame("done"))
	r.send(framed(64, 1))
	r.send(closeFrame("a reason that comes late"))
	r.expectEnd()
	checkClose(t, within(t, "client", closed), "done", false, nil)
	within(t, "Done", c.Done())
	if len(got) != 0 {
		t.Error("a packet was handled")
	}
}

// TestCloseReceived is what CloseConnection may say (section 10).
func TestCloseReceived(t *testing.T) {
	for _, row := range []struct {
		name         string
		body, reason any
	}{
		{"text", pairs{pair("reason", "why")}, "why"},
		{"nil", pairs{pair("reason", nil)}, nil},
		{"number", pairs{pair("reason", 5)}, int64(5)},
		{"more keys", pairs{pair("x", 1), pair("reason", "why"), {Key: "y", Bin: true, Value: 1}}, "why"},
		{"no key", pairs{pair("x", 1)}, nil},
		{"no map", "why", nil},
		{"no value", nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			closed := make(chan *packet.CloseError, 2)
			r := dialRaw(t, serveMemory(t, packet.NewServer(packet.NewRegistry(), calm(closed))))
			r.shake()
			r.send(framed(packet.IDCloseConnection, row.body))
			r.expectEnd()
			checkClose(t, within(t, "server", closed), row.reason, true, nil)
			_, c := clientAndRaw(t, packet.NewRegistry(), calm(closed), nil)
			c.send(framed(packet.IDCloseConnection, row.body))
			c.expectEnd()
			checkClose(t, within(t, "client", closed), row.reason, true, nil)
		})
	}
}

// TestShutdown checks that the reason reaches everybody, that all is closed and nothing is left (D10).
func TestShutdown(t *testing.T) {
	closed := make(chan *packet.CloseError, 10)
	srv := packet.NewServer(packet.NewRegistry(), calm(closed))
	s := serve(t, srv)
	var peers []*raw
	for i := range 4 {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		r := newRaw(t, nc)
		if i > 0 {
			r.shake()
		} else {
			r.expect(helloFrame) // this one is in the middle of its handshake
		}
		peers = append(peers, r)
	}
	eventually(t, "the handshakes", func() bool {
		active := 0
		for _, c := range srv.Conns() {
			if c.State() == packet.StateActive {
				active++
			}
		}
		return active == 3
	})
	result := make(chan error, 1)
	go func() { result <- srv.ShutdownReason(t.Context(), "maintenance") }()
	for i, r := range peers {
		if b := r.next(); !sameFrame(b, closeFrame("maintenance")) {
			t.Errorf("client %d got %s", i, showFrame(b))
		}
		r.expectEnd()
	}
	if err := within(t, "Shutdown", result); err != nil {
		t.Error(err)
	}
	for range peers {
		checkClose(t, within(t, "Close hook", closed), "maintenance", false, nil)
	}
	// To dial would not tell: the port may be another's by now.
	if err := s.ln.(*net.TCPListener).SetDeadline(never); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
	if len(srv.Conns()) != 0 {
		t.Errorf("%d connections left", len(srv.Conns()))
	}
	for range 2 { // again
		srv.Stop("another")
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}
	ln := newListener()
	if err := srv.Serve(ln); !errors.Is(err, packet.ErrClosed) {
		t.Errorf("Serve afterwards: %v", err)
	}
	within(t, "its listener was closed", ln.done)
}

// TestShutdownContext checks that the end of the context cuts off those who do not go.
func TestShutdownContext(t *testing.T) {
	closed := make(chan *packet.CloseError, 1)
	cfg := calm(closed)
	cfg.CloseTimeout = time.Hour
	srv := packet.NewServer(packet.NewRegistry(), cfg)
	r := dialRaw(t, serveMemory(t, srv))
	r.stays.Store(true)
	r.shake()
	eventually(t, "the handshake", func() bool { return srv.Conns()[0].State() == packet.StateActive })
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- srv.Shutdown(ctx) }()
	r.expect(closeFrame(packet.ReasonServerShutdown))
	cancel() // this side does not close
	if err := within(t, "Shutdown", result); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	checkClose(t, within(t, "Close hook", closed), packet.ReasonServerShutdown, false, nil)
}

// TestStopFromHandler checks that a handler can end the server (D10: it raised an error).
func TestStopFromHandler(t *testing.T) {
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:stop", func(c *packet.Conn, reason any) error {
		if err := c.Send("test:stop", "last words"); err != nil {
			return err
		}
		c.Server().Stop(reason)
		return nil
	})
	srv := packet.NewServer(reg, packet.Config{})
	ln := newListener()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	first, second := dialRaw(t, ln), dialRaw(t, ln)
	first.shake()
	second.shake()
	eventually(t, "the handshakes", func() bool {
		conns := srv.Conns()
		return len(conns) == 2 && conns[0].State() == packet.StateActive && conns[1].State() == packet.StateActive
	})
	first.send(framed(64, "enough"))
	first.expect(framed(64, "last words"))
	for _, r := range []*raw{first, second} {
		r.expect(closeFrame("enough"))
		r.expectEnd()
	}
	if err := within(t, "Serve", served); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCloseServer drops everybody at once.
func TestCloseServer(t *testing.T) {
	closed := make(chan *packet.CloseError, 3)
	srv := packet.NewServer(packet.NewRegistry(), calm(closed))
	ln := newListener()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	for range 3 {
		r := dialRaw(t, ln)
		r.shake()
		defer r.expectEnd()
	}
	eventually(t, "the connections", func() bool { return len(srv.Conns()) == 3 })
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	for range 3 {
		checkClose(t, within(t, "Close hook", closed), nil, false, nil)
	}
	if err := within(t, "Serve", served); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// TestStopBeforeServe checks that ending what never began is no error (D26), and that a client may end early.
func TestStopBeforeServe(t *testing.T) {
	for _, end := range []func(s *packet.Server){
		func(s *packet.Server) { s.Stop(nil) },
		func(s *packet.Server) { s.Close() },
		func(s *packet.Server) { s.Shutdown(t.Context()) },
		func(s *packet.Server) { s.Interrupt(); s.Close() },
	} {
		s := packet.NewServer(packet.NewRegistry(), packet.Config{})
		end(s)
		if err := s.ListenAndServe("127.0.0.1:0"); !errors.Is(err, packet.ErrClosed) {
			t.Errorf("Serve afterwards: %v", err)
		}
	}
	c := packet.NewClient(packet.NewRegistry(), packet.Config{})
	if err := c.Send("test:a", 1); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("Send: %v", err)
	}
	if err := c.SendID(packet.IDCloseConnection, 1); !errors.Is(err, packet.ErrNotConnected) {
		t.Errorf("Send before Connect: %v", err)
	}
	c.Close("before it began")
	a, b := newMemory()
	if err := c.ConnectConn(t.Context(), a); !errors.Is(err, packet.ErrClosed) {
		t.Errorf("Connect of a closed client: %v", err)
	}
	b.Close()
	within(t, "Done", c.Done())
}

// TestListeners serves several listeners of every kind with one server.
func TestListeners(t *testing.T) {
	srv := packet.NewServer(echoing(t), packet.Config{})
	path := filepath.Join(t.TempDir(), "s")
	addrs := []string{"127.0.0.1:0", "127.0.0.1:0", "unix:" + path}
	if ln, err := net.Listen("tcp", "[::1]:0"); err == nil {
		ln.Close()
		addrs = append(addrs, "[::1]:0")
	} else {
		t.Log("there is no IPv6 here:", err)
	}
	sub := srv.Subscribe(100)
	served := make(chan error, len(addrs))
	for _, addr := range addrs {
		ln, err := srv.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		go func() { served <- srv.Serve(ln) }()
		to := addr
		if !strings.HasPrefix(addr, "unix:") {
			to = ln.Addr().String()
			if strings.HasSuffix(to, ":0") {
				t.Errorf("listens on %s", to) // D24: the true port
			}
		}
		c := packet.NewClient(echoing(t), packet.Config{})
		got := make(chan any, 1)
		if err := c.Registry().Delete("test:a"); err != nil {
			t.Fatal(err)
		}
		packet.MustRegister(c.Registry(), "test:a", func(_ *packet.Conn, v any) error { got <- v; return nil }, packet.WithID(64))
		connect(t, c, to)
		if err := c.Send("test:a", addr); err != nil {
			t.Fatal(err)
		}
		if v := within(t, "the echo", got); v != addr {
			t.Errorf("%v", v)
		}
	}
	if n := len(srv.Addrs()); n != len(addrs) {
		t.Errorf("%d addresses", n)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	for range addrs {
		if err := within(t, "Serve", served); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the unix socket is still there")
	}
	sub.Close()
	binds := 0
	for e := range sub.C {
		if e.Name == packet.EventServerBind { // D24
			binds++
			if strings.HasSuffix(e.Addr.String(), ":0") {
				t.Errorf("the event says %v", e.Addr)
			}
		}
	}
	if binds != len(addrs) {
		t.Errorf("%d bind events", binds)
	}
}

// TestPortZero checks that a listener on port 0 tells its true port (D24).
func TestPortZero(t *testing.T) {
	s := serve(t, packet.NewServer(packet.NewRegistry(), packet.Config{}))
	eventually(t, "Addrs", func() bool { return len(s.Addrs()) == 1 })
	if port := s.Addrs()[0].(*net.TCPAddr).Port; port == 0 || !strings.HasSuffix(s.addr, s.Addrs()[0].String()) {
		t.Errorf("%s, %v", s.addr, s.Addrs())
	}
}

// TestWaitReady checks that waiting for a connection ends when that fails, and that Done comes last (D16).
func TestWaitReady(t *testing.T) {
	closed := make(chan *packet.CloseError, 2)
	c := packet.NewClient(packet.NewRegistry(), calm(closed))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.WaitReady(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("of a client that is not connected: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := c.WaitReady(short)
	var ne net.Error
	if !errors.Is(err, packet.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("at a deadline: %v", err)
	}
	a, b := newMemory()
	r := newRaw(t, b)
	waiting, connected := make(chan error, 1), make(chan error, 1)
	go func() { waiting <- c.WaitReady(t.Context()) }()
	go func() { connected <- c.ConnectConn(t.Context(), a) }()
	r.send(closeFrame("full"))
	r.expectEnd()
	var why *packet.CloseError
	for _, result := range []chan error{waiting, connected} {
		if err := within(t, "the wait", result); !errors.As(err, &why) || why.Reason != "full" {
			t.Errorf("woken by %v", err)
		}
	}
	within(t, "Done", c.Done())
	if len(closed) != 1 || c.State() != packet.StateClosed {
		t.Errorf("Done before the end: %d hooks, state %d", len(closed), c.State())
	}
	if err := c.WaitReady(t.Context()); !errors.As(err, &why) {
		t.Errorf("of a closed one: %v", err)
	}
	if err := c.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestConnectFails checks what Connect returns, and that it leaves nothing behind.
func TestConnectFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().String() // where nobody accepts
	c := packet.NewClient(packet.NewRegistry(), packet.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Connect(ctx, addr); !errors.Is(err, packet.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that says nothing: %v", err)
	}
	within(t, "Done", c.Done())
	if err := c.Connect(t.Context(), addr); err == nil {
		t.Error("it connected again")
	}
	c = packet.NewClient(packet.NewRegistry(), packet.Config{})
	var op *net.OpError
	if err := c.Connect(t.Context(), nobody(t)); !errors.As(err, &op) {
		t.Errorf("nobody there: %v", err)
	}
	within(t, "Done", c.Done())
	for addr, is := range map[string]error{"a:b:c": packet.ErrUnsupportedAddress, "a:70000": packet.ErrInvalidPort, "[x]:1": packet.ErrInvalidHost, "unix:": packet.ErrInvalidHost} {
		c := packet.NewClient(packet.NewRegistry(), packet.Config{})
		if err := c.Connect(t.Context(), addr); !errors.Is(err, is) || !errors.Is(err, packet.ErrInvalidAddress) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// TestHandshakeTimeoutReason checks that the reason gets out where another goroutine writes it, as over TLS.
func TestHandshakeTimeoutReason(t *testing.T) {
	closed := make(chan *packet.CloseError, 1)
	cfg := calm(closed)
	cfg.HandshakeTimeout = time.Millisecond
	srv := packet.NewServer(packet.NewRegistry(), cfg)
	r := dialRaw(t, serveMemory(t, srv))
	r.expect(helloFrame)
	r.expect(closeFrame(packet.ReasonHandshakeTimeout))
	r.expectEnd()
	checkClose(t, within(t, "Close hook", closed), packet.ReasonHandshakeTimeout, false, os.ErrDeadlineExceeded)
	if n := srv.Stats().HandshakeTimeout.Load(); n != 1 {
		t.Errorf("counted %d", n)
	}
}

// TestLargeFrames checks that a burst that the socket does not take at once arrives whole (D11: the rest was dropped
// after 3.8 MB).
func TestLargeFrames(t *testing.T) {
	for _, joined := range []bool{false, true} {
		ready := make(chan *packet.Conn, 1)
		srv := packet.NewServer(echoing(t), packet.Config{
			NoCompression: true, WriteQueue: 32 << 20, JoinClassic: joined,
			Hooks: packet.Hooks{Handshake: func(c *packet.Conn) { ready <- c }},
		})
		ln := serveMemory(t, srv)
		a, b := tcpPair(t)
		ln.give(t, b)
		// A raw end would read at once: this one reads when all was sent.
		if _, err := a.Write(append(append([]byte(nil), classicFrame...), acceptFrame...)); err != nil {
			t.Fatal(err)
		}
		c := within(t, "the handshake", ready)
		const many = 24
		sent := make([]byte, 500<<10)
		for i := range many {
			sent[0] = byte(i)
			if err := c.Send("test:a", sent); err != nil {
				t.Fatal(err)
			}
		}
		c.Close("done")
		r := newRaw(t, a)
		r.expect(helloFrame)
		r.next() // Handshake
		for i := range many {
			sent[0] = byte(i)
			if b := r.next(); !sameFrame(b, framed(64, sent)) {
				t.Fatalf("frame %d: %.200s", i, showFrame(b))
			}
		}
		r.expect(closeFrame("done"))
		r.expectEnd()
	}
}

// TestWriteQueueFull checks that who does not read is closed, with a reason, and disturbs nobody.
func TestWriteQueueFull(t *testing.T) {
	closed := make(chan *packet.CloseError, 1)
	cfg := calm(closed)
	cfg.WriteQueue, cfg.NoCompression = 64<<10, true
	srv := packet.NewServer(echoing(t), cfg)
	ln := serveMemory(t, srv)
	other := dialRaw(t, ln)
	other.shake()
	a, b := newMemory()
	ln.give(t, b)
	defer a.Close()
	// It reads Hello and the Handshake, then no more.
	for range 2 {
		prefix := make([]byte, 4)
		if _, err := io.ReadFull(a, prefix); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(a, make([]byte, binary.BigEndian.Uint32(prefix))); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write(classicFrame); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the connection", func() bool { return len(srv.Conns()) == 2 })
	c := srv.Conns()[1]
	eventually(t, "its accept is awaited", func() bool { return c.State() == packet.StateHandshakeWait1 })
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		err = c.Send("test:a", make([]byte, 4<<10))
	}
	if !errors.Is(err, packet.ErrWriteQueueFull) {
		t.Fatalf("Send: %v", err)
	}
	if err := c.Send("test:a", 1); !errors.Is(err, packet.ErrClosed) {
		t.Errorf("Send afterwards: %v", err)
	}
	other.echoes()
	if n := srv.Stats().QueueFull.Load(); n != 1 {
		t.Errorf("counted %d", n)
	}
	a.Close()
	checkClose(t, within(t, "Close hook", closed), packet.ReasonWriteQueueFull, false, packet.ErrWriteQueueFull)
}
