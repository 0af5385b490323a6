//go:build !js

package wslink

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"parlor"
	"parlor/box"
	"parlor/internal/direct"
	"parlor/link"
)

// conn is the server's end of one connection. Its reader goroutine is serve; a writer runs only while there
// is something to write (writer.go).
type conn struct {
	srv  *Server
	peer link.Peer
	nc   net.Conn // set before serve; nil before the upgrade
	// direct writes to the socket without blocking; nil where that cannot be done.
	direct *direct.Writer
	br     *bufio.Reader

	stranger *stranger // guarded by Server.mu: nil once the client has logged in
	held     int       // likewise: its part of Server.held

	tunnel   *box.Tunnel // set by the key trade, before the lobby knows the connection
	session  link.Session
	seen     window      // the reader's
	login    mark        // of the login's nonce, once hasLogin is set; the reader's, set before the lobby gets it
	hasLogin bool        // likewise
	accepted atomic.Bool // the login was
	// peerClosed is the reader's: a close frame came, after which nothing comes.
	peerClosed bool
	skip       int64                  // likewise: bytes of a frame that drain is to pass over
	head       [ws.MaxHeaderSize]byte // likewise: scratch space

	heard  atomic.Int64 // Server.clock when a frame came
	begun  atomic.Int64 // Server.clock when the message under way began, plus 1 as 0 is none
	packet atomic.Int64 // Server.clock when a packet came
	pinged atomic.Bool  // a ping was sent since a frame came

	native *native // nil for a client that speaks pgnet's wire; the reader's, set before the lobby gets the login
	out    outbox
}

// readBuffer is the size of a connection's read buffer: a small frame, so that it comes with one read. It
// is held while the connection is idle; larger ones are read into the message's own space.
const readBuffer = 1024

func newConn(s *Server, p link.Peer) *conn {
	c := &conn{srv: s, peer: p}
	c.heard.Store(s.clock.Load())
	c.packet.Store(s.clock.Load())
	return c
}

// Peer says who the client is.
func (c *conn) Peer() link.Peer { return c.peer }

// serve is the reader until the login was handed in. Then another goroutine takes over, which ends with the
// connection: this one has grown its stack by the agreement on keys, and an idle user shall not hold it.
func (c *conn) serve(nc net.Conn, early []byte) {
	if !c.open(nc) {
		cut(nc) // it was cut off during the upgrade
		c.srv.forget(c)
		return
	}
	if c.tradeKeys(early) && c.openSession() && c.takePacket(true) {
		go c.readPackets()
		return
	}
	c.end()
}

// readPackets is the reader after the login.
func (c *conn) readPackets() {
	for {
		c.br.Peek(1) // waits here, where the stack is not deep, so that the collector can shrink it
		if !c.takePacket(false) {
			break
		}
	}
	c.end()
}

// end is the end of the reader.
func (c *conn) end() {
	if c.hasLogin { // a login that was refused, as the name was still held, say, is no good later either
		c.srv.cfg.Nonces.drop(c.login)
	}
	c.drain()
	if c.session != nil {
		c.session.Closed(c.out.onPurpose())
	}
	c.readerDone()
}

// openSession brings the connection to the lobby.
func (c *conn) openSession() bool {
	session, err := c.srv.cfg.Lobby.Open(c)
	if err != nil {
		c.closeBy(err)
		return false
	}
	c.session = session
	c.setDeadline(c.srv.cfg.LoginTimeout)
	return true
}

// takePacket takes the next packet, or a frame of envelopes, to the session, and tells whether there may be more.
func (c *conn) takePacket(login bool) bool {
	p, frame, err := c.readPacket(login)
	if login && err == nil {
		c.setDeadline(0)
		c.hear(p)
	}
	c.packet.Store(c.srv.clock.Load())
	if frame != nil {
		err = c.takeFrame(frame)
	} else if err == nil {
		err = c.session.Receive(p)
	} else if malformed := (*parlor.MalformedError)(nil); errors.As(err, &malformed) {
		err = c.session.Malformed(err)
	}
	if err != nil {
		c.closeBy(err)
	}
	return err == nil
}

// readPacket reads, opens and decodes one packet, or, on the native wire, a frame. A message that was sent before is taken as
// one that cannot be opened.
func (c *conn) readPacket(login bool) (parlor.Packet, *batch, error) {
	if _, err := c.br.Peek(1); err != nil { // an idle connection holds no buffer but this one
		return parlor.Packet{}, nil, err
	}
	buf := getBuffer()
	defer putBuffer(buf)
	op, err := c.readMessage(buf)
	if err != nil {
		return parlor.Packet{}, nil, err
	}
	if c.channel() != nil {
		frame, err := c.openFrame(op, buf.b)
		return parlor.Packet{}, frame, err
	}
	p, err := c.openPacket(op, buf.b, login)
	return p, nil, err
}

// openPacket opens and decodes a message of pgnet's wire.
func (c *conn) openPacket(op ws.OpCode, sealed []byte, login bool) (parlor.Packet, error) {
	if op != ws.OpText {
		return parlor.Packet{}, link.ErrUndecryptable
	}
	text, nonce, err := c.tunnel.Open(make([]byte, 0, len(sealed)*3/4), sealed)
	if err != nil {
		return parlor.Packet{}, link.ErrUndecryptable
	}
	m := markOf(nonce)
	if login && c.srv.cfg.Nonces.take(m) {
		c.login, c.hasLogin = m, true
	}
	if !c.seen.add(m) || login && !c.hasLogin {
		c.srv.stats.Replayed.Add(1)
		return parlor.Packet{}, link.ErrUndecryptable
	}
	return parlor.DecodePacket(text)
}

// accept notes that the login is accepted, before that is answered.
func (c *conn) accept() {
	if err := c.srv.cfg.Nonces.keep(c.login); err != nil {
		c.srv.cfg.Logger.Error("the login cannot be remembered; a recording of it could be replayed after a restart", "err", err)
	}
	c.srv.loggedIn(c)
}

// tradeKeys is steps 1 and 2 of section 5.1; early is what came with the upgrade. A key that is missing or of no use is refused before ours is
// sent (defect 38).
func (c *conn) tradeKeys(early []byte) bool {
	if len(early) > 0 {
		c.br = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(early), c.nc), readBuffer)
	} else {
		c.br = bufio.NewReaderSize(c.nc, readBuffer)
	}
	c.setDeadline(c.srv.cfg.LoginTimeout)
	buf := getBuffer()
	defer putBuffer(buf)
	op, err := c.readMessage(buf)
	if err != nil {
		c.closeBy(err)
		return false
	}
	text := buf.b
	if op == ws.OpBinary {
		text = fromUTF16(text) // Python's reader takes JSON in bytes in either form (section 2.3)
	}
	if !utf8.Valid(text) { // of a text RFC 6455, section 8.1, says so; of bytes Python's reader expects it
		code := link.CloseInvalidText
		if op == ws.OpBinary {
			code = link.CloseInternal
		}
		c.Close(code, "")
		return false
	}
	p, err := parlor.DecodePacket(text)
	if err != nil {
		c.Close(link.CloseInternal, "")
		return false
	}
	var key string
	if v, _ := p.Payload.Get("pubkey"); v != nil {
		key, _ = v.(string)
	}
	tunnel, err := c.srv.cfg.Key.Tunnel(key)
	if err != nil {
		c.sendClear(parlor.Response{Message: "Missing public key string.", Status: parlor.StatusBad, Disconnecting: true})
		c.Close(link.CloseNormal, "")
		return false
	}
	c.peer.Key = key
	c.sendClear(parlor.OK(parlor.MessageKeyTrade, parlor.Map{"pubkey": c.srv.cfg.Key.Public()}))
	c.tunnel = tunnel
	return true
}

// closeBy closes in the way that an error asks for.
func (c *conn) closeBy(err error) {
	stats := &c.srv.stats
	var byCode *link.CloseError
	var violation ws.ProtocolError
	var timeout net.Error
	switch {
	case errors.As(err, &byCode):
		c.Close(byCode.Code, byCode.Reason)
	case errors.Is(err, errPeerClosed):
	case errors.Is(err, link.ErrUndecryptable):
		stats.Undecrypted.Add(1)
		c.Close(link.CloseNormal, "")
	case errors.Is(err, link.ErrTooLarge):
		stats.TooLarge.Add(1)
		c.Close(link.CloseTooLarge, "")
	case errors.Is(err, link.ErrTooMany):
		c.Close(link.ClosePolicy, err.Error())
	case errors.As(err, &violation):
		stats.Violations.Add(1)
		c.skip = math.MaxInt64 // where the next frame begins is anyone's guess
		c.Close(link.CloseProtocol, "")
	case errors.As(err, &timeout) && timeout.Timeout():
		if !c.out.isClosing() {
			stats.LoginTimeout.Add(1)
		}
		c.Close(link.CloseNormal, "")
	case errors.Is(err, net.ErrClosed) && !c.out.isClosing():
		c.Close(link.CloseNormal, "")
	case c.out.isClosing(): // and what was sent is on its way
	default: // the socket has ended
		c.Abort()
	}
}

// setDeadline bounds the reading of what comes next; 0 is no bound. A connection that is being closed keeps
// its bound.
func (c *conn) setDeadline(d time.Duration) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.closing {
		return
	}
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	c.nc.SetReadDeadline(at)
}

// check is called by the sweeper, once a second.
func (c *conn) check() {
	cfg, stats, now := &c.srv.cfg, &c.srv.stats, c.srv.clock.Load()
	if since := c.out.writing.Load(); since != 0 && seconds(now-since) > cfg.WriteTimeout {
		stats.WriteTimeout.Add(1)
		c.Abort()
		return
	}
	if !c.accepted.Load() || c.out.isClosing() {
		return // read deadlines are set
	}
	if since := c.begun.Load(); since != 0 && seconds(now-since) > cfg.MessageTime {
		stats.MessageTime.Add(1)
		c.Close(link.ClosePolicy, "limit of time for a message")
		return
	}
	if c.channel() != nil {
		c.note()
	}
	quiet := seconds(now - c.heard.Load())
	switch {
	case seconds(now-c.packet.Load()) >= cfg.IdleTimeout && c.channel() == nil: // a native client has nothing to poll for
		stats.IdleTimeout.Add(1)
		c.Close(link.CloseNormal, "")
	case quiet > cfg.PingInterval+cfg.PingTimeout:
		stats.PingTimeout.Add(1)
		c.Close(link.CloseInternal, "keepalive ping timeout")
	case quiet > cfg.PingInterval && c.pinged.CompareAndSwap(false, true):
		c.control(ws.OpPing, nil)
	}
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// Abort cuts the connection off.
func (c *conn) Abort() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.dead, c.out.queue = true, nil
	if c.nc != nil {
		cut(c.nc)
	}
}

// buffer is scratch space for one message.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 4096)} }}

func getBuffer() *buffer {
	buf := buffers.Get().(*buffer)
	buf.b = buf.b[:0]
	return buf
}

// putBuffer gives a buffer back, unless it has grown large.
func putBuffer(buf *buffer) {
	if cap(buf.b) <= 64<<10 {
		buffers.Put(buf)
	}
}
