package crash_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"parlor/internal/pgtest"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "the seed of what is done when; 0 is a new one")
	killsFlag  = flag.Int("kills", 2, "how often the server on SQLite is killed")
	roundsFlag = flag.Int("rounds", 1, "how often disks are filled, databases stopped, and so on")
	pgFlag     = flag.Int("kills-postgres", 2, "how often the server on PostgreSQL is killed")
)

// many kills are so many that everything must have happened.
const many = 50

// autosave is how often the servers save their games that are killed again and again: so that they are killed in the midst of it, too.
const autosave = "200ms"

// How many moves of each wire must have been answered before a kill counts, and how many things the clerk must have done.
const (
	enough     = 25
	enoughActs = 3
)

func seed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1_000_000)
	}
	t.Logf("again with: make crash CRASH='-seed %d'", seed)
	return seed
}

// TestKillSQLite kills servers on a store in a folder.
func TestKillSQLite(t *testing.T) {
	if *killsFlag > 0 {
		killing(t, *killsFlag, newHost(t, "--store", filepath.Join(t.TempDir(), "data"), "--autosave", autosave))
	}
}

// TestKillPostgres kills servers on a database.
func TestKillPostgres(t *testing.T) {
	if *pgFlag > 0 {
		killing(t, *pgFlag, newHost(t, "--store", pgtest.New(t).URL(), "--key", filepath.Join(t.TempDir(), "key"), "--standby", "--autosave", autosave))
	}
}

// killing starts a server, and kills it, again and again.
func killing(t *testing.T, kills int, h *host) {
	w := newWorld(t, seed(t), h)
	r := w.rand("killer")
	started := 100 * time.Millisecond // how long a server takes
	w.populate(4)
	for kill := 1; kill <= kills; kill++ {
		for r.IntN(3) == 0 { // while it starts: these do not count
			w.start()
			w.pause(time.Duration(r.Int64N(int64(started * 3 / 2))))
			w.kill()
		}
		begun := time.Now()
		w.up()
		started = time.Since(begun)
		w.wrong(w.look(r))
		w.pause(time.Duration(r.Int64N(int64(500 * time.Millisecond))))
		w.kill()
		w.ended(fmt.Sprintf("in kill %d", kill))
		if kill%10 == 0 || kill == kills {
			t.Logf("%d kills: %s", kill, w.summary())
		}
	}
	w.finish()
	for wire := range pgnet {
		if w.counts[wire].resumed.Load() == 0 {
			t.Errorf("no session of the %s wire has outlived a server", wireNames[wire])
		}
		if kills >= many && w.counts[wire].resent.Load() == 0 {
			t.Errorf("no move of the %s wire was answered by a later server than it was sent to", wireNames[wire])
		}
	}
	if kills >= many && !w.clerk.done.everything() {
		t.Errorf("the clerk has not done everything: %+v", w.clerk.done)
	}
}

// start starts the next server. It does not wait until that takes clients.
func (w *world) start() {
	w.life.Add(1)
	w.ledger.Restarted(time.Now())
	w.server = w.host.start()
}

// up is start, and waits.
func (w *world) up() {
	w.start()
	w.wrong(w.server.await(patience))
}

// kill kills the server.
func (w *world) kill() { w.wrong(w.server.kill()) }

// ended ends the test if something was wrong.
func (w *world) ended(when string) {
	w.t.Helper()
	if w.ctx.Err() != nil {
		if w.server.cmd.ProcessState == nil {
			w.server.kill()
		}
		w.t.Fatalf("%s; the last server has said:\n%s", when, tail(w.server.out.String()))
	}
}

// look compares, and waits until there was enough to lose.
func (w *world) look(r *rand.Rand) error {
	before, acts := w.moves(), w.clerk.acts.Load()
	checked := make(chan error, 1)
	go func() { checked <- w.clerk.check() }() // ends within patience
	if err := errors.Join(w.audit(r), <-checked); err != nil {
		return err
	}
	return w.await(patience, fmt.Sprintf("%d moves of each wire are answered, and the clerk does %d things", enough, enoughActs), func() bool {
		for wire, n := range w.moves() {
			if n-before[wire] < enough {
				return false
			}
		}
		return w.clerk.acts.Load()-acts >= enoughActs
	})
}

// finish has the players leave, and compares once more, also with a server that was ended in order in between.
func (w *world) finish() {
	w.up()
	close(w.leaving)
	w.group.Wait()
	for last := range 2 {
		if last == 1 {
			w.up()
		}
		w.wrong(w.audit(w.rand("finish")))
		w.wrong(w.clerk.check())
		w.clerk.hangUp()
		w.wrong(w.server.stop())
		w.ended("at the end")
	}
	w.t.Logf("at the end: %s", w.summary())
}

func (w *world) summary() string {
	text := ""
	for wire := range wires {
		c := &w.counts[wire]
		text += fmt.Sprintf("%s: %d moves answered (%d by a later server than they were sent to), %d refused, %d without an answer; %d pushes, %d lost; %d sessions resumed by a later server, %d ended\n\t",
			wireNames[wire], c.moves.Load(), c.resent.Load(), c.refused.Load(), c.unknown.Load(), c.pushes.Load(), c.lost.Load(), c.resumed.Load(), c.sessions.Load())
	}
	w.clerk.mu.Lock()
	defer w.clerk.mu.Unlock()
	return fmt.Sprintf("\n\t%sthe ledger has compared %+v; the clerk has done %+v", text, w.ledger.Totals(), w.clerk.done)
}

// tail is the end of a text.
func tail(text string) string { return text[max(0, len(text)-8000):] }
