package crash_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parlor/client"
	"parlor/internal/crash"
	"parlor/internal/crash/program/game"
	"parlor/link/packetlink"
	"parlor/link/wslink"
)

// The wires.
const (
	native = iota
	packets
	pgnet
	wires
)

var wireNames = [wires]string{"native", "packet", "pgnet"}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// world is the servers of a place, one after another, and all who are there.
type world struct {
	t      *testing.T
	seed   uint64
	host   *host
	server *process // the one that runs, or the last one
	ledger *crash.Ledger
	rooms  []room
	clerk  *clerk

	ctx     context.Context // ends with the test, or with the first thing that is wrong
	cancel  context.CancelFunc
	leaving chan struct{} // closed when the players are to make no more moves
	group   sync.WaitGroup

	life    atomic.Int64 // how many servers were started
	counts  [wires]counts
	audited sync.Once
	absent  atomic.Int64 // how many of the players have not logged in yet, and the auditor

	mu     sync.Mutex // guards faults
	faults int
}

// counts are of the players of one wire.
type counts struct {
	moves    atomic.Int64 // that were answered
	refused  atomic.Int64 // requests that could not be stored
	unknown  atomic.Int64 // that were not answered, as the connection had ended
	resent   atomic.Int64 // that were sent to one server and answered by a later one
	pushes   atomic.Int64
	lost     atomic.Int64 // pushes that were told of as lost
	resumed  atomic.Int64 // links that took up a session at a later server
	sessions atomic.Int64 // that were lost with a server
}

type room struct{ name, kind string }

func newWorld(t *testing.T, seed uint64, h *host) *world {
	w := &world{t: t, seed: seed, host: h, ledger: crash.NewLedger(), leaving: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for i := range 8 {
		w.rooms = append(w.rooms,
			room{fmt.Sprint("tally ", i), game.Tally}, room{fmt.Sprint("clock ", i), game.Clock}, room{fmt.Sprint("kept ", i), game.Kept})
	}
	w.clerk = newClerk(w)
	t.Cleanup(func() {
		w.cancel()
		w.group.Wait()
	})
	return w
}

// rand is the random source of one who acts.
func (w *world) rand(who string) *rand.Rand {
	h := fnv.New64a()
	io.WriteString(h, who)
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// wrong notes something that must not happen, and ends the test soon.
func (w *world) wrong(err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faults++; w.faults <= 20 {
		w.t.Errorf("%s server %d: %v", time.Now().Format("15:04:05.000"), w.life.Load(), err)
	}
	w.cancel()
}

// populate has players come, of each wire.
func (w *world) populate(ofEach int) {
	w.absent.Store(int64(wires*ofEach + 1))
	for wire := range wires {
		for i := range ofEach {
			p := newPlayer(w, wire, fmt.Sprint(wireNames[wire], i))
			w.group.Go(p.run) // ends when the players are to leave, or the test ends
		}
	}
	w.group.Go(w.clerk.run) // likewise
}

// over tells whether the players are to leave.
func (w *world) over() bool {
	select {
	case <-w.leaving:
		return true
	case <-w.ctx.Done():
		return true
	default:
		return false
	}
}

// moves is how many moves were answered.
func (w *world) moves() (of [wires]int64) {
	for i := range of {
		of[i] = w.counts[i].moves.Load()
	}
	return of
}

// config is what a client of a wire has, and the address that it calls.
func (w *world) config(h *host, wire int, user string) (cfg client.Config, address string) {
	cfg = client.Config{
		Username: user, Logger: quiet,
		Reconnect: client.Reconnect{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond, For: 2 * time.Minute},
		Timeout:   20 * time.Second, // others use this machine too
	}
	switch wire {
	case packets:
		cfg.Dialer = packetlink.Dialer{Logger: quiet}
		return cfg, h.packets
	case pgnet:
		cfg.Dialer = wslink.Dialer{PgnetOnly: true}
	}
	return cfg, h.address
}

// dial logs a user in, as soon as the server is not too busy, and the machine is fast enough for its limit of time.
func (w *world) dial(ctx context.Context, cfg client.Config, address string) (*client.Client, error) {
	for {
		c, err := client.Dial(ctx, address, cfg)
		d := (*client.DisconnectedError)(nil)
		if again := errors.As(err, &d) && (d.Reason == textBusy || strings.Contains(d.Error(), textSlow)); !again || !w.pause(50*time.Millisecond) {
			return c, err
		}
	}
}

// textBusy is what servers say who are asked for too many hashes.
const textBusy = "The server is busy. Try again later."

// textSlow is what the packet wire says to who was not logged in within its limit of time.
const textSlow = "limit of time for a login"

// pause waits, and tells whether it is worth to go on.
func (w *world) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// await waits until something is so.
func (w *world) await(patience time.Duration, what string, so func() bool) error {
	for end := time.Now().Add(patience); !so(); {
		if time.Now().After(end) {
			return fmt.Errorf("it has not come to pass within %v: %s", patience, what)
		}
		if !w.pause(5 * time.Millisecond) {
			return context.Cause(w.ctx)
		}
	}
	return nil
}

// textUnknown is what a server says that does not know whether it has stored something, as its database has gone away in the midst of it.
const textUnknown = "The server does not know whether this was saved. Look before you try again."

// refusal is what a server has said no with; empty if err is something else, such as the end of a connection.
func refusal(err error) string {
	if refused := (*client.RefusedError)(nil); errors.As(err, &refused) && refused.Response.Message != textUnknown {
		return refused.Response.Message
	}
	if d := (*client.DisconnectedError)(nil); errors.As(err, &d) && d.Err == nil {
		switch d.Reason {
		case textUnknown, client.ReasonCallFailed, client.ReasonClosed, client.ReasonTimeout, client.ReasonByClient, client.ReasonSessionLost,
			"Server is shutting down.", textBusy:
			return ""
		}
		return d.Reason
	}
	return ""
}
