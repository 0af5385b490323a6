//go:build !unix

package direct

import "net"

// Writer exists on systems whose sockets can be written without blocking; this is none of them.
type Writer struct{}

// NewWriter returns nil.
func NewWriter(net.Conn) *Writer { return nil }

// Write is never called.
func (*Writer) Write([]byte) (int, error) { return 0, nil }
