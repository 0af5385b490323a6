package packet_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor/packet"
)

// TestWarningsAreLimited checks that a client which has handlers fail does not fill the log, and that the log tells how
// many lines are missing.
func TestWarningsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		reg := packet.NewRegistry()
		packet.MustRegister(reg, "test:bad", func(*packet.Conn, packet.Body) error { panic("of the test") })
		srv := packet.NewServer(reg, packet.Config{Logger: slogTo(&log)})
		defer srv.Close()
		ln := newListener()
		go srv.Serve(ln) // ends with the server
		r := dialRaw(t, ln)
		defer r.nc.Close()
		r.shake()
		for range 1000 {
			r.send(framed(64, 1))
		}
		synctest.Wait()
		lines := func() int { return strings.Count(log.String(), "level=WARN") }
		if n := lines(); n != 100 || srv.Stats().HandlerErrors.Load() != 1000 {
			t.Errorf("%d lines, and %d errors", n, srv.Stats().HandlerErrors.Load())
		}
		time.Sleep(time.Second) // sleep: the clock of the bubble
		for range 1000 {
			r.send(framed(64, 1))
		}
		synctest.Wait()
		if n := lines(); n != 110 || !strings.Contains(log.String(), "left_out=900") {
			t.Errorf("%d lines after a second", n)
		}
	})
}

// TestMisfits checks that of bodies that do not fit their handlers, there is one warning for each packet of a connection,
// that the others are no warnings, and that there are no more of these than of other errors.
func TestMisfits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		reg := packet.NewRegistry()
		for i := range 50 {
			packet.MustRegister(reg, fmt.Sprintf("t:%d", i), func(*packet.Conn, move) error { return nil })
		}
		srv := packet.NewServer(reg, packet.Config{Logger: slogTo(&log)})
		ln, end := serveMemnet(t, srv)
		defer end()
		lines := func(level, name string) (n int) {
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "level="+level) && strings.Contains(line, name+" failed") {
					n++
				}
			}
			return n
		}
		dial := func() *wire {
			w := wireOf(t, ln.dial())
			w.handshake()
			return w
		}
		w := dial()
		for range 10 {
			w.send(64, "no move")
			w.send(65, "no move")
			w.send(64, move{})
		}
		w.send(999, nil)
		synctest.Wait()
		for _, name := range []string{"t:0", "t:1"} {
			if warned, told := lines("WARN", name), lines("DEBUG", name); warned != 1 || told != 9 {
				t.Errorf("%s: %d warnings, and %d lines for debugging", name, warned, told)
			}
		}
		if n := srv.Stats().HandlerErrors.Load(); n != 20 {
			t.Errorf("%d errors", n)
		}
		w = dial() // another connection
		for id := range packet.ID(50) {
			w.send(64+id, "no move")
		}
		synctest.Wait()
		if n := lines("WARN", ""); n != 2+16 {
			t.Errorf("%d warnings", n)
		}
		for range 20 {
			w = dial()
			for id := range packet.ID(50) {
				w.send(64+id, "no move")
			}
			w.Close()
		}
		synctest.Wait()
		if n := lines("WARN", ""); n != 100 {
			t.Errorf("%d warnings", n)
		}
	})
}

// unsteady is a listener whose every second Accept fails. It notes when.
type unsteady struct {
	*listener
	n     int
	fails []time.Time
}

func (l *unsteady) Accept() (net.Conn, error) {
	if l.n++; l.n%2 == 0 {
		a, b := newMemory()
		a.Close()
		return b, nil
	}
	if len(l.fails) == 12 {
		<-l.done
		return nil, net.ErrClosed
	}
	l.fails = append(l.fails, time.Now())
	return nil, &net.OpError{Op: "accept", Err: temporary{errors.New("too many open files")}}
}

// TestAcceptPauses checks that the pause after an error grows though some connections are accepted between them.
func TestAcceptPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := packet.NewServer(packet.NewRegistry(), packet.Config{Logger: quiet})
		ln := &unsteady{listener: newListener()}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(ln) }()
		time.Sleep(time.Minute) // sleep: the clock of the bubble
		srv.Close()
		<-done
		want := 5 * time.Millisecond
		for i, at := range ln.fails[1:] {
			if pause := at.Sub(ln.fails[i]); pause != want {
				t.Errorf("pause %d is %v, want %v", i, pause, want)
			}
			want = min(2*want, time.Second)
		}
		if len(ln.fails) != 12 {
			t.Errorf("%d errors", len(ln.fails))
		}
	})
}
