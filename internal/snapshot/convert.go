package snapshot

import (
	"cmp"
	"fmt"
	"iter"
	"strconv"
	"strings"

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
	all = append(all, store.PutSetting{Name: store.SettingRegistration, Value: registration})
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
		all = append(all, put, store.PutSave{Save: store.Save{Game: put.Number, Version: g.Version, Data: g.Data}})
	}
	return all, leftOut
}

// Of is the snapshot of what a store exports. What a snapshot has no form for is left out, and told of, a line for each sort: hashes of
// another kind than pgnet's, whose users cannot log in; the administrator's password; those of games, but those in clear; how often an
// invite code is good; games without a save; of durable ones, what is in journals and what rooms keep beside saves; and sessions.
func Of(export iter.Seq2[store.Change, error]) (s Snapshot, lost []string, err error) {
	s.Registration = true
	o := outgoing{games: make(map[int64]*outgoingGame)}
	for c, err := range export {
		if err != nil {
			return Snapshot{}, nil, err
		}
		o.take(&s, c)
	}
	for _, g := range o.order {
		if g.Data == "" {
			o.unsaved.add(g.Name)
			continue
		}
		if g.secret {
			o.open.add(g.Name)
		}
		if g.behind {
			o.journals.add(g.Name)
		}
		if g.room {
			o.rooms.add(g.Name)
		}
		s.Games = append(s.Games, g.Game)
	}
	for _, l := range []struct {
		names names
		what  string
	}{
		{o.secrets, "the passwords of %s, who cannot log in with what is in the file"},
		{o.admins, "the password of %s, which a server is given when it starts"},
		{o.open, "the passwords of the games %s, which anybody can join"},
		{o.unsaved, "the games %s, which were never saved"},
		{o.journals, "what has happened since their last save in the games %s"},
		{o.rooms, "the clocks, random numbers and seats of the games %s, which begin anew with their saves"},
		{o.sessions, "the sessions of %s, who have to join their games again"},
		{o.counts, "that the invite codes for %s are good more than once"},
	} {
		if l.names.n > 0 {
			lost = append(lost, fmt.Sprintf(l.what, l.names))
		}
	}
	return s, lost, nil
}

// outgoing is what is kept while a store's export becomes a snapshot.
type outgoing struct {
	games map[int64]*outgoingGame
	order []*outgoingGame

	secrets, admins, open, unsaved, journals, rooms, sessions, counts names
}

type outgoingGame struct {
	Game
	secret bool   // it has a password that is lost
	entry  uint64 // the last of its journal
	behind bool   // its journal has something that is not in the save
	room   bool   // its room has kept something beside the save
}

func (o *outgoing) take(s *Snapshot, c store.Change) {
	switch c := c.(type) {
	case store.PutSetting:
		switch c.Name {
		case store.SettingRegistration:
			s.Registration = c.Value != "off"
		case store.SettingAdmin:
			o.admins.add("admin")
		}
	case store.PutUser:
		salt, hash, ok := password.AsPgnet(c.Secret)
		if !ok {
			o.secrets.add(c.Name)
		}
		s.Users = append(s.Users, User{Name: c.Name, Salt: salt, Hash: hash})
	case store.PutInvite:
		if c.Left < 1 {
			return // it is used up
		}
		if c.Left > 1 {
			o.counts.add(cmp.Or(c.User, "anybody"))
		}
		s.Invites = append(s.Invites, Invite{Code: c.Code, User: c.User, Expires: c.Expires})
	case store.PutGame:
		pass, clear := password.AsClear(c.Secret)
		g := &outgoingGame{Game: Game{Name: c.Name, Password: pass, Kind: c.Kind, Creator: c.Creator}, secret: c.Secret != "" && !clear}
		o.games[c.Number] = g
		o.order = append(o.order, g)
	case store.Append: // a game's journal comes before its save
		if g := o.games[c.Game]; g != nil {
			g.entry = c.Last
		}
	case store.PutSave:
		if g := o.games[c.Game]; g != nil {
			g.Data, g.Version = c.Data, c.Version
			g.behind, g.room = g.entry > c.Entry, len(c.Room) > 0
		}
	case store.PutSession:
		o.sessions.add(c.User)
	}
}

// names are some names, for people.
type names struct {
	first []string
	n     int
}

func (l *names) add(name string) {
	if l.n++; len(l.first) < 10 {
		l.first = append(l.first, strconv.Quote(name))
	}
}

func (l names) String() string {
	text := strings.Join(l.first, ", ")
	if more := l.n - len(l.first); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
