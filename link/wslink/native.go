//go:build !js

package wslink

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"

	"parlor"
	"parlor/box"
	"parlor/link"
	"parlor/msgpack"
)

// The native wire (docs/PROTOCOL.md, section 3): a client says in its login that it speaks it, and from the answer on both
// sides send envelopes, several in a frame, each frame sealed by a channel. Until then, and with all other clients, the
// connection speaks pgnet's wire.

// native is what a connection on the native wire has more.
type native struct {
	offer link.Offer // set by the reader before the lobby gets the login
	noise []byte     // likewise: the client's handshake message

	channel  atomic.Pointer[box.Channel] // nil until the login was answered
	received atomic.Uint64               // the number of the last request that came
	taken    atomic.Uint64               // that of the last one which the session has taken
	acked    atomic.Uint64               // that of the last one which the client was told to have come; written with the outbox's lock
	unnoted  link.Unnoted                // the reader's
}

// hear notes what a login says of the native wire.
func (c *conn) hear(login parlor.Packet) {
	if o, noise, ok := link.OfferOf(login.Payload); ok && len(noise) > 0 {
		c.native = &native{offer: o, noise: noise}
	}
}

// Offer is what the client has said of the native wire.
func (c *conn) Offer() (link.Offer, bool) {
	if c.native == nil {
		return link.Offer{}, false
	}
	return c.native.offer, true
}

// Welcome answers the login, and goes on with the native wire. The agreement on keys is made now, and not for strangers.
func (c *conn) Welcome(r parlor.Response, w link.Welcome) error {
	n := c.native
	channel, answer, err := c.srv.cfg.Key.Respond(c.peer.Key, n.noise)
	if err != nil {
		c.srv.stats.Undecrypted.Add(1)
		c.Close(link.CloseProtocol, "handshake does not fit the keys")
		return net.ErrClosed
	}
	n.noise = nil
	n.received.Store(w.ID)
	n.taken.Store(w.ID)
	n.acked.Store(w.ID)
	r.Payload = link.WithWelcome(r.Payload, w, answer)
	n.channel.Store(channel) // first, as the client may be quick
	return c.Send(r)
}

// channel is nil on pgnet's wire.
func (c *conn) channel() *box.Channel {
	if c.native == nil {
		return nil
	}
	return c.native.channel.Load()
}

// batch is the envelopes of a frame.
type batch struct {
	list []link.Envelope
	size int // bytes of them all
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// putBatch gives a batch back, without what it held.
func putBatch(b *batch) {
	clear(b.list)
	b.list = b.list[:0]
	batches.Put(b)
}

// openFrame opens a frame of the native wire and decodes its envelopes.
func (c *conn) openFrame(op ws.OpCode, sealed []byte) (*batch, error) {
	if op != ws.OpBinary {
		return nil, c.violation("text message on the native wire")
	}
	plain := getBuffer()
	defer putBuffer(plain)
	var err error
	if plain.b, err = c.channel().Open(plain.b, sealed); err != nil {
		c.srv.stats.Undecrypted.Add(1)
		return nil, &link.CloseError{Code: link.CloseProtocol, Reason: "message could not be opened"}
	}
	b := batches.Get().(*batch)
	b.size = len(plain.b)
	for e, err := range link.Envelopes(plain.b, msgpack.Limits{Bytes: c.srv.cfg.MessageSize}) {
		if errors.Is(err, link.ErrEnvelope) {
			putBatch(b)
			return nil, c.violation(err.Error())
		}
		e.Err = err
		b.list = append(b.list, e)
	}
	return b, nil
}

func (c *conn) violation(reason string) error {
	c.srv.stats.Violations.Add(1)
	return &link.CloseError{Code: link.CloseProtocol, Reason: reason}
}

// takeFrame takes the envelopes of a frame to the session.
func (c *conn) takeFrame(b *batch) error {
	defer putBatch(b)
	n := c.native
	for i := range b.list {
		if e := &b.list[i]; e.Kind == link.KindRequest {
			n.received.Store(e.ID)
		}
	}
	for i := range b.list {
		e := &b.list[i]
		if err := c.session.Request(e); errors.Is(err, link.ErrOutOfTurn) {
			return c.violation("envelope out of turn")
		} else if err != nil {
			return err
		}
		if e.Kind == link.KindRequest {
			n.taken.Store(e.ID)
		}
	}
	if n.unnoted.Add(b.size, n.taken.Load(), n.acked.Load()) {
		c.note()
	}
	return nil
}

// Deliver encodes messages into the frame that is sent next. An answer behind which none is to be expected is written by
// its sender, as on pgnet's wire; a push is left to the flushers, so that more can join it; and other answers wait a moment for
// those behind them.
func (c *conn) Deliver(ack uint64, messages ...link.Message) error {
	missed := len(messages) > 1 // by a client that has come back
	if missed {                 // none is sent if one cannot be
		if err := sendable(ack, messages); err != nil {
			return err
		}
	}
	o := &c.out
	o.mu.Lock()
	if !o.closing && !o.dead && o.waiting() > c.srv.cfg.QueueSize {
		c.tooMuch()
	}
	when, before := later, o.size
	for i := range messages {
		m := &messages[i]
		if err := c.join(ack, m); err != nil {
			o.mu.Unlock()
			return err
		}
		switch {
		case m.Push != nil:
			when = min(when, soon)
		case m.ID == c.native.received.Load():
			when = now
		}
	}
	if missed {
		o.missed += o.size - before
	}
	c.told(ack)
	c.schedule(when)
	return nil
}

// sendable tells why one of several messages cannot be sent; nil if all can be.
func sendable(ack uint64, messages []link.Message) error {
	scratch := getBuffer()
	defer putBuffer(scratch)
	for i := range messages {
		var err error
		if scratch.b, err = appendMessage(scratch.b[:0], ack, &messages[i]); err != nil {
			return err
		}
		if len(scratch.b) > maxFrame {
			return link.ErrTooLarge
		}
	}
	return nil
}

// told notes that the client is told of requests. The lock is held.
func (c *conn) told(ack uint64) {
	if n := c.native; ack > n.acked.Load() {
		n.acked.Store(ack)
	}
}

// note acknowledges the requests that no message has acknowledged. The reader calls it when they are many, else the sweeper.
func (c *conn) note() {
	o, taken := &c.out, c.native.taken.Load()
	o.mu.Lock()
	if taken <= c.native.acked.Load() {
		o.mu.Unlock()
		return
	}
	if c.join(taken, nil) == nil {
		c.told(taken)
	}
	c.schedule(soon)
}

// urgency is when what was joined is written.
type urgency int

const (
	now   urgency = iota // by the caller
	soon                 // by a flusher
	later                // by a flusher, within late.Delay
)

// schedule sees to it that what was joined is written: by the caller, by the writer that runs already, by a flusher, or,
// where a write may block, by a writer. The lock is held, and released.
func (c *conn) schedule(when urgency) {
	o := &c.out
	switch {
	case o.running || len(o.queue) == 0 || o.dead || o.dirty && when != now || o.late && when == later:
		o.mu.Unlock()
	case when == later && len(o.queue) == 1 && c.srv.late.Add(c):
		o.late = true
		o.mu.Unlock()
	case c.direct == nil:
		c.flush()
		o.mu.Unlock()
	case when == now:
		o.running = true
		o.mu.Unlock()
		c.writeDirect()
	default:
		o.dirty = true
		o.mu.Unlock()
		c.srv.flushers.add(c)
	}
}

// Flush is called when a moment is over.
func (c *conn) Flush() {
	c.out.mu.Lock()
	c.out.late = false
	c.schedule(soon)
}

// joinSize is up to where more envelopes are joined to those of a frame, in bytes.
const joinSize = 32 << 10

// join encodes a message, or without one a note, into the frame that is last in the queue, or into a new one. The lock is
// held. After an error nothing was added.
func (c *conn) join(ack uint64, m *link.Message) error {
	o := &c.out
	if o.closing || o.dead {
		return net.ErrClosed
	}
	var frame *outgoing
	if n := len(o.queue); n > 0 && o.queue[n-1].joins() {
		frame = &o.queue[n-1]
	} else {
		o.queue = append(o.queue, outgoing{op: ws.OpBinary, frame: getBuffer()})
		frame = &o.queue[n]
	}
	before := len(frame.frame.b)
	b, err := appendMessage(frame.frame.b, ack, m)
	size := len(b) - before
	if err == nil && size > maxFrame {
		err = link.ErrTooLarge
	}
	switch {
	case err == nil && len(b) > maxFrame: // together with those before it
		alone := getBuffer()
		alone.b = append(alone.b, b[before:]...)
		o.queue = append(o.queue, outgoing{op: ws.OpBinary, frame: alone, text: alone.b, envelopes: 1})
	case err == nil:
		frame.frame.b, frame.text = b, b
		frame.envelopes++
	case before == 0:
		putBuffer(frame.frame)
		o.queue = o.queue[:len(o.queue)-1]
	}
	if err != nil {
		return err
	}
	o.size += size
	return nil
}

func appendMessage(b []byte, ack uint64, m *link.Message) ([]byte, error) {
	if m == nil {
		note := link.Envelope{Kind: link.KindNote, Ack: ack}
		return note.Append(b)
	}
	return link.AppendMessage(b, ack, *m)
}

// joins tells whether more envelopes may join the message.
func (m *outgoing) joins() bool {
	return m.frame != nil && m.envelopes < link.MaxPerFrame && len(m.text) < joinSize
}

// tooMuch closes a connection whose client does not read. Its session stays, and knows what to send it again. What a client that
// has come back missed is taken at once, however much it is, and does not count. The lock is held.
func (c *conn) tooMuch() {
	c.srv.stats.QueueFull.Add(1)
	c.put(closeMessage(link.CloseTryAgain, textUnread))
}

// flushers write what is joined, for all connections: as many goroutines as there are processors. They never block, as a
// socket that takes no more is left to its own writer.
type flushers struct {
	mu     sync.Mutex // guards the fields below
	wake   sync.Cond  // there is a connection, or the end has come
	dirty  []*conn    // those with something to write, in their order
	closed bool
}

func newFlushers() *flushers {
	f := &flushers{}
	f.wake.L = &f.mu
	return f
}

// add has a connection written.
func (f *flushers) add(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = append(f.dirty, c)
	f.wake.Signal()
}

// run is a flusher. It ends with close.
func (f *flushers) run() {
	for {
		f.mu.Lock()
		for len(f.dirty) == 0 && !f.closed {
			f.wake.Wait()
		}
		if len(f.dirty) == 0 {
			f.mu.Unlock()
			return
		}
		c := f.dirty[0]
		f.dirty[0] = nil
		if f.dirty = f.dirty[1:]; len(f.dirty) == 0 {
			f.dirty = nil
		}
		f.mu.Unlock()
		c.flushDirty()
	}
}

// close ends the flushers when all is written.
func (f *flushers) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wake.Broadcast()
}

// flushDirty writes what is joined, unless somebody does already.
func (c *conn) flushDirty() {
	o := &c.out
	o.mu.Lock()
	o.dirty = false
	if o.running || o.dead || len(o.queue) == 0 {
		o.mu.Unlock()
		return
	}
	o.running = true
	o.mu.Unlock()
	c.writeDirect()
}

// writeDirect writes what is in the queue as far as the socket takes it without blocking, and leaves the rest to the
// writer. The caller has set running.
func (c *conn) writeDirect() {
	o := &c.out
	buf := getBuffer()
	defer putBuffer(buf)
	for {
		o.mu.Lock()
		if len(o.queue) == 0 || o.dead {
			o.running = false
			c.unlock()
			return
		}
		messages, size := o.take()
		o.mu.Unlock()
		buf.b = buf.b[:0]
		for i := range messages {
			buf.b = c.appendFrame(buf.b, &messages[i])
		}
		n, err := c.direct.Write(buf.b)
		o.mu.Lock()
		o.wrote(size)
		o.dead = o.dead || err != nil
		if n < len(buf.b) && !o.dead {
			o.rest = append([]byte(nil), buf.b[n:]...)
			c.srv.wg.Go(c.write) // ends when the queue is empty
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
	}
}
