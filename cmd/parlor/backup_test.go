package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parlor"
	"parlor/client"
	"parlor/host"
	"parlor/internal/exampletest"
	"parlor/internal/lockfile"
	"parlor/internal/pgtest"
	"parlor/store"
	"parlor/store/backup"
	"parlor/store/sqlite"
)

// runParlor runs a command of the program in this process.
func runParlor(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, news bytes.Buffer
	cmd := rootCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&news)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), news.String(), err
}

// mustParlor is for one that must succeed, and have nothing to complain about.
func mustParlor(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	out, news, err := runParlor(t, args...)
	if err != nil || news != "" {
		t.Fatalf("parlor %s: %v\n%s%s", strings.Join(args, " "), err, out, news)
	}
	return out
}

// serveStore starts "parlor serve" on a store as a process.
func serveStore(t *testing.T, args ...string) (p *exampletest.Process, addr, key string) {
	t.Helper()
	p = exampletest.Start(t, exampletest.Build(t, "."), append([]string{"serve", "--listen", "127.0.0.1:0", "--admin-password", "secret"}, args...)...)
	p.Await("\nstore: ")
	return p, lineOf(p, "address: "), lineOf(p, "public key: ")
}

// lineOf is the rest of a line that a program has printed.
func lineOf(p *exampletest.Process, begins string) string {
	_, rest, _ := strings.Cut(p.Stdout.Text(), begins)
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

// login logs in; the client is closed at the end of the test.
func login(t *testing.T, addr string, cfg client.Config) *client.Client {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Reconnect.For = -1
	cfg.Timeout = exampletest.Patience // the machine may be busy
	c, err := client.Dial(t.Context(), addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); _ = c.Wait() })
	return c
}

// ask makes a request that must be answered well.
func ask(t *testing.T, c *client.Client, message string, payload parlor.Map) parlor.Response {
	t.Helper()
	r, err := c.Request(t.Context(), message, payload)
	if err != nil || r.Status != parlor.StatusOK {
		t.Fatalf("%s: %s, %v", message, r.DebugText(), err)
	}
	return r
}

// allStored is all of a store, but for what changes with each start.
func allStored(t *testing.T, at string) (all []store.Change) {
	t.Helper()
	st, err := host.ReadStore(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for c, err := range st.Export(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if g, is := c.(store.PutGame); is {
			g.Saved = 0
			c = g
		}
		all = append(all, c)
	}
	return all
}

// sortedChanges is for those of stores whose exports have another order.
var sortedChanges = cmpopts.SortSlices(func(a, b store.Change) bool { return fmt.Sprintf("%T %[1]v", a) < fmt.Sprintf("%T %[1]v", b) })

// TestBackup: a backup of a server that runs, and goes on answering meanwhile, becomes a server of the same key, users and games in another kind
// of store.
func TestBackup(t *testing.T) {
	t.Parallel()
	for name, into := range map[string]func(*testing.T) []string{
		"SQLite": func(t *testing.T) []string { return []string{"--store", filepath.Join(t.TempDir(), "new")} },
		"PostgreSQL": func(t *testing.T) []string {
			return []string{"--store", pgtest.Database(t), "--key", filepath.Join(t.TempDir(), "key")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := []string{"--store", filepath.Join(t.TempDir(), "old")}, into(t)
			p, addr, key := serveStore(t, from...)
			alice := login(t, addr, client.Config{Username: "alice", Password: "pw", ServerKey: key})
			ask(t, alice, parlor.RequestCreateGame, parlor.Map{"name": "talk", "password": "sesame"})
			ask(t, alice, "hello", nil)
			admin := login(t, addr, client.Config{Username: "admin", Password: "secret"})
			ask(t, admin, parlor.RequestSave, nil)
			code := strings.TrimPrefix(ask(t, admin, parlor.RequestCreateInvite, parlor.Map{"username": "carol"}).Message, "Created invite code: ")
			ask(t, admin, parlor.RequestSetRegistration, parlor.Map{"set_as": false})

			file := filepath.Join(t.TempDir(), "backup")
			checkContains(t, mustParlor(t, append([]string{"backup", file}, from...)...), "1 users, 1 invite codes, 1 games with 1 saves")
			if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
				t.Errorf("the file is %v, %v", info.Mode(), err)
			}
			ask(t, admin, parlor.RequestCreateInvite, nil) // the server goes on, and this is not in the backup

			checkContains(t, mustParlor(t, append([]string{"restore", file}, to...)...), "restored ", "1 users")
			second := filepath.Join(t.TempDir(), "second")
			mustParlor(t, append([]string{"backup", second}, to...)...)
			if diff := cmp.Diff(changesOf(t, file), changesOf(t, second), cmpopts.EquateEmpty(), sortedChanges); diff != "" {
				t.Errorf("(-backup +restored):\n%s", diff)
			}
			_, _, err := runParlor(t, append([]string{"restore", file}, to...)...)
			checkError(t, err, "the store is not empty")

			p.Signal(syscall.SIGTERM)
			p.Ends(0)
			_, addr, again := serveStore(t, to...)
			if again != key {
				t.Errorf("the key is %s, and was %s", again, key)
			}
			alice = login(t, addr, client.Config{Username: "alice", Password: "pw", ServerKey: key})
			ask(t, alice, parlor.RequestJoinGame, parlor.Map{"name": "talk", "password": "sesame"})
			login(t, addr, client.Config{Username: "carol", InviteCode: code})
			_, err = client.Dial(t.Context(), addr, client.Config{Username: "david", Logger: slog.New(slog.DiscardHandler), Timeout: exampletest.Patience})
			checkError(t, err, "Registration blocked.")
		})
	}
}

// changesOf is what a backup has.
func changesOf(t *testing.T, file string) (all []store.Change) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, err := backup.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	for c, err := range r.Changes() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// fill makes a store with so many users, and as many pieces of a journal of 2 KB.
func fill(t *testing.T, dir string, n int) {
	t.Helper()
	changes := []store.Change{store.PutGame{Number: 1, Name: "long", Kind: "chat", Durable: true}}
	for i := range n {
		changes = append(changes,
			store.PutUser{Name: fmt.Sprint("user", i), Folded: fmt.Sprint("user", i), Secret: "$pgnet$a$b"},
			store.Append{Game: 1, First: uint64(i + 1), Last: uint64(i + 1), Data: bytes.Repeat([]byte{byte(i)}, 2000)})
	}
	fillWith(t, dir, changes...)
}

// fillWith makes a store with these.
func fillWith(t *testing.T, dir string, changes ...store.Change) {
	t.Helper()
	st, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Commit(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// killMidway starts a command, and kills it when its work is half done, which half tells. If it was faster, as this process may have been
// busy elsewhere, it is started again; before puts back what it has changed.
func killMidway(t *testing.T, before func(), half func() bool, args ...string) {
	t.Helper()
	program := exampletest.Build(t, ".")
	late := time.After(exampletest.Patience)
	for range 50 {
		before()
		var out bytes.Buffer
		cmd := exec.Command(program, args...)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }() // ends with the process
		wait, overdue := true, false
		for wait && !half() {
			select {
			case <-time.After(time.Millisecond): // another process gets there, and tells nobody
			case <-ended:
				wait = false
			case <-late:
				wait, overdue = false, true
			}
		}
		_ = cmd.Process.Kill()
		<-ended
		switch code := cmd.ProcessState.ExitCode(); {
		case code == -1 && half():
			return
		case code > 0 || overdue:
			t.Fatalf("parlor %s: exit code %d, overdue: %t\n%s", strings.Join(args, " "), code, overdue, &out)
		}
	}
	t.Fatalf("parlor %s was never killed half done", strings.Join(args, " "))
}

// hasContent tells whether a pattern names a file that is not empty.
func hasContent(pattern string) bool {
	found, _ := filepath.Glob(pattern)
	return slices.ContainsFunc(found, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() > 0
	})
}

// TestBackupKilled: a backup that is killed leaves the file of before; a restore that is killed a store that no server takes, and that can be
// restored again. A damaged file is refused before anything is made.
func TestBackupKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, file := filepath.Join(dir, "old"), filepath.Join(dir, "backup")
	fill(t, old, 6_000)
	killMidway(t, func() {
		left, _ := filepath.Glob(file + ".unfinished-*")
		for _, path := range left {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(file, []byte("the one before"), 0o600); err != nil {
			t.Fatal(err)
		}
	}, func() bool { return hasContent(file + ".unfinished-*") }, "backup", file, "--store", old)
	if text, err := os.ReadFile(file); err != nil || string(text) != "the one before" {
		t.Errorf("the file has %d bytes, %v", len(text), err)
	}
	// What it has left is removed by the next one, and neither what is written now nor what has another name.
	left, _ := filepath.Glob(file + ".unfinished-*")
	if len(left) != 1 {
		t.Fatalf("left are %q", left)
	}
	written, other, young := file+".unfinished-12", file+".unfinished-x1", file+".unfinished-13"
	for _, path := range []string{written, other, young} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{left[0], written, other} {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := lockfile.Acquire(written)
	if err != nil {
		t.Fatal(err)
	}
	_, news, err := runParlor(t, "backup", file, "--store", old)
	if err != nil || !strings.Contains(news, "the server's key is not in this backup") {
		t.Fatal(err, news)
	}
	if lock != nil { // where files have locks
		lock.Close()
		left, _ = filepath.Glob(file + ".unfinished-*")
		if !slices.Equal(left, []string{written, young, other}) {
			t.Errorf("left are %q", left)
		}
	}

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string][]byte{"cut": text[:len(text)-1], "empty": {}, "foreign": []byte("SQLite format 3\x00")} {
		path, to := filepath.Join(dir, what), filepath.Join(dir, "to "+what)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := runParlor(t, "restore", path, "--store", to)
		checkError(t, err, "nothing of it was taken: look for another copy")
		if _, err := os.Stat(to); err == nil {
			t.Errorf("%s: a store was made", what)
		}
	}

	to := filepath.Join(dir, "new")
	killMidway(t, func() {
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}, func() bool { return isUnfinished(to) }, "restore", file, "--store", to)
	for _, args := range [][]string{{"serve", "--listen", "localhost:0"}, {"backup", file + "2"}, {"save", "export", file + "3"}} {
		_, _, err := runParlor(t, append(args, "--store", to)...)
		checkError(t, err, "not all of it is there", "parlor restore")
	}
	_, _, err = runParlor(t, "restore", file, "--store", to)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(allStored(t, old), allStored(t, to)) {
		t.Error("what was restored is not what was there")
	}
}

// isUnfinished tells whether a store has a part of a backup.
func isUnfinished(at string) bool {
	st, err := sqlite.OpenReadOnly(context.Background(), at, sqlite.Options{})
	if err != nil {
		return false
	}
	defer st.Close()
	settings, err := st.Settings(context.Background())
	return err == nil && backup.Unfinished(settings) != nil
}

// TestBackupDevice: a backup may go to a device that is no terminal.
func TestBackupDevice(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "data")
	fillWith(t, at)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd := rootCommand()
	cmd.SetArgs([]string{"backup", "-", "--store", at})
	cmd.SetOut(null)
	var news bytes.Buffer
	cmd.SetErr(&news)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkContains(t, news.String(), "backup of "+at)
}

// TestBackupBadKey: what is no key is not taken for one, as restore would refuse all of the backup.
func TestBackupBadKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at, file := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
	fillWith(t, at)
	for path, args := range map[string][]string{filepath.Join(at, "server.key"): nil, filepath.Join(dir, "other"): {"--key", filepath.Join(dir, "other")}} {
		if err := os.WriteFile(path, []byte("no key\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := runParlor(t, append([]string{"backup", file, "--store", at}, args...)...)
		checkError(t, err, "the server's key, "+path, "not a usable key")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a backup was made")
	}
}

// TestBackupErrors: what to try.
func TestBackupErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	for line, want := range map[string]string{
		"backup x --store " + missing:                    "there is no store in " + missing,
		"backup":                                         "one FILE is needed",
		"backup x --store memory":                        "within one server",
		"restore x --store memory":                       "would be gone at once",
		"restore " + missing + " --store " + missing:     "no such file",
		"save import " + missing + " --store " + missing: "does not exist",
		"save import " + missing + " --store memory":     "would be gone at once",
		"save":          "",
		"save nonsense": "try import, export",
		"save export " + dir + " --store " + missing:        "is there already",
		"save export " + missing + ".json --store redis://": "postgres://",
		"save import " + missing + " --store=":              "--store is empty",
		"save export " + missing + " --store=":              "--store is empty",
		"restore " + missing + " --store=":                  "--store is empty",
		"backup x --store=":                                 "--store is empty",
		"backup x --store main.go":                          "this is a file, and not a folder",
		"user list --store main.go":                         "this is a file, and not a folder",
		"user add bob --store main.go":                      "this is a file, and not a folder",
		"game list --store main.go":                         "this is a file, and not a folder",
		"game list --store=":                                "--store is empty",
		"invite list --store redis://localhost":             "there are no such stores",
	} {
		_, _, err := runParlor(t, strings.Fields(line)...)
		if want == "" && err == nil {
			continue
		}
		checkError(t, err, want)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("there is %v, %v", entries, err)
	}
}

// TestSpare: no file that a server needs is replaced by what is made of its store.
func TestSpare(t *testing.T) {
	at := emptyStore(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "other.key")
	link := filepath.Join(dir, "link")
	if err := os.Link(filepath.Join(at, "parlor.db"), link); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(at, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, text, 0o600); err != nil {
		t.Fatal(err)
	}
	fillWith(t, at, store.PutGame{Number: 1, Name: "table"})
	before := allStored(t, at)
	for _, own := range append(host.StoreFiles(at), link, key, host.LoginsFile(key), filepath.Join(at, "..", filepath.Base(at), "parlor.db-wal")) {
		was, _ := os.ReadFile(own)
		for _, command := range []string{"backup", "game export table", "save export"} {
			args := append(strings.Fields(command), own, "--store", at)
			switch {
			case command == "backup":
				args = append(args, "--key", key)
			case own == key || own == host.LoginsFile(key):
				continue // these know nothing of it
			}
			if _, _, err := runParlor(t, args...); err == nil || !strings.Contains(err.Error(), "choose another name") {
				t.Errorf("parlor %q: %v", args, err)
			}
		}
		if is, _ := os.ReadFile(own); !bytes.Equal(is, was) && !strings.HasSuffix(own, "-shm") {
			t.Errorf("%s is another file", own)
		}
	}
	if after := allStored(t, at); !cmp.Equal(before, after, sortedChanges) {
		t.Errorf("stored: %v; before: %v", after, before)
	}
	mustParlor(t, "backup", filepath.Join(at, "mine.backup"), "--store", at) // which is nobody's
}
