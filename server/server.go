// Package server is the lobby: sessions, users, invites, the directory of rooms, and the requests that the
// lobby answers itself (sections 5 to 12 of pgnet's protocol).
//
// [New] makes a server from a [Config]; wires bring their clients to [Server.Open], as it is a link.Lobby;
// [Server.Run] keeps the timers and ends with everything saved. All methods may be called concurrently.
//
// The way of a request: the link's reader calls [link.Session.Receive]; the session's ordered queue hands
// one request at a time to the lobby (request.go) or to the mailbox of the user's room; the answer goes to
// the link's write queue. No goroutine belongs to a session, and none waits for another client.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"parlor"
	"parlor/internal/password"
	"parlor/internal/turnstile"
	"parlor/link"
	"parlor/room"
	"parlor/store"
)

// Config is what a server is made of. Games is required, and AdminPassword for a new Store; all else has a default.
type Config struct {
	// Games are the kinds of game that users may create, by kind. The map must not change afterwards.
	Games map[string]parlor.NewGame
	// DefaultKind is the kind of a game that is created without naming one. It may stay empty if Games has one
	// entry only.
	DefaultKind string

	// AdminPassword is the password of the user admin. It is kept in the Store, as a hash, and takes the place of another one that is there.
	// It may stay empty if the Store has one: there is no default password.
	AdminPassword string
	// NoRegistration refuses new users without an invite, whatever a loaded save says; that it was off is kept
	// in the next save. Without it the save decides, and the log says so if registration is off (defect 29).
	NoRegistration bool
	// RequirePassword refuses new users whose password is empty.
	RequirePassword bool
	// NoAutoCreate refuses to join a game that does not exist, instead of creating it (defect 15).
	NoAutoCreate bool
	// ResumeWindow is how long a user who speaks one of Parlor's own wires keeps the seat when the link is gone, where the game
	// does not say otherwise (parlor.Resumer). Default 60 s; negative: not at all.
	ResumeWindow time.Duration
	// Takeover lets a login with the right password take the place of the client that is connected under the name (defect 3). Of
	// one on pgnet's wire the session ends; the seat of any other goes to the new client, as that of a user who is away does
	// without this option, too.
	Takeover bool
	// Verbose logs packets and responses, without passwords and codes. The administrator may change it.
	Verbose bool
	// OnConnection, if not nil, is told of each user who has logged in or is gone (sections 5.6 and 6.4): for
	// one user in this order, from any goroutine, for several users at once. It must not block.
	OnConnection func(user string, connected bool)

	// Store keeps users, invites, settings and games; without it they are kept in memory, for the life of the server. The server
	// does not close it.
	Store store.Store
	// Autosave is how often games are saved. Default 300 s.
	Autosave time.Duration
	// NoJournals: the store keeps no journals, as that of pgnet's file. Durable games are played like others then, which is logged.
	NoJournals bool
	// SaveEvery is after how many entries of its journal a durable game is saved, or 4 MiB of them, beside at Autosave. Default 1000.
	SaveEvery int
	// KeepJournals keeps what is in a save already: a journal is a recording of the whole game then.
	KeepJournals bool
	// Divergence says what becomes of a durable game that does something else than its journal says, when it is made again at the start.
	// Default: it is kept as it is, and nobody can play it.
	Divergence room.Divergence
	// PublicKey is the key that debug shows.
	PublicKey string

	// Seed is what the random sources of rooms follow from, together with their names: a game that is played in the same way has the
	// same luck again. Default: each room has a random one.
	Seed [2]uint64

	// PgnetPasswords keeps hashes of passwords as pgnet's save file has them, which are weak.
	PgnetPasswords bool

	unstored bool // there is no Store of the caller's

	Limits Limits
	// Logger gets what people who run the server should know. Default: slog.Default.
	Logger *slog.Logger
}

// Server is a lobby.
type Server struct {
	cfg      Config
	logger   *slog.Logger
	logins   *attempts
	stats    Stats
	events   *rate.Limiter // of what clients make the log say
	troubles *rate.Limiter // of the store
	rooms    *room.Workers

	gate      *turnstile.Turnstile // to the hashes of passwords
	passwords hasher

	verbose  atomic.Bool
	stopping atomic.Bool
	stop     chan struct{} // closed by Shutdown
	stopOnce sync.Once
	exitCode int // set before stop is closed

	connections sync.Mutex // guards the order of Config.OnConnection's calls; taken before mu

	commits   commits
	doubts    doubts
	dirs      batch[parlor.Payload] // makings of the game directory, joined
	feed      feed
	tokens    tokens
	reading   chan struct{}   // as many as games are being read from the store
	reads     context.Context // of these
	stopReads context.CancelFunc
	saving    sync.WaitGroup // goroutines that ask games for their saves, or read from the store
	sessionWG sync.WaitGroup // sessions that hold a name

	mu           sync.Mutex // guards what follows
	registration bool
	users        int                 // registered, or about to be
	admin        string              // the hash of the administrator's password
	checks       map[string]*check   // names that logins look at, by what they are folded to
	deleting     map[string]bool     // users
	changing     map[string]int      // users, by how many new passwords are about to be stored
	registering  map[string]bool     // what the names of those are folded to who are about to be
	registered   registrations       // by network
	invites      []*invitation       // that are not used up, by creation
	sessions     map[string]*session // by user; a name is reserved here before it is answered (defect 2)
	ports        map[*port]struct{}
	games        map[string]*game
	creators     map[string]*creator   // those of the games, by name
	returning    map[int64][]*session  // sessions of before the restart, by the number of their game, which is not made again yet
	vacancies    map[string][]*vacancy // seats that are kept for users, by name
	savedBytes   int                   // of all games' saves
	checked      map[reflect.Type]bool // types of game whose methods were looked at
	created      int64                 // the number of the last game
}

// New makes a server and loads what its store holds. It blocks until the saved games are made, for ten
// seconds at most. Errors are those of a Config that cannot be served and of the store; a store that is
// damaged stays as it is. Run must follow, as it also frees what the server holds.
func New(cfg Config) (*Server, error) {
	if err := cfg.fill(); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s := &Server{
		cfg:          cfg,
		logger:       cfg.Logger,
		events:       rate.NewLimiter(eventsPerSecond, eventBurst),
		troubles:     rate.NewLimiter(rate.Every(troublesEvery), troubleBurst),
		rooms:        room.NewWorkers(),
		reading:      make(chan struct{}, maxReading),
		stop:         make(chan struct{}),
		registration: !cfg.NoRegistration,
		gate:         turnstile.New(turnstile.Config{PerName: 2 * cfg.Limits.FailureBurst, Known: cfg.Limits.Addresses}), // as many of a name as attempts let wait
		passwords:    password.Cost{Memory: cfg.Limits.HashMemory, Passes: cfg.Limits.HashPasses},
		checks:       make(map[string]*check),
		deleting:     make(map[string]bool),
		changing:     make(map[string]int),
		registering:  make(map[string]bool),
		registered:   newRegistrations(cfg.Limits),
		sessions:     make(map[string]*session),
		ports:        make(map[*port]struct{}),
		tokens:       tokens{m: make(map[tokenHash]*session)},
		returning:    make(map[int64][]*session),
		vacancies:    make(map[string][]*vacancy),
		games:        make(map[string]*game),
		creators:     make(map[string]*creator),
		checked:      make(map[reflect.Type]bool),
	}
	s.reads, s.stopReads = context.WithCancel(context.Background())
	s.logins = newAttempts(cfg.Limits, s.gate)
	s.verbose.Store(cfg.Verbose)
	s.commits.srv, s.doubts.srv = s, s
	s.dirs.run = s.directory
	s.feed = feed{srv: s, subscribers: make(map[*session]struct{})}
	s.feed.looks.run = s.feed.give
	if err := s.restore(); err != nil {
		s.Shutdown(1)
		_ = s.finish(func() error { return nil }) // or what was made again would go on writing
		return nil, fmt.Errorf("server: %w", err)
	}
	return s, nil
}

func (c *Config) fill() error {
	if len(c.Games) == 0 {
		return errors.New("no games: name at least one kind in Config.Games")
	}
	if c.DefaultKind == "" && len(c.Games) == 1 {
		for kind := range c.Games {
			c.DefaultKind = kind
		}
	}
	kinds := slices.Sorted(maps.Keys(c.Games))
	if c.DefaultKind == "" && c.Games[""] == nil {
		return fmt.Errorf("there are several kinds of game and no default kind: set DefaultKind to one of %s", strings.Join(kinds, ", "))
	}
	for _, kind := range kinds {
		if c.Games[kind] == nil {
			return fmt.Errorf("game %q: the function that makes it is nil", kind)
		}
	}
	if c.Games[c.DefaultKind] == nil {
		return fmt.Errorf("the default kind %q is not among the games: try one of %s", c.DefaultKind, strings.Join(kinds, ", "))
	}
	if c.Store == nil {
		c.Store, c.unstored = new(store.Memory), true
	}
	if c.ResumeWindow == 0 {
		c.ResumeWindow = 60 * time.Second
	}
	if c.Autosave <= 0 {
		c.Autosave = 300 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Limits.fill()
	return nil
}

// Run keeps the server's timers until Shutdown is called or ctx ends, then ends every session with close
// code 1001, saves, and returns the exit code: Shutdown's, or 0. It is called once. The error is that of the last save, an
// *UnsavedError among them. The saves come before the sessions are ended and once more after it, and the wait for sessions is bounded
// (defect 28). Clients that take pushes and games are told first.
func (s *Server) Run(ctx context.Context) (exitCode int, err error) {
	ticker := time.NewTicker(s.cfg.Autosave)
	defer ticker.Stop()
	for running := true; running; {
		select {
		case <-ticker.C:
			s.saveGames(func(err error) {
				if err != nil && !errors.Is(err, store.ErrClosed) {
					s.logger.Error("autosave failed; trying again at the next interval", "err", err)
				}
			})
		case <-ctx.Done():
			running = false
		case <-s.stop:
			running = false
		}
	}
	s.Shutdown(0)
	s.logger.Info("shutting down", "exit code", s.exitCode, "users", s.Users())
	return s.exitCode, s.end()
}

// Shutdown makes Run end with an exit code: 0 for a normal stop, -1 when the operator wants a restart
// (section 12.2). The first call counts. It does not block.
func (s *Server) Shutdown(exitCode int) {
	s.stopOnce.Do(func() {
		s.exitCode = exitCode
		s.stopping.Store(true)
		close(s.stop)
	})
}

// Stopped is closed when Shutdown was called.
func (s *Server) Stopped() <-chan struct{} { return s.stop }

// end tells clients and games, ends every session and saves.
func (s *Server) end() error {
	s.drain()
	first := s.SaveNow()
	err := s.finish(s.SaveNow)
	if err == nil && first != nil {
		s.logger.Info("the save at the end went well after all", "before", first)
	}
	return err
}

// finish ends every session and game, and saves last, with nobody else at the store and nobody after: it may be closed then.
func (s *Server) finish(save func() error) error {
	s.mu.Lock()
	open := make(map[*session]struct{}, len(s.ports))
	for p := range s.ports {
		open[p.session.Load()] = struct{}{}
	}
	for _, ss := range s.sessions { // those of users who are away, too
		open[ss] = struct{}{}
	}
	s.mu.Unlock()
	for ss := range open {
		ss.close(link.CloseGoingAway, "")
	}
	waitBounded(&s.sessionWG, s.cfg.Limits.EndWait)
	s.suspendGames()
	s.gate.Close()
	err := save()
	s.saving.Wait()
	s.commits.close()
	if errors.Is(err, store.ErrClosed) { // it has saved already
		err = nil
	}
	s.closeGames()
	s.rooms.Close()
	return err
}

// suspendGames ends the rooms of durable games, with all who are in them: they go on at the next start.
func (s *Server) suspendGames() {
	games := slices.DeleteFunc(s.listGames(), func(g *game) bool { return !g.journal.inUse() })
	askAll(games, s.cfg.Limits.SaveWait, func(g *game, done func()) {
		g.room.Save(func(_ room.Save, _ bool, err error) {
			if err != nil {
				s.logger.Warn("a durable game was not saved at the end; the next start replays its journal", "game", g.name, "err", err)
			}
		})
		g.room.Stop(done)
	})
	s.mu.Lock()
	for _, g := range s.games { // one that is stuck writes nothing more
		if g.journal.inUse() {
			g.journal.end()
		}
	}
	s.mu.Unlock()
	s.stopReads()
}

// closeGames ends all rooms, so that their timers stop, and waits for them within bounds.
func (s *Server) closeGames() {
	s.mu.Lock()
	games := slices.Collect(maps.Values(s.games))
	s.mu.Unlock()
	askAll(games, s.cfg.Limits.EndWait, func(g *game, done func()) { g.room.Close(done) })
}

// waitBounded waits for the group, but no longer than d.
func waitBounded(wg *sync.WaitGroup, d time.Duration) {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }() // ends when the group does
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// Open begins a session for a link. It does not block. Errors are link.ErrTooMany over Limits.Links, and a
// *link.CloseError while the server stops.
func (s *Server) Open(l link.Link) (link.Session, error) {
	p := &port{srv: s, link: l}
	ss := newSession(s, l.Peer())
	ss.port = p
	p.session.Store(ss)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return nil, &link.CloseError{Code: link.CloseGoingAway}
	}
	if len(s.ports) >= s.cfg.Limits.Links {
		s.stats.LinksRefused.Add(1)
		return nil, fmt.Errorf("%w: limit of %d links", link.ErrTooMany, s.cfg.Limits.Links)
	}
	s.ports[p] = struct{}{}
	return p, nil
}

// PublicKey is the key that was given as Config.PublicKey.
func (s *Server) PublicKey() string { return s.cfg.PublicKey }

// Stats are the server's counters.
func (s *Server) Stats() *Stats { return &s.stats }

// Users is how many users are logged in.
func (s *Server) Users() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Registration tells whether new users may register.
func (s *Server) Registration() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registration
}

// SetRegistration changes it. It blocks until the change is stored; an error, of the store, leaves it as it
// was.
func (s *Server) SetRegistration(on bool) error {
	return await(func(done func(error)) { s.setRegistration(on, done) })
}

// Verbose tells whether packets and responses are logged.
func (s *Server) Verbose() bool { return s.verbose.Load() }

// SetVerbose turns that on or off.
func (s *Server) SetVerbose(on bool) { s.verbose.Store(on) }

// DeleteUser deletes a user and ends her session (section 10.4). It blocks until the deletion is stored. The
// administrator and unknown names are refused with ErrNoUser; after an error of the store the user is still
// there.
func (s *Server) DeleteUser(name string) error {
	return await(func(done func(error)) { s.deleteUser(name, done) })
}

// CreateInvite makes a code, 32 hex digits, that lets a user register: of this name, which is not checked,
// or, if it is empty, of any. It blocks until the code is stored. Errors are ErrTooManyCodes, ErrLongName and the store's;
// there is no code then.
func (s *Server) CreateInvite(user string) (code string, err error) {
	err = await(func(done func(error)) {
		s.createInvite(user, 1, max(0, s.cfg.Limits.InviteLife), func(c string, err error) { code = c; done(err) })
	})
	return code, err
}

// SaveNow saves the games and all else. It blocks until that is stored. Games that cannot be saved, or do not
// answer within Limits.SaveWait, keep what they saved before; they are in an *UnsavedError then, and all else is
// stored. It does nothing without a store.
func (s *Server) SaveNow() error { return await(s.saveGames) }

// await turns a call with a callback into one that blocks.
func await(call func(done func(error))) error {
	result := make(chan error, 1)
	call(func(err error) { result <- err })
	return <-result
}

// Errors of the methods above.
var (
	ErrNoUser       = errors.New("no such user")
	ErrTooManyCodes = errors.New("too many invite codes")
	ErrLongName     = errors.New("name in an invite over the limit of length")
)
