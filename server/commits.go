package server

import (
	"context"
	"errors"
	"sync"

	"parlor/store"
)

// commits writes what many ask for with few calls of the store: all who ask while a commit is under way share the next one.
type commits struct {
	srv *Server

	mu      sync.Mutex // guards the fields below
	waiting []*write
	running bool
	closed  bool
	idle    chan struct{} // closed when the last commit is over; set by close
}

// write are changes that one has asked for.
type write struct {
	changes []store.Change
	// wanted, if not nil, is asked just before they are written: an error is why they are not any more.
	wanted func() error
	done   func(error)

	late bool // it was asked for behind the end
}

// ask has changes written, and calls done when they are on disk or cannot be. Those of one caller are written in the order of
// its calls, and told of in that order, on another goroutine. It does not block.
func (c *commits) ask(w *write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.late = c.closed
	c.waiting = append(c.waiting, w)
	if !c.running {
		c.running = true
		go c.loop() // ends when nobody waits
	}
}

func (c *commits) loop() {
	for {
		c.mu.Lock()
		writes := c.waiting
		c.waiting = nil
		if len(writes) == 0 {
			c.running = false
			if c.idle != nil {
				close(c.idle)
				c.idle = nil
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.write(writes)
	}
}

// write writes what was asked for, as far as it is still wanted.
func (c *commits) write(writes []*write) {
	good := make([]*write, 0, len(writes))
	var changes []store.Change
	for _, w := range writes {
		if err := w.refused(); err != nil {
			defer w.done(err) // behind those before it
			continue
		}
		good = append(good, w)
		changes = append(changes, w.changes...)
	}
	err := c.commit(changes)
	alone := errors.Is(err, store.ErrConflict) && len(good) > 1 // one of them is wrong: it shall not stop the others
	for _, w := range good {
		if !alone {
			w.done(err)
		} else if err := w.refused(); err != nil {
			w.done(err)
		} else {
			w.done(c.commit(w.changes))
		}
	}
}

// notStored is what users are told of an error of the store.
func notStored(err error) string {
	if errors.Is(err, store.ErrUnknown) {
		return textUnknown
	}
	return textNotStored
}

// refused is why changes are not to be written, or nil.
func (w *write) refused() error {
	switch {
	case w.late:
		return store.ErrClosed
	case w.wanted != nil:
		return w.wanted()
	}
	return nil
}

func (c *commits) commit(changes []store.Change) error {
	if len(changes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.srv.cfg.Limits.CommitWait)
	defer cancel()
	err := c.srv.cfg.Store.Commit(ctx, changes...)
	if err != nil {
		c.srv.stats.SaveErrors.Add(1)
		c.srv.logger.Error("the store did not take changes", "changes", len(changes), "err", err)
	}
	if errors.Is(err, store.ErrFenced) { // another server serves what this one would
		c.srv.Shutdown(1)
	}
	return err
}

// close refuses what is asked for later with store.ErrClosed, and waits until all from before is written.
func (c *commits) close() {
	c.mu.Lock()
	c.closed = true
	if c.idle == nil && c.running {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	if idle == nil {
		return
	}
	<-idle
}
