package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parlor/client"
	"parlor/internal/exampletest"
	"parlor/internal/pgtest"
	"parlor/store"
)

// program runs the program in a folder of its own.
type program struct {
	t   *testing.T
	dir string
	env []string
}

// run runs a command to its end, and returns what it prints; an error is what it prints of that.
func (p *program) run(stdin string, args ...string) (out string, err error) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), exampletest.Build(p.t, "."), args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.dir, strings.NewReader(stdin), &stdout, &stderr
	cmd.Env = append(os.Environ(), p.env...)
	if err := cmd.Run(); err != nil {
		if stdout.Len() > 0 {
			p.t.Errorf("parlor %q printed with its error: %s", args, &stdout)
		}
		return "", errors.New(stderr.String())
	}
	if stderr.Len() > 0 {
		p.t.Errorf("parlor %q: %s", args, &stderr)
	}
	return stdout.String(), nil
}

// want fails unless a command prints this.
func (p *program) want(want, stdin string, args ...string) {
	p.t.Helper()
	if out, err := p.run(stdin, args...); err != nil || out != want {
		p.t.Errorf("parlor %q printed %q, %v; want %q", args, out, err, want)
	}
}

// refused fails unless a command ends with an error that says these.
func (p *program) refused(stdin string, args []string, parts ...string) {
	p.t.Helper()
	_, err := p.run(stdin, args...)
	if err == nil {
		p.t.Errorf("parlor %q: no error", args)
		return
	}
	checkContains(p.t, err.Error(), parts...)
}

// with is args with more.
func with(more []string, args ...string) []string { return append(args, more...) }

// served starts a server on a store.
func served(t *testing.T, where ...string) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Start(t, exampletest.Build(t, "."), with(where, "serve", "--listen", "127.0.0.1:0")...)
	p.Await("\nstore: ")
	_, rest, _ := strings.Cut(p.Stdout.Text(), "address: ")
	addr, _, _ = strings.Cut(rest, "\n")
	return p, addr
}

// logsIn tells whether a user is let in.
func logsIn(t *testing.T, addr, user, password, invite string) bool {
	t.Helper()
	c, err := client.Dial(t.Context(), addr, client.Config{Username: user, Password: password, InviteCode: invite, Timeout: exampletest.Patience})
	var why *client.DisconnectedError
	if errors.As(err, &why) && (why.Reason == client.ReasonTimeout || why.Reason == client.ReasonCallFailed) {
		t.Errorf("%s is neither let in nor refused: %v", user, err)
	}
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	places := map[string]func(t *testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "data") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.New(t).URL() },
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testAccounts(t, place(t))
		})
	}
}

// testAccounts does the same with the store of a stopped server and with the one that runs.
func testAccounts(t *testing.T, at string) {
	p := &program{t: t, dir: t.TempDir()}
	store := []string{"--store", at}
	p.refused("", with(store, "user", "list"), "there is no store", "--connect")
	p.refused("pw\n", with(store, "user", "add", "alice"), "there is no store")

	server, addr := served(t, with(store, "--admin-password", "first", "--no-registration")...)
	p.refused("pw\n", with(store, "user", "add", "alice"), "use", "the address at which it listens in place of --store, as in --connect localhost:38929")
	p.want("NUMBER  NAME\n", "", with(store, "user", "list")...) // which goes on beside it
	there := []string{"--connect", addr}
	p.refused("", with(there, "user", "list"), "no administrator's password: give PARLOR_ADMIN_PASSWORD")
	p.refused("", with(there, "user", "list", "--admin-password", "guess"), "Incorrect password.", "PARLOR_ADMIN_PASSWORD")
	p.env = []string{"PARLOR_ADMIN_PASSWORD=first"}

	check := func(where []string, addr string, prefix string, running bool) {
		t.Helper()
		alice, bob := prefix+"alice", prefix+"bob"
		p.want("added user "+alice+"\n", "pw of alice\r\nmore", with(where, "user", "add", alice)...)
		p.refused("pw\n", with(where, "user", "add", alice), "already")
		p.refused("pw\n", with(where, "user", "add", "a b"), "not allowed")
		p.refused("\n", with(where, "user", "add", bob), "the new password is empty", "--no-password")
		p.refused(strings.Repeat("x", 1025), with(where, "user", "add", bob), "1024 at most")
		p.want("added user "+bob+"\n", "", with(where, "user", "add", bob, "--no-password")...)
		file := filepath.Join(p.dir, "password")
		if err := os.WriteFile(file, []byte("pw of bob\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.want("changed the password of "+bob+"\n", "", with(where, "user", "passwd", bob, "--password-file", file)...)
		p.refused("x\n", with(where, "user", "passwd", "nobody"), "nobody")
		p.refused("x\n", with(where, "user", "passwd", bob, "--password-file", "missing"), "missing")
		p.refused("x\n", with(where, "user", "passwd"), "one NAME is needed")
		p.want("added user "+prefix+"carl\n", "x", with(where, "user", "add", prefix+"carl")...)
		p.want("deleted user "+prefix+"carl\n", "", with(where, "user", "delete", prefix+"carl")...)
		p.refused("", with(where, "user", "delete", prefix+"carl"), "there is no user")
		p.refused("", with(where, "user", "delete", "admin"), "cannot be deleted")
		out, err := p.run("", with(where, "user", "list", "--json")...)
		for _, want := range []string{`"username":"` + alice + `"`, `"username":"` + bob + `"`} {
			if err != nil || strings.Count(out, want) != 1 || strings.Contains(out, `"username":"`+prefix+`carl"`) || strings.Contains(out, `"connected":false`) != running {
				t.Errorf("listed are %s, %v", out, err)
			}
		}

		code := func(args ...string) string {
			t.Helper()
			out, err := p.run("", with(where, with(args, "invite", "create")...)...)
			if err != nil || len(out) != 33 {
				t.Fatalf("code %q, %v", out, err)
			}
			return out[:32]
		}
		twice, hers, brief := code("--uses", "2"), code("--for", prefix+"dora"), code("--expires-in", "1h")
		p.refused("", with(where, "invite", "create", "--for", "a b"), `--for "a b": nobody can register so`)
		p.refused("", with(where, "invite", "create", "--uses", "0"), "--uses 0")
		p.refused("", with(where, "invite", "create", "--expires-in", "-1s"), "--expires-in -1s")
		for i, invite := range invites(t, p, where) {
			if want := []string{brief, min(twice, hers), max(twice, hers)}[i]; invite.Code != want && invite.Expires == 0 {
				t.Errorf("code %d is %+v, want %s", i, invite, want)
			}
		}
		p.want("revoked\n", "", with(where, "invite", "revoke", brief)...)
		p.refused("", with(where, "invite", "revoke", brief), "o such invite code")
		if !running {
			var stop func()
			server, addr = served(t, store...)
			stop = func() { server.Signal(syscall.SIGTERM); server.Ends(0) }
			defer stop()
		}
		for _, login := range []struct {
			user, password, invite string
			want                   bool
		}{
			{alice, "pw of alice", "", true}, {alice, "more", "", false}, {bob, "pw of bob", "", true}, {bob, "", "", false},
			{prefix + "carl", "x", "", false}, {prefix + "carl", "x", brief, false}, {prefix + "carl", "x", hers, false},
			{prefix + "dora", "x", hers, true}, {prefix + "carl", "x", twice, true}, {prefix + "emma", "x", twice, true}, {prefix + "fred", "x", twice, false},
		} {
			if got := logsIn(t, addr, login.user, login.password, login.invite); got != login.want {
				t.Errorf("login as %s with %q and code %q: %t", login.user, login.password, login.invite, got)
			}
		}
		if left := invites(t, p, store); len(left) > 0 {
			t.Errorf("codes are left: %+v", left)
		}
	}
	check(there, addr, "x", true)
	p.want("changed the password of admin\n", "second", with(there, "user", "passwd", "admin")...)
	p.refused("", with(there, "user", "list"), "Incorrect password.")
	server.Signal(syscall.SIGTERM)
	server.Ends(0)
	check(store, "", "y", false)
	p.want("changed the password of admin\n", "third", with(store, "user", "passwd", "admin")...)
	p.refused("x", with(store, "user", "passwd", "admin", "--no-password"), "--no-password")

	server, addr = served(t, store...)
	if strings.Contains(server.Stdout.Text(), "administrator password") {
		t.Error("it made up a password for the administrator")
	}
	if logsIn(t, addr, "admin", "second", "") || !logsIn(t, addr, "admin", "third", "") {
		t.Error("the administrator's password is not the one that was set")
	}
}

// invites are the codes that are listed.
func invites(t *testing.T, p *program, where []string) (rows []inviteRow) {
	t.Helper()
	out, err := p.run("", with(where, "invite", "list", "--json")...)
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
		var row inviteRow
		if err := dec.Decode(&row); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		rows = append(rows, row)
	}
	return rows
}

// TestAccountsErrors: what cannot be is found before anything is asked for.
func TestAccountsErrors(t *testing.T) {
	t.Parallel()
	p := &program{t: t, dir: t.TempDir()}
	p.refused("", []string{"user", "list", "--store", "x", "--connect", "y"}, "--store and --connect: give one of them")
	p.refused("", []string{"user", "list"}, "there is no store in parlor-data", "--store")
	p.refused("", []string{"user", "list", "--store", "memory"}, "memory")
	p.refused("", []string{"user", "nonsense"}, `unknown command "nonsense": try list, add, passwd, delete; see parlor user --help`)
	p.refused("", []string{"invite", "list", "x"}, `unexpected argument "x"`)
	p.refused("", []string{"user", "list", "--connect", "localhost:1", "--admin-password", "x"}, "no server listens there")
	if _, err := os.Stat(filepath.Join(p.dir, "parlor-data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a store was made: %v", err)
	}
	p.want("CODE  FOR  USES  EXPIRES\n", "", with([]string{"--store", emptyStore(t)}, "invite", "list")...)
}

// TestAccountsPlace: what is given on the command line is meant, and not what the environment has, which may be another server.
func TestAccountsPlace(t *testing.T) {
	t.Parallel()
	p := &program{t: t, dir: t.TempDir()}
	at := emptyStore(t)
	p.env = []string{"PARLOR_CONNECT=localhost:1", "PARLOR_STORE=missing", "PARLOR_ADMIN_PASSWORD=x"}
	p.want("added user alice\n", "pw\n", "user", "add", "alice", "--store", at)
	p.want("deleted user alice\n", "", "user", "delete", "alice", "--store", at)
	p.env = append(p.env, "PARLOR_USER=alice") // who connects
	if _, err := p.run("", "invite", "create", "--store", at); err != nil {
		t.Error(err)
	}
	if all := invites(t, p, []string{"--store", at}); len(all) != 1 || all[0].Username != "" {
		t.Errorf("the codes are %+v, want one for anybody", all)
	}
	p.refused("", []string{"user", "list"}, "localhost:1", "no server listens there")
	p.refused("", []string{"user", "list", "--connect", "localhost:2"}, "localhost:2", "no server listens there")
	p.refused("", []string{"user", "list", "--connect="}, "there is no store in missing")
}

// TestUserListBlocks: users are printed a thousand at a time, with a head above each, and none above nobody.
func TestUserListBlocks(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "data")
	var changes []store.Change
	for i := range 1000 {
		changes = append(changes, store.PutUser{Name: fmt.Sprint("user", i), Folded: fmt.Sprint("user", i)})
	}
	fillWith(t, at, changes...)
	if out := mustParlor(t, "user", "list", "--store", at); strings.Count(out, "NUMBER") != 1 || strings.Count(out, "\n") != 1001 {
		t.Errorf("%d heads in %d lines", strings.Count(out, "NUMBER"), strings.Count(out, "\n"))
	}
}

// TestPasswordRefused: what nobody could log in with is no password.
func TestPasswordRefused(t *testing.T) {
	at := emptyStore(t)
	for text, want := range map[string]string{
		"":                                   "is empty",
		"\nsecond":                           "is empty",
		strings.Repeat("\u00fc", 513) + "\n": "1026 bytes",
		"m\xfcller\n":                        "not UTF-8",
	} {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := allStored(t, at)
		_, _, err := runParlor(t, "user", "passwd", "admin", "--store", at, "--password-file", file)
		checkError(t, err, want, "password")
		if after := allStored(t, at); !cmp.Equal(before, after, sortedChanges) {
			t.Errorf("%q: stored %v, before %v", text, after, before)
		}
	}
}

// TestAccountsNobody: where no server listens, one is told what these commands can do then.
func TestAccountsNobody(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, _, err = runParlor(t, "user", "list", "--connect", ln.Addr().String(), "--admin-password", "x")
	checkError(t, err, "connection refused", "parlor serve", "leave out --connect")
	if strings.Contains(err.Error(), "--local") {
		t.Errorf("there is no such flag: %v", err)
	}
}

// emptyStore is a store that was served once.
func emptyStore(t *testing.T) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "data")
	p, _ := served(t, "--store", at)
	p.Signal(syscall.SIGTERM)
	p.Ends(0)
	return at
}
