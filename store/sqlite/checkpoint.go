package sqlite

import (
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parlor/store"
)

// The log is written into the database when it has so many pages: at a commit SQLite would hold up who waits for it.
const checkpointPages = 1024

// note has the log written into the database soon.
func (s *Store) note() {
	select {
	case s.checkpoints <- struct{}{}:
	default: // it is noted
	}
}

// checkpoint writes the log into the database when there is a note, until the store closes or is found to be damaged.
func (s *Store) checkpoint() {
	var c *conn
	defer func() { c.Close() }()
	failed := false
	for {
		select {
		case <-s.ended.Done():
			return
		case <-s.checkpoints:
		}
		var err error
		if c == nil {
			c, err = s.connect(s.ended, writerPragmas)
			err = s.explain(s.ended, "open the store", err)
		}
		if err == nil {
			err = s.shorten(c)
		}
		if errors.Is(err, store.ErrDamaged) {
			s.opt.Logger.Error("the log of the store is not written into the database any more", "store", s.path, "error", err)
			return
		}
		if err == nil || errors.Is(err, sqlite3.BUSY) || s.ended.Err() != nil {
			failed = false
			continue
		}
		if !failed {
			s.opt.Logger.Warn("the log of the store could not be written into the database, and grows", "store", s.path, "error", err)
		}
		failed = true
		select {
		case <-s.ended.Done():
		case <-time.After(time.Second):
		}
	}
}

// shorten writes the log into the database, unless damage was seen, or is: then nothing is written any more.
func (s *Store) shorten(c *conn) error {
	return s.explain(s.ended, "write the log into the database", s.writeLog(c))
}

// writeLog writes most of the log while commits go on, and what they have written meanwhile with the turn, so that the log
// begins anew. It can do so only when nobody reads what was before: a stream that goes on for too long is ended.
func (s *Store) writeLog(c *conn) error {
	before := 0
	for range 4 { // each time what was written during the last one
		if err := s.damaged.Load(); err != nil {
			return *err
		}
		_, done, err := c.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
		if err != nil {
			return err
		}
		if done-before < checkpointPages/64 {
			break
		}
		before = done
	}
	select {
	case s.turn <- struct{}{}:
	case <-s.ended.Done():
		return nil
	}
	defer func() { <-s.turn }()
	if err := s.damaged.Load(); err != nil {
		return *err
	}
	if int64(s.logSize)*(frameHeader+pageSize) > s.opt.test.maxLog {
		s.readers.evict(s.logTooLong())
	}
	mode := sqlite3.CHECKPOINT_RESTART
	if s.readers.streaming() > 0 {
		mode = sqlite3.CHECKPOINT_PASSIVE // it would wait for them
	}
	if err := c.BusyTimeout(20 * time.Millisecond); err != nil {
		return err
	}
	all, done, err := c.WALCheckpoint("main", mode)
	if err == nil && all == done {
		s.logSize = 0
	}
	return err
}

func (s *Store) logTooLong() error {
	return fmt.Errorf("%w: %s: its log has grown too long for what is read from before it: read faster, or when fewer write", store.ErrUnavailable, s.path)
}
