package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"parlor/store"
)

// load is several goroutines that commit numbered changes, and know what became of each.
type load struct {
	t       *testing.T
	store   store.Store
	patient time.Duration // for a commit
	stop    chan struct{}
	wg      sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	stored  [][]string // names of users, by game: those that are there
	failed  int        // those that are not
	unknown int        // those of which it was not known at first
}

// begin starts as many goroutines.
func begin(t *testing.T, s store.Store, writers int, patient time.Duration) *load {
	t.Helper()
	l := &load{t: t, store: s, patient: patient, stop: make(chan struct{}), stored: make([][]string, writers)}
	for w := range writers {
		if err := s.Commit(t.Context(), store.PutGame{Number: int64(w + 1), Name: fmt.Sprint(w), Durable: true}); err != nil {
			t.Fatal(err)
		}
		l.wg.Go(func() { l.write(w) }) // ends with stop
	}
	return l
}

// write commits one after the other: a user, whose name is used once, and an entry with the name, behind the last that
// is there. So an entry that is not where it should be, or there twice, is a conflict at the next commit.
func (l *load) write(w int) {
	entry := uint64(1)
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		default:
		}
		name := fmt.Sprintf("%d-%d", w, i)
		ctx, cancel := context.WithTimeout(context.Background(), l.patient)
		err := l.store.Commit(ctx, store.PutUser{Name: name, Folded: name}, store.Append{Game: int64(w + 1), First: entry, Last: entry, Data: []byte(name)})
		cancel()
		there := err == nil
		if errors.Is(err, store.ErrUnknown) {
			there = l.settled(w, name)
		}
		if there {
			entry++
		} else {
			pause := time.Duration(rand.IntN(20)) * time.Millisecond
			time.Sleep(pause) // sleep: a server that is down answers at once
		}
		l.note(w, name, there, err)
	}
}

// settled finds out what is there, by another commit: that is when the one before cannot come any more.
func (l *load) settled(w int, name string) bool {
	for end := time.Now().Add(time.Minute); ; {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := l.store.Commit(ctx, store.PutSetting{Name: fmt.Sprint(w), Value: name})
		if err == nil {
			_, err = l.store.User(ctx, name)
		}
		cancel()
		if err == nil || errors.Is(err, store.ErrNotFound) {
			return err == nil
		}
		if time.Now().After(end) {
			l.t.Errorf("writer %d: nothing was committed for a minute: %v", w, err)
			return false
		}
	}
}

func (l *load) note(w int, name string, there bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case there:
		l.stored[w] = append(l.stored[w], name)
	default:
		l.failed++
	}
	if errors.Is(err, store.ErrUnknown) {
		l.unknown++
	}
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrDamaged) {
		l.t.Errorf("commit of %s: %v", name, err)
	}
}

// count is how many commits are there.
func (l *load) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, names := range l.stored {
		n += len(names)
	}
	return n
}

// more waits until so many more commits are there.
func (l *load) more(n int) {
	l.t.Helper()
	from := l.count()
	eventually(l.t, fmt.Sprintf("%d more commits", n), func() bool { return l.count() >= from+n })
}

// end stops the goroutines, and compares what they know with what the store has.
func (l *load) end() {
	t, ctx := l.t, l.t.Context()
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	total := 0
	for w, names := range l.stored {
		i := 0
		for p, err := range l.store.Journal(ctx, int64(w+1), 0) {
			if err != nil {
				t.Fatalf("journal: %v", err)
			}
			if i >= len(names) || string(p.Data) != names[i] || p.First != uint64(i+1) {
				t.Fatalf("journal of writer %d: entry %d is %q at place %d, of %d", w, p.First, p.Data, i, len(names))
			}
			i++
		}
		if i != len(names) {
			t.Errorf("journal of writer %d: %d entries, want %d", w, i, len(names))
		}
		for _, name := range names {
			if _, err := l.store.User(ctx, name); err != nil {
				t.Errorf("user %s: %v", name, err)
			}
		}
		total += len(names)
	}
	if n, err := l.store.CountUsers(ctx); err != nil || n != total {
		t.Errorf("%d users, error %v, want %d", n, err, total)
	}
	t.Logf("%d commits, %d that failed, %d whose outcome was not known at first", total, l.failed, l.unknown)
}
