package crash

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"parlor/internal/crash/program/game"
)

// Ledger has what was sent to games, and what people were told of them, and compares that with what the games have to tell. Its methods may
// be called concurrently. Their errors are what must never happen.
type Ledger struct {
	mu     sync.Mutex // guards what follows
	sent   map[move]string
	refuse map[move]bool
	rooms  map[string]*chain
	since  string // runs from before are over
	total  Totals
}

// Totals count what was compared.
type Totals struct {
	Moves  int // that were answered
	Told   int // places that somebody was told
	Events int // that were proved
}

type move struct {
	user string
	id   uint64
}

// chain is what is known of one game. What is up to base was compared.
type chain struct {
	base   game.Place
	last   map[string]uint64            // the last move of each user, up to base
	proved map[uint64]notice            // up to base
	told   map[string]map[uint64]notice // behind base, by run and number
	saved  []game.Place                 // of a game that is not durable: confirmed to be saved, in order
}

// notice is a place that somebody was told.
type notice struct {
	game.Place
	who  string
	move move // whose answer it was; zero if it was none
}

// NewLedger makes one that knows nothing.
func NewLedger() *Ledger {
	return &Ledger{sent: make(map[move]string), refuse: make(map[move]bool), rooms: make(map[string]*chain)}
}

// Totals are the counts so far.
func (l *Ledger) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// room is the chain of a game. The lock is held.
func (l *Ledger) room(name string) *chain {
	c := l.rooms[name]
	if c == nil {
		c = &chain{
			last: make(map[string]uint64), proved: make(map[uint64]notice), told: make(map[string]map[uint64]notice),
		}
		l.rooms[name] = c
	}
	return c
}

// Sent notes that a user is about to make a move in a game. Each has another ID, higher than the one before.
func (l *Ledger) Sent(room, user string, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[move{user, id}] = room
}

// Refused notes that a move was answered with a refusal: it must never be there.
func (l *Ledger) Refused(user string, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse[move{user, id}] = true
}

// Answered notes that a move was answered, with its place.
func (l *Ledger) Answered(room, user string, id uint64, p game.Place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.Moves++
	return l.room(room).note(notice{p, user, move{user, id}})
}

// Told notes that somebody was told of a place.
func (l *Ledger) Told(room, who string, p game.Place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.Told++
	return l.room(room).note(notice{p, who, move{}})
}

// note adds a notice, or compares it with what is known already.
func (c *chain) note(n notice) error {
	if n.N == 0 || n.Hash == "" {
		return fmt.Errorf("%s was told of an event without a place", n.who)
	}
	if n.N <= c.base.N { // it has come late
		switch p := c.proved[n.N]; {
		case p.Run != n.Run: // a run that was forgotten
		case p.Hash != n.Hash:
			return fmt.Errorf("%s was told that event %d is %s, but it is %s", n.who, n.N, n.Hash, p.Hash)
		case n.move != (move{}) && n.move != p.move:
			return fmt.Errorf("the move %v was answered as event %d, which is move %v", n.move, n.N, p.move)
		}
		return nil
	}
	if c.told[n.Run] == nil {
		c.told[n.Run] = make(map[uint64]notice)
	}
	old, known := c.told[n.Run][n.N]
	switch {
	case known && old.Hash != n.Hash:
		return fmt.Errorf("%s was told that event %d is %s, and %s that it is %s", old.who, n.N, old.Hash, n.who, n.Hash)
	case known && n.move == (move{}):
		return nil
	case known && old.move != (move{}) && old.move != n.move:
		return fmt.Errorf("the moves %v and %v were both answered as event %d", old.move, n.move, n.N)
	}
	c.told[n.Run][n.N] = n
	return nil
}

// Restarted notes that a server is about to start: runs from before are over.
func (l *Ledger) Restarted(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = game.Run(at)
}

// Confirm is called before all games are saved. The function that it returns notes that they were.
func (l *Ledger) Confirm() (saved func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	places := make(map[*chain]game.Place)
	for _, c := range l.rooms {
		for run, notices := range c.told {
			for _, n := range notices {
				if run != "" && run >= l.since && n.N > max(places[c].N, c.base.N) {
					places[c] = n.Place
				}
			}
		}
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for c, p := range places {
			c.saved = append(c.saved, p)
		}
	}
}

// Question is what to ask a game.
type Question struct {
	Known uint64            // up to which events are proved
	told  map[string]uint64 // by run, the last event that somebody was told
	saved []game.Place
	base  game.Place
	last  map[string]uint64
}

// Ask makes the question for an audit. What becomes known from now on need not be in its answer.
func (l *Ledger) Ask(room string) Question {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.room(room)
	q := Question{Known: c.base.N, told: make(map[string]uint64), saved: slices.Clone(c.saved), base: c.base, last: maps.Clone(c.last)}
	for run, notices := range c.told {
		for n := range notices {
			q.told[run] = max(q.told[run], n)
		}
	}
	return q
}

// Check compares what a game has answered: the events behind q.Known, and where it ends. All is proved then. There may be one question
// of a game at a time.
func (l *Ledger) Check(room string, q Question, events []game.Event, end game.Place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.room(room)
	w := l.walk(room, q, events, end, false)
	base := end
	if end.Run != "" { // it is not durable
		base = q.base
		if n := len(q.saved); n > 0 {
			base = q.saved[n-1]
		}
		c.saved = c.saved[len(q.saved):]
	}
	l.total.Events += int(base.N - c.base.N)
	c.proveUpTo(base, w.places, events)
	return errors.Join(w.errs...)
}

// Compare is Check for a copy of the game, as it was at some time after Ask, and has gone on since. Nothing is proved by that. No other
// question of the game may have been answered since Ask.
func (l *Ledger) Compare(room string, q Question, events []game.Event, end game.Place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.walk(room, q, events, end, true).errs...)
}

// walk goes along all events of a game.
func (l *Ledger) walk(room string, q Question, events []game.Event, end game.Place, isCopy bool) *walk {
	w := &walk{ledger: l, chain: l.room(room), room: room, isCopy: isCopy, question: q, places: []game.Place{q.base}, last: maps.Clone(q.last)}
	for _, e := range events {
		w.step(e)
	}
	if w.end() != end {
		w.wrong("its events come to %+v, but it says that it is at %+v", w.end(), end)
	}
	if n := q.told[end.Run]; n > end.N {
		told := w.chain.told[end.Run][n]
		w.wrong("%s was told of event %d (move %d), but it is at %d", told.who, n, told.move.id, end.N)
	}
	for _, s := range q.saved {
		if !slices.Contains(w.places, s) {
			w.wrong("event %d of run %s was there when a save was confirmed, but is not any more", s.N, s.Run)
		}
	}
	return w
}

// proveUpTo moves the base.
func (c *chain) proveUpTo(base game.Place, places []game.Place, events []game.Event) {
	for i, e := range events {
		p := places[i+1]
		if p.N > base.N {
			break
		}
		fact := notice{Place: p}
		if e.What == game.Move {
			fact.move = move{e.User, e.ID}
			c.last[e.User] = e.ID
		}
		c.proved[p.N] = fact
	}
	c.base = base
	for run, notices := range c.told {
		maps.DeleteFunc(notices, func(n uint64, _ notice) bool { return n <= base.N })
		if len(notices) == 0 && run < base.Run {
			delete(c.told, run)
		}
	}
}

// walk goes along the events of a game.
type walk struct {
	ledger   *Ledger
	chain    *chain
	room     string
	isCopy   bool // what was told after the question need not be so
	question Question
	places   []game.Place      // behind each event, and at first before all
	last     map[string]uint64 // the last move of each user
	errs     []error
}

func (w *walk) end() game.Place { return w.places[len(w.places)-1] }

func (w *walk) wrong(format string, args ...any) {
	if len(w.errs) < 5 {
		w.errs = append(w.errs, fmt.Errorf("game %s: "+format, append([]any{w.room}, args...)...))
	}
}

func (w *walk) step(e game.Event) {
	place := w.end().After(e)
	w.places = append(w.places, place)
	m := move{e.User, e.ID}
	if e.What == game.Move {
		switch l := w.ledger; {
		case e.ID <= w.last[e.User]:
			w.wrong("event %d is move %d of %s, who had made move %d before: it is there twice, or out of order", place.N, e.ID, e.User, w.last[e.User])
		case l.refuse[m]:
			w.wrong("event %d is move %d of %s, which was refused", place.N, e.ID, e.User)
		case l.sent[m] != w.room:
			w.wrong("event %d is move %d of %s, which was sent to game %q", place.N, e.ID, e.User, l.sent[m])
		}
		w.last[e.User] = e.ID
	}
	told, known := w.chain.told[place.Run][place.N]
	switch {
	case !known || w.isCopy && place.N > w.question.told[place.Run]:
	case told.Hash != place.Hash:
		w.wrong("%s was told that event %d is %s (move %d), but it is %s: %+v", told.who, place.N, told.Hash, told.move.id, place.Hash, e)
	case told.move != (move{}) && (e.What != game.Move || told.move != m):
		w.wrong("move %d of %s was answered as event %d, but that is %+v", told.move.id, told.who, place.N, e)
	}
}
