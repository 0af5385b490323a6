//go:build unix

package packet_test

import (
	"net"
	"syscall"
	"testing"

	"parlor/packet"
)

// TestMaxConnsBelowOpenFiles: the default is what the system's limit of files leaves room for. It is not parallel, since
// that limit is for all.
func TestMaxConnsBelowOpenFiles(t *testing.T) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Skip(err)
	}
	low := was
	low.Cur = 120 // of which half is kept for other files
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Skip(err)
	}
	s := packet.NewServer(regOf(t), packet.Config{Logger: quiet})
	asked := packet.NewServer(regOf(t), packet.Config{MaxConns: 61, Logger: quiet})
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	for server, refused := range map[*packet.Server]int64{s: 1, asked: 0} {
		ln, end := serveMemnet(t, server) // no files
		var conns []net.Conn
		for range 61 {
			conns = append(conns, ln.dial())
		}
		eventually(t, "all are accepted or refused", func() bool { return server.Stats().Accepted.Load()+server.Stats().Refused.Load() == 61 })
		if n := server.Stats().Refused.Load(); n != refused {
			t.Errorf("%d refused, want %d", n, refused)
		}
		for _, nc := range conns {
			nc.Close()
		}
		end()
	}
}
