//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"parlor/internal/exampletest"
)

// TestPasswordAwaited: a signal ends a command that waits for a password, with what it says of that, and gives the store back.
func TestPasswordAwaited(t *testing.T) {
	at := emptyStore(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := exampletest.Start(t, exampletest.Build(t, "."), "user", "passwd", "admin", "--store", at, "--password-file", fifo)
	for end := time.Now().Add(exampletest.Patience); ; {
		f, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil { // it reads
			defer f.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // sleep: polls what another process does
	}
	p.Signal(syscall.SIGTERM)
	p.Ends(1)
	checkContains(t, p.Stderr.Text(), "interrupted: nothing was changed")
	mustParlor(t, "user", "add", "alice", "--no-password", "--store", at)
}
