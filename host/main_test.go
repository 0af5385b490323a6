package host_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parlor"
	"parlor/client"
	chat "parlor/examples/chat/game"
	"parlor/host"
	"parlor/server"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if dir, err := programs(); err == nil {
			os.RemoveAll(dir)
		}
		os.Exit(code)
	}))
}

var chats = map[string]parlor.NewGame{"chat": chat.New}

// running is a server that runs, and how it ended.
type running struct {
	*host.Server
	cancel context.CancelFunc
	done   chan struct{}
	code   int
	err    error
}

// start starts a server on a free port of localhost with the example game, if the config names no others.
// It is stopped at the end of the test.
func start(t *testing.T, cfg host.Config) *running {
	t.Helper()
	s, err := host.Start(t.Context(), quiet(cfg))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Server: s, cancel: cancel, done: make(chan struct{})}
	go func() { // ends with stop
		r.code, r.err = s.Run(ctx)
		close(r.done)
	}()
	t.Cleanup(func() { r.stop() })
	return r
}

func quiet(cfg host.Config) host.Config {
	if cfg.Games == nil {
		cfg.Games = chats
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	cfg.Listen = cmp.Or(cfg.Listen, "localhost:0")
	cfg.Limits.HashMemory, cfg.Limits.HashPasses = cheapHashes.HashMemory, cheapHashes.HashPasses
	return cfg
}

// cheapHashes are good enough for a test's passwords. Dear ones take a busy machine so long that its server refuses logins.
var cheapHashes = server.Limits{HashMemory: 8, HashPasses: 1}

// stop ends the server as a signal would, and returns how it ended.
func (r *running) stop() (code int, err error) {
	r.cancel()
	<-r.done
	return r.code, r.err
}

// ends waits for the server to end by itself.
func (r *running) ends(t *testing.T, code int) {
	t.Helper()
	select {
	case <-r.done:
		if r.code != code || r.err != nil {
			t.Errorf("it ended with %d, %v, want %d", r.code, r.err, code)
		}
	case <-time.After(time.Minute):
		t.Fatal("the server does not end")
	}
}

// addr is an address to dial.
func (r *running) addr() string { return r.Addrs()[0].String() }

func (r *running) port() int { return r.Addrs()[0].(*net.TCPAddr).Port }

// dial logs in; the client is closed at the end of the test.
func dial(t *testing.T, address string, cfg client.Config) *client.Client {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.Reconnect.For = -1    // servers end here for good
	cfg.Timeout = time.Minute // the machine may be busy
	c, err := client.Dial(t.Context(), address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); c.Wait() })
	return c
}

// refused checks that a login is refused, and why.
func refused(t *testing.T, address string, cfg client.Config, reason string) *client.DisconnectedError {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Timeout = time.Minute // the machine may be busy
	_, err := client.Dial(t.Context(), address, cfg)
	return wantReason(t, err, reason)
}

func wantReason(t *testing.T, err error, reason string) *client.DisconnectedError {
	t.Helper()
	var d *client.DisconnectedError
	if !errors.As(err, &d) || d.Reason != reason {
		t.Fatalf("error %v, want the reason %q", err, reason)
	}
	return d
}

// wantAnswer makes a request and checks the answer's message and status.
func wantAnswer(t *testing.T, c *client.Client, message string, payload any, want string, status parlor.Status) parlor.Response {
	t.Helper()
	r, err := c.Request(t.Context(), message, payload)
	if err != nil || r.Message != want || r.Status != status {
		t.Errorf("%s: %s, %v, want %q", message, r.DebugText(), err, want)
	}
	return r
}

// wantError checks that an error's text has all the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
}

// until waits for what happens on another goroutine or in another process.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal("what the test waits for does not happen")
		}
		time.Sleep(5 * time.Millisecond) // sleep: polls
	}
}
