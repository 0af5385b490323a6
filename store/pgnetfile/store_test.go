package pgnetfile_test

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parlor/store"
	"parlor/store/pgnetfile"
)

// TestStoreRefusesDurable: what would be lost with the process is not taken, and the text says what to do. The rest of the commit is
// not there either.
func TestStoreRefusesDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "save.json")
	s, err := pgnetfile.OpenStore(path, pgnetfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Commit(t.Context(), store.PutUser{Name: "alice"}, store.PutGame{Number: 1, Name: "one"}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []store.Change{store.PutGame{Number: 2, Name: "two", Durable: true}, store.Append{Game: 1, First: 1, Last: 1}, store.PutSession{ID: "x", Game: 1}} {
		err := s.Commit(t.Context(), store.PutUser{Name: "bobby"}, c)
		if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "--store") {
			t.Errorf("%T: error %v", c, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed, or %v", err)
	}
}

// TestVersions: a save keeps its version, as the game would take it for an older one, and one that cannot be read is above all.
func TestVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "save.json")
	open := func() *pgnetfile.Store {
		s, err := pgnetfile.OpenStore(path, pgnetfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s := open()
	if err := s.Commit(t.Context(), store.PutGame{Number: 1, Name: "old"}, store.PutSave{Save: store.Save{Game: 1, Data: "x"}},
		store.PutGame{Number: 2, Name: "new"}, store.PutSave{Save: store.Save{Game: 2, Data: "y", Version: 2}}); err != nil {
		t.Fatal(err)
	}
	want := func(s *pgnetfile.Store, old, newer int) {
		t.Helper()
		for game, want := range map[int64]int{1: old, 2: newer} {
			if save, err := s.Save(t.Context(), game); err != nil || save.Version != want {
				t.Errorf("game %d: version %d, error %v, want %d", game, save.Version, err, want)
			}
		}
	}
	s.Close()
	s = open()
	want(s, 0, 2)
	s.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(text), `"new": "2"`, `"new": "two", "old": "99999999999999999999"`, 1))
	want(open(), math.MaxInt, math.MaxInt)
}

// TestRead: beside who has the file, and with nothing made beside it.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "save.json")
	if _, err := pgnetfile.Read(path, pgnetfile.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) > 0 {
		t.Errorf("it made %v, %v", all, err)
	}
	s, err := pgnetfile.OpenStore(path, pgnetfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Commit(t.Context(), store.PutUser{Name: "alice", Secret: "$pgnet$a$b"}); err != nil {
		t.Fatal(err)
	}
	snap, err := pgnetfile.Read(path, pgnetfile.Options{})
	if err != nil || len(snap.Users) != 1 {
		t.Fatalf("read %+v, %v", snap, err)
	}
	var b strings.Builder
	if err := pgnetfile.Write(&b, snap); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || b.String() != string(text) {
		t.Errorf("wrote %q, and the file has %q, %v", b.String(), text, err)
	}
}

// TestStoreClosed: nothing is written after Close, also by who commits meanwhile.
func TestStoreClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "save.json")
	s, err := pgnetfile.OpenStore(path, pgnetfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begun, done := make(chan struct{}), make(chan error)
	go func() {
		var err error
		for i := 0; err == nil; i++ {
			err = s.Commit(t.Context(), store.PutUser{Name: fmt.Sprint(i), Folded: fmt.Sprint(i)})
			if i == 0 {
				close(begun)
			}
		}
		done <- err
	}()
	<-begun
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, store.ErrClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("commit: error %v, want ErrClosed", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("it was written after Close, or %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
