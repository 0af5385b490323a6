package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"parlor/internal/lockfile"
	"parlor/store"
	"parlor/store/sqlite"
)

func openReadOnly(t *testing.T, dir string, opt sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.OpenReadOnly(t.Context(), dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestOpenReadOnly: beside the server that has the store, which goes on, and after it; an export is of one moment.
func TestOpenReadOnly(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	commit(t, s, setting("before"))
	r := openReadOnly(t, dir, sqlite.Options{})
	n := 0
	for c, err := range r.Export(t.Context()) {
		if err != nil || c != setting("before") {
			t.Errorf("exported %v, %v", c, err)
		}
		if n++; n == 1 {
			commit(t, s, setting("after"), store.PutUser{Name: "alice"})
		}
	}
	if n != 1 {
		t.Errorf("exported %d", n)
	}
	hasSettings(t, r, "before", "after")
	if err := r.Commit(t.Context(), setting("x")); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("commit: %v", err)
	}
	// The server ends and another comes while it reads.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	commit(t, s, setting("second"))
	hasSettings(t, r, "before", "after", "second")
	if err := errors.Join(r.Close(), r.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	r = openReadOnly(t, dir, sqlite.Options{})
	hasSettings(t, r, "before", "after", "second")
	open(t, dir) // it is in nobody's way
}

// TestOpenReadOnlyLog: an export in another process than the server's is ended, too, when the log has grown too long.
func TestOpenReadOnlyLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 600 { // more than a page of users
		commit(t, s, store.PutUser{Name: fmt.Sprint("user", i)})
	}
	r := openReadOnly(t, dir, sqlite.Options{}.Log(4096, 1<<20))
	var last error
	grown := false
	for _, err := range r.Export(t.Context()) {
		last = err
		if !grown {
			grown = true
			commit(t, s, store.PutGame{Number: 1, Name: "x"}, store.Append{Game: 1, First: 1, Last: 1, Data: make([]byte, 3<<20)})
		}
	}
	if !errors.Is(last, store.ErrUnavailable) {
		t.Errorf("the export ended with %v", last)
	}
}

func TestOpenReadOnlyRefused(t *testing.T) {
	empty := t.TempDir()
	if _, err := sqlite.OpenReadOnly(t.Context(), empty, sqlite.Options{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an empty folder: %v", err)
	}
	if all, err := os.ReadDir(empty); err != nil || len(all) > 0 {
		t.Errorf("it has made %v, %v", all, err)
	}
	for name, harm := range map[string]func(path string) error{
		"empty": func(path string) error { return os.Truncate(path, 0) },
		"cut":   func(path string) error { return os.Truncate(path, 8192) },
		"other": func(path string) error { return os.WriteFile(path, []byte("something else, for long enough"), 0o600) },
	} {
		dir := t.TempDir()
		s := open(t, dir)
		commit(t, s, setting("x"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := harm(filepath.Join(dir, "parlor.db")); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.OpenReadOnly(t.Context(), dir, sqlite.Options{}); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for pragma, want := range map[string]error{"user_version = 99": store.ErrNewer, "user_version = 0": store.ErrDamaged, "application_id = 7": store.ErrDamaged} {
		dir := t.TempDir()
		s := open(t, dir)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		sql(t, s, "PRAGMA "+pragma)
		if _, err := sqlite.OpenReadOnly(t.Context(), dir, sqlite.Options{}); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", pragma, err, want)
		}
	}
}

// TestOpenWhileLookedAt: a server that starts while others look at the folder waits for these, and refuses nobody.
func TestOpenWhileLookedAt(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	looking, err := lockfile.Share(filepath.Join(dir, "parlor.lock"))
	if err != nil || looking == nil {
		t.Skip("files have no locks here:", err)
	}
	also := openReadOnly(t, dir, sqlite.Options{})
	if err := also.Close(); err != nil {
		t.Error(err)
	}
	done := time.AfterFunc(100*time.Millisecond, func() { looking.Close() })
	defer done.Stop()
	s := open(t, dir)
	if _, err := sqlite.Open(t.Context(), dir, sqlite.Options{}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	commit(t, s, setting("after"))
}

// TestOpenAmongLookers: however many look at the folder again and again, a server that starts is not told that another has it.
func TestOpenAmongLookers(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	stop := make(chan struct{})
	var lookers sync.WaitGroup
	for range 2 {
		lookers.Go(func() { // ends with stop
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := sqlite.OpenReadOnly(t.Context(), dir, sqlite.Options{})
				if err != nil {
					t.Errorf("open to look: %v", err)
					return
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
		if err != nil {
			t.Errorf("open: %v", err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	lookers.Wait()
}
