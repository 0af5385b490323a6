// Package sqlite is the store in one folder: a database of SQLite, and what stands beside it. It is the one that a server
// takes by default.
//
// [Open] takes the folder for one server. What [Store.Commit] has answered is on the disk: the log of the database is
// synced at each commit. Each page of the database, and each of its log, has a checksum, so that what is not what was
// written is refused and not taken for something else. The folder must be on a disk of this machine.
package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parlor/internal/folder"
	"parlor/internal/lockfile"
	"parlor/store"
)

// The names of the files in the folder; SQLite's own stand beside the database, with -wal and -shm behind its name.
const (
	fileName = "parlor.db"
	lockName = "parlor.lock"
)

// Files are the paths of the files of the store in a folder, some of which are there only while it is open.
func Files(dir string) []string {
	db := filepath.Join(dir, fileName)
	return []string{db, db + "-wal", db + "-shm", db + "-journal", filepath.Join(dir, lockName)}
}

// Options are for [Open]. The zero value is good.
type Options struct {
	// Logger gets what is for the operator: servers that were taken over, checkpoints that fail. nil is none.
	Logger *slog.Logger

	test testing
}

// testing is what tests set.
type testing struct {
	readers  int           // reads that are under way at once, and streams
	noLock   bool          // as where files have no locks
	lease    time.Duration // for how long the lease is good without being renewed
	checking time.Duration // what Open takes for looking at the pages
	maxLog   int64         // bytes of the log from which readers that hold it up are ended
	pages    int           // of the log from which it is written into the database
	recent   int           // bytes of the table recent from which on pieces are moved
	vfs      string        // SQLite's way to the files
}

func (o Options) withDefaults() Options {
	o.test.readers = cmp.Or(o.test.readers, 4)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.test.lease = cmp.Or(o.test.lease, 10*time.Second)
	o.test.checking = cmp.Or(o.test.checking, 30*time.Millisecond)
	o.test.pages = cmp.Or(o.test.pages, checkpointPages)
	o.test.recent = cmp.Or(o.test.recent, recentBytes)
	o.test.vfs = cmp.Or(o.test.vfs, vfsName)
	o.test.maxLog = cmp.Or(o.test.maxLog, 1<<30)
	return o
}

// Store is a store in a folder.
type Store struct {
	opt  Options
	path string         // of the database
	lock *lockfile.Lock // nil where files have no locks

	readOnly bool // the fields of who writes are not used

	damaged atomic.Pointer[error] // once damage was seen

	// turn has room for whoever uses the fields below.
	turn    chan struct{}
	writer  *conn
	epoch   int64
	number  int64 // of the last commit
	users   int64
	heads   map[int64]head // of the games that were looked up
	recent  recent         // as of the last commit
	notes   []byte         // for the table recent, of the commit under way
	gone    []int64        // games that it deletes
	doubt   bool           // a commit may be in the log that was said to have failed
	logSize int            // pages of the log behind the last commit

	readers *pool

	checkpoints chan struct{} // has room for one note that the log has grown
	end         context.CancelFunc
	ended       context.Context // done when Close begins
	running     sync.WaitGroup  // the checkpointer, the renewer
	closing     sync.Once
	closed      error // of Close
}

var _ store.Store = (*Store)(nil)

// Open opens the store in a folder for this process, and makes both where they are not there, for their owner alone. It takes
// the lease, at once if its holder is dead.
//
// The error is ErrInUse, with who has it and since when, ErrNewer, ErrDamaged, ErrReadOnly, ErrFull or ErrUnavailable. A
// store that was refused is as it was before. Damage in a part of a large database may be found only by what reads it.
func Open(ctx context.Context, dir string, opt Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := newStore(dir, opt)
	if err := s.open(ctx, dir); err != nil {
		if s.lock == nil && errors.Is(err, sqlite3.BUSY) { // where files have no locks, and another server is just making the store
			err = s.inUseBy(held{})
		}
		s.end()
		if s.writer != nil {
			if s.epoch != 0 && s.damaged.Load() == nil {
				_ = s.leave() // if that fails, too, the lease runs out
			}
			s.writer.Close()
		}
		if s.lock != nil {
			s.lock.Close()
		}
		return nil, s.explain(ctx, "open the store", err)
	}
	s.readers = newPool(s)
	s.running.Go(s.checkpoint) // ends when Close begins; Close waits
	if s.lock == nil {
		s.running.Go(s.renew) // likewise
	}
	return s, nil
}

func newStore(dir string, opt Options) *Store {
	s := &Store{
		opt:         opt.withDefaults(),
		path:        filepath.Join(dir, fileName),
		turn:        make(chan struct{}, 1),
		heads:       make(map[int64]head),
		checkpoints: make(chan struct{}, 1),
	}
	s.ended, s.end = context.WithCancel(context.Background())
	return s
}

func (s *Store) open(ctx context.Context, dir string) (err error) {
	if err := folder.Make(dir); err != nil {
		return err
	}
	if s.lock, err = s.acquire(ctx); err != nil {
		return err
	}
	fresh, err := s.look()
	if err != nil {
		return err
	}
	for _, path := range []string{s.path, s.path + "-shm"} {
		if err := s.touch(path); err != nil {
			return err
		}
	}
	if s.writer, err = s.connect(ctx, writerPragmas); err != nil {
		return err
	}
	s.writer.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error { s.logSize = pages; return nil })
	if err := s.recognize(ctx, fresh); err != nil {
		return err
	}
	if err := s.migrate(); err != nil {
		return err
	}
	if err := s.take(); err != nil {
		return err
	}
	// So that what is in it has its name, whatever happens to the machine. Also if all was there: who made it may have been
	// killed before. Its user may pass through, and not look.
	if err := folder.Sync(dir); errors.Is(err, syscall.EIO) {
		return err
	}
	return s.mark() // last: from here on the log is looked for
}

// The cache is in KiB. The checkpointer does what SQLite would do by itself in the midst of a commit, and cuts the log when it has
// grown beyond this many bytes.
const writerPragmas = "PRAGMA synchronous = full; PRAGMA fullfsync = on; PRAGMA checkpoint_fullfsync = on; PRAGMA wal_autocheckpoint = 0; " +
	"PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -32768; PRAGMA temp_store = memory"

// touch makes a file for its owner alone, if it is not there, and sees to it that it can be written. It belongs to whom the database belongs
// to, as far as that may be: root looks at the store of a server that is another user's.
func (s *Store) touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	} else if err == nil {
		keepOwner(f, s.path)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// Whoever only looks at the folder has its lock for less than that.
const lookingTime = 5 * time.Second

// acquire locks the lock file. It waits for those who only look at the folder. It is nil where files have no locks.
func (s *Store) acquire(ctx context.Context) (*lockfile.Lock, error) {
	if s.opt.test.noLock {
		return nil, nil
	}
	if err := s.touch(s.lockPath()); err != nil {
		return nil, fmt.Errorf("make the lock: %w", err)
	}
	for end := time.Now().Add(lookingTime); ; {
		f, err := lockfile.Acquire(s.lockPath())
		if !errors.Is(err, lockfile.ErrLocked) {
			return f, err
		}
		looked, err := lockfile.Share(s.lockPath())
		if err == nil {
			err = looked.Close()
		}
		if err != nil || time.Now().After(end) {
			return nil, s.inUse()
		}
		select {
		case <-time.After(lookingTime / 1000):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Path is that of the database.
func (s *Store) Path() string { return s.path }

// Close waits for the commit and the reads under way, ends the exports, and gives the store back.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Store) close() error {
	s.end()
	s.readers.close()
	s.running.Wait()
	if s.readOnly {
		return nil
	}
	s.turn <- struct{}{}
	var err error
	if s.damaged.Load() == nil {
		if err = s.leave(); errors.Is(err, sqlite3.FULL) {
			if _, _, err = s.writer.WALCheckpoint("main", sqlite3.CHECKPOINT_RESTART); err == nil {
				err = s.leave() // at the beginning of the log, which has the room
			}
		}
	}
	if s.damaged.Load() == nil {
		// The log goes into the database, and away.
		_, failed := s.writer.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, false)
		err = errors.Join(err, failed)
	}
	err = errors.Join(err, s.writer.Close())
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}
