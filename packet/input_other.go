//go:build !unix

package packet

import (
	"net"
	"sync/atomic"
)

// input reads from a socket, into a buffer that the connection holds.
type input struct {
	nc   net.Conn
	held []byte

	turns atomic.Uint32 // calls and returns of next: see waiting
}

const heldSize = 4 << 10

func (in *input) init(nc net.Conn) { in.nc, in.held = nc, make([]byte, heldSize) }

// next waits for bytes, and returns them until the next call.
func (in *input) next() ([]byte, error) {
	in.turns.Add(1)
	defer in.turns.Add(1)
	n, err := in.nc.Read(in.held)
	if n > 0 {
		err = nil // it comes again
	}
	return in.held[:n], err
}

func (in *input) done() {}
