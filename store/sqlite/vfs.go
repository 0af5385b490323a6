package sqlite

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// vfsName is that of SQLite's way to the files, with four differences.
//
// They are not mapped into memory: a disk that fails would end the process, and a checkpoint of a database with checksums asks
// go-sqlite3 v0.37.0 for a mapping that is not there. And a disk that is full or cannot be written is told from one that fails; that version
// looks for the error of the system where there is one of package os around it. The others are in logfile.go and dbfile.go.
const vfsName = "parlor"

func init() { vfs.Register(vfsName, files{vfs.Find("").(vfs.VFSFilename)}) }

type files struct{ vfs.VFSFilename }

func (f files) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	opened, flags, err := f.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return opened, flags, coded(err)
	}
	if mapped, ok := opened.(mappedFile); ok && flags&vfs.OPEN_WAL != 0 {
		return &logFile{file: file{mapped}, db: name.DatabaseFile()}, flags, nil
	} else if ok && flags&vfs.OPEN_MAIN_DB != 0 {
		return &dbFile{file: file{mapped}}, flags, nil
	} else if ok {
		return file{mapped}, flags, nil
	}
	return opened, flags, nil
}

// mappedFile is what a file of SQLite can do, but for mapping.
type mappedFile interface {
	vfs.File
	vfs.FileLockState
	vfs.FileHasMoved
	vfs.FileSizeHint
	vfs.FilePersistWAL
	vfs.FilePowersafeOverwrite
	vfs.FileSharedMemory
}

type file struct{ mappedFile }

func (f file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.mappedFile.WriteAt(p, off)
	return n, coded(err)
}

// coded gives the system's errors that callers branch on codes of SQLite's, which outlast it. What a sync has lost is no such error: whether
// that was written is not known.
func coded(err error) error {
	switch {
	case noRoom(err):
		return vfs.SystemError(err, sqlite3.FULL)
	case notWritable(err):
		return vfs.SystemError(err, sqlite3.READONLY)
	}
	return err
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

func notWritable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}
