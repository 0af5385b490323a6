package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"parlor"
	"parlor/room"
	"parlor/store"
)

// restore takes over what the store holds, and makes the saved games again.
func (s *Server) restore() error {
	ctx, st := context.Background(), s.cfg.Store
	settings, err := st.Settings(ctx)
	if err != nil {
		return err
	}
	if s.users, err = st.CountUsers(ctx); err != nil {
		return err
	}
	invites, err := st.Invites(ctx)
	if err != nil {
		return err
	}
	for _, in := range invites {
		if in.Left > 0 {
			s.invites = append(s.invites, &invitation{Invite: in})
		}
	}
	games, err := st.Games(ctx)
	if err != nil {
		return err
	}
	switch saved := settings[store.SettingRegistration]; {
	case s.cfg.NoRegistration && saved == "on":
		s.logger.Info("registration is off by the option, which wins over what was saved")
	case !s.cfg.NoRegistration && saved == "off":
		s.logger.Info("registration is off, as it was saved; set_registration changes it")
		s.registration = false
	}
	if err := s.restoreSessions(ctx); err != nil {
		return err
	}
	var opening sync.WaitGroup
	for _, g := range games {
		if err := s.restoreGame(ctx, g, &opening); err != nil {
			return fmt.Errorf("game %q: %w", g.Name, err)
		}
	}
	waitBounded(&opening, s.cfg.Limits.RestoreWait)
	return s.takeAdmin(ctx, settings[store.SettingAdmin]) // last: one that was made up shall not be stored if nobody gets to see it
}

// restoreGame makes a game again, as far as this server can.
func (s *Server) restoreGame(ctx context.Context, g store.Game, opening *sync.WaitGroup) error {
	stored, err := s.readGame(ctx, g.Number)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.created = max(s.created, g.Number)
	if g.Durable && stored.Untouched() { // its creator was told nothing, and may be about to ask for it again
		s.forget(store.DeleteGame{Number: g.Number}, nil)
		return nil
	}
	if s.cfg.Games[cmp.Or(g.Kind, s.cfg.DefaultKind)] == nil {
		s.logger.Error("a saved game is of a kind that this server does not have; its save is kept; destroy_game gives it up", "game", g.Name, "kind", g.Kind)
		s.addUnplayable(g, stored)
		return nil
	}
	opening.Add(1)
	s.addGame(g, stored, func(err error) {
		s.returned(g.Number, err)
		opening.Done()
	})
	return nil
}

// store has changes written and calls done when they are on disk. Callers who come together share a commit.
func (s *Server) store(done func(error), changes ...store.Change) {
	s.commits.ask(&write{changes: changes, done: done})
}

// saveGames asks all games for their saves, and has them written. A game that fails or is too slow
// keeps what it saved before, and does not keep the others from being saved (defect 21).
func (s *Server) saveGames(done func(error)) {
	s.saving.Go(func() { // ends after Limits.SaveWait at the latest
		saves, unsaved := s.askSaves()
		s.mu.Lock()
		defer s.mu.Unlock()
		all := []store.Change{putRegistration(s.registration)} // something always, so that who saves hears if the store fails
		for g, save := range saves {
			all = append(all, s.toStore(g, save)...)
		}
		s.store(func(err error) { done(cmp.Or(err, unsaved)) }, all...)
	})
}

// askSaves asks all games for their saves, and waits for Limits.SaveWait at most. The error is an *UnsavedError.
func (s *Server) askSaves() (map[*game]taken, error) {
	games := slices.DeleteFunc(s.listGames(), func(g *game) bool { return !g.saves.Load() && !g.journal.inUse() })
	var mu sync.Mutex // guards the two, as a late answer may come when this has returned
	unsaved := make(map[string]string)
	all := make(map[*game]taken)
	for _, g := range games {
		unsaved[g.name] = "it did not answer in time"
	}
	askAll(games, s.cfg.Limits.SaveWait, func(g *game, answered func()) {
		g.room.Save(func(save room.Save, ok bool, err error) {
			t, reason := s.noteSave(g, save, ok, err)
			mu.Lock()
			defer mu.Unlock()
			all[g] = t
			if unsaved[g.name] = reason; reason == "" {
				delete(unsaved, g.name)
			}
			answered()
		})
	})
	mu.Lock()
	defer mu.Unlock()
	saves := maps.Clone(all) // what comes late is for the next time
	if len(unsaved) == 0 {
		return saves, nil
	}
	s.stats.SavesMissed.Add(int64(len(unsaved)))
	return saves, &UnsavedError{Games: maps.Clone(unsaved)}
}

// UnsavedError says which games were not saved, and why. They keep what they saved before, and all else is saved.
type UnsavedError struct {
	Games map[string]string // the reason by the game's name
}

func (e *UnsavedError) Error() string {
	const most = 5 // games that are named
	names := slices.Sorted(maps.Keys(e.Games))
	var named []string
	for _, name := range names[:min(most, len(names))] {
		named = append(named, fmt.Sprintf("%q (%s)", name, e.Games[name]))
	}
	text := "all was saved but games, which keep what they saved before: " + strings.Join(named, ", ")
	if len(names) > most {
		text += fmt.Sprintf(", and %d more", len(names)-most)
	}
	return text
}

// taken is what is to be written of a game's save.
type taken struct {
	number  int // of the saves that were taken of the game
	changes []store.Change
}

// noteSave takes a game's save, and returns what is to be written of it; or says why not.
func (s *Server) noteSave(g *game, save room.Save, ok bool, err error) (t taken, refused string) {
	if errors.Is(err, room.ErrClosed) {
		return t, "" // it ended a moment ago
	}
	if errors.Is(err, room.ErrNotStored) { // the log has it: it may be all durable games
		return t, "it could not be stored"
	}
	if err != nil {
		s.logger.Warn("a game did not save; what it saved before is kept", "game", g.name, "err", err)
		return t, "it failed; the log says more"
	}
	if g.journal.inUse() {
		return t, "" // it has written its save itself
	}
	if !ok {
		save = room.Save{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.games[g.name] != g {
		return t, "" // it was destroyed meanwhile, and its save is not counted any more
	}
	if refused = s.grow(g, len(save.Data)); refused != "" {
		return t, refused
	}
	g.taken++
	t.number = g.taken
	if save.Data == "" {
		t.changes = []store.Change{store.DeleteGame{Number: g.number}}
	} else {
		t.changes = []store.Change{s.record(g), store.PutSave{Save: store.Save{Game: g.number, Version: save.Version, Data: save.Data}}}
	}
	return t, ""
}

// toStore is what is still to be written of a save: nothing if the game was destroyed meanwhile, or the store was asked for a newer one. The lock
// is held, until the store was asked.
func (s *Server) toStore(g *game, t taken) []store.Change {
	if s.games[g.name] != g || t.number <= g.handed {
		return nil
	}
	g.handed = t.number
	return t.changes
}

// keep has a save written that a game has asked for. It does not block.
func (s *Server) keep(g *game, save room.Save, ok bool, err error, done func()) {
	if !g.saves.Load() || err != nil { // which the room has logged, once in a while
		done()
		return
	}
	t, _ := s.noteSave(g, save, ok, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	changes := s.toStore(g, t)
	if len(changes) == 0 {
		done()
		return
	}
	s.store(func(error) { done() }, changes...)
}

// mayGrow counts the save that a durable game is about to write, or tells why it may not.
func (s *Server) mayGrow(g *game, size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.games[g.name] != g {
		return nil // it ends
	}
	if refused := s.grow(g, size); refused != "" {
		return errors.New(refused)
	}
	return nil
}

// grow counts the size of a game's next save, or tells why that is refused. The lock is held.
func (s *Server) grow(g *game, size int) (refused string) {
	growth := size - g.saved
	if refused = s.refuseSave(g, size, growth); refused != "" {
		s.stats.SavesRefused.Add(1)
		s.logger.Error("limit of saves reached; what the game saved before is kept", "game", g.name, "creator", g.creator.name,
			"reason", refused, "of the creator", g.creator.saved, "of all games", s.savedBytes)
		return refused
	}
	g.saved = size
	s.savedBytes += growth
	g.creator.saved += growth
	return ""
}

// record is what the store keeps of a game beside its save.
func (s *Server) record(g *game) store.PutGame {
	r := store.PutGame{Number: g.number, Name: g.name, Secret: g.secret, Creator: g.creator.name}
	if len(s.cfg.Games) > 1 || g.kind != s.cfg.DefaultKind { // by name, as another start may have another default
		r.Kind = g.kind
	}
	return r
}

// refuseSave is why a game's save is not taken, or empty. What shrinks is always taken. The lock is held.
func (s *Server) refuseSave(g *game, size, growth int) string {
	l := &s.cfg.Limits
	free := l.SavesSize - s.savedBytes - growth
	switch {
	case size > l.SaveSize:
		return fmt.Sprintf("limit of save size reached: %d of %d bytes; raise Limits.SaveSize", size, l.SaveSize)
	case growth <= 0:
		return ""
	case free < 0:
		return fmt.Sprintf("limit of all saves reached: %d bytes; raise --max-saves or destroy games", l.SavesSize)
	case g.creator.saved+growth > free && g.creator.name != parlor.AdminName:
		return fmt.Sprintf("limit of one user's saves reached: %d bytes, and %d are left for all; raise --max-saves or destroy games",
			g.creator.saved+growth, free)
	}
	return ""
}
