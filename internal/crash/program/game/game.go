// Package game has the games of the kill test. Each keeps the chain of what happened in it, and tells everybody where it is.
package game

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"parlor"
)

// The kinds of game.
const (
	Tally = "tally" // durable, moves alone
	Clock = "clock" // durable, with timers and random numbers
	Kept  = "kept"  // saved in pgnet's way
)

// Kinds are all of them.
var Kinds = map[string]parlor.NewGame{Tally: newGame(Tally), Clock: newGame(Clock), Kept: newGame(Kept)}

// What users send, and what they are sent.
const (
	Move  = "move"  // with an ID: one more event
	Audit = "audit" // with Known, up to which events are forgotten, and From: the events behind that
	News  = "news"  // pushed: where the chain is
)

// MaxEvents is how many events an answer to Audit has at most.
const MaxEvents = 1000

// Place is where a chain is.
type Place struct {
	N    uint64 `json:"n"` // of the last event
	Hash string `json:"hash"`
	Run  string `json:"run,omitempty"` // of a kept game, which has another each time that it is made
}

// Event is one thing that happened.
type Event struct {
	What string `json:"w"`
	User string `json:"u,omitempty"`
	ID   uint64 `json:"i,omitempty"` // of a move: each user counts her own up
	Rand uint64 `json:"r,omitempty"` // a random number
	Time int64  `json:"t"`           // the room's, in microseconds
}

// After is the place behind an event that happens at p.
func (p Place) After(e Event) Place {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s %q %d %d %d", p.N+1, p.Hash, e.What, e.User, e.ID, e.Rand, e.Time))
	if e.What == Opened {
		p.Run = e.User
	}
	return Place{p.N + 1, hex.EncodeToString(sum[:8]), p.Run}
}

// Run is the name of a run that begins then. Later ones have greater names.
func Run(t time.Time) string { return fmt.Sprintf("%016x", t.UnixNano()) }

// Opened is the event by which a kept game's run begins. Its user is the name of the run.
const Opened = "opened"

// Audited is the answer to Audit.
type Audited struct {
	Place  Place   `json:"place"`
	Events []Event `json:"events"`
}

// game is all kinds; what is saved of it is exported.
type game struct {
	room parlor.Room
	kind string

	Place  Place
	From   uint64  // the number before the first of Events
	Events []Event // those that nobody has audited yet
	Pulse  uint64  // what the silent ticks have come to
	Ticks  uint64
	Due    []time.Time // of the timers that moves have set, the next one first
}

func newGame(kind string) parlor.NewGame {
	return func(room parlor.Room, save string) (parlor.Game, error) {
		g := &game{room: room, kind: kind}
		if save != "" {
			if err := json.Unmarshal([]byte(save), g); err != nil {
				return nil, err
			}
		}
		for _, due := range g.Due {
			room.After(due.Sub(room.Now()), g.due)
		}
		if kind == Kept {
			g.happen(Opened, Run(room.Now()), 0)
		}
		return g, nil
	}
}

const (
	spoken = 5 // the ticks of which one speaks
	delay  = 100 * time.Millisecond
)

// happen adds an event, and tells everybody but some.
func (g *game) happen(what, user string, id uint64, except ...string) {
	e := Event{What: what, User: user, ID: id, Time: g.room.Now().UnixMicro()}
	if g.kind == Clock {
		e.Rand = g.room.Rand().Uint64()>>12 ^ g.Pulse>>12 // JSON's numbers have 53 bits
	}
	g.Place = g.Place.After(e)
	g.Events = append(g.Events, e)
	g.room.Broadcast(News, g.Place, except...)
}

// UpdateRate is how often a clock ticks.
func (g *game) UpdateRate() float64 {
	if g.kind == Clock {
		return 50
	}
	return 0
}

// Update draws a number in silence, and speaks now and then.
func (g *game) Update() {
	g.Ticks++
	g.Pulse = g.Pulse*31 + g.room.Rand().Uint64()
	if g.Ticks%spoken == 0 && len(g.room.Users()) > 0 {
		g.happen("tick", "", 0)
	}
}

func (g *game) due() {
	g.Due = g.Due[1:]
	g.happen("due", "", 0)
}

func (g *game) HandleGamePacket(p parlor.Packet) parlor.Response {
	switch p.Message {
	case Move:
		var move struct{ ID uint64 }
		if err := p.Payload.Bind(&move); err != nil {
			return parlor.Bad(err.Error())
		}
		g.happen("move", p.Username, move.ID, p.Username)
		if g.kind == Clock && move.ID%4 == 0 {
			g.Due = append(g.Due, g.room.Now().Add(delay))
			g.room.After(delay, g.due)
		}
		return parlor.OK("moved", g.Place)
	case Audit:
		return g.audit(p)
	}
	return parlor.Unhandled(g)
}

func (g *game) audit(p parlor.Packet) parlor.Response {
	var ask struct{ Known, From uint64 }
	if err := p.Payload.Bind(&ask); err != nil {
		return parlor.Bad(err.Error())
	}
	if ask.Known < g.From || ask.From < ask.Known || ask.From > g.Place.N {
		return parlor.Unexpected(fmt.Sprintf("of %d events the first %d were confirmed: there are none from %d or %d on", g.Place.N, g.From, ask.Known, ask.From))
	}
	g.Events = append([]Event{}, g.Events[ask.Known-g.From:]...)
	g.From = ask.Known
	events := g.Events[ask.From-g.From:]
	return parlor.OK("audited", Audited{g.Place, events[:min(MaxEvents, len(events))]})
}

// Beat is the answer to heartbeats.
type Beat struct {
	Place
	Room string `json:"room"`
}

// HandleHeartbeat is for pgnet's clients, which get their pushes with it.
func (g *game) HandleHeartbeat(parlor.Packet) parlor.Response {
	return parlor.OK("beat", Beat{g.Place, g.room.Name()})
}
func (g *game) HeartbeatRate() float64 { return 5 }
func (g *game) PushOnHeartbeat() bool  { return true }

// Auditors come and go unseen: they are no part of what they look at.
func (g *game) UserJoined(user string) { g.presence("join", user) }
func (g *game) UserLeft(user string)   { g.presence("leave", user) }
func (g *game) UserAway(user string)   { g.presence("away", user) }
func (g *game) UserBack(user string, _ bool) {
	g.presence("back", user)
}

func (g *game) presence(what, user string) {
	if !strings.HasPrefix(user, Auditor) {
		g.happen(what, user, 0)
	}
}

// Auditor begins the names of auditors.
const Auditor = "auditor"

func (g *game) Durable() bool     { return g.kind != Kept }
func (g *game) Persistent() bool  { return true }
func (g *game) LobbyInfo() string { return fmt.Sprint(g.Place.N) }

func (g *game) SaveString() string {
	save, err := json.Marshal(g)
	if err != nil {
		panic(err)
	}
	return string(save)
}
