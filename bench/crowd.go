package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// crowd is many users who are connected for several turns. Each has a reader as long as it is connected, as servers
// ask whether who is silent is there still.
type crowd struct {
	members []peer
	readers sync.WaitGroup
	began   time.Time // stamps count from here

	delivered atomic.Int64
	moved     chan struct{} // has an entry when delivered has passed what somebody waits for, or a reader has failed
	awaited   atomic.Int64  // that number
	closing   atomic.Bool
	timing    atomic.Bool // times are recorded in latency

	mu      sync.Mutex // guards the fields below
	latency *hdrhistogram.Histogram
	err     error // the first one of a reader
}

// crowdBuffer is the read buffer of a member, in bytes.
const crowdBuffer = 4096

// gather connects n members.
func gather(ctx context.Context, n int, dial func(i int) (peer, error)) (*crowd, error) {
	c := &crowd{began: time.Now(), moved: make(chan struct{}, 1)}
	for i := range n {
		p, err := dial(i)
		if err = errors.Join(err, ctx.Err()); err != nil {
			c.Close()
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
		c.members = append(c.members, p)
		c.readers.Go(func() { c.read(i, p) }) // ends with the connection
	}
	return c, nil
}

func (c *crowd) Close() error {
	c.closing.Store(true)
	closeAll(c.members)
	c.readers.Wait()
	return nil
}

func (c *crowd) read(i int, p peer) {
	each := func(message []byte) { c.note(i, message) }
	for {
		n, err := p.receive(each)
		if total := c.delivered.Add(int64(n)); err != nil || total >= c.awaited.Load() {
			if err != nil && !c.closing.Load() {
				c.fail(fmt.Errorf("member %d: %w", i, err))
			}
			c.wake()
		}
		if err != nil {
			return
		}
	}
}

func (c *crowd) wake() {
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

func (c *crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

func (c *crowd) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// await waits until so many messages were delivered since the crowd gathered.
func (c *crowd) await(ctx context.Context, delivered int64) error {
	c.awaited.Store(delivered)
	defer c.awaited.Store(math.MaxInt64)
	timer := time.NewTimer(slack)
	defer timer.Stop()
	for c.delivered.Load() < delivered {
		if err := c.failed(); err != nil {
			return err
		}
		select {
		case <-c.moved:
		case <-timer.C:
			return fmt.Errorf("%d messages did not arrive", delivered-c.delivered.Load())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return c.failed()
}

// broadcast has the first member send to all, with so many messages under way, for as long as d, and returns how many
// were delivered in a second.
func (c *crowd) broadcast(ctx context.Context, window int, d time.Duration) (deliveries int64, rate float64, err error) {
	users, before := int64(len(c.members)), c.delivered.Load()
	message := newMessage()
	sent, start := int64(0), time.Now()
	for time.Since(start) < d {
		n := int64(window) - sent + (c.delivered.Load()-before)/users
		if err := c.members[0].send(int(n), message); err != nil {
			return 0, 0, err
		}
		sent += n
		// Until there is room for one more at least.
		if err := c.await(ctx, before+(sent-int64(window)+1)*users); err != nil {
			return 0, 0, err
		}
	}
	if err := c.await(ctx, before+sent*users); err != nil {
		return 0, 0, err
	}
	deliveries = c.delivered.Load() - before
	return deliveries, float64(deliveries) / time.Since(start).Seconds(), nil
}

// chat has every member send a message in each interval, spread evenly, for as long as d, to those who share its
// room: so many get each. It returns how many were delivered in a second. The times from sending to arriving at the others
// are added to h.
func (c *crowd) chat(ctx context.Context, interval time.Duration, perRoom int, d time.Duration, h *hdrhistogram.Histogram) (deliveries int64, rate float64, err error) {
	c.record(h)
	defer c.timing.Store(false)
	before := c.delivered.Load()
	message := newMessage()
	users := int64(len(c.members))
	gap := interval / time.Duration(users)
	start := time.Now()
	sent, all := int64(0), int64(d/gap)
	for sent < all {
		for due := min(int64(time.Since(start)/gap)+1, all); sent < due; sent++ {
			from := int(sent % users)
			c.stamp(message, from)
			if err := c.members[from].send(1, message); err != nil {
				return 0, 0, err
			}
		}
		if err := errors.Join(c.failed(), ctx.Err()); err != nil {
			return 0, 0, err
		}
		time.Sleep(gap) // sleep: the load keeps its pace; the system makes a millisecond of it
	}
	if err := c.await(ctx, before+all*int64(perRoom)); err != nil {
		return 0, 0, err
	}
	deliveries = c.delivered.Load() - before
	return deliveries, float64(deliveries) / time.Since(start).Seconds(), nil
}

// stampSize is a time and a number, in bytes; as text it has two digits for each.
const stampSize = 8 + 4

// stamp writes into a message when it is sent, and by whom.
func (c *crowd) stamp(message []byte, from int) {
	var b [stampSize]byte
	binary.BigEndian.PutUint64(b[:], uint64(time.Since(c.began)))
	binary.BigEndian.PutUint32(b[8:], uint32(from))
	hex.Encode(message[textHead:], b[:])
}

func (c *crowd) record(h *hdrhistogram.Histogram) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latency = h
	c.timing.Store(true)
}

// note records how long a message took to a member who has not sent it.
func (c *crowd) note(to int, message []byte) {
	if !c.timing.Load() {
		return
	}
	now := time.Since(c.began)
	c.mu.Lock()
	defer c.mu.Unlock()
	var b [stampSize]byte
	if _, err := hex.Decode(b[:], message[textHead:textHead+2*stampSize]); err != nil {
		if c.err == nil {
			c.err = fmt.Errorf("a message without a stamp: %w", err)
		}
		return
	}
	if took := now - time.Duration(binary.BigEndian.Uint64(b[:])); to != int(binary.BigEndian.Uint32(b[8:])) {
		c.latency.RecordValue(min(int64(took), int64(slack)))
	}
}
