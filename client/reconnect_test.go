//go:build !js

package client_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/client"
	"parlor/link"
	"parlor/link/memlink"
	"parlor/server"
)

// told makes a client report all but heartbeats to the journal.
func told(j *journal) client.Config {
	return client.Config{
		OnStatus:     func(s string) { j.add("status %s", s) },
		OnConnection: func(c bool) { j.add("connection %t", c) },
		OnGame:       func(g string) { j.add("game %s", g) },
		OnLink:       func(up bool) { j.add("link %t", up) },
	}
}

// enter logs alice in, who creates the game.
func (w *wire) enter(j *journal, cfg client.Config) *client.Client {
	w.t.Helper()
	c := w.client("alice", j, cfg)
	if err := c.CreateGame(w.t.Context(), "counting", client.GameOptions{}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	j.take()
	return c
}

// TestBackoff: when a client tries, and how it tells.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{ResumeWindow: time.Hour})
		var j journal
		var below []time.Duration
		cfg := told(&j)
		cfg.Reconnect.Jitter = func(d time.Duration) time.Duration { below = append(below, d); return d - 1 }
		c := w.enter(&j, cfg)
		w.mu.Lock()
		w.refuse, w.dials = 10, nil
		w.mu.Unlock()
		start := time.Now()
		w.cut()
		synctest.Wait()
		if !c.Connected() || c.Linked() || c.Game() != "counting" || c.Status() != "Connection lost: Connection closed." {
			t.Errorf("connected %t, linked %t, game %q, status %q", c.Connected(), c.Linked(), c.Game(), c.Status())
		}
		if err := c.Send(parlor.Packet{Message: "meanwhile"}, j.callback("meanwhile")); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Minute) // sleep: virtual
		synctest.Wait()
		want := []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000, 10000}
		at := start
		for i, ms := range want {
			want[i] = ms * time.Millisecond
			at = at.Add(want[i] - 1)
			if i < len(w.dials) && !w.dials[i].Equal(at) {
				t.Errorf("try %d after %v, want %v", i+1, w.dials[i].Sub(start), at.Sub(start))
			}
		}
		if !slices.Equal(below, want) || len(w.dials) != len(want) {
			t.Errorf("waits below %v, %d dials", below, len(w.dials))
		}
		lines := []string{"link false", "status Connection lost: Connection closed."}
		for n := range 11 {
			lines = append(lines, fmt.Sprintf("status Reconnecting to lobby:38929 (try %d)...", n+1))
		}
		j.want(t, append(lines, "link true", "status Resumed as alice @ local", "push before 1", "meanwhile: meanwhile is 1")...)

		// The link has lasted, and the count begins again; that of one that did not last goes on.
		below = nil
		w.cut()
		time.Sleep(time.Second) // sleep: virtual
		w.cut()
		time.Sleep(time.Second) // sleep: virtual
		w.cut()
		time.Sleep(time.Minute) // sleep: virtual
		w.cut()
		time.Sleep(time.Second) // sleep: virtual
		synctest.Wait()
		if want := []time.Duration{100e6, 200e6, 400e6, 100e6}; !slices.Equal(below, want) {
			t.Errorf("waits below %v, want %v", below, want)
		}
		if s := c.Stats(); s.Links != 5 || s.Resumed != 5 {
			t.Errorf("%+v", s)
		}
	})
}

// TestBackoffBeginsAgain: behind which links the count of tries begins again. One that ends at once, again and again, is tried with
// growing pauses, whatever it brings.
func TestBackoffBeginsAgain(t *testing.T) {
	growing := []int{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000}
	for name, test := range map[string]struct {
		lasts  time.Duration
		brings func(n uint64) []link.Envelope // over link n, from 0
		max    time.Duration                  // 0: the default
		want   []int                          // ms
	}{
		"lasts":               {2 * time.Second, nil, 0, []int{100, 100, 100, 100, 100, 100, 100, 100, 100}},
		"lasts nearly":        {2*time.Second - 1, nil, 0, growing},
		"lasts for a low Max": {time.Second, nil, time.Second, []int{100, 100, 100, 100, 100, 100, 100, 100, 100}},
		"brings nothing":      {0, nil, 0, growing},
		"brings notes":        {0, func(uint64) []link.Envelope { return []link.Envelope{{Kind: link.KindNote}} }, 0, growing},
		"brings what is old":  {0, func(uint64) []link.Envelope { return []link.Envelope{push(0, 1, "p")} }, 0, growing},
		"brings something": {time.Millisecond, func(n uint64) []link.Envelope { return []link.Envelope{push(0, n+1, "p")} }, 0,
			[]int{100, 200, 400, 800, 1600, 3200, 6400, 100, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &oddServer{}
				s.welcome = func(n int, _ link.Offer) (parlor.Response, *link.Welcome, error) {
					r, w, err := welcomed()
					w.Resumed = n > 0
					return r, w, err
				}
				var below []int
				var j journal
				_, f := dialOdd(t, s, &j, client.Config{Reconnect: client.Reconnect{Max: test.max, Jitter: func(d time.Duration) time.Duration {
					below = append(below, int(d.Milliseconds()))
					return d
				}}})
				for n := range test.want {
					if test.brings != nil {
						f.say(test.brings(uint64(n))...)
					}
					time.Sleep(test.lasts) // sleep: virtual
					synctest.Wait()
					f.fail(errors.New("cut"))
					synctest.Wait()
					time.Sleep(time.Duration(below[n]) * time.Millisecond) // sleep: virtual, until it is tried again
					if f = s.login(t); s.links() != n+2 {
						t.Fatalf("%d links, want %d", s.links(), n+2)
					}
				}
				if !slices.Equal(below, test.want) {
					t.Errorf("waits below %v ms, want %v", below, test.want)
				}
			})
		})
	}
}

// TestBackoffAfterOutage: who was long without a link, and is cut again right after she has used one, does not wait for long.
func TestBackoffAfterOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{ResumeWindow: time.Hour})
		var j journal
		c := w.enter(&j, client.Config{Reconnect: client.Reconnect{Jitter: func(d time.Duration) time.Duration { return d - 1 }}})
		w.mu.Lock()
		w.refuse = 8
		w.mu.Unlock()
		w.cut()
		if _, err := c.Request(t.Context(), "x", nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		w.cut()
		if _, err := c.Request(t.Context(), "y", nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("she was back after %v", took)
		}
	})
}

// TestJitter: a crowd that is cut at the same moment does not come back at the same moment.
func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		const crowd = 50
		for i := range crowd {
			w.client(fmt.Sprint("user", i), &j, client.Config{})
		}
		w.mu.Lock()
		conns := slices.Clone(w.conns)
		w.dials = nil
		w.mu.Unlock()
		start := time.Now()
		for _, c := range conns {
			c.Abort()
		}
		time.Sleep(time.Second) // sleep: virtual
		synctest.Wait()
		moments := map[time.Time]bool{}
		for _, at := range w.dials {
			moments[at] = true
			if d := at.Sub(start); d < 0 || d >= 100*time.Millisecond {
				t.Errorf("tried after %v", d)
			}
		}
		if len(w.dials) != crowd || len(moments) < crowd*3/4 {
			t.Errorf("%d dials at %d moments", len(w.dials), len(moments))
		}
		if n := w.srv.Stats().Resumed.Load(); n != crowd {
			t.Errorf("%d are back", n)
		}
	})
}

// TestCloseWhileReconnecting: in the wait for the next try, and while a try is under way.
func TestCloseWhileReconnecting(t *testing.T) {
	for _, wait := range []time.Duration{0, 50 * time.Millisecond, 10 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(t, server.Config{})
			var j journal
			c := w.enter(&j, told(&j))
			w.mu.Lock()
			w.refuse = 1000
			w.mu.Unlock()
			c.Send(parlor.Packet{Message: "block"}, j.callback("under way"))
			synctest.Wait()
			w.cut()
			synctest.Wait()
			c.Send(parlor.Packet{Message: "waits"}, j.callback("waits"))
			time.Sleep(wait) // sleep: virtual
			start := time.Now()
			c.Close()
			wantReason(t, c.Wait(), client.ReasonByClient)
			if took := time.Since(start); took != 0 {
				t.Errorf("it took %v", took)
			}
			got := slices.DeleteFunc(j.take(), func(s string) bool { return strings.HasPrefix(s, "status Reconn") })
			want := []string{"link false", "status Connection lost: Connection closed.", "game ",
				"under way failed: disconnected: Client closed connection. (it is not known whether the request was executed)",
				"waits failed: disconnected: Client closed connection.",
				"connection false", "status Disconnected: Client closed connection."}
			if !slices.Equal(got, want) {
				t.Errorf("told %q", got)
			}
			if c.Connected() || c.Linked() || c.Pending() != 0 {
				t.Error("it is connected")
			}
			close(w.game.gate)
		})
	}
}

// TestGivesUp: after Reconnect.For, or a little more than the server keeps the session.
func TestGivesUp(t *testing.T) {
	for want, test := range map[time.Duration]struct {
		window time.Duration
		cfg    time.Duration
	}{
		5 * time.Minute:            {0, 0},
		time.Hour + 10*time.Second: {time.Hour, 0},
		time.Second:                {time.Hour, time.Second},
		2 * time.Hour:              {time.Minute, 2 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(t, server.Config{ResumeWindow: test.window})
			var j journal
			c := w.client("alice", &j, client.Config{Reconnect: client.Reconnect{For: test.cfg}}) // in no game
			w.mu.Lock()
			w.refuse = 1 << 30
			w.mu.Unlock()
			start := time.Now()
			w.cut()
			d := wantReason(t, c.Wait(), client.ReasonCallFailed)
			if took := time.Since(start); took != want || !errors.Is(d, errNoWay) {
				t.Errorf("gave up after %v with %v, want %v", took, d, want)
			}
		})
	}
}

// holding is a game that keeps seats for a time of its own.
type holding struct {
	*counting
	seats time.Duration
}

func (h holding) ResumeWindow() time.Duration { return h.seats }

// TestWindowOfTheGame: who has joined a game that keeps seats for longer than the server does tries as long as that, and one that keeps them
// shorter does not stop anybody.
func TestWindowOfTheGame(t *testing.T) {
	for _, create := range []bool{true, false} {
		for seats, want := range map[time.Duration]time.Duration{
			2 * time.Hour:   2*time.Hour + 10*time.Second,
			6 * time.Minute: time.Hour + 10*time.Second,
			time.Hour:       time.Hour + 10*time.Second,
			-1:              time.Hour + 10*time.Second,
		} {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t, server.Config{ResumeWindow: time.Hour})
				w.stop()
				w.cfg.Games = map[string]parlor.NewGame{"holding": func(r parlor.Room, _ string) (parlor.Game, error) {
					w.game.room = r
					return holding{w.game, seats}, nil
				}}
				w.start()
				var j journal
				c := w.client("alice", &j, client.Config{})
				join := c.JoinGame
				if create {
					join = c.CreateGame
				}
				if err := join(t.Context(), "long", client.GameOptions{}); err != nil {
					t.Fatal(err)
				}
				w.mu.Lock()
				w.refuse = 1 << 30
				w.mu.Unlock()
				start := time.Now()
				w.cut()
				wantReason(t, c.Wait(), client.ReasonCallFailed)
				if took := time.Since(start); took != want {
					t.Errorf("seats are kept for %v: gave up after %v, want %v", seats, took, want)
				}
			})
		}
	}
}

// TestWindowOfTheLastLogin: how long it is tried follows from what the last login has said.
func TestWindowOfTheLastLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oddServer{}
		s.welcome = func(n int, _ link.Offer) (parlor.Response, *link.Welcome, error) {
			r, w, err := welcomed()
			w.Resumed = n > 0
			if n > 0 {
				w.Window = time.Hour
			}
			if n > 1 {
				err = errors.New("no way")
			}
			return r, w, err
		}
		var j journal
		c, f := dialOdd(t, s, &j, client.Config{})
		f.fail(errors.New("cut"))
		time.Sleep(time.Minute) // sleep: virtual
		f, start := s.login(t), time.Now()
		f.fail(errors.New("cut"))
		time.Sleep(time.Minute) // sleep: virtual
		synctest.Wait()
		for i, f := range s.fars[2:] { // no link is left open
			if f.ended != "aborted" {
				t.Fatalf("link %d was left open: %q", i+2, f.ended)
			}
		}
		c.Wait()
		if took := time.Since(start); took != time.Hour+10*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
}

// TestLongBackoff: times that are longer than can be are cut.
func TestLongBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		var below []time.Duration
		c := w.client("alice", &j, client.Config{Reconnect: client.Reconnect{Min: 1 << 60, Max: 1 << 61, For: time.Hour, Jitter: func(d time.Duration) time.Duration {
			below = append(below, d)
			return 0
		}}})
		w.mu.Lock()
		w.refuse = 40
		w.mu.Unlock()
		w.cut()
		time.Sleep(time.Second) // sleep: virtual
		if !c.Linked() || len(below) != 41 || below[0] != 1<<60 {
			t.Fatalf("linked %t, waits below %v", c.Linked(), below)
		}
		for _, d := range below[1:] {
			if d != 1<<61 {
				t.Errorf("a wait below %v", d)
			}
		}
	})
}

// TestRestart: a server that stops and comes back has lost the session. The client has another one, and says so; who waits for an
// answer hears what is known.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		c := w.enter(&j, told(&j))
		for _, text := range []string{"block", "queued at the server"} {
			if err := c.Send(parlor.Packet{Message: text}, j.callback(text)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		go func() { time.Sleep(10 * time.Second); close(w.game.gate) }() // sleep: virtual
		w.stop()
		synctest.Wait()
		if err := c.Send(parlor.Packet{Message: "meanwhile"}, j.callback("meanwhile")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second) // sleep: virtual
		w.start()
		time.Sleep(30 * time.Second) // sleep: virtual
		synctest.Wait()
		got := slices.DeleteFunc(j.take(), func(s string) bool { return strings.HasPrefix(s, "status Reconn") })
		want := []string{"push " + parlor.PushDraining, "link false", "status Connection lost: Connection closed.", "game ",
			"block failed: disconnected: Session lost. (it is not known whether the request was executed)",
			"queued at the server failed: disconnected: Session lost. (it is not known whether the request was executed)",
			"meanwhile failed: disconnected: Session lost.",
			"connection false", "connection true", "status Logged in as alice @ local", "link true"}
		if !slices.Equal(got, want) {
			t.Errorf("told\n%q, want\n%q", got, want)
		}
		if s := c.Stats(); s.Links != 1 || s.Resumed != 0 {
			t.Errorf("%+v", s)
		}
		w.game.gate = make(chan struct{})
		if err := c.CreateGame(t.Context(), "counting", client.GameOptions{}); err != nil {
			t.Fatal(err)
		}
		w.cut() // and it is resumed as the one before
		if r, err := c.Request(t.Context(), "again", nil); err != nil || r.Message != "again is 1" {
			t.Errorf("%v, %v", r, err)
		}
	})
}

// TestRefusedOnTheWayBack: a login that is refused ends it, but not that of a server which is about to stop.
func TestRefusedOnTheWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{Takeover: true})
		var j journal
		c := w.client("alice", &j, client.Config{})
		w.mu.Lock()
		w.refuse = 1
		w.mu.Unlock()
		w.cut()
		time.Sleep(time.Millisecond) // sleep: virtual
		w.stop()
		w.cfg.NoRegistration = true // where nobody knows her
		w.start()
		time.Sleep(time.Minute) // sleep: virtual
		wantReason(t, c.Wait(), "Registration blocked.")
		if c.Connected() {
			t.Error("she is connected")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &oddServer{}
		s.welcome = func(n int, _ link.Offer) (parlor.Response, *link.Welcome, error) {
			if n >= 1 && n <= 3 {
				return parlor.Bad("Server is shutting down."), nil, nil
			}
			return welcomed()
		}
		var j journal
		c, f := dialOdd(t, s, &j, client.Config{})
		f.Abort()
		time.Sleep(time.Minute) // sleep: virtual
		synctest.Wait()
		if !c.Linked() || s.links() != 5 {
			t.Errorf("linked %t over %d links", c.Linked(), s.links())
		}
	})
}

// TestStoppingServerRefusesWith the text that the client knows.
func TestStoppingServerRefusesWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		srv, err := server.New(w.cfg)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := memlink.Dialer{Lobby: srv}.Dial(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		srv.Shutdown(0)
		login := parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice"})}
		r, _, err := conn.(link.StreamConn).Login(t.Context(), login, link.Offer{})
		if err != nil || r.Message != "Server is shutting down." {
			t.Errorf("%q, %v", r.Message, err)
		}
		conn.Close()
		srv.Run(t.Context())
	})
}

// TestWrongKeyOnTheWayBack: the key that the server has shown first is the one that it has to show again.
func TestWrongKeyOnTheWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		w.key = "the first key"
		var j journal
		c := w.client("alice", &j, client.Config{})
		w.cut()
		time.Sleep(time.Second) // sleep: virtual
		if !c.Linked() {
			t.Fatal("not back with the same key")
		}
		w.mu.Lock()
		w.key = "another key"
		w.mu.Unlock()
		w.cut()
		time.Sleep(time.Second) // sleep: virtual
		wantReason(t, c.Wait(), client.ReasonWrongKey)
		if err := c.Connect(t.Context()); err != nil { // any key is good for who asks for none
			t.Error(err)
		}
	})
}

// TestTokensRotate: a resumption whose answer was lost is tried again with the same token, as often as it takes.
func TestTokensRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		c := w.enter(&j, client.Config{})
		for range 3 {
			w.mu.Lock()
			w.cuts = []int{0, 0, 0} // the answers to the next logins do not come through
			w.mu.Unlock()
			w.cut()
			r, err := c.Request(t.Context(), "x", nil)
			if err != nil || !strings.HasPrefix(r.Message, "x is") {
				t.Errorf("%v, %v", r, err)
			}
		}
		if s := c.Stats(); s.Links != 3 || s.Resumed != 3 || w.srv.Stats().Resumed.Load() != 12 {
			t.Errorf("%+v, and the server has counted %d", s, w.srv.Stats().Resumed.Load())
		}
	})
}

// TestLostPushes: the client is told how many pushes were lost, once, and before those that follow.
func TestLostPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{Limits: server.Limits{Pushes: 3}})
		var j journal
		c := w.enter(&j, client.Config{})
		if _, err := c.Request(t.Context(), "news 10", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond) // sleep: virtual
		w.mu.Lock()
		w.refuse = 4
		w.cuts = []int{1, 1, 2} // links that carry not much more than the answer to the login
		w.mu.Unlock()
		w.cut()
		time.Sleep(time.Minute) // sleep: virtual
		synctest.Wait()
		j.want(t, "lost 7", "push news 7", "push news 8", "push news 9")
		if s := c.Stats(); s.PushesLost != 7 || s.Resumed < 3 {
			t.Errorf("%+v", s)
		}
	})
}

// TestReclaimedSeat: a client that comes with its password, and not its token, is told the game that it is in.
func TestReclaimedSeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		first := w.enter(&j, client.Config{Reconnect: client.Reconnect{For: -1}})
		w.cut()
		first.Wait()
		second := w.client("alice", &j, told(&j))
		synctest.Wait()
		if second.Game() != "counting" {
			t.Errorf("game %q", second.Game())
		}
		if got := j.take(); got[len(got)-1] != "game counting" {
			t.Errorf("told %q", got)
		}
	})
}

// TestKickedWhileAway: where nothing is under way, the answer to the login says which game the user is in.
func TestKickedWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		c := w.enter(&j, client.Config{})
		admin := w.client(parlor.AdminName, new(journal), client.Config{Password: "secret"})
		w.mu.Lock()
		conn := w.conns[0]
		w.refuse = 3
		w.mu.Unlock()
		conn.Abort()
		synctest.Wait()
		if _, err := admin.Request(t.Context(), parlor.RequestDestroyGame, parlor.Map{"name": "counting"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // sleep: virtual
		synctest.Wait()
		if !c.Linked() || c.Game() != "" || c.Stats().Resumed != 1 {
			t.Errorf("linked %t, game %q", c.Linked(), c.Game())
		}
	})
}

// TestPlainOnTheWayBack: a server that speaks pgnet's wire alone when it is back is taken as it is.
func TestPlainOnTheWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		c := w.enter(&j, told(&j))
		w.stop()
		w.mu.Lock()
		w.plainly = true
		w.mu.Unlock()
		w.start()
		time.Sleep(time.Minute) // sleep: virtual
		synctest.Wait()
		if c.Streams() || !c.Linked() {
			t.Errorf("streams %t, linked %t", c.Streams(), c.Linked())
		}
		if err := c.CreateGame(t.Context(), "counting", client.GameOptions{}); err != nil {
			t.Fatal(err)
		}
		j.take()
		w.stop()
		wantReason(t, c.Wait(), client.ReasonClosed)
	})
}
