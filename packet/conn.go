package packet

import (
	"container/list"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"parlor/internal/direct"
	"parlor/msgpack"
)

// Conn is one connection, at either side.
//
// A server's is there from the accept to the end; a client's from NewClient on. One goroutine reads, and calls
// handlers and hooks; what is sent is written by the sender as far as the socket takes it at once, and else
// by a goroutine that runs only while something is left.
type Conn struct {
	// Data is the program's own. The library does not look at it, nor guard it: set it in the Accept or Connect hook, or guard it
	// yourself where other goroutines than the connection's use it.
	Data any

	end      *endpoint
	registry *Registry
	side     Side
	cid      int64
	nc       net.Conn // guarded by out.mu until the reader begins, then unchanged
	opened   atomic.Bool
	// introduced tells that the other side knows the IDs of what this server sends: the Handshake is being queued, or the type
	// has none.
	introduced atomic.Bool
	state      atomic.Int32
	mode       atomic.Int32
	security   atomic.Int32
	kind       atomic.Pointer[connType] // nil: not set yet

	in   input
	out  outbox
	msg  Message       // of the frame under way, the reader's
	turn chan struct{} // likewise: where it has a turn for a large body, or nil

	room                       chan struct{} // with Config.Manual: holds a token when the queue may have room
	queuedPackets, queuedBytes int           // guarded by end.queue.mu
	notes, noteBytes           int           // likewise
	queuedOwn                  int           // likewise: bytes in its own part of Config.MaxQueued
	place                      *list.Element // likewise: in the line for what all share, or nil

	complaints atomic.Pointer[[]string] // packets of which there was a warning: a body that did not fit, or a check

	most     atomic.Int64  // what SetMaxFrame has set, or 0
	hurry    atomic.Bool   // the other side did not read, and has CloseTimeout for the rest
	over     atomic.Bool   // it ends: nothing is sent any more
	mute     atomic.Bool   // this side has closed it: nothing is handled any more
	stopping chan struct{} // closed when it begins to end
	done     chan struct{} // closed at the very end
	closed   bool          // the reader's: the Close hook was called
	unknown  bool          // likewise: it ended before any hook heard of it
}

// newConn makes a connection that has no socket yet.
func newConn(e *endpoint, side Side, cid int64) *Conn {
	c := &Conn{end: e, registry: e.registry, side: side, cid: cid, stopping: make(chan struct{}), done: make(chan struct{})}
	if e.cfg.Manual {
		c.room = make(chan struct{}, 1)
	}
	return c
}

// open gives the connection its socket, unless it was closed before.
func (c *Conn) open(nc net.Conn) bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.ended != nil {
		return false
	}
	c.nc = nc
	c.in.init(nc)
	c.out.direct = direct.NewWriter(nc)
	c.opened.Store(true)
	return true
}

// CID is the number of this connection on its server, from 1; 0 on a client.
func (c *Conn) CID() int64 { return c.cid }

// Side is the side of the connection that this is.
func (c *Conn) Side() Side { return c.side }

// Server is the server whose connection this is, nil on a client.
func (c *Conn) Server() *Server { return c.end.server }

// Client is the client whose connection this is, nil on a server.
func (c *Conn) Client() *Client { return c.end.client }

// Registry is the registry by which this side sends and receives.
func (c *Conn) Registry() *Registry { return c.registry }

// State is how far the connection is.
func (c *Conn) State() State { return State(c.state.Load()) }

// SetState changes the state, as an Init of a connection type does, or a login. It does not change that of a
// connection which has ended.
func (c *Conn) SetState(s State) {
	for old := c.state.Load(); State(old) != StateClosed; old = c.state.Load() {
		if c.state.CompareAndSwap(old, int32(s)) {
			return
		}
	}
}

// Mode is what the connection is doing.
func (c *Conn) Mode() Mode { return Mode(c.mode.Load()) }

// SetMode changes the mode.
func (c *Conn) SetMode(m Mode) { c.mode.Store(int32(m)) }

// ConnType is the name of the connection's type, ConnTypeNotSet before SetType.
func (c *Conn) ConnType() string {
	if k := c.kind.Load(); k != nil {
		return k.name
	}
	return ConnTypeNotSet
}

// Security is what TLS assures, as far as this side knows. A server knows of SecurityBothAuth when the client's
// certificate was verified, and otherwise of SecurityEncrypted.
func (c *Conn) Security() Security { return Security(c.security.Load()) }

// NetConn is the socket, with TLS around it if there is any; nil before a client connects. Reading, writing and
// closing it is the library's.
func (c *Conn) NetConn() net.Conn {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.nc
}

// RemoteAddr is the other side's address; nil before a client connects.
func (c *Conn) RemoteAddr() net.Addr {
	nc := c.NetConn()
	if nc == nil {
		return nil
	}
	return nc.RemoteAddr()
}

// Done is closed when the connection has ended and its Close and Done hooks have returned (with Config.Manual: waits for
// Process).
func (c *Conn) Done() <-chan struct{} { return c.done }

// Wait waits until Done, or until ctx ends, which is ErrTimeout or the error of ctx. It returns nil when the
// connection has ended; Err says why.
func (c *Conn) Wait(ctx context.Context) error {
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// contextError is the error of a context that has ended; a deadline is ErrTimeout as well.
func contextError(ctx context.Context) error {
	if err := ctx.Err(); err == context.DeadlineExceeded {
		return fmt.Errorf("packet: %w (%w)", ErrTimeout, err)
	}
	return context.Cause(ctx)
}

// Err says why the connection ends, or ended; nil while it lasts.
func (c *Conn) Err() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.ended == nil {
		return nil
	}
	return c.out.ended
}

// Send sends a packet, given by its name. It does not block: what the socket does not take waits in a bounded
// queue. In this order: the packet's checks; the connection type; Hooks.Send and the event; OnSend; then it is
// encoded and written. v may be a [Body], which is written as it is. Nothing of v is used after the return.
//
// On classic connections nothing but the protocol's own packets can be sent before the other side knows the IDs: a
// client has to wait for the handshake, and a server until the client has begun it. A program that sends to all of
// Server.Conns gets ErrNotConnected for those.
//
// Errors are ErrNotRegistered, ErrInvalidPacket, ErrClosed, ErrNotConnected, ErrWriteQueueFull, ErrFrameTooLarge,
// ErrBodyTooLarge, and what the codec or a hook says. After an error nothing has been sent.
func (c *Conn) Send(name string, v any) error {
	e := c.registry.view().byName[name]
	if e == nil {
		return fmt.Errorf("%w: packet %q", ErrNotRegistered, name)
	}
	e, err := c.writable(e)
	if err != nil {
		return err
	}
	if !c.watched(e) {
		return c.writeValue(e.id, v)
	}
	return c.send(e, name, v, strings.HasPrefix(name, ReservedPrefix))
}

// SendID is Send for a packet given by its ID.
func (c *Conn) SendID(id ID, v any) error {
	e := c.registry.view().byID(id)
	if e == nil {
		return fmt.Errorf("%w: packet %d", ErrNotRegistered, id)
	}
	e, err := c.writable(e)
	if err != nil {
		return err
	}
	if !c.watched(e) {
		return c.writeValue(e.id, v)
	}
	return c.send(e, id, v, id < FirstAutoID)
}

// WritePacket writes a packet without looking at the registry, checks, connection type, hooks or events. It is
// for connection types with a protocol of their own, such as ping.
func (c *Conn) WritePacket(id ID, v any) error { return c.writeValue(id, v) }

// sendInternal sends a packet of the protocol's own, with its body or the value of it.
func (c *Conn) sendInternal(id ID, v any) error {
	e := c.registry.view().byID(id)
	if b, ok := v.([]byte); ok {
		v = Body(b)
	}
	e, err := c.writable(e)
	if err != nil {
		return err
	}
	return c.send(e, id, v, true)
}

// watched tells whether anything wants to know of a packet that is sent.
func (c *Conn) watched(e *entry) bool {
	k := c.kind.Load()
	cfg := &c.end.cfg
	return e.sent != nil || cfg.Hooks.Send != nil || cfg.LogSend || k != nil && k.Send != nil || c.end.wants(EventServerSend, EventClientSend)
}

// check tells whether a packet may be sent now.
func (c *Conn) check(e *entry) error {
	if c.over.Load() {
		return c.closedError()
	}
	if !c.opened.Load() {
		return ErrNotConnected
	}
	if c.side == SideClient && !e.internal() && !c.end.cfg.KeepIDs && !c.settled() {
		return fmt.Errorf("%w: packet %q: the handshake, which tells the server's IDs, is not complete", ErrNotConnected, e.name)
	}
	if c.side == SideServer && !e.internal() && !c.introduced.Load() {
		return fmt.Errorf("%w: packet %q: the client has not begun its handshake, and does not know the ID yet", ErrNotConnected, e.name)
	}
	if e.lost {
		return fmt.Errorf("%w: packet %q, whose ID the server uses for another", ErrNotRegistered, e.name)
	}
	failed := e.checks.failed(c, e.name, 1-c.side, true)
	if failed == nil {
		return nil
	}
	if e.checks.action == ActionClose {
		c.shut(&CloseError{Reason: ReasonSmartPacketInvalid, Cause: failed}, true)
	}
	return failed
}

// writable checks a packet and finds it again. The look-up may have been before the handshake that moved it; what it
// finds after the checks is right, as they want the handshake to be complete.
func (c *Conn) writable(e *entry) (*entry, error) {
	if err := c.check(e); err != nil || c.side == SideServer {
		return e, err
	}
	now := c.registry.view().byOrigin[e.origin]
	if now == nil {
		return nil, fmt.Errorf("%w: packet %q", ErrNotRegistered, e.name)
	}
	if now != e {
		return now, c.check(now)
	}
	return e, nil
}

// closedError is what operations on a connection that ends return.
func (c *Conn) closedError() error {
	if err := c.Err(); err != nil {
		return err
	}
	return ErrClosed
}

// send is the whole of Send but the checks (section 8, in the order of its advice).
func (c *Conn) send(e *entry, as, v any, bypass bool) error {
	o := Outgoing{ID: e.id, Name: e.name, Type: as, Value: v}
	done := false
	if k := c.kind.Load(); !bypass && k != nil && k.Send != nil {
		var err error
		if done, err = k.Send(c, &o); err != nil {
			return err
		}
	}
	if !done {
		if hook := c.end.cfg.Hooks.Send; hook != nil {
			if err := hook(c, &o); err != nil {
				return err
			}
		}
		data := o.Value
		if b, ok := data.(Body); ok { // it may lie in a read buffer, which listeners and logs outlive
			data = append(Body(nil), b...)
		}
		if c.end.wants(EventServerSend, EventClientSend) {
			c.end.emit(Event{Name: c.end.bySide(EventServerSend, EventClientSend), Conn: c, Packet: as, ID: e.id, Data: data})
		}
		if c.end.cfg.LogSend {
			c.end.log().Debug("packet sent", "conn", c.cid, "packet", e.name, "id", e.id, "body", data)
		}
		if e.sent != nil {
			if err := e.sent(c, o.Value); err != nil {
				return err
			}
		}
	}
	return c.writeValue(e.id, o.Value)
}

// writeValue encodes and writes a packet.
func (c *Conn) writeValue(id ID, v any) error {
	buf := getBuffer()
	defer putBuffer(buf)
	b, err := appendValue(buf, v, c.end)
	if err != nil {
		return err
	}
	return c.writeFrame(id, b)
}

// appendValue puts space for a frame's head into a buffer, and the encoded body behind it.
func appendValue(buf *buffer, v any, end *endpoint) (b []byte, err error) {
	if body, ok := v.(Body); ok {
		return appendBody(buf, body)
	}
	buf.b, err = msgpack.AppendDepth(append(buf.b, make([]byte, frameHead)...), v, end.cfg.MaxDepth)
	return buf.b, err
}

// appendBody is appendValue for a body that is encoded.
func appendBody(buf *buffer, body Body) ([]byte, error) {
	if err := msgpack.Valid(body, msgpack.Limits{Depth: msgpack.MaxDepth}); err != nil {
		return nil, err
	}
	buf.b = append(append(buf.b, make([]byte, frameHead)...), body...)
	return buf.b, nil
}

// writeFrame completes a frame that has its body and space for its head, and writes it.
func (c *Conn) writeFrame(id ID, b []byte) error {
	frame, z, err := c.end.complete(id, b)
	if z != nil {
		defer putBuffer(z)
	}
	if err != nil {
		return err
	}
	return c.write(id, frame)
}

// complete compresses the body of a frame if that is due, and writes its head. What it returns lies in b, or in a buffer
// to be put back.
func (e *endpoint) complete(id ID, b []byte) (frame []byte, z *buffer, err error) {
	var flags Flags
	if body := b[frameHead:]; !e.cfg.NoCompression && len(body) > e.cfg.CompressAbove {
		flags = FlagCompressed
		if len(body) > e.cfg.MaxBody {
			return nil, nil, fmt.Errorf("%w: %d bytes of packet %d, limit MaxBody %d", ErrBodyTooLarge, len(body), id, e.cfg.MaxBody)
		}
		z = getBuffer()
		if z.b, err = e.zip.deflate(append(z.b, make([]byte, frameHead)...), body); err != nil {
			return nil, z, err
		}
		b = z.b
	}
	if n := len(b) - lengthSize; n > e.cfg.MaxFrame {
		return nil, z, fmt.Errorf("%w: length %d of packet %d, limit MaxFrame %d", ErrFrameTooLarge, n, id, e.cfg.MaxFrame)
	}
	setHead(b, id, flags)
	return b, z, nil
}

// Close ends the connection in order: what was sent before goes out, then CloseConnection with the reason, which
// is a text or nil; then the other side has Config.CloseTimeout to close. Nothing is handled any more. It
// does not block: Done says when it is over. Later calls do nothing.
func (c *Conn) Close(reason any) {
	c.mute.Store(true)
	c.stop(reason)
}

// stop is Close for the end of a server: what waits for Process of those who had ended by themselves is still handled.
func (c *Conn) stop(reason any) { c.shut(&CloseError{Reason: reason}, true) }

// Abort drops the connection at once, without a word to the other side. The Close hook hears the reason.
func (c *Conn) Abort(reason any) { c.abort(&CloseError{Reason: reason}) }

func (c *Conn) abort(why *CloseError) {
	c.mute.Store(true)
	c.cut(why)
}

// cut is Abort as stop is Close.
func (c *Conn) cut(why *CloseError) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.ended == nil {
		c.mute.Store(true)
		c.shutLocked(why, false)
	}
	c.kill()
}

// fail closes the connection for something that the other side did.
func (c *Conn) fail(reason string, cause error, count *atomic.Int64) {
	count.Add(1)
	c.end.log().Debug("packet connection closed", "remote", c.RemoteAddr(), "conn", c.cid, "reason", reason, "err", cause)
	c.shut(&CloseError{Reason: reason, Cause: cause}, true)
}

// setDeadline bounds reading until the handshake is over; zero is no bound. A connection that ends has a
// deadline of its own.
func (c *Conn) setDeadline(d time.Duration) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.ended != nil || c.nc == nil {
		return
	}
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	c.nc.SetReadDeadline(t)
}
