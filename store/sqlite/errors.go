package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"parlor/store"
)

// explain makes of an error of SQLite or of the system, which came while something was done, one that callers branch on, with what a
// person can do. Other errors stay as they are.
func (s *Store) explain(ctx context.Context, doing string, err error) error {
	switch advice, kind := classify(err); {
	case err == nil:
		return nil
	case store.Kind(err) != nil: // it is one already
		return err
	case errors.Is(err, sqlite3.INTERRUPT) && ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	case kind == nil:
		return err
	case errors.Is(err, sqlite3.IOERR_DATA): // whose text is that of a disk that fails
		return s.damage(fmt.Errorf("a page has not the checksum that it was written with: %w", err))
	case kind == store.ErrDamaged:
		return s.damage(err)
	default:
		if s.readOnly && kind == store.ErrReadOnly {
			advice = "also to read it, the user of this process must be able to write this folder and the files in it: let her, or copy the folder to where she is, and read that"
		}
		return fmt.Errorf("%s: %w: %s: %w; %s", doing, kind, s.path, err, advice)
	}
}

// classify tells which of the store's errors one of SQLite or of the system is; nil if it is none of these.
func classify(err error) (advice string, kind error) {
	var code sqlite3.ErrorCode
	switch {
	case err == nil:
	case errors.Is(err, sqlite3.FULL), noRoom(err), errors.Is(err, sqlite3.IOERR_SHMSIZE): // the last: SQLite's shared memory cannot grow
		return "make room on this disk", store.ErrFull
	case errors.Is(err, sqlite3.CORRUPT), errors.Is(err, sqlite3.NOTADB), errors.Is(err, sqlite3.IOERR_DATA), errors.Is(err, sqlite3.IOERR_CORRUPTFS):
		return "", store.ErrDamaged
	case errors.Is(err, sqlite3.READONLY), errors.Is(err, sqlite3.PERM), notWritable(err):
		return "let the user of this process write this folder and the files in it, or give the server another folder", store.ErrReadOnly
	case errors.Is(err, sqlite3.BUSY), errors.Is(err, sqlite3.LOCKED):
		return "another program has the database locked: end it", store.ErrUnavailable
	case errors.Is(err, sqlite3.TOOBIG):
		return "it is too large for a database", store.ErrConflict
	case errors.As(err, &code):
		return "look at the disk, and at the log of the system", store.ErrUnavailable
	}
	return "", nil
}

// damage says that the database is not what was written, and keeps this store from writing from now on.
func (s *Store) damage(err error) error {
	err = fmt.Errorf("%w: %s: %w; nothing is written to it any more: stop the server, keep a copy of the folder, and restore a backup into another one "+
		"(parlor restore)", store.ErrDamaged, s.path, err)
	s.damaged.CompareAndSwap(nil, &err)
	return err
}
