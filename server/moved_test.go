package server_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
)

// TestMovedOnBeforeACrash: a client that has heard nothing of it yet has played in a game, left it, and plays in another one, or in the same one again.
func TestMovedOnBeforeACrash(t *testing.T) {
	for _, other := range []string{"second", "first"} {
		t.Run(other, func(t *testing.T) {
			inAges(t, server.Config{}, func(t *testing.T, a *ages) {
				for _, name := range []string{"first", "second"} {
					host := a.stream("host" + name)
					host.ask("create " + name)
				}
				c := a.stream("alice")
				c.ask("join first")
				c.link.mu.Lock()
				c.link.dead = true
				c.link.mu.Unlock()
				c.askAll("one", parlor.RequestLeaveGame, "join "+other, "two")
				synctest.Wait()
				a.dies()
				a.begin(-1, false, nil)
				c.srv = a.srv
				c.connect(-1)
				if c.resumed != 1 {
					t.Fatal("she was not resumed")
				}
				c.ask("all")
				synctest.Wait()
				c.read()
				want, n := "two", 1
				if other == "first" {
					want, n = "one,two", 2
				}
				answers := slices.DeleteFunc(c.got, func(s string) bool { return strings.HasPrefix(s, "push ") })
				for i, want := range []string{
					"1 Joined game: 'first'.", "2 one is 1 with", "3 Left game: 'first'.", "4 Joined game: '" + other + "'.",
					fmt.Sprintf("5 two is %d with", n), "6 " + want,
				} {
					if !strings.HasPrefix(answers[i], want) {
						t.Errorf("answer %d is %q, want %q", i+1, answers[i], want)
					}
				}
			})
		})
	}
}

// TestSavedWhileAskedAgain: what a client asks again behind a crash, and has not been answered yet, as something of the lobby's is before it, is in a save that
// is made meanwhile, and not done once more behind the next crash.
func TestSavedWhileAskedAgain(t *testing.T) {
	inAges(t, server.Config{SaveEvery: 2}, func(t *testing.T, a *ages) {
		host := a.stream("host")
		host.ask(parlor.RequestCreateGame)
		c := a.root()
		c.ask(parlor.RequestJoinGame)
		c.link.mu.Lock()
		c.link.dead = true
		c.link.mu.Unlock()
		c.askAll("one", parlor.RequestSleep, "two")
		pass(10 * time.Second)
		for life := range 2 {
			a.dies()
			a.begin(-1, false, nil)
			host.srv, c.srv = a.srv, a.srv
			host.connect(-1)
			if c.connect(-1); c.resumed != life+1 {
				t.Fatal("she was not resumed")
			}
			for range 3 {
				host.ask("more")
			}
			synctest.Wait()
		}
		pass(10 * time.Second)
		host.ask("all")
		if got, want := host.got[len(host.got)-1], "one,two,more,more,more,more,more,more"; !strings.HasSuffix(got, " "+want) {
			t.Errorf("the game has %q, want %q", got, want)
		}
	})
}

// dies kills a server whose commits were made.
func (a *ages) dies() {
	a.mortal.mu.Lock()
	a.mortal.dead = true
	a.mortal.mu.Unlock()
	a.end()
}

// nanny answers with what JSON has no form for, and Python's has.
type nanny struct{ *tally }

func (g nanny) HandleGamePacket(p parlor.Packet) parlor.Response {
	resp := g.tally.HandleGamePacket(p)
	resp.Payload = parlor.Encode(parlor.Map{"x": math.NaN(), "y": math.Inf(-1)})
	return resp
}

// TestSaveOfStrangeAnswers: a game is saved while a client may not have got an answer that JSON has no form for.
func TestSaveOfStrangeAnswers(t *testing.T) {
	games := map[string]parlor.NewGame{"counting": func(r parlor.Room, save string) (parlor.Game, error) {
		g, err := newTally(r, save)
		return nanny{g.(*tally)}, err
	}}
	inAges(t, server.Config{SaveEvery: 2, Games: games}, func(t *testing.T, a *ages) {
		c := a.stream("alice")
		c.payloads = true
		c.ask(parlor.RequestCreateGame)
		c.link.mu.Lock()
		c.link.dead = true
		c.link.mu.Unlock()
		c.askAll("one", "two")
		synctest.Wait()
		a.dies()
		a.begin(-1, false, nil)
		c.srv = a.srv
		c.connect(-1)
		c.ask("all")
		if c.resumed != 1 || len(c.got) != 4 || !strings.HasSuffix(c.got[2], ` {"x": NaN, "y": -Infinity}`) {
			t.Errorf("she hears %q", c.got)
		}
	})
}

// boaster is a durable game with large answers to "big".
type boaster struct{ *tally }

func (g boaster) HandleGamePacket(p parlor.Packet) parlor.Response {
	resp := g.tally.HandleGamePacket(p)
	if p.Message == "big" {
		resp.Payload = parlor.Encode(parlor.Map{"x": strings.Repeat("x", 30_000)})
	}
	return resp
}

// TestManyJoinsUnacknowledged: who acknowledges nothing, and joins again and again, does not fill the journal with what she was answered before.
func TestManyJoinsUnacknowledged(t *testing.T) {
	const times, most = 40, 100_000
	games := map[string]parlor.NewGame{"counting": func(r parlor.Room, save string) (parlor.Game, error) {
		g, err := newTally(r, save)
		return boaster{g.(*tally)}, err
	}}
	inAges(t, server.Config{Games: games}, func(t *testing.T, a *ages) {
		for _, name := range []string{"first", "second"} {
			host := a.stream("host" + name)
			host.ask("create " + name)
		}
		c := a.stream("alice")
		c.ask("join first")
		c.askAll("big", "big", "big", parlor.RequestLeaveGame)
		for range times {
			c.askAll("join second", "two", parlor.RequestLeaveGame)
		}
		c.askAll("join second")
		synctest.Wait()
		if n := a.srv.Stats().Held.Load(); n != 1 {
			t.Errorf("requests were held %d times", n)
		}
		c.read()
		c.ask("all") // which acknowledges
		synctest.Wait()
		c.read()
		if got, want := c.got[len(c.got)-1], strings.TrimSuffix(strings.Repeat("two,", times), ","); !strings.HasSuffix(got, " "+want) {
			t.Errorf("at last she hears %q", got)
		}
		list, err := a.memory.Games(t.Context())
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		size := 0
		for p, err := range a.memory.Journal(t.Context(), list[1].Number, 0) {
			if err != nil {
				t.Fatal(err)
			}
			size += len(p.Data)
		}
		if size > most {
			t.Errorf("the journal of the second game has %d bytes, want %d at most", size, most)
		}
	})
}

// TestLeftBeforeACrash: who has played and left, and has heard of neither, has the session no more, wherever the server has died behind it: it could only
// say that she is in no game, as if she had not played.
func TestLeftBeforeACrash(t *testing.T) {
	left := 0
	for at := range 4 {
		for _, lands := range []bool{false, true} {
			t.Run(fmt.Sprint(at, " lands ", lands), func(t *testing.T) {
				inAges(t, server.Config{}, func(t *testing.T, a *ages) {
					host := a.stream("host")
					host.ask(parlor.RequestCreateGame)
					c := a.stream("alice")
					c.ask(parlor.RequestJoinGame)
					c.link.mu.Lock()
					c.link.dead = true
					c.link.mu.Unlock()
					a.mortal.mu.Lock()
					a.mortal.at, a.mortal.lands, a.mortal.dies = at, lands, func() {}
					a.mortal.mu.Unlock()
					c.askAll("one", parlor.RequestLeaveGame)
					synctest.Wait()
					a.dies()
					a.begin(-1, false, nil)
					host.srv, c.srv, c.loses = a.srv, a.srv, true
					host.connect(-1)
					host.ask("seen")
					host.ask("all")
					gone := strings.Contains(strings.Join(host.got, ","), "left alice")
					if gone {
						left++
					}
					if c.connect(-1); gone == (c.resumed == 1) || c.link.welcome == nil {
						t.Errorf("she was resumed %d times; she has left: %t", c.resumed, gone)
					}
					if c.resumed == 1 && !strings.Contains(strings.Join(c.got, ","), ",2 one is 1 ") {
						t.Errorf("she hears %q", c.got)
					}
				})
			})
		}
	}
	if left == 0 {
		t.Error("she has never left")
	}
}
