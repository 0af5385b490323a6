package host_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"parlor"
	"parlor/client"
	"parlor/host"
	"parlor/internal/pgtest"
)

// TestDefaultStore: without any option a server keeps what was answered in a folder, which it names, and which nobody else may
// read. It is killed, and there again.
func TestDefaultStore(t *testing.T) {
	t.Parallel()
	program, err := parlorProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := runIn(t, dir, program, "serve", "--listen", "localhost:0")
	folder := filepath.Join(dir, "parlor-data")
	until(t, func() bool { return p.stdout.field("store") == filepath.Join(folder, "parlor.db") })
	key := p.stdout.field("public key")
	dial(t, p.addr(), client.Config{Username: "alice", Password: "pw", ServerKey: key})
	p.signal(syscall.SIGKILL)
	<-p.done
	for path, mode := range map[string]os.FileMode{
		folder: 0o700 | os.ModeDir, filepath.Join(folder, "parlor.db"): 0o600,
		filepath.Join(folder, "server.key"): 0o600, filepath.Join(folder, "server.key.logins"): 0o600,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, mode)
		}
	}
	p = runIn(t, dir, program, "serve", "--listen", "localhost:0")
	refused(t, p.addr(), client.Config{Username: "alice", Password: "wrong", ServerKey: key}, "Incorrect password.")
	dial(t, p.addr(), client.Config{Username: "alice", Password: "pw", ServerKey: key})
	p.signal(syscall.SIGTERM)
	p.ends(0)
	if text := p.stdout.String(); !strings.Contains(text, "saved to parlor-data/parlor.db; ended") {
		t.Errorf("it printed\n%s", text)
	}
}

// TestOldSave: who starts without the option that kept a save file is told of it, and not for ever.
func TestOldSave(t *testing.T) {
	t.Parallel()
	program, err := parlorProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := runIn(t, dir, program, "serve", "--listen", "localhost:0", "--save", "parlor.json")
	dial(t, p.addr(), client.Config{Username: "alice", Password: "pw"})
	p.signal(syscall.SIGTERM)
	p.ends(0)
	for _, told := range []bool{true, false} {
		p = runIn(t, dir, program, "serve", "--listen", "localhost:0")
		p.signal(syscall.SIGTERM)
		p.ends(0)
		if is := strings.Contains(p.stderr.String(), "parlor save import"); is != told {
			t.Errorf("told: %t, want %t:\n%s", is, told, &p.stderr)
		}
	}
}

// TestTwoServers: the second on a store is refused, and told who has it; a standby waits until that is dead.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(*testing.T) []string{
		"SQLite": func(t *testing.T) []string { return []string{"--store", filepath.Join(t.TempDir(), "data")} },
		"PostgreSQL": func(t *testing.T) []string {
			return []string{"--store", pgtest.Database(t), "--key", filepath.Join(t.TempDir(), "key")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, err := parlorProgram()
			if err != nil {
				t.Fatal(err)
			}
			args := append([]string{"serve", "--listen", "localhost:0", "--admin-password", "secret"}, place(t)...)
			first := run(t, program, args...)
			key := first.stdout.field("public key")
			dial(t, first.addr(), client.Config{Username: "alice", Password: "pw", ServerKey: key})

			second := startIn(t, t.TempDir(), program, args...)
			second.ends(1)
			for _, want := range []string{"in use by another server", "process ", "since", "--standby"} {
				if !strings.Contains(second.stderr.String(), want) {
					t.Errorf("the second says %q, which has not %q", &second.stderr, want)
				}
			}
			standby := startIn(t, t.TempDir(), program, append(args, "--standby")...)
			until(t, func() bool { return strings.Contains(standby.stderr.String(), "standby: another server has the store") })
			if text := standby.stdout.String(); text != "" {
				t.Errorf("the standby says %q", text)
			}
			first.signal(syscall.SIGKILL)
			until(t, func() bool { return standby.stdout.field("public key") != "" })
			if got := standby.stdout.field("public key"); got != key {
				t.Errorf("the standby has the key %s, want %s", got, key)
			}
			dial(t, standby.addr(), client.Config{Username: "alice", Password: "pw", ServerKey: key})

			another := startIn(t, t.TempDir(), program, append(args, "--standby")...)
			until(t, func() bool { return strings.Contains(another.stderr.String(), "standby: another server has the store") })
			another.signal(syscall.SIGTERM)
			another.ends(0)
		})
	}
}

// TestFenced: a server whose store another has taken over ends with a text and a code.
func TestFenced(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	program, err := parlorProgram()
	if err != nil {
		t.Fatal(err)
	}
	p := run(t, program, "serve", "--listen", "localhost:0", "--admin-password", "secret", "--store", url)
	admin := dial(t, p.addr(), client.Config{Username: "admin", Password: "secret"})
	endLeases(t, url)
	r, err := admin.Request(t.Context(), parlor.RequestCreateInvite, nil)
	if err == nil && r.Status == parlor.StatusOK {
		t.Error("what could not be stored was answered well")
	}
	p.ends(1)
	if text := p.stderr.String(); !strings.Contains(text, "parlor: ") || !strings.Contains(text, "another server has taken over the store") {
		t.Errorf("it says %q", text)
	}
}

// TestStorePassword: the password of a database is nowhere to be seen.
func TestStorePassword(t *testing.T) {
	t.Parallel()
	_, err := host.Start(t.Context(), quiet(host.Config{Store: "postgres://someone:hidden@127.0.0.1:1/lobby?connect_timeout=1"}))
	wantError(t, err, "postgres://someone@127.0.0.1:1/lobby")
	if err != nil && strings.Contains(err.Error(), "hidden") {
		t.Errorf("it is in %v", err)
	}
}

// TestBadFolders: a folder that cannot be written, and one that is damaged.
func TestBadFolders(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		_, err := host.Start(t.Context(), quiet(host.Config{Store: filepath.Join(dir, "data")}))
		wantError(t, err, "permission denied", "let the user of this process write this folder")
	}
	dir := t.TempDir()
	start(t, host.Config{Store: dir}).stop()
	db := filepath.Join(dir, "parlor.db")
	if err := os.Truncate(db, 5000); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	_, err = host.Start(t.Context(), quiet(host.Config{Store: dir}))
	wantError(t, err, "damaged", db, "parlor restore")
	if after, err := os.ReadFile(db); err != nil || string(after) != string(before) {
		t.Errorf("the database was changed, or %v", err)
	}
}

// TestBadPlaces: whatever opens a store for itself, or looks at it, refuses what is none, as nothing would be left of it or in it.
func TestBadPlaces(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"": "--store is empty", "memory": "would be gone at once", "store_test.go": "this is a file, and not a folder",
		"redis://localhost":                     "--store redis://...: there are no such stores",
		"postgres:/zoe:sesame@localhost/parlor": "--store postgres:...: a database is given as postgres://USER@HOST/DATABASE",
		"postgresql:parlor":                     "--store postgres:...: a database is given as postgres://USER@HOST/DATABASE",
	} {
		wantError(t, host.CheckStore(at), want)
		_, err := host.OpenStore(t.Context(), at, slog.New(slog.DiscardHandler))
		wantError(t, err, want)
		_, err = host.OpenStoreToRestore(t.Context(), at, slog.New(slog.DiscardHandler))
		wantError(t, err, want)
		_, err = host.ReadStore(t.Context(), at)
		wantError(t, err, want)
	}
	for _, at := range []string{t.TempDir(), filepath.Join(t.TempDir(), "new"), "postgres://localhost/x", "postgresql://localhost/x"} {
		if err := host.CheckStore(at); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// endLeases does what another server does that takes over.
func endLeases(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "UPDATE parlor.lease SET ended = now()"); err != nil {
		t.Fatal(err)
	}
}
