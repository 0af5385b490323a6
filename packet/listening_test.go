package packet_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"parlor/packet"
)

// names are those of all events of a subscription, up to its end.
func names(s *packet.Subscription) []packet.EventName {
	var all []packet.EventName
	for e := range s.C {
		all = append(all, e.Name)
	}
	return all
}

// TestSubscribeToSome checks that a listener gets the events that it asks for, in their order, and loses none for others.
func TestSubscribeToSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := regOf(t, "t:a")
		s := packet.NewServer(reg, packet.Config{Logger: quiet})
		few := s.Subscribe(3, packet.EventServerClose, packet.EventAccept, "t:own")
		recv, all := s.Subscribe(100, packet.EventServerRecv), s.Subscribe(100)
		ln, end := serveMemnet(t, s)
		c := packet.NewClient(reg, packet.Config{Logger: quiet})
		if err := c.ConnectConn(t.Context(), ln.dial()); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			must(c.Send("t:a", 1))
		}
		synctest.Wait()
		all.Close() // now only some are told
		before := len(all.C)
		s.Emit(packet.Event{Name: "t:own"})
		s.Emit(packet.Event{Name: "t:other"})
		must(c.Send("t:a", 1))
		c.Close(nil)
		<-c.Done()
		end()
		if got := names(few); !slices.Equal(got, []packet.EventName{packet.EventAccept, "t:own", packet.EventServerClose}) || few.Dropped() != 0 {
			t.Errorf("%q, and %d lost", got, few.Dropped())
		}
		if n := len(names(recv)); n != 24 { // two of the handshake, and CloseConnection
			t.Errorf("%d were received", n)
		}
		if n := len(names(all)); n != before || n < 25 {
			t.Errorf("%d events in all, then %d", before, n)
		}
	})
}

// TestEventsEnd checks that the channel of who listens closes behind the last event, in whatever way it all ends.
func TestEventsEnd(t *testing.T) {
	stopped := []packet.EventName{packet.EventServerStop, packet.EventServerInterrupt, packet.EventServerShutdown}
	for name, end := range map[string]func(s *packet.Server){
		"Close":            func(s *packet.Server) { s.Close() },
		"Shutdown":         func(s *packet.Server) { s.Shutdown(context.Background()) },
		"Stop, then Close": func(s *packet.Server) { s.Stop(nil); s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := packet.NewServer(regOf(t), packet.Config{Logger: quiet})
				heard := s.Subscribe(100, append(stopped, packet.EventServerClose)...)
				ln := newMemnet()
				served := make(chan error, 1)
				go func() { served <- s.Serve(ln) }() // ends with the server
				wireOf(t, ln.dial()).handshakeAndGo()
				synctest.Wait()
				end(s)
				got := names(heard)
				want := append([]packet.EventName{packet.EventServerClose}, stopped...)
				slices.Sort(got[:len(got)-1]) // Stop does not wait for the close
				slices.Sort(want[:len(want)-1])
				if !slices.Equal(got, want) {
					t.Errorf("%q, want %q", got, want)
				}
				s.Close()
				s.Interrupt()
				if got := names(s.Subscribe(1)); len(got) != 0 {
					t.Errorf("after the end: %q", got)
				}
				<-served
			})
		})
	}
	t.Run("all at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for range 50 {
				s := packet.NewServer(regOf(t), packet.Config{Logger: quiet})
				heard := s.Subscribe(100)
				for range 3 {
					go s.Shutdown(t.Context())
					go s.Stop(nil)
					go s.Close()
				}
				got := names(heard)
				for _, name := range stopped {
					if !slices.Contains(got, name) {
						t.Fatalf("%q comes after the end", name)
					}
				}
			}
		})
	})
	t.Run("handlers that go on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			reg := packet.NewRegistry()
			packet.MustRegister(reg, "t:a", func(*packet.Conn, packet.Body) error { <-release; return nil })
			s := packet.NewServer(reg, packet.Config{Logger: quiet})
			heard := s.Subscribe(100, packet.EventServerClose, packet.EventServerShutdown)
			ln := newMemnet()
			go s.Serve(ln) // ends with the server
			w := wireOf(t, ln.dial())
			w.handshake()
			w.send(64, nil)
			synctest.Wait()
			s.Close() // gives up after some seconds
			if e := <-heard.C; e.Name != packet.EventServerShutdown || len(heard.C) != 0 {
				t.Errorf("%s", e.Name)
			}
			close(release)
			if got := names(heard); !slices.Equal(got, []packet.EventName{packet.EventServerClose}) {
				t.Errorf("%q", got)
			}
		})
	})
}

// handshakeAndGo is a client that closes when the server does.
func (w *wire) handshakeAndGo() {
	w.handshake()
	go func() { // ends with the connection
		w.reason()
		w.Close()
	}()
}

// TestEventsEndManual checks that with Config.Manual it is behind what Process tells, also if the server is closed by what
// Process calls.
func TestEventsEndManual(t *testing.T) {
	for name, inside := range map[string]bool{"outside": false, "inside": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s *packet.Server
				reg := packet.NewRegistry()
				packet.MustRegister(reg, "t:close", func(*packet.Conn, packet.Body) error { return s.Close() })
				s = packet.NewServer(reg, packet.Config{Manual: true, Logger: quiet})
				heard := s.Subscribe(100, packet.EventServerClose, packet.EventServerShutdown)
				ln := newMemnet()
				go s.Serve(ln) // ends with the server
				w := wireOf(t, ln.dial())
				w.handshake()
				w.send(64, nil)
				synctest.Wait()
				if !inside {
					s.Close()
				}
				for len(heard.C) == 0 {
					s.Process(1)
				}
				if e := <-heard.C; e.Name != packet.EventServerShutdown {
					t.Errorf("%s", e.Name)
				}
				select {
				case e := <-heard.C:
					t.Errorf("%s before Process", e.Name)
				default:
				}
				s.Process(0)
				if got := names(heard); !slices.Equal(got, []packet.EventName{packet.EventServerClose}) {
					t.Errorf("%q", got)
				}
			})
		})
	}
}

// TestEventsEndClient is the same for clients.
func TestEventsEndClient(t *testing.T) {
	for name, c := range map[string]struct {
		run  func(t *testing.T, c *packet.Client)
		last packet.EventName
	}{
		"by the server": {func(t *testing.T, c *packet.Client) {
			ours, theirs := net.Pipe()
			w := wireOf(t, theirs)
			go func() { // ends with the handshake
				w.shake(nil)
				w.send(packet.IDCloseConnection, map[string]any{"reason": "bye"})
				w.Close()
			}()
			if err := c.ConnectConn(t.Context(), ours); err != nil && !errors.Is(err, packet.ErrClosed) {
				t.Error(err)
			}
		}, packet.EventClientStop},
		"Connect fails": {func(t *testing.T, c *packet.Client) {
			if err := c.Connect(t.Context(), "unix:/nowhere/at/all"); err == nil {
				t.Error("it connected")
			}
		}, packet.EventClientInitialize},
		"closed before": {func(t *testing.T, c *packet.Client) { c.Close(nil) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := packet.NewClient(regOf(t), packet.Config{Logger: quiet})
				heard := client.Subscribe(100)
				c.run(t, client)
				got := append([]packet.EventName{""}, names(heard)...)
				if last := got[len(got)-1]; last != c.last {
					t.Errorf("%q", got)
				}
			})
		})
	}
}
