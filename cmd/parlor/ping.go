package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"parlor"
	"parlor/host"
	"parlor/packet"
)

const pingHelp = `Ping a server again and again, until Ctrl-C or as often as --count says.

ADDRESS is HOST:PORT, HOST (then the port is that of a lobby, 38929; packet servers mostly have 8080), unix:/PATH, or
a ws://, wss://, tcp:// or tls:// URL. It finds out by itself what answers there: a packet server, which says Hello at
once and adds its own data to each answer, or a lobby, which is pinged by WebSocket, or on its packet wire. Of a lobby it
says which wires it speaks at the address: those are what parlor connect --wire takes. Nobody is logged in for that.

Answers go to standard output, pings that fail to standard error; with --json both are objects on standard output. In
the end, also after Ctrl-C, there is a summary; what was not answered by then counts as lost. Pinging ends early
where another ping would change nothing, as at a server of another kind.

The exit code is 0 if at least one answer came, and 1 if none did. It is 2 if a flag, a file or the address is wrong:
then nothing is pinged, and what is wrong is text on standard error, also with --json.
Every flag may also be given in the environment: --timeout as PARLOR_TIMEOUT, and so on.`

// pingOptions say what to ping, and how often.
type pingOptions struct {
	address  string
	count    int // 0: no end
	interval seconds
	timeout  seconds
	json     bool
	quiet    bool
	tls      tlsOptions
}

func pingCommand() *cobra.Command {
	o := pingOptions{interval: seconds{d: time.Second}, timeout: seconds{d: 5 * time.Second}}
	cmd := &cobra.Command{
		Use:   "ping ADDRESS",
		Short: "Ping a packet server or a lobby",
		Long:  pingHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			return misuse(cmd, checkAddress(cmd, args))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			said := flagsAsGiven(cmd)
			keyGiven := cmd.Flags().Changed("key")
			if err := host.BindEnv(cmd); err != nil {
				return misuse(cmd, err)
			}
			o.tls.settle(cmd, keyGiven)
			o.address = args[0]
			target, err := o.check(said)
			if err != nil {
				return misuse(cmd, err)
			}
			return runPing(cmd, o, target)
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misuse(cmd, host.FlagError(cmd, err)) })
	f := cmd.Flags()
	f.IntVarP(&o.count, "count", "c", 0, "how many pings; 0 goes on until Ctrl-C")
	f.VarP(&o.interval, "interval", "i", "time from one ping to the next, in seconds or as 200ms")
	f.VarP(&o.timeout, "timeout", "W", "how long to wait for each answer, connecting included")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "nothing for each ping, only what answers and the summary")
	f.BoolVar(&o.json, "json", false, "one JSON object a line, the last being the summary")
	o.tls.flags(f)
	return cmd
}

// misuse prints what is wrong with the command line, if anything, and asks for the exit code that UNIX's ping has then.
func misuse(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", cmd.Root().Name(), err)
	return host.ExitError(2)
}

func checkAddress(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	try := fmt.Sprintf("localhost:%d", parlor.DefaultPort)
	if len(args) == 2 {
		if port, err := strconv.ParseUint(args[1], 10, 16); err == nil {
			try = packet.FormatAddress(args[0], int(port))
		}
	}
	return fmt.Errorf("ping takes one address, such as %s; see %s --help", try, cmd.CommandPath())
}

// check returns what to ping. said is flagsAsGiven.
func (o pingOptions) check(said func(name, value string) string) (*target, error) {
	switch {
	case o.count < 0:
		return nil, fmt.Errorf("%s: the number of pings cannot be negative: give 1 or more, or 0 to go on until Ctrl-C", said("count", strconv.Itoa(o.count)))
	case o.interval.d < 0:
		return nil, fmt.Errorf("%s: the time between pings cannot be negative: give 0 or more seconds; 0 sends each ping right after the answer to the one before", said("interval", o.interval.text))
	case o.timeout.d <= 0:
		return nil, fmt.Errorf("%s: that leaves no time for an answer: give more than 0 seconds, such as 5, or 200ms", said("timeout", o.timeout.text))
	}
	return newTarget(o.address, o.tls, parlor.DefaultPort)
}

// flagsAsGiven returns a function that writes a flag as the user has given it: on the command line, or else in the
// environment. It is called before the latter is read.
func flagsAsGiven(cmd *cobra.Command) func(name, value string) string {
	typed := map[string]bool{}
	cmd.Flags().Visit(func(f *pflag.Flag) { typed[f.Name] = true })
	return func(name, value string) string {
		if typed[name] {
			return "--" + name + " " + visible(value)
		}
		return "PARLOR_" + strings.ToUpper(name) + "=" + visible(value)
	}
}

// runPing pings until a signal.
func runPing(cmd *cobra.Command, o pingOptions, target *target) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &pinging{options: o, target: target, report: newReport(cmd.OutOrStdout(), cmd.ErrOrStderr(), o)}
	defer p.drop()
	return p.run(ctx)
}

// pinging is the pings of one command.
type pinging struct {
	options pingOptions
	target  *target
	report  *report
	conn    pinger // nil: none
}

// run pings one after the other.
func (p *pinging) run(ctx context.Context) error {
	next := time.Now()
	for seq := 1; p.options.count == 0 || seq <= p.options.count; seq++ {
		if !sleepUntil(ctx, next) {
			break
		}
		next = time.Now().Add(p.options.interval.d)
		begun := time.Now()
		rtt, data, err := p.once(ctx)
		if err != nil {
			p.drop()
		}
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("given up after %.1f s without an answer", time.Since(begun).Seconds())
		}
		if err := p.report.ping(seq, p.target, rtt, data, err); err != nil {
			return err
		}
		var hopeless *hopelessError
		if errors.As(err, &hopeless) {
			break
		}
		if p.conn != nil && !p.conn.lasts(next) {
			p.drop()
		}
	}
	p.drop()
	if err := p.report.summary(p.target); err != nil {
		return err
	}
	if p.report.received() == 0 {
		return host.ExitError(1) // what went wrong was reported
	}
	return nil
}

// once is one ping, on the connection that there is or a new one.
func (p *pinging) once(ctx context.Context) (rtt time.Duration, data map[string]any, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.timeout.d)
	defer cancel()
	if p.conn != nil && !p.conn.lasts(time.Now()) {
		p.drop()
	}
	if p.conn == nil {
		if p.conn, err = p.target.dial(ctx); err == nil {
			err = p.report.connected(p.target, p.conn.remote())
		}
	}
	if err == nil {
		rtt, data, err = p.conn.ping(ctx)
	}
	if err != nil {
		return 0, nil, p.target.explain(ctx, err, p.options.timeout.d)
	}
	return rtt, data, nil
}

// drop ends the connection, if there is one.
func (p *pinging) drop() {
	if p.conn != nil {
		p.conn.close()
		p.conn = nil
	}
}

// sleepUntil tells whether it has slept until then; ctx ends it before.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// seconds is a flag that takes seconds, as UNIX's ping does, or a duration with its unit.
type seconds struct {
	d    time.Duration
	text string // as it was given; "" for the default
}

func (s *seconds) String() string { return s.d.String() }
func (s *seconds) Type() string   { return "seconds" }

func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, bad := strconv.ParseFloat(text, 64); bad == nil && math.Abs(n) < 1e9 {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil {
		return errors.New("want seconds, or a duration such as 200ms")
	}
	*s = seconds{d, text}
	return nil
}
