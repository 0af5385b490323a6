package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// What the figures are held against: the aims of the project, and pgnet's server in Python (release 0.2.1, on
// another machine of two virtual CPUs, one game, raw clients without compression).
const (
	pythonOne  = 8_068  // requests per second of one client
	pythonMany = 12_899 // of 50 clients
	pythonUser = 21.0   // kB of an idle user

	aimRatio  = 0.55 // of the echo, for 50 clients
	aimFactor = 5    // times the Python server, for 50 clients
	aimUser   = 16.0 // kB of an idle user
)

func printLoads(w io.Writer, o options, loads []*load) {
	fmt.Fprintf(w, "%s %s/%s, %d CPUs. Server and load are two processes that share them.\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	fmt.Fprintf(w, "%d pairs in turn, %v each. Frames: request %d bytes, answer %d bytes. One request in flight per client.\n",
		o.pairs, o.turn, loads[0].sizes.in, loads[0].sizes.out)
	fmt.Fprintf(w, "Figures are medians, with the least and the most in brackets.\n\n")
	for _, l := range loads {
		printLoad(w, l)
	}
}

func printLoad(w io.Writer, l *load) {
	fmt.Fprintf(w, "%s in %s\n", count(l.clients, "client"), count(l.games, "game"))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  \trequests/s\tp50\tp99\tserver CPU\tload CPU\tallocations\n")
	row(t, "echo", &l.echo, false)
	row(t, "lobby", &l.lobby, true)
	t.Flush()
	python, aims := pythonOne, false // the aims are for many clients
	if l.clients > 1 {
		python, aims = pythonMany, true
	}
	ratio, factor := median(l.ratios), median(l.lobby.rates)/float64(python)
	fmt.Fprintf(w, "  of the echo:           %.1f %% (%.1f..%.1f)%s\n", 100*ratio, 100*slices.Min(l.ratios), 100*slices.Max(l.ratios),
		verdict(aims, ratio >= aimRatio, fmt.Sprintf("%.0f %%", 100*aimRatio)))
	if l.lobby.cpu() > 0 {
		fmt.Fprintf(w, "  the same by CPU time:  %.1f %%\n", 100*l.echo.cpu()/l.lobby.cpu())
	}
	fmt.Fprintf(w, "  of pgnet in Python:    %.1f times its %d/s%s\n\n", factor, python,
		verdict(aims, factor >= aimFactor, fmt.Sprintf("%d times", aimFactor)))
}

func row(w io.Writer, name string, s *series, allocations bool) {
	fmt.Fprintf(w, "  %s\t%.0f (%.0f..%.0f)\t%v\t%v\t%.1f µs\t%.1f µs\t", name,
		median(s.rates), slices.Min(s.rates), slices.Max(s.rates),
		quantile(s, 50), quantile(s, 99),
		s.perRequest(float64(s.serverCPU.Nanoseconds()))/1000, s.perRequest(float64(s.loadCPU.Nanoseconds()))/1000)
	if allocations {
		fmt.Fprintf(w, "%.1f, %.0f bytes", s.perRequest(float64(s.mallocs)), s.perRequest(float64(s.bytes)))
	}
	fmt.Fprintln(w)
}

// cpu is the CPU time of a request, of the server and of the load together, in nanoseconds.
func (s *series) cpu() float64 {
	return s.perRequest(float64((s.serverCPU + s.loadCPU).Nanoseconds()))
}

func quantile(s *series, q float64) time.Duration {
	return time.Duration(s.latency.ValueAtQuantile(q)).Round(time.Microsecond)
}

func printMemories(w io.Writer, all []footprint) {
	if len(all) == 0 {
		fmt.Fprintln(w, "Memory is measured on Linux only.")
		return
	}
	fmt.Fprintf(w, "Resident memory of the server (VmRSS), after garbage collection; pgnet in Python: %.0f kB per idle user\n", pythonUser)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  \tempty\twith them\tper user\n")
	for _, f := range all {
		what := "in the lobby"
		if f.playing {
			what = fmt.Sprintf("in games of %d", perGame)
		}
		wire := "pgnet's wire"
		if f.native {
			wire = "native"
		}
		fmt.Fprintf(t, "  %d idle users %s, %s\t%.1f MB\t%.1f MB\t%.1f kB%s\n", f.users, what, wire, f.before/1000, f.after/1000, f.perUser(),
			verdict(!f.playing, f.perUser() <= aimUser, fmt.Sprintf("%.0f kB", aimUser)))
	}
	t.Flush()
}

// verdict sets an aim beside a figure; where there is none it is empty.
func verdict(applies, reached bool, aim string) string {
	switch {
	case !applies:
		return ""
	case reached:
		return "   aim " + aim + ": reached"
	}
	return "   aim " + aim + ": MISSED"
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// median is the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
