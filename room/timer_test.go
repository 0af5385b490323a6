package room_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/room"
)

// timed opens a room whose constructor does something with the room, and a game that is kept.
func timed(t *testing.T, cfg room.Config, begin func(g *game, host parlor.Room)) tested {
	t.Helper()
	g := &game{persistent: true}
	cfg.New = func(host parlor.Room, _ string) (parlor.Game, error) {
		g.host = host
		begin(g, host)
		return g, nil
	}
	return open(t, g, cfg)
}

// note is a function for a timer, which notes the time since the test's beginning.
func note(g *game, text string) func() {
	began := time.Now()
	return func() { g.add(fmt.Sprint(text, " ", time.Since(began))) }
}

// pass lets a time pass, and what it brings be done.
func pass(d time.Duration) {
	time.Sleep(d) // sleep: virtual time
	synctest.Wait()
}

// take is pass for all but the test's own goroutine.
func take(d time.Duration) { time.Sleep(d) } // sleep: virtual time

func TestAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := timed(t, room.Config{}, func(g *game, host parlor.Room) {
			host.After(2*time.Second, note(g, "second"))
			host.After(time.Second, note(g, "first"))
			host.After(0, note(g, "at once"))
			host.After(-time.Hour, note(g, "at once too"))
			host.After(math.MaxInt64, note(g, "never"))
			host.After(math.MinInt64, note(g, "overdue"))
			g.add("made")
		})
		pass(time.Hour)
		r.game.want(t, "made", "at once 0s", "at once too 0s", "overdue 0s", "first 1s", "second 2s")
	})
}

// TestTimersTogether: of those that are due at the same time, the one made first comes first.
func TestTimersTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		var order []int
		timed(t, room.Config{}, func(g *game, host parlor.Room) {
			for i := range n {
				host.After(time.Duration(i%3)*time.Second, func() { order = append(order, i%3*n+i) })
			}
		})
		pass(3 * time.Second)
		if len(order) != n || !slices.IsSorted(order) {
			t.Errorf("%d of %d called, sorted %v", len(order), n, slices.IsSorted(order))
		}
	})
}

// TestAfterOfAfter: a timer that makes another one, due at once, for ever does not keep the room from its packets.
func TestAfterOfAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds, over := 0, false
		begun := make(chan struct{})
		r := timed(t, room.Config{}, func(g *game, host parlor.Room) {
			var again func()
			again = func() {
				if rounds++; rounds == 100 {
					close(begun)
				}
				if !over {
					host.After(0, again)
				}
			}
			g.packet = func(p parlor.Packet) parlor.Response {
				if over = p.Message == "end"; !over {
					host.After(0, again)
				}
				return parlor.OK(p.Message)
			}
		})
		alice := &member{name: "alice"}
		r.enter(t, alice)
		r.send(t, alice, "begin")
		<-begun
		r.send(t, alice, "end")
		alice.want(t, "OK begin", "OK end")
	})
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Duration
		began := time.Now()
		r := timed(t, room.Config{}, func(g *game, host parlor.Room) {
			host.Every(time.Second, func() {
				calls = append(calls, time.Since(began))
				take([]time.Duration{0, 300 * time.Millisecond, time.Second, 2500 * time.Millisecond}[len(calls)%4])
			})
		})
		pass(12500 * time.Millisecond)
		// The 2nd takes 1 s, after which the next is due; the 3rd takes 2.5 s, over two that are left out.
		want := []time.Duration{1, 2, 3, 6, 7, 8, 9, 12}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(calls, want) || r.Stats().Late.Load() != 4 {
			t.Errorf("called at %v, %d late, want %v, 4", calls, r.Stats().Late.Load(), want)
		}
	})
}

// TestEveryBehindPackets: a timer that waits for a slow packet is called late and does not drift from it.
func TestEveryBehindPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := timed(t, room.Config{}, func(g *game, host parlor.Room) {
			host.Every(time.Second, note(g, "tick"))
			g.packet = func(parlor.Packet) parlor.Response { take(1700 * time.Millisecond); return parlor.OK("slow") }
		})
		alice := &member{name: "alice"}
		r.enter(t, alice)
		pass(500 * time.Millisecond)
		r.send(t, alice, "slow")
		pass(3700 * time.Millisecond)
		r.game.want(t, "joined alice of [alice]", "tick 2.2s", "tick 3s", "tick 4s")
		if n := r.Stats().Late.Load(); n != 1 { // that of 2 s
			t.Errorf("%d late, want 1", n)
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := timed(t, room.Config{}, func(g *game, host parlor.Room) {
			stop := func(timer parlor.Timer) func() {
				return func() { g.add(fmt.Sprint(timer.Stop(), " ", timer.Stop())) }
			}
			stop(host.After(time.Second, note(g, "stopped")))()
			stop(host.Every(time.Second, note(g, "stopped")))()
			host.After(time.Second, stop(host.After(time.Second, note(g, "over"))))
			host.After(1500*time.Millisecond, stop(host.Every(time.Second, note(g, "goes on"))))
			n := 0
			var within parlor.Timer
			within = host.Every(2*time.Second, func() {
				if n++; n == 2 {
					stop(within)()
				}
			})
			var once parlor.Timer
			once = host.After(5*time.Second, func() { stop(once)() })
		})
		pass(time.Hour)
		r.game.want(t, "true false", "true false", "over 1s", "false false", "goes on 1s", "true false", "true false", "false false")
	})
}

func TestTimersEndWithTheRoom(t *testing.T) {
	for name, end := range map[string]func(r tested, m *member){
		"closed":     func(r tested, m *member) { r.Close(func() {}) },
		"last leave": func(r tested, m *member) { r.game.persistent = false; r.Leave("alice", m, func() {}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var timer parlor.Timer
				r := timed(t, room.Config{}, func(g *game, host parlor.Room) {
					timer = host.Every(time.Second, note(g, "tick"))
					host.After(90*time.Second, note(g, "never"))
				})
				alice := &member{name: "alice"}
				r.enter(t, alice)
				pass(1500 * time.Millisecond)
				end(r, alice)
				pass(time.Hour)
				if name == "closed" {
					r.game.want(t, "joined alice of [alice]", "tick 1s", "left alice of []", "lobby: left alice", "lobby: ended")
				} else {
					r.game.want(t, "joined alice of [alice]", "tick 1s", "left alice of []", "lobby: ended", "lobby: left alice")
				}
				if timer.Stop() {
					t.Error("the timer was still there")
				}
				if r.game.host.After(0, note(r.game, "too late")).Stop() { // no goroutine runs: the test may call it
					t.Error("a closed room takes timers")
				}
				pass(time.Hour)
				r.game.want(t)
			})
		})
	}
	t.Run("constructor fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := new(game)
			open(t, g, room.Config{New: func(host parlor.Room, _ string) (parlor.Game, error) {
				host.Every(time.Second, note(g, "tick"))
				panic("no")
			}})
			pass(time.Hour)
			g.want(t, "lobby: ended", `create game "room": the game's constructor panicked`)
		})
	})
}

func TestTimersPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := timed(t, room.Config{}, func(g *game, host parlor.Room) {
			host.After(time.Second, func() { panic("once") })
			host.Every(time.Second, func() { g.add("tick"); panic("again") })
			host.After(2*time.Second, nil)
		})
		pass(3500 * time.Millisecond)
		r.game.want(t, "tick", "tick", "tick")
		if n := r.Stats().Panics.Load(); n != 5 {
			t.Errorf("%d panics, want 5", n)
		}
		if text := r.log.String(); !strings.Contains(text, "hook=timer panic=once") || !strings.Contains(text, "timer_test.go") {
			t.Errorf("log without the panic: %s", text)
		}
	})
}

func TestTimersLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := timed(t, room.Config{Timers: 3}, func(g *game, host parlor.Room) {
			host.After(time.Second, note(g, "one"))
			host.Every(2*time.Second, note(g, "two"))
			three := host.After(time.Second, note(g, "three"))
			for range 100 {
				if host.After(0, note(g, "too many")).Stop() {
					t.Error("a refused timer could be stopped")
				}
			}
			three.Stop()
			host.After(time.Second, note(g, "four"))
			host.After(time.Second, note(g, "too many"))
		})
		pass(2500 * time.Millisecond)
		r.game.want(t, "one 1s", "four 1s", "two 2s")
		if n := r.Stats().TimersRefused.Load(); n != 101 {
			t.Errorf("%d counted, want 101", n)
		}
		text := r.log.String()
		if n := strings.Count(text, "limit of timers reached"); n < 1 || n > 20 || !strings.Contains(text, "level=ERROR") {
			t.Errorf("%d logged:\n%s", n, text)
		}
		alice := &member{name: "alice"}
		r.enter(t, alice)
		r.act(t, alice, func(host parlor.Room) {
			host.After(0, note(r.game, "room again")) // the two that were called are not counted any more
			host.After(0, note(r.game, "room again"))
			host.After(0, note(r.game, "too many"))
		})
		r.game.want(t, "joined alice of [alice]", "room again 0s", "room again 0s")
	})
	t.Run("default", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := timed(t, room.Config{}, func(g *game, host parlor.Room) {
				for range 10_001 {
					host.After(time.Hour, func() {})
				}
			})
			if n := r.Stats().TimersRefused.Load(); n != 1 {
				t.Errorf("%d of 10,001 refused, want 1", n)
			}
		})
	})
}

// rated is a game that is updated as often as it says, and may be slow at it.
type rated struct {
	game
	rate    float64
	took    func(n int) time.Duration
	updates int
}

func (g *rated) UpdateRate() float64 { return g.rate }
func (g *rated) Update() {
	g.updates++
	if g.took != nil {
		take(g.took(g.updates))
	}
}

func (g *rated) open(t *testing.T, cfg room.Config) tested {
	t.Helper()
	g.persistent = true
	cfg.New = func(host parlor.Room, _ string) (parlor.Game, error) { g.host = host; return g, nil }
	return open(t, &g.game, cfg)
}

func TestUpdateRate(t *testing.T) {
	for _, test := range []struct {
		rate float64
		want int // in a minute
		logs bool
	}{
		{0, 0, false}, {1, 60, false}, {2.5, 150, false}, {10, 600, false}, {128, 7680, false},
		{0.1, 60, true}, {129, 7680, true}, {math.Inf(1), 7680, true}, {-1, 0, true}, {math.Inf(-1), 0, true}, {math.NaN(), 600, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := &rated{rate: test.rate}
			r := g.open(t, room.Config{})
			pass(time.Minute + time.Millisecond)
			if g.updates != test.want || r.Stats().Late.Load() != 0 {
				t.Errorf("rate %v: %d updates in a minute, %d late, want %d, 0", test.rate, g.updates, r.Stats().Late.Load(), test.want)
			}
			logged := strings.Count(r.log.String(), "update rate is out of bounds")
			if want := map[bool]int{true: 1}[test.logs]; logged != want {
				t.Errorf("rate %v: logged %d times, want %d", test.rate, logged, want)
			}
		})
	}
}

// TestHourOfUpdates lets a game run for an hour that is too slow now and then: each update was made, or is counted
// as late.
func TestHourOfUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &rated{rate: 10, took: func(n int) time.Duration { return time.Duration(n*n%700) * time.Millisecond }}
		r := g.open(t, room.Config{})
		pass(time.Hour)
		if n := g.updates + int(r.Stats().Late.Load()); n < 36_000-7 || n > 36_000 {
			t.Errorf("%d updates and %d late ones, want 36,000", g.updates, r.Stats().Late.Load())
		}
		if g.updates > 30_000 {
			t.Errorf("%d updates: the test has lost its point", g.updates)
		}
	})
}

// TestManyTimers runs a thousand timers for an hour, none of which drifts.
func TestManyTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		calls := make([]int, n)
		timed(t, room.Config{}, func(_ *game, host parlor.Room) {
			for i := range n {
				host.Every(time.Duration(i+60)*time.Second, func() { calls[i]++ })
			}
		})
		pass(time.Hour + time.Millisecond)
		for i, got := range calls {
			if want := 3600 / (i + 60); got != want {
				t.Errorf("every %d s: %d calls in an hour, want %d", i+60, got, want)
			}
		}
	})
}

// clockwork is a clock that a test moves.
type clockwork struct {
	mu     sync.Mutex // guards the fields below
	now    time.Time
	alarms []*alarm
	made   int
}

type alarm struct {
	of   *clockwork
	at   time.Time // zero: not set
	ring func()
}

func (c *clockwork) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clockwork) AfterFunc(d time.Duration, f func()) room.Alarm {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &alarm{of: c, at: c.now.Add(d), ring: f}
	c.alarms = append(c.alarms, a)
	c.made++
	return a
}

func (a *alarm) Reset(d time.Duration) bool {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	was := !a.at.IsZero()
	a.at = a.of.now.Add(d)
	return was
}

func (a *alarm) Stop() bool {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	was := !a.at.IsZero()
	a.at = time.Time{}
	return was
}

// set is how many alarms are set.
func (c *clockwork) set() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.alarms {
		if !a.at.IsZero() {
			n++
		}
	}
	return n
}

// next moves the clock to the next alarm that is set by then, or to the end.
func (c *clockwork) next(end time.Time) *alarm {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first *alarm
	for _, a := range c.alarms {
		if !a.at.IsZero() && !a.at.After(end) && (first == nil || a.at.Before(first.at)) {
			first = a
		}
	}
	if first == nil {
		c.now = end
		return nil
	}
	if first.at.After(c.now) {
		c.now = first.at
	}
	first.at = time.Time{}
	return first
}

func (c *clockwork) advance(d time.Duration) {
	end := c.Now().Add(d)
	for a := c.next(end); a != nil; a = c.next(end) {
		a.ring()
		synctest.Wait()
	}
}

// TestOwnClock runs a room by a clock of the test's: no time passes by itself, nor by the bubble's.
func TestOwnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{now: time.Date(1999, 12, 31, 23, 59, 50, 0, time.UTC)}
		g := &rated{rate: 1}
		r := g.open(t, room.Config{Now: c.Now, AfterFunc: c.AfterFunc})
		pass(time.Hour)
		if g.updates != 0 {
			t.Errorf("%d updates by another clock", g.updates)
		}
		c.advance(time.Hour)
		if g.updates != 3600 || r.Stats().Late.Load() != 0 {
			t.Errorf("%d updates, %d late, want 3600, 0", g.updates, r.Stats().Late.Load())
		}
		r.Close(func() {})
		synctest.Wait()
		if c.set() != 0 {
			t.Error("an alarm of a closed room is set")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{now: time.Date(1999, 12, 31, 23, 59, 50, 0, time.UTC)}
		r := timed(t, room.Config{Now: c.Now, AfterFunc: c.AfterFunc}, func(g *game, host parlor.Room) {
			host.After(10*time.Second, func() { g.add(host.Now().Format(time.DateTime)) })
		})
		c.advance(time.Minute)
		r.game.want(t, "2000-01-01 00:00:00")
	})
}

// TestNowAlone: a clock that only shows the time does not stop the timers.
func TestNowAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{now: time.Date(1999, 12, 31, 23, 59, 50, 0, time.UTC)}
		r := timed(t, room.Config{Now: c.Now}, func(g *game, host parlor.Room) {
			host.After(10*time.Second, func() { g.add(host.Now().Format(time.DateTime)) })
		})
		pass(time.Minute)
		r.game.want(t, "1999-12-31 23:59:50")
	})
}

// TestIdle: a room without anything to do at a certain time has no alarm.
func TestIdle(t *testing.T) {
	for name, test := range map[string]struct {
		game parlor.Game
		made int
	}{
		"no updates":       {quiet{}, 0},
		"never":            {updated{rate: 0}, 0},
		"with updates":     {updated{rate: 10}, 1},
		"rate but nothing": {rateOnly{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &clockwork{now: time.Now()}
				r := open(t, &game{persistent: true}, room.Config{Now: c.Now, AfterFunc: c.AfterFunc,
					New: func(parlor.Room, string) (parlor.Game, error) { return test.game, nil }})
				alice := &member{name: "alice"}
				r.enter(t, alice)
				r.send(t, alice, "x")
				alice.want(t, "OK x")
				if c.made != test.made {
					t.Errorf("%d alarms made, want %d", c.made, test.made)
				}
			})
		})
	}
	t.Run("timers stopped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := &clockwork{now: time.Now()}
			r := timed(t, room.Config{Now: c.Now, AfterFunc: c.AfterFunc}, func(_ *game, host parlor.Room) {
				one, two := host.After(time.Second, func() {}), host.Every(time.Minute, func() {})
				one.Stop()
				two.Stop()
			})
			if c.set() != 0 {
				t.Error("an alarm is set for nobody")
			}
			alice := &member{name: "alice"}
			r.enter(t, alice)
			r.act(t, alice, func(host parlor.Room) { host.After(time.Second, note(r.game, "called")) })
			c.advance(time.Second)
			if c.made != 1 || c.set() != 0 {
				t.Errorf("%d alarms made, %d set, want one, used again", c.made, c.set())
			}
			r.game.want(t, "joined alice of [alice]", "called 0s")
		})
	})
}

// updated has a rate and updates.
type updated struct {
	quiet
	rate float64
}

func (u updated) UpdateRate() float64 { return u.rate }
func (updated) Update()               {}

// rateOnly has a rate and no updates.
type rateOnly struct{ quiet }

func (rateOnly) UpdateRate() float64 { return 20 }
