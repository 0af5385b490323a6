//go:build !js

package wslink_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"parlor"
	"parlor/box"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/wslink"
)

// patience bounds everything that a test waits for.
const patience = time.Minute

// echoLobby answers every packet with its message and payload. A few messages do more: see echoSession.
type echoLobby struct {
	refuse error       // every link, if not nil
	closed chan string // users whose links have ended

	mu    sync.Mutex // guards peers
	peers []link.Peer
}

func (l *echoLobby) Open(k link.Link) (link.Session, error) {
	if l.refuse != nil {
		return nil, l.refuse
	}
	l.mu.Lock()
	l.peers = append(l.peers, k.Peer())
	l.mu.Unlock()
	return &echoSession{lobby: l, link: k}, nil
}

func (l *echoLobby) lastPeer(t *testing.T) link.Peer {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.peers) == 0 {
		t.Fatal("no link was opened")
	}
	return l.peers[len(l.peers)-1]
}

func (l *echoLobby) waitClosed(t *testing.T, user string) {
	t.Helper()
	select {
	case got := <-l.closed:
		if got != user {
			t.Errorf("the link of %q has ended, want %q", got, user)
		}
	case <-time.After(patience):
		t.Fatal("the link has not ended")
	}
}

type echoSession struct {
	lobby *echoLobby
	link  link.Link
	user  string
	flood sync.WaitGroup
}

func (s *echoSession) Receive(p parlor.Packet) error {
	switch {
	case s.user == "":
		return s.login(p)
	case p.Message == "stuck": // in a room that never answers
		return nil
	case p.Message == "flood": // more than a socket takes
		s.flood.Go(func() {
			for r := parlor.OK(strings.Repeat("x", 500_000)); s.link.Send(r) == nil; {
			}
		})
		return nil
	case p.Message == "large":
		var size struct {
			N int `json:"n"`
		}
		if err := p.Payload.Bind(&size); err != nil {
			return err
		}
		overhead, err := parlor.Response{CreatedOn: "t"}.AppendJSON(nil, time.Time{})
		if err != nil {
			return err
		}
		if err := s.link.Send(parlor.Response{CreatedOn: "t", Message: strings.Repeat("x", size.N-len(overhead))}); err != nil {
			return s.link.Send(parlor.Unexpected(err.Error()))
		}
		return nil
	case p.Message == "policy":
		return &link.CloseError{Code: link.ClosePolicy, Reason: "limit of patience"}
	}
	err := s.link.Send(parlor.OK(p.Message, p.Payload))
	if errors.Is(err, link.ErrTooLarge) {
		return s.link.Send(parlor.Unexpected(err.Error()))
	}
	return err
}

func (s *echoSession) login(p parlor.Packet) error {
	v, _ := p.Payload.Get("username")
	s.user, _ = v.(string)
	switch s.user {
	case "":
		err := s.link.Send(parlor.Response{Message: "Missing non-empty username.", Status: parlor.StatusBad, Disconnecting: true})
		s.link.Close(link.CloseNormal, "")
		return err
	case "later":
		s.flood.Go(func() { s.link.Send(parlor.OK(parlor.MessageAuthenticated)) })
		return nil
	}
	return s.link.Send(parlor.OK(parlor.MessageAuthenticated))
}

func (s *echoSession) Malformed(err error) error {
	if s.user == "" {
		s.link.Close(link.CloseInternal, "")
		return nil
	}
	return s.link.Send(parlor.Unexpected(err.Error()))
}

func (s *echoSession) Request(*link.Envelope) error { return link.ErrOutOfTurn }

func (s *echoSession) Closed(bool) {
	s.flood.Wait()
	s.lobby.closed <- s.user
}

// wire is a server on a port of the loopback, or on a network in memory.
type wire struct {
	*wslink.Server
	ln      net.Listener
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	network *memnet.Network // nil: the loopback
	lobby   *echoLobby
	key     *box.Key
	address string
}

// start starts a server that ends with the test. Limits of time that the test does not set are ones that no
// machine is too slow for, and without pings in between.
func start(t *testing.T, cfg wslink.Config) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, cfg, ln, new(net.Dialer).DialContext)
}

// startInMemory is start for a test in a bubble, where time is virtual.
func startInMemory(t *testing.T, cfg wslink.Config) *wire {
	t.Helper()
	n := memnet.New(1)
	ln, err := n.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := startOn(t, cfg, ln, nil)
	w.network = n
	w.from("")
	return w
}

// from has clients of a server in memory come from an address from now on.
func (w *wire) from(address string) {
	w.dial = memnet.Dialer{Network: w.network, From: address}.DialContext
}

func startOn(t *testing.T, cfg wslink.Config, ln net.Listener, dial func(ctx context.Context, network, address string) (net.Conn, error)) *wire {
	t.Helper()
	w := &wire{lobby: &echoLobby{closed: make(chan string, 10_000)}, key: cfg.Key, ln: ln, dial: dial}
	var err error
	if w.key == nil {
		w.key = newKey(t)
	}
	if cfg.Lobby != nil {
		w.lobby = cfg.Lobby.(*echoLobby)
		w.lobby.closed = make(chan string, 10_000)
	}
	cfg.Lobby, cfg.Key, cfg.Logger = w.lobby, w.key, slog.New(slog.DiscardHandler)
	cfg.LoginTimeout = cmp.Or(cfg.LoginTimeout, time.Hour)
	cfg.PingInterval = cmp.Or(cfg.PingInterval, time.Hour)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, time.Hour)
	cfg.CloseTimeout = cmp.Or(cfg.CloseTimeout, time.Hour)
	if w.Server, err = wslink.New(cfg); err != nil {
		t.Fatal(err)
	}
	w.address = w.ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- w.Serve(w.ln) }() // ends with Close
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return w
}

func newKey(t testing.TB) *box.Key {
	t.Helper()
	k, err := box.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// peer is a client that shows every frame.
type peer struct {
	*testing.T
	nc     net.Conn
	in     io.Reader
	key    *box.Key
	tunnel *box.Tunnel
	sent   [][]byte // the texts of all messages, as they went over the wire
	closes bool     // a close frame was sent
	lost   bool     // the server cannot tell any more where our next frame begins
}

// upgrade opens a WebSocket.
func (w *wire) upgrade(t *testing.T, headers ...string) *peer {
	t.Helper()
	h := make(http.Header)
	for i := 0; i < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	nc, early, _, err := ws.Dialer{NetDial: w.dial, Header: ws.HandshakeHeaderHTTP(h)}.Dial(ctx, "ws://"+w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	p := &peer{T: t, nc: nc, in: nc, key: newKey(t)}
	if early != nil {
		p.in = early
	}
	if p.tunnel, err = p.key.Tunnel(w.key.Public()); err != nil {
		t.Fatal(err)
	}
	return p
}

// connect opens a WebSocket and trades keys.
func (w *wire) connect(t *testing.T, headers ...string) *peer {
	t.Helper()
	p := w.upgrade(t, headers...)
	p.message(ws.OpText, p.trade())
	p.expectClear(w)
	return p
}

// login connects and logs in.
func (w *wire) login(t *testing.T, user string) *peer {
	t.Helper()
	p := w.connect(t)
	p.send(loginText(user))
	if r := p.answer(); r.Message != parlor.MessageAuthenticated {
		t.Fatalf("login answered with %q", r.Message)
	}
	return p
}

func loginText(user string) string {
	return `{"message": "handshake", "payload": {"username": "` + user + `"}}`
}

// deadline bounds what is done next, not all that a peer does: a test may be long.
func (p *peer) deadline() error { return p.nc.SetDeadline(time.Now().Add(patience)) }

func (p *peer) trade() []byte {
	return []byte(`{"message": "key_trade", "payload": {"pubkey": "` + p.key.Public() + `"}}`)
}

func (p *peer) expectClear(w *wire) {
	p.Helper()
	r, err := parlor.DecodeResponse(p.data())
	if err != nil {
		p.Fatal(err)
	}
	if v, _ := r.Payload.Get("pubkey"); v != w.key.Public() || r.Status != parlor.StatusOK {
		p.Fatalf("key trade answered with %s", r.DebugText())
	}
}

// write writes bytes as they are.
func (p *peer) write(b []byte) {
	p.Helper()
	p.closes = p.closes || b[0]&0x0F == byte(ws.OpClose)
	err := p.deadline()
	if err == nil {
		_, err = p.nc.Write(b)
	}
	if err != nil {
		p.Fatal(err)
	}
}

// frame makes the bytes of a masked frame.
func frame(op ws.OpCode, fin bool, payload []byte) []byte {
	b, err := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, payload)))
	if err != nil {
		panic(err)
	}
	return b
}

func (p *peer) message(op ws.OpCode, payload []byte) {
	p.Helper()
	p.sent = append(p.sent, payload)
	p.write(frame(op, true, payload))
}

func (p *peer) send(text string) {
	p.Helper()
	p.message(ws.OpText, p.seal(text))
}

func (p *peer) seal(text string) []byte {
	nonce := box.Nonce()
	return p.tunnel.Append(nil, []byte(text), &nonce)
}

func (p *peer) read() ws.Frame {
	p.Helper()
	f, err := p.next()
	if err != nil {
		p.Fatalf("read: %v", err)
	}
	return f
}

// next reads a frame.
func (p *peer) next() (f ws.Frame, err error) {
	if err := p.deadline(); err != nil {
		return f, err
	}
	if f.Header, err = ws.ReadHeader(p.in); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(p.in, f.Payload)
	return f, err
}

// data reads the next text message.
func (p *peer) data() []byte {
	p.Helper()
	f := p.read()
	if f.Header.OpCode != ws.OpText {
		p.Fatalf("frame with opcode %d and payload %q, want text", f.Header.OpCode, f.Payload)
	}
	return f.Payload
}

func (p *peer) answer() parlor.Response {
	p.Helper()
	text, _, err := p.tunnel.Open(nil, p.data())
	if err != nil {
		p.Fatal(err)
	}
	r, err := parlor.DecodeResponse(text)
	if err != nil {
		p.Fatal(err)
	}
	return r
}

// works checks that packets are answered.
func (p *peer) works() {
	p.Helper()
	p.deadline() // a test may be at it for long
	p.send(`{"message": "still here"}`)
	if r := p.answer(); r.Message != "still here" {
		p.Errorf("answered with %q", r.Message)
	}
}

// expectClose reads up to the close frame, answers it if it is none itself, and waits for the end. A server that
// cannot understand the answer is shown the end of what we send, or it would wait for its CloseTimeout, and reset
// the connection if the answer came later.
func (p *peer) expectClose(code ws.StatusCode, reason string) {
	p.Helper()
	f := p.read()
	for f.Header.OpCode == ws.OpPing || f.Header.OpCode == ws.OpPong {
		f = p.read()
	}
	if f.Header.OpCode != ws.OpClose {
		p.Fatalf("frame with opcode %d, want close", f.Header.OpCode)
	}
	if got, text := ws.ParseCloseFrameData(f.Payload); got != code || text != reason {
		p.Errorf("close with code %d and reason %q, want %d and %q", got, text, code, reason)
	}
	if !p.closes {
		p.write(frame(ws.OpClose, true, ws.NewCloseFrameBody(code, "")))
	}
	if p.lost {
		if err := p.nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			p.Error(err)
		}
	}
	p.expectEnd()
}

func (p *peer) expectEnd() {
	p.Helper()
	if err := p.deadline(); err != nil {
		p.Fatal(err)
	}
	if _, err := p.in.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		p.Errorf("after the close: %v, want EOF", err)
	}
}
