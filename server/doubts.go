package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"parlor/store"
)

// doubts are changes of the lobby's tables that the store may have made, or not (store.ErrUnknown). Who asked for one is told so; what became of it is found
// out as soon as the store can tell, or the tables would say something else than the store until the next start.
type doubts struct {
	srv *Server

	mu      sync.Mutex // guards the fields below
	open    []doubt
	running bool
}

// doubt is one of them.
type doubt struct {
	made func(ctx context.Context) (bool, error) // reads whether it is there
	tell func(made bool)                         // is called once that is known, with no lock held
}

// doubtPause is how long it takes until a store that could not tell is asked again.
const doubtPause = time.Second

// add has it found out what became of a change. It is called behind its commit, by who makes these, and does nothing while the server stops: the next
// one reads the store.
func (d *doubts) add(one doubt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.srv.stopping.Load() {
		return
	}
	d.open = append(d.open, one)
	if !d.running {
		d.running = true
		d.srv.saving.Go(d.loop) // ends when nothing is in doubt, or with the server
	}
}

func (d *doubts) loop() {
	for {
		d.mu.Lock()
		open := slices.Clone(d.open)
		if len(open) == 0 {
			d.running = false
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
		known := d.look(open)
		d.mu.Lock()
		d.open = d.open[known:]
		d.mu.Unlock()
		if known == len(open) {
			continue
		}
		select {
		case <-d.srv.reads.Done():
			return
		case <-time.After(doubtPause):
		}
	}
}

// look tells of so many as can be known, in their order.
func (d *doubts) look(open []doubt) (known int) {
	ctx, cancel := context.WithTimeout(d.srv.reads, d.srv.cfg.Limits.CommitWait)
	defer cancel()
	if d.srv.settle(ctx) != nil {
		return 0
	}
	for _, one := range open {
		made, err := one.made(ctx)
		if err != nil {
			break
		}
		one.tell(made)
		known++
	}
	return known
}

// isThere reads whether a user is stored.
func (s *Server) isThere(ctx context.Context, name string) (bool, error) {
	_, err := s.cfg.Store.User(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// isGone reads whether a user who was stored with a number is not any more.
func (s *Server) isGone(ctx context.Context, name string, number int64) (bool, error) {
	u, err := s.cfg.Store.User(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return u.Number != number, err
}
