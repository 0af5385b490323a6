package server

import (
	"sync/atomic"
	"time"

	"parlor/room"
)

// Limits bounds what clients can make the server hold. A zero field takes its default. A negative number of
// requests, registrations, failures, directory bytes or bytes sent again per second takes that limit away; elsewhere a negative value refuses everything.
type Limits struct {
	Links int // links at once, logged in or not; default 100,000
	Users int // registered users; default 1,000,000
	Games int // games at once; default 10,000
	// GamesPerUser bounds the games that one user has created and that are still there; default 100. The
	// administrator is not bound.
	GamesPerUser int
	SaveSize     int // bytes of one game's save; default 8 MiB
	// SavesSize bounds the bytes of all games' saves; default 64 MiB, as every registration writes them again.
	// The games of one user may grow only as long as they leave as much free as they have, so that nobody can
	// fill it: a crowd of users gets a fair part each, and something is left for the next. The administrator's
	// may fill it.
	SavesSize    int
	PasswordSize int // bytes of a user's password; default 1024
	// HashMemory is how many KiB the hash of a password takes, and HashPasses how often it goes through them; default 19 MiB, and 2
	// (OWASP's advice for Argon2id). Less is for tests.
	HashMemory, HashPasses uint32
	TextSize               int // bytes of a game's password and of a name in an invite; default 256
	Invites                int // unused invite codes; default 10,000
	// InviteLife is how long an invite code is good; default 30 days, negative for ever.
	InviteLife time.Duration

	// Mailbox bounds the packets that wait for one game, and likewise the joins; default 1024. They have their turns as they come, but for
	// a session with many requests on their way: it has up to 32 in a row.
	Mailbox    int
	Timers     int           // timers of one game at once; default 10,000
	HookBudget time.Duration // how long a call into a game may take before it is logged, also if it does not come back; default 1 s
	InfoSize   int           // bytes of a game's line in the directory; default 1024

	Queue      int           // requests of one session that wait; then its link is read no further; default 256
	QueueBytes int           // the same, in bytes of their texts; default 2 MiB
	QueueWait  time.Duration // how long a link waits for room in the queue before it is closed; default 5 s

	// Unacknowledged bounds the answers to one session that its client has not acknowledged, and UnacknowledgedBytes their
	// bytes; default 1024, and 4 MiB. Beyond it the session's requests wait. As a room gets up to 32 of them together, the bytes
	// may become more: by that many answers that are larger than the client's answers and requests were so far. A request to join or create a game waits
	// from 68 KiB on, as what is not acknowledged then goes into the journal of a durable game.
	Unacknowledged, UnacknowledgedBytes int
	// Pushes bounds the pushes to one session that are kept until its client has acknowledged them, and PushBytes the bytes
	// of what they say, which counts for each session though they may share it; default 1024, and 4 MiB. Beyond it the oldest are
	// lost, if the link ends before they were read.
	Pushes, PushBytes int
	// KeptBytes bounds what all sessions together keep of answers and pushes that their clients have not acknowledged, in bytes as
	// above; default 1 GiB. A session may keep as much of pushes as it leaves free, and 68 KiB of them in any case, which is
	// about what a client may have got without acknowledging it. Beyond it its oldest pushes are lost, as over PushBytes. Answers never
	// are: with as much of them unacknowledged a session's requests wait, and a room gets one at a time of them while less than
	// UnacknowledgedBytes is free. So sessions may keep a little more together: 68 KiB of each kind, and the answers to what was
	// under way, which is one request mostly. A negative value leaves the 68 KiB.
	KeptBytes int

	// ResumeRate bounds what a session that is resumed again and again is sent again, in bytes a second: the next resumption waits
	// until the one before is paid for, for 3.5 s at most. Default 4 MiB; negative: no limit. 64 KiB are free.
	ResumeRate int

	// HeartbeatPushes bounds the pushes that wait for the next heartbeat of a user on pgnet's wire, in a game that wants it
	// (parlor.HeartbeatPusher), and HeartbeatPushBytes their bytes; default 64, and 64 KiB. Beyond it the oldest are lost.
	HeartbeatPushes, HeartbeatPushBytes int

	DirectoryRate     int     // bytes a second of the game directory to one session; default 256 KiB, negative for no limit
	RequestsPerSecond float64 // of one session, in bursts of as many; default 50,000
	// RegistrationsPerSecond bounds the users that one network (an IPv4 address, a /64 of IPv6) registers without
	// an invite, after RegistrationBurst at once; default 0.1, and 200, which is a LAN party behind one address.
	// The loopback is not bound: a proxy that is not among the trusted ones must bound its clients itself.
	RegistrationsPerSecond float64
	RegistrationBurst      int

	FailuresPerSecond float64 // failed logins of one address, and of one name, and wrong passwords of games by one user; default 1
	FailureBurst      int     // failed logins before they are slowed down; default 20
	Addresses         int     // addresses and names whose failed logins, and networks whose registrations, are remembered; default 65,536 each

	ResponseSize int           // bytes of a response's message and payload; default 786,392, the most that pgnet's clients take
	LeaveWait    time.Duration // how long a name is held for a game that is slow to see its user off; default 1 s
	DeleteWait   time.Duration // how long a deleted user's next packet is waited for, to tell her; default 1 s
	InfoWait     time.Duration // how long the directory waits for games to give their lines; default 250 ms
	SaveWait     time.Duration // how long a save waits for games; default 1 s
	CommitWait   time.Duration // how long what is to be stored may wait for the store, before it is refused; default 10 s
	RestoreWait  time.Duration // how long New waits for saved games to be made; default 10 s
	SleepTime    time.Duration // how long the sleep request takes at most; default 4.5 s, as pgnet's clients give up at 5 s
	DrainWait    time.Duration // how long Run waits at the end for what games do when they are told of it; default 1 s
	EndWait      time.Duration // how long Run then waits for sessions; default 2 s
}

func (l *Limits) fill() {
	def(&l.Links, 100_000)
	def(&l.Users, 1_000_000)
	def(&l.Games, 10_000)
	def(&l.GamesPerUser, 100)
	def(&l.SaveSize, 8<<20)
	def(&l.SavesSize, 64<<20)
	def(&l.PasswordSize, 1024)
	def(&l.TextSize, 256)
	def(&l.Invites, 10_000)
	def(&l.InviteLife, InviteLife)
	def(&l.Mailbox, 1024)
	def(&l.Timers, 10_000)
	def(&l.HookBudget, time.Second)
	def(&l.InfoSize, 1024)
	def(&l.RestoreWait, 10*time.Second)
	def(&l.Queue, 256)
	def(&l.QueueBytes, 2<<20)
	def(&l.QueueWait, 5*time.Second)
	def(&l.Unacknowledged, 1024)
	def(&l.UnacknowledgedBytes, 4<<20)
	def(&l.Pushes, 1024)
	def(&l.PushBytes, 4<<20)
	def(&l.KeptBytes, 1<<30)
	l.KeptBytes = max(l.KeptBytes, 0)
	def(&l.ResumeRate, 4<<20)
	def(&l.HeartbeatPushes, 64)
	def(&l.HeartbeatPushBytes, 64<<10)
	def(&l.DirectoryRate, 256<<10)
	def(&l.RequestsPerSecond, 50_000)
	def(&l.RegistrationsPerSecond, 0.1)
	def(&l.RegistrationBurst, 200)
	def(&l.FailuresPerSecond, 1)
	def(&l.FailureBurst, 20)
	def(&l.Addresses, 1<<16)
	def(&l.ResponseSize, 786_392)
	def(&l.LeaveWait, time.Second)
	def(&l.DeleteWait, time.Second)
	def(&l.InfoWait, 250*time.Millisecond)
	def(&l.SaveWait, time.Second)
	def(&l.CommitWait, 10*time.Second)
	def(&l.SleepTime, 4500*time.Millisecond)
	def(&l.DrainWait, time.Second)
	def(&l.EndWait, 2*time.Second)
}

// def sets *v to its default if it is zero.
func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Stats counts what happened since the start. Every limit has a counter.
type Stats struct {
	Requests          atomic.Int64 // requests answered
	Logins            atomic.Int64 // logins accepted
	LoginsRefused     atomic.Int64 // logins refused, for whatever reason
	LoginsSlowed      atomic.Int64 // logins, and guesses of a game's password, delayed or refused because too many had failed
	TurnsRefused      atomic.Int64 // logins, and requests that need a hash of a password, refused because too many waited for theirs
	LinksRefused      atomic.Int64 // links over Limits.Links
	UsersRefused      atomic.Int64 // registrations over Limits.Users or Limits.RegistrationsPerSecond
	GamesRefused      atomic.Int64 // games over Limits.Games
	SavesRefused      atomic.Int64 // saves over Limits.SaveSize, Limits.SavesSize or a user's part of that
	SavesMissed       atomic.Int64 // saves that games failed to give, or not within Limits.SaveWait
	InvitesRefused    atomic.Int64 // codes over Limits.Invites
	Held              atomic.Int64 // times that a session's requests had to wait over Limits.Unacknowledged, UnacknowledgedBytes or KeptBytes, or for a join over 68 KiB
	PushesLost        atomic.Int64 // pushes over Limits.Pushes, PushBytes, KeptBytes, HeartbeatPushes or HeartbeatPushBytes, or that the link which resumes cannot carry
	PushesCrowded     atomic.Int64 // those of them that were over Limits.KeptBytes alone
	Resumed           atomic.Int64 // sessions taken up by another link of their client
	ResumesSlowed     atomic.Int64 // resumptions delayed by Limits.ResumeRate
	QueueFull         atomic.Int64 // times that a link had to wait for room in its session's queue
	RequestsRefused   atomic.Int64 // requests over Limits.RequestsPerSecond
	DirectoriesSlowed atomic.Int64 // directories delayed by Limits.DirectoryRate
	TooLarge          atomic.Int64 // responses over Limits.ResponseSize, and directories that were cut to it
	TextsRefused      atomic.Int64 // texts over Limits.TextSize
	Malformed         atomic.Int64 // messages that were not packets
	SaveErrors        atomic.Int64 // writes of the store that failed
	PushesDropped     atomic.Int64 // pushes that could not be delivered to a session: its wire has none, or no form for them; or she left before her next heartbeat
	SubscribersBehind atomic.Int64 // times that a subscriber to the directory missed changes, as it had not acknowledged others
	Unlogged          atomic.Int64 // events of clients, such as games created, and errors of the store, that were too many to log

	Kept atomic.Int64 // bytes that sessions keep now for their clients (Limits.KeptBytes): no count, as it falls again

	Rooms room.Stats // what went wrong in games
}
