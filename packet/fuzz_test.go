package packet_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parlor/msgpack"
	"parlor/packet"
)

// script is a socket that brings bytes in pieces, then the end; what is written to it is lost.
type script struct {
	in     []byte
	pieces []byte // the length of each; the rest comes at once
	once   sync.Once
	closed chan struct{}

	conn *packet.Conn
	got  []string
}

func (s *script) Read(b []byte) (int, error) {
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
	}
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := len(s.in)
	if len(s.pieces) > 0 {
		n, s.pieces = int(s.pieces[0])+1, s.pieces[1:]
	}
	n = copy(b, s.in[:min(n, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error)      { return len(b), nil }
func (s *script) Close() error                     { s.once.Do(func() { close(s.closed) }); return nil }
func (s *script) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// stage is a server that plays scripts.
type stage struct {
	ln *listener
	panics
}

// panics is a log handler that remembers panics.
type panics struct {
	mu   *sync.Mutex // guards text
	text *string
}

func newPanics() panics { return panics{new(sync.Mutex), new(string)} }

func (panics) Enabled(context.Context, slog.Level) bool { return true }
func (p panics) WithAttrs([]slog.Attr) slog.Handler     { return p }
func (p panics) WithGroup(string) slog.Handler          { return p }
func (p panics) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if text := fmt.Sprint(a.Value); strings.HasPrefix(text, "panic: ") {
			p.mu.Lock()
			defer p.mu.Unlock()
			*p.text = text
		}
		return true
	})
	return nil
}

func (p panics) check(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if *p.text != "" {
		t.Fatal(*p.text)
	}
}

func newStage(t testing.TB, reg *packet.Registry, cfg packet.Config, add func(*packet.Server)) *stage {
	st := &stage{panics: newPanics()}
	cfg.Logger = slog.New(st.panics)
	cfg.Hooks.Connect = func(c *packet.Conn) error {
		c.NetConn().(*script).conn = c
		return nil
	}
	cfg.CloseTimeout = time.Millisecond
	s := packet.NewServer(reg, cfg)
	if add != nil {
		add(s)
	}
	st.ln = serveMemory(t, s)
	return st
}

// play plays a script to its end, and returns what it got.
func (st *stage) play(t testing.TB, in, pieces []byte) *script {
	s := &script{in: in, pieces: pieces, closed: make(chan struct{})}
	st.ln.conns <- s
	<-s.closed
	<-s.conn.Done()
	st.check(t)
	return s
}

var (
	setType    = []byte("\x00\x00\x00\x18\x00\x00\x00\x02\x00\x00\x81\xa8conntype\xa7classic")
	accept     = []byte("\x00\x00\x00\x0f\x00\x00\x00\x04\x00\x00\x81\xa7success\xc3")
	setTypeOwn = []byte("\x00\x00\x00\x14\x00\x00\x00\x02\x00\x00\x81\xa8conntype\xa3own")
)

const fuzzMaxFrame, fuzzMaxBody = 4 << 10, 16 << 10

// expected is what a connection gets of a stream, by CutFrame and the standard library.
func expected(stream []byte) (got []string) {
	for {
		id, flags, body, rest, ok, err := packet.CutFrame(stream, fuzzMaxFrame)
		if !ok || err != nil || flags&packet.FlagEncryptedAES != 0 {
			return got
		}
		if flags&packet.FlagCompressed != 0 {
			r, err := zlib.NewReader(bytes.NewReader(body))
			if err != nil {
				return got
			}
			if body, err = io.ReadAll(io.LimitReader(r, fuzzMaxBody+1)); err != nil || len(body) > fuzzMaxBody {
				return got
			}
		}
		if msgpack.Valid(body, msgpack.Limits{Elements: 1 << 18}) != nil {
			return got
		}
		switch id {
		case packet.IDHandshake, packet.IDHandshakeAccept, packet.IDCloseConnection:
			return got // out of place, or the end
		}
		if id >= packet.FirstAutoID {
			got = append(got, fmt.Sprintf("%d %d %x", id, flags, body))
		}
		stream = rest
	}
}

// FuzzFrame checks that a stream in any pieces comes to the same as cut by CutFrame.
func FuzzFrame(f *testing.F) {
	st := newStage(f, packet.NewRegistry(), packet.Config{MaxFrame: fuzzMaxFrame, MaxBody: fuzzMaxBody}, func(s *packet.Server) {
		must(s.AddConnType("own", packet.ConnType{Receive: func(c *packet.Conn, m *packet.Message) (bool, error) {
			own := c.NetConn().(*script)
			own.got = append(own.got, fmt.Sprintf("%d %d %x", m.ID, m.Flags, []byte(m.Body())))
			return true, nil
		}}))
	})
	f.Add([]byte("\x00\x00\x00\x07\x00\x00\x00\x40\x00\x00\xc0\x00\x00\x00\x07\x00\x00\x00\x41\x00\x08\xc3"), []byte{0, 0, 0, 2, 200})
	f.Fuzz(func(t *testing.T, stream, pieces []byte) {
		if id, flags, body, rest, ok, err := packet.CutFrame(stream, fuzzMaxFrame); ok && err == nil {
			if b := packet.AppendFrame(nil, id, flags, body); !bytes.Equal(append(b, rest...), stream) {
				t.Errorf("cut and put together: %x", b)
			}
		}
		got := st.play(t, append(slices.Clone(setTypeOwn), stream...), pieces).got
		if want := expected(stream); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// fuzzRegistry has handlers of every kind, which send back what they got.
func fuzzRegistry() *packet.Registry {
	type shape struct {
		N    int
		F    float32
		S    string
		B    []byte
		L    []shapeItem
		M    map[string]any
		When time.Time
		Any  any
		Raw  packet.Body
	}
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "t:shape", func(c *packet.Conn, v shape) error { return c.Send("t:shape", v) })
	packet.MustRegister(reg, "t:any", func(c *packet.Conn, v any) error { return c.Send("t:any", v) })
	packet.MustRegister(reg, "t:body", func(c *packet.Conn, v packet.Body) error { return c.Send("t:body", v) })
	packet.MustRegister(reg, "t:smart", func(c *packet.Conn, v []int) error { return c.Send("t:any", v) }, packet.OnInvalid(packet.ActionClose))
	packet.MustRegister(reg, "t:low", func(c *packet.Conn, v string) error { c.Close(v); return nil }, packet.WithID(20))
	return reg
}

type shapeItem struct {
	K string
	V *float64
}

// FuzzBody sends packets of any kind over a connection that is established.
func FuzzBody(f *testing.F) {
	st := newStage(f, fuzzRegistry(), packet.Config{MaxFrame: 64 << 10, MaxBody: 64 << 10, CompressAbove: 100}, nil)
	f.Add(byte(64), byte(0), []byte("\x81\xa1N\x05"))
	f.Fuzz(func(t *testing.T, id, flags byte, body []byte) {
		if flags&1 == 1 && len(body) < 1000 && flags&4 != 0 { // what is not compressed would seldom get any further
			body = deflated(t, body)
		}
		in := slices.Concat(setType, accept, packet.AppendFrame(nil, packet.ID(id), packet.Flags(flags), body))
		st.play(t, packet.AppendFrame(in, 65, 0, []byte{0xc0}), nil)
	})
}

// FuzzServerHandshake is a server that gets anything instead of a client.
func FuzzServerHandshake(f *testing.F) {
	st := newStage(f, fuzzRegistry(), packet.Config{MaxFrame: 64 << 10, MaxBody: 64 << 10}, nil)
	f.Add(slices.Concat(setType, accept))
	f.Fuzz(func(t *testing.T, in []byte) { st.play(t, in, nil) })
}

// FuzzClientHandshake is a client that gets anything instead of a server. Its registry must stay a registry.
func FuzzClientHandshake(f *testing.F) {
	reg := fuzzRegistry()
	f.Fuzz(func(t *testing.T, in []byte, missing bool) {
		log := newPanics()
		c := packet.NewClient(reg, packet.Config{MaxFrame: 64 << 10, MaxBody: 64 << 10, AllowMissing: missing, Logger: slog.New(log), CloseTimeout: time.Millisecond})
		_ = c.ConnectConn(t.Context(), &script{in: in, closed: make(chan struct{})})
		c.Abort(nil)
		<-c.Done()
		log.check(t)
		ids := make(map[packet.ID]string)
		for _, e := range c.Registry().Entries() {
			if e.Lost {
				continue
			}
			if ids[e.ID] != "" {
				t.Errorf("ID %d of both %q and %q", e.ID, ids[e.ID], e.Name)
			}
			ids[e.ID] = e.Name
			if found, err := c.Registry().Lookup(e.ID); err != nil || found != e {
				t.Errorf("ID %d: %v, %v", e.ID, found, err)
			}
		}
		if len(c.Registry().Entries()) != 10 || ids[1] != "peng3dnet:internal.hello" {
			t.Errorf("the registry is %v", ids)
		}
	})
}
