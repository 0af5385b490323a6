package turnstile

import (
	"container/list"
	"net/netip"

	"parlor/internal/crowd"
)

// line are those who wait for a turn: the networks in a ring, the names of a network in a ring, and those of a name one
// behind the other. Who comes to a ring goes to its end.
type line struct {
	networks map[netip.Addr]*network
	names    map[uint64]*name
	ring     list.List // of *network, with the next one first
	all      crowd.Strangers[*waiter]
}

// network is one of which somebody waits.
type network struct {
	addr netip.Addr
	ring list.List // of *name, with the next one first; not empty
	size int       // who waits of all names
	at   *list.Element
}

// name is one of which somebody waits. It is a name of one network: two of the same in two networks are two.
type name struct {
	id      uint64 // a hash of the key with a secret seed; those of whom it is the same share their turns, at worst
	network *network
	waiting list.List // of *waiter; not empty
	at      *list.Element
}

// waiter is who waits.
type waiter struct {
	work  func(error)
	stop  func() bool // that the context is looked at
	name  *name
	at    *list.Element
	place *crowd.Place[*waiter] // nil: waits no more
}

func newLine() line {
	return line{networks: make(map[netip.Addr]*network), names: make(map[uint64]*name)}
}

func (l *line) len() int { return l.all.Len() }

// ofName is how many wait of a name.
func (l *line) ofName(id uint64) int {
	if n := l.names[id]; n != nil {
		return n.waiting.Len()
	}
	return 0
}

// ofNetwork is how many wait of a network.
func (l *line) ofNetwork(addr netip.Addr) int {
	if n := l.networks[addr]; n != nil {
		return n.size
	}
	return 0
}

// newest is the newest of the network that has most. Somebody waits.
func (l *line) newest() *waiter { return l.all.Newest() }

// add has one more wait.
func (l *line) add(id uint64, addr netip.Addr, work func(error)) *waiter {
	of := l.names[id]
	if of == nil {
		of = &name{id: id, network: l.network(addr)}
		of.at = of.network.ring.PushBack(of)
		l.names[id] = of
	}
	w := &waiter{work: work, name: of}
	w.at = of.waiting.PushBack(w)
	w.place = l.all.Add(w, of.network.addr)
	of.network.size++
	return w
}

// network is that of an address, which gets a place in the ring if it has none. The caller has a name for it.
func (l *line) network(addr netip.Addr) *network {
	net := l.networks[addr]
	if net == nil {
		net = &network{addr: addr}
		net.at = l.ring.PushBack(net)
		l.networks[addr] = net
	}
	return net
}

// next takes out whose turn it is, and is nil if nobody waits.
func (l *line) next() *waiter {
	front := l.ring.Front()
	if front == nil {
		return nil
	}
	net := front.Value.(*network)
	of := net.ring.Front().Value.(*name)
	w := of.waiting.Front().Value.(*waiter)
	l.ring.MoveToBack(net.at)
	net.ring.MoveToBack(of.at)
	l.remove(w)
	return w
}

// remove takes out one who waits.
func (l *line) remove(w *waiter) {
	of := w.name
	net := of.network
	l.all.Remove(w.place)
	w.place = nil
	of.waiting.Remove(w.at)
	net.size--
	if of.waiting.Len() == 0 {
		net.ring.Remove(of.at)
		delete(l.names, of.id)
	}
	if net.ring.Len() == 0 {
		l.ring.Remove(net.at)
		delete(l.networks, net.addr)
	}
}
