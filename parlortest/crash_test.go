package parlortest_test

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	"parlor/parlortest"
	"parlor/server"
)

// ledger is a durable game that counts what it is asked.
type ledger struct {
	room     parlor.Room
	lines    atomic.Int64
	forgets  bool   // it says what a replay cannot
	restored string // the save that it was made of
}

func newLedger(made **ledger, forgets bool) parlor.NewGame {
	return func(r parlor.Room, save string) (parlor.Game, error) {
		*made = &ledger{room: r, forgets: forgets, restored: save}
		n, _ := strconv.Atoi(save)
		(*made).lines.Store(int64(n))
		return *made, nil
	}
}

func (*ledger) Durable() bool        { return true }
func (*ledger) Persistent() bool     { return true }
func (g *ledger) SaveString() string { return strconv.FormatInt(g.lines.Load(), 10) }
func (g *ledger) HandleGamePacket(p parlor.Packet) parlor.Response {
	n := g.lines.Add(1)
	if g.forgets {
		return parlor.OK(time.Now().String()) // and not room.Now
	}
	return parlor.OK("written", parlor.Map{"lines": n, "luck": g.room.Rand().IntN(1000)})
}

// TestCrash: a durable game is there again behind a crash, from its journal alone, with those who play, who are told nothing.
func TestCrash(t *testing.T) {
	for _, wire := range parlortest.Wires() {
		t.Run(wire.String(), func(t *testing.T) {
			var g *ledger
			parlortest.Run(t, newLedger(&g, false), func(t *testing.T, l *parlortest.Lobby) {
				ann := l.Dial(wire, client.Config{Username: "ann"})
				ann.Join("table")
				for range 3 {
					ann.Ask("line", nil)
					l.Step(time.Second)
				}
				ann.Expect("connected", "in game table")
				old, begun := g, time.Now()
				l.Crash()
				l.Crash() // does nothing
				l.Stop()  // likewise
				if l.Server() != nil || old != g || time.Since(begun) > 5*time.Second {
					t.Errorf("it ends after %v, and has made the game again: %t", time.Since(begun), old != g)
				}
				if wire == parlortest.Pgnet {
					ann.Expect("in no game", "disconnected")
				} else {
					ann.Expect("link down")
				}
				l.Step(10 * time.Second)
				l.Start()
				if g == old || g.restored != "" || g.lines.Load() != 3 {
					t.Errorf("the game is of the save %q, with %d lines", g.restored, g.lines.Load())
				}
				if wire == parlortest.Pgnet {
					if err := ann.Connect(t.Context()); err != nil {
						t.Fatal(err)
					}
					ann.Join("table")
				} else {
					ann.Await("link up")
				}
				if n := number(t, ann.Ask("line", nil).Payload, "lines"); n != 4 || ann.Game() != "table" {
					t.Errorf("in %q are %d lines", ann.Game(), n)
				}
				l.Stop()
				l.Start()
				if g.restored != "4" {
					t.Errorf("behind a stop the game is of the save %q", g.restored)
				}
			})
		})
	}
}

// TestCrashUnderWay: a request that was not there when the server crashed is done once, when it is there again.
func TestCrashUnderWay(t *testing.T) {
	for done, under := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond} { // the request is under way, or its answer
		var g *ledger
		parlortest.Run(t, newLedger(&g, false), func(t *testing.T, l *parlortest.Lobby) {
			ann := l.Client("ann")
			ann.Join("table")
			ann.Lag(100 * time.Millisecond)
			var asking sync.WaitGroup
			asking.Go(func() { // ends when it is answered
				r, err := ann.Request(t.Context(), "line", nil)
				if err != nil || r.Message != "written" {
					t.Errorf("%v, %v", r, err)
				}
			})
			l.Step(under)
			l.Crash()
			l.Start()
			if n := g.lines.Load(); n != int64(done) {
				t.Errorf("%v behind the request there are %d lines", under, n)
			}
			asking.Wait()
			if g.lines.Load() != 1 {
				t.Errorf("%d lines in the end", g.lines.Load())
			}
		})
	}
}

// TestCrashFindsMistakes: a durable game that does not do the same again is found out by a crash, and not by a stop.
func TestCrashFindsMistakes(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	logged := func() string {
		mu.Lock()
		defer mu.Unlock()
		return log.String()
	}
	var g *ledger
	cfg := server.Config{
		Games:  map[string]parlor.NewGame{"ledger": newLedger(&g, true)},
		Logger: slog.New(slog.NewTextHandler(writer(func(b []byte) { mu.Lock(); defer mu.Unlock(); log.Write(b) }), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	parlortest.RunServer(t, cfg, func(t *testing.T, l *parlortest.Lobby) {
		ann := l.Client("ann")
		ann.Join("table")
		ann.Ask("line", nil)
		l.Stop()
		l.Step(time.Second)
		l.Start()
		ann.Await("link up")
		ann.Ask("line", nil)
		if text := logged(); text != "" {
			t.Errorf("the log says %s", text)
		}
		l.Step(time.Second)
		l.Crash()
		if text := logged(); text != "" {
			t.Errorf("a server that has crashed says %s", text)
		}
		l.Start()
		if text := logged(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "does not do again what its journal says") {
			t.Errorf("the log says %s", text)
		}
	})
}

type writer func(b []byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// TestCrashUnsaved: a game that is not durable loses what came since it was saved, and who plays has to join again.
func TestCrashUnsaved(t *testing.T) {
	parlortest.Run(t, newBook, func(t *testing.T, l *parlortest.Lobby) {
		ann := l.Client("ann")
		ann.Join("the book")
		ann.Ask("once", nil)
		l.Step(6 * time.Minute) // it is saved
		ann.Ask("upon", nil)
		ann.Saw()
		l.Crash()
		l.Start()
		l.Step(time.Minute)
		ann.Expect("link down", "in no game", "disconnected", "connected", "link up") // the session is another
		ann.Join("the book")
		if n := number(t, ann.Ask("a time", nil).Payload, "lines"); n != 2 {
			t.Errorf("%d lines", n)
		}
	})
}
