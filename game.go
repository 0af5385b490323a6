package parlor

import (
	"log/slog"
	"math/rand/v2"
	"reflect"
	"time"
)

// Game is an author's rules and the state of one hosted instance. Its room calls it from one goroutine.
//
// An answer must come within 5 s, or pgnet's clients disconnect (section 16); a call that takes longer than
// a second is logged. A panic is caught and logged, and harms nobody else: a packet is answered with
// [StatusBad], a join is undone, a removal is finished, a save keeps the one before.
type Game interface {
	// HandleGamePacket answers a packet that a user's application sent. Heartbeats never come here.
	HandleGamePacket(p Packet) Response
}

// NewGame makes a game for a room. Save is what the game's [Saver] gave in an earlier life, or empty for
// a new game. It runs on the room's goroutine. An error refuses the creation; for a saved game it is logged
// and the save is kept as it was; a panic is taken as an error.
type NewGame func(room Room, save string) (Game, error)

// Room is where a game runs, as the game sees it. Its methods are for the room's goroutine, that is, for
// the hooks of the game; Logger's result may be used anywhere.
type Room interface {
	// Name is the game's name in the lobby.
	Name() string
	// Users are the names of the users now in the room, in the order of joining. The slice is the caller's.
	Users() []string
	// Logger logs with the room's name attached.
	Logger() *slog.Logger
	// Now is the room's clock. Games use it in place of time.Now, so that they can be tested in virtual time.
	Now() time.Time
	// Rand is the room's random source, seeded when the room opens. It is not for secrets.
	Rand() *rand.Rand
}

// The optional abilities of a game (section 8.1), each found by assertion when the room opens.
type (
	// UserJoiner is told that a user has joined: after the user was added, before the answer is sent.
	UserJoiner interface{ UserJoined(user string) }

	// UserLeaver is told that a user has left, whatever the reason, after the user was removed.
	UserLeaver interface{ UserLeft(user string) }

	// HeartbeatHandler answers heartbeats: packets by which every player's client asks for news, several times
	// a second (see HeartbeatRater). Whatever players shall see by themselves goes into these answers. Without
	// it they are answered with a text.
	HeartbeatHandler interface{ HandleHeartbeat(p Packet) Response }

	// HeartbeatRater says how often a second clients shall ask (section 8.4). It is read when a user joins.
	// Without it, or with a number that is not positive and finite, the rate is 10. Parlor's clients also take
	// 10 for a rate above 1000.
	HeartbeatRater interface{ HeartbeatRate() float64 }

	// Persister says whether the game is kept when its last user leaves, and saved. It is read when needed.
	// Without it a game ends with its last user.
	Persister interface{ Persistent() bool }

	// Saver gives the state to save, any bytes, 8 MiB at most. It is called for persistent games only: every 300 s by default,
	// on request and at shutdown. It has 1 s to answer, or the save before is kept. An empty save is not kept.
	// NewGame must bring the game back from its save: one that ignores it starts anew, and its next save
	// replaces the old one.
	Saver interface{ SaveString() string }

	// LobbyInformer gives the public line for the game directory, of 1024 bytes at most. It is called when
	// something has happened to the game and the directory is asked for, and has 250 ms to answer, or the line
	// before is shown.
	LobbyInformer interface{ LobbyInfo() string }

	// Updater does work in the background, every 0.1 s, also while no user is in the room.
	Updater interface{ Update() }

	// PacketHandler takes all packets of users, heartbeats included, in place of HandleGamePacket and
	// HandleHeartbeat.
	PacketHandler interface{ HandlePacket(p Packet) Response }

	// Limiter limits how many users may be in the room at once; zero or less is no limit. It is read when a
	// user joins.
	Limiter interface{ MaxUsers() int }
)

// Unhandled is the answer of pgnet to packets that a game does not handle: status UNEXPECTED and a text with
// the name of the game's type.
func Unhandled(g Game) Response {
	return Unexpected("No packet handling configured for " + typeName(g))
}

// UnhandledHeartbeat is the answer to heartbeats of a game that does not handle them; its status is OK.
func UnhandledHeartbeat(g Game) Response {
	return OK("No heartbeat update configured for " + typeName(g))
}

// typeName is the name of g's type, without pointer and package.
func typeName(g Game) string {
	t := reflect.TypeOf(g)
	if t == nil {
		return "nil"
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}
