package room_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"parlor"
	"parlor/room"
)

// wild is a durable game that draws from the random source in each of its hooks, panics in most of them now and then, and has timers that set and stop others.
// Its state is the trace of all that.
type wild struct {
	host  parlor.Room
	trace []string
	bells []bell // that are set, in the order of their setting
	made  int
	limit int

	timers map[int]parlor.Timer
	live   *wilds
}

// bell is a timer.
type bell struct {
	ID    int
	At    time.Time
	Every time.Duration
}

// wilds tells tests of a game that is played.
type wilds struct {
	mu    sync.Mutex // guards trace
	trace []string
}

type wildSave struct {
	Trace []string
	Bells []bell
	Made  int
}

func newWild(live *wilds, into **wild) parlor.NewGame {
	return func(host parlor.Room, save string) (parlor.Game, error) {
		g := &wild{host: host, limit: 4, timers: make(map[int]parlor.Timer), live: live}
		if into != nil {
			*into = g
		}
		host.Save()
		host.Broadcast("nobody hears", host.Rand().Uint64())
		var s wildSave
		if save != "" {
			b := []byte(save)
			for i := range b { // which is no text
				b[i] ^= 0xA5
			}
			if err := json.Unmarshal(b, &s); err != nil {
				return nil, err
			}
			g.trace, g.made = s.Trace, s.Made
			for _, b := range s.Bells {
				g.hang(b)
			}
			return g, nil
		}
		g.note("began")
		g.ring(time.Duration(host.Rand().IntN(2_000_000)), 0)
		g.ring(0, 0)
		g.ring(-time.Hour, 0)
		g.ring(0, 333*time.Millisecond)
		return g, nil
	}
}

// note is what each hook does.
func (g *wild) note(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if len(what) > 200 || !utf8.ValidString(what) { // which would not come back from a save
		what = fmt.Sprintf("%.40q and so on, %x", what, sha256.Sum256([]byte(what)))
	}
	g.trace = append(g.trace, fmt.Sprintf("%d %s %d %v %s", len(g.trace), g.host.Now().Format("05.000000"), g.host.Rand().IntN(1000), g.host.Users(), what))
	if g.live != nil {
		g.live.mu.Lock()
		g.live.trace = slices.Clone(g.trace)
		g.live.mu.Unlock()
	}
}

func (g *wild) chance(n int) bool { return g.host.Rand().IntN(n) == 0 }

// act notes something, and does something at random.
func (g *wild) act(format string, args ...any) {
	g.note(format, args...)
	rng := g.host.Rand()
	switch rng.IntN(14) {
	case 0:
		g.host.Broadcast("all", parlor.Map{"n": len(g.trace), "x": rng.Float64()})
	case 1:
		g.host.Send("a", "one", math.NaN())
	case 2:
		g.host.Send("nobody", "one", 1)
	case 3:
		g.host.Broadcast("bad", func() {})
	case 4:
		g.host.Broadcast("some", []byte{0xff}, "a", "b")
	case 5, 6:
		g.ring(time.Duration(rng.IntN(3_000_000_000))-time.Second, 0)
	case 7: // together with others
		g.ring(g.host.Now().Truncate(time.Second).Add(2*time.Second).Sub(g.host.Now()), 0)
	case 8:
		if len(g.bells) < 12 {
			g.ring(0, time.Duration(rng.IntN(900_000_000)))
		}
	case 9, 10:
		if len(g.bells) > 0 {
			b := g.bells[rng.IntN(len(g.bells))]
			g.note("stops %d: %t", b.ID, g.timers[b.ID].Stop())
			g.drop(b.ID)
		}
	case 11:
		g.host.Save()
	case 12:
		panic("wild")
	}
}

func (g *wild) drop(id int) {
	g.bells = slices.DeleteFunc(g.bells, func(b bell) bool { return b.ID == id })
	delete(g.timers, id)
}

func (g *wild) ring(d, every time.Duration) {
	g.made++
	g.hang(bell{ID: g.made, At: g.host.Now().Add(d), Every: every})
}

func (g *wild) hang(b bell) {
	g.bells = append(g.bells, b)
	if b.Every > 0 {
		g.timers[b.ID] = g.host.Every(b.Every, func() { g.act("every %d", b.ID) })
		return
	}
	g.timers[b.ID] = g.host.After(b.At.Sub(g.host.Now()), func() {
		g.drop(b.ID)
		g.act("bell %d", b.ID)
	})
}

func (g *wild) Durable() bool         { return true }
func (g *wild) Persistent() bool      { g.host.Rand().Uint64(); return true }
func (g *wild) SaveVersion() int      { g.host.Rand().Uint64(); return 1 }
func (g *wild) MaxUsers() int         { g.host.Rand().Uint64(); return 3 }
func (g *wild) UpdateRate() float64   { g.host.Rand().Uint64(); return 2 }
func (g *wild) PushOnHeartbeat() bool { g.host.Rand().Uint64(); panic("no") }
func (g *wild) HeartbeatRate() float64 {
	return []float64{math.NaN(), math.Inf(1), -1, 7}[g.host.Rand().IntN(4)]
}
func (g *wild) ResumeWindow() time.Duration {
	return time.Duration(g.host.Rand().IntN(10)) * time.Second
}
func (g *wild) HeartbeatsOnlyLook() bool          { g.host.Rand().Uint64(); return true }
func (g *wild) LobbyInfo() string                 { g.host.Rand().Uint64(); return "\xff" + fmt.Sprint(len(g.trace)) }
func (g *wild) UserJoined(user string)            { g.act("%s joined", user) }
func (g *wild) UserLeft(user string)              { g.act("%s left", user) }
func (g *wild) UserAway(user string)              { g.act("%s away", user) }
func (g *wild) UserBack(user string, missed bool) { g.act("%s back %t", user, missed) }
func (g *wild) Draining(deadline time.Time)       { g.act("draining %v", deadline) }
func (g *wild) Update()                           { g.act("update") }
func (g *wild) SaveString() string {
	if g.chance(5) {
		panic("not now")
	}
	b, _ := json.Marshal(wildSave{g.trace, g.bells, g.made})
	for i := range b {
		b[i] ^= 0xA5
	}
	return string(b)
}
func (g *wild) HandleHeartbeat(p parlor.Packet) parlor.Response {
	g.host.Rand().Uint64()
	r := parlor.OK("beat", len(g.trace))
	r.Disconnecting = p.CreatedOn == "out"
	return r
}
func (g *wild) HandleGamePacket(p parlor.Packet) parlor.Response {
	g.act("%s says %s at %q: %s %s", p.Username, p.DebugText(), p.CreatedOn, p.Payload.JSON(), p.Payload)
	r := parlor.Response{Status: parlor.Status(g.host.Rand().IntN(300)), Message: "\xffline " + fmt.Sprint(len(g.trace)), Payload: p.Payload}
	switch g.host.Rand().IntN(12) {
	case 0:
		r.Disconnecting = true
	case 1:
		r.Payload = parlor.Encode(func() {})
	case 2:
		r.Payload = parlor.Encode(parlor.Map{"again": p.Payload, "nan": math.Inf(-1)})
	}
	return r
}

// wildJournal notes how long the trace was at each write.
type wildJournal struct {
	live   *wilds
	mu     sync.Mutex
	writes []wildWrite
}

type wildWrite struct {
	stored room.Stored
	trace  int
	last   uint64
}

func (j *wildJournal) add(change func(w *wildWrite)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var w wildWrite
	if n := len(j.writes); n > 0 {
		w = j.writes[n-1]
		w.stored.Pieces = slices.Clone(w.stored.Pieces)
	}
	j.live.mu.Lock()
	w.trace = len(j.live.trace)
	j.live.mu.Unlock()
	change(&w)
	j.writes = append(j.writes, w)
}

func (j *wildJournal) Append(first, last uint64, entries []byte, done func(error)) {
	j.add(func(w *wildWrite) {
		w.stored.Pieces = append(w.stored.Pieces, room.Piece{First: first, Entries: entries})
		w.last = last
	})
	time.AfterFunc(time.Millisecond, func() { done(nil) })
}
func (j *wildJournal) Save(s room.Save, done func(error)) {
	j.add(func(w *wildWrite) {
		w.stored.Save = s
		if !s.Keep {
			w.stored.Pieces = slices.DeleteFunc(w.stored.Pieces, func(p room.Piece) bool { return p.First <= s.Entry })
		}
	})
	time.AfterFunc(time.Millisecond, func() { done(nil) })
}
func (j *wildJournal) Read(done func(room.Stored, error)) { panic("it never fails") }

// TestWild does anything at random to a game that does, and makes it again of what is stored at each write: it is as it was.
func TestWild(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { beWild(t, seed) })
		})
	}
}

func beWild(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 5))
	j := &wildJournal{live: new(wilds)}
	cfg := room.Config{
		Name: "wild", Journal: j, Logger: slog.New(slog.DiscardHandler), Left: func(room.Member) {}, Ended: func() {},
		New: newWild(j.live, nil), SaveEvery: 1 + rng.IntN(30), KeepJournal: rng.IntN(2) == 0, Seed: [2]uint64{seed, 1},
	}
	r := room.Open(cfg, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	members := make(map[string]*resumer)
	deep := any(1)
	for range 300 {
		deep = []any{deep}
	}
	for range 80 {
		name := string(rune('a' + rng.IntN(5)))
		m := members[name]
		if m == nil || rng.IntN(20) == 0 {
			m = &resumer{member: &member{name: name}}
			members[name] = m
			r.Join(name, m, func(room.Joined, error) {})
		}
		switch rng.IntN(9) {
		case 0:
			r.Leave(name, m, func() {})
			r.Join(name, m, func(room.Joined, error) {})
			if rng.IntN(2) == 0 {
				r.Leave(name, m, func() {})
				delete(members, name)
			}
		case 1:
			r.Away(name, m)
		case 2:
			r.Back(name, m, rng.IntN(2) == 0)
		case 3:
			pass(time.Duration(rng.IntN(1500)) * time.Millisecond)
		case 4:
			r.Refresh(func() {})
			r.Save(func(room.Save, bool, error) {})
		case 5:
			p := say(name, parlor.RequestHeartbeat)
			if rng.IntN(10) == 0 {
				p.CreatedOn = "out"
			}
			_ = r.Packet(p, m)
		case 6:
			if rng.IntN(10) == 0 {
				r.Drain(time.Now().Add(-time.Second), func() {})
			}
		default:
			var ps []parlor.Packet
			for range 1 + rng.IntN(3) {
				p := say(name, "x\xff\x00"+strings.Repeat("y", rng.IntN(200)))
				switch rng.IntN(5) {
				case 0:
					p.Payload = parlor.Encode(parlor.Map{"nan": math.NaN(), "far": math.Inf(1), "text": "\xff<>", "n": []any{1, 1.0, math.Copysign(0, -1), uint64(math.MaxUint64)}})
				case 1:
					p.Payload = parlor.Encode(deep)
				case 2:
					p.Payload, _ = parlor.ParsePayload([]byte(` {"a" : 1e5, "a":"\ud800", "b" : [1 , NaN]} `))
				case 3:
					p.Payload = parlor.Encode(strings.Repeat("large", 10_000))
				}
				ps = append(ps, p)
			}
			_, _ = r.Packets(ps, m)
		}
	}
	pass(time.Second)
	r.Stop(func() {})
	pass(time.Second)
	live := j.live.trace
	for n, w := range j.writes {
		var g *wild
		var last uint64
		if w.stored.Save.Room != nil {
			last = w.stored.Save.Entry
		}
		for s, err := range room.Replay("wild", newWild(nil, &g), w.stored, nil) {
			if err != nil || s.Diverged != nil {
				t.Fatalf("write %d: %v %v", n, err, s.Diverged)
			}
			last = s.Number
		}
		if last != w.last {
			t.Fatalf("write %d: %d entries of %d", n, last, w.last)
		}
		if g == nil {
			t.Fatalf("write %d: not made", n)
		}
		missing := w.trace - len(g.trace)
		if missing < 0 || !slices.Equal(g.trace, live[:len(g.trace)]) {
			t.Fatalf("write %d: trace of %d, want %d\n%s\n%s", n, len(g.trace), w.trace, strings.Join(g.trace, "\n"), strings.Join(live[:w.trace], "\n"))
		}
		for _, line := range live[len(g.trace):w.trace] { // timers that have said nothing
			if !strings.Contains(line, "bell") && !strings.Contains(line, "every") && !strings.Contains(line, "update") && !strings.Contains(line, "stops") {
				t.Fatalf("write %d: it does not know %s", n, line)
			}
		}
	}
	t.Logf("%d writes, %d of trace", len(j.writes), len(live))
}
