package parlortest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"parlor/box"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/memlink"
	"parlor/link/packetlink"
	"parlor/link/wslink"
)

// Wire is what a client speaks.
type Wire int

// The wires. All but Pgnet push, and their sessions outlive a link that is cut. In a game clients on Pgnet send heartbeats, 10 a second
// if the game does not say otherwise, which makes long times take long: four of them, for an hour, some seconds.
const (
	Native    Wire = iota // on WebSocket
	Pgnet                 // on WebSocket, as pgnet's clients do
	Packet                // packets on TCP
	PacketTLS             // packets on TLS
	Local                 // within the process, without a socket
)

var wireNames = [...]string{"native", "pgnet", "packet", "tls", "local"}

// String is the wire's name, in small letters: part of the name of a user or a game, if need be.
func (w Wire) String() string {
	if w < 0 || int(w) >= len(wireNames) {
		return fmt.Sprintf("wire %d", int(w))
	}
	return wireNames[w]
}

// Wires returns all of them.
func Wires() []Wire { return []Wire{Native, Pgnet, Packet, PacketTLS, Local} }

var errOffline = errors.New("the client is offline")

// phone is a client's way to the server: what it dials with, and what it has dialed last.
type phone struct {
	lobby *Lobby
	wire  Wire
	key   *box.Key
	paths func(n int) [2]memnet.Path // what happens to the bytes of the n-th connection, up and down; nil: nothing. For tests of our own

	mu      sync.Mutex // guards what follows
	lag     time.Duration
	offline bool
	dialed  int          // connections so far
	cut     func()       // cuts the last link
	socket  *memnet.Conn // of that, if it has one
}

// Dial opens a link of the client's wire.
func (p *phone) Dial(ctx context.Context, _ string) (link.Conn, error) {
	p.mu.Lock()
	offline := p.offline
	p.mu.Unlock()
	if offline {
		return nil, errOffline
	}
	switch p.wire {
	case Packet:
		return packetlink.Dialer{DialContext: p.dialSocket, Logger: p.lobby.cfg.Logger}.Dial(ctx, addressPacket)
	case PacketTLS:
		return packetlink.Dialer{DialContext: p.dialSocket, TLS: p.lobby.trust, Logger: p.lobby.cfg.Logger}.Dial(ctx, addressTLS)
	case Local:
		return p.dialLocal(ctx)
	}
	return wslink.Dialer{Key: p.key, DialContext: p.dialSocket, PgnetOnly: p.wire == Pgnet}.Dial(ctx, addressWS)
}

func (p *phone) dialSocket(ctx context.Context, _, address string) (net.Conn, error) {
	d := memnet.Dialer{Network: p.lobby.network}
	p.mu.Lock()
	if p.paths != nil {
		paths := p.paths(p.dialed)
		d.Up, d.Down = paths[0], paths[1]
	}
	d.Up.Latency += p.lag
	d.Down.Latency += p.lag
	p.dialed++
	p.mu.Unlock()
	socket, err := d.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.socket = socket.Reset, socket
	return socket, nil
}

func (p *phone) dialLocal(ctx context.Context) (link.Conn, error) {
	running := p.lobby.server.Load()
	if running == nil {
		return nil, errors.New("the server is stopped")
	}
	conn, err := memlink.Dialer{Lobby: running.lobby, ServerKey: p.lobby.key.Public()}.Dial(ctx, "")
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = conn.(link.StreamConn).Abort
	return conn, nil
}

// set changes what the phone is like, and cuts its link if asked to.
func (p *phone) set(change func(), cut bool) {
	p.mu.Lock()
	change()
	do := p.cut
	p.mu.Unlock()
	if cut && do != nil {
		do()
	}
}
