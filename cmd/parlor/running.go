package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parlor"
	"parlor/client"
)

// running are the accounts of a server, whose administrator is logged in.
type running struct{ client *client.Client }

func (s running) close() error { return s.client.Close() }

// ask makes a request, and binds the payload of the answer unless payload is nil. A refusal is an error.
func (s running) ask(ctx context.Context, message string, args parlor.Map, payload any) (text string, err error) {
	r, err := s.client.Request(ctx, message, args)
	if err != nil {
		return "", fmt.Errorf("ask the server: %w", err)
	}
	if r.Status != parlor.StatusOK {
		return "", errors.New("the server refuses: " + visible(r.Message))
	}
	if payload != nil {
		err = r.Payload.Bind(payload)
	}
	return r.Message, err
}

func (s running) listUsers(ctx context.Context, each func(userRow) error) error {
	after := int64(0)
	for more := true; more; {
		var page struct {
			Users []userRow `json:"users"`
			More  bool      `json:"more"`
		}
		if _, err := s.ask(ctx, parlor.RequestListUsers, parlor.Map{"after": after}, &page); err != nil {
			return err
		}
		for _, u := range page.Users {
			if u.Number <= after {
				return fmt.Errorf("the server lists user %d after user %d", u.Number, after)
			}
			after = u.Number
			if err := each(u); err != nil {
				return err
			}
		}
		more = page.More && len(page.Users) > 0
	}
	return nil
}

func (s running) addUser(ctx context.Context, name, password string) error {
	_, err := s.ask(ctx, parlor.RequestCreateUser, parlor.Map{"username": name, "password": password}, nil)
	return err
}

func (s running) setPassword(ctx context.Context, name, password string) error {
	_, err := s.ask(ctx, parlor.RequestSetPassword, parlor.Map{"username": name, "password": password}, nil)
	return err
}

func (s running) deleteUser(ctx context.Context, name string) error {
	text, err := s.ask(ctx, parlor.RequestDeleteUser, parlor.Map{"username": name}, nil)
	if err == nil && !strings.HasPrefix(text, "Requested delete user") { // that there is none has the status of a success
		err = fmt.Errorf("there is no user %q", name)
	}
	return err
}

func (s running) listInvites(ctx context.Context) (rows []inviteRow, err error) {
	after := ""
	for more := true; more; {
		var page struct {
			Invites []inviteRow `json:"invites"`
			More    bool        `json:"more"`
		}
		if _, err := s.ask(ctx, parlor.RequestListInvites, parlor.Map{"after": after}, &page); err != nil {
			return nil, err
		}
		for _, in := range page.Invites {
			if in.Code <= after {
				return nil, errors.New("the server lists invite codes in another order than theirs")
			}
			after = in.Code
		}
		rows = append(rows, page.Invites...)
		more = page.More && len(page.Invites) > 0
	}
	return rows, nil
}

func (s running) createInvite(ctx context.Context, user string, uses int, life time.Duration) (code string, err error) {
	args := parlor.Map{"username": user, "uses": uses}
	if life >= 0 {
		args["expires_in"] = life.Seconds()
	}
	text, err := s.ask(ctx, parlor.RequestCreateInvite, args, nil)
	if err != nil {
		return "", err
	}
	_, code, found := strings.Cut(text, ": ")
	if !found {
		return "", fmt.Errorf("the server says %q, which has no code", text)
	}
	return code, nil
}

func (s running) revokeInvite(ctx context.Context, code string) error {
	_, err := s.ask(ctx, parlor.RequestRevokeInvite, parlor.Map{"code": code}, nil)
	return err
}
