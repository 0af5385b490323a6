package room

import (
	"sync"
	"sync/atomic"
)

// Workers runs rooms on goroutines that are kept for the next room that wakes, with the stacks that they
// have grown: a new goroutine would grow its stack again for every packet, at a tenth of all the work of a
// busy server. A nil *Workers runs each room on a new goroutine. Its methods may be called concurrently.
type Workers struct {
	rooms   chan *Room // taken by parked workers
	stop    chan struct{}
	closing sync.Once
	parked  atomic.Int32
}

// maxParked bounds the goroutines that wait for a room to wake.
const maxParked = 256

// NewWorkers makes a pool, which holds no goroutine before a room has run. Close ends those that it holds.
func NewWorkers() *Workers {
	return &Workers{rooms: make(chan *Room), stop: make(chan struct{})}
}

// Close ends the parked goroutines. Rooms still run afterwards, on new ones. It may be called again.
func (w *Workers) Close() { w.closing.Do(func() { close(w.stop) }) }

// run runs a room until its mailbox is empty. It does not block.
func (w *Workers) run(r *Room) {
	if w == nil {
		go r.run() // ends when the mailbox is empty
		return
	}
	select {
	case w.rooms <- r:
	default:
		go w.work(r) // ends with Close, or when too many are parked
	}
}

func (w *Workers) work(r *Room) {
	for {
		r.run()
		if w.parked.Add(1) > maxParked {
			w.parked.Add(-1)
			return
		}
		select {
		case r = <-w.rooms:
			w.parked.Add(-1)
		case <-w.stop:
			return
		}
	}
}
