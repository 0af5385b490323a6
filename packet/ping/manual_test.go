package ping_test

import (
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/memnet"
	"parlor/packet"
	"parlor/packet/ping"
)

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
				n := memnet.New(1)
				ln, err := n.Listen("server:8080")
				if err != nil {
					t.Fatal(err)
				}
				served := make(chan error, 1)
				go func() { served <- s.Serve(ln) }() // ends with the server
				type result struct {
					client *ping.Client
					pong   *ping.Pong
					err    error
				}
				answered := make(chan result, 1)
				nc, err := n.Dial(t.Context(), "server:8080")
				if err != nil {
					t.Fatal(err)
				}
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
