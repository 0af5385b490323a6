package client_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"parlor"
	"parlor/client"
	"parlor/link"
)

// oddServer is a link.Dialer to a server that the test plays, envelope by envelope.
type oddServer struct {
	key    string
	refuse func(*link.Envelope) error // what becomes of a write that has one

	mu      sync.Mutex // guards the fields below
	fars    []*farStream
	welcome func(n int, o link.Offer) (parlor.Response, *link.Welcome, error) // answers login n, from 0; nil: a new session
}

// welcomed is the answer to the login of a new session.
func welcomed() (parlor.Response, *link.Welcome, error) {
	return parlor.OK(parlor.MessageAuthenticated), &link.Welcome{Token: []byte("token"), Window: time.Minute}, nil
}

func (s *oddServer) Dial(context.Context, string) (link.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &farStream{server: s, n: len(s.fars), key: s.key, reads: make(chan any, 4096), closed: make(chan struct{})}
	s.fars = append(s.fars, f)
	return f, nil
}

// login is the far end of the link that was dialed last.
func (s *oddServer) login(t *testing.T) *farStream {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fars) == 0 {
		t.Fatal("no connection came")
	}
	return s.fars[len(s.fars)-1]
}

func (s *oddServer) links() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fars)
}

// farStream is the far end of a link, and the link.StreamConn of the client.
type farStream struct {
	server *oddServer
	n      int
	key    string
	reads  chan any // []link.Envelope or error
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex // guards the fields below
	offer link.Offer
	wrote []link.Envelope
	calls []int           // how many with each call
	late  []link.Envelope // what the last Read returns, when hold is closed
	hold  chan struct{}   // nil: no such Read
	ended string          // how the client has ended the link
}

func (f *farStream) Handshake(context.Context) (string, error) { return f.key, nil }
func (f *farStream) Remote() string                            { return "far:1" }

func (f *farStream) Send(context.Context, parlor.Packet) error {
	return errors.New("not a packet's link")
}
func (f *farStream) Receive(context.Context) (parlor.Response, error) {
	return parlor.Response{}, errors.New("not a packet's link")
}

func (f *farStream) Login(_ context.Context, _ parlor.Packet, o link.Offer) (parlor.Response, *link.Welcome, error) {
	f.mu.Lock()
	f.offer = o
	f.mu.Unlock()
	f.server.mu.Lock()
	welcome := f.server.welcome
	f.server.mu.Unlock()
	if welcome == nil {
		return welcomed()
	}
	return welcome(f.n, o)
}

func (f *farStream) Write(_ context.Context, envelopes ...*link.Envelope) error {
	select {
	case <-f.closed:
		return net.ErrClosed
	default:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range envelopes {
		if f.server.refuse == nil {
			break
		}
		if err := f.server.refuse(e); err != nil {
			return err
		}
	}
	f.calls = append(f.calls, len(envelopes))
	for _, e := range envelopes {
		f.wrote = append(f.wrote, *e)
	}
	return nil
}

func (f *farStream) Read(context.Context) ([]link.Envelope, error) {
	select {
	case v := <-f.reads:
		if err, ok := v.(error); ok {
			return nil, err
		}
		return v.([]link.Envelope), nil
	case <-f.closed:
		if f.hold != nil {
			<-f.hold
		}
		return f.late, net.ErrClosed
	}
}

func (f *farStream) end(how string) {
	f.once.Do(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended = how
		close(f.closed)
	})
}

func (f *farStream) Abort()       { f.end("aborted") }
func (f *farStream) Close() error { f.end("closed"); return nil }

func (f *farStream) say(envelopes ...link.Envelope) { f.reads <- envelopes }
func (f *farStream) fail(err error)                 { f.reads <- err }

// next is what the client has written next, of requests and notes.
func (f *farStream) next(t *testing.T) link.Envelope {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.wrote) == 0 {
		t.Fatal("the client writes nothing")
	}
	e := f.wrote[0]
	f.wrote = f.wrote[1:]
	return e
}

func answer(ack, seq, id uint64, message string) link.Envelope {
	return link.Envelope{Kind: link.KindAnswer, Ack: ack, Seq: seq, ID: id, Message: message}
}

func push(ack, seq uint64, message string) link.Envelope {
	return link.Envelope{Kind: link.KindPush, Ack: ack, Seq: seq, Message: message}
}

// dialOdd makes a client that is logged in at the server that the test plays, and tells all to the journal. It is closed
// at the end.
func dialOdd(t *testing.T, s *oddServer, j *journal, cfg client.Config) (*client.Client, *farStream) {
	t.Helper()
	cfg = j.config(cfg)
	cfg.Dialer = s
	cfg.OnHeartbeat = nil
	cfg.OnLink = func(up bool) { j.add("link %t", up) }
	if cfg.OnPush == nil {
		cfg.OnPush = func(p *parlor.Push) { j.add("push %s", p.Message) }
	}
	cfg.OnLost = func(n int) { j.add("lost %d", n) }
	c, err := client.Dial(t.Context(), "lobby", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); c.Wait() })
	f := s.login(t)
	j.take()
	return c, f
}

// TestOddEnvelopes: what a server may send is taken, and what it may not ends the client with a reason.
func TestOddEnvelopes(t *testing.T) {
	for name, test := range map[string]struct {
		say  []link.Envelope // to a client with two requests under way
		want string          // what she is told
		end  string          // why it ends
	}{
		"in order":            {[]link.Envelope{push(2, 1, "p"), answer(2, 2, 1, "x"), answer(2, 3, 2, "y")}, "push p; 1: x; 2: y", ""},
		"out of order":        {[]link.Envelope{answer(2, 1, 2, "y"), answer(2, 2, 1, "x")}, "2: y; 1: x", ""},
		"without ack":         {[]link.Envelope{answer(0, 1, 1, "x"), answer(0, 2, 2, "y")}, "1: x; 2: y", ""},
		"twice":               {[]link.Envelope{push(0, 1, "p"), push(0, 1, "p"), answer(1, 2, 1, "x"), answer(1, 2, 1, "x"), push(0, 1, "p")}, "push p; 1: x", ""},
		"numbers of the past": {[]link.Envelope{push(0, 5, "p"), push(0, 4, "q"), push(0, 0, "r")}, "lost 4; push p", ""},
		"a gap":               {[]link.Envelope{push(0, 1, "p"), push(0, 4, "q"), answer(1, 6, 1, "x")}, "push p; lost 2; push q; lost 1; 1: x", ""},
		"the last number":     {[]link.Envelope{push(0, math.MaxUint64, "p"), push(0, 1, "q")}, "lost 2147483647; push p", ""},
		"a push unread":       {[]link.Envelope{{Kind: link.KindPush, Seq: 1, Message: "p", Err: errOdd}, push(0, 2, "q")}, "lost 1; push q", ""},
		"the last one unread": {[]link.Envelope{push(0, 1, "p"), {Kind: link.KindPush, Seq: 2, Message: "q", Err: errOdd}}, "push p; lost 1", ""},
		"notes":               {[]link.Envelope{{Kind: link.KindNote, Ack: 1}, {Kind: link.KindNote, Ack: 2}, {Kind: link.KindNote}}, "", ""},
		"ack of the future":   {[]link.Envelope{{Kind: link.KindNote, Ack: 3}}, "", "it acknowledges request 3 of 2"},
		"ack of a push":       {[]link.Envelope{push(math.MaxUint64, 1, "p")}, "", "it acknowledges request 18446744073709551615 of 2"},
		"answer to nothing":   {[]link.Envelope{answer(2, 1, 3, "x")}, "", "an answer to request 3, which is not under way"},
		"answer to the login": {[]link.Envelope{answer(2, 1, 0, "x")}, "", "an answer to request 0, which is not under way"},
		"answered again":      {[]link.Envelope{answer(2, 1, 1, "x"), answer(2, 2, 1, "x")}, "1: x", "an answer to request 1, which is not under way"},
		"a request":           {[]link.Envelope{{Kind: link.KindRequest, ID: 1, Message: "do"}}, "", "an envelope of kind request"},
		"an unknown kind":     {[]link.Envelope{{Kind: 9, Seq: 1}}, "", "an envelope of kind Kind(9)"},
		"nothing":             {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				c, f := dialOdd(t, &oddServer{}, &j, client.Config{})
				c.Send(parlor.Packet{Message: "a"}, j.callback("1"))
				c.Send(parlor.Packet{Message: "b"}, j.callback("2"))
				synctest.Wait()
				f.say(test.say...)
				synctest.Wait()
				got := j.take()
				var told []string
				for _, line := range got {
					if !strings.Contains(line, " failed: ") && !strings.HasPrefix(line, "status") && !strings.HasPrefix(line, "connection") {
						told = append(told, line)
					}
				}
				if strings.Join(told, "; ") != test.want {
					t.Errorf("told %q, want %s", told, test.want)
				}
				if test.end == "" {
					if !c.Linked() {
						t.Errorf("the link ended: %q", got)
					}
					return
				}
				if d := wantReason(t, c.Wait(), client.ReasonUnexpected); d.Err.Error() != test.end {
					t.Errorf("reason %q, want %q", d.Err, test.end)
				}
				if f.ended != "closed" {
					t.Errorf("the link was %s", f.ended)
				}
			})
		})
	}
}

var errOdd = errors.New("an extension has no form here")

// TestUnreadableAnswer: an answer whose payload has no form here is that of its request all the same.
func TestUnreadableAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		c, f := dialOdd(t, &oddServer{}, &j, client.Config{})
		c.Send(parlor.Packet{Message: "look"}, j.callback("look"))
		f.next(t)
		f.say(link.Envelope{Kind: link.KindAnswer, Ack: 1, Seq: 1, ID: 1, Message: "seen", Game: "room", Err: errOdd})
		synctest.Wait()
		j.want(t, "status Joined game: room", "game room", `look failed: read answer to "look": an extension has no form here`)
	})
}

// TestOddWelcomes: a server that resumes a session that cannot be.
func TestOddWelcomes(t *testing.T) {
	for id, want := range map[uint64]string{
		0: "it resumes a session of request 0, and has answered 1 of 2",
		1: "", 2: "",
		3:              "it resumes a session of request 3, and has answered 1 of 2",
		math.MaxUint64: "it resumes a session of request 18446744073709551615, and has answered 1 of 2",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &oddServer{}
			s.welcome = func(n int, o link.Offer) (parlor.Response, *link.Welcome, error) {
				r, w, err := welcomed()
				if n > 0 {
					w.Resumed, w.ID, w.Token = true, id, []byte("next")
				}
				return r, w, err
			}
			var j journal
			c, f := dialOdd(t, s, &j, client.Config{})
			c.Send(parlor.Packet{Message: "a"}, j.callback("1"))
			c.Send(parlor.Packet{Message: "b"}, j.callback("2"))
			synctest.Wait()
			f.say(answer(1, 1, 1, "x"))
			synctest.Wait()
			f.fail(errors.New("cut"))
			time.Sleep(time.Second) // sleep: virtual
			if want != "" {
				if d := wantReason(t, c.Wait(), client.ReasonUnexpected); d.Err.Error() != want {
					t.Errorf("reason %q, want %q", d.Err, want)
				}
				return
			}
			f = s.login(t)
			if string(f.offer.Token) != "token" || f.offer.Seq != 1 {
				t.Errorf("offer %q %d", f.offer.Token, f.offer.Seq)
			}
			if id == 1 {
				if e := f.next(t); e.Message != "b" || e.ID != 2 || e.Ack != 1 {
					t.Errorf("sent again: %v", e)
				}
			}
			f.mu.Lock()
			if len(f.wrote) > 0 {
				t.Errorf("written %v", f.wrote)
			}
			f.mu.Unlock()
			f.say(answer(2, 1, 1, "x"), answer(2, 2, 2, "y"))
			synctest.Wait()
			j.want(t, "1: x", "link false", "status Connection lost: Connection closed.", "status Reconnecting to lobby:38929 (try 1)...",
				"link true", "status Resumed as alice @ far:1", "2: y")
		})
	}
}

// TestEndsOnPurpose: which ends of a link are those of the session.
func TestEndsOnPurpose(t *testing.T) {
	closed := func(code link.Code) error {
		return fmt.Errorf("%w: %w", net.ErrClosed, &link.CloseError{Code: code, Reason: "as it is"})
	}
	for name, test := range map[string]struct {
		say    any
		cfg    client.Reconnect
		reason string // empty: the client reconnects
	}{
		"1000":           {closed(link.CloseNormal), client.Reconnect{}, client.ReasonClosed},
		"1008":           {closed(link.ClosePolicy), client.Reconnect{}, client.ReasonClosed},
		"1001":           {closed(link.CloseGoingAway), client.Reconnect{}, ""},
		"1002":           {closed(link.CloseProtocol), client.Reconnect{}, ""},
		"1011":           {closed(link.CloseInternal), client.Reconnect{}, ""},
		"no code":        {net.ErrClosed, client.Reconnect{}, ""},
		"undecryptable":  {link.ErrUndecryptable, client.Reconnect{}, ""},
		"turned off":     {net.ErrClosed, client.Reconnect{For: -1}, client.ReasonClosed},
		"its last words": {[]link.Envelope{{Kind: link.KindAnswer, Ack: 1, Seq: 1, ID: 1, Message: "Bye.", Disconnecting: true}}, client.Reconnect{}, "Bye."},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				s := &oddServer{}
				c, f := dialOdd(t, s, &j, client.Config{Reconnect: test.cfg})
				c.Send(parlor.Packet{Message: "a"}, j.callback("1"))
				synctest.Wait()
				f.reads <- test.say
				time.Sleep(time.Second) // sleep: virtual
				synctest.Wait()
				if test.reason == "" {
					if s.links() != 2 || f.ended != "aborted" {
						t.Errorf("%d links, the first one was %s", s.links(), f.ended)
					}
					return
				}
				wantReason(t, c.Wait(), test.reason)
				if s.links() != 1 || f.ended != "closed" {
					t.Errorf("%d links, the first one was %s", s.links(), f.ended)
				}
				if got := j.take(); test.reason != "Bye." && !strings.Contains(got[0], "1 failed: disconnected: Connection closed. (it is not known whether the request was executed") {
					t.Errorf("told %q", got)
				}
			})
		})
	}
}

// TestHeartbeatsOnStream: there are none, unless the application asks for them, and then one at a time.
func TestHeartbeatsOnStream(t *testing.T) {
	for _, asks := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var j journal
			var cfg client.Config
			beats := 0
			if asks {
				cfg.HeartbeatPayload = func() any { beats++; return beats }
			}
			c, f := dialOdd(t, &oddServer{}, &j, cfg)
			c.Send(parlor.Packet{Message: "join"}, nil)
			f.next(t)
			a := answer(1, 1, 1, "joined")
			a.Game, a.Payload = "room", parlor.Encode(parlor.Map{"heartbeat_rate": 2})
			f.say(a)
			time.Sleep(10 * time.Second) // sleep: virtual
			synctest.Wait()
			f.mu.Lock()
			var got []string
			for _, e := range f.wrote {
				if e.Kind == link.KindRequest {
					got = append(got, fmt.Sprint(e.ID, e.Message, string(e.Payload.JSON())))
				}
			}
			f.mu.Unlock()
			if want := map[bool]string{false: "[]", true: "[2 " + parlor.RequestHeartbeat + " 1]"}[asks]; strings.ReplaceAll(fmt.Sprint(got), " ", "") != strings.ReplaceAll(want, " ", "") {
				t.Errorf("heartbeats %q, want %s", got, want)
			}
			if asks {
				b := answer(2, 2, 2, "beat")
				b.Game = "room"
				start := time.Now()
				f.say(b)
				time.Sleep(500 * time.Millisecond) // sleep: virtual; two a second
				synctest.Wait()
				if beats != 2 {
					t.Errorf("%d heartbeats after %v", beats, time.Since(start))
				}
			}
		})
	}
}

// TestSlowApplication: a link is read no further while the application is slow, until it waits for an answer itself; of the
// pushes that come then the oldest are dropped, and it is told where.
func TestSlowApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var c *client.Client
		gate, asked := make(chan struct{}), make(chan struct{})
		first := true
		cfg := client.Config{OnPush: func(p *parlor.Push) {
			j.add("push %s", p.Message)
			if first {
				first = false
				<-gate
				r, err := c.Request(context.Background(), "what?", nil)
				j.add("%s %v", r.Message, err)
				<-asked
			}
		}}
		c, f := dialOddInto(t, &c, &j, cfg)
		seq := uint64(0)
		say := func(n int) {
			for range n {
				seq++
				f.say(push(0, seq, fmt.Sprint(seq)))
			}
		}
		say(3000)
		time.Sleep(5*time.Second - time.Millisecond) // sleep: virtual
		synctest.Wait()
		if s := c.Stats(); s.Slowed == 0 || len(f.reads) < 1900 || s.PushesLost != 0 {
			t.Errorf("%+v, %d envelopes were not read", s, len(f.reads))
		}
		close(gate)
		synctest.Wait()
		if len(f.reads) != 0 {
			t.Errorf("%d envelopes were not read, though one may be the answer", len(f.reads))
		}
		f.say(answer(1, seq+1, 1, "that"))
		synctest.Wait()
		close(asked)
		synctest.Wait()
		got := j.take()
		const lost = 2999 - 2048
		if len(got) != 2+1+2048 || got[0] != "push 1" || got[1] != "that <nil>" || got[2] != fmt.Sprint("lost ", lost) || got[3] != fmt.Sprint("push ", lost+2) || got[len(got)-1] != "push 3000" {
			t.Errorf("%d, told %.4q", len(got), got)
		}
		if s := c.Stats(); s.PushesLost != lost {
			t.Errorf("%+v", s)
		}
		say(1)
		f.next(t)
	})
}

// TestReadsOn: for 5 s a link is not read, as the application is slow. Then it is, as it would end else, and the oldest pushes are
// dropped; until the application has come to half of what waits, from where on the link is held up again.
func TestReadsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		next := make(chan struct{})
		c, f := dialOdd(t, &oddServer{}, &j, client.Config{OnPush: func(p *parlor.Push) { <-next; j.add("push %s", p.Message) }})
		seq := uint64(0)
		say := func(n int) {
			for range n {
				seq++
				f.say(push(0, seq, fmt.Sprint(seq)))
			}
			synctest.Wait()
		}
		unread := func(when string, want int, lost int64) {
			t.Helper()
			if s := c.Stats(); len(f.reads) != want || s.PushesLost != lost {
				t.Errorf("%s: %d were not read, want %d; %+v", when, len(f.reads), want, s)
			}
		}
		take := func(n int) {
			for range n {
				next <- struct{}{}
				synctest.Wait()
			}
		}
		say(1 + 1024 + 1) // that she has, that wait, and that the reader has
		unread("at first", 0, 0)
		say(100)
		take(10)
		unread("while she is slow", 90, 0)
		time.Sleep(5*time.Second - time.Millisecond) // sleep: virtual
		synctest.Wait()
		unread("a moment before", 90, 0)
		time.Sleep(time.Millisecond) // sleep: virtual
		synctest.Wait()
		unread("after 5 s", 0, 0)
		say(2000)
		unread("from then on", 0, 1126+2000-11-2048)
		take(2048 - 512)
		say(1000)
		unread("above the half", 0, 1126+2000-11-2048)
		take(1000 + 1)
		say(1000)
		unread("below the half", 1000-(1024-511)-1, 1126+2000-11-2048)
		time.Sleep(time.Minute) // sleep: virtual
		synctest.Wait()
		unread("after 5 s more", 0, 1126+2000-11-2048)
		if got := c.Stats().Slowed; got < 2 {
			t.Errorf("slowed %d times", got)
		}
		close(next)
		synctest.Wait()
		got := j.take()
		if last := got[len(got)-1]; last != fmt.Sprint("push ", seq) || f.ended != "" {
			t.Errorf("told %q at last, the link is %q", last, f.ended)
		}
	})
}

// TestLargePushes: what waits for a slow application is bounded in bytes too, and so is what comes while it waits for an answer.
func TestLargePushes(t *testing.T) {
	for _, size := range []int{250 << 10, 9 << 20} { // the second one is over the bound alone, and waits all the same
		synctest.Test(t, func(t *testing.T) {
			var j journal
			var c *client.Client
			gate, asked := make(chan struct{}), make(chan struct{})
			first := true
			cfg := client.Config{OnPush: func(p *parlor.Push) {
				j.add("push %s", p.Message)
				if first {
					first = false
					<-gate
					c.Request(t.Context(), "what?", nil)
					<-asked
				}
			}}
			c, f := dialOddInto(t, &c, &j, cfg)
			large := parlor.Encode(strings.Repeat("x", size-3)) // with quotes, and a message of one letter
			const all = 60
			for n := range all {
				e := push(0, uint64(n+1), string(rune('A'+n)))
				e.Payload = large
				if f.say(e); n == 0 {
					synctest.Wait() // she has it
				}
			}
			synctest.Wait()
			waiting := (4<<20 + size - 1) / size                                                       // reach the bound
			if s := c.Stats(); s.Slowed != 1 || s.PushesLost != 0 || len(f.reads) != all-1-waiting-1 { // one is in the reader's hands
				t.Errorf("%+v, %d of %d were not read", s, len(f.reads), all)
			}
			close(gate)
			synctest.Wait()
			kept := max(8<<20/size, 1)
			if s := c.Stats(); len(f.reads) != 0 || int(s.PushesLost) != all-1-kept {
				t.Errorf("%+v, %d were not read", s, len(f.reads))
			}
			f.say(answer(1, all+1, 1, "that"))
			synctest.Wait()
			close(asked)
			synctest.Wait()
			want := []string{"push A", fmt.Sprint("lost ", all-1-kept)}
			for n := all - kept; n < all; n++ {
				want = append(want, "push "+string(rune('A'+n)))
			}
			j.want(t, want...)
			f.say(push(1, all+2, "z"))
			synctest.Wait()
			j.want(t, "push z")
		})
	}
}

// TestManyInOneRead: what came with one read waits as what comes with many does, and nothing of it is lost.
func TestManyInOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		gate := make(chan struct{})
		c, f := dialOdd(t, &oddServer{}, &j, client.Config{OnPush: func(p *parlor.Push) { <-gate; j.add("push") }})
		var all []link.Envelope
		for n := range uint64(60) {
			e := push(0, n+1, "x")
			e.Payload = parlor.Encode(strings.Repeat("x", 250<<10))
			all = append(all, e)
		}
		f.say(all...)
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if s, got := c.Stats(), j.take(); s.PushesLost != 0 || s.Slowed == 0 || len(got) != 60 {
			t.Errorf("%+v, %d pushes", s, len(got))
		}
	})
}

// TestLargeAnswers: so are answers, which nobody drops.
func TestLargeAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		c, f := dialOdd(t, &oddServer{}, &j, client.Config{})
		gate := make(chan struct{})
		for n := range uint64(20) {
			c.Send(parlor.Packet{Message: "x"}, func(parlor.Response, error) { <-gate; j.add("answer") })
			synctest.Wait()
			e := answer(n+1, n+1, n+1, "y")
			e.Payload = parlor.Encode(strings.Repeat("x", 1<<20))
			f.say(e)
			synctest.Wait()
		}
		time.Sleep(3 * time.Hour) // sleep: virtual; for them there is no other way than to wait
		if s := c.Stats(); s.Slowed != 1 || len(f.reads) != 20-1-4-1 {
			t.Errorf("%+v, %d were not read", s, len(f.reads))
		}
		close(gate)
		synctest.Wait()
		if got := j.take(); len(got) != 20 {
			t.Errorf("told %q", got)
		}
	})
}

// TestEndlessLosses: losses take no room, however many there are: those of pushes that were dropped, of numbers that are missing,
// and between what the application is told besides.
func TestEndlessLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var c *client.Client
		asked := make(chan struct{})
		first := true
		cfg := client.Config{MaxPending: 100, OnPush: func(p *parlor.Push) {
			j.add("push %s", p.Message)
			if first {
				first = false
				c.Request(t.Context(), "what?", nil)
				<-asked
			}
		}}
		c, f := dialOddInto(t, &c, &j, cfg)
		f.say(push(0, 1, "first"))
		synctest.Wait()
		seq := uint64(1)
		say := func(n int) {
			for range n {
				seq += 2 // each number behind one that is missing
				f.say(push(0, seq, fmt.Sprint(seq)))
			}
			synctest.Wait()
		}
		for id := range uint64(50) { // what she is told of her requests stays where it is
			c.Send(parlor.Packet{Message: "x"}, j.callback(fmt.Sprint(id)))
			synctest.Wait()
			seq++
			f.say(answer(id+2, seq, id+2, "y"))
			say(1)
		}
		for range 5 {
			say(1000)
		}
		seq++
		f.say(answer(51, seq, 1, "that"))
		synctest.Wait()
		close(asked)
		synctest.Wait()
		got := j.take()
		if got[0] != "push first" || got[1] != "0: y" {
			t.Fatalf("told %q first", got[:2])
		}
		pushes, lost, losses, answers := 0, 0, 0, 0
		for i, line := range got[1:] {
			switch n := 0; {
			case strings.HasPrefix(line, "push"):
				pushes++
			case strings.HasSuffix(line, ": y"):
				if line != fmt.Sprint(answers, ": y") {
					t.Errorf("%s behind %d others", line, answers)
				}
				answers++
			default:
				if _, err := fmt.Sscanf(line, "lost %d", &n); err != nil || strings.HasPrefix(got[i], "lost") {
					t.Errorf("told %q behind %q", line, got[i])
				}
				lost += n
				losses++
			}
		}
		const all = 5050
		if pushes != 2048 || answers != 50 || lost != all-2048+all || losses > 2048+50 {
			t.Errorf("%d pushes, %d answers, %d lost in %d parts", pushes, answers, lost, losses)
		}
		if s := c.Stats(); int(s.PushesLost) != lost {
			t.Errorf("%+v", s)
		}
		if last := fmt.Sprint("push ", seq-1); got[len(got)-1] != last {
			t.Errorf("told %q last, want %q", got[len(got)-1], last)
		}
	})
}

// resuming answers logins: the first with a new session, the others with that one, of which the server has so many requests.
func resuming(id uint64) func(int, link.Offer) (parlor.Response, *link.Welcome, error) {
	return func(n int, _ link.Offer) (parlor.Response, *link.Welcome, error) {
		r, w, err := welcomed()
		if n > 0 {
			w.Resumed, w.ID = true, id
		}
		return r, w, err
	}
}

// takeAll is all that the client has written since.
func (f *farStream) takeAll() (all []link.Envelope) {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	all, f.wrote = f.wrote, nil
	return all
}

// TestPayloadsUnderWay: what was answered is not kept here any longer. What was not goes again as it was, even if the server has had it: it
// may have been started again.
func TestPayloadsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oddServer{welcome: resuming(1)}
		var j journal
		c, f := dialOdd(t, s, &j, client.Config{})
		send := func(text string) weak.Pointer[byte] {
			raw := fmt.Appendf(nil, "%q", strings.Repeat(text, 1000))
			p, err := parlor.ParsePayload(raw)
			if err != nil {
				t.Fatal(err)
			}
			c.Send(parlor.Packet{Message: text, Payload: p}, nil)
			return weak.Make(&raw[0])
		}
		payloads := []weak.Pointer[byte]{send("a"), send("b"), send("c")}
		kept := func(want ...bool) {
			t.Helper()
			synctest.Wait()
			runtime.GC()
			var got []bool
			for _, p := range payloads {
				got = append(got, p.Value() != nil)
			}
			if !slices.Equal(got, want) {
				t.Errorf("payloads are kept: %t, want %t", got, want)
			}
		}
		f.takeAll()
		f.say(link.Envelope{Kind: link.KindAnswer, Ack: 1, Seq: 1, ID: 1, Payload: parlor.Encode(parlor.Map{})})
		f.say(link.Envelope{Kind: link.KindNote, Ack: 2})
		kept(false, true, true)
		f.fail(errors.New("cut"))
		time.Sleep(time.Second) // sleep: virtual
		again := s.login(t).takeAll()
		defer runtime.KeepAlive(again)
		if len(again) != 2 || again[0].Message != "b" || again[1].Message != "c" || len(again[0].Payload.JSON()) != 1002 {
			t.Errorf("sent again: %v", again)
		}
		kept(false, true, true)
	})
}

// TestBytesUnderWay: a megabyte of requests is under way at most, or one, also behind a link that was cut.
func TestBytesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oddServer{welcome: resuming(1)}
		var j journal
		c, f := dialOdd(t, s, &j, client.Config{})
		large := parlor.Encode(strings.Repeat("x", 400<<10))
		for range 7 {
			c.Send(parlor.Packet{Message: "large", Payload: large}, nil)
		}
		c.Send(parlor.Packet{Message: "huge", Payload: parlor.Encode(strings.Repeat("x", 2<<20))}, nil)
		c.Send(parlor.Packet{Message: "last"}, nil)
		wrote := func(want ...uint64) {
			t.Helper()
			var got []uint64
			for _, e := range f.takeAll() {
				if e.Kind == link.KindRequest {
					got = append(got, e.ID)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("written: %d, want %d", got, want)
			}
		}
		wrote(1, 2)
		f.say(answer(1, 1, 1, "done"))
		wrote(3)
		f.fail(errors.New("cut"))
		time.Sleep(time.Second) // sleep: virtual
		f = s.login(t)
		wrote(2, 3)
		f.say(answer(3, 2, 2, "done"), answer(3, 3, 3, "done"))
		wrote(4, 5)
		f.say(answer(5, 4, 4, "done"))
		wrote(6)
		f.say(answer(6, 5, 5, "done"))
		wrote(7)
		f.say(answer(7, 6, 6, "done"))
		wrote()
		f.say(answer(7, 7, 7, "done"))
		wrote(8) // alone, though it is more than there may be
		f.say(answer(8, 8, 8, "done"))
		wrote(9)
	})
}

// TestManyUnderWayExactly: 128 requests are under way at most, and each answer lets another one go.
func TestManyUnderWayExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		c, f := dialOdd(t, &oddServer{}, &j, client.Config{})
		for range 200 {
			c.Send(parlor.Packet{Message: "x"}, nil)
		}
		if n := len(f.takeAll()); n != 128 {
			t.Errorf("%d are under way", n)
		}
		f.say(answer(1, 1, 1, "done"))
		if got := f.takeAll(); len(got) != 1 || got[0].ID != 129 {
			t.Errorf("written: %v", got)
		}
	})
}

// TestAcknowledged: what a request or a login has acknowledged needs no note.
func TestAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oddServer{welcome: resuming(1)}
		var j journal
		c, f := dialOdd(t, s, &j, client.Config{})
		f.say(push(0, 1, "p"))
		synctest.Wait()
		c.Send(parlor.Packet{Message: "x"}, nil)
		if got := f.takeAll(); len(got) != 1 || got[0].Ack != 1 {
			t.Errorf("written: %v", got)
		}
		time.Sleep(time.Minute) // sleep: virtual
		if got := f.takeAll(); len(got) != 0 {
			t.Errorf("written: %v", got)
		}
		f.say(push(1, 2, "p"))
		time.Sleep(time.Second - 1) // sleep: virtual
		if got := f.takeAll(); len(got) != 0 {
			t.Errorf("written: %v within a second", got)
		}
		f.fail(errors.New("cut"))
		time.Sleep(time.Minute) // sleep: virtual
		f = s.login(t)
		if got := f.takeAll(); len(got) != 0 || f.offer.Seq != 2 {
			t.Errorf("written: %v, offered %d", got, f.offer.Seq)
		}
		f.say(push(1, 3, "p"))
		time.Sleep(time.Second) // sleep: virtual
		if got := f.takeAll(); len(got) != 1 || got[0].Kind != link.KindNote || got[0].Ack != 3 {
			t.Errorf("written: %v, want a note", got)
		}
		f.say(push(1, 4, strings.Repeat("p", 64<<10)))
		if got := f.takeAll(); len(got) != 1 || got[0].Kind != link.KindNote || got[0].Ack != 4 {
			t.Errorf("written: %v, want a note at once", got)
		}
	})
}

// TestGameOfTheLogin: the answer to a login that resumes names the game as it is now; answers that are to come were made before.
func TestGameOfTheLogin(t *testing.T) {
	for _, underWay := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := &oddServer{}
			s.welcome = func(n int, o link.Offer) (parlor.Response, *link.Welcome, error) {
				r, w, err := resuming(1)(n, o)
				if n > 0 {
					r.Game = "now"
				}
				return r, w, err
			}
			var j journal
			c, f := dialOdd(t, s, &j, client.Config{})
			if underWay {
				c.Send(parlor.Packet{Message: "x"}, nil)
				synctest.Wait()
			} else {
				c.Send(parlor.Packet{Message: "x"}, nil)
				synctest.Wait()
				f.say(answer(1, 1, 1, "done"))
				synctest.Wait()
			}
			f.fail(errors.New("cut"))
			time.Sleep(time.Second) // sleep: virtual
			s.login(t)
			if got := c.Game(); underWay == (got != "") {
				t.Errorf("a request is under way: %t, and she is in %q", underWay, got)
			}
		})
	}
}

// TestLossesTold: of what a login has said to be lost the missing numbers say no more, and of all others they do.
func TestLossesTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oddServer{}
		s.welcome = func(n int, o link.Offer) (parlor.Response, *link.Welcome, error) {
			r, w, err := resuming(0)(n, o)
			w.Lost = []int{0, 3, 2, 4}[n] // the last time one more than before
			return r, w, err
		}
		var j journal
		c, f := dialOdd(t, s, &j, client.Config{OnStatus: nil})
		cut := func() {
			t.Helper()
			f.fail(errors.New("cut"))
			time.Sleep(time.Minute) // sleep: virtual
			f = s.login(t)
		}
		told := func(want ...string) {
			t.Helper()
			synctest.Wait()
			got := slices.DeleteFunc(j.take(), func(s string) bool { return strings.HasPrefix(s, "status") || strings.HasPrefix(s, "link") })
			if !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		cut()
		told("lost 3")
		f.say(push(0, 2, "a"), push(0, 4, "b"))
		told("push a", "push b")
		f.say(push(0, 6, "c"), push(0, 8, "d"))
		told("push c", "lost 1", "push d")
		cut()
		told("lost 2")
		f.say(push(0, 12, "e"), push(0, 14, "f"))
		told("lost 1", "push e", "lost 1", "push f")
		cut()
		told("lost 4")
		if s := c.Stats(); s.PushesLost != 3+1+2+1+1+4 {
			t.Errorf("%+v", s)
		}
	})
}

// TestHeartbeatOfLostSession: one that waits when the session is lost is not sent to the next one.
func TestHeartbeatOfLostSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oddServer{}
		var j journal
		c, f := dialOdd(t, s, &j, client.Config{HeartbeatPayload: func() any { return "beat" }})
		c.Send(parlor.Packet{Message: "join"}, nil)
		f.takeAll()
		a := answer(1, 1, 1, "joined")
		a.Game = "room"
		f.say(a)
		synctest.Wait()
		for range 128 { // behind which it has to wait
			c.Send(parlor.Packet{Message: "x"}, nil)
		}
		time.Sleep(time.Second) // sleep: virtual; it is due
		if got := f.takeAll(); len(got) != 128 {
			t.Fatalf("%d were written", len(got))
		}
		f.fail(errors.New("cut"))
		time.Sleep(time.Minute) // sleep: virtual
		if got := s.login(t).takeAll(); len(got) != 0 || s.links() != 2 {
			t.Errorf("written to the new session: %v", got)
		}
	})
}

// TestLateEnvelopes: what the link before has brought comes before another login, which says that it is there.
func TestLateEnvelopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oddServer{welcome: resuming(0)}
		writes := 0 // guarded by the links, of which there is one at a time
		s.refuse = func(*link.Envelope) error {
			if writes++; writes == 1 {
				return net.ErrClosed
			}
			return nil
		}
		var j journal
		c, f := dialOdd(t, s, &j, client.Config{})
		f.hold, f.late = make(chan struct{}), []link.Envelope{push(0, 1, "late")}
		c.Send(parlor.Packet{Message: "x"}, nil) // which finds the link cut
		time.Sleep(time.Minute)                  // sleep: virtual
		if s.links() != 1 {
			t.Errorf("%d links, though the first one is read still", s.links())
		}
		close(f.hold)
		time.Sleep(time.Minute) // sleep: virtual
		if again := s.login(t); s.links() != 2 || again.offer.Seq != 1 || !slices.Contains(j.take(), "push late") {
			t.Errorf("%d links, the last one with number %d", s.links(), again.offer.Seq)
		}
	})
}

// TestCloseStream: the end that the client wants is no link that is lost.
func TestCloseStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		c, f := dialOdd(t, &oddServer{}, &j, client.Config{})
		c.Close()
		c.Wait()
		j.want(t, "connection false", "status Disconnected: Client closed connection.")
		if f.ended != "closed" {
			t.Errorf("the link was %s", f.ended)
		}
	})
}

// TestSlowBehindAnAnswer: who has got her answer, or waits for it no longer, holds up her link again.
func TestSlowBehindAnAnswer(t *testing.T) {
	for _, answered := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var j journal
			gate := make(chan struct{})
			c, f := dialOdd(t, &oddServer{}, &j, client.Config{OnPush: func(*parlor.Push) { <-gate }})
			defer close(gate)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			done := make(chan error, 1)
			go func() { _, err := c.Request(ctx, "what?", nil); done <- err }()
			f.next(t)
			if answered {
				f.say(answer(1, 1, 1, "that"))
			}
			if err := <-done; (err == nil) != answered {
				t.Fatal(err)
			}
			for n := range uint64(3000) {
				f.say(push(0, n+2, "x"))
			}
			synctest.Wait()
			if len(f.reads) < 1900 {
				t.Errorf("%d of 3000 envelopes were not read", len(f.reads))
			}
		})
	}
}

// dialOddInto is dialOdd for an application whose functions need the client.
func dialOddInto(t *testing.T, into **client.Client, j *journal, cfg client.Config) (*client.Client, *farStream) {
	t.Helper()
	c, f := dialOdd(t, &oddServer{}, j, cfg)
	*into = c
	return c, f
}

// TestSlowCallbacks: answers that the application does not take are read no further than a bound either.
func TestSlowCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		c, f := dialOdd(t, &oddServer{}, &j, client.Config{MaxPending: 200})
		gate := make(chan struct{})
		id, taken := uint64(0), 0
		for range 5000 {
			if c.Send(parlor.Packet{Message: "x"}, func(parlor.Response, error) { <-gate; taken++ }) != nil {
				continue
			}
			id++
			synctest.Wait()
			f.say(answer(id, id, id, "y"))
			synctest.Wait()
		}
		if s := c.Stats(); id > 1024+200+10 || s.QueueFull == 0 || s.Slowed == 0 {
			t.Errorf("%d requests were taken, %+v", id, s)
		}
		close(gate)
		synctest.Wait()
		if uint64(taken) != id {
			t.Errorf("%d of %d were answered", taken, id)
		}
	})
}

// TestSlowCallbacksAmongPushes: an answer that finds too many before it waits until one of these is taken, and not until of all that
// waits, pushes with them, there is less than when the link was held up first: it would end by then.
func TestSlowCallbacksAmongPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		next := make(chan struct{})
		cfg := client.Config{OnPush: func(*parlor.Push) { <-next }}
		c, f := dialOdd(t, &oddServer{}, &j, cfg)
		seq := uint64(0)
		say := func(e link.Envelope) {
			seq++
			e.Seq = seq
			f.say(e)
			synctest.Wait()
		}
		for id := range uint64(1026) { // one that the application has, 1024 that wait, and one that the reader has
			if err := c.Send(parlor.Packet{Message: "x"}, func(parlor.Response, error) { <-next }); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			say(answer(id+1, 0, id+1, "y"))
			if id < 1025 {
				say(push(id+1, 0, "z"))
			}
			if id == 600 {
				time.Sleep(6 * time.Second) // sleep: virtual; from now on the link is held up by answers only
				synctest.Wait()
			}
		}
		say(push(0, 0, "last"))
		for taken := range 3 {
			want := 1
			if taken == 2 { // a push and an answer, behind the answer that the application had
				want = 0
			}
			if n := len(f.reads); n != want {
				t.Errorf("%d were not read behind %d taken, want %d", n, taken, want)
			}
			next <- struct{}{}
			synctest.Wait()
		}
		if s := c.Stats(); s.PushesLost != 0 || f.ended != "" {
			t.Errorf("%+v, the link is %q", s, f.ended)
		}
		close(next)
		synctest.Wait()
	})
}

// FuzzEnvelopes plays a script of envelopes, cuts and requests to a client: whatever the server says, the client neither panics
// nor hangs, and hands over nothing twice.
func FuzzEnvelopes(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 1, 1, 2, 1, 2, 0, 3, 1, 0, 0, 4, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 4, 2, 1, 1, 1, 2, 3, 2, 2, 2, 9, 0})
	f.Add([]byte{2, 0, 5, 0, 5, 0, 0, 1, 4, 1, 0, 9, 1, 1, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 400 {
			return
		}
		synctest.Test(t, func(t *testing.T) { playScript(t, script) })
	})
}

func playScript(t *testing.T, script []byte) {
	next := func() byte {
		if len(script) == 0 {
			return 0
		}
		b := script[0]
		script = script[1:]
		return b
	}
	s := &oddServer{}
	s.welcome = func(n int, _ link.Offer) (parlor.Response, *link.Welcome, error) {
		r, w, err := welcomed()
		if n > 0 {
			s.mu.Lock()
			defer s.mu.Unlock()
			switch b := next(); {
			case b < 64:
				w.Resumed, w.ID, w.Lost = true, uint64(b%16), int(b/16)-1
			case b < 80:
				w = nil
			case b < 96:
				r.Status = parlor.StatusBad
			case b < 128:
				err = net.ErrClosed
			}
		}
		return r, w, err
	}
	var j journal
	asked, answered := 0, 0
	last := uint64(0)
	c, _ := dialOdd(t, s, &j, client.Config{MaxPending: 20, OnPush: func(p *parlor.Push) {
		var seq uint64
		fmt.Sscan(p.Message, &seq)
		if seq <= last {
			t.Errorf("push %d behind %d", seq, last)
		}
		last = seq
	}, OnConnection: nil, Reconnect: client.Reconnect{For: time.Minute}})
	for len(script) > 0 {
		s.mu.Lock()
		far := s.fars[len(s.fars)-1]
		op, a, b, d := next(), next(), next(), next()
		s.mu.Unlock()
		switch op % 8 {
		case 0, 1:
			if c.Send(parlor.Packet{Message: "x"}, func(parlor.Response, error) { answered++ }) == nil {
				asked++
			}
		case 2, 3:
			far.trySay(answer(uint64(a), uint64(b), uint64(d), "x"))
		case 4, 5:
			far.trySay(push(uint64(a), uint64(b), fmt.Sprint(b)))
		case 6:
			far.trySay(link.Envelope{Kind: link.Kind(a % 8), Ack: uint64(b), Seq: uint64(d), Message: fmt.Sprint(d), Disconnecting: b%2 == 1})
		case 7:
			far.Abort()
			if a%2 == 0 {
				time.Sleep(time.Duration(b) * 10 * time.Millisecond) // sleep: virtual
			}
			last = 0 // there may be another session
		}
		synctest.Wait()
	}
	c.Close()
	c.Wait()
	if asked != answered {
		t.Errorf("%d requests, %d answers", asked, answered)
	}
}

func (f *farStream) trySay(e link.Envelope) {
	select {
	case f.reads <- []link.Envelope{e}:
	default:
	}
}
