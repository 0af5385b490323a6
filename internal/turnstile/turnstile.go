// Package turnstile has expensive work, such as the hash of a password, done for many a few at a time: in an order that is
// fair when far more of it is wanted than can be done, and with a bound on how much of the processors it takes.
//
// There are two lines, and they have their turns by turns: one for who has succeeded before, from the same network and under the
// same name, and one for all others. In a line the networks have their turns one after the other, and in a network the names.
// So a flood of logins gets one turn for each network that it comes from, whatever names it tries, and who was here before stands
// behind no stranger but one.
//
//	t := turnstile.New(turnstile.Config{})
//	key := turnstile.Key{Network: link.Network(addr), Name: user}
//	err := t.Do(ctx, key, func(err error) {
//		if err == nil && fits(user, password) {
//			t.Remember(key)
//		}
//	})
//
// Who waits is some hundred bytes and no goroutine: the work comes as a function, which one of the turnstile's own goroutines
// calls. They are there only while there is something to do. A caller that waited instead could not be one that
// must not, such as the goroutine of a room, nor hear that its client has hung up.
//
// All methods may be called concurrently. What a newcomer costs grows with the logarithm of how many networks wait.
package turnstile

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// share is the part of the processors (GOMAXPROCS) that the work may take. So many pieces are done at once as that is processors,
// rounded up. What is too much then is made up for by rests: with two processors it is one piece at a time, and behind each a
// rest as long as it took.
const share = 0.25

// Config is how much may wait. The zero value is ready.
type Config struct {
	// How many may wait, in each of the two lines. Who comes in addition is refused, or else, where it is the limit of all,
	// the newest of the network that has most in the line.
	PerName    int // of one name of one network; default 8
	PerNetwork int // of one network; default 256. The zero Addr, for peers in this process, is not bound
	Waiting    int // of all; default 1024: more than get a turn within some seconds, on up to 64 processors

	// Known is how many keys that succeeded are remembered at least, and half of how many at most; default 32,768.
	Known int
}

func (c *Config) fill() {
	def(&c.PerName, 8)
	def(&c.PerNetwork, 256)
	def(&c.Waiting, 1024)
	def(&c.Known, 1<<15)
}

func def(v *int, value int) {
	if *v <= 0 {
		*v = value
	}
}

// Key is for whom work is done.
type Key struct {
	Network netip.Addr // of link.Network: what counts as one
	Name    string     // of any length, as it is not kept
}

// Errors of work that is not done.
var (
	ErrBusy   = errors.New("too much to do") // over one of the limits: try again later
	ErrClosed = errors.New("turnstile closed")
)

// Turnstile is one. Close must follow.
type Turnstile struct {
	cfg     Config
	workers int     // how many pieces are done at once
	rest    float64 // as a part of how long the piece before took
	seed    maphash.Seed
	closing chan struct{}  // closed by Close
	wg      sync.WaitGroup // workers, and those who tell that there will be no turn

	mu      sync.Mutex // guards the fields below
	closed  bool
	working int // workers; while somebody waits it is all of them
	known   memory
	lines   [2]line // of strangers, and of those who are known
	last    int     // which of them had the last turn
}

// The lines.
const (
	strangers = iota
	regulars
)

// New makes a turnstile.
func New(cfg Config) *Turnstile {
	cfg.fill()
	t := &Turnstile{cfg: cfg, seed: maphash.MakeSeed(), closing: make(chan struct{}), known: memory{size: cfg.Known}}
	t.workers, t.rest = split(share * float64(runtime.GOMAXPROCS(0)))
	for i := range t.lines {
		t.lines[i] = newLine()
	}
	return t
}

// split makes so many processors of workers with rests.
func split(processors float64) (workers int, rest float64) {
	workers = int(math.Ceil(processors))
	return workers, float64(workers)/processors - 1
}

// Do has work done, when it is the key's turn. It does not block. After an error, which is ErrBusy, ErrClosed or that of ctx,
// work is not called. Otherwise it is, once: with nil on a goroutine of the turnstile, which has its next turn when it
// returns; or with why there is no turn, one of these errors, on another one, when ctx ends before or others push it
// out. What work has to wait for beyond its turn, such as an answer of a store, it should leave to others.
func (t *Turnstile) Do(ctx context.Context, key Key, work func(error)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	id := maphash.Comparable(t.seed, key)
	t.mu.Lock()
	defer t.mu.Unlock()
	which := strangers
	if t.known.has(id) {
		which = regulars
	}
	switch {
	case t.closed:
		return ErrClosed
	case t.working < t.workers: // and nobody waits
		t.working++
		t.last = which
		t.wg.Go(func() { t.work(work) }) // ends when nobody waits; Close waits for it
		return nil
	}
	l := &t.lines[which]
	if err := t.makeRoom(l, id, key.Network); err != nil {
		return err
	}
	w := l.add(id, key.Network, work)
	w.stop = context.AfterFunc(ctx, func() { t.giveUp(l, w, context.Cause(ctx)) })
	return nil
}

// makeRoom sees to it that one more may wait in a line, or returns why not. The lock is held.
func (t *Turnstile) makeRoom(l *line, id uint64, network netip.Addr) error {
	ofNetwork := l.ofNetwork(network)
	switch {
	case l.ofName(id) >= t.cfg.PerName:
		return fmt.Errorf("%w: limit of %d waiting of one name", ErrBusy, t.cfg.PerName)
	case network.IsValid() && ofNetwork >= t.cfg.PerNetwork:
		return fmt.Errorf("%w: limit of %d waiting of one network", ErrBusy, t.cfg.PerNetwork)
	case l.len() < t.cfg.Waiting:
		return nil
	}
	err := fmt.Errorf("%w: limit of %d waiting", ErrBusy, t.cfg.Waiting)
	out := l.newest()
	if out.name.network.size <= ofNetwork+1 { // the newcomer would be the one to go
		return err
	}
	l.remove(out)
	t.dismiss(out, err)
	return nil
}

// dismiss tells one who waits no more why there is no turn. The lock is held, which is not there for work: so it is
// called by somebody else.
func (t *Turnstile) dismiss(w *waiter, why error) {
	w.stop()
	t.wg.Go(func() { w.work(why) })
}

// giveUp takes one whose context has ended out of the line, if there was no turn before.
func (t *Turnstile) giveUp(l *line, w *waiter, why error) {
	t.mu.Lock()
	if w.place == nil {
		t.mu.Unlock()
		return
	}
	l.remove(w)
	t.wg.Add(1) // Close has not begun, or it would have had the waiter
	t.mu.Unlock()
	defer t.wg.Done()
	w.work(why)
}

// work does a piece of work, and those of who waits.
func (t *Turnstile) work(work func(error)) {
	for work != nil {
		start := time.Now()
		work(nil)
		t.pause(time.Since(start))
		work = t.next()
	}
}

// longestRest bounds a rest. On a machine that is busy with other things work takes longer, and the rest, too; but
// there shall be an end to it.
const longestRest = 250 * time.Millisecond

// pause leaves the processor to others, by how long a piece of work has taken.
func (t *Turnstile) pause(took time.Duration) {
	rest := min(time.Duration(t.rest*float64(took)), longestRest)
	if rest <= 0 {
		return
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.closing:
	}
}

// next is the work whose turn it is, or nil, when the worker is to end.
func (t *Turnstile) next() func(error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, which := range [2]int{1 - t.last, t.last} {
		if w := t.lines[which].next(); w != nil {
			t.last = which
			w.stop()
			return w.work
		}
	}
	t.working--
	return nil
}

// Remember notes that a key has succeeded: it is known from now on.
func (t *Turnstile) Remember(key Key) {
	id := maphash.Comparable(t.seed, key)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.add(id)
}

// Knows tells whether a key has succeeded, and is remembered still.
func (t *Turnstile) Knows(key Key) bool {
	id := maphash.Comparable(t.seed, key)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known.has(id)
}

// Close refuses what comes from now on, and what waits, with ErrClosed, and blocks until all work that was begun, or
// told so, has returned. It may be called again, but not by work.
func (t *Turnstile) Close() {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.closing)
		for i := range t.lines {
			for w := t.lines[i].next(); w != nil; w = t.lines[i].next() {
				t.dismiss(w, ErrClosed)
			}
		}
	}
	t.mu.Unlock()
	t.wg.Wait()
}
