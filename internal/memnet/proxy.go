package memnet

import (
	"cmp"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy passes connections of real sockets on to a server, with faults at bytes. What it resets has been written to the
// receiver's socket before: it gets all of that on Linux, if its socket had room.
type Proxy struct {
	ln   net.Listener
	to   string
	plan func(n int) (up, down []Fault)
	wg   sync.WaitGroup // the accepting, and two goroutines for each connection
	done chan struct{}  // closed by Close

	mu    sync.Mutex // guards the fields below
	conns []*proxied
}

// proxied is a connection with both its sockets.
type proxied struct {
	client, server net.Conn
	ended          atomic.Bool // by an End: both have been told that nothing follows
	up, down       int64       // bytes passed on; Proxy.mu guards them
}

// NewProxy starts a proxy on a port of the loopback, in front of a server at "host:port". plan says which faults the
// connections have, that are numbered from 0; nil has none. Those without an end in time last until Close.
func NewProxy(to string, plan func(n int) (up, down []Fault)) (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if plan == nil {
		plan = func(int) (up, down []Fault) { return nil, nil }
	}
	p := &Proxy{ln: ln, to: to, plan: plan, done: make(chan struct{})}
	p.wg.Go(p.accept) // ends with Close
	return p, nil
}

// Addr is where clients connect, as "host:port".
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Passed is how many bytes were passed on in each direction of the connection of this number.
func (p *Proxy) Passed(n int) (up, down int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n >= len(p.conns) {
		return 0, 0
	}
	return p.conns[n].up, p.conns[n].down
}

// Reset cuts all connections, new ones excepted.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.reset()
	}
}

// Close ends the listening and all connections, and returns after the proxy's goroutines.
func (p *Proxy) Close() error {
	p.mu.Lock()
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	p.mu.Unlock()
	err := p.ln.Close()
	p.Reset()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			cutSocket(client)
			continue
		}
		p.begin(&proxied{client: client, server: server})
	}
}

// begin starts a connection, unless the proxy is closed.
func (p *Proxy) begin(c *proxied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		c.reset()
		return
	default:
	}
	up, down := p.plan(len(p.conns))
	p.conns = append(p.conns, c)
	var both sync.WaitGroup
	both.Add(2)
	for _, way := range []struct {
		from, to net.Conn
		passed   *int64
		faults   []Fault
	}{{c.client, c.server, &c.up, up}, {c.server, c.client, &c.down, down}} {
		p.wg.Go(func() { // ends with the connection
			p.pass(c, way.from, way.to, way.passed, way.faults)
			both.Done()
			both.Wait()
			c.client.Close()
			c.server.Close()
		})
	}
}

// pass passes bytes on until the end of the stream, or of the connection.
func (p *Proxy) pass(c *proxied, from, to net.Conn, passed *int64, faults []Fault) {
	faults = slices.SortedStableFunc(slices.Values(faults), func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	b := make([]byte, 32<<10)
	for at := int64(0); ; {
		most := len(b)
		if len(faults) > 0 {
			left := faults[0].At - at
			if left <= 0 {
				if !p.happen(faults[0], c, from) {
					return
				}
				faults = faults[1:]
				continue
			}
			most = int(min(int64(most), left))
		}
		n, err := from.Read(b[:most])
		if n > 0 {
			p.mu.Lock()
			*passed += int64(n)
			p.mu.Unlock()
			at += int64(n)
			if _, err := to.Write(b[:n]); c.ended.Load() {
				io.Copy(io.Discard, from)
				return
			} else if err != nil {
				c.reset()
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			to.(*net.TCPConn).CloseWrite()
			return
		case err != nil:
			c.reset()
			return
		}
	}
}

// happen makes a fault happen, and tells whether bytes are passed on behind it.
func (p *Proxy) happen(f Fault, c *proxied, from net.Conn) bool {
	switch f.Do {
	case Reset:
		c.reset()
	case End:
		c.ended.Store(true)
		c.client.(*net.TCPConn).CloseWrite()
		c.server.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, from)
	case Swallow:
		io.Copy(io.Discard, from)
		<-p.done // not even the end is passed on
	case Stall:
		var over <-chan time.Time
		if f.For > 0 {
			timer := time.NewTimer(f.For)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-over:
			return true
		case <-p.done:
		}
	}
	return false
}

// reset ends both sockets in the hard way.
func (c *proxied) reset() {
	cutSocket(c.client)
	cutSocket(c.server)
}

func cutSocket(nc net.Conn) {
	nc.(*net.TCPConn).SetLinger(0)
	nc.Close()
}
