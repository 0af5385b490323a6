//go:build !js

package wslink

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"parlor"
	"parlor/box"
	"parlor/internal/direct"
	"parlor/link"
)

// outbox is what a connection has to write. A response that finds nothing before it is written by its
// sender, as far as the socket takes it without blocking, which is nearly always. What is left, and what
// comes meanwhile, waits for the writer goroutine, which runs only while there is something, and writes all
// of it with one call.
type outbox struct {
	writing atomic.Int64 // Server.clock when the write under way began, plus 1 as 0 is none

	mu       sync.Mutex // guards the fields below
	rest     []byte     // of a frame that the socket took in part
	queue    []outgoing
	size     int       // bytes in queue, and under way
	missed   int       // of these the first ones, which the client missed on the link before: QueueSize is not for them
	running  bool      // somebody is writing: the writer, a flusher, or a sender
	dirty    bool      // a flusher is to come
	late     bool      // Server.late is to come
	closing  bool      // a close frame is queued or sent: nothing is queued any more
	code     link.Code // its code
	byPeer   bool      // it answers that of the other side, which has closed
	readOver bool      // the reader has ended
	dead     bool      // the socket is closed, or about to be
}

// outgoing is one message to write, before sealing.
type outgoing struct {
	op      ws.OpCode
	sealed  bool // with the tunnel, on pgnet's wire
	answers bool // a close frame: one of the other side
	text    []byte

	frame     *buffer // of the native wire: what text is in, sealed with the channel
	envelopes int     // likewise: how many
}

// Send encodes a response, and writes or queues it.
func (c *conn) Send(r parlor.Response) error {
	text := getBuffer()
	defer putBuffer(text)
	var err error
	if text.b, err = r.AppendJSON(text.b, time.Now()); err != nil {
		return err
	}
	if len(text.b) > maxText {
		return link.ErrTooLarge
	}
	if r.Status == parlor.StatusOK && !r.Disconnecting && c.accepted.CompareAndSwap(false, true) {
		c.accept() // the first good answer is that to the login
	}
	return c.deliver(text.b)
}

// deliver writes a sealed text at once if nothing is before it, and queues it otherwise.
func (c *conn) deliver(text []byte) error {
	o := &c.out
	o.mu.Lock()
	if o.closing || o.dead || o.running || c.direct == nil {
		o.mu.Unlock()
		return c.enqueue(outgoing{op: ws.OpText, sealed: true, text: append([]byte(nil), text...)})
	}
	o.running = true
	o.mu.Unlock()
	buf := getBuffer()
	defer putBuffer(buf)
	buf.b = c.appendFrame(buf.b, &outgoing{op: ws.OpText, sealed: true, text: text})
	n, err := c.direct.Write(buf.b)
	o.mu.Lock()
	o.dead = o.dead || err != nil
	if n < len(buf.b) && !o.dead {
		o.rest = append([]byte(nil), buf.b[n:]...)
	}
	if len(o.rest) > 0 || len(o.queue) > 0 && !o.dead {
		c.srv.wg.Go(c.write) // ends when the queue is empty
		o.mu.Unlock()
		return nil
	}
	o.running = false
	c.unlock()
	return nil
}

// sendClear sends a response of the key trade.
func (c *conn) sendClear(r parlor.Response) {
	text, err := r.AppendJSON(nil, time.Now())
	if err == nil {
		c.enqueue(outgoing{op: ws.OpText, text: text})
	}
}

// control sends a ping or a pong. Of pongs that wait to be written the newest is enough (RFC 6455, section
// 5.5.3), so that a flood of pings costs nothing.
func (c *conn) control(op ws.OpCode, payload []byte) {
	c.out.mu.Lock()
	for i := range c.out.queue {
		if m := &c.out.queue[i]; m.op == op {
			c.out.size += len(payload) - len(m.text) // or pings of growing sizes would lift the limit of the queue
			m.text = append([]byte(nil), payload...)
			c.out.mu.Unlock()
			return
		}
	}
	c.out.mu.Unlock()
	c.enqueue(outgoing{op: op, text: append([]byte(nil), payload...)})
}

// Close ends the connection after what was sent before, which the other side has Config.CloseTimeout to take.
func (c *conn) Close(code link.Code, reason string) { c.enqueue(closeMessage(code, reason)) }

func closeMessage(code link.Code, reason string) outgoing {
	payload := binary.BigEndian.AppendUint16(nil, uint16(code))
	for len(reason) > ws.MaxControlFramePayloadSize-2 { // cut at a character: RFC 6455, section 5.5.1, wants UTF-8
		_, n := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-n]
	}
	return outgoing{op: ws.OpClose, text: append(payload, reason...)}
}

// textUnread is why a client is closed that lets too much pile up.
const textUnread = "limit of unread responses"

// enqueue puts a message in the queue and sees to it that the writer runs. A peer that lets too much pile up
// loses the connection.
func (c *conn) enqueue(m outgoing) error {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing || o.dead {
		return net.ErrClosed
	}
	var full error
	if o.waiting()+len(m.text) > c.srv.cfg.QueueSize && m.op != ws.OpClose {
		c.srv.stats.QueueFull.Add(1)
		full = net.ErrClosed
		code := link.ClosePolicy
		if c.channel() != nil { // its session stays
			code = link.CloseTryAgain
		}
		m = closeMessage(code, textUnread)
	}
	c.put(m)
	return full
}

// waiting is how many bytes wait that count for Config.QueueSize. The lock is held.
func (o *outbox) waiting() int { return o.size - o.missed }

// wrote notes that so many of the bytes in size are written. The lock is held.
func (o *outbox) wrote(n int) {
	o.size -= n
	o.missed = max(0, o.missed-n)
}

// put puts a message in the queue and sees to it that the writer runs. The lock is held.
func (c *conn) put(m outgoing) {
	o := &c.out
	if m.op == ws.OpClose {
		o.closing, o.code, o.byPeer = true, link.Code(binary.BigEndian.Uint16(m.text)), m.answers
	}
	o.queue = append(o.queue, m)
	o.size += len(m.text)
	if c.nc != nil { // or it was closed during the upgrade, and open goes on
		c.flush()
	}
}

// flush has the writer write what is queued, and bounds that and the reading if it ends with a close. The lock is
// held.
func (c *conn) flush() {
	o := &c.out
	if o.closing {
		c.nc.SetDeadline(time.Now().Add(c.srv.cfg.CloseTimeout))
	}
	if !o.running {
		o.running = true
		c.srv.wg.Go(c.write) // ends when the queue is empty
	}
}

// write is the writer.
func (c *conn) write() {
	o := &c.out
	buf := getBuffer()
	defer putBuffer(buf)
	for {
		o.mu.Lock()
		if len(o.queue) == 0 && len(o.rest) == 0 || o.dead {
			o.running = false
			c.unlock()
			return
		}
		messages, size := o.take()
		buf.b = append(buf.b[:0], o.rest...)
		o.rest = nil
		o.mu.Unlock()
		for i := range messages {
			buf.b = c.appendFrame(buf.b, &messages[i])
		}
		o.writing.Store(c.srv.clock.Load() + 1)
		_, err := c.nc.Write(buf.b)
		o.writing.Store(0)
		if errors.Is(err, os.ErrDeadlineExceeded) { // of a connection that is being closed
			c.srv.stats.WriteTimeout.Add(1)
		}
		o.mu.Lock()
		o.wrote(size) // what is under way counts until it is written
		o.dead = o.dead || err != nil
		o.mu.Unlock()
	}
}

// writeChunk is about how much is sealed and written at a time, in bytes of text.
const writeChunk = 256 << 10

// take takes what comes next from the queue, about a chunk, and says how large it is. The lock is held.
func (o *outbox) take() (messages []outgoing, size int) {
	n := 0
	for n < len(o.queue) && size < writeChunk {
		size += len(o.queue[n].text)
		n++
	}
	messages, o.queue = o.queue[:n], o.queue[n:]
	if len(o.queue) == 0 {
		o.queue = nil
	}
	return messages, size
}

// appendFrame seals a message and appends its frame, unmasked and whole (RFC 6455, section 5.2).
func (c *conn) appendFrame(b []byte, m *outgoing) []byte {
	if m.frame != nil {
		b = appendHeader(b, m.op, len(m.text)+box.ChannelOverhead)
		b, _ = c.channel().Seal(b, m.text) // fails after 2^64 messages
		putBuffer(m.frame)
		return b
	}
	if !m.sealed {
		b = appendHeader(b, m.op, len(m.text))
		return append(b, m.text...)
	}
	b = appendHeader(b, m.op, box.SealedLen(len(m.text)))
	nonce := box.Nonce()
	return c.tunnel.Append(b, m.text, &nonce)
}

func appendHeader(b []byte, op ws.OpCode, n int) []byte {
	b = append(b, 0x80|byte(op))
	switch {
	case n < 126:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
}

// open gives the connection its socket, unless it was cut off before. If it was closed before, the close
// frame is written now: the client may have had the answer to its upgrade long ago, and shall learn why its
// connection ends.
func (c *conn) open(nc net.Conn) bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.dead {
		return false
	}
	c.nc, c.direct = nc, direct.NewWriter(nc)
	if socket, ok := below(nc).(interface{ SetWriteBuffer(int) error }); ok {
		socket.SetWriteBuffer(writeBuffer) // where that fails, the system's default is right too
	}
	if c.out.closing {
		c.flush()
	}
	return true
}

// writeBuffer is how many bytes the system shall hold for a client that does not read. Left to itself it takes
// some MB for each, of which Config.QueueSize knows nothing.
const writeBuffer = 128 << 10

// unlock is called with the lock held when nobody writes. It releases the lock, and then closes the socket if
// nobody needs it: it is dead, or the reader has ended and all is written. The server forgets a connection
// only when neither reader nor writer is left: until then the sweeper looks after it. It is forgotten once, as
// nothing is enqueued afterwards.
func (c *conn) unlock() {
	o := &c.out
	dead, last := o.dead, o.readOver
	o.dead = dead || last
	o.mu.Unlock()
	switch {
	case dead:
		cut(c.nc)
	case last:
		c.nc.Close() // without the lock: TLS says goodbye, and waits for a peer that does not read
	}
	if last {
		c.srv.forget(c)
	}
}

// readerDone notes that the reader has ended, and closes the socket unless the writer still needs it.
func (c *conn) readerDone() {
	c.out.mu.Lock()
	c.out.readOver = true
	if c.out.running {
		c.out.mu.Unlock()
		return
	}
	c.unlock()
}

// onPurpose tells whether the connection has ended because one of the sides wanted its session to end. A client says that with 1000, or
// no code, alone.
func (o *outbox) onPurpose() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closing && o.code.EndsSession() && (!o.byPeer || o.code == link.CloseNormal)
}

func (o *outbox) isClosing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closing
}
