package memnet

import (
	"sync"
	"time"
)

// signal wakes goroutines that wait for something to change. The lock that guards what changes guards it too.
type signal struct {
	c chan struct{} // made by who waits, so that it is of his bubble; nil if nobody does
}

// wake wakes all.
func (s *signal) wake() {
	if s.c != nil {
		close(s.c)
		s.c = nil
	}
}

// wait gives up the lock until wake is called, a time has come (the zero one does not), or done is closed. It may also
// return for no reason.
func (s *signal) wait(mu *sync.Mutex, until time.Time, done <-chan struct{}) {
	if s.c == nil {
		s.c = make(chan struct{})
	}
	changed := s.c
	mu.Unlock()
	defer mu.Lock()
	var timeout <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-changed:
	case <-timeout:
	case <-done:
	}
}

// reached tells whether a time has come. The zero time never comes.
func reached(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// soonest is the first of some times that is yet to come, the zero time if there is none.
func soonest(now time.Time, times ...time.Time) (first time.Time) {
	for _, t := range times {
		if t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
