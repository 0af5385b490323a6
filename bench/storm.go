package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"parlor"
)

// What a storm of wrong logins is held to.
const (
	aimStormP99    = 2               // times the p99 of others' requests before it, at most
	aimStormLogin  = 5 * time.Second // until somebody is in who logged in before
	aimStormMemory = 128.0           // MB more than before it, at most
)

const (
	stormRate     = 1000                  // wrong logins a second
	stormInterval = 50 * time.Millisecond // between the requests of each of those who are in rooms meanwhile
)

// Whose passwords are guessed: both log in meanwhile, one from where she did before and the other from somewhere new each time; and
// some who are not there.
const (
	regular     = "regular"
	traveller   = "traveller"
	stormAbsent = 8
)

func absent(i int) string { return fmt.Sprint("absent", i%stormAbsent) }

// nthOf is an address of the loopback, 127.net.0.0 and the following.
func nthOf(net byte, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, net, byte(i >> 8), byte(i)})
}

// The networks of addresses.
const (
	homes = 1 + iota
	journeys
	attackers
)

// guesses are what came of the logins of a storm, by their answers.
type guesses struct {
	Wrong, Limited, Busy, Other int
	Failed                      int    // no answer
	First                       string // the first of Other or Failed
	Took                        time.Duration
}

func (g *guesses) add(answer string, err error) {
	switch {
	case err != nil:
		g.Failed++
		answer = err.Error()
	case answer == "Incorrect password.":
		g.Wrong++
		return
	case strings.HasPrefix(answer, "Limit of failed logins"):
		g.Limited++
		return
	case strings.HasPrefix(answer, "The server is busy."):
		g.Busy++
		return
	default:
		g.Other++
	}
	if g.First == "" {
		g.First = answer
	}
}

// makeStorm is "bench storm": when it is told so, it makes so many wrong logins and says what came of them. It has a low priority, as
// a real attack would not take the time of this machine's processors.
func makeStorm(args []string, stdin io.Reader, stdout io.Writer) error {
	f := flag.NewFlagSet("storm", flag.ContinueOnError)
	addr := f.String("addr", "", "of the server")
	logins := f.Int("logins", 10_000, "how many")
	networks := f.Int("networks", 1, "addresses that they come from")
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := yield(); err != nil {
		return fmt.Errorf("lower the priority: %w", err)
	}
	enc := json.NewEncoder(stdout)
	if err := enc.Encode(report{Addr: *addr}); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		if err := enc.Encode(storm(*addr, *networks, *logins)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// storm makes wrong logins by the clock, as many as there are files for at once.
func storm(addr string, networks, logins int) (g guesses) {
	var mu sync.Mutex // guards g
	var wg sync.WaitGroup
	free := make(chan struct{}, affordable(logins, 1))
	start := time.Now()
	for i := range logins {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / stormRate))) // sleep: the storm keeps its pace
		free <- struct{}{}
		wg.Go(func() { // ends with the answer, or the connection's deadline
			defer func() { <-free }()
			user := [...]string{regular, traveller, absent(i)}[i%3]
			text, err := guess(nthOf(attackers, i%networks), addr, user)
			mu.Lock()
			defer mu.Unlock()
			g.add(text, err)
		})
	}
	g.Took = time.Since(start)
	wg.Wait()
	return g
}

// guess is one wrong login, and returns the text of the answer.
func guess(from netip.Addr, addr, user string) (string, error) {
	r, err := loginFrom(from, addr, user, "wrong")
	return r.Message, err
}

// loginFrom logs in from an address, and out at once.
func loginFrom(from netip.Addr, addr, user, password string) (r parlor.Response, err error) {
	c, err := connectFrom(from, addr)
	if err != nil {
		return r, err
	}
	defer c.Close()
	who := credentials(user)
	who["password"] = password
	p, err := packetText("handshake", who)
	if err != nil {
		return r, err
	}
	text, err := c.roundTrip(p)
	if err != nil {
		return r, err
	}
	return parlor.DecodeResponse(text)
}

func addresses(n int) string {
	if n == 1 {
		return "one address"
	}
	return fmt.Sprint(n, " addresses")
}

// tempest is what storms from so many addresses have done.
type tempest struct {
	networks, logins int

	calm, away, wild   *hdrhistogram.Histogram // latencies of others: before, beside a storm at another server, and in the storm
	p50s, p99s         []float64               // ratios to those before, of each storm
	p50sAway, p99sAway []float64               // ratios to those beside a storm at another server, likewise

	regular, traveller visits
	memory             []float64 // MB at most beyond what it was before, of each
	cpu                []float64 // seconds of the server's CPU time, of each
	last               guesses
}

// visits are logins of somebody who knows her password.
type visits struct {
	took   []float64 // seconds until she was in
	locked int       // who was not let in
	why    error     // of the first of them
}

// stormed is a server with one who makes storms.
type stormed struct {
	server, attack     *child
	regular, traveller visits
}

// measureStorm is the part of wrong logins.
func measureStorm(ctx context.Context, o options, w io.Writer) error {
	if runtime.GOOS != "linux" {
		fmt.Fprintln(w, "Storms of logins are measured on Linux only, where a process may have many addresses.")
		return nil
	}
	fmt.Fprintf(w, "%d wrong logins within %v, as the names of %d users, beside %d others on the native wire, each of whom asks every %v. One of the\n",
		o.storm, time.Duration(o.storm)*time.Second/stormRate, stormAbsent+2, o.clients, stormInterval)
	fmt.Fprintf(w, "users logs in twice a second from where she did before, and another from somewhere new.\n")
	for _, networks := range []int{1, 100} {
		t := &tempest{networks: networks, logins: o.storm, calm: newHistogram(), away: newHistogram(), wild: newHistogram()}
		for range o.pairs {
			if err := t.measure(ctx, o); err != nil {
				return fmt.Errorf("storm from %s: %w", addresses(networks), err)
			}
		}
		t.print(w)
	}
	return nil
}

// measure has one server be asked, without a storm, with one at another server, which takes as much of this machine, and with one.
func (t *tempest) measure(ctx context.Context, o options) (err error) {
	here, err := t.open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, here.close()) }()
	there, err := t.open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, there.close()) }()
	var users []peer
	defer func() { closeAll(users) }()
	for i := range o.clients {
		s, err := loginNative(here.server.addr, fmt.Sprint("player", i), gameName(i), crowdBuffer)
		if err != nil {
			return err
		}
		users = append(users, s)
	}
	d := time.Duration(t.logins) * time.Second / stormRate
	calm, away, wild := newHistogram(), newHistogram(), newHistogram()
	if err := askAll(ctx, users, d, calm); err != nil {
		return err
	}
	if _, err := there.storm(d, func() error { return askAll(ctx, users, d, away) }); err != nil {
		return err
	}
	before, err := settled(here.server)
	if err != nil {
		return err
	}
	if err := here.server.forgetPeak(); err != nil {
		return err
	}
	r, err := here.server.ask(commandStats)
	if err != nil {
		return err
	}
	cpu := r.CPU
	if t.last, err = here.storm(d, func() error { return askAll(ctx, users, d, wild) }); err != nil {
		return err
	}
	if r, err = here.server.ask(commandStats); err != nil {
		return err
	}
	t.cpu = append(t.cpu, (r.CPU - cpu).Seconds())
	peak, err := here.server.memory("VmHWM:")
	t.memory = append(t.memory, (peak-before)/1000)
	ratio := func(of *hdrhistogram.Histogram, q float64) float64 {
		return float64(wild.ValueAtQuantile(q)) / max(float64(of.ValueAtQuantile(q)), 1)
	}
	t.p50s, t.p99s = append(t.p50s, ratio(calm, 50)), append(t.p99s, ratio(calm, 99))
	t.p50sAway, t.p99sAway = append(t.p50sAway, ratio(away, 50)), append(t.p99sAway, ratio(away, 99))
	t.calm.Merge(calm)
	t.away.Merge(away)
	t.wild.Merge(wild)
	t.regular.add(here.regular)
	t.traveller.add(here.traveller)
	return err
}

// open starts a server that knows all whose passwords are guessed, and one who guesses.
func (t *tempest) open(ctx context.Context, o options) (_ *stormed, err error) {
	s := &stormed{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.server, err = start(ctx, o.profiled("server", "-hashes", "-game", "storm")...); err != nil {
		return nil, err
	}
	if s.attack, err = start(ctx, "storm", "-addr", s.server.addr, "-networks", fmt.Sprint(t.networks), "-logins", fmt.Sprint(t.logins)); err != nil {
		return nil, err
	}
	for i := range stormAbsent {
		if err := mustLogin(nthOf(homes, i), s.server.addr, absent(i)); err != nil {
			return nil, err
		}
	}
	for _, user := range []string{regular, traveller} {
		if err := mustLogin(nthOf(homes, 0), s.server.addr, user); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *stormed) close() (err error) {
	for _, c := range []*child{s.attack, s.server} {
		if c != nil {
			err = errors.Join(err, c.close())
		}
	}
	return err
}

// storm has a storm and visits come while something is done, which takes as long.
func (s *stormed) storm(d time.Duration, do func() error) (g guesses, err error) {
	if _, err := fmt.Fprintln(s.attack.in); err != nil {
		return g, err
	}
	var wg sync.WaitGroup
	until := time.Now().Add(d)
	wg.Go(func() { s.regular.make(s.server.addr, regular, func(int) netip.Addr { return nthOf(homes, 0) }, until) }) // ends by the clock
	wg.Go(func() {
		s.traveller.make(s.server.addr, traveller, func(i int) netip.Addr { return nthOf(journeys, i) }, until)
	}) // likewise
	err = do()
	wg.Wait()
	if err != nil {
		return g, err
	}
	if err := s.attack.out.Decode(&g); err != nil {
		return g, fmt.Errorf("the storm's end: %w", err)
	}
	return g, nil
}

// mustLogin registers a user, or logs her in.
func mustLogin(from netip.Addr, addr, user string) error {
	r, err := loginFrom(from, addr, user, "correct horse")
	if err == nil && r.Status != parlor.StatusOK {
		err = errors.New(r.Message)
	}
	if err != nil {
		return fmt.Errorf("log in as %s: %w", user, err)
	}
	return nil
}

// make has somebody log in twice a second.
func (v *visits) make(addr, user string, from func(i int) netip.Addr, until time.Time) {
	for time.Now().Before(until) {
		began := time.Now()
		if err := mustLogin(from(len(v.took)+v.locked), addr, user); err != nil {
			v.locked++
			v.why = cmp.Or(v.why, err)
		} else {
			v.took = append(v.took, time.Since(began).Seconds())
		}
		time.Sleep(time.Until(began.Add(time.Second / 2))) // sleep: twice a second
	}
}

func (v *visits) add(more visits) {
	v.took = append(v.took, more.took...)
	v.locked += more.locked
	v.why = cmp.Or(v.why, more.why)
}

// askAll has each peer ask by the clock, for as long as d.
func askAll(ctx context.Context, peers []peer, d time.Duration, h *hdrhistogram.Histogram) error {
	_, _, err := pace(ctx, peers, newMessage(), 1, stormInterval, d, h)
	return err
}

func (t *tempest) print(w io.Writer) {
	g := t.last
	fmt.Fprintf(w, "from %s: the last %d took %.1f s: %d wrong, %d refused unseen, %d in vain for a turn, %d else, %d failed\n", addresses(t.networks),
		t.logins, g.Took.Seconds(), g.Wrong, g.Limited, g.Busy, g.Other, g.Failed)
	if g.First != "" {
		fmt.Fprintf(w, "  the first of these: %s\n", g.First)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	at := func(h *hdrhistogram.Histogram, q float64) time.Duration {
		return time.Duration(h.ValueAtQuantile(q)).Round(time.Microsecond)
	}
	fmt.Fprintf(tw, "  others' requests\tp50\tp99\tp99.9\n")
	fmt.Fprintf(tw, "  before\t%v\t%v\t%v\n", at(t.calm, 50), at(t.calm, 99), at(t.calm, 99.9))
	fmt.Fprintf(tw, "  beside a storm at another server\t%v\t%v\t%v\n", at(t.away, 50), at(t.away, 99), at(t.away, 99.9))
	fmt.Fprintf(tw, "  in the storm\t%v\t%v\t%v\n", at(t.wild, 50), at(t.wild, 99), at(t.wild, 99.9))
	tw.Flush()
	percents := func(what, of string, v []float64, aims bool) {
		m := median(v)
		fmt.Fprintf(w, "  %s, of that %s: %.0f %% (%.0f..%.0f)%s\n", what, of, 100*m, 100*slices.Min(v), 100*slices.Max(v),
			verdict(aims, m <= aimStormP99, fmt.Sprintf("at most %d %%", 100*aimStormP99)))
	}
	percents("p50", "before", t.p50s, true)
	percents("p99", "before", t.p99s, true)
	percents("p50", "beside", t.p50sAway, false)
	percents("p99", "beside", t.p99sAway, false)
	logins := func(where string, v visits, aims bool) {
		if len(v.took) == 0 {
			v.took = []float64{0}
		}
		worst := slices.Max(v.took)
		fmt.Fprintf(w, "  in, %s: after %.2f s, the slowest %.2f s; %d not let in%s\n", where, median(v.took), worst, v.locked,
			verdict(aims, v.locked == 0 && worst <= aimStormLogin.Seconds(), fmt.Sprintf("all, and at most %v", aimStormLogin)))
		if v.why != nil {
			fmt.Fprintf(w, "    the first of them: %v\n", v.why)
		}
	}
	logins("where she was before", t.regular, true)
	logins("somewhere new", t.traveller, false)
	fmt.Fprintf(w, "  memory of the server at most: %.0f MB more than before (%.0f..%.0f)%s\n", median(t.memory), slices.Min(t.memory), slices.Max(t.memory),
		verdict(true, slices.Max(t.memory) <= aimStormMemory, fmt.Sprintf("at most %.0f MB", aimStormMemory)))
	fmt.Fprintf(w, "  CPU time of the server: %.1f s\n\n", median(t.cpu))
}
