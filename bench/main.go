// Command bench measures the server beside a raw TCP echo of the same sizes: requests per second, latency,
// allocations and CPU time per request, and memory per user. See README.md for how to read its figures.
//
// It runs the server ("bench server") and the echo ("bench echo") as processes of their own, on the loopback,
// and is itself the load. The children end with it, whatever ends it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// options are what is measured, and how long.
type options struct {
	pairs   int           // turns of the echo and of the lobby
	turn    time.Duration // of one measurement
	clients int           // at once, beside the measurement of one
	idle    int           // users whose memory is measured; and 5 times as many, if the open file limit allows
	seldom  bool          // only as many idle users as idle says
	conns   int           // idle packet connections, as far as the open file limit allows
	crowd   int           // users of one game who get its broadcasts
	rooms   int           // games of four users, as far as the open file limit allows

	returners int    // clients whose links are cut at once, as far as the open file limit allows
	storm     int    // wrong logins of one storm
	recovered int    // durable games that are made again
	users     int    // in the store at the start
	postgres  string // a database for durable games; empty: none
	only      string // one of parts; empty: all
	match     string // what the titles of the loads of native and packet wires contain that are measured; empty: all

	cpuProfile, memProfile string // files that the server writes; empty: none
}

// profiled are the arguments of a child that is profiled if that was asked for.
func (o *options) profiled(args ...string) []string { return o.profiledAs("", args...) }

// profiledAs is profiled for one of several children: suffix tells its files from those of the others.
func (o *options) profiledAs(suffix string, args ...string) []string {
	if o.cpuProfile != "" {
		args = append(args, "-cpuprofile", o.cpuProfile+suffix)
	}
	if o.memProfile != "" {
		args = append(args, "-memprofile", o.memProfile+suffix)
	}
	return args
}

// run is the program. It returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var err error
	switch {
	case len(args) > 0 && args[0] == "server":
		err = serveLobby(args[1:], stdin, stdout)
	case len(args) > 0 && args[0] == "packets":
		err = servePackets(args[1:], stdin, stdout)
	case len(args) > 0 && args[0] == "storm":
		err = makeStorm(args[1:], stdin, stdout)
	case len(args) > 0 && args[0] == "raw":
		err = serveRaw(stdin, stdout)
	case len(args) > 0 && args[0] == "echo":
		err = serveEcho(args[1:], stdin, stdout)
	default:
		err = measure(args, stdout, stderr)
	}
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// measure is the parent process.
func measure(args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A measurement never takes this long; what hangs is ended.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute+time.Duration(o.pairs)*80*o.turn)
	defer cancel()
	for _, p := range parts {
		if o.only == "" || o.only == p.name {
			if err := p.measure(ctx, o, stdout); err != nil {
				return err
			}
		}
	}
	return nil
}

// part is one of what there is to measure.
type part struct {
	name    string
	measure func(ctx context.Context, o options, stdout io.Writer) error
}

// parts are what -only selects, in the order in which they are measured.
var parts = []part{
	{"packets", measurePackets},
	{"packetwire", measurePacketwire},
	{"native", measureNative},
	{"isolation", measureIsolation},
	{"resume", measureResume},
	{"lobby", measureLobby},
	{"memory", measureMemory},
	{"storm", measureStorm},
	{"durable", measureDurable},
	{"recovery", measureRecovery},
	{"users", measureUsers},
}

// partNames are the names of the parts, for people.
func partNames() string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return strings.Join(names, ", ")
}

// measureLobby is the part of pgnet's wire.
func measureLobby(ctx context.Context, o options, stdout io.Writer) error {
	loads, err := compare(ctx, o)
	if err != nil {
		return err
	}
	printLoads(stdout, o, loads)
	return nil
}

// measureMemory is the part of idle users.
func measureMemory(ctx context.Context, o options, stdout io.Writer) error {
	memories, err := memory(ctx, o)
	if err != nil {
		return err
	}
	printMemories(stdout, memories)
	return nil
}

// measurePackets is the part of the packet server.
func measurePackets(ctx context.Context, o options, stdout io.Writer) error {
	turns, pipes, err := comparePackets(ctx, o)
	if err != nil {
		return err
	}
	printPackets(stdout, turns, pipes)
	f := idleConnections{n: idleCount(o.conns)}
	if f.n <= 0 {
		return nil
	}
	if err := f.measure(ctx); err != nil {
		return fmt.Errorf("idle packet connections: %w", err)
	}
	printIdle(stdout, &f)
	return nil
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	var quick bool
	var seconds float64
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.pairs, "pairs", 7, "`turns` of echo and lobby")
	f.Float64Var(&seconds, "seconds", 2, "how long each turn measures")
	f.IntVar(&o.clients, "clients", 50, "clients at once, each with one request in flight")
	f.IntVar(&o.idle, "idle", 1000, "users whose memory is measured")
	f.IntVar(&o.conns, "conns", idlePackets, "idle packet connections")
	f.IntVar(&o.crowd, "crowd", 1000, "users of one game who get its broadcasts")
	f.IntVar(&o.rooms, "rooms", 1000, "games of four users at once")
	f.IntVar(&o.returners, "returners", 5000, "clients whose links are cut at once")
	f.IntVar(&o.storm, "storm", 10_000, "wrong logins of one storm, of which there are 1,000 a second")
	f.IntVar(&o.recovered, "recovered", 10_000, "durable games that are made again at the start")
	f.IntVar(&o.users, "users", 1_000_000, "users in the store at the start")
	f.StringVar(&o.postgres, "postgres", "", "a `database`, postgres://..., empty, for durable games too")
	f.StringVar(&o.only, "only", "", "the `part` to measure: "+partNames()+"; default all")
	f.StringVar(&o.match, "match", "", "`text` that the titles of loads must contain, of the native and the packet wire, and the names of stores of durable games")
	f.BoolVar(&quick, "quick", false, "a smoke test: one pair, 0.2 s, few users")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "`file` for the server's CPU profile")
	f.StringVar(&o.memProfile, "memprofile", "", "`file` for the server's profile of allocations")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if quick {
		o.pairs, seconds, o.clients, o.idle, o.seldom, o.conns = 1, 0.2, 10, 20, true, 20
		o.crowd, o.rooms, o.returners, o.storm = 20, 5, 20, 200
		o.recovered, o.users = 20, 200
	}
	o.turn = time.Duration(seconds * float64(time.Second))
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: settings are given as flags; see bench -help", f.Arg(0))
	case o.pairs < 1 || o.pairs > 1000 || o.clients < 1 || o.clients > 5000 || o.idle < 1 || o.idle > 50_000:
		return o, errors.New("-pairs must be 1 to 1000, -clients 1 to 5000, -idle 1 to 50000")
	case o.only != "" && !slices.ContainsFunc(parts, func(p part) bool { return p.name == o.only }):
		return o, errors.New("-only must be one of " + partNames())
	case o.conns < 1 || o.conns > 50_000:
		return o, errors.New("-conns must be 1 to 50000")
	case o.returners < 1 || o.returners > 50_000:
		return o, errors.New("-returners must be 1 to 50000")
	case o.crowd < 1 || o.crowd > 20_000 || o.rooms < 1 || o.rooms > 5000:
		return o, errors.New("-crowd must be 1 to 20000, -rooms 1 to 5000")
	case o.recovered < 1 || o.recovered > 10_000 || o.users < 20 || o.users > 1_000_000:
		return o, errors.New("-recovered must be 1 to 10000, -users 20 to 1000000")
	case o.storm < 100 || o.storm > 20_000:
		return o, errors.New("-storm must be 100 to 20000")
	case seconds < 0.01 || seconds > 60:
		return o, errors.New("-seconds must be 0.01 to 60")
	}
	return o, nil
}
