package memnet

import (
	"slices"
	"time"
)

// Path says what one direction of a connection does with its bytes. The zero Path takes them over at once.
type Path struct {
	// Latency is how long bytes are under way.
	Latency time.Duration
	// Jitter is by how much that varies: each write, and each 1400 bytes of a long one, takes up to so much
	// longer. The order stays.
	Jitter time.Duration
	// Bandwidth is how many bytes a second depart; 0 is no limit.
	Bandwidth int
	// Buffer is how many bytes may be written before they are read: a write waits for room. Default 64 KiB.
	Buffer int
	// Fragment has reads return between 1 and so many bytes, by chance; 0 is as many as there are.
	Fragment int
	// ReadRate makes a slow reader, of so many bytes a second: who has read some waits that long in the next
	// call. 0 is no limit.
	ReadRate int
	// Record remembers every write: see Stream.Writes. They are kept without limit.
	Record bool
	// Faults happen at bytes of the stream, in the order of these; several at one byte in the order given.
	Faults []Fault
}

// defaultBuffer is about what a socket takes.
const defaultBuffer = 64 << 10

func (p Path) filled() Path {
	if p.Buffer <= 0 {
		p.Buffer = defaultBuffer
	}
	p.Faults = slices.Clone(p.Faults)
	return p
}

// piece is how much departs together, at most.
func (p Path) piece() int {
	const packet = 1400 // what fits into a packet of Ethernet
	switch {
	case p.Bandwidth > 0:
		return max(1, min(packet, p.Bandwidth/100)) // 10 ms
	case p.Jitter > 0:
		return packet
	}
	return p.Buffer
}

// Fault is something that happens to a direction, once its first At bytes have departed; with 0 it happens at once. A
// write that goes further succeeds, as the bytes wait in a buffer, whatever becomes of them.
type Fault struct {
	At int64
	Do Action
	// For is how long a Stall lasts; 0 is until Stream.Release.
	For time.Duration
}

// Action is what a Fault does.
type Action int

const (
	// Reset cuts the connection: who reads gets the bytes before, then both ends get ECONNRESET.
	Reset Action = iota
	// End is a clean cut: both ends read the end of the stream behind what has departed, as if the other side
	// had closed. What they write later is answered by a reset.
	End
	// Stall keeps what is written, until it is over. Who writes goes on until the buffer is full.
	Stall
	// Swallow loses everything from here on, without a word to either side: closing and resets as well.
	Swallow
)
