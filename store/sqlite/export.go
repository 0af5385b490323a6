package sqlite

import (
	"context"
	"iter"
	"maps"
	"math"

	"parlor/store"
)

// Export yields everything as of one moment. It holds little of it in memory at once. While it goes on, the log of the database
// grows with what is committed; a loop that lets it grow to 1 GiB gets ErrUnavailable.
func (s *Store) Export(ctx context.Context) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		var tails map[int64][]piece
		moment := func(r *recent) { tails = maps.Clone(r.games) }
		err := s.stream(ctx, "export", moment, func(t *stream) error { return export{t, tails, yield}.all() })
		if err != nil {
			yield(nil, err)
		}
	}
}

type export struct {
	*stream
	tails map[int64][]piece // of the journals
	yield func(store.Change, error) bool
}

func (e export) all() error {
	for _, part := range []func() error{e.settings, e.users, e.invites, e.games, e.sessions} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// emit yields changes.
func emit[T any](e export, all []T, change func(T) store.Change) error {
	for _, v := range all {
		if !e.yield(change(v), nil) {
			return errLeft
		}
	}
	return nil
}

func (e export) settings() error {
	var all map[string]string
	if err := e.page(func(c *conn) (err error) { all, err = settings(c); return err }); err != nil {
		return err
	}
	for name, value := range all {
		if !e.yield(store.PutSetting{Name: name, Value: value}, nil) {
			return errLeft
		}
	}
	return nil
}

func (e export) users() error {
	for after := int64(math.MinInt64); ; {
		var all []store.User
		if err := e.page(func(c *conn) (err error) { all, err = users(c, after, pageRows); return err }); err != nil || len(all) == 0 {
			return err
		}
		after = all[len(all)-1].Number
		if err := emit(e, all, func(u store.User) store.Change { return store.PutUser(u) }); err != nil {
			return err
		}
	}
}

func (e export) invites() error {
	for after := int64(math.MinInt64); ; {
		var all []store.Invite
		if err := e.page(func(c *conn) (err error) { all, after, err = invites(c, after, pageRows); return err }); err != nil || len(all) == 0 {
			return err
		}
		if err := emit(e, all, func(in store.Invite) store.Change { return store.PutInvite(in) }); err != nil {
			return err
		}
	}
}

func (e export) games() error {
	for from := int64(math.MinInt64); ; {
		var all []store.Game
		if err := e.page(func(c *conn) (err error) { all, err = games(c, from, pageRows); return err }); err != nil || len(all) == 0 {
			return err
		}
		for _, g := range all {
			if err := e.game(g); err != nil {
				return err
			}
		}
		last := all[len(all)-1].Number
		if last == math.MaxInt64 {
			return nil
		}
		from = last + 1
	}
}

// game yields a game, its journal and then its save, as what is in the save may be kept all the same.
func (e export) game(g store.Game) error {
	if !e.yield(store.PutGame(g), nil) {
		return errLeft
	}
	emit := func(p store.Piece) bool { return e.yield(store.Append(p), nil) }
	if err := e.journal(g.Number, 0, e.tails[g.Number], func() {}, emit); err != nil {
		return err
	}
	var v store.Save
	var there bool
	if err := e.page(func(c *conn) (err error) { v, there, err = save(c, g.Number); return err }); err != nil {
		return err
	}
	if there && !e.yield(store.PutSave{Save: v, KeepJournal: true}, nil) {
		return errLeft
	}
	return nil
}

func (e export) sessions() error {
	from, skip := "", int64(0)
	for {
		var all []store.Session
		if err := e.page(func(c *conn) (err error) { all, err = sessions(c, from, skip, pageRows); return err }); err != nil || len(all) == 0 {
			return err
		}
		from, skip = all[len(all)-1].ID, 1
		if err := emit(e, all, func(v store.Session) store.Change { return store.PutSession(v) }); err != nil {
			return err
		}
	}
}
