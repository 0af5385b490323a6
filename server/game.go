package server

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parlor"
	"parlor/internal/password"
	"parlor/internal/pyjson"
	"parlor/internal/turnstile"
	"parlor/link"
	"parlor/room"
	"parlor/store"
)

// game is one entry of the directory: a room, and what the lobby knows about it.
type game struct {
	name, secret, kind string
	creator            *creator
	room               *room.Room
	asked              atomic.Bool // for its line in the directory, and has not answered
	saves              atomic.Bool // it has the methods by which it can be saved
	number             int64       // games are listed in the order of creation
	journal            *journal    // used if the game is durable

	// What follows is guarded by Server.mu.
	members map[*session]struct{}
	open    bool // made, and not failed
	failed  bool // a saved game that could not be made again: its save is kept, and nobody can join
	saved   int  // bytes of what it saved last, or was loaded with
	taken   int  // how many saves were taken of it
	handed  int  // of these the newest that the store was asked to keep
}

// creator is a user with games in the directory. It is guarded by Server.mu.
type creator struct {
	name  string // empty if it is not known, as in files of pgnet: then each game has a creator of its own
	games int
	saved int // bytes of their saves
}

// creatorOf finds or makes the creator of a name.
func (s *Server) creatorOf(name string) *creator {
	c := s.creators[name]
	if c == nil {
		c = &creator{name: name}
		if name != "" {
			s.creators[name] = c
		}
	}
	return c
}

// addGame enters a game in the directory and opens its room. The lock is held. Opened may be nil.
func (s *Server) addGame(stored store.Game, save room.Stored, opened func(err error)) *game {
	stored.Kind = cmp.Or(stored.Kind, s.cfg.DefaultKind)
	return s.addGameOf(s.cfg.Games[stored.Kind], stored, save, opened)
}

func (s *Server) addGameOf(newGame parlor.NewGame, stored store.Game, save room.Stored, opened func(err error)) *game {
	if stored.Number == 0 {
		s.created++
		stored.Number = s.created
	}
	g := &game{
		name: stored.Name, secret: stored.Secret, kind: stored.Kind, saved: len(save.Save.Data),
		creator: s.creatorOf(stored.Creator),
		number:  stored.Number,
		members: make(map[*session]struct{}),
	}
	g.journal = &journal{srv: s, game: g, known: stored.Durable, used: stored.Durable}
	s.games[g.name] = g
	s.savedBytes += g.saved
	g.creator.games++
	g.creator.saved += g.saved
	cfg := room.Config{
		Name: g.name, New: newGame, Save: save.Save.Data, SaveVersion: save.Save.Version, Window: s.cfg.ResumeWindow,
		Logger: s.logger, Workers: s.rooms,
		Mailbox: s.cfg.Limits.Mailbox, Timers: s.cfg.Limits.Timers, Budget: s.cfg.Limits.HookBudget, MaxInfo: s.cfg.Limits.InfoSize,
		Stats: &s.stats.Rooms, Seed: s.seed(g.name),
		Made: func(made parlor.Game) {
			s.checkAbilities(made)
			_, persists := made.(parlor.Persister)
			_, saves := made.(parlor.Saver)
			g.saves.Store(persists && saves)
		},
		Journal: g.journal, SaveEvery: s.cfg.SaveEvery, KeepJournal: s.cfg.KeepJournals, Divergence: s.cfg.Divergence,
		Answers: s.cfg.Limits.Unacknowledged + maxHandover, // and what is under way
		MaySave: func(size int) error { return s.mayGrow(g, size) },
		Joining: func(m room.Resumer) { g.journal.joins(m.(*session)) },
		Reseat:  func(seat room.Seated) room.Member { return s.reseat(g, seat) },
		Keep:    func(save room.Save, ok bool, err error, done func()) { s.keep(g, save, ok, err, done) },
		Left: func(m room.Member) {
			if ss, ok := m.(*session); ok { // and no vacancy
				s.left(g, ss)
			}
		},
		Ended: func() { s.removeGame(g) },
	}
	if stored.Durable {
		cfg.Stored = &save
	}
	if s.cfg.NoJournals {
		cfg.Journal = nil
	}
	g.room = room.Open(cfg, func(err error) {
		s.mu.Lock()
		g.open = err == nil
		s.mu.Unlock()
		if err != nil {
			s.logger.Error("game could not be made", "err", err)
		}
		if opened != nil {
			opened(err)
		}
	})
	return g
}

// seed is that of a room's random source; zero for a random one.
func (s *Server) seed(name string) [2]uint64 {
	seed := s.cfg.Seed
	if seed != [2]uint64{} {
		h := fnv.New64a()
		h.Write([]byte(name))
		seed[1] ^= h.Sum64()
	}
	return seed
}

// addUnplayable keeps the save of a game that cannot be made. The lock is held.
func (s *Server) addUnplayable(stored store.Game, save room.Stored) {
	unplayable := func(parlor.Room, string) (parlor.Game, error) {
		return nil, errors.New("no such kind of game: " + stored.Kind)
	}
	s.addGameOf(unplayable, stored, save, func(err error) { s.returned(stored.Number, err) })
}

// removeGame takes a game off the directory. A saved game that could not be made stays: its save is not lost,
// and its name not given away.
func (s *Server) removeGame(g *game) {
	s.mu.Lock()
	there := s.games[g.name] == g
	known, perhaps := g.journal.isKnown()
	switch {
	case !g.open && (g.saved > 0 || known):
		g.failed = true
	case there:
		if g.saved > 0 || perhaps {
			s.unstoreGame(g, func(error) {})
		}
		s.forgetGame(g)
	}
	ended := there && g.open
	s.mu.Unlock()
	if ended && !s.stopping.Load() { // at the shutdown all do
		s.event(slog.LevelInfo, "game ended", "game", g.name)
	}
}

// unstoreGame has the store forget a game; at the next commit that it takes, if it cannot now. The lock is held, as another game may get the name: it
// is stored behind this.
func (s *Server) unstoreGame(g *game, done func(error)) {
	g.journal.delete()
	s.forget(store.DeleteGame{Number: g.number}, done)
}

// forgetGame takes a game off the directory. The lock is held.
func (s *Server) forgetGame(g *game) {
	delete(s.games, g.name)
	s.savedBytes -= g.saved
	g.creator.saved -= g.saved
	g.saved = 0
	if g.creator.games--; g.creator.games == 0 {
		delete(s.creators, g.creator.name)
	}
}

// left notes that a session is not in a game any more, and tells its client if no answer of its own will.
func (s *Server) left(g *game, ss *session) {
	s.mu.Lock()
	delete(g.members, ss)
	s.mu.Unlock()
	ss.mu.Lock() // so that she is not in another one before she is told
	there := ss.game.CompareAndSwap(g, nil)
	if there && !ss.outlives() {
		ss.unstore()
	}
	asked := ss.leaving.Load() && !ss.orphans.Load()
	if there && ss.stream != nil && !ss.ended && !asked && !s.stopping.Load() {
		_ = ss.push(&parlor.Push{Message: parlor.PushLeftGame, Payload: parlor.Encode(parlor.Map{"game": g.name})}) // which counts what is lost
	}
	ss.mu.Unlock()
	if there {
		ss.stopRiding()
	}
}

const (
	textCreated = "Created new game: "
	textJoined  = "Joined game: "
)

var (
	errInGame = parlor.Unexpected("Must leave game first.")
	errBusy   = parlor.Unexpected("Limit of requests waiting for the game reached.")
)

// createGame answers in the order of section 7.3.
func (s *Server) createGame(ss *session, args arguments) (parlor.Response, bool) {
	name, kind, pass := args.text("name"), args.text("kind"), args.text("password")
	if ss.game.Load() != nil {
		return errInGame, true
	}
	if !parlor.GameNameAllowed(name) {
		return parlor.Unexpected("Game name not allowed."), true
	}
	if len(pass) > s.cfg.Limits.TextSize {
		s.stats.TextsRefused.Add(1)
		return parlor.Unexpected("Limit of password length reached."), true
	}
	if pass == "" {
		return s.openGame(ss, store.Game{Name: name, Kind: kind, Creator: ss.user})
	}
	s.mu.Lock()
	refused := s.refuseGame(ss.user, name, kind) // before the hash
	s.mu.Unlock()
	if refused != "" {
		return parlor.Unexpected(refused), true
	}
	s.inTurn(ss, func() (parlor.Response, bool) {
		return s.openGame(ss, store.Game{Name: name, Kind: kind, Creator: ss.user, Secret: s.newGameSecret(pass)})
	})
	return parlor.Response{}, false
}

// newGameSecret is what is kept of the password of a new game.
func (s *Server) newGameSecret(text string) string {
	if s.cfg.PgnetPasswords {
		return password.Clear(text)
	}
	return s.passwords.Hash(text)
}

// inTurn has a request that needs a hash answered when it is its turn.
func (s *Server) inTurn(ss *session, answer func() (parlor.Response, bool)) {
	ctx, cancel := context.WithTimeout(context.Background(), maxLoginDelay)
	key := turnstile.Key{Network: link.Network(ss.address()), Name: ss.user}
	s.inLine(ctx, key, func(err error) {
		defer cancel()
		if err != nil || ss.hasEnded() {
			ss.finish(parlor.Unexpected(textBusy))
		} else if resp, done := answer(); done {
			ss.finish(resp)
		}
	})
}

// openGame makes a new game and has its creator join it.
func (s *Server) openGame(ss *session, stored store.Game) (parlor.Response, bool) {
	s.mu.Lock()
	if refused := s.refuseGame(ss.user, stored.Name, stored.Kind); refused != "" {
		s.mu.Unlock()
		return parlor.Unexpected(refused), true
	}
	unsaved := false // which the room tells before that nobody has joined it
	g := s.addGame(stored, room.Stored{}, func(err error) {
		unsaved = errors.Is(err, room.ErrNotStored)
		if err == nil {
			s.event(slog.LevelInfo, "game created", "game", stored.Name, "kind", cmp.Or(stored.Kind, s.cfg.DefaultKind), "user", ss.user)
		}
	})
	ss.board(g.name)
	g.room.Join(ss.user, ss, func(joined room.Joined, err error) { // with the lock held, so that nobody joins earlier
		if err != nil {
			ss.stopRiding()
			text := "Game could not be created."
			if unsaved {
				text = textNotStored
			}
			g.room.Close(func() { ss.finish(parlor.Unexpected(text)) })
			return
		}
		s.entered(g, ss, textCreated, joined)
	})
	s.mu.Unlock()
	return parlor.Response{}, false
}

// refuseGame is why a new game cannot be had, or empty. The lock is held.
func (s *Server) refuseGame(user, name, kind string) string {
	switch {
	case s.games[name] != nil:
		return "Game name already exists."
	case s.cfg.Games[cmp.Or(kind, s.cfg.DefaultKind)] == nil:
		return s.noSuchKind(kind)
	case len(s.games) >= s.cfg.Limits.Games:
		s.stats.GamesRefused.Add(1)
		return "Limit of games reached."
	case user != parlor.AdminName && s.creators[user] != nil && s.creators[user].games >= s.cfg.Limits.GamesPerUser:
		s.stats.GamesRefused.Add(1)
		return "Limit of games of one user reached."
	}
	return ""
}

func (s *Server) noSuchKind(kind string) string {
	return "No such kind of game: " + pyjson.ReprString(kind) + ". Try " + strings.Join(slices.Sorted(maps.Keys(s.cfg.Games)), " or ") + "."
}

// entered enters a session among a game's members and answers it. It runs on the room's goroutine.
func (s *Server) entered(g *game, ss *session, text string, joined room.Joined) {
	s.mu.Lock()
	g.members[ss] = struct{}{}
	s.mu.Unlock()
	ss.enter(g, joined.Window)
	if !joined.PushOnHeartbeat {
		ss.stopRiding()
	}
	ss.finish(ss.joinedResponse(g, text, joined))
}

// joinedResponse answers who has joined a game.
func (ss *session) joinedResponse(g *game, text string, joined room.Joined) parlor.Response {
	var payload parlor.Map
	if rate := joined.HeartbeatRate; rate == math.Trunc(rate) && rate < 1e15 {
		payload = parlor.Map{"heartbeat_rate": int64(rate)}
	} else {
		payload = parlor.Map{"heartbeat_rate": rate}
	}
	return parlor.OK(text+pyjson.ReprString(g.name)+".", ss.withWindow(parlor.Encode(payload), joined.Window))
}

// joinGame answers in the order of section 7.3, with the password mended (defect 1).
func (s *Server) joinGame(ss *session, args arguments) (parlor.Response, bool) {
	name := args.text("name")
	if ss.game.Load() != nil {
		return errInGame, true
	}
	if name == "" {
		return parlor.Unexpected("Please specify a game name."), true
	}
	s.mu.Lock()
	g := s.games[name]
	failed := g != nil && g.failed
	s.mu.Unlock()
	switch {
	case g == nil && s.cfg.NoAutoCreate:
		return parlor.Unexpected("No such game: " + pyjson.ReprString(name)), true
	case g == nil:
		return s.createGame(ss, args)
	case g.secret == "":
		return s.enterGame(ss, g, failed, args)
	}
	s.inTurn(ss, func() (parlor.Response, bool) {
		try, wait, ok := s.logins.begin(ss.address(), ss.user) // a guess is one, whatever of
		if !ok {
			s.stats.LoginsSlowed.Add(1)
			return parlor.Unexpected(textFailures), true
		}
		if fits, _, err := s.passwords.Check(g.secret, args.text("password")); err == nil && fits {
			try.cancel()
			return s.enterGame(ss, g, failed, args)
		}
		if wait > 0 {
			s.stats.LoginsSlowed.Add(1)
		}
		time.AfterFunc(wait, func() { ss.finish(parlor.Unexpected("Failed to join game: Incorrect password.")) })
		return parlor.Response{}, false
	})
	return parlor.Response{}, false
}

// enterGame has a user join a game, whose password she has.
func (s *Server) enterGame(ss *session, g *game, failed bool, args arguments) (parlor.Response, bool) {
	if failed {
		return parlor.Unexpected("Failed to join game: it could not be restored from its save."), true
	}
	if kind := args.text("kind"); kind != "" && kind != g.kind && ss.speaks.Load() { // as on pgnet's wire it never was looked at
		if s.cfg.Games[kind] == nil {
			return parlor.Unexpected(s.noSuchKind(kind)), true
		}
		return parlor.Unexpected("Failed to join game: It is of the kind " + pyjson.ReprString(g.kind) + "."), true
	}
	ss.board(g.name)
	g.room.Join(ss.user, ss, func(joined room.Joined, err error) {
		if err != nil {
			ss.stopRiding()
		}
		var unplayable *room.UnplayableError
		switch {
		case err == nil:
			s.entered(g, ss, textJoined, joined)
		case errors.Is(err, room.ErrClosed) && s.stopping.Load(): // it stays on the directory then
			ss.finish(parlor.Unexpected(textStopping))
		case errors.Is(err, room.ErrClosed): // it ended a moment ago, and is off the directory
			if resp, done := s.joinGame(ss, args); done {
				ss.finish(resp)
			}
		case errors.Is(err, room.ErrBusy):
			ss.finish(errBusy)
		case errors.Is(err, room.ErrFull):
			ss.finish(parlor.Unexpected("Failed to join game: Game is full."))
		case errors.Is(err, room.ErrNotStored):
			ss.finish(parlor.Unexpected(textNotStored))
		case errors.As(err, &unplayable):
			ss.finish(parlor.Unexpected("Failed to join game: " + unplayable.Error()))
		default:
			ss.finish(parlor.Bad("Failed to join game: The game failed to take you."))
		}
	})
	return parlor.Response{}, false
}

func (s *Server) leaveGame(ss *session, args arguments) (parlor.Response, bool) {
	g := ss.game.Load()
	if g == nil {
		return parlor.Unexpected("Not in game."), true
	}
	ss.leaving.Store(true)
	g.room.Leave(ss.user, ss, func() {
		ss.leaving.Store(false)
		ss.finish(parlor.OK("Left game: " + pyjson.ReprString(g.name) + "."))
	})
	return parlor.Response{}, false
}

// destroyGame takes a game off the directory and its users out of it. The answer waits for the game's hooks,
// for Limits.LeaveWait at most: a game that is stuck cannot hold up its own end (defect 23).
func (s *Server) destroyGame(ss *session, args arguments) (parlor.Response, bool) {
	name := args.text("name")
	s.mu.Lock()
	g := s.games[name]
	if g == nil {
		s.mu.Unlock()
		return parlor.Unexpected("No such game: " + pyjson.ReprString(name)), true
	}
	var both sync.WaitGroup // the end of the game's users there, and that it is stored
	both.Add(2)
	var unsaved error
	s.unstoreGame(g, func(err error) { unsaved = err; both.Done() })
	s.forgetGame(g)
	s.mu.Unlock()
	s.event(slog.LevelInfo, "game destroyed", "game", name, "user", ss.user)
	go func() { // ends within Limits.LeaveWait and CommitWait
		both.Wait()
		for _, m := range s.membersOf(g) { // of a game that is stuck
			s.left(g, m)
		}
		if unsaved != nil {
			ss.finish(parlor.Unexpected("Destroyed game: " + pyjson.ReprString(name) + ", but it could not be saved."))
			return
		}
		ss.finish(parlor.OK("Destroyed game: " + pyjson.ReprString(name)))
	}()
	var once sync.Once
	answer := func() { once.Do(both.Done) }
	timer := time.AfterFunc(s.cfg.Limits.LeaveWait, answer)
	g.room.Close(func() {
		timer.Stop()
		answer()
	})
	return parlor.Response{}, false
}

func (s *Server) membersOf(g *game) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	members := make([]*session, 0, len(g.members))
	for m := range g.members {
		members = append(members, m)
	}
	return members
}

// gameDir answers with the directory. Games give their lines on their own goroutines; requests that come
// while they are asked share the next asking. The directory can be hundreds of times as large as the request, so
// a session that asks again soon waits until the bytes of the one before are paid for: some hundred that ask in a
// loop would otherwise keep a processor busy with sealing them, and others waiting behind it.
func (s *Server) gameDir(ss *session, _ arguments) (parlor.Response, bool) {
	s.paced(ss, func(paid func(parlor.Payload)) {
		s.dirs.ask(func(dir parlor.Payload) {
			paid(dir)
			ss.finish(parlor.OK("See payload for games directory.", dir))
		})
	})
	return parlor.Response{}, false
}

// paced asks for the directory when the one before is paid for. Paid is called with the next one, before it is answered.
func (s *Server) paced(ss *session, ask func(paid func(dir parlor.Payload))) {
	paid := func(dir parlor.Payload) {
		if rate := s.cfg.Limits.DirectoryRate; rate > 0 {
			cost := time.Duration(float64(len(dir.JSON())) / float64(rate) * float64(time.Second))
			ss.nextDir = time.Now().Add(min(cost, maxDirWait))
		}
	}
	if wait := time.Until(ss.nextDir); wait > 0 {
		s.stats.DirectoriesSlowed.Add(1)
		time.AfterFunc(wait, func() { ask(paid) })
		return
	}
	ask(paid)
}

// maxDirWait bounds how long the answer is held back: pgnet's clients give up after 5 s.
const maxDirWait = 4 * time.Second

// directory brings the lines of games up to date and makes the payload. It blocks, and runs on a goroutine of its batch.
func (s *Server) directory() parlor.Payload { return s.directoryOf(s.freshGames()) }

// freshGames asks the games in which something happened for their lines, and waits for Limits.InfoWait at most. A game that
// has not answered last time is not asked again until it has.
func (s *Server) freshGames() []*game {
	games := s.listGames()
	var stale []*game
	for _, g := range games {
		if _, fresh := g.room.Info(); !fresh && g.asked.CompareAndSwap(false, true) {
			stale = append(stale, g)
		}
	}
	askAll(stale, s.cfg.Limits.InfoWait, func(g *game, done func()) {
		g.room.Refresh(func() { g.asked.Store(false); done() })
	})
	return games
}

// directoryOf makes the payload.
func (s *Server) directoryOf(games []*game) parlor.Payload {
	limit := s.cfg.Limits.ResponseSize - 1024 // for the rest of the response
	dir, whole := s.appendDirectory(games, limit)
	if !whole {
		dir, _ = s.appendDirectory(s.fairPart(games, limit), limit)
		if n := s.stats.TooLarge.Add(1); n&(n-1) == 0 {
			s.logger.Warn("limit of response size reached: the game directory is too large to send; empty games of those who have most are left out", "games", len(games), "count", n)
		}
	}
	return parlor.Encode(dir)
}

// pythonText is JSON text in Python's form already.
type pythonText []byte

func (t pythonText) AppendPyJSON(b []byte) ([]byte, error) { return append(b, t...), nil }

// fairPart are as many of the games as fit the limit: those with users first, then an empty one of each creator,
// a second one of each, and so on, so that one with many cannot hide those of others.
func (s *Server) fairPart(games []*game, limit int) []*game {
	turn := make(map[*game]int, len(games)) // 0 with users, or how many empty ones of the creator come first, and one
	empty := make(map[*creator]int)
	for _, g := range games {
		if s.usersOf(g) == 0 {
			empty[g.creator]++
			turn[g] = empty[g.creator]
		}
	}
	games = slices.Clone(games)
	slices.SortStableFunc(games, func(a, b *game) int { return cmp.Compare(turn[a], turn[b]) })
	size := len(`{"games": {}}`)
	for i, g := range games {
		info, _ := g.room.Info()
		if size += len(appendGame(nil, g, s.usersOf(g), info)) + len(", "); size > limit {
			games = games[:i]
			break
		}
	}
	slices.SortFunc(games, byNumber)
	return games
}

func (s *Server) usersOf(g *game) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(g.members)
}

func byNumber(a, b *game) int { return cmp.Compare(a.number, b.number) }

// appendDirectory makes the payload of the games, as far as they fit the limit.
func (s *Server) appendDirectory(games []*game, limit int) (dir pythonText, whole bool) {
	b := []byte(`{"games": {`)
	first := true
	for _, g := range games {
		info, _ := g.room.Info()
		end := len(b)
		if !first {
			b = append(b, ", "...)
		}
		first = false
		if b = appendGame(b, g, s.usersOf(g), info); len(b) > limit {
			return append(b[:end], "}}"...), false
		}
	}
	return append(b, "}}"...), true
}

func appendGame(b []byte, g *game, users int, info string) []byte {
	b = pyjson.AppendString(b, g.name)
	b = append(b, `: `...)
	entry := struct {
		Name     string `json:"name"`
		Users    int    `json:"users"`
		Password bool   `json:"password_protected"`
		Info     string `json:"info"`
	}{g.name, users, g.secret != "", info}
	b, _ = pyjson.Append(b, entry) // text, number and bool: it cannot fail
	return b
}

// listGames are the open games in the order of creation.
func (s *Server) listGames() []*game {
	s.mu.Lock()
	defer s.mu.Unlock()
	games := make([]*game, 0, len(s.games))
	for _, g := range s.games {
		if g.open {
			games = append(games, g)
		}
	}
	slices.SortFunc(games, byNumber)
	return games
}

// askAll asks every game and waits until all have answered, or the time is over.
func askAll(games []*game, wait time.Duration, ask func(g *game, done func())) {
	if len(games) == 0 {
		return
	}
	answers := make(chan struct{}, len(games))
	for _, g := range games {
		ask(g, func() { answers <- struct{}{} })
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for range games {
		select {
		case <-answers:
		case <-timer.C:
			return
		}
	}
}
