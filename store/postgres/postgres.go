// Package postgres keeps what outlives the process in a PostgreSQL database: the store of several machines, of which one
// has it at a time.
//
//	s, err := postgres.Open(ctx, "postgres://parlor@db.example/parlor", postgres.Options{})
//	...
//	defer s.Close()
//
// The tables are in a schema of their own, which Open makes and migrates, with functions in PL/pgSQL that make the changes. A
// commit is one transaction that goes to the server in one piece, with one call for each kind of change, however many there
// are. All texts are bytea. It needs PostgreSQL 12 or newer, and is tested with 15; a pooler between must keep
// sessions.
//
// # The lease
//
// Who has the store holds an advisory lock of the server, on a connection that is there for nothing else: so the lock is gone with the
// process, or 25 s after its machine vanished. Where the connection is lost, the store gets another one, and the lock back,
// if nobody was faster. The table lease has a row for each holder, with its epoch and the number of its last commit.
// Each commit raises that number from the one it knows, if nobody has ended its lease: so one that was overtaken writes nothing more.
//
// # Unknown outcomes
//
// A connection that breaks during a commit leaves it open whether that is there. The store then connects again, until the context ends, and looks at
// the number. It is locked while the commit of the broken connection is under way, which is ended if it does not end by itself.
// If it is not there it is made again.
package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"parlor/store"
)

// Options are how to open a store. The zero value is ready.
type Options struct {
	// Schema is where the tables are; "parlor" if it is empty. Each is a store of its own.
	Schema string
}

func (o Options) withDefaults() Options {
	o.Schema = cmp.Or(o.Schema, "parlor")
	return o
}

func (o Options) check() error {
	if len(o.Schema) > 63 {
		return fmt.Errorf("the schema's name %q is longer than PostgreSQL's 63 bytes", o.Schema)
	}
	return nil
}

// maxReads is how many reads there are at once; others wait. A commit has another connection, as has the lease, each export, and each
// journal that is read and is a long one.
const maxReads = 8

// grace is how long Close waits for a commit under way before it cuts it off.
const grace = 5 * time.Second

// Store is a store in PostgreSQL. See [store.Store].
type Store struct {
	place
	options Options
	id      string // of this opening: in the names of its connections
	epoch   int64  // of its lease; 0 if it was opened for reading
	readers *pgxpool.Pool

	ctx  context.Context // until Close
	end  context.CancelFunc
	wg   sync.WaitGroup // the keeper of the lease
	once sync.Once      // Close

	turn   chan struct{} // has one element while somebody writes, who has the field below
	writer writer
}

var _ store.Store = (*Store)(nil)

// Open opens the store at a URL of libpq's form, postgres://user:password@host:port/database?options, and takes the lease. A password may
// also be in PGPASSWORD or ~/.pgpass. It makes the tables where there are none, for which the user needs the right to create
// a schema, and those of older versions what they are today. Beside what all methods say, errors are ErrInUse,
// with the holder, if another server has it a second later still, and ErrNewer.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	return open(ctx, url, o, migrations())
}

// OpenReadOnly opens the store for reading, also while a server has it: it takes no lease and changes nothing; Commit is
// ErrReadOnly. Errors are those of [Open], but for ErrInUse. Where there is no store it is ErrNotFound.
func OpenReadOnly(ctx context.Context, url string, o Options) (*Store, error) {
	return opened(ctx, url, o, func(s *Store) error { return s.check(ctx, migrations()) })
}

func open(ctx context.Context, url string, o Options, steps []string) (*Store, error) {
	return opened(ctx, url, o, func(s *Store) error { return s.start(ctx, steps) })
}

// opened makes a store, and starts it.
func opened(ctx context.Context, url string, o Options, start func(*Store) error) (*Store, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	at, err := parse(url, o.Schema)
	if err != nil {
		return nil, err
	}
	id := make([]byte, 4)
	rand.Read(id)
	s := &Store{place: at, options: o, id: hex.EncodeToString(id), turn: make(chan struct{}, 1)}
	s.ctx, s.end = context.WithCancel(context.Background())
	err = s.makeReaders(ctx)
	if err == nil {
		err = start(s)
	}
	if err != nil {
		err = s.explain(ctx, err)
		s.Close()
		return nil, err
	}
	return s, nil
}

// makeReaders makes the pool of those who read, which does not connect yet.
func (s *Store) makeReaders(ctx context.Context) (err error) {
	config := s.place.pool.Copy()
	// Plans are made anew, by what is in the tables: one of an early moment would be kept for long.
	config.ConnConfig = s.with(s.name("reader"), "plan_cache_mode", "force_custom_plan")
	config.MaxConns = maxReads
	config.MinConns, config.MinIdleConns = 0, 0
	s.readers, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	return err
}

// start takes the lease, and connects.
func (s *Store) start(ctx context.Context, steps []string) error {
	lock, err := s.dial(ctx, "lease")
	if err != nil {
		return err
	}
	if err := s.take(ctx, lock, steps); err != nil {
		discard(lock)
		return err
	}
	s.wg.Go(func() { s.keep(lock) }) // ends with Close
	return s.connect(ctx)
}

// name is what the server's administrator sees of a connection.
func (s *Store) name(what string) string { return "parlor " + s.id + " " + what }

// dial makes a connection.
func (s *Store) dial(ctx context.Context, what string, params ...string) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, s.with(s.name(what), params...))
}

// discard closes a connection, in whatever state it is. pgx ends what runs there, for which it has 15 s where the network
// is silent.
func discard(conn *pgx.Conn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx)
	select {
	case <-conn.PgConn().CleanupDone():
	case <-ctx.Done():
		conn.PgConn().Conn().Close()
	}
}

// until is ctx that also ends with Close.
func (s *Store) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	if s.ctx.Err() != nil { // the function is called a moment later
		cancel()
	}
	return ctx, func() { stop(); cancel() }
}

// Path is the URL without the password.
func (s *Store) Path() string { return s.path }

// Close waits 5 s at most for a commit under way, ends what is read, and gives the lease back. It may be called within a loop over
// a journal or an export: it does not wait for these, which get store.ErrClosed when they read on.
func (s *Store) Close() error {
	s.once.Do(func() {
		timer := time.AfterFunc(grace, s.end)
		s.turn <- struct{}{}
		timer.Stop()
		s.end()
		<-s.turn
		discard(s.writer.conn)
		s.writer.conn = nil
		if s.readers != nil {
			s.readers.Close()
		}
		s.wg.Wait()
	})
	return nil
}
