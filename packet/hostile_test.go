package packet_test

import (
	"bytes"
	"compress/zlib"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor/packet"
)

// echoServer echoes t:echo, and has a witness: a client whose round trips must go on.
type echoServer struct {
	*running
	t       testing.TB
	witness *packet.Client
	back    chan any
}

func newEchoServer(t testing.TB, cfg packet.Config) *echoServer {
	t.Helper()
	cfg.Logger = quiet
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "t:echo", func(c *packet.Conn, b packet.Body) error { return c.Send("t:echo", b) })
	s := &echoServer{running: serve(t, packet.NewServer(reg, cfg)), t: t, back: make(chan any, 1)}
	mine := packet.NewRegistry()
	packet.MustRegister(mine, "t:echo", func(_ *packet.Conn, v any) error { s.back <- v; return nil })
	s.witness = packet.NewClient(mine, packet.Config{})
	connect(t, s.witness, s.addr)
	return s
}

// undisturbed makes a round trip of somebody else.
func (s *echoServer) undisturbed() {
	s.t.Helper()
	if err := s.witness.Send("t:echo", "still here"); err != nil {
		s.t.Fatal(err)
	}
	if v := receive(s.t, s.back); v != "still here" {
		s.t.Errorf("got %v", v)
	}
}

// leastAllocated is how many bytes f makes the program allocate, other goroutines included: the least of several
// times, as others allocate now and then.
func leastAllocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func deflated(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// bomb is a frame that inflates to n zeros, in a bin that says so.
var bomb = sync.OnceValue(func() []byte {
	const n = 20 << 20
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, zlib.BestSpeed)
	must(err)
	head := binary.BigEndian.AppendUint32([]byte{0xc6}, n)
	_, err = w.Write(head)
	must(err)
	zeros := make([]byte, 1<<20)
	for range n >> 20 {
		_, err = w.Write(zeros)
		must(err)
	}
	must(w.Close())
	return packet.AppendFrame(nil, 64, packet.FlagCompressed, out.Bytes())
})

// What declares more than there is costs next to nothing, and its connection alone.
func TestHostileLengths(t *testing.T) {
	s := newEchoServer(t, packet.Config{})
	nested := bytes.Repeat([]byte{0x91}, 100_000)
	for _, c := range []struct {
		name   string
		bytes  []byte
		reason any
		most   uint64 // bytes allocated
	}{
		{"frame of 2^32-1", []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 64, 0, 0, 0xc0, 0xc0}, packet.ReasonFrameTooLarge, 300 << 10},
		{"frame of 1 MiB and 1", []byte{0, 0x10, 0, 1, 0, 0, 0, 64}, packet.ReasonFrameTooLarge, 300 << 10},
		{"frame of 0", []byte{0, 0, 0, 0}, packet.ReasonInvalidFrame, 300 << 10},
		{"frame of 5", []byte{0, 0, 0, 5, 0, 0, 0, 64, 0}, packet.ReasonInvalidFrame, 300 << 10},
		{"no body", frameOf(t, 64, []byte{}), packet.ReasonInvalidFrame, 300 << 10},
		{"array of 2^32-1", frameOf(t, 64, []byte{0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0}), packet.ReasonInvalidFrame, 300 << 10},
		{"map of 2^32-1", frameOf(t, 64, []byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xa0, 0xc0}), packet.ReasonInvalidFrame, 300 << 10},
		{"bin of 2^32-1", frameOf(t, 64, []byte{0xc6, 0xff, 0xff, 0xff, 0xff, 0xc0}), packet.ReasonInvalidFrame, 300 << 10},
		{"str of 2^32-1", frameOf(t, 64, []byte{0xdb, 0xff, 0xff, 0xff, 0xff, 0xc0}), packet.ReasonInvalidFrame, 300 << 10},
		{"ext of 2^32-1", frameOf(t, 64, []byte{0xc9, 0xff, 0xff, 0xff, 0xff, 0x05, 0xc0}), packet.ReasonInvalidFrame, 300 << 10},
		{"100,000 nested arrays", frameOf(t, 64, append(nested, 0xc0)), packet.ReasonBodyTooLarge, 1 << 20},
		{"100,000 nested arrays, no end", frameOf(t, 64, nested), packet.ReasonBodyTooLarge, 1 << 20},
		{"300,000 elements", frameOf(t, 64, append([]byte{0xdd, 0, 0x04, 0x93, 0xe0}, bytes.Repeat([]byte{0xc0}, 300_000)...)), packet.ReasonBodyTooLarge, 3 << 20},
		{"trailing bytes", frameOf(t, 64, []byte{0xc0, 0xc0}), packet.ReasonInvalidFrame, 300 << 10},
		{"zlib that is none", packet.AppendFrame(nil, 64, packet.FlagCompressed, []byte{1, 2, 3}), packet.ReasonInvalidFrame, 400 << 10},
		{"zlib cut off", packet.AppendFrame(nil, 64, packet.FlagCompressed, deflated(t, []byte{0xc0})[:6]), packet.ReasonInvalidFrame, 400 << 10},
		{"AES", packet.AppendFrame(nil, 64, packet.FlagEncryptedAES, []byte{0xc0}), packet.ReasonEncryption, 300 << 10},
		{"AES and zlib", packet.AppendFrame(nil, 64, 3, deflated(t, []byte{0xc0})), packet.ReasonEncryption, 300 << 10},
		{"a zlib bomb", bomb(), packet.ReasonBodyTooLarge, 40 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := leastAllocated(func() {
				w := dialWire(t, s.addr)
				w.handshake()
				w.bytes(c.bytes)
				if reason := w.reason(); reason != c.reason {
					t.Errorf("reason %v, want %v", reason, c.reason)
				}
			})
			t.Logf("%d bytes allocated for %d that came", got, len(c.bytes))
			if got > c.most {
				t.Errorf("%d bytes allocated, want at most %d", got, c.most)
			}
			s.undisturbed()
		})
	}
	if stats := s.Stats(); stats.InvalidFrames.Load() == 0 || stats.TooLarge.Load() == 0 {
		t.Error("nothing was counted")
	}
}

// A crowd that sends bombs at once takes no more memory than a few, and the others go on.
func TestZlibBombsAtOnce(t *testing.T) {
	s := newEchoServer(t, packet.Config{MaxBody: 1 << 20})
	frame := bomb()
	var peak atomic.Uint64
	stop, sampled := make(chan struct{}), make(chan struct{})
	live := func() uint64 { // what was freed in the meantime is up to the collector
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	start := live()
	go func() {
		defer close(sampled)
		for {
			peak.Store(max(peak.Load(), live()))
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			w := dialWire(t, s.addr)
			w.handshake()
			w.bytes(frame)
			if reason := w.reason(); reason != packet.ReasonBodyTooLarge {
				t.Errorf("reason %v", reason)
			}
		})
	}
	s.undisturbed()
	wg.Wait()
	close(stop)
	<-sampled
	s.undisturbed()
	grown := int64(peak.Load()) - int64(start)
	t.Logf("the heap grew by %d MiB", grown>>20)
	if grown > 60<<20 { // of 50 MiB and more for 50 at once; each frame is 20 KiB
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// A frame that comes byte by byte takes as much memory as has come.
func TestSlowSender(t *testing.T) {
	s := newEchoServer(t, packet.Config{})
	ours, theirs := net.Pipe()
	ln := newListener()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	ln.give(t, theirs)
	w := wireOf(t, ours)
	w.handshake()
	frame := frameOf(t, 64, "slowly, byte by byte")
	for _, b := range frame {
		w.bytes([]byte{b})
	}
	if v := w.want(64); v != "slowly, byte by byte" {
		t.Errorf("%v", v)
	}
	declared := []byte{0, 0x0f, 0xff, 0xff, 0, 0, 0, 64, 0, 0, 0xc6, 0, 0x0f, 0xff, 0xf4}
	before := heap()
	for _, b := range append(declared, make([]byte, 1000)...) {
		w.bytes([]byte{b})
	}
	if grown := heap() - before; grown > 100<<10 {
		t.Errorf("1,000 bytes of a frame of 1 MiB hold %d bytes", grown)
	}
	s.undisturbed()
	w.Close()
	ln.Close()
	if err := <-done; err == nil || errors.Is(err, packet.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// failing is a listener whose Accept returns what fails has, before it waits for a connection and while it does.
type failing struct {
	*listener
	fails chan error
}

func (l failing) Accept() (net.Conn, error) {
	select {
	case err := <-l.fails:
		return nil, err
	default:
	}
	select {
	case nc := <-l.conns:
		return nc, nil
	case err := <-l.fails:
		return nil, err
	}
}

type temporary struct{ error }

func (temporary) Temporary() bool { return true }
func (temporary) Timeout() bool   { return false }

func TestAcceptErrors(t *testing.T) {
	reg := regOf(t)
	s := packet.NewServer(reg, packet.Config{Logger: quiet})
	defer s.Close()
	ln := failing{newListener(), make(chan error, 10)}
	for range 3 {
		ln.fails <- &net.OpError{Op: "accept", Err: temporary{errors.New("too many open files")}}
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	ours, theirs := net.Pipe()
	ln.give(t, theirs)
	w := wireOf(t, ours)
	w.handshake() // it went on
	broken := errors.New("broken for good")
	ln.fails <- broken
	if err := receive(t, done); !errors.Is(err, broken) || errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	if len(s.Conns()) != 1 {
		t.Error("the connection is gone with the listener")
	}
	select {
	case <-ln.done:
	default:
		t.Error("the listener is open")
	}
}

// stuckClient completes the handshake and then reads nothing.
func stuckClient(t testing.TB, addr string) net.Conn {
	w := dialWire(t, addr)
	w.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	w.handshake()
	return w.Conn
}

// A client that does not read is closed when its queue is full, with a reason, and a broadcast does not wait for it.
func TestClientThatStopsReading(t *testing.T) {
	for name, conf := range map[string][2]packet.TLS{
		"TCP": {},
		"TLS": {with(pki().server, noCA), with(pki().anonymous, func(t *packet.TLS) { t.ServerName = "localhost" })},
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan *packet.CloseError, 1)
			reg := regOf(t)
			cfg := packet.Config{WriteQueue: 256 << 10, NoCompression: true, CloseTimeout: 300 * time.Millisecond, Logger: quiet, TLS: conf[0]}
			packet.MustRegister[packet.Body](reg, "t:news", nil, packet.WithID(70))
			cfg.Hooks.Close = func(_ *packet.Conn, err *packet.CloseError) {
				select {
				case closed <- err:
				default:
				}
			}
			cfg.Hooks.Connect = func(c *packet.Conn) error {
				nc := c.NetConn()
				if secured, ok := nc.(*tls.Conn); ok {
					nc = secured.NetConn()
				}
				return nc.(*net.TCPConn).SetWriteBuffer(16 << 10)
			}
			s := serve(t, packet.NewServer(reg, cfg))
			const readers = 49
			var got [readers]atomic.Int64
			for i := range readers {
				mine := packet.NewRegistry()
				packet.MustRegister(mine, "t:news", func(*packet.Conn, packet.Body) error { got[i].Add(1); return nil })
				connect(t, packet.NewClient(mine, packet.Config{TLS: conf[1], Logger: quiet}), s.addr)
			}
			release := make(chan struct{})
			defer close(release)
			mine := packet.NewRegistry()
			packet.MustRegister(mine, "t:news", func(*packet.Conn, packet.Body) error { <-release; return nil })
			stuck := packet.NewClient(mine, packet.Config{TLS: conf[1], Logger: quiet})
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			nc.(*net.TCPConn).SetReadBuffer(16 << 10)
			if err := stuck.ConnectConn(t.Context(), nc); err != nil {
				t.Fatal(err)
			}
			defer func() { stuck.Abort(nil) }()
			eventually(t, "all are there", func() bool {
				n := 0
				for _, c := range s.Conns() {
					if c.State() == packet.StateActive {
						n++
					}
				}
				return n == readers+1
			})
			conns := s.Conns()
			victim := conns[readers]
			body := packet.Body(append([]byte{0xc5, 0x20, 0}, make([]byte, 0x2000)...))
			var slowest time.Duration
			var full error
			sent := int64(0)
			for full == nil {
				if sent++; sent > 3000 {
					t.Fatal("the queue is never full")
				}
				for _, c := range conns {
					start := time.Now()
					err := c.WritePacket(70, body)
					slowest = max(slowest, time.Since(start))
					if err != nil && c != victim {
						t.Fatalf("a reader: %v", err)
					}
					if c == victim {
						full = err
					}
				}
				for i := range got { // the others keep up
					eventually(t, "the readers read", func() bool { return got[i].Load() >= sent-5 })
				}
			}
			var why *packet.CloseError
			if !errors.Is(full, packet.ErrWriteQueueFull) || !strings.Contains(full.Error(), "WriteQueue 262144") {
				t.Errorf("Send: %v", full)
			}
			why = receive(t, closed)
			if why.Reason != packet.ReasonWriteQueueFull || why.Remote || !errors.Is(why, packet.ErrWriteQueueFull) {
				t.Errorf("Close hook: %v", why)
			}
			if err := victim.Send("t:news", packet.Body{0xc0}); !errors.Is(err, packet.ErrClosed) {
				t.Errorf("a later Send: %v", err)
			}
			for i := range got {
				eventually(t, "all news came", func() bool { return got[i].Load() == sent })
			}
			t.Logf("%d rounds, slowest Send %v", sent, slowest)
			if slowest > 20*time.Second { // it waits for nobody, which would take WriteTimeout, 30 s; loaded machines pause
				t.Errorf("a Send took %v", slowest)
			}
			if n := s.Stats().QueueFull.Load(); n != 1 {
				t.Errorf("%d counted", n)
			}
			eventually(t, "it is gone", func() bool { return len(s.Conns()) == readers })
		})
	}
}

func TestWriteTimeout(t *testing.T) {
	closed := make(chan *packet.CloseError, 1)
	reg := regOf(t, "t:news")
	s := serve(t, packet.NewServer(reg, packet.Config{WriteTimeout: 100 * time.Millisecond, WriteQueue: 1 << 30, NoCompression: true, Logger: quiet,
		Hooks: packet.Hooks{Close: func(_ *packet.Conn, err *packet.CloseError) { closed <- err }}}))
	stuckClient(t, s.addr)
	c := active(t, s.Server)
	body := packet.Body(append([]byte{0xc6, 0, 8, 0, 0}, make([]byte, 512<<10)...))

	for range 40 {
		if err := c.WritePacket(64, body); err != nil && !errors.Is(err, packet.ErrFrameTooLarge) {
			break
		}
	}
	err := receive(t, closed)
	var ne net.Error
	if err.Reason != packet.ReasonWriteTimeout || !errors.Is(err, packet.ErrTimeout) || !errors.As(err, &ne) || !ne.Timeout() || s.Stats().WriteTimeout.Load() != 1 {
		t.Errorf("%v", err)
	}
}

func TestHandlersThatPanicOrBlock(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	defer once.Do(func() { close(release) })
	reg := packet.NewRegistry()
	got := make(chan any, 1)
	hook := func(*packet.Conn) { panic("hook") }
	packet.MustRegister(reg, "t:panic", func(*packet.Conn, any) error { panic("on purpose") })
	packet.MustRegister(reg, "t:nil", func(c *packet.Conn, _ any) error { return *c.Data.(*error) })
	packet.MustRegister(reg, "t:block", func(*packet.Conn, any) error { <-release; return nil })
	packet.MustRegister(reg, "t:ok", func(_ *packet.Conn, v any) error { got <- v; return nil })
	var log syncBuffer
	s := serve(t, packet.NewServer(reg, packet.Config{Logger: slogTo(&log), Hooks: packet.Hooks{
		Handshake: hook, Receive: func(*packet.Conn, *packet.Message) { panic("hook") }, Close: func(*packet.Conn, *packet.CloseError) { panic("hook") },
	}}))
	blocked, other := packet.NewClient(reg, packet.Config{}), packet.NewClient(reg, packet.Config{})
	connect(t, blocked, s.addr)
	connect(t, other, s.addr)
	for _, name := range []string{"t:block", "t:panic"} {
		if err := blocked.Send(name, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"t:panic", "t:nil", "t:ok"} {
		if err := other.Send(name, 1); err != nil {
			t.Fatal(err)
		}
	}
	if v := receive(t, got); v != int64(1) {
		t.Errorf("%v", v)
	}
	if err := blocked.Send("t:ok", 2); err != nil {
		t.Fatal(err)
	}
	once.Do(func() { close(release) })
	if v := receive(t, got); v != int64(2) {
		t.Errorf("%v", v)
	}
	other.Close(nil)
	<-other.Done()
	eventually(t, "the hook's panic was survived", func() bool { return len(s.Conns()) == 1 })
	if !strings.Contains(log.String(), "on purpose") || !strings.Contains(log.String(), "hostile_test.go") {
		t.Error("no panic with its stack in the log")
	}
	if n := s.Stats().HandlerErrors.Load(); n < 6 {
		t.Errorf("%d handler errors counted", n)
	}
}

// Connections that never send anything cost no goroutine after their time, and are told.
func TestSilentConnections(t *testing.T) {
	const silent = 2000
	s := newEchoServer(t, packet.Config{HandshakeTimeout: patience})
	before := runtime.NumGoroutine()
	var conns []net.Conn
	defer func() {
		for _, nc := range conns {
			nc.Close()
		}
	}()
	for range silent {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, nc)
	}
	eventually(t, "all are accepted", func() bool { return len(s.Conns()) == silent+1 })
	if n := runtime.NumGoroutine() - before; n > silent+50 {
		t.Errorf("%d goroutines for %d connections", n, silent)
	}
	s.undisturbed()
	start := time.Now()
	if err := s.ShutdownReason(t.Context(), "enough"); err != nil {
		t.Error(err)
	}
	t.Logf("Shutdown took %v", time.Since(start))
	w := wireOf(t, conns[silent/2])
	if reason := w.reason(); reason != "enough" {
		t.Errorf("reason %v", reason)
	}
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 300 * time.Millisecond
		reg := packet.NewRegistry()
		packet.MustRegister(reg, "t:echo", func(c *packet.Conn, b packet.Body) error { return c.Send("t:echo", b) })
		s := packet.NewServer(reg, packet.Config{HandshakeTimeout: limit, Logger: quiet})
		ln, end := serveMemnet(t, s)
		defer end()
		silent, half, other := wireOf(t, ln.dial()), wireOf(t, ln.dial()), wireOf(t, ln.dial())
		other.handshake()
		half.want(packet.IDHello)
		half.send(packet.IDSetType, map[string]any{})
		begun := time.Now()
		for _, w := range []*wire{silent, half} {
			if reason := w.reason(); reason != packet.ReasonHandshakeTimeout {
				t.Errorf("reason %v", reason)
			}
		}
		if took := time.Since(begun); took != limit {
			t.Errorf("closed after %v", took)
		}
		other.send(64, "still here")
		if v := other.want(64); v != "still here" {
			t.Errorf("somebody else gets %v", v)
		}
		if n := s.Stats().HandshakeTimeout.Load(); n != 2 {
			t.Errorf("%d counted", n)
		}
	})
}

// Many goroutines that send at once, small and large: frames stay whole, and those of each stay in order.
func TestSendFromManyGoroutines(t *testing.T) {
	type note struct {
		From, N int
		Fill    []byte
	}
	const senders, each = 16, 21
	var next [senders]int
	all := make(chan struct{})
	total := 0
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "t:note", func(_ *packet.Conn, n note) error {
		if n.N != next[n.From] || len(n.Fill) != (n.N%7)*3000 {
			t.Errorf("sender %d: %d after %d, with %d bytes", n.From, n.N, next[n.From], len(n.Fill))
		}
		next[n.From]++
		if total++; total == senders*each {
			close(all)
		}
		return nil
	})
	s := serve(t, packet.NewServer(reg, packet.Config{JoinClassic: true}))
	mine := packet.NewRegistry()
	send := packet.MustRegister[note](mine, "t:note", nil)
	c := packet.NewClient(mine, packet.Config{WriteQueue: 64 << 20, NoCompression: true})
	connect(t, c, s.addr)
	var wg sync.WaitGroup
	for from := range senders {
		wg.Go(func() {
			for n := range each {
				if err := send.Send(c.Conn, note{from, n, make([]byte, (n%7)*3000)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	receive(t, all)
}

// Everything at once, for the race detector: it must end.
func TestCloseInEveryWayAtOnce(t *testing.T) {
	for round := range 6 {
		reg := packet.NewRegistry()
		packet.MustRegister(reg, "t:echo", func(c *packet.Conn, v any) error { return c.Send("t:echo", v) })
		cfg := packet.Config{Logger: quiet, CloseTimeout: 100 * time.Millisecond}
		if round%3 == 2 {
			cfg.TLS = with(pki().server, noCA)
		}
		s := packet.NewServer(reg, cfg)
		ln, err := s.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Serve(ln) }()
		var wg sync.WaitGroup
		var clients []*packet.Client
		for i := range 8 {
			mine := packet.NewRegistry()
			packet.MustRegister[any](mine, "t:echo", nil)
			c := packet.NewClient(mine, packet.Config{Logger: quiet, CloseTimeout: 100 * time.Millisecond,
				TLS: packet.TLS{Enabled: cfg.TLS.Enabled, SkipVerify: true}})
			clients = append(clients, c)
			wg.Go(func() {
				if c.Connect(t.Context(), ln.Addr().String()) != nil {
					return
				}
				var busy sync.WaitGroup
				for range 2 {
					busy.Go(func() {
						for n := 0; c.Send("t:echo", n) == nil && n < 200; n++ {
						}
					})
				}
				busy.Go(func() {
					for _, conn := range s.Conns() {
						switch (i + int(conn.CID())) % 5 {
						case 0:
							conn.Close("server")
						case 1:
							conn.Abort("server")
						case 2:
							_ = conn.Send("t:echo", "push")
						}
					}
				})
				busy.Go(func() {
					if i%2 == 0 {
						c.Close("client")
					} else if i%3 == 0 {
						c.Abort("client")
					}
				})
				busy.Wait()
			})
		}
		wg.Go(func() {
			if round%2 == 0 {
				eventually(t, "some came", func() bool { return s.Stats().Accepted.Load() > 3 })
			} else {
				wg.Go(func() { s.Stop("stop") })
			}
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		for _, c := range clients {
			c.Abort(nil)
			receive(t, c.Done())
		}
		if err := receive(t, done); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if n := len(s.Conns()); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	}
}
