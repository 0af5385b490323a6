package turnstile_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/turnstile"
)

// hashing is how long a piece of work takes in these tests.
const hashing = 17 * time.Millisecond

func network(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func key(n int, name string) turnstile.Key { return turnstile.Key{Network: network(n), Name: name} }

// queue is a turnstile for one piece of work at a time, and the names of who had a turn. The first turn is taken until
// start is called.
type queue struct {
	*turnstile.Turnstile
	t     *testing.T
	first chan struct{}

	mu  sync.Mutex
	log []string
}

func newQueue(t *testing.T, cfg turnstile.Config) *queue {
	q := &queue{Turnstile: turnstile.New(cfg).Set(1, 0), t: t, first: make(chan struct{})}
	if err := q.Do(t.Context(), key(1<<20, "first"), func(error) { <-q.first }); err != nil {
		t.Fatal(err)
	}
	return q
}

func (q *queue) note(s string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.log = append(q.log, s)
}

// enter has somebody of a network wait, by a name.
func (q *queue) enter(n int, name string) error {
	return q.Do(q.t.Context(), key(n, name), func(err error) {
		if err != nil {
			q.note(fmt.Sprintf("%d.%s: %v", n, name, err))
			return
		}
		time.Sleep(hashing) // sleep: in virtual time, as work
		q.note(fmt.Sprintf("%d.%s", n, name))
	})
}

// enterAll has several wait, "1.a 1.b 2.a".
func (q *queue) enterAll(all string) {
	q.t.Helper()
	for _, who := range strings.Fields(all) {
		var n int
		var name string
		if _, err := fmt.Sscanf(strings.Replace(who, ".", " ", 1), "%d %s", &n, &name); err != nil {
			q.t.Fatal(who, err)
		}
		if err := q.enter(n, name); err != nil {
			q.t.Fatal(who, err)
		}
	}
}

// order starts the turns, and compares their order.
func (q *queue) order(want string) {
	q.t.Helper()
	close(q.first)
	synctest.Wait()
	for q.Waiting() > 0 {
		time.Sleep(hashing) // sleep: in virtual time, for the next turn
		synctest.Wait()
	}
	q.Close()
	if got := strings.Join(q.log, " "); got != want {
		q.t.Errorf("the order is\n%s\nwant\n%s", got, want)
	}
}

func TestOrder(t *testing.T) {
	for name, test := range map[string]struct{ known, enter, want string }{
		"as they come":          {"", "1.a 2.b 3.c", "1.a 2.b 3.c"},
		"networks by turns":     {"", "1.a 1.b 1.c 2.d 3.e 3.f", "1.a 2.d 3.e 1.b 3.f 1.c"},
		"names by turns":        {"", "1.a 1.a 1.a 1.b 1.b 1.c", "1.a 1.b 1.c 1.a 1.b 1.a"},
		"both":                  {"", "1.a 1.a 1.b 1.c 2.a 3.a 3.b", "1.a 2.a 3.a 1.b 3.b 1.c 1.a"},
		"the known first":       {"9.k", "1.a 1.b 9.k", "9.k 1.a 1.b"},
		"the lines by turns":    {"8.k 9.k", "1.a 2.a 3.a 9.k 9.k 8.k", "9.k 1.a 8.k 2.a 9.k 3.a"},
		"the known alone":       {"8.k 9.k", "9.k 9.k 8.k 1.a", "9.k 1.a 8.k 9.k"},
		"known elsewhere":       {"9.k", "1.a 8.k 9.j", "1.a 8.k 9.j"},
		"known among strangers": {"1.k", "1.a 1.b 1.c 1.k 2.a", "1.k 1.a 2.a 1.b 1.c"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(t, turnstile.Config{})
				for _, who := range strings.Fields(test.known) {
					q.Remember(key(int(who[0]-'0'), who[2:]))
				}
				q.enterAll(test.enter)
				q.order(test.want)
			})
		})
	}
}

// TestModel compares turns, refusals and who is pushed out with those of a model that looks at everybody.
func TestModel(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) { testModel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

// modelled is one who waits.
type modelled struct {
	number, network, name int
	cancel                context.CancelFunc
}

// rotation is the order in which some take their turns.
type rotation struct{ order []int }

func (r *rotation) add(i int) {
	if !slices.Contains(r.order, i) {
		r.order = append(r.order, i)
	}
}

func (r *rotation) served(i int) {
	r.remove(i)
	r.add(i)
}

func (r *rotation) remove(i int) {
	r.order = slices.DeleteFunc(r.order, func(o int) bool { return o == i })
}

// modelLine is one line of the model.
type modelLine struct {
	waiting  []*modelled // as they came
	networks rotation
	names    [8]rotation // by network
}

func (l *modelLine) count(network, name int) (ofNetwork, ofName int) {
	for _, w := range l.waiting {
		if w.network == network {
			ofNetwork++
			if w.name == name {
				ofName++
			}
		}
	}
	return ofNetwork, ofName
}

func (l *modelLine) add(w *modelled) {
	l.waiting = append(l.waiting, w)
	l.networks.add(w.network)
	l.names[w.network].add(w.name)
}

func (l *modelLine) remove(w *modelled) {
	l.waiting = slices.DeleteFunc(l.waiting, func(o *modelled) bool { return o == w })
	ofNetwork, ofName := l.count(w.network, w.name)
	if ofName == 0 {
		l.names[w.network].remove(w.name)
	}
	if ofNetwork == 0 {
		l.networks.remove(w.network)
	}
}

func (l *modelLine) next() *modelled {
	if len(l.waiting) == 0 {
		return nil
	}
	network := l.networks.order[0]
	name := l.names[network].order[0]
	i := slices.IndexFunc(l.waiting, func(w *modelled) bool { return w.network == network && w.name == name })
	w := l.waiting[i]
	l.networks.served(network)
	l.names[network].served(name)
	l.remove(w)
	return w
}

// out is who has to make room for one more of a network: nil is the newcomer.
func (l *modelLine) out(network int) *modelled {
	var largest *modelled // the oldest of the largest
	most := 0
	for _, w := range l.waiting {
		if n, _ := l.count(w.network, 0); n > most {
			most, largest = n, w
		}
	}
	if own, _ := l.count(network, 0); most <= own+1 {
		return nil
	}
	out := largest
	for _, w := range l.waiting {
		if w.network == largest.network {
			out = w
		}
	}
	return out
}

func testModel(t *testing.T, random *rand.Rand) {
	cfg := turnstile.Config{PerName: 3, PerNetwork: 7, Waiting: 16}
	ts := turnstile.New(cfg).Set(1, 0)
	var lines [2]modelLine
	last, busy := 0, false
	step := make(chan struct{})
	turns := make(chan int, 1)     // who has got a turn
	refused := make(chan int, 100) // who was told that there is none
	known := func(network, name int) bool { return name == 0 && network%2 == 0 }
	for n := range 8 {
		if known(n, 0) {
			ts.Remember(key(n, "0"))
		}
	}
	expect := func(what string, from chan int, want int) {
		t.Helper()
		synctest.Wait()
		select {
		case got := <-from:
			if got != want {
				t.Fatalf("%s: number %d, want %d", what, got, want)
			}
		default:
			t.Fatalf("%s: nobody, want number %d", what, want)
		}
	}
	for number := range 3000 {
		switch random.IntN(10) {
		case 0, 1, 2, 3, 4, 5: // one more
			network, name := min(random.IntN(12), 7), random.IntN(4)
			ctx, cancel := context.WithCancel(t.Context())
			w := &modelled{number, network, name, cancel}
			err := ts.Do(ctx, key(network, fmt.Sprint(name)), func(err error) {
				if err != nil {
					refused <- number
					return
				}
				turns <- number
				<-step
			})
			which := 0
			if known(network, name) {
				which = 1
			}
			l := &lines[which]
			ofNetwork, ofName := l.count(network, name)
			switch {
			case !busy:
				busy, last = true, which
				expect("a turn at once", turns, number)
			case ofName >= cfg.PerName || ofNetwork >= cfg.PerNetwork:
				if !errors.Is(err, turnstile.ErrBusy) {
					t.Fatalf("number %d: error %v over a limit", number, err)
				}
				err = nil
			case len(l.waiting) >= cfg.Waiting:
				out := l.out(network)
				if out == nil {
					if !errors.Is(err, turnstile.ErrBusy) {
						t.Fatalf("number %d: error %v over the limit of all", number, err)
					}
					err = nil
					break
				}
				l.remove(out)
				expect("pushed out", refused, out.number)
				l.add(w)
			default:
				l.add(w)
			}
			if err != nil {
				t.Fatalf("number %d: %v", number, err)
			}
		case 6: // one goes
			if l := &lines[random.IntN(2)]; len(l.waiting) > 0 {
				w := l.waiting[random.IntN(len(l.waiting))]
				w.cancel()
				l.remove(w)
				expect("gave up", refused, w.number)
			}
		default: // a turn
			if !busy {
				break
			}
			step <- struct{}{}
			w := lines[1-last].next()
			if w != nil {
				last = 1 - last
			} else if w = lines[last].next(); w == nil {
				busy = false
				break
			}
			expect("the next turn", turns, w.number)
		}
		synctest.Wait()
		if got, want := ts.Waiting(), len(lines[0].waiting)+len(lines[1].waiting); got != want {
			t.Fatalf("%d wait, want %d", got, want)
		}
		if len(turns)+len(refused) > 0 {
			t.Fatalf("step %d: somebody had a turn, or was refused, in addition", number)
		}
	}
	if busy {
		close(step)
	}
	clear(lines[:])
	go func() {
		for range refused { // ends below
		}
	}()
	go func() {
		for range turns {
		}
	}()
	ts.Close()
	close(refused)
	close(turns)
}

// TestLimits tells what each limit refuses, by its own name.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, turnstile.Config{PerName: 2, PerNetwork: 4, Waiting: 6})
		refused := func(n int, name, limit string) {
			t.Helper()
			if err := q.enter(n, name); !errors.Is(err, turnstile.ErrBusy) || !strings.Contains(err.Error(), limit) {
				t.Errorf("error %v, want ErrBusy that names the limit of %s", err, limit)
			}
		}
		q.enterAll("1.a 1.a")
		refused(1, "a", "2 waiting of one name")
		q.enterAll("2.a 1.b 1.c")
		refused(1, "d", "4 waiting of one network")
		q.enterAll("3.a")
		q.enterAll("4.a") // all are 6: the newest of the largest, 1.c, has to go
		synctest.Wait()
		q.enterAll("4.b") // likewise, 1.b, of which there are 3
		refused(2, "b", "6 waiting")
		synctest.Wait()
		q.order("1.c: too much to do: limit of 6 waiting 1.b: too much to do: limit of 6 waiting 1.a 2.a 3.a 4.a 1.a 4.b")
	})
}

// TestLocal has more peers in this process wait than those of any other network may.
func TestLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, turnstile.Config{PerNetwork: 4})
		for i := range 100 {
			if err := q.Do(t.Context(), turnstile.Key{Name: fmt.Sprint(i)}, func(error) {}); err != nil {
				t.Fatal(err)
			}
		}
		close(q.first)
		q.Close()
	})
}

// TestContext ends contexts before, while and after somebody waits.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, turnstile.Config{})
		gone, cancel := context.WithCancelCause(t.Context())
		hungUp := errors.New("hung up")
		cancel(hungUp)
		if err := q.Do(gone, key(1, "a"), func(error) { t.Error("called after an error") }); err != hungUp {
			t.Errorf("error %v of a context that had ended", err)
		}

		start := time.Now()
		wait := func(ctx context.Context, name string) <-chan error {
			result := make(chan error, 2)
			if err := q.Do(ctx, key(1, name), func(err error) { result <- err }); err != nil {
				t.Fatal(err)
			}
			return result
		}
		patient, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()
		late := wait(patient, "late")
		leaves, leave := context.WithCancelCause(t.Context())
		left := wait(leaves, "leaves")
		stays, end := context.WithCancel(t.Context())
		stayed := wait(stays, "stays")
		leave(hungUp)
		if err := <-left; err != hungUp || time.Since(start) != 0 {
			t.Errorf("who hangs up is told %v after %v", err, time.Since(start))
		}
		if err := <-late; err != context.DeadlineExceeded || time.Since(start) != 3*time.Second {
			t.Errorf("whose time is over is told %v after %v", err, time.Since(start))
		}
		if n := q.Waiting(); n != 1 {
			t.Errorf("%d wait", n)
		}
		close(q.first)
		if err := <-stayed; err != nil {
			t.Errorf("who stays is told %v", err)
		}
		end()
		q.Close()
		if len(stayed)+len(late)+len(left) > 0 {
			t.Error("somebody was told twice")
		}
	})
}

// TestClose refuses who waits and who comes, and waits for the work.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, turnstile.Config{})
		q.Remember(key(2, "b"))
		q.enterAll("1.a 2.b 1.c")
		closed := make(chan struct{})
		go func() { q.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait for the work")
		default:
		}
		if err := q.enter(1, "d"); err != turnstile.ErrClosed {
			t.Errorf("error %v after Close", err)
		}
		slices.Sort(q.log)
		if got, want := strings.Join(q.log, ", "), "1.a: turnstile closed, 1.c: turnstile closed, 2.b: turnstile closed"; got != want {
			t.Errorf("who waits is told %s, want %s", got, want)
		}
		close(q.first)
		<-closed
		q.Close()
	})
}

// TestRest looks at when turns begin, and that nobody has to wait for a rest at the end.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := turnstile.New(turnstile.Config{}).Set(1, 1)
		start := time.Now()
		var turns []time.Duration
		done := make(chan struct{})
		for i, takes := range []time.Duration{hashing, time.Second, hashing, 0} {
			ts.Do(t.Context(), key(i, "a"), func(error) {
				turns = append(turns, time.Since(start))
				time.Sleep(takes) // sleep: in virtual time, as work
				if i == 3 {
					close(done)
				}
			})
		}
		<-done
		want := []time.Duration{0, 2 * hashing, 2*hashing + 1250*time.Millisecond, 4*hashing + 1250*time.Millisecond}
		if !slices.Equal(turns, want) {
			t.Errorf("turns begin at %v, want %v", turns, want)
		}
		start = time.Now()
		ts.Do(t.Context(), key(1, "a"), func(error) { time.Sleep(hashing) }) // sleep: in virtual time, as work
		time.Sleep(hashing + time.Millisecond)                               // sleep: in virtual time, into the rest
		ts.Close()
		if got := time.Since(start); got != hashing+time.Millisecond {
			t.Errorf("Close has waited for a rest, until %v", got)
		}
	})
}

func TestShare(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		processors float64
		workers    int
		rest       float64
	}{{0.25, 1, 3}, {0.5, 1, 1}, {1, 1, 0}, {1.5, 2, 1. / 3}, {4, 4, 0}} {
		if workers, rest := turnstile.Split(test.processors); workers != test.workers || rest < test.rest-1e-9 || rest > test.rest+1e-9 {
			t.Errorf("%g processors: %d at once, rests of %g", test.processors, workers, rest)
		}
	}
}

// TestKnown remembers the last ones.
func TestKnown(t *testing.T) {
	t.Parallel()
	ts := turnstile.New(turnstile.Config{Known: 100})
	defer ts.Close()
	name := func(i int) turnstile.Key { return key(i%7, fmt.Sprint(i)) }
	for i := range 10_000 {
		ts.Remember(name(i))
		ts.Remember(name(0)) // who comes again and again
		for _, last := range []int{0, max(0, i-98), i} {
			if !ts.Knows(name(last)) {
				t.Fatalf("%d is forgotten after %d", last, i)
			}
		}
		if i >= 200 && ts.Knows(name(i-200)) && i-200 > 0 {
			t.Fatalf("%d is known after %d", i-200, i)
		}
		if n := ts.Remembered(); n > 200 {
			t.Fatalf("%d are remembered", n)
		}
	}
	if ts.Knows(key(1, "0")) || ts.Knows(turnstile.Key{Name: "0"}) {
		t.Error("a name is known in another network")
	}
}

// storm is an attack in virtual time: 10,000 wrong logins within 10 s, each of another name, which nobody slows down otherwise, and
// each of which gives up after 3.5 s, as those of the lobby do.
func storm(ts *turnstile.Turnstile, networks int, known bool) (most func() int) {
	var mu sync.Mutex
	n := 0
	for i := range 10_000 {
		k := key(1000+i%networks, fmt.Sprint(i))
		if known {
			k.Name = "has an account"
			ts.Remember(k)
		}
		time.AfterFunc(time.Duration(i)*time.Millisecond, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 3500*time.Millisecond)
			if err := ts.Do(ctx, k, func(err error) {
				if err == nil {
					time.Sleep(hashing) // sleep: in virtual time, as work
				}
				cancel()
			}); err != nil {
				cancel()
			}
			mu.Lock()
			n = max(n, ts.Waiting())
			mu.Unlock()
		})
	}
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}

// visit is how long somebody has to wait who comes some ten times a second, at any moment of a turn.
func visit(t *testing.T, ts *turnstile.Turnstile, name func(i int) turnstile.Key) (longest time.Duration) {
	t.Helper()
	for i := range 40 {
		start, turn := time.Now(), make(chan error, 1)
		if err := ts.Do(t.Context(), name(i), func(err error) {
			turn <- err
			time.Sleep(hashing) // sleep: in virtual time, as work
		}); err != nil {
			t.Fatalf("refused after %d visits: %v", i, err)
		}
		if err := <-turn; err != nil {
			t.Fatalf("no turn: %v", err)
		}
		longest = max(longest, time.Since(start))
		time.Sleep(100*time.Millisecond + time.Duration(i*7%34)*time.Millisecond) // sleep: in virtual time, until she comes again
	}
	return longest
}

// TestStorm is the attack of one and of many networks: who was here before waits for one turn, however many strangers there are, and
// somebody new for one of each network and the one that was begun. If those who were here before are the attack, it is they who wait for
// each other.
func TestStorm(t *testing.T) {
	const turn = 2 * hashing // with its rest, as on two processors
	for _, test := range []struct {
		networks  int
		known     bool // the attackers have accounts, and use them
		her, anew time.Duration
	}{
		{1, false, turn, 2 * turn},
		{100, false, turn, 101 * turn},
		{1, true, 2 * turn, turn},
		{50, true, 51 * turn, turn},
	} {
		t.Run(fmt.Sprintf("%d networks, known %t", test.networks, test.known), func(t *testing.T) {
			for who, bound := range map[string]time.Duration{"known": test.her, "new": test.anew} {
				synctest.Test(t, func(t *testing.T) {
					ts := turnstile.New(turnstile.Config{}).Set(1, 1)
					most := storm(ts, test.networks, test.known)
					time.Sleep(5 * time.Second) // sleep: in virtual time, until all wait that can
					longest := visit(t, ts, func(i int) turnstile.Key {
						if who == "known" {
							ts.Remember(key(1, "alice"))
							return key(1, "alice")
						}
						return key(2, fmt.Sprint(i))
					})
					if longest > bound {
						t.Errorf("somebody %s has waited for %v, which is %.1f turns, want %v at most", who, longest, float64(longest)/float64(turn), bound)
					}
					t.Logf("somebody %s has waited for %v at most, %.1f turns; %d waited at most", who, longest, float64(longest)/float64(turn), most())
					if n := most(); n > 2*1024 {
						t.Errorf("%d have waited", n)
					}
					time.Sleep(10 * time.Second) // sleep: in virtual time, until all have given up
					ts.Close()
				})
			}
		})
	}
}

// TestFull has so many networks attack that not all can wait: who comes anew is let in nevertheless.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, turnstile.Config{})
		pushedOut, refused := new(atomic.Int64), 0
		for i := range 100 * 256 {
			err := q.Do(t.Context(), key(i%100, fmt.Sprint(i)), func(err error) {
				if err != nil {
					pushedOut.Add(1)
				}
			})
			if errors.Is(err, turnstile.ErrBusy) {
				refused++
			}
		}
		if got := q.Waiting(); got != 1024 {
			t.Fatalf("%d wait", got)
		}
		for i := range 40 { // of each network that attacks as many
			if err := q.enter(1000+i, "new"); err != nil {
				t.Fatal(i, err)
			}
		}
		synctest.Wait()
		if got := q.Waiting(); got != 1024 || pushedOut.Load() != 40 || refused != 100*256-1024 {
			t.Errorf("%d wait, %d were refused, and %d pushed out", got, refused, pushedOut.Load())
		}
		close(q.first)
		q.Close()
	})
}

// TestOnce has many come, give up and be pushed out at once, in real time: each is told once, and no more are at work than
// may be.
func TestOnce(t *testing.T) {
	t.Parallel()
	const workers = 3
	ts := turnstile.New(turnstile.Config{PerName: 4, PerNetwork: 20, Waiting: 60, Known: 8}).Set(workers, 0.1)
	var wg sync.WaitGroup
	var atWork, told, turns, refused atomic.Int64
	for g := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 2))
			for range 2000 {
				k := key(random.IntN(6), fmt.Sprint(random.IntN(8)))
				ctx, cancel := context.WithCancel(t.Context())
				var calls atomic.Int64
				err := ts.Do(ctx, k, func(err error) {
					if calls.Add(1) > 1 {
						t.Error("told twice")
					}
					told.Add(1)
					if err != nil {
						return
					}
					turns.Add(1)
					if n := atWork.Add(1); n > workers {
						t.Errorf("%d are at work", n)
					}
					for range random64(k.Name) {
						runtime.Gosched()
					}
					ts.Remember(k)
					atWork.Add(-1)
				})
				if err != nil {
					refused.Add(1)
				}
				if random.IntN(2) == 0 {
					cancel()
				} else {
					context.AfterFunc(t.Context(), cancel)
				}
			}
		})
	}
	wg.Wait()
	ts.Close()
	if told.Load()+refused.Load() != 8*2000 {
		t.Errorf("%d were told and %d refused of %d", told.Load(), refused.Load(), 8*2000)
	}
	if n := ts.Waiting(); n != 0 || turns.Load() == 0 {
		t.Errorf("%d wait, and %d have had a turn", n, turns.Load())
	}
}

// random64 is how much work there is for a name.
func random64(name string) int { return int(name[0]-'0') * 3 }

// TestMemory measures what somebody costs who waits, each of a network and a name of her own, and with a context that will end.
func TestMemory(t *testing.T) {
	ts := turnstile.New(turnstile.Config{}).Set(1, 0)
	first := make(chan struct{})
	ts.Do(t.Context(), key(1<<20, ""), func(error) { <-first })
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	goroutines, before := runtime.NumGoroutine(), heap()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	long := strings.Repeat("x", 10_000)
	for i := range 1024 {
		if err := ts.Do(ctx, key(i, fmt.Sprint(i, long)), func(error) {}); err != nil {
			t.Fatal(err)
		}
	}
	each := (heap() - before) / 1024
	t.Logf("%d bytes each", each)
	if each > 2048 {
		t.Errorf("who waits costs %d bytes", each)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines more", n-goroutines)
	}
	close(first)
	ts.Close()
}

// BenchmarkDo is a newcomer among many, full: one is pushed out for each.
func BenchmarkDo(b *testing.B) {
	for _, waiting := range []int{100, 4096, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			ts := turnstile.New(turnstile.Config{Waiting: waiting}).Set(1, 0)
			first := make(chan struct{})
			ts.Do(b.Context(), key(1<<20, ""), func(error) { <-first })
			for i := range waiting {
				ts.Do(b.Context(), key(i/2, fmt.Sprint(i)), func(error) {})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				ts.Do(b.Context(), key(waiting+i%waiting, "new"), func(error) {})
			}
			close(first)
			ts.Close()
		})
	}
}
