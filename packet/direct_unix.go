//go:build unix

package packet

import (
	"net"
	"syscall"
)

// directWriter writes to a socket as far as it takes the bytes without blocking. Its use is up to one
// goroutine at a time.
type directWriter struct {
	raw syscall.RawConn
	try func(fd uintptr) bool // made once, so that a write allocates nothing

	b   []byte
	n   int
	err error
}

// rawSocket is the system's side of a TCP or unix socket, nil for all else. A type that embeds one of them would have
// its SyscallConn too, but wants its own Read and Write to be called.
func rawSocket(nc net.Conn) syscall.RawConn {
	var raw syscall.RawConn
	var err error
	switch nc := nc.(type) {
	case *net.TCPConn:
		raw, err = nc.SyscallConn()
	case *net.UnixConn:
		raw, err = nc.SyscallConn()
	}
	if err != nil {
		return nil
	}
	return raw
}

// newDirectWriter returns nil for connections that are no sockets of the system's own, such as TLS.
func newDirectWriter(nc net.Conn) *directWriter {
	raw := rawSocket(nc)
	if raw == nil {
		return nil
	}
	d := &directWriter{raw: raw}
	d.try = func(fd uintptr) bool {
		d.n, d.err = syscall.Write(int(fd), d.b)
		return true // also if it would block: the rest is the writer's
	}
	return d
}

// write returns how many bytes the socket took; an error means that it has ended.
func (d *directWriter) write(b []byte) (int, error) {
	d.b = b
	err := d.raw.Write(d.try)
	d.b = nil
	if err != nil {
		return 0, err
	}
	if d.err == syscall.EAGAIN || d.err == syscall.EINTR {
		return 0, nil
	}
	return max(d.n, 0), d.err
}
