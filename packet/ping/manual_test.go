package ping_test

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor/packet"
	"parlor/packet/ping"
)

// piped is a listener whose connections come over a channel.
type piped struct {
	conns chan net.Conn
	done  chan struct{}
	close func() // done, once
}

func (l *piped) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *piped) Close() error   { l.close(); return nil }
func (l *piped) Addr() net.Addr { return &net.UnixAddr{} }

// TestManual checks that with Config.Manual pings are answered by Process and by nothing else, which the round trip shows.
func TestManual(t *testing.T) {
	for name, own := range map[string]bool{"with Func": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := packet.NewServer(packet.NewRegistry(), packet.Config{Manual: true})
				processing, asked := false, 0 // without a lock: the race detector tells if Func runs elsewhere
				var opts ping.Options
				if own {
					opts.Func = func(*packet.Conn, *packet.Message) map[string]any {
						if asked++; !processing {
							t.Error("Func was called outside of Process")
						}
						return nil
					}
				}
				if err := ping.Serve(s, opts); err != nil {
					t.Fatal(err)
				}
				done := make(chan struct{})
				ln := &piped{make(chan net.Conn), done, sync.OnceFunc(func() { close(done) })}
				served := make(chan error, 1)
				go func() { served <- s.Serve(ln) }() // ends with the server
				type result struct {
					client *ping.Client
					pong   *ping.Pong
					err    error
				}
				answered := make(chan result, 1)
				nc, theirs := net.Pipe()
				ln.conns <- theirs
				go func() { // ends with the answer
					c, p, err := ping.DialConn(t.Context(), nc, nil, packet.Config{})
					answered <- result{c, p, err}
				}()
				time.Sleep(3 * time.Second) // sleep: on the clock of synctest, which takes no time
				if len(answered) > 0 {
					t.Error("answered without Process")
				}
				processing = true
				if n := s.Process(0); n != 1 || asked > 1 || asked == 0 && own {
					t.Errorf("Process: %d, asked %d times", n, asked)
				}
				r := <-answered
				if r.err != nil {
					t.Fatal(r.err)
				}
				if r.pong.RTT != 3*time.Second {
					t.Errorf("round trip of %v", r.pong.RTT)
				}
				r.client.Close()
				s.Close()
				<-served
				s.Process(0)
			})
		})
	}
}
