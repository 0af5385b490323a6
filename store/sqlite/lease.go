package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parlor/store"
)

// The lease is who may write. It is a row, whose epoch each server raises when it takes the store, and which each commit looks
// at: a server that was taken over cannot write any more. Whether the one before is dead is told by the lock of a file,
// which ends with its process; where files have no locks, by how long ago the row was renewed.

// held is the lease as it is stored.
type held struct {
	epoch          int64
	holder         string
	since, renewed time.Time
	number, users  int64
}

func readLease(c *conn) (l held, err error) {
	err = c.run("SELECT epoch, holder, since, renewed, number, users FROM lease", func(r *sqlite3.Stmt) error {
		l = held{r.ColumnInt64(0), r.ColumnText(1), time.UnixMilli(r.ColumnInt64(2)), time.UnixMilli(r.ColumnInt64(3)), r.ColumnInt64(4), r.ColumnInt64(5)}
		return nil
	})
	return l, err
}

// take makes the lease this store's.
func (s *Store) take() error {
	c := s.writer
	if err := c.run("BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	defer c.rollback()
	l, err := readLease(c)
	if err != nil {
		return err
	}
	if s.lock == nil && l.holder != "" && time.Since(l.renewed) < s.opt.test.lease {
		return s.inUseBy(l)
	}
	if err := s.recent.load(c); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown machine"
	}
	now := time.Now().UnixMilli()
	if err := c.run("UPDATE lease SET epoch = ?, holder = CAST(? AS TEXT), since = ?, renewed = ?", nil,
		l.epoch+1, fmt.Sprintf("process %d on %s", os.Getpid(), host), now, now); err != nil {
		return err
	}
	if err := c.run("COMMIT", nil); err != nil {
		return err
	}
	if l.holder != "" {
		s.opt.Logger.Info("took over the store of a server that is gone", "store", s.path, "holder", l.holder, "since", l.since)
	}
	s.epoch, s.number, s.users = l.epoch+1, l.number, l.users
	return nil
}

// renew renews the lease while the store is open, and as long as it may write.
func (s *Store) renew() {
	every := time.NewTicker(s.opt.test.lease * 3 / 10)
	defer every.Stop()
	for {
		select {
		case <-s.ended.Done():
			return
		case <-every.C:
			err := s.transact(s.ended, nil)
			if err != nil && s.ended.Err() == nil {
				s.opt.Logger.Warn("the lease of the store could not be renewed", "error", err)
			}
			if errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrDamaged) {
				return
			}
		}
	}
}

// leave gives the lease back.
func (s *Store) leave() error {
	return s.writer.run("UPDATE lease SET holder = '' WHERE epoch = ?", nil, s.epoch)
}

// inUse says who has the store that is locked.
func (s *Store) inUse() error {
	c, err := s.connect(context.Background(), "PRAGMA query_only = on")
	if err != nil {
		return s.inUseBy(held{})
	}
	defer c.Close()
	l, _ := readLease(c) // there is none yet if that server is just making it
	return s.inUseBy(l)
}

func (s *Store) inUseBy(l held) error {
	who := "another server"
	if l.holder != "" {
		who = l.holder + ", since " + l.since.Format(time.RFC3339)
	}
	return fmt.Errorf("%w: %s is held by %s; stop that one, or use another folder", store.ErrInUse, s.path, who)
}
