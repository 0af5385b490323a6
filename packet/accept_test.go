package packet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor/packet"
)

// heard counts what hooks hear of each connection.
type heard struct {
	mu    sync.Mutex // guards the fields below
	names map[*packet.Conn][]string
	order []*packet.Conn
	why   map[*packet.Conn]*packet.CloseError
}

func newHeard() *heard {
	return &heard{names: make(map[*packet.Conn][]string), why: make(map[*packet.Conn]*packet.CloseError)}
}

func (h *heard) note(c *packet.Conn, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.names[c] == nil {
		h.order = append(h.order, c)
	}
	h.names[c] = append(h.names[c], name)
}

// hooks note all but Send and Receive. The Accept hook is the given one.
func (h *heard) hooks(accept func(c *packet.Conn) bool) packet.Hooks {
	hooks := packet.Hooks{
		Connect:   func(c *packet.Conn) error { h.note(c, "connect"); return nil },
		Handshake: func(c *packet.Conn) { h.note(c, "handshake") },
		Close: func(c *packet.Conn, why *packet.CloseError) {
			h.note(c, "close")
			h.mu.Lock()
			defer h.mu.Unlock()
			h.why[c] = why
		},
		Done: func(c *packet.Conn) { h.note(c, "done") },
	}
	if accept != nil {
		hooks.Accept = func(c *packet.Conn) bool { h.note(c, "accept"); return accept(c) }
	}
	return hooks
}

// of is what was heard of the connection that came as number i, from 0.
func (h *heard) of(i int) (c *packet.Conn, all string, why *packet.CloseError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i >= len(h.order) {
		return nil, "", nil
	}
	c = h.order[i]
	return c, strings.Join(h.names[c], " "), h.why[c]
}

// TestAcceptHook: the hook is the first to hear of a connection, and knows where it comes from.
func TestAcceptHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeard()
		hooks := h.hooks(func(c *packet.Conn) bool {
			if c.RemoteAddr() == nil || c.State() != packet.StateHelloWait || c.Server() == nil || c.Security() != packet.SecurityNone {
				t.Errorf("the hook sees %v, %v, %v", c.RemoteAddr(), c.State(), c.Security())
			}
			if err := c.Send("t:a", 1); !errors.Is(err, packet.ErrNotConnected) {
				t.Errorf("something was sent: %v", err)
			}
			c.Data = c.RemoteAddr().String()
			return true
		})
		connect, done := hooks.Connect, hooks.Done
		hooks.Connect = func(c *packet.Conn) error {
			if c.Data != c.RemoteAddr().String() {
				t.Errorf("the Connect hook sees %v", c.Data)
			}
			return connect(c)
		}
		var s *packet.Server
		hooks.Done = func(c *packet.Conn) {
			if len(s.Conns()) != 0 || c.State() != packet.StateClosed {
				t.Errorf("%d connections are there still, this one is %v", len(s.Conns()), c.State())
			}
			done(c)
		}
		s = packet.NewServer(regOf(t, "t:a"), packet.Config{Hooks: hooks, Logger: quiet})
		ln, end := serveMemnet(t, s)
		defer end()
		w := wireOf(t, ln.dial())
		w.handshake()
		w.Close()
		synctest.Wait()
		c, all, _ := h.of(0)
		if all != "accept connect handshake close done" {
			t.Errorf("heard %s", all)
		}
		<-c.Done()
		if a, r := s.Stats().Accepted.Load(), s.Stats().Refused.Load(); a != 1 || r != 0 {
			t.Errorf("%d accepted, %d refused", a, r)
		}
	})
}

// TestAcceptHookRefuses: who is not let in is turned away with the reason, where that can be said without waiting. No hook hears
// of him again.
func TestAcceptHookRefuses(t *testing.T) {
	conf := pki().server
	for _, c := range []struct {
		name   string
		tls    packet.TLS
		accept func(c *packet.Conn) bool
		reason string
		failed int64
	}{
		{"false", packet.TLS{}, func(*packet.Conn) bool { return false }, packet.ReasonServerFull, 0},
		{"false, over TLS", with(conf, noCA), func(*packet.Conn) bool { return false }, packet.ReasonServerFull, 0},
		{"panic", packet.TLS{}, func(*packet.Conn) bool { panic("at the door") }, packet.ReasonInternalError, 1},
		{"panic, over TLS", with(conf, noCA), func(*packet.Conn) bool { panic("at the door") }, packet.ReasonInternalError, 1},
		{"aborted", packet.TLS{}, func(c *packet.Conn) bool { c.Abort("own words"); return false }, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHeard()
				var log bytes.Buffer
				s := packet.NewServer(regOf(t), packet.Config{MaxConns: 1, TLS: c.tls, Hooks: h.hooks(c.accept), Logger: slog.New(slog.NewTextHandler(&log, nil))})
				ln, end := serveMemnet(t, s)
				for i := range 3 { // more than MaxConns: nobody stays
					nc := ln.dial()
					var want []byte
					if c.reason != "" && !c.tls.Enabled {
						want = closeFrame(c.reason)
					}
					if got, err := io.ReadAll(nc); err != nil || !bytes.Equal(got, want) {
						t.Errorf("it was told %q, error %v, want %q", got, err, want)
					}
					nc.Close()
					synctest.Wait()
					conn, all, _ := h.of(i)
					if all != "accept" {
						t.Errorf("heard %s", all)
					}
					<-conn.Done()
					if err := conn.Err(); conn.State() != packet.StateClosed || conn.Mode() != packet.ModeClosed || !errors.Is(err, net.ErrClosed) {
						t.Errorf("it is %v, error %v", conn.State(), err)
					}
				}
				if n := len(s.Conns()); n != 0 {
					t.Errorf("%d are there still", n)
				}
				end()
				if st := s.Stats(); st.Accepted.Load() != 0 || st.Refused.Load() != 3 || st.HandlerErrors.Load() != 3*c.failed {
					t.Errorf("%d accepted, %d refused, %d failed", st.Accepted.Load(), st.Refused.Load(), st.HandlerErrors.Load())
				}
				if n := strings.Count(log.String(), "at the door"); int64(n) != 3*c.failed || n > 0 && !strings.Contains(log.String(), "Accept hook failed") {
					t.Errorf("logged: %s", log.String())
				}
			})
		})
	}
}

// TestAcceptedAreTold: of who was let in Close and Done hear once, whatever becomes of him.
func TestAcceptedAreTold(t *testing.T) {
	conf := pki().server
	stay := func(*packet.Conn) bool { return true }
	for _, c := range []struct {
		name   string
		tls    bool
		accept func(c *packet.Conn) bool
		meet   func(t *testing.T, s *packet.Server, nc net.Conn) // what the other side does, and the program meanwhile
		hears  string
		why    func(why *packet.CloseError) bool
	}{
		{"no TLS where there should be", true, stay, func(t *testing.T, _ *packet.Server, nc net.Conn) { nc.Write([]byte("GET / HTTP/1.1\r\n\r\n")) },
			"accept close done", func(why *packet.CloseError) bool { return why.Cause != nil && why.Reason == nil }},
		{"TLS that stalls", true, stay, func(t *testing.T, _ *packet.Server, nc net.Conn) { io.Copy(io.Discard, nc) },
			"accept close done", func(why *packet.CloseError) bool { return why.Cause != nil }},
		{"gone before TLS", true, stay, func(_ *testing.T, _ *packet.Server, nc net.Conn) { nc.Close() },
			"accept close done", func(why *packet.CloseError) bool { return why.Cause != nil }},
		{"aborted within TLS", true, stay, func(t *testing.T, s *packet.Server, nc net.Conn) { synctest.Wait(); s.Conns()[0].Abort("crowd") },
			"accept close done", func(why *packet.CloseError) bool { return why.Reason == "crowd" }},
		{"stopped within TLS", true, stay, func(t *testing.T, s *packet.Server, nc net.Conn) { synctest.Wait(); s.Stop("over") },
			"accept close done", func(why *packet.CloseError) bool { // whichever comes first
				return why.Reason == "over" || errors.Is(why, context.Canceled)
			}},
		{"aborted by the hook, TLS to come", true, func(c *packet.Conn) bool { c.Abort("own"); return true }, nil,
			"accept close done", func(why *packet.CloseError) bool { return why.Reason == "own" }},
		{"aborted by the hook", false, func(c *packet.Conn) bool { c.Abort("own"); return true }, nil,
			"accept connect close done", func(why *packet.CloseError) bool { return why.Reason == "own" }},
		{"closed by the hook", false, func(c *packet.Conn) bool { c.Close("own"); return true },
			func(t *testing.T, _ *packet.Server, nc net.Conn) {
				if got, err := io.ReadAll(nc); err != nil || !bytes.Equal(got, closeFrame("own")) {
					t.Errorf("it was told %q, error %v", got, err)
				}
			},
			"accept connect close done", func(why *packet.CloseError) bool { return why.Reason == "own" }},
		{"the server stopped by the hook", false, func(c *packet.Conn) bool { c.Server().Stop("over"); return true },
			func(t *testing.T, _ *packet.Server, nc net.Conn) {
				if got, err := io.ReadAll(nc); err != nil || !bytes.Equal(got, closeFrame("over")) {
					t.Errorf("it was told %q, error %v", got, err)
				}
			},
			"accept connect close done", func(why *packet.CloseError) bool { return why.Reason == "over" }},
		{"a hook that waits while the server is closed", false, func(c *packet.Conn) bool {
			<-time.After(time.Second)
			return true
		}, func(t *testing.T, s *packet.Server, _ net.Conn) { synctest.Wait(); s.Close() },
			"accept connect close done", func(why *packet.CloseError) bool { return why.Reason == nil }},
	} {
		for _, manual := range []bool{false, true} {
			t.Run(c.name+map[bool]string{true: ", manual"}[manual], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHeard()
					cfg := packet.Config{Hooks: h.hooks(c.accept), Manual: manual, HandshakeTimeout: 5 * time.Second, Logger: quiet}
					if c.tls {
						cfg.TLS = with(conf, noCA)
					}
					s := packet.NewServer(regOf(t), cfg)
					ln, end := serveMemnet(t, s)
					nc := ln.dial()
					if c.meet != nil {
						c.meet(t, s, nc)
					}
					synctest.Wait()
					conn, all, _ := h.of(0)
					if manual {
						if strings.Contains(all, "close") || len(s.Conns()) != 1 {
							t.Errorf("without Process: %s", all)
						}
						s.Process(0)
						synctest.Wait()
					}
					end()
					nc.Close()
					s.Process(0)
					<-conn.Done()
					_, all, why := h.of(0)
					if all != c.hears || why == nil || !c.why(why) || conn.Err() != error(why) {
						t.Errorf("heard %s, of %+v, want %s", all, why, c.hears)
					}
					if n := len(s.Conns()); n != 0 || s.Stats().Accepted.Load() != 1 || s.Stats().Refused.Load() != 0 {
						t.Errorf("%d are there still, %d accepted", n, s.Stats().Accepted.Load())
					}
				})
			})
		}
	}
}

// TestUnknownConnections: without an Accept hook, no hook hears of a connection whose TLS fails.
func TestUnknownConnections(t *testing.T) {
	conf := pki().server
	synctest.Test(t, func(t *testing.T) {
		h := newHeard()
		s := packet.NewServer(regOf(t), packet.Config{TLS: with(conf, noCA), Hooks: h.hooks(nil), Logger: quiet})
		ln, end := serveMemnet(t, s)
		defer end()
		nc := ln.dial()
		synctest.Wait()
		conn := s.Conns()[0]
		nc.Close()
		<-conn.Done()
		if _, all, _ := h.of(0); all != "" {
			t.Errorf("heard %s", all)
		}
	})
}

// TestAcceptWhileTheServerEnds: however the end of a server, newcomers, and those who make room for them, meet: each that was let in
// is told of once, and when the server has ended nothing is left.
func TestAcceptWhileTheServerEnds(t *testing.T) {
	conf := pki().server
	ends := map[string]func(s *packet.Server){
		"Close":    func(s *packet.Server) { s.Close() },
		"Shutdown": func(s *packet.Server) { s.Shutdown(t.Context()) },
		"Stop":     func(s *packet.Server) { s.Stop("over"); s.Shutdown(t.Context()) },
	}
	for name, ends := range ends {
		for _, tls := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", TLS"}[tls], func(t *testing.T) {
				t.Parallel()
				const most = 3
				h := newHeard()
				var mu sync.Mutex // guards the next two
				var in []*packet.Conn
				var let int
				cfg := packet.Config{CloseTimeout: time.Millisecond, Logger: quiet, Hooks: h.hooks(func(c *packet.Conn) bool {
					mu.Lock()
					if c.CID()%5 == 0 {
						mu.Unlock()
						return false
					}
					var victim *packet.Conn
					if in, let = append(in, c), let+1; len(in) > most {
						victim, in = in[0], in[1:]
					}
					mu.Unlock()
					if victim != nil {
						victim.Abort(nil)
					}
					return true
				})}
				if tls {
					cfg.TLS = with(conf, noCA)
				}
				s := packet.NewServer(regOf(t), cfg)
				var all sync.WaitGroup
				for range 2 {
					ln := newMemnet()
					all.Go(func() { s.Serve(ln) })
					all.Go(func() {
						for {
							nc, err := ln.network.Dial(t.Context(), ln.Addr().String())
							if err != nil {
								return
							}
							all.Go(func() { io.Copy(io.Discard, nc); nc.Close() })
						}
					})
				}
				eventually(t, "some were let in", func() bool { mu.Lock(); defer mu.Unlock(); return let > 20 })
				ends(s)
				h.mu.Lock()
				told := 0
				for c, names := range h.names {
					closes, dones := 0, 0
					for _, name := range names {
						switch name {
						case "close":
							closes++
						case "done":
							dones++
						}
					}
					want := 1
					if c.CID()%5 == 0 {
						want = 0
					}
					if told += closes; closes != want || dones != want {
						t.Errorf("heard %v, want Close %d times", names, want)
					}
				}
				h.mu.Unlock()
				if n := int(s.Stats().Accepted.Load()); told != let || n != let || len(s.Conns()) != 0 {
					t.Errorf("%d let in, %d counted, %d told of, %d are there still", let, n, told, len(s.Conns()))
				}
				all.Wait()
			})
		}
	}
}

// TestCountsWhileItWrites: a connection whose other side has ended its half counts as long as something is written to it.
func TestCountsWhileItWrites(t *testing.T) {
	for _, reads := range []bool{true, false} {
		t.Run(map[bool]string{true: "reads on", false: "does not read"}[reads], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHeard()
				s := packet.NewServer(regOf(t, "t:a"), packet.Config{Hooks: h.hooks(nil), WriteTimeout: 20 * time.Second, NoCompression: true, Logger: quiet})
				ln, end := serveMemnet(t, s)
				defer end()
				nc := ln.dial()
				defer nc.Close()
				w := wireOf(t, nc)
				w.handshake()
				c := active(t, s)
				for range 3 {
					if err := c.Send("t:a", make([]byte, 1_000_000)); err != nil {
						t.Fatal(err)
					}
				}
				must(nc.(interface{ CloseWrite() error }).CloseWrite())
				synctest.Wait()
				if _, all, _ := h.of(0); len(s.Conns()) != 1 || all != "connect handshake close" {
					t.Errorf("%d connections count, heard %s", len(s.Conns()), all)
				}
				begun := time.Now()
				if reads {
					must(nc.SetReadDeadline(never))
					if n, err := io.Copy(io.Discard, nc); err != nil || n < 3_000_000 {
						t.Errorf("read %d bytes, error %v", n, err)
					}
				}
				<-c.Done()
				if took := time.Since(begun); reads == (took > time.Second) || took > 25*time.Second {
					t.Errorf("it took %v", took)
				}
				if _, all, _ := h.of(0); len(s.Conns()) != 0 || all != "connect handshake close done" {
					t.Errorf("%d connections count, heard %s", len(s.Conns()), all)
				}
			})
		})
	}
}
