package room_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/room"
)

// TestPresence has a user go and come back in all ways. The room is not busy: it is told of each at once.
func TestPresence(t *testing.T) {
	for name, test := range map[string]struct {
		steps string // a: away, b: back, m: back with something missed, l: leave, s: a session before this one says it is away
		want  []string
	}{
		"away and back":        {"ab", []string{"away alice", "back alice false"}},
		"missed":               {"am", []string{"away alice", "back alice true"}},
		"again and again":      {"abam", []string{"away alice", "back alice false", "away alice", "back alice true"}},
		"twice":                {"aabb", []string{"away alice", "back alice false"}},
		"leaves while away":    {"al", []string{"away alice", "left alice of []", "lobby: left alice"}},
		"leaves when back":     {"abl", []string{"away alice", "back alice false", "left alice of []", "lobby: left alice"}},
		"after leaving":        {"labm", []string{"left alice of []", "lobby: left alice"}},
		"back when not away":   {"b", nil},
		"missed when not away": {"m", []string{"away alice", "back alice true"}}, // she was, and the room has not heard of it
		"of an old session":    {"s", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &game{persistent: true}
				r := open(t, g, room.Config{})
				old, alice := &member{name: "alice"}, &member{name: "alice"}
				r.enter(t, alice)
				g.want(t, "joined alice of [alice]")
				for _, step := range test.steps {
					switch step {
					case 'a':
						r.Away("alice", alice)
					case 'b':
						r.Back("alice", alice, false)
					case 'm':
						r.Back("alice", alice, true)
					case 'l':
						r.Leave("alice", alice, func() {})
					case 's':
						r.Away("alice", old)
					}
					synctest.Wait()
				}
				g.want(t, test.want...)
			})
		})
	}
}

// TestPushWhileAway: who is away stays among the users and gets what is sent; so does who is back, in the hook
// already.
func TestPushWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(game)
		r := open(t, g, room.Config{})
		alice, bob := &member{name: "alice"}, &member{name: "bob"}
		r.enter(t, alice)
		r.enter(t, bob)
		r.Away("alice", alice)
		r.act(t, bob, func(host parlor.Room) { host.Broadcast("news", nil); g.add(strings.Join(host.Users(), " ")) })
		g.onBack = func(user string) { host := g.host; host.Send(user, "state", nil) }
		r.Back("alice", alice, true)
		alice.want(t, "push news", "push state")
		g.want(t, "joined alice of [alice]", "joined bob of [alice bob]", "away alice", "alice bob", "back alice true")
	})
}

// inStuckRoom runs a test with a room whose game hangs in a packet of alice's until release is called.
func inStuckRoom(t *testing.T, cfg room.Config, run func(t *testing.T, r tested, alice *member, release func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		g := &game{persistent: true}
		g.packet = func(p parlor.Packet) parlor.Response {
			if p.Message == "hang" {
				<-block
			}
			return parlor.OK(p.Message)
		}
		r := open(t, g, cfg)
		alice := &member{name: "alice"}
		r.enter(t, alice)
		g.want(t, "joined alice of [alice]")
		r.send(t, alice, "hang")
		synctest.Wait()
		run(t, r, alice, func() { close(block); synctest.Wait() })
	})
}

// TestPresenceOfStuckRoom: a client that comes and goes while the room is stuck is one message to it.
func TestPresenceOfStuckRoom(t *testing.T) {
	for name, test := range map[string]struct {
		last func(r tested, m *member)
		want []string
	}{
		"ends away":   {func(r tested, m *member) { r.Away("alice", m) }, []string{"away alice"}},
		"ends back":   {func(r tested, m *member) {}, nil},
		"has missed":  {func(r tested, m *member) { r.Back("alice", m, true) }, []string{"away alice", "back alice true"}},
		"and is away": {func(r tested, m *member) { r.Back("alice", m, true); r.Away("alice", m) }, []string{"away alice"}},
	} {
		t.Run(name, func(t *testing.T) {
			inStuckRoom(t, room.Config{}, func(t *testing.T, r tested, alice *member, release func()) {
				for range 1000 {
					r.Away("alice", alice)
					r.Back("alice", alice, false)
				}
				test.last(r, alice)
				if n := r.Waiting(); n != 1 {
					t.Errorf("%d messages wait, want 1", n)
				}
				release()
				r.game.want(t, test.want...)
				if name == "and is away" {
					r.Back("alice", alice, false)
					r.game.want(t, "back alice true") // what was missed before is not forgotten
				}
			})
		})
	}
	t.Run("leaves and comes again", func(t *testing.T) {
		inStuckRoom(t, room.Config{}, func(t *testing.T, r tested, alice *member, release func()) {
			r.Away("alice", alice)
			r.Leave("alice", alice, func() {})
			r.Join("alice", alice, func(room.Joined, error) {})
			r.Away("alice", alice) // of her new seat
			release()
			r.game.want(t, "away alice", "left alice of []", "lobby: left alice", "joined alice of [alice]", "away alice")
		})
	})
}

// lasting is a game with its own ideas of how users are served.
type lasting struct {
	quiet
	window time.Duration
	rate   float64
	ride   bool
}

func (l *lasting) ResumeWindow() time.Duration { return l.window }
func (l *lasting) HeartbeatRate() float64      { return l.rate }
func (l *lasting) PushOnHeartbeat() bool       { return l.ride }

// TestJoined: what a game says is read anew for each user who joins.
func TestJoined(t *testing.T) {
	const minute = time.Minute
	own := new(lasting)
	for _, test := range []struct {
		game parlor.Game
		says lasting
		want room.Joined
	}{
		{quiet{}, lasting{}, room.Joined{HeartbeatRate: 10, Window: minute}},
		{own, lasting{}, room.Joined{HeartbeatRate: 10}},
		{own, lasting{window: -1, rate: -1}, room.Joined{HeartbeatRate: 10}},
		{own, lasting{window: 5 * minute, rate: 2.5, ride: true}, room.Joined{HeartbeatRate: 2.5, Window: 5 * minute, PushOnHeartbeat: true}},
		{own, lasting{rate: math.NaN()}, room.Joined{HeartbeatRate: 10}},
	} {
		synctest.Test(t, func(t *testing.T) {
			*own = lasting{window: 1, rate: 1, ride: true}
			r := open(t, new(game), room.Config{Window: minute, New: func(parlor.Room, string) (parlor.Game, error) { return test.game, nil }})
			*own = test.says
			r.Join("alice", &member{name: "alice"}, func(j room.Joined, err error) {
				if j != test.want || err != nil {
					t.Errorf("%+v: joined %+v, %v, want %+v", test.says, j, err, test.want)
				}
			})
			synctest.Wait()
		})
	}
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &game{persistent: true}
		r := open(t, g, room.Config{})
		alice := &member{name: "alice"}
		r.enter(t, alice)
		r.Drain(time.Now().Add(30*time.Second), func() { g.add("drained") })
		g.want(t, "joined alice of [alice]", "draining for 30s", "drained")
		r.send(t, alice, "still here")
		alice.want(t, "OK still here")
		r.Close(func() {})
		r.Drain(time.Now(), func() { g.add("drained") })
		g.want(t, "left alice of []", "lobby: left alice", "lobby: ended", "drained")
	})
}

// TestMailboxFull asks everything of a room that is stuck and has no room left.
func TestMailboxFull(t *testing.T) {
	inStuckRoom(t, room.Config{Mailbox: 3}, func(t *testing.T, r tested, alice *member, release func()) {
		g := r.game
		ps := []parlor.Packet{{Message: "1", Username: "alice"}, {Message: "2", Username: "alice"}}
		if n, err := r.Packets(ps, alice); n != 2 || err != nil {
			t.Errorf("two packets: %d taken, %v", n, err)
		}
		if n, err := r.Packets(ps, alice); n != 1 || !errors.Is(err, room.ErrBusy) {
			t.Errorf("two more: %d taken, %v, want 1, ErrBusy", n, err)
		}
		if n, err := r.Packets(ps, alice); n != 0 || !errors.Is(err, room.ErrBusy) {
			t.Errorf("two more: %d taken, %v, want 0, ErrBusy", n, err)
		}
		if err := r.Packet(ps[0], alice); !errors.Is(err, room.ErrBusy) {
			t.Errorf("another one: %v, want ErrBusy", err)
		}
		if n, err := r.Packets(nil, alice); n != 0 || err != nil {
			t.Errorf("none: %d taken, %v", n, err)
		}
		if n := r.Stats().Busy.Load(); n != 4 {
			t.Errorf("%d packets counted, want 4", n)
		}
		answered := 0
		join := func(_ room.Joined, err error) {
			if errors.Is(err, room.ErrBusy) {
				g.add("busy")
			} else {
				answered++
			}
		}
		bob := &member{name: "bob"}
		r.Join("bob", bob, join)
		r.Join("bob", bob, join)
		r.Join("bob", bob, join)
		r.Join("bob", bob, join)
		r.Join("bob", bob, join)
		g.want(t, "busy", "busy")
		if n := r.Stats().Busy.Load(); n != 6 {
			t.Errorf("%d packets and joins counted, want 6", n)
		}

		r.Away("alice", alice)
		r.Save(func(save room.Save, ok bool, err error) { g.add("save " + save.Data) })
		r.Refresh(func() { g.add("refreshed") })
		r.Drain(time.Now(), func() { g.add("drained") })
		r.Leave("alice", alice, func() { g.add("leave") })
		r.Close(func() { g.add("closed") })
		release()
		alice.want(t, "OK hang", "OK 1", "OK 2", "OK 1")
		if answered != 3 {
			t.Errorf("%d joins answered, want 3", answered)
		}
		list := g.list
		want := []string{"away alice", "save state", "info", "refreshed", "draining for 0s", "drained", "left alice of [bob]", "lobby: left alice", "leave"}
		for len(list) > 0 && list[0] != "away alice" {
			list = list[1:] // what the joins did
		}
		if got := strings.Join(list[:min(len(list), len(want))], ", "); got != strings.Join(want, ", ") {
			t.Errorf("events %s, want %s", got, want)
		}
		if list[len(list)-1] != "closed" {
			t.Errorf("events %q, want the end", list)
		}
		g.list = nil
	})
}

// TestMailboxHasRoomAgain: what was worked on does not count any more, also of many at once.
func TestMailboxHasRoomAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, &game{persistent: true}, room.Config{Mailbox: 3})
		alice := &member{name: "alice"}
		for range 10 {
			if err := r.enter(t, alice); err != nil {
				t.Fatal(err)
			}
			if n, err := r.Packets(make([]parlor.Packet, 3), alice); n != 3 || err != nil {
				t.Errorf("%d taken, %v", n, err)
			}
			synctest.Wait()
		}
		alice.answers = nil
	})
}

// TestPacketsOfKicked: when the game takes a user out, the rest of her packets is not for it any more.
func TestPacketsOfKicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &game{persistent: true}
		g.packet = func(p parlor.Packet) parlor.Response {
			return parlor.Response{Message: p.Message, Disconnecting: p.Message == "kick"}
		}
		r := open(t, g, room.Config{})
		alice := &member{name: "alice"}
		r.enter(t, alice)
		var ps []parlor.Packet
		for _, message := range []string{"one", "kick", "two", "three"} {
			ps = append(ps, parlor.Packet{Message: message, Username: "alice"})
		}
		r.Packets(ps, alice)
		alice.want(t, "OK one", "OK kick", "room is closed", "room is closed")
	})
}
