package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parlor/internal/pgtest"
	"parlor/store"
	"parlor/store/postgres"
)

// terminate ends a store's connections for something.
func terminate(t testing.TB, admin *pgx.Conn, s *postgres.Store, what string) {
	t.Helper()
	run(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", s.Name(what))
}

// eventually waits until something is so, for a minute at most.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatalf("not so within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // sleep: another process gets there, and tells nobody
	}
}

func put(t testing.TB, s store.Store, name string) {
	t.Helper()
	if err := s.Commit(t.Context(), store.PutSetting{Name: name, Value: "x"}); err != nil {
		t.Fatalf("commit of %s: %v", name, err)
	}
}

func TestInUseNamesTheHolder(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	first := open(t, url, name)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	_, err = postgres.Open(t.Context(), url, postgres.Options{Schema: name})
	year := time.Now().UTC().Format("2006-")
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process %d on %s has it since %s", os.Getpid(), host, year)) {
		t.Errorf("error %v", err)
	}
	first.Close()
	if open(t, url, name).Epoch() != first.Epoch()+1 {
		t.Error("the epoch was not raised by one")
	}
}

func TestTakeOver(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	admin := connect(t, url)
	first := open(t, url, name)
	put(t, first, "a")
	var second *postgres.Store
	eventually(t, "the second one is faster than the first to get the lock", func() bool {
		terminate(t, admin, first, "lease")
		var err error
		second, err = postgres.Open(t.Context(), url, postgres.Options{Schema: name})
		return err == nil
	})
	defer second.Close()
	if first.Epoch() >= second.Epoch() {
		t.Errorf("epochs %d and then %d", first.Epoch(), second.Epoch())
	}
	for _, changes := range [][]store.Change{nil, {store.PutSetting{Name: "b", Value: "x"}}, {store.PutSetting{Name: "b", Value: "x"}}} { // nil asks who has the store
		if err := first.Commit(t.Context(), changes...); !errors.Is(err, store.ErrFenced) {
			t.Errorf("the old one's commit of %v: error %v, want ErrFenced", changes, err)
		}
	}
	put(t, second, "c")
	if err := first.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	put(t, second, "d") // which the close of the first has not disturbed
	settings, err := second.Settings(t.Context())
	if err != nil || len(settings) != 3 || settings["b"] != "" {
		t.Errorf("settings %v, error %v", settings, err)
	}
}

// A server that has lost all its connections, and does not know yet that another has the store.
func TestOvertakenWithoutConnections(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	admin := connect(t, url)
	first := open(t, url, name)
	run(t, admin, `UPDATE `+pgx.Identifier{name, "lease"}.Sanitize()+` SET ended = now()`) // as another's first step
	terminate(t, admin, first, "writer")
	if err := first.Commit(t.Context(), store.PutSetting{Name: "b", Value: "x"}); !errors.Is(err, store.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}
	terminate(t, admin, first, "lease")
	var second *postgres.Store
	eventually(t, "the first one does not want the lock again", func() bool {
		var err error
		second, err = postgres.Open(t.Context(), url, postgres.Options{Schema: name})
		return err == nil
	})
	second.Close()
}

func TestLockComesBack(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	admin := connect(t, url)
	s := open(t, url, name)
	holder := func() (pid int) {
		t.Helper()
		err := admin.QueryRow(t.Context(), `SELECT coalesce(max(pid), 0) FROM pg_locks JOIN pg_stat_activity USING (pid)
			WHERE locktype = 'advisory' AND granted AND application_name = $1`, s.Name("lease")).Scan(&pid)
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	for range 3 {
		before := holder()
		terminate(t, admin, s, "lease")
		put(t, s, "a") // does not depend on it
		eventually(t, "the lock is back", func() bool {
			now := holder()
			return now != 0 && now != before
		})
	}
	if _, err := postgres.Open(t.Context(), url, postgres.Options{Schema: name}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("opened beside it: error %v", err)
	}
	put(t, s, "b")
}

func TestManyOpenAtOnce(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	var mu sync.Mutex
	var got []*postgres.Store
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := postgres.Open(t.Context(), url, postgres.Options{Schema: name})
			if err != nil {
				if !errors.Is(err, store.ErrInUse) {
					t.Errorf("error %v, want ErrInUse", err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, s)
		})
	}
	wg.Wait()
	if len(got) != 1 {
		t.Errorf("%d have it", len(got))
	}
	for _, s := range got {
		put(t, s, "a")
		s.Close()
	}
}

func TestSchemasAreStores(t *testing.T) {
	url := pgtest.Shared(t).URL()
	a, b := open(t, url, schema()), open(t, url, `with "quotes", and a comma`)
	put(t, a, "a")
	if settings, err := b.Settings(t.Context()); err != nil || len(settings) > 0 {
		t.Errorf("settings %v, error %v", settings, err)
	}
	put(t, b, "b")
}

// Close ends a commit that waits for a server which does not answer.
func TestCloseEndsACommit(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	s := open(t, url, name)
	admin := connect(t, url)
	run(t, admin, "BEGIN")
	run(t, admin, "LOCK TABLE "+pgx.Identifier{name, "lease"}.Sanitize())
	result := make(chan error)
	go func() { result <- s.Commit(context.Background(), store.PutSetting{Name: "a", Value: "x"}) }()
	eventually(t, "the commit waits", func() bool {
		var n int
		watcher := connect(t, url)
		defer watcher.Close(t.Context())
		err := watcher.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'", s.Name("writer")).Scan(&n)
		return err == nil && n == 1
	})
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	if err := <-result; !errors.Is(err, store.ErrUnknown) {
		t.Errorf("commit: error %v, want ErrUnknown", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	if err := s.Commit(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("commit behind it: error %v", err)
	}
}

// number is that of the last commit, as the database has it.
func number(t testing.TB, admin *pgx.Conn, schema string) (n int64) {
	t.Helper()
	if err := admin.QueryRow(t.Context(), "SELECT commit FROM "+pgx.Identifier{schema, "lease"}.Sanitize()+" WHERE ended IS NULL").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What was sent on a connection that broke, and comes late, must not find the number that it knows.
func TestANewConnectionRaisesTheNumber(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	admin := connect(t, url)
	s := open(t, url, name)
	put(t, s, "a")
	before := number(t, admin, name)
	terminate(t, admin, s, "writer")
	// It is refused, so that it writes nothing itself.
	if err := s.Commit(t.Context(), store.PutSave{Save: store.Save{Game: 99}}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("error %v, want ErrConflict", err)
	}
	// The commit may have been faster than the end of the connection.
	eventually(t, "the number is raised", func() bool {
		s.Commit(t.Context(), store.PutSave{Save: store.Save{Game: 99}})
		return number(t, admin, name) > before
	})
	put(t, s, "b")
}

// The database is a backup of before the last commits.
func TestADatabaseThatWentBack(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	admin := connect(t, url)
	s := open(t, url, name)
	put(t, s, "a")
	run(t, admin, "UPDATE "+pgx.Identifier{name, "lease"}.Sanitize()+" SET commit = commit - 1")
	if err := s.Commit(t.Context(), store.PutSetting{Name: "b", Value: "x"}); !errors.Is(err, store.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}

	// And with a new connection.
	s.Close()
	s = open(t, url, name)
	put(t, s, "a")
	run(t, admin, "UPDATE "+pgx.Identifier{name, "lease"}.Sanitize()+" SET commit = commit - 1")
	run(t, admin, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1", s.Name("writer"))
	if err := s.Commit(t.Context(), store.PutSetting{Name: "b", Value: "x"}); !errors.Is(err, store.ErrFenced) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("error %v, want ErrFenced", err)
	}
}
