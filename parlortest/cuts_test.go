package parlortest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	"parlor/internal/memnet"
	"parlor/parlortest"
)

// tally notes what it executes, and tells everybody.
type tally struct {
	room parlor.Room
	log  *[]string
}

func (g *tally) HandleGamePacket(p parlor.Packet) parlor.Response {
	line := p.Username + " " + p.Message
	*g.log = append(*g.log, line)
	g.room.Broadcast("did", parlor.Map{"what": line, "n": len(*g.log)})
	return parlor.OK("done "+p.Message, parlor.Map{"n": len(*g.log)})
}

// notebook is what a client under test was told, answers and pushes together.
type notebook struct {
	mu    sync.Mutex
	lines []string
}

func (n *notebook) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// outcome is what a script leaves behind.
type outcome struct {
	log        []string // what the game has executed
	ann, bob   []string // what the clients were told
	up, down   []memnet.Write
	lost       int
	reconnects int
	cuts       string
}

// play has ann, whose connections have the given paths, and bob play a script. Requests of ann go out together, join and leave
// among them.
func play(t *testing.T, wire parlortest.Wire, up, down []memnet.Path) (o outcome) {
	t.Helper()
	o.cuts = fmt.Sprint("up ", offsets(up), " down ", offsets(down))
	newTally := func(r parlor.Room, _ string) (parlor.Game, error) { return &tally{r, &o.log}, nil }
	parlortest.Run(t, newTally, func(t *testing.T, l *parlortest.Lobby) {
		ann, bob := &notebook{}, &notebook{}
		config := func(user string, n *notebook) client.Config {
			return client.Config{
				Username: user, Password: "pw",
				OnPush: func(p *parlor.Push) { n.note("%s %s", p.Message, p.Payload) },
				OnLost: func(k int) { o.lost += k },
				OnLink: func(bool) { o.reconnects++ },
			}
		}
		b := l.Dial(wire, config("bob", bob))
		b.Join("table")
		a := l.DialOver(wire, config("ann", ann), up, down)
		send := func(message string, payload parlor.Payload) {
			err := a.Send(parlor.Packet{Message: message, Payload: payload}, func(r parlor.Response, err error) {
				if err != nil {
					ann.note("%s failed: %v", message, err)
					return
				}
				ann.note("%s: %s %s", message, r.Message, r.Payload)
			})
			if err != nil {
				t.Error(err)
			}
		}
		table := parlor.Encode(parlor.Map{"name": "table"})
		send(parlor.RequestJoinGame, table)
		for i := range 5 {
			send(fmt.Sprint("a", i), parlor.Payload{})
		}
		l.Step(time.Minute / 2)
		b.Ask("b0", nil)
		b.Ask("b1", nil)
		for i := range 3 {
			send(fmt.Sprint("c", i), parlor.Payload{})
		}
		send(parlor.RequestLeaveGame, parlor.Payload{})
		send(parlor.RequestJoinGame, table)
		send("d0", parlor.Payload{})
		l.Step(time.Minute / 2)
		b.Ask("b2", nil)
		l.Step(time.Minute)
		o.ann, o.bob = ann.lines, bob.lines
		if s := a.Socket(); s != nil {
			o.up, o.down = s.Out().Writes(), s.In().Writes()
		}
	})
	return o
}

// TestCuts: wherever a link is cut, also twice in a row, everything is executed once and seen once, in the same order.
func TestCuts(t *testing.T) {
	for _, wire := range []parlortest.Wire{parlortest.Native, parlortest.Packet} {
		t.Run(wire.String(), func(t *testing.T) { testCuts(t, wire) })
	}
}

func testCuts(t *testing.T, wire parlortest.Wire) {
	record := []memnet.Path{{Record: true}}
	whole := play(t, wire, record, record)
	if len(whole.log) != 12 || whole.reconnects != 0 {
		t.Fatalf("without a cut the game executes %q", whole.log)
	}
	ups, downs := points(whole.up), points(whole.down)
	if os.Getenv("PARLOR_CUTS") == "all" { // make cuts
		ups, downs = every(whole.up), every(whole.down)
	}
	for _, offset := range ups {
		same(t, wire, whole, play(t, wire, []memnet.Path{at(offset)}, nil))
	}
	for _, offset := range downs {
		same(t, wire, whole, play(t, wire, nil, []memnet.Path{at(offset)}))
	}
	t.Logf("%d cuts of %d and %d bytes", len(ups)+len(downs), size(whole.up), size(whole.down))
}

// TestCutsTwice: the connection that comes behind a cut is cut too.
func TestCutsTwice(t *testing.T) {
	for _, wire := range []parlortest.Wire{parlortest.Native, parlortest.Packet} {
		t.Run(wire.String(), func(t *testing.T) { testCutsTwice(t, wire) })
	}
}

func testCutsTwice(t *testing.T, wire parlortest.Wire) {
	record := memnet.Path{Record: true}
	whole := play(t, wire, []memnet.Path{record}, []memnet.Path{record})
	rng := rand.New(rand.NewPCG(1, 1))
	first := points(whole.down)
	if os.Getenv("PARLOR_CUTS") != "all" {
		rng.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
		first = first[:min(len(first), 20)]
	}
	for _, offset := range first {
		second := play(t, wire, []memnet.Path{{}, record}, []memnet.Path{at(offset), record})
		same(t, wire, whole, second)
		for _, up := range []bool{true, false} {
			writes := second.down
			if up {
				writes = second.up
			}
			all := points(writes)
			again := at(all[rng.IntN(len(all))])
			paths := [2]memnet.Path{{}, again}
			if up {
				paths = [2]memnet.Path{again, {}}
			}
			same(t, wire, whole, play(t, wire, []memnet.Path{{}, paths[0]}, []memnet.Path{at(offset), paths[1]}))
		}
	}
}

// at is a path that ends at a byte.
func at(offset int64) memnet.Path {
	return memnet.Path{Faults: []memnet.Fault{{At: offset, Do: memnet.Reset}}}
}

// same checks that a script has ended as it does without a cut.
func same(t *testing.T, wire parlortest.Wire, want, got outcome) {
	t.Helper()
	if !slices.Equal(got.log, want.log) || !slices.Equal(got.ann, want.ann) || !slices.Equal(got.bob, want.bob) || got.lost != 0 {
		t.Errorf("%s, cut at %v: executed\n\t%q\nann saw\n\t%q\nbob saw\n\t%q\nwant\n\t%q\n\t%q\n\t%q", wire, got.cuts,
			got.log, got.ann, got.bob, want.log, want.ann, want.bob)
	}
}

func size(writes []memnet.Write) (n int64) {
	for _, w := range writes {
		n += int64(len(w.Bytes))
	}
	return n
}

// points are where to cut: at the beginning of each write, behind its first byte, in its middle, and before its last.
func points(writes []memnet.Write) (all []int64) {
	offset := int64(0)
	for _, w := range writes {
		n := int64(len(w.Bytes))
		all = append(all, offset, offset+1, offset+n/2, offset+n-1)
		offset += n
	}
	all = append(all, offset)
	slices.Sort(all)
	return slices.Compact(all)
}

// every is every byte.
func every(writes []memnet.Write) (all []int64) {
	for offset := range size(writes) + 1 {
		all = append(all, offset)
	}
	return all
}

func offsets(paths []memnet.Path) (all []int64) {
	for _, p := range paths {
		at := int64(-1)
		for _, f := range p.Faults {
			at = f.At
		}
		all = append(all, at)
	}
	return all
}
