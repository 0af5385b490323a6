package store

import (
	"errors"
	"net"
)

// The errors that callers branch on, with errors.Is. Those of stores say more: what is wrong with which file or server, and
// what to do.
var (
	ErrNotFound = errors.New("not found")
	// ErrUnknown means that it could not be found out in time whether a commit is there.
	ErrUnknown = errors.New("it is not known whether it was stored")
	// ErrFenced means that another server has taken over the store: this one may not write any more.
	ErrFenced = errors.New("another server has taken over the store")
	// ErrInUse means that another server has the store.
	ErrInUse = errors.New("the store is in use by another server")
	// ErrNewer means that the store was written by a newer version of this program.
	ErrNewer = errors.New("the store was written by a newer version")
	// ErrDamaged means that what is stored is not what was written.
	ErrDamaged = errors.New("the store is damaged")
	// ErrFull means that there is no room to write; when there is, commits succeed again.
	ErrFull = errors.New("there is no room left to write")
	// ErrReadOnly means that the place cannot be written.
	ErrReadOnly = errors.New("the store cannot be written")
	// ErrUnavailable means that the store cannot be reached for now.
	ErrUnavailable = errors.New("the store cannot be reached")
	// ErrClosed is what a store says that was closed. It is net.ErrClosed to errors.Is.
	ErrClosed error = closedError{}
	// ErrConflict means changes that cannot be made: a name or number that something else has, or a piece of a journal that
	// does not follow the one before. It is a fault of the caller.
	ErrConflict = errors.New("the changes do not fit what is stored")
)

// kinds are all of them.
var kinds = []error{
	ErrNotFound, ErrUnknown, ErrFenced, ErrInUse, ErrNewer, ErrDamaged, ErrFull, ErrReadOnly, ErrUnavailable, ErrClosed, ErrConflict,
}

// Kind is which of the errors of this package an error is, or nil.
func Kind(err error) error {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}

type closedError struct{}

func (closedError) Error() string        { return "the store is closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }
