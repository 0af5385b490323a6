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

// TestShare: who shares a lock keeps away who wants it alone, and the reverse.
func TestShare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	one, err := lockfile.Share(path)
	if err != nil {
		t.Fatal(err)
	}
	two, err := lockfile.Share(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, lock := range []*lockfile.Lock{one, two} {
		if _, err := lockfile.Acquire(path); !errors.Is(err, lockfile.ErrLocked) {
			t.Errorf("acquired while it is shared: %v", err)
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	}
	alone, err := lockfile.Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockfile.Share(path); !errors.Is(err, lockfile.ErrLocked) {
		t.Errorf("shared while another has it: %v", err)
	}
	if err := alone.Close(); err != nil {
		t.Error(err)
	}
}
