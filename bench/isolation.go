package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"parlor"
)

// What the rooms beside the bad ones are held to.
const (
	aimIsolationP99 = 2  // times the p99 of an undisturbed server
	isolatedRooms   = 50 // with a client each, in turn
	torrentSize     = 20_000
	torrentInterval = 5 * time.Millisecond
	deafClients     = 2
)

// The bad rooms, by the beginning of their names; others echo.
const (
	roomStuck   = "stuck"
	roomBroken  = "broken"
	roomTorrent = "torrent"
)

func newIsolated(room parlor.Room, _ string) (parlor.Game, error) {
	switch name := room.Name(); {
	case strings.HasPrefix(name, roomStuck):
		return stuckGame{}, nil
	case strings.HasPrefix(name, roomBroken):
		return brokenGame{}, nil
	case strings.HasPrefix(name, roomTorrent):
		return &torrentGame{room: room}, nil
	}
	return echoGame{}, nil
}

// stuckGame never answers.
type stuckGame struct{}

func (stuckGame) HandleGamePacket(parlor.Packet) parlor.Response { select {} }

// brokenGame panics in every hook but that of joining.
type brokenGame struct{}

func (brokenGame) HandleGamePacket(parlor.Packet) parlor.Response { panic("packet") }
func (brokenGame) HandleHeartbeat(parlor.Packet) parlor.Response  { panic("heartbeat") }
func (brokenGame) HeartbeatRate() float64                         { panic("heartbeat rate") }
func (brokenGame) UserLeft(string)                                { panic("left") }
func (brokenGame) LobbyInfo() string                              { panic("info") }
func (brokenGame) MaxUsers() int                                  { panic("max users") }
func (brokenGame) Update()                                        { panic("update") }
func (brokenGame) UpdateRate() float64                            { panic("update rate") }

// torrentGame pushes 4 MB a second to all but the one who asks for it, until she asks again.
type torrentGame struct {
	room  parlor.Room
	timer parlor.Timer
}

func (g *torrentGame) HandleGamePacket(p parlor.Packet) parlor.Response {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
		return parlor.OK(answer, p.Payload)
	}
	text, except := strings.Repeat("x", torrentSize), p.Username
	g.timer = g.room.Every(torrentInterval, func() { g.room.Broadcast("news", text, except) })
	return parlor.OK(answer, p.Payload)
}

// measureIsolation is the part of good rooms beside bad ones.
func measureIsolation(ctx context.Context, o options, w io.Writer) (err error) {
	b := &bout{ctx: ctx, o: o}
	defer func() { err = errors.Join(err, b.close()) }()
	quiet, err := b.lobby("isolation")
	if err != nil {
		return err
	}
	noisy, err := b.lobby("isolation")
	if err != nil {
		return err
	}
	login := func(server *child) func(int) (peer, error) {
		return func(i int) (peer, error) { return loginNative(server.addr, b.user(), gameName(i), crowdBuffer) }
	}
	fmt.Fprintf(w, "The native wire, messages of %d bytes, in rooms beside which others are bad: one with a handler that never returns, one whose\n", messageSize)
	fmt.Fprintf(w, "hooks all panic, with a client that asks all the time, and one that pushes %d MB/s to each of %d clients that never read.\n\n",
		torrentSize*int(time.Second/torrentInterval)/1_000_000, deafClients)
	alone := b.flow("undisturbed", quiet, isolatedRooms, 1, login(quiet))
	beside := b.flow("beside bad rooms", noisy, isolatedRooms, 1, login(noisy))
	turn := beside.turn
	beside.turn = func() (err error) {
		bad, err := b.disturb(noisy)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, bad.Close()) }()
		return turn()
	}
	c := &contest{
		title: loadName(isolatedRooms, isolatedRooms, 1), counts: "messages", timed: true, p99: aimIsolationP99,
		contenders: []*contender{alone, beside},
	}
	if err := c.run(o.pairs); err != nil {
		return err
	}
	c.print(w)
	return nil
}

// disturbance are the clients of bad rooms.
type disturbance struct {
	peers   []io.Closer
	foreman *speaker // of the torrent
	broken  *client
	asking  sync.WaitGroup
}

// disturb has rooms of a server be bad, until the disturbance is closed.
func (b *bout) disturb(server *child) (d *disturbance, err error) {
	d = &disturbance{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	enter := func(game string) (*speaker, error) {
		s, err := loginNative(server.addr, b.user(), game, crowdBuffer)
		if err == nil {
			d.peers = append(d.peers, s)
		}
		return s, err
	}
	stuck, err := enter(roomStuck + b.user())
	if err != nil {
		return d, err
	}
	if err := stuck.send(1, newMessage()); err != nil {
		return d, err
	}
	if d.broken, err = login(server.addr, b.user(), roomBroken+b.user()); err != nil {
		return d, err
	}
	d.asking.Go(func() { // ends with the connection
		for {
			if _, err := d.broken.roundTrip(d.broken.request); err != nil {
				return
			}
		}
	})
	torrent := roomTorrent + b.user()
	if d.foreman, err = enter(torrent); err != nil {
		return d, err
	}
	for range deafClients {
		if _, err := enter(torrent); err != nil {
			return d, err
		}
	}
	return d, d.toggle()
}

// toggle begins the torrent, or ends it.
func (d *disturbance) toggle() error {
	if err := d.foreman.SetDeadline(time.Now().Add(slack)); err != nil {
		return err
	}
	if err := d.foreman.send(1, newMessage()); err != nil {
		return err
	}
	_, err := d.foreman.receive(func([]byte) {})
	return err
}

func (d *disturbance) Close() (err error) {
	if d.foreman != nil {
		err = d.toggle()
	}
	closeAll(d.peers)
	if d.broken != nil {
		d.broken.Close()
	}
	d.asking.Wait()
	return err
}
