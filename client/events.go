package client

import (
	"context"
	"runtime/debug"
	"sync"
)

// What waits for a slow application: from maxWaiting calls on the server's envelopes are read no further, and of more pushes
// than maxPushes the oldest are dropped. There are more of them only if the application itself waits for an answer
// meanwhile, which may stand behind them.
const (
	maxWaiting = 1024
	maxPushes  = 2 * maxWaiting
)

// events calls functions of the application one after another, in order, on a goroutine that runs only
// while there are some. What waits is bounded by the requests of the application itself, by the single
// heartbeat that is under way, and for pushes by maxPushes.
type events struct {
	failed func(cause any, stack []byte) // told of a panic
	lost   func(pushes int)              // called in place of pushes that were lost

	mu      sync.Mutex // guards the fields below
	queue   []event
	pushes  int // of those in queue
	running bool
	idle    []chan struct{} // closed when the queue is empty
	asking  int             // callers who wait for an answer
	space   chan struct{}   // closed when there may be room for more; nil while nobody waits
	slowed  int64           // times that somebody had to wait
}

// event is one call.
type event struct {
	call func()
	push bool
	lost int // in place of a call: so many pushes were lost here
}

func (e *events) put(call func()) { e.add(event{call: call}) }

// putPush is put for a push, of which the oldest may make room for it. It returns how many have.
func (e *events) putPush(call func()) (dropped int) {
	e.mu.Lock()
	if e.pushes >= maxPushes {
		e.dropPush()
		dropped = 1
	}
	e.mu.Unlock()
	e.add(event{call: call, push: true})
	return dropped
}

// putLost tells in its turn of pushes that were lost.
func (e *events) putLost(pushes int) { e.add(event{lost: pushes}) }

func (e *events) add(ev event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, ev)
	if ev.push {
		e.pushes++
	}
	if !e.running {
		e.running = true
		go e.run() // ends when the queue is empty
	}
}

// dropPush drops the oldest push. What tells of it stands in its place, once for all that were lost there. The lock is held.
func (e *events) dropPush() {
	for i := range e.queue {
		if !e.queue[i].push {
			continue
		}
		e.pushes--
		if i > 0 && e.queue[i-1].lost > 0 {
			e.queue[i-1].lost++
			copy(e.queue[i:], e.queue[i+1:])
			e.queue[len(e.queue)-1] = event{}
			e.queue = e.queue[:len(e.queue)-1]
			return
		}
		e.queue[i] = event{lost: 1}
		return
	}
}

func (e *events) run() {
	for {
		e.mu.Lock()
		if len(e.queue) == 0 {
			e.running = false
			for _, idle := range e.idle {
				close(idle)
			}
			e.idle, e.queue = nil, nil
			e.mu.Unlock()
			return
		}
		next := e.queue[0]
		e.queue[0] = event{}
		e.queue = e.queue[1:]
		if next.push {
			e.pushes--
		}
		if len(e.queue) < maxWaiting {
			e.makeRoom()
		}
		e.mu.Unlock()
		e.call(next)
	}
}

func (e *events) call(next event) {
	defer func() {
		if cause := recover(); cause != nil {
			e.failed(cause, debug.Stack())
		}
	}()
	if next.lost > 0 {
		e.lost(next.lost)
		return
	}
	next.call()
}

// awaitRoom blocks while maxWaiting calls wait, unless somebody waits for an answer, or until ctx ends.
func (e *events) awaitRoom(ctx context.Context) {
	for {
		e.mu.Lock()
		if len(e.queue) < maxWaiting || e.asking > 0 {
			e.mu.Unlock()
			return
		}
		if e.space == nil {
			e.space = make(chan struct{})
			e.slowed++
		}
		space := e.space
		e.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
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
