package memnet

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Listener is a net.Listener of a Network.
type Listener struct {
	network *Network
	at      netip.AddrPort

	mu      sync.Mutex // guards the fields below; nobody waits with it held
	queue   []*Conn    // to be accepted
	backlog int        // how many may be in the queue; negative: any number
	closed  bool

	accepts, room signal
}

var _ net.Listener = (*Listener)(nil)

// Addr is a *net.TCPAddr.
func (ln *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(ln.at) }

// Accept is AcceptConn as net.Listener wants it.
func (ln *Listener) Accept() (net.Conn, error) {
	c, err := ln.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn waits for the next connection, until Close.
func (ln *Listener) AcceptConn() (*Conn, error) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	for len(ln.queue) == 0 && !ln.closed {
		ln.accepts.wait(&ln.mu, time.Time{}, nil)
	}
	if ln.closed {
		return nil, failed("accept", ln.at, net.ErrClosed)
	}
	c := ln.queue[0]
	ln.queue = ln.queue[1:]
	ln.room.wake()
	return c, nil
}

// SetBacklog bounds how many connections may wait to be accepted: who dials then waits. A negative number is no
// bound; with 0 nobody gets in.
func (ln *Listener) SetBacklog(n int) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.backlog = n
	ln.room.wake()
}

// Close ends the listening: it unblocks Accept, refuses who dials, and resets connections that nobody has accepted. Those
// that were accepted go on. A second call returns an error that is net.ErrClosed.
func (ln *Listener) Close() error {
	ln.mu.Lock()
	if ln.closed {
		ln.mu.Unlock()
		return failed("close", ln.at, net.ErrClosed)
	}
	ln.closed = true
	queue := ln.queue
	ln.queue = nil
	ln.accepts.wake()
	ln.room.wake()
	ln.mu.Unlock()
	ln.network.close(ln)
	for _, c := range queue {
		c.Reset()
		c.Close()
	}
	return nil
}

// take waits for room in the queue, and puts the listener's end of a new connection there. It returns the client's.
func (ln *Listener) take(ctx context.Context, connect func() (client, server *Conn, err error)) (*Conn, error) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	for !ln.closed && ln.backlog >= 0 && len(ln.queue) >= ln.backlog {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		ln.room.wait(&ln.mu, time.Time{}, ctx.Done())
	}
	if ln.closed {
		return nil, errRefused
	}
	client, server, err := connect()
	if err != nil {
		return nil, err
	}
	ln.queue = append(ln.queue, server)
	ln.accepts.wake()
	return client, nil
}

var errRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)
