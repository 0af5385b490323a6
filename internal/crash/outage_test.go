package crash_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"parlor/internal/pgtest"
)

// mostOutages is how many are made for requests to be refused on each wire. They are not if all players of a wire wait to hear of a
// move of which nobody can tell before PostgreSQL is there again.
const mostOutages = 6

// TestOutage stops PostgreSQL under load and starts it again, and leaves the server alone.
func TestOutage(t *testing.T) {
	pg := pgtest.New(t)
	w := newWorld(t, seed(t), newHost(t, "--store", pg.URL(), "--key", filepath.Join(t.TempDir(), "key"), "--standby"))
	r := w.rand("outage")
	w.populate(3)
	w.up()
	seen := false // requests were refused on each wire
	for round := 0; round < *roundsFlag || !seen && round < mostOutages; round++ {
		w.wrong(w.look(r))
		refused := w.refusals()
		pg.Stop([]pgtest.Mode{pgtest.Fast, pgtest.Immediate}[round%2])
		if seen {
			w.pause(time.Duration(r.Int64N(int64(3 * time.Second))))
		} else {
			seen = w.await(10*time.Second, "requests are refused on each wire", func() bool { return w.refusedSince(refused) }) == nil
		}
		pg.Start()
		w.ended(fmt.Sprintf("in outage %d", round+1))
	}
	if !seen {
		t.Errorf("in none of %d outages were requests refused on each wire", mostOutages)
	}
	w.wrong(w.look(r))
	w.wrong(w.server.stop())
	w.ended("behind the outages")
	w.finish()
}

// refusals is how many requests were refused.
func (w *world) refusals() (of [wires]int64) {
	for i := range of {
		of[i] = w.counts[i].refused.Load()
	}
	return of
}

// refusedSince tells whether some were refused on each wire since refusals was called.
func (w *world) refusedSince(before [wires]int64) bool {
	for wire, n := range w.refusals() {
		if n == before[wire] {
			return false
		}
	}
	return true
}
