package examples_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parlor"
	chat "parlor/examples/chat/game"
	positions "parlor/examples/positions/game"
	tictactoe "parlor/examples/tictactoe/game"
	"parlor/parlortest"
)

// TestTictactoe: two play, two watch. Everybody is told each event of the others once, in order, and sees the same board
// in the end.
func TestTictactoe(t *testing.T) {
	play(t, tictactoe.New, func(pt *party) {
		want := map[string][]string{}
		happens := func(event string, who *player, board string) {
			for _, p := range pt.players {
				if p != who {
					want[p.name] = append(want[p.name], event+" "+who.name+" "+board)
				}
			}
		}
		empty := "......... alice"
		for i, p := range pt.players {
			want[p.name] = append(want[p.name], "board  "+empty)
			for _, other := range pt.players[:i] {
				want[other.name] = append(want[other.name], "joined "+p.name+" "+empty)
			}
		}
		move := func(who *player, cell int) {
			pt.trouble()
			r := who.ask("move", parlor.Map{"cell": cell})
			happens("moved", who, board(pt.t, r.Payload))
		}
		alice, bobby := pt.players[0], pt.players[1]
		for match := range 3 {
			first, second := alice, bobby
			if match%2 == 1 {
				first, second = bobby, alice
			}
			for i, cell := range []int{0, 4, 1, 2, 6, 3, 5, 7, 8} { // drawn
				move([]*player{first, second}[i%2], cell)
			}
			if match < 2 {
				r := second.ask("again", nil)
				happens("again", second, board(pt.t, r.Payload))
			}
		}
		pt.settle()
		for _, p := range pt.players {
			if end := board(pt.t, p.ask("board", nil).Payload); end != "XXOOOXXOX " {
				pt.t.Errorf("%s, %s: the board is %s", p.name, p.wire, end)
			}
			if !p.pushes() {
				if end := board(pt.t, p.lastBeat()); end != "XXOOOXXOX " {
					pt.t.Errorf("%s, %s: the board of heartbeats is %s", p.name, p.wire, end)
				}
				continue
			}
			var got []string
			for _, push := range p.told(false) {
				what, who := push.Payload, ""
				if push.Message != "board" {
					v, _ := push.Payload.Get("user")
					who, _ = v.(string)
					var with struct {
						Board parlor.Payload `json:"board"`
					}
					if err := push.Payload.Bind(&with); err != nil {
						pt.t.Fatal(err)
					}
					what = with.Board
				}
				got = append(got, push.Message+" "+who+" "+board(pt.t, what))
			}
			if !slices.Equal(got, want[p.name]) {
				pt.t.Errorf("%s, %s, was told\n%s\nwant\n%s", p.name, p.wire, strings.Join(got, "\n"), strings.Join(want[p.name], "\n"))
			}
		}
	})
}

// board is the board with dots for free cells, and whose turn it is.
func board(t *testing.T, p parlor.Payload) string {
	t.Helper()
	var v struct {
		Cells []string `json:"cells"`
		Turn  string   `json:"turn"`
	}
	if err := p.Bind(&v); err != nil || len(v.Cells) != 9 {
		t.Fatalf("board %v: %v", p, err)
	}
	text := ""
	for _, c := range v.Cells {
		if c == "" {
			c = "."
		}
		text += c
	}
	return text + " " + v.Turn
}

// TestChat: all talk at the same time. Everybody is told every line once, all in the same order, and everybody's own
// lines as they were said.
func TestChat(t *testing.T) {
	const lines = 25 // of each
	play(t, chat.New, func(pt *party) {
		var talking sync.WaitGroup
		for i, p := range pt.players {
			talking.Go(func() { // ends when all is said
				for n := range lines {
					time.Sleep(time.Duration(20+i) * time.Millisecond) // sleep: virtual; nobody talks without pause
					p.ask(fmt.Sprint(n), nil)
				}
			})
		}
		for range 5 {
			time.Sleep(80 * time.Millisecond) // sleep: virtual
			pt.trouble()
		}
		talking.Wait()
		pt.settle()

		var want []string // by the first player who is told
		for _, p := range pt.players {
			if !p.pushes() {
				continue
			}
			var said []string
			for i, push := range p.told(false) {
				text, _ := push.Payload.Get("line")
				line, _ := text.(string)
				switch {
				case i == 0:
					if push.Message != "log" {
						pt.t.Errorf("%s, %s: first comes %s", p.name, p.wire, show(push))
					}
				case push.Message != "line":
					pt.t.Errorf("%s, %s was told %s", p.name, p.wire, show(push))
				case !strings.HasPrefix(line, "Joined: "):
					said = append(said, line)
				}
			}
			if want == nil {
				want = said
			}
			if !slices.Equal(said, want) {
				pt.t.Errorf("%s, %s was told\n%q, others\n%q", p.name, p.wire, said, want)
			}
		}
		if len(want) != len(pt.players)*lines {
			pt.t.Errorf("%d lines were said: %q", len(want), want)
		}
		next := map[string]int{}
		for _, line := range want {
			name, _, _ := strings.Cut(line, " ")
			if line != fmt.Sprintf("%s says: '%d'", name, next[name]) {
				pt.t.Errorf("%q comes as the line %d of %s", line, next[name], name)
			}
			next[name]++
		}
		for _, p := range pt.players {
			if p.pushes() {
				continue
			}
			var news struct {
				Log []string `json:"log"`
			}
			if err := p.lastBeat().Bind(&news); err != nil || !slices.Equal(news.Log, want[len(want)-10:]) {
				pt.t.Errorf("%s, %s: heartbeats say %q, %v, want the end of %q", p.name, p.wire, news.Log, err, want)
			}
		}
	})
}

// TestMissed: who is away for longer than a server keeps pushes for her, but not so long that she loses her seat, is shown
// where everybody is when she is back.
func TestMissed(t *testing.T) {
	open(t, positions.New, func(t *testing.T, l *parlortest.Lobby) {
		pt := &party{t: t}
		for i, w := range wires {
			pt.players = append(pt.players, enter(t, l, names[i], w))
		}
		walker, others := pt.players[0], pt.players[1:] // of pgnet's wire, which cannot come back
		for _, p := range others {
			p.Offline()
		}
		for turn := range 14 { // of 4 s each
			walker.ask("steer", parlor.Map{"x": 10 - turn%2*20, "y": 0})
			time.Sleep(4 * time.Second) // sleep: virtual
		}
		for _, p := range others {
			p.Online()
		}
		pt.settle()
		walker.ask("steer", parlor.Map{"x": 1, "y": 1}) // the steps from here on are told as always
		time.Sleep(time.Second)                         // sleep: virtual
		walker.ask("steer", parlor.Map{"x": 0, "y": 0})
		pt.settle()
		var want positions.View
		if err := want.State(walker.ask("look", nil).Payload); err != nil || want.Step < 1040 { // more than wait for anybody
			t.Fatalf("the state is %v, %v", want, err)
		}
		for _, p := range others {
			var v positions.View
			states, misfits := 0, 0
			for _, push := range p.told(true) {
				if v.Push(push) != nil {
					misfits++
				}
				if push.Message == "state" {
					states++
				}
			}
			if fmt.Sprint(v) != fmt.Sprint(want) || states != 2 || misfits == 0 {
				t.Errorf("%s, %s: was pushed %d states, and %d that did not fit; knows of\n%v, want\n%v", p.name, p.wire, states, misfits, v, want)
			}
		}
	})
}

// TestPositions: all walk about. By pushes alone, each step once and in order, everybody knows in the end who is where; by
// heartbeats too.
func TestPositions(t *testing.T) {
	play(t, positions.New, func(pt *party) {
		for turn := range 20 {
			if turn%5 == 1 {
				pt.trouble() // it stops them, too
			}
			for i, p := range pt.players {
				p.ask("steer", parlor.Map{"x": (turn*7+i*5)%21 - 10, "y": (turn*3+i*11)%21 - 10})
				time.Sleep(17 * time.Millisecond) // sleep: virtual
			}
		}
		for _, p := range pt.players {
			p.ask("steer", parlor.Map{"x": 0, "y": 0})
		}
		pt.settle()
		var want positions.View
		if err := want.State(pt.players[0].ask("look", nil).Payload); err != nil || want.Step < 20 || len(want.Players) != len(names) {
			pt.t.Fatalf("the state is %v, %v", want, err)
		}
		for _, p := range pt.players {
			var v positions.View
			if !p.pushes() {
				if err := v.State(p.lastBeat()); err != nil {
					pt.t.Error(err)
				}
			}
			for _, push := range p.told(true) {
				if err := v.Push(push); err != nil {
					pt.t.Fatalf("%s, %s: %s: %v", p.name, p.wire, show(push), err)
				}
			}
			if fmt.Sprint(v) != fmt.Sprint(want) {
				pt.t.Errorf("%s, %s: knows of\n%v, want\n%v", p.name, p.wire, v, want)
			}
		}
	})
}
