package server_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
)

// pusher is an actor whose pushes ride on heartbeats.
type pusher struct{ *actor }

func (pusher) PushOnHeartbeat() bool { return true }

// inPushingWorld runs a test with a server of a game that wants pushes to ride. It pushes what it is asked for, and says so, and
// welcomes users by a push.
func inPushingWorld(t *testing.T, limits server.Limits, beat func(p parlor.Packet) parlor.Response, run func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, server.Config{Limits: limits, Games: map[string]parlor.NewGame{"": func(room parlor.Room, _ string) (parlor.Game, error) {
		return pusher{&actor{room: room, script: script{
			joined: func(user string) { room.Send(user, "welcome", parlor.Map{"to": user}) },
			packet: func(p parlor.Packet) parlor.Response {
				room.Broadcast(p.Message, p.Payload)
				return parlor.OK("pushed")
			},
			heartbeat: beat,
		}}}, nil
	}}}, script{}, run)
}

func (g *guest) push(message string) {
	g.t.Helper()
	if r := g.wantOK(g.ask(message, parlor.Map{"n": 1.0}), "pushed"); !r.Payload.Empty() {
		g.t.Errorf("the answer to a packet carries %s", r.Payload)
	}
}

// beats asks for news.
func (g *guest) beats(want string) {
	g.t.Helper()
	r := g.ask(parlor.RequestHeartbeat, nil)
	if got := string(r.Payload.JSON()); got != want {
		g.t.Errorf("heartbeat answered with %s, want %s", got, want)
	}
}

func rider(message, payload string) string {
	return fmt.Sprintf(`{"message": %q, "payload": %s, "game": "room"}`, message, payload)
}

// TestRiders: pushes wait for the next heartbeat of a user on pgnet's wire, in their order, and come once.
func TestRiders(t *testing.T) {
	var answer any
	beat := func(parlor.Packet) parlor.Response { return parlor.OK("beat", answer) }
	inPushingWorld(t, server.Limits{}, beat, func(t *testing.T, w *world) {
		alice, bobby := w.login("alice"), w.login("bobby")
		alice.create("room")
		bobby.join("room")
		alice.push("one")
		bobby.push("two")
		answer = parlor.Map{"x": 1}
		one, two := rider("one", `{"n": 1.0}`), rider("two", `{"n": 1.0}`)
		alice.beats(`{"x": 1, "parlor_pushes": [` + rider("welcome", `{"to": "alice"}`) + ", " + one + ", " + two + `]}`)
		alice.beats(`{"x": 1}`)
		answer = nil
		bobby.beats(`{"parlor_pushes": [` + rider("welcome", `{"to": "bobby"}`) + ", " + one + ", " + two + `]}`)
		bobby.beats("{}")
		alice.push("three")
		for _, odd := range []any{[]int{1}, "text", parlor.Map{"parlor_pushes": 7}} { // they wait for another answer
			answer = odd
			alice.beats(string(parlor.Encode(odd).JSON()))
		}
		answer = nil
		alice.beats(`{"parlor_pushes": [` + rider("three", `{"n": 1.0}`) + `]}`)
		if n := w.srv.Stats().PushesLost.Load(); n != 0 {
			t.Errorf("%d pushes were lost", n)
		}
	})
}

// TestRidersLeave: what waits does not survive leaving the game.
func TestRidersLeave(t *testing.T) {
	inPushingWorld(t, server.Limits{}, nil, func(t *testing.T, w *world) {
		alice := w.login("alice")
		alice.create("room")
		alice.push("one")
		alice.leave("room")
		if n := w.srv.Stats().PushesDropped.Load(); n != 2 {
			t.Errorf("%d pushes were dropped, want 2", n)
		}
		alice.create("room")
		alice.beats(`{"parlor_pushes": [` + rider("welcome", `{"to": "alice"}`) + `]}`)
	})
}

// TestRidersLimits: of more than may wait the oldest are lost, which is told and counted.
func TestRidersLimits(t *testing.T) {
	for name, limits := range map[string]server.Limits{"number": {HeartbeatPushes: 2}, "bytes": {HeartbeatPushBytes: 2 * (64 + len("three") + len(`{"n": 1.0}`))}} {
		t.Run(name, func(t *testing.T) {
			inPushingWorld(t, limits, nil, func(t *testing.T, w *world) {
				alice := w.login("alice")
				alice.create("room")
				for _, text := range []string{"one", "two", "three"} {
					alice.push(text)
				}
				alice.beats(`{"parlor_pushes": [` + rider("two", `{"n": 1.0}`) + ", " + rider("three", `{"n": 1.0}`) + `], "parlor_pushes_lost": 2}`)
				alice.beats("{}")
				if n := w.srv.Stats().PushesLost.Load(); n != 2 {
					t.Errorf("%d were counted, want 2", n)
				}
			})
		})
	}
	t.Run("none", func(t *testing.T) {
		inPushingWorld(t, server.Limits{HeartbeatPushes: -1}, nil, func(t *testing.T, w *world) {
			alice := w.login("alice")
			alice.create("room")
			alice.beats(`{"parlor_pushes": [], "parlor_pushes_lost": 1}`)
			alice.beats("{}")
		})
	})
}

// TestRidersFit: what does not fit an answer waits for the next.
func TestRidersFit(t *testing.T) {
	const size = 3000
	long := ""
	beat := func(parlor.Packet) parlor.Response { return parlor.OK("beat", parlor.Map{"x": long}) }
	inPushingWorld(t, server.Limits{ResponseSize: size}, beat, func(t *testing.T, w *world) {
		alice := w.login("alice")
		alice.create("room")
		for range 20 {
			alice.push("é" + strings.Repeat("m", 150)) // which is larger as JSON
		}
		long = strings.Repeat("y", 2500)
		alice.beats(`{"x": "` + long + `"}`) // there is no room at all
		long = ""
		got, answers := 0, 0
		for got < 21 && answers < 10 {
			answers++
			var payload struct {
				Pushes []parlor.Map `json:"parlor_pushes"`
			}
			r := alice.wantOK(alice.ask(parlor.RequestHeartbeat, nil), "beat")
			if err := r.Payload.Bind(&payload); err != nil || len(payload.Pushes) == 0 {
				t.Fatalf("%s, %v", r.Payload, err)
			}
			if n := len(r.Payload.JSON()); n > size-1000 {
				t.Errorf("a payload of %d bytes", n)
			}
			got += len(payload.Pushes)
		}
		if got != 21 || answers < 2 {
			t.Errorf("%d pushes in %d answers", got, answers)
		}
	})
}

// TestRidersOfAStuckGame: what a game says that was destroyed while it was stuck is not told in the next one of its users.
func TestRidersOfAStuckGame(t *testing.T) {
	games := map[string]parlor.NewGame{"": func(room parlor.Room, _ string) (parlor.Game, error) {
		return pusher{&actor{room: room, script: script{packet: func(p parlor.Packet) parlor.Response {
			time.Sleep(5 * time.Second) // sleep: virtual time
			room.Broadcast(p.Message, nil)
			return parlor.OK("pushed")
		}}}}, nil
	}}
	inWorld(t, server.Config{Games: games}, script{}, func(t *testing.T, w *world) {
		alice, bobby, admin := w.login("alice"), w.login("bobby"), w.login("admin")
		alice.create("room")
		bobby.join("room")
		bobby.send("late", nil)
		pass(time.Millisecond)
		admin.wantOK(admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "room"}), "Destroyed game: 'room'")
		alice.create("other")
		before := w.srv.Stats().PushesDropped.Load()
		pass(5 * time.Second)
		if n := w.srv.Stats().PushesDropped.Load() - before; n != 2 {
			t.Errorf("%d pushes were dropped, want one for each who was there", n)
		}
		alice.beats("{}")
	})
}

// TestRidersUnwanted: without the game's wish they are dropped, also what it says to a user who is about to join.
func TestRidersUnwanted(t *testing.T) {
	var host parlor.Room
	s := script{
		create: func(room parlor.Room, _ string) error { host = room; return nil },
		joined: func(user string) { host.Send(user, "welcome", nil) },
	}
	inWorld(t, server.Config{}, s, func(t *testing.T, w *world) {
		alice := w.login("alice")
		alice.create("room")
		alice.beats("{}")
		if n := w.srv.Stats().PushesDropped.Load(); n != 1 {
			t.Errorf("%d pushes dropped, want 1", n)
		}
	})
}

// riding is counting whose pushes ride on heartbeats.
type riding struct{ *counting }

func (riding) PushOnHeartbeat() bool { return true }

// TestRidersOfAnother: a heartbeat that a client on another wire had under way takes no pushes from the one on pgnet's wire that
// has reclaimed the session since.
func TestRidersOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &counting{}
		w := start(t, server.Config{Takeover: true, Games: map[string]parlor.NewGame{"": func(r parlor.Room, _ string) (parlor.Game, error) {
			g.room = r
			return riding{g}, nil
		}}}, script{})
		c := &streamClient{t: t, srv: w.srv, name: "alice", password: passwordOf("alice")}
		c.connect(-1)
		c.ask(parlor.RequestCreateGame)
		c.askAll("slow", "x", "slow", parlor.RequestHeartbeat) // the last three are handed over when the first is answered
		pass(1500 * time.Millisecond)
		alice := w.login("alice")
		pass(time.Second)
		alice.beats(`{"parlor_pushes": [{"message": "before 3", "payload": {}, "game": "counting"}]}`)
	})
}
