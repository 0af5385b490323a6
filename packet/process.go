package packet

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// queue is what waits for Process.
type queue struct {
	mu     sync.Mutex // guards the fields below, and the fields of connections that say so
	items  []item
	head   int // of items, the first that is still there
	closed bool
	calls  int           // of Process, under way
	ready  chan struct{} // holds a token when there may be something, or the end has come

	part, most int       // bytes: of each connection's own part, and of what all share (Config.MaxQueued)
	shared     int       // bytes of what waits beyond the parts of connections
	line       list.List // of *Conn: those that wait for room in it, the first one first
}

// item is a packet, a note that tells of a packet which was handled already, or a hook's call, of which a connection
// has a few in all. It belongs to a connection.
type item struct {
	c    *Conn
	m    *Message // nil: a call
	note bool     // m is one of the protocol's own, of which the other side can send any number
	free bool     // it has a place in any case
	own  bool     // it is in the connection's own part
	call func()
}

// queuedNotes is how many notes of a connection wait at most, and queuedNoteBytes how much they hold before another
// waits. They are counted apart from the packets, so that a handshake needs no Process.
const (
	queuedNotes     = 16
	queuedNoteBytes = 256 << 10
)

// queuedCost is how many bytes of Config.MaxQueued a packet takes beside its body: about what its message and its place
// in the queue do.
const queuedCost = 256

// init divides Config.MaxQueued. A crowd that sends more than Process takes shall wait for itself, and nobody else for the
// crowd: so each connection that there can be has a part of its own, of one half. For the other half they stand in line,
// each for one packet, so that nobody waits for ever.
func (q *queue) init(cfg *Config) {
	q.ready = make(chan struct{}, 1)
	q.most = cfg.MaxQueued / 2
	q.part = q.most / max(cfg.MaxConns, 1)
}

// tooMany tells whether a connection has too much in the queue for another item. The queue's lock is held.
func (it *item) tooMany() bool {
	c, cfg := it.c, &it.c.end.cfg
	if it.note {
		return full(c.notes, queuedNotes, c.noteBytes+len(it.m.body), queuedNoteBytes)
	}
	return full(c.queuedPackets, cfg.QueuedPackets, c.queuedBytes+len(it.m.body), cfg.QueuedBytes)
}

// full tells whether one more does not fit, with which there would be so many bytes. Where nothing waits anything fits.
func full(items, mostItems, bytes, mostBytes int) bool {
	return items > 0 && (items >= mostItems || bytes > mostBytes)
}

// admit takes an item into the counts, or tells that it has to wait: for its own connection, or in line. The lock is held.
func (q *queue) admit(it *item) bool {
	if it.m == nil {
		return true
	}
	c, size := it.c, len(it.m.body)+queuedCost
	switch {
	case it.free:
	case it.tooMany():
		return false
	case c.queuedOwn+size <= q.part:
		it.own = true
	case q.line.Len() > 0 && q.line.Front() != c.place, q.shared > 0 && q.shared+size > q.most:
		if c.place == nil {
			c.place = q.line.PushBack(c)
		}
		return false
	}
	q.count(it, 1)
	q.leave(c)
	return true
}

// leave takes a connection out of the line. The next one may fit as well. The lock is held.
func (q *queue) leave(c *Conn) {
	if c.place != nil {
		q.line.Remove(c.place)
		c.place = nil
		q.wakeFirst()
	}
}

// wakeFirst has the first in line look whether there is room. The lock is held.
func (q *queue) wakeFirst() {
	if first := q.line.Front(); first != nil {
		first.Value.(*Conn).hasRoom()
	}
}

// hasRoom has the connection's reader look whether there is room for what it holds.
func (c *Conn) hasRoom() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// count takes an item with a message into the counts, or out of them. The lock is held.
func (q *queue) count(it *item, n int) {
	c, bytes := it.c, n*len(it.m.body)
	if it.own {
		c.queuedOwn += bytes + n*queuedCost
	} else {
		q.shared += bytes + n*queuedCost
	}
	switch {
	case it.free:
	case it.note:
		c.notes += n
		c.noteBytes += bytes
	default:
		c.queuedPackets += n
		c.queuedBytes += bytes
	}
}

// put queues an item, with a copy of its message. A packet or note of a connection that has too many, or for which there
// is no room, waits until there is, or the connection ends; what waits has no copy yet.
func (q *queue) put(it item) {
	q.mu.Lock()
	for over, first := false, true; !q.admit(&it); first = false {
		if first {
			it.c.end.stats.WaitedQueued.Add(1)
		}
		if over {
			q.leave(it.c)
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		select {
		case <-it.c.room:
		case <-it.c.stopping:
			over = true
		}
		q.mu.Lock()
	}
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
	if it.m != nil {
		q.count(&it, -1)
		it.c.hasRoom()
		if !it.own {
			q.wakeFirst()
		}
	}
	return it, true
}

// Process handles what waits, with Config.Manual, and returns how many packets there were, those included whose
// handlers failed. It handles what there is at its beginning, and does not wait for more. A positive max is how many
// packets at most; hooks that wait between them are called too. Calls from several goroutines share what waits, and give up its order.
func (e *endpoint) Process(max int) int {
	if !e.cfg.Manual {
		e.needless.Do(func() {
			e.log().Warn("packet: Process does nothing without Config.Manual: handlers are called by themselves")
		})
		return 0
	}
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
// first, ErrClosed when the server or client has ended and nothing waits any more, and ErrConfig without Config.Manual.
func (e *endpoint) ProcessWait(ctx context.Context, max int) (int, error) {
	if !e.cfg.Manual {
		return 0, fmt.Errorf("%w: ProcessWait without Manual, so that handlers are called by themselves", ErrConfig)
	}
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
