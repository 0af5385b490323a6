package memlink_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/link/memlink"
)

// streamLobby welcomes every client that makes an offer.
type streamLobby struct {
	onRequest func(e *link.Envelope) error

	has uint64 // the number of the last request that it has, says the welcome

	end link.Stream // of the last link

	mu       sync.Mutex // guards the fields below
	offer    link.Offer
	requests []link.Envelope
	closed   []bool // what Closed was told
}

func (l *streamLobby) Open(end link.Link) (link.Session, error) {
	l.end = end.(link.Stream)
	return l, nil
}

func (l *streamLobby) Receive(parlor.Packet) error {
	o, ok := l.end.Offer()
	if !ok {
		return l.end.Send(parlor.OK("plain"))
	}
	l.mu.Lock()
	l.offer = o
	l.mu.Unlock()
	return l.end.Welcome(parlor.OK("welcome"), link.Welcome{Token: []byte("token"), Window: time.Minute, Resumed: l.has > 0, ID: l.has})
}

func (l *streamLobby) Malformed(error) error { return nil }

func (l *streamLobby) Request(e *link.Envelope) error {
	l.mu.Lock()
	l.requests = append(l.requests, *e)
	l.mu.Unlock()
	if l.onRequest != nil {
		return l.onRequest(e)
	}
	return nil
}

func (l *streamLobby) Closed(onPurpose bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = append(l.closed, onPurpose)
}

func (l *streamLobby) wantClosed(t *testing.T, want ...bool) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.closed, want) {
		t.Errorf("Closed was told %t, want %t", l.closed, want)
	}
}

// login dials a lobby and logs in.
func login(t *testing.T, l *streamLobby) link.StreamConn {
	t.Helper()
	c, err := memlink.Dialer{Lobby: l}.Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	conn := c.(link.StreamConn)
	r, w, err := conn.Login(t.Context(), parlor.Packet{Message: parlor.MessageHandshake}, link.Offer{Token: []byte("old"), Seq: 7})
	if err != nil || r.Message != "welcome" || w == nil || string(w.Token) != "token" || w.Window != time.Minute {
		t.Fatalf("Login: %q, %v, %v", r.Message, w, err)
	}
	return conn
}

func request(id uint64) *link.Envelope {
	return &link.Envelope{Kind: link.KindRequest, ID: id, Message: "do"}
}

func news(seq uint64) link.Message {
	return link.Message{Seq: seq, Push: &parlor.Push{Message: fmt.Sprint("news ", seq), Game: "room", Payload: parlor.Encode(seq)}}
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &streamLobby{}
		c := login(t, l)
		if string(l.offer.Token) != "old" || l.offer.Seq != 7 {
			t.Errorf("offer %v", l.offer)
		}
		large, err := parlor.ParsePayload([]byte("[123456789012345678901234567890]")) // which MessagePack does not have
		if err != nil {
			t.Fatal(err)
		}
		e := request(1)
		e.Ack, e.Payload = 7, large
		if err := c.Write(t.Context(), e, &link.Envelope{Kind: link.KindNote, Ack: 8}); err != nil {
			t.Fatal(err)
		}
		if got := l.requests; len(got) != 2 || got[0].ID != 1 || got[0].Ack != 7 || string(got[0].Payload.JSON()) != string(large.JSON()) || got[1].Kind != link.KindNote {
			t.Errorf("the lobby got %v", got)
		}
		r := parlor.Response{Message: "done", Status: parlor.StatusBad, Game: "room", Disconnecting: true, Payload: large}
		if err := l.end.Deliver(1, news(8), link.Message{Seq: 9, ID: 1, Response: &r}); err != nil {
			t.Fatal(err)
		}
		got, err := c.Read(t.Context())
		want := []string{`push 1 8 0 "news 8" 8 0 "room" false`, `answer 1 9 1 "done" [123456789012345678901234567890] 1 "room" true`}
		var texts []string
		for _, e := range got {
			texts = append(texts, fmt.Sprintf("%v %d %d %d %q %s %d %q %t", e.Kind, e.Ack, e.Seq, e.ID, e.Message, e.Payload.JSON(), e.Status, e.Game, e.Disconnecting))
		}
		if err != nil || !slices.Equal(texts, want) {
			t.Errorf("read %q, %v", texts, err)
		}
		if err := l.end.Deliver(1); err != nil {
			t.Errorf("Deliver of nothing: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if got, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Read: %v, %v", got, err)
		}
		l.wantClosed(t)
		c.Close()
		c.Abort()
		l.wantClosed(t, true)
	})
}

// TestPlainLogin: a client that makes no offer gets a plain link, whose session ends with it.
func TestPlainLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &streamLobby{}
		c, err := memlink.Dialer{Lobby: l}.Dial(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(t.Context(), parlor.Packet{}); err != nil {
			t.Fatal(err)
		}
		if r, err := c.Receive(t.Context()); err != nil || r.Message != "plain" {
			t.Errorf("%q, %v", r.Message, err)
		}
		c.Close()
		l.wantClosed(t, true)
	})
}

// TestStreamEnds: who ends a link, whether its session ends too, and what the client hears of it.
func TestStreamEnds(t *testing.T) {
	fails := func(err error) func(link.StreamConn, *streamLobby) {
		return func(c link.StreamConn, l *streamLobby) {
			l.onRequest = func(*link.Envelope) error { return err }
			if got := c.Write(context.Background(), request(1), request(2)); !errors.Is(got, err) {
				panic(got)
			}
		}
	}
	for name, test := range map[string]struct {
		end       func(c link.StreamConn, l *streamLobby)
		onPurpose bool
		unread    bool      // what was delivered before can be read
		code      link.Code // that the client hears; 0: none
	}{
		"client closes":   {func(c link.StreamConn, _ *streamLobby) { c.Close() }, true, true, 0},
		"client aborts":   {func(c link.StreamConn, _ *streamLobby) { c.Abort() }, false, false, 0},
		"server closes":   {func(_ link.StreamConn, l *streamLobby) { l.end.Close(link.CloseNormal, "") }, true, true, link.CloseNormal},
		"server aborts":   {func(_ link.StreamConn, l *streamLobby) { l.end.Abort() }, false, false, 0},
		"over a limit":    {func(_ link.StreamConn, l *streamLobby) { l.end.Close(link.ClosePolicy, "limit") }, true, true, link.ClosePolicy},
		"server stops":    {func(_ link.StreamConn, l *streamLobby) { l.end.Close(link.CloseGoingAway, "") }, false, true, link.CloseGoingAway},
		"session's limit": {fails(&link.CloseError{Code: link.ClosePolicy, Reason: "limit"}), true, true, link.ClosePolicy},
		"out of turn":     {fails(link.ErrOutOfTurn), false, true, link.CloseProtocol},
		"another link":    {fails(net.ErrClosed), false, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &streamLobby{}
				c := login(t, l)
				l.end.Deliver(0, news(1))
				test.end(c, l)
				if len(l.requests) > 1 {
					t.Error("a request behind the end")
				}
				if test.unread {
					if got, err := c.Read(t.Context()); len(got) != 1 || err != nil {
						t.Errorf("read %v, %v", got, err)
					}
				}
				_, err := c.Read(t.Context())
				var closed *link.CloseError
				if !errors.Is(err, net.ErrClosed) || errors.As(err, &closed) != (test.code != 0) || closed != nil && closed.Code != test.code {
					t.Errorf("Read: %v, want the code %d", err, test.code)
				}
				if err := c.Write(t.Context(), request(3)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Write: %v", err)
				}
				if err := l.end.Deliver(0, news(2)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Deliver: %v", err)
				}
				l.wantClosed(t, test.onPurpose)
				time.Sleep(time.Hour) // sleep: virtual; no note comes any more
			})
		})
	}
}

// TestUnreadStream: a client that does not read loses the link when 1024 wait, and not the session; what it missed, which is delivered
// together, does not count.
func TestUnreadStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &streamLobby{}
		c := login(t, l)
		var many []link.Message
		for seq := range uint64(3000) {
			many = append(many, news(seq+1))
		}
		if err := l.end.Deliver(0, many...); err != nil {
			t.Fatal(err)
		}
		read := 0
		for read < 2560 {
			got, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			read += len(got)
		}
		for seq := range uint64(1024) {
			if err := l.end.Deliver(0, news(3001+seq)); err != nil {
				t.Fatalf("Deliver of %d more: %v", seq+1, err)
			}
		}
		l.wantClosed(t)
		if err := l.end.Deliver(0, news(4025)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Deliver: %v", err)
		}
		l.wantClosed(t, false)
		for {
			got, err := c.Read(t.Context())
			if read += len(got); err != nil {
				break
			}
			if len(got) > link.MaxPerFrame {
				t.Errorf("%d at once", len(got))
			}
		}
		if read != 3000+1024 {
			t.Errorf("read %d", read)
		}
	})
}

// TestNotes: requests that no message acknowledges are acknowledged by the link.
func TestNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &streamLobby{}
		c := login(t, l)
		defer c.Close()
		start := time.Now()
		note := func(ack uint64, after time.Duration) {
			t.Helper()
			got, err := c.Read(t.Context())
			if took := time.Since(start); err != nil || len(got) != 1 || got[0].Kind != link.KindNote || got[0].Ack != ack || took != after {
				t.Errorf("read %v, %v after %v, want a note of %d after %v", got, err, took, ack, after)
			}
			start = time.Now()
		}
		c.Write(t.Context(), request(1))
		time.Sleep(600 * time.Millisecond) // sleep: virtual
		c.Write(t.Context(), request(2), request(3))
		note(3, time.Second)
		for id := uint64(4); id < 4+64; id++ {
			c.Write(t.Context(), request(id))
		}
		note(67, 0)
		c.Write(t.Context(), request(68))
		l.end.Deliver(68, news(1))
		c.Read(t.Context())
		l.onRequest = func(e *link.Envelope) error { return l.end.Deliver(e.ID, news(2)) } // answered while it is received
		c.Write(t.Context(), request(69))
		c.Read(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if got, err := c.Read(ctx); err == nil {
			t.Errorf("read %v, though all was acknowledged", got)
		}
		l.onRequest = nil
		start = time.Now()
		c.Write(t.Context(), request(70))
		note(70, time.Second)
	})
}

// TestWriteContext: who does not want to wait for the session any longer loses the link, as nobody knows what it will take; a context
// that has ended before costs nothing.
func TestWriteContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &streamLobby{}
		c := login(t, l)
		past, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Write(past, request(1)); !errors.Is(err, context.Canceled) || len(l.requests) > 0 {
			t.Errorf("Write: %v", err)
		}
		if err := c.Write(t.Context(), request(1)); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		l.onRequest = func(*link.Envelope) error { <-release; return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		second, start := request(2), time.Now()
		if err := c.Write(ctx, second, request(3)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Write: %v after %v", err, time.Since(start))
		}
		second.Message = "changed"
		if err := c.Write(t.Context(), request(4)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after it: %v", err)
		}
		l.wantClosed(t) // not while the session is at it
		close(release)
		l.wantClosed(t, false)
		if len(l.requests) != 2 || l.requests[1].Message != "do" {
			t.Errorf("the lobby got %v", l.requests)
		}
	})
}

// TestNotesOfAResumption: what the welcome of a session that goes on says to have come needs no note.
func TestNotesOfAResumption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &streamLobby{has: 1000}
		c := login(t, l)
		defer c.Close()
		c.Write(t.Context(), request(1001))
		start := time.Now()
		if got, err := c.Read(t.Context()); err != nil || len(got) != 1 || got[0].Ack != 1001 || time.Since(start) != time.Second {
			t.Errorf("read %v, %v after %v", got, err, time.Since(start))
		}
	})
}

// TestLargeNotes: large requests need no time to be acknowledged.
func TestLargeNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := login(t, &streamLobby{})
		defer c.Close()
		start := time.Now()
		for id := uint64(1); id <= 2; id++ {
			e := request(id)
			e.Payload = parlor.Encode(strings.Repeat("x", link.NoteBytes/2))
			c.Write(t.Context(), e)
		}
		if got, err := c.Read(t.Context()); err != nil || len(got) != 1 || got[0].Ack != 2 || time.Since(start) != 0 {
			t.Errorf("read %v, %v after %v", got, err, time.Since(start))
		}
	})
}

// TestEndWhileWriting: a client that ends its link does not wait for a session whose queue is full, which is told when it is done.
func TestEndWhileWriting(t *testing.T) {
	for name, end := range map[string]func(c link.StreamConn, l *streamLobby){
		"client closes": func(c link.StreamConn, _ *streamLobby) { c.Close() },
		"client aborts": func(c link.StreamConn, _ *streamLobby) { c.Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &streamLobby{onRequest: func(*link.Envelope) error {
					time.Sleep(5 * time.Second) // sleep: virtual; it waits for room
					return nil
				}}
				c := login(t, l)
				time.AfterFunc(time.Second, func() { end(c, l) })
				start := time.Now()
				if err := c.Write(t.Context(), request(1), request(2)); !errors.Is(err, net.ErrClosed) || time.Since(start) != time.Second {
					t.Errorf("Write: %v after %v", err, time.Since(start))
				}
				l.wantClosed(t)
				time.Sleep(4 * time.Second) // sleep: virtual
				l.wantClosed(t, name == "client closes")
				if len(l.requests) != 1 {
					t.Errorf("the session got %d requests", len(l.requests))
				}
			})
		})
	}
}

// TestUnsendableOnStream: what cannot be written anywhere is refused, and the link is none the worse for it.
func TestUnsendableOnStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &streamLobby{}
		c := login(t, l)
		defer c.Close()
		bad := request(1)
		bad.Payload = parlor.Encode(func() {})
		if err := c.Write(t.Context(), bad, request(2)); err == nil || errors.Is(err, net.ErrClosed) || len(l.requests) > 0 {
			t.Errorf("Write: %v", err)
		}
		for _, m := range []link.Message{{Seq: 1, Response: &parlor.Response{Payload: bad.Payload}}, {Seq: 1, Push: &parlor.Push{Payload: bad.Payload}}} {
			if err := l.end.Deliver(0, m, news(2)); err == nil || errors.Is(err, net.ErrClosed) {
				t.Errorf("Deliver: %v", err)
			}
		}
		if err := l.end.Welcome(parlor.Response{Payload: bad.Payload}, link.Welcome{}); err == nil {
			t.Error("welcome")
		}
		if err := l.end.Deliver(0, news(1)); err != nil {
			t.Error(err)
		}
		if got, err := c.Read(t.Context()); len(got) != 1 || got[0].Message != "news 1" || err != nil {
			t.Errorf("read %v, %v", got, err)
		}
		l.wantClosed(t)
	})
}

// TestEndInLogin: the end of a link is told behind the login that the session is taking at that moment, which may be about to
// give the link to another session.
func TestEndInLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLobby()
		l.onRecv = func(parlor.Packet) error {
			time.Sleep(time.Second) // sleep: virtual; the login takes its time
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.closed > 0 {
				t.Error("the end was told while the login is taken")
			}
			return nil
		}
		c := dial(t, l).(link.StreamConn)
		failed := make(chan error)
		go func() {
			_, _, err := c.Login(context.Background(), parlor.Packet{}, link.Offer{})
			failed <- err
		}()
		time.Sleep(time.Millisecond) // sleep: virtual
		c.Abort()
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Login: %v", err)
		}
		time.Sleep(time.Second) // sleep: virtual; until the login is taken
		l.wantClosed(t, 1)
	})
}
