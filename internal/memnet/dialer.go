package memnet

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Dialer connects a client to listeners. It may be copied, and used by several goroutines that do not change it.
type Dialer struct {
	Network *Network
	// From is where the client is, as "203.0.113.7:4242" or "203.0.113.7", which takes one port after the other.
	// By default it is on the loopback if the listener is, and otherwise at 192.0.2.1 or 2001:db8::1. A port may
	// be used several times.
	From string
	// Up is the direction to the listener, Down that from it.
	Up, Down Path
}

// Dial connects to "host:port", where a host may be a name that has no listener yet. It takes the latency of both
// directions, and longer if the listener's backlog is full, until ctx ends. Where nobody listens it fails with
// ECONNREFUSED.
func (d Dialer) Dial(ctx context.Context, address string) (*Conn, error) {
	d.Network.mu.Lock()
	to, err := d.Network.resolve(address)
	d.Network.mu.Unlock()
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	if to.Addr().IsUnspecified() { // this machine, as the system has it
		to = netip.AddrPortFrom(loopback, to.Port())
	}
	c, err := d.dial(ctx, to)
	if err != nil {
		return nil, failed("dial", to, err)
	}
	return c, nil
}

// DialContext is Dial as http.Transport and others want it. The kind of network is not looked at.
func (d Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.Dial(ctx, address)
	if err != nil {
		return nil, err // not a nil *Conn
	}
	return c, nil
}

// Pair is two ends of a connection, without a listener.
func (d Dialer) Pair() (client, server *Conn) {
	d.Network.mu.Lock()
	to := netip.AddrPortFrom(loopback, d.Network.port(loopback))
	d.Network.mu.Unlock()
	client, server, err := d.connect(to)
	if err != nil {
		panic("memnet: " + err.Error()) // of From, which the test has written
	}
	return client, server
}

func (d Dialer) dial(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	if err := pause(ctx, d.Up.Latency); err != nil {
		return nil, err
	}
	ln := d.Network.find(to)
	if ln == nil {
		if err := pause(ctx, d.Down.Latency); err != nil {
			return nil, err
		}
		return nil, errRefused
	}
	c, err := ln.take(ctx, func() (client, server *Conn, err error) { return d.connect(to) })
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, d.Down.Latency); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// pause lets time go by.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connect makes a connection to an address.
func (d Dialer) connect(to netip.AddrPort) (client, server *Conn, err error) {
	n := d.Network
	n.mu.Lock()
	defer n.mu.Unlock()
	from, err := d.from(to)
	if err != nil {
		return nil, nil, err
	}
	seed := mix(n.seed, words(from), words(to), n.dials[from])
	l := &line{network: n}
	l.up, l.down = newStream(l, d.Up, mix(seed, 1)), newStream(l, d.Down, mix(seed, 2))
	here, there := net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to)
	l.client = &Conn{line: l, out: l.up, in: l.down, local: here, remote: there}
	l.server = &Conn{line: l, out: l.down, in: l.up, local: there, remote: here}
	l.up.from, l.up.to = l.client, l.server
	l.down.from, l.down.to = l.server, l.client
	n.count++
	n.lines[l] = n.count
	l.mu.Lock() // nobody else has it, but what follows wants it
	defer l.mu.Unlock()
	for _, s := range []*Stream{l.up, l.down} {
		s.depart(time.Now()) // faults at the first byte
	}
	return l.client, l.server, nil
}

func newStream(l *line, p Path, seed uint64) *Stream {
	s := &Stream{line: l, path: p.filled(), seed: seed}
	s.order()
	return s
}

// from is the client's address. The network's lock is held.
func (d Dialer) from(to netip.AddrPort) (netip.AddrPort, error) {
	if d.From == "" {
		host := netip.AddrFrom4([4]byte{192, 0, 2, 1}) // RFC 5737: for examples
		switch {
		case to.Addr().IsLoopback():
			host = to.Addr()
		case to.Addr().Is6():
			host = netip.MustParseAddr("2001:db8::1") // RFC 3849
		}
		return netip.AddrPortFrom(host, d.Network.port(host)), nil
	}
	at, err := netip.ParseAddrPort(d.From)
	if err != nil {
		host, err := netip.ParseAddr(d.From)
		if err != nil {
			return at, &net.AddrError{Err: "From is no IP address", Addr: d.From}
		}
		at = netip.AddrPortFrom(host, 0)
	}
	if at.Port() == 0 {
		return netip.AddrPortFrom(at.Addr(), d.Network.port(at.Addr())), nil
	}
	d.Network.dials[at]++ // the next one from there has other chances
	return at, nil
}

// words makes a number of an address.
func words(at netip.AddrPort) uint64 {
	b := at.Addr().As16()
	x := uint64(at.Port())
	for _, v := range b {
		x = mix(x, uint64(v))
	}
	return x
}
