package exampletest

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parlor/msgpack"
	"parlor/packet"
)

// Frame is one of a capture, or one that came.
type Frame struct {
	ToServer bool
	ID       packet.ID
	Flags    packet.Flags
	Body     any    // decoded
	Bytes    []byte // all of it
}

// Text is the body's "message", or the body itself if that is a text.
func (f Frame) Text() string {
	switch body := f.Body.(type) {
	case string:
		return body
	case map[string]any:
		text, _ := body["message"].(string)
		return text
	}
	return ""
}

// Load reads a capture of peng3dnet's programs.
func Load(tb testing.TB, name string) []Frame {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "peng3dnet", name))
	if err != nil {
		tb.Fatal(err)
	}
	var capture struct{ Frames []struct{ Dir, Hex string } }
	if err := json.Unmarshal(text, &capture); err != nil {
		tb.Fatal(err)
	}
	var frames []Frame
	for _, c := range capture.Frames {
		b, err := hex.DecodeString(c.Hex)
		if err != nil {
			tb.Fatal(err)
		}
		f, err := parse(b)
		if err != nil {
			tb.Fatal(err)
		}
		f.ToServer = c.Dir == "c2s"
		frames = append(frames, f)
	}
	return frames
}

func parse(b []byte) (Frame, error) {
	id, flags, body, _, ok, err := packet.CutFrame(b, packet.MaxPacketLength)
	if err != nil || !ok {
		return Frame{}, fmt.Errorf("not a frame: %x: %v", b, err)
	}
	f := Frame{ID: id, Flags: flags, Bytes: b}
	return f, msgpack.Unmarshal(body, &f.Body, msgpack.Limits{})
}

// New makes a frame.
func New(tb testing.TB, id packet.ID, body any) Frame {
	tb.Helper()
	b, err := msgpack.Append(nil, body)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := parse(packet.AppendFrame(nil, id, 0, b))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// Conn is a socket at which a test plays the other side.
type Conn struct {
	tb testing.TB
	nc net.Conn
	r  *bufio.Reader
}

// Dial connects to a server.
func Dial(tb testing.TB, addr string) *Conn {
	tb.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	return newConn(tb, nc)
}

// Listener is where a test plays the server.
type Listener struct {
	tb testing.TB
	ln net.Listener
}

// Listen opens one.
func Listen(tb testing.TB) *Listener {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	return &Listener{tb, ln}
}

// Addr is where it listens.
func (l *Listener) Addr() string { return l.ln.Addr().String() }

// Accept waits for a client.
func (l *Listener) Accept() *Conn {
	l.tb.Helper()
	l.ln.(*net.TCPListener).SetDeadline(time.Now().Add(Patience))
	nc, err := l.ln.Accept()
	if err != nil {
		l.tb.Fatal(err)
	}
	return newConn(l.tb, nc)
}

// Next waits for a client as long as the listener is there, and may be called on a goroutine of its own.
func (l *Listener) Next() (nc net.Conn, ok bool) {
	nc, err := l.ln.Accept()
	return nc, err == nil
}

func newConn(tb testing.TB, nc net.Conn) *Conn {
	tb.Cleanup(func() { nc.Close() })
	return &Conn{tb, nc, bufio.NewReader(nc)}
}

// Send writes a frame.
func (c *Conn) Send(f Frame) {
	c.tb.Helper()
	if _, err := c.nc.Write(f.Bytes); err != nil {
		c.tb.Fatalf("send %v: %v", f.Body, err)
	}
}

// Receive waits for a frame.
func (c *Conn) Receive() Frame {
	c.tb.Helper()
	f, err := c.receive()
	if err != nil {
		c.tb.Fatalf("receive: %v", err)
	}
	return f
}

func (c *Conn) receive() (Frame, error) {
	c.nc.SetReadDeadline(time.Now().Add(Patience))
	b := make([]byte, 4)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return Frame{}, err
	}
	b = append(b, make([]byte, binary.BigEndian.Uint32(b))...)
	if _, err := io.ReadFull(c.r, b[4:]); err != nil {
		return Frame{}, err
	}
	return parse(b)
}

// Expect waits for a frame and compares it: ID, flags, length and body, whose times only have to be numbers of the
// same kind.
func (c *Conn) Expect(want Frame) Frame {
	c.tb.Helper()
	got := c.Receive()
	switch {
	case got.ID != want.ID || got.Flags != want.Flags || len(got.Bytes) != len(want.Bytes):
		c.tb.Fatalf("got packet %d, flags %d, %d bytes: %v\nwant packet %d, flags %d, %d bytes: %v",
			got.ID, got.Flags, len(got.Bytes), got.Body, want.ID, want.Flags, len(want.Bytes), want.Body)
	default:
		if diff := cmp.Diff(masked(want.Body), masked(got.Body)); diff != "" {
			c.tb.Fatalf("packet %d differs (-want +got):\n%s", got.ID, diff)
		}
	}
	return got
}

// masked replaces the clock's values.
func masked(body any) any {
	m, ok := body.(map[string]any)
	if !ok {
		return body
	}
	out := make(map[string]any, len(m))
	for key, v := range m {
		if _, ok := v.(float64); ok && strings.HasSuffix(key, "timestamp") {
			v = "a time"
		}
		out[key] = v
	}
	return out
}

// ExpectEnd waits for CloseConnection with a reason, and the end of the stream.
func (c *Conn) ExpectEnd(reason any) {
	c.tb.Helper()
	c.Expect(New(c.tb, packet.IDCloseConnection, map[string]any{"reason": reason}))
	if f, err := c.receive(); err != io.EOF {
		c.tb.Errorf("after CloseConnection comes %v, %v", f.Body, err)
	}
}

// Close closes the socket.
func (c *Conn) Close() { c.nc.Close() }
