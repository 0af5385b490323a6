package room

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/bits"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"parlor"
)

// guard calls a hook of the game and tells whether it came back. A panic is logged with its stack.
func (r *Room) guard(hook string, call func()) (ok bool) {
	return r.guardFrom(time.Since(r.opened), hook, call)
}

// guardFrom is guard with the time at which the hook begins, counted from the room's opening.
func (r *Room) guardFrom(start time.Duration, hook string, call func()) (ok bool) {
	if !r.stale.Load() {
		r.stale.Store(true)
	}
	r.begins()
	defer func() {
		r.ends()
		r.hookEnd = time.Since(r.opened)
		if took := r.hookEnd - start; took > r.cfg.Budget {
			if n := r.stats.Slow.Add(1); worthLogging(n) {
				r.logger.Warn("slow hook", "hook", hook, "took", took, "count", n)
			}
		}
		cause := recover()
		if ok {
			return
		}
		if n := r.stats.Panics.Add(1); worthLogging(n) {
			level, message := slog.LevelError, "hook panicked"
			if d := r.durable; d != nil && d.replaying {
				level, message = slog.LevelInfo, "hook panicked as the game was played again"
			}
			r.logger.Log(context.Background(), level, message, "hook", hook, "panic", fmt.Sprint(cause), "count", n,
				"at", panickedAt(), "stack", string(debug.Stack()))
		}
	}()
	call()
	return true
}

// worthLogging tells whether to log the n-th time of what a game can do wrong at every turn, which would fill the
// log: the first ones, and then ever fewer.
func worthLogging(n int64) bool { return n <= 8 || bits.OnesCount64(uint64(n)) == 1 }

// panickedAt is the line of the game that panicked, for people who look for it in a long stack.
func panickedAt() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	panicking := false
	for {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if panicking && !inRuntime {
			return fmt.Sprintf("%s:%d %s", filepath.Base(f.File), f.Line, f.Function)
		}
		panicking = panicking || f.Function == "runtime.gopanic"
		if !more {
			return "unknown"
		}
	}
}

func (r *Room) persistent() (keep bool) {
	p, ok := r.game.(parlor.Persister)
	if !ok {
		return false
	}
	if !r.guard("persistent", func() { keep = p.Persistent() }) {
		return true // rather a room too many than a game lost
	}
	return keep
}

func (r *Room) maxUsers() (limit int) {
	if l, ok := r.game.(parlor.Limiter); ok {
		r.aside(func() { r.guard("max users", func() { limit = l.MaxUsers() }) }) // a join that is refused makes no entry
	}
	return limit
}

// heartbeatRate is the game's, if pgnet's client can live with it: 0, NaN and infinity break it (section 8.4).
func (r *Room) heartbeatRate() float64 {
	var rate float64
	if h, ok := r.game.(parlor.HeartbeatRater); ok {
		r.guard("heartbeat rate", func() { rate = h.HeartbeatRate() })
	}
	if rate > 0 && !math.IsInf(rate, 0) {
		return rate
	}
	return parlor.DefaultHeartbeatRate
}

// updateRate is the game's, within its bounds; 0 is never.
func (r *Room) updateRate() float64 {
	rate := float64(parlor.DefaultUpdateRate)
	u, ok := r.game.(parlor.UpdateRater)
	if !ok {
		return rate
	}
	r.guard("update rate", func() { rate = u.UpdateRate() })
	var taken float64
	switch {
	case math.IsNaN(rate):
		taken = parlor.DefaultUpdateRate
	case rate <= 0:
		taken = 0
	default:
		taken = min(max(rate, minUpdateRate), maxUpdateRate)
	}
	if taken != rate {
		r.logger.Warn("the game's update rate is out of bounds",
			"rate", rate, "from", minUpdateRate, "to", maxUpdateRate, "taken as", taken)
	}
	return taken
}

// Updates a second, where there are any.
const (
	minUpdateRate = 1
	maxUpdateRate = 128
)

// window is how long the game wants the seats of users kept whose links are gone.
func (r *Room) window() time.Duration {
	window := r.cfg.Window
	if h, ok := r.game.(parlor.Resumer); ok {
		r.guard("resume window", func() { window = h.ResumeWindow() })
	}
	return max(window, 0)
}

func (r *Room) pushOnHeartbeat() (ride bool) {
	if h, ok := r.game.(parlor.HeartbeatPusher); ok {
		r.guard("push on heartbeat", func() { ride = h.PushOnHeartbeat() })
	}
	return ride
}

func (r *Room) save() (s Save, ok bool, err error) {
	defer r.inVain()()
	if r.closed {
		return Save{}, false, ErrClosed
	}
	saver, saves := r.game.(parlor.Saver)
	if !saves || !r.persistent() {
		return Save{}, false, nil
	}
	if !r.guard("save", func() { s.Data = saver.SaveString() }) {
		return Save{}, false, fmt.Errorf("save game %q: the hook panicked", r.cfg.Name)
	}
	s.Version = r.versionOfSaves()
	return s, s.Data != "", nil
}

// versionOfSaves is the version of the saves that the game makes.
func (r *Room) versionOfSaves() (version int) {
	if v, ok := r.game.(parlor.Versioner); ok {
		r.aside(func() { r.guard("save version", func() { version = v.SaveVersion() }) })
	}
	return version
}

// saveSpacing is the time at least between two saves that a game asks for.
const saveSpacing = time.Second

func (v view) Save() {
	if d := v.r.durable; d == nil || !d.replaying {
		v.r.saveWanted = true
	}
}

// saveIfWanted has the game saved if it has asked for that, unless the one before is not long ago.
func (r *Room) saveIfWanted() {
	if !r.saveWanted || r.saveWaits || r.closed || r.game == nil {
		return
	}
	r.saveWanted, r.saveWaits = false, true
	done := func() {
		time.AfterFunc(saveSpacing, func() { r.post(func() { r.saveWaits = false }) })
	}
	if d := r.durable; d != nil {
		d.save(func(error) { done() })
	} else {
		s, ok, err := r.save()
		r.cfg.Keep(s, ok, err, done)
	}
}

// inVain has the game ask to be saved in vain until the function is called that it returns: by the hooks of a save it would be for ever.
func (r *Room) inVain() (end func()) {
	wanted := r.saveWanted
	return func() { r.saveWanted = wanted }
}

// line asks the game for its line in the directory. A panic leaves it empty (defect 24).
func (r *Room) line() (info string) {
	if l, ok := r.game.(parlor.LobbyInformer); ok {
		if !r.guard("lobby info", func() { info = l.LobbyInfo() }) {
			info = ""
		}
	}
	if len(info) > r.cfg.MaxInfo {
		info = strings.ToValidUTF8(info[:r.cfg.MaxInfo], "")
	}
	return strings.ToValidUTF8(info, "\uFFFD") // not all wires have a form for what is none
}

var _ parlor.Room = view{}

// view is the room as its game sees it.
type view struct{ r *Room }

func (v view) Name() string         { return v.r.cfg.Name }
func (v view) Logger() *slog.Logger { return v.r.logger }

func (v view) Now() time.Time {
	if d := v.r.durable; d != nil {
		return d.began.Add(d.clock)
	}
	return v.r.cfg.Now()
}
func (v view) Rand() *rand.Rand { return v.r.rng }

// SavedVersion is for parlor.Upgrades.
func (v view) SavedVersion() int {
	v.r.asked = true
	return v.r.madeOf
}

func (v view) Users() []string {
	users := make([]string, len(v.r.seats))
	for i, s := range v.r.seats {
		users[i] = s.user
	}
	return users
}
