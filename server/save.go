package server

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"parlor"
	"parlor/internal/snapshot"
	"parlor/room"
)

// restore takes over what the store holds, and makes the saved games again.
func (s *Server) restore(snap snapshot.Snapshot) {
	s.mu.Lock()
	switch {
	case s.cfg.NoRegistration && snap.Registration:
		s.logger.Info("registration is off by the option, which wins over the save")
	case !s.cfg.NoRegistration && !snap.Registration:
		s.logger.Info("registration is off, as it was saved; set_registration changes it")
		s.registration = false
	}
	s.invites = slices.Clone(snap.Invites)
	for _, u := range snap.Users {
		if s.users[u.Name] == nil && u.Name != parlor.AdminName {
			s.addUser(&u)
		}
	}
	var opening sync.WaitGroup
	for _, g := range snap.Games {
		if s.games[g.Name] != nil {
			continue
		}
		if s.cfg.Games[cmp.Or(g.Kind, s.cfg.DefaultKind)] == nil {
			s.logger.Error("a saved game is of a kind that this server does not have; its save is kept; destroy_game gives it up", "game", g.Name, "kind", g.Kind)
			s.addUnplayable(g)
			continue
		}
		opening.Add(1)
		s.addGame(g, func(error) { opening.Done() })
	}
	s.mu.Unlock()
	waitBounded(&opening, s.cfg.Limits.RestoreWait)
}

// store has everything written and calls done when it is on disk. Callers who come together share a write.
func (s *Server) store(done func(error)) {
	if s.cfg.Store == nil {
		done(nil)
		return
	}
	s.commits.ask(done)
}

// commit writes a snapshot. It runs on the goroutine of its batch.
func (s *Server) commit() error {
	err := s.cfg.Store.Save(s.snapshot())
	if err != nil {
		s.stats.SaveErrors.Add(1)
		s.logger.Error("save failed", "err", err)
	}
	return err
}

// snapshot is everything to keep, games as they last saved.
func (s *Server) snapshot() snapshot.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := snapshot.Snapshot{Registration: s.registration, Invites: slices.Clone(s.invites)}
	snap.Users = make([]snapshot.User, 0, len(s.order))
	for _, u := range s.order {
		snap.Users = append(snap.Users, *u)
	}
	games := make([]*game, 0, len(s.games))
	for _, g := range s.games {
		if g.saved != "" {
			games = append(games, g)
		}
	}
	slices.SortFunc(games, byNumber)
	for _, g := range games {
		saved := snapshot.Game{Name: g.name, Password: g.password, Data: g.saved, Creator: g.creator.name}
		if len(s.cfg.Games) > 1 || g.kind != s.cfg.DefaultKind { // by name, as another start may have another default
			saved.Kind = g.kind
		}
		snap.Games = append(snap.Games, saved)
	}
	return snap
}

// saveGames asks all games for their saves, and has everything written. A game that fails or is too slow
// keeps what it saved before, and does not keep the others from being saved (defect 21).
func (s *Server) saveGames(done func(error)) {
	if s.cfg.Store == nil {
		done(nil)
		return
	}
	s.saving.Go(func() { // ends after Limits.SaveWait at the latest
		unsaved := s.askSaves()
		s.store(func(err error) {
			if err == nil {
				err = unsaved
			}
			done(err)
		})
	})
}

// askSaves asks all games for their saves, and waits for Limits.SaveWait at most. The error is an *UnsavedError.
func (s *Server) askSaves() error {
	games := slices.DeleteFunc(s.listGames(), func(g *game) bool { return !g.saves.Load() })
	var mu sync.Mutex // guards unsaved, as a late answer may come when this has returned
	unsaved := make(map[string]string)
	for _, g := range games {
		unsaved[g.name] = "it did not answer in time"
	}
	askAll(games, s.cfg.Limits.SaveWait, func(g *game, answered func()) {
		g.room.Save(func(save string, ok bool, err error) {
			reason := s.noteSave(g, save, ok, err)
			mu.Lock()
			defer mu.Unlock()
			if unsaved[g.name] = reason; reason == "" {
				delete(unsaved, g.name)
			}
			answered()
		})
	})
	mu.Lock()
	defer mu.Unlock()
	if len(unsaved) == 0 {
		return nil
	}
	s.stats.SavesMissed.Add(int64(len(unsaved)))
	return &UnsavedError{Games: maps.Clone(unsaved)}
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

// noteSave takes a game's save, or says why not.
func (s *Server) noteSave(g *game, save string, ok bool, err error) (refused string) {
	if errors.Is(err, room.ErrClosed) {
		return "" // it ended a moment ago
	}
	if err != nil {
		s.logger.Warn("a game did not save; what it saved before is kept", "game", g.name, "err", err)
		return "it failed; the log says more"
	}
	if !ok {
		save = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.games[g.name] != g {
		return "" // it was destroyed meanwhile, and its save is not counted any more
	}
	growth := len(save) - len(g.saved)
	if refused = s.refuseSave(g, len(save), growth); refused != "" {
		s.stats.SavesRefused.Add(1)
		s.logger.Error("limit of saves reached; what the game saved before is kept", "game", g.name, "creator", g.creator.name,
			"reason", refused, "of the creator", g.creator.saved, "of all games", s.savedBytes)
		return refused
	}
	g.saved = save
	s.savedBytes += growth
	g.creator.saved += growth
	return ""
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
