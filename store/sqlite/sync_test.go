package sqlite_test

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"parlor/store"
	"parlor/store/sqlite"
)

// badDisk fails to sync the log a number of times, or to read it.
type badDisk struct {
	vfs.VFSFilename
	failures atomic.Int64
	corrupt  atomic.Bool                   // its log is not what was written
	hang     atomic.Pointer[chan struct{}] // syncs of the log wait until it is closed
	hangs    atomic.Int64                  // how many have waited
}

// newBadDisk is one that a store has with these options.
func newBadDisk(t *testing.T, name string) (*badDisk, sqlite.Options) {
	d := &badDisk{VFSFilename: vfs.Find(sqlite.VFSName).(vfs.VFSFilename)}
	vfs.Register(name, d)
	t.Cleanup(func() { vfs.Unregister(name) }) // when the store is closed
	return d, sqlite.Options{}.VFS(name)
}

func (d *badDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := d.VFSFilename.OpenFilename(name, flags)
	if known, ok := f.(sqlite.File); ok && err == nil && flags&vfs.OPEN_WAL != 0 {
		return badFile{known, d}, flags, nil
	}
	return f, flags, err
}

type badFile struct {
	sqlite.File
	disk *badDisk
}

func (f badFile) ReadAt(p []byte, off int64) (int, error) {
	if f.disk.corrupt.Load() {
		return 0, vfs.SystemError(errors.New("a wrong checksum"), sqlite3.IOERR_DATA)
	}
	return f.File.ReadAt(p, off)
}

func (f badFile) Sync(flags vfs.SyncFlag) error {
	if c := f.disk.hang.Load(); c != nil {
		f.disk.hangs.Add(1)
		<-*c
	}
	if f.disk.failures.Add(-1) >= 0 {
		return syscall.EIO
	}
	return f.File.Sync(flags)
}

// TestFailingSync has the log not reach the disk: a commit that was said to have failed is not there, though all of it is in the
// file, also when the server is killed.
func TestFailingSync(t *testing.T) {
	t.Parallel()
	d, opt := newBadDisk(t, "bad-disk")
	dir := t.TempDir()
	s := openWith(t, dir, opt)
	commit(t, s, setting("a"))

	d.failures.Store(3)
	err := s.Commit(t.Context(), setting("b"))
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit: error %v, want ErrUnavailable", err)
	}
	hasSettings(t, s, "a")
	hasSettings(t, open(t, place(t, files(t, dir))), "a")

	const always = 1 << 40
	d.failures.Store(always)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	unknown := make(chan error, 1)
	go func() { unknown <- s.Commit(ctx, setting("c")) }()
	for d.failures.Load() > always-3 {
		time.Sleep(time.Millisecond) // sleep: until it has failed, and was tried again, which tells nobody
	}
	cancel()
	if err := <-unknown; !errors.Is(err, store.ErrUnknown) {
		t.Errorf("commit: error %v, want ErrUnknown", err)
	}
	hasSettings(t, s, "a")
	d.failures.Store(0)
	commit(t, s, setting("d"))
	hasSettings(t, s, "a", "d")
	hasSettings(t, open(t, place(t, files(t, dir))), "a", "d")
}

// TestHangingSync has the disk hang in the midst of a commit: it waits, as does Close; others can read, and give up.
func TestHangingSync(t *testing.T) {
	t.Parallel()
	d, opt := newBadDisk(t, "hanging-disk")
	dir := t.TempDir()
	s := openWith(t, dir, opt)
	commit(t, s, setting("a"))
	gate := make(chan struct{})
	d.hang.Store(&gate)
	ctx, cancel := context.WithCancel(t.Context())
	committed, closed := make(chan error, 1), make(chan error, 1)
	go func() { committed <- s.Commit(ctx, setting("b")) }()
	for d.hangs.Load() == 0 {
		time.Sleep(time.Millisecond) // sleep: until the sync has begun, which tells nobody
	}
	cancel()
	hasSettings(t, s, "a")
	brief, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer end()
	if err := s.Commit(brief, setting("c")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a commit behind it: error %v, want DeadlineExceeded", err)
	}
	for _, err := range s.Export(brief) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an export: error %v, want DeadlineExceeded", err)
		}
	}
	waiting := make(chan error, 1)
	go func() { waiting <- s.Commit(t.Context(), setting("d")) }()
	go func() { closed <- s.Close() }()
	if err := <-waiting; !errors.Is(err, store.ErrClosed) {
		t.Errorf("a commit while the store closes: error %v, want ErrClosed", err)
	}
	if len(committed)+len(closed) > 0 {
		t.Error("the commit, or Close, has not waited")
	}
	d.hang.Store(nil)
	close(gate)
	if err := errors.Join(<-committed, <-closed); err != nil {
		t.Error(err)
	}
	hasSettings(t, open(t, dir), "a", "b")
}

// TestCheckpointFindsDamage: what a checkpoint finds is as what others find: nothing is written from then on.
func TestCheckpointFindsDamage(t *testing.T) {
	t.Parallel()
	d, opt := newBadDisk(t, "bad-log")
	s := openWith(t, t.TempDir(), opt)
	commit(t, s, setting("a"))
	shorten, end, err := s.Checkpointer()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	d.corrupt.Store(true)
	if err := shorten(); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("checkpoint: error %v, want ErrDamaged", err)
	}
	d.corrupt.Store(false)
	if err := s.Commit(t.Context(), setting("b")); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("commit: error %v, want ErrDamaged", err)
	}
}
