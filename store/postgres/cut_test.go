package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parlor/internal/memnet"
	"parlor/internal/pgtest"
	"parlor/store"
	"parlor/store/postgres"
)

// cutter is a store behind a proxy that cuts the writer's connections where a test wants it. Its commits are entries of one game.
type cutter struct {
	t     *testing.T
	store *postgres.Store
	proxy *memnet.Proxy
	admin *pgx.Conn
	entry uint64 // the last that is there

	mu       sync.Mutex // guards the fields below
	up, down []memnet.Fault
	n        int // connections so far
}

func newCutter(t *testing.T) *cutter {
	server := pgtest.Shared(t)
	c := &cutter{t: t, admin: connect(t, server.URL())}
	var err error
	c.proxy, err = memnet.NewProxy(server.Addr(), func(n int) (up, down []memnet.Fault) {
		c.mu.Lock()
		defer c.mu.Unlock()
		up, down = c.up, c.down
		c.up, c.down, c.n = nil, nil, n
		return up, down
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.proxy.Close() })
	c.store = open(t, server.At(c.proxy.Addr(), "postgres"), schema())
	if err := c.store.Commit(t.Context(), store.PutGame{Number: 1, Name: "game", Durable: true}); err != nil {
		t.Fatal(err)
	}
	return c
}

// next gives the writer's next connection faults, and ends the one that there is.
func (c *cutter) next(up, down []memnet.Fault) {
	c.mu.Lock()
	c.up, c.down = up, down
	c.mu.Unlock()
	run(c.t, c.admin, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1", c.store.Name("writer"))
}

// commit commits the next entry.
func (c *cutter) commit(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	return c.commitUntil(ctx)
}

func (c *cutter) commitUntil(ctx context.Context) error {
	n := c.entry + 1
	return c.store.Commit(ctx, store.PutUser{Name: strconv.FormatUint(n, 10)}, store.Append{Game: 1, First: n, Last: n, Data: []byte("entry")})
}

// connection is the number of the one that was made last.
func (c *cutter) connection() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// passed is what the connection that was made last has passed on.
func (c *cutter) passed() (up, down int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proxy.Passed(c.n)
}

// check compares the entries with what is there.
func (c *cutter) check() {
	c.t.Helper()
	n, err := c.store.CountUsers(c.t.Context())
	if err != nil || n != int(c.entry) {
		c.t.Errorf("%d users, error %v, want %d", n, err, c.entry)
	}
	last := uint64(0)
	for p, err := range c.store.Journal(c.t.Context(), 1, 0) {
		if err != nil || p.First != last+1 {
			c.t.Fatalf("entry %d behind entry %d, error %v", p.First, last, err)
		}
		last = p.Last
	}
	if last != c.entry {
		c.t.Errorf("%d entries, want %d", last, c.entry)
	}
}

// whole is how many bytes a connection passes on from its start to the answer of its first commit.
func (c *cutter) whole() (up, down int64) {
	c.t.Helper()
	c.next(nil, nil)
	if err := c.commit(time.Minute); err != nil {
		c.t.Fatal(err)
	}
	c.entry++
	return c.passed()
}

// The connection is cut at a byte of it, before the commit is sent, in it, and before or in the answer: it is there, and once.
// A run tries some of the bytes.
func TestCutAtAByte(t *testing.T) {
	const step = 47
	for _, way := range []string{"up", "down"} {
		t.Run(way, func(t *testing.T) {
			c := newCutter(t)
			up, down := c.whole()
			end := down
			if way == "up" {
				end = up
			}
			for at := int64(1 + rand.IntN(step)); at <= end; at += step {
				faults := []memnet.Fault{{At: at, Do: memnet.Reset}}
				if way == "up" {
					c.next(faults, nil)
				} else {
					c.next(nil, faults)
				}
				if err := c.commit(time.Minute); err != nil {
					t.Fatalf("cut at byte %d of %d: %v", at, end, err)
				}
				c.entry++
			}
			c.check()
		})
	}
}

// The network falls silent while a commit is under way: when the context ends, nobody can know.
func TestSilence(t *testing.T) {
	c := newCutter(t)
	up, down := c.whole()
	for what, test := range map[string]struct {
		up, down []memnet.Fault
		there    bool
	}{
		// The server has begun it, holds the row, and waits for the rest, for hours if nobody ends its connection.
		"the end of the commit is lost": {up: []memnet.Fault{{At: up - 3, Do: memnet.Swallow}}},
		"the answer is lost":            {down: []memnet.Fault{{At: down - 3, Do: memnet.Swallow}}, there: true},
	} {
		t.Run(what, func(t *testing.T) {
			c.t = t
			before := c.connection()
			c.next(test.up, test.down)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- c.commitUntil(ctx) }()
			eventually(t, "the network falls silent", func() bool {
				up, down := c.passed()
				return c.connection() != before && (len(test.up) > 0 && up == test.up[0].At || len(test.down) > 0 && down == test.down[0].At)
			})
			cancel()
			if err := <-ended; !errors.Is(err, store.ErrUnknown) || !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want ErrUnknown and the end of the context", err)
			}
			if test.there {
				c.entry++
			}
			if err := c.commit(time.Minute); err != nil {
				t.Fatal(err)
			}
			c.entry++
			c.check()
		})
	}
}
