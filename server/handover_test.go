package server_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
)

// quietClient is a client in a game that pushes nothing, whose requests wait for each other behind slow ones.
func quietClient(t *testing.T, srv *server.Server, g *counting) *streamClient {
	g.quiet = true
	return newStreamClient(t, srv)
}

// TestHandover: many requests on their way are answered in their order, each once, under their own numbers, across requests
// of the lobby, leaving and joining.
func TestHandover(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		c := quietClient(t, srv, g)
		c.askAll("slow", "a", "b", parlor.RequestSleep, "c", "d", parlor.RequestLeaveGame, "e", parlor.RequestJoinGame, "f", "g")
		pass(time.Second)
		c.wants("2 slow is 1", "3 a is 2", "4 b is 3", "5 '__pgnet__.sleep' requires admin privileges.", "6 c is 4", "7 d is 5",
			"8 Left game: 'counting'.", "9 Please create/join a game.", "10 Created new game: 'counting'.", "11 f is 6", "12 g is 7")
		if n := srv.Stats().Requests.Load(); n != 13 {
			t.Errorf("%d answers were counted, want 13", n)
		}
	})
}

// numbered are n requests and their answers, the first of which is the id-th and the count-th of the game.
func numbered(n, id, count int) (asked, answered []string) {
	for i := range n {
		asked = append(asked, fmt.Sprint("m", i))
		answered = append(answered, fmt.Sprint(id+i, " m", i, " is ", count+i))
	}
	return asked, answered
}

// TestHandoverOfMany: more requests than are handed over at once, and than the mailbox or the bound of what is not acknowledged
// takes, are all answered.
func TestHandoverOfMany(t *testing.T) {
	for name, limits := range map[string]server.Limits{
		"default":      {},
		"mailbox":      {Mailbox: 5},
		"acknowledged": {Unacknowledged: 7},
		"queue":        {Queue: 9},
	} {
		t.Run(name, func(t *testing.T) {
			runStreams(t, limits, func(t *testing.T, srv *server.Server, g *counting) {
				c := quietClient(t, srv, g)
				asked, answered := numbered(100, 3, 2)
				c.askAll("slow")
				go c.askAll(asked...)
				for range 30 {
					pass(time.Second)
					acknowledged := c.seq
					c.read()
					if most := limits.Unacknowledged; most > 0 && c.seq > acknowledged+uint64(most) {
						t.Errorf("%d answers came at once, want %d at most", c.seq-acknowledged, most)
					}
					c.link.session.Request(&link.Envelope{Kind: link.KindNote, Ack: c.seq})
				}
				c.wants(append([]string{"2 slow is 1"}, answered...)...)
				if n := srv.Stats().Rooms.Busy.Load(); n != 0 {
					t.Errorf("%d times the mailbox was full", n)
				}
			})
		})
	}
}

// TestHandoverToAFullRoom: what the mailbox has no space for waits until its turn, and is refused if it is full then.
func TestHandoverToAFullRoom(t *testing.T) {
	runStreams(t, server.Limits{Mailbox: 4}, func(t *testing.T, srv *server.Server, g *counting) {
		c := quietClient(t, srv, g)
		bob := &streamClient{t: t, srv: srv, name: "bob"}
		bob.connect(-1)
		bob.ask(parlor.RequestJoinGame)
		others := make([]*streamClient, 4)
		for i := range others {
			others[i] = &streamClient{t: t, srv: srv, name: fmt.Sprint("carol", i)}
			others[i].connect(-1)
			others[i].ask(parlor.RequestJoinGame)
		}
		c.askAll("slow", "a", "b", "c", "d", "e")
		synctest.Wait()
		for _, o := range others[:3] { // they fill the mailbox, but for one
			o.ask("slow")
		}
		pass(10 * time.Second)
		c.wants("2 slow is 1", "3 a is 5", "4 b is 6", "5 c is 7", "6 d is 8", "7 e is 9")
		bob.got = nil
		for _, o := range others {
			o.ask("slow")
		}
		c.askAll("slow")
		bob.askAll("x", "y") // behind a full mailbox
		pass(10 * time.Second)
		bob.wants("2 Limit of requests waiting for the game reached.", "3 Limit of requests waiting for the game reached.")
	})
}

// TestHandoverEnds: the client's link, its place in the game or the game end in the middle of what was handed over.
func TestHandoverEnds(t *testing.T) {
	nowhere := "Please create/join a game."
	t.Run("cut", func(t *testing.T) {
		for _, after := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond, 3500 * time.Millisecond} {
			runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
				c := quietClient(t, srv, g)
				c.askAll("slow", "a", "slow", "b", parlor.RequestLeaveGame, parlor.RequestCreateGame, "slow", "c")
				time.Sleep(after) // sleep: virtual
				c.cut()
				pass(700 * time.Millisecond)
				c.connect(-1)
				pass(4 * time.Second)
				c.wants("2 slow is 1", "3 a is 2", "4 slow is 3", "5 b is 4", "6 Left game: 'counting'.",
					"7 Created new game: 'counting'.", "8 slow is 5", "9 c is 6")
				if g.n != 6 {
					t.Errorf("%d were executed", g.n)
				}
			})
		}
	})
	t.Run("out", func(t *testing.T) {
		runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
			c := quietClient(t, srv, g)
			c.askAll("slow", "a", "out", "b", "c", parlor.RequestCreateGame, "d")
			pass(time.Second)
			c.wants("2 slow is 1", "3 a is 2", "push __parlor__.left_game", "4 out", "5 "+nowhere, "6 "+nowhere, "7 Created new game: 'counting'.", "8 d is 3")
		})
	})
	t.Run("destroyed", func(t *testing.T) {
		runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
			c := quietClient(t, srv, g)
			admin := &streamClient{t: t, srv: srv, name: "admin", password: "secret"}
			admin.connect(-1)
			c.askAll("slow", "a", "slow", "b", "c")
			pass(time.Second)
			admin.ask(parlor.RequestDestroyGame)
			pass(5 * time.Second)
			c.read()
			left := "push " + parlor.PushLeftGame // comes when the lobby has seen the end, before or behind an answer
			if !slices.Contains(c.got, left) {
				t.Errorf("she is not told of the end: %q", c.got)
			}
			c.got = slices.DeleteFunc(c.got, func(line string) bool { return line == left })
			c.wants("2 slow is 1", "3 a is 2", "4 slow is 3", "5 b is 4", "6 c is 5") // it was handed over before the end
			c.askAll("slow", "d")
			c.wants("7 "+nowhere, "8 "+nowhere)
		})
	})
	t.Run("deleted", func(t *testing.T) {
		runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
			c := quietClient(t, srv, g)
			c.askAll("slow", "a", "slow", "b", "c", parlor.RequestHelp)
			pass(1500 * time.Millisecond)
			if err := srv.DeleteUser("alice"); err != nil {
				t.Fatal(err)
			}
			pass(5 * time.Second)
			c.wants("2 slow is 1", "3 a is 2", "4 User deleted.") // and nothing behind it
			if !slices.Equal(c.link.closed, []link.Code{link.CloseNormal, link.CloseNormal}) && !slices.Equal(c.link.closed, []link.Code{link.CloseNormal}) {
				t.Errorf("closed with %v", c.link.closed)
			}
			if users := srv.Users(); users != 0 {
				t.Errorf("%d users are left", users)
			}
		})
	})
	t.Run("purpose", func(t *testing.T) {
		runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
			c := quietClient(t, srv, g)
			c.askAll("slow", "a", "slow", "b", "c")
			pass(time.Second)
			c.link.end(true)
			pass(5 * time.Second)
			if users := srv.Users(); users != 0 || g.seen[len(g.seen)-1] != "left alice" {
				t.Errorf("%d users are left; the game was told %q", users, g.seen)
			}
		})
	})
}

// TestHandoverLimits: requests that are handed over together are counted by each limit as if they were not.
func TestHandoverLimits(t *testing.T) {
	t.Run("rate", func(t *testing.T) {
		runStreams(t, server.Limits{RequestsPerSecond: 10}, func(t *testing.T, srv *server.Server, g *counting) {
			c := quietClient(t, srv, g)
			asked, _ := numbered(30, 0, 0)
			c.askAll(append([]string{"slow"}, asked...)...)
			pass(5 * time.Second)
			if g.n != 11 { // the slow one, and ten a second later
				t.Errorf("%d requests were executed, want 11", g.n)
			}
			if n := srv.Stats().RequestsRefused.Load(); n != 20 {
				t.Errorf("%d were refused, want 20", n)
			}
			c.read()
			for i, text := range c.got {
				if !strings.HasPrefix(text, fmt.Sprint(i+2, " ")) {
					t.Fatalf("answer %d is %q", i, text)
				}
			}
		})
	})
	for name, limits := range map[string]server.Limits{"bytes": {QueueBytes: 1000}, "queue": {Queue: 4}} {
		t.Run(name, func(t *testing.T) {
			runStreams(t, limits, func(t *testing.T, srv *server.Server, g *counting) {
				g.every = time.Second
				c := quietClient(t, srv, g)
				text := strings.Repeat("x", 300)
				var sent atomic.Int64
				go func() {
					for range 20 {
						c.askAll(text)
						sent.Add(1)
					}
				}()
				synctest.Wait()
				for second := range 10 { // one is under way, and four wait, the last of them over the bound of bytes
					if n := sent.Load(); n != int64(5+second) {
						t.Errorf("%d were taken after %d were answered, want 5 more", n, second)
					}
					pass(time.Second)
				}
				pass(time.Minute)
				if sent.Load() != 20 || g.n != 20 {
					t.Errorf("%d were taken, %d executed", sent.Load(), g.n)
				}
				c.read()
				c.got = nil
			})
		})
	}
}

// TestHandoverIsPaidOnce: requests that the room had no space for do not count twice for the limit of requests per second.
func TestHandoverIsPaidOnce(t *testing.T) {
	limits := server.Limits{RequestsPerSecond: 5, Mailbox: 4}
	runStreams(t, limits, func(t *testing.T, srv *server.Server, g *counting) {
		c := quietClient(t, srv, g)
		var others []*streamClient
		for n := range 3 {
			other := &streamClient{t: t, srv: srv, name: fmt.Sprint("other", n)}
			other.connect(-1)
			other.ask(parlor.RequestJoinGame)
			other.got = nil
			others = append(others, other)
		}
		pass(2 * time.Second) // all that was asked so far is forgotten
		others[0].askAll("slow")
		synctest.Wait()
		c.askAll("a", "b", "c", "d", "e", "f") // the first of which waits in the mailbox
		others[1].askAll("x")
		others[2].askAll("y")
		pass(time.Second)
		others[0].wants("2 slow is 1")
		c.wants("2 a is 2", "3 b is 5", "4 c is 6", "5 d is 7", "6 e is 8", "7 f is 9")
		if n := srv.Stats().RequestsRefused.Load(); n != 0 {
			t.Errorf("%d were refused", n)
		}
	})
}
