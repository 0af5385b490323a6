//go:build !js

package wslink

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/gobwas/ws"

	"parlor/box"
	"parlor/link"
)

// ReadMessages reads messages from the bytes that a client has sent, until an error.
func ReadMessages(b []byte, limit int) (messages [][]byte, err error) {
	key, err := box.NewKey()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: Config{Lobby: nobody{}, Key: key, LoginSize: limit}, conns: make(map[*conn]struct{})}
	if err := s.cfg.fill(); err != nil {
		return nil, err
	}
	c := newConn(s, link.Peer{})
	s.admit(c, nil)
	c.open(discard{})
	c.br = bufio.NewReaderSize(bytes.NewReader(b), readBuffer)
	for {
		buf := &buffer{}
		_, err := c.readMessage(buf)
		if err != nil {
			c.closeBy(err)
			c.drain()
			c.readerDone()
			s.wg.Wait()
			return messages, err
		}
		messages = append(messages, buf.b)
	}
}

type nobody struct{}

func (nobody) Open(link.Link) (link.Session, error) { return nil, link.ErrTooMany }

// discard is a socket to which everything can be written.
type discard struct{ net.Conn }

func (discard) Read([]byte) (int, error)    { return 0, io.EOF }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Close() error                { return nil }
func (discard) SetDeadline(time.Time) error { return nil }

// Pass lets seconds go by for the sweeper.
func (s *Server) Pass(seconds int) {
	for range seconds {
		s.tick()
	}
}

// AddressURL is addressURL.
func AddressURL(address string) (string, error) { return addressURL(address) }

// Held is how many connections the server holds, with their keys.
func (s *Server) Held() int { return len(s.snapshot()) }

// Closing is how many of the connections are being closed, or were cut off.
func (s *Server) Closing() (n int) {
	for _, c := range s.snapshot() {
		c.out.mu.Lock()
		if c.out.closing || c.out.dead {
			n++
		}
		c.out.mu.Unlock()
	}
	return n
}

// PeerOf is who a request comes from, by the networks of the proxies.
func PeerOf(r *http.Request, proxies ...netip.Prefix) link.Peer {
	return (&Server{cfg: Config{TrustedProxies: proxies}}).peer(r)
}

// FromUTF16 is fromUTF16.
func FromUTF16(b []byte) []byte { return fromUTF16(b) }

// Has tells whether the nonce is that of a login before.
func (n *Nonces) Has(nonce [box.NonceSize]byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := markOf(nonce)
	_, underWay := n.taken[m]
	return underWay || n.accepted.has(m) || n.refused.has(m)
}

// Take, Keep and Drop are the steps of a login; Add is one that is accepted.
func (n *Nonces) Take(nonce [box.NonceSize]byte) bool  { return n.take(markOf(nonce)) }
func (n *Nonces) Keep(nonce [box.NonceSize]byte) error { return n.keep(markOf(nonce)) }
func (n *Nonces) Drop(nonce [box.NonceSize]byte)       { n.drop(markOf(nonce)) }
func (n *Nonces) Add(nonce [box.NonceSize]byte) (added bool, err error) {
	if !n.Take(nonce) {
		return false, nil
	}
	return true, n.Keep(nonce)
}

// Left is what the server still counts: connections before and after their upgrade, strangers and networks of
// them, bytes that those hold, and logins under way.
func (s *Server) Left() [6]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.cfg.Nonces
	n.mu.Lock()
	defer n.mu.Unlock()
	return [6]int{len(s.opening), len(s.conns), s.strangers.Len(), s.strangers.Crowds(), s.held, len(n.taken)}
}

// Pongs answers pings of these sizes while nobody writes, and returns how many bytes are counted and how many wait.
func Pongs(sizes ...int) (counted, waiting int) {
	c := newConn(&Server{cfg: Config{QueueSize: 1 << 20}}, link.Peer{})
	c.out.running = true
	for _, size := range sizes {
		c.control(ws.OpPong, make([]byte, size))
	}
	for _, m := range c.out.queue {
		waiting += len(m.text)
	}
	return c.out.size, waiting
}
