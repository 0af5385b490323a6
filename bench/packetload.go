package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"parlor/packet"
)

// Aims of the packet server.
const (
	aimTurns    = 0.80      // of the echo, for one client and for 50, one request each in flight
	aimMaps     = 500_000   // messages per second, pipelined
	aimTyped    = 1_500_000 // the same for structs with generated methods
	aimIdle     = 10.24     // kB of an idle connection
	idlePackets = 9000      // connections
)

// packetTurns is one line of the comparison: so many clients in turn, of one kind of packet.
type packetTurns struct {
	clients       int
	kind          int
	echo, packets series
	ratios        []float64
}

// pipelined is the figure of one connection that does not wait.
type pipelined struct {
	kind                int
	echoRates, rates    []float64
	ratios              []float64
	serverCPU, echoCPU  time.Duration
	frames, echoFrames  int64
	mallocs             uint64
	frameSize, bodySize int
}

func comparePackets(ctx context.Context, o options) (turns []*packetTurns, pipes []*pipelined, err error) {
	server, err := start(ctx, o.profiled("packets")...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	frame, err := packetFrame(0)
	if err != nil {
		return nil, nil, err
	}
	echo, err := start(ctx, sizes{len(frame), len(frame)}.args()...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, echo.close()) }()
	stream, err := start(ctx, "echo", "-stream")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, stream.close()) }()
	for _, clients := range []int{1, o.clients} {
		for kind := range packetKinds {
			t := &packetTurns{clients: clients, kind: kind}
			for range o.pairs {
				if err := t.pair(ctx, o, echo, server); err != nil {
					return nil, nil, fmt.Errorf("%d packet clients: %w", clients, err)
				}
			}
			turns = append(turns, t)
		}
	}
	for kind := range packetKinds {
		p := &pipelined{kind: kind}
		for range o.pairs {
			if err := p.pair(ctx, o, stream, server); err != nil {
				return nil, nil, fmt.Errorf("pipelined %s packets: %w", packetKinds[kind], err)
			}
		}
		pipes = append(pipes, p)
	}
	return turns, pipes, nil
}

// pair is one turn of each.
func (t *packetTurns) pair(ctx context.Context, o options, echo, server *child) error {
	frame, err := packetFrame(t.kind)
	if err != nil {
		return err
	}
	toEcho := target{echo, func(int) (exchanger, error) { return dialEcho(echo.addr, sizes{len(frame), len(frame)}) }}
	toServer := target{server, func(int) (exchanger, error) { return dialPackets(server.addr, packet.ConnTypeClassic, frame) }}
	if err := t.echo.turn(ctx, o, toEcho, t.clients); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	if err := t.packets.turn(ctx, o, toServer, t.clients); err != nil {
		return err
	}
	n := len(t.ratios)
	t.ratios = append(t.ratios, t.packets.rates[n]/t.echo.rates[n])
	return nil
}

func (p *pipelined) pair(ctx context.Context, o options, stream, server *child) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	frame, err := packetFrame(p.kind)
	if err != nil {
		return err
	}
	p.frameSize, p.bodySize = len(frame), len(frame)-10
	raw, err := dialEcho(stream.addr, sizes{})
	if err != nil {
		return err
	}
	frames, rate, _, err := p.turn(o, stream, &packetClient{nc: raw.nc, frame: frame}, &p.echoCPU)
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	p.echoRates, p.echoFrames = append(p.echoRates, rate), p.echoFrames+frames
	c, err := dialPackets(server.addr, connType, frame)
	if err != nil {
		return err
	}
	frames, ours, mallocs, err := p.turn(o, server, c, &p.serverCPU)
	if err != nil {
		return err
	}
	p.rates, p.frames, p.mallocs = append(p.rates, ours), p.frames+frames, p.mallocs+mallocs
	p.ratios = append(p.ratios, ours/rate)
	return nil
}

func (p *pipelined) turn(o options, server *child, c *packetClient, cpu *time.Duration) (frames int64, rate float64, mallocs uint64, err error) {
	defer c.Close()
	before, err := server.ask(commandStats)
	if err != nil {
		return 0, 0, 0, err
	}
	frames, rate, err = c.pipeline(o.turn)
	if err != nil {
		return 0, 0, 0, err
	}
	after, err := server.ask(commandStats)
	*cpu += after.CPU - before.CPU
	return frames, rate, after.Mallocs - before.Mallocs, err
}

func printPackets(w io.Writer, turns []*packetTurns, pipes []*pipelined) {
	fmt.Fprintf(w, "Packets of %d bytes, with a body of %d, beside a raw TCP echo of the same frames.\n", pipes[0].frameSize, pipes[0].bodySize)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "  in turn\techo/s\tpackets/s\tp50\tp99\tserver CPU\tallocations\tof the echo\n")
	for _, t := range turns {
		ratio := median(t.ratios)
		fmt.Fprintf(tw, "  %s, %s\t%.0f\t%.0f\t%v\t%v\t%.1f µs\t%.1f\t%.1f %% (%.1f..%.1f)%s\n", count(t.clients, "client"), packetKinds[t.kind],
			median(t.echo.rates), median(t.packets.rates), quantile(&t.packets, 50), quantile(&t.packets, 99),
			t.packets.perRequest(float64(t.packets.serverCPU.Nanoseconds()))/1000, t.packets.perRequest(float64(t.packets.mallocs)),
			100*ratio, 100*slices.Min(t.ratios), 100*slices.Max(t.ratios), verdict(true, ratio >= aimTurns, fmt.Sprintf("%.0f %%", 100*aimTurns)))
	}
	fmt.Fprintf(tw, "  pipelined, one connection\techo/s\tpackets/s\t\t\tserver CPU\tallocations\tof the echo\n")
	for _, p := range pipes {
		rate := median(p.rates)
		aim := map[string]float64{"map": aimMaps, "typed": aimTyped}[packetKinds[p.kind]]
		fmt.Fprintf(tw, "  %s\t%.0f\t%.0f (%.0f..%.0f)\t\t\t%.2f µs\t%.2f\t%.1f %% (%.1f..%.1f)%s\n", packetKinds[p.kind], median(p.echoRates), rate, slices.Min(p.rates), slices.Max(p.rates),
			float64(p.serverCPU.Nanoseconds())/float64(p.frames)/1000, float64(p.mallocs)/float64(p.frames),
			100*median(p.ratios), 100*slices.Min(p.ratios), 100*slices.Max(p.ratios), verdict(aim > 0, rate >= aim, fmt.Sprintf("%.0f/s", aim)))
	}
	tw.Flush()
	fmt.Fprintln(w)
}

// idleConnections is what connections cost that have made their handshake and are silent, and how they end.
type idleConnections struct {
	n                   int
	before, after       float64 // kB
	told, unclear, lost int     // connections, by what was heard of the end: the reason, something else, nothing
	// goroutines of the server: without connections, with them, and when it has shut down
	alone, running, left int
}

func (f *idleConnections) measure(ctx context.Context) (err error) {
	server, err := start(ctx, "packets")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	if f.before, err = settled(server); err != nil {
		return err
	}
	r, err := server.ask(commandStats)
	if err != nil {
		return err
	}
	f.alone = r.Running
	var clients []*packetClient
	defer func() { closeAll(clients) }()
	for range f.n {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := dialPackets(server.addr, packet.ConnTypeClassic, nil)
		if err != nil {
			return fmt.Errorf("connection %d: %w", len(clients), err)
		}
		clients = append(clients, c)
	}
	if f.after, err = settled(server); err != nil {
		return err
	}
	if r, err = server.ask(commandStats); err != nil {
		return err
	}
	f.running = r.Running
	ended := make(chan error, 1)
	go func() { // ends with the server's answer
		r, err := server.ask(commandEnd)
		f.left = r.Running
		ended <- err
	}()
	for _, c := range clients {
		c.nc.SetDeadline(time.Now().Add(slack))
		switch id, body, err := c.read(); {
		case err != nil:
			f.lost++
		case id == packet.IDCloseConnection && string(body) == "\x81\xa6reason\xaeservershutdown":
			f.told++
		default:
			f.unclear++
		}
		c.Close()
	}
	return <-ended
}

func printIdle(w io.Writer, f *idleConnections) {
	perConn := (f.after - f.before) / float64(f.n)
	fmt.Fprintf(w, "%d idle packet connections: %.1f MB, %.2f kB each%s\n", f.n, (f.after-f.before)/1000, perConn,
		verdict(true, perConn <= aimIdle, "10 KiB"))
	fmt.Fprintf(w, "  at Shutdown: %d were told the reason, %d something else, %d nothing%s\n",
		f.told, f.unclear, f.lost, verdict(true, f.told == f.n, "all told"))
	fmt.Fprintf(w, "  goroutines of the server: %d at first, %d with the connections, %d after Shutdown%s\n\n",
		f.alone, f.running, f.left, verdict(true, f.left <= f.alone, "none left"))
}

// idleCount is how many connections can be held here, with some files to spare.
func idleCount(want int) int {
	if runtime.GOOS != "linux" {
		return 0
	}
	return min(want, openFiles()-200)
}
