package crash_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parlor/client"
	"parlor/internal/pgtest"
)

// TestKillFirstStart kills servers while they make their store.
func TestKillFirstStart(t *testing.T) {
	dir := t.TempDir()
	firstStarts(t, func(i int) []string { return []string{"--store", filepath.Join(dir, fmt.Sprint(i))} })
}

// TestKillFirstStartPostgres does the same in databases.
func TestKillFirstStartPostgres(t *testing.T) {
	pg, dir := pgtest.New(t), t.TempDir()
	firstStarts(t, func(i int) []string {
		name := fmt.Sprint("first", i)
		db, err := pgx.Connect(t.Context(), pg.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close(t.Context())
		if _, err := db.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
		return []string{"--store", pg.At(pg.Addr(), name), "--key", filepath.Join(dir, fmt.Sprint(i)), "--standby"}
	})
}

// firstStarts kills the first servers at places, and looks whether the next one there is as good as new.
func firstStarts(t *testing.T, args func(i int) []string) {
	r := rand.New(rand.NewPCG(seed(t), 0))
	started := 100 * time.Millisecond
	for i := range 3 * *roundsFlag {
		w := newWorld(t, 0, newHost(t, args(i)...))
		for range 1 + r.IntN(3) {
			w.start()
			w.pause(time.Duration(r.Int64N(int64(started))))
			w.kill()
		}
		begun := time.Now()
		w.up()
		started = time.Since(begun)
		cfg, address := w.config(w.host, r.IntN(wires), "alice")
		c, err := w.dial(w.ctx, cfg, address)
		w.wrong(err)
		if err == nil {
			w.wrong(c.CreateGame(w.ctx, "game", client.GameOptions{}))
			c.Close()
			c.Wait()
		}
		w.kill()
		w.up()
		list, err := w.dial(w.ctx, cfg, address)
		w.wrong(err)
		if err == nil {
			games, err := list.GameDir(w.ctx)
			if err == nil && len(games) != 1 {
				err = fmt.Errorf("a game was created, and there are %d", len(games))
			}
			w.wrong(err)
			list.Close()
			list.Wait()
		}
		w.kill()
		w.ended(fmt.Sprintf("at place %d", i))
	}
}
