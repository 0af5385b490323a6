package server_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
	"parlor/store"
)

// newCode asks for a code.
func newCode(t *testing.T, admin *streamClient, args m) string {
	t.Helper()
	code, ok := strings.CutPrefix(admin.answer(parlor.RequestCreateInvite, args), "Created invite code: ")
	if !ok || len(code) != 32 || strings.Trim(code, "0123456789abcdef") != "" {
		t.Fatalf("code %q, want 128 bits in hex", code)
	}
	return code
}

// registers is what a new user with a code is answered.
func (w *world) registers(user, code string) string {
	w.t.Helper()
	g := w.connect()
	r := g.ask("handshake", m{"username": user, "password": passwordOf(user), "invite_code": code})
	g.close()
	return r.Message
}

const (
	in  = parlor.MessageAuthenticated
	out = "Incorrect username or invite code."
)

// TestInviteUses: a code is good as often as it says, also over a restart.
func TestInviteUses(t *testing.T) {
	d := new(disk)
	var code string
	run := func(cfg server.Config, run func(w *world)) {
		synctest.Test(t, func(t *testing.T) {
			cfg.Store, cfg.NoRegistration = d, true
			w := start(t, cfg, script{})
			run(w)
			w.stop()
		})
	}
	run(server.Config{}, func(w *world) {
		admin := w.stream("admin")
		code = newCode(t, admin, m{"uses": 3})
		once := newCode(t, admin, nil)
		same(t, w.registers("anna", once), in)
		same(t, w.registers("berta", once), out)
		same(t, w.registers("berta", code), in)
		d.fail(errDisk)
		same(t, w.registers("carla", code), "The server could not save this. Please try again later.")
		d.fail(nil)
	})
	run(server.Config{}, func(w *world) {
		same(t, w.registers("carla", code), in)
		d.fail(errDisk) // the last use, which is given back
		same(t, w.registers("dora", code), "The server could not save this. Please try again later.")
		d.fail(nil)
		same(t, w.registers("dora", code), in)
		same(t, w.registers("emma", code), out)
		same(t, w.stream("admin").answer(parlor.RequestListInvites, nil), `See payload for invite codes. {"invites": [], "more": false}`)
	})
	run(server.Config{}, func(w *world) { same(t, w.registers("emma", code), out) })
	run(server.Config{PgnetPasswords: true}, func(w *world) { // a store that has no place for it
		admin := w.stream("admin")
		same(t, admin.answer(parlor.RequestCreateInvite, m{"uses": 2}), "With pgnet's save file (--save) a code is good once: make more of them, or serve with --store.")
		newCode(t, admin, m{"uses": 1})
	})
}

// TestInviteExpiry: a code is good for the server's time, or its own, or for ever.
func TestInviteExpiry(t *testing.T) {
	cfg := server.Config{NoRegistration: true, Limits: server.Limits{InviteLife: time.Hour}}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		admin := w.stream("admin")
		usual, brief, long := newCode(t, admin, m{"uses": 9}), newCode(t, admin, m{"uses": 9, "expires_in": 90.5}), newCode(t, admin, m{"uses": 9, "expires_in": 0})
		users := 0
		check := func(code, want string) {
			t.Helper()
			users++
			same(t, w.registers(fmt.Sprint("user", users), code), want)
		}
		listed := func() int { return strings.Count(admin.answer(parlor.RequestListInvites, nil), `"code"`) }
		pass(90 * time.Second)
		check(usual, in)
		check(brief, in)
		if n := listed(); n != 3 {
			t.Errorf("%d codes are listed", n)
		}
		pass(time.Second)
		check(brief, out)
		if n := listed(); n != 2 {
			t.Errorf("%d codes are listed", n)
		}
		pass(time.Hour)
		check(usual, out)
		check(long, in)
		for args, want := range map[*m]string{
			{"uses": 0}:             "Expected a number from 1 to 1000000 for argument 'uses'.",
			{"uses": 1_000_001}:     "Expected a number from 1 to 1000000 for argument 'uses'.",
			{"uses": 1.0}:           "Expected argument type <class 'int'> for argument 'uses'. Instead got: <class 'float'> 1.0",
			{"uses": true}:          "Expected argument type <class 'int'> for argument 'uses'. Instead got: <class 'bool'> True",
			{"expires_in": -1}:      "Expected a number of seconds from 0, which is never, to 3153600000 for argument 'expires_in'.",
			{"expires_in": 4e9}:     "Expected a number of seconds from 0, which is never, to 3153600000 for argument 'expires_in'.",
			{"expires_in": 1 << 60}: "Expected a number of seconds from 0, which is never, to 3153600000 for argument 'expires_in'.",
		} {
			same(t, admin.answer(parlor.RequestCreateInvite, *args), want)
		}
	})
}

// TestListInvites: in pages, in the order of the codes.
func TestListInvites(t *testing.T) {
	memory := new(store.Memory)
	var changes []store.Change
	for i := range 3000 {
		changes = append(changes, store.PutInvite{Code: fmt.Sprintf("%032d", 3000-i), Left: 1 + i%2, User: strings.Repeat("x", 50)})
	}
	if err := memory.Commit(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
	inWorld(t, server.Config{Store: memory}, script{}, func(t *testing.T, w *world) {
		admin := w.stream("admin")
		after, seen, pages := "", 0, 0
		for more := true; more; pages++ {
			var page struct {
				Invites []struct {
					Code     string `json:"code"`
					Username string `json:"username"`
					Uses     int    `json:"uses"`
					Expires  int    `json:"expires"`
				} `json:"invites"`
				More bool `json:"more"`
			}
			text, _ := strings.CutPrefix(admin.answer(parlor.RequestListInvites, m{"after": after}), "See payload for invite codes. ")
			p, err := parlor.ParsePayload([]byte(text))
			if err == nil {
				err = p.Bind(&page)
			}
			if err != nil || len(page.Invites) == 0 {
				t.Fatalf("%v: %.300s", err, text)
			}
			for _, i := range page.Invites {
				seen++
				if i.Code <= after || i.Uses != 1+(3000-seen)%2 || i.Expires != 0 || len(i.Username) != 50 {
					t.Fatalf("%+v after %s", i, after)
				}
				after = i.Code
			}
			more = page.More
		}
		if seen != 3000 || pages < 2 || pages > 30 {
			t.Errorf("%d codes in %d pages", seen, pages)
		}
	})
}

// TestRevokeInvite: a code that is revoked is good no more, also if a registration with it fails then; one whose end could not be stored is.
func TestRevokeInvite(t *testing.T) {
	d := new(disk)
	inWorld(t, server.Config{Store: d, NoRegistration: true}, script{}, func(t *testing.T, w *world) {
		admin := w.stream("admin")
		code := newCode(t, admin, m{"uses": 2})
		revoke := func() string { return admin.answer(parlor.RequestRevokeInvite, m{"code": code}) }
		same(t, admin.answer(parlor.RequestRevokeInvite, m{"code": "x"}), "No such invite code.")
		d.fail(errDisk)
		same(t, revoke(), "The server could not save this. Please try again later.")
		d.fail(nil)
		same(t, w.registers("anna", code), in)
		open := d.block()
		g := w.connect()
		g.send("handshake", m{"username": "berta", "password": "x", "invite_code": code})
		synctest.Wait()
		d.fail(errDisk)
		open()
		synctest.Wait()
		g.wantNoLogin(g.read(), "The server could not save this. Please try again later.")
		d.fail(nil)
		same(t, revoke(), "Revoked invite code.")
		same(t, revoke(), "No such invite code.")
		same(t, w.registers("berta", code), out)

		code = newCode(t, admin, m{"uses": 2})
		open = d.block()
		g = w.connect()
		g.send("handshake", m{"username": "carla", "password": "x", "invite_code": code})
		synctest.Wait()
		admin.post(parlor.RequestRevokeInvite, m{"code": code})
		synctest.Wait()
		d.failOnce(errDisk) // her registration
		open()
		synctest.Wait()
		g.wantNoLogin(g.read(), "The server could not save this. Please try again later.")
		same(t, admin.take(), "Revoked invite code.")
		same(t, w.registers("carla", code), out)
		if s := d.content(); len(s.Invites) != 0 {
			t.Errorf("stored are %v", s.Invites)
		}
	})
}
