package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"

	"parlor/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrations are the steps that lead from an empty schema to today's, in order. A step that was released is never changed.
func migrations() []string {
	names, err := fs.Glob(embedded, "migrations/*.sql") // in the order of their names
	if err != nil {
		panic(err)
	}
	var steps []string
	for _, name := range names {
		text, err := embedded.ReadFile(name)
		if err != nil {
			panic(err)
		}
		steps = append(steps, string(text))
	}
	return steps
}

// migrate makes the steps that are not made yet, each in a transaction, on the connection that holds the lease's lock: no
// two servers do so at once, and a connection that breaks takes its step back before the lock is free.
func migrate(ctx context.Context, conn *pgx.Conn, schema string, steps []string) error {
	made, there, err := madeSteps(ctx, conn, schema, steps)
	if err != nil {
		return err
	}
	if !there {
		if err := prepare(ctx, conn, schema); err != nil {
			return err
		}
	}
	for ; made < len(steps); made++ {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			// A server that has lost the lock, but does not know yet, is to write no more before its tables change.
			if made > 0 {
				if _, err := tx.Exec(ctx, endLeases); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(ctx, steps[made]); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "INSERT INTO migrations VALUES ($1, now())", made+1)
			return err
		})
		if err != nil {
			return fmt.Errorf("migration %d: %w", made+1, err)
		}
	}
	return nil
}

// madeSteps is how many of the steps are made; there tells if the table is there that says so. The error is ErrNewer if there are more.
func madeSteps(ctx context.Context, q querier, schema string, steps []string) (made int, there bool, err error) {
	there, err = one(collect(ctx, q, pgx.RowTo[bool], "SELECT to_regclass('migrations') IS NOT NULL"))
	if err != nil || !there {
		return 0, false, err
	}
	made, err = one(collect(ctx, q, pgx.RowTo[int], "SELECT coalesce(max(number), 0) FROM migrations"))
	if made > len(steps) {
		err = fmt.Errorf("%w of this program: it has version %d of the tables in schema %q, and this one knows them up to %d; start the newer program again",
			store.ErrNewer, made, schema, len(steps))
	}
	return made, true, err
}

// check sees to it that the tables are those of this version.
func (s *Store) check(ctx context.Context, steps []string) error {
	made, _, err := madeSteps(ctx, s.readers, s.options.Schema, steps)
	switch {
	case err != nil:
		return err
	case made == 0:
		return fmt.Errorf("there is no store in schema %q: %w", s.options.Schema, store.ErrNotFound)
	case made < len(steps):
		return fmt.Errorf("%w: the tables in schema %q are of an older version: start a server of this version on them first", store.ErrUnavailable, s.options.Schema)
	}
	return nil
}

// prepare makes the schema, with nothing but the table of migrations.
func prepare(ctx context.Context, conn *pgx.Conn, schema string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var there bool
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&there)
		if err != nil {
			return err
		}
		// The right to make schemas is needed only where an administrator has not made this one.
		if !there {
			if _, err := tx.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize()); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, "CREATE TABLE migrations (number int PRIMARY KEY, at timestamptz NOT NULL)")
		return err
	})
}
