package memnet

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// Network is where listeners are found by their addresses. Make it with New.
type Network struct {
	seed uint64

	mu        sync.Mutex // guards the fields below
	listeners map[netip.AddrPort]*Listener
	names     map[string]netip.Addr
	ports     map[netip.Addr]uint16     // given out last
	dials     map[netip.AddrPort]uint64 // so far, from ports that were chosen by a Dialer
	lines     map[*line]uint64          // those that are not closed by both ends, numbered
	count     uint64                    // of lines so far
}

// New makes a network without anything on it. What happens by chance follows from the seed.
func New(seed uint64) *Network {
	return &Network{
		seed:      seed,
		listeners: make(map[netip.AddrPort]*Listener),
		names:     make(map[string]netip.Addr),
		ports:     make(map[netip.Addr]uint16),
		dials:     make(map[netip.AddrPort]uint64),
		lines:     make(map[*line]uint64),
	}
}

// Listen opens a listener on "host:port". The host is an IP address, or a name, for which the network takes an address
// of 198.18.0.0/16; without one it listens on all addresses. Port 0 is one that is free. The listener has an unlimited
// backlog.
func (n *Network) Listen(address string) (*Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, err := n.resolve(address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	if at.Port() == 0 {
		at = netip.AddrPortFrom(at.Addr(), n.port(at.Addr()))
	}
	if n.listeners[at] != nil {
		return nil, failed("listen", at, os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	ln := &Listener{network: n, at: at, backlog: -1}
	n.listeners[at] = ln
	return ln, nil
}

// Dial connects to an address, by a Dialer without faults: see Dialer.Dial.
func (n *Network) Dial(ctx context.Context, address string) (*Conn, error) {
	return Dialer{Network: n}.Dial(ctx, address)
}

// DialContext is Dial as http.Transport and others want it. The kind of network is not looked at.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return Dialer{Network: n}.DialContext(ctx, network, address)
}

// Pair is two ends of a connection, without a listener and without faults.
func (n *Network) Pair() (client, server *Conn) { return Dialer{Network: n}.Pair() }

// Conns are the clients' ends of all connections that have not been closed by both ends, in the order in which they
// were made.
func (n *Network) Conns() []*Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := slices.SortedFunc(maps.Keys(n.lines), func(a, b *line) int { return cmp.Compare(n.lines[a], n.lines[b]) })
	all := make([]*Conn, 0, len(lines))
	for _, l := range lines {
		all = append(all, l.client)
	}
	return all
}

func (n *Network) forget(l *line) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.lines, l)
}

// find is the listener at an address, nil if there is none.
func (n *Network) find(at netip.AddrPort) *Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, addr := range []netip.Addr{at.Addr(), netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if ln := n.listeners[netip.AddrPortFrom(addr, at.Port())]; ln != nil {
			return ln
		}
	}
	return nil
}

// close takes a listener off the network.
func (n *Network) close(ln *Listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[ln.at] == ln {
		delete(n.listeners, ln.at)
	}
}

// The lock is held in all that follows.

// resolve makes an address of text.
func (n *Network) resolve(address string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, &net.AddrError{Err: "invalid port", Addr: address}
	}
	return netip.AddrPortFrom(n.host(host), uint16(port)), nil
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// host is the address of a host. Each name gets one of its own.
func (n *Network) host(name string) netip.Addr {
	switch name {
	case "":
		return netip.IPv6Unspecified()
	case "localhost":
		return loopback
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Unmap()
	}
	addr, known := n.names[name]
	if !known {
		k := len(n.names) + 1
		addr = netip.AddrFrom4([4]byte{198, 18, byte(k >> 8), byte(k)}) // RFC 2544: for tests of networks
		n.names[name] = addr
	}
	return addr
}

// port is the next of a host's ports for clients, and for listeners on port 0.
func (n *Network) port(host netip.Addr) uint16 {
	const first = 49152
	for {
		n.ports[host] = max(first, n.ports[host]+1)
		if n.listeners[netip.AddrPortFrom(host, n.ports[host])] == nil {
			return n.ports[host]
		}
	}
}

// failed is an error of a listener or a dial, as the net package has it.
func failed(op string, at netip.AddrPort, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: err}
}
