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
	corrupt  atomic.Bool // its log is not what was written
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
	if f.disk.failures.Add(-1) >= 0 {
		return syscall.EIO
	}
	return f.File.Sync(flags)
}

// TestFailingSync has the log not reach the disk: a commit that was said to have failed is not there, though all of it is in the
// file, also when the server is killed.
func TestFailingSync(t *testing.T) {
	t.Parallel()
	d := &badDisk{VFSFilename: vfs.Find(sqlite.VFSName).(vfs.VFSFilename)}
	vfs.Register("bad disk", d)
	t.Cleanup(func() { vfs.Unregister("bad disk") }) // when the store is closed
	dir := t.TempDir()
	s := openWith(t, dir, sqlite.Options{}.VFS("bad%20disk"))
	commit(t, s, setting("a"))

	d.failures.Store(3)
	err := s.Commit(t.Context(), setting("b"))
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit: error %v, want ErrUnavailable", err)
	}
	hasSettings(t, s, "a")
	hasSettings(t, open(t, place(t, files(t, dir))), "a")

	d.failures.Store(1 << 40)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Commit(ctx, setting("c")); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("commit: error %v, want ErrUnknown", err)
	}
	hasSettings(t, s, "a")
	d.failures.Store(0)
	commit(t, s, setting("d"))
	hasSettings(t, s, "a", "d")
	hasSettings(t, open(t, place(t, files(t, dir))), "a", "d")
}

// TestCheckpointFindsDamage: what a checkpoint finds is as what others find: nothing is written from then on.
func TestCheckpointFindsDamage(t *testing.T) {
	t.Parallel()
	d := &badDisk{VFSFilename: vfs.Find(sqlite.VFSName).(vfs.VFSFilename)}
	vfs.Register("bad log", d)
	t.Cleanup(func() { vfs.Unregister("bad log") }) // when the store is closed
	s := openWith(t, t.TempDir(), sqlite.Options{}.VFS("bad%20log"))
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
