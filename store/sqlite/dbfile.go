package sqlite

import "github.com/ncruces/go-sqlite3/vfs"

// dbFile is the database as checkpoints write it. SQLite syncs it once, with all of the log written, which takes as long as a disk takes for
// some MiB, and the commits have to wait for that. So it is synced also while they go on.
type dbFile struct {
	file
	written int // bytes since it was synced
}

const syncEvery = 256 << 10 // bytes

func (f *dbFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.file.WriteAt(p, off)
	f.written += n
	if err == nil && f.written >= syncEvery {
		err = f.Sync(vfs.SYNC_NORMAL | vfs.SYNC_DATAONLY)
	}
	return n, err
}

func (f *dbFile) Sync(flags vfs.SyncFlag) error {
	err := f.file.Sync(flags)
	if err == nil {
		f.written = 0
	}
	return err
}
