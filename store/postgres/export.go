package postgres

import (
	"context"
	"errors"
	"iter"
	"math"

	"github.com/jackc/pgx/v5"

	"parlor/store"
)

// errLeft is the end of a loop by its body.
var errLeft = errors.New("the loop was left")

// snapshot calls f with a transaction that sees everything as it is now, on a connection of its own: what f waits for, such
// as the body of a loop that reads from the store, cannot want the same connection.
func (s *Store) snapshot(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := s.until(ctx)
	defer cancel()
	if s.ctx.Err() != nil {
		return store.ErrClosed
	}
	conn, err := s.dial(ctx, "export")
	if err != nil {
		return s.explain(ctx, err)
	}
	defer discard(conn)
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error { return f(ctx, tx) })
	if err == errLeft {
		return err
	}
	return s.explain(ctx, err)
}

// Export yields everything as of the moment at which it begins: it reads in one transaction, in pages.
func (s *Store) Export(ctx context.Context) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		err := s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
			return (&exporter{ctx, tx, yield}).all()
		})
		if err != nil && err != errLeft {
			yield(nil, err)
		}
	}
}

type exporter struct {
	ctx   context.Context
	tx    pgx.Tx
	yield func(store.Change, error) bool
}

// all yields the tables in an order in which they can be committed. The journal of a game comes before its save, as
// what is in the save may have been kept.
func (e *exporter) all() error {
	err := table(e, scanSetting, func(s store.PutSetting) store.Change { return s }, selectSettings)
	if err != nil {
		return err
	}
	err = pages(e, scanUser, func(u store.User) (store.Change, []any) { return store.PutUser(u), []any{u.Number} },
		selectUsers, page, int64(math.MinInt64))
	if err != nil {
		return err
	}
	err = table(e, scanInvite, func(in store.Invite) store.Change { return store.PutInvite(in) }, selectInvites)
	if err != nil {
		return err
	}
	err = table(e, scanGame, func(g store.Game) store.Change { return store.PutGame(g) }, selectGames)
	if err != nil {
		return err
	}
	err = pages(e, scanPiece, func(p store.Piece) (store.Change, []any) { return store.Append(p), []any{p.Game, int64(p.First)} },
		"SELECT game, first, last, data FROM journal WHERE (game, first) > ($1, $2) ORDER BY game, first LIMIT $3", page,
		int64(math.MinInt64), int64(0))
	if err != nil {
		return err
	}
	// Saves may be large.
	err = pages(e, scanSave, func(s store.Save) (store.Change, []any) {
		return store.PutSave{Save: s, KeepJournal: true}, []any{s.Game}
	}, "SELECT game, entry, version, data, room FROM saves WHERE game > $1 ORDER BY game LIMIT $2", 8, int64(math.MinInt64))
	if err != nil {
		return err
	}
	return table(e, scanSession, func(s store.Session) store.Change { return store.PutSession(s) }, selectSessions)
}

// table yields what a query reads.
func table[T any](e *exporter, scan func(pgx.CollectableRow) (T, error), change func(T) store.Change, sql string) error {
	all, err := collect(e.ctx, e.tx, scan, sql)
	if err != nil {
		return err
	}
	for _, v := range all {
		if !e.yield(change(v), nil) {
			return errLeft
		}
	}
	return nil
}

// pages yields what a query reads, so many rows at a time. Its last parameter is the limit; those before it are the key behind which
// it goes on, which change tells of a row.
func pages[T any](e *exporter, scan func(pgx.CollectableRow) (T, error), change func(T) (store.Change, []any), sql string, limit int, from ...any) error {
	for {
		all, err := collect(e.ctx, e.tx, scan, sql, append(from, limit)...)
		if err != nil {
			return err
		}
		for _, v := range all {
			var c store.Change
			if c, from = change(v); !e.yield(c, nil) {
				return errLeft
			}
		}
		if len(all) < limit {
			return nil
		}
	}
}
