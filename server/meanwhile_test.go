package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
)

// open opens a link that nobody has logged in on.
func (l *streamLink) open(t *testing.T, srv *server.Server) *streamLink {
	t.Helper()
	l.takes = -1
	var err error
	if l.session, err = srv.Open(l); err != nil {
		t.Fatal(err)
	}
	return l
}

// login logs in as alice.
func (l *streamLink) login(password string) {
	l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice", "password": password})})
}

// endingLink ends when it is asked what its client has said, which is behind the beginning of its login.
type endingLink struct{ *streamLink }

func (l endingLink) Offer() (link.Offer, bool) {
	l.end(false)
	return l.streamLink.Offer()
}

// wantNobody wants a session that was left alone to be gone, now or behind its window, and everything that it held.
func wantNobody(t *testing.T, srv *server.Server) {
	t.Helper()
	pass(time.Minute + 2*time.Second)
	if users, tokens := srv.Users(), srv.Tokens(); users != 0 || tokens != 0 {
		t.Errorf("%d users and %d tokens are left", users, tokens)
	}
}

// TestLinkEndsWhileItResumes: a link that ends while its login goes on takes up no session, which would be held for ever.
func TestLinkEndsWhileItResumes(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		c := newStreamClient(t, srv)
		c.cut()
		l := endingLink{&streamLink{key: "alice", offer: link.Offer{Token: c.token, Seq: c.seq}, takes: -1}}
		var err error
		if l.session, err = srv.Open(l); err != nil {
			t.Fatal(err)
		}
		l.login("pw")
		synctest.Wait()
		if l.welcome != nil {
			t.Error("a link that has ended was welcomed")
		}
		c.connect(-1) // with the same token
		c.ask("x")
		c.wants("push before 1", "2 x is 1")
		c.cut()
		wantNobody(t, srv)
	})
}

// TestLinkEndsMeanwhile: whenever a link ends while its login takes the seat of a user who is away, with her token or the password, the
// seat is not held for ever.
func TestLinkEndsMeanwhile(t *testing.T) {
	for _, resumes := range []bool{true, false} {
		for range 100 {
			runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, _ *counting) {
				c := newStreamClient(t, srv)
				c.cut()
				l := &streamLink{key: "alice"}
				if resumes {
					l.offer = link.Offer{Token: c.token, Seq: c.seq}
				}
				l.open(t, srv)
				ended := make(chan struct{})
				go func() { l.end(false); close(ended) }()
				l.login("pw")
				<-ended
				wantNobody(t, srv)
			})
		}
	}
}

// TestLinkEndsBeforeItIsStored: a new user whose link ends before she is stored holds neither her name nor a token.
func TestLinkEndsBeforeItIsStored(t *testing.T) {
	d := &disk{}
	runStreamsOf(t, server.Config{Store: d}, func(t *testing.T, srv *server.Server, _ *counting) {
		synctest.Wait()
		open := d.block()
		l := (&streamLink{key: "alice"}).open(t, srv)
		l.login("pw")
		synctest.Wait()
		l.end(false)
		open()
		synctest.Wait()
		if l.welcome != nil {
			t.Error("a link that has ended was welcomed")
		}
		if users, tokens := srv.Users(), srv.Tokens(); users != 0 || tokens != 0 {
			t.Errorf("%d users and %d tokens are left", users, tokens)
		}
		again := (&streamLink{key: "alice"}).open(t, srv)
		again.login("pw")
		synctest.Wait()
		if again.welcome == nil {
			t.Errorf("the name is not free: %q", again.answer.Message)
		}
	})
}

// TestLinkEndsWhileItIsSlowed: the seat of a user who is away stays so for a login that was delayed, with the right password, and
// whose link has ended by the time that it is looked at.
func TestLinkEndsWhileItIsSlowed(t *testing.T) {
	runStreams(t, server.Limits{FailureBurst: 1}, func(t *testing.T, srv *server.Server, g *counting) {
		c := newStreamClient(t, srv)
		c.cut()
		for range 2 { // guesses, which slow down the next one from there
			l := (&streamLink{key: "mallory", addr: addrOf(1)}).open(t, srv)
			l.login("guess")
			pass(10 * time.Millisecond)
			l.end(false)
		}
		l := (&streamLink{key: "another", addr: addrOf(1)}).open(t, srv)
		l.login("pw")
		synctest.Wait()
		if l.welcome != nil {
			t.Fatal("the login was not delayed")
		}
		l.end(false)
		pass(10 * time.Second)
		c.connect(-1)
		if c.resumed != 1 || len(g.seen) != 3 {
			t.Errorf("resumed %d times; the game was told %q", c.resumed, g.seen)
		}
		c.cut()
		wantNobody(t, srv)
	})
}

// TestLinkEndsWhileItTakesOver: a login that ends the session of a pgnet client, and is gone itself, leaves the name free.
func TestLinkEndsWhileItTakesOver(t *testing.T) {
	for range 100 {
		runStreamsOf(t, server.Config{Takeover: true}, func(t *testing.T, srv *server.Server, _ *counting) {
			old := dial(t, srv)
			old.tryLogin("alice", "pw")
			old.ask(parlor.RequestCreateGame, parlor.Map{"name": "counting"})
			l := (&streamLink{key: "alice"}).open(t, srv)
			ended := make(chan struct{})
			go func() { l.end(false); close(ended) }()
			l.login("pw")
			<-ended
			pass(time.Second)
			if l.answer.Message == parlor.MessageAuthenticated {
				old.wantGone(time.Second)
			} else {
				old.conn.Close()
			}
			wantNobody(t, srv)
		})
	}
}

// TestLinkEndsWhileItWaitsForAName: the name that a login has waited for is free when its link has ended meanwhile.
func TestLinkEndsWhileItWaitsForAName(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		g.every = 500 * time.Millisecond // which her leave has to wait for
		old := dial(t, srv)
		old.tryLogin("alice", "pw")
		old.ask(parlor.RequestCreateGame, parlor.Map{"name": "counting"})
		old.send("x", nil)
		synctest.Wait()
		old.close()
		l := (&streamLink{key: "alice"}).open(t, srv)
		l.login("pw")
		synctest.Wait()
		if l.welcome != nil || l.answer.Message != "" {
			t.Fatalf("the login did not wait: %q", l.answer.Message)
		}
		l.end(false)
		pass(2 * time.Second)
		wantNobody(t, srv)
		again := dial(t, srv)
		again.wantOK(again.tryLogin("alice", "pw"), parlor.MessageAuthenticated)
	})
}
