package sqlite

import (
	"context"
	"errors"
	"time"

	"parlor/store"
)

// Readers has so many reads under way at once, and as many exports and journals.
func (o Options) Readers(n int) Options {
	o.test.readers = n
	return o
}

// NoLock makes it as where files have no locks, with a lease that is good for so long.
func (o Options) NoLock(lease time.Duration) Options {
	o.test.noLock, o.test.lease = true, lease
	return o
}

// Checking has Open take so long for looking at the pages.
func (o Options) Checking(d time.Duration) Options {
	o.test.checking = d
	return o
}

// Log has the log written into the database from some pages on, and streams ended from some bytes on.
func (o Options) Log(pages int, bytes int64) Options {
	o.test.pages, o.test.maxLog = pages, bytes
	return o
}

// Recent has pieces moved from the table recent to the table journal from so many bytes on.
func (o Options) Recent(bytes int) Options {
	o.test.recent = bytes
	return o
}

// VFS sets SQLite's way to the files.
func (o Options) VFS(name string) Options {
	o.test.vfs = name
	return o
}

// VFSName is the way to the files that a store takes by itself, whose files are of the type File.
const VFSName = vfsName

type File = mappedFile

var (
	AppendPiece = appendPiece
	AppendDrop  = appendDrop
)

// Notes are those of a row of the table recent.
func Notes(b []byte) (all []store.Piece, err error) {
	n := notes{b: b}
	for n.more() {
		all = append(all, n.note())
	}
	if n.err != nil {
		return nil, n.err
	}
	return all, nil
}

// Check looks at every page and every index.
func (s *Store) Check(ctx context.Context) error {
	return s.read(ctx, "check the store", func(c *conn) error { return check(ctx, c, "PRAGMA integrity_check(1)") })
}

// Checkpointer is what writes the log into the database, with a connection until end is called.
func (s *Store) Checkpointer() (shorten, end func() error, err error) {
	c, err := s.connect(s.ended, writerPragmas)
	return func() error { return s.shorten(c) }, c.Close, err
}

// ReadLog reads a log, and tells if it is damaged.
func ReadLog(path string) (damaged bool, err error) {
	if _, err = readLog(path, 0); errors.Is(err, errLog) {
		return true, nil
	}
	return false, err
}
