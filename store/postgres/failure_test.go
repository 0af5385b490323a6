package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"parlor/internal/disktest"
	"parlor/internal/pgtest"
	"parlor/store"
	"parlor/store/postgres"
)

// The server goes down as by a crash, and comes up again, while commits go on.
func TestServerCrashesUnderLoad(t *testing.T) {
	server := pgtest.New(t)
	l := begin(t, open(t, server.URL(), "parlor"), 4, 300*time.Millisecond)
	for range 4 {
		l.more(20)
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond) // sleep: at some moment
		server.Stop(pgtest.Immediate)
		time.Sleep(time.Duration(rand.IntN(800)) * time.Millisecond) // sleep: commits find no server for a while
		server.Start()
	}
	l.more(20)
	l.end()
}

func TestServerShutsDownUnderLoad(t *testing.T) {
	server := pgtest.New(t)
	l := begin(t, open(t, server.URL(), "parlor"), 4, time.Minute)
	for range 2 {
		l.more(20)
		server.Restart(pgtest.Fast)
	}
	l.more(20)
	l.end()
	if l.unknown > 0 {
		t.Errorf("of %d commits it was not known whether they are there, with a minute to find out", l.unknown)
	}
}

func TestConnectionsEndUnderLoad(t *testing.T) {
	url := pgtest.Shared(t).URL()
	s := open(t, url, schema())
	admin := connect(t, url)
	l := begin(t, s, 4, time.Minute)
	for range 40 {
		l.more(1 + rand.IntN(3))
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // sleep: at some moment of a commit
		for _, what := range []string{"writer", "lease", "reader"} {
			terminate(t, admin, s, what)
		}
	}
	l.more(20)
	l.end()
	if l.unknown > 0 {
		t.Errorf("of %d commits it was not known whether they are there, with a minute to find out", l.unknown)
	}
}

func TestServerIsAway(t *testing.T) {
	server := pgtest.New(t)
	s := open(t, server.URL(), "parlor")
	put(t, s, "a")
	server.Stop(pgtest.Fast)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// The first commit may find its connection gone only when it has sent something; it finds out in vain.
	short, cancelShort := context.WithTimeout(ctx, 3*time.Second)
	defer cancelShort()
	if err := s.Commit(short, store.PutSetting{Name: "b", Value: "x"}); !errors.Is(err, store.ErrUnknown) && !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit: error %v", err)
	}
	_, userErr := s.User(ctx, "zoe")
	_, openErr := postgres.Open(ctx, server.URL(), postgres.Options{})
	for what, err := range map[string]error{"commit": s.Commit(ctx, store.PutSetting{Name: "c", Value: "x"}), "user": userErr, "open": openErr} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: error %v, want ErrUnavailable", what, err)
		}
	}
	for _, err := range s.Export(ctx) {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("export: error %v, want ErrUnavailable", err)
		}
	}
	server.Start()
	put(t, s, "d")
	settings, err := s.Settings(ctx)
	if err != nil || settings["a"] != "x" || settings["b"] != "" || settings["c"] != "" || settings["d"] != "x" {
		t.Errorf("settings %v, error %v", settings, err)
	}
	server.Stop(pgtest.Immediate)
	if err := s.Close(); err != nil {
		t.Errorf("close without a server: %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	server := pgtest.New(t)
	s := open(t, server.URL(), "parlor")
	admin := connect(t, server.URL())
	set := func(value string) {
		run(t, admin, "ALTER SYSTEM SET default_transaction_read_only = "+value)
		run(t, admin, "SELECT pg_reload_conf()")
	}
	set("on")
	var err error
	eventually(t, "commits are refused", func() bool {
		err = s.Commit(t.Context(), store.PutSetting{Name: "a", Value: "x"})
		return err != nil
	})
	if !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("commit: error %v, want ErrReadOnly", err)
	}
	if _, err := s.Games(t.Context()); err != nil {
		t.Errorf("games: %v", err)
	}
	if _, err := postgres.Open(t.Context(), server.URL(), postgres.Options{Schema: "other"}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("open: error %v, want ErrReadOnly", err)
	}
	run(t, admin, "SET default_transaction_read_only = off")
	set("off")
	eventually(t, "commits are taken again", func() bool { return s.Commit(t.Context(), store.PutSetting{Name: "b", Value: "x"}) == nil })
}

// The disk of the tables is a small one.
func TestFull(t *testing.T) {
	server := pgtest.New(t)
	dir := server.Folder("small")
	small := disktest.New(t, dir, "24m")
	if out, err := exec.Command("chown", "--reference="+filepath.Dir(dir), dir).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	admin := connect(t, server.URL())
	run(t, admin, fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", dir))
	run(t, admin, "CREATE DATABASE small TABLESPACE small")
	s := open(t, server.At(server.Addr(), "small"), "parlor")
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	if err := s.Commit(t.Context(), store.PutGame{Number: 1, Name: "large"}); err != nil {
		t.Fatal(err)
	}
	entry, err := uint64(0), error(nil)
	for err == nil && entry < 100 {
		entry++
		err = s.Commit(t.Context(), store.PutUser{Name: fmt.Sprint(entry)}, store.Append{Game: 1, First: entry, Last: entry, Data: noise})
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("entry %d: error %v, want ErrFull", entry, err)
	}
	if n, err := s.CountUsers(t.Context()); err != nil || n != int(entry)-1 {
		t.Errorf("%d users, error %v, with %d entries", n, err, entry-1)
	}
	small.Change("48m", false)
	for range 5 { // there is room again
		if err := s.Commit(t.Context(), store.Append{Game: 1, First: entry, Last: entry, Data: noise}); err != nil {
			t.Fatalf("entry %d: %v", entry, err)
		}
		entry++
	}
}
