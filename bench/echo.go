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
	stream := f.Bool("stream", false, "send back whatever comes, as it comes")
	if err := f.Parse(args); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e := &echoServer{in: *in, out: *out, stream: *stream}
	e.wg.Go(func() { e.accept(ln) }) // ends with ln
	err = obey(ln.Addr().String(), stdin, stdout, told{})
	ln.Close()
	e.wg.Wait() // the parent has closed its connections
	return err
}

type echoServer struct {
	in, out int
	stream  bool
	wg      sync.WaitGroup
}

func (e *echoServer) accept(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		e.wg.Go(func() { e.serve(nc) }) // ends with the connection
	}
}

func (e *echoServer) serve(nc net.Conn) {
	defer nc.Close()
	if e.stream {
		io.Copy(struct{ io.Writer }{nc}, struct{ io.Reader }{nc}) // 32 KiB at a time, and not by the system alone
		return
	}
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
