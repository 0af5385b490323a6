package server

import (
	"context"
	"errors"
	"fmt"

	"parlor/store"
)

// takeAdmin settles which is the administrator's password: the given one, which is stored then, or else the one that is stored.
func (s *Server) takeAdmin(ctx context.Context, stored string) error {
	given := s.cfg.AdminPassword
	switch {
	case given == "" && stored == "":
		return errors.New("no administrator password: the store has none, and there is no default one")
	case given == "":
		s.admin = stored
		return nil
	}
	fits, old, err := s.passwords.Check(stored, given)
	if err == nil && fits && !old {
		s.admin = stored
		return nil
	}
	s.admin = s.newSecret(given)
	if s.cfg.PgnetPasswords { // pgnet's file has no place for it
		return nil
	}
	if stored != "" && !fits {
		s.logger.Warn("the administrator's password is from now on the one that was given, in place of the one that was stored")
	}
	if err := s.cfg.Store.Commit(ctx, store.PutSetting{Name: store.SettingAdmin, Value: s.admin}); err != nil {
		return fmt.Errorf("store the administrator's password: %w", err)
	}
	return nil
}
