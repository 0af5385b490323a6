package packet_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"parlor/packet"
)

// patience is how long what must happen may take.
const patience = time.Minute

// patient ends all tests with a text if this one takes longer than patience: where somebody holds a lock for good, or what
// is on the clock of synctest never ends, nothing else would before the time limit of all.
func patient(t *testing.T, hint string) {
	name := t.Name()
	timer := time.AfterFunc(patience, func() { panic(name + " does not end: " + hint) })
	t.Cleanup(func() { timer.Stop() })
}

// running is a server that serves on a free port of the loopback until the test ends.
type running struct {
	*packet.Server
	addr string
	ln   net.Listener
}

func serve(t testing.TB, s *packet.Server) *running {
	t.Helper()
	ln, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() { s.Close(); close(closed) }() // ends with the server's goroutines
		within(t, "Close", closed)
		if err := within(t, "the end of Serve", done); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return &running{s, ln.Addr().String(), ln}
}

// connect connects a client, which is closed at the end of the test.
func connect(t testing.TB, c *packet.Client, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Connect(ctx, addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abort(nil); <-c.Done() })
}

type move struct {
	X int     `msgpack:"x"`
	Y float64 `msgpack:"y"`
	S string  `msgpack:"s"`
}

func TestEcho(t *testing.T) {
	var echo *packet.Type[move]
	reg := packet.NewRegistry()
	packet.MustRegister[any](reg, "test:other", nil)
	echo = packet.MustRegister(reg, "test:echo", func(c *packet.Conn, m move) error { return echo.Send(c, m) }, packet.Smart())
	s := serve(t, packet.NewServer(reg, packet.Config{}))

	got := make(chan move, 1)
	mine := packet.NewRegistry()
	sender := packet.MustRegister(mine, "test:echo", func(c *packet.Conn, m move) error { got <- m; return nil })
	packet.MustRegister[any](mine, "test:other", nil)
	c := packet.NewClient(mine, packet.Config{})
	connect(t, c, s.addr)
	want := move{1, 2, "three"}
	if err := sender.Send(c.Conn, want); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m != want {
		t.Errorf("got %v, want %v", m, want)
	}
	if e, err := c.Registry().Lookup("test:echo"); err != nil || e.ID != 65 {
		t.Errorf("%v, %v", e, err)
	}
	c.Close("bye")
	if err := c.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for s.Stats().FramesIn.Load() < 4 {
		time.Sleep(time.Millisecond) // sleep: polls
	}
}
