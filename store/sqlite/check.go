package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"parlor/store"
)

const (
	pageSize = 4096
	reserved = 8 // bytes at the end of each page, for its checksum
)

// look sees to it that the files are those of a store that can be opened, before SQLite does anything to them: of a database that is
// empty it would delete the log, and of a log that is damaged it would leave out the rest. It tells if there is no store yet.
func (s *Store) look() (fresh bool, err error) {
	made := s.marked() // first: where files have no locks another server may just be making it, and marks it then
	size, err := sizeOf(s.path)
	if err != nil {
		return false, err
	}
	logSize, err := sizeOf(s.path + "-wal")
	if err != nil {
		return false, err
	}
	undo, err := sizeOf(s.path + "-journal")
	switch {
	case err != nil:
		return false, err
	case size == 0 && logSize > 0:
		return false, s.damage(errors.New("the database is empty, and its log is not"))
	case size == 0 && made:
		return false, s.damage(fmt.Errorf("there was a database, which is empty or gone (to begin anew, delete %s, too)", lockName))
	case size == 0, !made && undo > 0: // SQLite was just making the first page
		return true, nil
	}
	file, err := os.Open(s.path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	var h [100]byte
	if _, err := io.ReadFull(file, h[:]); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	switch {
	case !bytes.HasPrefix(h[:], []byte("SQLite format 3\x00")):
		return false, s.damage(errors.New("it is no database of SQLite"))
	case binary.BigEndian.Uint16(h[16:]) != pageSize || h[20] != reserved:
		return false, s.damage(errors.New("its header is not that of a store"))
	}
	log, err := readLog(s.path+"-wal", size/pageSize)
	if err != nil {
		return false, s.explainLog(err)
	}
	pages := int64(binary.BigEndian.Uint32(h[28:]))
	if log.pages > 0 {
		pages = log.pages
	}
	if missing := pages - size/pageSize - int64(len(log.behind)); missing > 0 {
		return false, s.damage(fmt.Errorf("%d of its %d pages are missing at its end", missing, pages))
	}
	return false, nil
}

func (s *Store) explainLog(err error) error {
	if errors.Is(err, errLog) {
		return s.damage(err)
	}
	return err
}

func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("%s is no file", path)
	}
	return info.Size(), nil
}

// recognize sets up a database that is new, and sees to it that one that is not is a store of a version that is known, and as sound as
// can be found out in a moment.
func (s *Store) recognize(ctx context.Context, fresh bool) error {
	c := s.writer
	if fresh {
		if err := c.Exec(fmt.Sprintf("PRAGMA page_size = %d", pageSize)); err != nil {
			return err
		}
		if _, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, reserved); err != nil {
			return err
		}
	}
	if _, err := s.schema(c); err != nil {
		return err
	}
	var mode string
	if err := c.run("PRAGMA journal_mode = wal", func(r *sqlite3.Stmt) error { mode = r.ColumnText(0); return nil }); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%w: %s: SQLite can keep no log here (%s): take a folder on a disk of this machine", store.ErrUnavailable, s.path, mode)
	}
	brief, cancel := context.WithTimeout(ctx, s.opt.test.checking)
	defer cancel()
	if err := check(brief, c, "PRAGMA quick_check(1)"); brief.Err() == nil || !errors.Is(err, sqlite3.INTERRUPT) {
		return err
	}
	return ctx.Err()
}

// check runs one of SQLite's checks.
func check(ctx context.Context, c *conn, pragma string) error {
	defer c.SetInterrupt(c.SetInterrupt(ctx))
	return c.run(pragma, func(r *sqlite3.Stmt) error {
		if said := r.ColumnText(0); said != "ok" {
			return fmt.Errorf("%w: %s", sqlite3.CORRUPT, said)
		}
		return nil
	})
}

// marked tells whether there was a store in the folder.
func (s *Store) marked() bool {
	size, err := sizeOf(s.lockPath())
	return err == nil && size > 0
}

func (s *Store) lockPath() string { return filepath.Join(filepath.Dir(s.path), lockName) }

// mark leaves behind that there is a store, by which one is told that is gone.
func (s *Store) mark() error {
	if s.marked() {
		return nil
	}
	f, err := os.OpenFile(s.lockPath(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s belongs to one server at a time, which locks this file. Leave it here.\n", fileName); err != nil {
		return err
	}
	return f.Sync()
}
