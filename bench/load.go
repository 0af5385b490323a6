package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// exchanger is a client of either server.
type exchanger interface {
	// exchange makes one request and waits for its answer.
	exchange() error
	SetDeadline(t time.Time) error
	io.Closer
}

// slack is what a turn may take beyond its time before it is given up.
const slack = 10 * time.Second

// newHistogram holds latencies from a microsecond to ten seconds, in nanoseconds, to a thousandth.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(slack), 3)
}

// drive has each client make requests, one at a time, for as long as d, and returns how many a second were
// answered. Latencies are added to h.
func drive(ctx context.Context, clients []exchanger, d time.Duration, h *hdrhistogram.Histogram) (requests int64, rate float64, err error) {
	defer context.AfterFunc(ctx, func() { closeAll(clients) })()
	deadline := time.Now().Add(d + slack)
	for _, c := range clients {
		if err := c.SetDeadline(deadline); err != nil {
			return 0, 0, err
		}
	}
	var wg sync.WaitGroup
	histograms := make([]*hdrhistogram.Histogram, len(clients))
	errs := make([]error, len(clients))
	for i := range histograms {
		histograms[i] = newHistogram()
	}
	start := time.Now()
	for i, c := range clients {
		wg.Go(func() { errs[i] = repeat(c, start.Add(d), histograms[i]) }) // ends by the clock, or the clients' deadline
	}
	wg.Wait()
	took := time.Since(start)
	for _, part := range histograms {
		requests += part.TotalCount()
		h.Merge(part)
	}
	return requests, float64(requests) / took.Seconds(), errors.Join(errors.Join(errs...), ctx.Err())
}

// repeat makes requests until the time is over.
func repeat(c exchanger, until time.Time, h *hdrhistogram.Histogram) error {
	for before := time.Now(); before.Before(until); {
		if err := c.exchange(); err != nil {
			return err
		}
		after := time.Now()
		h.RecordValue(min(int64(after.Sub(before)), int64(slack)))
		before = after
	}
	return nil
}

func closeAll[C io.Closer](clients []C) {
	for _, c := range clients {
		c.Close()
	}
}
