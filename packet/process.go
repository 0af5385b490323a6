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
	ready  chan struct{} // holds a token when there may be something, or the end has come
}

// item is a packet, or a hook's call. It belongs to a connection.
type item struct {
	c    *Conn
	m    *Message
	call func()
	// note means a call that tells of a packet of the protocol's own, of which the other side can send any number;
	// noteBytes is what it holds.
	note      bool
	noteBytes int
}

// queuedNotes is how many notes of a connection wait at most, and queuedNoteBytes how much they hold before another
// waits. They are counted apart from the packets, so that a handshake needs no Process.
const (
	queuedNotes     = 16
	queuedNoteBytes = 256 << 10
)

// waits tells whether an item has to wait for room. The queue's lock is held.
func (it *item) waits() bool {
	c := it.c
	if it.note {
		return c.notes >= queuedNotes || c.noteBytes >= queuedNoteBytes
	}
	return it.m != nil && c.hasEnough()
}

// put queues an item. A packet or note of a connection that has too many waits until there is room, or the
// connection ends.
func (q *queue) put(it item) {
	q.mu.Lock()
	for it.waits() {
		q.mu.Unlock()
		select {
		case <-it.c.room:
		case <-it.c.stopping:
			return
		}
		q.mu.Lock()
	}
	if it.m != nil {
		it.c.queuedPackets++
		it.c.queuedBytes += len(it.m.body)
	}
	if it.note {
		it.c.notes++
		it.c.noteBytes += it.noteBytes
	}
	q.items = append(q.items, it)
	q.mu.Unlock()
	q.wake()
}

// hasEnough tells whether a connection has as much in the queue as it may. The queue's lock is held.
func (c *Conn) hasEnough() bool {
	return c.queuedPackets >= c.end.cfg.QueuedPackets || c.queuedPackets > 0 && c.queuedBytes >= c.end.cfg.QueuedBytes
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
	if it.m != nil {
		it.c.queuedPackets--
		it.c.queuedBytes -= len(it.m.body)
	}
	if it.note {
		it.c.notes--
		it.c.noteBytes -= it.noteBytes
	}
	if it.m != nil || it.note {
		select {
		case it.c.room <- struct{}{}:
		default:
		}
	}
	return it, true
}

// Process handles what waits, with Config.Manual, and returns how many packets there were, those included whose
// handlers failed. It does not wait for more. A positive max is how many at most. Calls from several goroutines
// share what waits, and give up its order.
func (e *endpoint) Process(max int) int {
	n := 0
	for max <= 0 || n < max {
		it, ok := e.queue.take()
		if !ok {
			break
		}
		if it.m != nil {
			it.c.dispatch(it.m)
			n++
		} else {
			it.call()
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
