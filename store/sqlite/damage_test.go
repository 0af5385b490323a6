package sqlite_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3"

	"parlor/store"
	"parlor/store/sqlite"
)

// files are the database and its log, by their names.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{"parlor.db", "parlor.db-wal"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil && len(b) > 0 {
			all[name] = string(b)
		}
	}
	return all
}

// place makes a folder of such files, as a server leaves it that was killed.
func place(t *testing.T, all map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("parlor.lock", "a store is here")
	for name, text := range all {
		put(name, text)
	}
	return dir
}

func isDamaged(t *testing.T, what string, all map[string]string) {
	t.Helper()
	dir := place(t, all)
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{}.Checking(time.Minute))
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "parlor restore") || !strings.Contains(err.Error(), dir) {
		t.Errorf("%s: error %v, want ErrDamaged", what, err)
	}
	for name, text := range all {
		if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != text || err != nil {
			t.Errorf("%s: %s was changed: error %v", what, name, err)
		}
	}
}

// fill writes what takes some hundred pages.
func fill(t *testing.T, s *sqlite.Store) {
	t.Helper()
	for from := 0; from < 2000; from += 500 {
		var changes []store.Change
		for i := range 500 {
			name := fmt.Sprint("user ", from+i)
			changes = append(changes, store.PutUser{Name: name, Folded: name, Secret: strings.Repeat("s", 90)})
		}
		commit(t, s, changes...)
	}
	commit(t, s, store.PutGame{Number: 1, Name: "a", Durable: true}, store.PutSave{Save: store.Save{Game: 1, Data: strings.Repeat("data", 50_000)}},
		store.Append{Game: 1, First: 1, Last: 1, Data: bytes.Repeat([]byte("piece"), 10_000)})
}

func exported(t *testing.T, s *sqlite.Store) (all []store.Change, err error) {
	for c, err := range s.Export(t.Context()) {
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	young := files(t, dir) // as if it was killed now
	fill(t, s)
	killed := files(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := files(t, dir)["parlor.db"]
	db := func(text string) map[string]string { return map[string]string{"parlor.db": text} }

	isDamaged(t, "gone", nil)
	isDamaged(t, "empty", db(""))
	for _, n := range []int{1, 16, 99, 100, 4095, 4096, 4097, len(whole) / 2, len(whole) - 4096, len(whole) - 1} {
		isDamaged(t, fmt.Sprint("cut to ", n, " bytes"), db(whole[:n]))
	}
	isDamaged(t, "a text", db("this is no database of any kind\n"+strings.Repeat("x", 10_000)))
	isDamaged(t, "zeros", db(strings.Repeat("\x00", 40_960)))
	for i := range 100 { // the header
		isDamaged(t, fmt.Sprint("byte ", i, " of the header"), db(whole[:i]+string(whole[i]^4)+whole[i+1:]))
	}
	_, err := sqlite.Open(t.Context(), place(t, db(whole[:60]+"\x5a"+whole[61:])), sqlite.Options{})
	if err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a page that is not as it was written: error %v, want one that says so", err)
	}
	isDamaged(t, "of a young store all but its log", db(young["parlor.db"]))
	if _, err := sqlite.OpenReadOnly(t.Context(), place(t, db(young["parlor.db"])), sqlite.Options{}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("of a young store all but its log, for reading: error %v, want ErrDamaged", err)
	}
	isDamaged(t, "a log without its database", map[string]string{"parlor.db-wal": killed["parlor.db-wal"]})

	other := filepath.Join(t.TempDir(), "other.db")
	c, err := sqlite3.Open(other)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec("CREATE TABLE t (x); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	isDamaged(t, "of another program", db(string(text)))
	if err := c.Exec("DROP TABLE t"); err != nil {
		t.Fatal(err)
	}

	// A piece of the middle that is as it was some time ago is found by nothing but a backup; but zeros are found.
	isDamaged(t, "a hole", db(whole[:4096*20]+strings.Repeat("\x00", 4096)+whole[4096*21:]))
}

// TestFlippedBits damages bits anywhere: what is read is right, or refused.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s)
	want, err := exported(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := files(t, dir)["parlor.db"]
	found := 0
	for range 20 {
		i := rand.IntN(len(whole)-4096) + 4096
		b := []byte(whole)
		b[i] ^= 1 << rand.IntN(8)
		dir := place(t, map[string]string{"parlor.db": string(b)})
		s, err := sqlite.Open(t.Context(), dir, sqlite.Options{}.Checking(1))
		if err == nil {
			got, err := exported(t, s)
			switch {
			case errors.Is(err, store.ErrDamaged):
				found++
				if err := s.Commit(t.Context(), setting("x")); !errors.Is(err, store.ErrDamaged) {
					t.Errorf("byte %d: commit: error %v, want ErrDamaged", i, err)
				}
			case err != nil:
				t.Errorf("byte %d: export: %v", i, err)
			case !cmp.Equal(want, got):
				t.Errorf("byte %d: what was exported is wrong", i)
			}
			if err := s.Check(t.Context()); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("byte %d: check: error %v, want ErrDamaged", i, err)
			}
			s.Close()
		} else if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("byte %d: open: %v", i, err)
		}
		isDamaged(t, fmt.Sprint("byte ", i), map[string]string{"parlor.db": string(b)})
	}
	if found == 0 {
		t.Error("no read has met any damage")
	}
}

// TestDamagedLog damages the log of a server that was killed. Only in the last commit it cannot be told from a machine that lost its power.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s)
	for i := range 30 {
		commit(t, s, setting(fmt.Sprint(i)))
	}
	before := files(t, dir)
	commit(t, s, setting("last"))
	killed := files(t, dir)
	want, err := exported(t, s)
	if err != nil {
		t.Fatal(err)
	}
	settled := len(before["parlor.db-wal"])
	log := killed["parlor.db-wal"]
	if len(log) <= settled || settled < 100*4096 {
		t.Fatalf("the log has %d and then %d bytes", settled, len(log))
	}

	sound := open(t, place(t, killed))
	if got, err := exported(t, sound); err != nil || len(got) != len(want) {
		t.Fatalf("as it was: %d changes of %d, error %v", len(got), len(want), err)
	}
	for n := range 40 {
		i := rand.IntN(settled)
		switch n {
		case 0, 1, 2, 3: // the header, the salts, the sums
			i = n * 8
		case 4, 5, 6, 7: // the same of the last commit but one
			i = settled - 4096 - 24 + (n-4)*6
		}
		b := []byte(log)
		b[i] ^= 1 << rand.IntN(8)
		isDamaged(t, fmt.Sprintf("byte %d of the log's %d", i, settled), map[string]string{"parlor.db": killed["parlor.db"], "parlor.db-wal": string(b)})
	}
	for range 10 { // torn as by a loss of power: what was before is there
		i := settled + rand.IntN(len(log)-settled)
		b := []byte(log)
		clear(b[i:])
		s := open(t, place(t, map[string]string{"parlor.db": killed["parlor.db"], "parlor.db-wal": string(b)}))
		if got, err := exported(t, s); err != nil || len(got) < len(want)-1 {
			t.Errorf("torn at byte %d: %d changes of %d, error %v", i, len(got), len(want), err)
		}
		s.Close()
	}
}

// TestDamageEndsCheckpoints: once damage was seen, the log is not written into the database any more either.
func TestDamageEndsCheckpoints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s)
	shorten, end, err := s.Checkpointer()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if err := shorten(); err != nil {
		t.Fatal(err)
	}
	commit(t, s, setting("in the log"))
	path := filepath.Join(dir, "parlor.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) / 2; i < len(b)/2+20*4096; i += 4096 {
		b[i] ^= 4
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("check: error %v, want ErrDamaged", err)
	}
	before := files(t, dir)
	if err := shorten(); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("checkpoint: error %v, want ErrDamaged", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !cmp.Equal(before, files(t, dir)) {
		t.Error("it was written into")
	}
}
