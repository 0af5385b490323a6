package room

import "sync"

// Workers runs rooms on goroutines that are kept for the next room that wakes, with the stacks that they
// have grown: a new goroutine would grow its stack again for every packet, at a tenth of all the work of a
// busy server. A nil *Workers runs each room on a new goroutine. Its methods may be called concurrently.
type Workers struct {
	mu     sync.Mutex // guards the fields below
	parked []chan *Room
	closed bool
}

// maxParked bounds the goroutines that wait for a room to wake.
const maxParked = 64

// NewWorkers makes a pool, which holds no goroutine before a room has run. Close ends those that it holds.
func NewWorkers() *Workers { return &Workers{} }

// Close ends the parked goroutines. Rooms still run afterwards, on new ones. It may be called again.
func (w *Workers) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, worker := range w.parked {
		worker <- nil
	}
	w.parked = nil
}

// run runs a room until its mailbox is empty, on the goroutine that was parked last. It does not block.
func (w *Workers) run(r *Room) {
	if w == nil {
		go r.run() // ends when the mailbox is empty
		return
	}
	w.mu.Lock()
	last := len(w.parked) - 1
	if last < 0 {
		w.mu.Unlock()
		go w.work(r) // ends with Close, or when enough are parked
		return
	}
	worker := w.parked[last]
	w.parked = w.parked[:last]
	w.mu.Unlock()
	worker <- r // has room for one
}

func (w *Workers) work(r *Room) {
	next := make(chan *Room, 1)
	for r != nil {
		r.run()
		if !w.park(next) {
			return
		}
		r = <-next
	}
}

func (w *Workers) park(worker chan *Room) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.parked) >= maxParked {
		return false
	}
	w.parked = append(w.parked, worker)
	return true
}
