package server_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
	"parlor/store"
)

// lingering is a store with commits of which nobody knows whether they are made, until the next one.
type lingering struct {
	*store.Memory

	mu     sync.Mutex // guards the fields below
	doubts bool       // commits linger
	made   bool       // and are made then
	waits  []store.Change
}

func (l *lingering) set(doubts, made bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubts, l.made = doubts, made
}

func (l *lingering) Commit(ctx context.Context, changes ...store.Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made {
		if err := l.Memory.Commit(ctx, l.waits...); err != nil {
			return err
		}
	}
	if l.waits = nil; l.doubts {
		l.waits = slices.Clone(changes)
		return store.ErrUnknown
	}
	return l.Memory.Commit(ctx, changes...)
}

// TestDoubtIsSettled: what is read behind a commit of unknown outcome is not what there is before that is known: the commit may still be under way, as
// where the disk of a database stands still and what was read before is in its memory.
func TestDoubtIsSettled(t *testing.T) {
	for _, made := range []bool{true, false} {
		t.Run(fmt.Sprint("made ", made), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lingering{Memory: new(store.Memory)}
				w := start(t, server.Config{Store: l, Games: map[string]parlor.NewGame{"": newTally}}, script{})
				c := &streamClient{t: t, name: "alice", srv: w.srv}
				c.connect(-1)
				c.ask("create one")
				l.set(true, made)
				c.ask("a")
				pass(10 * time.Second)
				if c.read(); len(c.got) != 1 {
					t.Errorf("while it is not known she hears %q", c.got)
				}
				l.set(false, made)
				pass(10 * time.Second)
				if made {
					if c.read(); !strings.HasPrefix(c.got[len(c.got)-1], "2 a is 1 ") {
						t.Errorf("then she hears %q", c.got)
					}
				} else {
					c.wantLast("2 The server could not store this.")
				}
				c.ask("b")
				c.ask("all")
				c.wantLast(map[bool]string{true: "4 a,b", false: "4 b"}[made])
			})
		})
	}
}

// TestJoinOfAGameThatEndsUnstored: a game whose last user has left, which the store does not take, is there still: who wants to join it is refused, at
// once, and gets in when the store is back.
func TestJoinOfAGameThatEndsUnstored(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		alice, bob := a.stream("alice"), a.stream("bob")
		admin := dial(t, a.srv)
		admin.wantOK(admin.tryLogin("admin", "secret"), "Authenticated.")
		alice.ask("create one")
		a.moody.mood(func() { a.moody.full = errDisk })
		alice.ask(parlor.RequestLeaveGame)
		alice.wantLast("2 Left game: 'one'.")
		for i := range 5 {
			bob.ask("join one")
			bob.wantLast(fmt.Sprint(i+1, " The server could not save this."))
			pass(time.Second)
		}
		a.moody.mood(func() { a.moody.full = nil })
		pass(10 * time.Second)
		bob.ask("join one")
		bob.wantLast("6 Created new game: 'one'.")
	})
}

// TestJoinAtTheEnd: who is joining a game when the server stops, and the store does not take that, does not keep the server from its end.
func TestJoinAtTheEnd(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		alice, bob := a.stream("alice"), a.stream("bob")
		alice.ask("create one")
		a.moody.mood(func() { a.moody.takes = 1500 * time.Millisecond })
		a.srv.Shutdown(0)
		pass(4 * time.Second) // the first save is on its way, till 4.5 s
		bob.askAll("join one")
		synctest.Wait()
		a.moody.mood(func() { a.moody.full = errDisk })
		<-a.ended
	})
}

// TestOwedDeletionOfASession: a user leaves a durable game, which the store does not take of her session, and comes back by a commit of which nobody knows
// whether it was made. Her session is resumed after a crash.
func TestOwedDeletionOfASession(t *testing.T) {
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprint("together ", together), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				alice, bob := a.stream("alice"), a.stream("bob")
				alice.ask("create one")
				bob.ask("join one")
				if together {
					a.moody.mood(func() { a.moody.takes = time.Second })
					bob.askAll(parlor.RequestLeaveGame, "join one")
					synctest.Wait()
					alice.askAll("x")
					pass(1100 * time.Millisecond) // she has left; her deletion, and x, are on their way
				} else {
					a.moody.mood(func() {
						a.moody.wrong = func(c store.Change) bool { _, is := c.(store.DeleteSession); return is }
					})
					bob.ask(parlor.RequestLeaveGame)
					a.moody.mood(func() { a.moody.wrong, a.moody.takes = nil, time.Second })
					bob.askAll("join one")
				}
				a.moody.mood(func() { a.moody.unsure = 1 })
				pass(1500 * time.Millisecond)
				a.moody.mood(func() { a.moody.unsure, a.moody.takes = 0, 0 })
				pass(10 * time.Second)
				bob.wantLast("3 Joined game: 'one'.")
				bob.ask("y")
				bob.wantLast("4 y is ")
				killed := new(store.Memory)
				for c, err := range a.memory.Export(t.Context()) {
					if err = cmp.Or(err, killed.Commit(t.Context(), c)); err != nil {
						t.Fatal(err)
					}
				}
				a.end()
				a.moody.Memory = killed
				a.begin(-1, false, nil)
				bob.srv, bob.loses = a.srv, true
				if bob.connect(-1); bob.resumed != 1 {
					t.Error("her session is gone")
				}
			})
		})
	}
}

// TestOneFailure: a write that fails, with another one of the game behind it, has the game made again once: what comes then is stored.
func TestOneFailure(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		alice, bob, carol := a.stream("alice"), a.stream("bob"), a.stream("carol")
		alice.ask("create one")
		bob.ask("join one")
		carol.ask("create two")
		a.moody.mood(func() { a.moody.takes, a.moody.full = time.Second, errDisk })
		alice.askAll("a")
		pass(100 * time.Millisecond)
		a.moody.mood(func() { a.moody.full = nil })
		bob.askAll("b")
		carol.askAll("c")
		pass(1400 * time.Millisecond)
		alice.wantLast("2 The server could not store this.")
		alice.askAll("d")
		pass(10 * time.Second)
		bob.wantLast("push line")
		alice.read()
		if got := alice.got; !slices.ContainsFunc(got, func(got string) bool { return strings.HasPrefix(got, "3 d is 1 ") }) {
			t.Errorf("alice hears %q", got)
		}
		if n := a.srv.Stats().Rooms.Unstored.Load(); n != 1 {
			t.Errorf("the game was made again %d times", n)
		}
	})
}

// TestDeletionInDoubt: a user of whom it is not known whether she was deleted is out as soon as it is known that she was. If she was not, she goes on.
func TestDeletionInDoubt(t *testing.T) {
	for _, made := range []bool{true, false} {
		t.Run(fmt.Sprint("made ", made), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				alice, root := a.stream("alice"), a.root()
				alice.ask("create one")
				a.moody.mood(func() { a.moody.unsure = map[bool]int{true: 1, false: -1}[made] })
				root.askOf(parlor.RequestDeleteUser, parlor.Map{"username": "alice"})
				root.wantLast("1 The server does not know whether this was saved.")
				pass(time.Minute)
				again := dial(t, a.srv)
				again.wantNoLogin(again.tryLogin("alice", "pw"), "Username already connected.")
				a.moody.mood(func() { a.moody.unsure = 0 })
				pass(10 * time.Second)
				alice.ask("a")
				users, _ := a.memory.CountUsers(t.Context())
				if made {
					if alice.got[len(alice.got)-1] != "1 Created new game: 'one'." || a.srv.Users() != 1 || users != 0 {
						t.Errorf("she hears %q, with %d users, %d of them logged in", alice.got, users, a.srv.Users())
					}
					return
				}
				alice.wantLast("2 a is 1 ")
				root.askOf(parlor.RequestDeleteUser, parlor.Map{"username": "alice"})
				root.wantLast("2 Requested delete user 'alice'")
			})
		})
	}
}

// TestCodeInDoubt: an invite code for one is not good for another one while it is not known whether somebody has registered with it, and behind that only if she has
// not.
func TestCodeInDoubt(t *testing.T) {
	for _, made := range []bool{true, false} {
		t.Run(fmt.Sprint("made ", made), func(t *testing.T) {
			inMoods(t, server.Config{NoRegistration: true}, func(t *testing.T, a *ages) {
				code, err := a.srv.CreateInvite("")
				if err != nil {
					t.Fatal(err)
				}
				registers := func(name, want string) {
					t.Helper()
					g := dial(t, a.srv)
					g.send(parlor.MessageHandshake, parlor.Map{"username": name, "password": "pw", "invite_code": code})
					if r := g.read(); r.Message != want {
						t.Errorf("%s hears %q, want %q", name, r.Message, want)
					}
				}
				const unknown, wrong, in = "The server does not know whether this was saved. Look before you try again.", "Incorrect username or invite code.", "Authenticated."
				a.moody.mood(func() { a.moody.unsure = map[bool]int{true: 1, false: -1}[made] })
				registers("alice", unknown)
				pass(time.Minute)
				registers("bob", wrong)
				a.moody.mood(func() { a.moody.unsure = 0 })
				pass(10 * time.Second)
				registers("bob", map[bool]string{true: wrong, false: in}[made])
				registers("alice", map[bool]string{true: in, false: wrong}[made])
				if users, _ := a.memory.CountUsers(t.Context()); users != 1 {
					t.Errorf("%d users have registered with a code for one", users)
				}
			})
		})
	}
}

// TestAdminPasswordInDoubt: what counts as the administrator's password is the one that is stored, once that is known.
func TestAdminPasswordInDoubt(t *testing.T) {
	for _, made := range []bool{true, false} {
		t.Run(fmt.Sprint("made ", made), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				root := a.root()
				a.moody.mood(func() { a.moody.unsure = map[bool]int{true: 1, false: -1}[made] })
				root.askOf(parlor.RequestChangePassword, parlor.Map{"old_password": "secret", "new_password": "new"})
				root.wantLast("1 The server does not know whether this was saved.")
				a.moody.mood(func() { a.moody.unsure = 0 })
				pass(10 * time.Second)
				root.link.end(true)
				pass(2 * time.Second)
				for _, pass := range []string{"secret", "new"} {
					g := dial(t, a.srv)
					want := map[bool]string{true: "Authenticated.", false: "Incorrect password."}[(pass == "new") == made]
					if r := g.tryLogin("admin", pass); r.Message != want {
						t.Errorf("with %q: %q, want %q", pass, r.Message, want)
					}
					g.close()
					synctest.Wait()
				}
			})
		})
	}
}

// TestEndInDoubt: a server ends in time while the store cannot tell what became of a change.
func TestEndInDoubt(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		root := a.root()
		a.moody.mood(func() { a.moody.unsure = -1 })
		root.askOf(parlor.RequestCreateUser, parlor.Map{"username": "alice", "password": "pw"})
		pass(time.Second / 2)
		begun := time.Now()
		a.srv.Shutdown(0)
		if <-a.ended; time.Since(begun) > 10*time.Second {
			t.Errorf("it took %v", time.Since(begun))
		}
	})
}

// TestCreatorGoneBeforeItIsStored: a game whose only user has left before it was stored, as she has come back in another session, and which the store does
// not take then, is not there: who wants to join it makes a new one, where her request was handed round for ever.
func TestCreatorGoneBeforeItIsStored(t *testing.T) {
	for _, unknown := range []bool{false, true} {
		t.Run(fmt.Sprint("unknown ", unknown), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				alice, bob := a.guest("alice"), a.stream("bob")
				a.moody.mood(func() {
					if a.moody.takes = 5 * time.Second; unknown {
						a.moody.unsure = -1
					} else {
						a.moody.full = errDisk
					}
				})
				alice.send(parlor.RequestCreateGame, parlor.Map{"name": "one"})
				synctest.Wait()
				alice.close()
				pass(2 * time.Second)
				again := a.guest("alice") // whose seat is that of the session before, and is given up first
				again.send(parlor.RequestJoinGame, parlor.Map{"name": "one"})
				pass(10 * time.Second)
				a.moody.mood(func() { a.moody.takes, a.moody.unsure, a.moody.full = 0, 0, nil })
				pass(10 * time.Second)
				bob.ask("join one")
				pass(time.Second)
				bob.wantLast(map[bool]string{true: "1 Joined game: 'one'.", false: "1 Created new game: 'one'."}[unknown]) // which she has made meanwhile
			})
		})
	}
}

// TestDeletionOfOneInDoubt: who is to be deleted while it is not known whether she has been registered is not, and the users are counted as they are stored.
func TestDeletionOfOneInDoubt(t *testing.T) {
	inMoods(t, server.Config{Limits: server.Limits{Users: 1}}, func(t *testing.T, a *ages) {
		root := a.root()
		a.moody.mood(func() { a.moody.unsure = 1 })
		root.askOf(parlor.RequestCreateUser, parlor.Map{"username": "alice", "password": "pw"})
		root.askOf(parlor.RequestDeleteUser, parlor.Map{"username": "alice"})
		root.wantLast("2 The server does not know whether this was saved.")
		a.moody.mood(func() { a.moody.unsure = 0 })
		pass(10 * time.Second)
		bob := dial(t, a.srv)
		bob.wantNoLogin(bob.tryLogin("bobby", "pw"), "Limit of registered users reached.")
		root.askOf(parlor.RequestDeleteUser, parlor.Map{"username": "alice"})
		root.wantLast("3 Requested delete user 'alice'")
		a.stream("carol")
	})
}
