//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package lockfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Acquire locks the file at path, which is made if it is missing, mode 0600. It does not wait: the error is
// ErrLocked if another holds it. The lock is nil where there are none.
func Acquire(path string) (*Lock, error) {
	return acquire(path, os.O_RDWR, syscall.LOCK_EX)
}

// Share is Acquire of a lock that others may share, and nobody has by Acquire. The file need not be writable.
func Share(path string) (*Lock, error) {
	return acquire(path, os.O_RDONLY, syscall.LOCK_SH)
}

func acquire(path string, mode, how int) (*Lock, error) {
	file, err := os.OpenFile(path, mode|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the lock: %w", err)
	}
	if err := flock(file, how|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (it holds %s); stop it, or give each server a file of its own", ErrLocked, path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &Lock{file}, nil
}

func unlock(file *os.File) error { return flock(file, syscall.LOCK_UN) }

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
