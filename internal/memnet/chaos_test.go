package memnet_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/certtest"
	"parlor/internal/memnet"
)

// chance makes paths, faults and moves.
type chance struct{ *rand.Rand }

func (r chance) path() (p memnet.Path) {
	some := func(n int) int {
		if r.IntN(2) == 0 {
			return 0
		}
		return 1 + r.IntN(n)
	}
	p.Latency, p.Jitter = time.Duration(some(1000))*time.Millisecond, time.Duration(some(1000))*time.Millisecond
	p.Bandwidth, p.ReadRate = some(10_000), some(10_000)
	p.Buffer, p.Fragment = some(5000), some(100)
	p.Record = r.IntN(2) == 0
	for range some(3) {
		p.Faults = append(p.Faults, r.fault())
	}
	return p
}

func (r chance) fault() memnet.Fault {
	f := memnet.Fault{At: r.Int64N(20_000), Do: memnet.Action(r.IntN(4))}
	if f.Do == memnet.Stall {
		f.For = time.Duration(r.IntN(3000)) * time.Millisecond
	}
	return f
}

// disturb does something to a connection, from either end.
func (r chance) disturb(c *memnet.Conn) {
	s := c.In()
	if r.IntN(2) == 0 {
		s = c.Out()
	}
	switch r.IntN(20) {
	case 0:
		c.Reset()
	case 1:
		c.End()
	case 2:
		s.Swallow()
	case 3:
		c.Close()
	case 4:
		c.CloseWrite()
	case 5, 6:
		s.Add(r.fault())
	case 7, 8:
		s.SetPath(r.path())
	case 9, 10, 11:
		s.Stall(time.Duration(r.IntN(2000)) * time.Millisecond)
	case 12, 13, 14:
		s.Release()
	case 15:
		c.SetDeadline(time.Now().Add(time.Duration(r.IntN(2000)-500) * time.Millisecond))
	default:
		c.SetDeadline(time.Time{})
	}
}

// known tells whether an error is one that connections have.
func known(err error) bool {
	for _, e := range []error{io.EOF, net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// TestAnything does everything at once. What is read must be what was written, as far as it goes, and nobody may wait
// for ever once both ends are closed. Race detector and bubble see to the rest.
func TestAnything(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := chance{rand.New(rand.NewPCG(seed, 1))}
			client, server := memnet.Dialer{Network: memnet.New(seed), Up: r.path(), Down: r.path()}.Pair()
			var all sync.WaitGroup
			for i, c := range []*memnet.Conn{client, server} {
				mine := chance{rand.New(rand.NewPCG(seed, uint64(i+2)))}
				theirs := chance{rand.New(rand.NewPCG(seed, uint64(i+4)))}
				all.Go(func() { // writes numbers in order
					for n := uint32(0); ; {
						b := make([]byte, mine.IntN(3000))
						for j := range b {
							b[j] = numbered(n + uint32(j))
						}
						k, err := c.Write(b)
						n += uint32(k)
						if err != nil && !known(err) {
							t.Errorf("seed %d: write: %v", seed, err)
						}
						if errors.Is(err, net.ErrClosed) {
							return
						}
						pause(time.Duration(mine.IntN(100)) * time.Millisecond)
					}
				})
				all.Go(func() {
					b := make([]byte, 4000)
					for n := uint32(0); ; {
						k, err := c.Read(b[:1+theirs.IntN(len(b))])
						for _, v := range b[:k] {
							if v != numbered(n) {
								t.Errorf("seed %d: byte %d is another", seed, n)
								return
							}
							n++
						}
						if k > 0 && err != nil || err != nil && !known(err) {
							t.Errorf("seed %d: read: %d, %v", seed, k, err)
						}
						if errors.Is(err, net.ErrClosed) {
							return
						}
						pause(time.Duration(theirs.IntN(100)) * time.Millisecond)
					}
				})
			}
			for range 50 {
				pause(time.Duration(r.IntN(500)) * time.Millisecond)
				r.disturb([]*memnet.Conn{client, server}[r.IntN(2)])
			}
			client.Close()
			server.Close()
			all.Wait()
		})
	}
}

// numbered is the byte at a place in the stream.
func numbered(n uint32) byte { return byte(n * 2654435761 >> 24) }

// TestSameAgain: clients that run at once see the same at the same times, whatever order their goroutines run in.
func TestSameAgain(t *testing.T) {
	run := func(seed uint64) string {
		const clients = 20
		var seen [clients]bytes.Buffer
		synctest.Test(t, func(t *testing.T) {
			n, begun := memnet.New(seed), time.Now()
			ln := must(n.Listen("lobby:38929"))
			var all sync.WaitGroup
			all.Go(func() { // ends with the listener
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					all.Go(func() { // ends with the client
						io.Copy(c, c)
						c.Close()
					})
				}
			})
			var players sync.WaitGroup
			for i := range clients {
				players.Go(func() {
					r := chance{rand.New(rand.NewPCG(7, uint64(i)))}
					d := memnet.Dialer{Network: n, From: fmt.Sprintf("203.0.113.%d", i), Up: r.path(), Down: r.path()}
					for _, p := range []*memnet.Path{&d.Up, &d.Down} {
						// Or it would matter who comes first, reader or writer.
						p.Buffer, p.ReadRate, p.Latency = 0, 0, p.Latency+1
					}
					for round := range 3 {
						c, err := d.Dial(t.Context(), "lobby:38929")
						if err != nil {
							t.Error(err)
							return
						}
						c.SetDeadline(time.Now().Add(time.Minute))
						c.Write(bytes.Repeat([]byte("x"), 3000))
						c.CloseWrite()
						for b := make([]byte, 1000); ; {
							k, err := c.Read(b)
							fmt.Fprintf(&seen[i], "%d: %v %d %v\n", round, time.Since(begun), k, err)
							if err != nil {
								break
							}
						}
						c.Close()
					}
				})
			}
			players.Wait()
			for _, c := range n.Conns() { // those that hear nothing
				c.Reset()
			}
			ln.Close()
			all.Wait()
		})
		var text strings.Builder
		for i := range seen {
			text.Write(seen[i].Bytes())
		}
		return text.String()
	}
	first := run(1)
	for range 3 {
		if run(1) != first {
			t.Fatal("it is not the same again")
		}
	}
	if run(2) == first {
		t.Error("the seed makes no difference")
	}
}

// TestHTTP has the web server and client of the standard library run on it, with TLS.
func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certFile, keyFile := certtest.Make(t)
		cert := must(tls.LoadX509KeyPair(certFile, keyFile))
		n := memnet.New(1)
		ln := must(n.Listen("localhost:443"))
		srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := must(io.ReadAll(r.Body))
			fmt.Fprintf(w, "%d bytes from %s", len(body), r.RemoteAddr)
		})}
		served := make(chan error)
		go func() { served <- srv.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}})) }() // ends with Close
		d := memnet.Dialer{Network: n, From: "203.0.113.7:4242", Up: memnet.Path{Latency: 100 * time.Millisecond, Fragment: 100}, Down: memnet.Path{Latency: 100 * time.Millisecond}}
		transport := &http.Transport{DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: certtest.Pool(t, certFile)}}
		begun := time.Now()
		resp, err := (&http.Client{Transport: transport}).Post("https://localhost/", "text/plain", strings.NewReader(strings.Repeat("x", 100_000)))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(resp.Body); string(text) != "100000 bytes from 203.0.113.7:4242" || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		took(t, "dial, TLS and the request", begun, 600*time.Millisecond+100*time.Millisecond) // which is more than the buffer
		transport.CloseIdleConnections()
		srv.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}
