package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parlor"
	player "parlor/client"
	"parlor/link/wslink"
)

// aimResume is how long it may take until all are back whose links were cut at the same moment.
const aimResume = 10 * time.Second

// seatsGame gives each user a seat, and pushes a number to all of them now and then.
type seatsGame struct {
	seats map[string]int
	next  int
}

const (
	pushTick     = "tick"
	tickInterval = 5 * time.Second
)

func newSeats(room parlor.Room, _ string) (parlor.Game, error) {
	tick := 0
	room.Every(tickInterval, func() {
		tick++
		room.Broadcast(pushTick, parlor.Map{"n": tick})
	})
	return &seatsGame{seats: map[string]int{}}, nil
}

func (g *seatsGame) UserJoined(user string) {
	g.next++
	g.seats[user] = g.next
}

func (g *seatsGame) UserLeft(user string) { delete(g.seats, user) }

// HandleGamePacket answers where somebody sits.
func (g *seatsGame) HandleGamePacket(p parlor.Packet) parlor.Response {
	return parlor.OK(answer, parlor.Map{"seat": g.seats[p.Username]})
}

// returner is a user of package client whose link is cut now and then.
type returner struct {
	*player.Client
	seat int

	mu     sync.Mutex // guards the fields below
	socket *net.TCPConn
	tick   int // the last one that came
	gaps   int // that did not
}

// cut closes the socket without a word.
func (r *returner) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.socket.SetLinger(0)
	r.socket.Close()
}

func (r *returner) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.socket = nc.(*net.TCPConn)
	return nc, nil
}

func (r *returner) pushed(p *parlor.Push) {
	var tick struct {
		N int `json:"n"`
	}
	if p.Message != pushTick || p.Payload.Bind(&tick) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tick > 0 && tick.N != r.tick+1 {
		r.gaps++
	}
	r.tick = tick.N
}

// comeIn logs in, and takes a seat.
func (r *returner) comeIn(ctx context.Context, addr, user, game string) (err error) {
	r.Client, err = player.New(addr, player.Config{
		Username: user, Password: "correct horse",
		Dialer: wslink.Dialer{DialContext: r.dial}, // with the client's key
		OnPush: r.pushed,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if err := r.Connect(ctx); err != nil {
		return err
	}
	if err := r.JoinGame(ctx, game, player.GameOptions{}); err != nil {
		return err
	}
	answer, err := r.Request(ctx, "where", nil)
	if err == nil {
		r.seat, err = seatOf(answer)
	}
	return err
}

func seatOf(r parlor.Response) (int, error) {
	var at struct {
		Seat int `json:"seat"`
	}
	err := r.Payload.Bind(&at)
	return at.Seat, err
}

// homecoming is what came of cutting all links at once.
type homecoming struct {
	took   []time.Duration // of each who came back
	others int             // who have not the same seat
	failed error           // why one did not come back
}

// measureResume is the part of links that are all cut at once.
func measureResume(ctx context.Context, o options, w io.Writer) (err error) {
	users := affordable(o.returners, 1)
	lobby, err := start(ctx, o.profiled("server", "-game", "seats")...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lobby.close()) }()
	all := make([]*returner, 0, users)
	defer func() {
		for _, r := range all {
			r.Close()
			r.Wait()
		}
	}()
	for i := range users {
		r := &returner{}
		if err := r.comeIn(ctx, lobby.addr, fmt.Sprintf("player%d", i), gameName(i/perGame)); err != nil {
			return fmt.Errorf("player %d: %w", i, err)
		}
		all = append(all, r)
	}
	fmt.Fprintf(w, "%s on the native wire, in games of %d, whose links are all cut at the same moment.\n", count(users, "client"), perGame)
	fmt.Fprintln(w, "Each comes back by itself, as package client does, and is back when the game has told her what her seat is.")
	before, err := lobby.ask(commandStats)
	if err != nil {
		return err
	}
	ours := cpuTime()
	var last []float64
	for range o.pairs {
		home, err := cutAll(ctx, all)
		if err != nil {
			return err
		}
		slices.Sort(home.took)
		end := home.took[len(home.took)-1]
		last = append(last, end.Seconds())
		fmt.Fprintf(w, "  all back after %v; half of them after %v; %d have another seat\n", end.Round(time.Millisecond), home.took[len(home.took)/2].Round(time.Millisecond), home.others)
		pause(ctx, 2*time.Second) // for what the clients acknowledge
	}
	ours = cpuTime() - ours
	after, err := lobby.ask(commandStats)
	if err != nil {
		return err
	}
	var links, resumed, lost int64
	gaps := 0
	for _, r := range all {
		s := r.Stats()
		links, resumed, lost = links+s.Links, resumed+s.Resumed, lost+s.PushesLost
		r.mu.Lock()
		gaps += r.gaps
		r.mu.Unlock()
	}
	fmt.Fprintf(w, "  %d links, of which %d have resumed; %d pushes lost, and %d gaps in what was pushed\n", links, resumed, lost, gaps)
	each := func(d time.Duration) float64 { return micros(d) / float64(max(links, 1)) / 1000 }
	fmt.Fprintf(w, "  CPU time of each: %.2f ms of the server, %.2f ms of the load\n", each(after.CPU-before.CPU), each(ours))
	m := median(last)
	fmt.Fprintf(w, "  all back, median: %.2f s (%.2f..%.2f)%s\n\n", m, slices.Min(last), slices.Max(last),
		verdict(true, m <= aimResume.Seconds(), fmt.Sprintf("at most %v", aimResume)))
	return nil
}

// cutAll cuts all links, and waits until their clients are back.
func cutAll(ctx context.Context, all []*returner) (h homecoming, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var mu sync.Mutex // guards h
	var left atomic.Int64
	left.Store(int64(len(all)))
	done := make(chan struct{})
	began := time.Now()
	for _, r := range all {
		r.cut()
		back := func(resp parlor.Response, err error) {
			mu.Lock()
			defer mu.Unlock()
			h.took = append(h.took, time.Since(began))
			seat, bad := seatOf(resp)
			if h.failed = errors.Join(h.failed, err, bad); seat != r.seat {
				h.others++
			}
			if left.Add(-1) == 0 {
				close(done)
			}
		}
		if err := r.Send(parlor.Packet{Message: "where"}, back); err != nil {
			return h, err
		}
	}
	select {
	case <-done:
		return h, h.failed
	case <-ctx.Done():
		return h, fmt.Errorf("%d clients have not come back: %w", left.Load(), ctx.Err())
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
