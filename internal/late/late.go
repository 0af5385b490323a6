// Package late has things done a moment later, together: what waits to be written may be joined meanwhile.
package late

import (
	"sync"
	"time"
)

// Delay is how long a moment is. Below a millisecond the system's timers gain nothing.
const Delay = time.Millisecond

// Flusher is who has something to write. Flush must not block.
type Flusher interface{ Flush() }

// Group is who is to be flushed next. The zero Group is ready. Its methods may be called concurrently.
type Group struct {
	mu     sync.Mutex // guards the fields below
	list   []Flusher
	spare  []Flusher // to be the list, in turn
	timer  *time.Timer
	closed bool
}

// Add has f flushed within Delay, on another goroutine. It tells whether it will be: not behind Close.
func (g *Group) Add(f Flusher) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.list = append(g.list, f)
	if len(g.list) > 1 {
		return true // the timer runs
	}
	if g.timer == nil {
		g.timer = time.AfterFunc(Delay, g.flush)
	} else {
		g.timer.Reset(Delay)
	}
	return true
}

// flush flushes all.
func (g *Group) flush() {
	g.mu.Lock()
	list := g.list
	g.list, g.spare = g.spare[:0], nil
	g.mu.Unlock()
	for i, f := range list {
		f.Flush()
		list[i] = nil
	}
	if cap(list) <= 1024 {
		g.mu.Lock()
		g.spare = list[:0]
		g.mu.Unlock()
	}
}

// Close ends it; who was added is flushed.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.flush()
}
