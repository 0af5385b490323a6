//go:build !js

package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/client"
	"parlor/link"
	"parlor/link/memlink"
	"parlor/server"
)

// counting is a game that numbers what it is asked, and tells all of it before it answers.
type counting struct {
	room  parlor.Room
	gate  chan struct{} // "block" waits for it
	n     int
	asked []string
	seen  []string // what it was told of users
}

func (g *counting) HandleGamePacket(p parlor.Packet) parlor.Response {
	var news int
	if n, _ := fmt.Sscanf(p.Message, "news %d", &news); n == 1 { // so many in a moment, before the client acknowledges the answer by itself
		g.room.After(900*time.Millisecond, func() {
			for n := range news {
				g.room.Broadcast(fmt.Sprint("news ", n), nil)
			}
		})
		return parlor.OK("later")
	}
	switch p.Message {
	case "block":
		<-g.gate
		return parlor.OK("went on")
	case "large":
		g.room.Broadcast("large", strings.Repeat("x", 64<<10))
		return parlor.OK("said")
	}
	g.n++
	g.asked = append(g.asked, p.Username+" "+p.Message)
	g.room.Broadcast(fmt.Sprint("before ", g.n), parlor.Map{"n": g.n})
	return parlor.OK(fmt.Sprint(p.Message, " is ", g.n))
}

func (g *counting) UserJoined(user string) { g.seen = append(g.seen, "joined "+user) }
func (g *counting) UserLeft(user string)   { g.seen = append(g.seen, "left "+user) }
func (g *counting) UserAway(user string)   { g.seen = append(g.seen, "away "+user) }
func (g *counting) UserBack(user string, missed bool) {
	g.seen = append(g.seen, fmt.Sprint("back ", user, " ", missed))
}

// wire is the way to a server in the process. Its links are cut as the test wants it.
type wire struct {
	t    *testing.T
	game *counting // of all rooms
	many bool      // every room has its own
	cfg  server.Config
	key  string

	mu      sync.Mutex // guards the fields below
	srv     *server.Server
	ended   chan struct{} // closed when the server has
	cuts    []int         // how many messages the next links carry before they are cut; none: all
	conns   []*cutConn
	dials   []time.Time
	refuse  int // dials that fail
	plainly bool
}

// cheapHashes are good enough for a test's passwords, which are no secrets.
var cheapHashes = server.Limits{HashMemory: 8, HashPasses: 1}

// newWire starts a server whose only game is counting.
func newWire(t *testing.T, cfg server.Config) *wire {
	t.Helper()
	w := &wire{t: t, game: &counting{gate: make(chan struct{})}, cfg: cfg}
	w.cfg.AdminPassword, w.cfg.Logger = "secret", slog.New(slog.DiscardHandler)
	w.cfg.Limits.HashMemory, w.cfg.Limits.HashPasses = cheapHashes.HashMemory, cheapHashes.HashPasses
	w.cfg.Games = map[string]parlor.NewGame{"counting": func(r parlor.Room, _ string) (parlor.Game, error) {
		if w.many {
			return &counting{room: r}, nil
		}
		w.game.room = r
		return w.game, nil
	}}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func (w *wire) start() {
	w.t.Helper()
	srv, err := server.New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with stop
		defer close(ended)
		srv.Run(context.Background())
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.srv, w.ended = srv, ended
}

func (w *wire) stop() {
	w.srv.Shutdown(0)
	<-w.ended
}

var errNoWay = errors.New("no way to the server")

func (w *wire) Dial(ctx context.Context, address string) (link.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials = append(w.dials, time.Now())
	if w.refuse > 0 {
		w.refuse--
		return nil, errNoWay
	}
	conn, err := memlink.Dialer{Lobby: w.srv, ServerKey: w.key}.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if w.plainly {
		return struct{ link.Conn }{conn}, nil
	}
	c := &cutConn{StreamConn: conn.(link.StreamConn), left: -1}
	if len(w.cuts) > 0 {
		c.left, w.cuts = w.cuts[0], w.cuts[1:]
	}
	w.conns = append(w.conns, c)
	return c, nil
}

// cut cuts the link.
func (w *wire) cut() {
	w.mu.Lock()
	c := w.conns[len(w.conns)-1]
	w.mu.Unlock()
	c.Abort()
}

// client makes a client that tells all to the journal, and logs in.
func (w *wire) client(name string, j *journal, cfg client.Config) *client.Client {
	w.t.Helper()
	cfg.Username, cfg.Dialer, cfg.Logger = name, w, quiet
	if cfg.Password == "" {
		cfg.Password = "pw"
	}
	if cfg.OnPush == nil {
		cfg.OnPush = func(p *parlor.Push) { j.add("push %s", p.Message) }
	}
	cfg.OnLost = func(n int) { j.add("lost %d", n) }
	c, err := client.Dial(w.t.Context(), "lobby", cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close(); c.Wait() })
	return c
}

// cutConn is a link that carries so many messages, in both directions together, and is cut then.
type cutConn struct {
	link.StreamConn
	mu      sync.Mutex // guards the fields below
	left    int        // negative: all
	welcome bool       // the login was answered
	wrote   []int      // envelopes of each call
	notes   []uint64
}

func (c *cutConn) pass() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return false
	}
	c.left--
	return true
}

// written is how many envelopes each call has written, and what the notes among them acknowledged.
func (c *cutConn) written() (calls []int, notes []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.wrote), slices.Clone(c.notes)
}

func (c *cutConn) Login(ctx context.Context, p parlor.Packet, o link.Offer) (parlor.Response, *link.Welcome, error) {
	r, w, err := c.StreamConn.Login(ctx, p, o)
	if err == nil && !c.pass() {
		c.Abort()
		return r, nil, net.ErrClosed
	}
	c.welcome = w != nil
	return r, w, err
}

func (c *cutConn) Write(ctx context.Context, envelopes ...*link.Envelope) error {
	c.mu.Lock()
	c.wrote = append(c.wrote, len(envelopes))
	c.mu.Unlock()
	for _, e := range envelopes {
		if !c.pass() {
			c.Abort()
			return net.ErrClosed
		}
		if e.Kind == link.KindNote {
			c.mu.Lock()
			c.notes = append(c.notes, e.Ack)
			c.mu.Unlock()
		}
		if err := c.StreamConn.Write(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (c *cutConn) Read(ctx context.Context) ([]link.Envelope, error) {
	list, err := c.StreamConn.Read(ctx)
	for i := range list {
		if !c.pass() {
			c.Abort()
			return list[:i], net.ErrClosed
		}
	}
	return list, err
}

// asks is what the clients of these tests ask for.
var asks = []string{parlor.RequestCreateGame, "one", "two", "three", parlor.RequestLeaveGame, parlor.RequestCreateGame, "four"}

func packet(text string) parlor.Packet {
	p := parlor.Packet{Message: text}
	if text == parlor.RequestCreateGame {
		p.Payload = parlor.Encode(parlor.Map{"name": "counting"})
	}
	return p
}

// TestCutAtEveryMessage: a link that is cut behind each message that it carries, in either direction, and the next one likewise,
// costs nothing: every answer and push comes once and in order, and nothing is executed twice.
func TestCutAtEveryMessage(t *testing.T) {
	play := func(t *testing.T, together bool, cuts ...int) (got []string, carried int) {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(t, server.Config{})
			var j journal
			w.cuts = cuts
			c := w.client("alice", &j, client.Config{})
			for i, text := range asks {
				if err := c.Send(packet(text), j.callback(fmt.Sprint(i+1))); err != nil {
					t.Fatal(err)
				}
				if !together {
					time.Sleep(3 * time.Second) // sleep: virtual; a link that is cut is up again by then
				}
			}
			time.Sleep(time.Minute) // sleep: virtual, until all is over
			synctest.Wait()
			if w.game.n != 4 {
				t.Errorf("the game has seen %q", w.game.asked)
			}
			if want := []string{"alice one", "alice two", "alice three", "alice four"}; !slices.Equal(w.game.asked, want) {
				t.Errorf("the game was asked %q", w.game.asked)
			}
			stays := slices.DeleteFunc(w.game.seen, func(s string) bool { return strings.HasPrefix(s, "away") || strings.HasPrefix(s, "back") })
			if want := []string{"joined alice", "left alice", "joined alice"}; !slices.Equal(stays, want) {
				t.Errorf("the game was told %q", w.game.seen)
			}
			logins := 0
			for _, conn := range w.conns {
				carried += -1 - conn.left
				if conn.welcome {
					logins++
				}
			}
			if s := c.Stats(); int(s.Resumed) != logins-1 || s.PushesLost != 0 {
				t.Errorf("%+v, and there were %d logins", s, logins)
			}
			got = j.take()
		})
		return got, carried
	}
	want := []string{"1: Created new game: 'counting'.",
		"push before 1", "2: one is 1", "push before 2", "3: two is 2", "push before 3", "4: three is 3",
		"5: Left game: 'counting'.", "6: Created new game: 'counting'.", "push before 4", "7: four is 4"}
	for _, together := range []bool{false, true} {
		got, carried := play(t, together)
		if !slices.Equal(got, want) {
			t.Fatalf("undisturbed she sees %q", got)
		}
		if carried < len(want)+len(asks) {
			t.Fatalf("only %d messages", carried)
		}
		for first := 1; first <= carried; first++ { // the first is the answer to the login
			for second := range 8 {
				if got, _ := play(t, together, first, second); !slices.Equal(got, want) {
					t.Errorf("together %t, cut behind %d and %d: saw %q", together, first, second, got)
				}
			}
		}
	}
}

// TestCutAtRandom plays with several clients whose links are cut all the time.
func TestCutAtRandom(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			w := newWire(t, server.Config{})
			const players, moves = 3, 100
			journals := make([]journal, players)
			var clients []*client.Client
			for i := range players {
				c := w.client(fmt.Sprint("player", i), &journals[i], client.Config{})
				if err := c.JoinGame(t.Context(), "counting", client.GameOptions{}); err != nil {
					t.Fatal(err)
				}
				clients = append(clients, c)
			}
			w.mu.Lock()
			for range 200 {
				w.cuts = append(w.cuts, random.IntN(60))
			}
			w.mu.Unlock()
			for n := range moves {
				for i, c := range clients {
					if err := c.Send(parlor.Packet{Message: fmt.Sprint("move ", n)}, journals[i].callback("answer")); err != nil {
						t.Fatal(err)
					}
				}
				switch random.IntN(4) {
				case 0:
					w.mu.Lock()
					conn := w.conns[random.IntN(len(w.conns))]
					w.mu.Unlock()
					conn.Abort()
				case 1:
					time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond) // sleep: virtual
				}
			}
			time.Sleep(10 * time.Minute) // sleep: virtual, until all is over
			synctest.Wait()
			for i := range clients {
				checkGame(t, seed, i, w.game, journals[i].take(), moves, players)
			}
			if resumed := w.srv.Stats().Resumed.Load(); resumed < 5 {
				t.Errorf("seed %d: resumed %d times only", seed, resumed)
			}
		})
	}
}

// checkGame checks what one player has seen of a game: all pushes in order, and her own answers between them.
func checkGame(t *testing.T, seed uint64, player int, g *counting, got []string, moves, players int) {
	t.Helper()
	var want []string
	own := 0
	for n, asked := range g.asked {
		want = append(want, fmt.Sprint("push before ", n+1))
		if move, ok := strings.CutPrefix(asked, fmt.Sprint("player", player, " ")); ok {
			if move != fmt.Sprint("move ", own) {
				t.Fatalf("seed %d, player %d: %s is her move %d", seed, player, move, own)
			}
			own++
			want = append(want, fmt.Sprint("answer: ", move, " is ", n+1))
		}
	}
	if own != moves || g.n != moves*players {
		t.Errorf("seed %d: %d moves of player %d were executed, %d of all", seed, own, player, g.n)
	}
	if !slices.Equal(got, want) {
		t.Errorf("seed %d, player %d saw\n%q, want\n%q", seed, player, got, want)
	}
}

// TestPlainLink: over a dialer without envelopes, and to a server that does not take the offer, all is as on pgnet's wire.
func TestPlainLink(t *testing.T) {
	for name, plainly := range map[string]bool{"plain": true, "stream": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t, server.Config{})
				w.plainly = plainly
				var j, status journal
				c := w.client("alice", &j, client.Config{
					OnStatus: func(s string) { status.add("status %s", s) }, OnConnection: func(on bool) { status.add("connection %t", on) },
					OnLink: func(up bool) { status.add("link %t", up) },
				})
				if c.Streams() == plainly || !c.Linked() {
					t.Errorf("streams %t, linked %t", c.Streams(), c.Linked())
				}
				if err := c.CreateGame(t.Context(), "counting", client.GameOptions{}); err != nil {
					t.Fatal(err)
				}
				if r, err := c.Request(t.Context(), "one", nil); err != nil || r.Message != "one is 1" {
					t.Errorf("%v, %v", r, err)
				}
				synctest.Wait()
				status.want(t, "status Connecting to lobby:38929...", "status Logging in...", "connection true",
					"status Logged in as alice @ local", "status Joined game: counting")
				if pushes := j.take(); plainly != (len(pushes) == 0) {
					t.Errorf("pushes %q", pushes)
				}
				w.stop()
				time.Sleep(time.Minute) // sleep: virtual
				synctest.Wait()
				if plainly {
					status.want(t, "connection false", "status Disconnected: Connection closed.")
					return
				}
				if got := status.take(); got[0] != "link false" || got[1] != "status Connection lost: Connection closed." || !c.Connected() || c.Linked() {
					t.Errorf("told %q", got)
				}
			})
		})
	}
}

// TestManyUnderWay: requests do not wait for each other, are written together, and are acknowledged without more to say.
func TestManyUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		c := w.client("alice", &j, client.Config{MaxPending: 300})
		if err := c.CreateGame(t.Context(), "counting", client.GameOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := c.Send(parlor.Packet{Message: "block"}, j.callback("block")); err != nil { // the game is slow
			t.Fatal(err)
		}
		synctest.Wait()
		full := 0
		for n := range 309 {
			switch err := c.Send(parlor.Packet{Message: fmt.Sprint("m", n)}, j.callback("answer")); {
			case errors.Is(err, client.ErrQueueFull):
				full++
			case err != nil:
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if s := c.Stats(); full != 10 || s.QueueFull != 10 || c.Pending() != 172 {
			t.Errorf("%d were refused, %+v; %d wait to be sent, want 172 as 128 are under way", full, s, c.Pending())
		}
		time.Sleep(time.Minute) // sleep: virtual; a slow game is no dead link
		if !c.Linked() || c.Stats().Links != 0 {
			t.Errorf("the client gave its link up: %+v", c.Stats())
		}
		close(w.game.gate)
		synctest.Wait()
		if got := j.take(); len(got) != 599 {
			t.Errorf("%d answers and pushes: %q", len(got), got)
		}
		conn := w.conns[0]
		if calls, _ := conn.written(); len(calls) > 320 {
			t.Errorf("300 requests were written in %d calls", len(calls))
		}
		if err := c.Send(parlor.Packet{Message: "last"}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_, before := conn.written()
		time.Sleep(999 * time.Millisecond) // sleep: virtual
		synctest.Wait()
		if _, notes := conn.written(); len(notes) != len(before) {
			t.Error("a note came within a second")
		}
		time.Sleep(time.Millisecond) // sleep: virtual
		synctest.Wait()
		if _, notes := conn.written(); len(notes) != len(before)+1 || notes[len(before)] != 602 {
			t.Errorf("notes %d, want one of 602 more after a second", notes)
		}
		time.Sleep(time.Hour) // sleep: virtual
		if _, notes := conn.written(); len(notes) != len(before)+1 {
			t.Error("what was acknowledged once is acknowledged again")
		}
	})
}

// TestJoinedWrites: what waits goes out together, within its bounds.
func TestJoinedWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		c := w.client("alice", &j, client.Config{})
		if err := c.CreateGame(t.Context(), "counting", client.GameOptions{}); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.refuse = 1
		w.mu.Unlock()
		w.cut()
		synctest.Wait()
		long := strings.Repeat("x", 40<<10)
		for _, message := range []string{"a", "b", long, "c", long, long, "d"} {
			if err := c.Send(parlor.Packet{Message: message}, j.callback("answer")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute) // sleep: virtual
		synctest.Wait()
		if got, _ := w.conns[1].written(); !slices.Equal(got[:3], []int{4, 1, 2}) {
			t.Errorf("written %d", got)
		}
	})
}

// TestNotesOfMany: pushes are acknowledged when there are 64, or 64 KiB, of them.
func TestNotesOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, server.Config{})
		var j journal
		c := w.client("alice", &j, client.Config{})
		if err := c.CreateGame(t.Context(), "counting", client.GameOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Request(t.Context(), "news 64", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(901 * time.Millisecond) // sleep: virtual, until the news are out
		synctest.Wait()
		_, notes := w.conns[0].written()
		if len(notes) == 0 || notes[len(notes)-1] < 64 {
			t.Errorf("notes %d, want one of 64 or more at once", notes)
		}
		if _, err := c.Request(t.Context(), "large", nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, notes := w.conns[0].written(); notes[len(notes)-1] < 67 {
			t.Errorf("notes %d, want one of 67 at once", notes)
		}
	})
}

// TestUnsendableOnStream: what cannot be sent fails by itself, and what waits behind it gets its number.
func TestUnsendableOnStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oddServer{refuse: func(e *link.Envelope) error {
			switch e.Message {
			case "large":
				return link.ErrTooLarge
			case "odd":
				return errors.New("what a wire says of it")
			}
			return nil
		}}
		s.welcome = func(n int, _ link.Offer) (parlor.Response, *link.Welcome, error) {
			r, w, err := welcomed()
			w.Resumed, w.ID = n > 0, 3*uint64(max(n-1, 0))
			return r, w, err
		}
		var j journal
		c, f := dialOdd(t, s, &j, client.Config{})
		for round := range uint64(3) {
			f.Abort()
			synctest.Wait()
			j.take()
			for _, message := range []string{"a", "large", "b", "odd", "c"} { // which go together when the link is back
				p := parlor.Packet{Message: message}
				if message == "odd" {
					p.Payload = bigInteger(t)
				}
				c.Send(p, j.callback(message))
			}
			time.Sleep(time.Second) // sleep: virtual
			f = s.login(t)
			synctest.Wait()
			for n, message := range []string{"a", "b", "c"} {
				id := 3*round + uint64(n) + 1
				if e := f.next(t); e.Message != message || e.ID != id {
					t.Errorf("sent %q with number %d", e.Message, e.ID)
				}
				f.say(answer(id, id, id, "done"))
			}
			synctest.Wait()
			got := j.take()[3:] // behind those of the link
			slices.Sort(got)
			if len(got) != 5 || got[0] != "a: done" || got[1] != "b: done" || got[2] != "c: done" ||
				!strings.Contains(got[3], "larger than") || !strings.Contains(got[4], "more than 64 bits") {
				t.Errorf("told %q", got)
			}
			f.mu.Lock()
			if !slices.Equal(f.calls, []int{1, 1, 1}) {
				t.Errorf("written with calls of %d", f.calls)
			}
			f.mu.Unlock()
		}
		f.Abort()
		synctest.Wait()
		for range 3 { // of which none is odd
			c.Send(parlor.Packet{Message: "a"}, nil)
		}
		time.Sleep(time.Second) // sleep: virtual
		if f = s.login(t); !slices.Equal(f.calls, []int{3}) {
			t.Errorf("written with calls of %d, want one of 3", f.calls)
		}
	})
}

func bigInteger(t *testing.T) parlor.Payload {
	t.Helper()
	p, err := parlor.ParsePayload([]byte(`{"n": 123456789012345678901234567890}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestWithdrawnOnStream: the answer to a request that nobody waits for any more is dropped, and one that did not get to the server is
// not sent.
func TestWithdrawnOnStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		s := &oddServer{}
		s.welcome = func(n int, o link.Offer) (parlor.Response, *link.Welcome, error) {
			r, w, err := welcomed()
			if n > 0 {
				w.Resumed, w.ID = true, 1
			}
			return r, w, err
		}
		latest := func(below time.Duration) time.Duration { return below - 1 }
		c, f := dialOdd(t, s, &j, client.Config{Reconnect: client.Reconnect{Jitter: latest}})
		ask := func(message string) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				r, err := c.Request(ctx, message, nil)
				j.add("%s: %q %t", message, r.Message, errors.Is(err, context.DeadlineExceeded))
			}()
			synctest.Wait()
		}
		ask("under way")
		ask("not there")
		f.Abort()
		synctest.Wait()
		ask("queued")
		time.Sleep(60 * time.Millisecond) // sleep: virtual; she does not wait any more
		c.Send(parlor.Packet{Message: "flushed"}, j.callback("flushed"))
		synctest.Wait()
		c.Flush()
		c.Send(parlor.Packet{Message: "kept"}, j.callback("kept"))
		time.Sleep(time.Second) // sleep: virtual
		f = s.login(t)
		var got []string
		f.mu.Lock()
		for _, e := range f.wrote {
			got = append(got, fmt.Sprint(e.ID, " ", e.Message))
		}
		f.mu.Unlock()
		if want := []string{"2 not there", "3 kept"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		j.take()
		f.say(answer(3, 1, 1, "late"), answer(3, 2, 2, "later"), answer(3, 3, 3, "its own"))
		synctest.Wait()
		j.want(t, "kept: its own")
	})
}

// TestWithdrawnBeforeItIsSentAgain: what was sent on an earlier link keeps its number, also if nobody waits for it any more: the server may know from before
// it was started again what the answers to those behind it are.
func TestWithdrawnBeforeItIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		s := &oddServer{}
		s.refuse = func(*link.Envelope) error {
			if s.links() > 1 {
				time.Sleep(100 * time.Millisecond) // sleep: virtual; the link is slow
			}
			return nil
		}
		s.welcome = resuming(0)
		c, f := dialOdd(t, s, &j, client.Config{Reconnect: client.Reconnect{Jitter: func(time.Duration) time.Duration { return 0 }}})
		large := parlor.Map{"text": strings.Repeat("x", 40<<10)} // each is a write of its own
		for message, wait := range map[string]time.Duration{"b": 50 * time.Millisecond, "a": time.Minute} {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				if message == "b" {
					time.Sleep(time.Millisecond) // sleep: virtual; behind a
				}
				c.Request(ctx, message, large)
			}()
		}
		time.Sleep(2 * time.Millisecond) // sleep: virtual
		for _, message := range []string{"c", "d"} {
			c.Send(parlor.Packet{Message: message, Payload: parlor.Encode(large)}, j.callback(message))
		}
		synctest.Wait()
		f.Abort()
		time.Sleep(70 * time.Millisecond) // sleep: virtual; she does not wait for b any more
		c.Flush()
		time.Sleep(time.Second) // sleep: virtual
		var got []string
		for _, e := range s.login(t).takeAll() {
			got = append(got, fmt.Sprint(e.ID, " ", e.Message))
		}
		if want := []string{"1 a", "2 b", "3 c", "4 d"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

// TestPushPanics: a panic of the application ends the connection for that reason, as with its other functions.
func TestPushPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		c, f := dialOdd(t, &oddServer{}, &j, client.Config{OnPush: func(*parlor.Push) { panic("boom") }})
		f.say(push(0, 1, "p"))
		wantReason(t, c.Wait(), client.ReasonApplication)
	})
}

// TestConcurrentUseOfStreams is for the race detector: everything at once, over links that are cut, to a server that restarts.
func TestConcurrentUseOfStreams(t *testing.T) {
	w := newWire(t, server.Config{ResumeWindow: 50 * time.Millisecond})
	w.many = true
	var j journal
	cfg := j.config(client.Config{OnPush: func(*parlor.Push) {}, MaxPending: 200, Reconnect: client.Reconnect{Max: 20 * time.Millisecond}})
	cfg.Dialer = w
	c, err := client.New("lobby", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	asked, answered := 0, make(chan struct{}, 1<<16)
	var mu sync.Mutex // guards asked
	for range 4 {
		users.Go(func() {
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				if _, err := c.Request(ctx, "x", nil); errors.Is(err, client.ErrNotConnected) {
					c.Connect(t.Context())
				}
				c.CreateGame(ctx, "counting", client.GameOptions{})
				cancel()
				mu.Lock()
				if c.Send(parlor.Packet{Message: "y"}, func(parlor.Response, error) { answered <- struct{}{} }) == nil {
					asked++
				}
				mu.Unlock()
				_, _, _, _, _, _ = c.Game(), c.Status(), c.Linked(), c.Pending(), c.Streams(), c.Stats()
			}
		})
	}
	users.Go(func() {
		for n := range 40 {
			w.mu.Lock()
			conns := w.conns
			w.mu.Unlock()
			if len(conns) > 0 {
				conns[len(conns)-1].Abort()
			}
			time.Sleep(5 * time.Millisecond) // sleep: for things to happen
			switch n % 10 {
			case 3:
				c.Flush()
			case 5:
				w.stop()
				w.start()
			case 8:
				c.Disconnect()
			}
		}
	})
	users.Wait()
	c.Close()
	c.Wait()
	if c.Connected() || c.Linked() || c.Game() != "" || c.Pending() != 0 {
		t.Error("connected after Close")
	}
	if len(answered) != asked {
		t.Errorf("%d requests, %d answers", asked, len(answered))
	}
}
