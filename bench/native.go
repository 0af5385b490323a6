package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Aims of the native wire, beside the raw WebSocket server in the same run.
const (
	aimNativeTurns     = 0.7
	aimNativePipelined = 1.5
	aimNativeBroadcast = 1.2
	aimRoomsP99        = 3
	aimRoomsCPU        = 1.3
)

// The loads.
const (
	pipes         = 16 // clients that do not wait for each answer
	pipeWindow    = 32 // messages that each of them has under way
	broadcasts    = 32 // under way to all users of one game
	roomUsers     = 4
	roomInterval  = 200 * time.Millisecond  // in which each of them sends a message
	pipeBuffer    = 64 << 10                // bytes
	wsFrameMasked = 2 + 2 + 4 + messageSize // bytes: head, length, mask
)

// bout is what contests share: the servers that are held against each other, and how they are called.
type bout struct {
	ctx     context.Context
	o       options
	players []*child // to be closed
	users   int      // named so far: nobody comes back under the same name
}

func (b *bout) start(args ...string) (*child, error) {
	c, err := start(b.ctx, args...)
	if err == nil {
		b.players = append(b.players, c)
	}
	return c, err
}

// lobby starts a server with a game, whose profiles have the game's name behind theirs.
func (b *bout) lobby(game string) (*child, error) {
	return b.start(b.o.profiledAs("."+game, "server", "-game", game)...)
}

// leftOut tells whether a load is none of those that were asked for.
func (b *bout) leftOut(title string) bool { return !strings.Contains(title, b.o.match) }

func (b *bout) close() (err error) {
	for _, c := range b.players {
		err = errors.Join(err, c.close())
	}
	return err
}

// user is a new name.
func (b *bout) user() string {
	b.users++
	return fmt.Sprintf("user%d", b.users)
}

// flow is a contender whose load is clients that send and are answered, with so many messages under way.
func (b *bout) flow(name string, server *child, clients, window int, dial func(i int) (peer, error)) *contender {
	r := &contender{name: name}
	r.turn = func() error {
		peers := make([]peer, 0, clients)
		defer func() { closeAll(peers) }()
		for i := range clients {
			p, err := dial(i)
			if err != nil {
				return err
			}
			peers = append(peers, p)
		}
		return r.measure(server, b.o.turn, func(d time.Duration, h *hdrhistogram.Histogram) (int64, float64, error) {
			return flow(b.ctx, peers, newMessage(), window, d, h)
		})
	}
	return r
}

// measureNative is the part of the native wire.
func measureNative(ctx context.Context, o options, w io.Writer) (err error) {
	b := &bout{ctx: ctx, o: o}
	defer func() { err = errors.Join(err, b.close()) }()
	echo, err := b.start("echo", "-stream")
	if err != nil {
		return err
	}
	raw, err := b.start("raw")
	if err != nil {
		return err
	}
	lobby, err := b.lobby("echo")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "The native wire, messages of %d bytes, beside a raw WebSocket server without lobby and sealing, and a raw TCP echo.\n", messageSize)
	fmt.Fprintf(w, "%s, %v each. CPU time and allocations are by message, or delivery.\n\n", count(o.pairs, "turn"), o.turn)
	for _, load := range []struct {
		clients, games, window, buffer int
		aim                            float64
	}{
		{o.clients, 1, 1, crowdBuffer, aimNativeTurns},
		{pipes, 1, pipeWindow, pipeBuffer, aimNativePipelined},
		{pipes, pipes, pipeWindow, pipeBuffer, aimNativePipelined},
	} {
		c := &contest{title: loadName(load.clients, load.games, load.window), counts: "messages", timed: load.window == 1, base: 1, ratio: load.aim, contenders: []*contender{
			b.flow("raw TCP", echo, load.clients, load.window, func(int) (peer, error) { return dialTCP(echo.addr, wsFrameMasked, load.window) }),
			b.flow("raw WebSocket", raw, load.clients, load.window, func(int) (peer, error) { return dialRaw(raw.addr, echoPath, load.buffer) }),
			b.flow("native", lobby, load.clients, load.window, func(i int) (peer, error) {
				return loginNative(lobby.addr, b.user(), gameName(i%load.games), load.buffer)
			}),
		}}
		if b.leftOut(c.title) {
			continue
		}
		if err := c.run(o.pairs); err != nil {
			return err
		}
		c.print(w)
	}
	return measureRelays(b, w, raw)
}

func loadName(clients, games, window int) string {
	how := "in turn"
	if window > 1 {
		how = fmt.Sprintf("with %d messages under way each", window)
	}
	return fmt.Sprintf("%s in %s, %s", count(clients, "client"), count(games, "game"), how)
}

// measureRelays has a game push what it gets.
func measureRelays(b *bout, w io.Writer, raw *child) error {
	audience, rooms := affordable(b.o.crowd, 2), affordable(b.o.rooms, 2*roomUsers)
	lobby, err := b.lobby("relay")
	if err != nil {
		return err
	}
	for _, load := range []struct {
		users, perRoom int
		run            func(c *crowd) loading
		contest        contest
	}{
		{audience, audience, func(c *crowd) loading {
			return func(d time.Duration, _ *hdrhistogram.Histogram) (int64, float64, error) {
				return c.broadcast(b.ctx, broadcasts, d)
			}
		}, contest{
			title: fmt.Sprintf("A broadcast to %s in a game, %d broadcasts under way", count(audience, "user"), broadcasts),
			ratio: aimNativeBroadcast,
		}},
		{rooms * roomUsers, roomUsers, func(c *crowd) loading {
			return func(d time.Duration, h *hdrhistogram.Histogram) (int64, float64, error) {
				return c.chat(b.ctx, roomInterval, roomUsers, d, h)
			}
		}, contest{
			title: fmt.Sprintf("%s of %d users, each of whom sends %d messages a second to her game: %d deliveries/s are wanted",
				count(rooms, "game"), roomUsers, time.Second/roomInterval, rooms*roomUsers*roomUsers*int(time.Second/roomInterval)),
			timed: true, p99: aimRoomsP99, cpu: aimRoomsCPU,
		}},
	} {
		c := &load.contest
		c.counts = "deliveries"
		if b.leftOut(c.title) {
			continue
		}
		// Neighbours in the order of sending are in different games.
		games := load.users / load.perRoom
		game := func(i int) string { return fmt.Sprintf("%dx%dn%d", games, load.perRoom, i%games) }
		relay, err := b.relay("raw WebSocket", raw, load.users, load.run, func(i int) (peer, error) { return dialRaw(raw.addr, "/"+game(i), crowdBuffer) })
		if err != nil {
			return err
		}
		native, err := b.relay("native", lobby, load.users, load.run, func(i int) (peer, error) {
			return loginNative(lobby.addr, b.user(), game(i), crowdBuffer)
		})
		if err != nil {
			relay.Close()
			return err
		}
		c.contenders = []*contender{relay.contender, native.contender}
		err = c.run(b.o.pairs)
		relay.Close()
		native.Close()
		if err != nil {
			return err
		}
		c.print(w)
	}
	return nil
}

// affordable is how many of those that open so many files each there can be, with some files to spare.
func affordable(want, files int) int {
	if limit := openFiles(); limit > 0 {
		want = max(1, min(want, (limit-200)/files))
	}
	return want
}

// relay is a contender whose load is users who stay for all turns.
type relay struct {
	*contender
	*crowd
}

func (b *bout) relay(name string, server *child, users int, load func(c *crowd) loading, dial func(i int) (peer, error)) (*relay, error) {
	c, err := gather(b.ctx, users, dial)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &relay{&contender{name: name}, c}
	r.turn = func() error { return r.measure(server, b.o.turn, load(c)) }
	return r, nil
}
