package server_test

import (
	"errors"
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

// withoutForm is a payload that MessagePack does not have.
func withoutForm(t *testing.T) parlor.Payload {
	t.Helper()
	p, err := parlor.ParsePayload([]byte(`{"n": 18446744073709551616}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// floats is a payload that is within the limit of responses as JSON, and larger than an envelope as MessagePack.
func floats() []float64 { return make([]float64, 150_000) }

// TestAwayRefusesWhatNoLinkCarries: while a user is away an answer that could not be sent to her is replaced, and a push dropped, as
// if she were there. Nothing else is lost by them.
func TestAwayRefusesWhatNoLinkCarries(t *testing.T) {
	for name, c := range map[string]struct {
		says     any
		answer   string
		tooLarge int64
	}{
		"too large":    {floats(), "Limit of response size reached.", 2},
		"without form": {withoutForm(t), "The answer could not be sent.", 0},
	} {
		for _, noticed := range []bool{true, false} { // that the link has ended
			t.Run(fmt.Sprint(name, " ", noticed), func(t *testing.T) {
				runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
					client := quietClient(t, srv, g)
					client.askAll("later 2", "slow", "y")
					synctest.Wait()
					if noticed {
						client.cut()
					} else {
						client.link.mu.Lock()
						client.link.takes = 0
						client.link.mu.Unlock()
					}
					g.say(c.says)
					pass(1500 * time.Millisecond) // behind the slow one came its answer, the other's, and the news
					g.say(nil)
					client.cut()
					client.connect(-1)
					client.ask("z")
					client.wants("2 later", "3 "+c.answer, "4 "+c.answer, "5 z is 3")
					st := srv.Stats()
					if st.TooLarge.Load() != c.tooLarge || st.PushesDropped.Load() != 2 || st.PushesLost.Load() != 0 || client.lost != 0 {
						t.Errorf("%d too large, %d pushes dropped, %d lost", st.TooLarge.Load(), st.PushesDropped.Load(), st.PushesLost.Load())
					}
				})
			})
		}
	}
}

// TestResumeOnALinkThatCarriesLess: what the link that resumes does not carry is replaced or lost, and nothing else is.
func TestResumeOnALinkThatCarriesLess(t *testing.T) {
	runStreams(t, server.Limits{Pushes: 5}, func(t *testing.T, srv *server.Server, g *counting) {
		c := newStreamClient(t, srv)
		c.askAll("slow", "slow", "more", "later 3") // in this order, so that the news come when all else has
		c.cut()
		pass(5 * time.Second)
		c.refuses = func(m link.Message) error {
			switch {
			case m.Push != nil && m.Push.Message == "news 1":
				return link.ErrTooLarge
			case m.ID == 2 && m.Response.Status == parlor.StatusOK:
				return errors.New("it has no form")
			case m.ID == 3 && m.Response.Status == parlor.StatusOK:
				return link.ErrTooLarge
			}
			return nil
		}
		c.connect(-1)
		c.wants("2 The answer could not be sent.", "push before 2", "3 Limit of response size reached.", "push before 3", "4 more is 3",
			"5 later", "push news 0", "push news 2")
		if last := g.seen[len(g.seen)-1]; last != "back alice true" {
			t.Errorf("the game was told %q", last)
		}
		if n := srv.Stats().PushesLost.Load(); n != 2 || c.lost != 1 { // the other one is a number that is missing
			t.Errorf("%d were lost, of which the client was told %d", n, c.lost)
		}
		c.cut() // she has not acknowledged any of it
		c.seq = 1
		c.connect(-1)
		if c.wants("2 The answer could not be sent.", "push before 2", "3 Limit of response size reached.", "push before 3", "4 more is 3",
			"5 later", "push news 0", "push news 2"); c.lost != 1+2 {
			t.Errorf("she was told that %d were lost", c.lost-1)
		}
		c.cut()
		c.seq, c.lost = 1, 0
		c.refuses = func(link.Message) error { return nil } // it carries all, but what was replaced or lost stays so
		c.connect(-1)
		if c.wants("2 The answer could not be sent.", "push before 2", "3 Limit of response size reached.", "push before 3", "4 more is 3",
			"5 later", "push news 0", "push news 2"); c.lost != 2 {
			t.Errorf("she was told that %d were lost, want 2", c.lost)
		}
		c.lost = 3
		c.ask("z")
		c.cut()
		c.connect(-1)
		if c.lost != 1+2 {
			t.Errorf("she was told again that %d were lost", c.lost-3)
		}
	})
}

// TestResumeLosesLargePushes: of more bytes of pushes than are kept the oldest are lost.
func TestResumeLosesLargePushes(t *testing.T) {
	runStreams(t, server.Limits{PushBytes: 1000}, func(t *testing.T, srv *server.Server, g *counting) {
		c := quietClient(t, srv, g)
		c.ask("later 5")
		c.got = nil
		c.cut()
		g.say(strings.Repeat("x", 300))
		pass(2 * time.Second)
		g.say(strings.Repeat("x", 3000))
		c.connect(0)
		c.cut()
		c.connect(-1)
		c.wants("push news 3", "push news 4")
		if n := srv.Stats().PushesLost.Load(); n != 3 || c.lost != 3 {
			t.Errorf("%d were lost, of which the client was told %d", n, c.lost)
		}
		c.ask("later 1")
		c.got = nil
		c.cut()
		pass(2 * time.Second)
		c.connect(-1) // one that is too large alone is not kept either
		if c.wants(); c.lost != 4 {
			t.Errorf("%d were lost, want 4", c.lost)
		}
		g.say(nil)
		c.ask("x")
	})
}

// TestHandoverBytes: requests are handed over together only as far as there is room for answers that are as large as they are, or as
// large as one was.
func TestHandoverBytes(t *testing.T) {
	for name, large := range map[string]struct{ request, answer int }{
		"requests": {3000, 0},
		"answers":  {0, 3000},
	} {
		t.Run(name, func(t *testing.T) {
			runStreams(t, server.Limits{UnacknowledgedBytes: 10_000}, func(t *testing.T, srv *server.Server, g *counting) {
				c := quietClient(t, srv, g)
				g.say(strings.Repeat("x", 3000))
				if large.request == 0 {
					c.ask("x") // they know by now how large its answers are
				}
				n := g.n
				for range 20 {
					c.asked = append(c.asked, "slow")
					e := &link.Envelope{Kind: link.KindRequest, Ack: c.seq, ID: uint64(len(c.asked)), Message: "slow"}
					e.Payload = parlor.Encode(strings.Repeat("x", large.request))
					if err := c.link.session.Request(e); err != nil {
						t.Fatal(err)
					}
				}
				pass(time.Minute)
				if g.n-n != 4 { // of which three do not fill the bound
					t.Errorf("%d requests were executed, want 4", g.n-n)
				}
			})
		})
	}
}

// TestResumeOfHeldRequests: requests that wait for acknowledgements go on when the client says in its login that it has the answers.
func TestResumeOfHeldRequests(t *testing.T) {
	runStreams(t, server.Limits{Unacknowledged: 3}, func(t *testing.T, srv *server.Server, g *counting) {
		c := &streamClient{t: t, srv: srv, name: "alice"}
		c.connect(-1)
		c.ask(parlor.RequestCreateGame)
		synctest.Wait()
		c.read()
		g.quiet = true
		c.askAll("a", "b", "c", "d", "e", "f")
		synctest.Wait()
		c.read() // three answers, whose acknowledgement is lost
		if g.n != 3 {
			t.Fatalf("%d requests were executed", g.n)
		}
		c.cut()
		c.connect(-1)
		time.Sleep(time.Minute) // sleep: virtual
		synctest.Wait()
		c.read()
		if g.n < 5 {
			t.Errorf("%d requests were executed: %q", g.n, c.got)
		}
	})
}

// TestWindowOfAGame: who joins a game that keeps seats for a time of its own is told it on Parlor's own wires, and nobody else is told
// anything.
func TestWindowOfAGame(t *testing.T) {
	for window, told := range map[time.Duration]string{2 * time.Hour: `, "parlor": {"version": 1, "window": 7200.0}`, -1: `, "parlor": {"version": 1, "window": 0.0}`, time.Minute: ""} {
		for _, request := range []string{parlor.RequestCreateGame, parlor.RequestJoinGame} {
			runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
				g.window = window
				c := &streamClient{t: t, srv: srv, name: "alice", payloads: true}
				c.connect(-1)
				c.ask(request)
				c.wants(`1 Created new game: 'counting'. {"heartbeat_rate": 10` + told + `}`)
				c.ask(parlor.RequestLeaveGame)
				c.wants(`2 Left game: 'counting'. {}`)
				l := &streamLink{key: "bob", takes: -1}
				var err error
				if l.session, err = srv.Open(struct{ link.Link }{l}); err != nil {
					t.Fatal(err)
				}
				for _, p := range []parlor.Packet{
					{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "bob", "password": "pw"})},
					{Message: request, Payload: parlor.Encode(parlor.Map{"name": "another"})},
				} {
					if err := l.session.Receive(p); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				if got := string(l.answer.Payload.JSON()); got != `{"heartbeat_rate": 10}` {
					t.Errorf("on pgnet's wire %q has %s", l.answer.Message, got)
				}
			})
		}
	}
}

// TestCutWhileJoining: a game that takes a user whose link has ended meanwhile is told that she is away, and keeps her seat for as
// long as it keeps others.
func TestCutWhileJoining(t *testing.T) {
	for window, want := range map[time.Duration][]string{
		10 * time.Second: {"joined alice", "joined bob", "away bob", "left bob"},
		time.Hour:        {"joined alice", "joined bob", "away bob"},
		-1:               {"joined alice", "joined bob", "left bob"},
	} {
		t.Run(window.String(), func(t *testing.T) {
			runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
				g.window = window
				c := newStreamClient(t, srv)
				bob := &streamClient{t: t, srv: srv, name: "bob"}
				bob.connect(-1)
				c.askAll("slow")
				synctest.Wait()
				bob.askAll(parlor.RequestJoinGame)
				synctest.Wait()
				bob.cut()
				for _, d := range []time.Duration{time.Second, 9900 * time.Millisecond} {
					pass(d)
					if want := want[:3]; !slices.Equal(g.seen, want) {
						t.Errorf("the game was told %q, want %q", g.seen, want)
					}
					c.ask("x") // and the game goes on behind that look at it
				}
				pass(2 * time.Minute)
				if !slices.Equal(g.seen, want) {
					t.Errorf("the game was told %q, want %q", g.seen, want)
				}
			})
		})
	}
}

// lateLink is a link that takes until then to say who it is, when it is about to get a session.
type lateLink struct {
	*streamLink
	asked int
	until time.Time
}

func (l *lateLink) Peer() link.Peer {
	if l.asked++; l.asked == 3 { // with the session's lock held
		time.Sleep(time.Until(l.until)) // sleep: virtual
	}
	return l.streamLink.Peer()
}

// TestBackAtTheLastMoment: the end of the window that comes while the client is taken back does not end her session, nor her next absence.
func TestBackAtTheLastMoment(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprint("cut again ", again), func(t *testing.T) {
			runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
				c := newStreamClient(t, srv)
				c.cut()
				end := time.Now().Add(time.Minute)
				pass(59 * time.Second)
				l := &streamLink{offer: link.Offer{Token: c.token, Seq: c.seq}, key: c.name, takes: -1}
				var err error
				if l.session, err = srv.Open(&lateLink{streamLink: l, until: end}); err != nil {
					t.Fatal(err)
				}
				if err := l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": c.name, "password": "pw"})}); err != nil {
					t.Fatal(err)
				}
				if again {
					l.end(false)
				}
				if !time.Now().Equal(end) || l.welcome == nil || !l.welcome.Resumed {
					t.Fatalf("at %v of %v the welcome is %+v", time.Now(), end, l.welcome)
				}
				pass(59 * time.Second)
				c.token = l.welcome.Token
				c.connect(-1)
				if c.ask("x"); g.n != 1 {
					t.Error("the session is gone")
				}
			})
		})
	}
}

// TestLateLogin: the login of a link that the client has given up, which the server comes to only when the client is back on
// another one, does not take the session from there for good.
func TestLateLogin(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		c := newStreamClient(t, srv)
		c.cut()
		late := &streamClient{t: t, srv: srv, name: "alice", token: c.token, seq: c.seq}
		c.connect(-1) // and is silent, as it has nothing to say
		late.connect(-1)
		late.cut() // the client has gone long ago
		for range 3 {
			resumed := c.resumed
			c.connect(-1)
			if c.resumed != resumed+1 {
				t.Fatal("the session was lost")
			}
			c.ask("again")
			synctest.Wait()
			c.read()
			c.cut()
		}
	})
}
