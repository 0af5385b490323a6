package client

import (
	"runtime/debug"
	"sync"
)

// events calls functions of the application one after another, in order, on a goroutine that runs only
// while there are some. What waits is bounded by the requests of the application itself, and by the single
// heartbeat that is under way.
type events struct {
	failed func(cause any, stack []byte) // told of a panic

	mu      sync.Mutex // guards the fields below
	queue   []func()
	running bool
	idle    []chan struct{} // closed when the queue is empty
}

func (e *events) put(call func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, call)
	if !e.running {
		e.running = true
		go e.run() // ends when the queue is empty
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
			e.idle = nil
			e.mu.Unlock()
			return
		}
		call := e.queue[0]
		e.queue = e.queue[1:]
		e.mu.Unlock()
		e.call(call)
	}
}

func (e *events) call(call func()) {
	defer func() {
		if cause := recover(); cause != nil {
			e.failed(cause, debug.Stack())
		}
	}()
	call()
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
