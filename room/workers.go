package room

import "sync"

// Workers runs rooms on goroutines that are kept for the next room that wakes, with the stacks that they
// have grown: a new goroutine would grow its stack again for every packet, at a tenth of all the work of a
// busy server. A nil *Workers runs each room on a new goroutine. Its methods may be called concurrently.
//
// Each room that wakes has a goroutine wake for it, so that none waits for the game of another. A goroutine that is done with its
// room takes the next one, which may be quicker: where hundreds of rooms wake at once, as behind a commit of the store, few
// goroutines do the work, and those that come too late end without having grown their stacks.
type Workers struct {
	mu     sync.Mutex // guards the fields below
	ready  []*Room    // from first on: those that no goroutine has taken yet
	first  int
	coming int // goroutines that were woken or made, and have not looked yet: as many as rooms are ready, or more
	parked []chan struct{}
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
		w.coming++
		worker <- struct{}{}
	}
	w.parked = nil
}

// run runs a room until its mailbox is empty, on the goroutine that was parked last, or another that is sooner free. It does not block.
func (w *Workers) run(r *Room) {
	if w == nil {
		go r.run() // ends when the mailbox is empty
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(r)
	if len(w.ready)-w.first <= w.coming {
		return
	}
	w.coming++
	last := len(w.parked) - 1
	if last < 0 {
		go w.work() // ends with Close, or when enough are parked
		return
	}
	worker := w.parked[last]
	w.parked = w.parked[:last]
	worker <- struct{}{} // has room for one
}

func (w *Workers) work() {
	wake := make(chan struct{}, 1)
	for w.arrive(wake) {
		<-wake
	}
}

// arrive runs rooms until none is ready, and tells whether the goroutine is parked then.
func (w *Workers) arrive(wake chan struct{}) (parked bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.coming--
	for w.first < len(w.ready) {
		r := w.take()
		w.mu.Unlock()
		r.run()
		w.mu.Lock()
	}
	if w.closed || len(w.parked) >= maxParked {
		return false
	}
	w.parked = append(w.parked, wake)
	return true
}

// add appends to what is ready. The lock is held.
func (w *Workers) add(r *Room) {
	if w.first > len(w.ready)/2 && len(w.ready) == cap(w.ready) {
		n := copy(w.ready, w.ready[w.first:])
		clear(w.ready[n:])
		w.ready, w.first = w.ready[:n], 0
	}
	w.ready = append(w.ready, r)
}

// take takes the room that has been ready for the longest time. The lock is held.
func (w *Workers) take() *Room {
	r := w.ready[w.first]
	w.ready[w.first] = nil
	if w.first++; w.first == len(w.ready) {
		w.ready, w.first = w.ready[:0], 0
	}
	return r
}
