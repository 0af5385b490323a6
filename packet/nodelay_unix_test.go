//go:build unix

package packet_test

import (
	"net"
	"syscall"
)

func noDelay(nc *net.TCPConn) (on bool, err error) {
	raw, err := nc.SyscallConn()
	if err != nil {
		return false, err
	}
	var n int
	var inner error
	err = raw.Control(func(fd uintptr) { n, inner = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY) })
	if err == nil {
		err = inner
	}
	return n != 0, err
}
