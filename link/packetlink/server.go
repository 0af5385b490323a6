package packetlink

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"parlor/internal/crowd"
	"parlor/internal/late"
	"parlor/link"
	"parlor/msgpack"
	"parlor/packet"
	"parlor/packet/ping"
)

// Server brings clients of the packet wire to a lobby.
type Server struct {
	cfg     Config
	packets *packet.Server
	stats   Stats

	clock atomic.Int64 // ticks since the start, from 1
	stop  chan struct{}
	once  sync.Once
	late  late.Group     // links with answers that wait for others
	wg    sync.WaitGroup // the sweeper

	mu        sync.Mutex                   // guards the fields below
	links     map[*serverLink]struct{}     // of all connections, from the accept to the end, but those that were pushed out
	strangers crowd.Strangers[*serverLink] // those of them that have not logged in
}

// tick is how often the sweeper comes by. It makes a note leave within a second (section 2.2).
const tick = 500 * time.Millisecond

func ticks(n int64) time.Duration { return time.Duration(n) * tick }

// New makes a server. It holds one goroutine until Shutdown or Close.
func New(cfg Config) (*Server, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, stop: make(chan struct{}), links: make(map[*serverLink]struct{})}
	s.clock.Store(1)
	reg := newRegistry(func(id packet.ID) func(*packet.Conn, packet.Body) error {
		return func(c *packet.Conn, body packet.Body) error {
			c.Data.(*serverLink).receive(id, body)
			return nil
		}
	})
	s.packets = packet.NewServer(reg, packet.Config{
		TLS: packet.TLS{Enabled: cfg.TLS != nil, Config: cfg.TLS},
		Hooks: packet.Hooks{
			Accept:    s.accept,
			Handshake: func(c *packet.Conn) { c.Data.(*serverLink).ready() },
			Close:     func(c *packet.Conn, why *packet.CloseError) { c.Data.(*serverLink).closed(why) },
			Done:      func(c *packet.Conn) { s.forget(c.Data.(*serverLink)) },
		},
		Logger: cfg.Logger, NoEvents: true, NoCompression: true,
		// Those that are pushed out end a moment later.
		MaxConns: cfg.Connections + min(cfg.Pending, math.MaxInt-cfg.Connections), MaxFrame: frameHeader + cfg.MessageSize, MaxBody: cfg.MessageSize,
		MaxDepth:   msgpack.DefaultDepth + 1, // an envelope around its payload
		WriteQueue: cfg.QueueSize, HandshakeTimeout: cfg.LoginTimeout,
		IdleTimeout: cfg.Silence, WriteTimeout: cfg.WriteTimeout, CloseTimeout: cfg.CloseTimeout,
	})
	err := s.packets.AddConnType(ConnType, packet.ConnType{Init: func(c *packet.Conn) error {
		c.SetState(packet.StateActive)
		c.Data.(*serverLink).ready()
		return nil
	}})
	if err == nil {
		err = ping.Serve(s.packets, ping.Options{Data: cfg.Ping})
	}
	if err != nil { // never: the types are known by no other name
		return nil, fmt.Errorf("packetlink: %w", err)
	}
	s.wg.Go(s.sweep) // ends with Shutdown
	return s, nil
}

// Serve accepts connections until Shutdown or Close, and returns nil then. It blocks. It may be called for several
// listeners, of TCP and of unix sockets, which it closes.
func (s *Server) Serve(ln net.Listener) error {
	err := s.packets.Serve(ln)
	if errors.Is(err, packet.ErrClosed) {
		return nil
	}
	return err
}

// Stats are the server's counters.
func (s *Server) Stats() *Stats { return &s.stats }

// Packets are the counters of the packets beneath: of connections refused, frames, timeouts.
func (s *Server) Packets() *packet.Stats { return s.packets.Stats() }

// accept is the beginning of a connection, before its TLS. It tells whether there is room for it. Connections count from
// then on: each holds a file descriptor.
func (s *Server) accept(c *packet.Conn) bool {
	c.SetMaxFrame(frameHeader + s.cfg.LoginSize)
	l := &serverLink{srv: s, conn: c}
	l.peer.Remote, l.peer.Addr = whereFrom(c.RemoteAddr())
	c.Data = l
	s.mu.Lock()
	victim, room := s.makeRoom()
	if room {
		l.place = s.strangers.Add(l, link.Network(l.peer.Addr))
		s.links[l] = struct{}{}
	}
	s.mu.Unlock()
	if victim != nil {
		victim.conn.Abort(nil)
	}
	return room
}

// makeRoom is called for a newcomer, and takes a stranger out if there are too many connections, or too many that have
// not logged in. It is the oldest of the network that has most of them, so that a crowd pushes out its own: who means it
// has logged in by then. Who is taken out is to be cut off; nil if nobody has to go. There is no room if there are only
// users.
func (s *Server) makeRoom() (victim *serverLink, room bool) {
	if s.strangers.Len() < s.cfg.Pending && len(s.links) < s.cfg.Connections {
		return nil, true
	}
	s.stats.Refused.Add(1)
	if victim = s.strangers.Oldest(); victim == nil {
		return nil, false
	}
	s.remove(victim)
	return victim, true
}

// loggedIn makes a user of a stranger.
func (s *Server) loggedIn(l *serverLink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noStranger(l)
}

func (s *Server) noStranger(l *serverLink) {
	if l.place != nil {
		s.strangers.Remove(l.place)
		l.place = nil
	}
}

// forget is the end of a connection, which may have been pushed out before.
func (s *Server) forget(l *serverLink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(l)
}

func (s *Server) remove(l *serverLink) {
	s.noStranger(l)
	delete(s.links, l)
}

// sweep looks after all links: one goroutine in place of some timers for each.
func (s *Server) sweep() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var all []*serverLink
	for {
		select {
		case <-ticker.C:
		case <-s.stop:
			return
		}
		now := s.clock.Add(1)
		all = all[:0]
		s.mu.Lock()
		for l := range s.links {
			all = append(all, l)
		}
		s.mu.Unlock()
		for _, l := range all {
			l.check(now)
		}
		clear(all)
	}
}

// Shutdown stops accepting, closes every connection with code 1001, and waits for them to end. When ctx ends first, what is
// left is cut off. It returns after all goroutines; an error means that some still run.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.wg.Wait()
	s.once.Do(func() {
		close(s.stop)
		s.late.Close()
	})
	err := s.packets.ShutdownReason(ctx, reasonOf(link.CloseGoingAway, ""))
	if err == context.Cause(ctx) { // all were cut off
		return nil
	}
	return err
}

// Close is Shutdown without waiting for the other sides.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Shutdown(ctx)
}
