//go:build !js

package wslink_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"parlor/link/wslink"
)

// TestPingWhileStuck: pings are answered while a room does not answer.
func TestPingWhileStuck(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	p := w.login(t, "alice")
	p.send(`{"message": "stuck"}`)
	for i := range 10 {
		body := []byte("ping " + strconv.Itoa(i))
		p.write(frame(ws.OpPing, true, body))
		if f := p.read(); f.Header.OpCode != ws.OpPong || !bytes.Equal(f.Payload, body) {
			t.Fatalf("opcode %d, payload %q", f.Header.OpCode, f.Payload)
		}
	}
}

// TestPingFlood: of many pings the last is answered, and nothing piles up.
func TestPingFlood(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{QueueSize: 100_000})
	p := w.login(t, "alice")
	const pings = 20_000
	var flood []byte
	for i := range pings {
		body := make([]byte, 125)
		copy(body, strconv.Itoa(i))
		flood = append(flood, frame(ws.OpPing, true, body)...)
	}
	p.write(flood)
	last := make([]byte, 125)
	copy(last, strconv.Itoa(pings-1))
	for f := p.read(); !bytes.Equal(f.Payload, last); f = p.read() {
		if f.Header.OpCode != ws.OpPong {
			t.Fatalf("opcode %d", f.Header.OpCode)
		}
	}
	p.works()
}

// TestKeepalive: who is silent is pinged, and closed if that does not help, at the times that are set. The time
// is that of the sweeper, which the test turns on: what passes really is little against it.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	const interval, timeout = 10_000, 20_000 // seconds
	const never = 1000 * time.Hour           // a ping may be under way to the socket while all of Pass goes by
	w := start(t, wslink.Config{
		PingInterval: interval * time.Second, PingTimeout: timeout * time.Second, IdleTimeout: never, WriteTimeout: never, MessageTime: never,
	})
	silent, alive := w.login(t, "silent"), w.login(t, "alive")
	ping := func(p *peer) ws.Frame {
		t.Helper()
		f := p.read()
		if f.Header.OpCode != ws.OpPing {
			t.Fatalf("opcode %d, want a ping", f.Header.OpCode)
		}
		return f
	}
	w.Pass(interval * 9 / 10)
	for _, p := range []*peer{silent, alive} {
		p.works() // a ping before the answer fails this
	}
	w.Pass(interval * 11 / 10)
	ping(silent)
	alive.write(frame(ws.OpPong, true, ping(alive).Payload))
	alive.works()
	w.Pass(timeout * 8 / 10)
	alive.write(frame(ws.OpPong, true, ping(alive).Payload)) // the second: the first was answered
	alive.works()
	if n := w.Stats().PingTimeout.Load(); n != 0 {
		t.Fatalf("%d closed before the time", n)
	}
	w.Pass(timeout * 3 / 10)
	silent.expectClose(1011, "keepalive ping timeout")
	w.lobby.waitClosed(t, "silent")
	if w.Stats().PingTimeout.Load() == 0 {
		t.Error("not counted")
	}
	alive.works()
}

// TestIdle: a client that sends no packets is closed, though it answers pings.
func TestIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startInMemory(t, wslink.Config{
			IdleTimeout: 2 * time.Minute, PingInterval: 20 * time.Second, PingTimeout: time.Minute, CloseTimeout: time.Second,
		})
		p := w.login(t, "alice")
		began, pings := time.Now(), 0
		f := p.read()
		for ; f.Header.OpCode == ws.OpPing; f = p.read() {
			pings++
			p.write(frame(ws.OpPong, true, f.Payload))
		}
		if code, reason := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != 1000 || reason != "" {
			t.Errorf("opcode %d, payload %q", f.Header.OpCode, f.Payload)
		}
		if took := time.Since(began); took != 2*time.Minute || pings != 5 {
			t.Errorf("closed after %v and %d pings", took, pings)
		}
		if w.Stats().IdleTimeout.Load() != 1 {
			t.Error("not counted")
		}
		w.lobby.waitClosed(t, "alice") // though the close is not answered
		if took := time.Since(began); took != 2*time.Minute+time.Second {
			t.Errorf("ended after %v", took)
		}
	})
}

// TestNotReading: a client that does not read loses the connection, and holds up nobody.
func TestNotReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where the queue is full before the write has taken too long, however busy the machine is
		w := startInMemory(t, wslink.Config{WriteTimeout: 3 * time.Second, CloseTimeout: time.Second, QueueSize: 1 << 20})
		deaf, other := w.login(t, "deaf"), w.login(t, "other")
		deaf.send(`{"message": "flood"}`)
		other.works()
		w.lobby.waitClosed(t, "deaf")
		other.works()
		if w.Stats().QueueFull.Load() != 1 {
			t.Errorf("%d times the queue was full", w.Stats().QueueFull.Load())
		}
		// The reader has ended; the writer is cut off a little later, and only then is all of it gone.
		began := time.Now()
		if err := deaf.deadline(); err != nil {
			t.Error(err)
		}
		if _, err := io.Copy(io.Discard, deaf.in); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Logf("the rest: %v", err) // a reset is fine
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("cut off after %v", took)
		}
	})
}

// TestShutdownWhileWriting: a client that does not read does not hold up the end.
func TestShutdownWhileWriting(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{WriteTimeout: time.Hour, CloseTimeout: 10 * time.Millisecond, QueueSize: 1 << 20})
	deaf := w.login(t, "deaf")
	deaf.send(`{"message": "flood"}`)
	w.lobby.waitClosed(t, "deaf") // the queue was full, and the reader has ended; the writer is stuck
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestCloseWhileWriting: a client that does not read is not waited for longer than for one that does.
func TestCloseWhileWriting(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{WriteTimeout: time.Hour, CloseTimeout: 10 * time.Millisecond, QueueSize: 1 << 20})
	deaf := w.login(t, "deaf")
	deaf.send(`{"message": "flood"}`)
	w.lobby.waitClosed(t, "deaf") // the queue was full, and the reader has ended; the writer is stuck
	ended := make(chan error, 1)
	go func() { ended <- w.Shutdown(context.Background()) }()
	select {
	case err := <-ended:
		if n := w.Stats().WriteTimeout.Load(); err != nil || n != 1 {
			t.Errorf("%v, %d counted", err, n)
		}
	case <-time.After(patience):
		t.Error("it has not ended")
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	alice, bobby, stranger := w.login(t, "alice"), w.login(t, "bobby"), w.upgrade(t)
	ended := make(chan error, 1)
	go func() { ended <- w.Shutdown(t.Context()) }()
	for _, p := range []*peer{alice, bobby, stranger} {
		p.expectClose(1001, "")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// To dial would not tell: the port may be another's by now.
	if err := w.ln.(*net.TCPListener).SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("connections are still accepted: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// heldListener makes connections that hold up whoever writes to them, once what he has written has gone out.
type heldListener struct {
	net.Listener
	written chan struct{} // gets one for each write
	release chan struct{} // closed when writers may go on
}

func (l *heldListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &heldConn{nc, l}, nil
}

type heldConn struct {
	net.Conn
	l *heldListener
}

func (c *heldConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.l.written <- struct{}{}
	<-c.l.release
	return n, err
}

// TestShutdownDuringUpgrade: a client that has the answer to its upgrade is told of the end, though the server
// has not got any further than that answer.
func TestShutdownDuringUpgrade(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	held := &heldListener{ln, make(chan struct{}, 100), make(chan struct{})}
	release := sync.OnceFunc(func() { close(held.release) })
	served := make(chan error, 1)
	go func() { served <- w.Serve(held) }() // ends with Shutdown
	w.address = ln.Addr().String()
	defer release() // or a test that fails would wait for ever
	stranger := w.upgrade(t)
	<-held.written
	ended := make(chan error, 1)
	go func() { ended <- w.Shutdown(t.Context()) }()
	for limit := time.Now().Add(patience); w.Closing() == 0; {
		if time.Now().After(limit) {
			t.Fatal("the connection is not closed")
		}
		runtime.Gosched() // Shutdown is about to close it
	}
	release()
	stranger.expectClose(1001, "")
	if err := errors.Join(<-ended, <-served); err != nil {
		t.Error(err)
	}
}

// TestCloseAtAnyTime ends servers while clients connect.
func TestCloseAtAnyTime(t *testing.T) {
	t.Parallel()
	for range 30 {
		w := start(t, wslink.Config{CloseTimeout: 10 * time.Millisecond})
		clients := make(chan struct{})
		go func() { // ends with the server
			defer close(clients)
			for {
				nc, err := net.Dial("tcp", w.address)
				if err != nil {
					return
				}
				io.WriteString(nc, goodUpgrade+"\r\n")
				nc.SetDeadline(time.Now().Add(patience))
				nc.Read(make([]byte, 1))
				nc.Close()
			}
		}()
		for w.Stats().Accepted.Load() < 2 {
			w.upgrade(t).nc.Close()
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		<-clients
	}
}

// TestLoginTimeouts: section 5.5. What comes in drops, and pings, do not gain time.
func TestLoginTimeouts(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Second
	for name, run := range map[string]func(w *wire, p *peer){
		"silence":         func(*wire, *peer) {},
		"pings":           func(_ *wire, p *peer) { p.write(frame(ws.OpPing, true, nil)) },
		"half a frame":    func(_ *wire, p *peer) { p.write(frame(ws.OpText, true, make([]byte, 100))[:50]) },
		"a fragment":      func(_ *wire, p *peer) { p.write(frame(ws.OpText, false, make([]byte, 100))) },
		"half of a login": func(w *wire, p *peer) { p.message(ws.OpText, p.trade()); p.expectClear(w) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startInMemory(t, wslink.Config{LoginTimeout: timeout})
				began := time.Now()
				p := w.upgrade(t)
				run(w, p)
				p.lost = name == "half a frame"
				p.expectClose(1000, "")
				if took := time.Since(began); took != timeout {
					t.Errorf("closed after %v", took)
				}
			})
		})
	}
	for name, request := range map[string]string{"no request": "", "half a request": goodUpgrade[:50]} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startInMemory(t, wslink.Config{LoginTimeout: timeout})
				began := time.Now()
				if _, err := io.ReadAll(w.say(t, request)); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != timeout {
					t.Errorf("closed after %v", took)
				}
			})
		})
	}
}

// say connects and writes a text.
func (w *wire) say(t *testing.T, text string) net.Conn {
	t.Helper()
	nc, err := w.dial(t.Context(), "tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
	return nc
}

// TestKeysAreFreed: nothing of a connection, its shared key included, is held after its end (defect 32).
func TestKeysAreFreed(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	for range 14 {
		p := w.login(t, "alice")
		if w.Held() != 1 {
			t.Fatalf("%d connections are held, want 1", w.Held())
		}
		p.message(ws.OpClose, []byte{3, 232})
		p.expectClose(1000, "")
		p.expectEnd()
		w.lobby.waitClosed(t, "alice")
		for limit := time.Now().Add(patience); w.Held() != 0; {
			if time.Now().After(limit) {
				t.Fatal("the connection is still held")
			}
			runtime.Gosched() // the reader is about to forget it
		}
	}
}

// TestMessageTime: a message that has begun must end, however lively the connection is otherwise.
func TestMessageTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startInMemory(t, wslink.Config{MessageTime: time.Minute})
		p := w.login(t, "alice")
		began := time.Now()
		p.write(frame(ws.OpText, false, []byte("half a message")))
		for range 11 {
			time.Sleep(5 * time.Second) // sleep: in a bubble
			p.write(frame(ws.OpPing, true, nil))
			if f := p.read(); f.Header.OpCode != ws.OpPong {
				t.Errorf("opcode %d", f.Header.OpCode)
			}
		}
		p.expectClose(1008, "limit of time for a message")
		if took := time.Since(began); took <= time.Minute || took > time.Minute+2*time.Second { // it is looked at once a second
			t.Errorf("closed after %v", took)
		}
		if n := w.Stats().MessageTime.Load(); n != 1 {
			t.Errorf("%d counted", n)
		}
	})
}

// TestBody: a request with a body that never comes is answered and closed.
func TestBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startInMemory(t, wslink.Config{LoginTimeout: time.Minute})
		began := time.Now()
		text, err := io.ReadAll(w.say(t, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")) // to the end of the connection
		if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 4") {
			t.Errorf("%q, %v", text, err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("closed after %v", took)
		}
	})
}

// politeListener accepts connections whose Close waits for the other side, as that of TLS does while the
// other side does not read.
type politeListener struct{ net.Listener }

func (ln politeListener) Accept() (net.Conn, error) {
	nc, err := ln.Listener.Accept()
	return &polite{Conn: nc, closed: make(chan struct{})}, err
}

type polite struct {
	net.Conn
	closed chan struct{} // with what is below
	once   sync.Once
}

func (p *polite) Close() error      { <-p.closed; return nil }
func (p *polite) NetConn() net.Conn { return below{p.Conn, p} }

type below struct {
	net.Conn
	above *polite
}

func (b below) Close() error {
	b.above.once.Do(func() { close(b.above.closed) })
	return b.Conn.Close()
}

// TestSlowGoodbye: a close that waits for the other side holds up nobody.
func TestSlowGoodbye(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{Pending: 1})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = ln.Addr().String()
	go w.Serve(politeListener{ln}) // ends with Close
	stranger := w.upgrade(t)
	alice := w.login(t, "alice") // at the cost of the stranger
	if _, err := stranger.in.Read(make([]byte, 1)); err == nil {
		t.Error("the stranger is still there")
	}
	alice.message(ws.OpClose, []byte{3, 232})
	if f := alice.read(); f.Header.OpCode != ws.OpClose {
		t.Errorf("opcode %d", f.Header.OpCode)
	}
	w.lobby.waitClosed(t, "alice") // and the connection is about to be closed, or being closed
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
