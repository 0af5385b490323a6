package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parlor"
	"parlor/client"
	"parlor/examples/positions/game"
	"parlor/host"
	"parlor/internal/exampletest"
	"parlor/link"
	"parlor/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plain dials links without envelopes, as pgnet's servers have them.
type plain struct{ link.Dialer }

func (d plain) Dial(ctx context.Context, address string) (link.Conn, error) {
	c, err := d.Dialer.Dial(ctx, address)
	return struct{ link.Conn }{c}, err
}

// TestWalk: the place is shown as it changes, by pushes and by heartbeats alike.
func TestWalk(t *testing.T) {
	for name, wire := range map[string]func(link.Dialer) link.Dialer{
		"pushes":     func(d link.Dialer) link.Dialer { return d },
		"heartbeats": func(d link.Dialer) link.Dialer { return plain{d} },
	} {
		t.Run(name, func(t *testing.T) {
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
			io.WriteString(keyboard, "1 2\n")
			out.Await(t, "  alice 3,6\x1b[K")
			keyboard.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if !regexp.MustCompile(`step [1-9]\d*  alice 2,4\x1b\[K\rstep [1-9]\d*  alice 3,6\x1b\[K`).MatchString(out.Text()) && name == "pushes" {
				t.Errorf("a step is missing:\n%q", out.Text())
			}
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
