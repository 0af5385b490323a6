package memlink_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parlor"
	"parlor/link"
	"parlor/link/memlink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lobby answers each packet with its message.
type lobby struct {
	refuse error                       // Open fails with it
	onOpen func(l link.Link)           // called by Open
	onRecv func(p parlor.Packet) error // called by Receive, in place of the answer
	links  chan link.Link              // the links that were opened

	mu     sync.Mutex // guards closed
	closed int        // calls of Closed
}

func newLobby() *lobby { return &lobby{links: make(chan link.Link, 10)} }

func (l *lobby) Open(end link.Link) (link.Session, error) {
	if l.refuse != nil {
		return nil, l.refuse
	}
	if l.onOpen != nil {
		l.onOpen(end)
	}
	l.links <- end
	return &session{l, end}, nil
}

func (l *lobby) wantClosed(t *testing.T, n int) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != n {
		t.Errorf("Closed was called %d times, want %d", l.closed, n)
	}
}

type session struct {
	lobby *lobby
	end   link.Link
}

func (s *session) Receive(p parlor.Packet) error {
	if s.lobby.onRecv != nil {
		return s.lobby.onRecv(p)
	}
	s.end.Send(parlor.OK(p.Message, p.Payload))
	return nil
}

func (s *session) Malformed(error) error { return nil }

func (s *session) Request(*link.Envelope) error { return link.ErrOutOfTurn }

func (s *session) Closed(bool) {
	s.lobby.mu.Lock()
	defer s.lobby.mu.Unlock()
	s.lobby.closed++
}

func dial(t *testing.T, l *lobby) link.Conn {
	t.Helper()
	c, err := memlink.Dialer{Lobby: l, ServerKey: "KEY"}.Dial(t.Context(), "anywhere")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLobby()
		c := dial(t, l)
		if key, err := c.Handshake(t.Context()); key != "KEY" || err != nil {
			t.Errorf("Handshake: %q, %v", key, err)
		}
		if c.Remote() != "local" {
			t.Errorf("Remote: %q", c.Remote())
		}
		payload := parlor.Encode(parlor.Map{"n": 1, "f": 1.0})
		for range 3 {
			if err := c.Send(t.Context(), parlor.Packet{Message: "hi", Payload: payload}); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			r, err := c.Receive(t.Context())
			if err != nil || r.Message != "hi" || string(r.Payload.JSON()) != string(payload.JSON()) || r.CreatedOn == "" {
				t.Errorf("Receive: %s, %v", r.DebugText(), err)
			}
		}
		if p := (<-l.links).Peer(); p.Remote != "local" || p.Addr.IsValid() || p.Key != "" {
			t.Errorf("peer %+v", p)
		}
		l.wantClosed(t, 0)
		c.Close()
		c.Close()
		l.wantClosed(t, 1)
	})
}

func TestRefused(t *testing.T) {
	l := newLobby()
	l.refuse = link.ErrTooMany
	if _, err := (memlink.Dialer{Lobby: l}).Dial(t.Context(), ""); !errors.Is(err, link.ErrTooMany) {
		t.Errorf("Dial: %v, want ErrTooMany", err)
	}
}

func TestUnsendable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLobby()
		c := dial(t, l)
		bad := parlor.Encode(func() {})
		if err := c.Send(t.Context(), parlor.Packet{Payload: bad}); err == nil {
			t.Error("sent a packet that cannot be written")
		}
		if err := (<-l.links).Send(parlor.OK("x", bad)); err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("Send of a response that cannot be written: %v", err)
		}
		if err := c.Send(t.Context(), parlor.Packet{Message: "alive"}); err != nil {
			t.Error(err)
		}
		if r, err := c.Receive(t.Context()); err != nil || r.Message != "alive" {
			t.Errorf("Receive: %q, %v", r.Message, err)
		}
		c.Close()
	})
}

func TestEnd(t *testing.T) {
	for name, end := range map[string]func(c link.Conn, l link.Link){
		"client closes": func(c link.Conn, _ link.Link) { c.Close() },
		"server closes": func(_ link.Conn, l link.Link) { l.Close(link.CloseGoingAway, ""); l.Close(link.CloseNormal, "") },
		"both close":    func(c link.Conn, l link.Link) { go c.Close(); l.Close(link.CloseNormal, "") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLobby()
				c := dial(t, l)
				s := <-l.links
				s.Send(parlor.OK("last"))
				errs := make(chan error, 1)
				end(c, s)
				if r, err := c.Receive(t.Context()); err != nil || r.Message != "last" {
					t.Errorf("Receive: %q, %v, want what was sent before the end", r.Message, err)
				}
				go func() { _, err := c.Receive(context.Background()); errs <- err }()
				if err := <-errs; !errors.Is(err, net.ErrClosed) {
					t.Errorf("Receive: %v, want net.ErrClosed", err)
				}
				if err := c.Send(t.Context(), parlor.Packet{}); !errors.Is(err, net.ErrClosed) {
					t.Errorf("client's Send: %v, want net.ErrClosed", err)
				}
				if err := s.Send(parlor.OK("x")); !errors.Is(err, net.ErrClosed) {
					t.Errorf("server's Send: %v, want net.ErrClosed", err)
				}
				l.wantClosed(t, 1)
			})
		})
	}
	t.Run("while receiving", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := dial(t, newLobby())
			errs := make(chan error)
			go func() { _, err := c.Receive(context.Background()); errs <- err }()
			synctest.Wait()
			c.Close()
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Receive: %v, want net.ErrClosed", err)
			}
		})
	})
	t.Run("as it opens", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLobby()
			l.onOpen = func(end link.Link) { end.Send(parlor.OK("bye")); end.Close(link.CloseGoingAway, "") }
			c := dial(t, l)
			if r, err := c.Receive(t.Context()); err != nil || r.Message != "bye" {
				t.Errorf("Receive: %q, %v", r.Message, err)
			}
			if _, err := c.Receive(t.Context()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Receive: %v, want net.ErrClosed", err)
			}
			l.wantClosed(t, 1)
		})
	})
	t.Run("as the session says", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLobby()
			l.onRecv = func(parlor.Packet) error { return &link.CloseError{Code: link.ClosePolicy, Reason: "limit"} }
			c := dial(t, l)
			var closes *link.CloseError
			if err := c.Send(t.Context(), parlor.Packet{}); !errors.As(err, &closes) || closes.Reason != "limit" {
				t.Errorf("Send: %v, want the session's error", err)
			}
			l.wantClosed(t, 1)
		})
	})
}

func TestReceiveTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, newLobby())
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Receive: %v, want DeadlineExceeded", err)
		}
		c.Send(t.Context(), parlor.Packet{Message: "alive"})
		if r, err := c.Receive(t.Context()); err != nil || r.Message != "alive" {
			t.Errorf("Receive: %q, %v", r.Message, err)
		}
	})
}

// TestUnread ends the link of a client that does not receive.
func TestUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLobby()
		c := dial(t, l)
		s := <-l.links
		sent := 0
		for s.Send(parlor.OK(strings.Repeat("x", 100))) == nil {
			if sent++; sent > 100_000 {
				t.Fatal("no end of what may wait")
			}
		}
		l.wantClosed(t, 1)
		for range sent {
			if _, err := c.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Receive(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Receive: %v, want net.ErrClosed", err)
		}
	})
}
