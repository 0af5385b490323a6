package packet

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"parlor/internal/direct"
	"parlor/msgpack"
)

// outbox is what a connection has to write. A frame that finds nothing before it is written by its sender, as far
// as the socket takes it without blocking, which is nearly always. What is left, and what comes meanwhile, waits
// for the writer, a goroutine that runs only while there is something.
//
// While the reader works through a burst of frames, what is sent on a connection that joins frames is held
// back (corked), and written with one call after the last of the burst. If that takes its time, a timer does it
// each holdBack.
type outbox struct {
	mu       sync.Mutex    // guards the fields below, and calls of direct
	sent     uint32        // frames that were taken, modulo 2^32
	buf      *buffer       // whole frames that wait, in order; nil if there are none
	begun    int           // bytes at the start of buf that belong to a frame of which the rest was written
	underway int           // bytes that the writer has taken from buf
	missed   int           // of all these the first ones, which the other side missed before: Config.WriteQueue is not for them
	busy     bool          // the writer runs
	tries    bool          // what waits has not been tried
	last     time.Duration // since endpoint.begun: when WriteFrames wrote last
	idle     chan struct{} // closed when it ends; nil while nobody waits for that
	corked   bool
	hold     *time.Timer
	ended    *CloseError // why it ends; nothing is queued any more
	told     bool        // it ends with our CloseConnection, which was sent
	grace    *time.Timer // runs after that was written
	saidBye  bool        // our half of the connection is closed
	readOver bool        // the reader has ended
	deaf     error       // why the other side takes nothing any more
	lost     bool        // something that was taken was not written
	dead     bool        // the socket is closed
	direct   *direct.Writer
}

const (
	holdBack = time.Millisecond // how long a burst may hold back what it sends
	joinMost = 64 << 10         // bytes that a burst holds back at most
	// writeStep is how much is written with one call and one deadline.
	writeStep = 256 << 10
)

// joins tells whether frames may be joined into one write.
func (c *Conn) joins() bool {
	k := c.kind.Load()
	return k != nil && !k.Unjoined
}

// write writes a frame with this packet, or queues it.
func (c *Conn) write(id ID, frame []byte) error {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := c.mayWrite(len(frame), false); err != nil {
		return err
	}
	if id == IDHandshake && c.side == SideServer {
		c.introduced.Store(true) // before the client can have it; what others send waits for the lock, and comes behind it
	}
	o.sent++
	c.put(frame)
	return nil
}

// waiting is how many bytes wait that count for Config.WriteQueue. The lock is held.
func (o *outbox) waiting() int {
	n := o.underway - o.missed
	if o.buf != nil {
		n += len(o.buf.b)
	}
	return n
}

// wrote notes that so many of the bytes that waited are written. The lock is held.
func (o *outbox) wrote(n int) { o.missed = max(0, o.missed-n) }

// mayWrite tells why n bytes more cannot be written. Where they do not fit, and have to, the connection ends. The lock is
// held.
func (c *Conn) mayWrite(n int, fits bool) error {
	o := &c.out
	switch {
	case o.ended != nil:
		return o.ended
	case o.deaf != nil:
		return fmt.Errorf("%w: %w", ErrClosed, o.deaf)
	case !c.opened.Load():
		return ErrNotConnected
	case fits:
		return nil
	}
	if o.corked && o.buf != nil && len(o.buf.b)+n > c.end.cfg.WriteQueue {
		c.flush() // what was held back is not what the other side does not read
		if o.deaf != nil {
			return fmt.Errorf("%w: %w", ErrClosed, o.deaf)
		}
	}
	if waiting := o.waiting(); waiting > 0 && waiting+n > c.end.cfg.WriteQueue {
		c.end.stats.QueueFull.Add(1)
		err := fmt.Errorf("%w: %d bytes wait, limit WriteQueue %d", ErrWriteQueueFull, waiting, c.end.cfg.WriteQueue)
		c.hurry.Store(true)
		c.shutLocked(&CloseError{Reason: ReasonWriteQueueFull, Cause: err}, true)
		c.nc.SetWriteDeadline(time.Now().Add(c.end.cfg.CloseTimeout)) // also for a write that is under way
		return err
	}
	return nil
}

func (o *outbox) sentFrames() uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

// put writes a frame or queues it, whatever waits already. The lock is held.
func (c *Conn) put(frame []byte) {
	o := &c.out
	if o.dead || o.deaf != nil {
		return
	}
	if o.buf == nil && !o.busy && !o.corked && o.direct != nil {
		n, err := o.direct.Write(frame)
		if err != nil {
			c.writeFailed(err)
			return
		}
		if n == len(frame) {
			return
		}
		o.begun, frame = len(frame)-n, frame[n:]
	}
	if o.buf == nil {
		o.buf = getBuffer()
	}
	o.buf.b = append(o.buf.b, frame...)
	switch {
	case o.busy:
	case !o.corked:
		c.startWriter()
	case len(o.buf.b) >= joinMost:
		c.flush()
	}
}

// flush writes what was held back, and leaves the rest to the writer. The lock is held.
func (c *Conn) flush() {
	o := &c.out
	if o.buf == nil || o.busy || o.dead {
		return
	}
	if o.direct == nil {
		c.startWriter()
		return
	}
	n, err := o.direct.Write(o.buf.b)
	switch {
	case err != nil:
		c.writeFailed(err)
	case n == len(o.buf.b):
		o.wrote(n)
		putBuffer(o.buf)
		o.buf = nil
	default:
		o.wrote(n)
		o.buf.b = o.buf.b[:copy(o.buf.b, o.buf.b[n:])]
		c.startWriter() // joined frames: where they begin does not matter
	}
}

// cork holds back what is sent from now on. The reader calls it when there are several frames to handle.
func (c *Conn) cork() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.corked = o.ended == nil
	if o.hold == nil {
		o.hold = time.AfterFunc(holdBack, c.holdsBack)
	} else {
		o.hold.Reset(holdBack)
	}
}

// uncork writes what was held back.
func (c *Conn) uncork() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.corked {
		return
	}
	o.corked = false
	o.hold.Stop()
	c.flush()
}

// holdsBack writes what a burst has held back for holdBack, and lets it go on to. Where that was nothing, a handler
// takes its time: what it then sends shall not wait.
func (c *Conn) holdsBack() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.corked {
		return
	}
	if o.buf == nil {
		o.corked = false
		return
	}
	c.flush()
	o.hold.Reset(holdBack)
}

func (c *Conn) startWriter() {
	c.out.busy = true
	c.end.goes(c.writeQueue) // ends when the queue is empty
}

// putLater is put for who writes again and again: what follows the last write at once is left to the writer, which comes
// to it when whoever sends has sent all, and writes it with one call. The lock is held.
func (c *Conn) putLater(frames []byte) {
	o := &c.out
	if o.buf != nil || o.busy || o.corked || o.direct == nil {
		c.put(frames)
		return
	}
	now := time.Since(c.end.begun)
	soon := now-o.last < atOnce
	o.last = now
	if !soon {
		c.put(frames)
		return
	}
	o.buf = getBuffer()
	o.buf.b = append(o.buf.b, frames...)
	o.busy, o.tries = true, true
	c.end.goes(c.writeQueue) // ends when the queue is empty
}

// atOnce is how soon behind another a write of WriteFrames is left to the writer.
const atOnce = 200 * time.Microsecond

// writeQueue is the writer.
func (c *Conn) writeQueue() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.buf != nil && !o.dead && o.deaf == nil {
		buf, begun, tries := o.buf, o.begun, o.tries
		o.buf, o.begun, o.underway, o.tries = nil, 0, len(buf.b), false
		o.mu.Unlock()
		b, err := buf.b, error(nil)
		if tries { // without a deadline, as far as the socket takes it at once
			n, failed := o.direct.Write(b)
			b, err = b[n:], failed
		}
		if err == nil && len(b) > 0 {
			err = c.writeOut(b, begun)
		}
		putBuffer(buf)
		o.mu.Lock()
		o.wrote(o.underway)
		o.underway = 0
		if err != nil {
			c.writeFailed(err)
		}
	}
	o.busy = false
	if o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
	c.settle()
}

// writeFailed gives up writing. What the other side has said before, such as why it closes, is still there to be read,
// up to the end that follows. The lock is held.
func (c *Conn) writeFailed(err error) {
	o := &c.out
	o.lost = true
	if o.dead || o.deaf != nil {
		return
	}
	o.deaf = err
	if o.buf != nil {
		putBuffer(o.buf)
		o.buf = nil
	}
	if e, ok := err.(net.Error); ok && e.Timeout() {
		if o.ended == nil {
			c.end.stats.WriteTimeout.Add(1)
			c.shutLocked(&CloseError{Reason: ReasonWriteTimeout, Cause: fmt.Errorf("%w: %w", ErrTimeout, err)}, false)
		}
		c.kill()
		return
	}
	if o.readOver {
		c.kill()
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(c.end.cfg.CloseTimeout)) // or sooner: it has ended
}

// writeOut writes frames, joined or one by one, of which the first begun bytes are the rest of one.
func (c *Conn) writeOut(b []byte, begun int) error {
	joins := c.joins()
	for len(b) > 0 {
		timeout := c.end.cfg.WriteTimeout
		if c.hurry.Load() {
			timeout = c.end.cfg.CloseTimeout
		}
		n := min(len(b), writeStep)
		if begun > 0 {
			n, begun = min(begun, writeStep), begun-min(begun, writeStep)
		} else if !joins {
			size, _ := frameSize(b, MaxPacketLength)
			n, begun = min(size, writeStep), size-min(size, writeStep)
		}
		c.nc.SetWriteDeadline(time.Now().Add(timeout))
		if _, err := c.nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return c.nc.SetWriteDeadline(time.Time{}) // or direct writes would fail, once it has passed
}

// shut begins the end of the connection, if it has not begun: with CloseConnection if tell is set.
func (c *Conn) shut(why *CloseError, tell bool) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.shutLocked(why, tell)
}

func (c *Conn) shutLocked(why *CloseError, tell bool) {
	o := &c.out
	if o.ended != nil {
		return
	}
	o.ended, o.told = why, tell && o.deaf == nil
	if tell {
		c.mute.Store(true) // it is this side that closes
	}
	c.over.Store(true)
	close(c.stopping)
	if !c.opened.Load() {
		c.kill() // there is nothing to say yet, nor a way to say it
		if client := c.end.client; client != nil && client.started.CompareAndSwap(false, true) {
			client.ended() // and Connect will not be called any more
		}
		return
	}
	if o.corked {
		o.corked = false
		o.hold.Stop()
	}
	if o.deaf == nil {
		c.nc.SetReadDeadline(time.Now().Add(c.end.cfg.WriteTimeout + c.end.cfg.CloseTimeout))
	}
	if o.told {
		c.tellClosing(why.Reason)
		c.put(closeFrame(why.Reason))
	}
	if o.buf != nil && !o.busy {
		c.startWriter()
	}
	c.settle()
}

// tellClosing tells of the CloseConnection that is about to be sent, by the event of any other packet (section 8). The
// lock is held: an event waits for nobody and calls nothing, which is why Hooks.Send is not called here.
func (c *Conn) tellClosing(reason any) {
	if c.end.wants(EventServerSend, EventClientSend) {
		c.end.emit(Event{Name: c.end.bySide(EventServerSend, EventClientSend), Conn: c,
			Packet: IDCloseConnection, ID: IDCloseConnection, Data: map[string]any{"reason": reason}})
	}
}

// closeFrame is the frame of CloseConnection. A reason that cannot be encoded is left out.
func closeFrame(reason any) []byte {
	body, err := msgpack.Append(nil, map[string]any{"reason": reason})
	if err != nil {
		body, _ = msgpack.Append(nil, map[string]any{"reason": nil})
	}
	return AppendFrame(nil, IDCloseConnection, 0, body)
}

// graceTime is how long a server waits for the client to close after CloseConnection, before it does so itself.
const graceTime = 250 * time.Millisecond

// settle does what is due once all is written. After the other side's CloseConnection, or its end of the stream, it
// is told at once that nothing follows. After ours it is left to close first, as peng3dnet's clients and servers
// do: they drop what they have not handled yet when they see the end of the stream, our reason included (D8, D9).
// A server helps them after graceTime, a client after Config.CloseTimeout. The lock is held.
func (c *Conn) settle() {
	o := &c.out
	if o.ended == nil || o.buf != nil || o.busy || o.dead {
		return
	}
	if o.deaf != nil && !o.readOver {
		return // the reader is about to see the end
	}
	switch {
	case o.readOver:
		c.kill()
	case o.saidBye || o.grace != nil:
	case o.told:
		wait := c.end.cfg.CloseTimeout
		c.nc.SetReadDeadline(time.Now().Add(wait))
		if c.side == SideServer {
			wait = min(wait, graceTime)
		}
		o.grace = time.AfterFunc(wait, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			if !o.dead && !o.saidBye {
				c.halfClose()
			}
		})
	default:
		c.halfClose()
	}
}

// halfClose tells the other side that nothing follows. The socket itself is closed only when the reader does not need
// it any more: unread input resets a connection, which could cost the other side our last frame. The lock is held.
func (c *Conn) halfClose() {
	o := &c.out
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok {
		c.kill()
		return
	}
	o.saidBye = true
	c.nc.SetReadDeadline(time.Now().Add(c.end.cfg.CloseTimeout))
	c.end.goes(func() { // with TLS it may wait for the socket, some seconds at most
		if err := half.CloseWrite(); err != nil {
			o.mu.Lock()
			defer o.mu.Unlock()
			c.writeFailed(err)
		}
	})
}

// kill closes the socket. The lock is held.
func (c *Conn) kill() {
	o := &c.out
	if o.dead || c.nc == nil {
		return
	}
	o.dead = true
	if o.grace != nil {
		o.grace.Stop()
	}
	if o.buf != nil {
		o.lost = true
		putBuffer(o.buf)
		o.buf = nil
	}
	if secured, ok := c.nc.(*tls.Conn); ok {
		secured.NetConn().Close() // its own Close may wait for the other side, for seconds, to read the last alert
		return
	}
	c.nc.Close()
}
