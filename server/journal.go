package server

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"parlor/room"
	"parlor/store"
)

// journal is where the room of a durable game writes: into the store, with what others write at the same time.
type journal struct {
	srv  *Server
	game *game

	mu      sync.Mutex // guards the fields below
	known   bool       // the store has the game
	doubted bool       // it may have it
	used    bool       // the game is durable
	gone    bool       // the game is deleted: nothing of it is written any more
	over    bool       // the room is to hear nothing more
	failed  int        // writes that failed, each with those asked for behind it
	broken  bool       // one has, and nothing was read since
	joining []*session // whose joining the next write tells of
}

var _ room.Journal = (*journal)(nil)

// errJournal is why what was asked for behind a write that failed is not written.
var errJournal = errors.New("the journal of the game could not be written before")

// Append writes entries, and with them the sessions of those who have joined.
func (j *journal) Append(first, last uint64, entries []byte, done func(error)) {
	var changes []store.Change
	j.mu.Lock()
	known, joining := j.known, j.joining
	j.used, j.joining = true, nil
	j.mu.Unlock()
	if !known {
		g := j.srv.record(j.game)
		g.Durable = true
		changes = append(changes, g)
	}
	var rows []*storedRow
	for _, ss := range joining {
		if row := ss.rowToStore(j.game); row != nil {
			changes = append(changes, row.PutSession)
			rows = append(rows, row)
		}
	}
	changes = append(changes, store.Append{Game: j.game.number, First: first, Last: last, Data: entries})
	j.write(changes, func(err error) {
		for _, row := range rows {
			row.written(err)
		}
		done(err)
	})
	for _, row := range rows {
		row.asked()
	}
}

// Save writes a save.
func (j *journal) Save(s room.Save, done func(error)) {
	save := store.Save{Game: j.game.number, Entry: s.Entry, Version: s.Version, Data: s.Data, Room: s.Room}
	j.write([]store.Change{store.PutSave{Save: save, KeepJournal: s.Keep}}, done)
}

func (j *journal) write(changes []store.Change, done func(error)) {
	j.mu.Lock()
	defer j.mu.Unlock() // behind the asking, so that nothing is written behind the deletion of the game
	failed, broken := j.failed, j.broken
	if j.gone {
		changes = nil
	}
	j.srv.commits.ask(&write{
		changes: changes,
		wanted: func() error {
			j.mu.Lock()
			defer j.mu.Unlock()
			if broken || j.broken || j.failed != failed { // when it was asked for, or since
				return errJournal
			}
			return nil
		},
		done: func(err error) {
			j.mu.Lock()
			unknown := errors.Is(err, store.ErrUnknown)
			switch {
			case err == nil:
				j.known = true
			case !errors.Is(err, errJournal): // that one has counted already, and what is behind it may have been read since
				j.failed++
				j.broken = true
				j.doubted = j.doubted || unknown
			}
			over := j.over
			j.mu.Unlock()
			if unknown {
				err = fmt.Errorf("%w: %w", room.ErrUnknown, err)
			}
			if !over {
				done(err)
			}
		},
	})
}

// Read reads what is stored of the game.
func (j *journal) Read(done func(room.Stored, error)) {
	srv := j.srv
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.over { // nobody waits for those who read any more
		return
	}
	j.joining = nil        // they were not taken
	srv.saving.Go(func() { // ends when the store has answered, within Limits.CommitWait
		ctx, cancel := context.WithTimeout(srv.reads, srv.cfg.Limits.CommitWait)
		defer cancel()
		var stored room.Stored
		var err error
		select {
		case srv.reading <- struct{}{}:
			// What is in doubt is settled first, so that it does not come behind the reading. That the store is this server's
			// is known last: entries of one that has taken over are not those that wait for an answer here.
			if err = srv.settle(ctx); err == nil {
				stored, err = srv.readGame(ctx, j.game.number)
			}
			if err == nil {
				err = srv.settle(ctx)
			}
			<-srv.reading
		case <-ctx.Done():
			err = ctx.Err()
		}
		j.mu.Lock()
		if err == nil {
			j.broken = false
		}
		over := j.over
		j.mu.Unlock()
		if !over {
			done(stored, err)
		}
	})
}

// end has the room hear nothing more of what it has written, or would.
func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.over = true
}

// inUse tells whether the game is durable.
func (j *journal) inUse() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.used
}

// isKnown tells whether the store has the game, or may have it.
func (j *journal) isKnown() (known, perhaps bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.known, j.known || j.doubted
}

// delete has nothing more written of a game that is deleted.
func (j *journal) delete() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.gone = true
}

// joins notes whose joining the next write tells of.
func (j *journal) joins(ss *session) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.joining = append(j.joining, ss)
}

// maxReading is how many games are read from the store at once.
const maxReading = 4

// readGame reads what a durable game is made of again.
func (s *Server) readGame(ctx context.Context, number int64) (stored room.Stored, err error) {
	save, err := s.cfg.Store.Save(ctx, number)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return room.Stored{}, err
	}
	stored.Save = room.Save{Entry: save.Entry, Version: save.Version, Data: save.Data, Room: save.Room}
	for piece, err := range s.cfg.Store.Journal(ctx, number, save.Entry) {
		if err != nil {
			return room.Stored{}, err
		}
		stored.Pieces = append(stored.Pieces, room.Piece{First: piece.First, Entries: piece.Data})
	}
	return stored, nil
}
