package packet_test

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"parlor/msgpack"
	"parlor/packet"
)

// wire is the other end of a connection, by hand.
type wire struct {
	t testing.TB
	net.Conn
}

// dialWire connects by hand, and closes the socket at the end of the test.
func dialWire(t testing.TB, addr string) *wire {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return wireOf(t, nc)
}

func wireOf(t testing.TB, nc net.Conn) *wire {
	nc.SetDeadline(time.Now().Add(2 * patience))
	t.Cleanup(func() { nc.Close() })
	return &wire{t, nc}
}

// frameOf is a frame whose body is v, or as it is if v is []byte.
func frameOf(t testing.TB, id packet.ID, v any) []byte {
	t.Helper()
	body, ok := v.([]byte)
	if !ok {
		var err error
		if body, err = msgpack.Append(nil, v); err != nil {
			t.Fatal(err)
		}
	}
	return packet.AppendFrame(nil, id, 0, body)
}

func (w *wire) send(id packet.ID, v any) {
	w.t.Helper()
	w.bytes(frameOf(w.t, id, v))
}

func (w *wire) bytes(b []byte) {
	w.t.Helper()
	if _, err := w.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// next reads a frame.
func (w *wire) next() (packet.ID, any, error) {
	var head [10]byte
	if _, err := io.ReadFull(w, head[:]); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-6)
	if _, err := io.ReadFull(w, body); err != nil {
		return 0, nil, err
	}
	var v any
	err := msgpack.Unmarshal(body, &v, msgpack.Limits{})
	return packet.ID(binary.BigEndian.Uint32(head[4:])), v, err
}

// want reads a frame that must be this packet.
func (w *wire) want(id packet.ID) any {
	w.t.Helper()
	got, v, err := w.next()
	if err != nil || got != id {
		w.t.Fatalf("packet %d, %v, %v; want packet %d", got, v, err, id)
	}
	return v
}

// reason reads up to CloseConnection and the end, and returns its reason; "eof" or "reset" if there was none.
func (w *wire) reason() any {
	w.t.Helper()
	for {
		id, v, err := w.next()
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return "eof"
		case err != nil:
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				w.t.Fatal("it was not closed")
			}
			return "reset"
		case id == packet.IDCloseConnection:
			w.Close()
			return v.(map[string]any)["reason"]
		}
	}
}

// handshake is that of a classic client.
func (w *wire) handshake() {
	w.t.Helper()
	w.want(packet.IDHello)
	w.send(packet.IDSetType, map[string]any{"conntype": "classic"})
	w.want(packet.IDHandshake)
	w.send(packet.IDHandshakeAccept, map[string]any{"success": true})
}

var helloBody = map[string]any{"version": "0.2.0", "protoversion": 2}

// shake is the handshake of a server, which has these packets beside the protocol's own.
func (w *wire) shake(ids map[string]any) {
	w.t.Helper()
	w.send(packet.IDHello, helloBody)
	w.want(packet.IDSetType)
	registry := map[string]any{"peng3dnet:internal.hello": 1, "peng3dnet:internal.settype": 2, "peng3dnet:internal.handshake": 3,
		"peng3dnet:internal.handshake.accept": 4, "peng3dnet:internal.closeconn": 16}
	for name, id := range ids {
		registry[name] = id
	}
	w.send(packet.IDHandshake, map[string]any{"version": "0.2.0", "protoversion": 2, "registry": registry})
	w.want(packet.IDHandshakeAccept)
}

// tcpPair is two ends of a TCP connection over the loopback.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// nobody is an address where nobody listens, nor can begin to during the test.
func nobody(t testing.TB) string {
	client, server := tcpPair(t)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client.LocalAddr().String()
}

// never is no deadline.
var never time.Time

// quiet drops all log lines.
var quiet = slog.New(slog.DiscardHandler)

// receive waits for a value.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// eventually waits until f holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); {
		if time.Now().After(end) {
			t.Fatal("it did not come true: " + what)
		}
		time.Sleep(time.Millisecond) // sleep: polls
	}
}

// active waits until the first connection of a server has its handshake behind it, which the client has sooner.
func active(t testing.TB, s *packet.Server) (c *packet.Conn) {
	t.Helper()
	eventually(t, "the handshake", func() bool { c = s.Conn(1); return c != nil && c.State() == packet.StateActive })
	return c
}

// slogTo logs everything as text.
func slogTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
