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

// Room is where a game runs, as the game sees it. Its methods are for the room's goroutine alone, that is, for
// the hooks of the game, its constructor and the functions of its timers: to call one from any other goroutine
// is an error of the author, which nothing catches and the race detector finds. Only Logger's result may be
// used anywhere. None of them blocks. A room that has closed sends nothing and takes no timers.
type Room interface {
	// Name is the game's name in the lobby.
	Name() string
	// Users are the names of the users now in the room, in the order of joining, those who are away (see
	// UserVanisher) among them. The slice is the caller's.
	Users() []string
	// Logger logs with the room's name attached.
	Logger() *slog.Logger
	// Now is the room's clock. Games use it in place of time.Now, so that they can be tested in virtual time.
	Now() time.Time
	// Rand is the room's random source, seeded when the room opens. It is not for secrets.
	Rand() *rand.Rand

	// Send pushes a message to a user in the room: the payload is any value that [Encode] takes, read at once;
	// a nil is the empty object. Whether it arrives depends on her wire: a session that can be resumed keeps it
	// for her while she is away, pgnet's wire drops it by default (see HeartbeatPusher). Pushes and answers to
	// one user arrive in the order in which they were made; what is sent while a packet of hers, or her joining,
	// is worked on comes before the answer to that. A user who is not in the room gets nothing, which is
	// counted. What cannot be encoded is sent to nobody, and logged as an error.
	Send(user, message string, payload any)
	// Broadcast is Send to all users in the room, in the order of joining, but those named behind the payload.
	// It encodes the payload once.
	Broadcast(message string, payload any, except ...string)

	// After calls f once, on the room's goroutine, when d has passed on the room's clock; one that is not positive
	// is over at once, but f is never called before the hook that makes the timer has returned. Functions are called
	// in the order of their times, and of their making where these are the same. A panic in f is caught and logged,
	// as in any hook.
	//
	// Timers end with the room, and are not saved. A room holds a bounded number of them, 10,000 by default: beyond
	// it an error is logged, and the timer that is returned never fires.
	After(d time.Duration, f func()) Timer
	// Every calls f again and again, until the timer is stopped: the n-th call is due n times d from now. Those
	// whose time has passed when the one before has ended are left out and counted, as the room was too busy for
	// them; the others keep to their times. An interval below 1 ms is taken as 1 ms.
	Every(d time.Duration, f func()) Timer

	// Save has the game saved when the hook that calls it has returned, beside the times at which all games are (see [Saver]); a durable game
	// needs it only for a shorter journal. It does not wait, and a game is saved once a second at most however often it asks; what the store
	// does not take is in the next save. A game that is not saved, or is just being saved, asks in vain.
	Save()
}

// Timer is what [Room.After] and [Room.Every] return. It is for the room's goroutine alone, as they are.
type Timer interface {
	// Stop sees to it that the function is not called any more, and tells whether it would have been. It may be
	// called again, and from within the function.
	Stop() bool
}

// The optional abilities of a game (section 8.1), each found by assertion when the room opens.
type (
	// UserJoiner is told that a user has joined: after the user was added, before the answer is sent.
	UserJoiner interface{ UserJoined(user string) }

	// UserLeaver is told that a user has left, whatever the reason, after the user was removed.
	UserLeaver interface{ UserLeft(user string) }

	// HeartbeatHandler answers heartbeats: packets by which every player's client asks for news, several times
	// a second (see HeartbeatRater). Whatever players on pgnet's wire shall see by themselves goes into these
	// answers; other wires have pushes. Without it they are answered with a text.
	HeartbeatHandler interface{ HandleHeartbeat(p Packet) Response }

	// HeartbeatRater says how often a second clients shall ask (section 8.4). It is read when a user joins.
	// Without it, or with a number that is not positive and finite, the rate is 10. Parlor's clients also take
	// 10 for a rate above 1000.
	HeartbeatRater interface{ HeartbeatRate() float64 }

	// Persister says whether the game is kept when its last user leaves, and saved. It is read when needed.
	// Without it a game ends with its last user.
	Persister interface{ Persistent() bool }

	// Saver gives the state to save, any bytes, 8 MiB at most. It is called for persistent games, and for durable ones: every 300 s by default,
	// on request, of the administrator or by Room.Save, and at shutdown. It has 1 s to answer, or the save before is kept. An empty save is not kept;
	// a durable game then keeps the one before, and its journal since.
	// NewGame must bring the game back from its save: one that ignores it starts anew, and its next save
	// replaces the old one.
	Saver interface{ SaveString() string }

	// LobbyInformer gives the public line for the game directory, of 1024 bytes at most. It is called when
	// something has happened to the game and the directory is asked for, and has 250 ms to answer, or the line
	// before is shown.
	LobbyInformer interface{ LobbyInfo() string }

	// Updater does work in the background, also while no user is in the room: ten times a second, or as often as
	// UpdateRater says. It keeps to its times as Room.Every does.
	Updater interface{ Update() }

	// UpdateRater says how often a second Update is called: 1 to 128, or 0 for never. It is read once, when the
	// room opens. Of other values more than 128 is taken as that, less than 1 as 1, what is negative as 0, and NaN
	// as the default of 10, which is logged. A game that is not updated and has no timers costs no processor time
	// while nobody sends anything.
	UpdateRater interface{ UpdateRate() float64 }

	// UserVanisher is told that a user's link is gone while her seat is kept for her (see Resumer): she is still
	// among the room's users, and what is sent to her waits. Packets that she sent before may still come. Either
	// UserBack follows, or UserLeft.
	UserVanisher interface{ UserAway(user string) }

	// UserReturner is told that a user who was away is back. Missed means that not all that was sent to her
	// will have reached her: the game should send her a fresh state.
	UserReturner interface {
		UserBack(user string, missed bool)
	}

	// Resumer says how long the seat of a user is kept for her when her link is gone; 0, or less, is not at all:
	// she leaves with it. It is read when a user joins, and the server may bound it. Without it the server's
	// default counts: 60 s, if it is not set otherwise. The seats of users on pgnet's wire are never kept.
	Resumer interface{ ResumeWindow() time.Duration }

	// HeartbeatPusher says whether pushes to users on pgnet's wire, which knows none, wait, in bounds, and ride on
	// the answer to the user's next heartbeat: its payload, if it is an object without that key, has them under "parlor_pushes",
	// a list of objects of "message", "payload" and "game", oldest first, and under "parlor_pushes_lost" how many there was no
	// room for, if any. 64 may wait for a user, and 64 KiB, until she leaves. It is read when a user joins. Without it they are
	// dropped and counted.
	HeartbeatPusher interface{ PushOnHeartbeat() bool }

	// Drainer is told that the server is about to stop, and when it will at the latest. Users are still there: the
	// game may tell them, and bring to an end what they are at. Its save is asked for afterwards.
	Drainer interface{ Draining(deadline time.Time) }

	// Durable says whether nothing that the game has answered may be lost, whatever is killed: what users do is written
	// to its journal first, and whatever the game says, answers, pushes and its line in the directory, waits for that. It is
	// read once, when the game is new; the server must have a store with journals.
	//
	// After a crash the game is made again from its newest save and the journal since. So what it does may depend on nothing but its save, the
	// packets, and its room, with room.Now (in UTC), room.Rand and timers in place of those of Go; and SaveString and LobbyInfo change nothing.
	// A game that does something else than its journal says is not played any more, if the server's operator has not
	// chosen that it goes on from its save; parlortest.Replay shows where that is, of a game that was exported.
	//
	// A game that is made of a save sets its timers again: room.After for when it was due (room.After(at.Sub(room.Now()), f)), those that are due together
	// in the order in which they were set at first; room.Every as it was set at first, it then keeps to its times. A timer is due a
	// millisecond from now at the earliest, and a game that could not be kept up with for more than a second is not called for each
	// time of a repeated timer that has passed. Other timers see the times of which they were due, as do those that they set, but behind
	// 10,000 calls see the time that it is.
	Durable interface{ Durable() bool }

	// HeartbeatLooker says that heartbeats change nothing of a durable game, as where they are answered with its state: then they are not
	// in its journal. Without it each of them is, unless the game does not handle them. It is asked with each.
	HeartbeatLooker interface{ HeartbeatsOnlyLook() bool }

	// Versioner says of which version the form of the game's saves is: raise it when an older program could not read them, or this
	// one older ones as they are (see Upgrades). It is asked with each save. Without it it is 0. A game is not made of a save of a
	// version above its own.
	Versioner interface{ SaveVersion() int }

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
