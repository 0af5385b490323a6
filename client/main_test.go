package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parlor"
	"parlor/client"
	"parlor/link"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// journal is what an application was told, in order.
type journal struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

// take returns the lines so far, and forgets them.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	if got := j.take(); !slices.Equal(got, want) {
		t.Errorf("events:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// config makes the client report everything to the journal.
func (j *journal) config(cfg client.Config) client.Config {
	if cfg.Username == "" {
		cfg.Username = "alice"
	}
	cfg.OnStatus = func(s string) { j.add("status %s", s) }
	cfg.OnConnection = func(c bool) { j.add("connection %t", c) }
	cfg.OnGame = func(g string) { j.add("game %s", g) }
	if cfg.OnHeartbeat == nil {
		cfg.OnHeartbeat = func(r parlor.Response) { j.add("heartbeat %s", r.Message) }
	}
	cfg.Logger = quiet
	return cfg
}

// callback reports an answer to the journal.
func (j *journal) callback(name string) func(parlor.Response, error) {
	return func(r parlor.Response, err error) {
		if err != nil {
			j.add("%s failed: %v", name, err)
			return
		}
		j.add("%s: %s", name, r.Message)
	}
}

// wantReason checks why a connection ended, or was not made.
func wantReason(t *testing.T, err error, reason string) *client.DisconnectedError {
	t.Helper()
	var d *client.DisconnectedError
	if !errors.As(err, &d) || d.Reason != reason {
		t.Fatalf("error %v, want the reason %q", err, reason)
	}
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v is no net.ErrClosed", err)
	}
	return d
}

// lobby is a link.Dialer to a server that the test plays.
type lobby struct {
	key   string                      // that it shows
	fail  func(context.Context) error // if not nil: what becomes of Dial
	conns chan *far
}

func newLobby() *lobby { return &lobby{conns: make(chan *far)} }

func (l *lobby) Dial(ctx context.Context, _ string) (link.Conn, error) {
	if l.fail != nil {
		return nil, l.fail(ctx)
	}
	f := &far{key: l.key, sent: make(chan parlor.Packet), say: make(chan any), closed: make(chan struct{})}
	select {
	case l.conns <- f:
		return f, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// accept takes the next connection; patience is in virtual time.
func (l *lobby) accept(t *testing.T) *far {
	t.Helper()
	select {
	case f := <-l.conns:
		return f
	case <-time.After(time.Hour):
		t.Fatal("no connection came")
		return nil
	}
}

// login takes the next connection and accepts the login.
func (l *lobby) login(t *testing.T) *far {
	t.Helper()
	f := l.accept(t)
	if p := f.next(t); p.Message != parlor.MessageHandshake {
		t.Fatalf("first packet %s, want the login", p.DebugText())
	}
	f.answer(t, parlor.OK(parlor.MessageAuthenticated))
	return f
}

// far is the far end of a connection, and the link.Conn of the client.
type far struct {
	key    string
	sent   chan parlor.Packet
	say    chan any // parlor.Response or error
	closed chan struct{}
	once   sync.Once
}

func (f *far) Handshake(context.Context) (string, error) { return f.key, nil }

func (f *far) Send(ctx context.Context, p parlor.Packet) error {
	select {
	case f.sent <- p:
		return nil
	case <-f.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *far) Receive(ctx context.Context) (parlor.Response, error) {
	select {
	case v := <-f.say:
		if err, ok := v.(error); ok {
			return parlor.Response{}, err
		}
		return v.(parlor.Response), nil
	case <-f.closed:
		return parlor.Response{}, net.ErrClosed
	case <-ctx.Done():
		return parlor.Response{}, context.Cause(ctx)
	}
}

func (f *far) Remote() string { return "far:1" }

func (f *far) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// next is what the client sends next.
func (f *far) next(t *testing.T) parlor.Packet {
	t.Helper()
	select {
	case p := <-f.sent:
		return p
	case <-f.closed:
		t.Fatal("the client has closed the connection")
	case <-time.After(2 * time.Hour):
		t.Fatal("the client sends nothing")
	}
	return parlor.Packet{}
}

// answer has the client receive a response, or an error.
func (f *far) answer(t *testing.T, responseOrError any) {
	t.Helper()
	select {
	case f.say <- responseOrError:
	case <-f.closed:
		t.Fatal("the client has closed the connection")
	case <-time.After(time.Hour):
		t.Fatal("the client does not receive")
	}
}

// exchange takes a packet and answers it.
func (f *far) exchange(t *testing.T, r parlor.Response) parlor.Packet {
	t.Helper()
	p := f.next(t)
	f.answer(t, r)
	return p
}

// inGame is an answer that has the user in a game.
func inGame(message, game string, payload any) parlor.Response {
	r := parlor.OK(message, payload)
	r.Game = game
	return r
}

// dial makes a client that is logged in at the lobby that the test plays. It is closed at the end.
func dial(t *testing.T, cfg client.Config) (*client.Client, *far) {
	t.Helper()
	l := newLobby()
	cfg.Dialer, cfg.Logger = l, quiet
	c, err := client.New("lobby", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); c.Wait() })
	return c, connect(t, c, l)
}

// connect connects a client.
func connect(t *testing.T, c *client.Client, l *lobby) *far {
	t.Helper()
	failed := make(chan error, 1)
	go func() { failed <- c.Connect(context.Background()) }()
	f := l.login(t)
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return f
}

// join puts the client into a game with a heartbeat rate.
func join(t *testing.T, c *client.Client, f *far, rate any) {
	t.Helper()
	failed := make(chan error, 1)
	go func() { failed <- c.JoinGame(context.Background(), "room", client.GameOptions{}) }()
	f.exchange(t, inGame("Joined game: 'room'.", "room", parlor.Map{"heartbeat_rate": rate}))
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}
