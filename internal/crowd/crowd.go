// Package crowd keeps those who have to make room for others, in a crowd for each network, and tells who is to go first: the
// oldest of the largest crowd, or, where they wait for something in line, its newest. So a crowd pushes out its own, and nobody who came by himself.
//
// Nothing here looks at all of them: an attack is when there are many, and every newcomer asks for the oldest then. A newcomer
// costs the logarithm of how many networks there are.
package crowd

import (
	"container/heap"
	"container/list"
	"net/netip"
)

// Strangers are all of them. The zero value has none. Its methods must not be called concurrently.
type Strangers[T any] struct {
	size   int
	number int // strangers so far
	crowds map[netip.Addr]*crowd[T]
	order  bySize[T]
}

// Place is where one stands, to be removed by.
type Place[T any] struct {
	who     T
	number  int // strangers are numbered as they come, to tell the oldest
	crowd   *crowd[T]
	element *list.Element // in crowd.all
}

// crowd are the strangers of one network.
type crowd[T any] struct {
	network netip.Addr
	all     list.List // of *Place[T], the oldest first; not empty
	at      int       // in Strangers.order
}

// Add adds one who comes from a network.
func (ss *Strangers[T]) Add(who T, network netip.Addr) *Place[T] {
	ss.size++
	ss.number++
	p := &Place[T]{who: who, number: ss.number, crowd: ss.crowds[network]}
	if p.crowd != nil {
		p.element = p.crowd.all.PushBack(p)
		heap.Fix(&ss.order, p.crowd.at)
		return p
	}
	p.crowd = &crowd[T]{network: network}
	p.element = p.crowd.all.PushBack(p)
	if ss.crowds == nil {
		ss.crowds = make(map[netip.Addr]*crowd[T])
	}
	ss.crowds[network] = p.crowd
	heap.Push(&ss.order, p.crowd)
	return p
}

// Remove removes one, who is there. The place is none any more.
func (ss *Strangers[T]) Remove(p *Place[T]) {
	ss.size--
	p.crowd.all.Remove(p.element)
	if p.crowd.all.Len() > 0 {
		heap.Fix(&ss.order, p.crowd.at)
		return
	}
	heap.Remove(&ss.order, p.crowd.at)
	delete(ss.crowds, p.crowd.network)
}

// Oldest is the oldest stranger of the largest crowd, and of several as large the oldest of all of these; the zero value of T
// if there is nobody.
func (ss *Strangers[T]) Oldest() (who T) {
	if ss.size > 0 {
		who = ss.order[0].oldest().who
	}
	return who
}

// Newest is the newest stranger of the crowd of Oldest, or the zero value of T.
func (ss *Strangers[T]) Newest() (who T) {
	if ss.size > 0 {
		who = ss.order[0].all.Back().Value.(*Place[T]).who
	}
	return who
}

// Len is how many strangers there are.
func (ss *Strangers[T]) Len() int { return ss.size }

// Crowds is how many networks they come from.
func (ss *Strangers[T]) Crowds() int { return max(len(ss.crowds), len(ss.order)) }

func (c *crowd[T]) oldest() *Place[T] { return c.all.Front().Value.(*Place[T]) }

// bySize is a heap of crowds, with the largest at the top; of several that with the oldest stranger.
type bySize[T any] []*crowd[T]

func (h bySize[T]) Len() int { return len(h) }

func (h bySize[T]) Less(i, j int) bool {
	if a, b := h[i].all.Len(), h[j].all.Len(); a != b {
		return a > b
	}
	return h[i].oldest().number < h[j].oldest().number
}

func (h bySize[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *bySize[T]) Push(c any) {
	c.(*crowd[T]).at = len(*h)
	*h = append(*h, c.(*crowd[T]))
}

func (h *bySize[T]) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
