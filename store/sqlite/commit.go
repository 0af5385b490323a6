package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ncruces/go-sqlite3"

	"parlor/store"
)

// Commit writes changes in one transaction, and syncs the log. See [store.Store]. While the log is being synced it waits for the disk,
// however long ctx lasts, as only that tells whether the changes are there.
func (s *Store) Commit(ctx context.Context, changes ...store.Change) error {
	switch {
	case len(changes) > 0:
		return s.transact(ctx, changes)
	case s.readOnly:
		return s.usable(ctx)
	}
	return s.inTurn(ctx, "look at the lease", s.confirm)
}

// confirm sees to it that no other server has taken over.
func (s *Store) confirm() error {
	l, err := readLease(s.writer)
	if err == nil && l.epoch != s.epoch {
		err = s.fenced(s.writer)
	}
	return err
}

// usable is nil as long as ctx and the store last.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.ended.Err() != nil {
		return fmt.Errorf("%w: %s", store.ErrClosed, s.path)
	}
	return nil
}

// enter takes one of the places that a channel has, which is received from it again. It waits for one as long as ctx and the store last.
func (s *Store) enter(ctx context.Context, places chan struct{}) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	select {
	case places <- struct{}{}:
	case <-s.ended.Done():
		return s.usable(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
	err := s.usable(ctx)
	if err != nil {
		<-places
	}
	return err
}

func (s *Store) transact(ctx context.Context, changes []store.Change) error {
	if s.readOnly {
		return fmt.Errorf("%w: %s was opened for reading", store.ErrReadOnly, s.path)
	}
	return s.inTurn(ctx, "commit", func() error {
		err := s.write(ctx, changes, s.opt.test.recent)
		if errors.Is(err, sqlite3.FULL) && s.recent.bytes > s.opt.test.recent { // what is moved takes room, and the changes may take none
			err = s.write(ctx, changes, math.MaxInt)
		}
		return err
	})
}

// inTurn does something with the writer when nobody else does, and no commit is in doubt any more.
func (s *Store) inTurn(ctx context.Context, what string, do func() error) error {
	if err := s.enter(ctx, s.turn); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	if err := s.damaged.Load(); err != nil {
		return *err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	return s.explain(ctx, what, do())
}

// write makes the transaction. In it pieces are moved if there are more bytes of them than limit.
func (s *Store) write(ctx context.Context, changes []store.Change, limit int) error {
	c, users := s.writer, s.users
	c.SetInterrupt(ctx)
	s.notes, s.gone = s.notes[:0], s.gone[:0]
	err := s.begin()
	if err == nil {
		s.notes, err = s.move(s.notes, limit)
	}
	for i := 0; i < len(changes) && err == nil; i++ {
		err = s.apply(changes[i])
	}
	if err == nil && len(s.notes) > 0 {
		err = c.run("INSERT INTO recent VALUES (?, ?)", nil, s.number+1, s.notes)
	}
	if err == nil && users != s.users {
		err = c.run("UPDATE lease SET users = ?", nil, s.users)
	}
	c.SetInterrupt(context.Background()) // from here on it is found out
	if err == nil {
		if err = c.run("COMMIT", nil); err != nil && uncertain(err) {
			s.doubt = true
		}
	}
	if err != nil {
		c.rollback()
		s.users = users
		clear(s.heads)
		if errors.Is(err, sqlite3.FULL) {
			s.note() // what is in the log twice may make room
		}
		if unsettled := s.settle(ctx); unsettled != nil {
			return unsettled
		}
		return err
	}
	s.number++
	s.follow()
	if s.logSize >= s.opt.test.pages {
		s.note()
	}
	return nil
}

// follow has what is in memory follow the commit.
func (s *Store) follow() {
	for _, game := range s.gone {
		if !s.heads[game].there {
			delete(s.heads, game) // there is no end of games that are not there
		}
	}
	if len(s.notes) == 0 {
		return
	}
	if err := s.recent.add(s.number, bytes.Clone(s.notes)); err != nil {
		s.damage(err) // a fault of this package: nothing more is written
	}
	if cap(s.notes) > maxBuffer {
		s.notes = nil
	}
}

// begin begins a transaction of this server, if no other one has taken over.
func (s *Store) begin() error {
	if err := s.writer.run("BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	if err := s.writer.run("UPDATE lease SET number = ?, renewed = ? WHERE epoch = ?", nil, s.number+1, time.Now().UnixMilli(), s.epoch); err != nil {
		return err
	}
	if s.writer.Changes() == 0 {
		return s.fenced(s.writer)
	}
	return nil
}

// fenced says who has taken over.
func (s *Store) fenced(c *conn) error {
	l, _ := readLease(c)
	if l.holder == "" {
		l.holder = "nobody any more, but was by another server"
	}
	return fmt.Errorf("%w: %s is held by %s since %s; this server can write nothing any more: stop it", store.ErrFenced, s.path, l.holder, l.since.Format(time.RFC3339))
}

// uncertain tells if a commit that failed may be in the log all the same: it is written, and only its sync has failed.
func uncertain(err error) bool {
	return errors.Is(err, sqlite3.IOERR)
}

// settle writes over the commit that is in doubt, so that it is not there even if this process is killed. It tries until ctx ends.
func (s *Store) settle(ctx context.Context) error {
	for s.doubt {
		err := s.begin()
		if err == nil {
			err = s.writer.run("COMMIT", nil)
		}
		if err == nil {
			s.doubt = false
			s.number++
			break
		}
		s.writer.rollback()
		if errors.Is(err, store.ErrFenced) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w; look at the disk, and at the log of the system", store.ErrUnknown, s.path, err)
		case <-s.ended.Done():
			return fmt.Errorf("%w: %s: %w", store.ErrUnknown, s.path, err)
		case <-time.After(settleEvery):
		}
	}
	return nil
}

const settleEvery = 50 * time.Millisecond

// apply makes one change, in the transaction.
func (s *Store) apply(change store.Change) error {
	c := s.writer
	switch v := change.(type) {
	case store.Append:
		return s.append(store.Piece(v))
	case store.PutUser:
		return s.putUser(store.User(v))
	case store.DeleteUser:
		err := c.run("DELETE FROM users WHERE name = ?", nil, v.Name)
		s.users -= c.Changes()
		return err
	case store.PutInvite:
		return c.run("INSERT INTO invites (code, user, expires, uses) VALUES (?, ?, ?, ?) "+
			"ON CONFLICT (code) DO UPDATE SET user = excluded.user, expires = excluded.expires, uses = excluded.uses",
			nil, v.Code, v.User, v.Expires, int64(v.Left))
	case store.DeleteInvite:
		return c.run("DELETE FROM invites WHERE code = ?", nil, v.Code)
	case store.PutSetting:
		if v.Value == "" {
			return c.run("DELETE FROM settings WHERE name = ?", nil, v.Name)
		}
		return c.run("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", nil, v.Name, v.Value)
	case store.PutGame:
		return s.putGame(store.Game(v))
	case store.DeleteGame:
		return s.deleteGame(v.Number)
	case store.PutSave:
		return s.putSave(v)
	case store.PutSession:
		return s.putSession(store.Session(v))
	case store.DeleteSession:
		return c.run("DELETE FROM sessions WHERE id = ?", nil, v.ID)
	}
	return fmt.Errorf("%w: no such change as %T", store.ErrConflict, change)
}

func (s *Store) putUser(u store.User) error {
	c := s.writer
	old, there, err := c.number("SELECT number FROM users WHERE name = ?", u.Name)
	if err != nil {
		return err
	}
	if u.Number == 0 {
		u.Number = old
	}
	if there && u.Number == old {
		return c.run("UPDATE users SET folded = ?, secret = ? WHERE number = ?", nil, u.Folded, u.Secret, u.Number)
	}
	if u.Number != 0 {
		var other string
		err := c.run("SELECT name FROM users WHERE number = ?", func(r *sqlite3.Stmt) error {
			other = text(r, 0)
			return fmt.Errorf("%w: user %q has the number %d", store.ErrConflict, other, u.Number)
		}, u.Number)
		if err != nil {
			return err
		}
	}
	if there {
		if err := c.run("DELETE FROM users WHERE number = ?", nil, old); err != nil {
			return err
		}
		s.users--
	}
	s.users++
	if u.Number == 0 {
		return c.run("INSERT INTO users (name, folded, secret) VALUES (?, ?, ?)", nil, u.Name, u.Folded, u.Secret)
	}
	return c.run("INSERT INTO users VALUES (?, ?, ?, ?)", nil, u.Number, u.Name, u.Folded, u.Secret)
}

func (s *Store) putGame(g store.Game) error {
	c := s.writer
	other, taken, err := c.number("SELECT number FROM games WHERE name = ?", g.Name)
	if err != nil {
		return err
	}
	if taken && other != g.Number {
		return fmt.Errorf("%w: game %d has the name %q", store.ErrConflict, other, g.Name)
	}
	durable := int64(0)
	if g.Durable {
		durable = 1
	}
	if h, known := s.heads[g.Number]; known && !h.there {
		s.heads[g.Number] = head{there: true} // it was deleted in this transaction
	}
	return c.run("INSERT INTO games VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET "+
		"name = excluded.name, kind = excluded.kind, secret = excluded.secret, creator = excluded.creator, durable = excluded.durable",
		nil, g.Number, g.Name, g.Kind, g.Secret, g.Creator, durable)
}

func (s *Store) deleteGame(number int64) error {
	h, err := s.head(number)
	if err != nil {
		return err
	}
	if !h.there {
		return nil
	}
	if h.recent {
		s.notes = appendDrop(s.notes, number, math.MaxInt64)
	}
	s.heads[number] = head{} // its pieces are in memory until this is committed
	s.gone = append(s.gone, number)
	for _, sql := range []string{
		"DELETE FROM games WHERE number = ?", "DELETE FROM saves WHERE game = ?", "DELETE FROM journal WHERE game = ?", "DELETE FROM sessions WHERE game = ?",
	} {
		if err := s.writer.run(sql, nil, number); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) putSession(v store.Session) error {
	h, err := s.head(v.Game)
	if err != nil {
		return err
	}
	if !h.there {
		return fmt.Errorf("%w: a session in game %d, which is not there", store.ErrConflict, v.Game)
	}
	return s.writer.run("INSERT INTO sessions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "+
		"user = excluded.user, key = excluded.key, game = excluded.game, tokens = excluded.tokens",
		nil, v.ID, v.User, v.Key, v.Game, store.PackTokens(v.Tokens))
}

// head is where a game's journal ends.
type head struct {
	there  bool   // the game is
	saved  bool   // it has a save
	entry  uint64 // that of the save
	pieces bool   // the journal has some
	last   uint64 // entry of the journal
	recent bool   // some of it may be in the table recent
}

// head is that of a game, in the transaction.
func (s *Store) head(game int64) (h head, err error) {
	if h, known := s.heads[game]; known {
		return h, nil
	}
	if _, h.there, err = s.writer.number("SELECT 1 FROM games WHERE number = ?", game); err != nil || !h.there {
		return head{}, err // and not kept: there is no end of games that are not there
	}
	entry, saved, err := s.writer.number("SELECT entry FROM saves WHERE game = ?", game)
	if err != nil {
		return head{}, err
	}
	last, pieces, err := s.writer.number("SELECT last FROM journal WHERE game = ? ORDER BY last DESC LIMIT 1", game)
	if err != nil {
		return head{}, err
	}
	h = head{there: true, saved: saved, entry: uint64(entry), pieces: pieces, last: uint64(last)}
	if all := s.recent.games[game]; len(all) > 0 {
		h.pieces, h.last, h.recent = true, all[len(all)-1].Last, true
	}
	s.heads[game] = h
	return h, nil
}

func (s *Store) putSave(v store.PutSave) error {
	h, err := s.head(v.Game)
	if err != nil {
		return err
	}
	first, last := uint64(0), uint64(math.MaxInt64)
	switch {
	case h.pieces:
		first, last = h.entry, max(h.entry, h.last)
	case h.saved:
		first, last = h.entry, h.entry
	}
	switch {
	case !h.there:
		return fmt.Errorf("%w: a save of game %d, which is not there", store.ErrConflict, v.Game)
	case v.Entry < first || v.Entry > last:
		return fmt.Errorf("%w: a save of game %d with entry %d, not one from %d to %d", store.ErrConflict, v.Game, v.Entry, first, last)
	}
	h.saved, h.entry = true, v.Entry
	if err := s.writer.run("INSERT OR REPLACE INTO saves VALUES (?, ?, ?, ?, ?)", nil, v.Game, int64(v.Entry), int64(v.Version), v.Room, v.Data); err != nil {
		return err
	}
	if h.pieces && !v.KeepJournal {
		if err := s.cut(v.Game, v.Entry); err != nil {
			return err
		}
		if h.recent {
			s.notes = appendDrop(s.notes, v.Game, v.Entry)
		}
		h.pieces = h.last > v.Entry
		h.recent = h.recent && h.pieces
	}
	s.heads[v.Game] = h
	return nil
}

func (s *Store) append(p store.Piece) error {
	h, err := s.head(p.Game)
	if err != nil {
		return err
	}
	last := h.entry
	switch {
	case h.pieces:
		last = max(last, h.last)
	case !h.saved:
		last = p.First - 1
	}
	switch {
	case !h.there:
		return fmt.Errorf("%w: the journal of game %d, which is not there", store.ErrConflict, p.Game)
	case p.First == 0 || p.First != last+1 || p.Last < p.First || p.Last > math.MaxInt64:
		return fmt.Errorf("%w: entries %d to %d of game %d behind entry %d", store.ErrConflict, p.First, p.Last, p.Game, last)
	}
	h.pieces, h.last, h.recent = true, p.Last, true
	s.heads[p.Game] = h
	s.notes = appendPiece(s.notes, p)
	return nil
}
