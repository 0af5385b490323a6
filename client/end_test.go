package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/client"
	"parlor/link"
)

// TestDefect10ServerGoneWhileIdle: the end of the connection is noticed at once, though nothing is asked.
func TestDefect10ServerGoneWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events journal
		c, f := dial(t, events.config(client.Config{}))
		synctest.Wait()
		events.take()
		start := time.Now()
		f.Close()
		<-c.Done()
		wantReason(t, c.Wait(), client.ReasonClosed)
		if took := time.Since(start); took != 0 {
			t.Errorf("noticed after %v", took)
		}
		events.want(t, "connection false", "status Disconnected: Connection closed.")
	})
}

// TestSessionReasons are the reasons of section 13.2 within a session, and whether a request was under way.
func TestSessionReasons(t *testing.T) {
	unasked := func(v any) func(*testing.T, *client.Client, *far) {
		return func(t *testing.T, _ *client.Client, f *far) { f.answer(t, v) }
	}
	asked := func(v any) func(*testing.T, *client.Client, *far) {
		return func(t *testing.T, c *client.Client, f *far) {
			c.Send(parlor.Packet{Message: "x"}, func(r parlor.Response, err error) {
				if _, response := v.(parlor.Response); response == (err != nil) {
					t.Errorf("callback got %v, %v", r, err)
				}
			})
			f.next(t)
			f.answer(t, v)
		}
	}
	tests := map[string]struct {
		serve func(*testing.T, *client.Client, *far)
		want  string
		after time.Duration
	}{
		"by client":                  {func(t *testing.T, c *client.Client, f *far) { c.Disconnect() }, client.ReasonByClient, 0},
		"closed, asked":              {asked(net.ErrClosed), client.ReasonClosed, 0},
		"undecryptable, asked":       {asked(link.ErrUndecryptable), client.ReasonUndecrypted, 0},
		"undecryptable, unasked":     {unasked(link.ErrUndecryptable), client.ReasonUndecrypted, 0},
		"malformed, asked":           {asked(&parlor.MalformedError{Reason: "x"}), client.ReasonUnexpected, 0},
		"malformed, unasked":         {unasked(&parlor.MalformedError{Reason: "x"}), client.ReasonUnexpected, 0},
		"disconnecting, asked":       {asked(parlor.Response{Message: "User deleted.", Disconnecting: true}), "User deleted.", 0},
		"disconnecting, unasked":     {unasked(parlor.Response{Message: "User deleted.", Disconnecting: true}), "User deleted.", 0},
		"response that nobody asked": {unasked(parlor.OK("hello")), client.ReasonUnexpected, 0},
		"server does not answer": {func(t *testing.T, c *client.Client, f *far) {
			c.Send(parlor.Packet{Message: "x"}, nil)
			f.next(t)
		}, client.ReasonTimeout, 5 * time.Second},
		"server does not read": {func(t *testing.T, c *client.Client, f *far) {
			c.Send(parlor.Packet{Message: "x"}, nil)
		}, client.ReasonTimeout, 5 * time.Second},
		"disconnect while sending": {func(t *testing.T, c *client.Client, f *far) {
			c.Send(parlor.Packet{Message: "x"}, nil)
			synctest.Wait()
			c.Disconnect()
		}, client.ReasonByClient, 0},
		"disconnect while waiting": {func(t *testing.T, c *client.Client, f *far) {
			c.Send(parlor.Packet{Message: "x"}, nil)
			f.next(t)
			c.Disconnect()
		}, client.ReasonByClient, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var events journal
				c, f := dial(t, events.config(client.Config{}))
				synctest.Wait()
				events.take()
				start := time.Now()
				test.serve(t, c, f)
				wantReason(t, c.Wait(), test.want)
				if took := time.Since(start); took != test.after {
					t.Errorf("it took %v, want %v", took, test.after)
				}
				events.want(t, "connection false", "status Disconnected: "+test.want)
			})
		})
	}
}

// TestLastWordsOfTheServer tell more than the end of the connection right behind them.
func TestLastWordsOfTheServer(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			c, f := dial(t, client.Config{Username: "alice"})
			c.Send(parlor.Packet{Message: "x"}, nil)
			f.next(t)
			go func() {
				f.answer(t, parlor.Response{Message: "You were banned.", Disconnecting: true})
				f.Close()
			}()
			wantReason(t, c.Wait(), "You were banned.")
		})
	}
}

// TestDefect9NothingCarriesOver: on disconnect the game and the queue are reset and their owners told, where
// pgnet takes both into the next session.
func TestDefect9NothingCarriesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events journal
		l := newLobby()
		c, err := client.New("lobby", events.config(client.Config{Dialer: l}))
		if err != nil {
			t.Fatal(err)
		}
		f := connect(t, c, l)
		join(t, c, f, 0.1)
		c.Send(parlor.Packet{Message: "a"}, events.callback("under way"))
		f.next(t)
		c.Send(parlor.Packet{Message: "b"}, events.callback("queued"))
		c.SendNext(parlor.Packet{Message: "c"}, events.callback("urgent"))
		failed := make(chan error, 1)
		go func() { _, err := c.Request(t.Context(), "d", nil); failed <- err }()
		synctest.Wait()
		events.take()
		f.Close()
		wantReason(t, <-failed, client.ReasonClosed)
		c.Wait()
		why := " failed: disconnected: Connection closed. (use of closed network connection)"
		events.want(t, "under way"+why, "game ", "urgent"+why, "queued"+why, "connection false", "status Disconnected: Connection closed.")
		if c.Game() != "" || c.Pending() != 0 {
			t.Errorf("game %q, %d pending", c.Game(), c.Pending())
		}
		if err := c.Send(parlor.Packet{Message: "late"}, nil); err != client.ErrNotConnected {
			t.Errorf("Send after the end: %v", err)
		}

		f = connect(t, c, l)
		synctest.Wait()
		events.take()
		select {
		case p := <-f.sent:
			t.Errorf("%s was sent in the next session", p.Message)
		case <-time.After(time.Hour):
		}
		c.Send(parlor.Packet{Message: "new"}, events.callback("new"))
		f.exchange(t, parlor.OK("done"))
		synctest.Wait()
		events.want(t, "new: done")
		c.Close()
		c.Wait()
	})
}

// TestDefect12Panics: a function of the application that panics ends the connection with a reason; the
// client can connect again.
func TestDefect12Panics(t *testing.T) {
	boom := func() { panic("boom") }
	for name, set := range map[string]func(*client.Config){
		"status": func(c *client.Config) {
			c.OnStatus = func(s string) {
				if strings.HasPrefix(s, "Joined") {
					boom()
				}
			}
		},
		"connection": func(c *client.Config) {
			c.OnConnection = func(on bool) {
				if on {
					boom()
				}
			}
		},
		"game": func(c *client.Config) {
			c.OnGame = func(g string) {
				if g != "" {
					boom()
				}
			}
		},
		"heartbeat":         func(c *client.Config) { c.OnHeartbeat = func(parlor.Response) { boom() } },
		"heartbeat payload": func(c *client.Config) { c.HeartbeatPayload = func() any { boom(); return nil } },
		"bad payload":       func(c *client.Config) { c.HeartbeatPayload = func() any { return boom } },
		"large payload":     func(c *client.Config) { c.Dialer = tooLarge{c.Dialer} },
		"callback":          func(*client.Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var events journal
				l := newLobby()
				cfg := events.config(client.Config{Dialer: l})
				set(&cfg)
				c, err := client.New("lobby", cfg)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					go c.Connect(t.Context())
					f := l.login(t)
					go func() { // the server, as long as it lasts
						for {
							select {
							case <-f.sent:
								f.say <- inGame("in", "room", nil)
							case <-f.closed:
								return
							}
						}
					}()
					synctest.Wait()
					c.Send(parlor.Packet{Message: "join"}, func(parlor.Response, error) {
						if name == "callback" {
							boom()
						}
					})
					wantReason(t, c.Wait(), client.ReasonApplication)
					if c.Status() != "Disconnected: "+client.ReasonApplication {
						t.Errorf("status %q", c.Status())
					}
				}
			})
		})
	}
}

// TestMethodsWithinCallbacks: all of them but Wait.
func TestMethodsWithinCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLobby()
		var c *client.Client
		connections := 0
		ended := make(chan error, 1)
		cfg := client.Config{Username: "alice", Dialer: l}
		cfg.OnConnection = func(connected bool) {
			ctx := context.Background()
			if !connected {
				if connections == 2 {
					ended <- c.Send(parlor.Packet{Message: "late"}, nil)
					return
				}
				if err := c.Connect(ctx); err != nil { // again, from within the event
					t.Error(err)
				}
				return
			}
			connections++
			if err := c.CreateGame(ctx, "room", client.GameOptions{}); err != nil {
				t.Error(err)
			}
			if r, err := c.Request(ctx, "hello", nil); err != nil || r.Message != "done" {
				t.Errorf("Request within an event: %v, %v", r, err)
			}
			c.Flush()
			if c.Game() != "room" || c.Pending() != 0 || !c.Connected() || c.Status() == "" || c.Username() != "alice" {
				t.Error("wrong state within an event")
			}
			if err := c.Connect(ctx); err != client.ErrConnected {
				t.Errorf("Connect within an event: %v", err)
			}
			c.Send(parlor.Packet{Message: "last"}, func(parlor.Response, error) {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		c, err := client.New("lobby", cfg)
		if err != nil {
			t.Fatal(err)
		}
		go c.Connect(t.Context())
		for range 2 {
			f := l.login(t)
			f.exchange(t, inGame("in", "room", parlor.Map{"heartbeat_rate": 0.001}))
			f.exchange(t, inGame("done", "room", nil))
			f.exchange(t, inGame("done", "room", nil))
		}
		if err := <-ended; err != client.ErrNotConnected {
			t.Errorf("Send after the end: %v", err)
		}
		wantReason(t, c.Wait(), client.ReasonByClient)
	})
}

// TestConcurrentUse is for the race detector: everything at once, over several connections.
func TestConcurrentUse(t *testing.T) {
	var events journal
	l := newLobby()
	c, err := client.New("lobby", events.config(client.Config{Dialer: l, MaxPending: 16}))
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var servers, users sync.WaitGroup
	servers.Go(func() {
		for {
			select {
			case f := <-l.conns:
				servers.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-f.sent:
						case <-f.closed:
							return
						}
						r := parlor.OK("done")
						if n%2 == 1 {
							r = inGame("in", "room", parlor.Map{"heartbeat_rate": 1000})
						}
						select {
						case f.say <- r:
						case <-f.closed:
							return
						}
						if n == 200 {
							f.Close()
						}
					}
				})
			case <-stop:
				return
			}
		}
	})
	for range 4 {
		users.Go(func() {
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				_, err := c.Request(ctx, "x", nil)
				cancel()
				if errors.Is(err, client.ErrNotConnected) {
					c.Connect(t.Context())
				}
				c.Send(parlor.Packet{Message: "y"}, events.callback("y"))
				c.SendNext(parlor.Packet{Message: "z"}, nil)
				_, _, _, _ = c.Game(), c.Status(), c.Connected(), c.Pending()
			}
		})
	}
	var leaver sync.WaitGroup
	leaver.Go(func() { // at the latest with Close: the connection that it waits for may be one that somebody has made meanwhile
		for range 20 {
			c.Flush()
			c.Disconnect()
			c.Wait()
		}
	})
	users.Wait()
	c.Close()
	c.Wait()
	leaver.Wait()
	close(stop)
	servers.Wait()
	if c.Connected() || c.Game() != "" {
		t.Error("connected after Close")
	}
}
