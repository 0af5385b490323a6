package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/client"
	"parlor/link"
)

// TestOrderOfEvents is section 13.1, and 13.4 for a session with a game.
func TestOrderOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events journal
		l := newLobby()
		c, err := client.New("example.org", events.config(client.Config{Dialer: l, Password: "pw", InviteCode: "1a2b"}))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Status(); got != "New client." {
			t.Errorf("status %q before the first connect", got)
		}
		if c.Wait() != nil || c.Done() != nil || c.Close() != nil || c.Connected() || c.Pending() != 0 {
			t.Error("a new client is not idle")
		}
		go c.Connect(t.Context())
		f := l.accept(t)
		p := f.next(t)
		if got := string(p.Payload.JSON()); got != `{"username": "alice", "password": "pw", "invite_code": "1a2b"}` {
			t.Errorf("login payload %s", got)
		}
		synctest.Wait()
		events.want(t, "status Connecting to example.org:38929...", "status Logging in...")
		f.answer(t, parlor.OK(parlor.MessageAuthenticated))
		synctest.Wait()
		events.want(t, "connection true", "status Logged in as alice @ far:1")
		if !c.Connected() || c.Username() != "alice" {
			t.Error("the client is not connected")
		}

		c.Send(parlor.Packet{Message: "one"}, events.callback("one"))
		f.exchange(t, inGame("in", "first", nil))
		c.Send(parlor.Packet{Message: "two"}, events.callback("two"))
		f.exchange(t, inGame("moved", "second", nil)) // straight from one game to another
		synctest.Wait()
		if c.Game() != "second" {
			t.Errorf("game %q", c.Game())
		}
		c.Send(parlor.Packet{Message: "three"}, events.callback("three"))
		f.exchange(t, parlor.Response{Message: "go away", Status: 7, Disconnecting: true})
		wantReason(t, c.Wait(), "go away")
		events.want(t,
			"status Joined game: first", "game first", "one: in",
			"status Joined game: second", "game second", "two: moved",
			"status Left game: second", "game ", "three: go away",
			"connection false", "status Disconnected: go away")
		if c.Status() != "Disconnected: go away" || c.Connected() || c.Game() != "" {
			t.Errorf("status %q, connected %t, game %q", c.Status(), c.Connected(), c.Game())
		}
	})
}

func TestStatusNamesTheTarget(t *testing.T) {
	for address, want := range map[string]string{
		"localhost":          "localhost:38929",
		"localhost:7":        "localhost:7",
		"::1":                "[::1]:38929",
		"[::1]":              "[::1]:38929",
		"[::1]:7":            "[::1]:7",
		"wss://example.org/": "wss://example.org/",
	} {
		var events journal
		l := newLobby()
		l.fail = func(context.Context) error { return errors.New("no") }
		_, err := client.Dial(t.Context(), address, events.config(client.Config{Dialer: l}))
		wantReason(t, err, client.ReasonCallFailed)
		events.want(t, "status Connecting to "+want+"...", "status Disconnected: Failed to call server.")
	}
}

// TestLoginReasons are the reasons of section 13.2 that come before the login is complete: no connection
// event, and the client can connect again.
func TestLoginReasons(t *testing.T) {
	tests := map[string]struct {
		cfg   client.Config
		fail  error
		key   string
		serve func(*testing.T, *far)
		want  string
		after time.Duration
	}{
		"no server": {fail: errors.New("refused"), want: client.ReasonCallFailed},
		"wrong key": {
			cfg: client.Config{ServerKey: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, key: "other", want: client.ReasonWrongKey,
			serve: func(t *testing.T, f *far) {
				select {
				case p := <-f.sent:
					t.Errorf("the client sent %s to a server that it does not know", p.DebugText())
				case <-f.closed:
				}
			},
		},
		"refused": {want: "Incorrect password.", serve: func(t *testing.T, f *far) {
			f.exchange(t, parlor.Response{Message: "Incorrect password.", Status: 1, Disconnecting: true})
		}},
		"odd status": {want: "hm", serve: func(t *testing.T, f *far) {
			f.exchange(t, parlor.Response{Message: "hm", Status: -3})
		}},
		"closed":       {want: client.ReasonClosed, serve: func(t *testing.T, f *far) { f.next(t); f.Close() }},
		"undecrypted":  {want: client.ReasonUndecrypted, serve: fails(link.ErrUndecryptable)},
		"malformed":    {want: client.ReasonUnexpected, serve: fails(&parlor.MalformedError{Reason: "x"})},
		"nothing sent": {want: client.ReasonTimeout, serve: func(*testing.T, *far) {}, after: 5 * time.Second},
		"no answer":    {want: client.ReasonTimeout, serve: func(t *testing.T, f *far) { f.next(t) }, after: 5 * time.Second},
		"own timeout": {
			cfg: client.Config{Timeout: time.Minute}, want: client.ReasonTimeout,
			serve: func(t *testing.T, f *far) { f.next(t) }, after: time.Minute,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var events journal
				l := newLobby()
				l.key = test.key
				if test.fail != nil {
					l.fail = func(context.Context) error { return test.fail }
				}
				test.cfg.Dialer = l
				c, err := client.New("lobby", events.config(test.cfg))
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				want := []string{"status Connecting to lobby:38929..."}
				go func() {
					if test.serve != nil {
						test.serve(t, l.accept(t))
					}
				}()
				if test.serve != nil {
					want = append(want, "status Logging in...")
				}
				wantReason(t, c.Connect(t.Context()), test.want)
				if took := time.Since(start); took != test.after {
					t.Errorf("it took %v, want %v", took, test.after)
				}
				wantReason(t, c.Wait(), test.want)
				events.want(t, append(want, "status Disconnected: "+test.want)...)

				l.fail, l.key = nil, test.cfg.ServerKey
				connect(t, c, l)
				wantReason(t, errors.Join(c.Close(), c.Wait()), client.ReasonByClient)
			})
		})
	}
}

// fails has the client's Receive fail after the login was sent.
func fails(err error) func(*testing.T, *far) {
	return func(t *testing.T, f *far) { f.next(t); f.answer(t, err) }
}

func TestCallTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLobby()
		l.fail = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := client.Dial(ctx, "lobby", client.Config{Username: "alice", Dialer: l})
		wantReason(t, err, client.ReasonByClient)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not tell of the context", err)
		}
	})
}

// TestContextEndsWhileConnecting at each step.
func TestContextEndsWhileConnecting(t *testing.T) {
	for name, serve := range map[string]func(*testing.T, *lobby){
		"already":  nil,
		"calling":  func(*testing.T, *lobby) {},
		"sending":  func(t *testing.T, l *lobby) { l.accept(t) },
		"awaiting": func(t *testing.T, l *lobby) { l.accept(t).next(t) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var events journal
				l := newLobby()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if serve == nil {
					cancel()
				} else {
					go func() { serve(t, l); synctest.Wait(); cancel() }()
				}
				_, err := client.Dial(ctx, "lobby", events.config(client.Config{Dialer: l}))
				wantReason(t, err, client.ReasonByClient)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v does not tell of the context", err)
				}
				if got := events.take(); got[len(got)-1] != "status Disconnected: Client closed connection." {
					t.Errorf("events %q", got)
				}
			})
		})
	}
}

// TestContextEndsAfterConnecting: it does not bound the connection.
func TestContextEndsAfterConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLobby()
		c, err := client.New("lobby", client.Config{Username: "alice", Dialer: l})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- c.Connect(ctx) }()
		l.login(t)
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if !c.Connected() {
			t.Error("the connection ended with the context of Connect")
		}
		if err := c.Connect(t.Context()); err != client.ErrConnected {
			t.Errorf("a second Connect: %v", err)
		}
		c.Close()
		c.Wait()
	})
}

// TestDefect8DisconnectBeforeLogin: a disconnect before the login is complete is honoured, where pgnet
// forgets it.
func TestDefect8DisconnectBeforeLogin(t *testing.T) {
	for _, at := range []string{"Connecting", "Logging in"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var events journal
				l := newLobby()
				var c *client.Client
				cfg := events.config(client.Config{Dialer: l})
				told := cfg.OnStatus
				cfg.OnStatus = func(s string) {
					told(s)
					if strings.HasPrefix(s, at) {
						c.Disconnect()
					}
				}
				c, err := client.New("lobby", cfg)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					if at != "Connecting" {
						l.accept(t)
					}
				}()
				wantReason(t, c.Connect(t.Context()), client.ReasonByClient)
				c.Wait()
				if got := strings.Join(events.take(), "; "); strings.Contains(got, "connection true") || !strings.HasSuffix(got, "Disconnected: Client closed connection.") {
					t.Errorf("events: %s", got)
				}
			})
		})
	}
}

func TestErrorTexts(t *testing.T) {
	cause := errors.New("no route")
	err := error(&client.DisconnectedError{Reason: client.ReasonCallFailed, Err: cause})
	if err.Error() != "disconnected: Failed to call server. (no route)" || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if text := fmt.Sprint(&client.DisconnectedError{Reason: "x"}); text != "disconnected: x" {
		t.Error(text)
	}
}
