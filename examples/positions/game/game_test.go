package game_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parlor"
	"parlor/examples/positions/game"
	"parlor/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// step is as long as one takes.
const step = time.Second / game.Steps

// field is a room with players, and what one of them knows by her pushes.
type field struct {
	*exampletest.Room
	t *testing.T
}

func open(t *testing.T, players ...string) field {
	f := field{exampletest.OpenRoom(t, game.New, ""), t}
	f.Join(players...)
	return f
}

// look asks for the state.
func (f field) look(user string) (v game.View) {
	f.t.Helper()
	if err := v.State(f.Send(user, "look", nil).Payload); err != nil {
		f.t.Fatal(err)
	}
	return v
}

func (f field) steer(user string, x, y int) {
	f.t.Helper()
	if a := f.Send(user, "steer", parlor.Map{"x": x, "y": y}); a.Message != "Steered." || a.Status != 0 {
		f.t.Errorf("%s steers: %s", user, a.DebugText())
	}
}

// pass lets n steps pass.
func (f field) pass(n int) {
	time.Sleep(time.Duration(n) * step) // sleep: virtual
	synctest.Wait()
}

// home brings a player to a corner, so that a test knows where she is.
func (f field) home(users ...string) {
	for _, user := range users {
		f.steer(user, -game.Speed, -game.Speed)
	}
	f.pass(game.Size / game.Speed)
	for _, user := range users {
		f.Pushes(user)
	}
}

func TestSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "alice", "bobby")
		f.home("alice", "bobby")
		n := f.look("alice").Step
		if a := f.Send("alice", "steer", parlor.Map{"x": 2.6, "y": 7.0}); a.Status != 0 {
			t.Errorf("answer %s", a.DebugText())
		}
		f.Want("bobby") // nobody hears of what is not done yet
		f.pass(1)
		f.Want("bobby", fmt.Sprintf("moved {'players': {'alice': [3, 7]}, 'step': %d}", n+1))
		f.steer("bobby", 10, 0)
		f.pass(2)
		f.steer("alice", 0, 0)
		f.steer("bobby", 0, -1) // along the fence there is nowhere to go
		f.pass(5)
		want := []string{
			fmt.Sprintf("moved {'players': {'alice': [6, 14], 'bobby': [10, 0]}, 'step': %d}", n+2),
			fmt.Sprintf("moved {'players': {'alice': [9, 21], 'bobby': [20, 0]}, 'step': %d}", n+3),
		}
		f.Want("bobby", want...)
		f.Want("alice", append([]string{fmt.Sprintf("moved {'players': {'alice': [3, 7]}, 'step': %d}", n+1)}, want...)...)
		state := fmt.Sprintf("{'step': %d, 'players': {'alice': {'x': 9, 'y': 21, 'away': False}, 'bobby': {'x': 20, 'y': 0, 'away': False}}}", n+3)
		for _, message := range []string{"look", parlor.RequestHeartbeat} {
			if a := f.Send("bobby", message, nil); a.Message != "State." || a.Payload.String() != state {
				t.Errorf("%s: %s, want %s", message, a.DebugText(), state)
			}
		}
	})
}

// TestRate: there are 20 steps a second, however often somebody steers, and nobody moves faster by that.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "alice", "bobby")
		f.home("alice", "bobby")
		for range 1000 { // in a second
			f.steer("alice", 1, 2)
			f.steer("bobby", 0, 0)
			time.Sleep(time.Millisecond) // sleep: virtual
		}
		if n := len(f.Pushes("bobby")); n < game.Steps-1 || n > game.Steps {
			t.Errorf("%d pushes in a second", n)
		}
		if at := f.look("bobby").Players["alice"]; at.X > game.Steps {
			t.Errorf("alice is at %v after a second", at)
		}
	})
}

// TestFence: nobody leaves the field, and who stands at the fence does not keep the room busy.
func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "alice")
		for _, to := range []struct{ dx, dy, x, y int }{
			{-10, -10, 0, 0}, {10, 7, game.Size - 1, game.Size - 1}, {-3, 0, 0, game.Size - 1}, {0, -9, 0, 0},
		} {
			f.steer("alice", to.dx, to.dy)
			f.pass(game.Size)
			if at := f.look("alice").Players["alice"]; at != (game.Place{X: to.x, Y: to.y}) {
				t.Errorf("by %d, %d alice gets to %v, want %d, %d", to.dx, to.dy, at, to.x, to.y)
			}
			f.Asleep()
		}
	})
}

// TestIdle: a room in which nobody moves does nothing.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t)
		f.Asleep()
		f.Join("alice", "bobby")
		f.Asleep()
		f.steer("alice", 0, 0)
		f.Asleep()
		f.steer("alice", 1, 1)
		f.Away("alice") // who is not there does not walk
		f.pass(1)
		f.Asleep()
		f.Back("alice", false)
		f.steer("alice", 10, 0)
		f.pass(1)
		f.Leave("alice")
		f.pass(1)
		f.Pushes("bobby")
		f.Asleep()
		f.Want("bobby")
	})
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "alice")
		f.Pushes("alice")
		before := f.look("alice").Players["alice"]
		for _, payload := range []any{
			nil, 5, []int{1}, parlor.Map{"x": 1}, parlor.Map{"x": 1, "y": nil}, parlor.Map{"x": 11, "y": 0}, parlor.Map{"x": 0, "y": -11},
			parlor.Map{"x": math.MaxInt, "y": math.MinInt}, parlor.Map{"x": math.NaN(), "y": 1}, parlor.Map{"x": math.Inf(1), "y": 1},
			parlor.Map{"x": 10.01, "y": 1}, parlor.Map{"x": "1", "y": 1}, parlor.Map{"x": true, "y": 1}, parlor.Map{"x": 1e300, "y": 1},
		} {
			if a := f.Send("alice", "steer", payload); a.Status != parlor.StatusUnexpected || a.Message == "" {
				t.Errorf("steer with %v: %s", payload, a.DebugText())
			}
		}
		f.Send("alice", "steer", parlor.Map{"x": -0.4, "y": 0.49}) // is rounded, and nowhere
		if a := f.Send("alice", "fly", nil); a.Message != "Unknown packet. Send steer with x and y, or look." || a.Status != parlor.StatusUnexpected {
			t.Errorf("answer %s", a.DebugText())
		}
		f.pass(10)
		if after := f.look("alice").Players["alice"]; after != before {
			t.Errorf("alice was at %v, and is at %v", before, after)
		}
		f.Want("alice")
	})
}

// TestPresence: who comes, goes, and comes back is shown to the others; who has missed something gets the state.
func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "alice")
		f.home("alice")
		n := f.look("alice").Step
		f.Join("bobby")
		at := f.look("alice").Players["bobby"]
		f.Want("alice", fmt.Sprintf("joined {'user': 'bobby', 'x': %d, 'y': %d}", at.X, at.Y))
		f.Want("bobby", fmt.Sprintf("state {'step': %d, 'players': {'alice': {'x': 0, 'y': 0, 'away': False}, 'bobby': {'x': %d, 'y': %d, 'away': False}}}", n, at.X, at.Y))
		f.Away("bobby")
		f.steer("alice", 1, 0)
		f.pass(1)
		f.Want("alice", "away {'user': 'bobby'}", fmt.Sprintf("moved {'players': {'alice': [1, 0]}, 'step': %d}", n+1))
		if v := f.look("alice"); !v.Players["bobby"].Away {
			t.Errorf("the state is %v", v)
		}
		f.Back("bobby", false)
		f.Want("bobby", fmt.Sprintf("moved {'players': {'alice': [1, 0]}, 'step': %d}", n+1)) // was kept for her
		f.Away("bobby")
		f.Back("bobby", true)
		f.Want("bobby", fmt.Sprintf("state {'step': %d, 'players': {'alice': {'x': 1, 'y': 0, 'away': False}, 'bobby': {'x': %d, 'y': %d, 'away': False}}}", n+1, at.X, at.Y))
		f.Want("alice", "back {'user': 'bobby'}", "away {'user': 'bobby'}", "back {'user': 'bobby'}")
		f.Leave("bobby")
		f.Want("alice", "left {'user': 'bobby'}")
	})
}

// TestTold: by pushes alone a client knows at all times what the state is.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "alice", "bobby", "carol")
		for i := range 200 {
			f.steer("bobby", i%21-10, i*7%21-10)
			f.steer("carol", i*3%21-10, i%5-2)
			f.pass(1)
			switch i {
			case 50:
				f.Leave("carol")
				f.Join("carol")
			case 100:
				f.Away("bobby")
			case 110:
				f.Back("bobby", false)
			}
		}
		want := f.look("alice")
		var told game.View
		for _, p := range f.Pushes("alice") {
			if err := told.Push(p); err != nil {
				t.Fatalf("%s %v: %v", p.Message, p.Payload, err)
			}
		}
		if fmt.Sprint(told) != fmt.Sprint(want) || len(want.Players) != 3 || want.Step < 190 {
			t.Errorf("alice was told %v, want %v", told, want)
		}
	})
}

// TestView: what does not fit to what a client knows is an error, and no news that are wrong.
func TestView(t *testing.T) {
	state := func() (v game.View) {
		v.State(parlor.Encode(parlor.Map{"step": 5, "players": parlor.Map{"alice": parlor.Map{"x": 1, "y": 2}}}))
		return v
	}
	for _, push := range []struct {
		message string
		payload any
		good    bool
	}{
		{"moved", parlor.Map{"step": 6, "players": parlor.Map{"alice": []int{2, 2}}}, true},
		{"moved", parlor.Map{"step": 5, "players": parlor.Map{"alice": []int{2, 2}}}, false}, // again
		{"moved", parlor.Map{"step": 7, "players": parlor.Map{"alice": []int{2, 2}}}, false}, // one is missing
		{"moved", parlor.Map{"step": 6, "players": parlor.Map{"alice": []int{2, 2}, "bobby": []int{2, 2}}}, false},
		{"moved", parlor.Map{"step": 6, "players": 1}, false},
		{"joined", parlor.Map{"user": "bobby", "x": 1, "y": 1}, true},
		{"joined", parlor.Map{"user": "alice", "x": 1, "y": 1}, false},
		{"joined", parlor.Map{"user": 5}, false},
		{"left", parlor.Map{"user": "alice"}, true},
		{"left", parlor.Map{"user": "bobby"}, false},
		{"away", parlor.Map{"user": "bobby"}, false},
		{"back", parlor.Map{"user": "alice"}, true},
		{"state", "text", false},
		{"danced", parlor.Map{"user": "alice"}, false},
	} {
		v := state()
		if err := v.Push(&parlor.Push{Message: push.message, Payload: parlor.Encode(push.payload)}); (err == nil) != push.good {
			t.Errorf("%s %v: error %v", push.message, push.payload, err)
		}
		if push.message != "state" && !push.good && fmt.Sprint(v) != fmt.Sprint(state()) {
			t.Errorf("%s %v was not taken, and changed the view to %v", push.message, push.payload, v)
		}
		if err := new(game.View).Push(&parlor.Push{Message: push.message, Payload: parlor.Encode(push.payload)}); err == nil {
			t.Errorf("%s was taken before the state", push.message)
		}
	}
}

// TestFull: there is a limit, and all of the players fit into what a client is sent at once.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t)
		for i := range 50 {
			f.Join(fmt.Sprintf("player%014d", i)) // 20 letters and digits
		}
		if n := len(f.Send("player00000000000001", "look", nil).Payload.JSON()); n > 4096 {
			t.Errorf("the state has %d bytes", n)
		}
		g, err := game.New(nil, "")
		if limit := g.(parlor.Limiter).MaxUsers(); err != nil || limit != 50 {
			t.Errorf("there may be %d, %v", limit, err)
		}
	})
}

// TestSame: the same room has the same game again.
func TestSame(t *testing.T) {
	play := func() (seen string) {
		synctest.Test(t, func(t *testing.T) {
			f := open(t, "alice", "bobby")
			for i := range 40 {
				f.steer("alice", i%21-10, 3)
				f.pass(1)
			}
			var b strings.Builder
			for _, p := range f.Pushes("bobby") {
				fmt.Fprintln(&b, p.Message, p.Payload)
			}
			seen = b.String()
		})
		return seen
	}
	if one, two := play(), play(); one != two || strings.Count(one, "moved") < 30 {
		t.Errorf("once\n%s\nand once\n%s", one, two)
	}
}
