package main

import (
	"errors"
	"flag"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// serveEcho is "bench echo": for every in bytes that come on a connection it writes out bytes, and nothing
// else. It is what the machine and Go's network allow.
func serveEcho(args []string, stdin io.Reader, stdout io.Writer) error {
	f := flag.NewFlagSet("echo", flag.ContinueOnError)
	in := f.Int("in", 300, "bytes of a request")
	out := f.Int("out", 300, "bytes of an answer")
	if err := f.Parse(args); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e := &echo{in: *in, out: *out}
	e.wg.Go(func() { e.accept(ln) }) // ends with ln
	err = obey(ln.Addr().String(), stdin, stdout)
	ln.Close()
	e.wg.Wait() // the parent has closed its connections
	return err
}

type echo struct {
	in, out int
	wg      sync.WaitGroup
}

func (e *echo) accept(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		e.wg.Go(func() { e.serve(nc) }) // ends with the connection
	}
}

func (e *echo) serve(nc net.Conn) {
	defer nc.Close()
	in, out := make([]byte, e.in), make([]byte, e.out)
	for {
		if _, err := io.ReadFull(nc, in); err != nil {
			return
		}
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

// sizes are the bytes of a request's and an answer's frame, headers included.
type sizes struct{ in, out int }

func (s sizes) args() []string {
	return []string{"echo", "-in", strconv.Itoa(s.in), "-out", strconv.Itoa(s.out)}
}

// echoClient is a client of the echo.
type echoClient struct {
	nc      net.Conn
	in, out []byte
}

func dialEcho(addr string, s sizes) (*echoClient, error) {
	nc, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	return &echoClient{nc: nc, in: make([]byte, s.in), out: make([]byte, s.out)}, nil
}

func (c *echoClient) exchange() error {
	_, err := c.nc.Write(c.in)
	_, err2 := io.ReadFull(c.nc, c.out)
	return errors.Join(err, err2)
}

func (c *echoClient) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }
func (c *echoClient) Close() error                  { return c.nc.Close() }
