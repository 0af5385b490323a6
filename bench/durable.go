package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"parlor"
	"parlor/host"
	"parlor/store/sqlite"
)

// Aims of durable games on SQLite, with a thousand rooms.
const (
	aimDurable      = 20_000                // moves per second
	aimDurableP99   = 25 * time.Millisecond // at that pace
	aimDurableBytes = 200                   // bytes on the disk for a move
)

// durableWindow is how many moves each client has under way where it does not go by the clock.
const durableWindow = 4

// durableBursts are how many moves clients send together that go by the clock. Where load and server share two processors, a move
// in a frame of its own costs the load as much as the server.
var durableBursts = []int{1, 4}

// played counts the moves of all durable games of this process, those that are made again included.
var played atomic.Int64

// durableGame counts moves.
type durableGame struct{ moves int }

func newDurable(_ parlor.Room, save string) (parlor.Game, error) {
	g := &durableGame{}
	if save == "" {
		return g, nil
	}
	_, err := fmt.Sscan(save, &g.moves)
	return g, err
}

func (g *durableGame) Durable() bool      { return true }
func (g *durableGame) Persistent() bool   { return true }
func (g *durableGame) SaveString() string { return fmt.Sprint(g.moves) }

func (g *durableGame) HandleGamePacket(p parlor.Packet) parlor.Response {
	g.moves++
	played.Add(1)
	return parlor.OK(answer, p.Payload)
}

// newMove is a small move: from, to, in MessagePack.
func newMove() []byte { return []byte("\x82\xa4from\xa2e2\xa2to\xa2e4") }

// onSQLite is the one that has aims.
const onSQLite = "SQLite"

// durable is what the server of one store has to show for itself.
type durable struct {
	name   string
	game   string
	place  string
	server *child
	users  []peer
	loads  []*contender // at the pace of the aim, in bursts of so many; and as fast as it goes
}

// measureDurable is the part of moves of durable games.
func measureDurable(ctx context.Context, o options, w io.Writer) (err error) {
	rooms := affordable(o.rooms, 1)
	dir, err := os.MkdirTemp("", "bench-durable-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	all := []*durable{
		{name: "not durable", game: "echo", place: host.MemoryStore},
		{name: "memory", game: "durable", place: host.MemoryStore},
		{name: onSQLite, game: "durable", place: filepath.Join(dir, "store")},
	}
	if o.postgres != "" {
		all = slices.Insert(all, 2, &durable{name: "PostgreSQL", game: "durable", place: o.postgres})
	}
	contests := make([]*contest, 1+len(durableBursts))
	for i, burst := range durableBursts {
		contests[i] = &contest{
			title:  fmt.Sprintf("%d rooms of one user, %d moves a second by the clock, %s", rooms, aimDurable*rooms/1000, together(burst)),
			counts: "moves", timed: true,
		}
	}
	contests[len(durableBursts)] = &contest{
		title:  fmt.Sprintf("%d rooms of one user, with %d moves under way each", rooms, durableWindow),
		counts: "moves", rate: aimDurable,
	}
	if all = slices.DeleteFunc(all, func(d *durable) bool { return !strings.Contains(d.name, o.match) }); len(all) == 0 {
		return nil
	}
	fmt.Fprintf(w, "Small moves of durable games on the native wire: each is answered when it is in the store.\n")
	for _, d := range all {
		fmt.Fprintf(w, "%s: load average %s\n", d.name, loadAverage())
		if err := d.measure(ctx, o, rooms); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		for i, c := range contests {
			c.contenders = append(c.contenders, d.loads[i])
		}
	}
	fmt.Fprintln(w)
	ours := all[len(all)-1]
	for i, c := range contests {
		c.print(w)
		if i < len(durableBursts) && ours.name == onSQLite {
			p99 := time.Duration(median(ours.loads[i].series.p99s)).Round(time.Microsecond)
			fmt.Fprintf(w, "  p99 of %s, median of the turns: %v%s\n\n", ours.name, p99, verdict(true, p99 <= aimDurableP99, fmt.Sprintf("at most %v", aimDurableP99)))
		}
	}
	if ours.name != onSQLite {
		return nil
	}
	return ours.examine(ctx, w)
}

// measure has a server of its own be asked by clients who stay for all turns. They are gone before the next server has its turns, as
// clients who do nothing in between would not answer its pings. In the end it is killed.
func (d *durable) measure(ctx context.Context, o options, rooms int) error {
	defer func() {
		if d.server != nil {
			d.server.kill() // with all users in their games
		}
		closeAll(d.users)
	}()
	if err := d.open(ctx, o, rooms); err != nil {
		return err
	}
	for _, c := range d.loads {
		for range o.pairs {
			if err := c.turn(); err != nil {
				return err
			}
		}
	}
	if o.cpuProfile+o.memProfile != "" {
		_, err := d.server.ask(commandProfiled)
		return err
	}
	return nil
}

// open starts a server with a client in each of its rooms.
func (d *durable) open(ctx context.Context, o options, rooms int) (err error) {
	if d.server, err = start(ctx, o.profiledAs("."+d.name, "server", "-game", d.game, "-store", d.place)...); err != nil {
		return err
	}
	for i := range rooms {
		s, err := loginNative(d.server.addr, fmt.Sprint("player", i), gameName(i), crowdBuffer)
		if err != nil {
			return err
		}
		s.size = len(newMove())
		d.users = append(d.users, s)
	}
	add := func(load loading) {
		c := &contender{name: d.name}
		c.turn = func() error { return c.measure(d.server, o.turn, load) }
		d.loads = append(d.loads, c)
	}
	for _, burst := range durableBursts {
		interval := time.Second * 1000 * time.Duration(burst) / aimDurable
		add(func(t time.Duration, h *hdrhistogram.Histogram) (int64, float64, error) {
			return pace(ctx, d.users, newMove(), burst, interval, t, h)
		})
	}
	add(func(t time.Duration, h *hdrhistogram.Histogram) (int64, float64, error) {
		return flow(ctx, d.users, newMove(), durableWindow, t, h)
	})
	return nil
}

func together(burst int) string {
	if burst == 1 {
		return "one at a time"
	}
	return fmt.Sprint(burst, " together")
}

// examine looks at what a server that was killed has left of the moves that it had answered.
func (d *durable) examine(ctx context.Context, w io.Writer) error {
	answered := 0
	for _, p := range d.users {
		answered += int(p.(*speaker).id) - 1 // the first request was to join
	}
	moves, entry, err := journaled(ctx, d.place, len(d.users))
	if err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(d.place, "parlor.db"))
	if err != nil {
		return err
	}
	each := float64(info.Size()) / float64(moves)
	fmt.Fprintf(w, "The server of %s was killed behind the last answer: %d moves were answered, %d are in the store%s\n", d.name, answered, moves,
		verdict(true, moves == answered, "all"))
	fmt.Fprintf(w, "  bytes of a move: %.1f in the journal, %.1f of the whole database%s\n\n", entry, each,
		verdict(true, max(entry, each) <= aimDurableBytes, fmt.Sprintf("at most %d", aimDurableBytes)))
	return nil
}

// journaled is how many moves are in the store of a server that is gone, and how many bytes an entry has of those that no save has replaced.
func journaled(ctx context.Context, place string, rooms int) (moves int, entry float64, err error) {
	st, err := sqlite.Open(ctx, place, sqlite.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	games, err := st.Games(ctx)
	if err != nil {
		return 0, 0, err
	}
	var kept, data int
	for _, g := range games {
		var last uint64
		for piece, err := range st.Journal(ctx, g.Number, 0) {
			if err != nil {
				return 0, 0, err
			}
			last = piece.Last
			kept += int(piece.Last-piece.First) + 1
			data += len(piece.Data)
		}
		moves += int(last) - entriesBeforeMoves
	}
	if len(games) != rooms {
		err = fmt.Errorf("there are %d games in the store, and not %d", len(games), rooms)
	}
	return moves, float64(data) / float64(kept), err
}

// entriesBeforeMoves are the first ones of a journal: the game begins, and its only user joins.
const entriesBeforeMoves = 2
