package packet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"parlor/msgpack"
)

// errOver ends the reading of a connection that ends for a reason of its own.
var errOver = errors.New("connection is ending")

// serve is the reader of a connection whose socket is open, from the handshake on.
func (c *Conn) serve() {
	var part []byte // of a frame that has not come whole
	err := c.readFrames(&part, c.settled)
	if err == nil {
		// The handshake has grown the stack; an idle connection shall not hold it.
		c.end.goes(func() {
			c.finish(c.readFrames(&part, func() bool { return false }))
		})
		return
	}
	c.finish(err)
}

// settled tells whether the handshake is over: connections of types of their own have none.
func (c *Conn) settled() bool {
	k := c.kind.Load()
	return k != nil && (k.name != ConnTypeClassic || c.State() >= StateActive)
}

// readFrames reads and handles frames until the condition holds, or the connection is to end.
func (c *Conn) readFrames(part *[]byte, until func() bool) error {
	for !until() {
		b, err := c.in.next()
		if err != nil {
			return err
		}
		err = c.feed(part, b)
		c.in.done()
		if err != nil {
			return err
		}
	}
	return nil
}

// feed handles the frames that are whole, and keeps the rest. Of a frame that is not, no more memory is taken
// than twice what has come.
func (c *Conn) feed(part *[]byte, b []byte) error {
	corked := false
	defer func() {
		c.msg = Message{} // an idle connection must not hold its last body
		if corked {
			c.uncork()
		}
	}()
	for len(b) > 0 {
		frame := b
		if len(*part) > 0 {
			size, _ := frameSize(*part, c.maxFrame())
			if size == 0 {
				size = lengthSize // the prefix itself
			}
			n := min(size-len(*part), len(b))
			*part = append(slices.Grow(*part, min(n, max(size-len(*part), 0))), b[:n]...)
			b = b[n:]
			frame = *part
		}
		size, err := frameSize(frame, c.maxFrame())
		switch {
		case err != nil:
			c.refuse(err)
			return errOver
		case size == 0 || len(frame) < size:
			if len(*part) == 0 {
				*part = append([]byte(nil), b...)
				return nil
			}
			continue // only the prefix was completed, or there is nothing left
		}
		if len(*part) > 0 {
			*part = nil
		} else {
			b = b[size:]
		}
		if !corked && c.joins() {
			if next, err := frameSize(b, c.maxFrame()); err == nil && next > 0 && len(b) >= next {
				corked = true
				c.cork()
			}
		}
		c.handleFrame(frame[:size])
		if c.over.Load() {
			return errOver
		}
	}
	return nil
}

// handleFrame handles one frame.
func (c *Conn) handleFrame(frame []byte) {
	c.end.stats.FramesIn.Add(1)
	m := &c.msg
	*m = Message{ID: ID(binary.BigEndian.Uint32(frame[lengthSize:])), Flags: Flags(binary.BigEndian.Uint16(frame[lengthSize+4:])), body: frame[frameHead:]}
	if m.Flags&FlagEncryptedAES != 0 {
		c.refuse(ErrEncryption)
		return
	}
	defer c.giveTurn()
	most, limits := c.bounded(c.end.cfg.MaxBody), c.end.cfg.limits()
	if c.short(m.ID) {
		most, limits.Elements = min(most, shortFrame), min(limits.Elements, shortElements)
	}
	if m.Flags&FlagCompressed != 0 {
		buf := getBuffer()
		defer putBuffer(buf)
		var err error
		if buf.b, err = c.inflate(buf.b, m.body, most); err != nil {
			c.refuse(err)
			return
		}
		m.body = buf.b
	}
	if err := c.takeTurn(len(m.body)); err != nil {
		return
	}
	if err := msgpack.Valid(m.body, limits); err != nil {
		c.refuse(err)
		return
	}
	if c.end.cfg.Manual && c.queueable(m) {
		c.end.queue.put(item{c: c, m: m})
		return
	}
	c.dispatch(m)
}

// strange tells whether nothing is known of the other side yet.
func (c *Conn) strange() bool { return c.side == SideServer && !c.settled() }

// short tells whether a packet has to do with less than the others.
func (c *Conn) short(id ID) bool {
	switch id {
	case IDHello, IDSetType, IDHandshakeAccept, IDCloseConnection:
		return true
	}
	return c.strange()
}

// maxFrame is how long the next frame may be.
func (c *Conn) maxFrame() int {
	if c.strange() {
		return min(c.bounded(c.end.cfg.MaxFrame), shortFrame)
	}
	return c.bounded(c.end.cfg.MaxFrame)
}

// queueable tells whether a packet waits for Process. All do that the program may hear of, but the protocol's own, of
// which received puts a note into the queue. What is not valid before the handshake is complete must not become so
// by waiting: that is noted in the message.
func (c *Conn) queueable(m *Message) bool {
	e := c.registry.view().byID(m.ID)
	switch {
	case e != nil && e.internal():
		return false
	case c.State() >= StateActive:
		return true
	case c.side == SideServer && c.kind.Load() == nil && m.ID >= FirstAutoID:
		return false // dispatch drops it
	case e != nil:
		m.refused = e.checks.failed(c, e.name, c.side, false)
	}
	return true
}

// refuse closes the connection for a frame that cannot be taken (section 14).
func (c *Conn) refuse(err error) {
	stats := &c.end.stats
	var limit *msgpack.LimitError
	switch {
	case err == errOver: // it ends already
	case errors.Is(err, ErrFrameTooLarge):
		c.fail(ReasonFrameTooLarge, err, &stats.TooLarge)
	case errors.Is(err, ErrBodyTooLarge):
		c.fail(ReasonBodyTooLarge, err, &stats.TooLarge)
	case errors.As(err, &limit):
		c.fail(ReasonBodyTooLarge, fmt.Errorf("%w: %w", ErrBodyTooLarge, err), &stats.TooLarge)
	case errors.Is(err, ErrEncryption):
		c.fail(ReasonEncryption, err, &stats.InvalidFrames)
	case errors.Is(err, ErrInvalidFrame):
		c.fail(ReasonInvalidFrame, err, &stats.InvalidFrames)
	default:
		c.fail(ReasonInvalidFrame, fmt.Errorf("%w: %w", ErrInvalidFrame, err), &stats.InvalidFrames)
	}
}

// dispatch takes a packet through the connection type, its checks, its handler, the hook and the event (section 8).
func (c *Conn) dispatch(m *Message) {
	if c.mute.Load() {
		return // it waited for Process until this side closed
	}
	if k := c.kind.Load(); m.ID >= FirstAutoID {
		if k == nil && c.side == SideServer {
			c.end.stats.Early.Add(1)
			return
		}
		if k != nil && k.Receive != nil {
			done, err := c.typeReceives(k, m)
			if err != nil {
				c.report("connection type "+k.name, err)
			}
			if done || err != nil {
				return
			}
		}
	}
	e := c.registry.view().byID(m.ID)
	if e == nil {
		c.end.stats.Unknown.Add(1)
		c.end.log().Debug("packet of an unknown ID dropped", "conn", c.cid, "remote", c.RemoteAddr(), "id", m.ID)
		return
	}
	m.name = e.name
	failed := m.refused
	if failed == nil {
		failed = e.checks.failed(c, e.name, c.side, false)
	}
	if failed != nil {
		c.end.stats.Invalid.Add(1)
		c.complain("packet is not valid here, and not handled", e.name, failed)
		if e.checks.action == ActionClose {
			c.shut(&CloseError{Reason: ReasonSmartPacketInvalid, Cause: failed}, true)
		}
	} else if e.receive != nil {
		if err := c.handles(e, m); err != nil {
			c.report("handler of "+e.name, err)
			return
		}
	}
	c.received(e, m)
}

// received calls the hook and tells the event. With Config.Manual, those of the protocol's own packets wait for
// their turn.
func (c *Conn) received(e *entry, m *Message) {
	if e.internal() && c.end.cfg.Manual {
		if c.end.cfg.Hooks.Receive != nil || c.end.cfg.LogRecv || c.end.wants(EventServerRecv, EventClientRecv) {
			// CloseConnection comes once, and finds the others in the queue that could take its place. A large one may have
			// none.
			c.end.queue.put(item{c: c, m: m, note: true, free: c.over.Load() && len(m.body) <= freeNote})
		}
		return
	}
	c.tellReceived(m)
}

// freeNote is how large a CloseConnection may be that is told of in any case.
const freeNote = 1 << 10

func (c *Conn) tellReceived(m *Message) {
	if c.end.cfg.LogRecv {
		c.end.log().Debug("packet received", "conn", c.cid, "packet", m.name, "id", m.ID, "body", m.Value())
	}
	if hook := c.end.cfg.Hooks.Receive; hook != nil {
		c.guard("Receive hook", func() { hook(c, m) })
	}
	if c.end.wants(EventServerRecv, EventClientRecv) {
		c.end.emit(Event{Name: c.end.bySide(EventServerRecv, EventClientRecv), Conn: c, ID: m.ID, Data: append(Body(nil), m.body...)})
	}
}

func (c *Conn) typeReceives(k *connType, m *Message) (done bool, err error) {
	defer rescue(&err)
	return k.Receive(c, m)
}

func (c *Conn) handles(e *entry, m *Message) (err error) {
	defer rescue(&err)
	return e.receive(c, m)
}

// guard calls a hook, and reports a panic.
func (c *Conn) guard(what string, f func()) {
	if err := safely(func() error { f(); return nil }); err != nil {
		c.report(what, err)
	}
}

// safely calls f, and makes an error of a panic.
func safely(f func() error) (err error) {
	defer rescue(&err)
	return f()
}

// rescue makes an error of a panic, with its stack.
func rescue(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
	}
}

// report tells of an error in the program's own code. The connection goes on. The other side may be able to cause any
// number of them: the next line tells how many were left out.
func (c *Conn) report(what string, err error) {
	c.end.stats.HandlerErrors.Add(1)
	misfit, _ := errors.AsType[*misfitError](err)
	switch {
	case misfit != nil:
		c.complain(what+" failed", misfit.packet, err)
	case c.over.Load() && errors.Is(err, ErrClosed): // who asks and is gone is nothing to warn of
		c.end.log().Debug("packet: "+what+" failed", "conn", c.cid, "remote", c.RemoteAddr(), "err", err)
	default:
		c.warn(what+" failed", err)
	}
}

// complain tells of what the other side did: the first of each packet on a connection is a warning.
func (c *Conn) complain(what, name string, err error) {
	if c.end.warnings.Tokens() >= 1 && !c.first(name) {
		c.end.log().Debug("packet: "+what, "conn", c.cid, "remote", c.RemoteAddr(), "err", err)
		return
	}
	c.warn(what+"; others of this packet on this connection are told at level debug", err)
}

// warn logs a warning, unless there were too many.
func (c *Conn) warn(text string, err error) {
	if !c.end.warnings.Allow() {
		c.end.unsaid.Add(1)
		return
	}
	attrs := []any{"conn", c.cid, "remote", c.RemoteAddr(), "err", err}
	if n := c.end.unsaid.Swap(0); n > 0 {
		attrs = append(attrs, "left_out", n)
	}
	c.end.log().Warn("packet: "+text, attrs...)
}

// mostComplaints is of how many packets of a connection there are warnings.
const mostComplaints = 16

// first tells whether there is something to complain about in a packet of this connection for the first time, of
// mostComplaints packets.
func (c *Conn) first(name string) bool {
	for {
		var known []string
		old := c.complaints.Load()
		if old != nil {
			known = *old
		}
		if len(known) == mostComplaints || slices.Contains(known, name) {
			return false
		}
		known = append(slices.Clip(known), name)
		if c.complaints.CompareAndSwap(old, &known) {
			return true
		}
	}
}

// finish is the end of the reader.
func (c *Conn) finish(err error) {
	why, tell := c.whyEnded(err)
	c.shut(why, tell)
	if tell {
		err = errOver // the reason is to reach the other side, which may take a while
	}
	c.ending()
	if err == errOver && c.opened.Load() {
		err = c.drain()
	}
	if c.opened.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		c.end.stats.CloseTimeout.Add(1)
	}
	o := &c.out
	o.mu.Lock()
	o.readOver = true
	if err != io.EOF { // a socket error, or the time is over
		c.kill()
	}
	c.settle()
	if o.hold != nil {
		o.hold.Stop()
	}
	o.mu.Unlock()
	// The other side may have ended its half alone: the writer has the socket still, as long as something of what waits is taken.
	_ = c.WaitWritten(context.Background())
	c.inTurn(func() { // the last that Process comes to: till then it has its place in MaxConns
		c.end.forget(c)
		if hook := c.end.cfg.Hooks.Done; hook != nil && !c.unknown {
			c.guard("Done hook", func() { hook(c) })
		}
		close(c.done)
	})
}

// whyEnded is why a connection ends that nobody has closed, and whether to tell the other side.
func (c *Conn) whyEnded(err error) (why *CloseError, tell bool) {
	why = &CloseError{}
	if c.side == SideClient {
		why.Reason = ReasonSocketClose
	}
	c.out.mu.Lock()
	deaf, ended := c.out.deaf, c.out.ended != nil
	c.out.mu.Unlock()
	switch {
	case deaf != nil:
		why.Cause = deaf
	case errors.Is(err, os.ErrDeadlineExceeded) && !ended:
		c.end.stats.HandshakeTimeout.Add(1)
		return &CloseError{Reason: ReasonHandshakeTimeout, Cause: fmt.Errorf("%w: %w", ErrTimeout, err)}, true
	case err != io.EOF && err != errOver:
		why.Cause = err
	}
	return why, false
}

// ending tells the program that the connection ends, once: the event, the hook, then the state.
func (c *Conn) ending() {
	if c.closed {
		return
	}
	c.closed = true
	c.out.mu.Lock()
	why, told := c.out.ended, c.out.told
	c.out.mu.Unlock()
	c.inTurn(func() {
		if told && c.end.cfg.LogSend { // only now: no logger is called with the lock held
			c.end.log().Debug("packet sent", "conn", c.cid, "packet", nameCloseConnection, "id", IDCloseConnection, "body", why.Reason)
		}
		if c.end.cfg.LogClose {
			c.end.log().Debug("connection closed", "conn", c.cid, "remote", c.RemoteAddr(), "reason", why.Reason, "err", why.Cause)
		}
		c.end.emit(Event{Name: c.end.bySide(EventServerClose, EventClientClose), Conn: c, Reason: why.Reason})
		if hook := c.end.cfg.Hooks.Close; hook != nil {
			c.guard("Close hook", func() { hook(c, why) })
		}
		c.isClosed()
	})
}

func (c *Conn) isClosed() {
	c.state.Store(int32(StateClosed))
	c.SetMode(ModeClosed)
}

// inTurn calls f now, or with Config.Manual when Process comes to it.
func (c *Conn) inTurn(f func()) {
	if c.end.cfg.Manual {
		c.end.queue.put(item{c: c, call: f})
		return
	}
	f()
}

// drain reads on until the other side closes, or the time for that is over.
func (c *Conn) drain() error {
	for {
		_, err := c.in.next()
		c.in.done()
		if err != nil {
			return err
		}
	}
}
