package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"parlor"
	"parlor/internal/pyjson"
	"parlor/link"
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

// putSecret has the hash of a new password stored, and more with it. The lock is held, and not for done.
func (s *Server) putSecret(name, secret string, done func(error), more ...store.Change) {
	var change store.Change = store.PutUser{Name: name, Folded: parlor.FoldDigits(name), Secret: secret}
	if name == parlor.AdminName {
		change = store.PutSetting{Name: store.SettingAdmin, Value: secret}
	}
	s.changing[name]++
	follow := func(made bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.changing[name]--; s.changing[name] == 0 {
			delete(s.changing, name)
		}
		if made && name == parlor.AdminName {
			s.admin = secret
		}
		s.changed(name) // so that logins which have seen the old one look again
	}
	s.store(func(err error) {
		if name == parlor.AdminName && errors.Is(err, store.ErrUnknown) { // of whom what counts is here, and not what is stored
			s.doubts.add(doubt{
				made: func(ctx context.Context) (bool, error) {
					settings, err := s.cfg.Store.Settings(ctx)
					return settings[store.SettingAdmin] == secret, err
				},
				tell: follow,
			})
		} else {
			follow(err == nil)
		}
		done(err)
	}, append(more, change)...)
}

// secretOf is the hash of a user's password. It blocks for the store.
func (s *Server) secretOf(ctx context.Context, name string) (string, error) {
	if name == parlor.AdminName {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.admin, nil
	}
	u, err := s.cfg.Store.User(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoUser
	}
	return u.Secret, err
}

// refusePassword is why a user cannot have a password, or empty.
func (s *Server) refusePassword(name, pass string) string {
	switch {
	case len(pass) > s.cfg.Limits.PasswordSize:
		s.stats.TextsRefused.Add(1)
		return textLongPassword
	case pass == "" && (s.cfg.RequirePassword || name == parlor.AdminName):
		return textNoPassword
	}
	return ""
}

// errWrong is a password that is not the user's.
var errWrong = errors.New("wrong password")

// changePassword answers change_password. It needs the old one, whoever has the session, and who guesses is slowed down as at a login. The
// session goes on, and can be resumed as before; there is no other one of the name.
func (s *Server) changePassword(ss *session, args arguments) (parlor.Response, bool) {
	if args.text("new_password") == "" { // it may have been forgotten, and whoever gives the name would be let in
		return parlor.Unexpected(textNoPassword), true
	}
	if text := s.refusePassword(ss.user, args.text("new_password")); text != "" {
		return parlor.Unexpected(text), true
	}
	s.inTurn(ss, func() (parlor.Response, bool) {
		try, wait, ok := s.logins.begin(ss.address(), ss.user)
		if !ok {
			s.stats.LoginsSlowed.Add(1)
			return parlor.Unexpected(textFailures), true
		}
		err := s.givePassword(ss, ss.user, args.text("new_password"), func(secret string) error {
			if fits, _, err := s.passwords.Check(secret, args.text("old_password")); err != nil || !fits {
				return errWrong
			}
			return nil
		})
		if !errors.Is(err, errWrong) {
			try.cancel()
			return s.passwordAnswer(ss.user, err)
		}
		if wait > 0 {
			s.stats.LoginsSlowed.Add(1)
		}
		time.AfterFunc(wait, func() { ss.finish(parlor.Unexpected(textPassword)) })
		return parlor.Response{}, false
	})
	return parlor.Response{}, false
}

// setPassword answers set_password, of another user, or of the administrator. A session of the other's ends with it, as whoever has that
// may not have the new password.
func (s *Server) setPassword(ss *session, args arguments) (parlor.Response, bool) {
	name, pass := args.text("username"), args.text("password")
	if text := s.refusePassword(name, pass); text != "" {
		return parlor.Unexpected(text), true
	}
	s.inTurn(ss, func() (parlor.Response, bool) {
		return s.passwordAnswer(name, s.givePassword(ss, name, pass, func(string) error { return nil }))
	})
	return parlor.Response{}, false
}

// givePassword has a new password stored, if check does not mind the hash of the old one. It blocks for the store and for the hash. Without an
// error the session that asks is answered when the new one is stored.
func (s *Server) givePassword(ss *session, name, pass string, check func(secret string) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), maxLoginWait)
	defer cancel()
	var secret string
	var gone bool
	err := s.steadily(name, func() error {
		before, err := s.secretOf(ctx, name)
		if err == nil {
			err = check(before)
		}
		if err == nil {
			secret = s.newSecret(pass)
		}
		return err
	}, func() {
		if gone = s.deleting[name]; gone {
			return
		}
		var more []store.Change
		if other := s.sessions[name]; other != nil && other != ss {
			more = other.unstored()
		}
		s.putSecret(name, secret, func(err error) { s.passwordStored(ss, name, err) }, more...)
	})
	if gone {
		return ErrNoUser
	}
	return err
}

// unstored is what has the store forget the session, which it does itself when it ends: after a crash it must not come back.
func (ss *session) unstored() []store.Change {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.stored == "" {
		return nil
	}
	return []store.Change{store.DeleteSession{ID: ss.stored}}
}

// passwordStored answers a request for a new password, which the store has taken or not.
func (s *Server) passwordStored(ss *session, name string, err error) {
	if err != nil {
		ss.finish(parlor.Unexpected(notStored(err)))
		return
	}
	s.event(slog.LevelInfo, "password changed", "user", name, "by", ss.user)
	if name != ss.user {
		s.endSession(name, textNewPassword)
	}
	ss.finish(parlor.OK("Changed password of " + pyjson.ReprString(name) + "."))
}

// textNewPassword is why the link is closed of a user who was given a new password.
const textNewPassword = "new password"

// endSession ends the session of a user, if she has one.
func (s *Server) endSession(name, why string) {
	s.mu.Lock()
	ss := s.sessions[name]
	s.mu.Unlock()
	if ss != nil {
		ss.close(link.ClosePolicy, why)
	}
}

// passwordAnswer is the answer to a request for a new password that was not stored; nil is answered later.
func (s *Server) passwordAnswer(name string, err error) (parlor.Response, bool) {
	switch {
	case err == nil:
		return parlor.Response{}, false
	case errors.Is(err, ErrNoUser):
		return parlor.Unexpected("No such user: " + pyjson.ReprString(name)), true
	}
	s.trouble(slog.LevelError, "a user could not be read", "err", err)
	return parlor.Unexpected(notStored(err)), true
}

// createUser answers create_user.
func (s *Server) createUser(ss *session, args arguments) (parlor.Response, bool) {
	name, pass := args.text("username"), args.text("password")
	if text := s.refusePassword(name, pass); text != "" {
		return parlor.Unexpected(text), true
	}
	if !parlor.UserNameAllowed(name) {
		return parlor.Unexpected(textName), true
	}
	s.inTurn(ss, func() (parlor.Response, bool) {
		ctx, cancel := context.WithTimeout(context.Background(), maxLoginWait)
		defer cancel()
		secret := s.newSecret(pass)
		var taken bool
		var refused string
		err := s.steadily(name, func() (err error) {
			taken, err = s.cfg.Store.Imitated(ctx, parlor.FoldDigits(name))
			return err
		}, func() {
			switch {
			case taken || s.registering[parlor.FoldDigits(name)]:
				refused = "Username exists already, or one that looks like it."
			case s.users >= s.cfg.Limits.Users:
				s.stats.UsersRefused.Add(1)
				refused = textUsers
			default:
				change, stored := s.enlist(name, secret)
				s.store(func(err error) { s.userStored(ss, name, stored, err) }, change)
			}
		})
		if refused != "" {
			return parlor.Unexpected(refused), true
		}
		return s.passwordAnswer(name, err)
	})
	return parlor.Response{}, false
}

// userStored answers a request for a new user, whom the store has taken or not.
func (s *Server) userStored(ss *session, name string, stored func(error), err error) {
	s.enlisted(name, stored, err)
	if err != nil {
		ss.finish(parlor.Unexpected(notStored(err)))
		return
	}
	s.event(slog.LevelInfo, "user registered", "user", name, "by", ss.user)
	ss.finish(parlor.OK("Created user: " + pyjson.ReprString(name) + "."))
}

// maxPage is how many users list_users answers with at most.
const maxPage = 1000

// listUsers answers list_users, in the order of registration.
func (s *Server) listUsers(ss *session, args arguments) (parlor.Response, bool) {
	var after int64
	limit := maxPage
	if raw := args.values["after"]; raw != nil && pyjson.Bind(raw, &after) != nil {
		return parlor.Unexpected("Expected the number of a user for argument 'after'."), true
	}
	if raw := args.values["limit"]; raw != nil && (pyjson.Bind(raw, &limit) != nil || limit < 1 || limit > maxPage) {
		return parlor.Unexpected(fmt.Sprintf("Expected a number from 1 to %d for argument 'limit'.", maxPage)), true
	}
	s.withUsers(ss, after, limit, func(users []store.User) parlor.Response {
		return parlor.OK("See payload for users.", s.pageOfUsers(users, len(users) == limit))
	})
	return parlor.Response{}, false
}

// withUsers reads users and answers with them.
func (s *Server) withUsers(ss *session, after int64, limit int, answer func([]store.User) parlor.Response) {
	go func() { // ends with the answer of the store
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Limits.CommitWait)
		defer cancel()
		users, err := s.cfg.Store.Users(ctx, after, limit)
		if err != nil {
			s.logger.Error("the users could not be read", "err", err)
			ss.finish(parlor.Unexpected("The users could not be read."))
			return
		}
		ss.finish(answer(users))
	}()
}

// pageOfUsers is the payload that shows users, as far as they fit; more tells that there may be others behind them.
func (s *Server) pageOfUsers(users []store.User, more bool) any {
	type entry struct {
		Number    int64  `json:"number"`
		Username  string `json:"username"`
		Connected bool   `json:"connected"`
	}
	var payload struct {
		Users []entry `json:"users"`
		More  bool    `json:"more"`
	}
	payload.More = more
	s.mu.Lock()
	defer s.mu.Unlock()
	size := 0
	for _, u := range users {
		if size >= s.pageSize() {
			payload.More = true
			break
		}
		size += len(u.Name) + pageEntry
		payload.Users = append(payload.Users, entry{u.Number, u.Name, s.sessions[u.Name] != nil})
	}
	return payload
}
