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
	err    error    // what writes fail with
	failed bool     // until Read
	lost   bool     // what fails with ErrUnknown is not there
	held   []func() // writes under way, while hold is set
	hold   bool
	zoe    *member // who plays
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
	}
	if err == nil || errors.Is(err, room.ErrUnknown) && !p.lost { // then it is there, which is not known
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
			panic(fmt.Sprintf("entries %d to %d behind %d", first, last, p.lasts[n-1]))
		}
		p.pieces, p.lasts = append(p.pieces, room.Piece{First: first, Entries: entries}), append(p.lasts, last)
	}, done)
}

func (p *paper) Save(s room.Save, done func(error)) {
	p.write(func() { p.saves = append(p.saves, s) }, done)
}

func (p *paper) Read(done func(room.Stored, error)) {
	p.mu.Lock()
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
	full    bool // answers have the line
	looks   bool // heartbeats only look, and tell
	expels  bool // and those who send one are out
	slow    *atomic.Bool
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
		if g.updates {
			r.Every(700*time.Millisecond, func() { g.write("every") })
		}
		if save == "" {
			g.write("began")
			return g, nil
		}
		var s diarySave
		if err := json.Unmarshal([]byte(save), &s); err != nil {
			return nil, err
		}
		g.lines = s.Lines
		g.room.Rand().Uint64() // of no account
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
		g.tell("alarm")
	})
}

func (g *diary) Durable() bool    { return true }
func (g *diary) Persistent() bool { return true }
func (g *diary) SaveVersion() int { return 3 }
func (g *diary) SaveString() string {
	g.room.Rand().Uint64()
	b, _ := json.Marshal(diarySave{g.lines, g.alarm})
	return string(b)
}
func (g *diary) UserJoined(user string)            { g.write("%s joined %v", user, g.room.Users()) }
func (g *diary) UserLeft(user string)              { g.write("%s left %v", user, g.room.Users()) }
func (g *diary) UserAway(user string)              { g.write("%s away", user) }
func (g *diary) UserBack(user string, missed bool) { g.write("%s back %v", user, missed) }
func (g *diary) Draining(deadline time.Time)       { g.write("draining till %v", deadline.UTC()) }
func (g *diary) UpdateRate() float64               { return 3 }
func (g *diary) LobbyInfo() string                 { g.room.Rand().Uint64(); return fmt.Sprint(len(g.lines), " lines") }
func (g *diary) HeartbeatsOnlyLook() bool          { return g.looks }
func (g *diary) HandleHeartbeat(parlor.Packet) parlor.Response {
	if g.looks {
		g.tell("looked")
	}
	resp := parlor.OK("beat")
	resp.Disconnecting = g.expels
	return resp
}
func (g *diary) Update() {
	if !g.updates {
		return
	}
	g.write("update")
	if !g.quiet {
		g.tell("updated")
	}
}

func (g *diary) HandleGamePacket(p parlor.Packet) parlor.Response {
	g.write("%s says %s %s %s", p.Username, p.Message, p.Payload.JSON(), p.CreatedOn)
	switch p.Message {
	case "alarm":
		g.set(fmt.Sprintf("%06d", len(g.lines)), g.room.Now().Add(time.Duration(g.room.Rand().IntN(5000))*time.Millisecond))
	case "alarms": // together with others
		g.set(fmt.Sprintf("%06d", len(g.lines)), g.room.Now().Truncate(time.Second).Add(time.Duration(1+g.room.Rand().IntN(3))*time.Second))
	case "slow":
		if d := time.Duration(g.room.Rand().IntN(3000)) * time.Millisecond; g.slow.Load() {
			take(d)
		}
	case "go":
		resp := parlor.OK("gone")
		resp.Disconnecting = true
		return resp
	case "panic":
		panic("as told")
	case "tell":
		g.tell("told")
	case "keep":
		g.room.Save()
	}
	if g.odd {
		return parlor.OK(time.Now().String())
	}
	if g.full {
		return parlor.OK(fmt.Sprintf("line %d|%s", len(g.lines), g.lines[len(g.lines)-1]))
	}
	return parlor.OK(fmt.Sprint("line ", len(g.lines)))
}

// tell broadcasts the last line.
func (g *diary) tell(message string) {
	g.room.Broadcast(message, parlor.Map{"n": len(g.lines), "line": g.lines[len(g.lines)-1]})
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
		<-closed
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

// TestLookSays: what a game pushes with a heartbeat that only looks waits for nothing but what was before, and comes before the answer.
func TestLookSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := &paper{hold: true}, &diary{looks: true}
		r, _ := openDiary(t, p, g, room.Config{})
		zoe := &member{name: "zoe"}
		p.release()
		joinDiary(t, r, zoe)
		zoe.want(t)
		p.release()
		zoe.want(t, "joined <nil>")
		_ = r.Packet(say("zoe", parlor.RequestHeartbeat), zoe)
		zoe.want(t, "push looked", "OK beat")
		_ = r.Packet(say("zoe", "one"), zoe)
		_ = r.Packet(say("zoe", parlor.RequestHeartbeat), zoe)
		zoe.want(t)
		p.release()
		zoe.want(t, "OK line 3", "push looked", "OK beat")
		p.mu.Lock()
		p.hold = false
		if n := p.lasts[len(p.lasts)-1]; n != 3 {
			t.Errorf("%d entries were written", n)
		}
		p.mu.Unlock()
	})
}

// TestLookThatTakesOut: a heartbeat that only looks may take its user out. What the game does then is in the journal, and can be done again.
func TestLookThatTakesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := new(paper), &diary{looks: true, expels: true}
		r, happened := openDiary(t, p, g, room.Config{})
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		pass(time.Second)
		_ = r.Packet(say("zoe", parlor.RequestHeartbeat), zoe)
		zoe.want(t, "joined <nil>", "push looked", "OK beat")
		happened.want(t, "opened <nil>", "left")
		r.Stop(func() {})
		pass(time.Second)
		again := &diary{looks: true}
		_, _, _, log := openAgain(t, p.stored(), again, room.Config{})
		if text := log.String(); text != "" {
			t.Errorf("the log says %s", text)
		}
		if got, want := again.read(), g.read(); !slices.Equal(got, want) {
			t.Errorf("it is made again with %q, was %q", got, want)
		}
	})
}

// TestDurableIsSavedAsItWants: a durable game that asks for it is saved behind the packet, once a second at most, and not when it is played again.
func TestDurableIsSavedAsItWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := &paper{}, &diary{}
		r, _ := openDiary(t, p, g, room.Config{KeepJournal: true})
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		saved := func(after time.Duration, want ...uint64) {
			t.Helper()
			pass(after)
			p.mu.Lock()
			defer p.mu.Unlock()
			var got []uint64
			for _, s := range p.saves {
				got = append(got, s.Entry)
			}
			if !slices.Equal(got, want) {
				t.Errorf("saved at entries %v, want %v", got, want)
			}
		}
		for range 3 {
			_ = r.Packet(say("zoe", "keep"), zoe)
			synctest.Wait()
		}
		saved(0, 3)
		saved(time.Second, 3, 5)
		saved(time.Minute, 3, 5)
		_, again, _, _ := openAgain(t, room.Stored{Pieces: p.stored().Pieces}, &diary{}, room.Config{})
		pass(time.Minute)
		if len(again.saves) != 1 {
			t.Errorf("played again it is saved %d times", len(again.saves)-1)
		}
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
// the last that was on disk, and whatever users were told of.
func TestDurableReplay(t *testing.T) { atRandom(t, false) }

// TestDurableFailures is the same with a store that fails now and then.
func TestDurableFailures(t *testing.T) { atRandom(t, true) }

func atRandom(t *testing.T, failing bool) {
	const seeds = 60
	n := runs.Add(1) - 1 // with -count each run has other seeds
	for seed := n * seeds; seed < (n+1)*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newTrial(t, seed, failing).run() })
		})
	}
}

var runs atomic.Uint64

// trial is a diary through several lives.
type trial struct {
	*testing.T
	rng     *rand.Rand
	failing bool
	like    diary
	cfg     room.Config
	members map[string]*member
	asked   map[*member]int // packets that were taken

	room  *room.Room
	game  *diary
	paper *paper
	log   *logged
	told  map[int]string // lines that users were told of
}

func newTrial(t *testing.T, seed uint64, failing bool) *trial {
	rng := rand.New(rand.NewPCG(seed, 1))
	tr := &trial{
		T: t, rng: rng, failing: failing, like: diary{updates: rng.IntN(2) == 0, quiet: rng.IntN(2) == 0, full: true, slow: new(atomic.Bool)},
		cfg:     room.Config{SaveEvery: 1 + rng.IntN(60), KeepJournal: rng.IntN(2) == 0},
		members: make(map[string]*member), asked: make(map[*member]int), told: make(map[int]string),
		paper: &paper{delay: time.Duration(rng.IntN(20)) * time.Millisecond},
	}
	tr.open()
	return tr
}

// open opens the room, and waits for it.
func (t *trial) open() {
	t.Helper()
	t.like.slow.Store(false)
	defer t.like.slow.Store(true)
	t.game, t.log = new(diary), new(logged)
	*t.game = t.like
	t.cfg.Logger = slog.New(slog.NewTextHandler(t.log, nil))
	var happened *events
	t.room, happened = openDiary(t.T, t.paper, t.game, t.cfg)
	pass(time.Second)
	happened.mu.Lock()
	defer happened.mu.Unlock()
	if list, text := strings.Join(happened.list, ", "), t.log.String(); !strings.HasPrefix(list, "opened <nil>") || strings.Contains(text, "journal") || strings.Contains(text, "other timers") {
		t.Fatalf("%s: %s", list, text)
	}
}

func (t *trial) run() {
	for range 4 {
		for range 40 {
			t.do()
		}
		pass(time.Duration(t.rng.IntN(30)) * time.Millisecond)
		if t.failing && t.rng.IntN(2) == 0 {
			t.recover()
		}
		t.crash()
	}
}

func (t *trial) do() {
	r, rng := t.room, t.rng
	name := string(rune('a' + rng.IntN(4)))
	m := t.members[name]
	switch n := rng.IntN(12); {
	case t.failing && rng.IntN(8) == 0:
		t.paper.fail([]error{nil, errors.New("no room on the disk")}[rng.IntN(2)])
	case m == nil:
		m = &member{name: name}
		t.members[name] = m
		joinDiary(t.T, r, m)
	case n == 0 && rng.IntN(4) == 0: // in another session
		m = &member{name: name}
		t.members[name] = m
		joinDiary(t.T, r, m)
	case n == 0:
		delete(t.members, name)
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
		t.send(m, []string{"panic", "tell", "go", "slow"}[rng.IntN(4)])
	case n == 6:
		r.Save(func(room.Save, bool, error) {})
	case n == 7 && rng.IntN(8) == 0:
		r.Drain(time.Now().Add(time.Second), func() {})
	case n == 7 && rng.IntN(4) == 0:
		r.Refresh(func() {})
	case n < 9:
		t.send(m, []string{"alarm", "alarms"}[rng.IntN(2)])
	default:
		t.send(m, "x", "y")
	}
}

func (t *trial) send(m *member, messages ...string) {
	var ps []parlor.Packet
	for _, message := range messages {
		ps = append(ps, say(m.name, message))
	}
	n, _ := t.room.Packets(ps, m)
	t.asked[m] += n
}

// recover lets the store do its work again: then everybody is answered, and the game goes on.
func (t *trial) recover() {
	t.like.slow.Store(false)
	t.paper.fail(nil)
	pass(20 * time.Second)
	for m, n := range t.asked {
		if got := m.answered(); got != n {
			t.Fatalf("%s has sent %d packets, and has %d answers: %q", m.name, n, got, m.answers)
		}
	}
	m := &member{name: "zoe"}
	joinDiary(t.T, t.room, m)
	_ = t.room.Packet(say("zoe", "here"), m)
	pass(time.Second)
	m.mu.Lock()
	if len(m.answers) < 2 || !slices.Contains(m.answers, "joined <nil>") || !slices.ContainsFunc(m.answers, func(a string) bool { return strings.HasPrefix(a, "OK line") }) {
		t.Fatalf("behind a failure zoe is told %q", m.answers)
	}
	m.mu.Unlock()
	t.room.Leave("zoe", m, func() {})
	t.note(m)
}

// note notes the lines that a member was told of: they are as they were told first.
func (t *trial) note(m *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, answer := range m.answers {
		var n int
		if _, err := fmt.Sscanf(answer, "OK line %d", &n); err != nil {
			continue
		}
		_, line, _ := strings.Cut(answer, "|")
		if before, ok := t.told[n]; ok && before != line {
			t.Fatalf("line %d is told as %q, and before as %q", n, line, before)
		}
		t.told[n] = line
	}
	for _, p := range m.pushes {
		if v, ok := p.Payload.Get("n"); ok {
			n, line := int(v.(int64)), ""
			if l, ok := p.Payload.Get("line"); ok {
				line = l.(string)
			}
			if before, ok := t.told[n]; ok && before != line {
				t.Fatalf("line %d is pushed as %q, and before told as %q", n, line, before)
			}
			t.told[n] = line
		}
	}
}

// crash forgets the game, and makes it again of what is stored.
func (t *trial) crash() {
	t.paper.mu.Lock()
	stored, lasts := t.paper.stored(), slices.Clone(t.paper.lasts)
	for m := range t.asked {
		t.note(m)
	}
	t.paper.mu.Unlock()
	pass(time.Duration(t.rng.IntN(10_000)) * time.Millisecond)
	t.paper = &paper{delay: t.paper.delay, saves: []room.Save{stored.Save}, pieces: stored.Pieces, lasts: lasts}
	t.cfg.Stored = &stored
	t.cfg.Reseat = func(s room.Seated) room.Member {
		user := s.User
		if m := t.members[user]; m != nil {
			return m
		}
		return nil
	}
	t.open()
	lines := t.game.read()
	for n, line := range t.told {
		if n > len(lines) || lines[n-1] != line {
			t.Fatalf("line %d was told as %q, and of the %d lines it is now: %q", n, line, len(lines), lines[min(n, len(lines))-1:])
		}
	}
	clear(t.members)
	clear(t.asked)
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

// answered is how many packets were answered.
func (m *member) answered() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, answer := range m.answers {
		if !strings.HasPrefix(answer, "push ") && !strings.HasPrefix(answer, "joined ") {
			n++
		}
	}
	return n
}

// TestDurableEnds: a durable room is stopped, or closed, at a bad moment.
func TestDurableEnds(t *testing.T) {
	broken := errors.New("no room on the disk")
	for _, test := range []struct {
		name  string
		fails error // what is written fails
		do    func(r *room.Room, p *paper, answered func())
		want  []string // of the lobby, once it is asked
		kept  int      // lines in what is stored then
	}{
		{"stopped", nil, func(r *room.Room, p *paper, answered func()) {
			r.Stop(answered)
		}, []string{"answered"}, 3},
		{"stopped as writes fail", broken, func(r *room.Room, p *paper, answered func()) {
			r.Stop(answered)
		}, []string{"answered"}, 2},
		{"closed", nil, func(r *room.Room, p *paper, answered func()) {
			r.Close(answered)
		}, []string{"left", "ended", "answered"}, 4},
		{"closed as writes fail", broken, func(r *room.Room, p *paper, answered func()) {
			r.Close(answered)
		}, []string{"left", "ended", "answered"}, 2},
		{"closed behind a failure", broken, func(r *room.Room, p *paper, answered func()) {
			pass(time.Second)
			r.Close(answered)
		}, []string{"left", "ended", "answered"}, 2},
		{"left and closed", broken, func(r *room.Room, p *paper, answered func()) {
			pass(time.Second)
			r.Leave("zoe", p.zoe, func() {})
			r.Close(answered)
		}, []string{"left", "ended", "answered"}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				zoe := &member{name: "zoe"}
				p, g := &paper{delay: time.Millisecond, zoe: zoe}, &diary{updates: true, quiet: true}
				r, happened := openDiary(t, p, g, room.Config{})
				joinDiary(t, r, zoe)
				pass(10 * time.Millisecond)
				happened.want(t, "opened <nil>")
				p.fail(test.fails) // before it is written
				_ = r.Packet(say("zoe", "x"), zoe)
				test.do(r, p, func() { happened.add("answered") })
				_ = r.Packet(say("zoe", "y"), zoe)
				r.Join("bob", &member{name: "bob"}, func(_ room.Joined, err error) {
					if !errors.Is(err, room.ErrClosed) {
						t.Errorf("bob joins: %v", err)
					}
				})
				pass(time.Hour)
				happened.want(t, test.want...)
				if n := zoe.answered(); n != 2 {
					t.Errorf("zoe has %d answers, not 2: %q", n, zoe.answers)
				}
				if before := len(g.read()); before > 5 {
					t.Errorf("the game goes on: %q", g.read())
				}
				again := &diary{}
				_, _, happened, _ = openAgain(t, p.stored(), again, room.Config{Reseat: func(room.Seated) room.Member { return zoe }})
				happened.mu.Lock()
				defer happened.mu.Unlock()
				if lines := again.read(); len(lines) != test.kept {
					t.Errorf("stored is %q", lines)
				}
			})
		})
	}
}

// TestDurablePresence: where a user is by now is told to a game that has forgotten it as a write failed.
func TestDurablePresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zoe := &member{name: "zoe"}
		p, g := &paper{delay: time.Millisecond}, &diary{}
		r, _ := openDiary(t, p, g, room.Config{})
		joinDiary(t, r, zoe)
		pass(time.Second)
		p.fail(errors.New("no room on the disk"))
		r.Back("zoe", zoe, true) // is refused
		pass(time.Second)
		r.Away("zoe", zoe) // is kept
		pass(time.Second)
		p.fail(nil)
		pass(10 * time.Second)
		r.Back("zoe", zoe, false)
		pass(time.Second)
		lines := g.read()
		if n := len(lines); n != 4 || !strings.HasSuffix(lines[2], "zoe away") || !strings.HasSuffix(lines[3], "zoe back true") {
			t.Errorf("the game has %q", lines)
		}
	})
}

// TestDurableAside: what a game draws for its line or its save is not of its course.
func TestDurableAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := played(t, room.Config{KeepJournal: true}, "one", "refresh", "save", "two", "save", "three")
		for s, err := range room.Replay("diary", newDiary(&diary{}), st, nil) {
			if err != nil || s.Diverged != nil {
				t.Fatal(err, s.Diverged)
			}
		}
	})
}

// TestDurableBound: timers wait as long as too much waits to be stored.
func TestDurableBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zoe := &member{name: "zoe"}
		p, g := &paper{}, &diary{updates: true}
		r, _ := openDiary(t, p, g, room.Config{Mailbox: 10})
		joinDiary(t, r, zoe)
		pass(time.Second)
		p.mu.Lock()
		p.hold = true
		p.mu.Unlock()
		before := len(g.read())
		pass(3 * time.Hour)
		waiting := len(g.read()) - before
		if n := room.MostWaiting; waiting < n/3 || waiting > 2*n {
			t.Errorf("%d lines were written that are not stored, for a bound of %d", waiting, n)
		}
		for range 20 {
			_ = r.Packet(say("zoe", "x"), zoe)
		}
		p.mu.Lock()
		p.hold = false
		p.mu.Unlock()
		p.release()
		pass(10 * time.Second)
		if n := zoe.answered(); n != 10 {
			t.Errorf("%d packets were answered, want 10", n)
		}
		if n := len(g.read()) - before - waiting; n < 30 {
			t.Errorf("the game goes on with %d lines", n)
		}
	})
}

// stubborn is a durable game that cannot be saved.
type stubborn struct{ asked *atomic.Int64 }

func (stubborn) Durable() bool { return true }
func (g stubborn) SaveString() string {
	g.asked.Add(1)
	panic("no")
}
func (stubborn) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("") }

// TestSavesThatFail: a game that cannot be saved is asked again after as many entries as otherwise, and not at each.
func TestSavesThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		r := room.Open(room.Config{
			Name: "stubborn", Journal: &paper{}, SaveEvery: 10, Logger: slog.New(slog.DiscardHandler),
			New: func(parlor.Room, string) (parlor.Game, error) { return stubborn{&asked}, nil },
		}, func(error) {})
		m := &member{name: "alice"}
		r.Join("alice", m, func(room.Joined, error) {})
		for range 50 {
			_ = r.Packet(say("alice", "x"), m)
			synctest.Wait()
		}
		if n := asked.Load(); n < 4 || n > 6 {
			t.Errorf("it was asked %d times in 52 entries, want about 5", n)
		}
		r.Stop(func() {})
		synctest.Wait()
	})
}

// blank is a durable game that has a save at times.
type blank struct{ said []string }

func (*blank) Durable() bool { return true }
func (g *blank) SaveString() string {
	if len(g.said)%3 != 0 {
		return ""
	}
	return strings.Join(g.said, " ")
}
func (g *blank) HandleGamePacket(p parlor.Packet) parlor.Response {
	g.said = append(g.said, p.Message)
	return parlor.OK(fmt.Sprint(g.said))
}

// TestEmptySave: an empty save is none, and nothing is lost by it.
func TestEmptySave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := new(paper), new(blank)
		newBlank := func(_ parlor.Room, save string) (parlor.Game, error) {
			g = &blank{strings.Fields(save)}
			return g, nil
		}
		cfg := room.Config{Name: "blank", Journal: p, Logger: slog.New(slog.DiscardHandler), Left: func(room.Member) {}, Ended: func() {}, New: newBlank}
		r := room.Open(cfg, func(error) {})
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		said := strings.Fields("a b c d e")
		for n, what := range said {
			_ = r.Packet(say("zoe", what), zoe)
			told := errors.New("nothing")
			r.Save(func(_ room.Save, _ bool, err error) { told = err })
			pass(time.Second)
			if want := (n + 1) / 3; told != nil || len(p.saves) != want {
				t.Errorf("behind %s there are %d saves, want %d; it was told %v", what, len(p.saves), want, told)
			}
		}
		r.Stop(func() {})
		pass(time.Second)
		st := p.stored()
		cfg.Stored = &st
		r = room.Open(cfg, func(error) {})
		if synctest.Wait(); !slices.Equal(g.said, said) {
			t.Errorf("made again it has %q, want %q", g.said, said)
		}
		r.Close(func() {})
		synctest.Wait()
	})
}

// TestSaveOfLargeEntries: a game that is told much is saved before it has many entries.
func TestSaveOfLargeEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(paper)
		r, _ := openDiary(t, p, &diary{}, room.Config{SaveEvery: 1 << 20})
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		const mib = 1 << 20
		for i := range 20 {
			_ = r.Packet(say("zoe", strings.Repeat("x", mib)), zoe)
			pass(time.Second)
			if n := len(p.saves); i == 2 && n > 0 || i == 4 && n != 1 {
				t.Errorf("after %d MiB there are %d saves", i+1, n)
			}
		}
		if n := len(p.saves); n < 2 || n > 4 { // the diary is in them, and they become larger than what is between
			t.Errorf("after 20 MiB there are %d saves", n)
		}
	})
}

// TestSaveOfLargeEntriesAfterCrash: what is in the journal from before counts, as all of it is in memory when the game is made again.
func TestSaveOfLargeEntriesAfterCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mib = 1 << 20
		p := new(paper)
		cfg := room.Config{SaveEvery: 1 << 20}
		r, _ := openDiary(t, p, &diary{}, cfg)
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		for range 3 {
			_ = r.Packet(say("zoe", strings.Repeat("x", mib)), zoe)
			pass(time.Second)
		}
		if n := len(p.saves); n > 0 {
			t.Fatalf("after 3 MiB there are %d saves", n)
		}
		cfg.Reseat = func(room.Seated) room.Member { return zoe }
		r, p, _, _ = openAgain(t, p.stored(), &diary{}, cfg)
		before := len(p.saves)
		for range 2 {
			_ = r.Packet(say("zoe", strings.Repeat("x", mib)), zoe)
			pass(time.Second)
		}
		if n := len(p.saves) - before; n != 1 {
			t.Errorf("after 5 MiB, and a crash, there are %d saves", n)
		}
	})
}

// TestLargeSavesThatAreRefused: a game whose save is refused is not asked for it again before as much has come as is in it.
func TestLargeSavesThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mib = 1 << 20
		tried := 0
		p := new(paper)
		r, _ := openDiary(t, p, &diary{}, room.Config{SaveEvery: 1 << 20, MaySave: func(int) error {
			tried++
			return errors.New("too large")
		}})
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		for range 40 {
			_ = r.Packet(say("zoe", strings.Repeat("x", mib)), zoe)
			pass(time.Second)
		}
		if tried < 2 || tried > 5 { // it doubles
			t.Errorf("in 40 MiB it was tried %d times", tried)
		}
	})
}

// TestClockSetBack: a game that is made again where the clock of the machine is behind that of its room goes on at once, from where the room was.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back time.Duration
		cfg := room.Config{
			Now:       func() time.Time { return time.Now().Add(-back) },
			AfterFunc: func(d time.Duration, f func()) room.Alarm { return time.AfterFunc(d, f) },
		}
		p := new(paper)
		r, happened := openDiary(t, p, &diary{}, cfg)
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		pass(time.Hour)
		_ = r.Packet(say("zoe", "one"), zoe)
		pass(time.Second)
		r.Stop(func() { happened.add("stopped") })
		happened.want(t, "opened <nil>", "stopped")
		back = 30 * time.Minute
		g := &diary{}
		r, _, _, _ = openAgain(t, p.stored(), g, cfg)
		bob := &member{name: "bob"}
		joinDiary(t, r, bob)
		_ = r.Packet(say("bob", "alarm"), bob)
		pass(10 * time.Second)
		bob.want(t, "joined <nil>", "OK line 6", "push alarm")
		// What is left until the end is as long on the room's clock.
		r.Drain(cfg.Now().Add(5*time.Second), func() {})
		pass(time.Second)
		if lines := g.read(); !strings.HasSuffix(lines[len(lines)-1], "draining till 2000-01-01 01:00:15 +0000 UTC") {
			t.Errorf("the game has seen %q", lines)
		}
	})
}

// TestBehindWhoGoes: what is asked behind a packet that takes the user out, and is not stored, is refused like that, as she is still there.
func TestBehindWhoGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &paper{delay: time.Millisecond}
		r, _ := openDiary(t, p, &diary{}, room.Config{})
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		pass(time.Second)
		zoe.want(t, "joined <nil>")
		p.fail(errors.New("no room on the disk"))
		_ = r.Packet(say("zoe", "go"), zoe)
		_ = r.Packet(say("zoe", "one"), zoe)
		pass(10 * time.Millisecond)
		const refused = "UNEXPECTED The server could not store this. Please try again later."
		zoe.want(t, refused, refused)
		p.fail(nil)
		pass(10 * time.Second)
		_ = r.Packet(say("zoe", "two"), zoe)
		pass(time.Second)
		zoe.want(t, "OK line 3")
	})
}

// TestEndInDoubt: a room that is made, or closed, by a write of which it is not known whether it was made tells the lobby of its end once, and takes
// nobody more, whatever is found.
func TestEndInDoubt(t *testing.T) {
	for _, test := range []struct {
		name       string
		create     bool // else it is closed
		lost, odd  bool
		divergence room.Divergence
		want       []string
	}{
		{"a new one that is not there", true, true, false, room.ReadOnly, []string{"ended", "opened it could not be stored"}},
		{"closed", false, false, false, room.ReadOnly, []string{"opened <nil>", "left", "ended", "closed"}},
		{"closed, which is not there", false, true, false, room.ReadOnly, []string{"opened <nil>", "left", "ended", "closed"}},
		{"closed, of a game that diverges", false, false, true, room.ReadOnly, []string{"opened <nil>", "left", "ended", "closed"}},
		{"closed, which is not there, of a game that diverges", false, true, true, room.ReadOnly, []string{"opened <nil>", "left", "ended", "closed"}},
		{"closed, of a game that goes on from its save", false, false, true, room.FromSave, []string{"opened <nil>", "left", "ended", "closed"}},
		{"closed, which is not there, of a game that goes on from its save", false, true, true, room.FromSave, []string{"opened <nil>", "left", "ended", "closed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &paper{delay: 10 * time.Millisecond, lost: test.lost}
				if test.create {
					p.fail(room.ErrUnknown)
				}
				r, happened := openDiary(t, p, &diary{odd: test.odd}, room.Config{Divergence: test.divergence})
				if !test.create {
					zoe := &member{name: "zoe"}
					joinDiary(t, r, zoe)
					pass(time.Second)
					_ = r.Packet(say("zoe", "one"), zoe)
					pass(time.Second)
					p.fail(room.ErrUnknown)
					r.Close(func() { happened.add("closed") })
				}
				pass(5 * time.Millisecond)
				p.fail(nil)
				pass(10 * time.Second)
				bob := &member{name: "bob"}
				joinDiary(t, r, bob)
				pass(time.Second)
				bob.want(t, "joined room is closed")
				happened.want(t, test.want...)
			})
		})
	}
}

// fickle is a durable game that says when it was made, and takes out who asks, but the first time.
type fickle struct{ made int }

func (*fickle) Durable() bool { return true }
func (g *fickle) HandleGamePacket(parlor.Packet) parlor.Response {
	return parlor.Response{Status: parlor.StatusOK, Message: fmt.Sprint(g.made), Disconnecting: g.made > 1}
}

// TestEndOfAGameThatDiverges: a game that ends as it is made again while it is played, and had not, has not ended: what is stored of it would be deleted.
func TestEndOfAGameThatDiverges(t *testing.T) {
	for _, divergence := range []room.Divergence{room.ReadOnly, room.FromSave} {
		synctest.Test(t, func(t *testing.T) {
			p, made, happened := &paper{delay: time.Millisecond}, 0, new(events)
			r := room.Open(room.Config{
				Name: "fickle", Journal: p, Logger: slog.New(slog.DiscardHandler), Divergence: divergence,
				New: func(parlor.Room, string) (parlor.Game, error) {
					made++
					return &fickle{made}, nil
				},
				Left: func(room.Member) {}, Ended: func() { happened.add("ended") },
			}, func(err error) { happened.add(fmt.Sprint("opened ", err)) })
			zoe := &member{name: "zoe"}
			joinDiary(t, r, zoe)
			pass(time.Second)
			_ = r.Packet(say("zoe", "one"), zoe)
			pass(time.Second)
			p.fail(errors.New("no room on the disk"))
			_ = r.Packet(say("zoe", "two"), zoe)
			pass(time.Second)
			p.fail(nil)
			pass(10 * time.Second)
			if made < 2 {
				t.Errorf("the game was made %d times", made)
			}
			happened.want(t, "opened <nil>")
			r.Close(func() {})
			pass(time.Second)
			happened.want(t, "ended")
		})
	}
}
