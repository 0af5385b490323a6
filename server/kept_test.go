package server_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
)

// loud is a game whose packets say how much it shall push to all others, how often, and how long its answer is to be.
type loud struct{ room parlor.Room }

func newLoud(room parlor.Room, _ string) (parlor.Game, error) { return &loud{room}, nil }

func (g *loud) HandleGamePacket(p parlor.Packet) parlor.Response {
	var order struct {
		Times  int `json:"times"`
		Push   int `json:"push"`
		Answer int `json:"answer"`
	}
	if err := p.Payload.Bind(&order); err != nil {
		return parlor.Unexpected(err.Error())
	}
	for i := range order.Times {
		g.room.Broadcast(fmt.Sprint("push ", i), strings.Repeat("x", order.Push), p.Username)
	}
	return parlor.Response{Message: p.Message, Payload: parlor.Encode(strings.Repeat("x", order.Answer)), Disconnecting: p.Message == "out"}
}

// inLoud runs a test in virtual time with a server of that game.
func inLoud(t *testing.T, limits server.Limits, test func(t *testing.T, srv *server.Server)) {
	synctest.Test(t, func(t *testing.T) {
		limits.HashMemory, limits.HashPasses = cheap.Memory, cheap.Passes
		srv, err := server.New(server.Config{
			Games: map[string]parlor.NewGame{"loud": newLoud}, Takeover: true,
			AdminPassword: "secret", Logger: slog.New(slog.DiscardHandler), Limits: limits,
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { srv.Run(t.Context()); close(ended) }()
		test(t, srv)
		srv.Shutdown(0)
		<-ended
		keepsNothing(t, srv)
	})
}

func keepsNothing(t *testing.T, srv *server.Server) {
	t.Helper()
	if n := srv.Stats().Kept.Load(); n != 0 {
		t.Errorf("%d bytes count as kept, and nobody is there", n)
	}
}

// wanderer is a client that comes and goes. What it does it does without waiting.
type wanderer struct {
	t     *testing.T
	srv   *server.Server
	name  string
	link  *streamLink // nil: none
	token []byte
	asked uint64
	acked uint64
}

// connect logs in: to the session of its token, if it has one.
func (w *wanderer) connect(end func(*streamLink) link.Link) *link.Welcome {
	l := &streamLink{offer: link.Offer{Token: w.token, Seq: w.acked}, key: w.name, takes: -1}
	if w.token == nil {
		l.offer.Seq = 0
	}
	session, err := w.srv.Open(end(l))
	if err != nil {
		w.t.Fatal(err)
	}
	l.session, w.link = session, l
	_ = session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": w.name, "password": "pw"})})
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.welcome == nil {
		return nil
	}
	w.token = l.welcome.Token
	if !l.welcome.Resumed {
		w.asked, w.acked = 0, 0
	} else {
		w.asked = l.welcome.ID
	}
	return l.welcome
}

func plain(l *streamLink) link.Link { return l }

// got is what has come on the link, and the highest number of it.
func (w *wanderer) got() (messages []link.Message, seq uint64) {
	w.link.mu.Lock()
	defer w.link.mu.Unlock()
	messages, seq = w.link.messages, w.acked
	if n := len(messages); n > 0 {
		seq = messages[n-1].Seq
	}
	return messages, seq
}

func (w *wanderer) ask(message string, payload any) error {
	w.asked++
	return w.link.session.Request(&link.Envelope{Kind: link.KindRequest, Ack: w.acked, ID: w.asked, Message: message, Payload: parlor.Encode(payload)})
}

func (w *wanderer) note() error {
	return w.link.session.Request(&link.Envelope{Kind: link.KindNote, Ack: w.acked})
}

// join logs in, joins a game, and acknowledges what it got.
func (w *wanderer) join(game string) {
	w.connect(plain)
	if err := w.ask(parlor.RequestJoinGame, parlor.Map{"name": game}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	if _, w.acked = w.got(); w.acked == 0 {
		w.t.Fatal("she was not answered")
	}
	if err := w.note(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wanderer) cut() {
	w.link.end(false)
	synctest.Wait()
}

func crowd(t *testing.T, srv *server.Server, n int) []*wanderer {
	all := make([]*wanderer, n)
	for i := range all {
		all[i] = &wanderer{t: t, srv: srv, name: fmt.Sprint("user", i)}
	}
	return all
}

// TestKeptForTheCrowd: many who go away from a busy game do not make the server keep more than it is to keep for all, nor cost others, who
// miss a little, any of it. Those whose pushes are lost are told how many.
func TestKeptForTheCrowd(t *testing.T) {
	for _, kept := range []int{2 << 20, 8 << 20} { // less than what each may keep anyway, and more
		t.Run(fmt.Sprint(kept), func(t *testing.T) { testCrowd(t, kept) })
	}
}

func testCrowd(t *testing.T, kept int) {
	const times, size = 50, 20_000
	inLoud(t, server.Limits{KeptBytes: kept}, func(t *testing.T, srv *server.Server) {
		others := crowd(t, srv, 34)
		early, late, friend, noisy, all := others[0], others[1], others[2], others[3], others[4:]
		for _, w := range []*wanderer{early, late, friend} {
			w.join("quiet")
		}
		noisy.join("busy")
		for _, w := range all {
			w.join("busy")
			w.cut()
		}
		order := func(w *wanderer, times, size int) {
			t.Helper()
			_, w.acked = w.got()
			if err := w.ask("say", map[string]int{"times": times, "push": size}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		early.cut()
		order(friend, 6, 5000)
		order(noisy, times, size)
		late.cut()
		order(friend, 6, 5000)
		order(noisy, 1, size)
		if n, most := srv.Stats().Kept.Load(), int64(kept+len(others)*server.SharedAnyway); n > most || n < int64(kept)*9/10 || n != srv.Keeps() {
			t.Errorf("%d bytes are kept, which are %d; want %d at most", n, srv.Keeps(), most)
		}
		for w, want := range map[*wanderer]int{early: 12, late: 12} { // late had not acknowledged the first six
			welcome := w.connect(plain)
			if welcome == nil || !welcome.Resumed || welcome.Lost != 0 {
				t.Fatalf("%s: the welcome is %+v", w.name, welcome)
			}
			if messages, _ := w.got(); len(messages) != want {
				t.Errorf("%s got %d pushes, want %d", w.name, len(messages), want)
			}
		}
		lost, least := 0, times
		for _, w := range all {
			welcome := w.connect(plain)
			if welcome == nil || !welcome.Resumed {
				t.Fatalf("%s: the welcome is %+v", w.name, welcome)
			}
			messages, last := w.got()
			if n := len(messages) + welcome.Lost; n != times+1 || int(last-w.acked) != n {
				t.Errorf("%s got %d and was told that %d are lost, of %d", w.name, len(messages), welcome.Lost, times+1)
			}
			for i, m := range messages { // the newest ones
				if want := last - uint64(len(messages)-1-i); m.Seq != want {
					t.Errorf("%s got %d, want %d", w.name, m.Seq, want)
				}
			}
			lost, least = lost+welcome.Lost, min(least, len(messages))
			w.cut()
		}
		if least < server.SharedAnyway/(size+100)-1 {
			t.Errorf("one of them got %d pushes only", least)
		}
		if st := srv.Stats(); int(st.PushesLost.Load()) != lost || int(st.PushesCrowded.Load()) != lost || lost == 0 {
			t.Errorf("%d were lost, %d in the crowd; the clients were told of %d", st.PushesLost.Load(), st.PushesCrowded.Load(), lost)
		}
		pass(time.Hour)
		if n := srv.Stats().Kept.Load(); n != srv.Keeps() {
			t.Errorf("%d bytes count as kept, which are %d", n, srv.Keeps())
		}
	})
}

// TestKeptAnswers: what a crowd does not acknowledge of answers has a bound, too; none is lost, and who acknowledges is not held up.
func TestKeptAnswers(t *testing.T) {
	const kept, each, size = 1 << 20, 40, 50_000
	for _, limit := range []int{kept, -1} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			inLoud(t, server.Limits{KeptBytes: limit}, func(t *testing.T, srv *server.Server) {
				all := crowd(t, srv, 20)
				for _, w := range all {
					w.join(w.name)
				}
				synctest.Wait()
				for _, w := range all {
					for range each {
						if err := w.ask("say", map[string]int{"answer": size}); err != nil {
							t.Fatal(err)
						}
					}
					w.cut()
				}
				if n, most := srv.Stats().Kept.Load(), int64(max(limit, 0)+len(all)*(server.SharedAnyway+size+100)); n > most || n != srv.Keeps() {
					t.Errorf("%d bytes are kept, which are %d; want %d at most", n, srv.Keeps(), most)
				}
				if n := srv.Stats().Held.Load(); int(n) < len(all)/2 {
					t.Errorf("requests were held %d times", n)
				}
				start := time.Now()
				for _, w := range all {
					if welcome := w.connect(plain); welcome == nil || !welcome.Resumed || welcome.Lost != 0 {
						t.Fatalf("%s: the welcome is %+v", w.name, welcome)
					}
					answers := 0
					for answers < each {
						messages, seq := w.got()
						if len(messages) == answers {
							t.Fatalf("%s has %d answers, and no more come", w.name, answers)
						}
						answers, w.acked = len(messages), seq
						if err := w.note(); err != nil {
							t.Fatal(err)
						}
						synctest.Wait()
					}
					messages, _ := w.got()
					for i, m := range messages {
						if m.ID != uint64(i+2) || m.Response.Message != "say" || len(m.Response.Payload.JSON()) < size {
							t.Fatalf("%s: answer %d is to %d: %q", w.name, i, m.ID, m.Response.Message)
						}
					}
				}
				if took := time.Since(start); took > 0 {
					t.Errorf("it took %v", took)
				}
				if n := srv.Stats().Kept.Load(); n != 0 {
					t.Errorf("%d bytes are kept when all was acknowledged", n)
				}
			})
		})
	}
}

// TestKeptIsExact: whatever clients do, what counts as kept is what is kept, and within its bound; when all are gone it is nothing.
func TestKeptIsExact(t *testing.T) {
	const kept, users, largest = 300_000, 8, 30_000
	limits := server.Limits{KeptBytes: kept, PushBytes: 200_000, Pushes: 30, Unacknowledged: 12, UnacknowledgedBytes: 200_000, Queue: 20}
	var crowded, held, resumed, replaced int64
	for seed := range uint64(20) {
		inLoud(t, limits, func(t *testing.T, srv *server.Server) {
			all := crowd(t, srv, users)
			var doing sync.WaitGroup
			for round := range 150 {
				for i, w := range all {
					random := rand.New(rand.NewPCG(seed, uint64(round*users+i)))
					if w.link == nil { // one after the other, as a login waits for its answer
						w.comes(random)
						continue
					}
					doing.Go(func() { w.does(random, largest) })
				}
				doing.Wait()
				synctest.Wait()
				if n, are := srv.Stats().Kept.Load(), srv.Keeps(); n != are || n > kept+users*(2*server.SharedAnyway+largest+1000) {
					t.Fatalf("seed %d, round %d: %d bytes count as kept, which are %d", seed, round, n, are)
				}
			}
			for _, w := range all {
				if w.link != nil {
					w.link.end(false)
				}
			}
			pass(2 * time.Minute)
			if n := srv.Users(); n != 0 {
				t.Errorf("%d users are left", n)
			}
			keepsNothing(t, srv)
			st := srv.Stats()
			crowded, held, resumed, replaced = crowded+st.PushesCrowded.Load(), held+st.Held.Load(), resumed+st.Resumed.Load(), replaced+st.TooLarge.Load()
		})
	}
	if crowded == 0 || held == 0 || resumed == 0 || replaced == 0 {
		t.Errorf("%d pushes were lost in the crowd, %d times requests were held, %d sessions resumed, %d answers replaced", crowded, held, resumed, replaced)
	}
}

// comes opens a link in one of many ways.
func (w *wanderer) comes(random *rand.Rand) {
	if random.IntN(5) == 0 {
		w.token = nil // she takes her seat by password
	}
	if random.IntN(10) == 0 { // on pgnet's wire
		w.token = nil
		w.connect(func(l *streamLink) link.Link { return struct{ link.Link }{l} })
		w.link.end(random.IntN(2) == 0)
		w.link = nil
		return
	}
	welcome := w.connect(func(l *streamLink) link.Link {
		if random.IntN(3) == 0 {
			l.takes = random.IntN(8)
		}
		if random.IntN(3) == 0 {
			l.refuses = func(m link.Message) error {
				if m.Seq%3 == 0 {
					return link.ErrTooLarge
				}
				return nil
			}
		}
		return l
	})
	if welcome == nil {
		w.link.end(false)
		w.link = nil
	}
}

// does does one thing of many, and lets go of a link that has ended.
func (w *wanderer) does(random *rand.Rand, largest int) {
	var err error
	switch n := random.IntN(100); {
	case n < 45:
		err = w.ask("say", map[string]int{"times": random.IntN(4), "push": random.IntN(largest), "answer": random.IntN(largest)})
	case n < 55:
		err = w.ask(parlor.RequestJoinGame, parlor.Map{"name": fmt.Sprint("game", random.IntN(3))})
	case n < 58:
		err = w.ask(parlor.RequestLeaveGame, parlor.Map{})
	case n < 60:
		err = w.ask(parlor.RequestSubscribe, parlor.Map{})
	case n < 61:
		err = w.ask("out", parlor.Map{})
	case n < 75:
		_, seq := w.got()
		w.acked += random.Uint64N(seq - w.acked + 1)
		err = w.note()
	case n < 76:
		w.acked += 1000 // which she cannot have
		err = w.note()
	case n < 78:
		_ = w.srv.DeleteUser(w.name)
		w.token = nil
	case n < 88:
		err = net.ErrClosed
	case n < 90:
		w.link.end(true)
		w.token, err = nil, net.ErrClosed
	case n < 92:
		time.Sleep(time.Duration(random.IntN(80)) * time.Second) // sleep: virtual; some windows end
	default:
		time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond) // sleep: virtual
	}
	w.link.mu.Lock()
	closed := w.link.dead || w.link.aborted || len(w.link.closed) > 0
	w.link.mu.Unlock()
	if err != nil || closed {
		w.link.end(false)
		w.link = nil
	}
}
