package parlortest

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync/atomic"

	"parlor/store"
)

// mortalStore is what a server has of the store. From its crash on it neither writes nor makes games again.
type mortalStore struct {
	store.Store
	dead *atomic.Bool
}

var errDead = errors.New("the server has crashed")

func (s mortalStore) Commit(ctx context.Context, changes ...store.Change) error {
	if s.dead.Load() {
		return errDead
	}
	return s.Store.Commit(ctx, changes...)
}

func (s mortalStore) Save(ctx context.Context, game int64) (store.Save, error) {
	if s.dead.Load() {
		return store.Save{}, errDead
	}
	return s.Store.Save(ctx, game)
}

func (s mortalStore) Journal(ctx context.Context, game int64, after uint64) iter.Seq2[store.Piece, error] {
	if s.dead.Load() {
		return func(yield func(store.Piece, error) bool) { yield(store.Piece{}, errDead) }
	}
	return s.Store.Journal(ctx, game, after)
}

// mortalLog is a log in which nothing comes from a server that has crashed.
type mortalLog struct {
	slog.Handler
	dead *atomic.Bool
}

func (l mortalLog) Enabled(ctx context.Context, level slog.Level) bool {
	return !l.dead.Load() && l.Handler.Enabled(ctx, level)
}

func (l mortalLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return mortalLog{l.Handler.WithAttrs(attrs), l.dead}
}

func (l mortalLog) WithGroup(name string) slog.Handler {
	return mortalLog{l.Handler.WithGroup(name), l.dead}
}
