package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"parlor/internal/pgtest"
	"parlor/store"
	"parlor/store/postgres"
)

// The environment of a child: where its store is.
const (
	childURL    = "PARLOR_POSTGRES_CHILD"
	childSchema = "PARLOR_POSTGRES_SCHEMA"
)

// writers are the goroutines of a child; each has the game of its number.
const writers = 3

// child is a server that commits until it is killed. It prints each commit when that is answered.
func child() {
	ctx := context.Background()
	s, err := postgres.Open(ctx, os.Getenv(childURL), postgres.Options{Schema: os.Getenv(childSchema)})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	fail := make(chan error)
	for w := range writers {
		go func() { fail <- write(ctx, s, int64(w+1)) }()
	}
	fmt.Println("error:", <-fail)
	os.Exit(1)
}

// write goes on where the game's journal ends.
func write(ctx context.Context, s store.Store, game int64) error {
	entry := uint64(0)
	for p, err := range s.Journal(ctx, game, 0) {
		if err != nil {
			return err
		}
		entry = p.Last
	}
	if err := s.Commit(ctx, store.PutGame{Number: game, Name: fmt.Sprint(game), Durable: true}); err != nil {
		return err
	}
	for {
		entry++
		name := fmt.Sprintf("%d-%d", game, entry)
		err := s.Commit(ctx, store.PutUser{Name: name, Folded: name}, store.Append{Game: game, First: entry, Last: entry, Data: []byte(name)})
		if err != nil {
			return err
		}
		fmt.Println("stored", game, entry)
	}
}

// A server is killed at random moments, also while it opens the store, and started again.
func TestServerIsKilled(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	answered := make([]uint64, writers+1) // the last entry of each game
	total := 0
	for n := range 10 {
		longest := 800
		if n < 3 {
			longest = 150 // within its migrations
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childURL+"="+url, childSchema+"="+name)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rand.IntN(longest))*time.Millisecond, func() { cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var game, entry uint64
			if read, _ := fmt.Sscanf(lines.Text(), "stored %d %d", &game, &entry); read != 2 {
				if !strings.Contains(lines.Text(), "stored") { // and not cut off
					t.Errorf("run %d: the server says %q", n, lines.Text())
				}
				continue
			}
			answered[game] = entry
			total++
		}
		cmd.Wait()
		timer.Stop()
		checkKilled(t, url, name, answered)
	}
	t.Logf("%d commits were answered", total)
}

// checkKilled opens the store of a server that was killed, and compares it with what the server has answered.
func checkKilled(t *testing.T, url, name string, answered []uint64) {
	t.Helper()
	var s *postgres.Store
	eventually(t, "the killed server's lock is gone", func() (is bool) {
		var err error
		s, err = postgres.Open(t.Context(), url, postgres.Options{Schema: name})
		if err != nil && !errors.Is(err, store.ErrInUse) {
			t.Fatal(err)
		}
		return err == nil
	})
	defer s.Close()
	total := 0
	for game := 1; game < len(answered); game++ {
		entry := uint64(0)
		for p, err := range s.Journal(t.Context(), int64(game), 0) {
			if err != nil {
				t.Fatal(err)
			}
			entry++
			if p.First != entry || p.Last != entry || string(p.Data) != fmt.Sprintf("%d-%d", game, entry) {
				t.Fatalf("game %d: entry %d is %d, %q", game, entry, p.First, p.Data)
			}
		}
		// One may have been stored when its answer was not printed yet.
		if entry < answered[game] || entry > answered[game]+1 {
			t.Errorf("game %d: %d entries are there, %d were answered", game, entry, answered[game])
		}
		answered[game] = entry
		total += int(entry)
	}
	if n, err := s.CountUsers(t.Context()); err != nil || n != total {
		t.Errorf("%d users, error %v, with %d entries", n, err, total)
	}
}
