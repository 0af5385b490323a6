package crash_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"parlor/internal/pgtest"
)

// TestOutage stops PostgreSQL under load and starts it again, and leaves the server alone.
func TestOutage(t *testing.T) {
	pg := pgtest.New(t)
	w := newWorld(t, seed(t), newHost(t, "--store", pg.URL(), "--key", filepath.Join(t.TempDir(), "key"), "--standby"))
	r := w.rand("outage")
	w.populate(3)
	w.up()
	for round := range *roundsFlag {
		w.wrong(w.look(r))
		refused := w.refusals()
		pg.Stop([]pgtest.Mode{pgtest.Fast, pgtest.Immediate}[round%2])
		if round > 0 {
			w.pause(time.Duration(r.Int64N(int64(3 * time.Second))))
		} else {
			w.wrong(w.await(patience, "requests are refused on each wire", func() bool { return w.refusedSince(refused) }))
		}
		pg.Start()
		w.ended(fmt.Sprintf("in outage %d", round+1))
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
