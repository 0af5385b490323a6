//go:build unix

package packet

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"parlor/internal/direct"
)

// input reads from a socket. It takes a chunk only when there is something to read, so that an idle
// connection holds no buffer.
type input struct {
	raw   syscall.RawConn // nil: not a socket of the system's own, such as TLS
	try   func(fd uintptr) bool
	chunk *chunk
	n     int
	err   error

	turns atomic.Uint32 // calls and returns of next: see waiting

	nc   net.Conn
	held []byte // the buffer of a connection that cannot be asked whether there is something
}

// heldSize is what a connection holds that is not a socket of the system's own.
const heldSize = 4 << 10

func (in *input) init(nc net.Conn) {
	in.nc = nc
	if in.raw = direct.Socket(nc); in.raw != nil {
		in.try = in.read
		return
	}
	in.held = make([]byte, heldSize)
}

// next waits for bytes, and returns them until the call of done.
func (in *input) next() ([]byte, error) {
	in.turns.Add(1)
	defer in.turns.Add(1)
	if in.raw == nil {
		n, err := in.nc.Read(in.held)
		if n > 0 {
			err = nil // it comes again
		}
		return in.held[:n], err
	}
	in.chunk, in.n, in.err = nil, 0, nil
	if err := in.raw.Read(in.try); err != nil {
		return nil, err
	}
	if in.err != nil {
		in.done()
		return nil, in.err
	}
	return in.chunk[:in.n], nil
}

// read is called when the socket may be readable; false waits for it.
func (in *input) read(fd uintptr) bool {
	c := chunks.Get().(*chunk)
	for {
		n, err := syscall.Read(int(fd), c[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			chunks.Put(c)
			return false
		case err != nil:
			in.err = err
		case n == 0:
			in.err = io.EOF
		}
		in.chunk, in.n = c, max(n, 0)
		return true
	}
}

// done gives back what next returned.
func (in *input) done() {
	if in.chunk != nil {
		chunks.Put(in.chunk)
		in.chunk = nil
	}
}
