package parlortest_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	"parlor/parlortest"
)

// book is a game that counts lines, and tells everybody else of each. It is saved.
type book struct {
	room  parlor.Room
	lines int
}

func newBook(room parlor.Room, save string) (parlor.Game, error) {
	b := &book{room: room}
	if save != "" {
		n, err := strconv.Atoi(save)
		b.lines = n
		return b, err
	}
	return b, nil
}

func (b *book) HandleGamePacket(p parlor.Packet) parlor.Response {
	b.lines++
	b.room.Broadcast("line", parlor.Map{"text": p.Message}, p.Username)
	return parlor.OK("written", parlor.Map{"lines": b.lines, "luck": b.room.Rand().IntN(1000)})
}

func (b *book) HandleHeartbeat(parlor.Packet) parlor.Response {
	return parlor.OK("news", parlor.Map{"lines": b.lines})
}

func (b *book) Persistent() bool   { return true }
func (b *book) SaveString() string { return strconv.Itoa(b.lines) }

// number is one of a payload.
func number(t *testing.T, p parlor.Payload, key string) int64 {
	t.Helper()
	v, _ := p.Get(key)
	n, ok := v.(int64)
	if !ok {
		t.Errorf("%s of %s is no number", key, p)
	}
	return n
}

// TestWires does to a client on each wire what can be done to one.
func TestWires(t *testing.T) {
	for _, wire := range parlortest.Wires() {
		t.Run(wire.String(), func(t *testing.T) {
			parlortest.Run(t, newBook, func(t *testing.T, l *parlortest.Lobby) { testWire(t, l, wire) })
		})
	}
}

func testWire(t *testing.T, l *parlortest.Lobby, wire parlortest.Wire) {
	streams := wire != parlortest.Pgnet
	bob := l.Client("bob")
	bob.Join("the book")
	bob.Expect("connected", "in game the book")
	ann := l.Dial(wire, client.Config{Username: "ann", Password: "pw"})
	ann.Join("the book")
	ann.Expect("connected", "in game the book")
	if ann.Streams() != streams {
		t.Errorf("it carries envelopes: %t", ann.Streams())
	}

	if n := number(t, ann.Ask("once", nil).Payload, "lines"); n != 1 {
		t.Errorf("%d lines", n)
	}
	bob.Expect(`push line {"text": "once"}`)
	bob.Ask("upon", parlor.Map{"a": "time"})
	if streams {
		ann.Expect(`push line {"text": "upon"}`)
		if p := ann.Pushes(); len(p) != 1 || p[0].Message != "line" || p[0].Game != "the book" {
			t.Errorf("%v", p)
		}
	} else {
		l.Step(time.Second)
		ann.Expect()
		if n := number(t, ann.Heartbeat().Payload, "lines"); n != 2 {
			t.Errorf("her heartbeats say %d", n)
		}
	}

	ann.Lag(400 * time.Millisecond)
	begun := time.Now()
	ann.Ask("far", nil)
	if took := time.Since(begun); wire == parlortest.Local && took != 0 || wire != parlortest.Local && (took < 800*time.Millisecond || took > 1600*time.Millisecond) {
		t.Errorf("the answer took %v", took) // on pgnet's wire a heartbeat may be before it
	}
	ann.Lag(0)
	l.Step(time.Second)
	ann.Saw()
	bob.Expect(`push line {"text": "far"}`)

	ann.Cut()
	if !streams {
		ann.Expect("in no game", "disconnected")
		ann.Offline()
		if err := ann.Connect(t.Context()); err == nil {
			t.Error("she connects without a network")
		}
		ann.Online()
		if err := ann.Connect(t.Context()); err != nil {
			t.Error(err)
		}
		ann.Join("the book")
		ann.Expect("connected", "in game the book")
		return
	}
	ann.Expect("link down")
	if !ann.Connected() || ann.Linked() {
		t.Error("behind a cut she is not reconnecting")
	}
	bob.Ask("missed", nil)
	l.Step(time.Second)
	ann.Expect("link up", `push line {"text": "missed"}`)

	ann.Offline()
	ann.Expect("link down")
	bob.Ask("two", nil)
	l.Step(30 * time.Second)
	ann.Expect()
	ann.Online()
	ann.Await("link up")
	ann.Expect(`push line {"text": "two"}`)

	ann.Lag(20 * time.Millisecond)
	ann.CutAfter(30 * time.Millisecond) // when the answer is on its way
	if n := number(t, ann.Ask("once more", nil).Payload, "lines"); n != 6 {
		t.Errorf("%d lines", n)
	}
	l.Settle()
	bob.Expect(`push line {"text": "once more"}`)
	ann.Await("link up")
	ann.Expect()

	ann.Offline() // for longer than the server keeps her seat
	l.Step(5 * time.Minute / 2)
	ann.Online()
	ann.Await("link up")
	ann.Expect()
	if ann.Game() != "" || ann.Stats().Resumed != 3 {
		t.Errorf("in game %q, %+v", ann.Game(), ann.Stats())
	}
	ann.Join("the book")
	ann.Expect("in game the book")
}

// watched is a game that tells who is away.
type watched struct{ book }

func (w *watched) UserAway(user string)      { w.room.Broadcast("away", parlor.Map{"user": user}) }
func (w *watched) UserBack(_ string, _ bool) {}

// TestVanish: a client that is gone without a word is found to be away by the keepalive of its wire, and finds it out itself.
// Packets give 45 s, and look four times in that.
func TestVanish(t *testing.T) {
	newWatched := func(room parlor.Room, _ string) (parlor.Game, error) { return &watched{book{room: room}}, nil }
	for _, c := range []struct {
		wire        parlortest.Wire
		least, most time.Duration
	}{{parlortest.Native, 10 * time.Second, 25 * time.Second}, {parlortest.Packet, 25 * time.Second, time.Minute}, {parlortest.PacketTLS, 25 * time.Second, time.Minute}} {
		t.Run(c.wire.String(), func(t *testing.T) {
			parlortest.Run(t, newWatched, func(t *testing.T, l *parlortest.Lobby) {
				bob := l.Client("bob")
				bob.Join("table")
				ann := l.Dial(c.wire, client.Config{Username: "ann"})
				ann.Join("table")
				l.Step(5 * time.Minute)
				ann.Saw()
				begun := time.Now()
				ann.Vanish()
				bob.Await(`push away {"user": "ann"}`)
				if took := time.Since(begun); took < c.least || took > c.most {
					t.Errorf("she is away after %v", took)
				}
				ann.Await("link down")
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("she finds it out after %v", took)
				}
				bob.Ask("still there?", nil)
				ann.Online()
				ann.Await("link up")
				ann.Expect(`push away {"user": "ann"}`, `push line {"text": "still there?"}`)
			})
		})
	}
}

// TestRestart: a server that is started again has its users and games, and clients find it by themselves.
func TestRestart(t *testing.T) {
	for _, wire := range parlortest.Wires() {
		t.Run(wire.String(), func(t *testing.T) {
			parlortest.Run(t, newBook, func(t *testing.T, l *parlortest.Lobby) { testRestart(t, l, wire) })
		})
	}
}

func testRestart(t *testing.T, l *parlortest.Lobby, wire parlortest.Wire) {
	ann := l.Dial(wire, client.Config{Username: "ann", Password: "pw"})
	ann.Join("the book")
	ann.Ask("once", nil)
	ann.Expect("connected", "in game the book")
	if l.Server() == nil {
		t.Error("there is no server")
	}
	l.Stop()
	if l.Server() != nil {
		t.Error("the server has not stopped")
	}
	l.Stop() // does nothing
	l.Step(20 * time.Second)
	end, back := []string{`push __parlor__.draining {"seconds": 1.0}`, "link down"}, []string{"in no game", "disconnected", "connected", "link up"}
	if wire == parlortest.Pgnet {
		end, back = []string{"in no game", "disconnected"}, []string{"connected"}
	}
	ann.Expect(end...)
	l.Start()
	if wire == parlortest.Pgnet {
		if err := ann.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.Step(20 * time.Second)
	ann.Expect(back...)
	ann.Join("the book")
	if n := number(t, ann.Ask("upon", nil).Payload, "lines"); n != 2 {
		t.Errorf("%d lines", n)
	}
	ann.Close()
	l.Step(time.Second)
	ann.Expect("in game the book", "in no game", "disconnected")
	refused(t, l.New(wire, client.Config{Username: "ann", Password: "another"}), "Incorrect password.")
	refused(t, l.New(wire, client.Config{Username: "a"}), "Username not allowed.")
}

// refused checks why a client cannot log in.
func refused(t *testing.T, c *parlortest.Client, reason string) {
	t.Helper()
	var why *client.DisconnectedError
	if err := c.Connect(t.Context()); !errors.As(err, &why) || why.Reason != reason {
		t.Errorf("the login: %v, want %q", err, reason)
	}
	c.Expect()
}

// TestAdmin: the administrator's password is filled in.
func TestAdmin(t *testing.T) {
	for _, wire := range parlortest.Wires() {
		t.Run(wire.String(), func(t *testing.T) {
			parlortest.Run(t, newBook, func(t *testing.T, l *parlortest.Lobby) {
				ann := l.Client("ann")
				ann.Join("the book")
				admin := l.Dial(wire, client.Config{Username: parlor.AdminName})
				if r := admin.Ask(parlor.RequestDestroyGame, parlor.Map{"name": "the book"}); r.Status != parlor.StatusOK {
					t.Error(r.DebugText())
				}
				ann.Ask("is it there?", nil)
				ann.Expect("connected", "in game the book", "in no game", `push __parlor__.left_game {"game": "the book"}`)
			})
		})
	}
}

// TestSame: each run is the same, by luck too, and when clients come back.
func TestSame(t *testing.T) {
	play := func() (seen string) {
		parlortest.Run(t, newBook, func(t *testing.T, l *parlortest.Lobby) {
			ann := l.Client("ann")
			ann.Join("the book")
			seen = fmt.Sprint(time.Now().UTC(), ann.Ask("dice", nil).Payload)
			ann.Offline()
			l.Step(20 * time.Second)
			ann.Online()
			ann.Await("link up")
			seen += time.Now().String()
		})
		return seen
	}
	first := play()
	if second := play(); first != second || first[:19] != "2000-01-01 00:00:00" {
		t.Errorf("%s, and then %s", first, second)
	}
}

// TestHour: four clients on each wire, for an hour. It takes real time only where they beat.
func TestHour(t *testing.T) {
	for _, wire := range parlortest.Wires() {
		t.Run(wire.String(), func(t *testing.T) {
			begun := time.Now()
			parlortest.Run(t, newHourly, func(t *testing.T, l *parlortest.Lobby) {
				var all []*parlortest.Client
				for i := range 4 {
					c := l.Dial(wire, client.Config{Username: fmt.Sprint("user", i)})
					c.Join("hours")
					all = append(all, c)
				}
				l.Step(time.Hour)
				for _, c := range all {
					want := []string{"connected", "in game hours", "push hour"}
					if wire == parlortest.Pgnet {
						want = want[:2]
					}
					c.Expect(want...)
				}
			})
			t.Logf("an hour with 4 clients on the %s wire: %v", wire, time.Since(begun))
		})
	}
}

type hourly struct{}

func newHourly(room parlor.Room, _ string) (parlor.Game, error) {
	room.Every(time.Hour, func() { room.Broadcast("hour", nil) })
	return hourly{}, nil
}

func (hourly) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("") }
func (hourly) HeartbeatRate() float64                         { return 0.1 }

// TestSlowApplicationKeepsItsLink: an application that takes its time for each push does not lose the link by that. It is told the
// last ones, and how many it has missed.
func TestSlowApplicationKeepsItsLink(t *testing.T) {
	for _, wire := range []parlortest.Wire{parlortest.Native, parlortest.Packet} {
		t.Run(wire.String(), func(t *testing.T) {
			parlortest.Run(t, newBook, func(t *testing.T, l *parlortest.Lobby) {
				const all = 4000
				told, missed, last := 0, 0, ""
				ann := l.Dial(wire, client.Config{
					Username: "ann", Password: "pw",
					OnPush: func(p *parlor.Push) {
						told++
						last = string(p.Payload.JSON())
						time.Sleep(200 * time.Millisecond) // sleep: virtual
					},
					OnLost: func(pushes int) { missed += pushes },
				})
				ann.Join("room")
				bob := l.Dial(parlortest.Native, client.Config{Username: "bob", Password: "pw"})
				bob.Join("room")
				for n := range all {
					bob.Ask(fmt.Sprint(n), nil)
				}
				for range 30 {
					l.Step(30 * time.Second)
				}
				if s := ann.Stats(); s.Links != 0 || s.Slowed == 0 || told+missed != all || last != fmt.Sprintf(`{"text": "%d"}`, all-1) {
					t.Errorf("told %d and missed %d of %d, the last one %s; %+v", told, missed, all, last, s)
				}
			})
		})
	}
}

// greeter pushes to who joins.
type greeter struct{ room parlor.Room }

func (g greeter) UserJoined(user string) { g.room.Send(user, "welcome", nil) }

func (greeter) HandleGamePacket(p parlor.Packet) parlor.Response { return parlor.OK(p.Message) }

// TestOrderOfJoin: the documented order of a push in UserJoined, and what becomes of who is offline for too long.
func TestOrderOfJoin(t *testing.T) {
	made := func(room parlor.Room, _ string) (parlor.Game, error) { return greeter{room}, nil }
	parlortest.Run(t, made, func(t *testing.T, l *parlortest.Lobby) {
		ann := l.Client("ann")
		ann.Join("table")
		ann.Expect("connected", "push welcome", "in game table")
		ann.Offline()
		l.Step(6 * time.Minute)
		ann.Expect("link down", "in no game", "disconnected")
		ann.Online()
		l.Step(time.Minute)
		ann.Expect()
		if err := ann.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		ann.Expect("connected")
	})
}

// TestGameEnds: who is in a game that ends hears of it without asking, on Parlor's own wires, also when she comes back from a tunnel.
func TestGameEnds(t *testing.T) {
	made := func(room parlor.Room, _ string) (parlor.Game, error) { return greeter{room}, nil }
	parlortest.Run(t, made, func(t *testing.T, l *parlortest.Lobby) {
		admin := l.Client(parlor.AdminName)
		var all []*parlortest.Client
		for _, wire := range []parlortest.Wire{parlortest.Native, parlortest.Packet, parlortest.Local} {
			all = append(all, l.Dial(wire, client.Config{Username: fmt.Sprint("user", len(all))}))
		}
		for _, c := range all {
			c.Join("table")
			c.Expect("connected", "push welcome", "in game table")
			if r := c.Ask(parlor.RequestLeaveGame, nil); r.Status != parlor.StatusOK {
				t.Fatal(r.Message)
			}
			c.Expect("in no game")
			c.Join("table")
			c.Expect("push welcome", "in game table")
		}
		away, old := l.Client("away"), l.Dial(parlortest.Pgnet, client.Config{Username: "old"})
		away.Join("table")
		old.Join("table")
		away.Offline()
		if r := admin.Ask(parlor.RequestDestroyGame, parlor.Map{"name": "table"}); r.Status != parlor.StatusOK {
			t.Fatal(r.Message)
		}
		for _, c := range all {
			c.Expect("in no game", `push __parlor__.left_game {"game": "table"}`)
			if c.Game() != "" {
				t.Errorf("she is in %q", c.Game())
			}
			c.Join("other")
			c.Expect("push welcome", "in game other")
		}
		away.Expect("connected", "push welcome", "in game table", "link down")
		away.Online()
		l.Step(time.Minute)
		away.Expect("link up", "in no game", `push __parlor__.left_game {"game": "table"}`)
		old.Ask("anything", nil)
		old.Expect("connected", "in game table", "in no game")
		l.Stop() // which is not the end of a game
		for _, c := range all {
			for _, line := range c.Saw() {
				if strings.Contains(line, "left_game") {
					t.Errorf("saw %s", line)
				}
			}
		}
	})
}
