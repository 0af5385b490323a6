// Package lockfile keeps a file for one server at a time: [Acquire] locks it until the file is closed or the
// process ends, however it ends. The lock binds those who ask for it too, and does not keep others from reading and
// writing.
package lockfile

import "errors"

// ErrLocked says that another server, or another part of this one, holds the lock.
var ErrLocked = errors.New("another server is using it")
