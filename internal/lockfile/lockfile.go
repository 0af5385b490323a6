// Package lockfile keeps a file for one server at a time: [Acquire] locks it until [Lock.Close], or the end of the
// process, however it ends. [Share] keeps such servers away for a moment. The lock binds those who ask for it too, and does not keep others from reading and
// writing.
package lockfile

import (
	"errors"
	"os"
)

// ErrLocked says that another server, or another part of this one, holds the lock.
var ErrLocked = errors.New("another server is using it")

// Lock is a file that is locked. Its Close is called once.
type Lock struct{ file *os.File }

// Close unlocks the file and closes it; it does not wait. Closing alone would do only once every process has closed it that
// was being started meanwhile: such a process has this one's files until it begins with its program.
func (l *Lock) Close() error { return errors.Join(unlock(l.file), l.file.Close()) }
