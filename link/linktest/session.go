package linktest

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"parlor"
	"parlor/link"
)

// testLogin: each side gets what the other one says of itself.
func testLogin(t *testing.T, e *ends) {
	for _, c := range []struct {
		name string
		o    link.Offer
		w    link.Welcome
	}{
		{"new", link.Offer{}, welcomes},
		{"resumes", link.Offer{Token: []byte("fedcba9876543210"), Seq: 1 << 40, ID: 1 << 49}, link.Welcome{Token: []byte{0, 1, 255}, Window: 90 * time.Second, Resumed: true, ID: 1 << 50, Lost: 7}},
		{"comes too late", link.Offer{Token: make([]byte, 16), Seq: 9}, link.Welcome{Token: make([]byte, 16)}},
	} {
		var got parlor.Packet
		var offer link.Offer
		var ok bool
		e.lobby.set(func(l *lobby) {
			l.answer = func(s *session, p parlor.Packet) error {
				got = p
				offer, ok = s.link.Offer()
				r := parlor.OK(parlor.MessageAuthenticated, parlor.Map{"motd": "hello"})
				r.Game = "chess"
				return s.link.Welcome(r, c.w)
			}
		})
		conn := e.open()
		r, w, err := conn.Login(t.Context(), login, c.o)
		if err != nil || w == nil {
			t.Fatalf("%s: welcome %v, error %v", c.name, w, err)
		}
		s := e.session()
		if !ok || string(offer.Token) != string(c.o.Token) || offer.Seq != c.o.Seq || offer.ID != c.o.ID {
			t.Errorf("%s: the lobby was offered %+v, %t, want %+v", c.name, offer, ok, c.o)
		}
		for key, want := range map[string]string{"username": "alice", "password": "opensesame", "invite_code": "12"} {
			if v, _ := got.Payload.Get(key); v != want || got.Message != parlor.MessageHandshake {
				t.Errorf("%s: the lobby got the login %q %s", c.name, got.Message, got.Payload.JSON())
			}
		}
		if v, _ := r.Payload.Get("motd"); v != "hello" || r.Message != parlor.MessageAuthenticated || r.Status != 0 || r.Disconnecting || r.Game != "chess" {
			t.Errorf("%s: the client was answered %+v %s", c.name, r, r.Payload.JSON())
		}
		if string(w.Token) != string(c.w.Token) || w.Window != c.w.Window || w.Resumed != c.w.Resumed || w.ID != c.w.ID || w.Lost != c.w.Lost {
			t.Errorf("%s: the client was welcomed with %+v, want %+v", c.name, *w, c.w)
		}
		if p := s.link.Peer(); p.Remote == "" || conn.Remote() == "" {
			t.Errorf("%s: the client is %+v, the server %q", c.name, p, conn.Remote())
		}
		conn.Close()
		s.ends(t, true)
	}
}

// testLoginLater: the answer may come from another goroutine, and messages right behind it.
func testLoginLater(t *testing.T, e *ends) {
	e.lobby.set(func(l *lobby) {
		l.answer = func(s *session, _ parlor.Packet) error {
			go func() { // ends at once
				s.link.Welcome(parlor.OK("welcome"), welcomes)
				s.link.Deliver(0, push(1, "early"), push(2, "too"))
				s.link.Deliver(0, push(3, "as well"))
			}()
			return nil
		}
	})
	conn, s := e.connect()
	for i, got := range e.read(conn, 3) {
		if got.Kind != link.KindPush || got.Seq != uint64(i+1) {
			t.Errorf("the client got %s", text(&got))
		}
	}
	e.write(conn, request(1, nil))
	if got := heard(t, s, "a request"); got.ID != 1 {
		t.Errorf("the lobby got %s", text(&got))
	}
}

// testLoginRefused: the client gets the text.
func testLoginRefused(t *testing.T, e *ends) {
	e.lobby.set(func(l *lobby) {
		l.answer = func(s *session, _ parlor.Packet) error {
			err := s.link.Send(parlor.Response{Message: "Incorrect password.", Status: parlor.StatusBad, Disconnecting: true})
			s.link.Close(link.CloseNormal, "")
			return err
		}
	})
	conn := e.open()
	r, w, err := conn.Login(t.Context(), login, link.Offer{Token: make([]byte, 16)})
	if err != nil || w != nil || r.Message != "Incorrect password." || r.Status != parlor.StatusBad || !r.Disconnecting {
		t.Errorf("the client was answered %+v, welcome %v, error %v", r, w, err)
	}
	s := e.session()
	conn.Close()
	s.ends(t, true)
	if err := s.link.Deliver(0, push(1, nil)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Deliver after the end: %v", err)
	}
}

// testLoginUnanswered: a login waits as long as the client wants to, and no longer.
func testLoginUnanswered(t *testing.T, e *ends) {
	e.lobby.set(func(l *lobby) { l.answer = func(*session, parlor.Packet) error { return nil } })
	conn := e.open()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, w, err := conn.Login(ctx, login, link.Offer{}); !errors.Is(err, context.DeadlineExceeded) || w != nil {
		t.Errorf("welcome %v, error %v", w, err)
	}
	s := e.session()
	conn.Abort()
	s.ends(t, false)
}

// testLobbyFull: who is not let in learns it.
func testLobbyFull(t *testing.T, e *ends) {
	e.lobby.set(func(l *lobby) { l.refuses = link.ErrTooMany })
	conn, err := e.dial(t.Context())
	if err == nil {
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err = conn.Handshake(ctx); err == nil {
			var w *link.Welcome
			if _, w, err = conn.Login(ctx, login, link.Offer{}); w != nil {
				t.Error("the client was welcomed")
			}
		}
	}
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "too many connections") {
		t.Errorf("got %v", err)
	}
}

// testClientCloses: the session ends too.
func testClientCloses(t *testing.T, e *ends) {
	conn, s := e.connect()
	read := make(chan error, 1)
	go func() { // ends with the connection
		_, err := conn.Read(t.Context())
		read <- err
	}()
	e.write(conn, request(1, "last words"))
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if got := heard(t, s, "what was sent before"); got.ID != 1 {
		t.Errorf("the lobby got %s", text(&got))
	}
	s.ends(t, true)
	if err := receive(t, read, "Read to return"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	wantsEnded(t, conn)
	if err := conn.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	conn.Abort()
	if err := s.link.Deliver(1, push(1, nil)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Deliver after the end: %v", err)
	}
	s.link.Close(link.CloseNormal, "")
}

func wantsEnded(t *testing.T, conn link.StreamConn) {
	t.Helper()
	if _, err := conn.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after the end: %v", err)
	}
	if err := conn.Write(t.Context(), request(2, nil)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after the end: %v", err)
	}
}

// testClientAborts: the session waits for another link.
func testClientAborts(t *testing.T, e *ends) {
	conn, s := e.connect()
	read := make(chan error, 1)
	go func() { // ends with the connection
		_, err := conn.Read(t.Context())
		read <- err
	}()
	conn.Abort()
	s.ends(t, false)
	if err := receive(t, read, "Read to return"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	wantsEnded(t, conn)
	conn.Abort()
	if err := conn.Close(); err != nil {
		t.Errorf("closed after that: %v", err)
	}
	if err := s.link.Deliver(0, push(1, nil)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Deliver after the end: %v", err)
	}
}

// testServerCloses: the client gets what was sent before, and then why.
func testServerCloses(t *testing.T, e *ends) {
	for _, code := range []link.Code{link.CloseNormal, link.CloseGoingAway, link.CloseProtocol, link.ClosePolicy, link.CloseTooLarge, link.CloseInternal} {
		for _, reason := range []string{"", "limit of this and that: 7", "größer"} {
			conn, s := e.connect()
			for seq := uint64(1); seq <= 20; seq++ {
				s.deliver(t, 0, push(seq, strings.Repeat("x", 1000)))
			}
			s.link.Close(code, reason)
			s.link.Close(link.CloseInternal, "too late")
			if err := s.link.Deliver(0, push(21, nil)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%d: Deliver behind Close: %v", code, err)
			}
			e.read(conn, 20)
			_, err := conn.Read(t.Context())
			var closed *link.CloseError
			if !errors.As(err, &closed) || closed.Code != code || closed.Reason != reason || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%d %q: the client got %#v: %v", code, reason, closed, err)
			}
			s.ends(t, code == link.CloseNormal || code == link.ClosePolicy)
			wantsEnded(t, conn)
		}
	}
}

// testServerAborts: the link ends at once, whatever waits in it, and the client is told nothing.
func testServerAborts(t *testing.T, e *ends) {
	conn, s := e.connect()
	var backlog []link.Message
	for seq := uint64(1); seq <= 100; seq++ {
		backlog = append(backlog, push(seq, strings.Repeat("x", 32<<10)))
	}
	s.deliver(t, 0, backlog...)
	start := time.Now()
	s.link.Abort()
	s.link.Abort()
	s.ends(t, false)
	if took := time.Since(start); took > e.most(time.Second) {
		t.Errorf("the link has ended after %v", took)
	}
	if err := s.link.Deliver(0, push(101, nil)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Deliver after the end: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	for read := 0; err == nil; {
		var es []link.Envelope
		if es, err = conn.Read(ctx); read+len(es) > 100 {
			t.Fatalf("the client got %d envelopes", read+len(es))
		}
		read += len(es)
	}
	var closed *link.CloseError
	if errors.As(err, &closed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("the client got %#v: %v", closed, err)
	}
}

// testServerClosesWriter: a client that is just writing is not held up.
func testServerClosesWriter(t *testing.T, e *ends) {
	e.lobby.set(func(l *lobby) { l.request = func(*session, *link.Envelope) error { return nil } })
	conn, s := e.connect()
	wrote := make(chan error, 1)
	go func() { // ends with the connection
		for id := uint64(1); ; id++ {
			if err := conn.Write(t.Context(), request(id, strings.Repeat("x", 1000))); err != nil {
				wrote <- err
				return
			}
			time.Sleep(time.Millisecond) // sleep: or virtual time would stand still
		}
	}()
	time.Sleep(20 * time.Millisecond) // sleep: for some of them to be under way
	s.link.Close(link.ClosePolicy, "enough")
	_, err := conn.Read(t.Context())
	var closed *link.CloseError
	if !errors.As(err, &closed) || closed.Code != link.ClosePolicy || closed.Reason != "enough" {
		t.Errorf("Read: %v", err)
	}
	if err := receive(t, wrote, "Write to return"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	s.ends(t, true)
}

// testSessionCloses: what the session says to a request decides how the link ends.
func testSessionCloses(t *testing.T, e *ends) {
	for _, c := range []struct {
		err       error
		code      link.Code
		reason    string // "": any
		onPurpose bool
	}{
		{&link.CloseError{Code: link.ClosePolicy, Reason: "limit of waiting requests"}, link.ClosePolicy, "limit of waiting requests", true},
		{link.ErrOutOfTurn, link.CloseProtocol, "", false},
	} {
		e.lobby.set(func(l *lobby) { l.request = func(*session, *link.Envelope) error { return c.err } })
		conn, s := e.connect()
		if err := conn.Write(t.Context(), request(7, nil)); err != nil && !errors.Is(err, net.ErrClosed) { // it may end so soon
			t.Errorf("%v: Write: %v", c.err, err)
		}
		_, err := conn.Read(t.Context())
		var closed *link.CloseError
		if !errors.As(err, &closed) || closed.Code != c.code || c.reason != "" && closed.Reason != c.reason {
			t.Errorf("%v: the client got %v", c.err, err)
		}
		s.ends(t, c.onPurpose)
	}
}

// testContexts: a context that has ended is what Read and Login return.
func testContexts(t *testing.T, e *ends) {
	cause := errors.New("no more patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	conn, s := e.connect()
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	if _, err := conn.Read(ctx); !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	if err := conn.Write(ctx, request(1, nil)); err != nil && !errors.Is(err, cause) && !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	other := e.open()
	if _, w, err := other.Login(ctx, login, link.Offer{}); err == nil || w != nil {
		t.Errorf("Login: welcome %v, error %v", w, err)
	}
	conn.Abort()
	s.ends(t, false)
}
