package crash_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	"parlor/internal/crash"
	"parlor/internal/crash/program/game"
	"parlor/store"
	"parlor/store/sqlite"
)

// run runs a command of the program parlor, and kills it after a while if it has not ended by then; 0 is never. Out is all that it
// has printed. The error is errKilled then, or says how it has failed.
func (w *world) run(life time.Duration, args ...string) (out string, err error) {
	program, err := parlorProgram()
	if err != nil {
		w.t.Fatalf("build parlor: %v", err)
	}
	cmd := exec.Command(program, args...)
	var buf bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buf, &buf
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	if life > 0 {
		defer time.AfterFunc(life, func() { cmd.Process.Kill() }).Stop()
	}
	cmd.Wait()
	switch state := cmd.ProcessState; {
	case state.Success():
		return buf.String(), nil
	case state.Exited():
		return buf.String(), fmt.Errorf("parlor %s: %v: %s", strings.Join(args, " "), state, &buf)
	}
	return buf.String(), errKilled
}

var errKilled = errors.New("it was killed")

// again runs a command that takes about so long, and is killed a few times before. It is made again until it has done all.
func (w *world) again(r *rand.Rand, takes time.Duration, between func(), args ...string) (kills int, out string, err error) {
	for range 4 {
		out, err = w.run(1+time.Duration(r.Int64N(int64(takes))), args...)
		if !errors.Is(err, errKilled) {
			return kills, out, err
		}
		kills++
		between()
	}
	out, err = w.run(0, args...)
	return kills, out, err
}

// timed runs a command, which must not fail, and returns how long it takes: about, as the next time it will not be the same.
func (w *world) timed(args ...string) time.Duration {
	if _, err := parlorProgram(); err != nil { // it is built now, and not while it is timed
		w.t.Fatal(err)
	}
	begun := time.Now()
	_, err := w.run(0, args...)
	w.wrong(err)
	return time.Since(begun)
}

// TestKillBackup makes backups under load, kills these and their restoring, and looks whether what was restored has all that
// was known when the backup began.
func TestKillBackup(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
	w := newWorld(t, seed(t), newHost(t, "--store", data))
	r := w.rand("backup")
	w.populate(3)
	w.up()
	kills := 0
	for round := 0; round < *roundsFlag || kills == 0 && round < 20; round++ {
		w.wrong(w.look(r))
		backup := w.timed("backup", file, "--store", data)
		n, _, err := w.again(r, backup, func() {
			if _, err := os.Stat(file); err == nil { // it is whole
				_, err = w.run(0, "restore", file, "--store", filepath.Join(dir, fmt.Sprint("whole", round, r.Int())))
				w.wrong(err)
			}
		}, "backup", file, "--store", data)
		kills += n
		w.wrong(err)

		questions := make(map[string]crash.Question)
		for _, room := range w.rooms {
			questions[room.name] = w.ledger.Ask(room.name)
		}
		w.timed("backup", file, "--store", data)
		restore := w.timed("restore", file, "--store", filepath.Join(dir, fmt.Sprint("first", round)))
		copied := filepath.Join(dir, fmt.Sprint("copy", round))
		n, out, err := w.again(r, restore, func() { w.halfRestored(copied, questions) }, "restore", file, "--store", copied)
		if n > 0 && err != nil && strings.Contains(out, "is not empty") { // all was there when it was killed
			err = nil
		}
		kills += n
		w.wrong(err)
		w.compare(newHost(t, "--store", copied), questions)
		w.ended(fmt.Sprintf("with backup %d", round+1))
	}
	if kills == 0 {
		t.Error("nothing was killed")
	}
	t.Logf("%d commands were killed", kills)
	w.wrong(w.server.stop())
	w.finish()
}

// halfRestored looks at a folder into which a backup was being restored: no server takes it, or all is there, or nothing.
func (w *world) halfRestored(dir string, questions map[string]crash.Question) {
	if _, err := os.Stat(dir); err != nil {
		return
	}
	look := filepath.Join(w.t.TempDir(), "look")
	if out, err := exec.Command("cp", "-R", dir, look).CombinedOutput(); err != nil {
		w.wrong(fmt.Errorf("copy the folder: %w: %s", err, out))
		return
	}
	h := newHost(w.t, "--store", look)
	p := h.start()
	if err := p.await(patience); err != nil {
		if !strings.Contains(p.out.String(), "restore it again") {
			w.wrong(fmt.Errorf("on a store that is half restored: %w: %s", err, p.out.String()))
		}
		return
	}
	games, err := w.directory(h)
	w.wrong(err)
	w.wrong(p.kill())
	if len(games) == 0 { // it was killed before it had begun
		return
	}
	for _, r := range w.rooms { // a kept one is there only if the clerk has had it saved by then
		if r.kind != game.Kept && !slices.ContainsFunc(games, func(g client.GameInfo) bool { return g.Name == r.name }) {
			w.wrong(fmt.Errorf("a server runs on a store that is half restored: of %d games none is %s", len(games), r.name))
			return
		}
	}
	w.compare(h, questions)
}

// directory is the directory of a host's games.
func (w *world) directory(h *host) ([]client.GameInfo, error) {
	cfg, address := w.config(h, native, parlor.AdminName)
	cfg.Password = adminPassword
	c, err := w.dial(w.ctx, cfg, address)
	if err != nil {
		return nil, err
	}
	defer func() { c.Close(); c.Wait() }()
	return c.GameDir(w.ctx)
}

// compare starts a server of a copy, and compares that with what was known when the backup began.
func (w *world) compare(h *host, questions map[string]crash.Question) {
	p := h.start()
	err := p.await(patience)
	if err == nil {
		err = w.ask(w.rand("compare"), h, func(ctx context.Context, c *client.Client, r room) error {
			events, end, err := read(ctx, c, r, questions[r.name])
			if err != nil {
				return err
			}
			return w.ledger.Compare(r.name, questions[r.name], events, end)
		})
	}
	if err != nil {
		w.wrong(fmt.Errorf("a copy: %w; it has said: %s", err, tail(p.out.String())))
	}
	if err := p.kill(); err != nil {
		w.wrong(fmt.Errorf("a copy: %w", err))
	}
}

// TestKillImport kills imports of a save file of pgnet.
func TestKillImport(t *testing.T) {
	const users, games = 3000, 40
	dir := t.TempDir()
	w := newWorld(t, seed(t), newHost(t))
	r := w.rand("import")
	file := filepath.Join(dir, "save.json")
	source := filepath.Join(dir, "source")
	s, err := sqlite.Open(t.Context(), source, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var changes []store.Change
	for i := range users {
		name := fmt.Sprint("user", i)
		changes = append(changes, store.PutUser{Name: name, Folded: name, Secret: "$pgnet$salt$" + strings.Repeat("ab", 64)})
	}
	for i := range games {
		changes = append(changes, store.PutGame{Number: int64(i + 1), Name: fmt.Sprint("game ", i)},
			store.PutSave{Save: store.Save{Game: int64(i + 1), Data: strings.Repeat("save", 5000)}})
	}
	if err := errors.Join(s.Commit(t.Context(), changes...), s.Close()); err != nil {
		t.Fatal(err)
	}
	w.timed("save", "export", file, "--store", source)
	takes := w.timed("save", "import", file, "--store", filepath.Join(dir, "first"))
	kills := 0
	for round := 0; round < 3**roundsFlag || kills == 0 && round < 20; round++ {
		data := filepath.Join(dir, fmt.Sprint("data", round))
		whole := false
		n, out, err := w.again(r, takes, func() {
			if _, err := os.Stat(filepath.Join(data, "parlor.db")); err != nil {
				return // it was killed before it had begun
			}
			u, g := count(t, data)
			switch {
			case u == users && g == games:
				whole = true
			case u != 0 || g != 0:
				w.wrong(fmt.Errorf("an import that was killed has left %d users and %d games", u, g))
			}
		}, "save", "import", file, "--store", data)
		kills += n
		if whole != (err != nil) {
			w.wrong(fmt.Errorf("import %d, all was there before: %t: error %w: %s", round, whole, err, out))
		}
		if u, g := count(t, data); u != users || g != games {
			t.Errorf("%d users and %d games were imported", u, g)
		}
	}
	if kills == 0 {
		t.Error("nothing was killed")
	}
	t.Logf("%d imports were killed", kills)
}

// count is what a store has.
func count(t *testing.T, dir string) (users, games int) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	users, err = s.CountUsers(t.Context())
	list, err2 := s.Games(t.Context())
	if err := errors.Join(err, err2); err != nil {
		t.Error(err)
	}
	for _, err := range s.Export(t.Context()) { // all of it can be read
		if err != nil {
			t.Error(err)
		}
	}
	return users, len(list)
}
