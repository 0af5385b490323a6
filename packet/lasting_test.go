package packet_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"parlor/packet"
)

// heap is how much memory is in use, after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// An idle connection must not hold the last frame that it got, nor what was decoded from it.
func TestIdleConnectionHoldsNoBody(t *testing.T) {
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "t:any", func(*packet.Conn, any) error { return nil })
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	const conns, size = 10, 300_000
	var peers []*wire
	for range conns {
		w := dialWire(t, s.addr)
		w.handshake()
		peers = append(peers, w)
	}
	eventually(t, "all accepted", func() bool { return s.Stats().FramesIn.Load() == 2*conns })
	frame := frameOf(t, 64, strings.Repeat("x", size))
	before := heap()
	for _, w := range peers {
		w.bytes(frame)
	}
	eventually(t, "all received", func() bool { return s.Stats().FramesIn.Load() == 3*conns })
	eventually(t, "idle connections hold next to nothing", func() bool { return heap()-before < 2*size }) // the reader lets go of it after the count
}

// What the other side said before it went is read, although writing to it fails.
func TestReasonSurvivesFailedWrite(t *testing.T) {
	ours, theirs := tcpPair(t)
	began, cut := make(chan struct{}), make(chan struct{})
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "t:go", func(c *packet.Conn, _ any) error {
		close(began)
		<-cut
		for range 20 { // until a reset has come back
			c.Send("t:go", 1)
			time.Sleep(time.Millisecond) // sleep: sending fails only when the reset has come
		}
		return nil
	})
	closed := make(chan *packet.CloseError, 1)
	c := packet.NewClient(reg, packet.Config{Logger: quiet, Hooks: packet.Hooks{Close: func(_ *packet.Conn, err *packet.CloseError) { closed <- err }}})
	w := wireOf(t, theirs)
	go func() {
		w.shake(map[string]any{"t:go": 64})
		w.send(64, nil)
		<-began
		c.Send("t:go", 2)
		w.send(packet.IDCloseConnection, map[string]any{"reason": "kicked"})
		w.Close() // with something unread: a reset
		close(cut)
	}()
	if err := c.ConnectConn(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, closed); err.Reason != "kicked" || !err.Remote {
		t.Errorf("%v", err)
	}
	<-c.Done()
}

// twisted is a connection that embeds a socket and has its own way with the bytes.
type twisted struct{ *net.TCPConn }

func (c twisted) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	twist(b[:n])
	return n, err
}

func (c twisted) Write(b []byte) (int, error) {
	b = bytes.Clone(b)
	twist(b)
	return c.TCPConn.Write(b)
}

func twist(b []byte) {
	for i := range b {
		b[i] ^= 0x55
	}
}

func TestConnThatEmbedsSocket(t *testing.T) {
	ours, theirs := tcpPair(t)
	reg := packet.NewRegistry()
	got := make(chan any, 1)
	packet.MustRegister(reg, "t:a", func(_ *packet.Conn, v any) error { got <- v; return nil })
	c := packet.NewClient(reg, packet.Config{})
	w := wireOf(t, twisted{theirs.(*net.TCPConn)})
	go func() {
		w.shake(map[string]any{"t:a": 64})
		w.send(64, "straight")
	}()
	if err := c.ConnectConn(t.Context(), twisted{ours.(*net.TCPConn)}); err != nil {
		t.Fatal(err)
	}
	if v := receive(t, got); v != "straight" {
		t.Errorf("%v", v)
	}
	c.Abort(nil)
	<-c.Done()
}

func TestClientClosedBeforeConnect(t *testing.T) {
	c := packet.NewClient(packet.NewRegistry(), packet.Config{})
	c.Close("never mind")
	receive(t, c.Done())
	if err := c.Connect(t.Context(), "127.0.0.1:1"); !errors.Is(err, packet.ErrClosed) {
		t.Errorf("%v", err)
	}
	if c.State() != packet.StateClosed {
		t.Errorf("state %d", c.State())
	}
	c.Close("again")
	c.Abort("again")
}

func TestTimeoutsAreNetErrors(t *testing.T) {
	ours, theirs := tcpPair(t)
	defer theirs.Close()
	c := packet.NewClient(packet.NewRegistry(), packet.Config{HandshakeTimeout: 20 * time.Millisecond, Logger: quiet})
	err := c.ConnectConn(t.Context(), ours)
	var ne net.Error
	var ce *packet.CloseError
	if !errors.As(err, &ce) || ce.Reason != packet.ReasonHandshakeTimeout || !errors.Is(err, packet.ErrTimeout) ||
		!errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, net.ErrClosed) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("%#v: %v", err, err)
	}
	theirs.Close()
	<-c.Done()
}

// A packet that only the client has does not keep an ID that the server uses for one with an empty name.
func TestRemapToEmptyName(t *testing.T) {
	ours, theirs := tcpPair(t)
	c := packet.NewClient(regOf(t, "t:mine"), packet.Config{AllowMissing: true})
	w := wireOf(t, theirs)
	shaken := make(chan struct{})
	go func() { defer close(shaken); w.shake(map[string]any{"": 64}) }()
	if err := c.ConnectConn(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	if err := c.Send("t:mine", 1); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("%v", err)
	}
	<-shaken
	c.Abort(nil)
	<-c.Done()
}
