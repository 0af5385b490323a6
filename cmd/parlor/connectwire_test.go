package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	chat "parlor/examples/chat/game"
	"parlor/host"
	"parlor/internal/certtest"
	"parlor/internal/exampletest"
	"parlor/internal/pypeer"
	"parlor/link/packetlink"
	"parlor/packet"
)

// hosted is a server on real sockets, until stop.
type hosted struct {
	*host.Server
	done chan struct{}
}

var quietPackets = packet.Config{Logger: slog.New(slog.DiscardHandler)}

// pushy is a game that answers "push" with a push, and "hang" not before it is told to go on.
type pushy struct {
	room parlor.Room
	hang chan struct{}
}

func (g *pushy) HandleGamePacket(p parlor.Packet) parlor.Response {
	switch p.Message {
	case "push":
		g.room.Broadcast("hap\x1bpens", parlor.Map{"n": 1, "text": "a\nb"})
	case "hang":
		g.room.Broadcast("hangs", nil)
		<-g.hang
	}
	return parlor.OK("done " + p.Message)
}

func startHost(t *testing.T, cfg host.Config) *hosted {
	t.Helper()
	if cfg.Games == nil {
		cfg.Games = map[string]parlor.NewGame{"chat": chat.New}
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.AdminPassword, cfg.Out, cfg.Logger = "right", io.Discard, slog.New(slog.DiscardHandler)
	cfg.Limits = cheapHashes
	s, err := host.Start(t.Context(), cfg)
	for tries := 0; errors.Is(err, syscall.EADDRINUSE) && tries < 6000; tries++ {
		time.Sleep(10 * time.Millisecond) // sleep: a socket of this machine may have the port that a server is started at again, or a process that another test starts the listener
		s, err = host.Start(t.Context(), cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	h := &hosted{s, make(chan struct{})}
	go func() {
		defer close(h.done)
		_, _ = s.Run(context.Background())
	}()
	t.Cleanup(h.stop)
	return h
}

func (h *hosted) stop() { h.Lobby().Shutdown(0); <-h.done }

func (h *hosted) address() string { return h.Addrs()[0].String() }

func (h *hosted) packets() string { return h.PacketAddrs()[0].String() }

// connectRun is a "parlor connect" in this process, at which lines are typed.
type connectRun struct {
	out, news *exampletest.Screen
	keys      *io.PipeWriter
	interrupt context.CancelFunc
	done      chan struct{}
	err       error // once done is closed
}

func startConnect(t *testing.T, args ...string) *connectRun {
	t.Helper()
	in, keys := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	c := &connectRun{out: exampletest.NewScreen(), news: exampletest.NewScreen(), keys: keys, interrupt: cancel, done: make(chan struct{})}
	cmd := connectCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetIn(in)
	cmd.SetOut(c.out)
	cmd.SetErr(c.news)
	cmd.SetArgs(args)
	go func() { // ends with the command; the cleanup waits
		defer close(c.done)
		c.err = cmd.ExecuteContext(ctx)
	}()
	t.Cleanup(func() { cancel(); keys.Close(); <-c.done })
	return c
}

func (c *connectRun) typeLine(line string) { _, _ = io.WriteString(c.keys, line+"\n") }

// end waits for the end, and returns the error.
func (c *connectRun) end(t *testing.T) error {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(exampletest.Patience):
		t.Fatalf("connect goes on:\n%s%s", c.out.Text(), c.news.Text())
	}
	return c.err
}

// TestConnectWires: each wire over real sockets, and what it shows: pushes, where there are any.
func TestConnectWires(t *testing.T) {
	t.Parallel()
	cert, key := certtest.Make(t)
	games := map[string]parlor.NewGame{"pushy": func(room parlor.Room, _ string) (parlor.Game, error) { return &pushy{room: room}, nil }}
	clear := startHost(t, host.Config{Games: games, PacketListen: "127.0.0.1:0"})
	secured := startHost(t, host.Config{Games: games, PacketListen: "127.0.0.1:0", TLSCert: cert, TLSKey: key})
	socket := "unix:" + filepath.Join(socketFolder(t), "s")
	startHost(t, host.Config{Games: games, PacketListen: socket})
	local := func(address string) string { return strings.Replace(address, "127.0.0.1", "localhost", 1) }
	for name, test := range map[string]struct {
		args   string
		pushes bool
	}{
		"auto":                  {clear.address(), true},
		"native":                {"--wire native " + clear.address(), true},
		"pgnet":                 {"--wire pgnet " + clear.address(), false},
		"packet":                {"--wire packet " + clear.packets(), true},
		"tcp":                   {"tcp://" + clear.packets(), true},
		"unix":                  {socket, true},
		"tls":                   {"tls://" + local(secured.packets()) + " --ca " + cert, true},
		"packet with --ca":      {"--wire packet " + local(secured.packets()) + " --ca " + cert, true},
		"packet, insecure":      {"--wire packet --insecure " + secured.packets(), true},
		"wss":                   {"wss://" + local(secured.address()) + " --ca " + cert, true},
		"TLS without a scheme":  {local(secured.address()) + " --tls --ca " + cert, true},
		"native with --ca":      {"--wire native wss://" + local(secured.address()) + " --ca " + cert, true},
		"pushes are not wanted": {"--pushes=false " + clear.address(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user := "user" + strings.Map(func(r rune) rune {
				if 'a' <= r && r <= 'z' {
					return r
				}
				return -1
			}, name)
			if len(user) > 20 {
				user = user[:20]
			}
			args := append(strings.Fields(test.args), "--user", user, "--password", "pw")
			out, news, err := runConnect(t, strings.NewReader(".join_game;name="+user+"\npush\n.help\n"), args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, news)
			}
			pushes := strings.Contains(news, "\nPUSH: hap\\x1bpens {'n': 1, 'text': 'a\\nb'}\n")
			if pushes != test.pushes || !strings.Contains(out, "MESSAGE:  done push") {
				t.Errorf("pushes: %v, want %v\n%s%s", pushes, test.pushes, out, news)
			}
		})
	}
}

// TestConnectWireErrors: a wire that cannot be is refused with what to try.
func TestConnectWireErrors(t *testing.T) {
	t.Parallel()
	h := startHost(t, host.Config{PacketListen: "127.0.0.1:0"})
	python := pypeer.StartServer(t, pypeer.ServerOptions{Game: "example"})
	plain, _ := servePackets(t, "127.0.0.1:0", pingable(t, quietPackets, map[string]any{"motd": "hi"}))
	key := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for args, says := range map[string]string{
		"--wire telex":                         "--wire telex: there is no such wire; try one of auto, native, pgnet, packet",
		"--wire native tcp://a":                `address "tcp://a": this is an address of the packet wire: leave out --wire native`,
		"--wire pgnet unix:/x":                 "leave out --wire pgnet",
		"--wire packet ws://a":                 `address "ws://a": this is an address for WebSocket: leave out --wire packet`,
		"--packet-insecure a":                  "--packet-insecure is for the packet wire: give --wire packet",
		"--local --wire native":                "leave out --wire native, or --local",
		"tcp://a --tls":                        "tcp:// and --tls contradict each other: take tls:// for a server with TLS",
		"tls://a --tls=false":                  "--tls=false and tls:// contradict each other: take tcp://",
		"tcp://a --pubkey " + key:              "--pubkey is for WebSocket",
		"tcp://a:x":                            `address "tcp://a:x": its port is no number from 1 to 65535: try tcp://a:38930`,
		"tcp://a/x":                            "what begins with tcp:// has no path: try tcp://a",
		"--wire packet ./x":                    "for a unix socket write unix:./x",
		"--reconnect -1s a":                    "--reconnect -1s: it must be positive",
		"--wire native " + python.Addr():       "The server does not speak the native wire. (leave out --wire native, or take --wire pgnet",
		"--wire packet " + h.address():         "a lobby answers there on WebSocket, and not on the packet wire (leave out --wire packet",
		h.packets():                            "a lobby answers there on its packet wire, and not on WebSocket (try tcp://" + h.packets() + ")",
		"tcp://" + plain:                       "a packet server answers there, and no lobby",
		plain:                                  "a packet server answers there, and no lobby",
		"tls://" + h.packets() + " --insecure": "a packet server without TLS answers at " + h.packets() + " (try tcp:// instead of tls://, and leave out --insecure)",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			out, _, err := runConnect(t, strings.NewReader(".help\n"), append(strings.Fields(args), "--user", "alice")...)
			checkError(t, err, says)
			if out != "" {
				t.Errorf("printed %s", out)
			}
		})
	}
}

// TestConnectRestart: the server is started anew while somebody is connected, with its key and without.
func TestConnectRestart(t *testing.T) {
	t.Parallel()
	for name, wire := range map[string]string{"native": "native", "packet": "packet"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := host.Config{SaveFile: filepath.Join(t.TempDir(), "save"), PacketListen: "127.0.0.1:0"}
			h := startHost(t, cfg)
			address := h.address()
			if wire == "packet" {
				address = h.packets()
			}
			c := startConnect(t, address, "--wire", wire, "--user", "alice", "--password", "pw", "--reconnect", "1m")
			c.typeLine(".join_game;name=arena")
			c.news.Await(t, "GAME: arena\n")
			c.typeLine("__parlor__.subscribe")
			c.out.Await(t, "Subscribed to the games directory")
			cfg.Listen, cfg.PacketListen = h.address(), h.packets()
			h.stop()
			c.news.Await(t, "LOBBY: __parlor__.draining ")
			c.news.Await(t, "STATUS: Connection lost: Connection closed. The server has stopped, as it said.\n")
			c.news.Await(t, "STATUS: Reconnecting to "+address+" (try 1)...\n")
			c.typeLine(".game_dir")
			c.out.Await(t, "\n WAITING: ")
			startHost(t, cfg)
			const session, unsent = "SESSION: lost: a new one was begun; you are in no game, and not subscribed to the directory any more\n",
				"NOT SENT: __pgnet__.game_dir: the session was lost before\n"
			c.news.Await(t, session)
			c.news.Await(t, unsent) // said by who waits for the answer, and so anywhere among the others
			checkContains(t, strings.Replace(c.news.Text(), unsent, "", 1),
				"GAME: None\nCONNECTION: False\nCONNECTION: True\nSTATUS: Logged in as alice @ "+address+"\n"+session)
			c.typeLine(".leave_game")
			c.out.Await(t, "Not in game")
			c.typeLine("quit")
			if err := c.end(t); err != nil {
				t.Error(err)
			}
			if n := strings.Count(c.news.Text(), "Reconnecting to "); n != 1 {
				t.Errorf("%d tries are shown:\n%s", n, c.news.Text())
			}
		})
	}
}

// TestConnectOtherKey: a server that was started anew with another key is not logged in to.
func TestConnectOtherKey(t *testing.T) {
	t.Parallel()
	h := startHost(t, host.Config{})
	c := startConnect(t, h.address(), "--user", "alice", "--password", "pw", "--reconnect", "1m")
	c.news.Await(t, "Logged in as alice")
	h.stop()
	startHost(t, host.Config{Listen: h.address()})
	checkError(t, c.end(t), "connection lost: the server that answers now has another key (a server without --key, and with --store memory or in PostgreSQL, makes a new one at each start")
}

// TestConnectGone: a server that is gone for good is waited for, but no longer than somebody likes.
func TestConnectGone(t *testing.T) {
	t.Parallel()
	h := startHost(t, host.Config{})
	c := startConnect(t, h.address(), "--user", "alice", "--password", "pw", "--reconnect", "1m")
	c.news.Await(t, "Logged in as alice")
	short := startConnect(t, h.address(), "--user", "bob", "--password", "pw", "--reconnect", "1s")
	short.news.Await(t, "Logged in as bob")
	h.stop()
	c.news.Await(t, "(try 1)")
	c.typeLine(".help") // which waits
	c.out.Await(t, "__pgnet__.help")
	begun := time.Now()
	c.interrupt()
	checkError(t, c.end(t), "interrupted")
	if took := time.Since(begun); took > 30*time.Second { // and not the minute of --reconnect
		t.Errorf("it took %v", took)
	}
	checkError(t, short.end(t), "connection lost: the server could not be reached again (connect again when it is back)")
}

// TestConnectShutdownAsked: who has ended the server does not want it back.
func TestConnectShutdownAsked(t *testing.T) {
	t.Parallel()
	h := startHost(t, host.Config{})
	c := startConnect(t, h.address(), "--user", "admin", "--password", "right", "--reconnect", "1m")
	c.typeLine(".shutdown")
	if err := c.end(t); err != nil {
		t.Error(err)
	}
	<-h.done
	if news := c.news.Text(); strings.Contains(news, "Reconnecting") || !strings.HasSuffix(news, "STATUS: Disconnected: Client closed connection.\n") {
		t.Errorf("news\n%s", news)
	}
}

// cutter passes connections on to a server, until they are cut.
type cutter struct {
	net.Listener
	conns chan net.Conn
	shut  atomic.Bool // none gets through
}

func startCutter(t *testing.T, to string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: ln, conns: make(chan net.Conn, 10)}
	done := make(chan struct{})
	go func() { // ends with ln
		defer close(done)
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err == nil && c.shut.Load() {
				out.Close()
				err = net.ErrClosed
			}
			if err != nil {
				in.Close()
				continue
			}
			c.conns <- in
			go func() { _, _ = io.Copy(out, in); out.Close() }() // these end with either connection
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return c
}

// TestConnectResumed: a link is cut, and the seat is there still; a request under way is answered once.
func TestConnectResumed(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	h := startHost(t, host.Config{Games: map[string]parlor.NewGame{"pushy": func(room parlor.Room, _ string) (parlor.Game, error) {
		return &pushy{room, hang}, nil
	}}})
	between := startCutter(t, h.address())
	c := startConnect(t, between.Addr().String(), "--user", "alice", "--password", "pw", "--reconnect", "1m")
	c.typeLine(".join_game;name=arena")
	c.news.Await(t, "GAME: arena\n")
	c.typeLine("hang")
	c.out.Await(t, "Packet(message='hang'")
	(<-between.conns).Close()
	c.news.Await(t, "STATUS: Resumed as alice @ ")
	close(hang)
	c.out.Await(t, "MESSAGE:  done hang")
	c.typeLine("push")
	c.news.Await(t, "PUSH: hap")
	c.keys.Close()
	if err := c.end(t); err != nil {
		t.Error(err)
	}
	if news := c.news.Text(); strings.Contains(news, "SESSION") || strings.Contains(news, "GAME: None\nCONNECTION") && strings.Count(news, "GAME: None") > 1 {
		t.Errorf("news\n%s", news)
	}
	if n := strings.Count(c.out.Text(), "MESSAGE:  done hang"); n != 1 {
		t.Errorf("%d answers", n)
	}
}

// TestConnectUncertain: the answer to a request is lost with the session, as another client has taken the seat meanwhile.
func TestConnectUncertain(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	h := startHost(t, host.Config{Games: map[string]parlor.NewGame{"pushy": func(room parlor.Room, _ string) (parlor.Game, error) {
		return &pushy{room, hang}, nil
	}}})
	between := startCutter(t, h.address())
	c := startConnect(t, between.Addr().String(), "--user", "alice", "--password", "pw", "--reconnect", "1m")
	c.typeLine(".join_game;name=arena")
	c.news.Await(t, "GAME: arena\n")
	c.typeLine("hang")
	c.news.Await(t, "PUSH: hangs ")
	between.shut.Store(true)
	(<-between.conns).Close()
	c.news.Await(t, "(try 1)")
	hang <- struct{}{}
	if _, news, err := runConnect(t, strings.NewReader(".leave_game\n"), h.address(), "--user", "alice", "--password", "pw"); err != nil {
		t.Fatalf("%v\n%s", err, news)
	}
	between.shut.Store(false)
	c.news.Await(t, "SESSION: lost: a new one was begun; you are in no game\n")
	c.news.Await(t, "NO ANSWER: hang: the session was lost meanwhile, and nobody knows whether it was carried out")
	c.typeLine("quit")
	if err := c.end(t); err != nil {
		t.Error(err)
	}
}

// TestPatience: at a terminal a lost connection is tried to get back, unless --reconnect says something else.
func TestPatience(t *testing.T) {
	terminal, script := editorConsole(newEditor(strings.NewReader(""), io.Discard), io.Discard, io.Discard), newConsole(strings.NewReader(""), io.Discard, io.Discard)
	for _, test := range []struct {
		c    *console
		o    connectOptions
		want time.Duration
	}{
		{terminal, connectOptions{usual: true}, 0},
		{terminal, connectOptions{usual: true, local: true}, -1},
		{terminal, connectOptions{}, -1},
		{terminal, connectOptions{reconnect: time.Minute}, time.Minute},
		{script, connectOptions{usual: true}, -1},
		{script, connectOptions{reconnect: time.Minute}, time.Minute},
	} {
		if got := test.o.patience(test.c); got != test.want {
			t.Errorf("%+v: %v, want %v", test.o, got, test.want)
		}
	}
}

// TestConnectClear: a login that would cross the network in clear is explained, whichever side refuses it.
func TestConnectClear(t *testing.T) {
	o := connectOptions{user: "alice", address: "tcp://203.0.113.1", wire: wirePacket}
	checkError(t, loginError(t.Context(), o, &client.DisconnectedError{Reason: client.ReasonClosed, Err: packetlink.ErrClear}),
		"connect to tcp://203.0.113.1: not logged in, as the password would cross the network in clear (connect with TLS, by tls://HOST:PORT or --tls; or with --packet-insecure")
	words, _, _ := strings.Cut(packetlink.ErrClear.Error(), " (") // the server's, in its answer
	checkError(t, loginError(t.Context(), o, &client.DisconnectedError{Reason: words + "."}),
		"log in as alice at tcp://203.0.113.1: Login without TLS refused", "try tls://HOST:PORT or --tls; ")
}

// TestConnectHintOfWire: what pgnet's wire does not have is said there, and not on others.
func TestConnectHintOfWire(t *testing.T) {
	t.Parallel()
	h := startHost(t, host.Config{})
	for wire, want := range map[string]string{"pgnet": "HINT: __parlor__.subscribe is for the native and the packet wire", "native": ""} {
		_, news, err := runConnect(t, strings.NewReader("__parlor__.subscribe\n"), h.address(), "--user", "user"+wire, "--password", "pw", "--wire", wire)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(news, want) || strings.Contains(news, "HINT") != (want != "") {
			t.Errorf("%s: want %q in\n%s", wire, want, news)
		}
	}
}
