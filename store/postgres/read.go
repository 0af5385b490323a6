package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parlor/store"
)

// querier is a connection, a transaction or the pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// The statements that read, also those of Export, for which they are as of one moment.
const (
	selectUsers    = "SELECT number, name, folded, secret FROM users WHERE number > $1 ORDER BY number LIMIT $2"
	selectInvites  = "SELECT code, name, expires, uses FROM invites ORDER BY number"
	selectSettings = "SELECT name, value FROM settings"
	selectGames    = `SELECT g.number, g.name, g.kind, g.secret, g.creator, g.durable, coalesce(octet_length(s.data), 0)
		FROM games g LEFT JOIN saves s ON s.game = g.number ORDER BY g.number`
	selectSave     = "SELECT game, entry, version, data, room FROM saves WHERE game = $1"
	selectSessions = "SELECT id, name, key, game, tokens FROM sessions"
	// The first piece is that which begins last at or before the entry behind $2, as none overlap.
	selectJournal = `SELECT game, first, last, data FROM journal WHERE game = $1 AND last > $2
		AND first >= coalesce((SELECT max(first) FROM journal WHERE game = $1 AND first <= $2), 0) ORDER BY first LIMIT $3`
)

// page is how many rows of a table are asked for at once.
const page = 256

// collect reads all rows of a query.
func collect[T any](ctx context.Context, q querier, scan func(pgx.CollectableRow) (T, error), sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// read reads all rows of a query, from the pool. It asks again when it was given a connection that had ended.
func read[T any](ctx context.Context, s *Store, scan func(pgx.CollectableRow) (T, error), sql string, args ...any) ([]T, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := s.until(ctx)
	defer cancel()
	all, err := collect(ctx, s.readers, scan, sql, args...)
	if err != nil && ctx.Err() == nil && lost(err) {
		s.readers.Reset() // the others will have ended too
		all, err = collect(ctx, s.readers, scan, sql, args...)
	}
	return all, s.explain(ctx, err)
}

// lost tells whether an error is that of a connection.
func lost(err error) bool {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || store.Kind(err) != nil {
		return false // a new one could not be made
	}
	return !errors.As(err, &pg) || class(pg) == "57" || class(pg) == "08"
}

// one is the only row, or ErrNotFound.
func one[T any](all []T, err error) (v T, _ error) {
	if err == nil && len(all) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return v, err
	}
	return all[0], nil
}

// User is a user by her name.
func (s *Store) User(ctx context.Context, name string) (store.User, error) {
	return one(read(ctx, s, scanUser, "SELECT number, name, folded, secret FROM users WHERE name = $1", []byte(name)))
}

// Imitated tells whether a user's name is folded to this one.
func (s *Store) Imitated(ctx context.Context, folded string) (bool, error) {
	return one(read(ctx, s, pgx.RowTo[bool], "SELECT EXISTS (SELECT FROM users WHERE folded = $1)", []byte(folded)))
}

// Users are users behind a number.
func (s *Store) Users(ctx context.Context, after int64, limit int) ([]store.User, error) {
	return read(ctx, s, scanUser, selectUsers, after, max(0, limit))
}

// CountUsers is how many there are. The server counts them: a million takes a tenth of a second.
func (s *Store) CountUsers(ctx context.Context) (int, error) {
	return one(read(ctx, s, pgx.RowTo[int], "SELECT count(*) FROM users"))
}

// Invites are all codes.
func (s *Store) Invites(ctx context.Context) ([]store.Invite, error) {
	return read(ctx, s, scanInvite, selectInvites)
}

// Settings are all settings.
func (s *Store) Settings(ctx context.Context) (map[string]string, error) {
	list, err := read(ctx, s, scanSetting, selectSettings)
	if err != nil {
		return nil, err
	}
	all := make(map[string]string, len(list))
	for _, set := range list {
		all[set.Name] = set.Value
	}
	return all, nil
}

// Games are all games.
func (s *Store) Games(ctx context.Context) ([]store.Game, error) {
	return read(ctx, s, scanGame, selectGames)
}

// Save is the newest save of a game.
func (s *Store) Save(ctx context.Context, game int64) (store.Save, error) {
	return one(read(ctx, s, scanSave, selectSave, game))
}

// Sessions are all sessions that are stored.
func (s *Store) Sessions(ctx context.Context) ([]store.Session, error) {
	return read(ctx, s, scanSession, selectSessions)
}

// Journal yields the pieces of a journal, as of the moment at which it begins. A long one takes a connection of its own.
func (s *Store) Journal(ctx context.Context, game int64, after uint64) iter.Seq2[store.Piece, error] {
	from := int64(min(after, math.MaxInt64))
	return func(yield func(store.Piece, error) bool) {
		short, err := read(ctx, s, scanPiece, selectJournal, game, from, page)
		if err == nil && len(short) == page {
			s.long(ctx, game, from, yield)
			return
		}
		for _, p := range short {
			if !yield(p, nil) {
				return
			}
		}
		if err != nil {
			yield(store.Piece{}, err)
		}
	}
}

// long yields a journal page by page, within one snapshot.
func (s *Store) long(ctx context.Context, game, from int64, yield func(store.Piece, error) bool) {
	err := s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for {
			pieces, err := collect(ctx, tx, scanPiece, selectJournal, game, from, page)
			if err != nil {
				return err
			}
			for _, p := range pieces {
				if !yield(p, nil) {
					return errLeft
				}
				from = int64(p.Last)
			}
			if len(pieces) < page {
				return nil
			}
		}
	})
	if err != nil && err != errLeft {
		yield(store.Piece{}, err)
	}
}

func scanUser(row pgx.CollectableRow) (store.User, error) {
	var number int64
	var name, folded, secret []byte
	err := row.Scan(&number, &name, &folded, &secret)
	return store.User{Number: number, Name: string(name), Folded: string(folded), Secret: string(secret)}, err
}

func scanInvite(row pgx.CollectableRow) (store.Invite, error) {
	var code, user []byte
	var in store.Invite
	err := row.Scan(&code, &user, &in.Expires, &in.Left)
	in.Code, in.User = string(code), string(user)
	return in, err
}

func scanSetting(row pgx.CollectableRow) (store.PutSetting, error) {
	var name, value []byte
	err := row.Scan(&name, &value)
	return store.PutSetting{Name: string(name), Value: string(value)}, err
}

func scanGame(row pgx.CollectableRow) (store.Game, error) {
	var name, kind, secret, creator []byte
	var g store.Game
	err := row.Scan(&g.Number, &name, &kind, &secret, &creator, &g.Durable, &g.Saved)
	g.Name, g.Kind, g.Secret, g.Creator = string(name), string(kind), string(secret), string(creator)
	return g, err
}

func scanSave(row pgx.CollectableRow) (store.Save, error) {
	var data []byte
	var entry int64
	var s store.Save
	err := row.Scan(&s.Game, &entry, &s.Version, &data, &s.Room)
	s.Entry, s.Data = uint64(entry), string(data)
	if len(s.Room) == 0 {
		s.Room = nil
	}
	return s, err
}

func scanPiece(row pgx.CollectableRow) (store.Piece, error) {
	var first, last int64
	var p store.Piece
	err := row.Scan(&p.Game, &first, &last, &p.Data)
	p.First, p.Last = uint64(first), uint64(last)
	if len(p.Data) == 0 {
		p.Data = nil
	}
	return p, err
}

func scanSession(row pgx.CollectableRow) (store.Session, error) {
	var id, user, key, tokens []byte
	var s store.Session
	if err := row.Scan(&id, &user, &key, &s.Game, &tokens); err != nil {
		return s, err
	}
	s.ID, s.User, s.Key = string(id), string(user), string(key)
	var ok bool
	if s.Tokens, ok = store.UnpackTokens(tokens); !ok {
		return s, fmt.Errorf("%w: the tokens of a session are cut off", store.ErrDamaged)
	}
	return s, nil
}
