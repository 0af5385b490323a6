package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parlor/store"
)

// kinds are what the server's errors are to callers, by SQLSTATE, or by the class that is its first two characters.
// Others are faults of this package, and none of the kinds.
var kinds = map[string]error{
	"PL001": store.ErrConflict, // raised by the functions of migrations/
	"PL002": store.ErrFenced,

	"08":    store.ErrUnavailable, // connection exceptions
	"28":    store.ErrUnavailable, // who we are is not taken: may be mended there
	"3D000": store.ErrUnavailable, // no such database
	"53":    store.ErrUnavailable, // too many connections, no memory
	"57":    store.ErrUnavailable, // shut down, crashed, starting, cancelled
	"58030": store.ErrUnavailable, // an error of its disk

	"53100": store.ErrFull,
	"25006": store.ErrReadOnly, // a standby, or told to be
	"42501": store.ErrReadOnly, // rights, of the user or, as it says it the same way, of a file

	"3F000": store.ErrDamaged, // no such schema, table, column or function
	"42P01": store.ErrDamaged,
	"42703": store.ErrDamaged,
	"42883": store.ErrDamaged,
	"58P01": store.ErrDamaged, // a file is gone
	"XX001": store.ErrDamaged, // data, or an index
	"XX002": store.ErrDamaged,
}

// explain makes an error of this package of one of pgx, with what callers branch on.
func (s *Store) explain(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	switch kind := error(nil); {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return store.ErrNotFound
	case s.ctx.Err() != nil:
		return store.ErrClosed
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", s.path, ctx.Err())
	case errors.As(err, &pg):
		if kind = kinds[pg.Code]; kind == nil {
			kind = kinds[class(pg)]
		}
		switch {
		case kind == store.ErrConflict:
			return fmt.Errorf("%w: %s", kind, pg.Message)
		case pg.Code == "3D000":
			return fmt.Errorf("%s: %w: %w; make the database with createdb, or name another", s.path, kind, err)
		case kind != nil:
			return fmt.Errorf("%s: %w: %w", s.path, kind, err)
		}
		return fmt.Errorf("%s: %w", s.path, err)
	case store.Kind(err) != nil:
		return fmt.Errorf("%s: %w", s.path, err)
	}
	// Everything else is of the network.
	return fmt.Errorf("%s: %w: %w", s.path, store.ErrUnavailable, err)
}

// class is the first two characters of the SQLSTATE.
func class(err *pgconn.PgError) string { return err.Code[:min(2, len(err.Code))] }
