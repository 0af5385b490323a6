package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
)

// watcher logs in a client that watches the directory.
func watcher(t *testing.T, srv *server.Server, name string) *streamClient {
	t.Helper()
	c := &streamClient{t: t, srv: srv, name: name, payloads: true}
	c.connect(-1)
	c.ask(parlor.RequestSubscribe)
	return c
}

const subscribed = "Subscribed to the games directory. See payload."

// TestSubscribe: a subscriber gets the directory at once, and then what has changed, gathered for a second, until it has had
// enough.
func TestSubscribe(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		g.quiet = true
		w := watcher(t, srv, "walter")
		w.wants(`1 ` + subscribed + ` {"games": {}}`)
		c := newStreamClient(t, srv)
		bob := &streamClient{t: t, srv: srv, name: "bob"}
		bob.connect(-1)
		bob.ask(parlor.RequestJoinGame)
		w.wants()
		pass(time.Second)
		w.wants(`push __parlor__.games_changed {"changed": {"counting": {"name": "counting", "users": 2, "password_protected": false, "info": ""}}, "gone": []}`)
		pass(10 * time.Second) // nothing happens
		w.wants()
		g.setInfo("hello \xff")
		bob.ask("x") // so that the line is asked for
		pass(time.Second)
		w.wants(`push __parlor__.games_changed {"changed": {"counting": {"name": "counting", "users": 2, "password_protected": false, "info": "hello \ufffd"}}, "gone": []}`)
		bob.ask(parlor.RequestLeaveGame)
		c.ask(parlor.RequestLeaveGame)
		pass(time.Second)
		w.wants(`push __parlor__.games_changed {"changed": {}, "gone": ["counting"]}`)
		w.ask(parlor.RequestUnsubscribe)
		c.ask(parlor.RequestCreateGame)
		pass(5 * time.Second)
		w.ask(parlor.RequestUnsubscribe)
		w.wants("2 Unsubscribed from the games directory. {}", "3 Not subscribed. {}")
	})
}

// TestSubscribeMany: what is pushed is made once for all, and split where it would be too large.
func TestSubscribeMany(t *testing.T) {
	inWorld(t, server.Config{Limits: server.Limits{ResponseSize: 2048}}, script{}, func(t *testing.T, w *world) {
		srv := w.srv
		a, b := watcher(t, srv, "anna"), watcher(t, srv, "berta")
		for i := range 30 {
			c := &streamClient{t: t, srv: srv, name: fmt.Sprint("user", i)}
			c.connect(-1)
			c.request(1, "create "+fmt.Sprint("game", i))
		}
		pass(time.Second)
		pushes := a.link.messages
		if len(pushes) < 2 || len(pushes) != len(b.link.messages) {
			t.Fatalf("%d and %d pushes came, want as many, and more than one", len(pushes), len(b.link.messages))
		}
		seen := make(map[string]bool)
		for i, m := range pushes {
			if m.Push == nil || m.Push != b.link.messages[i].Push {
				t.Fatal("a push was made for each")
			}
			if n := len(m.Push.Payload.JSON()); n > 2048 {
				t.Errorf("a push has %d bytes", n)
			}
			var changes struct {
				Changed map[string]entry `json:"changed"`
			}
			if err := m.Push.Payload.Bind(&changes); err != nil {
				t.Fatal(err)
			}
			for name := range changes.Changed {
				seen[name] = true
			}
		}
		if len(seen) != 30 {
			t.Errorf("%d games were told of, want 30", len(seen))
		}
	})
}

// TestSubscribeSurvives: a subscription survives the link, and not the session.
func TestSubscribeSurvives(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		g.quiet = true
		w := watcher(t, srv, "walter")
		w.got = nil
		w.cut()
		c := newStreamClient(t, srv)
		pass(10 * time.Second)
		w.connect(-1)
		w.wants(`push __parlor__.games_changed {"changed": {"counting": {"name": "counting", "users": 1, "password_protected": false, "info": ""}}, "gone": []}`)
		c.ask(parlor.RequestLeaveGame)
		pass(time.Second)
		w.wants(`push __parlor__.games_changed {"changed": {}, "gone": ["counting"]}`)
		if n := srv.Subscribers(); n != 1 {
			t.Errorf("%d subscribers, want 1", n)
		}
		w.cut()
		l := &streamLink{key: "another", takes: -1} // with the right password, which is another client's then
		var err error
		if l.session, err = srv.Open(l); err != nil {
			t.Fatal(err)
		}
		l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "walter", "password": "pw"})})
		c.ask(parlor.RequestCreateGame)
		pass(5 * time.Second)
		if l.welcome == nil || len(l.messages) > 0 {
			t.Errorf("the client that reclaimed the session got %d messages", len(l.messages))
		}
		again := watcher(t, srv, "wanda")
		again.link.end(true)
		pass(time.Second)
		again = watcher(t, srv, "wilma")
		again.cut()
		pass(61 * time.Second)
		if n := srv.Subscribers(); n != 0 {
			t.Errorf("%d subscribers are left", n)
		}
	})
}

// TestSubscriberBehind: one that does not acknowledge gets only so many, and the whole directory when it has caught up.
func TestSubscriberBehind(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		g.quiet = true
		w := watcher(t, srv, "walter")
		w.got = nil
		c := newStreamClient(t, srv)
		for i := range 60 {
			c.ask([]string{parlor.RequestLeaveGame, parlor.RequestCreateGame}[i%2])
			pass(time.Second)
		}
		w.read()
		if len(w.got) != 16 {
			t.Errorf("%d pushes came, want 16", len(w.got))
		}
		w.got = nil
		if n := srv.Stats().SubscribersBehind.Load(); n != 1 {
			t.Errorf("it was behind %d times, want once", n)
		}
		w.link.session.Request(&link.Envelope{Kind: link.KindNote, Ack: w.seq})
		pass(2 * time.Second)
		w.wants(`push __parlor__.games {"games": {"counting": {"name": "counting", "users": 1, "password_protected": false, "info": ""}}}`)
		w.link.session.Request(&link.Envelope{Kind: link.KindNote, Ack: w.seq})
		c.ask(parlor.RequestLeaveGame)
		pass(time.Second)
		w.wants(`push __parlor__.games_changed {"changed": {}, "gone": ["counting"]}`)
		w.ask(parlor.RequestSubscribe) // who asks again gets all of it again
		w.wants(`2 ` + subscribed + ` {"games": {}}`)
		for i := range 21 { // also who was behind, and goes on with changes then
			c.ask([]string{parlor.RequestCreateGame, parlor.RequestLeaveGame}[i%2])
			pass(time.Second)
		}
		w.ask(parlor.RequestSubscribe) // acknowledges none of them
		w.got = w.got[16:]
		w.wants(`3 ` + subscribed + ` {"games": {"counting": {"name": "counting", "users": 1, "password_protected": false, "info": ""}}}`)
		w.link.session.Request(&link.Envelope{Kind: link.KindNote, Ack: w.seq})
		pass(2 * time.Second)
		c.ask(parlor.RequestLeaveGame)
		pass(2 * time.Second)
		w.wants(`push __parlor__.games_changed {"changed": {}, "gone": ["counting"]}`)
	})
}

// TestSubscriberBehindInBytes: it gets only so many bytes, too.
func TestSubscriberBehindInBytes(t *testing.T) {
	runStreams(t, server.Limits{InfoSize: 200 << 10}, func(t *testing.T, srv *server.Server, g *counting) {
		g.quiet = true
		c := newStreamClient(t, srv)
		w := watcher(t, srv, "walter")
		w.got = nil
		w.link.session.Request(&link.Envelope{Kind: link.KindNote, Ack: w.seq})
		for i := range 10 {
			g.setInfo(fmt.Sprint(i, strings.Repeat("x", 100<<10)))
			c.ask("x") // so that the line is asked for
			pass(2 * time.Second)
		}
		if w.read(); len(w.got) != 3 || srv.Stats().SubscribersBehind.Load() != 1 {
			t.Errorf("%d pushes of 100 KiB came, want 3; it was behind %d times, want once", len(w.got), srv.Stats().SubscribersBehind.Load())
		}
		w.got = nil
		w.link.session.Request(&link.Envelope{Kind: link.KindNote, Ack: w.seq})
		pass(5 * time.Second)
		if w.read(); len(w.got) != 1 || !strings.HasPrefix(w.got[0], `push __parlor__.games {`) || !strings.Contains(w.got[0], `"info": "9xxx`) {
			t.Errorf("%d pushes came when it had caught up, want the whole directory: %.100q", len(w.got), w.got)
		}
	})
}

// TestOwnRequests: what is not pgnet's is listed for the clients of the other wires only, and unknown to pgnet's.
func TestOwnRequests(t *testing.T) {
	const kinds = `{"name": "str", "password": "str", "kind": "str"}`
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		c := &streamClient{t: t, srv: srv, name: "alice", payloads: true}
		c.connect(-1)
		c.ask(parlor.RequestHelp)
		c.ask("nonsense")
		for _, text := range c.got {
			if !strings.Contains(text, parlor.RequestSubscribe) || !strings.Contains(text, parlor.RequestUnsubscribe) {
				t.Errorf("not listed: %s", text)
			}
		}
		if strings.Count(c.got[0], kinds) != 2 {
			t.Errorf("kinds are not listed: %s", c.got[0])
		}
		c.got = nil
	})
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		g := w.login("alice")
		help := string(g.ask(parlor.RequestHelp, nil).Payload.JSON())
		if strings.Contains(help, "__parlor__") || strings.Contains(help, "kind") {
			t.Errorf("listed: %s", help)
		}
		for _, message := range []string{parlor.RequestSubscribe, parlor.RequestUnsubscribe} {
			r := g.wantRefused(g.ask(message, nil), "Please create/join a game.")
			var payload struct {
				Commands []string `json:"commands"`
			}
			if err := r.Payload.Bind(&payload); err != nil || len(payload.Commands) != 14 || slices.Contains(payload.Commands, message) {
				t.Errorf("commands %q, %v", payload.Commands, err)
			}
		}
		g.create("room")
		g.wantOK(g.ask(parlor.RequestSubscribe, nil), "got "+parlor.RequestSubscribe)
	})
}

// TestDrainIsTold: clients that can be told hear that the server stops before the games do, and before their links are closed.
func TestDrainIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *streamClient
		var heard, closed []string
		s := script{left: func(string) {}}
		games := map[string]parlor.NewGame{"": func(room parlor.Room, _ string) (parlor.Game, error) {
			return drained{&actor{script: s, room: room}, func(time.Time) {
				room.Broadcast("the end", nil)
				c.link.mu.Lock()
				closed = append(closed, fmt.Sprint(c.link.closed))
				c.link.mu.Unlock()
			}}, nil
		}}
		w := start(t, server.Config{Games: games, Limits: server.Limits{DrainWait: 3500 * time.Millisecond}}, script{})
		c = &streamClient{t: t, srv: w.srv, name: "alice", payloads: true}
		c.connect(-1)
		c.ask(parlor.RequestCreateGame)
		c.got = nil
		pgnet := w.login("bobby")
		w.stop()
		synctest.Wait()
		c.read()
		heard = c.got
		if want := []string{`push __parlor__.draining {"seconds": 3.5}`, "push the end {}"}; !slices.Equal(heard, want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
		if !slices.Equal(closed, []string{"[]"}) || !slices.Equal(c.link.closed, []link.Code{link.CloseGoingAway}) {
			t.Errorf("closed with %v when the game was told, and then with %v", closed, c.link.closed)
		}
		pgnet.wantGone(time.Second)
	})
}

// TestSubscribersInARow: who subscribes again and again has nobody else told sooner, and no game asked more often.
func TestSubscribersInARow(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		g.quiet = true
		bob := &streamClient{t: t, srv: srv, name: "bobby"}
		bob.connect(-1)
		bob.ask(parlor.RequestSubscribe)
		synctest.Wait()
		alice := newStreamClient(t, srv)
		bob.read()
		before := len(bob.got)
		for range 5 {
			alice.ask(parlor.RequestLeaveGame)
			alice.ask(parlor.RequestSubscribe)
			alice.ask("create again")
			time.Sleep(100 * time.Millisecond) // sleep: virtual time
			synctest.Wait()
		}
		bob.read()
		if n := len(bob.got) - before; n > 0 {
			t.Errorf("half a second brings %d pushes: %q", n, bob.got[before:])
		}
		time.Sleep(2 * time.Second) // sleep: virtual time
		synctest.Wait()
		if bob.read(); len(bob.got) == before {
			t.Error("and later none comes")
		}
	})
}
