package sqlite

import (
	"encoding/binary"

	"github.com/ncruces/go-sqlite3/vfs"
)

// logFile is the log as SQLite writes it: two writes for each page, which become one for each commit. Nobody reads what no
// commit is behind but who wrote it, and a commit's last page has what is before it written out at once.
type logFile struct {
	file
	db     vfs.File // whose log it is
	buf    []byte   // what is not written yet
	at     int64    // where it begins
	ending bool     // the header of a commit's last frame came last
}

// maxBuffer is how much is kept of a commit that is large, in bytes.
const maxBuffer = 1 << 20

func (f *logFile) WriteAt(p []byte, off int64) (int, error) {
	header := len(p) == frameHeader
	if header && commitPages(p) > 0 {
		if err := reserve(f.db, commitPages(p)); err != nil {
			f.buf = f.buf[:0] // its transaction has failed
			return 0, err
		}
	}
	if off != f.at+int64(len(f.buf)) || len(f.buf)+len(p) > maxBuffer {
		if err := f.flush(); err != nil {
			return 0, err
		}
	}
	if len(f.buf) == 0 {
		f.at = off
	}
	f.buf = append(f.buf, p...)
	ended := f.ending
	f.ending = header && commitPages(p) != 0
	if ended || !header && len(p) != pageSize {
		if err := f.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// commitPages is how many pages the database has behind a commit, of the header of its last frame; 0 in those of others.
func commitPages(header []byte) int64 { return int64(binary.BigEndian.Uint32(header[4:])) }

// flush writes what waits. After an error it is dropped: its transaction has failed.
func (f *logFile) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	_, err := f.file.WriteAt(f.buf, f.at)
	f.buf = f.buf[:0]
	return err
}

func (f *logFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.file.ReadAt(p, off)
}

func (f *logFile) Sync(flags vfs.SyncFlag) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.file.Sync(flags)
}

func (f *logFile) Truncate(size int64) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f *logFile) Size() (int64, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.file.Size()
}
