//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package lockfile_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"parlor/internal/lockfile"
)

// TestCloseUnlocks: the lock is free when Close returns, also if a process is being started, which has all files of this one
// for a moment.
func TestCloseUnlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := lockfile.Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	others, err := syscall.Dup(int(lock.File().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(others)
	if _, err := lockfile.Acquire(path); !errors.Is(err, lockfile.ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
	again, err := lockfile.Acquire(path)
	if err != nil {
		t.Fatalf("locked again: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
