package room_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parlor"
	"parlor/room"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// member is a user's session, and keeps its answers and pushes.
type member struct {
	name string

	mu      sync.Mutex // guards the fields below
	answers []string   // and the names of pushes, in order
	pushes  []*parlor.Push
}

func (m *member) Answer(r parlor.Response, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.answers = append(m.answers, err.Error())
		return
	}
	m.answers = append(m.answers, fmt.Sprint(r.Status, " ", r.Message))
}

func (m *member) Push(p *parlor.Push) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers = append(m.answers, "push "+p.Message)
	m.pushes = append(m.pushes, p)
}

func (m *member) want(t *testing.T, answers ...string) {
	t.Helper()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.answers)+len(answers) > 0 && !reflect.DeepEqual(m.answers, answers) {
		t.Errorf("answers to %s %q, want %q", m.name, m.answers, answers)
	}
	m.answers = nil
}

// game is a game whose hooks may be replaced.
type game struct {
	events

	host       parlor.Room
	persistent bool
	limit      int
	packet     func(p parlor.Packet) parlor.Response
	onJoin     func()
	onLeave    func(user string)
	onBack     func(user string)
	info       string
}

func (g *game) HandleGamePacket(p parlor.Packet) parlor.Response {
	if g.packet != nil {
		return g.packet(p)
	}
	return parlor.OK(p.Message)
}

func (g *game) UserJoined(user string) {
	if g.onJoin != nil {
		g.onJoin()
	}
	g.add("joined " + user + " of " + fmt.Sprint(g.host.Users()))
}
func (g *game) UserLeft(user string) {
	g.add("left " + user + " of " + fmt.Sprint(g.host.Users()))
	if g.onLeave != nil {
		g.onLeave(user)
	}
}
func (g *game) UserAway(user string) { g.add("away " + user) }
func (g *game) UserBack(user string, missed bool) {
	g.add(fmt.Sprint("back ", user, " ", missed))
	if g.onBack != nil {
		g.onBack(user)
	}
}
func (g *game) Draining(deadline time.Time) { g.add(fmt.Sprint("draining for ", time.Until(deadline))) }
func (g *game) Persistent() bool            { return g.persistent }
func (g *game) SaveString() string          { return "state" }
func (g *game) MaxUsers() int               { return g.limit }
func (g *game) LobbyInfo() string           { g.add("info"); return g.info }

// events is what happened, in order.
type events struct {
	mu   sync.Mutex // guards list
	list []string
}

func (e *events) add(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, text)
}

func (e *events) want(t *testing.T, list ...string) {
	t.Helper()
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list)+len(list) > 0 && !reflect.DeepEqual(e.list, list) {
		t.Errorf("events %q, want %q", e.list, list)
	}
	e.list = nil
}

// tested is a room with a game, and what it logs.
type tested struct {
	*room.Room
	game *game
	log  *bytes.Buffer // written on the room's goroutine only: read it after synctest.Wait
}

// open opens a room in virtual time. The game notes Left and Ended of the room as well.
func open(t *testing.T, g *game, cfg room.Config) tested {
	t.Helper()
	r := tested{game: g, log: new(bytes.Buffer)}
	cfg.Name = "room"
	cfg.Logger = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Left = func(m room.Member) { g.add("lobby: left " + m.(*member).name) }
	cfg.Ended = func() { g.add("lobby: ended") }
	if cfg.New == nil {
		cfg.New = func(host parlor.Room, save string) (parlor.Game, error) { g.host = host; return g, nil }
	}
	r.Room = room.Open(cfg, func(err error) {
		if err != nil {
			g.add(err.Error())
		}
	})
	synctest.Wait()
	t.Cleanup(func() {
		closed := make(chan struct{})
		r.Close(func() { close(closed) })
		<-closed
		synctest.Wait()
	})
	return r
}

// enter has a user join.
func (r tested) enter(t *testing.T, m *member) error {
	t.Helper()
	result := make(chan error, 1)
	r.Join(m.name, m, func(_ room.Joined, err error) { result <- err })
	return <-result
}

func (r tested) send(t *testing.T, m *member, message string) {
	t.Helper()
	if err := r.Packet(parlor.Packet{Message: message, Username: m.name}, m); err != nil {
		t.Errorf("packet %q: %v", message, err)
	}
}

func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(game)
		r := open(t, g, room.Config{})
		alice, bob := &member{name: "alice"}, &member{name: "bob"}
		for _, m := range []*member{alice, bob} {
			if err := r.enter(t, m); err != nil {
				t.Fatal(err)
			}
		}
		g.want(t, "joined alice of [alice]", "joined bob of [alice bob]")
		r.send(t, alice, "one")
		r.send(t, alice, "two")
		alice.want(t, "OK one", "OK two")
		r.Leave("alice", alice, func() { g.add("answered") })
		g.want(t, "left alice of [bob]", "lobby: left alice", "answered")
		r.send(t, alice, "too late")
		alice.want(t, "room is closed")
		r.Leave("alice", alice, func() { g.add("answered") })
		g.want(t, "answered")
		r.Leave("bob", bob, func() { g.add("answered") })
		g.want(t, "left bob of []", "lobby: ended", "lobby: left bob", "answered")

		if err := r.enter(t, alice); !errors.Is(err, room.ErrClosed) {
			t.Errorf("join of an ended room: %v, want ErrClosed", err)
		}
		r.send(t, alice, "too late")
		alice.want(t, "room is closed")
		r.Save(func(save room.Save, ok bool, err error) {
			if ok || !errors.Is(err, room.ErrClosed) {
				t.Errorf("save of an ended room: %v, %v", ok, err)
			}
		})
		r.Refresh(func() { g.add("refreshed") })
		r.Close(func() { g.add("closed") })
		g.want(t, "refreshed", "closed")
	})
}

func TestSecondSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &game{persistent: true}
		r := open(t, g, room.Config{})
		old, young := &member{name: "alice"}, &member{name: "alice"}
		r.enter(t, old)
		r.enter(t, young)
		g.want(t, "joined alice of [alice]", "left alice of []", "lobby: left alice", "joined alice of [alice]")
		r.Leave("alice", old, func() {}) // comes late, and is for a session that is gone
		g.want(t)
		r.send(t, young, "still here")
		young.want(t, "OK still here")
		r.send(t, old, "ghost")
		old.want(t, "room is closed")
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &game{persistent: true}
		r := open(t, g, room.Config{})
		r.enter(t, &member{name: "alice"})
		r.enter(t, &member{name: "bob"})
		g.want(t, "joined alice of [alice]", "joined bob of [alice bob]")
		r.Close(func() { g.add("closed") })
		g.want(t, "left alice of [bob]", "lobby: left alice", "left bob of []", "lobby: left bob", "lobby: ended", "closed")
	})
}

func TestConstructor(t *testing.T) {
	for name, test := range map[string]struct {
		make parlor.NewGame
		want string
	}{
		"error":   {func(parlor.Room, string) (parlor.Game, error) { return nil, errors.New("no") }, `create game "room": no`},
		"panic":   {func(parlor.Room, string) (parlor.Game, error) { panic("no") }, `create game "room": the game's constructor panicked`},
		"nothing": {func(parlor.Room, string) (parlor.Game, error) { return nil, nil }, `create game "room": the game's constructor returned nothing`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := new(game)
				r := open(t, g, room.Config{New: test.make})
				g.want(t, "lobby: ended", test.want)
				if err := r.enter(t, &member{name: "alice"}); !errors.Is(err, room.ErrClosed) {
					t.Errorf("join: %v, want ErrClosed", err)
				}
			})
		})
	}
}

func TestJoinRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &game{limit: 1}
		r := open(t, g, room.Config{})
		alice, bob := &member{name: "alice"}, &member{name: "bob"}
		r.enter(t, alice)
		if err := r.enter(t, bob); !errors.Is(err, room.ErrFull) {
			t.Errorf("join of a full room: %v, want ErrFull", err)
		}
		g.limit = -1
		g.onJoin = func() { panic("no") }
		if err := r.enter(t, bob); !errors.Is(err, room.ErrJoinFailed) {
			t.Errorf("join with a panic: %v, want ErrJoinFailed", err)
		}
		g.want(t, "joined alice of [alice]")
		if users := g.host.Users(); len(users) != 1 {
			t.Errorf("users %v, want alice", users)
		}
		r.send(t, bob, "ghost")
		bob.want(t, "room is closed")
	})
}

func TestMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		g := &game{packet: func(parlor.Packet) parlor.Response { <-block; return parlor.OK("late") }}
		r := open(t, g, room.Config{Mailbox: 3})
		alice := &member{name: "alice"}
		r.enter(t, alice)
		r.send(t, alice, "stuck")
		synctest.Wait()
		for range 3 {
			r.send(t, alice, "waits")
		}
		if err := r.Packet(parlor.Packet{Username: "alice"}, alice); !errors.Is(err, room.ErrBusy) {
			t.Errorf("fourth packet: %v, want ErrBusy", err)
		}
		if n := r.Stats().Busy.Load(); n != 1 {
			t.Errorf("%d counted, want 1", n)
		}
		close(block)
		alice.want(t, "OK late", "OK late", "OK late", "OK late")
		r.send(t, alice, "again")
		alice.want(t, "OK late")
	})
}

// TestMailboxOrder hands in much from many goroutines: each one's packets are answered in its order.
func TestMailboxOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, new(game), room.Config{Mailbox: 100_000})
		var wg sync.WaitGroup
		members := make([]*member, 8)
		for i := range members {
			members[i] = &member{name: fmt.Sprint("user", i)}
			r.enter(t, members[i])
			wg.Go(func() {
				for n := range 500 {
					r.send(t, members[i], fmt.Sprint(n))
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		for _, m := range members {
			for n, answer := range m.answers {
				if answer != fmt.Sprint("OK ", n) {
					t.Fatalf("%s: answer %d is %q", m.name, n, answer)
				}
			}
			if len(m.answers) != 500 {
				t.Errorf("%s: %d answers, want 500", m.name, len(m.answers))
			}
		}
	})
}

func TestPanicsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &game{packet: func(parlor.Packet) parlor.Response { panic("on purpose") }}
		r := open(t, g, room.Config{})
		alice := &member{name: "alice"}
		r.enter(t, alice)
		for range 1000 {
			r.send(t, alice, "x")
			synctest.Wait()
		}
		if n := r.Stats().Panics.Load(); n != 1000 {
			t.Errorf("%d counted, want 1000", n)
		}
		text := r.log.String()
		if n := strings.Count(text, "hook panicked"); n < 8 || n > 20 {
			t.Errorf("%d of 1000 logged, want the first ones and then ever fewer", n)
		}
		if !strings.Contains(text, "on purpose") || !strings.Contains(text, "room_test.go") || !strings.Contains(text, "game=room") {
			t.Errorf("log without cause, stack or room:\n%.2000s", text)
		}
	})
}

// TestStuckHook: a hook that does not come back is found once, while it is under way, and the next one is too. An idle room is not
// looked at.
func TestStuckHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := make(chan struct{})
		g := &game{packet: func(p parlor.Packet) parlor.Response {
			if p.Message == "hang" {
				<-until
			}
			return parlor.OK(p.Message)
		}}
		r := open(t, g, room.Config{Budget: time.Second})
		alice := &member{name: "alice"}
		r.enter(t, alice)
		for i := range 40 { // a busy room is none that is stuck
			r.send(t, alice, fmt.Sprint(i))
			pass(100 * time.Millisecond)
		}
		if n := r.Stats().Stuck.Load(); n != 0 {
			t.Errorf("%d hooks found stuck in a room that works", n)
		}
		for want := int64(1); want <= 3; want++ {
			pass(time.Duration(want) * 700 * time.Millisecond) // idle for longer or shorter than until the next look
			alice.answers = nil
			r.send(t, alice, "hang")
			pass(time.Second)
			if n := r.Stats().Stuck.Load(); n != want-1 {
				t.Errorf("%d hooks found stuck within the budget, want %d", n, want-1)
			}
			pass(time.Second)
			if n := r.Stats().Stuck.Load(); n != want {
				t.Errorf("%d hooks found stuck within twice the budget, want %d", n, want)
			}
			pass(time.Hour)
			if n := r.Stats().Stuck.Load(); n != want {
				t.Errorf("%d hooks found stuck after an hour, want %d", n, want)
			}
			until <- struct{}{}
			synctest.Wait()
			alice.want(t, "OK hang")
		}
		if n := strings.Count(r.log.String(), "does not come back"); n != 3 {
			t.Errorf("logged %d times:\n%s", n, r.log.String())
		}
		if n := r.Stats().Slow.Load(); n != 3 {
			t.Errorf("%d slow hooks, want 3", n)
		}
		alice.answers = nil
	})
}

func TestSlowHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &game{packet: func(parlor.Packet) parlor.Response {
			time.Sleep(2 * time.Second) // sleep: virtual time
			return parlor.OK("late")
		}}
		r := open(t, g, room.Config{})
		alice := &member{name: "alice"}
		r.enter(t, alice)
		r.send(t, alice, "x")
		time.Sleep(3 * time.Second) // sleep: virtual time
		alice.want(t, "OK late")
		if r.Stats().Slow.Load() != 1 || !strings.Contains(r.log.String(), "slow hook") {
			t.Errorf("not counted or logged: %s", r.log.String())
		}
		g.packet = nil
		for range 3 { // time that passes between them is not theirs
			pass(2 * time.Second)
			r.send(t, alice, "x")
			r.send(t, alice, "y")
		}
		synctest.Wait()
		if n := r.Stats().Slow.Load(); n != 1 {
			t.Errorf("%d slow hooks, want 1", n)
		}
		alice.answers = nil
		g.packet = func(parlor.Packet) parlor.Response {
			time.Sleep(2 * time.Second) // sleep: virtual time
			return parlor.OK("late")
		}
		for range 999 {
			r.send(t, alice, "x")
			pass(3 * time.Second)
		}
		if n := r.Stats().Slow.Load(); n != 1000 {
			t.Errorf("%d slow hooks, want 1000", n)
		}
		if n := strings.Count(r.log.String(), "slow hook"); n < 8 || n > 20 {
			t.Errorf("%d of 1000 logged, want the first ones and then ever fewer", n)
		}
		alice.answers = nil
	})
}

func TestInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &game{info: "first"}
		r := open(t, g, room.Config{MaxInfo: 8})
		refresh := func() {
			r.Refresh(func() {})
			synctest.Wait()
		}
		if info, fresh := r.Info(); fresh || info != "" {
			t.Errorf("info %q, %v, want none yet", info, fresh)
		}
		refresh()
		if info, fresh := r.Info(); !fresh || info != "first" {
			t.Errorf("info %q, %v", info, fresh)
		}
		refresh()
		g.want(t, "info") // once, as nothing has happened
		g.info = "seven..é and more"
		r.enter(t, &member{name: "alice"})
		if _, fresh := r.Info(); fresh {
			t.Error("still fresh after a join")
		}
		refresh()
		if info, _ := r.Info(); info != "seven.." {
			t.Errorf("info %q, want it cut to 8 bytes of whole characters", info)
		}
	})
}

// clock counts its updates.
type clock struct {
	game
	updates int
	slow    time.Duration
}

func (c *clock) Update() {
	c.updates++
	time.Sleep(c.slow) // sleep: virtual time
}

func TestUpdate(t *testing.T) {
	for _, test := range []struct {
		slow          time.Duration
		updates, late int
	}{{0, 100, 0}, {50 * time.Millisecond, 100, 0}, {100 * time.Millisecond, 100, 0}, {101 * time.Millisecond, 50, 50}, {250 * time.Millisecond, 34, 68}} {
		synctest.Test(t, func(t *testing.T) {
			c := &clock{slow: test.slow, game: game{persistent: true}}
			r := open(t, &c.game, room.Config{New: func(host parlor.Room, _ string) (parlor.Game, error) { return c, nil }})
			time.Sleep(10*time.Second + 10*time.Millisecond) // sleep: virtual time
			r.Close(func() {})
			time.Sleep(10 * time.Second) // sleep: virtual time
			synctest.Wait()
			late := int(r.Stats().Late.Load())
			if c.updates != test.updates || late != test.late {
				t.Errorf("%v each: %d updates in 10 s, %d late, want %d, %d", test.slow, c.updates, late, test.updates, test.late)
			}
		})
	}
}

// quiet has no abilities.
type quiet struct{}

func (quiet) HandleGamePacket(p parlor.Packet) parlor.Response { return parlor.OK(p.Message) }

// whole takes all packets itself.
type whole struct{ quiet }

func (whole) HandlePacket(p parlor.Packet) parlor.Response { return parlor.OK("whole " + p.Message) }

func TestDispatch(t *testing.T) {
	for _, test := range []struct {
		game       parlor.Game
		move, beat string
	}{
		{quiet{}, "OK move", "OK No heartbeat update configured for quiet"},
		{whole{}, "OK whole move", "OK whole " + parlor.RequestHeartbeat},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := open(t, new(game), room.Config{New: func(parlor.Room, string) (parlor.Game, error) { return test.game, nil }})
			alice := &member{name: "alice"}
			r.enter(t, alice)
			r.send(t, alice, "move")
			r.send(t, alice, parlor.RequestHeartbeat)
			alice.want(t, test.move, test.beat)
			r.Save(func(_ room.Save, ok bool, err error) {
				if ok || err != nil {
					t.Errorf("save of a game that has none: %v, %v", ok, err)
				}
			})
		})
	}
}

// TestRoomForGame checks what the room gives its game.
func TestRoomForGame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(game)
		r := open(t, g, room.Config{})
		r.enter(t, &member{name: "alice"})
		synctest.Wait()
		g.host.Users()[0] = "mallory"
		if got := g.host.Users(); got[0] != "alice" {
			t.Errorf("users %v: the game has changed the room's own", got)
		}
		if g.host.Name() != "room" || !g.host.Now().Equal(time.Now()) || g.host.Rand().Uint64() == g.host.Rand().Uint64() {
			t.Error("name, time or randomness is wrong")
		}
		g.host.Logger().Info("hello")
		if !strings.Contains(r.log.String(), "game=room") {
			t.Errorf("log %q does not name the room", r.log.String())
		}
	})
}
