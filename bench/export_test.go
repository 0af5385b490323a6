package main

import (
	"context"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Run is the program.
var Run = run

// PrintIdle prints what became of idle connections, by what they heard of the end, and of the server's goroutines.
func PrintIdle(w io.Writer, told, unclear, lost, alone, running, left int) {
	printIdle(w, &idleConnections{n: told + unclear + lost, told: told, unclear: unclear, lost: lost, alone: alone, running: running, left: left})
}

// PrintPipelined prints a pipelined comparison of these ratios.
func PrintPipelined(w io.Writer, ratios []float64) {
	printPackets(w, nil, []*pipelined{{echoRates: ratios, rates: ratios, ratios: ratios, frames: 1}})
}

// Peer is a connection of the load, and Crowd many of them.
type (
	Peer  = peer
	Crowd = crowd
)

// FakePeer is a Peer of functions.
type FakePeer struct {
	Send    func(n int, message []byte) error
	Receive func(each func([]byte)) (int, error)
	Shut    func()
}

func (p *FakePeer) send(n int, message []byte) error             { return p.Send(n, message) }
func (p *FakePeer) receive(each func([]byte)) (n int, err error) { return p.Receive(each) }
func (p *FakePeer) SetDeadline(time.Time) error                  { return nil }
func (p *FakePeer) Close() error                                 { p.Shut(); return nil }

// Flow, Gather, Broadcast and Chat are the loads.
var (
	Flow      = flow
	Pace      = pace
	Gather    = gather
	Broadcast = (*crowd).broadcast
)

// Chat has members of rooms of perRoom send at intervals for as long as d, and returns the latencies.
func Chat(ctx context.Context, c *Crowd, interval time.Duration, perRoom int, d time.Duration) (deliveries int64, h *hdrhistogram.Histogram, err error) {
	h = newHistogram()
	deliveries, _, err = c.chat(ctx, interval, perRoom, d, h)
	return deliveries, h, err
}

// NewHistogram is an empty one, and NewMessage a message of the load.
var (
	NewHistogram = newHistogram
	NewMessage   = newMessage
)

// PrintContest prints a contest of two, by what their turns gave.
func PrintContest(w io.Writer, rates, p99s, cpus [2][]float64) {
	c := contest{title: "contest", counts: "messages", timed: true}
	for i, name := range []string{"raw", "native"} {
		r := &contender{name: name}
		r.rates, r.p99s, r.serverCPUs, r.latency, r.requests = rates[i], p99s[i], cpus[i], newHistogram(), 1
		c.contenders = append(c.contenders, r)
	}
	c.ratio = aimNativeTurns
	c.print(w)
	c.p99, c.cpu = aimRoomsP99, aimRoomsCPU
	c.print(w)
}
