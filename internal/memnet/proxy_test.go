package memnet_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parlor/internal/memnet"
)

// proxied has a server's end for each connection that goes through a proxy with these faults.
func proxied(t *testing.T, plan func(n int) (up, down []memnet.Fault)) (p *memnet.Proxy, pair func() (client, server *net.TCPConn)) {
	t.Helper()
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	p = must(memnet.NewProxy(ln.Addr().String(), plan))
	t.Cleanup(func() {
		ln.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, func() (client, server *net.TCPConn) {
		t.Helper()
		client = must(net.Dial("tcp", p.Addr())).(*net.TCPConn)
		server = must(ln.Accept()).(*net.TCPConn)
		t.Cleanup(func() { client.Close(); server.Close() })
		return client, server
	}
}

// TestProxyPasses everything on, half-closes and resets as well.
func TestProxyPasses(t *testing.T) {
	t.Parallel()
	p, pair := proxied(t, nil)
	client, server := pair()
	long := strings.Repeat("0123456789", 1_000_000)
	var all sync.WaitGroup
	for _, c := range []*net.TCPConn{client, server} {
		all.Go(func() {
			write(t, c, long)
			c.CloseWrite()
		})
		all.Go(func() {
			if got, err := upTo(c); got != long || err != nil {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
	if up, down := p.Passed(0); up != 10_000_000 || down != 10_000_000 {
		t.Errorf("%d and %d bytes", up, down)
	}
	if up, down := p.Passed(1); up != 0 || down != 0 {
		t.Errorf("%d and %d bytes of nobody", up, down)
	}

	client, server = pair()
	write(t, client, "x")
	read(t, server, "x")
	client.SetLinger(0)
	client.Close()
	readFails(t, server, syscall.ECONNRESET)

	client, server = pair()
	write(t, client, "x")
	read(t, server, "x") // the proxy knows it
	p.Reset()
	readFails(t, client, syscall.ECONNRESET)
	readFails(t, server, syscall.ECONNRESET)
	pair() // others can still come
}

func TestProxyCutsAtEveryByte(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a reset may cost bytes that came before")
	}
	const text = "one two three"
	at := func(n int) int64 { return 1 + int64(n/2) } // at 0 it may be so soon that Dial notices
	for _, clean := range []bool{false, true} {
		p, pair := proxied(t, func(n int) (up, down []memnet.Fault) {
			f := memnet.Fault{At: at(n), Do: memnet.Reset}
			if clean {
				f.Do = memnet.End
			}
			if n%2 == 0 {
				return []memnet.Fault{f}, nil
			}
			return nil, []memnet.Fault{f}
		})
		for n := range 2 * len(text) {
			from, to := pair()
			if n%2 == 1 {
				from, to = to, from
			}
			for _, word := range strings.SplitAfter(text, " ") {
				io.WriteString(from, word) // some of them fail
			}
			var want error
			if !clean {
				want = syscall.ECONNRESET
			}
			to.SetReadDeadline(time.Now().Add(patience))
			if got, err := upTo(to); got != text[:at(n)] || !errors.Is(err, want) {
				t.Errorf("connection %d: got %q, %v", n, got, err)
			}
			from.SetReadDeadline(time.Now().Add(patience))
			if got, err := upTo(from); got != "" || clean && err != nil { // the reset may have been told to a write
				t.Errorf("connection %d: the other side got %q, %v", n, got, err)
			}
			up, down := p.Passed(n)
			if up+down != at(n) {
				t.Errorf("connection %d: %d and %d bytes passed", n, up, down)
			}
		}
	}
}

func TestProxyStallsAndSwallows(t *testing.T) {
	t.Parallel()
	const stall = 50 * time.Millisecond
	_, pair := proxied(t, func(n int) (up, down []memnet.Fault) {
		return []memnet.Fault{{At: 6, Do: memnet.Swallow}, {At: 3, Do: memnet.Stall, For: stall}}, []memnet.Fault{{At: 1, Do: memnet.Stall}}
	})
	client, server := pair()
	begun := time.Now()
	write(t, client, "onetwothree")
	read(t, server, "onetwo")
	if d := time.Since(begun); d < stall {
		t.Errorf("it came after %v", d)
	}
	write(t, server, "to you")
	read(t, client, "t")
	for range 100 {
		write(t, client, strings.Repeat("x", 10_000))
	}
	client.CloseWrite()
	for _, c := range []net.Conn{client, server} {
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		n, err := c.Read(make([]byte, 1))
		if n > 0 {
			t.Error("more has come")
		}
		checkTimeout(t, err)
	}
}

// TestProxyWithoutServer resets who comes.
func TestProxyWithoutServer(t *testing.T) {
	t.Parallel()
	p := must(memnet.NewProxy("127.0.0.1:1", nil))
	if c, err := net.Dial("tcp", p.Addr()); err == nil {
		readFails(t, c, syscall.ECONNRESET)
		c.Close()
	} else if !errors.Is(err, syscall.ECONNRESET) { // it may be told so soon
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	p.Close() // again does no harm
}
