package server_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
	"parlor/store"
)

// moody is a store that can be slow, gone, or not sure.
type moody struct {
	*store.Memory

	mu     sync.Mutex    // guards the fields below
	takes  time.Duration // that each commit does
	gone   error         // what all fails with; nil: nothing does
	full   error         // what commits fail with
	unsure int           // commits of which the end is not known: 1 are made, -1 are not
	fenced bool          // another server has taken over, which can be read
	wrong  func(store.Change) bool
	tries  int // commits and reads of games
	hangs  bool

	noUsers bool // cannot be read
}

func (m *moody) mood(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func (m *moody) Commit(ctx context.Context, changes ...store.Change) error {
	m.mu.Lock()
	takes, gone, unsure, wrong, hangs, fenced := m.takes, m.gone, m.unsure, m.wrong, m.hangs, m.fenced
	if len(changes) == 0 { // no more than a look
		takes = 0
	} else if gone == nil {
		gone = m.full
	}
	m.tries++
	m.mu.Unlock()
	time.Sleep(takes) // sleep: virtual
	switch {
	case hangs:
		<-ctx.Done()
		return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	case gone != nil:
		return gone
	case fenced:
		return store.ErrFenced
	case wrong != nil && slices.ContainsFunc(changes, wrong):
		return fmt.Errorf("%w: as the test wants it", store.ErrConflict)
	case unsure > 0:
		if err := m.Memory.Commit(ctx, changes...); err != nil {
			return err
		}
		return store.ErrUnknown
	case unsure < 0:
		return store.ErrUnknown
	}
	return m.Memory.Commit(ctx, changes...)
}

func (m *moody) User(ctx context.Context, name string) (store.User, error) {
	m.mu.Lock()
	noUsers := m.noUsers
	m.mu.Unlock()
	if noUsers {
		return store.User{}, errAway
	}
	return m.Memory.User(ctx, name)
}

func (m *moody) Save(ctx context.Context, game int64) (store.Save, error) {
	m.mu.Lock()
	gone := m.gone
	m.tries++
	m.mu.Unlock()
	if gone != nil {
		return store.Save{}, gone
	}
	return m.Memory.Save(ctx, game)
}

func (m *moody) Journal(ctx context.Context, game int64, after uint64) iter.Seq2[store.Piece, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if gone := m.gone; gone != nil {
		return func(yield func(store.Piece, error) bool) { yield(store.Piece{}, gone) }
	}
	return m.Memory.Journal(ctx, game, after)
}

// inMoods runs a test in virtual time with a server on a store of moods.
func inMoods(t *testing.T, cfg server.Config, test func(t *testing.T, a *ages)) {
	synctest.Test(t, func(t *testing.T) {
		a := &ages{t: t, cfg: cfg}
		a.moody = &moody{Memory: &a.memory}
		a.begin(-1, false, nil)
		defer a.end()
		test(t, a)
	})
}

// stream is a client that has logged in.
func (a *ages) stream(name string) *streamClient {
	a.t.Helper()
	c := &streamClient{t: a.t, name: name, srv: a.srv}
	c.connect(-1)
	return c
}

func (c *streamClient) wantLast(want string) {
	c.t.Helper()
	synctest.Wait()
	c.read()
	if got := c.got[len(c.got)-1]; !strings.HasPrefix(got, want) {
		c.t.Errorf("%s hears %q, want %q", c.name, got, want)
	}
}

var errAway = fmt.Errorf("%w: it is away", store.ErrUnavailable)

// TestOvertakenInDoubt: a server does not know whether a commit was made, and another one has taken over since. What that one has written
// under the same numbers, as whose entries the moody store's stand here, is not taken for what waits.
func TestOvertakenInDoubt(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		alice := a.stream("alice")
		alice.ask("create one")
		alice.ask("first")
		a.moody.mood(func() { a.moody.takes, a.moody.unsure = 100*time.Millisecond, 1 })
		alice.askAll("second")
		pass(50 * time.Millisecond)
		a.moody.mood(func() { a.moody.fenced = true })
		select {
		case <-a.ended:
		case <-time.After(time.Minute):
			t.Error("the server goes on")
		}
		alice.read()
		for _, got := range alice.got {
			if strings.HasPrefix(got, "3 ") {
				t.Errorf("she hears %q", got)
			}
		}
	})
}

// TestNameOfADestroyedGame: a new game of the name is made while the deletion of the old one is on its way to the store, or has failed.
func TestNameOfADestroyedGame(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("fails ", fails), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				alice, bob := a.stream("alice"), a.stream("bob")
				admin := dial(t, a.srv)
				admin.wantOK(admin.tryLogin("admin", "secret"), "Authenticated.")
				alice.ask("create xyz")
				alice.ask("old")
				a.moody.mood(func() {
					a.moody.takes = 100 * time.Millisecond
					if fails {
						a.moody.gone = errAway
					}
				})
				admin.send(parlor.RequestDestroyGame, parlor.Map{"name": "xyz"})
				synctest.Wait()
				if fails {
					pass(200 * time.Millisecond)
					a.moody.mood(func() { a.moody.gone = nil })
				}
				bob.ask("create xyz")
				pass(time.Second)
				bob.wantLast("1 Created new game: 'xyz'.")
				bob.ask("new")
				pass(time.Second)
				a.moody.mood(func() { a.moody.takes = 0 })
				a.again()
				bob.srv = a.srv
				bob.connect(-1)
				bob.ask("all")
				bob.wantLast("3 new")
				if games, _ := a.memory.Games(t.Context()); len(games) != 1 {
					t.Errorf("there are %v", games)
				}
			})
		})
	}
}

// sluggish is a game that is saved as the clock of the test says.
type sluggish struct {
	stored
	takes time.Duration
}

type stored struct{ parlor.Game }

func (stored) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("") }
func (stored) Persistent() bool                               { return true }
func (s sluggish) SaveString() string {
	time.Sleep(s.takes) // sleep: virtual
	return "saved"
}

// TestDestroyedBeforeItIsSaved: a game that was asked for its save and destroyed before that was written does not come back.
func TestDestroyedBeforeItIsSaved(t *testing.T) {
	games := map[string]parlor.NewGame{
		"quick": func(parlor.Room, string) (parlor.Game, error) { return sluggish{}, nil },
		"slow":  func(parlor.Room, string) (parlor.Game, error) { return sluggish{takes: time.Second / 2}, nil },
	}
	inMoods(t, server.Config{Games: games, DefaultKind: "quick"}, func(t *testing.T, a *ages) {
		admin := dial(t, a.srv)
		admin.wantOK(admin.tryLogin("admin", "secret"), "Authenticated.")
		for _, kind := range []string{"quick", "slow"} {
			admin.wantOK(admin.ask(parlor.RequestCreateGame, parlor.Map{"name": kind, "kind": kind}), "Created new game: '"+kind+"'.")
			admin.ask(parlor.RequestLeaveGame, nil)
		}
		saved := make(chan error)
		go func() { saved <- a.srv.SaveNow() }()
		pass(100 * time.Millisecond)
		admin.wantOK(admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "quick"}), "Destroyed game: 'quick'")
		if err := <-saved; err != nil {
			t.Fatal(err)
		}
		if games, _ := a.memory.Games(t.Context()); len(games) != 1 || games[0].Name != "slow" {
			t.Errorf("stored are %v", games)
		}
	})
}

// TestUnknownOutcome: of a commit of which nobody knows whether it was made, rooms find out, and their users are told the truth; who has changed something
// of the lobby is told that it is not known.
func TestUnknownOutcome(t *testing.T) {
	for _, made := range []bool{true, false} {
		t.Run(fmt.Sprint("made ", made), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				alice, bob, carol, dave := a.stream("alice"), a.stream("bob"), a.stream("carol"), a.stream("dave")
				admin := dial(t, a.srv)
				admin.wantOK(admin.tryLogin("admin", "secret"), "Authenticated.")
				alice.ask("create one")
				bob.ask("create two")
				a.moody.mood(func() { a.moody.takes = 100 * time.Millisecond })
				alice.ask("first") // whose commit the others wait for
				a.moody.mood(func() {
					if a.moody.unsure = -1; made {
						a.moody.unsure = 1
					}
				})
				alice.askAll("a")
				bob.askAll("b")
				carol.askAll("create three")
				dave.askAll("join two")
				admin.send(parlor.RequestCreateInvite, nil)
				pass(250 * time.Millisecond)
				a.moody.mood(func() { a.moody.unsure, a.moody.takes = 0, 0 })
				pass(10 * time.Second)
				if r := admin.read(); r.Message != "The server does not know whether this was saved. Look before you try again." {
					t.Errorf("the administrator hears %q", r.Message)
				}
				const refused = "The server could not "
				want := [...]string{"3 a is 2 ", "2 b is 1 ", "1 Created new game: 'three'.", "1 Joined game: 'two'."}
				if !made {
					want = [...]string{"3 " + refused, "2 " + refused, "1 " + refused, "1 " + refused}
				}
				for i, c := range []*streamClient{alice, bob, carol, dave} {
					c.read()
					if !slices.ContainsFunc(c.got, func(got string) bool { return strings.HasPrefix(got, want[i]) }) {
						t.Errorf("%s hears %q, want %q", c.name, c.got, want[i])
					}
				}
				alice.ask("z")
				alice.wantLast(map[bool]string{true: "4 z is 3", false: "4 z is 2"}[made])
				if !made {
					carol.ask("create three")
					carol.wantLast("2 Created new game: 'three'.")
				}
				carol.ask("c")
				carol.wantLast(map[bool]string{true: "2 c is 1", false: "3 c is 1"}[made])
			})
		})
	}
}

// TestOneWrongChange: a change that the store does not take does not stop those that were to be written with it.
func TestOneWrongChange(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		alice, bob := a.stream("alice"), a.stream("bob")
		admin := dial(t, a.srv)
		admin.wantOK(admin.tryLogin("admin", "secret"), "Authenticated.")
		alice.ask("create one")
		bob.ask("create two")
		a.moody.mood(func() { a.moody.takes = 100 * time.Millisecond })
		bob.askAll("first")
		synctest.Wait()
		a.moody.mood(func() {
			a.moody.wrong = func(c store.Change) bool { p, is := c.(store.Append); return is && p.Game == 1 }
		})
		alice.askAll("a", "aa")
		bob.askAll("b")
		admin.send(parlor.RequestCreateInvite, nil)
		pass(time.Second)
		if r := admin.read(); !strings.HasPrefix(r.Message, "Created invite code: ") {
			t.Errorf("the administrator hears %q", r.Message)
		}
		bob.wantLast("3 b is 2")
		alice.wantLast("3 The server could not store this.")
		a.moody.mood(func() { a.moody.wrong = nil })
		pass(10 * time.Second)
		alice.ask("aaa")
		pass(time.Second)
		alice.wantLast("4 aaa is 1")
	})
}

// TestStoreAway: while the store is away for a minute nothing is taken, little is tried, and all goes on when it is back. What has ended meanwhile is
// gone from the store then, too.
func TestStoreAway(t *testing.T) {
	inMoods(t, server.Config{Autosave: time.Hour}, func(t *testing.T, a *ages) {
		var all []*streamClient
		for i := range 5 {
			c := a.stream(fmt.Sprint("user", i))
			c.ask(fmt.Sprint("create game", i))
			all = append(all, c)
		}
		gone := a.stream("gone")
		gone.ask("join game0")
		joiner := a.stream("joiner")
		a.moody.mood(func() { a.moody.gone, a.moody.tries = errAway, 0 })
		gone.link.end(true)
		for range 12 {
			for _, c := range all {
				c.ask("x")
				c.wantLast(fmt.Sprint(len(c.asked), " The server could not store this."))
			}
			joiner.ask("create other")
			joiner.wantLast(fmt.Sprint(len(joiner.asked), " The server could not s"))
			pass(5 * time.Second)
		}
		if tries := a.moody.tries; tries > 5*40+12*3 {
			t.Errorf("%d tries", tries)
		}
		a.moody.mood(func() { a.moody.gone = nil })
		pass(10 * time.Second)
		for _, c := range all {
			c.ask("y")
			c.wantLast(fmt.Sprint(len(c.asked), " y is 1"))
		}
		joiner.ask("create other")
		joiner.wantLast(fmt.Sprint(len(joiner.asked), " Created new game: 'other'."))
		sessions, _ := a.memory.Sessions(t.Context())
		if len(sessions) != 6 || slices.ContainsFunc(sessions, func(s store.Session) bool { return s.User == "gone" }) {
			t.Errorf("stored are %v", sessions)
		}
		if games, _ := a.memory.Games(t.Context()); len(games) != 6 {
			t.Errorf("stored are %v", games)
		}
	})
}

// TestEndWithoutAStore: a server whose store hangs ends in time, and the next one has all that was answered.
func TestEndWithoutAStore(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		alice := a.stream("alice")
		alice.ask("create one")
		alice.ask("a")
		a.moody.mood(func() { a.moody.hangs = true })
		alice.askAll("b")
		began := time.Now()
		a.end()
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		a.moody.mood(func() { a.moody.hangs = false })
		a.begin(-1, false, nil)
		alice.read()
		alice.wantLast("3 The server could not store this.")
		alice.srv = a.srv
		alice.connect(-1)
		alice.ask("all")
		alice.wantLast("4 a")
		alice.ask("c")
		alice.wantLast("5 c is 2")
	})
}

// TestHostileOffers: whatever a client says it has of a session of before the restart, nobody else is harmed by it, nor is the server.
func TestHostileOffers(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		rng := rand.New(rand.NewPCG(1, 2))
		alice, bob := a.stream("alice"), a.stream("bob")
		alice.ask("create one")
		bob.ask("join one")
		numbers := []uint64{0, 1, 2, 3, 7, 1 << 20, 1<<39 - 1, 1 << 39, 1 << 40, 1<<62 - 1, 1 << 62, 1<<64 - 2, 1<<64 - 1}
		for range 100 {
			bob.ask("b")
			a.again()
			bob.srv = a.srv
			l := &streamLink{key: "alice", takes: -1, offer: link.Offer{
				Token: alice.token, Seq: numbers[rng.IntN(len(numbers))], ID: numbers[rng.IntN(len(numbers))],
			}}
			var err error
			if l.session, err = a.srv.Open(l); err != nil {
				t.Fatal(err)
			}
			l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "pw"})})
			synctest.Wait()
			if l.welcome == nil {
				t.Fatalf("she cannot log in: %v", l.answer)
			}
			alice.token = l.welcome.Token
			id := l.welcome.ID
			for range 5 {
				id++
				if err := l.session.Request(&link.Envelope{Kind: link.KindRequest, ID: id, Message: "h"}); err != nil {
					break
				}
				synctest.Wait()
			}
			for _, m := range l.messages {
				if m.Seq > 1<<63 {
					t.Errorf("a message has the number %d", m.Seq)
				}
			}
			l.end(false)
			bob.connect(-1)
		}
		if bob.resumed != 100 {
			t.Errorf("bob was resumed %d times", bob.resumed)
		}
		bob.ask("all")
		if n := strings.Count(bob.got[len(bob.got)-1], "b"); n != 100 {
			t.Errorf("of 100 requests of bob's %d were executed", n)
		}
	})
}

// TestTokensOfOthers: a token is good for its own user and key only, and for a session that is there.
func TestTokensOfOthers(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		alice, bob := a.stream("alice"), a.stream("bob")
		alice.ask("create one")
		bob.ask("join one")
		a.again()
		for _, try := range []struct{ user, key string }{{"bob", "alice"}, {"alice", "bob"}, {"bob", "bob"}, {"mallory", "alice"}} {
			l := &streamLink{key: try.key, takes: -1, offer: link.Offer{Token: alice.token, Seq: alice.seq, ID: alice.answered}}
			l.session, _ = a.srv.Open(l)
			l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": try.user, "password": "guess"})})
			synctest.Wait()
			if l.welcome != nil && l.welcome.Resumed {
				t.Errorf("as %v somebody else resumes", try)
			}
			l.end(true)
		}
		pass(time.Minute)
		alice.srv = a.srv
		alice.loses = true
		before := a.srv.Tokens()
		if alice.connect(-1); alice.resumed != 0 || before != 0 {
			t.Errorf("a session that has ended was resumed; there were %d tokens", before)
		}
	})
}

// TestResumedTwiceAtOnce: of two links that resume a session with the same token, while its next one is being stored, either may be the one that the client
// goes on with, also after a crash.
func TestResumedTwiceAtOnce(t *testing.T) {
	for _, which := range []int{0, 1} {
		t.Run(fmt.Sprint(which), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				alice := a.stream("alice")
				alice.ask("create one")
				alice.cut()
				a.moody.mood(func() { a.moody.takes = 100 * time.Millisecond })
				var links []*streamLink
				for range 2 {
					l := &streamLink{key: "alice", takes: -1, offer: link.Offer{Token: alice.token, Seq: alice.seq, ID: alice.answered}}
					l.session, _ = a.srv.Open(l)
					l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "pw"})})
					links = append(links, l)
				}
				pass(2 * time.Second)
				for _, l := range links {
					if l.welcome == nil || !l.welcome.Resumed {
						t.Fatalf("a link was not resumed: %v", l.answer)
					}
				}
				alice.token = links[which].welcome.Token
				a.moody.mood(func() { a.moody.gone = errAway }) // it dies now
				a.end()
				a.moody.mood(func() { a.moody.gone, a.moody.takes = nil, 0 })
				a.begin(-1, false, nil)
				alice.srv = a.srv
				if alice.connect(-1); alice.resumed != 1 {
					t.Error("she is not resumed")
				}
			})
		})
	}
}

// TestManyAnswersAgain: however many requests a client has on its way that were executed and not answered, none is executed twice.
func TestManyAnswersAgain(t *testing.T) {
	inMoods(t, server.Config{SaveEvery: 1 << 20}, func(t *testing.T, a *ages) {
		alice := a.stream("alice")
		alice.ask("create one")
		alice.link.mu.Lock()
		alice.link.takes = 0
		alice.link.mu.Unlock()
		const n = 900
		for i := range n {
			alice.asked = append(alice.asked, fmt.Sprint("m", i))
			_ = alice.link.session.Request(&link.Envelope{Kind: link.KindRequest, Ack: alice.seq, ID: uint64(len(alice.asked)), Message: fmt.Sprint("m", i)})
			synctest.Wait()
		}
		a.moody.mood(func() { a.moody.gone = errAway }) // it dies
		a.end()
		a.moody.mood(func() { a.moody.gone = nil })
		a.begin(-1, false, nil)
		alice.srv = a.srv
		alice.connect(-1)
		alice.ask("all")
		if got := strings.Count(alice.got[len(alice.got)-1], ",") + 1; got != n || alice.answered != n+2 {
			t.Errorf("%d requests were executed, want %d; answered are %d", got, n, alice.answered)
		}
	})
}

// TestGameIsSlowToComeBack: who resumes while her game is still being made again waits for it, as what she was answered is not known before.
func TestGameIsSlowToComeBack(t *testing.T) {
	var slow time.Duration
	games := map[string]parlor.NewGame{"counting": func(r parlor.Room, save string) (parlor.Game, error) {
		time.Sleep(slow) // sleep: virtual
		return newTally(r, save)
	}}
	inMoods(t, server.Config{Games: games}, func(t *testing.T, a *ages) {
		alice := a.stream("alice")
		alice.ask("create one")
		alice.link.mu.Lock()
		alice.link.takes = 0
		alice.link.mu.Unlock()
		alice.askAll("a")
		synctest.Wait()
		a.end()
		slow = 2 * time.Minute
		a.begin(-1, false, nil)
		pass(11 * time.Second)
		alice.srv = a.srv
		alice.asked = alice.asked[:1]
		alice.connect(-1)
		alice.asked = append(alice.asked, "a")
		pass(2 * time.Minute)
		w := alice.link.welcome
		if w == nil || !w.Resumed || w.ID != 2 {
			t.Fatalf("she is welcomed with %+v", w)
		}
		alice.token, alice.lost = w.Token, w.Lost
		alice.read()
		alice.wantLast("2 a is 1")
		alice.ask("all")
		alice.wantLast("3 a")
	})
}

// TestPasswordWhileTheGameComesBack: who logs in with her password, on whatever wire, while her game is still being made again, takes her seat when it is.
func TestPasswordWhileTheGameComesBack(t *testing.T) {
	for _, pgnet := range []bool{false, true} {
		t.Run(fmt.Sprint("pgnet ", pgnet), func(t *testing.T) {
			var slow time.Duration
			games := map[string]parlor.NewGame{"counting": func(r parlor.Room, save string) (parlor.Game, error) {
				time.Sleep(slow) // sleep: virtual
				return newTally(r, save)
			}}
			inMoods(t, server.Config{Games: games}, func(t *testing.T, a *ages) {
				alice := a.stream("alice")
				alice.ask("create one")
				alice.ask("a")
				a.end()
				slow = 2 * time.Minute
				a.begin(-1, false, nil)
				pass(11 * time.Second)
				if pgnet {
					g := a.guest("alice")
					pass(2 * time.Minute)
					g.wantOK(g.ask(parlor.RequestJoinGame, parlor.Map{"name": "one"}), "Joined game: 'one'.")
					g.wantText("all", "a")
					return
				}
				c := &streamClient{t: t, name: "alice", srv: a.srv, key: "other"}
				c.connect(-1)
				pass(2 * time.Minute)
				c.ask("join one")
				c.wantLast("1 Joined game: 'one'.")
				c.ask("all")
				c.wantLast("2 a")
			})
		})
	}
}

// TestRequestOfAnotherClient: what the client before had under way, when another one took the session, is not the answer to a request of this one.
func TestRequestOfAnotherClient(t *testing.T) {
	hold := make(chan struct{})
	games := map[string]parlor.NewGame{"counting": func(r parlor.Room, save string) (parlor.Game, error) {
		g, err := newTally(r, save)
		return holding{g.(*tally), hold}, err
	}}
	synctest.Test(t, func(t *testing.T) {
		hold = make(chan struct{})
		a := &ages{t: t, cfg: server.Config{Games: games, SaveEvery: 1 << 20}}
		a.moody = &moody{Memory: &a.memory}
		a.begin(-1, false, nil)
		alice := a.stream("alice")
		alice.ask("create one")
		bob := a.stream("bob")
		bob.ask("join one")
		bob.askAll("hold")
		alice.askAll("theirs")
		synctest.Wait()
		alice.cut()
		other := a.stream("alice") // with her password
		close(hold)
		pass(time.Second)
		other.ask("mine")
		if !strings.HasPrefix(other.got[len(other.got)-1], "1 mine is 3") {
			t.Errorf("she hears %q", other.got)
		}
		a.moody.mood(func() { a.moody.gone = errAway })
		other.cut()
		a.end()
		a.moody.mood(func() { a.moody.gone = nil })
		a.begin(-1, false, nil)
		other.srv = a.srv
		other.connect(-1)
		other.ask("more")
		other.ask("yet more")
		if got := other.got[len(other.got)-1]; !strings.HasPrefix(got, "3 yet more is 5 ") {
			t.Errorf("she hears %q", other.got)
		}
		a.end()
	})
}

type holding struct {
	*tally
	hold chan struct{}
}

func (h holding) HandleGamePacket(p parlor.Packet) parlor.Response {
	if p.Message == "hold" {
		<-h.hold
	}
	return h.tally.HandleGamePacket(p)
}

// TestNoStart: a server that cannot start leaves the store to the next one, and what it has made again writes nothing more.
func TestNoStart(t *testing.T) {
	for _, reads := range []bool{true, false} { // or there is no administrator's password
		t.Run(fmt.Sprint("reads ", reads), func(t *testing.T) {
			inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
				alice, bob := a.stream("alice"), a.guest("bob")
				alice.ask("create one")
				bob.ask(parlor.RequestJoinGame, parlor.Map{"name": "one"})
				a.end()
				cfg := server.Config{Store: a.moody, Games: map[string]parlor.NewGame{"counting": newTally}, Logger: slog.New(slog.DiscardHandler)}
				if reads {
					cfg.AdminPassword = "secret"
					a.moody.mood(func() { a.moody.noUsers = true })
				} else if err := a.memory.Commit(t.Context(), store.PutSetting{Name: store.SettingAdmin}); err != nil {
					t.Fatal(err)
				}
				if _, err := server.New(cfg); err == nil {
					t.Fatal("it starts")
				}
				a.moody.mood(func() { a.moody.noUsers, a.moody.tries = false, 0 })
				pass(10 * time.Minute)
				if a.moody.tries != 0 {
					t.Errorf("afterwards it does %d things with the store", a.moody.tries)
				}
				a.begin(-1, false, nil)
				alice.srv = a.srv
				if alice.connect(-1); alice.resumed != 1 {
					t.Error("she is not resumed")
				}
				alice.ask("x")
				alice.wantLast("2 x is 1")
			})
		})
	}
}

// TestNewPasswordAndACrash: a session that ends as its user was given a new password does not come back after a crash, also if its client resumes just then,
// and is slow to hang up.
func TestNewPasswordAndACrash(t *testing.T) {
	inMoods(t, server.Config{}, func(t *testing.T, a *ages) {
		alice, bob := a.stream("alice"), a.stream("bob")
		alice.ask("create one")
		bob.ask("join one")
		root := &streamClient{t: t, name: "admin", password: "secret", srv: a.srv}
		root.connect(-1)
		alice.cut()
		alice.connect(-1)
		a.moody.mood(func() { a.moody.takes = 100 * time.Millisecond })
		if err := root.link.session.Request(&link.Envelope{Kind: link.KindRequest, ID: 1, Message: parlor.RequestSetPassword,
			Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "new"})}); err != nil {
			t.Fatal(err)
		}
		pass(50 * time.Millisecond)
		late := &streamLink{key: "alice", takes: -1, offer: link.Offer{Token: alice.token, Seq: alice.seq, ID: alice.answered}}
		late.session, _ = a.srv.Open(late)
		late.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "pw"})})
		alice.link.once.Do(func() {}) // it does not say that it has ended
		pass(200 * time.Millisecond)
		sessions, _ := a.memory.Sessions(t.Context())
		if len(sessions) != 1 || sessions[0].User != "bob" {
			t.Errorf("stored are %v", sessions)
		}
		a.moody.mood(func() { a.moody.takes = 0 })
		alice.link.session.Closed(false)
	})
}
