package room_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"parlor"
	"parlor/room"
)

// walk is a user's way through a room: what her sessions do, and what is to be true of her then.
type walk struct {
	*room.Room
	m                     *member
	present, away, missed bool
}

// step does one of the things that can happen to a session.
func (w *walk) step(what rune) {
	switch what {
	case 'a':
		w.Away("alice", w.m)
		w.away = w.present
	case 'b', 'm': // back, and back with something missed
		w.Back("alice", w.m, what == 'm')
		w.away, w.missed = false, w.missed || w.present && what == 'm'
	case 'l':
		w.Leave("alice", w.m, func() {})
		w.present, w.away, w.missed = false, false, false
	case 'j':
		w.m = &member{name: "alice"}
		w.Join("alice", w.m, func(room.Joined, error) {})
		w.present, w.away, w.missed = true, false, false
	}
}

// check follows what the game was told, and compares what it knows in the end.
func (w *walk) check(t *testing.T, steps string, told []string) {
	t.Helper()
	var present, away, missed bool
	for _, event := range told {
		ok := true
		switch name, _, _ := strings.Cut(event, " "); name {
		case "joined":
			ok = !present
			present, away, missed = true, false, false
		case "away":
			ok = present && !away
			away = true
		case "back":
			ok = present && away
			away, missed = false, missed || strings.HasSuffix(event, "true")
		case "left":
			ok = present
			present, away, missed = false, false, false
		}
		if !ok {
			t.Errorf("%s: the game was told %q, and %q is out of order", steps, told, event)
		}
	}
	if present != w.present || away != w.away || !away && missed != w.missed {
		t.Errorf("%s: the game was told %q and takes her as present %v, away %v, having missed something %v; want %v, %v, %v",
			steps, told, present, away, missed, w.present, w.away, w.missed)
	}
}

// TestWalks takes a user through all ways of five steps, in a room that is told of each at once and in one that
// is stuck before the first and is told of all together.
func TestWalks(t *testing.T) {
	const what, length = "abmlj", 5
	ways := 1
	for range length {
		ways *= len(what)
	}
	synctest.Test(t, func(t *testing.T) {
		for way := range ways {
			steps := ""
			for n, rest := 0, way; n < length; n, rest = n+1, rest/len(what) {
				steps += what[rest%len(what):][:1]
			}
			walkAlong(t, steps, false)
			walkAlong(t, steps, true)
			if t.Failed() {
				return
			}
		}
	})
}

func openQuietly(g *game) *room.Room {
	return room.Open(room.Config{
		Name: "room", Logger: slog.New(slog.DiscardHandler),
		New:   func(host parlor.Room, _ string) (parlor.Game, error) { g.host = host; return g, nil },
		Left:  func(room.Member) {},
		Ended: func() {},
	}, func(error) {})
}

func walkAlong(t *testing.T, steps string, stuck bool) {
	t.Helper()
	g := &game{persistent: true}
	free := make(chan struct{})
	g.packet = func(parlor.Packet) parlor.Response { <-free; return parlor.OK("free") }
	r, closed := openQuietly(g), make(chan struct{})
	w := &walk{Room: r, m: &member{name: "alice"}}
	w.step('j')
	if stuck {
		r.Packet(parlor.Packet{Username: "alice"}, w.m)
	}
	for _, what := range steps {
		if !stuck {
			synctest.Wait()
		}
		w.step(what)
	}
	close(free)
	synctest.Wait()
	if stuck {
		steps += " in a stuck room"
	}
	w.check(t, steps, g.list)
	r.Close(func() { close(closed) })
	<-closed
}
