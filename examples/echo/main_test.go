package main

import (
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"parlor/internal/exampletest"
	"parlor/internal/pypeer"
	"parlor/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(exampletest.Exit)) }

type obj = map[string]any

// TestReplayServer: the server answers the client of the capture frame for frame.
func TestReplayServer(t *testing.T) {
	t.Parallel()
	program, addr := exampletest.StartServer(t, exampletest.Build(t, "."), "server", "127.0.0.1:0")
	other := exampletest.Dial(t, addr)
	frames := exampletest.Load(t, "example_echo.json")
	for _, f := range frames[:4] { // another client's handshake
		if f.ToServer {
			other.Send(f)
		} else {
			other.Expect(f)
		}
	}
	c := exampletest.Dial(t, addr)
	for _, f := range frames {
		if f.ToServer {
			c.Send(f)
		} else {
			c.Expect(f)
		}
	}
	c.ExpectEnd("command") // lost in the capture (D10)
	c.Close()
	other.ExpectEnd("servershutdown")
	other.Close()
	program.Ends(0)
}

// TestReplayClient: the client says to the server of the capture what is there, frame for frame.
func TestReplayClient(t *testing.T) {
	t.Parallel()
	ln := exampletest.Listen(t)
	program := exampletest.Start(t, exampletest.Build(t, "."), "client", ln.Addr())
	s := ln.Accept()
	for _, f := range exampletest.Load(t, "example_echo.json") {
		switch {
		case !f.ToServer:
			s.Send(f)
			continue
		case f.ID == 64:
			program.Type(f.Text())
		case f.ID == 65:
			program.Await("echo: \"hello\"\n")
			program.Type("ping")
		}
		s.Expect(f)
	}
	program.Await("ping: ")
	s.Close()
	program.Ends(0)
}

// TestPrograms: both programs, and what people type.
func TestPrograms(t *testing.T) {
	t.Parallel()
	path := exampletest.Build(t, ".")
	server, addr := exampletest.StartServer(t, path, "server", "127.0.0.1:0")
	client, idle := exampletest.Start(t, path, "client", addr), exampletest.Start(t, path, "client", addr)
	idle.Await("connected to " + addr)
	client.Type("w\u00f6rld \x1b[2J")
	client.Type(strings.Repeat("long ", 2000))
	client.Type("no text: \xff")
	client.Type(noise(3 << 20)) // longer than a frame, also compressed
	client.Type(strings.Repeat("y", 9<<20))
	client.Type("ping")
	client.Await("echo: \"w\u00f6rld \\x1b[2J\"\necho: \"long long ")
	client.Await("\nnot sent: packet \"echo:echo\": msgpack: string is not valid UTF-8\n")
	client.Await("\nnot sent: frame too large: ")
	client.Await("\nnot sent: body too large: ")
	client.Await("\nping: ")
	client.Type("quit")
	client.Ends(0)

	client = exampletest.Start(t, path, "client", addr)
	client.Type("last words")
	client.CloseStdin()
	client.Ends(0)
	client.Await("last words")

	client = exampletest.Start(t, path, "client", addr)
	client.Await("connected")
	client.Signal(syscall.SIGINT)
	client.Ends(0)

	client = exampletest.Start(t, path, "client", addr)
	client.Type("stop")
	client.Ends(0)
	idle.Ends(1)
	if text := idle.Stderr.Text(); text != "echo: connection closed by the other side: servershutdown\n" {
		t.Errorf("the idle client says %q", text)
	}
	server.Ends(0)

	server, addr = exampletest.StartServer(t, path, "server", "127.0.0.1:0")
	idle = exampletest.Start(t, path, "client", addr)
	idle.Await("connected")
	server.Signal(syscall.SIGTERM)
	server.Ends(0)
	idle.Ends(1)
	if text := server.Stderr.Text(); text != "" {
		t.Errorf("the server says %q", text)
	}
}

// noise is a line of so many hexadecimal digits, which can be compressed to little less than half.
func noise(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[random.IntN(16)]
	}
	return string(b)
}

// classic does the handshake of the capture as a client, but for its last frame, which it returns.
func classic(t *testing.T, c *exampletest.Conn) exampletest.Frame {
	t.Helper()
	frames := exampletest.Load(t, "example_echo.json")
	for _, f := range frames[:3] {
		if f.ToServer {
			c.Send(f)
		} else {
			c.Expect(f)
		}
	}
	if last := frames[3]; !last.ToServer || last.ID != packet.IDHandshakeAccept {
		t.Fatalf("the capture goes on with %v", last)
	}
	return frames[3]
}

// TestSmart: what comes before the handshake is complete is not taken, on either side.
func TestSmart(t *testing.T) {
	t.Parallel()
	hello, early := exampletest.New(t, 64, "hello"), exampletest.New(t, 64, "early")
	_, addr := exampletest.StartServer(t, exampletest.Build(t, "."), "server", "127.0.0.1:0")
	c := exampletest.Dial(t, addr)
	accept := classic(t, c)
	c.Send(early)
	c.Send(accept)
	c.Send(hello)
	c.Expect(hello)

	ln := exampletest.Listen(t)
	program := exampletest.Start(t, exampletest.Build(t, "."), "client", ln.Addr())
	s := ln.Accept()
	for _, f := range exampletest.Load(t, "example_echo.json")[:4] {
		switch {
		case f.ToServer:
			s.Expect(f)
			continue
		case f.ID == packet.IDHandshake:
			s.Send(early)
		}
		s.Send(f)
	}
	program.Type("hello")
	s.Expect(hello)
	s.Send(hello)
	program.Await("echo: \"hello\"\n")
	if text := program.Stdout.Text(); strings.Contains(text, "early") {
		t.Errorf("the client prints %q", text)
	}
}

// TestErrors: they go to standard error, and say what to try.
func TestErrors(t *testing.T) {
	t.Parallel()
	ln := exampletest.Listen(t) // which is in use, and says nothing
	taken, err := net.Dial("tcp", ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	nobody := taken.LocalAddr().String() // where nobody listens, nor can begin to meanwhile
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "echo: server or client?\n\nusage:\n"},
		{"serve localhost", 2, "echo: unknown command \"serve\": server or client?\n\nusage:\n"},
		{"client", 2, "echo: client takes an address\n\nusage:\n"},
		{"server a b", 2, "echo: unexpected argument \"b\"\n\nusage:\n"},
		{"server localhost:http", 1, "try localhost:8080"},
		{"server " + ln.Addr(), 1, "take another address"},
		{"client " + nobody, 1, "start a server with: echo server " + nobody},
		{"client a:b:c", 1, "check the address"},
	} {
		p := exampletest.Start(t, exampletest.Build(t, "."), strings.Fields(test.args)...)
		p.Ends(test.code)
		text, isUsage := strings.CutSuffix(p.Stderr.Text(), usage)
		if !strings.Contains(p.Stderr.Text(), test.want) || isUsage != (test.code == 2) || !isUsage && strings.Count(text, "\n") != 1 || p.Stdout.Text() != "" {
			t.Errorf("echo %s: %q, want %q", test.args, p.Stderr.Text(), test.want)
		}
	}
	empty := exampletest.Start(t, exampletest.Build(t, "."), "server", "")
	empty.Ends(2) // it would listen for everybody
}

// TestHelp: what is asked for is no error.
func TestHelp(t *testing.T) {
	for _, args := range []string{"--help", "-h", "server --help"} {
		var out strings.Builder
		if err := run(t.Context(), strings.Fields(args), nil, &out); err != nil || out.String() != usage {
			t.Errorf("echo %s: %v, printed %q", args, err, &out)
		}
	}
}

// TestAddresses: each form of the usage text is one for both programs.
func TestAddresses(t *testing.T) {
	t.Parallel()
	forms := []string{"localhost:0", ":0", "unix:" + t.TempDir() + "/echo.sock"}
	if ln, err := net.Listen("tcp", "[::1]:0"); err == nil { // not everywhere
		ln.Close()
		forms = append(forms, "[::1]:0")
	}
	for _, form := range forms {
		server, addr := exampletest.StartServer(t, exampletest.Build(t, "."), "server", form)
		if strings.HasPrefix(form, "unix:") {
			addr = form
		}
		client := exampletest.Start(t, exampletest.Build(t, "."), "client", addr)
		if strings.HasPrefix(form, "unix:") {
			client.Await("connected to " + form + "; ")
		}
		client.Type("hello")
		client.Await("echo: \"hello\"\n")
		client.Type("stop")
		client.Ends(0)
		server.Ends(0)
	}
}

// TestStop: whoever sends the text, in whatever encoding, stops the server; nothing else that looks like it does.
func TestStop(t *testing.T) {
	for body, want := range map[string]bool{
		"\xa4stop": true, "\xd9\x04stop": true, "\xda\x00\x04stop": true, "\xdb\x00\x00\x00\x04stop": true,
		"\xc4\x04stop": false, "\xa5stop ": false, "\xa4Stop": false, "\x91\xa4stop": false, "\xc0": false, "\x81\xa1a\xa4stop": false,
	} {
		if got := isStop(packet.Body(body)); got != want {
			t.Errorf("%x: %v", body, got)
		}
	}
}

// TestInterrupted: Ctrl-C also ends a client that waits for a server that says nothing.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ln := exampletest.Listen(t)
	p := exampletest.Start(t, exampletest.Build(t, "."), "client", ln.Addr())
	c := ln.Accept()
	p.Signal(syscall.SIGINT)
	p.Ends(1)
	if text := p.Stderr.Text(); text != "echo: interrupted before the server has answered\n" {
		t.Errorf("the client says %q", text)
	}
	c.Close()
}

// TestPythonClient: a Python client speaks with the server.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	program, addr := exampletest.StartServer(t, exampletest.Build(t, "."), "server", "127.0.0.1:0")
	_, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	connect := obj{"op": "connect", "port": port, "packets": pypeer.Packets("echo:echo", "echo:ping"), "d1": true}
	c, other := pypeer.StartPacketClient(t), pypeer.StartPacketClient(t)
	for _, p := range []*pypeer.PacketPeer{c, other} {
		p.Do(connect)
		p.Expect("handshake")
	}
	for _, body := range []any{"hello", nil, []any{1.0, obj{"$bin": "00"}, obj{"z": "order", "a": "kept"}}} {
		c.Do(obj{"op": "send", "packet": "echo:echo", "body": body})
		c.ExpectWith("recv", obj{"packet": "echo:echo", "body": body})
	}
	sent := obj{"$float": "1.5", "bits": "3ff8000000000000"}
	c.Do(obj{"op": "send", "packet": "echo:ping", "body": obj{"client_timestamp": sent, "more": "kept"}})
	body, _ := c.ExpectWith("recv", obj{"packet": "echo:ping"})["body"].(obj)
	if at, _ := body["server_timestamp"].(obj); body["more"] != "kept" || len(body) != 3 || at["$float"] == nil {
		t.Errorf("the ping came back as %v", body)
	}
	c.Do(obj{"op": "send", "packet": "echo:ping", "body": nil}) // an error that nobody else notices
	c.Do(obj{"op": "send", "packet": "echo:echo", "body": "stop"})
	c.ExpectWith("closed", obj{"reason": "command"})
	other.ExpectWith("closed", obj{"reason": "servershutdown"})
	program.Ends(0)
}

// TestPythonServer: the client speaks with a Python server.
func TestPythonServer(t *testing.T) {
	t.Parallel()
	s := pypeer.StartPacketServer(t, obj{"packets": []obj{{"name": "echo:echo", "smart": true}, {"name": "echo:ping", "smart": true}}, "d1": true})
	program := exampletest.Start(t, exampletest.Build(t, "."), "client", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)))
	for range 50 {
		program.Type("hello")
	}
	for range 50 { // one after the other (D1)
		s.ExpectWith("recv", obj{"packet": "echo:echo", "body": "hello"})
		s.Do(obj{"op": "send", "cid": 1, "packet": "echo:echo", "body": "hello"})
	}
	program.Type("ping")
	body := s.ExpectWith("recv", obj{"packet": "echo:ping"})["body"].(obj)
	body["server_timestamp"] = body["client_timestamp"]
	s.Do(obj{"op": "send", "cid": 1, "packet": "echo:ping", "body": body})
	program.Await("ms, there 0.000 ms, back ")
	program.Type("stop")
	s.ExpectWith("recv", obj{"packet": "echo:echo", "body": "stop"})
	s.Do(obj{"op": "close", "cid": 1, "reason": "command"})
	program.Ends(0)
}
