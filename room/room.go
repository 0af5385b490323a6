// Package room is one game's life: its goroutine and mailbox, its users, clock and random source.
//
// [Open] makes a room; the lobby then asks it to join and leave users, to answer packets, and to save. A
// request is put in the room's mailbox and answered by a callback on the room's goroutine, so that a slow
// game delays only itself. The goroutine runs only while there is something in the mailbox: an idle room
// costs its memory and nothing else.
//
// A hook of the game that panics is caught, logged with its stack, and harms nobody else: a packet is
// answered with status BAD, a join is undone, a removal is finished (defects 20 to 24).
//
// The methods of Room may be called concurrently. Callbacks must not block.
package room

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parlor"
)

// UpdateInterval is how often the game's [parlor.Updater] is called (section 8.1).
const UpdateInterval = 100 * time.Millisecond

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

	Logger *slog.Logger // required; the room's name is attached
	// Workers are the goroutines to run on, shared by rooms. Default: a new one whenever the room wakes.
	Workers *Workers

	// Mailbox limits how many packets wait; more are answered with ErrBusy. Default 1024. When four times as
	// many messages of all kinds wait, joins are refused as well; leaves and saves are always taken, as there
	// are few of them for each user.
	Mailbox int
	// Budget is how long a hook may take before it is logged as slow. Default 1 s.
	Budget time.Duration
	// Stats is where to count; several rooms may share it. Default: the room's own.
	Stats *Stats
	// Now is the clock of the game, and Seed the seed of its random source. Default: time.Now, and a random seed.
	Now  func() time.Time
	Seed [2]uint64

	// MaxInfo limits the line for the directory, in bytes; the rest is cut off. Default 1024.
	MaxInfo int

	// Made, if not nil, is given the game when it was made. It runs on the room's goroutine.
	Made func(g parlor.Game)
	// Left is told of each member who was removed, however it came about. It runs on the room's goroutine,
	// after the game's own hook and after Ended, if the room ended with its last user.
	Left func(m Member)
	// Ended is told when the room has closed. It runs on the room's goroutine.
	Ended func()
}

// Stats counts what went wrong in a room, or slowly.
type Stats struct {
	Panics atomic.Int64 // hooks that panicked
	Slow   atomic.Int64 // hooks that took longer than Config.Budget
	Busy   atomic.Int64 // packets and joins refused because the mailbox was full
	Late   atomic.Int64 // updates that came more than an interval late
}

// Room runs one game.
type Room struct {
	cfg    Config
	logger *slog.Logger
	stats  *Stats

	mu      sync.Mutex // guards the mailbox
	mailbox []message
	packets int  // how many of the mailbox are packets
	awake   bool // the goroutine is running

	stale atomic.Bool            // something happened since info was made
	info  atomic.Pointer[string] // the game's line for the directory

	// What follows belongs to the room's goroutine.
	spare   []message // to be the mailbox, in turn with the one that is worked off
	game    parlor.Game
	users   []string          // in the order of joining
	members map[string]Member // by user
	rng     *rand.Rand
	closed  bool
	ticker  *time.Timer
	nextRun time.Time // when the next update is due
}

// Member is a user's session, as the room knows it: it tells one session of a user from the next.
type Member interface {
	// Answer takes the answer to a packet, on the room's goroutine, once. The error is ErrClosed, when the
	// member is not in the room, or nil.
	Answer(r parlor.Response, err error)
}

// message is one entry of the mailbox: a packet of a member, or else a function.
type message struct {
	packet parlor.Packet
	from   Member
	do     func()
}

// Open starts a room. The game is made on the room's goroutine; opened tells how it went, before any other
// callback. If it failed, the room is closed.
func Open(cfg Config, opened func(err error)) *Room {
	if cfg.Mailbox <= 0 {
		cfg.Mailbox = 1024
	}
	if cfg.Budget <= 0 {
		cfg.Budget = time.Second
	}
	if cfg.MaxInfo <= 0 {
		cfg.MaxInfo = 1024
	}
	if cfg.Stats == nil {
		cfg.Stats = new(Stats)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Seed == [2]uint64{} {
		cfg.Seed = [2]uint64{rand.Uint64(), rand.Uint64()}
	}
	r := &Room{cfg: cfg, stats: cfg.Stats, logger: cfg.Logger.With("game", cfg.Name), members: make(map[string]Member)}
	r.info.Store(new(string))
	r.post(func() { opened(r.start()) })
	return r
}

// Stats are the room's counters.
func (r *Room) Stats() *Stats { return r.stats }

func (r *Room) start() error {
	r.rng = rand.New(rand.NewPCG(r.cfg.Seed[0], r.cfg.Seed[1]))
	var err error
	ok := r.guard("create", func() { r.game, err = r.cfg.New(view{r}, r.cfg.Save) })
	if !ok {
		err = errors.New("the game's constructor panicked")
	} else if err == nil && r.game == nil {
		err = errors.New("the game's constructor returned nothing")
	}
	if err != nil {
		r.end()
		return fmt.Errorf("create game %q: %w", r.cfg.Name, err)
	}
	if r.cfg.Made != nil {
		r.cfg.Made(r.game)
	}
	if _, updates := r.game.(parlor.Updater); updates {
		r.nextRun = time.Now().Add(UpdateInterval)
		r.ticker = time.AfterFunc(UpdateInterval, func() { r.post(r.update) })
	}
	r.stale.Store(true)
	return nil
}

// Packet asks the game for an answer to a member's packet. ErrBusy means that the mailbox is full; the
// member gets no answer then.
func (r *Room) Packet(p parlor.Packet, from Member) error {
	r.mu.Lock()
	if r.packets >= r.cfg.Mailbox {
		r.mu.Unlock()
		r.stats.Busy.Add(1)
		return ErrBusy
	}
	r.packets++
	r.put(message{packet: p, from: from})
	return nil
}

// Join adds a user and answers with the game's heartbeat rate, or with ErrClosed, ErrFull or ErrJoinFailed,
// or, at once, with ErrBusy. An earlier session of the same user, whose removal has not come yet, is removed
// first.
func (r *Room) Join(user string, m Member, done func(heartbeatRate float64, err error)) {
	r.mu.Lock()
	if len(r.mailbox) >= 4*r.cfg.Mailbox {
		r.mu.Unlock()
		r.stats.Busy.Add(1)
		done(0, ErrBusy)
		return
	}
	r.put(message{do: func() { done(r.join(user, m)) }})
}

// Leave removes a user, if this session of hers is present, and answers when the game has been told.
func (r *Room) Leave(user string, m Member, done func()) {
	r.post(func() {
		if r.members[user] == m {
			r.remove(user)
		}
		done()
	})
}

// Save answers with the game's save; ok is false when there is none: the game is not persistent, its save
// is empty, it panicked, or the room is closed. For a game that panicked err says so, and what was saved
// before is still good.
func (r *Room) Save(done func(save string, ok bool, err error)) {
	r.post(func() { done(r.save()) })
}

// Info is the game's line for the directory, and whether it is up to date.
func (r *Room) Info() (info string, fresh bool) {
	fresh = !r.stale.Load()
	return *r.info.Load(), fresh
}

// Refresh brings the line for the directory up to date, and answers when it is.
func (r *Room) Refresh(done func()) {
	r.post(func() {
		r.refresh()
		done()
	})
}

// Close takes every user out and ends the room. It answers when the game has been told of each.
func (r *Room) Close(done func()) {
	r.post(func() {
		for len(r.users) > 0 && !r.closed {
			r.remove(r.users[0])
		}
		r.end() // of a persistent game
		done()
	})
}

func (r *Room) post(do func()) {
	r.mu.Lock()
	r.put(message{do: do})
}

// put appends to the mailbox and wakes the goroutine. It is called with the lock held, and releases it.
func (r *Room) put(m message) {
	r.mailbox = append(r.mailbox, m)
	wake := !r.awake
	r.awake = true
	r.mu.Unlock()
	if wake {
		r.cfg.Workers.run(r)
	}
}

// run is the room's goroutine.
func (r *Room) run() {
	for {
		r.mu.Lock()
		if len(r.mailbox) == 0 {
			r.awake = false
			r.mu.Unlock()
			return
		}
		batch := r.mailbox
		r.mailbox, r.spare = r.spare, nil
		r.packets = 0
		r.mu.Unlock()
		for i := range batch {
			r.handle(&batch[i])
			batch[i] = message{}
		}
		if cap(batch) <= 64 {
			r.spare = batch[:0]
		}
	}
}

func (r *Room) handle(m *message) {
	if m.do != nil {
		m.do()
		return
	}
	if r.closed || r.members[m.packet.Username] != m.from {
		m.from.Answer(parlor.Response{}, ErrClosed)
		return
	}
	m.from.Answer(r.answer(m.packet), nil)
}

// answer hands a packet to the game. A response that disconnects takes the user out of the game and leaves
// the connection (section 8.3).
func (r *Room) answer(p parlor.Packet) parlor.Response {
	var resp parlor.Response
	if !r.guard("packet", func() { resp = r.dispatch(p) }) {
		resp = parlor.Bad("The game failed to handle the request.")
	}
	if err := resp.Payload.Err(); err != nil {
		r.logger.Error("a response of the game cannot be sent", "message", resp.Message, "err", err)
		resp = parlor.Bad("The game's answer could not be sent.")
	}
	if resp.Disconnecting {
		resp.Disconnecting = false
		r.remove(p.Username)
	}
	return resp
}

func (r *Room) dispatch(p parlor.Packet) parlor.Response {
	if h, ok := r.game.(parlor.PacketHandler); ok {
		return h.HandlePacket(p)
	}
	if p.Message != parlor.RequestHeartbeat {
		return r.game.HandleGamePacket(p)
	}
	if h, ok := r.game.(parlor.HeartbeatHandler); ok {
		return h.HandleHeartbeat(p)
	}
	return parlor.UnhandledHeartbeat(r.game)
}

func (r *Room) join(user string, m Member) (float64, error) {
	r.remove(user)
	if r.closed {
		return 0, ErrClosed
	}
	if limit := r.maxUsers(); limit > 0 && len(r.users) >= limit {
		return 0, ErrFull
	}
	r.users = append(r.users, user)
	r.members[user] = m
	if h, ok := r.game.(parlor.UserJoiner); ok {
		if !r.guard("user joined", func() { h.UserJoined(user) }) {
			r.forget(user)
			r.endIfEmpty()
			return 0, ErrJoinFailed
		}
	}
	return r.heartbeatRate(), nil
}

// remove takes a user out, tells the game, ends the room if it has become empty, and tells the lobby.
func (r *Room) remove(user string) {
	m, present := r.members[user]
	if r.closed || !present {
		return
	}
	r.forget(user)
	if h, ok := r.game.(parlor.UserLeaver); ok {
		r.guard("user left", func() { h.UserLeft(user) })
	}
	r.endIfEmpty()
	r.cfg.Left(m)
}

func (r *Room) forget(user string) {
	delete(r.members, user)
	r.users = slices.DeleteFunc(r.users, func(u string) bool { return u == user })
}

// endIfEmpty ends a room that has no users, unless the game is persistent.
func (r *Room) endIfEmpty() {
	if len(r.users) == 0 && !r.persistent() {
		r.end()
	}
}

// end closes the room. Whoever is still asked for is answered with ErrClosed.
func (r *Room) end() {
	if r.closed {
		return
	}
	r.closed = true
	if r.ticker != nil {
		r.ticker.Stop()
	}
	r.cfg.Ended()
}

// update runs the game's background work and sets the timer for the next time. The clock is monotonic
// (defect 30); times that were missed are not made up for.
func (r *Room) update() {
	if r.closed {
		return
	}
	r.guard("update", r.game.(parlor.Updater).Update)
	now := time.Now()
	r.nextRun = r.nextRun.Add(UpdateInterval)
	if r.nextRun.Before(now) {
		r.stats.Late.Add(1)
		r.nextRun = now.Add(UpdateInterval)
	}
	r.ticker.Reset(r.nextRun.Sub(now))
}
