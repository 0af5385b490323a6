package packet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"parlor/internal/direct"
)

// Server serves connections. Make it with NewServer, which may be followed by AddConnType and Subscribe, and call Serve
// or ListenAndServe.
type Server struct {
	*endpoint
	tls *tls.Config // nil: none
	err error       // of the config, for Serve to return

	mu        sync.Mutex // guards the fields below
	listeners map[net.Listener]struct{}
	conns     map[int64]*Conn
	lastCID   int64
	begun     bool // Serve was called
	stopped   bool
	ending    int            // calls of Stop and Shutdown that may have something to tell
	over      bool           // a Shutdown has told all
	sweeping  bool           // sweepIdle runs
	serving   sync.WaitGroup // calls of Serve
	end       context.Context
	cancel    context.CancelFunc
}

// NewServer returns a server with this registry and config. What is wrong with them is what Serve returns.
func NewServer(reg *Registry, cfg Config) *Server {
	cfg, err := cfg.fill()
	if reg == nil {
		reg, err = NewRegistry(), fmt.Errorf("%w: the registry is nil: make one with NewRegistry", ErrRegistry)
	}
	s := &Server{endpoint: newEndpoint(reg, cfg), err: err, listeners: make(map[net.Listener]struct{}), conns: make(map[int64]*Conn)}
	s.endpoint.server = s
	s.end, s.cancel = context.WithCancel(context.Background())
	if err == nil {
		s.tls, s.err = cfg.TLS.serverConfig(&cfg)
	}
	return s
}

// Listen opens a listener: on "host:port" (IPv4, IPv6 or a name), on "unix:/path", or by default on Config.Listen.
// The address of the listener has the true port if that was 0.
func (s *Server) Listen(addr string) (net.Listener, error) {
	if s.err != nil {
		return nil, s.err
	}
	if addr == "" {
		addr = s.cfg.Listen
	}
	network, address, err := splitAddress(addr)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen(network, address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w: %s", err, whoIsThere(network, address))
	}
	return ln, err
}

// whoIsThere says what to do about an address that is in use.
func whoIsThere(network, address string) string {
	if network == "unix" {
		if info, err := os.Lstat(address); err == nil && info.Mode()&os.ModeSocket == 0 {
			return "it is no socket: take another path"
		}
		nc, err := net.DialTimeout(network, address, time.Second)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return "its server is gone without taking it away: delete the file"
		}
		if err == nil {
			nc.Close()
		}
	}
	return "another server may be running there: end it, or take another address"
}

// ListenAndServe listens on an address, as Listen does, and serves until the server ends: see Serve.
func (s *Server) ListenAndServe(addr string) error {
	ln, err := s.Listen(addr)
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// acceptCalm is how long accepting has to go well for the next failure to count as the first one.
const acceptCalm = 10 * time.Second

// Serve accepts connections until the server ends, and then returns ErrClosed, at once. It closes the listener.
// It may be called for several listeners. With Config.TLS, connections are TLS.
func (s *Server) Serve(ln net.Listener) error {
	if ln == nil {
		return fmt.Errorf("%w: the listener is nil", ErrConfig)
	}
	defer ln.Close()
	if s.err != nil {
		return s.err
	}
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return fmt.Errorf("%w: the server was shut down before; make another one", ErrClosed)
	}
	s.listeners[ln] = struct{}{}
	defer s.unlisten(ln)
	s.serving.Add(1)
	first := !s.begun
	s.begun = true
	s.watchIdle()
	s.mu.Unlock()
	defer s.serving.Done()
	if first {
		s.emit(Event{Name: EventServerInitialize})
	}
	s.emit(Event{Name: EventServerBind, Addr: ln.Addr()})
	s.emit(Event{Name: EventServerStart})
	pause, failed := time.Duration(0), time.Time{}
	for {
		nc, err := ln.Accept()
		if err == nil {
			s.take(nc)
			continue
		}
		if s.end.Err() != nil {
			return ErrClosed
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() && !isTemporary(err) {
			return fmt.Errorf("packet: accept: %w", err)
		}
		// Where descriptors are short, one success says little: only a time without failures does.
		if time.Since(failed) > acceptCalm {
			pause = 0
		}
		failed = time.Now()
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.log().Error("packet: connections cannot be accepted for now", "err", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-s.end.Done():
		}
	}
}

func (s *Server) unlisten(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

// take makes a connection of a socket.
func (s *Server) take(nc net.Conn) {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		nc.Close()
		return
	}
	if len(s.conns) >= s.cfg.MaxConns {
		s.mu.Unlock()
		s.stats.Refused.Add(1)
		s.turnAway(nc, ReasonServerFull)
		return
	}
	s.lastCID++
	c := newConn(s.endpoint, SideServer, s.lastCID)
	c.state.Store(int32(StateHelloWait))
	if s.tls == nil {
		c.open(nc)
	} else {
		c.nc = nc // to be closed by; it is opened with TLS around it
	}
	s.conns[c.cid] = c
	s.mu.Unlock()
	if reason := s.refuses(c); reason != "" {
		s.forget(c)
		s.stats.Refused.Add(1)
		s.turnAway(nc, reason)
		c.turnedAway(reason)
		return
	}
	s.stats.Accepted.Add(1)       // before anybody can have an answer
	s.goes(func() { s.start(c) }) // Shutdown waits for calls of Serve before it waits for these
}

// refuses asks the Accept hook, and returns why it does not let a connection in. The hook may end other connections: no
// lock is held. Stop and Close reach the connection meanwhile as any other; its goroutine then tells of its end.
func (s *Server) refuses(c *Conn) (reason string) {
	hook, lets := s.cfg.Hooks.Accept, true
	if hook == nil {
		return ""
	}
	err := safely(func() error { lets = hook(c); return nil })
	switch {
	case err != nil:
		c.report("Accept hook", err)
		return ReasonInternalError
	case !lets:
		return ReasonServerFull
	}
	return ""
}

// turnAway refuses a socket, with a reason where nobody could be waited for. The first bytes of a socket fit.
func (s *Server) turnAway(nc net.Conn, reason string) {
	why := closeFrame(reason)
	switch d := direct.NewWriter(nc); {
	case s.tls != nil:
	case d != nil:
		d.Write(why) // without a limit of time, which a busy machine could be over before it writes
	default:
		nc.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		nc.Write(why)
	}
	nc.Close()
}

// turnedAway is the end of a connection whose socket was refused: it has no goroutine, and nobody is told.
func (c *Conn) turnedAway(reason string) {
	c.out.mu.Lock()
	c.kill() // first, so that nothing is written
	c.shutLocked(&CloseError{Reason: reason}, false)
	c.out.mu.Unlock()
	c.isClosed()
	close(c.done)
}

// start is the beginning of a connection's goroutine: TLS, the Connect hook, Hello, and then the reader.
func (s *Server) start(c *Conn) {
	deadline := time.Now().Add(s.cfg.HandshakeTimeout) // for TLS and the handshake behind it together
	c.setDeadline(s.cfg.HandshakeTimeout)
	if err := s.greet(c, deadline); err != nil {
		c.finish(err)
		return
	}
	c.serve()
}

func (s *Server) greet(c *Conn, deadline time.Time) error {
	if s.tls != nil {
		plain := c.NetConn()
		nc := tls.Server(plain, s.tls)
		ctx, cancel := context.WithDeadline(s.end, deadline)
		defer cancel()
		if err := c.secure(ctx, nc, nil); err != nil {
			s.log().Debug("packet: connection refused", "remote", plain.RemoteAddr(), "err", err)
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
				s.stats.HandshakeTimeout.Add(1)
			}
			c.shut(&CloseError{Cause: err}, false)
			return s.unborn(c, err)
		}
		if !c.open(nc) {
			return s.unborn(c, errOver)
		}
	}
	if s.cfg.LogConnect {
		s.log().Debug("connection accepted", "conn", c.cid, "remote", c.RemoteAddr(), "security", c.Security())
	}
	if hook := s.cfg.Hooks.Connect; hook != nil {
		if err := safely(func() error { return hook(c) }); err != nil {
			c.report("Connect hook", err)
			c.shut(&CloseError{Reason: ReasonInternalError, Cause: err}, true)
			return errOver
		}
	}
	if err := safely(c.hello); err != nil { // it calls hooks
		c.shut(&CloseError{Reason: ReasonInternalError, Cause: err}, true)
		return errOver
	}
	s.emit(Event{Name: EventAccept, Conn: c, Addr: c.RemoteAddr()})
	return nil
}

// unborn ends a connection of which the Connect hook has not heard. Without an Accept hook, none shall.
func (s *Server) unborn(c *Conn, err error) error {
	if s.cfg.Hooks.Accept == nil {
		c.unknown, c.closed = true, true
		c.isClosed()
	}
	return err
}

func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.cid)
}

// Conn is the connection of a number, nil if there is none (any more).
func (s *Server) Conn(cid int64) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[cid]
}

// Conns are all connections, by number, those included whose handshake is still to come, and with Config.Manual
// those that have ended and of which something waits for Process.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Conn, 0, len(s.conns))
	for _, c := range s.conns {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Conn) int { return int(a.cid - b.cid) })
	return all
}

// Addrs are where the server listens.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []net.Addr
	for ln := range s.listeners {
		all = append(all, ln.Addr())
	}
	return all
}

// Stop begins the end of the server: it accepts nothing more, and every connection is closed with the reason, nil
// being ReasonServerShutdown. It does not block, so that handlers can call it; Shutdown waits for the end.
func (s *Server) Stop(reason any) {
	if s.stop(reason) {
		s.stopEvents()
	}
	s.told(false)
}

// stop is Stop without its events, and tells whether it was the first call. A call of told follows.
func (s *Server) stop(reason any) bool {
	s.mu.Lock()
	s.ending++
	if s.stopped {
		s.mu.Unlock()
		return false
	}
	s.stopped = true
	s.cancel()
	for ln := range s.listeners {
		ln.Close()
	}
	s.mu.Unlock()
	if reason == nil {
		reason = ReasonServerShutdown
	}
	for _, c := range s.Conns() {
		c.stop(reason)
	}
	return true
}

func (s *Server) stopEvents() {
	s.emit(Event{Name: EventServerStop, Reason: "method"})
	s.Interrupt()
}

// told is behind the events of a call of Stop, or of a Shutdown with which all has ended. The last event of all is
// behind those of every call that began before.
func (s *Server) told(all bool) {
	s.mu.Lock()
	s.ending--
	s.over = s.over || all
	over := s.over && s.ending == 0
	s.mu.Unlock()
	if over {
		s.silent.Store(true)
		s.lastEvent()
	}
}

// Shutdown stops the server, as Stop(nil) does, and waits until every connection has ended: what was sent goes out first,
// and the other sides have Config.CloseTimeout to close. When ctx ends, what is left is cut off. It returns
// after all goroutines, and so waits for handlers, 5 s at most after ctx has ended: one that wants to end the server calls Stop, or this on a
// goroutine of its own. Its error is that of ctx.
func (s *Server) Shutdown(ctx context.Context) error { return s.ShutdownReason(ctx, nil) }

// ShutdownReason is Shutdown with a reason.
func (s *Server) ShutdownReason(ctx context.Context, reason any) error {
	ev := Event{Name: EventServerShutdown, Reason: reason}
	if reason == nil {
		ev.Reason = ReasonServerShutdown
	}
	if deadline, ok := ctx.Deadline(); ok {
		ev.Timeout = time.Until(deadline)
	}
	first := s.stop(reason)
	ended := make(chan struct{})
	go func() { // ends with the last handler
		s.serving.Wait()
		s.wg.Wait()
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		s.abort()
		err = context.Cause(ctx)
		select {
		case <-ended:
		case <-time.After(handlerGrace):
			err = fmt.Errorf("packet: handlers still run: %w", err)
		}
	}
	if first { // the order of section 8: closes, stop, interrupt, shutdown
		s.stopEvents()
	}
	s.emit(ev)
	s.queue.close()
	select {
	case <-ended:
		s.told(true)
	default:
		go func() { <-ended; s.told(true) }() // ends with the last handler
	}
	return err
}

// handlerGrace is how long handlers have to return when their connections have been cut off.
const handlerGrace = 5 * time.Second

// Close ends the server at once: connections are dropped without a word. It returns after all goroutines, and so waits
// for handlers and hooks, 5 s at most: called by one of them it would wait for itself. Those call Stop. With
// Config.Manual, what Process calls may call Close as well.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.abort()
	s.Shutdown(ctx)
	return nil
}

// abort drops the connections. What waits for Process of those that have ended stays.
func (s *Server) abort() {
	for _, c := range s.Conns() {
		c.cut(&CloseError{})
	}
}

// isTemporary tells whether accepting can go on later: the system lacks something for now, or the client has gone.
func isTemporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}
