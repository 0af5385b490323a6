package pgtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parlor/internal/pgtest"
)

// ask returns what a query answers, as text.
func ask(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestServer(t *testing.T) {
	s := pgtest.New(t)
	for _, url := range []string{s.URL(), s.SocketURL()} {
		if fsync := ask(t, url, "SHOW fsync"); fsync != "on" {
			t.Errorf("fsync is %q", fsync)
		}
	}
	ask(t, s.URL(), "WITH made AS (SELECT lo_create(4711) AS n) SELECT n::text FROM made") // something to be kept
	for _, mode := range []pgtest.Mode{pgtest.Fast, pgtest.Immediate} {
		s.Stop(mode)
		if s.Running() {
			t.Error("it says that it runs")
		}
		if conn, err := pgx.Connect(t.Context(), s.URL()); err == nil {
			conn.Close(t.Context())
			t.Errorf("a server stopped by %s lets clients in", mode)
		}
		s.Start()
		if n := ask(t, s.URL(), "SELECT count(*)::text FROM pg_largeobject_metadata WHERE oid = 4711"); n != "1" {
			t.Errorf("what was written is there %s times", n)
		}
	}
	if recovered := strings.Contains(s.Log(), "automatic recovery in progress"); !recovered {
		t.Errorf("the immediate stop was none; the log:\n%s", s.Log())
	}
}

func TestSharedIsOne(t *testing.T) {
	if a, b := pgtest.Shared(t), pgtest.Shared(t); a != b {
		t.Error("there are two")
	}
}

// A process that ends, by whatever, leaves no server and no folder.
func TestNothingIsLeft(t *testing.T) {
	if os.Getenv("PGTEST_CHILD") != "" {
		pgtest.New(t)
		p, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		p.Kill()
		select {}
	}
	pgtest.Shared(t) // skips where there is none
	tmp, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNothingIsLeft$")
	cmd.Env = append(os.Environ(), "PGTEST_CHILD=1", "TMPDIR="+tmp)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("the process was not killed: %s", out)
	}
	for range 6000 {
		left, err := filepath.Glob(filepath.Join(tmp, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond) // sleep: the watchers are processes, which nobody here can wait for
	}
	t.Error("a folder is left a minute later")
}
