package client

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// What waits for a slow application: from maxWaiting calls, or maxWaitingBytes of what they hand over, the server's envelopes are
// read no further for patience, and of more pushes than maxPushes, or maxPushBytes, the oldest are dropped. There are so many only
// if patience has run out, if the application itself waits for an answer meanwhile, which may stand behind them, or if a single
// push is very large.
const (
	maxWaiting      = 1024
	maxWaitingBytes = 4 << 20
	maxPushes       = 2 * maxWaiting
	maxPushBytes    = 2 * maxWaitingBytes
)

// patience is how long a link is not read from, as the application is slow. It is less than either side waits for a sign of life
// of the other, which is read with the rest: a slow application shall not lose its link.
const patience = 5 * time.Second

// events calls functions of the application one after another, in order, on a goroutine that runs only
// while there are some. What waits is bounded by the requests of the application itself, by the single
// heartbeat that is under way, and for pushes by maxPushes and maxPushBytes. Losses take no place of their own.
type events struct {
	failed func(cause any, stack []byte) // told of a panic
	lost   func(pushes int)              // called where pushes were lost

	mu        sync.Mutex // guards the fields below
	queue     []event
	lostLast  int // pushes that were lost behind all of queue
	bytes     int // of all in queue
	pushes    int // of those in queue
	pushBytes int // of these
	running   bool
	idle      []chan struct{} // closed when the queue is empty
	fullSince time.Time       // when the queue was full, since it was half empty; zero: not since
	asking    int             // callers who wait for an answer
	space     chan struct{}   // closed when there may be room for more; nil while nobody waits
	endless   bool            // who waits waits for what is not dropped to be taken
	slowed    int64           // times that somebody had to wait
}

// event is one call.
type event struct {
	call  func() // nil: there is only the loss
	bytes int    // of what it hands over
	push  bool
	lost  int // pushes that were lost right before it
}

func (e *events) put(call func()) { e.putSized(0, call) }

// putSized is put for a call that hands over so many bytes.
func (e *events) putSized(bytes int, call func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.add(event{call: call, bytes: bytes})
}

// putPush is putSized for a push. The oldest ones make room for it, but for one that is over the bound alone; it returns how
// many have.
func (e *events) putPush(bytes int, call func()) (dropped int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.pushes > 0 && (e.pushes >= maxPushes || e.pushBytes+bytes > maxPushBytes) {
		e.dropPush()
		dropped++
	}
	e.add(event{call: call, bytes: bytes, push: true})
	return dropped
}

// putLost tells in its turn of pushes that were lost.
func (e *events) putLost(pushes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lostLast += pushes
	e.start()
}

// add puts an event at the end. The lock is held.
func (e *events) add(ev event) {
	ev.lost, e.lostLast = e.lostLast, 0
	e.queue = append(e.queue, ev)
	e.count(&ev, 1)
	if e.fullSince.IsZero() && e.full() {
		e.fullSince = time.Now()
	}
	e.start()
}

// count counts an event that has come to the queue (1), or gone (-1). The lock is held.
func (e *events) count(ev *event, n int) {
	e.bytes += n * ev.bytes
	if ev.push {
		e.pushes += n
		e.pushBytes += n * ev.bytes
	}
}

// start has the queue worked off. The lock is held.
func (e *events) start() {
	if !e.running {
		e.running = true
		go e.run() // ends when the queue is empty
	}
}

// dropPush drops the oldest push. What follows it tells of the loss. The lock is held, and there is one.
func (e *events) dropPush() {
	i := slices.IndexFunc(e.queue, func(ev event) bool { return ev.push })
	lost := &e.lostLast
	if i+1 < len(e.queue) {
		lost = &e.queue[i+1].lost
	}
	*lost += e.queue[i].lost + 1
	e.count(&e.queue[i], -1)
	copy(e.queue[1:i+1], e.queue) // what stands before it moves up: little, as the rest would be much
	e.takeFirst()
}

// takeFirst takes the first event out, uncounted. The lock is held.
func (e *events) takeFirst() event {
	first := e.queue[0]
	e.queue[0] = event{}
	e.queue = e.queue[1:]
	return first
}

func (e *events) run() {
	for {
		e.mu.Lock()
		var next event
		switch {
		case len(e.queue) > 0:
			next = e.takeFirst()
			e.count(&next, -1)
		case e.lostLast > 0:
			next.lost, e.lostLast = e.lostLast, 0
		default:
			e.running = false
			for _, idle := range e.idle {
				close(idle)
			}
			e.idle, e.queue = nil, nil
			e.mu.Unlock()
			return
		}
		if !e.full() || e.endless && !e.fullForGood() {
			e.makeRoom()
		}
		if len(e.queue) < maxWaiting/2 && e.bytes < maxWaitingBytes/2 {
			e.fullSince = time.Time{}
		}
		e.mu.Unlock()
		if next.lost > 0 {
			e.guarded(func() { e.lost(next.lost) })
		}
		if next.call != nil {
			e.guarded(next.call)
		}
	}
}

// guarded makes a call that may panic.
func (e *events) guarded(call func()) {
	defer func() {
		if cause := recover(); cause != nil {
			e.failed(cause, debug.Stack())
		}
	}()
	call()
}

// full tells whether as much waits as may. The lock is held.
func (e *events) full() bool { return len(e.queue) >= maxWaiting || e.bytes >= maxWaitingBytes }

// fullForGood tells whether as much waits as may that is not dropped. The lock is held.
func (e *events) fullForGood() bool {
	return len(e.queue)-e.pushes >= maxWaiting || e.bytes-e.pushBytes >= maxWaitingBytes
}

// awaitRoom blocks while as much waits as may, unless somebody waits for an answer, or until ctx ends. It blocks for patience at
// most, and from then on not at all until half of it is taken: or a link would be read as slowly as the application takes what
// comes. Only an answer that finds so many answers before it waits on, as it is never dropped.
func (e *events) awaitRoom(ctx context.Context, answer bool) {
	for {
		e.mu.Lock()
		left := patience - time.Since(e.fullSince)
		e.endless = answer && e.fullForGood()
		if !e.full() || e.asking > 0 || left <= 0 && !e.endless {
			e.mu.Unlock()
			return
		}
		if e.space == nil {
			e.space = make(chan struct{})
			e.slowed++
		}
		if e.endless {
			left = time.Hour
		}
		space := e.space
		e.mu.Unlock()
		timer := time.NewTimer(left)
		select {
		case <-space:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// makeRoom has whoever waits for room look again. The lock is held.
func (e *events) makeRoom() {
	if e.space != nil {
		close(e.space)
		e.space = nil
	}
}

// ask notes that a caller waits for an answer, until the function that it returns is called.
func (e *events) ask() (answered func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asking++
	e.makeRoom()
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.asking--
	}
}

// slow is how often somebody had to wait for room.
func (e *events) slow() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.slowed
}

// wait blocks until the queue is empty.
func (e *events) wait() {
	e.mu.Lock()
	if !e.running {
		e.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	e.idle = append(e.idle, idle)
	e.mu.Unlock()
	<-idle
}
