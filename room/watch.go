package room

import (
	"math"
	"sync/atomic"
	"time"
)

// watch finds a hook that does not come back, which guard hears of only when it does. It looks every Config.Budget as long as the
// game does something; a room that is idle has no timer.
type watch struct {
	hooks atomic.Uint64 // hooks begun, and hooks ended: odd while one is under way
	set   atomic.Bool   // the alarm is set
	alarm *time.Timer   // belongs to who has set set
	seen  uint64        // hooks at the last look, which it belongs to
}

// begins notes that a hook begins. It belongs to the room's goroutine, as does ends.
func (r *Room) begins() {
	w := &r.watch
	w.hooks.Add(1)
	if !w.set.Load() {
		r.setWatch()
	}
}

func (r *Room) ends() { r.watch.hooks.Add(1) }

// setWatch sets the alarm, unless somebody has done so meanwhile.
func (r *Room) setWatch() {
	w := &r.watch
	if !w.set.CompareAndSwap(false, true) {
		return
	}
	if w.alarm == nil {
		w.alarm = time.AfterFunc(math.MaxInt64, r.look) // known before it can go off; it ends at once
	}
	w.alarm.Reset(r.cfg.Budget)
}

// look is the alarm. A hook that was under way at the last look already has not come back for Budget.
func (r *Room) look() {
	w := &r.watch
	n := w.hooks.Load()
	if n != w.seen {
		w.seen = n
		w.alarm.Reset(r.cfg.Budget)
		return
	}
	if n%2 == 1 {
		if n := r.stats.Stuck.Add(1); worthLogging(n) {
			r.logger.Error("a hook does not come back: the room is stuck until it does", "after", r.cfg.Budget, "count", n)
		}
	}
	w.set.Store(false)
	if w.hooks.Load() != n { // since a moment ago, by who has found it set
		r.setWatch()
	}
}
