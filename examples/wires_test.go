package examples_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/internal/certtest"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/memlink"
	"parlor/link/packetlink"
	"parlor/link/wslink"
	"parlor/server"
)

// wire is one of the ways to a lobby.
type wire struct {
	name   string
	pushes bool // otherwise there are heartbeats
	dialer func(l *lobby, p *player) link.Dialer
}

var wires = []wire{
	{"pgnet", false, func(l *lobby, p *player) link.Dialer {
		return address{wslink.Dialer{PgnetOnly: true, DialContext: l.dial}, webAddress}
	}},
	{"native", true, func(l *lobby, p *player) link.Dialer {
		// Who comes back must have the same key: a Dialer without one makes another each time.
		return address{wslink.Dialer{Key: newKey(l.T), DialContext: p.dial(l)}, webAddress}
	}},
	{"packet", true, func(l *lobby, p *player) link.Dialer {
		return address{packetlink.Dialer{DialContext: p.dial(l), TLS: l.trust}, packetAddress}
	}},
	{"local", true, func(l *lobby, p *player) link.Dialer { return local{memlink.Dialer{Lobby: l.server}, p} }},
}

const (
	webAddress    = "localhost:38929"
	packetAddress = "localhost:38930"
)

// address dials always the same one.
type address struct {
	link.Dialer
	to string
}

func (a address) Dial(ctx context.Context, _ string) (link.Conn, error) {
	return a.Dialer.Dial(ctx, a.to)
}

// local remembers how to cut what it has dialed.
type local struct {
	memlink.Dialer
	p *player
}

func (d local) Dial(ctx context.Context, to string) (link.Conn, error) {
	if d.p.isLost() {
		return nil, errLost
	}
	c, err := d.Dialer.Dial(ctx, to)
	if err == nil {
		d.p.cuttable(c.(link.StreamConn).Abort)
	}
	return c, err
}

// lobby is a server that all wires lead to, on a network in memory.
type lobby struct {
	*testing.T
	memnet *memnet.Network
	server *server.Server
	trust  *tls.Config
}

// open opens a lobby with one kind of game, until the end of the test.
func open(t *testing.T, newGame parlor.NewGame) *lobby {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	key := newKey(t)
	l := &lobby{T: t, memnet: memnet.New(1)}
	var err error
	l.server, err = server.New(server.Config{
		Games: map[string]parlor.NewGame{"game": newGame}, AdminPassword: "secret", PublicKey: key.Public(), Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { // ends with Shutdown
		_, err := l.server.Run(context.Background())
		ran <- err
	}()
	web, err := wslink.New(wslink.Config{Lobby: l.server, Key: key, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := certtest.Make(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l.trust = &tls.Config{RootCAs: certtest.Pool(t, certFile)}
	packets, err := packetlink.New(packetlink.Config{
		Lobby: l.server, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 2)
	webs, others := l.listen(webAddress), l.listen(packetAddress)
	go func() { served <- web.Serve(webs) }()       // ends with Close
	go func() { served <- packets.Serve(others) }() // ends with Close
	t.Cleanup(func() {
		l.server.Shutdown(0)
		if err := errors.Join(<-ran, web.Close(), packets.Close(), <-served, <-served); err != nil {
			t.Error(err)
		}
	})
	return l
}

func newKey(t *testing.T) *box.Key {
	t.Helper()
	key, err := box.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (l *lobby) listen(at string) net.Listener {
	l.Helper()
	ln, err := l.memnet.Listen(at)
	if err != nil {
		l.Fatal(err)
	}
	return ln
}

func (l *lobby) dial(ctx context.Context, network, to string) (net.Conn, error) {
	return l.memnet.DialContext(ctx, network, to)
}

// player is a user in the game, and all that she was told there.
type player struct {
	*client.Client
	t    *testing.T
	name string
	wire wire

	mu     sync.Mutex // guards the fields below
	pushes []*parlor.Push
	beats  int
	beat   parlor.Payload // of the last heartbeat
	links  []func()       // each cuts one
	lost   bool           // she has no network
}

var errLost = errors.New("no network")

// enter has a user join the game by a wire.
func (l *lobby) enter(name string, w wire) *player {
	l.Helper()
	p := &player{t: l.T, name: name, wire: w}
	cfg := client.Config{
		Username: name, Dialer: w.dialer(l, p), Logger: slog.New(slog.DiscardHandler),
		Reconnect: client.Reconnect{Max: time.Second},
	}
	if w.pushes {
		cfg.OnPush = func(push *parlor.Push) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.pushes = append(p.pushes, push)
		}
	} else {
		cfg.OnHeartbeat = func(beat parlor.Response) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.beats++
			p.beat = beat.Payload
		}
	}
	var err error
	if p.Client, err = client.Dial(l.Context(), "lobby", cfg); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		p.Close()
		p.Wait()
	})
	if err := p.JoinGame(l.Context(), "game", client.GameOptions{}); err != nil {
		l.Fatal(err)
	}
	if p.Streams() != w.pushes {
		l.Fatalf("the wire %s carries envelopes: %t", w.name, p.Streams())
	}
	return p
}

// dial makes connections that can be cut.
func (p *player) dial(l *lobby) func(ctx context.Context, network, to string) (net.Conn, error) {
	return func(ctx context.Context, _, to string) (net.Conn, error) {
		if p.isLost() {
			return nil, errLost
		}
		far := memnet.Path{Latency: 20 * time.Millisecond}
		c, err := memnet.Dialer{Network: l.memnet, Up: far, Down: far}.Dial(ctx, to)
		if err != nil {
			return nil, err
		}
		p.cuttable(c.Reset)
		return c, nil
	}
}

func (p *player) cuttable(cut func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links = append(p.links, cut)
}

// cut ends the player's link without a word.
func (p *player) cut() {
	p.mu.Lock()
	last := p.links[len(p.links)-1]
	p.mu.Unlock()
	last()
}

// lose takes the network from the player, or gives it back.
func (p *player) lose(lost bool) {
	p.mu.Lock()
	p.lost = lost
	p.mu.Unlock()
	if lost {
		p.cut()
	}
}

func (p *player) isLost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// ask sends a packet to the game, and returns the answer, which must be one of success.
func (p *player) ask(message string, payload any) parlor.Response {
	r, err := p.Request(p.t.Context(), message, payload)
	if err != nil || r.Status != parlor.StatusOK {
		p.t.Errorf("%s, %s: %s: %s, %v", p.name, p.wire.name, message, r.DebugText(), err)
	}
	return r
}

// told is what the player was pushed by the game up to now, but for who was away and back if that is not wanted.
func (p *player) told(presence bool) (all []*parlor.Push) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, push := range p.pushes {
		if push.Game != "game" {
			p.t.Errorf("%s, %s: push %s of %q", p.name, p.wire.name, push.Message, push.Game)
		}
		if presence || push.Message != "away" && push.Message != "back" {
			all = append(all, push)
		}
	}
	return all
}

// lastBeat is the last heartbeat of a player on a wire without pushes.
func (p *player) lastBeat() parlor.Payload {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.beats == 0 {
		p.t.Errorf("%s, %s: no heartbeat was answered", p.name, p.wire.name)
	}
	return p.beat
}

// party is a player on each wire, all in one game.
type party struct {
	t       *testing.T
	players []*player
	rough   bool // links are cut

	troubles int // how many links were to be cut
}

var names = []string{"alice", "bobby", "carol", "david"}

// play runs a script in virtual time: with each player on each wire once, undisturbed and with links that are cut.
func play(t *testing.T, newGame parlor.NewGame, script func(pt *party)) {
	for first := range wires {
		for _, rough := range []bool{false, true} {
			name := "first " + wires[first].name
			if rough {
				name += ", cut"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := open(t, newGame)
					pt := &party{t: t, rough: rough}
					for i := range wires {
						pt.players = append(pt.players, l.enter(names[i], wires[(first+i)%len(wires)]))
					}
					script(pt)
					pt.checkCuts()
				})
			})
		}
	}
}

// trouble cuts the links of all players whose sessions survive that, in a rough game: some of them at once, others a little
// later, when something is on its way perhaps. Nobody waits for them to be back.
func (pt *party) trouble() {
	if !pt.rough {
		return
	}
	for _, p := range pt.players {
		if p.wire.pushes {
			pt.troubles++
			after := time.Duration(pt.troubles*13%80) * time.Millisecond
			time.AfterFunc(after, p.cut) // long before the game has settled
		}
	}
}

// settle waits until everybody has been told everything, and heartbeats have been answered.
func (pt *party) settle() {
	time.Sleep(10 * time.Second) // sleep: virtual
	synctest.Wait()
}

// checkCuts checks that the links of a rough game, and only those, were cut, and that all are back with their seats.
func (pt *party) checkCuts() {
	for _, p := range pt.players {
		p.mu.Lock()
		links := len(p.links)
		p.mu.Unlock()
		if cut := links > 1; p.wire.pushes && cut != pt.rough {
			pt.t.Errorf("%s, %s: there were %d links", p.name, p.wire.name, links)
		}
		if p.Game() != "game" || !p.Connected() {
			pt.t.Errorf("%s, %s: not in the game any more: %s", p.name, p.wire.name, p.Status())
		}
		seen := map[string]int{}
		for _, push := range p.told(true) {
			seen[push.Message]++
		}
		if p.wire.pushes && (seen["away"] > 0) != pt.rough || seen["away"] != seen["back"] {
			pt.t.Errorf("%s, %s: %d away, %d back", p.name, p.wire.name, seen["away"], seen["back"])
		}
	}
}

// show is a push as text.
func show(p *parlor.Push) string { return fmt.Sprint(p.Message, " ", p.Payload) }
