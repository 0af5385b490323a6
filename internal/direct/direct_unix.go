//go:build unix

// Package direct reaches past the net package to a socket of the system's own: to write as far as it takes the bytes
// without blocking, and to read only once there is something. Where there is none, such as behind TLS, callers use
// the connection as it is.
package direct

import (
	"net"
	"syscall"
)

// Writer writes to a socket as far as it takes the bytes without blocking. Its use is up to one
// goroutine at a time.
type Writer struct {
	raw syscall.RawConn
	try func(fd uintptr) bool // made once, so that a write allocates nothing

	b   []byte
	n   int
	err error
}

// Socket is the system's side of a TCP or unix socket, nil for all else. A type that embeds one of them would have
// its SyscallConn too, but wants its own Read and Write to be called.
func Socket(nc net.Conn) syscall.RawConn {
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

// NewWriter returns nil for connections that are no sockets of the system's own, such as TLS.
func NewWriter(nc net.Conn) *Writer {
	raw := Socket(nc)
	if raw == nil {
		return nil
	}
	d := &Writer{raw: raw}
	d.try = func(fd uintptr) bool {
		d.n, d.err = syscall.Write(int(fd), d.b)
		return true // also if it would block: the rest is the writer's
	}
	return d
}

// Write returns how many bytes the socket took; an error means that it has ended.
func (d *Writer) Write(b []byte) (int, error) {
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
