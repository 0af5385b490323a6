package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parlor/store"
)

// endLeases waits for the commit of who had the store before, and lets it make no other.
const endLeases = "UPDATE lease SET ended = now() WHERE ended IS NULL"

// endGhosts ends connections of this store that the server still has, though we have them no more: it may wait for them
// for hours where the network cut them.
const endGhosts = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()"

const (
	// patience is how long Open waits for a lease: that of a server that was killed goes when the database has seen it.
	patience = time.Second
	// history is how many past leases are kept.
	history = 100
	// lookAfter is how often the keeper asks whether its connection is there.
	lookAfter = 5 * time.Second
)

// lockKey is the number of the advisory lock for the store in a schema. Such locks are of one database.
func lockKey(schema string) int64 {
	h := fnv.New64a()
	h.Write([]byte("parlor store in schema " + schema))
	return int64(h.Sum64())
}

// take takes the lease for a new epoch, and brings the tables up to date in between.
func (s *Store) take(ctx context.Context, conn *pgx.Conn, steps []string) error {
	for end := time.Now().Add(patience); ; {
		var locked bool
		if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockKey(s.options.Schema)).Scan(&locked); err != nil {
			return err
		}
		if locked {
			break
		}
		if time.Now().After(end) {
			return s.inUse(ctx, conn)
		}
		if err := pause(ctx, patience/20); err != nil {
			return err
		}
	}
	if err := migrate(ctx, conn, s.options.Schema, steps); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, endLeases); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `INSERT INTO lease SELECT coalesce(max(epoch), 0) + 1, $1, now(), NULL, 0 FROM lease RETURNING epoch`,
			[]byte(holder())).Scan(&s.epoch)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM lease WHERE epoch < $1", s.epoch-history)
		return err
	})
}

// holder is who others are told that has the store.
func holder() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("process %d on %s", os.Getpid(), cmp.Or(host, "a machine without a name"))
}

// inUse is the error that says who has the store.
func (s *Store) inUse(ctx context.Context, conn *pgx.Conn) error {
	var holder []byte
	var since time.Time
	err := conn.QueryRow(ctx, "SELECT holder, since FROM lease WHERE ended IS NULL ORDER BY epoch DESC LIMIT 1").Scan(&holder, &since)
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s has it since %s", store.ErrInUse, holder, since.UTC().Format(time.DateTime+" MST"))
	case errors.Is(err, pgx.ErrNoRows) || errors.As(err, &pg) && pg.Code == "42P01":
		return fmt.Errorf("%w: that is just opening it", store.ErrInUse)
	}
	return err
}

// keep looks after the connection that holds the lock, and gets another one when it is lost, until Close or until another
// server has the lease.
func (s *Store) keep(conn *pgx.Conn) {
	for conn != nil {
		s.attend(conn)
		if s.ctx.Err() != nil {
			s.giveBack(conn)
			return
		}
		discard(conn)
		conn = s.regain()
	}
}

// attend returns when the connection is lost, or on Close, which leaves it as it is.
func (s *Store) attend(conn *pgx.Conn) {
	for {
		ctx, cancel := context.WithTimeout(s.ctx, lookAfter)
		_, err := conn.WaitForNotification(ctx) // none comes: this notices the end of the connection
		cancel()
		if s.ctx.Err() != nil || conn.IsClosed() || err != nil && ctx.Err() == nil {
			return
		}
		ctx, cancel = context.WithTimeout(context.Background(), lookAfter)
		err = conn.Ping(ctx)
		cancel()
		if err != nil {
			return
		}
	}
}

// giveBack ends the lease, so that the next server need not wait until the database has seen the end of the connection.
func (s *Store) giveBack(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// Errors are those of a connection that is lost, and the lock with it.
	conn.Exec(ctx, "UPDATE lease SET ended = now() WHERE epoch = $1 AND ended IS NULL", s.epoch)
	conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", lockKey(s.options.Schema))
	discard(conn)
}

// regain gets the lock back on a new connection. It returns nil on Close, and when another server has the lease: of that,
// the next commit learns by itself. The first pause leaves a moment for whoever broke the connection so that another
// server can take over.
func (s *Store) regain() *pgx.Conn {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		if pause(s.ctx, wait) != nil {
			return nil
		}
		conn, err := s.dial(s.ctx, "lease")
		if err != nil {
			continue
		}
		var mine, locked bool
		_, err = conn.Exec(s.ctx, endGhosts, s.name("lease"))
		if err == nil {
			err = conn.QueryRow(s.ctx, "SELECT EXISTS (SELECT FROM lease WHERE epoch = $1 AND ended IS NULL), pg_try_advisory_lock($2)",
				s.epoch, lockKey(s.options.Schema)).Scan(&mine, &locked)
		}
		if err == nil && mine && locked {
			return conn
		}
		discard(conn)
		if err == nil && !mine {
			return nil
		}
	}
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
