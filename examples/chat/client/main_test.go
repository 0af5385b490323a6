package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parlor"
	"parlor/client"
	"parlor/examples/chat/game"
	"parlor/host"
	"parlor/link"
	"parlor/link/memlink"
	"parlor/server"
	"parlor/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// screen is what the client has printed.
type screen struct {
	mu      sync.Mutex // guards text
	text    string
	changed chan struct{} // has an entry after a change
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.text += string(p)
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

// await waits until a text is on the screen.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		s.mu.Lock()
		shown := s.text
		s.mu.Unlock()
		if strings.Contains(shown, text) {
			return
		}
		select {
		case <-s.changed:
		case <-late:
			t.Fatalf("on the screen is\n%s\nwant\n%s", shown, text)
		}
	}
}

// plain dials links without envelopes, as pgnet's servers have them.
type plain struct{ link.Dialer }

func (d plain) Dial(ctx context.Context, address string) (link.Conn, error) {
	c, err := d.Dialer.Dial(ctx, address)
	return struct{ link.Conn }{c}, err
}

// TestChat: what is said is shown once, by pushes and by heartbeats alike.
func TestChat(t *testing.T) {
	for name, test := range map[string]struct {
		wire func(link.Dialer) link.Dialer
		want string
	}{
		"pushes":     {func(d link.Dialer) link.Dialer { return d }, ">> GAME: test\n-- alice says: 'hello'\n-- alice says: 'you'\n"},
		"heartbeats": {func(d link.Dialer) link.Dialer { return plain{d} }, "New log:\n-- Game started\n-- Joined: alice\n-- alice says: 'hello'\n-- alice says: 'you'\n"},
	} {
		t.Run(name, func(t *testing.T) {
			quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
			local, err := host.NewLocal(server.Config{Games: map[string]parlor.NewGame{"chat": game.New}, NoAutoCreate: true, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			in, keyboard := io.Pipe()
			out := &screen{changed: make(chan struct{}, 1)}
			done := make(chan error, 1)
			go func() {
				done <- run(context.Background(), "local", client.Config{Username: "alice", Dialer: test.wire(local), Logger: quiet}, in, out)
			}()
			out.await(t, ">> CONNECTION: True\n>> STATUS: Logged in as alice @ ")
			out.await(t, "New log:\n-- Game started\n-- Joined: alice\n")
			out.await(t, ">> STATUS: Joined game: test\n>> GAME: test\n")
			io.WriteString(keyboard, "hello\nyou\n")
			out.await(t, test.want)
			keyboard.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
			out.await(t, ">> GAME: None\n>> CONNECTION: False\n>> STATUS: Disconnected: Client closed connection.\n")
		})
	}
}

// cuttable remembers how to cut the last link that it has dialed. Behind the first one it dials no other until it may.
type cuttable struct {
	link.Dialer
	cut   func()
	again chan struct{} // closed when it may
}

func (d *cuttable) Dial(ctx context.Context, address string) (link.Conn, error) {
	if d.cut != nil {
		<-d.again
	}
	c, err := d.Dialer.Dial(ctx, address)
	if err == nil {
		d.cut = c.(link.StreamConn).Abort
	}
	return c, err
}

// TestAway: it is shown that somebody's link is gone, and that she is back.
func TestAway(t *testing.T) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	srv, err := server.New(server.Config{Games: map[string]parlor.NewGame{"chat": game.New}, AdminPassword: "secret", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	go func() { srv.Run(context.Background()); close(ran) }() // ends with Shutdown
	defer func() { srv.Shutdown(0); <-ran }()
	in, keyboard := io.Pipe()
	out := &screen{changed: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() {
		done <- run(context.Background(), "local", client.Config{Username: "alice", Dialer: memlink.Dialer{Lobby: srv}, Logger: quiet}, in, out)
	}()
	out.await(t, ">> GAME: test\n")
	dialer := &cuttable{Dialer: memlink.Dialer{Lobby: srv}, again: make(chan struct{})}
	bobby, err := client.Dial(t.Context(), "local", client.Config{Username: "bobby", Dialer: dialer, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer bobby.Wait()
	defer bobby.Close()
	if err := bobby.JoinGame(t.Context(), "test", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	dialer.cut()
	out.await(t, "-- Joined: bobby\n-- bobby is away\n") // who is back before the game has heard that he is gone was never away
	close(dialer.again)
	out.await(t, "-- Joined: bobby\n-- bobby is away\n-- bobby is back\n")
	keyboard.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestJoin: a game that is there is joined.
func TestJoin(t *testing.T) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	memory := new(store.Memory)
	err := memory.Commit(t.Context(), store.PutGame{Number: 1, Name: "test"}, store.PutSave{Save: store.Save{Game: 1, Data: "an old line"}})
	if err != nil {
		t.Fatal(err)
	}
	local, err := host.NewLocal(server.Config{Games: map[string]parlor.NewGame{"chat": game.New}, Store: memory, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	in, keyboard := io.Pipe()
	out := &screen{changed: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() {
		done <- run(context.Background(), "local", client.Config{Username: "alice", Dialer: local, Logger: quiet}, in, out)
	}()
	out.await(t, "New log:\n-- an old line\n-- Joined: alice\n")
	keyboard.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	local, err := host.NewLocal(server.Config{Games: map[string]parlor.NewGame{"chat": game.New}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	cfg := client.Config{Username: "admin", Password: "wrong", Dialer: local, Logger: quiet, Timeout: time.Minute} // the machine may be busy
	err = run(t.Context(), "local", cfg, strings.NewReader(""), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "Incorrect password.") {
		t.Errorf("error %v", err)
	}
}
