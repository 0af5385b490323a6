package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// contest is a load that servers take turns at: baselines, and the lobby as the last one.
type contest struct {
	title      string
	counts     string // what is counted: "messages" or "deliveries"
	timed      bool   // latencies are known
	contenders []*contender
	base       int // the row that the ratios are of
	// aims; 0 is none
	ratio float64 // of the rate to that of the base
	rate  float64 // of the lobby, per second
	p99   float64 // of the p99 to that of the base, at most
	cpu   float64 // of the server's CPU time to that of the base, at most
}

// contender is one of those who take turns.
type contender struct {
	name string
	series
	turn func() error // has the next turn
}

// run has them all take turns.
func (c *contest) run(pairs int) error {
	for range pairs {
		for _, r := range c.contenders {
			if err := r.turn(); err != nil {
				return fmt.Errorf("%s: %s: %w", c.title, r.name, err)
			}
		}
	}
	return nil
}

func (c *contest) print(w io.Writer) {
	fmt.Fprintln(w, c.title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  \t%s/s\t", c.counts)
	if c.timed {
		fmt.Fprintf(t, "p50\tp99\t")
	}
	fmt.Fprintf(t, "server CPU\tload CPU\tallocations\n")
	for _, r := range c.contenders {
		fmt.Fprintf(t, "  %s\t%.0f (%.0f..%.0f)\t", r.name, median(r.rates), slices.Min(r.rates), slices.Max(r.rates))
		if c.timed {
			fmt.Fprintf(t, "%v\t%v\t", quantile(&r.series, 50), quantile(&r.series, 99))
		}
		fmt.Fprintf(t, "%.2f µs\t%.2f µs\t%.2f, %.0f bytes\n", r.perRequest(micros(r.serverCPU)), r.perRequest(micros(r.loadCPU)),
			r.perRequest(float64(r.mallocs)), r.perRequest(float64(r.bytes)))
	}
	t.Flush()
	ours, base := c.contenders[len(c.contenders)-1], c.contenders[c.base]
	if c.rate > 0 {
		fmt.Fprintf(w, "  rate: %.0f/s%s\n", median(ours.rates), verdict(true, median(ours.rates) >= c.rate, fmt.Sprintf("at least %.0f/s", c.rate)))
	}
	compared := func(what string, a, b []float64, aim float64, most bool) {
		ratios := make([]float64, len(a))
		for i := range a {
			ratios[i] = a[i] / max(b[i], 1)
		}
		m := median(ratios)
		text, reached := "at least ", m >= aim
		if most {
			text, reached = "at most ", m <= aim
		}
		fmt.Fprintf(w, "  %s, of the %s: %.1f %% (%.1f..%.1f)%s\n", what, base.name, 100*m, 100*slices.Min(ratios), 100*slices.Max(ratios),
			verdict(aim > 0, reached, fmt.Sprintf("%s%.0f %%", text, 100*aim)))
	}
	if c.p99 > 0 {
		compared("p99", ours.p99s, base.p99s, c.p99, true)
		compared("server CPU", ours.serverCPUs, base.serverCPUs, c.cpu, true)
	} else {
		compared("rate", ours.rates, base.rates, c.ratio, false)
		if ours.cpu() > 0 {
			fmt.Fprintf(w, "  the same by CPU time: %.1f %%\n", 100*base.cpu()/ours.cpu())
		}
	}
	fmt.Fprintln(w)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
