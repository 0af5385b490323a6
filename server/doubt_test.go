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
