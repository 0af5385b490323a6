package packet_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parlor/msgpack"
	"parlor/packet"
)

// scene is a capture that is replayed against one of our ends. A plan changes what is expected of it.
type scene struct {
	t      *testing.T
	c      *capture
	frames []frame
	tail   []byte // what follows the frames of the other side
	fin    string // the direction that ends without CloseConnection

	cfg     packet.Config
	options func(name string) []packet.Option // of a packet
	echo    bool                              // the server sends back what it receives
	scripts bool                              // the server answers each packet with what follows it in the capture
	server  func(s *packet.Server)            // called before it serves
	client  func(c *packet.Client)            // called before it connects
	active  func(c *packet.Conn)              // called at the server when the handshake is complete
	// run is the client's program, until its connection has ended. The default is to send the capture's packets.
	run func(ctx context.Context, nc net.Conn) error
	// before and after are called when it has connected, and when it has sent everything.
	before, after func(c *packet.Client)
	// doNotClose has that program end before CloseConnection.
	doNotClose bool
	// lingers has the raw end not close when it is told to, in virtual time.
	lingers bool
	// stepwise means that the client wants nothing of the server before it has asked, in any delivery.
	stepwise bool
	// mask makes frames comparable that have the clock in them.
	mask func(frame []byte) []byte

	mu      sync.Mutex // guards handled
	handled []string   // what reached handlers
}

// delivery says how bytes are split into writes; nil is one write for each frame, in the order of the capture.
type delivery func(frames [][]byte) [][]byte

func newScene(t *testing.T, name string) *scene {
	c := readCapture(t, name)
	s := &scene{t: t, c: c, frames: c.frames(t)}
	s.options = func(string) []packet.Option { return nil }
	s.echo = strings.Contains(c.Setup.Kind, "echoes")
	s.cfg.Logger = slog.New(slog.DiscardHandler)
	s.mask = func(b []byte) []byte { return b }
	return s
}

func (s *scene) config(options map[string]any) {
	s.t.Helper()
	for key, v := range options {
		if f, ok := v.(float64); ok {
			options[key] = int(f)
		}
	}
	cfg, err := packet.ConfigFromMap(options)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.Logger = s.cfg.Logger
	s.cfg = cfg
}

// drop takes out frames, by their places in the capture, of which the last comes first.
func (s *scene) drop(places ...int) {
	for _, i := range places {
		s.frames = slices.Delete(s.frames, i, i+1)
	}
}

// add puts in a frame, -1 being the end.
func (s *scene) add(place int, dir string, b []byte) {
	if place < 0 {
		place = len(s.frames)
	}
	s.frames = slices.Insert(s.frames, place, frame{dir: dir, b: b})
}

// silence marks frames that reach no handler.
func (s *scene) silence(places ...int) {
	for _, i := range places {
		s.frames[i].silent = true
	}
}

func (s *scene) bytes(dir string) [][]byte {
	var list [][]byte
	for _, f := range s.frames {
		if f.dir == dir {
			list = append(list, f.b)
		}
	}
	return list
}

// ending is how the connection ends at one side: with which reason, and whether the other side gave it. by is the direction of
// the CloseConnection, or of the stream that ended; empty if the test has to end it.
func (s *scene) ending(ours string) (reason any, remote bool, by string) {
	for _, f := range s.frames {
		if f.is(packet.IDCloseConnection) {
			if m, ok := frameValue(s.t, f.b).(msgpack.Map); ok {
				reason, _ = m.Get("reason")
			}
			return reason, f.dir != ours, f.dir
		}
	}
	switch {
	case s.fin == "":
		return testOver, true, ""
	case ours == "c2s":
		return packet.ReasonSocketClose, false, s.fin
	}
	return nil, false, s.fin
}

// testOver is the reason with which a test ends a connection that the capture left open. Nothing may have been sent that
// is not expected, or it comes before the end.
const testOver = "the test is over"

func (s *scene) note(name string, body []byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled = append(s.handled, name+" "+string(body))
	return len(s.handled)
}

// checkHandled compares what reached handlers with the frames of the other side.
func (s *scene) checkHandled(from string) {
	s.t.Helper()
	var want []string
	for _, f := range s.frames {
		if f.dir == from && f.app() && !f.silent {
			body, err := frameBody(f.b)
			if err != nil {
				s.t.Fatal(err)
			}
			if from == "c2s" { // our server notes what it would send back
				body = recoded(s.t, body)
			}
			want = append(want, f.name+" "+string(body))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := cmp.Diff(want, s.handled); diff != "" {
		s.t.Errorf("handled (-want +got):\n%.2000s", diff)
	}
}

// recoded is a body in the form in which our own encoder writes it.
func recoded(t testing.TB, body []byte) []byte {
	t.Helper()
	v, err := msgpack.Ordered(body, msgpack.Limits{})
	if err == nil {
		body, err = msgpack.Append(nil, v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// registry has the packets of the capture, with a handler that receives messages as they came.
func (s *scene) registry(list []captured, receive func(c *packet.Conn, m *packet.Message) error) *packet.Registry {
	s.t.Helper()
	reg := packet.NewRegistry()
	for _, p := range list {
		opts := s.options(p.Name)
		if id, ok := p.ID.(float64); ok {
			opts = append(opts, packet.WithID(packet.ID(id)))
		}
		if _, err := reg.Handle(p.Name, receive, opts...); err != nil {
			s.t.Fatal(err)
		}
	}
	return reg
}

// replies are the packets of the server that follow each one of the client.
func (s *scene) replies() [][]frame {
	replies := [][]frame{nil}
	for _, f := range s.frames {
		if f.app() && f.dir == "c2s" {
			replies = append(replies, nil)
		} else if f.app() {
			replies[len(replies)-1] = append(replies[len(replies)-1], f)
		}
	}
	return replies
}

// replayServer has our server answer the client's bytes.
func (s *scene) replayServer(net network, split delivery) {
	t := s.t
	replies := s.replies()
	receive := func(c *packet.Conn, m *packet.Message) error {
		v, err := msgpack.Ordered(m.Body(), msgpack.Limits{})
		if err != nil {
			return err
		}
		body, err := msgpack.Append(nil, v)
		if err != nil {
			return err
		}
		n := s.note(m.Name(), body)
		if s.scripts {
			for _, f := range replies[n] {
				if err := c.Send(f.name, frameValue(t, f.b)); err != nil {
					return err
				}
			}
			if n == len(replies)-1 {
				c.Server().Stop(nil)
			}
		}
		if s.echo {
			return c.Send(m.Name(), v)
		}
		return nil
	}
	reg := s.registry(s.c.Setup.ServerPackets, receive)
	closed := make(chan *packet.CloseError, 2)
	s.cfg.Hooks.Close = func(c *packet.Conn, err *packet.CloseError) { closed <- err }
	s.cfg.Hooks.Handshake = func(c *packet.Conn) {
		if s.active != nil {
			s.active(c)
		}
	}
	srv := packet.NewServer(reg, s.cfg)
	if s.server != nil {
		s.server(srv)
	}
	ln := serveMemory(t, srv)
	a, b := net.pair(t)
	ln.give(t, b)
	r := newRaw(t, a)
	r.stays.Store(s.lingers)

	if split == nil {
		last := len(s.bytes("c2s"))
		for _, f := range s.frames {
			if f.dir == "s2c" {
				s.expect(r, f.b)
				continue
			}
			r.send(f.b)
			if last--; last == 0 && len(s.tail) > 0 {
				r.send(s.tail)
			}
		}
	} else {
		stream := s.bytes("c2s")
		if len(s.tail) > 0 {
			stream = append(stream, s.tail)
		}
		for _, chunk := range split(stream) {
			r.send(chunk)
		}
		for _, b := range s.bytes("s2c") {
			s.expect(r, b)
		}
	}
	reason, remote, by := s.ending("s2c")
	s.end(r, by, "c2s")
	s.checkEnd(within(t, "the server's Close hook", closed), reason, remote)
	s.checkHandled("c2s")
	eventually(t, "the connection was forgotten", func() bool { return len(srv.Conns()) == 0 })
	if len(closed) > 0 {
		t.Error("the Close hook was called again")
	}
}

func (s *scene) expect(r *raw, want []byte) {
	s.t.Helper()
	if got := r.next(); !sameFrame(s.mask(got), s.mask(want)) {
		s.t.Fatalf("got  %s\nwant %s", showFrame(got), showFrame(want))
	}
}

// end ends the connection as the capture has it: the raw end writes in the direction of ours.
func (s *scene) end(r *raw, by, ours string) {
	s.t.Helper()
	begun, wait := time.Now(), time.Duration(0)
	switch by {
	case "":
		r.send(closeFrame(testOver))
	case ours:
		if by == s.fin {
			if _, ok := r.nc.(interface{ CloseWrite() error }); !ok {
				r.nc.Close()
				return
			}
			r.finish()
		}
	case "s2c": // our server has closed, and lets the raw end go first
		wait = graceTime
	case "c2s":
		wait = closeTimeout
	}
	r.expectEnd()
	if took := time.Since(begun); s.lingers && took != wait {
		s.t.Errorf("the end came after %v, want %v", took, wait)
	}
}

func (s *scene) checkEnd(got *packet.CloseError, reason any, remote bool) {
	s.t.Helper()
	if got == nil || !cmp.Equal(got.Reason, reason) || got.Remote != remote {
		s.t.Errorf("ended with %#v, want reason %v, remote %v", got, reason, remote)
	}
	if got != nil && (!errors.Is(got, packet.ErrClosed) || !errors.Is(got, net.ErrClosed)) {
		s.t.Errorf("%v is not net.ErrClosed", got)
	}
}

// asOurClient makes the frames of a capture whose client was no library into those that ours sends at the same server: the
// handshake as it is written, and of the rest what a program can send.
func (s *scene) asOurClient() {
	var out, held []frame
	began, accepted := false, false
	for _, f := range s.frames {
		if f.dir == "s2c" {
			out = append(out, f)
			switch {
			case f.is(packet.IDHello):
				out = append(out, frame{dir: "c2s", b: classicFrame})
			case f.is(packet.IDHandshake):
				out = append(append(out, frame{dir: "c2s", b: acceptFrame}), held...)
				held, accepted = nil, true
			}
			continue
		}
		if f.is(packet.IDSetType) {
			began = true
		}
		sendable := began && f.app() && frameFlags(f.b) == 0 && msgpack.Valid(f.b[10:], msgpack.Limits{}) == nil
		closes := false
		if f.is(packet.IDCloseConnection) {
			_, closes = frameValue(s.t, f.b).(msgpack.Map)
		}
		switch {
		case !sendable && !closes:
		case accepted || closes:
			out = append(out, f)
		default:
			held = append(held, f)
		}
	}
	s.frames = out
}

// replayClient has our client answer the server's bytes.
func (s *scene) replayClient(net network, split delivery) {
	t := s.t
	closed := make(chan *packet.CloseError, 2)
	s.cfg.Hooks.Close = func(c *packet.Conn, err *packet.CloseError) { closed <- err }
	if s.cfg.ConnType == "" {
		s.cfg.ConnType = s.c.Setup.ConnType
	}
	if s.run == nil {
		s.run = s.sendFrames
	}
	a, b := net.pair(t)
	r := newRaw(t, b)
	r.stays.Store(s.lingers)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- s.run(ctx, a) }()

	if split == nil {
		for _, f := range s.frames {
			if f.dir == "s2c" {
				r.send(f.b)
			} else {
				s.expect(r, f.b)
			}
		}
	} else {
		// What makes the client stop waits until it has sent what it sent before that.
		for rest := s.frames; len(rest) > 0; {
			n := slices.IndexFunc(rest[1:], func(f frame) bool { return f.dir == "s2c" && (s.stepwise || f.is(packet.IDCloseConnection)) }) + 1
			if n == 0 {
				n = len(rest)
			}
			part := scene{frames: rest[:n]}
			for _, chunk := range split(part.bytes("s2c")) {
				r.send(chunk)
			}
			for _, b := range part.bytes("c2s") {
				s.expect(r, b)
			}
			rest = rest[n:]
		}
	}
	reason, remote, by := s.ending("c2s")
	s.end(r, by, "s2c")
	err := within(t, "the client's end", result)
	got := within(t, "the client's Close hook", closed)
	s.checkEnd(got, reason, remote)
	if why, ok := errors.AsType[*packet.CloseError](err); err != nil && (!ok || why != got) {
		t.Errorf("the client returned %v, want %v", err, got)
	}
	s.checkHandled("s2c")
	if len(closed) > 0 {
		t.Error("the Close hook was called again")
	}
}

// sendFrames is a client's program that sends what the client of the capture sent.
func (s *scene) sendFrames(ctx context.Context, nc net.Conn) error {
	received := make(chan struct{}, 1<<10)
	reg := s.registry(s.c.Setup.ClientPackets, func(c *packet.Conn, m *packet.Message) error {
		s.note(m.Name(), bytes.Clone(m.Body()))
		received <- struct{}{}
		return nil
	})
	c := packet.NewClient(reg, s.cfg)
	if s.client != nil {
		s.client(c)
	}
	if err := c.ConnectConn(ctx, nc); err != nil {
		<-c.Done()
		return err
	}
	if s.before != nil {
		s.before(c)
	}
	for _, f := range s.frames {
		if s.doNotClose && f.is(packet.IDCloseConnection) {
			break
		}
		switch {
		case f.dir == "s2c" && f.app() && !f.silent:
			select { // or Close would come before it
			case <-received:
			case <-ctx.Done():
				s.t.Error("a packet of the server did not come")
				return ctx.Err()
			}
		case f.dir == "s2c":
		case f.is(packet.IDCloseConnection):
			c.Close(present(frameValue(s.t, f.b).(msgpack.Map).Get("reason")))
		case f.app():
			var v any = packet.Body(f.b[10:])
			if !s.c.raw("c2s") {
				v = frameValue(s.t, f.b) // our encoder is to write the same
			}
			if err := c.Send(f.name, v); err != nil {
				s.t.Errorf("Send: %v", err)
			}
		}
	}
	if s.after != nil {
		s.after(c)
	}
	<-c.Done()
	if c.State() != packet.StateClosed || c.Mode() != packet.ModeClosed {
		s.t.Errorf("the client ended in state %d, mode %d", c.State(), c.Mode())
	}
	return c.Err()
}

func present[T any](v T, ok bool) T {
	if !ok {
		panic("not there")
	}
	return v
}
