package room_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/room"
)

// paper is a journal in memory, which takes a time for each write and can be made to fail.
type paper struct {
	delay time.Duration

	mu     sync.Mutex // guards the fields below
	saves  []room.Save
	pieces []room.Piece // all of them ever
	lasts  []uint64
	err    error // what writes fail with
	failed bool  // until Read
	reads  int
	held   []func() // writes under way, while hold is set
	hold   bool
	life   int
}

func (p *paper) write(keep func(), done func(error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.err
	if p.failed {
		err = errors.New("a write before has failed")
	}
	if err != nil {
		p.failed = true
	} else {
		keep()
	}
	if p.hold {
		p.held = append(p.held, func() { done(err) })
		return
	}
	time.AfterFunc(p.delay, func() { done(err) })
}

func (p *paper) Append(first, last uint64, entries []byte, done func(error)) {
	p.write(func() {
		if n := len(p.lasts); n > 0 && p.lasts[n-1]+1 != first || last < first {
			panic(fmt.Sprintf("entries %d to %d behind %d; life %d; reads %d; saves %d; firsts %v lasts %v; save %d", first, last, p.lasts[n-1], p.life, p.reads, len(p.saves), firsts(p.pieces), p.lasts, p.saves[0].Entry))
		}
		p.pieces, p.lasts = append(p.pieces, room.Piece{First: first, Entries: entries}), append(p.lasts, last)
	}, done)
}

func (p *paper) Save(s room.Save, done func(error)) {
	p.write(func() { p.saves = append(p.saves, s) }, done)
}

func (p *paper) Read(done func(room.Stored, error)) {
	p.mu.Lock()
	p.reads++
	p.failed = false
	st, err := p.stored(), p.err
	p.mu.Unlock()
	time.AfterFunc(p.delay, func() { done(st, err) })
}

// stored is what a crash leaves. The lock is held, or nobody writes.
func (p *paper) stored() (st room.Stored) {
	if n := len(p.saves); n > 0 {
		st.Save = p.saves[n-1]
	}
	st.Pieces = slices.Clone(p.pieces)
	return st
}

func (p *paper) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// release ends the writes that are held.
func (p *paper) release() {
	p.mu.Lock()
	held := p.held
	p.held = nil
	p.mu.Unlock()
	for _, done := range held {
		done()
	}
}

// diary is a durable game whose state is all that it has ever seen, by its room's clock and random source.
type diary struct {
	room parlor.Room
	mu   *sync.Mutex // guards lines, which tests read

	lines []string
	alarm map[string]time.Time // timers that are set

	odd     bool // it uses what is not the room's
	updates bool
	quiet   bool // ticks say nothing
	left    int  // updates to be silent about
}

type diarySave struct {
	Lines []string
	Alarm map[string]time.Time
}

func (g *diary) write(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lines = append(g.lines, fmt.Sprintf("%s %d: ", g.room.Now().UTC().Format("15:04:05.000000"), g.room.Rand().IntN(1000))+fmt.Sprintf(format, args...))
}

// read are the lines so far.
func (g *diary) read() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.lines)
}

func newDiary(g *diary) parlor.NewGame {
	return func(r parlor.Room, save string) (parlor.Game, error) {
		game := *g
		game.room, game.alarm, game.mu, game.lines = r, make(map[string]time.Time), new(sync.Mutex), nil
		*g = game
		if save == "" {
			g.write("began")
			return g, nil
		}
		var s diarySave
		if err := json.Unmarshal([]byte(save), &s); err != nil {
			return nil, err
		}
		g.lines = s.Lines
		for _, name := range slices.Sorted(maps(s.Alarm)) {
			g.set(name, s.Alarm[name])
		}
		return g, nil
	}
}

func maps[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (g *diary) set(name string, at time.Time) {
	g.alarm[name] = at
	g.room.After(at.Sub(g.room.Now()), func() {
		delete(g.alarm, name)
		g.write("alarm %s", name)
		g.room.Broadcast("alarm", parlor.Map{"n": len(g.lines)})
	})
}

func (g *diary) Durable() bool    { return true }
func (g *diary) Persistent() bool { return true }
func (g *diary) SaveVersion() int { return 3 }
func (g *diary) SaveString() string {
	b, _ := json.Marshal(diarySave{g.lines, g.alarm})
	return string(b)
}
func (g *diary) UserJoined(user string)                        { g.write("%s joined %v", user, g.room.Users()) }
func (g *diary) UserLeft(user string)                          { g.write("%s left %v", user, g.room.Users()) }
func (g *diary) UserAway(user string)                          { g.write("%s away", user) }
func (g *diary) UserBack(user string, missed bool)             { g.write("%s back %v", user, missed) }
func (g *diary) Draining(deadline time.Time)                   { g.write("draining till %v", deadline.UTC()) }
func (g *diary) UpdateRate() float64                           { return 3 }
func (g *diary) LobbyInfo() string                             { return fmt.Sprint(len(g.lines), " lines") }
func (g *diary) HandleHeartbeat(parlor.Packet) parlor.Response { return parlor.OK("beat") }
func (g *diary) Update() {
	if !g.updates {
		return
	}
	g.write("update")
	if !g.quiet {
		g.room.Broadcast("updated", parlor.Map{"n": len(g.lines)})
	}
}

func (g *diary) HandleGamePacket(p parlor.Packet) parlor.Response {
	g.write("%s says %s %s %s", p.Username, p.Message, p.Payload.JSON(), p.CreatedOn)
	switch p.Message {
	case "alarm":
		g.set(fmt.Sprintf("%06d", len(g.lines)), g.room.Now().Add(time.Duration(g.room.Rand().IntN(5000))*time.Millisecond))
	case "go":
		resp := parlor.OK("gone")
		resp.Disconnecting = true
		return resp
	case "panic":
		panic("as told")
	case "tell":
		g.room.Broadcast("told", parlor.Map{"n": len(g.lines)})
	}
	if g.odd {
		return parlor.OK(time.Now().String())
	}
	return parlor.OK(fmt.Sprint("line ", len(g.lines)))
}

// openDiary opens a room with a diary on a journal. What the lobby is told goes to the events.
func openDiary(t *testing.T, p *paper, g *diary, cfg room.Config) (*room.Room, *events) {
	t.Helper()
	happened := new(events)
	cfg.Name, cfg.Journal, cfg.New = "diary", p, newDiary(g)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Left = func(m room.Member) { happened.add("left") }
	cfg.Ended = func() { happened.add("ended") }
	r := room.Open(cfg, func(err error) { happened.add(fmt.Sprint("opened ", err)) })
	t.Cleanup(func() {
		closed := make(chan struct{})
		r.Close(func() { close(closed) })
		synctest.Wait()
	})
	return r, happened
}

func say(user, message string) parlor.Packet {
	return parlor.Packet{Username: user, Message: message, CreatedOn: "then", Payload: parlor.Encode(parlor.Map{"of": user})}
}

func joinDiary(t *testing.T, r *room.Room, m *member) {
	t.Helper()
	r.Join(m.name, m, func(_ room.Joined, err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.answers = append(m.answers, fmt.Sprint("joined ", err))
	})
}

// TestDurableWaits: nothing that a durable game says leaves before it is on disk, and it leaves in its order then.
func TestDurableWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := &paper{hold: true}, &diary{}
		r, happened := openDiary(t, p, g, room.Config{})
		happened.want(t)
		p.release()
		happened.want(t, "opened <nil>")
		zoe, bob := &member{name: "zoe"}, &member{name: "bob"}
		joinDiary(t, r, zoe)
		joinDiary(t, r, bob)
		zoe.want(t)
		p.release()
		zoe.want(t, "joined <nil>")
		bob.want(t, "joined <nil>")
		_ = r.Packet(say("zoe", "tell"), zoe)
		_, _ = r.Packets([]parlor.Packet{say("bob", "a"), say("bob", "b")}, bob)
		zoe.want(t)
		bob.want(t)
		if lines := g.read(); len(lines) != 6 {
			t.Errorf("the game went on to %q", lines)
		}
		p.release()
		zoe.want(t, "push told", "OK line 4")
		bob.want(t, "push told", "OK line 5", "OK line 6")
		told := make(chan struct{})
		_ = r.Packet(say("bob", "c"), bob)
		r.Refresh(func() { close(told) })
		synctest.Wait()
		if info, _ := r.Info(); info != "" {
			t.Errorf("the lobby was told %q", info)
		}
		_ = r.Packet(say("bob", "go"), bob)
		bob.want(t)
		happened.want(t)
		p.release()
		<-told
		if info, _ := r.Info(); info != "7 lines" {
			t.Errorf("the lobby was told %q", info)
		}
		p.release()
		bob.want(t, "OK line 7", "OK gone")
		happened.want(t, "left")
		p.mu.Lock()
		p.hold = false
		p.mu.Unlock()
	})
}

// TestDurableFailure: what could not be stored is refused, and never was; users stay, or leave if they have gone.
func TestDurableFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := &paper{delay: time.Millisecond}, &diary{}
		r, happened := openDiary(t, p, g, room.Config{})
		zoe, bob, eve := &member{name: "zoe"}, &member{name: "bob"}, &member{name: "eve"}
		joinDiary(t, r, zoe)
		joinDiary(t, r, bob)
		_ = r.Packet(say("zoe", "one"), zoe)
		pass(time.Second)
		zoe.want(t, "joined <nil>", "OK line 4")
		bob.want(t, "joined <nil>")
		happened.want(t, "opened <nil>")
		before := g.read()

		p.fail(errors.New("no room on the disk"))
		_ = r.Packet(say("zoe", "tell"), zoe)
		joinDiary(t, r, eve)
		_ = r.Packet(say("bob", "go"), bob)
		pass(10 * time.Millisecond)
		const refused = "UNEXPECTED The server could not store this. Please try again later."
		zoe.want(t, refused)
		eve.want(t, "joined it could not be stored")
		bob.want(t, refused)
		_ = r.Packet(say("zoe", "again"), zoe)
		joinDiary(t, r, eve)
		gone := false
		r.Leave("bob", bob, func() { gone = true })
		r.Away("zoe", zoe)
		pass(10 * time.Second)
		zoe.want(t, refused)
		eve.want(t, "joined it could not be stored")
		happened.want(t, "left") // bob
		if !gone {
			t.Error("bob cannot leave")
		}

		p.fail(nil)
		pass(10 * time.Second)
		happened.want(t)
		_ = r.Packet(say("zoe", "two"), zoe)
		joinDiary(t, r, eve)
		pass(time.Second)
		zoe.want(t, "OK line 7")
		eve.want(t, "joined <nil>")
		after := g.read()
		if len(after) != 8 || !slices.Equal(after[:4], before) || !strings.HasSuffix(after[4], "bob left [zoe]") || !strings.HasSuffix(after[5], "zoe away") {
			t.Errorf("behind %q the game has %q", before, after)
		}
	})
}

// TestDurableReplay does anything at random, with a crash now and then: the game that is made again has seen what it has seen before, up to
// the last that was on disk.
func TestDurableReplay(t *testing.T) {
	const seeds = 60
	for seed := (replays.Add(1) - 1) * seeds; seed < replays.Load()*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { replayAtRandom(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// replays are how often TestDurableReplay has run: with -count each run has other seeds.
var replays atomic.Uint64

func replayAtRandom(t *testing.T, rng *rand.Rand) {
	p := &paper{delay: time.Duration(rng.IntN(20)) * time.Millisecond}
	like := diary{updates: rng.IntN(2) == 0, quiet: rng.IntN(2) == 0}
	cfg := room.Config{SaveEvery: 1 + rng.IntN(60)}
	g := new(diary)
	*g = like
	r, _ := openDiary(t, p, g, cfg)
	members := map[string]*member{}
	for life := range 4 {
		for range 40 {
			name := string(rune('a' + rng.IntN(4)))
			m := members[name]
			switch n := rng.IntN(12); {
			case m == nil:
				m = &member{name: name}
				members[name] = m
				joinDiary(t, r, m)
			case n == 0:
				delete(members, name)
				r.Leave(name, m, func() {})
			case n == 1:
				r.Away(name, m)
			case n == 2:
				r.Back(name, m, rng.IntN(2) == 0)
			case n == 3:
				pass(time.Duration(rng.IntN(3000)) * time.Millisecond)
			case n == 4:
				pass(time.Duration(rng.IntN(3_000_000)) * time.Nanosecond)
			case n == 5:
				_ = r.Packet(say(name, []string{"panic", "tell"}[rng.IntN(2)]), m)
			case n == 6:
				r.Save(func(room.Save, bool, error) {})
			case n == 7 && rng.IntN(8) == 0:
				r.Drain(time.Now().Add(time.Second), func() {})
			case n < 9:
				_ = r.Packet(say(name, "alarm"), m)
			default:
				_, _ = r.Packets([]parlor.Packet{say(name, "x"), say(name, "y")}, m)
			}
		}
		pass(time.Duration(rng.IntN(30)) * time.Millisecond)
		p.mu.Lock()
		stored, lasts := p.stored(), slices.Clone(p.lasts)
		kept := g.read()
		told := 0
		for _, m := range members {
			told = max(told, m.told())
		}
		p.mu.Unlock()
		again := new(diary)
		*again = like
		pass(time.Duration(rng.IntN(10_000)) * time.Millisecond)
		next := &paper{life: life + 1, delay: p.delay, saves: []room.Save{stored.Save}, pieces: stored.Pieces, lasts: lasts}
		cfg.Stored = &stored
		cfg.Reseat = func(s room.Seated) room.Member {
			user := s.User
			if m := members[user]; m != nil {
				return m
			}
			return nil
		}
		var happened *events
		log := new(logged)
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		r, happened = openDiary(t, next, again, cfg)
		synctest.Wait()
		happened.mu.Lock()
		list := strings.Join(happened.list, ", ")
		happened.mu.Unlock()
		if text := log.String(); !strings.HasPrefix(list, "opened <nil>") || strings.Contains(text, "journal") || strings.Contains(text, "other timers") {
			t.Fatalf("in life %d: %s: %s", life, list, text)
		}
		lines, n := again.read(), 0
		for n < len(kept) && n < len(lines) && kept[n] == lines[n] {
			n++
		}
		if n < told {
			t.Fatalf("in life %d users were told of %d lines, and of %d lines only %d are as they were: not\n%q, but\n%q", life, told, len(kept), n, kept[n:], lines[n:])
		}
		g, p = again, next
		for name := range members {
			delete(members, name)
		}
	}
}

// logged is a log.
type logged struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// told is how many lines the game had, as the member knows.
func (m *member) told() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, answer := range m.answers {
		_, _ = fmt.Sscanf(answer, "OK line %d", &n)
	}
	for _, p := range m.pushes {
		if v, ok := p.Payload.Get("n"); ok {
			n = max(n, int(v.(int64)))
		}
	}
	return n
}

func firsts(ps []room.Piece) (all []uint64) {
	for _, p := range ps {
		all = append(all, p.First)
	}
	return all
}
