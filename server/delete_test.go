package server_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
	"parlor/store"
)

func TestDeleteUser(t *testing.T) {
	remove := func(g *guest, name string) parlor.Response {
		return g.ask(parlor.RequestDeleteUser, parlor.Map{"username": name})
	}

	t.Run("texts", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			admin := w.login("admin")
			w.login("alice").close()
			admin.wantOK(remove(admin, "alice"), "Requested delete user 'alice'")
			admin.wantOK(remove(admin, "alice"), "No such username 'alice'")
			admin.wantOK(remove(admin, "nobody's"), `No such username "nobody's"`)
			admin.wantOK(remove(admin, "admin"), "Requested delete user 'admin'")
			admin.wantOK(admin.ask(parlor.RequestHelp, nil), "See payload for requests.")
		})
	})
	t.Run("name is free again", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			admin := w.login("admin")
			w.login("alice").close()
			remove(admin, "alice")
			g := w.connect()
			g.wantOK(g.tryLogin("alice", "another password"), "Authenticated.")
		})
	})
	t.Run("next packet", func(t *testing.T) {
		var left events
		inWorld(t, server.Config{}, script{left: left.add}, func(t *testing.T, w *world) {
			admin, alice := w.login("admin"), w.login("alice")
			alice.create("room")
			remove(admin, "alice")
			again := w.connect()
			again.wantNoLogin(again.tryLogin("alice", passwordOf("alice")), "User deleted.")
			r := alice.wantOK(alice.ask("move", nil), "User deleted.")
			if !r.Disconnecting || r.Game != "room" {
				t.Errorf("answer %s, want it to disconnect and to name the room", r.DebugText())
			}
			alice.wantGone(time.Second)
			synctest.Wait()
			left.want(t, "alice")
			w.login("alice")
		})
	})
	t.Run("silent user", func(t *testing.T) {
		var left events
		inWorld(t, server.Config{Store: new(disk)}, script{left: left.add}, func(t *testing.T, w *world) {
			admin, alice := w.login("admin"), w.login("alice")
			alice.create("room")
			remove(admin, "alice")
			pass(2 * time.Second)
			left.want(t, "alice")
			alice.wantGone(time.Second)
			if n := w.srv.Users(); n != 1 {
				t.Errorf("%d users, want the administrator only", n)
			}
			w.login("alice")
		})
	})
	t.Run("stored at once", func(t *testing.T) {
		d := new(disk)
		inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) {
			admin := w.login("admin")
			w.login("alice")
			if !d.hasUser("alice") {
				t.Error("the user was not stored")
			}
			remove(admin, "alice")
			if d.hasUser("alice") {
				t.Error("the deleted user is still stored")
			}
		})
	})
	t.Run("during a request", func(t *testing.T) {
		stuck := make(chan struct{})
		s := script{packet: func(parlor.Packet) parlor.Response { <-stuck; return parlor.OK("late") }}
		synctest.Test(t, func(t *testing.T) {
			stuck = make(chan struct{})
			w := start(t, server.Config{}, s)
			admin, alice := w.login("admin"), w.login("alice")
			alice.create("room")
			alice.send("move", nil)
			remove(admin, "alice")
			close(stuck)
			alice.wantOK(alice.read(), "User deleted.")
			alice.wantGone(time.Second)
		})
	})
	t.Run("store fails", func(t *testing.T) {
		d := new(disk)
		inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) {
			admin, alice := w.login("admin"), w.login("alice")
			d.fail(errDisk)
			admin.wantRefused(remove(admin, "alice"), "The server could not save this. Please try again later.")
			d.fail(nil)
			alice.wantRefused(alice.ask("x", nil), "Please create/join a game.")
			alice.close()
			w.login("alice")
		})
	})
	t.Run("by the program", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			for _, name := range []string{"nobody", "admin", ""} {
				if err := w.srv.DeleteUser(name); err != server.ErrNoUser {
					t.Errorf("DeleteUser(%q): %v, want ErrNoUser", name, err)
				}
			}
		})
	})
}

// askOf asks for something with arguments.
func (c *streamClient) askOf(message string, args parlor.Map) {
	c.t.Helper()
	c.asked = append(c.asked, message)
	e := &link.Envelope{Kind: link.KindRequest, Ack: c.seq, ID: uint64(len(c.asked)), Message: message, Payload: parlor.Encode(args)}
	if err := c.link.session.Request(e); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
	c.read()
}

// root is the administrator's client.
func (a *ages) root() *streamClient {
	a.t.Helper()
	c := &streamClient{t: a.t, name: "admin", password: "secret", srv: a.srv}
	c.connect(-1)
	return c
}

// TestNameOfADeletedUser: who was deleted does not come back by her session, as whoever was given her name, whether the server stops or dies right behind that.
func TestNameOfADeletedUser(t *testing.T) {
	for _, dies := range []bool{false, true} {
		t.Run(fmt.Sprint("dies ", dies), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				alice, root := a.stream("alice"), a.root()
				alice.ask("create one")
				alice.ask("a")
				root.askOf(parlor.RequestDeleteUser, parlor.Map{"username": "alice"})
				root.wantLast("1 Requested delete user 'alice'")
				root.askOf(parlor.RequestCreateUser, parlor.Map{"username": "alice", "password": "new"})
				root.wantLast("2 Created user: 'alice'.")
				if dies {
					a.moody.mood(func() { a.moody.gone = errAway })
				}
				a.end()
				a.moody.mood(func() { a.moody.gone = nil })
				a.begin(-1, false, nil)
				alice.srv, alice.loses = a.srv, true
				if alice.connect(-1); alice.link.welcome != nil {
					t.Error("she is back")
				}
			})
		})
	}
}

// TestSeatOfADeletedUser: the seat that a game keeps for a user behind a restart is not that of whoever is given her name when she was deleted, before the
// restart or behind it.
func TestSeatOfADeletedUser(t *testing.T) {
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprint("before ", before), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				bob, alice := a.stream("bob"), a.guest("alice")
				bob.ask("create one")
				alice.wantOK(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "one"}), "Joined game: 'one'.")
				if before {
					if err := a.memory.Commit(t.Context(), store.DeleteUser{Name: "alice"}); err != nil {
						t.Fatal(err)
					}
				}
				a.again()
				if !before {
					if err := a.srv.DeleteUser("alice"); err != nil {
						t.Fatal(err)
					}
				}
				alice = a.guest("alice")
				alice.wantOK(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "one"}), "Joined game: 'one'.")
				alice.wantText("seen", "joined bob, joined alice, "+map[bool]string{true: "left alice, away bob", false: "away bob, left alice"}[before]+", joined alice")
			})
		})
	}
}
