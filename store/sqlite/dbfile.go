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

// A commit takes room for the pages that it adds to the database when it is written to the log, so much at once where there is that much. So
// a checkpoint needs none: it can always write the log into the database, which then begins anew, and a store whose disk is full goes on as
// soon as what is to be written has room.
const reserveStep = 256 << 10 // bytes

// reserve has a database be as large as its pages. Where a system cannot do so, a checkpoint may find no room.
func reserve(db vfs.File, pages int64) error {
	need := pages * pageSize
	size, err := db.Size()
	if err != nil || size >= need {
		return err
	}
	if err = db.Truncate((need + reserveStep - 1) / reserveStep * reserveStep); noRoom(err) {
		err = db.Truncate(need)
	}
	if noRoom(err) {
		return coded(err)
	}
	return nil
}

// Truncate makes the file larger for reserve: SQLite's checksums around it pass on nothing else. What SQLite asks for is to make it smaller,
// which at the end of a checkpoint would take away what a commit has just reserved.
func (f *dbFile) Truncate(size int64) error {
	now, err := f.Size()
	switch {
	case err != nil || size == now:
		return err
	case size > now:
		return f.SizeHint(size)
	case f.LockState() != vfs.LOCK_EXCLUSIVE:
		return nil
	}
	return f.file.Truncate(size)
}
