package parlortest_test

import (
	"fmt"
	"log/slog"
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
	"parlor/server"
)

// allCuts has links cut at every byte: make cuts.
var allCuts = os.Getenv("PARLOR_CUTS") == "all"

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
	mu    sync.Mutex // guards lines
	lines []string
}

func (n *notebook) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// send makes a request, and notes the answer.
func (n *notebook) send(t *testing.T, c *client.Client, message string, payload parlor.Payload) {
	err := c.Send(parlor.Packet{Message: message, Payload: payload}, func(r parlor.Response, err error) {
		if err != nil {
			n.note("%s failed: %v", message, err)
			return
		}
		n.note("%s: %s %s", message, r.Message, r.Payload)
	})
	if err != nil {
		t.Error(err)
	}
}

// outcome is what a script leaves behind.
type outcome struct {
	log      []string // what the game has executed
	ann, bob []string // what the clients were told
	lost     int      // pushes
	dialed   int      // connections of ann
	up, down way      // of the last of them
}

// way is what went one way of a connection, where its path records it, but for the last minutes: what is cut then is not found soon
// enough.
type way []memnet.Write

func newWay(s *memnet.Stream, last time.Time) way {
	return slices.DeleteFunc(s.Writes(), func(w memnet.Write) bool { return w.Time.After(last) })
}

// course is a wire on which the script is played, and what becomes of links that are cut.
type course struct {
	name string
	wire parlortest.Wire
	do   memnet.Action
}

func courses() (all []course) {
	for _, wire := range []parlortest.Wire{parlortest.Native, parlortest.Packet, parlortest.PacketTLS} {
		all = append(all, course{"reset", wire, memnet.Reset}, course{"ended", wire, memnet.End}, course{"silent", wire, memnet.Swallow})
	}
	return all
}

// pause is how long the script waits for all to be as it would be: a link that is dead without a word is found by the keepalive of
// its wire.
func (c course) pause() time.Duration {
	if c.do == memnet.Swallow {
		return 2 * time.Minute
	}
	return 30 * time.Second
}

// play has ann, whose connections have the given paths, and bob play a script. Requests of ann go out together, join and leave
// among them.
func (c course) play(t *testing.T, up, down []memnet.Path) (o outcome) {
	t.Helper()
	cfg := server.Config{Logger: slog.New(slog.DiscardHandler), Games: map[string]parlor.NewGame{
		"tally": func(r parlor.Room, _ string) (parlor.Game, error) { return &tally{r, &o.log}, nil },
	}}
	parlortest.RunServer(t, cfg, func(t *testing.T, l *parlortest.Lobby) {
		ann, bob := &notebook{}, &notebook{}
		config := func(user string, n *notebook) client.Config {
			return client.Config{
				Username: user, Password: "pw",
				OnPush: func(p *parlor.Push) { n.note("%s %s", p.Message, p.Payload) },
				OnLost: func(k int) { o.lost += k },
			}
		}
		b := l.Dial(c.wire, config("bob", bob))
		b.Join("table")
		a := l.DialOver(c.wire, config("ann", ann), up, down)
		send := func(message string, payload parlor.Payload) { ann.send(t, a.Client, message, payload) }
		table := parlor.Encode(parlor.Map{"name": "table"})
		send(parlor.RequestJoinGame, table)
		for i := range 5 {
			send(fmt.Sprint("a", i), parlor.Payload{})
		}
		l.Step(c.pause())
		b.Ask("b0", nil)
		b.Ask("b1", nil)
		for i := range 3 {
			send(fmt.Sprint("c", i), parlor.Payload{})
		}
		send(parlor.RequestLeaveGame, parlor.Payload{})
		send(parlor.RequestJoinGame, table)
		send("d0", parlor.Payload{})
		l.Step(c.pause())
		b.Ask("b2", nil)
		last := time.Now()
		l.Step(2 * c.pause())
		if a.Dialed() > 1 {
			last = last.Add(c.pause()) // the one before was cut by then
		}
		s := a.Socket()
		o.up, o.down = newWay(s.Out(), last), newWay(s.In(), last)
		o.ann, o.bob, o.dialed = ann.lines, bob.lines, a.Dialed()
	})
	return o
}

var record = memnet.Path{Record: true}

// whole is the script without a cut.
func (c course) whole(t *testing.T) outcome {
	t.Helper()
	whole := c.play(t, []memnet.Path{record}, []memnet.Path{record})
	if len(whole.log) != 12 || whole.dialed != 1 {
		t.Fatalf("without a cut, over %d connections, the game executes %q", whole.dialed, whole.log)
	}
	return whole
}

// TestCuts: wherever a link is cut, everything is executed once and seen once, in the same order.
func TestCuts(t *testing.T) {
	for _, c := range courses() {
		t.Run(c.wire.String()+", "+c.name, func(t *testing.T) {
			t.Parallel()
			whole := c.whole(t)
			up, down := some(whole.up.points(allCuts), 10), some(whole.down.points(allCuts), 10)
			cuts := c.against(whole, 2)
			for _, offset := range up {
				cuts.play(t, []memnet.Path{c.at(offset)}, nil)
			}
			for _, offset := range down {
				cuts.play(t, nil, []memnet.Path{c.at(offset)})
			}
			cuts.check(t)
			t.Logf("%d bytes up and %d down", whole.up.size(), whole.down.size())
		})
	}
}

// TestCutsTwice: the connection that comes behind a cut is cut too.
func TestCutsTwice(t *testing.T) {
	for _, c := range courses() {
		t.Run(c.wire.String()+", "+c.name, func(t *testing.T) {
			t.Parallel()
			whole := c.whole(t)
			firsts := whole.down.points(false)
			if !allCuts {
				firsts = shuffled(firsts)[:4]
			}
			once, twice := c.against(whole, 2), c.against(whole, 3)
			for _, first := range firsts {
				second := once.play(t, []memnet.Path{{}, record}, []memnet.Path{c.at(first), record})
				for _, again := range first2(second.up.points(true)) {
					twice.play(t, []memnet.Path{{}, c.at(again)}, []memnet.Path{c.at(first)})
				}
				for _, again := range first2(second.down.points(true)) {
					twice.play(t, nil, []memnet.Path{c.at(first), c.at(again)})
				}
			}
			twice.check(t)
		})
	}
}

func first2(points []int64) []int64 { return shuffled(points)[:min(2, len(points))] }

// at is a path that ends at a byte.
func (c course) at(offset int64) memnet.Path {
	return memnet.Path{Faults: []memnet.Fault{{At: offset, Do: c.do}}}
}

// cuts plays the script with links that are cut.
type cuts struct {
	course
	want        outcome
	dialed      int // connections, if all cuts happen
	played, cut int // scripts, and those of them whose links were all cut
}

func (c course) against(whole outcome, dialed int) *cuts {
	return &cuts{course: c, want: whole, dialed: dialed}
}

// play checks that the script ends as it does without a cut. Frames are joined in other ways each time, so the last bytes may not come: then it
// is played again.
func (c *cuts) play(t *testing.T, up, down []memnet.Path) (got outcome) {
	t.Helper()
	c.played++
	for range 5 {
		got = c.course.play(t, up, down)
		if want := c.want; !slices.Equal(got.log, want.log) || !slices.Equal(got.ann, want.ann) || !slices.Equal(got.bob, want.bob) || got.lost != 0 {
			t.Errorf("cut at %v up, %v down: executed\n\t%q\nann saw\n\t%q\nbob saw\n\t%q\nwant\n\t%q\n\t%q\n\t%q", up, down,
				got.log, got.ann, got.bob, want.log, want.ann, want.bob)
		}
		if got.dialed >= c.dialed {
			c.cut++
			break
		}
	}
	return got
}

// check checks that links were cut, but for some of their last bytes: these are many if all went into more frames in the script without a cut
// than in the others, which is up to the scheduler.
func (c *cuts) check(t *testing.T) {
	t.Helper()
	if c.cut < c.played/2 || c.played == 0 {
		t.Errorf("only %d of %d were cut", c.cut, c.played)
	}
	t.Logf("%d were cut", c.cut)
}

// points are where to cut: every byte, or before each write, behind its first byte, in its middle, and before its last.
func (w way) points(every bool) (all []int64) {
	offset := int64(0)
	for _, w := range w {
		n := int64(len(w.Bytes))
		all = append(all, offset, offset+1, offset+n/2, offset+n-1)
		offset += n
	}
	all = slices.Compact(append(all, offset))
	if every {
		for all = all[:0]; int64(len(all)) <= offset; {
			all = append(all, int64(len(all)))
		}
	}
	return all
}

func (w way) size() (n int64) {
	for _, w := range w {
		n += int64(len(w.Bytes))
	}
	return n
}

// some is a sample where the race detector makes everything slow, and else all.
func some(points []int64, n int) []int64 {
	if !race || allCuts {
		return points
	}
	return shuffled(points)[:min(n, len(points))]
}

// shuffled is in the same order each time.
func shuffled(points []int64) []int64 {
	rng := rand.New(rand.NewPCG(1, 1))
	rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points
}
