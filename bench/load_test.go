package main_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bench "parlor/bench"
)

// hub is a server in memory: what one of its peers sends reaches all that have the same room, after a time.
type hub struct {
	latency time.Duration
	lose    int                      // the message with this number, from 1, is lost; 0 is none
	spoil   func(message []byte)     // may be nil
	rooms   map[int][]chan<- arrival // of the peers of each room

	mu     sync.Mutex // guards number
	number int        // of messages sent
}

// arrival is a message to come at a time.
type arrival struct {
	at      time.Time
	message []byte
}

func (h *hub) peer(room int) bench.Peer {
	in, gone := make(chan arrival, 1<<16), make(chan struct{})
	h.rooms[room] = append(h.rooms[room], in)
	return &bench.FakePeer{
		Send: func(n int, message []byte) error {
			for range n {
				h.send(room, slices.Clone(message))
			}
			return nil
		},
		Receive: func(each func([]byte)) (int, error) {
			select {
			case a := <-in:
				time.Sleep(time.Until(a.at)) // sleep: virtual time, the latency of the hub
				each(a.message)
				return 1, nil
			case <-gone:
				return 0, net.ErrClosed
			}
		},
		Shut: sync.OnceFunc(func() { close(gone) }),
	}
}

func (h *hub) send(room int, message []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.number++; h.number == h.lose {
		return
	}
	if h.spoil != nil {
		h.spoil(message)
	}
	for _, in := range h.rooms[room] {
		in <- arrival{time.Now().Add(h.latency), message}
	}
}

func (h *hub) gather(t *testing.T, users, rooms int) *bench.Crowd {
	t.Helper()
	h.rooms = map[int][]chan<- arrival{}
	c, err := bench.Gather(t.Context(), users, func(i int) (bench.Peer, error) { return h.peer(i % rooms), nil })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestChat: every message is counted for all, at the pace that was asked for, and timed for those who have not sent it.
func TestChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{latency: 7 * time.Millisecond}
		c := h.gather(t, 40, 10)
		defer c.Close()
		start := time.Now()
		deliveries, latency, err := bench.Chat(t.Context(), c, 200*time.Millisecond, 4, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(40 * 5 * 4); deliveries != want {
			t.Errorf("%d deliveries, want %d", deliveries, want)
		}
		if n, want := latency.TotalCount(), int64(40*5*3); n != want {
			t.Errorf("%d were timed, want %d", n, want)
		}
		if least, most := latency.Min(), latency.Max(); time.Duration(least).Round(10*time.Microsecond) != h.latency || time.Duration(most).Round(10*time.Microsecond) != h.latency {
			t.Errorf("they took %v to %v, want %v", time.Duration(least), time.Duration(most), h.latency)
		}
		if took := time.Since(start); took < time.Second || took > time.Second+20*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// TestBroadcast counts all deliveries, and has no more under way than it was told.
func TestBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{latency: 10 * time.Millisecond}
		c := h.gather(t, 20, 1)
		defer c.Close()
		deliveries, rate, err := bench.Broadcast(c, t.Context(), 8, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		// Eight at a time to twenty users, each 10 ms.
		if deliveries != 8*20*100 || rate < 15_990 || rate > 16_000 {
			t.Errorf("%d deliveries, %.1f/s", deliveries, rate)
		}
	})
}

// TestLostMessages: a load whose messages do not arrive has no figure.
func TestLostMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{lose: 5}
		c := h.gather(t, 8, 2)
		defer c.Close()
		if _, _, err := bench.Chat(t.Context(), c, 100*time.Millisecond, 4, time.Second); err == nil || !strings.Contains(err.Error(), "4 messages did not arrive") {
			t.Errorf("a message was lost, and the load says %v", err)
		}
	})
}

// TestEndedMember: a member who is gone ends the load.
func TestEndedMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{latency: time.Millisecond, rooms: map[int][]chan<- arrival{}}
		var last bench.Peer
		c, err := bench.Gather(t.Context(), 4, func(int) (bench.Peer, error) {
			last = h.peer(0)
			return last, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.AfterFunc(300*time.Millisecond, func() { last.Close() })
		if _, _, err := bench.Broadcast(c, t.Context(), 1, time.Second); err == nil || !strings.Contains(err.Error(), "member 3") {
			t.Errorf("a member was gone, and the load says %v", err)
		}
	})
}

// TestFlow: as many come back as are sent, the right ones, and the times of those in turn are known.
func TestFlow(t *testing.T) {
	for name, test := range map[string]struct {
		window int
		hub    *hub
		want   string // of the error
	}{
		"in turn":   {1, &hub{latency: 5 * time.Millisecond}, ""},
		"pipelined": {4, &hub{latency: 5 * time.Millisecond}, ""},
		"spoiled":   {4, &hub{spoil: func(m []byte) { m[100] ^= 1 }}, "what came back is not what was sent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := test.hub
				h.rooms = map[int][]chan<- arrival{}
				var peers []bench.Peer
				for i := range 3 {
					p := h.peer(i)
					defer p.Close()
					peers = append(peers, p)
				}
				times := bench.NewHistogram()
				n, _, err := bench.Flow(t.Context(), peers, bench.NewMessage(), test.window, time.Second, times)
				if test.want != "" {
					if err == nil || !strings.Contains(err.Error(), test.want) {
						t.Errorf("error %v, want %q", err, test.want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if want := int64(3 * test.window * 200); n != want {
					t.Errorf("%d messages, want %d", n, want)
				}
				if test.window == 1 && (times.TotalCount() != n || time.Duration(times.Min()).Round(10*time.Microsecond) != h.latency) {
					t.Errorf("%d of %d were timed, from %v on", times.TotalCount(), n, time.Duration(times.Min()))
				}
			})
		})
	}
}

// TestPace sends by the clock, so many together, and counts times from when a message was due: who waits too long for one answer is late with
// the next message, and has waited for that too.
func TestPace(t *testing.T) {
	const interval = 100 * time.Millisecond
	for name, test := range map[string]struct {
		latency    time.Duration
		messages   int64
		most       time.Duration
		rateAtMost float64
	}{
		"in time": {5 * time.Millisecond, 3 * 2 * 10, 5 * time.Millisecond, 60},
		// They send at 0, 150, ... 900 ms, which was due at 0, 100, ... 600.
		"behind": {150 * time.Millisecond, 3 * 2 * 7, 450 * time.Millisecond, 42},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hub{latency: test.latency, rooms: map[int][]chan<- arrival{}}
				var peers []bench.Peer
				for i := range 3 {
					p := h.peer(i)
					defer p.Close()
					peers = append(peers, p)
				}
				times := bench.NewHistogram()
				n, rate, err := bench.Pace(t.Context(), peers, bench.NewMessage(), 2, interval, time.Second, times)
				if err != nil {
					t.Fatal(err)
				}
				if n != test.messages || times.TotalCount() != n || rate > test.rateAtMost {
					t.Errorf("%d messages, %d of them timed, %.1f/s; want %d", n, times.TotalCount(), rate, test.messages)
				}
				if most := time.Duration(times.Max()).Round(time.Millisecond); most != test.most {
					t.Errorf("the slowest took %v, want %v", most, test.most)
				}
			})
		})
	}
}

// TestFlowStops with its context, also while nothing comes back.
func TestFlowStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{lose: 1, rooms: map[int][]chan<- arrival{}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := bench.Flow(ctx, []bench.Peer{h.peer(0)}, bench.NewMessage(), 1, time.Minute, bench.NewHistogram()); err == nil {
			t.Error("no error")
		}
	})
}

// TestContestVerdicts: ratios are of pairs, aims are reached from above or from below.
func TestContestVerdicts(t *testing.T) {
	for name, test := range map[string]struct {
		ratio [3]float64 // of rate, p99 and CPU time
		want  []string
	}{
		"reached": {[3]float64{0.71, 2.9, 1.2}, []string{
			"rate, of the raw: 71.0 % (35.5..142.0)   aim at least 70 %: reached",
			"p99, of the raw: 290.0 % (145.0..580.0)   aim at most 300 %: reached", "server CPU, of the raw: 120.0 % (60.0..240.0)   aim at most 130 %: reached",
		}},
		"missed": {[3]float64{0.69, 3.1, 1.4}, []string{
			"aim at least 70 %: MISSED", "aim at most 300 %: MISSED", "aim at most 130 %: MISSED",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			series := func(ratio float64) [2][]float64 {
				base := []float64{1000, 2000, 500}
				return [2][]float64{base, {ratio * base[0] / 2, ratio * base[1], ratio * base[2] * 2}}
			}
			var out bytes.Buffer
			bench.PrintContest(&out, series(test.ratio[0]), series(test.ratio[1]), series(test.ratio[2]))
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output has no %q:\n%s", want, &out)
				}
			}
		})
	}
}
