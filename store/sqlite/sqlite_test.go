package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3"
	"go.uber.org/goleak"

	"parlor/store"
	"parlor/store/sqlite"
	"parlor/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place {
		dir := t.TempDir()
		return storetest.Place{Lasts: true, Open: func() (store.Store, error) { return sqlite.Open(t.Context(), dir, sqlite.Options{}) }}
	})
}

func open(tb testing.TB, dir string) *sqlite.Store {
	tb.Helper()
	return openWith(tb, dir, sqlite.Options{})
}

func openWith(tb testing.TB, dir string, opt sqlite.Options) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), dir, opt)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// refused opens a store that is to be refused, with a text that has some words.
func refused(t *testing.T, dir string, opt sqlite.Options, kind error, words ...string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir, opt)
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, kind) {
		t.Fatalf("open: error %v, want %v", err, kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
}

func commit(tb testing.TB, s *sqlite.Store, changes ...store.Change) {
	tb.Helper()
	if err := s.Commit(tb.Context(), changes...); err != nil {
		tb.Fatalf("commit: %v", err)
	}
}

func setting(name string) store.Change { return store.PutSetting{Name: name, Value: "x"} }

func hasSettings(t *testing.T, s *sqlite.Store, names ...string) {
	t.Helper()
	want := map[string]string{}
	for _, name := range names {
		want[name] = "x"
	}
	got, err := s.Settings(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("settings: error %v\n%s", err, diff)
	}
}

// sql runs statements beside the store.
func sql(t *testing.T, s *sqlite.Store, text string) {
	t.Helper()
	c, err := sqlite3.Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec("PRAGMA busy_timeout = 5000; " + text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	for what, dir := range map[string]string{"a new folder": filepath.Join(t.TempDir(), "a ?#%41", "b"), "a folder of others": t.TempDir()} {
		if what != "a new folder" {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, dir)
		commit(t, s, setting("x"))
		if info, err := os.Stat(dir); what == "a new folder" && (err != nil || info.Mode().Perm() != 0o700) {
			t.Errorf("%s: %v, error %v", what, info.Mode(), err)
		}
		names := map[string]fs.FileMode{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			names[e.Name()] = info.Mode()
		}
		want := map[string]fs.FileMode{"parlor.db": 0o600, "parlor.db-wal": 0o600, "parlor.db-shm": 0o600, "parlor.lock": 0o600}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if s.Path() != filepath.Join(dir, "parlor.db") {
			t.Errorf("path %s", s.Path())
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if _, err := os.Stat(s.Path() + "-wal"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the log is left behind: %v", what, err)
		}
	}
}

func TestInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	host, _ := os.Hostname()
	refused(t, dir, sqlite.Options{}, store.ErrInUse, fmt.Sprint("process ", os.Getpid(), " on ", host, ", since "), "use another folder")
	commit(t, s, setting("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	hasSettings(t, open(t, dir), "a")
}

// TestFenced has another server take over by force.
func TestFenced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	commit(t, s, setting("a"))
	sql(t, s, "UPDATE lease SET epoch = epoch + 1, holder = 'somebody else'")
	for _, changes := range [][]store.Change{nil, {setting("b")}, {setting("b")}} { // nil asks who has the store
		err := s.Commit(t.Context(), changes...)
		if !errors.Is(err, store.ErrFenced) || !strings.Contains(err.Error(), "somebody else") {
			t.Errorf("commit of %v: error %v, want ErrFenced", changes, err)
		}
	}
	sql(t, s, "UPDATE lease SET holder = ''") // and that one has ended
	if err := s.Commit(t.Context(), setting("b")); !errors.Is(err, store.ErrFenced) || !strings.Contains(err.Error(), "another server since") {
		t.Errorf("commit: error %v, want ErrFenced", err)
	}
	hasSettings(t, s, "a")
	for c, err := range s.Export(t.Context()) {
		if !errors.Is(err, store.ErrFenced) {
			t.Errorf("export: %v, error %v, want ErrFenced", c, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	s = open(t, dir)
	commit(t, s, setting("c"))
	hasSettings(t, s, "a", "c")
}

// TestNoLock is where files have no locks: the lease tells who is alive.
func TestNoLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testNoLock) // or who renews it might come too late, on a busy machine
}

func testNoLock(t *testing.T) {
	dir := t.TempDir()
	opt := sqlite.Options{}.NoLock(3 * time.Second)
	s := openWith(t, dir, opt)
	for end := time.Now().Add(3500 * time.Millisecond); time.Now().Before(end); {
		refused(t, dir, opt, store.ErrInUse, "since ")
		time.Sleep(100 * time.Millisecond) // sleep: in virtual time, which the lease is of
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openWith(t, dir, opt) // at once, as it was given back
	commit(t, s, setting("a"))
	sql(t, s, "UPDATE lease SET holder = 'a dead one', renewed = renewed - 10000, epoch = epoch + 1")
	other := openWith(t, dir, opt)
	commit(t, other, setting("b"))
	if err := s.Commit(t.Context(), setting("c")); !errors.Is(err, store.ErrFenced) {
		t.Errorf("commit of the one before: error %v, want ErrFenced", err)
	}
}

// TestNoRenewal: who was overtaken, or has a damaged store, says so once, and does not try on.
func TestNoRenewal(t *testing.T) {
	for what, harm := range map[string]string{"fenced": "UPDATE lease SET epoch = epoch + 1", "damaged": "INSERT INTO sessions VALUES (x'00', x'', x'', 1, x'09')"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				opt := sqlite.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}.NoLock(10 * time.Second)
				s := openWith(t, t.TempDir(), opt)
				sql(t, s, harm)
				if _, err := s.Sessions(t.Context()); (what == "damaged") != errors.Is(err, store.ErrDamaged) {
					t.Errorf("sessions: error %v", err)
				}
				time.Sleep(time.Minute) // sleep: in virtual time, for renewals
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if n := strings.Count(log.String(), "could not be renewed"); n != 1 {
					t.Errorf("%d warnings in %s", n, &log)
				}
			})
		})
	}
}

// TestAllAtOnce has many servers make the same store.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	type result struct {
		s   *sqlite.Store
		err error
	}
	results := make(chan result)
	for range 6 {
		go func() {
			s, err := sqlite.Open(context.Background(), dir, sqlite.Options{}.NoLock(time.Minute))
			results <- result{s, err}
		}()
	}
	var winner *sqlite.Store
	for range 6 {
		switch r := <-results; {
		case r.err == nil && winner == nil:
			winner = r.s
		case r.err == nil:
			t.Error("two of them have it")
			r.s.Close()
		case !errors.Is(r.err, store.ErrInUse):
			t.Errorf("error %v, want ErrInUse", r.err)
		}
	}
	if winner == nil {
		t.Fatal("nobody has it")
	}
	defer winner.Close()
	commit(t, winner, storetest.Sample()...)
}

func TestNewer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	commit(t, s, setting("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sql(t, s, "PRAGMA user_version = 99")
	before := files(t, dir)
	refused(t, dir, sqlite.Options{}, store.ErrNewer, "schema 99", "up to 1", "start the version")
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Error("it was changed")
	}
}

// TestLongReaders has a stream stand still while the log grows: the log is bounded, and the stream is told.
func TestLongReaders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openWith(t, dir, sqlite.Options{}.Log(64, 2<<20))
	commit(t, s, storetest.Sample()...)
	value := strings.Repeat("x", 60_000)
	grown, n := int64(0), 0
	var last error
	for _, err := range s.Export(t.Context()) {
		if last = err; err != nil {
			break
		}
		if n++; n > 1 {
			continue
		}
		for i := range 500 {
			commit(t, s, store.PutSetting{Name: "x", Value: fmt.Sprint(value, i)})
			grown = max(grown, size(t, s.Path()+"-wal"))
		}
	}
	if !errors.Is(last, store.ErrUnavailable) || !strings.Contains(last.Error(), "log has grown") {
		t.Errorf("the export's error is %v, want ErrUnavailable", last)
	}
	if grown > 16<<20 { // of some 32 MB that were written
		t.Errorf("the log has grown to %d bytes", grown)
	}
	for c, err := range s.Export(t.Context()) {
		if err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// TestReadInLoops reads within as many streams as there can be.
func TestReadInLoops(t *testing.T) {
	t.Parallel()
	s := openWith(t, t.TempDir(), sqlite.Options{}.Readers(1))
	commit(t, s, storetest.Sample()...)
	for c, err := range s.Export(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.User(t.Context(), "zoe"); err != nil {
			t.Fatalf("at %T: %v", c, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		for _, err := range s.Journal(ctx, 7, 0) { // waits for a place, and is told
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a stream in a stream: error %v", err)
			}
		}
		cancel()
	}
}

// TestVersion guards the checkpoints beside commits: before 3.51.3 SQLite could lose pages by them (https://sqlite.org/wal.html#walresetbug).
func TestVersion(t *testing.T) {
	c, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q, _, err := c.Prepare("SELECT sqlite_version()")
	if err != nil || !q.Step() {
		t.Fatal(err)
	}
	version := q.ColumnText(0)
	q.Close()
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil || major*1_000_000+minor*1000+patch < 3_051_003 {
		t.Errorf("SQLite is %s, error %v", version, err)
	}
}

// TestCheckpoints has the log begin anew all the time, beside commits, reads and exports.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openWith(t, dir, sqlite.Options{}.Log(16, 1<<30))
	const writers, each = 4, 60
	for w := range writers {
		commit(t, s, store.PutGame{Number: int64(w + 1), Name: fmt.Sprint(w)})
	}
	var all sync.WaitGroup
	for w := range int64(writers) {
		all.Go(func() {
			for n := range uint64(each) {
				name := fmt.Sprint(w, " ", n)
				err := s.Commit(t.Context(), store.Append{Game: w + 1, First: n + 1, Last: n + 1, Data: make([]byte, 3000)}, store.PutUser{Name: name, Folded: name})
				if err != nil {
					t.Errorf("commit: %v", err)
				}
				if _, err := s.User(t.Context(), name); err != nil {
					t.Errorf("user %s: %v", name, err)
				}
			}
		})
		all.Go(func() {
			for range 10 {
				if _, err := exported(t, s); err != nil {
					t.Errorf("export: %v", err)
				}
			}
		})
	}
	all.Wait()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if n, err := s.CountUsers(t.Context()); n != writers*each || err != nil {
		t.Errorf("%d users, error %v", n, err)
	}
	want, err := exported(t, s)
	if err != nil {
		t.Fatal(err)
	}
	killed := open(t, place(t, copied(t, dir)))
	if got, err := exported(t, killed); err != nil || !cmp.Equal(want, got) {
		t.Errorf("a copy has %d changes of %d, error %v", len(got), len(want), err)
	}
}

// copied are the files while no checkpoint is under way.
func copied(t *testing.T, dir string) map[string]string {
	t.Helper()
	for {
		before := files(t, dir)
		time.Sleep(50 * time.Millisecond) // sleep: of the disk, which tells nobody when it is done
		if after := files(t, dir); cmp.Equal(before, after) {
			return after
		}
	}
}

// TestOpenFailsAtItsEnd: an Open that fails when it has the lease gives it back, where no lock does so.
func TestOpenFailsAtItsEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock := filepath.Join(dir, "parlor.lock")
	if err := os.Symlink(filepath.Join(dir, "gone", "parlor.lock"), lock); err != nil {
		t.Skip("there are no symbolic links here")
	}
	opt := sqlite.Options{}.NoLock(time.Hour)
	if s, err := sqlite.Open(t.Context(), dir, opt); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("opened %v, error %v, want ErrNotExist", s, err)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	openWith(t, dir, opt)
}
