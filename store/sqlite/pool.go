package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"parlor/store"
)

// pool has the connections that read. Reads and streams have places of their own, so that a read in the loop of a stream waits
// for no stream.
type pool struct {
	s        *Store
	reads    chan struct{} // has room for those under way
	streams  chan struct{} // likewise
	borrowed sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	closed bool
	idle   []*conn
	open   map[*stream]struct{}
}

func newPool(s *Store) *pool {
	n := s.opt.test.readers
	return &pool{s: s, reads: make(chan struct{}, n), streams: make(chan struct{}, n), open: make(map[*stream]struct{})}
}

const readerPragmas = "PRAGMA query_only = on; PRAGMA cache_size = -8192; PRAGMA temp_store = memory"

// take lends a connection.
func (p *pool) take(ctx context.Context) (*conn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, p.s.usable(ctx)
	}
	p.borrowed.Add(1)
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	c, err := p.s.connect(ctx, readerPragmas)
	if err != nil {
		p.borrowed.Done()
	}
	return c, err
}

// give takes it back.
func (p *pool) give(c *conn) {
	defer p.borrowed.Done()
	c.SetInterrupt(context.Background())
	c.rollback()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return
	}
	p.idle = append(p.idle, c) // as many as there are places, at most
}

// close ends the streams, waits for the reads, and closes the connections.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.evict(fmt.Errorf("%w: %s", store.ErrClosed, p.s.path))
	p.borrowed.Wait()
	for _, c := range p.idle {
		c.Close()
	}
}

// evict ends the streams with an error.
func (p *pool) evict(err error) {
	p.mu.Lock()
	var all []*stream
	for t := range p.open {
		all = append(all, t)
	}
	p.mu.Unlock()
	for _, t := range all {
		t.evict(err)
	}
}

// streaming is how many streams are open.
func (p *pool) streaming() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// read calls f with a connection.
func (s *Store) read(ctx context.Context, doing string, f func(*conn) error) error {
	if err := s.enter(ctx, s.readers.reads); err != nil {
		return err
	}
	defer func() { <-s.readers.reads }()
	c, err := s.readers.take(ctx)
	if err != nil {
		return s.explain(ctx, doing, err)
	}
	defer s.readers.give(c)
	c.SetInterrupt(ctx)
	return s.explain(ctx, doing, f(c))
}

// stream is a read that yields to a loop, of one moment. Between its pages it can be ended by others, so that a loop that
// stands still does not hold up the log for ever.
type stream struct {
	pool *pool
	ctx  context.Context

	log int64 // bytes of the log at its moment

	mu  sync.Mutex // guards the fields below
	c   *conn      // nil when it has ended
	err error      // why it was ended
}

var (
	errLeft = errors.New("the loop was left")
	errPage = errors.New("the page is full")
)

// stream calls f with a stream. It calls moment with the recent of its moment. What f returns is explained; errLeft
// is no error.
func (s *Store) stream(ctx context.Context, doing string, moment func(*recent), f func(*stream) error) error {
	p := s.readers
	if err := s.enter(ctx, p.streams); err != nil {
		return err
	}
	defer func() { <-p.streams }()
	t := &stream{pool: p, ctx: ctx}
	t.log, _ = sizeOf(s.path + "-wal")
	if err := t.begin(moment); err != nil {
		return s.explain(ctx, doing, err)
	}
	defer t.end()
	if err := f(t); !errors.Is(err, errLeft) {
		return s.explain(ctx, doing, err)
	}
	return nil
}

// begin takes the moment.
func (t *stream) begin(moment func(*recent)) error {
	c, err := t.pool.take(t.ctx)
	if err != nil {
		return err
	}
	t.pool.mu.Lock()
	if t.pool.closed {
		t.pool.mu.Unlock()
		t.pool.give(c)
		return t.pool.s.usable(t.ctx)
	}
	t.c = c
	t.pool.open[t] = struct{}{}
	t.pool.mu.Unlock()
	if s := t.pool.s; s.readOnly {
		err = t.snapshot(func(c *conn) error {
			var r recent
			err := r.load(c)
			moment(&r)
			return err
		})
	} else if err = s.enter(t.ctx, s.turn); err == nil {
		err = t.snapshot(func(c *conn) error {
			moment(&s.recent)
			epoch, _, err := c.number("SELECT epoch FROM lease")
			if err == nil && epoch != s.epoch {
				err = s.fenced(c) // what is in memory is not of this moment
			}
			return err
		})
		<-s.turn
	}
	if err != nil {
		t.end()
	}
	return err
}

// snapshot begins a transaction, whose moment is when f reads first.
func (t *stream) snapshot(f func(*conn) error) error {
	return t.page(func(c *conn) error {
		if err := c.run("BEGIN", nil); err != nil {
			return err
		}
		return f(c)
	})
}

// page calls f with the connection, which nobody ends meanwhile.
func (t *stream) page(f func(*conn) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.c == nil {
		return t.err
	}
	if s := t.pool.s; s.readOnly { // the server whose log it is cannot end it
		if size, err := sizeOf(s.path + "-wal"); err != nil || size-t.log > s.opt.test.maxLog {
			return errors.Join(err, s.logTooLong())
		}
	}
	defer t.c.SetInterrupt(t.c.SetInterrupt(t.ctx))
	return f(t.c)
}

func (t *stream) end() { t.evict(nil) }

func (t *stream) evict(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.c == nil {
		return
	}
	t.pool.mu.Lock()
	delete(t.pool.open, t)
	t.pool.mu.Unlock()
	t.pool.give(t.c)
	t.c, t.err = nil, err
}
