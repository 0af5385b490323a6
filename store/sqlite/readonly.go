package sqlite

import (
	"context"
	"errors"
	"fmt"

	"parlor/internal/lockfile"
	"parlor/store"
)

// OpenReadOnly opens the store in a folder for reading, also while a server has it: it takes no lease, and changes nothing; Commit is
// ErrReadOnly. An export that goes on while the server's log grows by 1 GiB gets ErrUnavailable. Errors are those of [Open], but for ErrInUse;
// where there is no store it is ErrNotFound.
func OpenReadOnly(ctx context.Context, dir string, opt Options) (*Store, error) {
	s := newStore(dir, opt)
	s.readOnly = true
	if err := s.openReadOnly(ctx, dir); err != nil {
		s.end()
		return nil, s.explain(ctx, "open the store", err)
	}
	s.readers = newPool(s)
	return s, nil
}

func (s *Store) openReadOnly(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	size, err := sizeOf(s.path)
	if err != nil {
		return err
	}
	if size == 0 && !s.marked() {
		return noStore(dir)
	}
	lock, err := s.lockForLook()
	if err != nil {
		return err
	}
	if lock != nil {
		// No server has looked at the files.
		_, err := s.look()
		if err = errors.Join(err, lock.Close()); err != nil {
			return err
		}
	}
	_ = s.touch(s.path + "-shm") // what is wrong with that, SQLite says
	c, err := s.connect(ctx, readerPragmas)
	if err != nil {
		return err
	}
	defer c.Close()
	version, err := s.schema(c)
	switch {
	case err != nil:
		return err
	case version == 0:
		return noStore(dir)
	case version < int64(len(steps())):
		return fmt.Errorf("%w: %s has the schema %d of an older version: start a server of this version on it first", store.ErrUnavailable, s.path, version)
	}
	return nil
}

func noStore(dir string) error {
	return fmt.Errorf("there is no store in %s: %w", dir, store.ErrNotFound)
}

// lockForLook keeps servers from opening the store for a moment; it is nil if one has it, or where files have no locks.
func (s *Store) lockForLook() (*lockfile.Lock, error) {
	_ = s.touch(s.lockPath()) // it may be there where nothing can be made
	lock, err := lockfile.Share(s.lockPath())
	if errors.Is(err, lockfile.ErrLocked) {
		return nil, nil
	}
	return lock, err
}
