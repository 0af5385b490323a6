// Package game is a field on which players walk: a game in real time, of which only what changes goes over the wire.
//
// A player says where to go: "steer" with {"x": -10 to 10, "y": likewise}, how far in each step, until she says otherwise
// or comes to the fence. There are 20 steps a second. "look" is answered with all that there is. Pushes:
//
//	state   {"step", "players": {name: {"x", "y", "away"}}}   all of it, to who joins, or has missed something while away
//	moved   {"step", "players": {name: [x, y]}}               a step: who is at another place now
//	joined  {"user", "x", "y"}
//	left, away, back  {"user"}
//
// Clients on pgnet's wire, which has no pushes, find the state in the answers to their heartbeats. A [View] is a client's half.
package game

import (
	"fmt"
	"math"
	"time"

	"parlor"
)

const (
	// Size is how long and wide the field is: places are whole numbers from 0 to Size-1. There are no fractions, so that
	// everybody sees exactly the same, and few bytes do.
	Size = 1000
	// Speed is how far a player gets in a step at most, in each direction.
	Speed = 10
	// Steps is how many there are in a second.
	Steps = 20

	maxPlayers = 50 // each is told of the steps of all
)

// Field is the game.
type Field struct {
	room    parlor.Room
	players map[string]*player
	step    int          // how many there were
	timer   parlor.Timer // of the next steps; nil while everybody stands
}

// player is where somebody is, and where to.
type player struct {
	x, y, dx, dy int
	away         bool
}

var _ interface { // has the compiler check the methods
	parlor.UserJoiner
	parlor.UserLeaver
	parlor.UserVanisher
	parlor.UserReturner
	parlor.HeartbeatHandler
	parlor.HeartbeatRater
	parlor.Limiter
} = (*Field)(nil)

// New makes an empty field.
func New(room parlor.Room, _ string) (parlor.Game, error) {
	return &Field{room: room, players: make(map[string]*player)}, nil
}

// MaxUsers is how many can be on the field.
func (f *Field) MaxUsers() int { return maxPlayers }

// HeartbeatRate has clients on pgnet's wire ask at each step.
func (f *Field) HeartbeatRate() float64 { return Steps }

// UserJoined puts her somewhere. Everything that is left to chance comes from the room, so that a test can have it again.
func (f *Field) UserJoined(user string) {
	p := &player{x: f.room.Rand().IntN(Size), y: f.room.Rand().IntN(Size)}
	f.players[user] = p
	f.room.Broadcast("joined", parlor.Map{"user": user, "x": p.x, "y": p.y}, user)
	f.room.Send(user, "state", f.state())
}

// UserLeft takes her off the field.
func (f *Field) UserLeft(user string) {
	delete(f.players, user)
	f.room.Broadcast("left", parlor.Map{"user": user})
}

// UserAway stops her: the others can go on, and her place is kept.
func (f *Field) UserAway(user string) {
	p := f.players[user]
	p.dx, p.dy, p.away = 0, 0, true
	f.room.Broadcast("away", parlor.Map{"user": user}, user)
}

// UserBack lets her go on. If the room could not keep all steps for her that were made meanwhile, she has to know where
// everybody is.
func (f *Field) UserBack(user string, missed bool) {
	f.players[user].away = false
	f.room.Broadcast("back", parlor.Map{"user": user}, user)
	if missed {
		f.room.Send(user, "state", f.state())
	}
}

// HandleHeartbeat answers with the state.
func (f *Field) HandleHeartbeat(parlor.Packet) parlor.Response {
	return parlor.OK("State.", f.state())
}

// HandleGamePacket takes directions.
func (f *Field) HandleGamePacket(p parlor.Packet) parlor.Response {
	switch p.Message {
	case "look":
		return parlor.OK("State.", f.state())
	case "steer":
		return f.steer(p)
	}
	return parlor.Unexpected("Unknown packet. Send steer with x and y, or look.")
}

// steer only notes the direction: who sends thousands of them does not move more often, nor do others hear of them.
func (f *Field) steer(p parlor.Packet) parlor.Response {
	var to struct {
		X *float64 `json:"x"` // also whole numbers, which parlor connect sends as -2.0 if they are negative
		Y *float64 `json:"y"`
	}
	if err := p.Payload.Bind(&to); err != nil {
		return parlor.Unexpected(err.Error())
	}
	good := func(v *float64) bool { return v != nil && math.Abs(*v) <= Speed } // so NaN is not
	if !good(to.X) || !good(to.Y) {
		return parlor.Unexpected(fmt.Sprintf("Both x and y must be numbers from %d to %d.", -Speed, Speed))
	}
	who := f.players[p.Username]
	who.dx, who.dy = int(math.Round(*to.X)), int(math.Round(*to.Y))
	if f.timer == nil && (who.dx != 0 || who.dy != 0) {
		f.timer = f.room.Every(time.Second/Steps, f.advance)
	}
	return parlor.OK("Steered.")
}

// advance makes a step. It is a timer's rather than an Update, which would be called also while everybody stands. A step
// is no measure of time: if the room is too busy for some, these are left out, and everybody is slower.
func (f *Field) advance() {
	moved := make(map[string][2]int)
	for name, p := range f.players {
		x, y := inside(p.x+p.dx), inside(p.y+p.dy)
		if x != p.x || y != p.y {
			moved[name] = [2]int{x, y}
		}
		p.x, p.y = x, y
	}
	if len(moved) == 0 { // all stand, some at the fence perhaps: from here on the room does nothing, until somebody steers
		f.timer.Stop()
		f.timer = nil
		return
	}
	f.step++
	f.room.Broadcast("moved", parlor.Map{"step": f.step, "players": moved})
}

func inside(at int) int { return min(max(at, 0), Size-1) }

// state is all that there is to know.
func (f *Field) state() View {
	v := View{Step: f.step, Players: make(map[string]Place, len(f.players))}
	for name, p := range f.players {
		v.Players[name] = Place{p.x, p.y, p.away}
	}
	return v
}
