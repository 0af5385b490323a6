//go:build !unix

package packet_test

import "net"

// noDelay cannot be asked here; Go sets it on every TCP connection.
func noDelay(*net.TCPConn) (bool, error) { return true, nil }
