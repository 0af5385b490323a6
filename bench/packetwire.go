package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"parlor"
	"parlor/link"
	"parlor/link/packetlink"
	"parlor/packet"
)

// aimPacketwire is the aim of the packet wire, pipelined, in messages per second.
const aimPacketwire = 400_000

// The packets of the packet wire (docs/PROTOCOL.md, section 4.1).
const (
	packetRequest = packet.FirstAutoID + iota
	packetAnswer
	packetPush
)

// packets is the framing of the packet wire: each envelope is a packet.
type packets struct{}

// packetHead is the head of a packet's frame: the length of what follows it, its ID, and flags, in bytes.
const packetHead, packetLength = 10, 4

func (packets) frames(b []byte, n int, appendEnvelope func(b []byte) []byte) ([]byte, error) {
	for range n {
		start := len(b)
		b = appendEnvelope(append(b, make([]byte, packetHead)...))
		binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-packetLength))
		binary.BigEndian.PutUint32(b[start+packetLength:], uint32(packetRequest))
	}
	return b, nil
}

func (packets) take(in *inbox) (envelopes, reply []byte, whole bool, err error) {
	b := in.waiting()
	if len(b) < packetHead {
		return nil, nil, false, nil
	}
	size := uint64(packetLength) + uint64(binary.BigEndian.Uint32(b))
	if uint64(len(b)) < size {
		return nil, nil, false, nil
	}
	in.start += int(size)
	if id := packet.ID(binary.BigEndian.Uint32(b[packetLength:])); id != packetAnswer && id != packetPush {
		return nil, nil, false, fmt.Errorf("the server sends packet %d: %q", id, b[packetHead:size])
	}
	return b[packetHead:size], nil, true, nil
}

func (packets) farewell() []byte {
	return packet.AppendFrame(nil, packet.IDCloseConnection, 0, []byte{0x80})
}

// loginPackets connects to a lobby on the packet wire, logs in as a new user, and joins a game.
func loginPackets(addr, user, game string, buffer int) (*speaker, error) {
	nc, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(dialTimeout))
	if err := (&packetClient{nc: nc}).handshake(packetlink.ConnType); err != nil {
		nc.Close()
		return nil, fmt.Errorf("packet client %q: %w", user, err)
	}
	s := &speaker{nc: nc, in: newInbox(nc, buffer), wire: packets{}, size: messageSize}
	if err := s.ask("handshake", link.WithOffer(parlor.Encode(credentials(user)), link.Offer{}, nil)); err != nil {
		nc.Close()
		return nil, fmt.Errorf("packet client %q: %w", user, err)
	}
	return s, s.enter(game)
}

// measurePacketwire is the part of the lobby over packets, without TLS.
func measurePacketwire(ctx context.Context, o options, w io.Writer) (err error) {
	b := &bout{ctx: ctx, o: o}
	defer func() { err = errors.Join(err, b.close()) }()
	echo, err := b.start("echo", "-stream")
	if err != nil {
		return err
	}
	lobby, err := b.start(o.profiledAs(".packetwire", "server", "-game", "echo", "-packets")...)
	if err != nil {
		return err
	}
	size, err := requestSize()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "The packet wire without TLS, messages of %d bytes, beside a raw TCP echo of frames of %d bytes.\n\n", messageSize, size)
	for _, load := range []struct {
		clients, games, window, buffer int
		aim                            float64
	}{
		{o.clients, 1, 1, crowdBuffer, 0},
		{pipes, 1, pipeWindow, pipeBuffer, aimPacketwire},
		{pipes, pipes, pipeWindow, pipeBuffer, aimPacketwire},
	} {
		c := &contest{title: loadName(load.clients, load.games, load.window), counts: "messages", timed: load.window == 1, rate: load.aim, contenders: []*contender{
			b.flow("raw TCP", echo, load.clients, load.window, func(int) (peer, error) { return dialTCP(echo.addr, size, load.window) }),
			b.flow("packet wire", lobby, load.clients, load.window, func(i int) (peer, error) {
				return loginPackets(lobby.addr, b.user(), gameName(i%load.games), load.buffer)
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
	return nil
}

// requestSize is how long the frame of a request is on the packet wire, about: its numbers grow.
func requestSize() (int, error) {
	e := link.Envelope{Kind: link.KindRequest, Ack: 1 << 16, ID: 1 << 16, Message: message}
	b, err := e.Append(nil)
	return packetHead + len(b) - 1 + messageSize, err // in place of the empty payload
}
