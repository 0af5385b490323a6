package server_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/room"
	"parlor/server"
	"parlor/store"
)

// mortal is a store whose server dies at a commit: nothing it does from then on is of any effect.
type mortal struct {
	*store.Memory
	dies func() // called at the death

	mu    sync.Mutex // guards the fields below
	at    int        // the commit at which it dies, from 0; negative: never
	lands bool       // that commit is made before
	dead  bool
}

var errDead = errors.New("the process is dead")

func (m *mortal) Commit(ctx context.Context, changes ...store.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead
	}
	if m.at == 0 {
		m.dead = true
		m.dies()
		if m.lands {
			m.Memory.Commit(ctx, changes...)
		}
		return errDead
	}
	m.at--
	return m.Memory.Commit(ctx, changes...)
}

// tally is a durable game that numbers what it is asked, and tells all of it.
type tally struct {
	room  parlor.Room
	lines []string
	seen  []string // what it was told of users
}

func newTally(r parlor.Room, save string) (parlor.Game, error) {
	t := &tally{room: r}
	if save == "" {
		return t, nil
	}
	return t, json.Unmarshal([]byte(save), &[]any{&t.lines, &t.seen})
}

func (*tally) Durable() bool { return true }

func (g *tally) UserJoined(user string) { g.seen = append(g.seen, "joined "+user) }
func (g *tally) UserLeft(user string)   { g.seen = append(g.seen, "left "+user) }
func (g *tally) UserAway(user string)   { g.seen = append(g.seen, "away "+user) }
func (g *tally) UserBack(user string, missed bool) {
	g.seen = append(g.seen, fmt.Sprint("back ", user, " ", missed))
}
func (g *tally) SaveString() string {
	b, _ := json.Marshal([]any{g.lines, g.seen})
	return string(b)
}
func (g *tally) HandleGamePacket(p parlor.Packet) parlor.Response {
	if p.Message == "seen" {
		return parlor.OK(strings.Join(g.seen, ", "))
	}
	if p.Message == "all" {
		return parlor.OK(strings.Join(g.lines, ","))
	}
	g.lines = append(g.lines, p.Message)
	g.room.Broadcast("line", parlor.Map{"n": len(g.lines), "is": p.Message})
	return parlor.OK(fmt.Sprint(p.Message, " is ", len(g.lines), " with ", g.room.Rand().IntN(1000)))
}

// ages runs one server after the other on a store.
type ages struct {
	t      *testing.T
	cfg    server.Config
	memory store.Memory
	mortal *mortal
	moody  *moody // takes the place of memory, if it is set
	srv    *server.Server
	ended  chan struct{}
}

// begin starts a server that dies at a commit.
func (a *ages) begin(at int, lands bool, dies func()) {
	a.t.Helper()
	a.mortal = &mortal{Memory: &a.memory, at: at, lands: lands, dies: dies}
	cfg := a.cfg
	if cfg.Store = a.mortal; a.moody != nil {
		cfg.Store = a.moody
	}
	cfg.AdminPassword, cfg.Logger = "secret", slog.New(slog.DiscardHandler)
	cfg.Limits.HashMemory, cfg.Limits.HashPasses = cheap.Memory, cheap.Passes
	if cfg.Games == nil {
		cfg.Games = map[string]parlor.NewGame{"counting": newTally}
	}
	var err error
	if a.srv, err = server.New(cfg); err != nil {
		a.t.Fatal(err)
	}
	a.ended = make(chan struct{})
	go func(srv *server.Server, ended chan struct{}) { srv.Run(context.Background()); close(ended) }(a.srv, a.ended)
	synctest.Wait()
}

// end stops a server, dead or not.
func (a *ages) end() {
	a.srv.Shutdown(0)
	<-a.ended
}

// TestRestart: a server dies at any commit, before or behind it, or is stopped. What was answered is there at the next start, the session is
// resumed, and what was not answered is executed once.
func TestRestart(t *testing.T) {
	script := []string{parlor.RequestCreateGame, "one", "two", "three", "four", "five"}
	for at := range 9 {
		for _, lands := range []bool{false, true} {
			for _, together := range []bool{false, true} {
				for _, takes := range []int{-1, 1, 3, 5} { // messages before the client's link is dead, too
					t.Run(fmt.Sprint(at, " lands ", lands, " together ", together, " takes ", takes), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { testRestart(t, script, at, takes, lands, together) })
					})
				}
			}
		}
	}
}

func testRestart(t *testing.T, script []string, at, takes int, lands, together bool) {
	a := &ages{t: t, cfg: server.Config{SaveEvery: 2}}
	c := &streamClient{t: t, name: "alice"}
	a.begin(-1, false, nil)
	c.srv = a.srv
	c.connect(-1)
	c.link.mu.Lock()
	c.link.takes = takes
	c.link.mu.Unlock()
	a.mortal.mu.Lock()
	a.mortal.at, a.mortal.lands = at, lands
	a.mortal.dies = func() {
		c.link.mu.Lock()
		c.link.dead = true
		c.link.mu.Unlock()
	}
	a.mortal.mu.Unlock()
	for _, text := range script {
		if c.dead() {
			break
		}
		if c.askAll(text); !together {
			synctest.Wait()
			c.read()
		}
	}
	synctest.Wait()
	c.read()
	died := a.mortal.dead
	told := len(c.got)
	a.end()
	a.begin(-1, false, nil)
	defer a.end()
	c.srv = a.srv
	if c.answered == 0 { // it may be that nothing is there
		c.token, c.seq = nil, 0
		if c.connect(-1); a.srv.Users() != 1 {
			t.Fatal("she cannot log in")
		}
		return
	}
	c.connect(-1)
	if c.resumed != 1 {
		t.Fatalf("the session was not resumed, died %t, got %q", died, c.got)
	}
	for _, text := range script[len(c.asked):] {
		c.ask(text)
	}
	c.ask("all")
	var answers []string
	for _, text := range c.got {
		if !strings.HasPrefix(text, "push ") {
			answers = append(answers, text)
		}
	}
	if len(answers) != len(script)+1 {
		t.Fatalf("answers %q", answers)
	}
	for i := range script {
		want := fmt.Sprint(i+1, " Created new game: 'counting'.")
		if i > 0 {
			want = fmt.Sprint(i+1, " ", script[i], " is ", i)
		}
		if !strings.HasPrefix(answers[i], want) {
			t.Errorf("answer %d is %q, want %q; told before: %q", i+1, answers[i], want, c.got[:told])
		}
	}
	if got, want := answers[len(script)], fmt.Sprint(len(script)+1, " ", strings.Join(script[1:], ",")); got != want {
		t.Errorf("the game has %q, want %q", got, want)
	}
	if c.lost != 1 {
		t.Errorf("%d pushes are told as lost", c.lost)
	}
	time.Sleep(time.Second) // sleep: virtual
}

// inAges runs a test in virtual time with a server on a store.
func inAges(t *testing.T, cfg server.Config, test func(t *testing.T, a *ages)) {
	synctest.Test(t, func(t *testing.T) {
		a := &ages{t: t, cfg: cfg}
		a.begin(-1, false, nil)
		defer a.end()
		test(t, a)
	})
}

// again stops the server in good order, and starts the next one.
func (a *ages) again() {
	a.end()
	a.begin(-1, false, nil)
}

// guest is a client of pgnet's wire.
func (a *ages) guest(name string) *guest {
	a.t.Helper()
	g := dial(a.t, a.srv)
	g.wantOK(g.tryLogin(name, "pw"), "Authenticated.")
	return g
}

func (g *guest) wantText(message, want string) {
	g.t.Helper()
	if r := g.ask(message, nil); r.Message != want {
		g.t.Errorf("%s: %q, want %q", message, r.Message, want)
	}
}

// TestSeatIsKept: a user who cannot resume, as on pgnet's wire, has her seat again when she joins, and the game goes on.
func TestSeatIsKept(t *testing.T) {
	inAges(t, server.Config{}, func(t *testing.T, a *ages) {
		g := a.guest("alice")
		g.ask(parlor.RequestCreateGame, parlor.Map{"name": "match"})
		g.ask("one", nil)
		for range 3 {
			a.again()
			g = a.guest("alice")
			if r := g.ask(parlor.RequestJoinGame, parlor.Map{"name": "match"}); r.Message != "Joined game: 'match'." {
				t.Fatalf("joining: %v", r)
			}
		}
		g.wantText("all", "one")
		g.wantText("seen", "joined alice, away alice, back alice true, away alice, back alice true, away alice, back alice true")
		g.close()
		synctest.Wait()
		if games, _ := a.memory.Games(t.Context()); len(games) != 0 {
			t.Errorf("when she has left there are %v", games)
		}
	})
}

// TestReclaimedIsResumed: who has taken her seat back with her password, on another client, is resumed there after a restart.
func TestReclaimedIsResumed(t *testing.T) {
	inAges(t, server.Config{}, func(t *testing.T, a *ages) {
		old := &streamClient{t: t, name: "alice", srv: a.srv}
		old.connect(-1)
		old.ask(parlor.RequestCreateGame)
		old.ask("one")
		old.cut()
		c := &streamClient{t: t, name: "alice", key: "another", srv: a.srv}
		c.connect(-1)
		c.ask("two")
		a.again()
		c.srv = a.srv
		if c.connect(-1); c.resumed != 1 {
			t.Fatal("she was not resumed")
		}
		c.ask("all")
		if got := c.got[len(c.got)-1]; got != "2 one,two" {
			t.Errorf("she hears %q", got)
		}
	})
}

// TestSeatIsNotKeptForEver: who does not come in time leaves.
func TestSeatIsNotKeptForEver(t *testing.T) {
	inAges(t, server.Config{}, func(t *testing.T, a *ages) {
		g, other := a.guest("alice"), &streamClient{t: t, name: "bob", srv: a.srv}
		g.ask(parlor.RequestCreateGame, parlor.Map{"name": "counting"})
		other.connect(-1)
		other.ask(parlor.RequestJoinGame)
		a.again()
		pass(59 * time.Second)
		other.srv = a.srv
		if other.connect(-1); other.resumed != 1 {
			t.Error("bob was not resumed")
		}
		pass(2 * time.Second)
		other.ask("seen")
		if got := other.got[len(other.got)-1]; !strings.HasSuffix(got, "left alice") {
			t.Errorf("bob hears %q", got)
		}
		other.cut()
		pass(59 * time.Second)
		if games, _ := a.memory.Games(t.Context()); len(games) != 1 {
			t.Errorf("while bob is away there are %v", games)
		}
		a.again()
		pass(time.Minute + time.Second)
		if games, _ := a.memory.Games(t.Context()); len(games) != 0 {
			t.Errorf("afterwards there are %v", games)
		}
		if sessions, _ := a.memory.Sessions(t.Context()); len(sessions) != 0 {
			t.Errorf("afterwards there are %v", sessions)
		}
	})
}

// TestStoppedUnderWay: what a server that is stopped has executed is answered by the next one.
func TestStoppedUnderWay(t *testing.T) {
	inAges(t, server.Config{}, func(t *testing.T, a *ages) {
		c := &streamClient{t: t, name: "alice", srv: a.srv}
		c.connect(-1)
		c.ask(parlor.RequestCreateGame)
		for range 5 {
			c.askAll("x", "y", "z")
			a.srv.Shutdown(0)
			<-a.ended
			c.read()
			a.begin(-1, false, nil)
			c.srv = a.srv
			c.connect(-1)
			c.read()
		}
		c.ask("all")
		if got, want := c.got[len(c.got)-1], "17 x,y,z,x,y,z,x,y,z,x,y,z,x,y,z"; got != want {
			t.Errorf("the game has %q, want %q; of %q", got, want, c.got)
		}
		if c.resumed != 5 {
			t.Errorf("resumed %d times", c.resumed)
		}
	})
}

// TestUnplayableIsNotSaved: a game that can only be looked at has nothing to save, and does not have all saves fail that there are.
func TestUnplayableIsNotSaved(t *testing.T) {
	killed := new(store.Memory)
	inAges(t, server.Config{}, func(t *testing.T, a *ages) {
		g := a.guest("alice")
		g.ask(parlor.RequestCreateGame, parlor.Map{"name": "match"})
		g.ask("one", nil)
		for c, err := range a.memory.Export(t.Context()) {
			if err = cmp.Or(err, killed.Commit(t.Context(), c)); err != nil {
				t.Fatal(err)
			}
		}
	})
	other := func(r parlor.Room, save string) (parlor.Game, error) { return newTally(r, `[["zero"],[]]`) }
	inWorld(t, server.Config{Store: killed, Games: map[string]parlor.NewGame{"": other}}, script{}, func(t *testing.T, w *world) {
		w.log.has(t, "open for reading only")
		admin := w.login("admin")
		admin.wantOK(admin.ask(parlor.RequestSave, nil), "Saved success=True server data to disk: memory")
		w.stop()
		if text := w.log.String(); w.err != nil || strings.Contains(text, "not saved") || strings.Contains(text, "did not save") {
			t.Errorf("Run: %v\n%s", w.err, text)
		}
	})
}

// begun is a journal that has what a room writes first in the store, and nothing behind it.
type begun struct{ memory *store.Memory }

func (b begun) Append(first, last uint64, entries []byte, done func(error)) {
	done(b.memory.Commit(context.Background(), store.PutGame{Number: 1, Name: "one", Creator: "alice", Durable: true},
		store.Append{Game: 1, First: first, Last: last, Data: entries}))
}
func (begun) Save(_ room.Save, done func(error)) {}
func (begun) Read(done func(room.Stored, error)) {}

// TestGameWithoutItsCreator: of a game that was stored just before its creator had joined nothing is left after a restart.
func TestGameWithoutItsCreator(t *testing.T) {
	inAges(t, server.Config{}, func(t *testing.T, a *ages) {
		a.end()
		room.Open(room.Config{Name: "one", New: newTally, Journal: begun{&a.memory}, Logger: slog.New(slog.DiscardHandler)}, func(error) {})
		synctest.Wait()
		if games, _ := a.memory.Games(t.Context()); len(games) != 1 {
			t.Fatalf("stored are %v", games)
		}
		a.begin(-1, false, nil)
		pass(time.Second)
		if games, _ := a.memory.Games(t.Context()); len(games) != 0 {
			t.Errorf("stored are %v", games)
		}
	})
}

// TestSaveThatIsNotStored: who has games saved of which the store takes nothing is told of that, and not of a game that has failed.
func TestSaveThatIsNotStored(t *testing.T) {
	d := new(disk)
	inWorld(t, server.Config{Store: d, Games: map[string]parlor.NewGame{"": newTally}}, script{}, func(t *testing.T, w *world) {
		alice, admin := w.login("alice"), w.login("admin")
		alice.create("match")
		alice.wantOK(alice.ask("all", nil), "")
		d.failOnce(errDisk)
		r := admin.ask(parlor.RequestSave, nil)
		if text := string(r.Payload.JSON()); r.Status == parlor.StatusOK || !strings.Contains(text, `"match": "it could not be stored"`) {
			t.Errorf("%s %s", r.DebugText(), text)
		}
		if strings.Contains(w.log.String(), "did not save") {
			t.Error(w.log.String())
		}
	})
}
