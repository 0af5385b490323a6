package sqlite

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"parlor/store"
)

// User is a user by her name.
func (s *Store) User(ctx context.Context, name string) (u store.User, err error) {
	err = s.read(ctx, "read a user", func(c *conn) error {
		there := false
		err := c.run("SELECT number, name, folded, secret FROM users WHERE name = ?", func(r *sqlite3.Stmt) error {
			u, there = user(r), true
			return nil
		}, name)
		if err == nil && !there {
			err = store.ErrNotFound
		}
		return err
	})
	return u, err
}

func user(r *sqlite3.Stmt) store.User {
	return store.User{Number: r.ColumnInt64(0), Name: text(r, 1), Folded: text(r, 2), Secret: text(r, 3)}
}

// Imitated tells whether a user's name is folded to this one.
func (s *Store) Imitated(ctx context.Context, folded string) (is bool, err error) {
	err = s.read(ctx, "read names", func(c *conn) (err error) {
		_, is, err = c.number("SELECT 1 FROM users WHERE folded = ? LIMIT 1", folded)
		return err
	})
	return is, err
}

// Users are users behind a number.
func (s *Store) Users(ctx context.Context, after int64, limit int) (all []store.User, err error) {
	err = s.read(ctx, "read users", func(c *conn) (err error) {
		all, err = users(c, after, limit)
		return err
	})
	return all, err
}

func users(c *conn, after int64, limit int) (all []store.User, err error) {
	err = c.run("SELECT number, name, folded, secret FROM users WHERE number > ? ORDER BY number LIMIT ?", func(r *sqlite3.Stmt) error {
		all = append(all, user(r))
		return nil
	}, after, int64(max(0, limit)))
	return all, err
}

// CountUsers is how many there are; it takes no longer for many.
func (s *Store) CountUsers(ctx context.Context) (n int, err error) {
	err = s.read(ctx, "count users", func(c *conn) error {
		count, _, err := c.number("SELECT users FROM lease")
		n = int(count)
		return err
	})
	return n, err
}

// Invites are all codes.
func (s *Store) Invites(ctx context.Context) (all []store.Invite, err error) {
	err = s.read(ctx, "read invites", func(c *conn) (err error) {
		all, _, err = invites(c, math.MinInt64, math.MaxInt64)
		return err
	})
	return all, err
}

// invites are so many behind a number, with the number of the last.
func invites(c *conn, after, limit int64) (all []store.Invite, last int64, err error) {
	err = c.run("SELECT number, code, user, expires, uses FROM invites WHERE number > ? ORDER BY number LIMIT ?", func(r *sqlite3.Stmt) error {
		last = r.ColumnInt64(0)
		all = append(all, store.Invite{Code: text(r, 1), User: text(r, 2), Expires: r.ColumnInt64(3), Left: r.ColumnInt(4)})
		return nil
	}, after, limit)
	return all, last, err
}

// Settings are all settings.
func (s *Store) Settings(ctx context.Context) (all map[string]string, err error) {
	err = s.read(ctx, "read settings", func(c *conn) (err error) {
		all, err = settings(c)
		return err
	})
	return all, err
}

func settings(c *conn) (map[string]string, error) {
	all := make(map[string]string)
	err := c.run("SELECT name, value FROM settings", func(r *sqlite3.Stmt) error {
		all[text(r, 0)] = text(r, 1)
		return nil
	})
	return all, err
}

// Games are all games.
func (s *Store) Games(ctx context.Context) (all []store.Game, err error) {
	err = s.read(ctx, "read games", func(c *conn) (err error) {
		all, err = games(c, math.MinInt64, math.MaxInt64)
		return err
	})
	return all, err
}

// games are so many from a number on. The length of a save is in its row's header: the save itself is not read.
func games(c *conn, from, limit int64) (all []store.Game, err error) {
	err = c.run("SELECT number, name, kind, secret, creator, durable, ifnull(length(data), 0) FROM games LEFT JOIN saves ON game = number "+
		"WHERE number >= ? ORDER BY number LIMIT ?", func(r *sqlite3.Stmt) error {
		all = append(all, store.Game{Number: r.ColumnInt64(0), Name: text(r, 1), Kind: text(r, 2), Secret: text(r, 3), Creator: text(r, 4),
			Durable: r.ColumnBool(5), Saved: r.ColumnInt(6)})
		return nil
	}, from, limit)
	return all, err
}

// Save is the newest save of a game.
func (s *Store) Save(ctx context.Context, game int64) (v store.Save, err error) {
	err = s.read(ctx, "read a save", func(c *conn) error {
		var there bool
		if v, there, err = save(c, game); err == nil && !there {
			err = store.ErrNotFound
		}
		return err
	})
	return v, err
}

func save(c *conn, game int64) (v store.Save, there bool, err error) {
	err = c.run("SELECT entry, version, room, data FROM saves WHERE game = ?", func(r *sqlite3.Stmt) error {
		v = store.Save{Game: game, Entry: uint64(r.ColumnInt64(0)), Version: r.ColumnInt(1), Room: blob(r, 2), Data: text(r, 3)}
		there = true
		return nil
	}, game)
	return v, there, err
}

// Sessions are all sessions that are stored.
func (s *Store) Sessions(ctx context.Context) (all []store.Session, err error) {
	err = s.read(ctx, "read sessions", func(c *conn) (err error) {
		all, err = sessions(c, "", 0, math.MaxInt64)
		return err
	})
	return all, err
}

// sessions are so many in the order of their names, without the first ones from a name on.
func sessions(c *conn, from string, skip, limit int64) (all []store.Session, err error) {
	err = c.run("SELECT id, user, key, game, tokens FROM sessions WHERE id >= ? ORDER BY id LIMIT ? OFFSET ?", func(r *sqlite3.Stmt) error {
		tokens, ok := store.UnpackTokens(r.ColumnRawBlob(4))
		if !ok {
			return fmt.Errorf("%w: a session's tokens", sqlite3.CORRUPT)
		}
		all = append(all, store.Session{ID: text(r, 0), User: text(r, 1), Key: text(r, 2), Game: r.ColumnInt64(3), Tokens: tokens})
		return nil
	}, from, limit, skip)
	return all, err
}

// What is read at once of a stream: rows, and bytes from which on no more are.
const (
	pageRows  = 256
	pageBytes = 1 << 20
)

// pieces are some behind an entry of what is in the table journal, in their order; more tells that there may be others.
func pieces(c *conn, game int64, after uint64) (all []store.Piece, more bool, err error) {
	bytes := 0
	err = c.run("SELECT last, before, data FROM journal WHERE game = ? AND last > ? ORDER BY last", func(r *sqlite3.Stmt) error {
		data := blob(r, 2)
		run, err := readRun(game, uint64(r.ColumnInt64(0)), uint64(r.ColumnInt64(1)), data)
		if err != nil {
			return err
		}
		all = append(all, behind(run, after)...)
		if bytes += len(data); bytes >= pageBytes {
			return errPage
		}
		return nil
	}, game, int64(min(after, math.MaxInt64)))
	if err == errPage {
		return all, true, nil
	}
	return all, false, err
}

// behind are the pieces that have an entry behind one.
func behind(all []store.Piece, after uint64) []store.Piece {
	n := 0
	for n < len(all) && all[n].Last <= after {
		n++
	}
	return all[n:]
}

// Journal yields the pieces of a journal as of one moment.
func (s *Store) Journal(ctx context.Context, game int64, after uint64) iter.Seq2[store.Piece, error] {
	return func(yield func(store.Piece, error) bool) {
		var tail []piece
		moment := func(r *recent) { tail = r.games[game] }
		err := s.stream(ctx, "read a journal", moment, func(t *stream) error {
			// The loop may take its time with what is read.
			return t.journal(game, after, tail, t.end, func(p store.Piece) bool { return yield(p, nil) })
		})
		if err != nil {
			yield(store.Piece{}, err)
		}
	}
}

// journal yields the pieces behind an entry: what is in the table journal, and then its tail, that was in the table recent. It calls read when
// it needs the database no more.
func (t *stream) journal(game int64, after uint64, tail []piece, read func(), yield func(store.Piece) bool) error {
	for more := true; more; {
		var all []store.Piece
		if err := t.page(func(c *conn) (err error) { all, more, err = pieces(c, game, after); return err }); err != nil {
			return err
		}
		if !more {
			read()
		}
		for _, p := range all {
			if !yield(p) {
				return errLeft
			}
			after = p.Last
		}
	}
	for _, p := range tail {
		if p.Last <= after {
			continue
		}
		own := p.Piece
		own.Data = slices.Clone(own.Data)
		if !yield(own) {
			return errLeft
		}
	}
	return nil
}
