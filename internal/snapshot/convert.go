package snapshot

import (
	"fmt"
	"iter"
	"slices"

	"parlor/internal/password"
	"parlor/store"
)

// Changes are what makes an empty store hold what a snapshot has. Fold is parlor.FoldDigits. Passwords of users keep their old
// hashes; those of games, which a snapshot has in clear, become what secret makes of them. Of several users or games
// of one name the first counts, as in pgnet's file the name is the key, and a user of the name admin does not: left out tells
// of them.
func Changes(s Snapshot, fold, secret func(string) string) (all []store.Change, leftOut []string) {
	registration := "off"
	if s.Registration {
		registration = "on"
	}
	all = append(all, store.PutSetting{Name: "registration", Value: registration})
	users, games, codes := map[string]bool{"admin": true}, map[string]bool{}, map[string]bool{}
	for _, u := range s.Users {
		if users[u.Name] {
			leftOut = append(leftOut, fmt.Sprintf("user %q, whose name is taken", u.Name))
			continue
		}
		users[u.Name] = true
		all = append(all, store.PutUser{Name: u.Name, Folded: fold(u.Name), Secret: password.Pgnet(u.Salt, u.Hash)})
	}
	for _, i := range s.Invites {
		if codes[i.Code] {
			leftOut = append(leftOut, "an invite code that is there twice")
			continue
		}
		codes[i.Code] = true
		all = append(all, store.PutInvite{Code: i.Code, User: i.User, Expires: i.Expires, Left: 1})
	}
	for n, g := range s.Games {
		if games[g.Name] {
			leftOut = append(leftOut, fmt.Sprintf("game %q, whose name is taken", g.Name))
			continue
		}
		games[g.Name] = true
		put := store.PutGame{Number: int64(n + 1), Name: g.Name, Kind: g.Kind, Creator: g.Creator}
		if g.Password != "" {
			put.Secret = secret(g.Password)
		}
		all = append(all, put, store.PutSave{Save: store.Save{Game: put.Number, Data: g.Data}})
	}
	return all, leftOut
}

// Of is the snapshot of what a store exports. What a snapshot has no form for is left out, and told of: hashes of another kind than
// pgnet's, whose users cannot log in, passwords of games, and games that are durable, but for their last save.
func Of(export iter.Seq2[store.Change, error]) (s Snapshot, lost []string, err error) {
	s.Registration = true
	games := make(map[int64]Game)
	var order []int64
	for c, err := range export {
		if err != nil {
			return Snapshot{}, nil, err
		}
		switch c := c.(type) {
		case store.PutSetting:
			if c.Name == "registration" {
				s.Registration = c.Value != "off"
			}
		case store.PutUser:
			salt, hash, ok := password.AsPgnet(c.Secret)
			if !ok {
				lost = append(lost, fmt.Sprintf("the password of user %q", c.Name))
			}
			s.Users = append(s.Users, User{Name: c.Name, Salt: salt, Hash: hash})
		case store.PutInvite:
			if c.Left > 1 {
				lost = append(lost, fmt.Sprintf("that an invite code is good %d times", c.Left))
			}
			s.Invites = append(s.Invites, Invite{Code: c.Code, User: c.User, Expires: c.Expires})
		case store.PutGame:
			pass, clear := password.AsClear(c.Secret)
			if c.Secret != "" && !clear {
				lost = append(lost, fmt.Sprintf("the password of game %q", c.Name))
				pass = ""
			}
			games[c.Number] = Game{Name: c.Name, Password: pass, Kind: c.Kind, Creator: c.Creator}
			order = append(order, c.Number)
		case store.PutSave:
			g := games[c.Game]
			g.Data = c.Data
			games[c.Game] = g
		case store.Append:
			lost = append(lost, fmt.Sprintf("what has happened in game %q since its last save", games[c.Game].Name))
		}
	}
	for _, number := range order {
		if g := games[number]; g.Data != "" {
			s.Games = append(s.Games, g)
		}
	}
	return s, slices.Compact(lost), nil
}
