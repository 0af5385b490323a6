package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is one end of a connection. Besides what net.Conn has, it can close its half as a TCP connection can, and it
// shows what the network does with its bytes.
type Conn struct {
	line          *line
	in, out       *Stream
	local, remote *net.TCPAddr

	// The lock of the line guards the fields below.
	closed          bool
	resetAt         time.Time // when a reset arrives; the zero time is never
	readBy, writeBy time.Time // deadlines; the zero time is none
}

var _ net.Conn = (*Conn)(nil)

// line is a connection with both ends.
type line struct {
	network        *Network
	mu             sync.Mutex // guards the streams and ends; nobody waits with it held
	client, server *Conn
	up, down       *Stream
}

// Out is the direction of what this end writes.
func (c *Conn) Out() *Stream { return c.out }

// In is the direction of what this end reads.
func (c *Conn) In() *Stream { return c.in }

// LocalAddr is the address of this end, a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the address of the other end, a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read reads what is there, and blocks until that is something. It is unblocked by the other side's bytes or end, by a
// reset, by the deadline, and by Close.
func (c *Conn) Read(b []byte) (int, error) {
	l, s := c.line, c.in
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		now := time.Now()
		l.settle(now)
		switch {
		case c.closed:
			return 0, c.fails("read", net.ErrClosed)
		case len(b) == 0:
			return 0, nil
		case reached(c.readBy, now):
			return 0, c.fails("read", os.ErrDeadlineExceeded)
		case s.there > 0:
			if s.path.ReadRate <= 0 || !s.slow.After(now) {
				return s.take(b, now), nil
			}
		case reached(s.end, now):
			return 0, io.EOF
		case reached(c.resetAt, now):
			return 0, c.fails("read", syscall.ECONNRESET)
		}
		times := []time.Time{c.readBy, c.resetAt, s.end, s.slow, l.up.stalledUntil(), l.down.stalledUntil()}
		if len(s.arrivals) > 0 {
			times = append(times, s.arrivals[0].at)
		}
		s.readers.wait(&l.mu, soonest(now, times...), nil)
	}
}

// Write writes all of b, which it does not keep, and blocks while there is no room. It is unblocked by the other side
// that reads, by a reset, by the deadline, by CloseWrite and Close. Several calls write one after the other.
func (c *Conn) Write(b []byte) (n int, err error) {
	l, s := c.line, c.out
	l.mu.Lock()
	defer l.mu.Unlock()
	for mine := false; ; {
		now := time.Now()
		l.settle(now)
		if err := c.deaf(now); err != nil {
			return n, c.fails("write", err)
		}
		if !mine && !s.busy {
			mine, s.busy = true, true
			defer func() {
				s.busy = false
				s.writers.wake()
			}()
		}
		if room := s.room(); mine && (room > 0 || len(b) == 0) {
			k := min(room, len(b)-n)
			if k > 0 {
				s.put(b[n:n+k], n == 0, now)
			}
			if n += k; n == len(b) {
				return n, nil
			}
			continue // a fault may have happened
		}
		s.writers.wait(&l.mu, soonest(now, c.writeBy, c.resetAt, l.up.stalledUntil(), l.down.stalledUntil()), nil)
	}
}

// deaf is why nothing can be written, nil if something can.
func (c *Conn) deaf(now time.Time) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case reached(c.writeBy, now):
		return os.ErrDeadlineExceeded
	case c.out.finished:
		return syscall.EPIPE
	case reached(c.resetAt, now) && reached(c.in.end, now): // it was known that the other side is through
		return syscall.EPIPE
	case reached(c.resetAt, now):
		return syscall.ECONNRESET
	}
	return nil
}

// CloseWrite ends what this end writes: the other side reads the end of the stream behind it. Reading goes on.
func (c *Conn) CloseWrite() error {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	now := time.Now()
	c.line.settle(now)
	if c.closed {
		return c.fails("close", net.ErrClosed)
	}
	if reached(c.resetAt, now) || c.out.finished && reached(c.in.end, now) {
		return c.fails("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	c.out.finished = true
	c.out.depart(now)
	c.line.wake()
	return nil
}

// Close closes this end, and unblocks its calls. The other side reads what was written, and then the end of the stream;
// or, if this end has not read all that came, gets a reset, at once. It does not block. A second call does
// nothing and returns an error that is net.ErrClosed, as that of TCP does.
func (c *Conn) Close() error {
	l := c.line
	l.mu.Lock()
	now := time.Now()
	l.settle(now)
	if c.closed {
		l.mu.Unlock()
		return c.fails("close", net.ErrClosed)
	}
	c.closed = true
	unread, coming := c.in.desert()
	between := c.out.deserted // the other side is gone, or something in between is that has ended both
	if unread && !between {
		c.out.forget() // nor does it send what has not departed
		c.out.refuse(now)
	} else {
		c.out.finished = true
		c.out.depart(now)
	}
	if !coming.IsZero() && !between {
		c.out.refuse(coming)
	}
	l.wake()
	ended := l.client.closed && l.server.closed
	l.mu.Unlock()
	if ended {
		l.network.forget(l)
	}
	return nil
}

// Reset cuts the connection now: both ends get ECONNRESET, once they have read what has arrived. They are still to be
// closed.
func (c *Conn) Reset() { c.in.change(func(now time.Time) { c.line.reset(now) }) }

// End cuts the connection now, in a clean way: both ends read the end of the stream behind what has departed.
func (c *Conn) End() { c.in.change(func(now time.Time) { c.line.finish(now) }) }

// SetDeadline sets both deadlines, also of calls that are under way. The zero time is none.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, true, true) }

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, true, false) }

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, false, true) }

func (c *Conn) setDeadline(t time.Time, read, write bool) error {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.closed {
		return c.fails("set", net.ErrClosed)
	}
	if read {
		c.readBy = t
		c.in.readers.wake()
	}
	if write {
		c.writeBy = t
		c.out.writers.wake()
	}
	return nil
}

// fails is the error of an operation, as the net package has it.
func (c *Conn) fails(op string, err error) error {
	if _, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, err)
	}
	if op == "set" {
		return &net.OpError{Op: op, Net: "tcp", Addr: c.local, Err: err}
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// The lock is held in all that follows.

// reset has a reset arrive at this end at a time, unless one comes sooner.
func (c *Conn) reset(at time.Time) {
	if c.resetAt.IsZero() || at.Before(c.resetAt) {
		c.resetAt = at
		c.in.cut(at)
		c.in.readers.wake()
		c.out.writers.wake()
	}
}

// reset has one arrive at both ends.
func (l *line) reset(at time.Time) {
	l.client.reset(at)
	l.server.reset(at)
}

func (l *line) finish(now time.Time) {
	l.up.finish(now)
	l.down.finish(now)
}

func (l *line) settle(now time.Time) {
	l.up.settle(now)
	l.down.settle(now)
}

func (l *line) wake() {
	for _, s := range []*Stream{l.up, l.down} {
		s.readers.wake()
		s.writers.wake()
	}
}
