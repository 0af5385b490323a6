package host_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	chat "parlor/examples/chat/game"
	"parlor/host"
	"parlor/link"
	"parlor/server"
)

var nowhere = slog.New(slog.NewTextHandler(io.Discard, nil))

// newLocal makes a dialer with the example game.
func newLocal(t *testing.T, cfg server.Config) *host.LocalDialer {
	t.Helper()
	if cfg.Games == nil {
		cfg.Games = chats
	}
	cfg.Logger, cfg.Limits = nowhere, cheapHashes
	d, err := host.NewLocal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestLocal is the shortest way to a game; no socket is opened for it.
func TestLocal(t *testing.T) {
	before := sockets(t)
	c, err := host.Local(t.Context(), chat.New, client.Config{Username: "alice", Logger: nowhere, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CreateGame(t.Context(), "room", client.GameOptions{Password: "pw"}); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, c, "hello", nil, "Message added.", 0)
	if during := sockets(t); during > before {
		t.Errorf("%d sockets were opened", during-before)
	}
	c.Close()
	wantReason(t, c.Wait(), client.ReasonByClient)

	admin, err := host.Local(t.Context(), chat.New, client.Config{Username: "admin", Logger: nowhere, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	wantAnswer(t, admin, parlor.RequestSetVerbose, parlor.Map{"set_as": false}, "Verbose logging enabled: False", 0)
	wantAnswer(t, admin, parlor.RequestShutdown, nil, "Shutting down...", 0)
	wantReason(t, admin.Wait(), client.ReasonClosed)
}

// sockets counts the open sockets of the process, where the system tells.
func sockets(t *testing.T) (n int) {
	t.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Logf("no socket can be counted here: %v", err)
		return 0
	}
	for _, e := range entries {
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

// TestDefect6LocalPort: a local client has no port that could be taken or be another one than its server's:
// two are connected at once, whatever their addresses.
func TestDefect6LocalPort(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"local", "localhost:38929", "localhost:1"} {
		d := newLocal(t, server.Config{})
		c := dial(t, address, client.Config{Username: "alice", Dialer: d, ServerKey: d.PublicKey()})
		if err := c.CreateGame(t.Context(), "room", client.GameOptions{}); err != nil {
			t.Errorf("at %s: %v", address, err) // the games of the others are not seen
		}
	}
}

// TestDefect7LocalEndsBeforeClose: when Close returns, the client's server has stopped, and connecting
// again at once works.
func TestDefect7LocalEndsBeforeClose(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var events []string
	add := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf(format, args...))
	}
	d := newLocal(t, server.Config{OnConnection: func(user string, on bool) {
		if !on {
			time.Sleep(20 * time.Millisecond) // sleep: the server takes its time to end
		}
		add("server: %s %t", user, on)
	}})
	c, err := client.New("local", client.Config{Username: "alice", Dialer: d, Logger: nowhere, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Close()
		add("closed")
	}
	c.Wait()
	want := strings.Repeat("server: alice true; server: alice false; closed; ", 3)
	if got := strings.Join(events, "; ") + "; "; got != want {
		t.Errorf("events: %s\nwant: %s", got, want)
	}
}

// TestDefect7LocalReason: a server that cannot start is reported with the real reason.
func TestDefect7LocalReason(t *testing.T) {
	t.Parallel()
	d := newLocal(t, server.Config{Games: map[string]parlor.NewGame{"a": chat.New, "b": chat.New}})
	err := refused(t, "local", client.Config{Username: "alice", Dialer: d}, client.ReasonCallFailed)
	wantError(t, err, "start local server", "default kind")
}

// TestLocalReconnect: users and persistent games are there again, after the end of the server too.
func TestLocalReconnect(t *testing.T) {
	t.Parallel()
	d := newLocal(t, server.Config{AdminPassword: "secret"})
	if d.AdminPassword() != "secret" {
		t.Errorf("administrator password %q", d.AdminPassword())
	}
	logs := make(chan string, 1000)
	c, err := client.New("local", client.Config{
		Username: "alice", Password: "pw", Dialer: d, ServerKey: d.PublicKey(), Logger: nowhere, Timeout: time.Minute,
		OnHeartbeat: func(r parlor.Response) { logs <- r.Payload.String() },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.JoinGame(t.Context(), "room", client.GameOptions{}); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, c, "hello", nil, "Message added.", 0)
		if c.Close(); c.Game() != "" {
			t.Errorf("game %q after the end", c.Game())
		}
		c.Wait()
	}
	refused(t, "local", client.Config{Username: "alice", Password: "wrong", Dialer: d}, "Incorrect password.")
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.JoinGame(t.Context(), "room", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	said := `"alice says: 'hello'"`
	want := "{'log': ['Game started', 'Joined: alice', " + said + ", 'Left: alice', 'Joined: alice', " + said + ", 'Left: alice', 'Joined: alice']}"
	for got := ""; got != want; {
		select {
		case got = <-logs:
		case <-time.After(time.Minute):
			t.Fatalf("the log is %s", got)
		}
	}
}

// pusher tells everybody what it is asked.
type pusher struct{ room parlor.Room }

func (g pusher) HandleGamePacket(p parlor.Packet) parlor.Response {
	g.room.Broadcast(p.Message, nil)
	return parlor.OK("told")
}

// countingDialer counts what is dialed, and has the connection of the last one.
type countingDialer struct {
	*host.LocalDialer
	dials int
	conn  link.Conn
}

func (d *countingDialer) Dial(ctx context.Context, address string) (conn link.Conn, err error) {
	d.dials++
	d.conn, err = d.LocalDialer.Dial(ctx, address)
	return d.conn, err
}

// TestLocalPush: a local server pushes to its client, and does not outlive their connection, however that ends: the client does not
// start another one to come back to.
func TestLocalPush(t *testing.T) {
	t.Parallel()
	games := map[string]parlor.NewGame{"pusher": func(r parlor.Room, _ string) (parlor.Game, error) { return pusher{r}, nil }}
	for name, end := range map[string]func(d *countingDialer, admin *client.Client){
		"shutdown": func(_ *countingDialer, admin *client.Client) { admin.Request(t.Context(), parlor.RequestShutdown, nil) },
		"cut":      func(d *countingDialer, _ *client.Client) { d.conn.(link.StreamConn).Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			d := &countingDialer{LocalDialer: newLocal(t, server.Config{Games: games})}
			pushes := make(chan string, 1)
			c, err := client.Dial(t.Context(), "local", client.Config{
				Username: parlor.AdminName, Password: d.AdminPassword(), Dialer: d, Logger: nowhere, Timeout: time.Minute,
				OnPush: func(p *parlor.Push) { pushes <- p.Message },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.JoinGame(t.Context(), "room", client.GameOptions{}); err != nil {
				t.Fatal(err)
			}
			wantAnswer(t, c, "hello", nil, "told", 0)
			if got := <-pushes; got != "hello" || !c.Streams() {
				t.Errorf("pushed %q", got)
			}
			end(d, c)
			wantReason(t, c.Wait(), client.ReasonClosed)
			if d.dials != 1 {
				t.Errorf("%d connections were dialed", d.dials)
			}
		})
	}
}
