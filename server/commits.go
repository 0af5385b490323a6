package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"parlor/store"
)

// commits writes what many ask for with few calls of the store: all who ask while a commit is under way share the next one.
type commits struct {
	srv *Server

	// owed are deletions that the store did not take. They are written ahead of all that comes later, so that nothing new finds in its
	// way what is to be gone. They belong to who is running.
	owed []store.Change

	// The last commit: when it began, and how many shared it. They belong to who is running, too.
	began   time.Time
	company int

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
	owed   bool // they are deletions, to be written later if they cannot be now

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

// A commit begins so long behind the one before at the earliest, if that was shared by many. So under load there are fewer and larger ones, which
// cost a third less time of the processors: on a busy machine the slowest wait for less long, while the others wait a little longer. Where few ask
// nobody waits.
const (
	commitPace    = 3 * time.Millisecond
	commitCompany = 8
)

func (c *commits) loop() {
	for {
		if c.company > commitCompany {
			time.Sleep(time.Until(c.began.Add(commitPace))) // sleep: for company
		}
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
		c.began, c.company = time.Now(), len(writes)
		c.write(writes)
	}
}

// write writes what was asked for, as far as it is still wanted.
func (c *commits) write(writes []*write) {
	refused := make([]error, len(writes))
	good := 0
	var changes []store.Change
	for i, w := range writes {
		if refused[i] = w.refused(); refused[i] == nil {
			changes = append(changes, w.changes...)
			good++
		}
	}
	err := c.commit(changes)
	alone := errors.Is(err, store.ErrConflict) && good > 1 // one of them is wrong: it shall not stop the others
	behind := changes                                      // those of the writes that are not told yet
	for i, w := range writes {
		switch {
		case refused[i] != nil:
			w.done(refused[i])
		case !alone:
			behind = behind[len(w.changes):]
			c.tell(w, err, behind)
		default:
			if err = w.refused(); err == nil {
				err = c.commit(w.changes)
			}
			c.tell(w, err, nil)
		}
	}
}

// tell tells how it went. Behind are the changes behind those of w in its commit.
func (c *commits) tell(w *write, err error, behind []store.Change) {
	if err != nil && w.owed {
		c.owed = append(c.owed, stillOwed(w.changes, err, behind)...)
	}
	w.done(err)
}

// stillOwed are the deletions to be written after a commit that ended with an error: not those of sessions that were put again behind them, if that may
// have been made.
func stillOwed(owed []store.Change, err error, behind []store.Change) (still []store.Change) {
	if !errors.Is(err, store.ErrUnknown) {
		return owed
	}
	put := make(map[string]bool)
	for _, change := range behind {
		if session, is := change.(store.PutSession); is {
			put[session.ID] = true
		}
	}
	for _, change := range owed {
		if session, is := change.(store.DeleteSession); !is || !put[session.ID] {
			still = append(still, change)
		}
	}
	return still
}

// forget has something deleted, later if the store cannot now. Done may be nil.
func (s *Server) forget(change store.Change, done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	s.commits.ask(&write{changes: []store.Change{change}, owed: true, done: done})
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
	err := c.srv.cfg.Store.Commit(ctx, append(c.owed[:len(c.owed):len(c.owed)], changes...)...)
	if err == nil {
		c.owed = nil
	} else {
		c.owed = stillOwed(c.owed, err, changes)
		c.srv.stats.SaveErrors.Add(1)
		c.srv.trouble(slog.LevelError, "the store did not take changes", "changes", len(changes), "err", err)
	}
	return c.srv.heed(err)
}

// heed ends a server that has lost its store: another one serves what this one would.
func (s *Server) heed(err error) error {
	if errors.Is(err, store.ErrFenced) {
		s.Shutdown(1)
	}
	return err
}

// settle sees to it that no commit is in doubt, and that the store is this server's still.
func (s *Server) settle(ctx context.Context) error {
	return s.heed(s.cfg.Store.Commit(ctx))
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
