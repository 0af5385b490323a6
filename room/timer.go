package room

import (
	"container/heap"
	"math"
	"time"

	"parlor"
)

// timers are what the room has to do at certain times: the game's updates and its timers. One alarm is set for
// the first of them, and puts a message in the mailbox by which all is done that is due by then. They belong to
// the room's goroutine.
type timers struct {
	began  time.Time // times are counted from here, by the clock of the alarm
	queue  queue
	count  int    // timers of the game
	made   uint64 // timers ever
	alarm  Alarm  // nil before there was a timer
	set    bool   // the alarm is to go off
	at     time.Duration
	atWork bool // the alarm is set behind what is done now
}

// timer is one of them.
type timer struct {
	room     *Room
	hook     string
	call     func()
	due      time.Duration
	interval time.Duration // 0: once
	number   uint64        // of those that are due together the older one comes first
	place    int           // in the queue; none when it is not there
	live     bool          // it will be called, or is being called and will be again
}

const none = -1

// queue is a heap of timers, the next one first.
type queue []*timer

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].due < q[j].due || q[i].due == q[j].due && q[i].number < q[j].number
}
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}
func (q *queue) Push(x any) {
	t := x.(*timer)
	t.place = len(*q)
	*q = append(*q, t)
}
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.place = none
	return t
}

// now is the clock that the alarm goes by.
func (r *Room) now() time.Time {
	if r.cfg.AfterFunc != nil {
		return r.cfg.Now()
	}
	return time.Now() // monotonic (defect 30)
}

func (r *Room) sinceBegan() time.Duration { return r.now().Sub(r.timers.began) }

func (v view) After(d time.Duration, f func()) parlor.Timer { return v.r.newTimer(d, 0, f) }

func (v view) Every(d time.Duration, f func()) parlor.Timer {
	d = max(d, time.Millisecond)
	return v.r.newTimer(d, d, f)
}

// newTimer makes a timer of the game, unless there are too many or the room has closed.
func (r *Room) newTimer(d, interval time.Duration, f func()) *timer {
	t := &timer{room: r, hook: "timer", call: f, interval: interval, place: none}
	switch {
	case r.closed:
	case r.timers.count >= r.cfg.Timers:
		if n := r.stats.TimersRefused.Add(1); worthLogging(n) {
			r.logger.Error("limit of timers reached: one is refused and will never fire", "limit", r.cfg.Timers, "count", n)
		}
	default:
		r.timers.count++
		r.schedule(t, d)
	}
	return t
}

// scheduleUpdates begins the updates of a game that wants some.
func (r *Room) scheduleUpdates() {
	u, updates := r.game.(parlor.Updater)
	if !updates {
		return
	}
	if rate := r.updateRate(); rate > 0 {
		interval := time.Duration(float64(time.Second) / rate)
		r.schedule(&timer{room: r, hook: hookUpdate, call: u.Update, interval: interval}, interval)
	}
}

// hookUpdate is the hook of updates.
const hookUpdate = "update"

func (r *Room) schedule(t *timer, d time.Duration) {
	now := r.sinceBegan()
	from := now
	if dur := r.durable; dur != nil {
		from = dur.clock
		if !dur.remaking { // a game that is made again sets its timers for when they were due
			d = max(d, shortest)
		}
		d = wholeMicroseconds(d)
		t.interval = wholeMicroseconds(t.interval)
	}
	t.live = true
	t.number = r.timers.made
	r.timers.made++
	t.due = from + max(d, 0)
	if t.due < from {
		t.due = math.MaxInt64 // in 292 years
	}
	heap.Push(&r.timers.queue, t)
	r.setAlarm(now)
}

// shortest is the least time that a timer of a durable game takes: with none at all, one that always made the next would never let the clock
// move on.
const shortest = time.Millisecond

// wholeMicroseconds rounds up.
func wholeMicroseconds(d time.Duration) time.Duration {
	if rest := d % time.Microsecond; rest > 0 && d < math.MaxInt64-time.Microsecond {
		d += time.Microsecond - rest
	}
	return d
}

// setAlarm sets the alarm for the first timer, if it is not.
func (r *Room) setAlarm(now time.Duration) {
	ts := &r.timers
	if len(ts.queue) == 0 || ts.atWork {
		return
	}
	due := ts.queue[0].due
	if ts.set && ts.at <= due {
		return // it is set, or goes off too early and is set then
	}
	ts.set, ts.at = true, due
	wait := max(due-now, 0)
	switch {
	case ts.alarm != nil:
		ts.alarm.Reset(wait)
	case r.cfg.AfterFunc != nil:
		ts.alarm = r.cfg.AfterFunc(wait, r.ring)
	default:
		ts.alarm = time.AfterFunc(wait, r.ring)
	}
}

// ring has the timers looked at, on any goroutine.
func (r *Room) ring() {
	r.mu.Lock()
	if r.rung {
		r.mu.Unlock()
		return
	}
	r.rung = true
	r.put(message{do: r.tick})
}

// tick calls the timers that are due; those made meanwhile have their turn behind what is in the mailbox by then.
func (r *Room) tick() {
	r.mu.Lock()
	r.rung = false
	r.mu.Unlock()
	ts := &r.timers
	ts.set = false
	if r.durable != nil {
		r.durable.tick()
		return
	}
	ts.atWork = true
	now, made := r.sinceBegan(), ts.made
	for len(ts.queue) > 0 {
		t := ts.queue[0]
		if t.due > now || t.number >= made {
			break
		}
		heap.Pop(&ts.queue)
		r.fire(t)
	}
	ts.atWork = false
	r.setAlarm(r.sinceBegan())
}

// fire calls a timer that is due, and puts it back if it is to be called again: for the first of its times that
// has not passed yet. Those that have are not made up for, as this would keep a room busy that has too much to
// do already.
func (r *Room) fire(t *timer) {
	if t.interval == 0 {
		r.drop(t)
	}
	r.guard(t.hook, t.call)
	if !t.live {
		return
	}
	late := max(r.sinceBegan()-t.due-1, 0) / t.interval
	if late > 0 {
		r.stats.Late.Add(int64(late))
	}
	t.due += (late + 1) * t.interval
	heap.Push(&r.timers.queue, t)
}

// drop takes a timer of the game out of the count.
func (r *Room) drop(t *timer) {
	t.live = false
	r.timers.count--
}

// Stop is parlor.Timer's.
func (t *timer) Stop() bool {
	if !t.live {
		return false
	}
	r := t.room
	r.drop(t)
	if t.place != none {
		heap.Remove(&r.timers.queue, t.place)
	}
	if ts := &r.timers; len(ts.queue) == 0 && ts.set {
		ts.alarm.Stop()
		ts.set = false
	}
	return true
}

// stopTimers ends all timers, when the room has closed.
func (r *Room) stopTimers() {
	ts := &r.timers
	for _, t := range ts.queue {
		t.live, t.place = false, none
	}
	ts.queue, ts.count = nil, 0
	if ts.alarm != nil {
		ts.alarm.Stop()
	}
}
