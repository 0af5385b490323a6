package store

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"sync"
)

// Memory is a store that ends with the process: for tests, and for games on one machine. Its zero value is ready. It may be
// handed from one server to the next, also after Close, which does nothing.
type Memory struct {
	// Keep, if not nil, is given everything that is stored when changes were made, before Commit returns: an error takes them back,
	// and is what Commit returns. It must not change with commits under way.
	Keep func(ctx context.Context, all []Change) error

	mu sync.Mutex // guards the fields below; what they hold is replaced, and never changed

	users    map[string]User
	numbers  map[int64]string // users by number
	folded   map[string]int   // users by what their names are folded to
	lastUser int64
	invites  map[string]numbered[Invite]
	invited  int64 // invites so far
	settings map[string]string
	games    map[int64]Game
	names    map[string]int64 // games by name
	saves    map[int64]Save
	journals map[int64][]Piece
	sessions map[string]Session

	undo []func() // of the commit under way
}

// numbered is something that has a place in an order.
type numbered[T any] struct {
	number int64
	value  T
}

var _ Store = (*Memory)(nil)

// Commit makes the changes. The only errors are ErrConflict, that of ctx, and that of Keep.
func (m *Memory) Commit(ctx context.Context, changes ...Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() { m.undo = nil }()
	err := m.applyAll(changes)
	if err == nil && m.Keep != nil && len(changes) > 0 {
		err = m.Keep(ctx, m.export())
	}
	if err != nil {
		for _, undo := range slices.Backward(m.undo) {
			undo()
		}
	}
	return err
}

func (m *Memory) applyAll(changes []Change) error {
	for _, c := range changes {
		if err := m.apply(c); err != nil {
			return err
		}
	}
	return nil
}

// put sets a key of a map, until it is undone.
func put[K comparable, V any](m *Memory, all *map[K]V, k K, v V) {
	remember(m, *all, k)
	if *all == nil {
		*all = make(map[K]V)
		first := *all
		m.undo[len(m.undo)-1] = func() { delete(first, k) }
	}
	(*all)[k] = v
}

// remove deletes a key of a map, until it is undone.
func remove[K comparable, V any](m *Memory, all map[K]V, k K) {
	remember(m, all, k)
	delete(all, k)
}

// remember notes what a map has under a key.
func remember[K comparable, V any](m *Memory, all map[K]V, k K) {
	before, had := all[k]
	m.undo = append(m.undo, func() {
		if had {
			all[k] = before
		} else {
			delete(all, k)
		}
	})
}

func (m *Memory) apply(c Change) error {
	switch c := c.(type) {
	case PutUser:
		return m.putUser(User(c))
	case DeleteUser:
		m.deleteUser(c.Name)
	case PutInvite:
		at, there := m.invites[c.Code]
		if !there {
			m.invited++
			at.number = m.invited
		}
		put(m, &m.invites, c.Code, numbered[Invite]{at.number, Invite(c)})
	case DeleteInvite:
		remove(m, m.invites, c.Code)
	case PutSetting:
		if c.Value == "" {
			remove(m, m.settings, c.Name)
		} else {
			put(m, &m.settings, c.Name, c.Value)
		}
	case PutGame:
		return m.putGame(Game(c))
	case DeleteGame:
		m.deleteGame(c.Number)
	case PutSave:
		return m.putSave(c)
	case Append:
		return m.append(Piece(c))
	case PutSession:
		if _, there := m.games[c.Game]; !there {
			return fmt.Errorf("%w: a session in game %d, which is not there", ErrConflict, c.Game)
		}
		put(m, &m.sessions, c.ID, Session(c).clone())
	case DeleteSession:
		remove(m, m.sessions, c.ID)
	default:
		return fmt.Errorf("%w: no such change as %T", ErrConflict, c)
	}
	return nil
}

func (m *Memory) putUser(u User) error {
	old, there := m.users[u.Name]
	if u.Number == 0 {
		u.Number = old.Number
	}
	if u.Number == 0 {
		u.Number = m.lastUser + 1
	}
	if other, taken := m.numbers[u.Number]; taken && other != u.Name {
		return fmt.Errorf("%w: user %q has the number %d", ErrConflict, other, u.Number)
	}
	if there {
		m.deleteUser(u.Name)
	}
	last := m.lastUser
	m.undo = append(m.undo, func() { m.lastUser = last })
	m.lastUser = max(last, u.Number)
	put(m, &m.users, u.Name, u)
	put(m, &m.numbers, u.Number, u.Name)
	put(m, &m.folded, u.Folded, m.folded[u.Folded]+1)
	return nil
}

func (m *Memory) deleteUser(name string) {
	u, there := m.users[name]
	if !there {
		return
	}
	remove(m, m.users, name)
	remove(m, m.numbers, u.Number)
	if n := m.folded[u.Folded]; n > 1 {
		put(m, &m.folded, u.Folded, n-1)
	} else {
		remove(m, m.folded, u.Folded)
	}
}

func (m *Memory) putGame(g Game) error {
	if other, taken := m.names[g.Name]; taken && other != g.Number {
		return fmt.Errorf("%w: game %d has the name %q", ErrConflict, other, g.Name)
	}
	if old, there := m.games[g.Number]; there {
		remove(m, m.names, old.Name)
	}
	g.Saved = 0 // it is told by the save
	put(m, &m.games, g.Number, g)
	put(m, &m.names, g.Name, g.Number)
	return nil
}

func (m *Memory) deleteGame(number int64) {
	g, there := m.games[number]
	if !there {
		return
	}
	remove(m, m.games, number)
	remove(m, m.names, g.Name)
	remove(m, m.saves, number)
	remove(m, m.journals, number)
	for id, s := range m.sessions {
		if s.Game == number {
			remove(m, m.sessions, id)
		}
	}
}

func (m *Memory) putSave(c PutSave) error {
	first, last := m.savable(c.Game)
	switch _, there := m.games[c.Game]; {
	case !there:
		return fmt.Errorf("%w: a save of game %d, which is not there", ErrConflict, c.Game)
	case c.Entry < first || c.Entry > last:
		return fmt.Errorf("%w: a save of game %d with entry %d, not one from %d to %d", ErrConflict, c.Game, c.Entry, first, last)
	}
	put(m, &m.saves, c.Game, c.Save.clone())
	if pieces := m.journals[c.Game]; !c.KeepJournal {
		i := 0
		for i < len(pieces) && pieces[i].Last <= c.Entry {
			i++
		}
		put(m, &m.journals, c.Game, slices.Clone(pieces[i:]))
	}
	return nil
}

// savable are the entries of a game up to which a save can be: from that of the one before to the last of the journal. A new game
// may have any.
func (m *Memory) savable(game int64) (first, last uint64) {
	save, saved := m.saves[game]
	pieces := m.journals[game]
	switch {
	case len(pieces) > 0:
		return save.Entry, max(save.Entry, pieces[len(pieces)-1].Last)
	case saved:
		return save.Entry, save.Entry
	}
	return 0, math.MaxUint64
}

func (m *Memory) append(p Piece) error {
	pieces := m.journals[p.Game]
	save, saved := m.saves[p.Game]
	last := save.Entry
	if n := len(pieces); n > 0 {
		last = max(last, pieces[n-1].Last)
	} else if !saved {
		last = p.First - 1
	}
	switch _, there := m.games[p.Game]; {
	case !there:
		return fmt.Errorf("%w: the journal of game %d, which is not there", ErrConflict, p.Game)
	case p.First == 0 || p.First != last+1 || p.Last < p.First:
		return fmt.Errorf("%w: entries %d to %d of game %d behind entry %d", ErrConflict, p.First, p.Last, p.Game, last)
	}
	put(m, &m.journals, p.Game, append(pieces, p.clone())) // whoever reads has the pieces before it alone
	return nil
}

// read calls f with the lock held.
func (m *Memory) read(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return f()
}

// User is a user by her name.
func (m *Memory) User(ctx context.Context, name string) (u User, err error) {
	err = m.read(ctx, func() error {
		var there bool
		if u, there = m.users[name]; !there {
			return ErrNotFound
		}
		return nil
	})
	return u, err
}

// Imitated tells whether a user's name is folded to this one.
func (m *Memory) Imitated(ctx context.Context, folded string) (is bool, err error) {
	err = m.read(ctx, func() error { is = m.folded[folded] > 0; return nil })
	return is, err
}

// Users are users behind a number.
func (m *Memory) Users(ctx context.Context, after int64, limit int) (all []User, err error) {
	err = m.read(ctx, func() error {
		for _, u := range m.users {
			if u.Number > after {
				all = append(all, u)
			}
		}
		slices.SortFunc(all, func(a, b User) int { return cmp.Compare(a.Number, b.Number) })
		all = all[:max(0, min(limit, len(all)))]
		return nil
	})
	return all, err
}

// CountUsers is how many there are.
func (m *Memory) CountUsers(ctx context.Context) (n int, err error) {
	err = m.read(ctx, func() error { n = len(m.users); return nil })
	return n, err
}

// Invites are all codes.
func (m *Memory) Invites(ctx context.Context) (all []Invite, err error) {
	err = m.read(ctx, func() error { all = m.allInvites(); return nil })
	return all, err
}

func (m *Memory) allInvites() []Invite {
	list := slices.SortedFunc(maps.Values(m.invites), func(a, b numbered[Invite]) int { return cmp.Compare(a.number, b.number) })
	all := make([]Invite, len(list))
	for i, in := range list {
		all[i] = in.value
	}
	return all
}

// Settings are all settings.
func (m *Memory) Settings(ctx context.Context) (all map[string]string, err error) {
	err = m.read(ctx, func() error {
		all = make(map[string]string, len(m.settings))
		maps.Copy(all, m.settings)
		return nil
	})
	return all, err
}

// Games are all games.
func (m *Memory) Games(ctx context.Context) (all []Game, err error) {
	err = m.read(ctx, func() error { all = m.allGames(); return nil })
	return all, err
}

func (m *Memory) allGames() []Game {
	all := slices.SortedFunc(maps.Values(m.games), func(a, b Game) int { return cmp.Compare(a.Number, b.Number) })
	for i := range all {
		all[i].Saved = len(m.saves[all[i].Number].Data)
	}
	return all
}

// Save is the newest save of a game.
func (m *Memory) Save(ctx context.Context, game int64) (s Save, err error) {
	err = m.read(ctx, func() error {
		var there bool
		if s, there = m.saves[game]; !there {
			return ErrNotFound
		}
		s = s.clone()
		return nil
	})
	return s, err
}

// Journal yields the pieces of a journal.
func (m *Memory) Journal(ctx context.Context, game int64, after uint64) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		var pieces []Piece
		if err := m.read(ctx, func() error { pieces = m.journals[game]; return nil }); err != nil {
			yield(Piece{}, err)
			return
		}
		for _, p := range pieces {
			if p.Last > after && !yield(p.clone(), nil) {
				return
			}
		}
	}
}

// Sessions are all sessions that are stored.
func (m *Memory) Sessions(ctx context.Context) (all []Session, err error) {
	err = m.read(ctx, func() error {
		for _, s := range m.sessions {
			all = append(all, s.clone())
		}
		return nil
	})
	return all, err
}

// Export yields everything.
func (m *Memory) Export(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		var all []Change
		if err := m.read(ctx, func() error { all = m.export(); return nil }); err != nil {
			yield(nil, err)
			return
		}
		for _, c := range all {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (m *Memory) export() (all []Change) {
	for name, value := range m.settings {
		all = append(all, PutSetting{name, value})
	}
	for _, u := range slices.SortedFunc(maps.Values(m.users), func(a, b User) int { return cmp.Compare(a.Number, b.Number) }) {
		all = append(all, PutUser(u))
	}
	for _, in := range m.allInvites() {
		all = append(all, PutInvite(in))
	}
	for _, g := range m.allGames() {
		all = append(all, PutGame(g))
		// The journal first, as what is in the save may be kept all the same.
		for _, p := range m.journals[g.Number] {
			all = append(all, Append(p.clone()))
		}
		if s, there := m.saves[g.Number]; there {
			all = append(all, PutSave{Save: s.clone(), KeepJournal: true})
		}
	}
	for _, s := range m.sessions {
		all = append(all, PutSession(s.clone()))
	}
	return all
}

// Path is "memory".
func (m *Memory) Path() string { return "memory" }

// Close does nothing.
func (m *Memory) Close() error { return nil }

// clone is a copy of what can be changed.
func (s Save) clone() Save {
	s.Room = slices.Clone(s.Room)
	return s
}

func (p Piece) clone() Piece {
	p.Data = slices.Clone(p.Data)
	return p
}

func (s Session) clone() Session {
	s.Tokens = slices.Clone(s.Tokens)
	for i, token := range s.Tokens {
		s.Tokens[i] = slices.Clone(token)
	}
	return s
}
