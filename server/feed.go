package server

import (
	"slices"
	"sync"
	"time"

	"parlor"
	"parlor/internal/pyjson"
)

// feed tells sessions that have subscribed what changes in the game directory: once for all of them, at most once in
// feedInterval, and not faster than Limits.DirectoryRate.
//
// Who subscribes and what is pushed goes through one batch, one after the other: a subscriber gets the directory as it was
// when the feed looked at it last, and then each change from there.
type feed struct {
	srv   *Server
	looks batch[parlor.Payload] // at the directory, joined; they give all of it

	mu          sync.Mutex // guards what follows; no other lock is taken while it is held
	subscribers map[*session]struct{}
	timer       *time.Timer // for the next look; nil while nobody subscribes

	// These belong to the goroutine of the batch.
	last   map[string]line // the directory at the last look
	whole  parlor.Payload  // all of it
	looked time.Time       // when that was
}

// line is what the directory says of a game.
type line struct {
	number int64 // of the game, as one of its name may have taken its place
	users  int
	info   string
}

// feedInterval is how long changes are gathered.
const feedInterval = time.Second

// subscription is what a session keeps of its being a subscriber, guarded by its mutex.
type subscription struct {
	unread []unread // pushes that the client has not acknowledged
	bytes  int      // of them
	behind bool     // it has missed some: it gets the whole directory when it has acknowledged the others
}

type unread struct {
	seq  uint64
	size int
}

// Bounds of what a subscriber has not acknowledged.
const (
	maxUnread      = 16
	maxUnreadBytes = 256 << 10
)

// subscribe answers with the directory, and has the session told what changes in it.
func (s *Server) subscribe(ss *session, _ arguments) (parlor.Response, bool) {
	s.paced(ss, func(paid func(parlor.Payload)) {
		s.feed.looks.ask(func(dir parlor.Payload) {
			paid(dir)
			s.feed.add(ss) // before the answer, behind which the client may unsubscribe; the next look is not before this ends
			ss.finish(parlor.OK("Subscribed to the games directory. See payload.", dir))
		})
	})
	return parlor.Response{}, false
}

func (s *Server) unsubscribe(ss *session, _ arguments) (parlor.Response, bool) {
	if !s.feed.remove(ss) {
		return parlor.Unexpected("Not subscribed."), true
	}
	return parlor.OK("Unsubscribed from the games directory."), true
}

// add makes a session a subscriber, anew if it is one.
func (f *feed) add(ss *session) {
	f.mu.Lock()
	f.subscribers[ss] = struct{}{}
	f.schedule(feedInterval)
	f.mu.Unlock()
	ss.mu.Lock()
	over := ss.ended || ss.stream == nil || ss.orphans.Load() // meanwhile, or for another client of hers
	if ss.subscription == nil {
		ss.subscription = &subscription{}
	}
	ss.subscription.behind = false
	ss.mu.Unlock()
	if over {
		f.remove(ss)
	}
}

// remove takes a session off the subscribers, if it is one.
func (f *feed) remove(ss *session) (was bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return f.forget(ss)
}

// forget is remove with the session's lock held.
func (f *feed) forget(ss *session) (was bool) {
	ss.subscription = nil
	f.mu.Lock()
	defer f.mu.Unlock()
	_, was = f.subscribers[ss]
	delete(f.subscribers, ss)
	if len(f.subscribers) == 0 && f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	return was
}

// schedule sets the timer, if it is not. The lock is held.
func (f *feed) schedule(after time.Duration) {
	if f.timer == nil && len(f.subscribers) > 0 && !f.srv.stopping.Load() {
		f.timer = time.AfterFunc(after, func() { f.looks.ask(func(parlor.Payload) {}) })
	}
}

// give gives the directory, as it was a moment ago if the feed has looked at it then: however many subscribe, nobody else is told
// anything sooner for that.
func (f *feed) give() parlor.Payload {
	if time.Since(f.looked) >= feedInterval {
		f.look()
	}
	return f.whole
}

// look looks at the directory, tells subscribers what has changed since the last time, and keeps all of it. It runs on the
// batch's goroutine, and blocks for Limits.InfoWait at most.
func (f *feed) look() {
	games := f.srv.freshGames()
	now := make(map[string]line, len(games))
	for _, g := range games {
		info, _ := g.room.Info()
		now[g.name] = line{g.number, f.srv.usersOf(g), info}
	}
	whole := f.srv.directoryOf(games) // after the lines: what it has more than these comes again
	f.mu.Lock()
	to := make([]*session, 0, len(f.subscribers))
	for ss := range f.subscribers {
		to = append(to, ss)
	}
	f.mu.Unlock()
	size := 0
	if len(to) > 0 {
		changes := f.changes(games, now)
		all := &parlor.Push{Message: parlor.PushGames, Payload: whole}
		for _, ss := range to {
			ss.tell(changes, all)
		}
		for _, p := range changes {
			size += len(p.Payload.JSON())
		}
	}
	f.last, f.whole, f.looked = now, whole, time.Now()
	pause := feedInterval
	if rate := f.srv.cfg.Limits.DirectoryRate; rate > 0 {
		pause = max(pause, time.Duration(float64(size)/float64(rate)*float64(time.Second)))
	}
	f.mu.Lock()
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	f.schedule(pause)
	f.mu.Unlock()
}

// changes are the pushes about what is not as it was at the last look: one, or more if it would be too large.
func (f *feed) changes(games []*game, now map[string]line) (pushes []*parlor.Push) {
	limit := min(f.srv.cfg.Limits.ResponseSize-1024, maxUnreadBytes)
	var changed, gone []byte
	flush := func() {
		if len(changed)+len(gone) == 0 {
			return
		}
		text := append([]byte(`{"changed": {`), changed...)
		text = append(append(text, `}, "gone": [`...), gone...)
		payload, _ := parlor.ParsePayload(append(text, "]}"...)) // of our own making
		pushes = append(pushes, &parlor.Push{Message: parlor.PushGamesChanged, Payload: payload})
		changed, gone = nil, nil
	}
	next := func(list *[]byte, add func(b []byte) []byte) {
		if len(*list) > 0 {
			*list = append(*list, ", "...)
		}
		if *list = add(*list); len(changed)+len(gone) > limit {
			flush() // a little over it: a line is not large
		}
	}
	for _, name := range sortedKeys(f.last) {
		if _, there := now[name]; !there {
			next(&gone, func(b []byte) []byte { return pyjson.AppendString(b, name) })
		}
	}
	for _, g := range games {
		if l := now[g.name]; l != f.last[g.name] {
			next(&changed, func(b []byte) []byte { return appendGame(b, g, l.users, l.info) })
		}
	}
	flush()
	return pushes
}

// tell gives a subscriber changes of the directory, or, if it has missed some, all of it. One that does not acknowledge what it
// got misses some: what waits for it is not shared with others for long, and could be large.
func (ss *session) tell(changes []*parlor.Push, all *parlor.Push) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	sub := ss.subscription
	if sub == nil || ss.stream == nil || ss.ended {
		return
	}
	sub.acknowledge(ss.stream.acknowledged)
	switch {
	case sub.behind && len(sub.unread) > 0:
		return
	case sub.behind:
		changes, sub.behind = []*parlor.Push{all}, false
	case len(changes) > 0 && (len(sub.unread) >= maxUnread || sub.bytes >= maxUnreadBytes):
		sub.behind = true
		ss.srv.stats.SubscribersBehind.Add(1)
		return
	}
	for _, p := range changes {
		if ss.push(p) == nil {
			sub.add(unread{ss.stream.seq, len(p.Payload.JSON())})
		}
	}
}

func (sub *subscription) add(u unread) {
	sub.unread = append(sub.unread, u)
	sub.bytes += u.size
}

func (sub *subscription) acknowledge(seq uint64) {
	n := 0
	for n < len(sub.unread) && sub.unread[n].seq <= seq {
		sub.bytes -= sub.unread[n].size
		n++
	}
	sub.unread = slices.Delete(sub.unread, 0, n)
}
