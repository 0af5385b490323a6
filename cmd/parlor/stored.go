package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parlor"
	"parlor/internal/password"
	"parlor/server"
	"parlor/store"
)

// stored are the accounts in a store.
type stored struct{ store.Store }

func (s stored) close() error { return s.Close() }

func (s stored) listUsers(ctx context.Context, each func(userRow) error) error {
	for after := int64(0); ; {
		users, err := s.Users(ctx, after, 1000)
		if err != nil || len(users) == 0 {
			return err
		}
		for _, u := range users {
			after = u.Number
			if err := each(userRow{Number: u.Number, Username: u.Name}); err != nil {
				return err
			}
		}
	}
}

func (s stored) addUser(ctx context.Context, name, pass string) error {
	if !parlor.UserNameAllowed(name) {
		return fmt.Errorf("user name %q is not allowed: a name has %s", name, userNameRule)
	}
	folded := parlor.FoldDigits(name)
	imitated, err := s.Imitated(ctx, folded)
	if err != nil {
		return err
	}
	if imitated {
		return fmt.Errorf("there is a user %q already, or one whose name looks like it", name)
	}
	return s.Commit(ctx, store.PutUser{Name: name, Folded: folded, Secret: password.Hash(pass)})
}

func (s stored) setPassword(ctx context.Context, name, pass string) error {
	if name == parlor.AdminName {
		return s.commitAndEnd(ctx, name, store.PutSetting{Name: store.SettingAdmin, Value: password.Hash(pass)})
	}
	u, err := s.user(ctx, name)
	if err != nil {
		return err
	}
	u.Secret = password.Hash(pass)
	return s.commitAndEnd(ctx, name, store.PutUser(u))
}

func (s stored) deleteUser(ctx context.Context, name string) error {
	if _, err := s.user(ctx, name); err != nil {
		return err
	}
	return s.commitAndEnd(ctx, name, store.DeleteUser{Name: name})
}

func (s stored) user(ctx context.Context, name string) (store.User, error) {
	u, err := s.User(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("there is no user %q", name)
	}
	return u, err
}

// commitAndEnd makes a change after which nobody is to come back to a session of the user's without her new password.
func (s stored) commitAndEnd(ctx context.Context, name string, change store.Change) error {
	sessions, err := s.Sessions(ctx)
	if err != nil {
		return err
	}
	changes := []store.Change{change}
	for _, ss := range sessions {
		if ss.User == name {
			changes = append(changes, store.DeleteSession{ID: ss.ID})
		}
	}
	return s.Commit(ctx, changes...)
}

func (s stored) listInvites(ctx context.Context) (rows []inviteRow, err error) {
	invites, err := s.Invites(ctx)
	now := time.Now().Unix()
	for _, in := range invites {
		if in.Left > 0 && (in.Expires == 0 || in.Expires > now) {
			rows = append(rows, inviteRow{in.Code, in.User, in.Left, in.Expires})
		}
	}
	return rows, err
}

func (s stored) createInvite(ctx context.Context, user string, uses int, life time.Duration) (code string, err error) {
	if life < 0 {
		life = server.InviteLife
	}
	in := store.NewInvite(user, uses, time.Now(), life)
	return in.Code, s.Commit(ctx, store.PutInvite(in))
}

func (s stored) revokeInvite(ctx context.Context, code string) error {
	invites, err := s.Invites(ctx)
	if err != nil {
		return err
	}
	for _, in := range invites {
		if in.Code == code {
			return s.Commit(ctx, store.DeleteInvite{Code: code})
		}
	}
	return errors.New("there is no such invite code")
}
