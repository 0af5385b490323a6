package sqlite

import (
	"errors"
	"time"
)

// NoLock makes it as where files have no locks, with a lease that is good for so long.
func (o Options) NoLock(lease time.Duration) Options {
	o.test.noLock, o.test.lease = true, lease
	return o
}

// Unchecked has Open look at nothing but the files' sizes, their header and the log.
func (o Options) Unchecked() Options {
	o.test.checking = 1
	return o
}

// Log has the log written into the database from some pages on, and streams ended from some bytes on.
func (o Options) Log(pages int, bytes int64) Options {
	o.test.pages, o.test.maxLog = pages, bytes
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
	AppendTokens = appendTokens
	Tokens       = tokens
)

// ReadLog reads a log, and tells if it is damaged.
func ReadLog(path string) (damaged bool, err error) {
	if _, err = readLog(path, 0); errors.Is(err, errLog) {
		return true, nil
	}
	return false, err
}
