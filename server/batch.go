package server

import "sync"

// batch does one piece of work for many callers: all who ask while a run is under way share the next one,
// so that a rush of callers costs few runs. Each caller's run begins after it has asked.
type batch[T any] struct {
	run func() T // does the work; it may block

	mu      sync.Mutex // guards the fields below
	waiting []func(T)
	running bool
}

// ask calls done with the result of a run that begins after this call. It does not block.
func (b *batch[T]) ask(done func(T)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, done)
	if !b.running {
		b.running = true
		go b.loop() // ends when nobody waits
	}
}

func (b *batch[T]) loop() {
	for {
		b.mu.Lock()
		callers := b.waiting
		b.waiting = nil
		if len(callers) == 0 {
			b.running = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		result := b.run()
		for _, done := range callers {
			done(result)
		}
	}
}
