// Package room is one game's life: its goroutine and mailbox, its users, clock, timers and random source.
//
// [Open] makes a room; the lobby then asks it to join and leave users, to answer packets, and to save. A
// request is put in the room's mailbox and answered by a callback on the room's goroutine, so that a slow
// game delays only itself. The goroutine runs only while there is something in the mailbox: an idle room
// costs its memory and nothing else, also no timer if its game is not updated and has none.
//
// A hook of the game that panics is caught, logged with its stack, and harms nobody else: a packet is
// answered with status BAD, a join is undone, a removal is finished (defects 20 to 24).
//
// A user in the room has a seat, held by her session, the [Member]. The seat outlives the session's link, if
// the lobby says so by [Room.Away] and [Room.Back].
// What a game sees of each user is UserJoined, then UserAway and UserBack in turn, if at all, and UserLeft at
// the end.
//
// The methods of Room may be called concurrently, and do not block. Callbacks must not block either.
package room

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"parlor"
)

// Errors that the lobby branches on.
var (
	ErrClosed     = errors.New("room is closed")
	ErrFull       = errors.New("room is full")
	ErrBusy       = errors.New("mailbox is full")
	ErrJoinFailed = errors.New("the game failed to take the user")
)

// Config says what a room runs and whom it tells.
type Config struct {
	Name string
	New  parlor.NewGame
	Save string // the game's save from an earlier life; empty for a new game
	// SaveVersion is the version of Save, as the game has told it.
	SaveVersion int

	Logger *slog.Logger // required; the room's name is attached
	// Workers are the goroutines to run on, shared by rooms. Default: a new one whenever the room wakes.
	Workers *Workers

	// Mailbox limits how many packets wait, and how many joins; more are answered with
	// ErrBusy and counted. Default 1024; negative refuses all. All else is always taken, as it is bounded by who
	// asks for it: a session leaves once by request and once at its end; it goes away and comes back in one
	// message, however often it does while that waits; and the timers of the room wait in one message. Saves,
	// refreshes, the drain and the close are the lobby's own.
	Mailbox int
	// Timers limits how many timers of the game there are at once; more are refused with a logged error, and
	// never fire. Default 10,000; negative refuses all.
	Timers int
	// Budget is how long a hook may take before it is logged as slow, when it comes back; one that does not is logged
	// between Budget and twice that after its beginning. Default 1 s.
	Budget time.Duration
	// Window is how long the seat of a user whose link is gone is kept, if the game does not say. Default 0: not
	// at all.
	Window time.Duration
	// Stats is where to count; several rooms may share it. Default: the room's own.
	Stats *Stats

	// Now is the clock of the game. Default: time.Now.
	Now func() time.Time
	// AfterFunc makes the timer by which the room wakes for updates and timers of the game: f is to be called, on
	// any goroutine, when Now has moved on by d. Who sets it sets Now too. Default: time.AfterFunc, whatever Now is.
	AfterFunc func(d time.Duration, f func()) Alarm
	// Seed is the seed of the game's random source. Default: a random one.
	Seed [2]uint64

	// MaxInfo limits the line for the directory, in bytes; the rest is cut off. Default 1024.
	MaxInfo int

	// Journal is where the game is written, if it is durable (parlor.Durable). Default: no game is.
	Journal Journal
	// Stored is what it was before; nil for a new game. Save is not looked at then.
	Stored *Stored
	// Reseat gives who has a seat of Stored now; nil, or without it, the user leaves. It runs on the room's goroutine.
	Reseat func(s Seated) Member
	// Joining, if not nil, is told of a Resumer that has joined a durable game, before that is written. It runs on the room's
	// goroutine.
	Joining func(m Resumer)
	// MaySave, if not nil, is asked before a save of so many bytes of a durable game is written; an error is why not. It runs on the
	// room's goroutine.
	MaySave func(size int) error
	// SaveEvery is after how many entries of its journal a durable game is saved, or 4 MiB of them. Default 1000.
	SaveEvery int
	// Answers is how many answers to the last requests of a session are made again: as many as its client may not have got. Default 1024.
	Answers int
	// KeepJournal keeps the entries that are in a save already: from the first on they are a recording of the whole game.
	KeepJournal bool
	// Divergence says what becomes of a durable game that does something else than its journal says. Default: ReadOnly.
	Divergence Divergence

	// Made, if not nil, is given the game when it was made. It runs on the room's goroutine.
	Made func(g parlor.Game)
	// Keep is given the save of a game that has asked for one, and is not durable, as Room.Save gives it. It runs on the room's goroutine, must not
	// block, and calls done, on any goroutine, when the save is written or cannot be. Default: it is dropped.
	Keep func(s Save, ok bool, err error, done func())
	// Left is told of each member who was removed, however it came about. It runs on the room's goroutine,
	// after the game's own hook and after Ended, if the room ended with its last user.
	Left func(m Member)
	// Ended is told when the room has closed. It runs on the room's goroutine.
	Ended func()
}

// Alarm is a timer of a clock: what time.AfterFunc returns is one.
type Alarm interface {
	// Reset has it go off when d has passed, whether it has gone off before or not.
	Reset(d time.Duration) bool
	// Stop keeps it from going off.
	Stop() bool
}

// Stats counts what happened in a room, above all what went wrong or slowly.
type Stats struct {
	Panics        atomic.Int64 // hooks that panicked
	Slow          atomic.Int64 // hooks that took longer than Config.Budget, and have come back
	Stuck         atomic.Int64 // hooks that had not come back when they were looked for, after Config.Budget or more
	Busy          atomic.Int64 // packets and joins that the mailbox had no space for when they came
	Late          atomic.Int64 // updates and calls of timers left out because the room was too busy for them
	Pushes        atomic.Int64 // pushes handed to members
	PushesAstray  atomic.Int64 // pushes to users who were not in the room
	PushesUnsent  atomic.Int64 // pushes, to one user or to many, that could not be encoded
	TimersRefused atomic.Int64 // timers over Config.Timers
	Unstored      atomic.Int64 // times that a durable game could not be stored, and went back to what was
}

// Room runs one game.
type Room struct {
	cfg    Config
	logger *slog.Logger
	stats  *Stats

	mu       sync.Mutex           // guards the mailbox, and that packets and joins grow
	mailbox  *mailbox             // nil while it is empty
	packets  atomic.Int64         // packets that the game was not asked about yet
	joins    atomic.Int64         // joins likewise
	presence map[Member]*presence // messages about members who went away or came back, to which more may be added
	rung     bool                 // the timers have a message in the mailbox
	awake    bool                 // the goroutine is running

	watch watch

	stale atomic.Bool            // something happened since info was made
	info  atomic.Pointer[string] // the game's line for the directory

	// What follows belongs to the room's goroutine.
	game   parlor.Game
	madeOf int              // the version of the save that it was made of
	seats  []*seat          // in the order of joining
	seatOf map[string]*seat // by user
	rng    *rand.Rand
	closed bool
	told   bool // the lobby was, that it has
	asked  bool // the game's constructor has asked for madeOf
	timers timers

	saveWanted bool // the game has asked for it
	saveWaits  bool // a save that it has asked for is under way, or not long ago

	durable *durable // nil if the game is not

	opened  time.Time
	hookEnd time.Duration // since then, when the last hook had returned
}

// Member is a user's session, as the room knows it: it tells one session of a user from the next. Values are
// compared with ==. The methods are called on the room's goroutine, and must not block.
type Member interface {
	// Answer takes the answer to a packet, once for each, in the order of the packets. The error is ErrClosed,
	// when the member is not in the room, or nil.
	Answer(r parlor.Response, err error)
	// Push takes a message that the game sends to the user, also while she is away. It is shared with other
	// members, and must not be changed.
	Push(p *parlor.Push)
}

// Joined is what a game says of how a user is to be served, read when she joins.
type Joined struct {
	// HeartbeatRate is how often a second the client shall ask: positive and finite.
	HeartbeatRate float64
	// Window is how long the seat is to be kept when the link is gone: as the game says, or else Config.Window. 0
	// is not at all. The lobby sees to it, and may keep it for less.
	Window time.Duration
	// PushOnHeartbeat: pushes to a user on a wire that has none are to ride on the answers to heartbeats.
	PushOnHeartbeat bool
}

// Open starts a room. The game is made on the room's goroutine; opened tells how it went, before any other
// callback. If it failed, the room is closed.
func Open(cfg Config, opened func(err error)) *Room {
	r := newRoom(cfg)
	r.post(func() { r.start(opened) })
	return r
}

func newRoom(cfg Config) *Room {
	cfg.fill()
	r := &Room{
		cfg: cfg, stats: cfg.Stats, logger: cfg.Logger.With("game", cfg.Name),
		seatOf: make(map[string]*seat), opened: time.Now(),
	}
	r.timers.began = r.now()
	r.info.Store(new(string))
	return r
}

func (c *Config) fill() {
	if c.Mailbox == 0 {
		c.Mailbox = 1024
	}
	if c.Timers == 0 {
		c.Timers = 10_000
	}
	if c.Budget <= 0 {
		c.Budget = time.Second
	}
	if c.MaxInfo <= 0 {
		c.MaxInfo = 1024
	}
	if c.SaveEvery <= 0 {
		c.SaveEvery = 1000
	}
	if c.Answers <= 0 {
		c.Answers = 1024
	}
	if c.Stats == nil {
		c.Stats = new(Stats)
	}
	if c.Keep == nil {
		c.Keep = func(_ Save, _ bool, _ error, done func()) { done() }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Seed == [2]uint64{} {
		c.Seed = [2]uint64{rand.Uint64(), rand.Uint64()}
	}
}

// Stats are the room's counters.
func (r *Room) Stats() *Stats { return r.stats }

func (r *Room) start(opened func(error)) {
	if r.cfg.Journal == nil {
		r.rng = rand.New(rand.NewPCG(r.cfg.Seed[0], r.cfg.Seed[1]))
		save := Save{Version: r.cfg.SaveVersion, Data: r.cfg.Save}
		r.cfg.Save = "" // it may be large
		opened(r.make(save))
		return
	}
	r.beDurable()
	r.durable.start(opened)
}

// beDurable makes it a room whose game may turn out to be durable.
func (r *Room) beDurable() {
	r.durable = newDurable(r)
	r.rng = rand.New(r.durable.source)
}

// make makes the game of a save.
func (r *Room) make(s Save) error {
	r.madeOf = s.Version
	if err := r.construct(s); err != nil {
		r.game = nil
		if d := r.durable; d == nil || !d.replaying { // one that is made again stays: what is stored of it would go with its end
			r.end()
		}
		if s.Version != 0 {
			return fmt.Errorf("create game %q of a save of version %d: %w", r.cfg.Name, s.Version, err)
		}
		return fmt.Errorf("create game %q: %w", r.cfg.Name, err)
	}
	if d := r.durable; d != nil && !d.replaying && !d.wanted() {
		r.durable = nil
		now := r.sinceBegan()
		for _, t := range r.timers.queue { // which were set on a clock that stood still
			t.due += now
		}
	}
	if r.cfg.Made != nil {
		r.cfg.Made(r.game)
	}
	r.scheduleUpdates()
	r.stale.Store(true)
	return nil
}

func (r *Room) construct(s Save) (err error) {
	r.asked = false
	switch ok := r.guard("create", func() { r.game, err = r.cfg.New(view{r}, s.Data) }); {
	case !ok:
		err = errors.New("the game's constructor panicked")
	case err == nil && r.game == nil:
		err = errors.New("the game's constructor returned nothing")
	}
	switch {
	case err != nil && s.Version != 0 && !r.asked: // which version the game makes is told only by one that was made
		return fmt.Errorf("if this program makes saves of an older version, start the newer one that has made this one: %w", err)
	case err != nil:
		return err
	}
	if known := r.versionOfSaves(); s.Data != "" && s.Version > known {
		return fmt.Errorf("the game makes saves of version %d: start the newer program that has made this one", known)
	}
	return nil
}

// Save answers with the game's save, of a durable game with an empty one, when it is stored; ok is false when there is none: the game is not persistent, its save
// is empty, it panicked, or the room is closed. For a game that panicked err says so, and what was saved
// before is still good.
func (r *Room) Save(done func(s Save, ok bool, err error)) {
	r.post(func() {
		if r.durable != nil {
			r.durable.save(func(err error) { done(Save{}, false, err) })
			return
		}
		done(r.save())
	})
}

// Info is the game's line for the directory, and whether it is up to date.
func (r *Room) Info() (info string, fresh bool) {
	fresh = !r.stale.Load()
	return *r.info.Load(), fresh
}

// Refresh brings the line for the directory up to date, and answers when it is.
func (r *Room) Refresh(done func()) {
	r.post(func() {
		if r.closed || !r.stale.Load() {
			done()
			return
		}
		if d := r.durable; d != nil {
			d.refresh(done)
			return
		}
		info := r.line()
		r.info.Store(&info)
		r.stale.Store(false)
		done()
	})
}

// Drain tells the game that the server is about to stop, at the deadline at the latest, and answers when it has
// been told. The room goes on as before until it is closed.
func (r *Room) Drain(deadline time.Time, done func()) {
	r.post(func() {
		if r.durable != nil {
			r.durable.drain(deadline, done)
			return
		}
		r.drainBy(deadline)
		done()
	})
}

func (r *Room) drainBy(deadline time.Time) {
	if h, ok := r.game.(parlor.Drainer); ok && !r.closed {
		r.guard("draining", func() { h.Draining(deadline) })
	}
}

// Close takes every user out and ends the room. It answers when the game has been told of each.
func (r *Room) Close(done func()) {
	r.post(func() {
		if r.durable != nil {
			r.durable.close(done)
			return
		}
		r.closeNow()
		done()
	})
}

func (r *Room) closeNow() {
	for len(r.seats) > 0 && !r.closed {
		r.remove(r.seats[0])
	}
	r.end() // of a persistent game
}

// end closes the room. Whoever is still asked for is answered with ErrClosed.
func (r *Room) end() {
	if r.closed {
		return
	}
	r.closed = true
	r.stopTimers()
	switch d := r.durable; {
	case d == nil:
		r.tellEnd()
	case d.replaying: // it is told when all is made again as it was: what is stored goes with that
	case d.failed == nil:
		d.say(r.tellEnd, nil)
	default:
		r.tellEnd()
	}
}

// tellEnd tells the lobby that the room has closed, once.
func (r *Room) tellEnd() {
	if !r.told {
		r.told = true
		r.cfg.Ended()
	}
}

// Stop takes the game out of memory, and answers when all that it has done is stored. A durable game is not told, its users keep
// their seats in what is stored, and neither Left nor Ended is called; any other room is closed.
func (r *Room) Stop(done func()) {
	r.post(func() {
		if r.durable != nil {
			r.durable.stop(done)
			return
		}
		r.closeNow()
		done()
	})
}

// forgetAll empties the room, for a game that is made again.
func (r *Room) forgetAll() {
	r.stopTimers()
	r.game, r.seats, r.closed, r.timers.set = nil, nil, false, false
	clear(r.seatOf)
}
