package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"parlor/link"
)

// Reconnect says how a client gets another link for its session, when one that carries envelopes has ended and nobody
// wanted it to. A link of pgnet's wire ends its session.
//
// The n-th try comes after a random time below Min·2^(n-1), Max at most: at once, but not together with all others whose
// link was cut at the same moment. The count begins again behind a link that has lasted for 2 s, and behind a shorter one that
// has brought an answer or a push; the latter once within Max, so that a server which closes such links is not called
// all the time.
type Reconnect struct {
	Min time.Duration // default 100 ms
	Max time.Duration // default 10 s
	// For is how long it is tried before the client is disconnected. Default: 5 minutes, or as long as the server keeps the session
	// if that is longer, and 10 s more. Negative: not at all. How long it keeps it the server says at the login, and when the user
	// joins a game that keeps seats for longer or shorter than others.
	For time.Duration
	// Jitter picks the time to wait, below a positive one. Default: at random, all times alike.
	Jitter func(below time.Duration) time.Duration
}

func (r *Reconnect) fill() {
	if r.Min <= 0 {
		r.Min = 100 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = 10 * time.Second
	}
	if r.Jitter == nil {
		r.Jitter = rand.N[time.Duration]
	}
}

// steady is how long a link has to last to be a good one, whatever it has brought.
const steady = 2 * time.Second

// judge looks at a link that has ended, and has the count of tries begin again behind a good one. A short one that was used is
// pardoned, but not again and again: a server may close at once each link on which it has said something.
func (r *run) judge(began time.Time, used bool) {
	now := time.Now()
	switch most := r.c.cfg.Reconnect.Max; {
	case now.Sub(began) >= min(steady, most):
	case used && now.Sub(r.pardoned) >= most:
		r.pardoned = now
	default:
		return
	}
	r.tries = 0
}

// limit is how long it is tried to resume a session that the server keeps for so long.
func (r *Reconnect) limit(window time.Duration) time.Duration {
	if r.For > 0 {
		return r.For
	}
	return max(5*time.Minute, window+10*time.Second)
}

// wait is how long to wait before the next try, after so many.
func (r *Reconnect) wait(tries int) time.Duration {
	below := r.Max
	if tries < 32 && r.Min<<tries > 0 {
		below = min(r.Min<<tries, r.Max)
	}
	return r.Jitter(below)
}

// textShuttingDown refuses a login at a server that is about to stop: as that may be for a restart, it is tried again.
const textShuttingDown = "Server is shutting down."

// reconnect finds another link for a session whose link has ended. It blocks until the user is logged in again; without a link
// it has ended the run.
func (r *run) reconnect(why error) *path {
	c, cfg := r.c, &r.c.cfg.Reconnect
	c.mu.Lock()
	c.setLinked(false)
	c.setStatus(statusLost + reasonOf(why).Reason)
	c.mu.Unlock()
	limit := cfg.limit(r.keeps())
	ctx, cancel := context.WithTimeout(r.ctx, limit)
	defer cancel()
	for try := 1; ; try++ {
		pause(ctx, cfg.wait(r.tries))
		r.tries++
		if ctx.Err() != nil {
			r.end(&DisconnectedError{Reason: reasonOf(why).Reason, Err: fmt.Errorf("no way back within %v: %w", limit, why)}) // if it has not ended before
			return nil
		}
		c.mu.Lock()
		c.setStatus(fmt.Sprintf("Reconnecting to %s (try %d)...", c.target(), try))
		c.mu.Unlock()
		p, err := r.open(ctx, r.offer(), func() {})
		if err == nil {
			return r.takeUp(p)
		}
		if p != nil {
			p.drop()
		}
		if final := refusal(err); final != nil {
			r.end(final)
			return nil
		}
		why = err
	}
}

// refusal is why it is no use to try again; nil if it is.
func refusal(err error) *DisconnectedError {
	var named *DisconnectedError
	if errors.As(err, &named) && named.Reason != ReasonCallFailed && named.Reason != textShuttingDown {
		return named
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// takeUp goes on with a new link: with the session, or else with a new one.
func (r *run) takeUp(p *path) *path {
	r.c.links.Add(1)
	if p.welcome == nil || !p.welcome.Resumed {
		r.beginAnew(p)
		return p
	}
	if err := r.resume(p.welcome); err != nil {
		r.end(err)
		return nil
	}
	c := r.c
	c.resumed.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setLinked(true)
	c.setStatus("Resumed as " + c.cfg.Username + " @ " + p.conn.Remote())
	if r.idle() { // else the answers that are to come say it, in their turn
		r.setGame(p.answer)
	}
	return p
}

// resume goes on with what the server says it has.
func (r *run) resume(w *link.Welcome) *DisconnectedError {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.ID < r.settled() || w.ID > r.lastID {
		return unexpected("it resumes a session of request %d, and has answered %d of %d", w.ID, r.settled(), r.lastID)
	}
	r.token, r.window = w.Token, w.Window
	r.takeBack(w.ID)
	r.owes = owes{}
	if n := w.Lost - r.toldLost; n > 0 {
		r.lost(n)
		r.toldLost = w.Lost
	}
	return nil
}

// beginAnew tells everybody that the session is gone, in the order of finish, and that there is another one.
func (r *run) beginAnew(p *path) {
	c := r.c
	r.mu.Lock()
	sent, waiting := r.sent, r.waiting()
	r.stream = stream{}
	r.begin(p.welcome)
	r.urgent, r.queue = nil, nil
	r.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	r.dropBeat()
	r.fail(sent, waiting, &DisconnectedError{Reason: ReasonSessionLost})
	c.setConnected(false)
	c.streams = p.welcome != nil
	r.loggedIn(p)
	c.setLinked(true)
}
