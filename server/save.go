package server

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"parlor"
	"parlor/room"
	"parlor/store"
)

// restore takes over what the store holds, and makes the saved games again.
func (s *Server) restore(snap store.Snapshot) {
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
func (s *Server) snapshot() store.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := store.Snapshot{Registration: s.registration, Invites: slices.Clone(s.invites)}
	snap.Users = make([]store.User, 0, len(s.order))
	for _, u := range s.order {
		snap.Users = append(snap.Users, *u)
	}
	games := make([]*game, 0, len(s.games))
	for _, g := range s.games {
		if g.saved != "" {
			games = append(games, g)
		}
	}
	slices.SortFunc(games, func(a, b *game) int { return cmp.Compare(a.number, b.number) })
	for _, g := range games {
		saved := store.Game{Name: g.name, Password: g.password, Data: g.saved}
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
		s.askSaves()
		s.store(done)
	})
}

// askSaves asks all games for their saves, and waits for Limits.SaveWait at most.
func (s *Server) askSaves() {
	askAll(s.listGames(), s.cfg.Limits.SaveWait, func(g *game, answered func()) {
		g.room.Save(func(save string, ok bool, err error) {
			s.noteSave(g, save, ok, err)
			answered()
		})
	})
}

func (s *Server) noteSave(g *game, save string, ok bool, err error) {
	if errors.Is(err, room.ErrClosed) {
		return // it ended a moment ago
	}
	if err != nil {
		s.logger.Warn("a game did not save; what it saved before is kept", "game", g.name, "err", err)
		return
	}
	if !ok {
		save = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.games[g.name] != g {
		return // it was destroyed meanwhile, and its save is not counted any more
	}
	total := s.savedBytes + len(save) - len(g.saved)
	if len(save) > s.cfg.Limits.SaveSize || len(save) > len(g.saved) && total > s.cfg.Limits.SavesSize {
		s.stats.SavesRefused.Add(1)
		s.logger.Error("limit of save size reached; what the game saved before is kept", "game", g.name,
			"bytes", len(save), "limit", s.cfg.Limits.SaveSize, "all games", total, "limit of all", s.cfg.Limits.SavesSize)
		return
	}
	g.saved, s.savedBytes = save, total
}
