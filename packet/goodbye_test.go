package packet_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/memnet"
	"parlor/internal/pypeer"
	"parlor/packet"
)

// How long who has sent CloseConnection waits for the other side to close first.
const (
	graceTime    = 250 * time.Millisecond // of a server
	closeTimeout = 2 * time.Second        // of a client, by default
)

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
		a, b := memnet.New(1).Pair()
		c := packet.NewClient(packet.NewRegistry(), packet.Config{Logger: quiet, CloseTimeout: 3 * time.Second})
		shaken := make(chan struct{})
		go func() { // ends with the handshake
			defer close(shaken)
			(&wire{t, b}).shake(nil)
		}()
		if err := c.ConnectConn(t.Context(), a); err != nil {
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
		b.Close()
	})
}

// TestServerLetsClientCloseFirst: the same for a server, which closes its half after a moment.
func TestServerLetsClientCloseFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := packet.NewServer(packet.NewRegistry(), packet.Config{Logger: quiet})
		ln, end := serveMemnet(t, s)
		defer end()
		w := &wire{t, ln.dial()}
		w.handshake()
		synctest.Wait()
		begun := time.Now()
		s.Conns()[0].Close("kicked")
		untilClose(t, w)
		if _, err := w.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v", err)
		}
		if after := time.Since(begun); after != graceTime {
			t.Errorf("it closed its half after %v", after)
		}
		if n := len(s.Conns()); n != 1 {
			t.Errorf("it closed all of it: %d connections", n)
		}
		w.Close() // what a client of 0.2.0 does at once
	})
}

// TestCloseConnectionIsLast: what is sent while this side closes goes out before CloseConnection, or not at all.
func TestCloseConnectionIsLast(t *testing.T) {
	cfg := packet.Config{Logger: quiet, Hooks: packet.Hooks{Send: func(c *packet.Conn, o *packet.Outgoing) error {
		if o.Value == "closes" {
			c.Close("bye")
		}
		return nil
	}}}
	check := func(c *packet.Conn, r *raw) {
		t.Helper()
		if err := c.Send("test:a", "before"); err != nil {
			t.Fatal(err)
		}
		for _, v := range []any{"closes", "after"} {
			if err := c.Send("test:a", v); !errors.Is(err, packet.ErrClosed) {
				t.Errorf("Send %s: %v", v, err)
			}
		}
		if err := c.WritePacket(64, "by hand"); !errors.Is(err, packet.ErrClosed) {
			t.Errorf("WritePacket: %v", err)
		}
		r.expect(framed(64, "before"))
		r.expect(closeFrame("bye"))
		r.expectEnd()
	}
	reg, _ := collector("test:a")
	client, r := clientAndRaw(t, reg, cfg, pairs{pair("test:a", 64)})
	check(client.Conn, r)
	for _, net := range networks {
		s := packet.NewServer(reg, cfg)
		ln := serveMemory(t, s)
		a, b := net.pair(t)
		ln.give(t, b)
		r := newRaw(t, a)
		r.shake()
		check(active(t, s), r)
	}
}

// late has a Python peer handle a frame so many seconds after it was read, and never if the stream has ended by then
// (D8, D9). It is far below graceTime, and far above what an end that comes at once takes to get there.
const late = 0.05

// TestPythonLateServer: a Python server gets what a client sends last, and the reason, before it sees the end.
func TestPythonLateServer(t *testing.T) {
	t.Parallel()
	py, addr := pyServer(t, obj{"packets": pypeer.Packets("test:last"), "delay": late})
	cfg := packet.Config{CloseTimeout: patience} // the server may be as slow as it likes
	reg, _ := collector("test:last")
	c := packet.NewClient(reg, cfg)
	connect(t, c, addr)
	for i := range 3 {
		if err := c.Send("test:last", i); err != nil {
			t.Fatal(err)
		}
	}
	c.Close("bye")
	told := func(cid float64, want any) {
		t.Helper()
		if reason := py.ExpectWith("closed", obj{"cid": cid})["reason"]; reason != want {
			t.Fatalf("the server was told %v, want %v", reason, want)
		}
	}
	told(1, "bye")
	for i := range 3 {
		py.ExpectWith("recv", obj{"cid": 1.0, "body": float64(i)})
	}
	if why := closeReason(t, c.Conn); why.Reason != "bye" || why.Remote {
		t.Errorf("the client says %v", why)
	}

	other, _ := collector("test:other") // which the client closes for itself
	c = packet.NewClient(other, cfg)
	var why *packet.CloseError
	if err := c.Connect(t.Context(), addr); !errors.As(err, &why) || why.Reason != packet.ReasonRegistryMismatch {
		t.Errorf("error %v", err)
	}
	told(2, packet.ReasonRegistryMismatch)
	wait(t, c.Done())
}

// TestPythonLateClient: the same for a Python client, whatever the server closes for.
func TestPythonLateClient(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		reason any
		end    func(c *packet.Conn, py *pypeer.PacketPeer)
	}{
		{"close", "kicked", func(c *packet.Conn, _ *pypeer.PacketPeer) { c.Close("kicked") }},
		{"close without reason", nil, func(c *packet.Conn, _ *pypeer.PacketPeer) { c.Close(nil) }},
		{"stop", "maintenance", func(c *packet.Conn, _ *pypeer.PacketPeer) { c.Server().Stop("maintenance") }},
		{"bad frame", packet.ReasonInvalidFrame, func(_ *packet.Conn, py *pypeer.PacketPeer) {
			py.Do(obj{"op": "raw", "hex": "00000007000000400000c1"})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			py := pypeer.StartPacketClient(t)
			for try := range 10 {
				reg, _ := collector("test:last")
				s := serve(t, packet.NewServer(reg, packet.Config{Logger: quiet}))
				pyReconnect(t, py, s.addr, obj{"packets": pypeer.Packets("test:last"), "delay": late})
				conn, begun := active(t, s.Server), time.Now()
				for i := range 3 {
					if err := conn.Send("test:last", []int{try, i}); err != nil {
						t.Fatal(err)
					}
				}
				test.end(conn, py)
				if reason := py.Expect("closed")["reason"]; reason == test.reason {
					for i := range 3 {
						py.ExpectWith("recv", obj{"body": []any{float64(try), float64(i)}})
					}
					return
				} else if took := time.Since(begun); took < graceTime {
					t.Fatalf("it was told %v after %v, want %v", reason, took, test.reason)
				}
				// It did not come to run for as long as the server waits, which a busy machine can do to it.
			}
			t.Error("it was never told")
		})
	}
}
