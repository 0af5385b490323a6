package parlortest_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/gamefile"
	"parlor/parlortest"
	"parlor/room"
)

// dice is a durable game whose code may change.
type dice struct {
	host   parlor.Room
	sum    int
	better bool
}

func (g *dice) Durable() bool { return true }
func (g *dice) HandleGamePacket(parlor.Packet) parlor.Response {
	g.sum += 1 + g.host.Rand().IntN(6)
	if g.better {
		g.sum += g.host.Rand().IntN(6)
	}
	g.host.Broadcast("thrown", g.sum)
	return parlor.OK("thrown")
}

func newDice(better bool) parlor.NewGame {
	return func(r parlor.Room, _ string) (parlor.Game, error) { return &dice{host: r, better: better}, nil }
}

// tape is a journal that is only written.
type tape struct{ pieces []room.Piece }

func (p *tape) Append(first, _ uint64, entries []byte, done func(error)) {
	p.pieces = append(p.pieces, room.Piece{First: first, Entries: entries})
	done(nil)
}
func (p *tape) Save(_ room.Save, done func(error)) { done(nil) }
func (p *tape) Read(done func(room.Stored, error)) { done(room.Stored{Pieces: p.pieces}, nil) }

type nobody struct{}

func (nobody) Answer(parlor.Response, error) {}
func (nobody) Push(*parlor.Push)             {}

// exported is a file of a game in which dice were thrown three times.
func exported(t *testing.T) (path string, sum int) {
	journal := new(tape)
	synctest.Test(t, func(t *testing.T) {
		var g *dice
		r := room.Open(room.Config{
			Name: "table", Journal: journal, Logger: slog.New(slog.DiscardHandler), Seed: [2]uint64{1, 2}, Left: func(room.Member) {}, Ended: func() {},
			New: newDice(false), Made: func(made parlor.Game) { g = made.(*dice) },
		}, func(error) {})
		r.Join("ann", nobody{}, func(room.Joined, error) {})
		for range 3 {
			time.Sleep(time.Second) // sleep: virtual time
			r.Packet(parlor.Packet{Username: "ann", Message: "throw"}, nobody{})
		}
		r.Stop(func() {})
		synctest.Wait()
		sum = g.sum
	})
	path = filepath.Join(t.TempDir(), "table.game")
	write(t, path, gamefile.File{Name: "table", Durable: true, Stored: room.Stored{Pieces: journal.pieces}})
	return path, sum
}

func write(t *testing.T, path string, f gamefile.File) {
	t.Helper()
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := gamefile.Write(w, f); err != nil {
		t.Fatal(err)
	}
}

func TestReplayOfFile(t *testing.T) {
	path, sum := exported(t)
	var steps []string
	g := parlortest.Replay(t, newDice(false), path, func(s room.Step) {
		steps = append(steps, fmt.Sprint(s.Kind, " ", s.Game.(*dice).sum))
	})
	if g.(*dice).sum != sum || len(steps) != 5 || steps[1] != "join 0" || steps[4] != fmt.Sprint("packet ", sum) {
		t.Errorf("steps %q, want the sum %d in the end", steps, sum)
	}
}

// complaints is a test that may fail.
type complaints struct {
	testing.TB
	list []string
}

func (c *complaints) Errorf(format string, args ...any) {
	c.list = append(c.list, fmt.Sprintf(format, args...))
}
func (c *complaints) Fatalf(format string, args ...any) {
	c.Errorf(format, args...)
	panic(c)
}

// TestReplayFails: a replay fails the test, and says why.
func TestReplayFails(t *testing.T) {
	path, _ := exported(t)
	dir := filepath.Dir(path)
	plain, empty, text := filepath.Join(dir, "plain.game"), filepath.Join(dir, "empty.game"), filepath.Join(dir, "text")
	write(t, plain, gamefile.File{Name: "plain", Stored: room.Stored{Save: room.Save{Data: "x"}}})
	write(t, empty, gamefile.File{Name: "empty", Durable: true})
	if err := os.WriteFile(text, []byte("dice"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{path, `from entry 3 on: at a packet of user "ann" it does not say what it has said|the entry: 3 1s packet "ann" "throw" {}|` +
			`what the game says now: answer OK "thrown" {}, push to all "thrown"`},
		{plain, `game "plain" is not durable`},
		{empty, "neither a save nor the beginning"},
		{text, "this is no game that was exported"},
		{text + "s", "no such file"},
	} {
		c := &complaints{TB: t}
		func() {
			defer func() {
				if p := recover(); p != nil && p != any(c) {
					panic(p)
				}
			}()
			parlortest.Replay(c, newDice(true), test.path)
		}()
		told := strings.Join(c.list, "")
		if len(c.list) != 1 || slices.ContainsFunc(strings.Split(test.want, "|"), func(part string) bool { return !strings.Contains(told, part) }) {
			t.Errorf("%s: told %q, want %s", filepath.Base(test.path), c.list, test.want)
		}
	}
}
