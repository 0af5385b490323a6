//go:build !js

package wslink

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"parlor/internal/crowd"
	"parlor/internal/late"
	"parlor/link"
)

// Server brings WebSocket clients to a lobby.
type Server struct {
	cfg   Config
	http  *http.Server
	stats Stats

	clock    atomic.Int64 // seconds since the start, of the sweeper
	stop     chan struct{}
	flushers *flushers
	late     late.Group     // connections with answers that wait for others
	wg       sync.WaitGroup // the sweeper, the flushers, and two goroutines for each connection

	mu        sync.Mutex // guards the fields below
	conns     map[*conn]struct{}
	opening   map[net.Conn]*stranger     // connections that have not been upgraded yet
	strangers crowd.Strangers[*stranger] // these, and those of conns that have not logged in
	held      int                        // bytes that the messages of strangers hold beyond usual logins
	closing   bool
}

// maxHeader bounds a request's header, in bytes.
const maxHeader = 16 << 10

// socketKey is for the socket of a request, in its context.
type socketKey struct{}

// New makes a server. It holds a few goroutines until Close.
func New(cfg Config) (*Server, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, stop: make(chan struct{}), flushers: newFlushers(),
		conns: make(map[*conn]struct{}), opening: make(map[net.Conn]*stranger),
	}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: cfg.LoginTimeout, // for the TLS handshake too
		ReadTimeout:       cfg.LoginTimeout, // or a body that never comes would hold the connection
		WriteTimeout:      cfg.WriteTimeout,
		IdleTimeout:       cfg.LoginTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	s.http.ConnState = s.connState
	s.http.DisableGeneralOptionsHandler = true // or OPTIONS * would be answered with 200
	s.http.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		return context.WithValue(ctx, socketKey{}, nc)
	}
	s.http.Protocols = new(http.Protocols)
	s.http.Protocols.SetHTTP1(true) // WebSocket's opening handshake is HTTP/1.1
	s.wg.Go(s.sweep)                // ends with Close
	for range runtime.GOMAXPROCS(0) {
		s.wg.Go(s.flushers.run) // likewise
	}
	return s, nil
}

// Serve accepts connections until Shutdown or Close, and returns nil then. It blocks. It may be called for
// several listeners, which it closes.
func (s *Server) Serve(ln net.Listener) error {
	err := s.http.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// connState looks after the connections that have not been upgraded. They count from the first moment: each
// holds a file descriptor.
func (s *Server) connState(nc net.Conn, state http.ConnState) {
	s.mu.Lock()
	var victim *stranger
	switch state {
	case http.StateNew:
		victim = s.makeRoom()
		newcomer := &stranger{socket: nc}
		newcomer.place = s.strangers.Add(newcomer, link.Network(addrPort(nc.RemoteAddr().String()).Addr()))
		s.opening[nc] = newcomer
	case http.StateHijacked, http.StateClosed:
		s.remove(s.opening[nc])
	}
	s.mu.Unlock()
	victim.cut()
}

// Stats are the server's counters.
func (s *Server) Stats() *Stats { return &s.stats }

// Subprotocol is the WebSocket subprotocol of servers that know the native wire. A client that offers it learns that before it
// logs in (docs/PROTOCOL.md, section 3.1); for the connection it means nothing.
const Subprotocol = "parlor.1"

// upgrader takes no extension, and no other subprotocol.
var upgrader = ws.HTTPUpgrader{Protocol: func(offered string) bool { return offered == Subprotocol }}

// ServeHTTP upgrades a request, whatever its path (section 2.1). What is no upgrade gets 426, and a bad one
// 400, with a line of text.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, text := s.refuse(r); status != 0 {
		if status == http.StatusUpgradeRequired {
			w.Header().Set("Upgrade", "websocket")
		}
		w.Header().Set("Connection", "close")
		http.Error(w, text, status)
		return
	}
	c := newConn(s, s.peer(r))
	socket, _ := r.Context().Value(socketKey{}).(net.Conn)
	if !s.admit(c, socket) {
		s.stats.Refused.Add(1)
		w.Header().Set("Connection", "close")
		http.Error(w, "Limit of connections reached. Try again later.", http.StatusServiceUnavailable)
		return
	}
	// What else the two may list has been looked at.
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	nc, rw, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		s.stats.BadUpgrades.Add(1)
		if nc != nil {
			nc.Close()
		}
		s.forget(c)
		return
	}
	s.stats.Accepted.Add(1)
	early := make([]byte, rw.Reader.Buffered())
	rw.Reader.Read(early) // what the client sent without waiting, if anything
	go c.serve(nc, early) // ends with the connection; counted in wg since admit
}

// refuse is why a request cannot be upgraded; status is 0 if it can.
func (s *Server) refuse(r *http.Request) (status int, text string) {
	upgrade := tokens(r.Header, "Upgrade", "websocket") && tokens(r.Header, "Connection", "upgrade")
	switch {
	case r.Method != http.MethodGet:
		status, text = http.StatusBadRequest, "Only GET requests are served here."
	case r.ContentLength != 0:
		status, text = http.StatusBadRequest, "Requests have no body here."
	case !r.ProtoAtLeast(1, 1):
		status, text = http.StatusBadRequest, "WebSocket needs HTTP/1.1."
	case !upgrade:
		status, text = http.StatusUpgradeRequired, "This is a game lobby. Connect with a WebSocket client, such as parlor connect."
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		status, text = http.StatusBadRequest, "Only version 13 of WebSocket is spoken here."
	case !isKey(r.Header.Get("Sec-WebSocket-Key")):
		status, text = http.StatusBadRequest, "Sec-WebSocket-Key must be base64 of 16 bytes."
	}
	if status != 0 {
		s.stats.BadUpgrades.Add(1)
		return status, text
	}
	origin := r.Header.Get("Origin")
	if origin != "" && len(s.cfg.Origins) > 0 && !slices.Contains(s.cfg.Origins, origin) {
		s.stats.Forbidden.Add(1)
		return http.StatusForbidden, "Pages of this origin may not connect."
	}
	return 0, ""
}

// isKey tells whether a text is base64 of 16 bytes (RFC 6455, section 4.2.1).
func isKey(text string) bool {
	b, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(b) == 16
}

// tokens tells whether a header holds a token, in any letter case.
func tokens(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// peer says where a request comes from. Behind trusted proxies it is the last address of X-Forwarded-For
// that is not a proxy's: what stands before it is the client's own claim.
func (s *Server) peer(r *http.Request) link.Peer {
	p := link.Peer{Remote: r.RemoteAddr}
	if at := addrPort(r.RemoteAddr); at.IsValid() {
		p.Addr, p.Remote = at.Addr(), at.String()
	}
	if !s.trusted(p.Addr) {
		return p
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if at, withPort := netip.ParseAddrPort(strings.TrimSpace(hop)); withPort == nil { // as some proxies write it
			addr, err = at.Addr(), nil
		}
		if err != nil {
			break
		}
		p.Addr = addr.Unmap().WithZone("") // a zone is any text, and means nothing on this machine
		p.Remote = p.Addr.String()
		if !s.trusted(p.Addr) {
			break
		}
	}
	return p
}

// addrPort is the address of a socket; it is not valid if the socket is none of the system's.
func addrPort(text string) netip.AddrPort {
	at, _ := netip.ParseAddrPort(text)
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

func (s *Server) trusted(addr netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// admit enters a connection in the table in the place of its socket, which is nil if another server has
// accepted it, unless there is no room for it.
func (s *Server) admit(c *conn, socket net.Conn) bool {
	s.mu.Lock()
	users := len(s.conns) + len(s.opening) - s.strangers.Len()
	if s.closing || users >= s.cfg.Connections {
		s.mu.Unlock()
		return false
	}
	s.remove(s.opening[socket])
	victim := s.makeRoom()
	c.stranger = &stranger{conn: c}
	c.stranger.place = s.strangers.Add(c.stranger, link.Network(c.peer.Addr))
	s.conns[c] = struct{}{}
	s.wg.Add(1) // before Shutdown waits, as closing is not set
	s.mu.Unlock()
	victim.cut() // without the lock, which comes after the connection's own
	return true
}

// makeRoom is called for a newcomer, and takes a stranger out if there are too many connections, or too many
// that have not logged in. It is the oldest of the network that has most of them, so that a crowd pushes out
// its own: who means it has sent his request or login by then. Who is taken out is to be cut off; nil if
// nobody has to go, or there are only users.
func (s *Server) makeRoom() *stranger {
	if s.strangers.Len() < s.cfg.Pending && len(s.conns)+len(s.opening) < s.cfg.Connections {
		return nil
	}
	victim := s.strangers.Oldest()
	if victim != nil {
		s.stats.Refused.Add(1)
		delete(s.conns, victim.conn)
		s.remove(victim)
	}
	return victim
}

// remove takes somebody, if anybody, off the strangers.
func (s *Server) remove(st *stranger) {
	if st == nil {
		return
	}
	s.strangers.Remove(st.place)
	if st.conn != nil {
		st.conn.stranger = nil
	} else {
		delete(s.opening, st.socket)
	}
}

// loggedIn makes a user of a stranger, who may have been cut off meanwhile.
func (s *Server) loggedIn(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(c.stranger)
	s.held -= c.held
	c.held = 0
}

// usualLogin is how many bytes of a stranger's message are not counted in Config.StrangersSize.
const usualLogin = 16 << 10

// hold makes room for n more bytes of a stranger's message, until the stranger has logged in or is gone: a
// login is held until it is answered. It tells whether there is room.
func (s *Server) hold(c *conn, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.stranger == nil {
		return true
	}
	if s.held+n > s.cfg.StrangersSize {
		s.stats.Strangers.Add(1)
		return false
	}
	c.held += n
	s.held += n
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(c.stranger)
	s.held -= c.held
	delete(s.conns, c)
	s.wg.Done()
}

func (s *Server) snapshot() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// sweep looks after all connections once a second: one goroutine in place of a timer or two for each.
func (s *Server) sweep() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.tick()
		case <-s.stop:
			return
		}
	}
}

// tick is a second.
func (s *Server) tick() {
	s.clock.Add(1)
	for _, c := range s.snapshot() {
		c.check()
	}
}

// Shutdown stops accepting, closes every connection with code 1001, and waits for them to end. When ctx
// ends first, what is left is cut off. It returns after all goroutines.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	s.mu.Unlock()
	if first {
		close(s.stop)
	}
	err := s.http.Close() // connections that are not upgraded yet
	for _, c := range s.snapshot() {
		c.Close(link.CloseGoingAway, "")
	}
	s.late.Close()
	s.flushers.close() // what is joined from now on is of connections that are closing
	defer context.AfterFunc(ctx, func() {
		for _, c := range s.snapshot() {
			c.Abort()
		}
	})()
	s.wg.Wait()
	return err
}

// Close is Shutdown without waiting for the other sides.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Shutdown(ctx)
}
