//go:build linux

package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"parlor/internal/disktest"
	"parlor/store"
	"parlor/store/sqlite"
)

// TestFull fills the disk, again and again.
func TestFull(t *testing.T) {
	t.Parallel()
	for what, opt := range map[string]sqlite.Options{"as usual": {}, "moving": sqlite.Options{}.Recent(100_000)} {
		t.Run(what, func(t *testing.T) { full(t, opt.Log(64, 1<<30)) })
	}
}

func full(t *testing.T, opt sqlite.Options) {
	dir := disktest.New(t, t.TempDir(), "6m").Dir
	s := openWith(t, filepath.Join(dir, "data"), opt)
	commit(t, s, store.PutGame{Number: 1, Name: "a"})
	filler := filepath.Join(dir, "filler")
	entry := uint64(0)
	for round := range 3 {
		err := os.WriteFile(filler, make([]byte, 3<<20), 0o600)
		if round == 0 && err != nil || err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
		for err == nil {
			entry++
			err = s.Commit(t.Context(), store.Append{Game: 1, First: entry, Last: entry, Data: make([]byte, 50_000)},
				store.PutUser{Name: fmt.Sprint(entry), Secret: strings.Repeat("s", 5000)})
		}
		if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "make room") {
			t.Fatalf("round %d: error %v, want ErrFull", round, err)
		}
		entry-- // nothing of it is there
		count := uint64(0)
		for p, err := range s.Journal(t.Context(), 1, 0) {
			if err != nil || len(p.Data) != 50_000 {
				t.Fatalf("round %d: %d bytes, error %v", round, len(p.Data), err)
			}
			count++
		}
		if n, err := s.CountUsers(t.Context()); err != nil || uint64(n) != entry || count != entry || round == 0 && entry == 0 {
			t.Errorf("round %d: %d users and %d pieces, error %v, want %d", round, n, count, err, entry)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		commit(t, s, store.DeleteGame{Number: 1}, store.PutGame{Number: 1, Name: "a"})
		for n := range entry {
			commit(t, s, store.DeleteUser{Name: fmt.Sprint(n + 1)})
		}
		entry = 0
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	commit(t, open(t, filepath.Join(dir, "data")), setting("x"))
}

// TestFullOfItself has a store fill its disk. It goes on when something is deleted in it, and can be closed and opened.
func TestFullOfItself(t *testing.T) {
	t.Parallel()
	for what, opt := range map[string]sqlite.Options{"as usual": {}, "moving": sqlite.Options{}.Recent(100_000)} {
		t.Run(what, func(t *testing.T) { fullOfItself(t, opt.Log(64, 1<<30)) })
	}
}

func fullOfItself(t *testing.T, opt sqlite.Options) {
	dir := disktest.New(t, t.TempDir(), "3m").Dir
	s := openWith(t, filepath.Join(dir, "data"), opt)
	commit(t, s, store.PutGame{Number: 1, Name: "a"})
	var err error
	users := 0
	for entry := uint64(1); err == nil; entry++ {
		users++
		err = s.Commit(t.Context(), store.Append{Game: 1, First: entry, Last: entry, Data: make([]byte, 20_000)},
			store.PutUser{Name: fmt.Sprint(users), Secret: strings.Repeat("s", 5000)})
	}
	users--
	for deadline := time.Now().Add(time.Minute); err != nil; time.Sleep(time.Millisecond) { // sleep: until the log was written into the database
		if !errors.Is(err, store.ErrFull) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		err = s.Commit(t.Context(), store.DeleteUser{Name: "1"})
	}
	users--
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = openWith(t, filepath.Join(dir, "data"), opt)
	if n, err := s.CountUsers(t.Context()); err != nil || n != users {
		t.Errorf("%d users, error %v, want %d", n, err, users)
	}
	commit(t, s, store.DeleteGame{Number: 1})
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNoRoomToBegin opens a store on a full disk.
func TestNoRoomToBegin(t *testing.T) {
	t.Parallel()
	small := disktest.New(t, t.TempDir(), "64k")
	dir := small.Dir
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, filepath.Join(dir, "data"), sqlite.Options{}, store.ErrFull)
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	small.Change("4m", false)
	commit(t, open(t, filepath.Join(dir, "data")), setting("x"))
}

// TestReadOnly takes away the right to write, before and while the store is open.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	small := disktest.New(t, t.TempDir(), "8m")
	dir := small.Dir
	small.Change("8m", true)
	refused(t, filepath.Join(dir, "data"), sqlite.Options{}, store.ErrReadOnly, "another folder")
	small.Change("8m", false)
	s := open(t, filepath.Join(dir, "data"))
	commit(t, s, setting("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	small.Change("8m", true)
	refused(t, filepath.Join(dir, "data"), sqlite.Options{}, store.ErrReadOnly, "another folder")
	if _, err := sqlite.OpenReadOnly(t.Context(), filepath.Join(dir, "data"), sqlite.Options{}); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), "copy the folder") {
		t.Errorf("opened for reading: %v", err)
	}
	small.Change("8m", false)
	hasSettings(t, open(t, filepath.Join(dir, "data")), "a")
}
