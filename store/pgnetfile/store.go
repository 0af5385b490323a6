package pgnetfile

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"parlor"
	"parlor/internal/password"
	"parlor/internal/snapshot"
	"parlor/store"
)

// Store is a [store.Store] that keeps everything in memory, and what pgnet's save file has a form for in one: users with pgnet's hashes
// of their passwords, invites, whether new users may register, and saves. All else, such as the hash of the administrator's
// password, is gone with the process. Each commit writes the whole file.
type Store struct {
	store.Memory

	mu     sync.Mutex // guards closed, and what file writes
	file   *File
	closed bool
}

var _ store.Store = (*Store)(nil)

// OpenStore is Open and the file's content. What it has twice is told to Options.Logger.
func OpenStore(path string, opts Options) (*Store, error) {
	f, err := Open(path, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{file: f}
	snap, found, err := f.Load()
	if err == nil && found {
		changes, leftOut := snapshot.Changes(snap, parlor.FoldDigits, password.Clear)
		for _, what := range leftOut {
			f.opts.Logger.Warn("the save file has something that cannot be used", "left out", what)
		}
		err = s.Memory.Commit(context.Background(), changes...)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	s.Keep = s.write
	return s, nil
}

// Commit writes changes. Those of games that are durable are refused with store.ErrConflict, as the file has no form for a
// journal: it would be lost with the process.
func (s *Store) Commit(ctx context.Context, changes ...store.Change) error {
	for _, c := range changes {
		durable := false
		switch c := c.(type) {
		case store.PutGame:
			durable = c.Durable
		case store.Append, store.PutSession:
			durable = true
		}
		if durable {
			return fmt.Errorf("%w: pgnet's save file cannot keep games that are durable: have the server keep all in a store, with --store in place of --save "+
				"(parlor save import takes over what is in %s)", store.ErrConflict, s.Path())
		}
	}
	return s.Memory.Commit(ctx, changes...)
}

// write writes what has a form in the file.
func (s *Store) write(_ context.Context, all []store.Change) error {
	snap, _, err := snapshot.Of(each(all))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%w: %s", store.ErrClosed, s.Path())
	}
	return s.file.Save(snap)
}

func each(all []store.Change) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for _, c := range all {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Path is the path that was given to OpenStore.
func (s *Store) Path() string { return s.file.Path() }

// Close waits for a commit that is being written, and lets go of the file: Commit is store.ErrClosed from then on. What is in memory can
// be read all the same.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.file.Close()
}
