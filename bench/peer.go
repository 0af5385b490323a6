package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gobwas/ws"
)

// peer is a connection of the load, on whatever wire. One goroutine may send while another one receives.
type peer interface {
	// send sends a message so many times with one call, joined as the wire joins them.
	send(n int, message []byte) error
	// receive waits for messages, one at least, and says how many have come. Each is called with every one that
	// the wire tells from the next; it is the connection's until each returns.
	receive(each func(message []byte)) (n int, err error)
	SetDeadline(t time.Time) error
	io.Closer
}

// messageSize is how long the messages are that native and packet wires are measured with, in bytes: a text in
// MessagePack, whose head takes two of them. Raw servers get the same bytes.
const messageSize = 200

// Text of up to 255 bytes, in MessagePack.
const (
	textHead = 2
	shortStr = 0xD9
)

// newMessage is a message of the load; what it says does not matter.
func newMessage() []byte {
	return append([]byte{shortStr, messageSize - textHead}, bytes.Repeat([]byte("parlor "), messageSize)[:messageSize-textHead]...)
}

// rawPeer is a client of the raw WebSocket server.
type rawPeer struct{ wsEnd }

func dialRaw(addr, path string, buffer int) (peer, error) {
	end, err := openWebSocket(addr, path, buffer)
	if err != nil {
		return nil, err
	}
	return &rawPeer{end}, end.SetDeadline(time.Time{})
}

func (p *rawPeer) send(n int, message []byte) error {
	p.out = p.out[:0]
	for range n {
		p.out = appendMasked(p.out, ws.OpBinary, len(message), func(b []byte) []byte { return append(b, message...) })
	}
	_, err := p.nc.Write(p.out)
	return err
}

func (p *rawPeer) receive(each func([]byte)) (n int, err error) {
	op, message, size, err := p.next()
	for ; size > 0; op, message, size, err = p.in.wsFrame() {
		if op != ws.OpBinary || len(message) != messageSize {
			return n, fmt.Errorf("the raw server sends a frame of type %d with %d bytes", op, len(message))
		}
		n++
		each(message)
	}
	return n, err
}

// tcpPeer is a client of the raw TCP echo that sends back whatever comes: it moves bytes, as many as the frames of
// another wire have.
type tcpPeer struct {
	nc      net.Conn
	size    int // of a frame
	out, in []byte
	rest    int // bytes of a frame that has come in part
}

// dialTCP takes the largest number of messages that are sent at once.
func dialTCP(addr string, size, most int) (peer, error) {
	nc, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	return &tcpPeer{nc: nc, size: size, out: make([]byte, size*most), in: make([]byte, size*most)}, nil
}

func (p *tcpPeer) send(n int, _ []byte) error {
	if n*p.size > len(p.out) {
		return errors.New("more messages at once than the echo's client was made for")
	}
	_, err := p.nc.Write(p.out[:n*p.size])
	return err
}

func (p *tcpPeer) receive(func([]byte)) (n int, err error) {
	for n == 0 {
		got, err := p.nc.Read(p.in)
		if err != nil {
			return 0, err
		}
		n = (p.rest + got) / p.size
		p.rest = (p.rest + got) % p.size
	}
	return n, nil
}

func (p *tcpPeer) SetDeadline(t time.Time) error { return p.nc.SetDeadline(t) }
func (p *tcpPeer) Close() error                  { return p.nc.Close() }
