//go:build !js

package wslink_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"parlor"
	"parlor/box"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/wslink"
	"parlor/msgpack"
)

// streamLobby welcomes everybody, and echoes requests. Those of the message "push" are answered behind a push, "quiet" ones
// not at all.
type streamLobby struct {
	welcome link.Welcome
	ended   chan bool // for each link: whether its session has ended with it

	mu       sync.Mutex // guards what follows
	sessions []*streamSession
}

type streamSession struct {
	lobby *streamLobby
	link  link.Stream

	mu    sync.Mutex // guards what follows
	offer *link.Offer
	seq   uint64
	lastD uint64
	got   []link.Envelope
}

func (l *streamLobby) Open(k link.Link) (link.Session, error) {
	s := &streamSession{lobby: l, link: k.(link.Stream)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions = append(l.sessions, s)
	return s, nil
}

func (l *streamLobby) last() *streamSession {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions[len(l.sessions)-1]
}

func (s *streamSession) Receive(p parlor.Packet) error {
	o, ok := s.link.Offer()
	if !ok {
		return s.link.Send(parlor.OK("pgnet's wire"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offer = &o
	return s.link.Welcome(parlor.OK("welcome"), s.lobby.welcome)
}

func (s *streamSession) Malformed(err error) error { return err }

func (s *streamSession) Request(e *link.Envelope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, *e)
	if e.Kind == link.KindNote {
		return nil
	}
	s.lastD = e.ID
	switch e.Message {
	case "quiet":
		return nil
	case "odd":
		return link.ErrOutOfTurn
	case "policy":
		return &link.CloseError{Code: link.ClosePolicy, Reason: "limit of patience"}
	case "push":
		if err := s.say(link.Message{Push: &parlor.Push{Message: "pushed", Payload: e.Payload, Game: "g"}}); err != nil {
			return err
		}
	}
	if e.Err != nil {
		return s.say(link.Message{ID: e.ID, Response: new(parlor.Unexpected(e.Err.Error()))})
	}
	return s.say(link.Message{ID: e.ID, Response: new(parlor.OK(e.Message, e.Payload))})
}

// say numbers and delivers a message. The lock is held.
func (s *streamSession) say(m link.Message) error {
	s.seq++
	m.Seq = s.seq
	return s.link.Deliver(s.lastD, m)
}

func (s *streamSession) push(message string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.say(link.Message{Push: &parlor.Push{Message: message}})
}

func (s *streamSession) Closed(onPurpose bool) { s.lobby.ended <- onPurpose }

// nativeWire is a server on a network in memory.
type nativeWire struct {
	*wslink.Server
	lobby   *streamLobby
	key     *box.Key
	dialer  wslink.Dialer
	address string
}

func startNative(t *testing.T, cfg wslink.Config) *nativeWire {
	t.Helper()
	n := memnet.New(1)
	ln, err := n.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := serveNative(t, cfg, ln)
	w.dialer.DialContext = memnet.Dialer{Network: n}.DialContext
	return w
}

func serveNative(t *testing.T, cfg wslink.Config, ln net.Listener) *nativeWire {
	t.Helper()
	lobby := &streamLobby{ended: make(chan bool, 1000), welcome: link.Welcome{Token: []byte("0123456789abcdef"), Window: time.Minute}}
	cfg.Lobby, cfg.Key, cfg.Logger = lobby, newKey(t), slog.New(slog.DiscardHandler)
	srv, err := wslink.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }() // ends with Close
	t.Cleanup(func() {
		if err := errors.Join(srv.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return &nativeWire{Server: srv, lobby: lobby, key: cfg.Key, address: ln.Addr().String()}
}

// login dials and logs in on the native wire.
func (w *nativeWire) login(t *testing.T, o link.Offer) link.StreamConn {
	t.Helper()
	c := w.call(t)
	r, welcome, err := c.Login(t.Context(), parlor.Packet{Message: parlor.MessageHandshake}, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Message != "welcome" || welcome == nil {
		t.Fatalf("the login was answered with %+v, %+v", r, welcome)
	}
	return c
}

// call dials and trades keys.
func (w *nativeWire) call(t *testing.T) link.StreamConn {
	t.Helper()
	conn, err := w.dialer.Dial(t.Context(), w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	return conn.(link.StreamConn)
}

// read reads so many envelopes.
func read(t *testing.T, c link.StreamConn, n int) (all []link.Envelope) {
	t.Helper()
	for len(all) < n {
		es, err := c.Read(t.Context())
		if err != nil {
			t.Fatalf("after %d of %d envelopes: %v", len(all), n, err)
		}
		all = append(all, es...)
	}
	if len(all) != n {
		t.Fatalf("%d envelopes came, want %d", len(all), n)
	}
	return all
}

func requests(from uint64, messages ...string) (es []*link.Envelope) {
	for i, m := range messages {
		es = append(es, &link.Envelope{Kind: link.KindRequest, ID: from + uint64(i), Message: m, Payload: parlor.Encode(parlor.Map{"i": i})})
	}
	return es
}

func TestNative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{})
		w.lobby.welcome = link.Welcome{Token: []byte("0123456789abcdef"), Window: 90 * time.Second, Resumed: true, ID: 41, Lost: 2}
		c := w.call(t)
		r, welcome, err := c.Login(t.Context(), parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "ann"})},
			link.Offer{Token: []byte("fedcba9876543210"), Seq: 7})
		if err != nil || r.Message != "welcome" || welcome == nil {
			t.Fatalf("the login was answered with %+v, %+v, %v", r, welcome, err)
		}
		if fmt.Sprint(*welcome) != fmt.Sprint(w.lobby.welcome) {
			t.Errorf("the welcome is %+v, want %+v", *welcome, w.lobby.welcome)
		}
		s := w.lobby.last()
		if string(s.offer.Token) != "fedcba9876543210" || s.offer.Seq != 7 {
			t.Errorf("the offer is %+v", s.offer)
		}
		if err := c.Write(t.Context(), requests(42, "a", "push", "c")...); err != nil {
			t.Fatal(err)
		}
		es := read(t, c, 4)
		for i, want := range []link.Envelope{
			{Kind: link.KindAnswer, Seq: 1, ID: 42, Message: "a"},
			{Kind: link.KindPush, Seq: 2, Message: "pushed", Game: "g"},
			{Kind: link.KindAnswer, Seq: 3, ID: 43, Message: "push"},
			{Kind: link.KindAnswer, Seq: 4, ID: 44, Message: "c"},
		} {
			got := es[i]
			if got.Ack < 42 || got.Ack > 44 {
				t.Errorf("envelope %d acknowledges %d", i, got.Ack)
			}
			if n, _ := got.Payload.Get("i"); n != []any{int64(0), int64(1), int64(1), int64(2)}[i] {
				t.Errorf("the payload of envelope %d is %s", i, got.Payload.JSON())
			}
			got.Ack, got.Payload = 0, parlor.Payload{}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("envelope %d is %+v, want %+v", i, got, want)
			}
		}
		c.Close()
		if !<-w.lobby.ended {
			t.Error("a client that closes does not end its session")
		}
	})
}

func TestNativeOnlyIfBothSpeakIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{})
		w.dialer.PgnetOnly = true
		c := w.call(t)
		r, welcome, err := c.Login(t.Context(), parlor.Packet{Message: parlor.MessageHandshake}, link.Offer{})
		if err != nil || welcome != nil || r.Message != "pgnet's wire" {
			t.Errorf("a client that speaks only pgnet's wire was answered with %+v, %+v, %v", r, welcome, err)
		}
		if r.Payload.JSON() != nil && string(r.Payload.JSON()) != "{}" {
			t.Errorf("the payload of the answer is %s", r.Payload.JSON())
		}
	})
}

// TestNativeEnds: how a link ends says whether its session does, and the client sees the code.
func TestNativeEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end       func(w *nativeWire, c link.StreamConn, s *streamSession)
		code      link.Code // that the client reads; 0: none
		onPurpose bool
	}{
		"abort":         {end: func(_ *nativeWire, c link.StreamConn, _ *streamSession) { c.Abort() }},
		"close":         {end: func(_ *nativeWire, c link.StreamConn, _ *streamSession) { c.Close() }, onPurpose: true},
		"server closes": {end: func(_ *nativeWire, _ link.StreamConn, s *streamSession) { s.link.Close(link.CloseNormal, "") }, code: link.CloseNormal, onPurpose: true},
		"server stops":  {end: func(w *nativeWire, _ link.StreamConn, _ *streamSession) { go w.Shutdown(context.Background()) }, code: link.CloseGoingAway},
		"policy": {end: func(_ *nativeWire, c link.StreamConn, _ *streamSession) {
			c.Write(context.Background(), requests(1, "policy")...)
		},
			code: link.ClosePolicy, onPurpose: true},
		"out of turn": {end: func(_ *nativeWire, c link.StreamConn, _ *streamSession) {
			c.Write(context.Background(), requests(1, "odd")...)
		}, code: link.CloseProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startNative(t, wslink.Config{})
				c := w.login(t, link.Offer{})
				test.end(w, c, w.lobby.last())
				_, err := c.Read(t.Context())
				var closed *link.CloseError
				if code := link.Code(0); errors.As(err, &closed) {
					code = closed.Code
					if code != test.code {
						t.Errorf("the client reads close code %d, want %d", code, test.code)
					}
				} else if err == nil || test.code != 0 {
					t.Errorf("the client reads %v, want close code %d", err, test.code)
				}
				if got := <-w.lobby.ended; got != test.onPurpose {
					t.Errorf("ended on purpose: %v, want %v", got, test.onPurpose)
				}
			})
		})
	}
}

// TestNativeClientCloses: of the codes that a client closes with only 1000, and none, ends its session.
func TestNativeClientCloses(t *testing.T) {
	for _, code := range []link.Code{0, link.CloseNormal, link.CloseGoingAway, link.CloseProtocol, link.ClosePolicy, link.CloseInternal, link.CloseTryAgain, 4001} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startNative(t, wslink.Config{})
				var body []byte
				if code != 0 {
					body = ws.NewCloseFrameBody(ws.StatusCode(code), "")
				}
				w.raw(t).message(ws.OpClose, body)
				if got, want := <-w.lobby.ended, code == 0 || code == link.CloseNormal; got != want {
					t.Errorf("ended on purpose: %v, want %v", got, want)
				}
			})
		})
	}
}

// rawNative is a client on the native wire that sends what it is told to.
type rawNative struct {
	*peer
	channel *box.Channel
}

// peer is a client of pgnet's wire that has traded keys.
func (w *nativeWire) peer(t *testing.T) *peer {
	return (&wire{Server: w.Server, key: w.key, address: w.address, dial: w.dialer.DialContext}).connect(t)
}

// offering is a login with an offer.
func offering(t *testing.T, noise []byte) string {
	t.Helper()
	b, err := parlor.Packet{Message: parlor.MessageHandshake, Payload: link.WithOffer(parlor.Payload{}, link.Offer{}, noise)}.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (w *nativeWire) raw(t *testing.T) *rawNative {
	t.Helper()
	p := w.peer(t)
	handshake, noise, err := p.key.Initiate(p.tunnel.Peer())
	if err != nil {
		t.Fatal(err)
	}
	p.send(offering(t, noise))
	r := p.answer()
	_, noise = link.WelcomeOf(r.Payload)
	channel, err := handshake.Complete(noise)
	if err != nil {
		t.Fatal(err)
	}
	return &rawNative{peer: p, channel: channel}
}

// seal seals envelopes that are already encoded.
func (r *rawNative) seal(b []byte) []byte {
	r.Helper()
	sealed, err := r.channel.Seal(nil, b)
	if err != nil {
		r.Fatal(err)
	}
	return sealed
}

func encodeAll(t *testing.T, es ...*link.Envelope) (b []byte) {
	t.Helper()
	var err error
	for _, e := range es {
		if b, err = e.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestNativeRefusals: what is no good on the native wire ends the link, and not the session.
func TestNativeRefusals(t *testing.T) {
	good := func(t *testing.T, r *rawNative) []byte { return r.seal(encodeAll(t, requests(1, "quiet")...)) }
	many := make([]*link.Envelope, link.MaxPerFrame+1)
	for i := range many {
		many[i] = &link.Envelope{Kind: link.KindNote}
	}
	for name, send := range map[string]func(t *testing.T, r *rawNative){
		"text":    func(t *testing.T, r *rawNative) { r.message(ws.OpText, good(t, r)) },
		"changed": func(t *testing.T, r *rawNative) { b := good(t, r); b[3] ^= 1; r.message(ws.OpBinary, b) },
		"replayed": func(t *testing.T, r *rawNative) {
			b := good(t, r)
			r.message(ws.OpBinary, b)
			r.message(ws.OpBinary, b)
		},
		"skipped": func(t *testing.T, r *rawNative) {
			good(t, r)
			r.message(ws.OpBinary, good(t, r))
		},
		"reordered": func(t *testing.T, r *rawNative) {
			a, b := good(t, r), good(t, r)
			r.message(ws.OpBinary, b)
			r.message(ws.OpBinary, a)
		},
		"sent back": func(t *testing.T, r *rawNative) { // what the server seals is no good towards it
			r.message(ws.OpBinary, r.seal(encodeAll(t, requests(1, "a")...)))
			r.message(ws.OpBinary, r.read().Payload)
		},
		"not sealed":     func(t *testing.T, r *rawNative) { r.message(ws.OpBinary, encodeAll(t, requests(1, "a")...)) },
		"empty":          func(t *testing.T, r *rawNative) { r.message(ws.OpBinary, nil) },
		"nothing sealed": func(t *testing.T, r *rawNative) { r.message(ws.OpBinary, r.seal(nil)) },
		"no envelope":    func(t *testing.T, r *rawNative) { r.message(ws.OpBinary, r.seal([]byte{0xc0})) },
		"half a one": func(t *testing.T, r *rawNative) {
			b := encodeAll(t, requests(1, "quiet", "quiet")...)
			r.message(ws.OpBinary, r.seal(b[:len(b)-1]))
		},
		"too many": func(t *testing.T, r *rawNative) { r.message(ws.OpBinary, r.seal(encodeAll(t, many...))) },
		"pgnet's":  func(t *testing.T, r *rawNative) { r.peer.send(`{"message": "a"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startNative(t, wslink.Config{})
				r := w.raw(t)
				send(t, r)
				f := r.read()
				for f.Header.OpCode != ws.OpClose {
					f = r.read()
				}
				if code, _ := ws.ParseCloseFrameData(f.Payload); code != ws.StatusProtocolError {
					t.Errorf("closed with %d", code)
				}
				r.nc.Close()
				if <-w.lobby.ended {
					t.Error("the session has ended with its link")
				}
			})
		})
	}
}

// TestNativePayloadErrors: a payload without a form in JSON is the request's own trouble.
func TestNativePayloadErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{})
		r := w.raw(t)
		bad := []byte{0x95, 0, 0, 1, 0xa1, 'm', 0xd4, 5, 1} // an extension
		r.message(ws.OpBinary, r.seal(append(bad, encodeAll(t, requests(2, "fine")...)...)))
		for seq, want := range []string{"extension", "fine"} {
			b, err := r.channel.Open(nil, r.read().Payload)
			if err != nil {
				t.Fatal(err)
			}
			e, rest, err := link.DecodeEnvelope(b, msgpack.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(e.Message, want) || e.ID != uint64(seq+1) {
				t.Errorf("answer %d is %+v, want %q", seq, e, want)
			}
			if len(rest) > 0 {
				e, _, err := link.DecodeEnvelope(rest, msgpack.Limits{})
				if err != nil || e.Message != "fine" || e.ID != 2 {
					t.Errorf("behind it stands %+v, %v", e, err)
				}
				break
			}
		}
	})
}

// TestNativeBadHandshake: a handshake message that does not fit the keys ends the link before anything is answered.
func TestNativeBadHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{})
		p := w.peer(t)
		_, noise, err := newKey(t).Initiate(p.tunnel.Peer()) // another's
		if err != nil {
			t.Fatal(err)
		}
		p.send(offering(t, noise))
		p.expectClose(ws.StatusProtocolError, "handshake does not fit the keys")
	})
}

// TestNativeSizes: what is over the size of a frame is refused, and what is not is not, also next to others.
func TestNativeSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{})
		c := w.login(t, link.Offer{})
		s := w.lobby.last()
		const most = parlor.MaxMessageSize - box.ChannelOverhead
		overhead := len(encodeAll(t, &link.Envelope{Kind: link.KindPush, Message: strings.Repeat("x", 1<<17)})) - 1<<17
		for _, size := range []int{most - overhead, 1 << 19, 1 << 19, 1 << 16, 100} {
			if err := s.push(strings.Repeat("x", size)); err != nil {
				t.Errorf("a push of %d bytes: %v", size, err)
			}
		}
		if err := s.push(strings.Repeat("x", most-overhead+1)); !errors.Is(err, link.ErrTooLarge) {
			t.Errorf("a push that is too large: %v", err)
		}
		if err := s.push("\xff"); err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("a push of no UTF-8: %v", err)
		}
		read(t, c, 5)
		large := &link.Envelope{Kind: link.KindRequest, ID: 1, Message: strings.Repeat("x", most)}
		if err := c.Write(t.Context(), large); !errors.Is(err, link.ErrTooLarge) {
			t.Errorf("a request that is too large: %v", err)
		}
		var es []*link.Envelope
		for i := range 300 {
			es = append(es, &link.Envelope{Kind: link.KindRequest, ID: uint64(i + 1), Message: strings.Repeat("x", 10_000)})
		}
		if err := c.Write(t.Context(), es...); err != nil {
			t.Fatal(err)
		}
		for i, e := range read(t, c, 300) {
			if e.ID != uint64(i+1) {
				t.Fatalf("answer %d has the number %d", i, e.ID)
			}
		}
	})
}

// TestNativeJoinsUpToASize: what would make a frame too large that waits to be written begins the next one.
func TestNativeJoinsUpToASize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{})
		c := w.login(t, link.Offer{})
		push := func(seq uint64, size int) link.Message {
			return link.Message{Seq: seq, Push: &parlor.Push{Message: strings.Repeat("x", size)}}
		}
		sizes := []int{10, 31 << 10, parlor.MaxMessageSize - 30<<10, parlor.MaxMessageSize - 100, 10}
		var all []link.Message
		for i, size := range sizes {
			all = append(all, push(uint64(i+1), size))
		}
		if err := w.lobby.last().link.Deliver(0, all...); err != nil {
			t.Fatal(err)
		}
		for i, e := range read(t, c, len(sizes)) {
			if e.Seq != uint64(i+1) || len(e.Message) != sizes[i] {
				t.Errorf("push %d came as %d, of %d bytes, want %d", i+1, e.Seq, len(e.Message), sizes[i])
			}
		}
	})
}

// TestNativeJoins: what is said to many, many times, comes in order and whole.
func TestNativeJoins(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := serveNative(t, wslink.Config{}, ln)
	const clients, pushes = 20, 2000
	var all []link.StreamConn
	for range clients {
		all = append(all, w.login(t, link.Offer{}))
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range pushes {
			for _, s := range w.lobby.sessions {
				if err := s.push(fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for _, c := range all {
		sending.Go(func() {
			for n := 0; n < pushes; {
				es, err := c.Read(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range es {
					if e.Seq != uint64(n+1) || e.Message != fmt.Sprint(n) {
						t.Errorf("push %d is %d %q", n, e.Seq, e.Message)
					}
					n++
				}
			}
		})
	}
	sending.Wait()
}

// TestNativeNotes: a request that nothing acknowledges is acknowledged by itself.
func TestNativeNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{})
		c := w.login(t, link.Offer{})
		begin := time.Now()
		if err := c.Write(t.Context(), requests(1, "quiet", "quiet")...); err != nil {
			t.Fatal(err)
		}
		if e := read(t, c, 1)[0]; e.Kind != link.KindNote || e.Ack != 2 {
			t.Errorf("got %+v", e)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if es, err := c.Read(ctx); err == nil {
			t.Errorf("and then came %+v", es)
		}
	})
}

// TestNativeWriteOfEndedContext: a Write whose context has ended says so, also when that has closed the connection meanwhile.
func TestNativeWriteOfEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{})
		c := w.login(t, link.Offer{})
		c.Abort()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 50 { // the library looks at either first
			if err := c.Write(ctx, requests(1, "a")...); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
	})
}

// TestNativeNotReading: a client that does not read loses its link when too much waits, and not its session.
func TestNativeNotReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{QueueSize: 1 << 20, PingInterval: time.Hour})
		w.login(t, link.Offer{})
		s := w.lobby.last()
		var err error
		for n := 0; err == nil; n++ {
			if n > 1000 {
				t.Fatal("there is no limit")
			}
			err = s.push(strings.Repeat("x", 10_000))
			synctest.Wait()
		}
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if w.Stats().QueueFull.Load() != 1 {
			t.Error("it was not counted")
		}
		if <-w.lobby.ended {
			t.Error("the session has ended with its link")
		}
	})
}

// TestNativeNotReadingButPinging: that the answer to a ping does not fit any more does not end the session either.
func TestNativeNotReadingButPinging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{QueueSize: 1 << 18, PingInterval: time.Hour})
		r := w.raw(t)
		if err := w.lobby.last().push(strings.Repeat("x", 1_000_000)); err != nil { // taken, as there was room
			t.Fatal(err)
		}
		synctest.Wait()
		r.message(ws.OpPing, []byte("still here?"))
		if <-w.lobby.ended {
			t.Error("the session has ended with its link")
		}
		if n := w.Stats().QueueFull.Load(); n != 1 {
			t.Errorf("%d were counted", n)
		}
	})
}

// TestNativeIdle: who has nothing to ask stays.
func TestNativeIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{IdleTimeout: 2 * time.Minute})
		c := w.login(t, link.Offer{})
		got := make(chan error, 1)
		go func() { // ends with the push
			_, err := c.Read(t.Context())
			got <- err
		}()
		time.Sleep(time.Hour) // sleep: virtual time
		if err := w.lobby.last().push("still here?"); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// TestNativeSecrets: what was recorded cannot be opened with the keys that were traded.
func TestNativeSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startNative(t, wslink.Config{})
		r := w.raw(t)
		plain := encodeAll(t, requests(1, "quiet")...)
		sealed := r.seal(plain)
		if _, _, err := r.tunnel.Open(nil, []byte(base64.StdEncoding.EncodeToString(sealed))); err == nil {
			t.Error("the tunnel of the traded keys opens a frame")
		}
		if strings.Contains(string(sealed), "quiet") {
			t.Error("a frame is not sealed")
		}
	})
}
