package packet_test

import (
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/memnet"
	"parlor/packet"
)

// TestOneDeadlineServer: who takes long for TLS has the less time for the handshake behind it.
func TestOneDeadlineServer(t *testing.T) {
	conf := pki().server
	synctest.Test(t, func(t *testing.T) {
		s := packet.NewServer(regOf(t), packet.Config{TLS: with(conf, noCA), HandshakeTimeout: 30 * time.Second, Logger: quiet})
		ln, end := serveMemnet(t, s)
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
		ours, theirs := memnet.New(1).Pair()
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
