//go:build !js

package wslink

import (
	"container/heap"
	"container/list"
	"net"
	"net/netip"

	"parlor/link"
)

// stranger is a client that has not logged in.
type stranger struct {
	socket net.Conn // before the upgrade
	conn   *conn    // after it
	number int      // strangers are numbered as they come, to tell the oldest
	crowd  *crowd
	place  *list.Element // in crowd.all
}

// cut ends a stranger's connection. Of nobody it ends nothing.
func (s *stranger) cut() {
	switch {
	case s == nil:
	case s.conn != nil:
		s.conn.Abort()
	default:
		cut(s.socket)
	}
}

// cut closes a socket at once, which does not block. TLS would say goodbye first, and wait for a peer that
// does not read for 5 s.
func cut(nc net.Conn) { below(nc).Close() }

// below is the socket of a connection: what TLS runs on, or the connection itself.
func below(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return nc
}

// strangers are all of them, in a crowd for each network. Nothing here looks at all of them: an attack is
// when there are many, and every newcomer asks for the oldest then.
type strangers struct {
	size   int
	number int // strangers so far
	crowds map[netip.Addr]*crowd
	order  bySize
}

// crowd are the strangers of one network.
type crowd struct {
	network netip.Addr
	all     list.List // of *stranger, the oldest first; not empty
	at      int       // in strangers.order
}

func newStrangers() strangers { return strangers{crowds: make(map[netip.Addr]*crowd)} }

// add adds one who comes from an address.
func (ss *strangers) add(s *stranger, from netip.Addr) {
	network := link.Network(from)
	ss.size++
	ss.number++
	s.number = ss.number
	s.crowd = ss.crowds[network]
	if s.crowd != nil {
		s.place = s.crowd.all.PushBack(s)
		heap.Fix(&ss.order, s.crowd.at)
		return
	}
	s.crowd = &crowd{network: network}
	s.place = s.crowd.all.PushBack(s)
	ss.crowds[network] = s.crowd
	heap.Push(&ss.order, s.crowd)
}

func (ss *strangers) remove(s *stranger) {
	ss.size--
	s.crowd.all.Remove(s.place)
	if s.crowd.all.Len() > 0 {
		heap.Fix(&ss.order, s.crowd.at)
		return
	}
	heap.Remove(&ss.order, s.crowd.at)
	delete(ss.crowds, s.crowd.network)
}

// oldest is the oldest stranger of the largest crowd; nil if there is none.
func (ss *strangers) oldest() *stranger {
	if ss.size == 0 {
		return nil
	}
	return ss.order[0].oldest()
}

func (c *crowd) oldest() *stranger { return c.all.Front().Value.(*stranger) }

// bySize is a heap of crowds, with the largest at the top; of several that with the oldest stranger.
type bySize []*crowd

func (h bySize) Len() int { return len(h) }

func (h bySize) Less(i, j int) bool {
	if a, b := h[i].all.Len(), h[j].all.Len(); a != b {
		return a > b
	}
	return h[i].oldest().number < h[j].oldest().number
}

func (h bySize) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *bySize) Push(c any) {
	c.(*crowd).at = len(*h)
	*h = append(*h, c.(*crowd))
}

func (h *bySize) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
