package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"parlor"
	"parlor/client"
	chat "parlor/examples/chat/game"
	"parlor/examples/positions/game"
	"parlor/host"
	"parlor/internal/exampletest"
	"parlor/link"
	"parlor/link/memlink"
	"parlor/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plain dials links without envelopes, as pgnet's servers have them.
type plain struct{ link.Dialer }

func (d plain) Dial(ctx context.Context, address string) (link.Conn, error) {
	c, err := d.Dialer.Dial(ctx, address)
	return struct{ link.Conn }{c}, err
}

// TestWalk: the place is shown as it changes: by pushes each step of it, by heartbeats where she has got to.
func TestWalk(t *testing.T) {
	for name, wire := range map[string]func(link.Dialer) link.Dialer{
		"pushes":     func(d link.Dialer) link.Dialer { return d },
		"heartbeats": func(d link.Dialer) link.Dialer { return plain{d} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quiet := slog.New(slog.DiscardHandler)
				lobby, err := host.NewLocal(server.Config{Games: map[string]parlor.NewGame{"positions": game.New}, Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				in, keyboard := io.Pipe()
				out := exampletest.NewScreen()
				done := make(chan error, 1)
				go func() { // ends with the keyboard
					done <- run(context.Background(), "local", client.Config{Username: "alice", Dialer: wire(lobby), Logger: quiet}, in, out)
				}()
				out.Await(t, "\rstep 0  alice ")
				io.WriteString(keyboard, "north\n")
				out.Await(t, "where to? two numbers from -10 to 10\n")
				io.WriteString(keyboard, "11 0\n")
				out.Await(t, "Both x and y must be numbers from -10 to 10.\n")
				io.WriteString(keyboard, "-10 -10\n")
				out.Await(t, "  alice 0,0\x1b[K")
				io.WriteString(keyboard, "5 10\n")
				out.Await(t, "  alice 999,999\x1b[K") // at the fence, where she stays
				keyboard.Close()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if !regexp.MustCompile(`step [1-9]\d*  alice 5,10\x1b\[K\rstep [1-9]\d*  alice 10,20\x1b\[K`).MatchString(out.Text()) && name == "pushes" {
					t.Errorf("a step is missing:\n%q", out.Text())
				}
			})
		})
	}
}

func TestRefused(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	lobby, err := host.NewLocal(server.Config{Games: map[string]parlor.NewGame{"positions": game.New}, NoAutoCreate: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	cfg := client.Config{Username: "alice", Dialer: lobby, Logger: quiet}
	err = run(t.Context(), "local", cfg, strings.NewReader(""), io.Discard)
	if refused := (*client.RefusedError)(nil); !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
}

// someGame takes everything, and says nothing of itself.
type someGame struct{}

func (someGame) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("counted") }

// TestOtherGame: on a server with several kinds it asks for its own; a game that is another is said so, at once if it shows.
func TestOtherGame(t *testing.T) {
	some := func(parlor.Room, string) (parlor.Game, error) { return someGame{}, nil }
	quiet := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		games map[string]parlor.NewGame
		there bool // somebody has made the game of the default kind
		wire  func(link.Dialer) link.Dialer
		other bool
	}{
		"several kinds":                 {map[string]parlor.NewGame{"chat": chat.New, "positions": game.New}, false, nil, false},
		"several kinds, pgnet's wire":   {map[string]parlor.NewGame{"chat": chat.New, "positions": game.New}, false, pgnets, false},
		"another kind":                  {map[string]parlor.NewGame{"chat": chat.New, "positions": game.New}, true, nil, true},
		"another kind, pgnet's wire":    {map[string]parlor.NewGame{"chat": chat.New, "positions": game.New}, true, pgnets, true},
		"another name of the kind":      {map[string]parlor.NewGame{"chat": game.New}, true, nil, false},
		"another game":                  {map[string]parlor.NewGame{"chat": chat.New}, false, nil, true},
		"another game, pgnet's wire":    {map[string]parlor.NewGame{"chat": some}, false, pgnets, true},
		"another game, which is silent": {map[string]parlor.NewGame{"chat": some}, false, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := server.New(server.Config{Games: c.games, DefaultKind: "chat", AdminPassword: "secret", Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				srv.Run(context.Background())
			}()
			defer func() {
				srv.Shutdown(0)
				<-ended
			}()
			lobby := memlink.Dialer{Lobby: srv}
			first, err := client.Dial(t.Context(), "local", client.Config{Username: "bob", Dialer: lobby, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			defer first.Wait()
			defer first.Close()
			if c.there {
				if err := first.CreateGame(t.Context(), "field", client.GameOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			var d link.Dialer = lobby
			if c.wire != nil {
				d = c.wire(d)
			}
			err = run(t.Context(), "local", client.Config{Username: "alice", Dialer: d, Logger: quiet}, strings.NewReader("1 1\n"), io.Discard)
			if got := errors.Is(err, errOther); got != c.other || !got && err != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}

func pgnets(d link.Dialer) link.Dialer { return plain{d} }
