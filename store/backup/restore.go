package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"parlor/store"
)

var (
	// ErrNotEmpty says that there is something in the store already.
	ErrNotEmpty = errors.New("the store is not empty")
	// ErrUnfinished says that a store has a part of a backup only.
	ErrUnfinished = errors.New("a backup was being restored into this store, and not all of it is there")
)

// Unfinished is ErrUnfinished if these are the settings of a store that has a part of a backup only: nobody may use it.
func Unfinished(settings map[string]string) error {
	if since := settings[store.SettingRestoring]; since != "" {
		return fmt.Errorf("%w (%s): restore it again, with parlor restore", ErrUnfinished, since)
	}
	return nil
}

// What a commit of Restore has at most, but for a change that is larger.
const (
	commitChanges = 5000
	commitBytes   = 4 << 20
)

// Restore puts a backup into a store that is empty but for settings, which are replaced; or one that has a part of a backup only, which is
// removed first. It calls put, if that is not nil, when it is certain that the store is such a one. After an error, or the end of the process, the store is
// as it was, or one of which Unfinished says so.
func (b *Backup) Restore(ctx context.Context, st store.Store, put func() error) error {
	if err := prepare(ctx, st); err != nil {
		return err
	}
	if put != nil {
		if err := put(); err != nil {
			return err
		}
	}
	if _, err := b.in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, err := NewReader(b.in)
	if err != nil {
		return err
	}
	all := batch{ctx: ctx, st: st}
	for c, err := range r.Changes() {
		if err != nil {
			return err
		}
		if err := all.add(c); err != nil {
			return err
		}
	}
	return all.flush(store.PutSetting{Name: store.SettingRestoring})
}

// prepare makes the store one that has a part of a backup: nothing of it yet.
func prepare(ctx context.Context, st store.Store) error {
	settings, err := st.Settings(ctx)
	if err != nil {
		return err
	}
	if Unfinished(settings) != nil {
		if err := wipe(ctx, st); err != nil {
			return err
		}
	}
	var counts Counts
	for c, err := range st.Export(ctx) {
		if err != nil {
			return err
		}
		if counts.add(c); counts != (Counts{}) {
			return fmt.Errorf("%w: %s: a backup replaces all: restore it into an empty one", ErrNotEmpty, st.Path())
		}
	}
	changes := []store.Change{store.PutSetting{Name: store.SettingRestoring, Value: "since " + time.Now().UTC().Format(time.RFC3339)}}
	for name := range settings {
		if name != store.SettingRestoring {
			changes = append(changes, store.PutSetting{Name: name})
		}
	}
	return st.Commit(ctx, changes...)
}

// wipe removes all but the settings, in pieces.
func wipe(ctx context.Context, st store.Store) error {
	b := batch{ctx: ctx, st: st}
	games, err := st.Games(ctx)
	if err != nil {
		return err
	}
	for _, g := range games {
		if err := b.flush(store.DeleteGame{Number: g.Number}); err != nil { // it may be large
			return err
		}
	}
	invites, err := st.Invites(ctx)
	if err != nil {
		return err
	}
	for _, in := range invites {
		if err := b.add(store.DeleteInvite{Code: in.Code}); err != nil {
			return err
		}
	}
	for after := int64(0); ; {
		users, err := st.Users(ctx, after, commitChanges)
		if err != nil {
			return err
		}
		if len(users) == 0 {
			return b.flush()
		}
		for _, u := range users {
			after = u.Number
			if err := b.add(store.DeleteUser{Name: u.Name}); err != nil {
				return err
			}
		}
	}
}

// batch joins changes into commits.
type batch struct {
	ctx     context.Context
	st      store.Store
	changes []store.Change
	bytes   int
}

func (b *batch) add(c store.Change) error {
	switch c := c.(type) {
	case store.Append:
		b.bytes += len(c.Data)
	case store.PutSave:
		b.bytes += len(c.Data) + len(c.Room)
	}
	if b.changes = append(b.changes, c); len(b.changes) >= commitChanges || b.bytes >= commitBytes {
		return b.flush()
	}
	return nil
}

// flush commits what is there, and these.
func (b *batch) flush(more ...store.Change) error {
	all := append(b.changes, more...)
	b.changes, b.bytes = b.changes[:0], 0
	if len(all) == 0 {
		return nil
	}
	return b.st.Commit(b.ctx, all...)
}
