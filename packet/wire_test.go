package packet_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parlor/internal/memnet"
	"parlor/msgpack"
	"parlor/packet"
)

// memoryConn is one end of an in-memory connection whose two directions end apart from each other, as those of TCP
// do. A write returns when it was read, so that the reader sees the writes as they were made.
type memoryConn struct{ r, w net.Conn }

func newMemory() (a, b *memoryConn) {
	r1, w1 := net.Pipe()
	r2, w2 := net.Pipe()
	return &memoryConn{r1, w2}, &memoryConn{r2, w1}
}

func (c *memoryConn) Read(b []byte) (int, error)         { return c.r.Read(b) }
func (c *memoryConn) Write(b []byte) (int, error)        { return c.w.Write(b) }
func (c *memoryConn) CloseWrite() error                  { return c.w.Close() }
func (c *memoryConn) Close() error                       { return errors.Join(c.w.Close(), c.r.Close()) }
func (c *memoryConn) LocalAddr() net.Addr                { return c.r.LocalAddr() }
func (c *memoryConn) RemoteAddr() net.Addr               { return c.r.RemoteAddr() }
func (c *memoryConn) SetReadDeadline(t time.Time) error  { return c.r.SetReadDeadline(t) }
func (c *memoryConn) SetWriteDeadline(t time.Time) error { return c.w.SetWriteDeadline(t) }
func (c *memoryConn) SetDeadline(t time.Time) error {
	return errors.Join(c.r.SetReadDeadline(t), c.w.SetWriteDeadline(t))
}

// network is how a test connects two ends.
type network struct {
	name string
	pair func(t testing.TB) (a, b net.Conn)
}

var networks = []network{
	{"memory", func(testing.TB) (net.Conn, net.Conn) { a, b := newMemory(); return a, b }},
	{"pipe", func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }}, // no half-close
	{"tcp", tcpPair},
	{"fragments", fragmentedPair},
}

// fragmentedPair is like TCP, but that reads return a few bytes each.
func fragmentedPair(testing.TB) (net.Conn, net.Conn) {
	few := memnet.Path{Fragment: 7}
	return memnet.Dialer{Network: memnet.New(1), Up: few, Down: few}.Pair()
}

var memory = networks[0]

// listener hands out connections that are made already.
type listener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newListener() *listener { return &listener{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// give hands a connection to whoever accepts.
func (l *listener) give(t testing.TB, nc net.Conn) {
	t.Helper()
	select {
	case l.conns <- nc:
	case <-time.After(patience):
		t.Fatal("nobody accepts")
	}
}

// serveMemory has a server serve a listener of this test until the test ends.
func serveMemory(t testing.TB, s *packet.Server) *listener {
	t.Helper()
	ln := newListener()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln
}

// memnetListener listens on a network in memory of its own. Connections are like those of TCP, but their time may be
// virtual.
type memnetListener struct {
	*memnet.Listener
	network *memnet.Network
}

func newMemnet() memnetListener {
	n := memnet.New(1)
	ln, err := n.Listen("server:8080")
	must(err)
	return memnetListener{ln, n}
}

func (l memnetListener) dial() net.Conn {
	nc, err := l.network.Dial(context.Background(), l.Addr().String())
	must(err)
	return nc
}

// serveMemnet serves on a network in memory until the returned function is called.
func serveMemnet(t *testing.T, s *packet.Server) (ln memnetListener, end func()) {
	t.Helper()
	ln = newMemnet()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }() // ends with the server
	return ln, func() {
		s.Close()
		if err := <-done; !errors.Is(err, packet.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	}
}

// raw is an end of a connection that speaks bytes.
type raw struct {
	t      testing.TB
	nc     net.Conn
	frames chan []byte // whole frames that came, with their prefix; closed at the end
	end    error       // why frames was closed: nil for a clean end
	cut    []byte      // what came of a frame that did not come whole
	stays  atomic.Bool // it does not close when it is told to
}

func newRaw(t testing.TB, nc net.Conn) *raw {
	r := &raw{t: t, nc: nc, frames: make(chan []byte, 1<<10)}
	go r.read() // ends when nc does
	t.Cleanup(func() {
		nc.Close()
		for range r.frames {
		}
	})
	return r
}

// dialRaw connects to a server in memory.
func dialRaw(t testing.TB, ln *listener) *raw {
	t.Helper()
	a, b := newMemory()
	ln.give(t, b)
	return newRaw(t, a)
}

func (r *raw) read() {
	defer close(r.frames)
	told := false
	for {
		frame := make([]byte, 4)
		n, err := io.ReadFull(r.nc, frame)
		if err == nil {
			frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
			var m int
			m, err = io.ReadFull(r.nc, frame[4:])
			if n += m; err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if err != nil {
			if err != io.EOF && !(told && n == 0) {
				r.end, r.cut = err, frame[:n]
			}
			return
		}
		r.frames <- frame
		if len(frame) >= 10 && frameID(frame) == packet.IDCloseConnection { // who is told so closes, as peers of 0.2.0 do
			if told = !r.stays.Load(); told {
				r.finish()
			}
		}
	}
}

// next is the next frame.
func (r *raw) next() []byte {
	r.t.Helper()
	select {
	case frame, ok := <-r.frames:
		if !ok {
			r.t.Fatalf("the connection ended (%v) instead of a frame", r.end)
		}
		return frame
	case <-time.After(patience):
		r.t.Fatal("no frame came")
	}
	return nil
}

// expect takes the next frame, which must be this one.
func (r *raw) expect(want []byte) {
	r.t.Helper()
	if got := r.next(); !sameFrame(got, want) {
		r.t.Fatalf("got  %s\nwant %s", showFrame(got), showFrame(want))
	}
}

// expectEnd checks that nothing follows but the end of the stream, and closes the connection.
func (r *raw) expectEnd() {
	r.t.Helper()
	select {
	case frame, ok := <-r.frames:
		if ok {
			r.t.Fatalf("got %s instead of the end", showFrame(frame))
		}
	case <-time.After(patience):
		r.t.Fatal("the connection did not end")
	}
	if r.end != nil {
		r.t.Fatalf("the connection ended with %v and the part %x", r.end, r.cut)
	}
	r.nc.Close()
}

// send writes with one call, in which the other side may end the connection.
func (r *raw) send(b ...[]byte) {
	r.t.Helper()
	r.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := r.nc.Write(bytes.Join(b, nil)); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		r.t.Fatal("the other side does not read")
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// finish ends the direction that this side writes, where the connection can do so, or else all of it.
func (r *raw) finish() {
	if half, ok := r.nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	r.nc.Close()
}

// reset ends a TCP connection in the hard way.
func (r *raw) reset() {
	r.nc.(*net.TCPConn).SetLinger(0)
	r.nc.Close()
}

// shake is a client's part of the classic handshake, up to the accept.
func (r *raw) shake() {
	r.t.Helper()
	r.expect(helloFrame)
	r.send(classicFrame)
	if id := frameID(r.next()); id != packet.IDHandshake {
		r.t.Fatalf("packet %d instead of Handshake", id)
	}
	r.send(acceptFrame)
}

// greet is a server's part of the classic handshake, with this registry.
func (r *raw) greet(registry msgpack.Map) {
	r.t.Helper()
	r.send(helloFrame)
	r.expect(classicFrame)
	r.send(handshakeFrame(registry))
	r.expect(acceptFrame)
}

// The frames of a handshake as 0.2.0 writes them.
var (
	helloFrame   = framed(packet.IDHello, msgpack.Map{{Key: "version", Value: "0.2.0"}, {Key: "protoversion", Value: 2}})
	classicFrame = typeFrame("classic")
	acceptFrame  = framed(packet.IDHandshakeAccept, msgpack.Map{{Key: "success", Value: true}})
)

// internals are the pairs of a registry that every Handshake has.
var internals = msgpack.Map{
	{Key: "peng3dnet:internal.hello", Value: 1}, {Key: "peng3dnet:internal.settype", Value: 2},
	{Key: "peng3dnet:internal.handshake", Value: 3}, {Key: "peng3dnet:internal.handshake.accept", Value: 4},
	{Key: "peng3dnet:internal.closeconn", Value: 16},
}

func typeFrame(name string) []byte {
	return framed(packet.IDSetType, msgpack.Map{{Key: "conntype", Value: name}})
}

func closeFrame(reason any) []byte {
	return framed(packet.IDCloseConnection, msgpack.Map{{Key: "reason", Value: reason}})
}

// handshakeFrame is a Handshake with these application packets.
func handshakeFrame(registry msgpack.Map) []byte {
	return framed(packet.IDHandshake, msgpack.Map{
		{Key: "version", Value: "0.2.0"}, {Key: "protoversion", Value: 2},
		{Key: "registry", Value: append(registry[:len(registry):len(registry)], internals...)}})
}

// framed is the frame of a value. It is put together by hand, as AppendFrame is under test.
func framed(id packet.ID, v any) []byte {
	body, err := msgpack.Append(nil, v)
	if err != nil {
		panic(err)
	}
	return rawFrame(id, 0, body)
}

func rawFrame(id packet.ID, flags uint16, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(6+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	b = binary.BigEndian.AppendUint16(b, flags)
	return append(b, body...)
}

func frameID(frame []byte) packet.ID       { return packet.ID(binary.BigEndian.Uint32(frame[4:])) }
func frameFlags(frame []byte) packet.Flags { return packet.Flags(binary.BigEndian.Uint16(frame[8:])) }

// frameBody is the body of a frame, inflated.
func frameBody(frame []byte) ([]byte, error) {
	if frameFlags(frame)&packet.FlagCompressed == 0 {
		return frame[10:], nil
	}
	r, err := zlib.NewReader(bytes.NewReader(frame[10:]))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// frameValue is the value of a frame's body.
func frameValue(t testing.TB, frame []byte) any {
	t.Helper()
	body, err := frameBody(frame)
	if err != nil {
		t.Fatal(err)
	}
	v, err := msgpack.Ordered(body, msgpack.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// sameFrame compares frames. Of compressed ones the inflated bodies count: another deflate may write another
// stream.
func sameFrame(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) < 10 || len(b) < 10 || !bytes.Equal(a[4:10], b[4:10]) || frameFlags(a)&packet.FlagCompressed == 0 {
		return false
	}
	x, err := frameBody(a)
	y, err2 := frameBody(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func showFrame(b []byte) string {
	if len(b) < 10 {
		return fmt.Sprintf("%x", b)
	}
	body, err := frameBody(b)
	if err != nil {
		return fmt.Sprintf("packet %d, flags %d: %x (%v)", frameID(b), frameFlags(b), b[10:], err)
	}
	v, err := msgpack.Ordered(body, msgpack.Limits{})
	return fmt.Sprintf("packet %d, flags %d, length %d: %.300v (%v)", frameID(b), frameFlags(b), len(b)-4, v, err)
}

// within waits for a channel to be closed, or to have something.
func within[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s: did not happen", what)
	}
	return v
}

func pair(key string, v any) msgpack.Pair { return msgpack.Pair{Key: key, Value: v} }

// zlibbed is a body as a zlib stream.
func zlibbed(body []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(body) // a buffer takes everything
	w.Close()
	return b.Bytes()
}
