package server_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
)

// resumption is a login with a client's token that may be answered later.
func (c *streamClient) resumption() *streamLink {
	c.t.Helper()
	l := &streamLink{offer: link.Offer{Token: c.token, Seq: c.seq}, key: c.name, takes: -1}
	var err error
	if l.session, err = c.srv.Open(l); err != nil {
		c.t.Fatal(err)
	}
	if err := l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": c.name, "password": "pw"})}); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
	return l
}

// has tells how far a resumption is: "waits", "resumed", or what else its login was answered.
func (l *streamLink) has() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.welcome != nil && l.welcome.Resumed:
		return "resumed"
	case l.answer.Message == "":
		return "waits"
	}
	return fmt.Sprint(l.answer.Message, l.welcome != nil)
}

// awayWith is a client who is away, for whom so many bytes wait.
func awayWith(t *testing.T, srv *server.Server, g *counting, size int) *streamClient {
	c := quietClient(t, srv, g)
	c.ask("later 1")
	c.cut()
	g.say(strings.Repeat("x", size))
	pass(2 * time.Second)
	return c
}

// TestResumptionsArePaid: who resumes at once again waits until what she was sent again is paid for.
func TestResumptionsArePaid(t *testing.T) {
	for name, test := range map[string]struct {
		size   int
		rate   int
		window time.Duration
		want   time.Duration // that the second resumption waits
	}{
		"half a MiB":         {512 << 10, 0, 0, 125 * time.Millisecond},
		"another rate":       {512 << 10, 1 << 20, 0, 500 * time.Millisecond},
		"not for ever":       {512 << 10, 1, 0, 3500 * time.Millisecond},
		"within the window":  {512 << 10, 1, 5 * time.Second, 2500 * time.Millisecond},
		"little":             {60 << 10, 1, 0, 0},
		"no limit":           {512 << 10, -1, 0, 0},
		"as much as default": {900 << 10, 4 << 20, 0, 220 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			runStreams(t, server.Limits{ResumeRate: test.rate, ResponseSize: 1 << 20}, func(t *testing.T, srv *server.Server, g *counting) {
				g.window = test.window
				c := awayWith(t, srv, g, test.size)
				first := c.resumption()
				if first.has() != "resumed" {
					t.Fatalf("the first resumption %s", first.has())
				}
				first.end(false)
				start := time.Now()
				second := c.resumption()
				for second.has() == "waits" {
					pass(time.Millisecond)
				}
				// The message has a few bytes beside its text, and the loop a millisecond.
				if took := time.Since(start); second.has() != "resumed" || took < test.want || took > test.want+2*time.Millisecond {
					t.Errorf("the second resumption %s after %v, want %v", second.has(), took, test.want)
				}
				second.end(false)
				pass(min(4*time.Second, 1000*test.want)) // paid; within the window
				if c.token = second.welcome.Token; c.resumption().has() != "resumed" {
					t.Error("who comes later than that waits")
				}
				if n := srv.Stats().ResumesSlowed.Load(); n > 1 || (n == 1) != (test.want > 0) {
					t.Errorf("%d were counted", n)
				}
			})
		})
	}
}

// TestResumptionsAtOnce: of many links that resume at the same time one has the session, and the others wait in turn.
func TestResumptionsAtOnce(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		c := awayWith(t, srv, g, 512<<10)
		var links []*streamLink
		for range 8 {
			links = append(links, c.resumption())
		}
		resumed := func() (n int) {
			for _, l := range links {
				if l.has() == "resumed" {
					n++
				}
			}
			return n
		}
		links[5].end(false) // while it waits, which costs nobody anything
		for want := 1; want <= 7; want++ {
			if n := resumed(); n != want {
				t.Errorf("%d have resumed, want %d", n, want)
			}
			pass(126 * time.Millisecond)
		}
		if has := links[5].has(); has == "resumed" {
			t.Errorf("the link that has ended %s", has)
		}
		alive := 0
		for _, l := range links {
			if l.mu.Lock(); l.welcome != nil && !l.aborted {
				alive++
			}
			l.mu.Unlock()
		}
		if alive != 1 {
			t.Errorf("%d links have the session", alive)
		}
		if g.seen[len(g.seen)-1] != "back alice false" {
			t.Errorf("the game was told %q", g.seen)
		}
	})
}
