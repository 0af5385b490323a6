package packet_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor/packet"
)

// piped is a listener whose connections come over a channel, until it is closed.
type piped struct {
	conns chan net.Conn
	done  chan struct{}
	close func() // done, once
}

func newPiped() *piped {
	done := make(chan struct{})
	return &piped{make(chan net.Conn), done, sync.OnceFunc(func() { close(done) })}
}

func (l *piped) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *piped) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

func (l *piped) Close() error   { l.close(); return nil }
func (l *piped) Addr() net.Addr { return &net.UnixAddr{} }

// servePiped serves over net.Pipe until the returned function is called.
func servePiped(t *testing.T, s *packet.Server) (ln *piped, end func()) {
	t.Helper()
	ln = newPiped()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }() // ends with the server
	return ln, func() {
		s.Close()
		if err := <-done; !errors.Is(err, packet.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	}
}

// TestOneDeadlineServer: who takes long for TLS has the less time for the handshake behind it.
func TestOneDeadlineServer(t *testing.T) {
	conf := pki().server
	synctest.Test(t, func(t *testing.T) {
		s := packet.NewServer(regOf(t), packet.Config{TLS: with(conf, noCA), HandshakeTimeout: 30 * time.Second, Logger: quiet})
		ln, end := servePiped(t, s)
		defer end()
		start := time.Now()
		nc := tls.Client(ln.dial(), &tls.Config{InsecureSkipVerify: true})
		defer nc.Close()
		time.Sleep(20 * time.Second) // sleep: a slow client, by the clock of synctest
		w := wireOf(t, nc)
		w.want(packet.IDHello)
		w.want(packet.IDCloseConnection)
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("it could take %v", took)
		}
		if n := s.Stats().HandshakeTimeout.Load(); n != 1 {
			t.Errorf("%d counted", n)
		}
	})
}

// TestOneDeadlineClient: so has a server.
func TestOneDeadlineClient(t *testing.T) {
	conf := pki().server
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		cert, err := tls.LoadX509KeyPair(conf.CertFile, conf.KeyFile)
		must(err)
		ended := make(chan struct{})
		go func() { // ends with the client
			defer close(ended)
			time.Sleep(20 * time.Second) // sleep: a slow server, by the clock of synctest
			nc := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}})
			defer nc.Close()
			io.Copy(io.Discard, nc)
		}()
		start := time.Now()
		c := packet.NewClient(regOf(t), packet.Config{TLS: packet.TLS{Enabled: true, SkipVerify: true}, HandshakeTimeout: 30 * time.Second, Logger: quiet})
		if err := c.ConnectConn(t.Context(), ours); !errors.Is(err, packet.ErrTimeout) {
			t.Error(err)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("it could take %v", took)
		}
		<-c.Done()
		<-ended
	})
}
