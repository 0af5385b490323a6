package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// load is one line of the comparison: so many clients in so many games.
type load struct {
	clients, games int
	sizes          sizes
	echo, lobby    series
	ratios         []float64 // lobby to echo, of each pair
}

// series is what the turns of one server have given.
type series struct {
	rates      []float64 // requests per second, of each turn
	p99s       []float64 // nanoseconds, of each turn
	serverCPUs []float64 // nanoseconds per request, of each turn
	latency    *hdrhistogram.Histogram
	requests   int64
	mallocs    uint64
	bytes      uint64
	serverCPU  time.Duration
	loadCPU    time.Duration
}

// target is a server under load.
type target struct {
	*child
	dial func(i int) (exchanger, error)
}

// compare has the echo and the lobby take turns, for one client and for many: these in one game, and each in
// a game of its own.
func compare(ctx context.Context, o options) (loads []*load, err error) {
	lobby, err := start(ctx, o.profiled("server")...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lobby.close()) }()
	size, err := frameSizes(lobby.addr)
	if err != nil {
		return nil, err
	}
	echo, err := start(ctx, size.args()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, echo.close()) }()
	loads = []*load{{clients: 1, games: 1}, {clients: o.clients, games: 1}, {clients: o.clients, games: o.clients}}
	for _, l := range loads {
		l.sizes = size
		for range o.pairs {
			if err := l.pair(ctx, o, echo, lobby); err != nil {
				return nil, fmt.Errorf("%d clients: %w", l.clients, err)
			}
		}
	}
	return loads, nil
}

// frameSizes asks the lobby once, to learn what the echo has to move.
func frameSizes(addr string) (sizes, error) {
	c, err := login(addr, "scout", gameName(0))
	if err != nil {
		return sizes{}, err
	}
	defer c.Close()
	err = c.exchange()
	return c.size, err
}

// gameName is the same length for every game, as answers carry it.
func gameName(i int) string { return fmt.Sprintf("board %04d", i) }

// pair is one turn of each.
func (l *load) pair(ctx context.Context, o options, echo, lobby *child) error {
	toEcho := target{echo, func(int) (exchanger, error) { return dialEcho(echo.addr, l.sizes) }}
	turn := len(l.ratios)
	toLobby := target{lobby, func(i int) (exchanger, error) {
		// New users each time: the names of those of the last turn may not be free yet.
		return login(lobby.addr, fmt.Sprintf("p%dg%dt%dn%d", l.clients, l.games, turn, i), gameName(i%l.games))
	}}
	if err := l.echo.turn(ctx, o, toEcho, l.clients); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	if err := l.lobby.turn(ctx, o, toLobby, l.clients); err != nil {
		return fmt.Errorf("lobby: %w", err)
	}
	l.ratios = append(l.ratios, l.lobby.rates[turn]/l.echo.rates[turn])
	return nil
}

// turn connects clients, has them warm up, and measures.
func (s *series) turn(ctx context.Context, o options, t target, n int) error {
	clients := make([]exchanger, 0, n)
	defer func() { closeAll(clients) }()
	for i := range n {
		c, err := t.dial(i)
		if err != nil {
			return err
		}
		clients = append(clients, c)
	}
	return s.measure(t.child, o.turn, func(d time.Duration, h *hdrhistogram.Histogram) (int64, float64, error) {
		return drive(ctx, clients, d, h)
	})
}

// loading is a load: it runs for as long as d, adds latencies to h, and returns how many requests were answered, or
// messages delivered, and how many a second that is.
type loading func(d time.Duration, h *hdrhistogram.Histogram) (requests int64, rate float64, err error)

// measure has a load warm up, and measures it.
func (s *series) measure(server *child, d time.Duration, load loading) error {
	if s.latency == nil {
		s.latency = newHistogram()
	}
	if _, _, err := load(d/10, newHistogram()); err != nil {
		return err
	}
	before, err := server.ask(commandStats)
	if err != nil {
		return err
	}
	ours, latency := cpuTime(), newHistogram()
	requests, rate, err := load(d, latency)
	if err != nil {
		return err
	}
	ours = cpuTime() - ours
	after, err := server.ask(commandStats)
	s.latency.Merge(latency)
	s.rates = append(s.rates, rate)
	s.p99s = append(s.p99s, float64(latency.ValueAtQuantile(99)))
	s.serverCPUs = append(s.serverCPUs, float64(after.CPU-before.CPU)/float64(max(requests, 1)))
	s.requests += requests
	s.mallocs += after.Mallocs - before.Mallocs
	s.bytes += after.Bytes - before.Bytes
	s.serverCPU += after.CPU - before.CPU
	s.loadCPU += ours
	return err
}

// perRequest divides by the requests of all turns.
func (s *series) perRequest(total float64) float64 { return total / float64(max(s.requests, 1)) }
