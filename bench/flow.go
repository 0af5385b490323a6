package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// flow has each peer keep so many messages under way for as long as d, and returns how many a second came back: as
// many as have come are sent again, together. With a window of one the times from sending to receiving are added to h.
func flow(ctx context.Context, peers []peer, message []byte, window int, d time.Duration, h *hdrhistogram.Histogram) (messages int64, rate float64, err error) {
	defer context.AfterFunc(ctx, func() { closeAll(peers) })()
	for _, p := range peers {
		if err := p.SetDeadline(time.Now().Add(d + slack)); err != nil {
			return 0, 0, err
		}
	}
	var wg sync.WaitGroup
	stints := make([]stint, len(peers))
	start := time.Now()
	for i, p := range peers {
		r := &stints[i]
		r.message, r.latency = message, newHistogram()
		wg.Go(func() { r.err = r.flow(p, window, start.Add(d)) }) // ends by the clock, or the deadline
	}
	wg.Wait()
	took := time.Since(start)
	for i := range stints {
		messages += stints[i].messages
		h.Merge(stints[i].latency)
		err = errors.Join(err, stints[i].err)
	}
	return messages, float64(messages) / took.Seconds(), errors.Join(err, ctx.Err())
}

// stint is what one peer has to show for itself.
type stint struct {
	message  []byte
	messages int64
	wrong    bool // something else came back
	latency  *hdrhistogram.Histogram
	err      error
}

func (r *stint) flow(p peer, window int, until time.Time) error {
	check := func(message []byte) { r.wrong = r.wrong || string(message) != string(r.message) }
	before := time.Now()
	if err := p.send(window, r.message); err != nil {
		return err
	}
	for open := window; open > 0; {
		n, err := p.receive(check)
		if err != nil {
			return err
		}
		if r.wrong || n > open {
			return fmt.Errorf("what came back is not what was sent: %d messages for %d", n, open)
		}
		r.messages += int64(n)
		open -= n
		after := time.Now()
		if window == 1 {
			r.latency.RecordValue(min(int64(after.Sub(before)), int64(slack)))
		}
		before = after
		if after.Before(until) {
			if err := p.send(n, r.message); err != nil {
				return err
			}
			open += n
		}
	}
	return nil
}

// pace has each peer send so many messages together in each interval, spread evenly, for as long as d, and wait for what comes back, as flow
// does. Times count from when a message was due: one that is sent late, as the answer before it was late, has waited too.
func pace(ctx context.Context, peers []peer, message []byte, burst int, interval, d time.Duration, h *hdrhistogram.Histogram) (messages int64, rate float64, err error) {
	defer context.AfterFunc(ctx, func() { closeAll(peers) })()
	var wg sync.WaitGroup
	stints := make([]stint, len(peers))
	start := time.Now()
	for i, p := range peers {
		r := &stints[i]
		r.message, r.latency = message, newHistogram()
		first := start.Add(interval * time.Duration(i) / time.Duration(len(peers)))
		wg.Go(func() { r.err = r.pace(p, burst, first, start.Add(d), interval) }) // ends by the clock, or the deadline
	}
	wg.Wait()
	took := max(time.Since(start), d) // the last one may be due a little before the end
	for i := range stints {
		messages += stints[i].messages
		h.Merge(stints[i].latency)
		err = errors.Join(err, stints[i].err)
	}
	return messages, float64(messages) / took.Seconds(), errors.Join(err, ctx.Err())
}

func (r *stint) pace(p peer, burst int, first, until time.Time, interval time.Duration) error {
	if err := p.SetDeadline(until.Add(slack)); err != nil {
		return err
	}
	check := func(message []byte) { r.wrong = r.wrong || string(message) != string(r.message) }
	for due := first; due.Before(until) && time.Now().Before(until); due = due.Add(interval) { // what would be sent behind the end shows in the rate
		time.Sleep(time.Until(due)) // sleep: the load keeps its pace
		if err := p.send(burst, r.message); err != nil {
			return err
		}
		for open := burst; open > 0; {
			n, err := p.receive(check)
			if err != nil {
				return err
			}
			if r.wrong || n > open {
				return fmt.Errorf("what came back is not what was sent: %d messages for %d", n, open)
			}
			open -= n
			r.messages += int64(n)
			r.latency.RecordValues(min(int64(time.Since(due)), int64(slack)), int64(n))
		}
	}
	return nil
}
