package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parlor/store"
	"parlor/store/sqlite"
)

// The variables of the environment: the folder of a child, and how often TestCrash kills one (make it more for a long run).
const (
	childEnv = "PARLOR_SQLITE_CHILD"
	timesEnv = "PARLOR_SQLITE_CRASHES"
)

const crashGames = 5

// child commits numbered changes, and prints the number of each that was committed, until it is killed.
func child(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	s, err := sqlite.Open(ctx, dir, sqlite.Options{}.Log(64, 1<<30).Recent(500))
	fail(err)
	settings, err := s.Settings(ctx)
	fail(err)
	n, _ := strconv.Atoi(settings["n"])
	for {
		n++
		fail(s.Commit(ctx, numbered(n)...))
		fmt.Println(n)
	}
}

// numbered are changes that belong together. Some games are saved, and begin anew.
func numbered(n int) []store.Change {
	name, game, entry := fmt.Sprint("user ", n), int64(n%crashGames), uint64(n/crashGames+1)
	changes := []store.Change{store.PutSetting{Name: "n", Value: fmt.Sprint(n)}, store.PutUser{Name: name, Folded: name}}
	if n%31 == 0 {
		changes = append(changes, store.DeleteGame{Number: game})
	}
	changes = append(changes,
		store.PutGame{Number: game, Name: fmt.Sprint(game), Durable: true},
		store.Append{Game: game, First: entry, Last: entry, Data: []byte(name)})
	if n%23 == 0 {
		changes = append(changes, store.PutSave{Save: store.Save{Game: game, Entry: entry, Data: name}, KeepJournal: n%2 == 0})
	}
	return changes
}

// run starts a child and kills it after a while, and returns the last number that it printed.
func run(t *testing.T, dir string, life time.Duration) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer time.AfterFunc(life, func() { cmd.Process.Kill() }).Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			cmd.Process.Kill()
			t.Fatalf("the child said %q", lines.Text())
		}
		last = n
	}
	return last
}

func TestCrash(t *testing.T) {
	t.Parallel()
	times := 20
	if n, err := strconv.Atoi(os.Getenv(timesEnv)); err == nil {
		times = n
	}
	dir, last := t.TempDir(), 0
	for i := range times {
		if i%5 == 4 {
			dir, last = t.TempDir(), 0 // also in the midst of making it
		}
		life := time.Duration(rand.Int64N(int64(400 * time.Millisecond)))
		last = max(last, run(t, dir, life))
		s := open(t, dir) // at once
		n := stored(t, s)
		if n < last || n > last+1 {
			t.Errorf("killed after %v: %d commits are there, and %d were answered", life, n, last)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("killed after %v: %v", life, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		last = n
	}
	t.Logf("%d commits in the last store", last)
}

// stored is the number of the last commit: what is there is what it and all before it have made.
func stored(t *testing.T, s *sqlite.Store) int {
	t.Helper()
	settings, err := s.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(settings["n"])
	var model store.Memory
	for i := range n {
		if err := model.Commit(t.Context(), numbered(i+1)...); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(everything(t, &model), everything(t, s), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("behind commit %d (-model +store):\n%s", n, diff)
	}
	return n
}
