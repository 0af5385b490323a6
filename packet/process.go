package packet

import (
	"context"
	"sync"
)

// queue is what waits for Process.
type queue struct {
	mu     sync.Mutex // guards the fields below, and queuedPackets and queuedBytes of connections
	items  []item
	head   int // of items, the first that is still there
	closed bool
	calls  int           // of Process, under way
	ready  chan struct{} // holds a token when there may be something, or the end has come
}

// item is a packet, a note that tells of a packet which was handled already, or a hook's call, of which a connection
// has a few in all. It belongs to a connection.
type item struct {
	c    *Conn
	m    *Message // nil: a call
	note bool     // m is one of the protocol's own, of which the other side can send any number
	free bool     // it has a place without counting
	call func()
}

// queuedNotes is how many notes of a connection wait at most, and queuedNoteBytes how much they hold before another
// waits. They are counted apart from the packets, so that a handshake needs no Process.
const (
	queuedNotes     = 16
	queuedNoteBytes = 256 << 10
)

// waits tells whether an item has to wait for room. The queue's lock is held.
func (it *item) waits() bool {
	c, cfg := it.c, &it.c.end.cfg
	switch {
	case it.m == nil || it.free:
		return false
	case it.note:
		return full(c.notes, queuedNotes, c.noteBytes+len(it.m.body), queuedNoteBytes)
	}
	return full(c.queuedPackets, cfg.QueuedPackets, c.queuedBytes+len(it.m.body), cfg.QueuedBytes)
}

// full tells whether one more does not fit, with which there would be so many bytes. Where nothing waits anything fits.
func full(items, mostItems, bytes, mostBytes int) bool {
	return items > 0 && (items >= mostItems || bytes > mostBytes)
}

// count takes an item into the counts of its connection, or out of them. The queue's lock is held.
func (it *item) count(n int) {
	switch c := it.c; {
	case it.m == nil || it.free:
	case it.note:
		c.notes += n
		c.noteBytes += n * len(it.m.body)
	default:
		c.queuedPackets += n
		c.queuedBytes += n * len(it.m.body)
	}
}

// put queues an item, with a copy of its message. A packet or note of a connection that has too many waits until there
// is room, or the connection ends; what waits has no copy yet.
func (q *queue) put(it item) {
	q.mu.Lock()
	for over := false; it.waits(); {
		q.mu.Unlock()
		if over {
			return
		}
		select {
		case <-it.c.room:
		case <-it.c.stopping:
			over = true
		}
		q.mu.Lock()
	}
	it.count(1)
	if it.m != nil {
		q.mu.Unlock()
		it.m = it.m.keep()
		q.mu.Lock()
	}
	q.items = append(q.items, it)
	q.mu.Unlock()
	q.wake()
}

// begin is the begin of a call of Process. It returns how many items wait.
func (q *queue) begin() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls++
	return len(q.items) - q.head
}

func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls--
}

// drained tells whether nothing more will come, and all that came was done.
func (q *queue) drained() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && q.calls == 0 && q.head == len(q.items)
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) take() (it item, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 4096 {
			q.items = nil
		}
		return item{}, false
	}
	it = q.items[q.head]
	q.items[q.head] = item{}
	q.head++
	if q.head > 1024 && q.head > len(q.items)/2 { // what is done makes room, at a constant cost for each
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	it.count(-1)
	if it.m != nil {
		select {
		case it.c.room <- struct{}{}:
		default:
		}
	}
	return it, true
}

// Process handles what waits, with Config.Manual, and returns how many packets there were, those included whose
// handlers failed. It handles what there is at its beginning, and does not wait for more. A positive max is how many
// packets at most. Calls from several goroutines share what waits, and give up its order.
func (e *endpoint) Process(max int) int {
	left := e.queue.begin()
	defer e.lastEvent()
	defer e.queue.end()
	n := 0
	for ; left > 0 && (max <= 0 || n < max); left-- {
		it, ok := e.queue.take()
		switch {
		case !ok: // somebody else has it
			return n
		case it.m == nil:
			it.call()
		case it.note:
			it.c.tellReceived(it.m)
		default:
			it.c.dispatch(it.m)
			n++
		}
	}
	return n
}

// ProcessWait is Process, but waits for packets if there are none. It returns the error of ctx when that ends
// first, and ErrClosed when the server or client has ended and nothing waits any more.
func (e *endpoint) ProcessWait(ctx context.Context, max int) (int, error) {
	for {
		if n := e.Process(max); n > 0 {
			e.queue.wake() // perhaps there is more, for whoever else waits
			return n, nil
		}
		e.queue.mu.Lock()
		over := e.queue.closed && e.queue.head == len(e.queue.items)
		e.queue.mu.Unlock()
		if over {
			e.queue.wake() // for whoever else waits
			return 0, ErrClosed
		}
		if ctx.Err() != nil { // with hooks to call all the time, ready has a token all the time
			e.queue.wake()
			return 0, ctx.Err()
		}
		select {
		case <-e.queue.ready:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// close tells those who wait that nothing more will come.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
}

// Interrupt wakes up one ProcessWait, which looks at the queue and waits on, and is an event. It is there for
// programs of peng3dnet; nothing here needs it.
func (e *endpoint) Interrupt() {
	e.emit(Event{Name: e.bySide(EventServerInterrupt, EventClientInterrupt)})
	e.queue.wake()
}
