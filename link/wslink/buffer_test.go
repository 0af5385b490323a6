//go:build linux

package wslink_test

import (
	"net"
	"syscall"
	"testing"

	"parlor/link/wslink"
)

// TestWriteBuffer: the system does not hold megabytes for a client that does not read, behind TLS neither.
func TestWriteBuffer(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	w.address = ln.Addr().String()
	go w.Serve(tapListener{ln, accepted}) // ends with Close
	w.login(t, "alice").works()
	raw, err := (<-accepted).(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var size int
	err = raw.Control(func(fd uintptr) {
		size, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	})
	if err != nil || size != 256<<10 { // the kernel doubles it for what it needs itself
		t.Errorf("the buffer has %d bytes, %v", size, err)
	}
}

// tapListener shows the sockets that it accepts, which are covered as those of TLS are.
type tapListener struct {
	net.Listener
	accepted chan net.Conn
}

func (ln tapListener) Accept() (net.Conn, error) {
	nc, err := ln.Listener.Accept()
	if err != nil {
		return nil, err
	}
	ln.accepted <- nc
	return covered{nc}, nil
}

type covered struct{ net.Conn }

func (c covered) NetConn() net.Conn { return c.Conn }
