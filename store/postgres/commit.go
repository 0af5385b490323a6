package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parlor/store"
)

// attempts is how often a commit is made whose connection broke, and which is not there.
const attempts = 3

// writer is what commits need. Numbers of commits only grow, whatever becomes of them.
type writer struct {
	conn    *pgx.Conn // nil or closed after it was lost
	known   int64     // the number in the lease's row, if unknown is 0
	unknown int64     // the number of a commit that may be there or not; 0 if there is none
	last    int64     // the highest that was given
	fenced  error     // why nothing is written any more
}

// Commit writes changes. It tries again where the connection broke and they are not there.
func (s *Store) Commit(ctx context.Context, changes ...store.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.epoch == 0 {
		return fmt.Errorf("%w: %s was opened for reading", store.ErrReadOnly, s.path)
	}
	calls, err := group(changes)
	if err != nil {
		return err
	}
	ctx, cancel := s.until(ctx)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return s.explain(ctx, ctx.Err())
	}
	if len(calls) == 0 {
		return s.confirm(ctx)
	}
	return s.commit(ctx, calls)
}

// confirm sees to it that no commit is in doubt, and that no other server has the lease.
func (s *Store) confirm(ctx context.Context) error {
	for n := 1; ; n++ {
		if err := s.connect(ctx); err != nil { // which finds out what was in doubt
			return s.explain(ctx, err)
		}
		conn, mine := s.writer.conn, false
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM lease WHERE epoch = $1 AND ended IS NULL)", s.epoch).Scan(&mine)
		if err == nil && !mine {
			err = s.fence(store.ErrFenced)
		}
		if err == nil || !conn.IsClosed() || n == attempts {
			return s.explain(ctx, err)
		}
	}
}

func (s *Store) commit(ctx context.Context, calls []*call) error {
	for n := 1; ; n++ {
		if err := s.connect(ctx); err != nil {
			return s.explain(ctx, err) // nothing was sent
		}
		refused, err := s.transact(ctx, calls)
		if err == nil {
			return nil
		}
		if s.writer.unknown != 0 {
			there, found := s.find(ctx)
			switch {
			case !found:
				return fmt.Errorf("%s: %w: %w", s.path, store.ErrUnknown, cmp.Or(ctx.Err(), err))
			case there:
				return nil
			}
		}
		if refused || n == attempts {
			return s.explain(ctx, err)
		}
	}
}

// transact makes a commit, as one transaction that is sent with its end. The server may refuse it; then nothing of it is there.
// Otherwise an error is that of the connection, which is gone, and the commit's outcome is unknown if it was sent.
func (s *Store) transact(ctx context.Context, calls []*call) (refused bool, err error) {
	w := &s.writer
	w.last++
	// What is sent up to one Sync message is one transaction.
	var batch pgx.Batch
	batch.Queue("SELECT begin_commit($1, $2, $3)", s.epoch, w.known, w.last)
	for _, c := range calls {
		batch.Queue(c.text(), c.columns...)
	}
	err = w.conn.SendBatch(ctx, &batch).Close()
	if err == nil {
		w.known = w.last
		return false, nil
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && !w.conn.IsClosed() {
		if pg.Code == "PL002" {
			s.fence(err)
		}
		return true, err
	}
	discard(w.conn)
	w.conn = nil
	if !pgconn.SafeToRetry(err) {
		w.unknown = w.last
	}
	return false, err
}

// find finds out whether the commit of unknown outcome is there, until ctx ends.
func (s *Store) find(ctx context.Context) (there, found bool) {
	unknown := s.writer.unknown
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		s.connect(ctx) // whatever its error: what counts is what it found out
		if s.writer.unknown == 0 {
			return s.writer.known == unknown, true
		}
		if pause(ctx, wait) != nil {
			return false, false
		}
	}
}

// connect sees to it that there is a connection, and that it is known which commit was the last.
func (s *Store) connect(ctx context.Context) error {
	w := &s.writer
	if w.fenced != nil {
		return w.fenced
	}
	if w.conn != nil && !w.conn.IsClosed() {
		return nil
	}
	// Plans are made once, and by index: the functions look up keys, in tables of which nothing may be known yet.
	conn, err := s.dial(ctx, "writer", "synchronous_commit", "on", "enable_seqscan", "off", "plan_cache_mode", "force_generic_plan")
	if err != nil {
		return err
	}
	if err := s.settle(ctx, conn); err != nil {
		discard(conn)
		return err
	}
	w.conn = conn
	return nil
}

// settle asks the server which commit was the last, and sees to it that none that is still under way is made.
func (s *Store) settle(ctx context.Context, conn *pgx.Conn) error {
	w := &s.writer
	if _, err := conn.Exec(ctx, endGhosts, s.name("writer")); err != nil {
		return err
	}
	w.last++
	var number int64
	var ended bool
	err := conn.QueryRow(ctx, "SELECT number, fenced FROM settle($1, $2, $3, $4)", s.epoch, w.known, w.unknown, w.last).Scan(&number, &ended)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "PL002":
		w.unknown = 0 // it is not there, as not even those before it are
		return s.fence(err)
	case err != nil:
		return err
	}
	w.known, w.unknown = number, 0
	if ended {
		return s.fence(store.ErrFenced)
	}
	return nil
}

// fence ends the writing for good.
func (s *Store) fence(err error) error {
	s.writer.fenced = err
	return err
}
