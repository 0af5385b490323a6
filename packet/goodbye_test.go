package packet_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"parlor/packet"
)

// halfPipe is a net.Pipe of which one direction can be closed, which tells when that was.
type halfPipe struct {
	net.Conn
	closed chan time.Time
}

func (p halfPipe) CloseWrite() error {
	select {
	case p.closed <- time.Now():
	default:
	}
	return nil
}

// untilClose reads frames up to CloseConnection.
func untilClose(t *testing.T, nc net.Conn) {
	t.Helper()
	w := &wire{t, nc}
	for {
		id, _, err := w.next()
		if err != nil {
			t.Error(err)
			return
		}
		if id == packet.IDCloseConnection {
			return
		}
	}
}

// TestClientLetsServerCloseFirst: a server of 0.2.0 that sees the end of the stream drops the reason and the packets that
// it has not handled yet (D8, D9), so that a client waits for it, for CloseTimeout.
func TestClientLetsServerCloseFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		own := halfPipe{a, make(chan time.Time, 1)}
		c := packet.NewClient(packet.NewRegistry(), packet.Config{Logger: quiet, CloseTimeout: 3 * time.Second})
		shaken := make(chan struct{})
		go func() { // ends with the handshake
			defer close(shaken)
			(&wire{t, b}).shake(nil)
		}()
		if err := c.ConnectConn(t.Context(), own); err != nil {
			t.Fatal(err)
		}
		<-shaken
		begun := time.Now()
		c.Close("bye")
		untilClose(t, b)
		if _, err := b.Read(make([]byte, 1)); err != io.EOF { // the server does nothing
			t.Errorf("%v", err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("the end came after %v, want CloseTimeout", took)
		}
		<-c.Done()
		if len(own.closed) > 0 && (<-own.closed).Sub(begun) < 3*time.Second {
			t.Error("it closed its half before")
		}
		b.Close()
	})
}

// TestServerLetsClientCloseFirst: the same for a server, which closes its half after a moment.
func TestServerLetsClientCloseFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		own := halfPipe{a, make(chan time.Time, 1)}
		s := packet.NewServer(packet.NewRegistry(), packet.Config{Logger: quiet})
		ln := newListener()
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		ln.conns <- own
		w := &wire{t, b}
		w.handshake()
		synctest.Wait()
		begun := time.Now()
		s.Conns()[0].Close("kicked")
		untilClose(t, b)
		if after := (<-own.closed).Sub(begun); after != 250*time.Millisecond {
			t.Errorf("it closed its half after %v", after)
		}
		b.Close() // what a client of 0.2.0 does at once
		s.Close()
		<-served
	})
}
