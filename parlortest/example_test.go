package parlortest_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"parlor"
	"parlor/parlortest"
)

// pot is a game: players put coins in, and every hour the pot is shared out.
type pot struct {
	room  parlor.Room
	coins int
}

func newPot(room parlor.Room, _ string) (parlor.Game, error) {
	p := &pot{room: room}
	room.Every(time.Hour, func() {
		room.Broadcast("shared", parlor.Map{"each": p.coins / len(room.Users())})
		p.coins %= len(room.Users())
	})
	return p, nil
}

func (p *pot) HandleGamePacket(packet parlor.Packet) parlor.Response {
	p.coins++
	p.room.Broadcast("coin", parlor.Map{"by": packet.Username}, packet.Username)
	return parlor.OK("in the pot", parlor.Map{"coins": p.coins})
}

// testPot is what go test runs if it is called TestPot.
func testPot(t *testing.T) {
	parlortest.Run(t, newPot, func(t *testing.T, l *parlortest.Lobby) {
		ann, bob := l.Client("ann"), l.Client("bob")
		ann.Join("table 1")
		bob.Join("table 1")
		for range 5 {
			bob.Ask("coin", nil)
		}
		ann.Expect("connected", "in game table 1",
			`push coin {"by": "bob"}`, `push coin {"by": "bob"}`, `push coin {"by": "bob"}`, `push coin {"by": "bob"}`, `push coin {"by": "bob"}`)

		ann.Offline() // her phone is in a tunnel
		r := bob.Ask("coin", nil)
		if coins, _ := r.Payload.Get("coins"); coins != int64(6) {
			t.Errorf("there are %v coins in the pot", coins)
		}
		l.Step(30 * time.Second)
		ann.Online()
		l.Step(time.Minute)
		ann.Expect("link down", "link up", `push coin {"by": "bob"}`) // nothing is lost, and nothing comes twice

		l.Step(time.Hour) // takes some milliseconds
		ann.Expect(`push shared {"each": 3}`)
	})
}

// A test of a game: players, a phone in a tunnel, and an hour that passes.
func Example() {
	fmt.Println(run(testPot))
	// Output: true
}

// run stands in for go test.
func run(test func(t *testing.T)) (passed bool) {
	v := flag.Lookup("test.v").Value.String()
	flag.Set("test.v", "false") // or what it prints would be taken for the example's
	defer flag.Set("test.v", v)
	everything := func(string, string) (bool, error) { return true, nil }
	return testing.RunTests(everything, []testing.InternalTest{{Name: "Example", F: test}})
}
