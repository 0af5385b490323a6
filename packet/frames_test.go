package packet_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"parlor/packet"
)

// madeFrame is a frame as WriteFrames wants it.
func madeFrame(body string) []byte {
	b := append(make([]byte, packet.FrameHead), byte(0xa0|len(body)))
	b = append(b, body...)
	packet.SetFrameHead(b, 64, 0)
	return b
}

// TestWriteFrames: frames that are made already come as they are, with one call where they may be joined.
func TestWriteFrames(t *testing.T) {
	for _, network := range bounded {
		for _, joins := range []bool{false, true} {
			t.Run(network.name, func(t *testing.T) {
				ours, theirs := network.pair(t)
				s := packet.NewServer(regOf(t, "t:a"), packet.Config{JoinClassic: joins, Logger: quiet})
				serveMemory(t, s).give(t, theirs)
				w := wireOf(t, ours)
				w.reads(packet.IDHello)
				w.send(packet.IDSetType, map[string]any{"conntype": "classic"})
				w.reads(packet.IDHandshake)
				w.send(packet.IDHandshakeAccept, map[string]any{"success": true})
				c := active(t, s)
				three := append(append(madeFrame("one"), madeFrame("two")...), madeFrame("three")...)
				if err := c.WriteFrames(three); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 1<<10)
				n, err := w.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				want := three
				if !joins {
					want = madeFrame("one")
				}
				if string(b[:n]) != string(want) {
					t.Errorf("the first read has %x, want %x", b[:n], want)
				}
				if !joins {
					w.reads(64)
					w.reads(64)
				}
				if err := c.WriteFrames(nil); err != nil {
					t.Errorf("nothing to write: %v", err)
				}
				c.Abort(nil)
				if err := c.WriteFrames(three); !errors.Is(err, packet.ErrClosed) {
					t.Errorf("after the end: %v", err)
				}
			})
		}
	}
}

// TestWriteFramesApart: what is no frame cannot be written apart.
func TestWriteFramesApart(t *testing.T) {
	s := packet.NewServer(regOf(t, "t:a"), packet.Config{Logger: quiet})
	ours, theirs := newMemory()
	serveMemory(t, s).give(t, theirs)
	w := wireOf(t, ours)
	w.handshake()
	c := active(t, s)
	whole := madeFrame("whole")
	for name, b := range map[string][]byte{"a prefix": whole[:3], "a part": whole[:len(whole)-1], "a length of 0": make([]byte, 10)} {
		if err := c.WriteFrames(b); !errors.Is(err, packet.ErrInvalidFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.WriteFrames(whole); err != nil {
		t.Error(err)
	}
	w.want(64)
}

// TestWriteFramesAgainAndAgain: what is left to the writer comes in its order, between what is sent otherwise.
func TestWriteFramesAgainAndAgain(t *testing.T) {
	const frames = 3000
	s := packet.NewServer(regOf(t, "t:a"), packet.Config{JoinClassic: true, Logger: quiet})
	ours, theirs := tcpPair(t)
	serveMemory(t, s).give(t, theirs)
	w := wireOf(t, ours)
	w.handshake()
	c := active(t, s)
	go func() { // ends with the last one, or the connection
		for n := range frames {
			var err error
			if n%10 == 9 {
				err = c.Send("t:a", n)
			} else {
				b := append(make([]byte, packet.FrameHead), 0xcd, byte(n>>8), byte(n))
				packet.SetFrameHead(b, 64, 0)
				err = c.WriteFrames(b)
			}
			if err != nil {
				t.Errorf("frame %d: %v", n, err)
				return
			}
		}
	}()
	for n := range frames {
		if got := w.want(64); got != int64(n) {
			t.Fatalf("got %v, want %d", got, n)
		}
	}
}

// TestWriteFramesQueue: a batch may be larger than Config.WriteQueue, but not come behind as much.
func TestWriteFramesQueue(t *testing.T) {
	s := packet.NewServer(regOf(t, "t:a"), packet.Config{JoinClassic: true, WriteQueue: 1000, Logger: quiet})
	ours, theirs := net.Pipe()
	serveMemory(t, s).give(t, theirs)
	w := wireOf(t, ours)
	w.handshake()
	c := active(t, s)
	var batch []byte
	for range 100 {
		batch = append(batch, madeFrame("of a batch")...)
	}
	for n, b := range [][]byte{madeFrame("first"), batch} {
		if err := c.WriteFrames(b); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
	}
	if err := c.WriteFrames(madeFrame("late")); !errors.Is(err, packet.ErrWriteQueueFull) {
		t.Errorf("behind more than the limit: %v", err)
	}
	if n := s.Stats().QueueFull.Load(); n != 1 {
		t.Errorf("%d were counted", n)
	}
	for range 101 {
		w.want(64)
	}
	if reason := w.reason(); reason != packet.ReasonWriteQueueFull {
		t.Errorf("closed with %v", reason)
	}
}

// TestWriteMissed: what the other side missed does not count for Config.WriteQueue, neither while it waits nor afterwards.
func TestWriteMissed(t *testing.T) {
	s := packet.NewServer(regOf(t, "t:a"), packet.Config{JoinClassic: true, WriteQueue: 1000, Logger: quiet})
	ours, theirs := net.Pipe()
	serveMemory(t, s).give(t, theirs)
	w := wireOf(t, ours)
	w.handshake()
	c := active(t, s)
	frame := madeFrame("some text")
	fits := (1000 + len(frame) - 1) / len(frame)
	fill := func() {
		t.Helper()
		for n := range fits {
			if err := c.WriteFrames(frame); err != nil {
				t.Fatalf("%d of %d: %v", n, fits, err)
			}
		}
	}
	if err := c.WaitWritten(t.Context()); err != nil { // what the handshake has left
		t.Fatal(err)
	}
	if err := c.WriteMissed(bytes.Repeat(frame, 100)); err != nil {
		t.Fatal(err)
	}
	fill()
	for range 100 + fits {
		w.want(64)
	}
	if err := c.WaitWritten(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill()
	if err := c.WriteFrames(frame); !errors.Is(err, packet.ErrWriteQueueFull) {
		t.Errorf("behind more than the limit: %v", err)
	}
	if err := c.WriteMissed(frame); !errors.Is(err, packet.ErrClosed) && !errors.Is(err, packet.ErrWriteQueueFull) {
		t.Errorf("behind the end: %v", err)
	}
	for range fits {
		w.want(64)
	}
	if reason := w.reason(); reason != packet.ReasonWriteQueueFull {
		t.Errorf("closed with %v", reason)
	}
}

// TestWaitWritten: it waits for the other side, for the context, and not for a connection that has ended.
func TestWaitWritten(t *testing.T) {
	s := packet.NewServer(regOf(t, "t:a"), packet.Config{JoinClassic: true, Logger: quiet})
	ours, theirs := net.Pipe()
	serveMemory(t, s).give(t, theirs)
	w := wireOf(t, ours)
	w.handshake()
	c := active(t, s)
	if err := c.WaitWritten(t.Context()); err != nil {
		t.Errorf("with nothing to write: %v", err)
	}
	if err := c.WriteFrames(madeFrame("slow")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.WaitWritten(ctx); !errors.Is(err, packet.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody reads: %v", err)
	}
	written := make(chan error, 1)
	go func() { written <- c.WaitWritten(t.Context()) }() // ends with the read
	w.want(64)
	if err := within(t, "WaitWritten", written); err != nil {
		t.Errorf("somebody has read: %v", err)
	}
	if err := c.WriteFrames(madeFrame("never")); err != nil {
		t.Fatal(err)
	}
	go func() { written <- c.WaitWritten(t.Context()) }() // ends with the connection
	c.Abort(nil)
	if err := within(t, "WaitWritten", written); !errors.Is(err, packet.ErrClosed) {
		t.Errorf("it has ended: %v", err)
	}
}

// TestSetMaxFrame: a bound of one connection, of frames and of what they inflate to, that can be taken away.
func TestSetMaxFrame(t *testing.T) {
	for name, c := range map[string]struct {
		body   []byte
		flags  uint16
		reason any
	}{
		"within":             {frameOf(t, 64, strings.Repeat("x", 90))[10:], 0, nil},
		"over":               {frameOf(t, 64, strings.Repeat("x", 120))[10:], 0, packet.ReasonFrameTooLarge},
		"inflates to over":   {zlibbed(frameOf(t, 64, strings.Repeat("x", 1000))[10:]), 1, packet.ReasonBodyTooLarge},
		"inflates to within": {zlibbed(frameOf(t, 64, strings.Repeat("x", 90))[10:]), 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan int, 2)
			reg := packet.NewRegistry()
			packet.MustRegister(reg, "t:a", func(c *packet.Conn, v any) error {
				got <- len(v.(string))
				c.SetMaxFrame(0)
				return nil
			})
			s := packet.NewServer(reg, packet.Config{Logger: quiet})
			ours, theirs := newMemory()
			serveMemory(t, s).give(t, theirs)
			w := wireOf(t, ours)
			w.handshake()
			conn := active(t, s)
			conn.SetMaxFrame(100)
			reads := conn.Reads()
			w.bytes(rawFrame(64, c.flags, c.body))
			if c.reason != nil {
				if reason := w.reason(); reason != c.reason {
					t.Errorf("closed with %v, want %v", reason, c.reason)
				}
				return
			}
			if n := receive(t, got); n != 90 {
				t.Errorf("%d bytes came", n)
			}
			if conn.Reads() == reads {
				t.Error("Reads does not tell that something came")
			}
			w.send(64, strings.Repeat("x", 5000))
			if n := receive(t, got); n != 5000 {
				t.Errorf("%d bytes came when the bound was gone", n)
			}
		})
	}
}
