package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/password"
	"parlor/internal/snapshot"
	"parlor/link"
	"parlor/server"
	"parlor/store"
)

// stream logs in a client that speaks envelopes, with a password made of her name.
func (w *world) stream(user string) *streamClient {
	w.t.Helper()
	c := &streamClient{t: w.t, srv: w.srv, name: user, password: passwordOf(user), payloads: true}
	c.connect(-1)
	if c.link.welcome == nil {
		w.t.Fatalf("%s was not logged in", user)
	}
	return c
}

// answer is the answer to a request with a payload, without its number, and with its payload if that is not empty.
func (c *streamClient) answer(message string, payload parlor.Map) string {
	c.t.Helper()
	c.post(message, payload)
	synctest.Wait()
	return c.take()
}

// post sends a request with a payload.
func (c *streamClient) post(message string, payload parlor.Map) {
	c.t.Helper()
	c.asked = append(c.asked, message)
	e := &link.Envelope{Kind: link.KindRequest, Ack: c.seq, ID: uint64(len(c.asked)), Message: message, Payload: parlor.Encode(payload)}
	if err := c.link.session.Request(e); err != nil {
		c.t.Fatal(err)
	}
}

// take is the last answer that has come, or empty.
func (c *streamClient) take() string {
	c.got = nil
	c.read()
	if len(c.got) == 0 {
		return ""
	}
	_, text, _ := strings.Cut(c.got[len(c.got)-1], " ")
	return strings.TrimSuffix(text, " {}")
}

// logsIn tells whether a password is the user's.
func (w *world) logsIn(user, pass string) bool {
	w.t.Helper()
	g := w.connect()
	r := g.tryLogin(user, pass)
	if r.Status != parlor.StatusOK && r.Message != "Incorrect password." {
		w.t.Errorf("login of %s: %s", user, r.Message)
	}
	g.close()
	return r.Status == parlor.StatusOK
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

type m = parlor.Map

// TestChangePassword: a user changes her own password, if she has the old one, and keeps her session.
func TestChangePassword(t *testing.T) {
	cfg := server.Config{Store: new(disk), Limits: server.Limits{PasswordSize: 40}}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		alice := w.stream("alice")
		change := func(old, new string) string {
			return alice.answer(parlor.RequestChangePassword, m{"old_password": old, "new_password": new})
		}
		same(t, change("guess", "new one"), "Incorrect password.")
		same(t, change("", "new one"), "Incorrect password.")
		same(t, change(passwordOf("alice"), ""), "User password required.")
		same(t, change(passwordOf("alice"), strings.Repeat("x", 41)), "Limit of password length reached.")
		same(t, alice.answer(parlor.RequestChangePassword, m{"new_password": "x"}), "Incorrect password.")
		same(t, alice.answer(parlor.RequestChangePassword, m{"old_password": 5}),
			"Expected argument type <class 'str'> for argument 'old_password'. Instead got: <class 'int'> 5")
		same(t, change(passwordOf("alice"), "new one"), "Changed password of 'alice'.")
		same(t, change(passwordOf("alice"), "another"), "Incorrect password.")
		alice.cut()
		alice.connect(-1)
		if alice.resumed != 1 {
			t.Error("her session could not be resumed")
		}
		alice.answer("bye", nil)
		alice.link.Close(link.CloseNormal, "")
		synctest.Wait()
		if w.logsIn("alice", passwordOf("alice")) || !w.logsIn("alice", "new one") {
			t.Error("the old password is hers, or the new one is not")
		}
	})
}

// TestChangePasswordGuesses: who has a session, and guesses the password, is slowed down as at a login.
func TestChangePasswordGuesses(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		alice := &streamClient{t: t, srv: w.srv, name: "alice", addr: addrOf(1)}
		alice.connect(-1)
		guesses := 0
		for begin := time.Now(); time.Since(begin) < time.Minute; guesses++ {
			alice.post(parlor.RequestChangePassword, m{"old_password": fmt.Sprint(guesses), "new_password": "mine"})
			for synctest.Wait(); alice.take() == ""; {
				pass(100 * time.Millisecond)
			}
		}
		if guesses < 60 || guesses > 90 { // 20 at once, and one a second
			t.Errorf("%d guesses in a minute", guesses)
		}
		same(t, alice.answer(parlor.RequestChangePassword, m{"old_password": "pw", "new_password": "mine"}), "Changed password of 'alice'.")
	})
}

// TestSetPassword: the administrator gives users new passwords, which ends their sessions, and herself one.
func TestSetPassword(t *testing.T) {
	d := new(disk)
	synctest.Test(t, func(t *testing.T) {
		w := start(t, server.Config{Store: d}, script{})
		admin, alice, bob := w.stream("admin"), w.stream("alice"), w.stream("bob")
		same(t, alice.answer(parlor.RequestSetPassword, m{"username": "bob", "password": "x"}), "'__parlor__.set_password' requires admin privileges.")
		set := func(user, pass string) string {
			return admin.answer(parlor.RequestSetPassword, m{"username": user, "password": pass})
		}
		same(t, set("carol", "x"), "No such user: 'carol'")
		same(t, set("admin", ""), "User password required.")
		bob.cut() // her session can be resumed
		same(t, set("alice", "alice's"), "Changed password of 'alice'.")
		same(t, set("bob", "bob's"), "Changed password of 'bob'.")
		if !slices.Equal(alice.link.closed, []link.Code{link.ClosePolicy}) || alice.link.reasons[0] != "new password" {
			t.Errorf("her link was closed with %v %q", alice.link.closed, alice.link.reasons)
		}
		bob.token = slices.Clone(bob.token)
		bob.connect(-1)
		if bob.link.welcome != nil {
			t.Error("he is back with his token")
		}
		for user, pass := range map[string]string{"alice": "alice's", "bob": "bob's"} {
			if w.logsIn(user, passwordOf(user)) || !w.logsIn(user, pass) {
				t.Errorf("%s: the old password is good, or the new one is not", user)
			}
		}
		if n := w.srv.Tokens(); n != 1 {
			t.Errorf("%d tokens are left, want the administrator's", n)
		}
		d.fail(errDisk)
		same(t, set("admin", "not stored"), "The server could not save this. Please try again later.")
		same(t, set("alice", "not stored"), "The server could not save this. Please try again later.")
		d.fail(nil)
		same(t, set("admin", "changed"), "Changed password of 'admin'.")
		same(t, admin.answer(parlor.RequestChangePassword, m{"old_password": "changed", "new_password": "again"}), "Changed password of 'admin'.")
		w.stop()
		w = startOver(t, d, "")
		if w.logsIn("admin", "changed") || !w.logsIn("admin", "again") || !w.logsIn("alice", "alice's") {
			t.Error("the new passwords were not stored")
		}
	})
}

// TestPasswordMeanwhile: a new password wins over a login with the old one that is under way, and over the new hash that such a login
// makes of an old one.
func TestPasswordMeanwhile(t *testing.T) {
	d := new(disk)
	d.put(snapshot.Snapshot{Users: []snapshot.User{snapshot.NewUser("alice", passwordOf("alice"))}})
	inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) {
		admin := w.stream("admin")
		open := d.block()
		admin.post(parlor.RequestSetPassword, m{"username": "alice", "password": "new"})
		synctest.Wait()
		alice := w.login("alice") // the old one is stored still
		g := w.connect()
		g.send("handshake", m{"username": "alice", "password": passwordOf("alice")})
		open()
		synctest.Wait()
		same(t, admin.take(), "Changed password of 'alice'.")
		alice.wantGone(time.Second)
		if r := g.read(); r.Status == parlor.StatusOK {
			t.Error("she was logged in with the old password")
		}
		pass(time.Second)
		if u, err := d.User(t.Context(), "alice"); err != nil || !fits(u.Secret, "new") || fits(u.Secret, passwordOf("alice")) {
			t.Errorf("stored is %q, %v", u.Secret, err)
		}
		if w.logsIn("alice", passwordOf("alice")) || !w.logsIn("alice", "new") {
			t.Error("the old password is good, or the new one is not")
		}
	})
}

func fits(secret, pass string) bool {
	ok, _, err := cheap.Check(secret, pass)
	return ok && err == nil
}

// TestPasswordOfDeleted: a new password does not bring back a user who is deleted meanwhile.
func TestPasswordOfDeleted(t *testing.T) {
	d := new(disk)
	inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) {
		admin := w.stream("admin")
		w.login("alice").close()
		open := d.block()
		deleted := make(chan error, 1)
		go func() { deleted <- w.srv.DeleteUser("alice") }()
		synctest.Wait()
		admin.post(parlor.RequestSetPassword, m{"username": "alice", "password": "new"})
		synctest.Wait()
		open()
		synctest.Wait()
		same(t, admin.take(), "No such user: 'alice'")
		if err := <-deleted; err != nil || d.hasUser("alice") {
			t.Errorf("she is still there: %v", err)
		}
	})
}

// TestCreateUser: the administrator registers users while others cannot.
func TestCreateUser(t *testing.T) {
	d := new(disk)
	inWorld(t, server.Config{Store: d, Limits: server.Limits{Users: 3}}, script{}, func(t *testing.T, w *world) {
		admin := w.stream("admin")
		create := func(user string) string {
			return admin.answer(parlor.RequestCreateUser, m{"username": user, "password": passwordOf(user)})
		}
		const exists = "Username exists already, or one that looks like it."
		same(t, create("a b"), "Username not allowed.")
		same(t, create("admin"), "Username not allowed.")
		same(t, create("B0b"), "Created user: 'B0b'.")
		same(t, create("B0b"), exists)
		same(t, create("B٠b"), exists)
		open := d.block()
		g := w.connect()
		g.send("handshake", m{"username": "carol", "password": passwordOf("carol")}) // about to be registered
		synctest.Wait()
		same(t, create("carol"), exists)
		admin.post(parlor.RequestCreateUser, m{"username": "dora", "password": passwordOf("dora")})
		synctest.Wait()
		other := w.connect()
		other.wantNoLogin(other.tryLogin("dora", "x"), "Username not allowed.")
		open()
		synctest.Wait()
		same(t, admin.take(), "Created user: 'dora'.")
		g.wantOK(g.read(), "Authenticated.")
		same(t, create("eve"), "Limit of registered users reached.")
		d.fail(errDisk)
		if err := w.srv.DeleteUser("dora"); err == nil {
			t.Fatal("deleted")
		}
		d.fail(nil)
		if err := w.srv.DeleteUser("dora"); err != nil {
			t.Fatal(err)
		}
		d.fail(errDisk)
		same(t, create("eve"), "The server could not save this. Please try again later.")
		d.fail(nil)
		same(t, create("eve"), "Created user: 'eve'.")
		if !w.logsIn("eve", passwordOf("eve")) || !w.logsIn("B0b", passwordOf("B0b")) {
			t.Error("who was created cannot log in")
		}
	})
}

// TestListUsers: in pages, in the order of registration.
func TestListUsers(t *testing.T) {
	d := new(disk)
	var users []snapshot.User
	for i := range 1500 {
		users = append(users, snapshot.NewUser(fmt.Sprint("user", i), ""))
	}
	users = append(users, snapshot.NewUser(strings.Repeat("\x01", 70_000), ""), snapshot.NewUser("zoe", passwordOf("zoe"))) // long ones may be imported
	d.put(snapshot.Snapshot{Users: users})
	inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) {
		w.login("zoe")
		admin := w.stream("admin")
		list := func(args m) (page struct {
			Users []struct {
				Number    int    `json:"number"`
				Username  string `json:"username"`
				Connected bool   `json:"connected"`
			} `json:"users"`
			More bool `json:"more"`
		}) {
			text, _ := strings.CutPrefix(admin.answer(parlor.RequestListUsers, args), "See payload for users. ")
			p, err := parlor.ParsePayload([]byte(text))
			if err == nil {
				err = p.Bind(&page)
			}
			if err != nil {
				t.Fatalf("%v: %.300s", err, text)
			}
			return page
		}
		var seen []string
		after, pages, connected := 0, 0, ""
		for more := true; more; pages++ {
			page := list(m{"after": after})
			for _, u := range page.Users {
				seen = append(seen, u.Username)
				after = u.Number
				if u.Connected {
					connected += u.Username
				}
			}
			more = page.More
		}
		if len(seen) != 1502 || seen[0] != "user0" || seen[1501] != "zoe" || pages > 4 || connected != "zoe" {
			t.Errorf("%d users in %d pages, connected %s", len(seen), pages, connected)
		}
		if page := list(m{"after": 2, "limit": 3}); len(page.Users) != 3 || !page.More || page.Users[0].Number != 3 {
			t.Errorf("page %+v", page)
		}
		same(t, admin.answer(parlor.RequestListUsers, m{"after": 10_000}), `See payload for users. {"users": [], "more": false}`)
		same(t, admin.answer(parlor.RequestListUsers, m{"limit": 1001}), "Expected a number from 1 to 1000 for argument 'limit'.")
		same(t, admin.answer(parlor.RequestListUsers, m{"limit": 0}), "Expected a number from 1 to 1000 for argument 'limit'.")
		same(t, admin.answer(parlor.RequestListUsers, m{"after": 1e300}), "Expected argument type <class 'int'> for argument 'after'. Instead got: <class 'float'> 1e+300")
	})
}

// TestOwnRequestsOfAdmin: nobody else may, and pgnet's clients do not have them.
func TestOwnRequestsOfAdmin(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		alice, admin := w.stream("alice"), w.login("admin")
		for _, message := range []string{parlor.RequestCreateUser, parlor.RequestSetPassword, parlor.RequestListUsers, parlor.RequestListInvites, parlor.RequestRevokeInvite} {
			same(t, alice.answer(message, nil), "'"+message+"' requires admin privileges.")
			admin.wantRefused(admin.ask(message, nil), "Please create/join a game.")
		}
	})
}

// TestVerboseHidesPasswords: nor are codes logged, whether the user is in a game or not.
func TestVerboseHidesPasswords(t *testing.T) {
	inWorld(t, server.Config{Verbose: true}, script{}, func(t *testing.T, w *world) {
		alice, admin := w.stream("alice"), w.stream("admin")
		alice.answer(parlor.RequestCreateGame, m{"name": "room"})
		same(t, alice.answer(parlor.RequestChangePassword, m{"old_password": passwordOf("alice"), "new_password": "hush1"}), "Changed password of 'alice'.")
		admin.answer(parlor.RequestCreateUser, m{"username": "carol", "password": "hush2"})
		admin.answer(parlor.RequestSetPassword, m{"username": "carol", "password": "hush3"})
		admin.answer(parlor.RequestSetPassword, m{"username": "carol", "password": 987654})
		bob := w.login("bob") // to whose wire it is a packet for the game
		bob.join("room")
		bob.ask(parlor.RequestChangePassword, m{"new_password": "hush4"})
		code, err := w.srv.CreateInvite("")
		if err != nil {
			t.Fatal(err)
		}
		if text := admin.answer(parlor.RequestListInvites, nil); !strings.Contains(text, code) {
			t.Errorf("the code is not listed: %s", text)
		}
		admin.answer(parlor.RequestRevokeInvite, m{"code": code})
		for _, secret := range []string{"hush", passwordOf("alice"), "987654", code} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("%q is in the log", secret)
			}
		}
	})
}

// startOver starts a server on a store with this password for the administrator, or none.
func startOver(t *testing.T, st store.Store, given string) *world {
	t.Helper()
	w := &world{t: t, log: new(logs), over: make(chan struct{})}
	cfg := server.Config{Games: map[string]parlor.NewGame{"": play(script{})}, Store: st, AdminPassword: given, Logger: slog.New(slog.NewTextHandler(w.log, nil))}
	cfg.Limits.HashMemory, cfg.Limits.HashPasses = cheap.Memory, cheap.Passes
	var err error
	if w.srv, err = server.New(cfg); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(w.over); w.srv.Run(context.Background()) }() // ends with Shutdown; stop waits
	t.Cleanup(w.stop)
	return w
}

// TestAdminPassword: it is kept as a hash, from the first start on, and one that is given takes its place.
func TestAdminPassword(t *testing.T) {
	games := map[string]parlor.NewGame{"": play(script{})}
	d := new(disk)
	if _, err := server.New(server.Config{Games: games, Store: d}); err == nil || !strings.Contains(err.Error(), "no administrator password") {
		t.Errorf("New: %v", err)
	}
	const warning = "the one that was given, in place of"
	for i, run := range []struct {
		given, good, bad string
		warned           bool
	}{
		{"first", "first", "", false},
		{"", "first", "", false},
		{"first", "first", "", false},
		{"second", "second", "first", true},
		{"", "second", "first", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := startOver(t, d, run.given)
			if !w.logsIn("admin", run.good) || w.logsIn("admin", run.bad) {
				t.Errorf("start %d: the password is another", i)
			}
			if got := strings.Contains(w.log.String(), warning); got != run.warned {
				t.Errorf("start %d: warned: %t", i, got)
			}
		})
		settings, err := d.Settings(t.Context())
		if secret := settings[store.SettingAdmin]; err != nil || !strings.HasPrefix(secret, "$argon2id$") || !fits(secret, run.good) {
			t.Errorf("start %d: stored is %q, %v", i, secret, err)
		}
	}
	d.fail(errDisk)
	if _, err := server.New(server.Config{Games: games, Store: d, AdminPassword: "third"}); err == nil || !strings.Contains(err.Error(), "store the administrator's password") {
		t.Errorf("New: %v", err)
	}
}

// reads counts what a store is asked for at logins.
type reads struct {
	store.Store
	n atomic.Int64
}

func (r *reads) User(ctx context.Context, name string) (store.User, error) {
	r.n.Add(1)
	return r.Store.User(ctx, name)
}

func (r *reads) Imitated(ctx context.Context, folded string) (bool, error) {
	r.n.Add(1)
	return r.Store.Imitated(ctx, folded)
}

// TestSameWork: a wrong password costs the server the same for names that there are, with whatever hash, and for those that there are not.
func TestSameWork(t *testing.T) {
	for _, open := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			memory := new(store.Memory)
			pgnets := snapshot.NewUser("", "secret")
			if err := memory.Commit(t.Context(),
				store.PutUser{Name: "today", Folded: "today", Secret: cheap.Hash("secret")},
				store.PutUser{Name: "imported", Folded: "imported", Secret: password.Pgnet(pgnets.Salt, pgnets.Hash)},
			); err != nil {
				t.Fatal(err)
			}
			r := &reads{Store: memory}
			w := startOver(t, r, "x")
			srv, hashes := w.srv, w.srv.CountHashes()
			if err := srv.SetRegistration(open); err != nil {
				t.Fatal(err)
			}
			for _, invite := range []string{"", "wrong"} {
				want := int64(1)
				if open || invite != "" {
					want = 2
				}
				for _, name := range []string{"today", "imported", "nobody", "no name", strings.Repeat("x", 10_000)} {
					hashes.Store(0)
					r.n.Store(0)
					g := w.connect()
					a := g.ask("handshake", m{"username": name, "password": "wrong", "invite_code": invite})
					if hashes.Load() != 1 || r.n.Load() != want {
						t.Errorf("%.20s, registration open: %t: %d hashes, %d reads, %s", name, open, hashes.Load(), r.n.Load(), a.Message)
					}
					if g.close(); a.Status == parlor.StatusOK { // it is free
						_ = srv.DeleteUser(name)
					}
				}
			}
		})
	}
}

// TestImportedHash (defect 39): the hash that pgnet made is replaced at the next login with the right password, and at no other.
func TestImportedHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := new(store.Memory)
		changes, _ := snapshot.Changes(snapshot.Snapshot{Users: []snapshot.User{snapshot.NewUser("alice", passwordOf("alice"))}}, parlor.FoldDigits, password.Clear)
		if err := st.Commit(t.Context(), changes...); err != nil {
			t.Fatal(err)
		}
		secret := func() string {
			t.Helper()
			u, err := st.User(t.Context(), "alice")
			if err != nil || u.Number != 1 {
				t.Errorf("user %+v, %v", u, err)
			}
			return u.Secret
		}
		old := secret()
		w := start(t, server.Config{Store: st}, script{})
		g := w.connect()
		g.wantNoLogin(g.tryLogin("alice", "guess"), "Incorrect password.")
		if secret() != old || !strings.HasPrefix(old, "$pgnet$") {
			t.Errorf("stored is %s, before %s", secret(), old)
		}
		w.login("alice")
		w.stop()
		renewed := secret()
		if !strings.HasPrefix(renewed, "$argon2id$") || !fits(renewed, passwordOf("alice")) {
			t.Errorf("stored is %s", renewed)
		}
		w = start(t, server.Config{Store: st}, script{})
		w.login("alice")
		w.stop()
		if secret() != renewed {
			t.Error("it was replaced again")
		}
	})
}
