package examples_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/client"
	"parlor/parlortest"
	"parlor/server"
)

// wires are the ways to a lobby that players take.
var wires = []parlortest.Wire{parlortest.Pgnet, parlortest.Native, parlortest.PacketTLS, parlortest.Local}

// open opens a lobby with one kind of game.
func open(t *testing.T, newGame parlor.NewGame, test func(t *testing.T, l *parlortest.Lobby)) {
	parlortest.RunServer(t, server.Config{
		Games: map[string]parlor.NewGame{"game": newGame}, Logger: slog.New(slog.DiscardHandler),
	}, test)
}

// player is a user in the game.
type player struct {
	*parlortest.Client
	t    *testing.T
	name string
	wire parlortest.Wire
}

// pushes tells whether the player's wire does; otherwise there are heartbeats.
func (p *player) pushes() bool { return p.wire != parlortest.Pgnet }

// enter has a user join the game by a wire, from some way off.
func enter(t *testing.T, l *parlortest.Lobby, name string, w parlortest.Wire) *player {
	t.Helper()
	p := &player{l.New(w, client.Config{Username: name, Reconnect: client.Reconnect{Max: time.Second}}), t, name, w}
	p.Lag(20 * time.Millisecond)
	if err := p.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Join("game")
	if p.Streams() != p.pushes() {
		t.Fatalf("the wire %s carries envelopes: %t", w, p.Streams())
	}
	return p
}

// ask sends a packet to the game, and returns the answer, which must be one of success.
func (p *player) ask(message string, payload any) parlor.Response {
	r, err := p.Request(p.t.Context(), message, payload)
	if err != nil || r.Status != parlor.StatusOK {
		p.t.Errorf("%s, %s: %s: %s, %v", p.name, p.wire, message, r.DebugText(), err)
	}
	return r
}

// told is what the player was pushed by the game up to now, but for who was away and back if that is not wanted.
func (p *player) told(presence bool) (all []*parlor.Push) {
	for _, push := range p.Pushes() {
		if push.Game != "game" {
			p.t.Errorf("%s, %s: push %s of %q", p.name, p.wire, push.Message, push.Game)
		}
		if presence || push.Message != "away" && push.Message != "back" {
			all = append(all, push)
		}
	}
	return all
}

// lastBeat is the last heartbeat of a player on a wire without pushes.
func (p *player) lastBeat() parlor.Payload {
	beat := p.Heartbeat()
	if beat.Status != parlor.StatusOK {
		p.t.Errorf("%s, %s: no heartbeat was answered", p.name, p.wire)
	}
	return beat.Payload
}

// party is a player on each wire, all in one game.
type party struct {
	t       *testing.T
	players []*player
	rough   bool // links are cut

	troubles int // how many links were to be cut
}

var names = []string{"alice", "bobby", "carol", "david"}

// play runs a script in virtual time: with each player on each wire once, undisturbed and with links that are cut.
func play(t *testing.T, newGame parlor.NewGame, script func(pt *party)) {
	for first := range wires {
		for _, rough := range []bool{false, true} {
			name := "first " + wires[first].String()
			if rough {
				name += ", cut"
			}
			t.Run(name, func(t *testing.T) {
				open(t, newGame, func(t *testing.T, l *parlortest.Lobby) {
					pt := &party{t: t, rough: rough}
					for i := range wires {
						pt.players = append(pt.players, enter(t, l, names[i], wires[(first+i)%len(wires)]))
					}
					script(pt)
					pt.checkCuts()
				})
			})
		}
	}
}

// trouble cuts the links of all players whose sessions survive that, in a rough game: some of them at once, others a little
// later, when something is on its way perhaps. Nobody waits for them to be back.
func (pt *party) trouble() {
	if !pt.rough {
		return
	}
	for _, p := range pt.players {
		if p.pushes() {
			pt.troubles++
			p.CutAfter(time.Duration(pt.troubles*13%80) * time.Millisecond) // long before the game has settled
		}
	}
}

// settle waits until everybody has been told everything, and heartbeats have been answered.
func (pt *party) settle() {
	time.Sleep(10 * time.Second) // sleep: virtual
	synctest.Wait()
}

// checkCuts checks that the links of a rough game, and only those, were cut, and that all are back with their seats.
func (pt *party) checkCuts() {
	for _, p := range pt.players {
		if s := p.Stats(); p.pushes() && s.Links > 0 != pt.rough || s.Resumed != s.Links {
			pt.t.Errorf("%s, %s: %+v", p.name, p.wire, s)
		}
		if p.Game() != "game" || !p.Connected() {
			pt.t.Errorf("%s, %s: not in the game any more: %s", p.name, p.wire, p.Status())
		}
		seen := map[string]int{}
		for _, push := range p.told(true) {
			seen[push.Message]++
		}
		if p.pushes() && (seen["away"] > 0) != pt.rough || seen["away"] != seen["back"] {
			pt.t.Errorf("%s, %s: %d away, %d back", p.name, p.wire, seen["away"], seen["back"])
		}
	}
}

// show is a push as text.
func show(p *parlor.Push) string { return fmt.Sprint(p.Message, " ", p.Payload) }
