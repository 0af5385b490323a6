package crowd_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"parlor/internal/crowd"
)

// TestStrangers compares who is to go first with what a look at all of them says.
func TestStrangers(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var ss crowd.Strangers[int]
	from := make(map[int]netip.Addr)
	places := make(map[int]*crowd.Place[int])
	for i := range 5000 {
		if random.IntN(100) < 52 {
			number := i + 1
			from[number] = network(random.IntN(16))
			places[number] = ss.Add(number, from[number])
		} else if len(from) > 0 {
			number := ss.Oldest()
			if random.IntN(2) == 0 {
				for number = range from { // anyone
					break
				}
			}
			ss.Remove(places[number])
			delete(places, number)
			delete(from, number)
		}
		want, crowds := oldest(from)
		if got := ss.Oldest(); got != want {
			t.Fatalf("step %d: %d is to go first, want %d", i, got, want)
		}
		newest := 0
		for n, addr := range from {
			if addr == from[want] {
				newest = max(newest, n)
			}
		}
		if got := ss.Newest(); got != newest {
			t.Fatalf("step %d: %d is the newest of the largest crowd, want %d", i, got, newest)
		}
		if ss.Len() != len(from) || ss.Crowds() != crowds {
			t.Fatalf("step %d: %d of %d networks, want %d of %d", i, ss.Len(), ss.Crowds(), len(from), crowds)
		}
	}
}

func network(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// oldest is the oldest of the network that has most, and how many networks there are.
func oldest(from map[int]netip.Addr) (number, networks int) {
	most, crowds := 0, make(map[netip.Addr]int)
	for _, addr := range from {
		crowds[addr]++
		most = max(most, crowds[addr])
	}
	for n, addr := range from {
		if crowds[addr] == most && (number == 0 || n < number) {
			number = n
		}
	}
	return number, len(crowds)
}

// BenchmarkStrangers is a newcomer among many: it takes about as long as among few.
func BenchmarkStrangers(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var ss crowd.Strangers[int]
			places := make([]*crowd.Place[int], n)
			for i := range n {
				places[i] = ss.Add(i, network(i/2))
			}
			for i := 0; b.Loop(); i++ {
				who := ss.Oldest()
				ss.Remove(places[who])
				places[who] = ss.Add(who, network(i%n))
			}
		})
	}
}
