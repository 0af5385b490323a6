package room_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"parlor"
	"parlor/room"
)

// act has the game of a room do something on the room's goroutine, while it answers a packet of a member.
func (r tested) act(t *testing.T, m *member, do func(host parlor.Room)) {
	t.Helper()
	r.game.packet = func(parlor.Packet) parlor.Response { do(r.game.host); return parlor.OK("done") }
	r.send(t, m, "act")
	synctest.Wait()
	r.game.packet = nil
}

// TestPushOrder shows that pushes and answers come in the order in which they were made.
func TestPushOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(game)
		r := open(t, g, room.Config{})
		alice, bob := &member{name: "alice"}, &member{name: "bob"}
		g.onJoin = func() { g.host.Broadcast("welcome", nil) }
		r.enter(t, alice)
		r.enter(t, bob)
		alice.want(t, "push welcome", "push welcome")
		bob.want(t, "push welcome")
		g.packet = func(p parlor.Packet) parlor.Response {
			g.host.Send("alice", "before "+p.Message, nil)
			g.host.After(0, func() { g.host.Send("alice", "after "+p.Message, nil) })
			return parlor.OK(p.Message)
		}
		taken, err := r.Packets([]parlor.Packet{{Message: "1", Username: "alice"}, {Message: "2", Username: "alice"}}, alice)
		if taken != 2 || err != nil {
			t.Errorf("%d taken, %v", taken, err)
		}
		alice.want(t, "push before 1", "OK 1", "push before 2", "OK 2", "push after 1", "push after 2")
		g.onLeave = func(user string) { g.host.Broadcast("gone", nil); g.host.Send(user, "too late", nil) }
		r.Leave("bob", bob, func() {})
		alice.want(t, "push gone")
		bob.want(t)
	})
}

// counted is a payload that counts how often it is encoded.
type counted struct{ times int }

func (c *counted) AppendPyJSON(b []byte) ([]byte, error) {
	c.times++
	return append(b, `{"x": 1}`...), nil
}

func TestBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, new(game), room.Config{})
		members := make([]*member, 20)
		var names []string
		for i := range members {
			members[i] = &member{name: fmt.Sprint("user", i)}
			names = append(names, members[i].name)
			r.enter(t, members[i])
		}
		heard := func() (who string, p *parlor.Push) {
			for _, m := range members {
				for _, got := range m.pushes {
					who += " " + strings.TrimPrefix(m.name, "user")
					if p != nil && got != p {
						t.Error("a broadcast is more than one Push")
					}
					p = got
				}
				m.pushes = nil
			}
			return who, p
		}
		for _, test := range []struct {
			name   string
			except []string
			want   string
		}{
			{"all", nil, " 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"},
			{"but some", []string{"user3", "nobody", "user0"}, " 1 2 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"},
			{"but many", names[:15], " 15 16 17 18 19"},
			{"nobody", names, ""},
		} {
			before := r.Stats().Pushes.Load()
			payload := new(counted)
			r.act(t, members[0], func(host parlor.Room) { host.Broadcast("moved", payload, test.except...) })
			who, p := heard()
			if who != test.want {
				t.Errorf("%s: heard by%s, want%s", test.name, who, test.want)
			}
			if p != nil && (p.Message != "moved" || string(p.Payload.JSON()) != `{"x": 1}` || p.Game != "room") {
				t.Errorf("%s: push %+v", test.name, p)
			}
			if payload.times > 1 {
				t.Errorf("%s: encoded %d times", test.name, payload.times)
			}
			if n := r.Stats().Pushes.Load() - before; n != int64(len(strings.Fields(test.want))) {
				t.Errorf("%s: %d counted", test.name, n)
			}
		}
	})
}

func TestPushRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, new(game), room.Config{})
		alice, bob := &member{name: "alice"}, &member{name: "bob"}
		r.enter(t, alice)
		r.enter(t, bob)
		r.act(t, alice, func(host parlor.Room) {
			host.Send("carol", "for nobody", nil)
			host.Send("bob", "a channel", make(chan int))
			host.Broadcast("many channels", []any{make(chan int)})
			host.Send("bob", "good", nil)
		})
		alice.want(t, "OK done")
		bob.want(t, "push good")
		if s := r.Stats(); s.PushesAstray.Load() != 1 || s.PushesUnsent.Load() != 2 || s.Pushes.Load() != 1 {
			t.Errorf("%d astray, %d unsent, %d sent, want 1, 2, 1", s.PushesAstray.Load(), s.PushesUnsent.Load(), s.Pushes.Load())
		}
		for _, want := range []string{
			"level=DEBUG msg=\"push to a user who is not in the room\" game=room user=carol message=\"for nobody\"",
			"level=ERROR msg=\"a push of the game cannot be sent\" game=room message=\"a channel\"", "message=\"many channels\"",
		} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, r.log.String())
			}
		}
		r.act(t, alice, func(host parlor.Room) {
			for range 1000 {
				host.Broadcast("channel", make(chan int))
			}
		})
		if n := strings.Count(r.log.String(), "cannot be sent"); n > 20 {
			t.Errorf("%d of 1000 logged", n)
		}
	})
}

// TestPushNil: a push without payload has the empty object, as a response has.
func TestPushNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(game)
		r := open(t, g, room.Config{})
		alice := &member{name: "alice"}
		g.onJoin = func() {
			g.host.Send("alice", "nil", nil)
			g.host.Send("alice", "value", parlor.Encode([]int{1}))
		}
		r.enter(t, alice)
		if len(alice.pushes) != 2 || string(alice.pushes[0].Payload.JSON()) != "{}" || string(alice.pushes[1].Payload.JSON()) != "[1]" {
			t.Errorf("pushes %+v", alice.pushes)
		}
	})
}
