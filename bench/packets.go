package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"

	"parlor/msgpack"
	"parlor/packet"
)

// connType is the type of the benchmark's connections: it has no handshake of its own, and joins frames.
const connType = "bench"

// The packets that are echoed: with the body undecoded, as Go maps, as a struct by generated methods, and as a
// struct by reflection.
var packetKinds = []string{"body", "map", "typed", "plain"}

// packetID is the ID of a kind of packet. Packets are given by number, so that the load needs no handshake.
func packetID(kind int) packet.ID { return packet.FirstAutoID + packet.ID(kind) }

// servePackets is "bench packets": a packet server that echoes.
func servePackets(args []string, stdin io.Reader, stdout io.Writer) error {
	f := flag.NewFlagSet("packets", flag.ContinueOnError)
	cpu := f.String("cpuprofile", "", "file for the CPU profile")
	mem := f.String("memprofile", "", "file for the profile of allocations")
	if err := f.Parse(args); err != nil {
		return err
	}
	p := newProfile(*cpu, *mem)
	defer p.stop()
	reg := packet.NewRegistry()
	echo[packet.Body](reg, "bench:body")
	echo[any](reg, "bench:map")
	echo[body](reg, "bench:typed")
	echo[plain](reg, "bench:plain")
	s := packet.NewServer(reg, packet.Config{})
	err := s.AddConnType(connType, packet.ConnType{Init: func(c *packet.Conn) error {
		c.SetState(packet.StateActive)
		return nil
	}})
	if err != nil {
		return err
	}
	ln, err := s.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	alone := runtime.NumGoroutine()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }() // ends with s
	err = obey(ln.Addr().String(), stdin, stdout, told{begin: p.start, end: func() {
		ctx, cancel := context.WithTimeout(context.Background(), endWait)
		defer cancel()
		s.Shutdown(ctx)
		for ctx.Err() == nil && runtime.NumGoroutine() > alone {
			time.Sleep(time.Millisecond) // sleep: a goroutine counts for a moment longer than anybody waits for it
		}
	}})
	s.Close()
	if served := <-served; !errors.Is(served, net.ErrClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// echo registers a packet that is sent back to whoever sends it.
func echo[T any](reg *packet.Registry, name string) {
	var t *packet.Type[T]
	t = packet.MustRegister(reg, name, func(c *packet.Conn, v T) error { return t.Send(c, v) })
}

// packetClient is a raw client of the packet wire.
type packetClient struct {
	nc    net.Conn
	frame []byte // what exchange sends
	got   []byte
}

// dialPackets connects and makes the handshake of a connection type: classic, or the benchmark's own.
func dialPackets(addr, kind string, frame []byte) (*packetClient, error) {
	nc, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	c := &packetClient{nc: nc, frame: frame, got: make([]byte, len(frame))}
	nc.SetDeadline(time.Now().Add(dialTimeout))
	if err := errors.Join(c.handshake(kind), nc.SetDeadline(time.Time{})); err != nil {
		nc.Close()
		return nil, fmt.Errorf("packet client: %w", err)
	}
	return c, nil
}

func (c *packetClient) handshake(kind string) error {
	if err := c.skip(packet.IDHello); err != nil {
		return err
	}
	setType, err := msgpack.Append(nil, map[string]any{"conntype": kind})
	if err != nil {
		return err
	}
	if _, err := c.nc.Write(packet.AppendFrame(nil, packet.IDSetType, 0, setType)); err != nil || kind != packet.ConnTypeClassic {
		return err
	}
	if err := c.skip(packet.IDHandshake); err != nil {
		return err
	}
	accept, err := msgpack.Append(nil, map[string]any{"success": true})
	if err != nil {
		return err
	}
	_, err = c.nc.Write(packet.AppendFrame(nil, packet.IDHandshakeAccept, 0, accept))
	return err
}

// skip reads one frame, which must be of this ID.
func (c *packetClient) skip(want packet.ID) error {
	id, _, err := c.read()
	if err == nil && id != want {
		err = fmt.Errorf("the server sent packet %d, not %d", id, want)
	}
	return err
}

// read reads one frame.
func (c *packetClient) read() (packet.ID, []byte, error) {
	var head [10]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return 0, nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:])-6)
	_, err := io.ReadFull(c.nc, b)
	return packet.ID(binary.BigEndian.Uint32(head[4:])), b, err
}

func (c *packetClient) exchange() error {
	_, err := c.nc.Write(c.frame)
	_, err2 := io.ReadFull(c.nc, c.got)
	return errors.Join(err, err2)
}

func (c *packetClient) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }
func (c *packetClient) Close() error                  { return c.nc.Close() }

// packetFrame is the frame of the benchmark's body, of one kind.
func packetFrame(kind int) ([]byte, error) {
	b, err := msgpack.Append(nil, &someBody)
	return packet.AppendFrame(nil, packetID(kind), 0, b), err
}

// window is how many bytes a pipelining client has under way at most, and batch how many it writes at once.
const (
	window = 256 << 10
	batch  = 32 << 10
)

// pipeline sends frames for as long as d without waiting for each answer, and returns how many were answered in
// a second. It is one client of either server: what comes back has to be what was sent.
func (c *packetClient) pipeline(d time.Duration) (frames int64, rate float64, err error) {
	size := len(c.frame)
	out := make([]byte, 0, batch)
	for len(out)+size <= batch {
		out = append(out, c.frame...)
	}
	per := len(out) / size
	c.nc.SetDeadline(time.Now().Add(d + slack))
	slots := make(chan struct{}, window/batch)
	sent := make(chan int64, 1)
	start := time.Now()
	go func() { // ends by the clock, or the deadline
		var n int64
		for time.Since(start) < d {
			slots <- struct{}{}
			if _, err := c.nc.Write(out); err != nil {
				break
			}
			n += int64(per)
		}
		sent <- n
		close(slots)
	}()
	in := make([]byte, len(out))
	for range slots {
		if _, err := io.ReadFull(c.nc, in); err != nil {
			c.nc.Close()
			return 0, 0, err
		}
		frames += int64(per)
		if frames == int64(per) && string(in) != string(out) {
			return 0, 0, errors.New("what came back is not what was sent")
		}
	}
	// A batch whose slot was taken but that was not written is not counted.
	frames = min(frames, <-sent)
	return frames, float64(frames) / time.Since(start).Seconds(), nil
}
