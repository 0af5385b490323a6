package server_test

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
)

// streamLink is the server's end of a link that speaks envelopes, and what a client on it has seen.
type streamLink struct {
	offer link.Offer
	key   string
	addr  netip.Addr

	session link.Session
	once    sync.Once

	mu       sync.Mutex
	dead     bool // the client gets nothing any more
	welcome  *link.Welcome
	answer   parlor.Response // to the login
	messages []link.Message
	closed   []link.Code
	reasons  []string
	aborted  bool
	takes    int // messages that still come through before the link is dead; negative: all

	refuses func(m link.Message) error // why the link cannot carry a message; nil: it can carry all
}

func (l *streamLink) Peer() link.Peer {
	return link.Peer{Remote: "192.0.2.1:4711", Key: l.key, Addr: l.addr}
}
func (l *streamLink) Offer() (link.Offer, bool) { return l.offer, true }

func (l *streamLink) Send(r parlor.Response) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = r
	return nil
}

func (l *streamLink) Welcome(r parlor.Response, w link.Welcome) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.takes == 0 || l.dead {
		l.dead = true
		return net.ErrClosed
	}
	l.takes--
	l.answer, l.welcome = r, &w
	return nil
}

func (l *streamLink) Deliver(_ uint64, messages ...link.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range messages {
		if l.refuses == nil {
			break
		}
		if err := l.refuses(m); err != nil {
			return err
		}
	}
	for _, m := range messages {
		if l.takes == 0 {
			l.dead = true
		}
		if l.dead {
			return net.ErrClosed
		}
		l.takes--
		l.messages = append(l.messages, m)
	}
	return nil
}

func (l *streamLink) Close(code link.Code, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.reasons = append(l.closed, code), append(l.reasons, reason)
	go l.end(true) // ends at once
}

func (l *streamLink) Abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aborted = true
	go l.end(false) // ends at once
}

// end tells the lobby that the link has ended.
func (l *streamLink) end(onPurpose bool) {
	l.once.Do(func() { l.session.Closed(onPurpose) })
}

// streamClient is a client that speaks envelopes, over one link after the other.
type streamClient struct {
	t    *testing.T
	srv  *server.Server
	name string

	addr     netip.Addr
	key      string // name if it is empty
	password string // "pw" if it is empty
	payloads bool   // got has the payloads, too
	refuses  func(m link.Message) error
	loses    bool // it may find its session gone, and goes on with a new one

	link  *streamLink
	token []byte
	seq   uint64
	asked []string // by id, from 1

	answered uint64   // up to this id all were
	got      []string // answers and pushes in their order
	lost     int
	resumed  int
}

// connect opens a link that takes so many messages, logs in, and sends again what the server does not have.
func (c *streamClient) connect(takes int) {
	c.t.Helper()
	c.link = &streamLink{offer: link.Offer{Token: c.token, Seq: c.seq, ID: c.answered}, key: cmp.Or(c.key, c.name), addr: c.addr, takes: takes, refuses: c.refuses}
	var err error
	if c.link.session, err = c.srv.Open(c.link); err != nil {
		c.t.Fatal(err)
	}
	if err := c.link.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": c.name, "password": cmp.Or(c.password, "pw")})}); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
	w := c.link.welcome
	if w == nil {
		return
	}
	id := uint64(0)
	if w.Resumed {
		c.resumed++
		c.lost += w.Lost
		id = w.ID
	} else if c.token != nil && !c.loses {
		c.t.Fatal("the session is gone")
	} else if c.token != nil {
		c.seq, c.asked, c.answered = 0, nil, 0
	}
	c.token = w.Token
	c.read()
	for n, text := range c.asked {
		if uint64(n+1) > id {
			c.send(uint64(n+1), text)
		}
	}
}

func (c *streamClient) ask(text string) {
	c.asked = append(c.asked, text)
	c.send(uint64(len(c.asked)), text)
}

func (c *streamClient) send(id uint64, text string) {
	c.request(id, text)
	synctest.Wait()
	c.read()
}

func (c *streamClient) request(id uint64, text string) {
	e := &link.Envelope{Kind: link.KindRequest, Ack: c.seq, ID: id, Message: text}
	if name, found := strings.CutPrefix(text, "create "); found {
		kind, plain := strings.CutPrefix(name, "plain ")
		if plain {
			name, kind = kind, "plain"
			e.Payload = parlor.Encode(parlor.Map{"name": name, "kind": kind})
		} else {
			e.Payload = parlor.Encode(parlor.Map{"name": name})
		}
		e.Message = parlor.RequestCreateGame
	}
	if name, found := strings.CutPrefix(text, "join "); found {
		e.Message, e.Payload = parlor.RequestJoinGame, parlor.Encode(parlor.Map{"name": name})
	}
	switch text {
	case parlor.RequestSleep:
		e.Payload = parlor.Encode(parlor.Map{"seconds": 5.0})
	case parlor.RequestCreateGame, parlor.RequestJoinGame, parlor.RequestDestroyGame:
		e.Payload = parlor.Encode(parlor.Map{"name": "counting"})
	}
	err := c.link.session.Request(e)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.t.Fatalf("request %d: %v", id, err)
	}
}

// askAll asks for several things and waits for none.
func (c *streamClient) askAll(texts ...string) {
	for _, text := range texts {
		c.asked = append(c.asked, text)
		c.request(uint64(len(c.asked)), text)
	}
}

// read takes what has come.
func (c *streamClient) read() {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.messages {
		if m.Seq <= c.seq || m.Seq != c.seq+1 && c.lost == 0 && c.refuses == nil {
			c.t.Fatalf("message %d after %d", m.Seq, c.seq)
		}
		c.seq = m.Seq
		var text string
		var payload parlor.Payload
		if m.Push != nil {
			text, payload = "push "+m.Push.Message, m.Push.Payload
		} else {
			text, payload = fmt.Sprint(m.ID, " ", m.Response.Message), m.Response.Payload
			c.answered = m.ID
		}
		if c.payloads {
			text += " " + string(payload.JSON())
		}
		c.got = append(c.got, text)
	}
	l.messages = nil
}

// cut ends the link, as a network does.
func (c *streamClient) cut() {
	c.link.end(false)
	synctest.Wait()
}

func (c *streamClient) dead() bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.link.dead
}

// counting is a game that numbers what it is asked and tells all of it.
type counting struct {
	room parlor.Room
	n    int
	seen []string // what it was told of users

	info  atomic.Pointer[string] // its line in the directory
	quiet bool                   // it pushes nothing by itself
	says  atomic.Pointer[any]    // the payload of its answers and its news; nil: none
	every time.Duration          // how long each packet takes

	window time.Duration // how long it keeps a seat; 0: a minute
}

func (g *counting) HandleGamePacket(p parlor.Packet) parlor.Response {
	var later int
	if n, _ := fmt.Sscanf(p.Message, "later %d", &later); n == 1 { // so many news in a second
		g.room.After(time.Second, func() {
			for n := range later {
				g.room.Broadcast(fmt.Sprint("news ", n), g.payload())
			}
		})
		return parlor.OK("later")
	}
	time.Sleep(g.every) // sleep: virtual
	switch p.Message {
	case "slow":
		time.Sleep(time.Second) // sleep: virtual
	case "out":
		return parlor.Response{Message: "out", Disconnecting: true}
	}
	g.n++
	if !g.quiet {
		g.room.Broadcast(fmt.Sprint("before ", g.n), nil)
	}
	if says := g.payload(); says != nil {
		return parlor.OK(fmt.Sprint(p.Message, " is ", g.n), says)
	}
	return parlor.OK(fmt.Sprint(p.Message, " is ", g.n))
}

func (g *counting) say(payload any) { g.says.Store(&payload) }

func (g *counting) payload() any {
	if says := g.says.Load(); says != nil {
		return *says
	}
	return nil
}

func (g *counting) setInfo(info string) { g.info.Store(&info) }

func (g *counting) LobbyInfo() string {
	if info := g.info.Load(); info != nil {
		return *info
	}
	return ""
}

func (g *counting) ResumeWindow() time.Duration { return cmp.Or(g.window, time.Minute) }

func (g *counting) UserJoined(user string) { g.seen = append(g.seen, "joined "+user) }
func (g *counting) UserLeft(user string)   { g.seen = append(g.seen, "left "+user) }
func (g *counting) UserAway(user string)   { g.seen = append(g.seen, "away "+user) }
func (g *counting) UserBack(user string, m bool) {
	g.seen = append(g.seen, fmt.Sprint("back ", user, " ", m))
}

// runStreams runs a test in virtual time with a server whose only game is counting.
func runStreams(t *testing.T, limits server.Limits, test func(t *testing.T, srv *server.Server, g *counting)) {
	runStreamsOf(t, server.Config{Limits: limits}, test)
}

func runStreamsOf(t *testing.T, cfg server.Config, test func(t *testing.T, srv *server.Server, g *counting)) {
	synctest.Test(t, func(t *testing.T) {
		g := &counting{}
		cfg.Games = map[string]parlor.NewGame{"counting": func(r parlor.Room, _ string) (parlor.Game, error) { g.room = r; return g, nil }}
		cfg.AdminPassword, cfg.Logger = "secret", slog.New(slog.DiscardHandler)
		cfg.Limits.HashMemory, cfg.Limits.HashPasses = cheap.Memory, cheap.Passes
		srv, err := server.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { srv.Run(t.Context()); close(ended) }()
		test(t, srv, g)
		srv.Shutdown(0)
		<-ended
	})
}

// script is what the client of these tests asks for.
var scriptOfStreams = []string{parlor.RequestCreateGame, "one", "two", "three", parlor.RequestLeaveGame, parlor.RequestCreateGame, "four"}

// TestResumeAtEveryMessage: a link that is cut behind each message, also behind none and twice in a row, costs nothing:
// the client sees every answer and push once and in order, and nothing is executed twice.
func TestResumeAtEveryMessage(t *testing.T) {
	var undisturbed []string
	run := func(t *testing.T, takes ...int) []string {
		var got []string
		runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
			c := &streamClient{t: t, srv: srv, name: "alice"}
			next := func() int {
				if len(takes) == 0 {
					return -1
				}
				n := takes[0]
				takes = takes[1:]
				return n
			}
			c.connect(next())
			for c.link.welcome == nil { // the login itself was lost: she has no token yet
				c.cut()
				time.Sleep(2 * time.Second) // sleep: virtual, until the name is free
				c.connect(next())
			}
			for _, text := range scriptOfStreams {
				c.ask(text)
				for c.dead() || c.link.welcome == nil {
					c.cut()
					c.connect(next())
				}
			}
			got = c.got
			if g.n != 4 {
				t.Errorf("%d requests were executed, want 4", g.n)
			}
		})
		return got
	}
	t.Run("undisturbed", func(t *testing.T) { undisturbed = run(t) })
	want := []string{"1 Created new game: 'counting'.",
		"push before 1", "2 one is 1", "push before 2", "3 two is 2", "push before 3", "4 three is 3",
		"5 Left game: 'counting'.", "6 Created new game: 'counting'.", "push before 4", "7 four is 4"}
	if !slices.Equal(undisturbed, want) {
		t.Fatalf("undisturbed she sees %q", undisturbed)
	}
	for first := 1; first <= len(undisturbed)+1; first++ {
		for second := range 4 {
			t.Run(fmt.Sprint(first, " ", second), func(t *testing.T) {
				if got := run(t, first, second); !slices.Equal(got, undisturbed) {
					t.Errorf("saw %q, want %q", got, undisturbed)
				}
			})
		}
	}
}

// newStreamClient logs a user in, who creates the game.
func newStreamClient(t *testing.T, srv *server.Server) *streamClient {
	t.Helper()
	c := &streamClient{t: t, srv: srv, name: "alice"}
	c.connect(-1)
	c.ask(parlor.RequestCreateGame)
	c.got = nil
	return c
}

func (c *streamClient) wants(want ...string) {
	c.t.Helper()
	synctest.Wait()
	c.read()
	if !slices.Equal(c.got, want) {
		c.t.Errorf("saw %q, want %q", c.got, want)
	}
	c.got = nil
}

// TestResumeKeepsTheSeat: the game hears of away and back, and not of left; what was asked and pushed meanwhile is not
// lost. Behind the window the seat is gone.
func TestResumeKeepsTheSeat(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		c := newStreamClient(t, srv)
		c.ask("later 1")
		c.cut()
		time.Sleep(59 * time.Second) // sleep: virtual
		c.connect(-1)
		c.wants("2 later", "push news 0")
		c.ask("still there")
		c.wants("push before 1", "3 still there is 1")
		c.cut()
		time.Sleep(61 * time.Second) // sleep: virtual
		synctest.Wait()
		if want := []string{"joined alice", "away alice", "back alice false", "away alice", "left alice"}; !slices.Equal(g.seen, want) {
			t.Errorf("the game was told %q, want %q", g.seen, want)
		}
		if users, tokens := srv.Users(), srv.Tokens(); users != 0 || tokens != 0 {
			t.Errorf("%d users and %d tokens are left", users, tokens)
		}
	})
}

// TestResumeLosesPushes: of more pushes than are kept the oldest are lost, answers never, and both sides are told.
func TestResumeLosesPushes(t *testing.T) {
	runStreams(t, server.Limits{Pushes: 3}, func(t *testing.T, srv *server.Server, g *counting) {
		c := newStreamClient(t, srv)
		c.ask("later 5")
		c.got = nil
		c.link.mu.Lock()
		c.link.takes = 0 // nobody notices yet
		c.link.mu.Unlock()
		c.ask("asked")
		time.Sleep(2 * time.Second) // sleep: virtual
		c.cut()
		c.connect(0) // she does not hear what she has lost
		c.cut()
		c.connect(-1)
		c.wants("3 asked is 1", "push news 2", "push news 3", "push news 4")
		if c.lost != 3 {
			t.Errorf("%d pushes were lost, want 3", c.lost)
		}
		if last := g.seen[len(g.seen)-1]; last != "back alice true" {
			t.Errorf("the game was told %q", last)
		}
		if n := srv.Stats().PushesLost.Load(); n != 3 {
			t.Errorf("%d were counted", n)
		}
	})
}

// TestResumeHoldsRequests: who does not acknowledge answers gets no more of them, and loses none.
func TestResumeHoldsRequests(t *testing.T) {
	runStreams(t, server.Limits{Unacknowledged: 3}, func(t *testing.T, srv *server.Server, g *counting) {
		c := newStreamClient(t, srv)
		s := c.link.session
		for id := uint64(2); id < 12; id++ {
			if err := s.Request(&link.Envelope{Kind: link.KindRequest, Ack: 1, ID: id, Message: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if g.n != 3 {
			t.Errorf("%d requests were executed, want 3", g.n)
		}
		c.read()
		for c.seq < 21 { // ten answers and ten pushes more
			if err := s.Request(&link.Envelope{Kind: link.KindNote, Ack: c.seq}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			c.read()
		}
		if n := srv.Stats().Held.Load(); g.n != 10 || n == 0 {
			t.Errorf("%d requests were executed, want 10; they were held %d times", g.n, n)
		}
	})
}

// TestPayloadWithoutForm: a request whose payload cannot be read is answered in its turn, and has a number as any other.
func TestPayloadWithoutForm(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		c := newStreamClient(t, srv)
		for id := uint64(2); id < 5; id++ {
			e := &link.Envelope{Kind: link.KindRequest, Ack: 1, ID: id, Message: "x"}
			if id == 3 {
				e.Err = errors.New("payload: a timestamp has no form")
			}
			if err := c.link.session.Request(e); err != nil {
				t.Fatal(err)
			}
		}
		c.wants("push before 1", "2 x is 1", "3 Malformed packet: payload: a timestamp has no form", "push before 2", "4 x is 2")
		if n := srv.Stats().Malformed.Load(); n != 1 || g.n != 2 {
			t.Errorf("%d were counted, %d requests came to the game", n, g.n)
		}
	})
}

// TestResumeTokens: a token is good for its own user and key, once the client has shown that it knows the next one no
// more, and not for numbers that were never sent.
func TestResumeTokens(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, _ *counting) {
		c := newStreamClient(t, srv)
		try := func(name, key, password string, o link.Offer) *streamLink {
			l := &streamLink{offer: o, key: key, takes: -1}
			var err error
			if l.session, err = srv.Open(l); err != nil {
				t.Fatal(err)
			}
			l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": name, "password": password})})
			synctest.Wait()
			return l
		}
		first := c.token
		for what, l := range map[string]*streamLink{
			"another key":   try("alice", "mallory", "guess", link.Offer{Token: first}),
			"another name":  try("mallory", "alice", "pw", link.Offer{Token: first}),
			"another token": try("alice", "alice", "guess", link.Offer{Token: make([]byte, 16)}),
			"no token":      try("alice", "alice", "guess", link.Offer{Token: []byte{}}),
			"a number":      try("alice", "alice", "guess", link.Offer{Token: first, Seq: 1000}),
		} {
			if l.welcome != nil && l.welcome.Resumed {
				t.Errorf("with %s the session was resumed", what)
			}
			l.end(false)
		}
		c.cut()
		c.connect(0) // she never hears the answer, and comes with the same token
		c.cut()
		c.connect(-1)
		if c.resumed != 1 || string(c.token) == string(first) {
			t.Errorf("resumed %d times", c.resumed)
		}
		c.ask("x") // shows that she knows the new token
		c.cut()
		if l := try("alice", "alice", "wrong", link.Offer{Token: first, Seq: c.seq}); l.welcome != nil {
			t.Error("a token was good twice")
		}
		c.connect(-1)
		if c.resumed != 2 {
			t.Error("a failed attempt has ended the session")
		}
		c.got = nil
	})
}

// TestResumeBeforeTheServerNotices: the client comes back while its old link seems to be alive, which ends.
func TestResumeBeforeTheServerNotices(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		c := newStreamClient(t, srv)
		old := c.link
		c.connect(-1)
		if c.resumed != 1 || !old.aborted || len(old.closed) > 0 { // what waits in it is sent again
			t.Errorf("resumed %d times, the old link was aborted: %t, and closed with %v", c.resumed, old.aborted, old.closed)
		}
		if err := old.session.Request(&link.Envelope{Kind: link.KindRequest, ID: 2, Message: "late"}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("on the old link: %v", err)
		}
		c.ask("x")
		c.wants("push before 1", "2 x is 1")
	})
}

// TestReclaim: the right password takes the seat of a user who is away, whatever wire it comes on.
func TestReclaim(t *testing.T) {
	for _, pgnet := range []bool{false, true} {
		runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
			c := newStreamClient(t, srv)
			c.ask("later 1")
			c.cut()
			time.Sleep(2 * time.Second) // sleep: virtual
			l := &streamLink{key: "another", takes: -1}
			var end link.Link = l
			if pgnet {
				end = struct{ link.Link }{l}
			}
			var err error
			if l.session, err = srv.Open(end); err != nil {
				t.Fatal(err)
			}
			l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "pw"})})
			synctest.Wait()
			if l.answer.Message != parlor.MessageAuthenticated || (l.welcome == nil) != pgnet {
				t.Errorf("she was answered %q", l.answer.Message)
			}
			if last := g.seen[len(g.seen)-1]; last != "back alice true" {
				t.Errorf("the game was told %q", last)
			}
			if pgnet {
				l.session.Receive(parlor.Packet{Message: "hello"})
			} else {
				l.session.Request(&link.Envelope{Kind: link.KindRequest, ID: 1, Message: "hello"})
			}
			synctest.Wait()
			if !pgnet {
				l.answer = *l.messages[len(l.messages)-1].Response
			}
			if l.answer.Message != "hello is 1" || l.answer.Game != "counting" {
				t.Errorf("she was answered %q in %q", l.answer.Message, l.answer.Game)
			}
			c.connect(0)
			if c.link.welcome != nil {
				t.Error("the session that lost its seat was resumed")
			}
		})
	}
}

// TestReclaimOfAConnectedOne: by option the right password takes the seat of a user who is connected, and her old link is told.
// What her old client had under way and waiting is nothing that the new one hears of.
func TestReclaimOfAConnectedOne(t *testing.T) {
	for _, pgnet := range []bool{false, true} {
		runStreamsOf(t, server.Config{Takeover: true}, func(t *testing.T, srv *server.Server, g *counting) {
			c := quietClient(t, srv, g)
			old, token := c.link, c.token
			c.askAll("slow", "a", "slow", "b", parlor.RequestHelp, "c")
			time.Sleep(1500 * time.Millisecond) // sleep: virtual
			l := &streamLink{key: "another", takes: -1}
			var end link.Link = l
			if pgnet {
				end = struct{ link.Link }{l}
			}
			var err error
			if l.session, err = srv.Open(end); err != nil {
				t.Fatal(err)
			}
			l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "pw"})})
			synctest.Wait()
			if l.answer.Message != parlor.MessageAuthenticated {
				t.Fatalf("she was answered %q", l.answer.Message)
			}
			if !slices.Equal(old.closed, []link.Code{link.ClosePolicy}) || old.reasons[0] != "taken over" {
				t.Errorf("the old link was closed with %v %q", old.closed, old.reasons)
			}
			if err := old.session.Request(&link.Envelope{Kind: link.KindRequest, ID: 8, Message: "late"}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("on the old link: %v", err)
			}
			l.answer = parlor.Response{}
			if pgnet {
				l.session.Receive(parlor.Packet{Message: "hello"})
			} else {
				l.session.Request(&link.Envelope{Kind: link.KindRequest, ID: 1, Message: "hello"})
			}
			pass(time.Second)
			if !pgnet {
				if len(l.messages) != 1 || l.messages[0].ID != 1 || l.messages[0].Seq != 1 {
					t.Fatalf("%d messages came", len(l.messages))
				}
				l.answer = *l.messages[0].Response
			}
			if l.answer.Message != "hello is 5" || l.answer.Game != "counting" {
				t.Errorf("she was answered %q in %q", l.answer.Message, l.answer.Game)
			}
			if want := []string{"joined alice", "away alice", "back alice true"}; !slices.Equal(g.seen, want) {
				t.Errorf("the game was told %q, want %q", g.seen, want)
			}
			thief := &streamLink{offer: link.Offer{Token: token}, key: "alice", takes: -1}
			if thief.session, err = srv.Open(thief); err != nil {
				t.Fatal(err)
			}
			thief.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "guess"})})
			synctest.Wait()
			if thief.welcome != nil || len(l.closed) > 0 {
				t.Error("the token of the session that was taken over is good still")
			}
			if tokens := srv.Tokens(); pgnet && tokens != 0 || !pgnet && tokens != 1 {
				t.Errorf("there are %d tokens", tokens)
			}
		})
	}
}

// TestReclaimGuesses: while a user is away the right password is answered otherwise than a wrong one, so that wrong ones count.
func TestReclaimGuesses(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, _ *counting) {
		c := newStreamClient(t, srv)
		c.cut()
		for range 25 {
			l := &streamLink{key: "another", takes: -1, addr: netip.MustParseAddr("192.0.2.1")}
			var err error
			if l.session, err = srv.Open(l); err != nil {
				t.Fatal(err)
			}
			l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "guess"})})
		}
		synctest.Wait()
		if n := srv.Stats().LoginsSlowed.Load(); n == 0 {
			t.Error("no guess was slowed down")
		}
		c.connect(-1) // with her token at once
	})
}

// TestNumbersThatCannotBe: a request behind a gap or with a number that came before, and an acknowledgement of what was never sent, are
// out of turn; nothing is executed of them.
func TestNumbersThatCannotBe(t *testing.T) {
	for name, e := range map[string]link.Envelope{
		"behind a gap":           {Kind: link.KindRequest, ID: 4, Message: "x"},
		"again":                  {Kind: link.KindRequest, ID: 2, Message: "x"},
		"the login's":            {Kind: link.KindRequest, ID: 0, Message: "x"},
		"acknowledges the next":  {Kind: link.KindRequest, ID: 3, Message: "x", Ack: 3},
		"a note of the next":     {Kind: link.KindNote, Ack: 3},
		"an answer":              {Kind: link.KindAnswer, ID: 3, Message: "x"},
		"a number without bound": {Kind: link.KindNote, Ack: 1<<64 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
				c := quietClient(t, srv, g)
				c.ask("x")
				if err := c.link.session.Request(&e); !errors.Is(err, link.ErrOutOfTurn) {
					t.Errorf("error %v", err)
				}
				c.wants("2 x is 1")
				c.cut() // as the link does then
				c.connect(-1)
				c.ask("y")
				c.wants("3 y is 2")
			})
		})
	}
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, g *counting) {
		c := quietClient(t, srv, g)
		c.cut()
		c.seq++
		if l := c.resumption(); l.has() == "resumed" {
			t.Error("a login that has the next message resumed the session")
		}
	})
}

// TestResumeWithinWhatWasDropped: of pushes that were dropped those that she had got before are not lost.
func TestResumeWithinWhatWasDropped(t *testing.T) {
	runStreams(t, server.Limits{Pushes: 2}, func(t *testing.T, srv *server.Server, g *counting) {
		c := quietClient(t, srv, g)
		c.ask("later 6")
		c.got = nil
		pass(2 * time.Second)
		c.link.mu.Lock()
		c.link.messages = c.link.messages[:2] // news 0 and 1; of the others 2 and 3 have been dropped
		c.link.mu.Unlock()
		c.wants("push news 0", "push news 1")
		c.cut()
		c.connect(0) // the number of those that are lost stays the same
		c.cut()
		c.connect(-1)
		c.wants("push news 4", "push news 5")
		if c.lost != 2 {
			t.Errorf("she was told that %d were lost, want 2", c.lost)
		}
	})
}

// TestHeldWhenIdle: the request that comes when all before it are answered, but too many answers not acknowledged, is held too.
func TestHeldWhenIdle(t *testing.T) {
	runStreams(t, server.Limits{Unacknowledged: 3}, func(t *testing.T, srv *server.Server, g *counting) {
		c := quietClient(t, srv, g)
		for range 4 {
			c.askAll("x") // acknowledges nothing new
			synctest.Wait()
		}
		c.wants("2 x is 1", "3 x is 2", "4 x is 3")
		if n := srv.Stats().Held.Load(); n != 1 {
			t.Errorf("requests were held %d times", n)
		}
		if err := c.link.session.Request(&link.Envelope{Kind: link.KindNote, Ack: c.seq}); err != nil {
			t.Fatal(err)
		}
		c.wants("5 x is 4")
	})
}

// TestResumeOfAWaitingLink: a request that waits for room in the queue on a link is not taken when the client has come back on another
// one, where it comes again.
func TestResumeOfAWaitingLink(t *testing.T) {
	runStreams(t, server.Limits{Queue: 2}, func(t *testing.T, srv *server.Server, g *counting) {
		c := quietClient(t, srv, g)
		c.askAll("slow", "a", "b")
		c.asked = append(c.asked, "c")
		waited := make(chan error)
		old := c.link.session
		go func() { waited <- old.Request(&link.Envelope{Kind: link.KindRequest, ID: 5, Message: "c"}) }()
		synctest.Wait()
		next := c.resumption()
		if err := <-waited; !errors.Is(err, net.ErrClosed) {
			t.Errorf("on the old link: %v", err)
		}
		if next.welcome == nil || next.welcome.ID != 4 {
			t.Fatalf("the welcome is %+v", next.welcome)
		}
		c.link = next
		again := make(chan error)
		go func() { again <- next.session.Request(&link.Envelope{Kind: link.KindRequest, ID: 5, Message: "c"}) }()
		if err := <-again; err != nil {
			t.Error(err)
		}
		c.wants("2 slow is 1", "3 a is 2", "4 b is 3", "5 c is 4")
	})
}

// TestReclaimIsOneLogin counts a session that is taken over by the right password as one login more.
func TestReclaimIsOneLogin(t *testing.T) {
	runStreams(t, server.Limits{}, func(t *testing.T, srv *server.Server, _ *counting) {
		c := newStreamClient(t, srv)
		c.cut()
		other := &streamClient{t: t, srv: srv, name: c.name}
		other.connect(-1)
		if n := srv.Stats().Logins.Load(); n != 2 {
			t.Errorf("%d logins, want 2", n)
		}
	})
}
