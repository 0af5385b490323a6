package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
	"parlor/store"
)

// lingering is a store with commits of which nobody knows whether they are made, until the next one.
type lingering struct {
	*store.Memory

	mu     sync.Mutex // guards the fields below
	doubts bool       // commits linger
	made   bool       // and are made then
	waits  []store.Change
}

func (l *lingering) set(doubts, made bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubts, l.made = doubts, made
}

func (l *lingering) Commit(ctx context.Context, changes ...store.Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made {
		if err := l.Memory.Commit(ctx, l.waits...); err != nil {
			return err
		}
	}
	if l.waits = nil; l.doubts {
		l.waits = slices.Clone(changes)
		return store.ErrUnknown
	}
	return l.Memory.Commit(ctx, changes...)
}

// TestDoubtIsSettled: what is read behind a commit of unknown outcome is not what there is before that is known: the commit may still be under way, as
// where the disk of a database stands still and what was read before is in its memory.
func TestDoubtIsSettled(t *testing.T) {
	for _, made := range []bool{true, false} {
		t.Run(fmt.Sprint("made ", made), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lingering{Memory: new(store.Memory)}
				w := start(t, server.Config{Store: l, Games: map[string]parlor.NewGame{"": newTally}}, script{})
				c := &streamClient{t: t, name: "alice", srv: w.srv}
				c.connect(-1)
				c.ask("create one")
				l.set(true, made)
				c.ask("a")
				pass(10 * time.Second)
				if c.read(); len(c.got) != 1 {
					t.Errorf("while it is not known she hears %q", c.got)
				}
				l.set(false, made)
				pass(10 * time.Second)
				if made {
					if c.read(); !strings.HasPrefix(c.got[len(c.got)-1], "2 a is 1 ") {
						t.Errorf("then she hears %q", c.got)
					}
				} else {
					c.wantLast("2 The server could not store this.")
				}
				c.ask("b")
				c.ask("all")
				c.wantLast(map[bool]string{true: "4 a,b", false: "4 b"}[made])
			})
		})
	}
}
