package parlortest

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"parlor"
	"parlor/internal/gamefile"
	"parlor/room"
)

// Replay plays a durable game again that `parlor game export` has written to a file, and checks that it does what it has done then: it answers
// and pushes the same, calls as many timers, and draws as many random numbers. The first entry of its journal that is not as it was is an error of the test. The
// game begins with the save in the file, or from its beginning, if its journal was kept. A journal with a part that a server has undone, as it went on from
// a save (parlor serve --divergence from-save), is played from there on.
//
// It returns the game as it is behind the last entry, or behind the one that went wrong. Each of the functions is called after each entry, and may
// look at the game. The game runs on the goroutine of the test.
func Replay(t testing.TB, newGame parlor.NewGame, file string, after ...func(room.Step)) (game parlor.Game) {
	t.Helper()
	f, err := readGame(file)
	if err != nil {
		t.Fatalf("parlortest: %s: %v", file, err)
	}
	steps := 0
	for step, err := range room.Replay(f.Name, newGame, f.Stored, slog.New(slog.NewTextHandler(t.Output(), nil))) {
		if err != nil {
			t.Fatalf("parlortest: %s: %v", file, err)
		}
		steps++
		game = step.Game
		for _, look := range after {
			look(step)
		}
		if step.Diverged != nil {
			t.Errorf("parlortest: %s: %s", file, describe(step))
			return game
		}
	}
	if steps == 0 {
		t.Errorf("parlortest: %s: there is nothing in its journal that can be played again", file)
	}
	return game
}

func readGame(file string) (gamefile.File, error) {
	r, err := os.Open(file)
	if err != nil {
		return gamefile.File{}, err
	}
	defer r.Close()
	f, err := gamefile.Read(r)
	if err == nil && !f.Durable {
		err = fmt.Errorf("game %q is not durable: it has no journal", f.Name)
	}
	return f, err
}

// describe says what went wrong, and what the game says now.
func describe(s room.Step) string {
	now := []string{"nothing"}
	if s.Response != nil {
		now = []string{fmt.Sprintf("answer %v %q %s", s.Response.Status, s.Response.Message, s.Response.Payload.JSON())}
	}
	for _, p := range s.Pushes {
		to := "all"
		if p.User != "" {
			to = p.User
		}
		now = append(now, fmt.Sprintf("push to %s %q %s", to, p.Push.Message, p.Push.Payload.JSON()))
	}
	return fmt.Sprintf("%v\nthe entry: %v\nwhat the game says now: %s", s.Diverged, s.Entry, strings.Join(now, ", "))
}
