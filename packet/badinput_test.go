package packet_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"parlor/msgpack"
	"parlor/packet"
)

// echoing returns a registry with a packet test:a, 64, that is sent back.
func echoing(t testing.TB) *packet.Registry {
	t.Helper()
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:a", func(c *packet.Conn, body packet.Body) error { return c.Send("test:a", body) })
	return reg
}

// calm is a config whose Close hook tells the channel, and that logs nothing.
func calm(closed chan *packet.CloseError) packet.Config {
	return packet.Config{
		Logger: slog.New(slog.DiscardHandler),
		Hooks:  packet.Hooks{Close: func(_ *packet.Conn, err *packet.CloseError) { closed <- err }},
	}
}

// echoes checks that an echo comes back.
func (r *raw) echoes() {
	r.t.Helper()
	b := framed(64, "are you there?")
	r.send(b)
	r.expect(b)
}

// badInput is a row of the table of section 14, with its advice.
type badInput struct {
	name   string
	frames [][]byte
	reason any // with which the connection is closed; nil if it goes on
	is     error
}

func badInputs(t *testing.T) []badInput {
	t.Helper()
	app := func(hex string) []byte { return rawFrame(64, 0, []byte(hex)) }
	body, _ := msgpack.Append(nil, strings.Repeat("a", 100))
	packed := func(open func(io.Writer) io.WriteCloser) []byte {
		var b bytes.Buffer
		w := open(&b)
		w.Write(body)
		w.Close()
		return b.Bytes()
	}
	deflated := packed(func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 6); return f })
	gzipped := packed(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	zipped := zlibbed(body)
	bomb := zlibbed(append([]byte{0xdb, 0, 0x20, 0, 0}, make([]byte, 2<<20)...)) // a text of 2 MiB, over MaxBody
	deep := append(bytes.Repeat([]byte{0x91}, 129), 0xc0)

	const invalid, tooLarge = packet.ReasonInvalidFrame, packet.ReasonBodyTooLarge
	return []badInput{
		{"unregistered ID", [][]byte{rawFrame(999, 0, []byte{0xc0})}, nil, nil},
		{"unregistered low ID", [][]byte{rawFrame(5, 0, []byte{0xc0})}, nil, nil},
		{"largest ID", [][]byte{rawFrame(1<<32-1, 0, []byte{0xc0})}, nil, nil},
		{"prefix split", [][]byte{framed(999, 1)[:2], framed(999, 1)[2:3], framed(999, 1)[3:]}, nil, nil},
		{"malformed", [][]byte{app("\xc1")}, invalid, packet.ErrInvalidFrame},
		{"malformed in an unregistered packet", [][]byte{rawFrame(999, 0, []byte{0xc1})}, invalid, packet.ErrInvalidFrame},
		{"cut short", [][]byte{app("\x92\x01")}, invalid, packet.ErrInvalidFrame},
		{"empty", [][]byte{app("")}, invalid, packet.ErrInvalidFrame},
		{"trailing", [][]byte{app("\x01\x02")}, invalid, packet.ErrInvalidFrame},
		{"integer key", [][]byte{app("\x81\x01\x02")}, invalid, packet.ErrInvalidFrame},
		{"nil key", [][]byte{app("\x81\xc0\x02")}, invalid, packet.ErrInvalidFrame},
		{"array key", [][]byte{app("\x81\x90\x02")}, invalid, packet.ErrInvalidFrame},
		{"bad UTF-8", [][]byte{app("\xa1\xff")}, invalid, packet.ErrInvalidFrame},
		{"surrogate", [][]byte{app("\xa3\xed\xa0\x80")}, invalid, packet.ErrInvalidFrame},
		{"reserved ext", [][]byte{app("\xd4\xfe\x00")}, invalid, packet.ErrInvalidFrame},
		{"huge text", [][]byte{app("\xdb\xff\xff\xff\xff")}, invalid, packet.ErrInvalidFrame},
		{"huge array", [][]byte{app("\xdd\xff\xff\xff\xff")}, invalid, packet.ErrInvalidFrame},
		{"huge map", [][]byte{app("\xdf\xff\xff\xff\xff")}, invalid, packet.ErrInvalidFrame},
		{"huge bin", [][]byte{app("\xc6\xff\xff\xff\xff")}, invalid, packet.ErrInvalidFrame},
		{"huge ext", [][]byte{app("\xc9\xff\xff\xff\xff\x05")}, invalid, packet.ErrInvalidFrame},
		{"many elements", [][]byte{app("\xdd\x00\x04\x00\x01" + strings.Repeat("\xc0", 1<<18+1))}, tooLarge, packet.ErrBodyTooLarge},
		{"deep", [][]byte{rawFrame(64, 0, deep)}, tooLarge, packet.ErrBodyTooLarge},
		{"no zlib", [][]byte{rawFrame(64, 1, []byte("not zlib"))}, invalid, packet.ErrInvalidFrame},
		{"empty zlib", [][]byte{rawFrame(64, 1, nil)}, invalid, packet.ErrInvalidFrame},
		{"cut zlib", [][]byte{rawFrame(64, 1, zipped[:len(zipped)-2])}, invalid, packet.ErrInvalidFrame},
		{"deflate", [][]byte{rawFrame(64, 1, deflated)}, invalid, packet.ErrInvalidFrame},
		{"gzip", [][]byte{rawFrame(64, 1, gzipped)}, invalid, packet.ErrInvalidFrame},
		{"zlib bomb", [][]byte{rawFrame(64, 1, bomb)}, tooLarge, packet.ErrBodyTooLarge},
		{"encrypted", [][]byte{rawFrame(64, 2, []byte{0x01})}, packet.ReasonEncryption, packet.ErrEncryption},
		{"encrypted and compressed", [][]byte{rawFrame(64, 3, zipped)}, packet.ReasonEncryption, packet.ErrEncryption},
		{"length 0", [][]byte{{0, 0, 0, 0}}, invalid, packet.ErrInvalidFrame},
		{"length 5", [][]byte{{0, 0, 0, 5, 'a', 'b', 'c', 'd', 'e'}}, invalid, packet.ErrInvalidFrame},
		{"huge length", [][]byte{{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 64, 0, 0}}, packet.ReasonFrameTooLarge, packet.ErrFrameTooLarge},
		{"length over the limit", [][]byte{{0, 0x10, 0, 1}}, packet.ReasonFrameTooLarge, packet.ErrFrameTooLarge},
		{"Hello out of place", [][]byte{helloFrame}, nil, nil},
		{"SetType out of place", [][]byte{classicFrame}, nil, nil},
		{"SetType that is no map", [][]byte{framed(packet.IDSetType, 1)}, nil, nil},
		{"Handshake out of place", [][]byte{handshakeFrame(nil)}, packet.ReasonSmartPacketInvalid, nil},
		{"Accept out of place", [][]byte{acceptFrame}, packet.ReasonSmartPacketInvalid, nil},
	}
}

// TestBadInputServer is section 14 at the server. Each row also checks that another connection goes on.
func TestBadInputServer(t *testing.T) {
	for _, row := range badInputs(t) {
		t.Run(row.name, func(t *testing.T) {
			closed := make(chan *packet.CloseError, 2)
			cfg := calm(closed)
			cfg.MaxBody = 1 << 20
			ln := serveMemory(t, packet.NewServer(echoing(t), cfg))
			other, bad := dialRaw(t, ln), dialRaw(t, ln)
			other.shake()
			bad.shake()
			bad.echoes()
			for _, b := range row.frames {
				bad.send(b)
			}
			if row.reason == nil {
				bad.echoes()
			} else {
				bad.expect(closeFrame(row.reason))
				bad.expectEnd()
				checkClose(t, within(t, "Close hook", closed), row.reason, false, row.is)
			}
			other.echoes()
		})
	}
}

// TestBadInputClient is section 14 at the client.
func TestBadInputClient(t *testing.T) {
	for _, row := range badInputs(t) {
		t.Run(row.name, func(t *testing.T) {
			closed := make(chan *packet.CloseError, 2)
			cfg := calm(closed)
			cfg.MaxBody = 1 << 20
			c, r := clientAndRaw(t, echoing(t), cfg, msgpack.Map{{Key: "test:a", Value: 64}})
			for _, b := range row.frames {
				r.send(b)
			}
			if row.reason == nil {
				r.echoes()
				return
			}
			r.expect(closeFrame(row.reason))
			r.expectEnd()
			checkClose(t, within(t, "Close hook", closed), row.reason, false, row.is)
			within(t, "Done", c.Done())
		})
	}
}

// clientAndRaw connects a client to a server of bytes.
func clientAndRaw(t testing.TB, reg *packet.Registry, cfg packet.Config, registry msgpack.Map) (*packet.Client, *raw) {
	t.Helper()
	c := packet.NewClient(reg, cfg)
	a, b := newMemory()
	r := newRaw(t, b)
	result := make(chan error, 1)
	go func() { result <- c.ConnectConn(t.Context(), a) }()
	t.Cleanup(func() { c.Abort(nil); <-c.Done() })
	r.greet(registry)
	if err := within(t, "the handshake", result); err != nil {
		t.Fatal(err)
	}
	return c, r
}

func checkClose(t testing.TB, got *packet.CloseError, reason any, remote bool, is error) {
	t.Helper()
	switch {
	case got == nil:
		t.Error("it was not closed")
	case got.Reason != reason || got.Remote != remote:
		t.Errorf("closed with reason %v, remote %v (%v); want %v, %v", got.Reason, got.Remote, got, reason, remote)
	case is != nil && !errors.Is(got, is):
		t.Errorf("closed with %v, want %v", got, is)
	}
}

// TestUnknownIDsCounted checks that packets nobody registered are counted (D3: they ended the client's processing).
func TestUnknownIDsCounted(t *testing.T) {
	c, r := clientAndRaw(t, echoing(t), calm(make(chan *packet.CloseError, 2)), msgpack.Map{{Key: "test:a", Value: 64}})
	r.send(framed(999, 1), framed(5, 1))
	r.echoes()
	if n := c.Stats().Unknown.Load(); n != 2 {
		t.Errorf("%d unknown packets", n)
	}
}

// TestOutOfPlaceEarly sends packets of the handshake in states in which they are not due.
func TestOutOfPlaceEarly(t *testing.T) {
	invalid := closeFrame(packet.ReasonSmartPacketInvalid)
	for _, row := range []struct {
		name       string
		send, want [][]byte
	}{
		{"Accept before SetType", [][]byte{acceptFrame}, [][]byte{invalid}},
		{"Handshake before SetType", [][]byte{handshakeFrame(nil)}, [][]byte{invalid}},
		{"Hello before SetType", [][]byte{helloFrame, closeFrame("end")}, nil},
		{"unknown connection type", [][]byte{typeFrame("bogus")}, [][]byte{closeFrame(packet.ReasonUnknownConnType)}},
		{"connection type not set", [][]byte{typeFrame("_notset")}, [][]byte{closeFrame(packet.ReasonUnknownConnType)}},
		{"connection type no text", [][]byte{framed(packet.IDSetType, map[string]any{"conntype": 5})}, [][]byte{closeFrame(packet.ReasonUnknownConnType)}},
		{"SetType no map", [][]byte{framed(packet.IDSetType, nil), closeFrame("end")}, nil},
		{"CloseConnection", [][]byte{closeFrame("end")}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			closed := make(chan *packet.CloseError, 2)
			ln := serveMemory(t, packet.NewServer(echoing(t), calm(closed)))
			other, r := dialRaw(t, ln), dialRaw(t, ln)
			other.shake()
			r.expect(helloFrame)
			for _, b := range row.send {
				r.send(b)
			}
			for _, b := range row.want {
				r.expect(b)
			}
			r.expectEnd()
			if got := within(t, "Close hook", closed); row.want == nil {
				checkClose(t, got, "end", true, nil)
			} else {
				m, _ := frameValue(t, row.want[0]).(msgpack.Map)
				checkClose(t, got, m[0].Value, false, nil)
			}
			other.echoes()
		})
	}
}

// TestVersions is what the client makes of the versions of Hello and Handshake (section 5).
func TestVersions(t *testing.T) {
	type pairs = msgpack.Map
	for _, row := range []struct {
		name string
		body any
		good bool
	}{
		{"same", pairs{{Key: "version", Value: "0.2.0"}, {Key: "protoversion", Value: 2}}, true},
		{"other version", pairs{{Key: "version", Value: []any{9}}, {Key: "protoversion", Value: 2}}, true},
		{"float", pairs{{Key: "version", Value: ""}, {Key: "protoversion", Value: 2.0}}, true},
		{"unknown keys", pairs{{Key: "x", Value: 1}, {Key: "version", Value: ""}, {Key: "protoversion", Value: 2}, {Key: "y", Bin: true, Value: 1}}, true},
		{"newer", pairs{{Key: "version", Value: "0.2.0"}, {Key: "protoversion", Value: 3}}, false},
		{"text", pairs{{Key: "version", Value: "0.2.0"}, {Key: "protoversion", Value: "2"}}, false},
		{"nil", pairs{{Key: "version", Value: "0.2.0"}, {Key: "protoversion", Value: nil}}, false},
		{"no protoversion", pairs{{Key: "version", Value: "0.2.0"}}, false}, // D3: the client's processing ended
		{"no version", pairs{{Key: "protoversion", Value: 2}}, false},       // D3
		{"no map", 2, false}, // D3
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, id := range []packet.ID{packet.IDHello, packet.IDHandshake} {
				body := row.body
				if m, ok := body.(pairs); ok && id == packet.IDHandshake {
					body = append(m[:len(m):len(m)], msgpack.Pair{Key: "registry", Value: internals})
				}
				closed := make(chan *packet.CloseError, 2)
				c := packet.NewClient(packet.NewRegistry(), calm(closed))
				a, b := newMemory()
				r := newRaw(t, b)
				result := make(chan error, 1)
				go func() { result <- c.ConnectConn(t.Context(), a) }()
				if id == packet.IDHandshake {
					r.send(helloFrame)
					r.expect(classicFrame)
				}
				r.send(framed(id, body))
				switch {
				case !row.good:
					r.expect(closeFrame(packet.ReasonProtoVersion))
					r.expectEnd()
					checkClose(t, within(t, "Close hook", closed), packet.ReasonProtoVersion, false, nil)
					var why *packet.CloseError
					if err := within(t, "Connect", result); !errors.As(err, &why) || why.Reason != packet.ReasonProtoVersion {
						t.Errorf("Connect: %v", err)
					}
				case id == packet.IDHello:
					r.expect(classicFrame)
					c.Abort(nil)
					<-result
				default:
					r.expect(acceptFrame)
					if err := within(t, "Connect", result); err != nil {
						t.Error(err)
					}
					c.Abort(nil)
				}
				within(t, "Done", c.Done())
			}
		})
	}
}

// TestHandshakeWithoutRegistry closes instead of failing inside (D3).
func TestHandshakeWithoutRegistry(t *testing.T) {
	closed := make(chan *packet.CloseError, 2)
	c := packet.NewClient(packet.NewRegistry(), calm(closed))
	a, b := newMemory()
	r := newRaw(t, b)
	result := make(chan error, 1)
	go func() { result <- c.ConnectConn(t.Context(), a) }()
	r.send(helloFrame)
	r.expect(classicFrame)
	r.send(framed(packet.IDHandshake, msgpack.Map{{Key: "version", Value: "0.2.0"}, {Key: "protoversion", Value: 2}}))
	r.expect(closeFrame(packet.ReasonProtoVersion))
	r.expectEnd()
	checkClose(t, within(t, "Close hook", closed), packet.ReasonProtoVersion, false, packet.ErrInvalidFrame)
	<-result
	within(t, "Done", c.Done())
}

// TestStreamEnds is the end of the stream without CloseConnection, clean and hard, at both sides.
func TestStreamEnds(t *testing.T) {
	for _, hard := range []bool{false, true} {
		name := map[bool]string{false: "EOF", true: "reset"}[hard]
		end := func(r *raw) {
			r.send(framed(64, "cut off")[:7])
			if hard {
				r.reset()
			} else {
				r.finish()
			}
		}
		t.Run(name+" at the server", func(t *testing.T) {
			closed := make(chan *packet.CloseError, 2)
			ln := serveMemory(t, packet.NewServer(echoing(t), calm(closed)))
			other := dialRaw(t, ln)
			other.shake()
			a, b := tcpPair(t)
			ln.give(t, b)
			r := newRaw(t, a)
			r.shake()
			r.echoes()
			end(r)
			if !hard {
				r.expectEnd()
			}
			checkClose(t, within(t, "Close hook", closed), nil, false, nil)
			other.echoes()
		})
		t.Run(name+" at the client", func(t *testing.T) {
			closed := make(chan *packet.CloseError, 2)
			c := packet.NewClient(echoing(t), calm(closed))
			a, b := tcpPair(t)
			r := newRaw(t, b)
			result := make(chan error, 1)
			go func() { result <- c.ConnectConn(t.Context(), a) }()
			r.greet(msgpack.Map{{Key: "test:a", Value: 64}})
			if err := <-result; err != nil {
				t.Fatal(err)
			}
			end(r)
			if !hard {
				r.expectEnd()
			}
			checkClose(t, within(t, "Close hook", closed), packet.ReasonSocketClose, false, nil)
			within(t, "Done", c.Done())
			if err := c.Send("test:a", 1); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Send afterwards: %v", err)
			}
		})
	}
}

// TestServerFull replays close_from_server_before_hello at our server: it turns away what is over MaxConns.
func TestServerFull(t *testing.T) {
	srv := packet.NewServer(packet.NewRegistry(), packet.Config{MaxConns: 1})
	s := serve(t, srv)
	c := packet.NewClient(packet.NewRegistry(), packet.Config{})
	connect(t, c, s.addr)
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	r := newRaw(t, nc)
	r.expect(readCapture(t, "close_from_server_before_hello").frames(t)[0].b)
	r.expectEnd()
	if n := srv.Stats().Refused.Load(); n != 1 {
		t.Errorf("%d refused", n)
	}
	second := packet.NewClient(packet.NewRegistry(), packet.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var why *packet.CloseError
	if err := second.Connect(ctx, s.addr); !errors.As(err, &why) || why.Reason != packet.ReasonServerFull || !why.Remote {
		t.Errorf("%v", err)
	}
	within(t, "Done", second.Done())
}

// TestAcceptLater checks what counts as success in HandshakeAccept, and that a refusal may be followed by an accept.
func TestAcceptLater(t *testing.T) {
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:a", func(c *packet.Conn, v packet.Body) error { return c.Send("test:a", v) }, packet.Smart())
	srv := packet.NewServer(reg, calm(make(chan *packet.CloseError, 20)))
	ln := serveMemory(t, srv)
	for _, row := range []struct {
		body any
		good bool
	}{
		{pairs{pair("success", true)}, true},
		{pairs{pair("success", 1)}, true},
		{pairs{pair("success", "no")}, true},
		{pairs{pair("x", 1), pair("success", pairs{pair("y", nil)})}, true},
		{pairs{pair("success", false)}, false},
		{pairs{pair("success", nil)}, false},
		{pairs{pair("success", 0)}, false},
		{pairs{pair("success", 0.0)}, false},
		{pairs{pair("success", "")}, false},
		{pairs{pair("success", pairs{})}, false},
		{pairs{}, false},
		{nil, false},
	} {
		r := dialRaw(t, ln)
		r.expect(helloFrame)
		r.send(classicFrame)
		r.next() // Handshake
		b := framed(64, "early")
		r.send(framed(packet.IDHandshakeAccept, row.body), b)
		if row.good {
			r.expect(b)
			continue
		}
		r.send(acceptFrame) // the early packet has gone
		r.echoes()
	}
}
