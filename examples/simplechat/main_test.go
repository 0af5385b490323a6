package main

import (
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"parlor/internal/exampletest"
	"parlor/internal/pypeer"
	"parlor/packet"
	"parlor/packet/ping"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(exampletest.Exit)) }

type obj = map[string]any

func start(t *testing.T) (*exampletest.Process, string) {
	t.Helper()
	return exampletest.StartServer(t, exampletest.Build(t, "."), "server", "127.0.0.1:0")
}

func client(t *testing.T, args ...string) *exampletest.Process {
	t.Helper()
	return exampletest.Start(t, exampletest.Build(t, "."), append([]string{"client"}, args...)...)
}

// corrected is a frame of the capture as it should have been.
func corrected(t *testing.T, f exampletest.Frame) exampletest.Frame {
	t.Helper()
	if f.Text() != "Not yet implemented" {
		return f
	}
	body := f.Body.(obj)
	body["message"] = "/whisper expects a name and a message"
	return exampletest.New(t, f.ID, body)
}

// awaitUsers waits until so many have joined, since what one client sends overtakes what another one sent.
func awaitUsers(t *testing.T, addr string, n int64) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) { // sleep: polls
		p, err := ping.Do(t.Context(), addr, nil, packet.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if p.Data["usercount"] == n {
			return
		}
		if time.Since(start) > exampletest.Patience {
			t.Fatalf("%v users, want %d", p.Data["usercount"], n)
		}
	}
}

// enter plays a client of the capture until it has asked to join.
func enter(t *testing.T, addr, nick string) *exampletest.Conn {
	t.Helper()
	c := exampletest.Dial(t, addr)
	for _, f := range exampletest.Load(t, "example_simplechat.json")[:4] {
		if f.ToServer {
			c.Send(f)
		} else {
			c.Expect(f)
		}
	}
	c.Send(exampletest.New(t, 65, obj{"nickname": nick}))
	return c
}

// handshake plays one until it has joined.
func handshake(t *testing.T, addr, nick string) *exampletest.Conn {
	t.Helper()
	c := enter(t, addr, nick)
	c.Send(say(t, "/help"))
	for !strings.HasPrefix(c.Receive().Text(), "Command help:") {
	}
	return c
}

func say(t *testing.T, text string) exampletest.Frame {
	t.Helper()
	return exampletest.New(t, 64, obj{"message": text, "timestamp": 1.5})
}

func announced(t *testing.T, text string) exampletest.Frame {
	t.Helper()
	return exampletest.New(t, 64, obj{"message": text, "origin": "server", "internal": true, "private": false, "timestamp": 1.5})
}

// TestReplayServer: the server answers the client of the capture frame for frame, while another one, bob, does what
// was told to that.
func TestReplayServer(t *testing.T) {
	t.Parallel()
	program, addr := start(t)
	alice := exampletest.Dial(t, addr)
	var bob *exampletest.Conn
	for _, f := range exampletest.Load(t, "example_simplechat.json") {
		switch f.Text() {
		case "User bob with IP Address 127.0.0.1 joined the server":
			awaitUsers(t, addr, 1)
			bob = handshake(t, addr, "bob")
		case "hello from bob":
			bob.Send(say(t, "hello from bob"))
		case "bob is now called robert":
			bob.Send(say(t, "/nick robert"))
		}
		if f.ToServer {
			alice.Send(f)
		} else {
			alice.Expect(corrected(t, f))
		}
	}
	alice.ExpectEnd("command") // lost in the capture (D10)
	alice.Close()

	bob.Expect(exampletest.New(t, 64, obj{"message": "hi bob", "origin": "alice", "internal": false, "private": false, "timestamp": 1.5}))
	bob.Expect(announced(t, "alice is now called al?ce"))
	bob.Expect(exampletest.New(t, 64, obj{"message": "Changed nickname to 'robert'", "origin": "server", "internal": true, "private": true, "timestamp": 1.5}))
	bob.Expect(announced(t, "al?ce has gone anonymous"))
	bob.Expect(announced(t, "zoe has revealed themselves"))
	bob.Expect(announced(t, "Server will shutdown by request of user zoe"))
	bob.ExpectEnd("command")
	bob.Close()
	program.Ends(0)
}

// TestReplayClient: the client says to the server of the capture what is there, frame for frame.
func TestReplayClient(t *testing.T) {
	t.Parallel()
	ln := exampletest.Listen(t)
	program := client(t, ln.Addr())
	program.Type("alice") // without a nickname as argument it is the first line
	s := ln.Accept()
	for _, f := range exampletest.Load(t, "example_simplechat.json") {
		if !f.ToServer {
			s.Send(f)
			continue
		}
		if f.ID == 64 {
			program.Type(f.Text())
		}
		s.Expect(f)
	}
	s.Close()
	program.Ends(0)
	for _, text := range []string{
		"] User bob with IP Address 127.0.0.1 joined the server\n", "] bob: hello from bob\n",
		"] Command help:\n/help   ", "] Changed nickname to 'zoe'\n",
	} {
		program.Await(text)
	}
}

// TestPrograms: the real programs, and what people type.
func TestPrograms(t *testing.T) {
	t.Parallel()
	server, addr := start(t)
	alice := client(t, addr, "alice")
	alice.Type("/help")
	alice.Await("] Command help:\n/help ")
	bob := client(t, addr, "  Bob \u00a7 the Great  ")
	alice.Await("] User Bob ? the Great with IP Address 127.0.0.1 joined the server\n")
	bob.Type("/nick bob")
	alice.Await("] Bob ? the Great is now called bob\n")
	alice.Type("hi \x1b[31mthere")
	bob.Await("] alice: hi ?[31mthere\n")
	bob.Type("/whisper alice psst, you")
	alice.Await("] bob whispers: psst, you\n")
	bob.Type("/whisper carl are you here?")
	bob.Await("] There is no user 'carl'\n")
	carl := client(t, addr, "carl")
	alice.Await("] User carl with IP Address 127.0.0.1 joined the server\n")
	if text := carl.Stdout.Text(); strings.Contains(text, "psst") {
		t.Errorf("carl sees %q", text)
	}
	carl.Type("/quit")
	carl.Ends(0)
	alice.Await("] carl disconnected (userrequest)\n")

	emil := client(t, addr, "emil")
	alice.Await("] User emil ")
	emil.Signal(syscall.SIGKILL)
	alice.Await("] emil disconnected (unknown)\n")
	dora := client(t, addr, "dora")
	alice.Await("] User dora ")
	dora.Await("connected to ") // or she would be interrupted before
	dora.Signal(syscall.SIGINT)
	dora.Ends(0)
	alice.Await("] dora disconnected (userrequest)\n")

	alice.Type("no text: \xff")
	alice.Await("not sent: msgpack: ")
	alice.Type("/stop")
	alice.Ends(0)
	alice.Await("\nconnection closed by the other side: command: a member has stopped the server\n")
	bob.Await("] Server will shutdown by request of user alice\n")
	bob.Ends(1)
	if text := bob.Stderr.Text(); text != "simplechat: connection closed by the other side: command: a member has stopped the server\n" {
		t.Errorf("bob is told %q", text)
	}
	server.Ends(0)
	if text := server.Stderr.Text(); text != "" {
		t.Errorf("the server says %q", text)
	}
}

// TestServerEnds: a client says why its server has ended.
func TestServerEnds(t *testing.T) {
	t.Parallel()
	for signal, want := range map[os.Signal][2]string{
		syscall.SIGTERM: {"simplechat: connection closed by the other side: servershutdown", ": the server was ended\n"},
		syscall.SIGKILL: {"simplechat: connection closed: socketclose", ": the server or the network has gone, without a word\n"},
	} {
		server, addr := start(t)
		alice := client(t, addr, "alice")
		alice.Await("connected to ")
		server.Signal(signal)
		alice.Ends(1)
		if text := alice.Stderr.Text(); !strings.HasPrefix(text, want[0]) || !strings.HasSuffix(text, want[1]) {
			t.Errorf("%v: alice is told %q", signal, text)
		}
	}
}

// TestInterrupt: Ctrl-C ends the server in order.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	server, addr := start(t)
	alice, bob := handshake(t, addr, "alice"), handshake(t, addr, "")
	alice.Expect(announced(t, "User anonymous with IP Address 127.0.0.1 joined the server"))
	server.Signal(syscall.SIGINT)
	alice.ExpectEnd(packet.ReasonServerShutdown)
	bob.ExpectEnd(packet.ReasonServerShutdown)
	alice.Close()
	bob.Close()
	server.Ends(0)
}

// TestPing: the answer tells who is there.
func TestPing(t *testing.T) {
	t.Parallel()
	_, addr := start(t)
	first := handshake(t, addr, "first")
	for _, nick := range []string{"bob", "", "carl"} {
		handshake(t, addr, nick)
		first.Receive() // has joined
	}
	for i := range 10 {
		handshake(t, addr, fmt.Sprintf("d%d", i))
		first.Receive()
	}
	p, err := ping.Do(t.Context(), addr, nil, packet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	delete(p.Data, "oldmsg")
	delete(p.Data, "peng3dnet")
	want := obj{
		"usercount": int64(13), "maxusers": int64(128), "couldjoin": true,
		"usersample": []any{"bob", "carl", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7"},
	}
	if diff := cmp.Diff(want, p.Data); diff != "" {
		t.Error(diff)
	}
}

// TestHostile: what a client of another make may send.
func TestHostile(t *testing.T) {
	t.Parallel()
	_, addr := start(t)
	alice := handshake(t, addr, "alice")
	mallory := exampletest.Dial(t, addr)
	for _, f := range exampletest.Load(t, "example_simplechat.json")[:4] {
		if f.ToServer {
			mallory.Send(f)
		} else {
			mallory.Expect(f)
		}
	}
	mallory.Send(say(t, "not a member yet"))
	for _, odd := range []any{7, nil, []byte("mallory"), []any{"mallory"}} { // nobody joins so
		mallory.Send(exampletest.New(t, 65, obj{"nickname": odd}))
	}
	mallory.Send(exampletest.New(t, 65, obj{"nickname": strings.Repeat("long \n", 10)}))
	mallory.Send(exampletest.New(t, 65, obj{"nickname": "again"}))
	mallory.Send(exampletest.New(t, 64, "no map"))
	mallory.Send(exampletest.New(t, 64, obj{"message": 7, "timestamp": 1.5}))
	mallory.Send(exampletest.New(t, 64, obj{"message": "no time"}))
	odds := []any{nil, "now", true, math.NaN(), math.Inf(1), 1e300, -63e9, 260_000_000_000, uint64(math.MaxUint64), []any{1.5}} // as others would fail on them
	for _, odd := range odds {
		mallory.Send(exampletest.New(t, 64, obj{"message": "odd time", "timestamp": odd}))
	}
	mallory.Send(exampletest.New(t, packet.IDCloseConnection, obj{"reason": "\x1b[2J\n[00:00:00] alice: I owe mallory money"}))
	nick := "long ?long ?long ?long ?long ?lo"
	alice.Expect(announced(t, "User "+nick+" with IP Address 127.0.0.1 joined the server"))
	alice.Expect(exampletest.New(t, 64, obj{"message": "no time", "origin": nick, "internal": false, "private": false, "timestamp": 1.5}))
	for range odds {
		if at := alice.Receive().Body.(obj)["timestamp"]; !recent(at) {
			t.Errorf("a message of the time %v", at)
		}
	}
	alice.Expect(announced(t, nick+" disconnected (?[2J?[00:00:00] alice: I owe mallory money)"))
}

// TestNicknames: nobody can pass for another member or the server, nor get what is whispered to another.
func TestNicknames(t *testing.T) {
	t.Parallel()
	_, addr := start(t)
	alice := handshake(t, addr, "alice")
	for _, nick := range []struct{ asked, given string }{
		{"alice", "alice2"}, {"Alice", "Alice3"}, {"alice my", "alice_my"}, {"server", "server2"}, {"Server says", "Server_says"},
		{"bob the great", "bob the great"}, {"bob the", "bob_the"}, {"anonymous", "anonymous"}, {"Anonymous", "Anonymous2"},
		{strings.Repeat("x", 40), strings.Repeat("x", 32)}, {strings.Repeat("x", 40), strings.Repeat("x", 31) + "2"},
	} {
		handshake(t, addr, nick.asked)
		alice.Expect(announced(t, "User "+nick.given+" with IP Address 127.0.0.1 joined the server"))
	}

	mallory := handshake(t, addr, "mallory")
	alice.Receive()
	answer := func(text string) exampletest.Frame {
		return exampletest.New(t, 64, obj{"message": text, "origin": "server", "internal": true, "private": true, "timestamp": 1.5})
	}
	for _, nick := range []string{"alice", "ALICE", "server", "Server", "bob", "Anonymous"} {
		mallory.Send(say(t, "/nick "+nick))
		mallory.Expect(answer("Forbidden nickname"))
	}
	mallory.Send(say(t, "/nick Mallory")) // is free: it is her own
	mallory.Expect(answer("Changed nickname to 'Mallory'"))
	alice.Expect(announced(t, "mallory is now called Mallory"))
	mallory.Send(say(t, "/whisper alice my secret"))
	alice.Expect(exampletest.New(t, 64, obj{"message": "my secret", "origin": "Mallory", "internal": false, "private": true, "timestamp": 1.5}))
	mallory.Send(say(t, "/whisper anonymous hi"))
	mallory.Expect(answer("There is no user 'anonymous'"))
}

// TestTimestamps: others get the sender's time as it came, whole numbers and those before 1970 included.
func TestTimestamps(t *testing.T) {
	t.Parallel()
	_, addr := start(t)
	alice, bob := handshake(t, addr, "alice"), handshake(t, addr, "bob")
	alice.Receive() // has joined
	for _, at := range []any{int64(1), 1.0, 1.5, int64(0), 0.0, -1.5, int64(-1_000_000_000), int64(249_000_000_000)} {
		for _, text := range []string{"hi", "/whisper alice hi"} {
			bob.Send(exampletest.New(t, 64, obj{"message": text, "timestamp": at}))
			if got := alice.Receive().Body.(obj)["timestamp"]; got != at {
				t.Errorf("%s at %T %[2]v came at %T %[3]v", text, at, got)
			}
		}
	}
}

// TestCleanNick: the rule by which a nickname is made of what was asked for.
func TestCleanNick(t *testing.T) {
	for asked, want := range map[string]string{
		"": "anonymous", " \t\n": "anonymous", " a b ": "a b", "~\x7f\u0080\u00e9\u20ac": "~????", "a\x1f\x00\nb": "a???b",
		strings.Repeat("\u00e9", 33): strings.Repeat("?", 32), strings.Repeat("x", 32): strings.Repeat("x", 32),
	} {
		if got := cleanNick(asked); got != want {
			t.Errorf("%q becomes %q, want %q", asked, got, want)
		}
	}
}

// recent tells whether a timestamp is the server's own.
func recent(at any) bool {
	seconds, ok := at.(float64)
	return ok && time.Since(time.UnixMicro(int64(seconds*1e6))).Abs() < time.Hour
}

// TestToldNickname: whoever asks for a name that is taken is told which one it gets. That a name is cut or cleaned, the
// server does not tell, as peng3dnet's does not, but our client does.
func TestToldNickname(t *testing.T) {
	t.Parallel()
	_, addr := start(t)
	for _, test := range []struct{ asked, given, told string }{
		{strings.Repeat("long", 9), strings.Repeat("long", 8), ""}, {"zo\u00eb", "zo?", ""}, {"del\x7f", "del?", ""}, {" bob ", "bob", ""}, {" ", "anonymous", ""},
		{"zo\u00eb", "zo?2", "The nickname 'zo?' is taken: yours is 'zo?2'"}, {"server", "server2", "The nickname 'server' is taken: yours is 'server2'"},
	} {
		c := enter(t, addr, test.asked)
		if test.told != "" {
			c.Expect(exampletest.New(t, 64, obj{"message": test.told, "origin": "server", "internal": true, "private": true, "timestamp": 1.5}))
		}
		c.Send(say(t, "/help"))
		if text := c.Receive().Text(); !strings.HasPrefix(text, "Command help:") {
			t.Errorf("%q is told %q", test.asked, text)
		}
		c.Send(say(t, "/anon"))
		c.Receive()
		if test.given == "anonymous" {
			continue
		}
		c.Send(say(t, "/nick "+test.given)) // nobody else has it
		if text := c.Receive().Text(); text != "Changed nickname to '"+test.given+"'" {
			t.Errorf("%q is told %q", test.asked, text)
		}
	}
	c := client(t, addr, "\u20acuro")
	c.Await("\nyour nickname is '?uro': it can have 32 characters, of ASCII\n")
	for _, nick := range []string{"alice", " carl ", " "} {
		c := client(t, addr, nick)
		c.Type("/help")
		c.Await("] Command help:")
		if text := c.Stdout.Text(); strings.Contains(text, "nickname is") {
			t.Errorf("%q is told %q", nick, text)
		}
	}
}

// TestManyOfOneName: whoever is too late for a number has no nickname.
func TestManyOfOneName(t *testing.T) {
	t.Parallel()
	_, addr := start(t)
	first := handshake(t, addr, "d")
	for n := 2; n <= 10; n++ {
		handshake(t, addr, "d")
		nick := fmt.Sprintf("d%d", n)
		if n == 10 {
			nick = "anonymous"
		}
		first.Expect(announced(t, "User "+nick+" with IP Address 127.0.0.1 joined the server"))
	}
}

// TestMessages: what others get of a message.
func TestMessages(t *testing.T) {
	t.Parallel()
	_, addr := start(t)
	alice, mallory := handshake(t, addr, "alice"), handshake(t, addr, "mallory")
	alice.Receive()                // has joined
	for _, text := range []string{ // as they are: it is for clients to protect terminals, which ours does
		"plain \t \u00e9 \u05d0\u200f \U0001f469\u200d\U0001f680", "\x1b[2J\r\n[00:00:00] server: \x7f\u009b0m password?", strings.Repeat("m", 4<<10), " ",
	} {
		mallory.Send(say(t, text))
		alice.Expect(exampletest.New(t, 64, obj{"message": text, "origin": "mallory", "internal": false, "private": false, "timestamp": 1.5}))
	}
	for _, text := range []string{"", "/nick ", "/whisper alice "} {
		mallory.Send(say(t, text+strings.Repeat("m", 4<<10+1)))
		mallory.Expect(exampletest.New(t, 64, obj{"message": "Message too long: it may have 4096 bytes", "origin": "server", "internal": true, "private": true, "timestamp": 1.5}))
	}
	mallory.Send(say(t, strings.Repeat("m", 64<<10)))
	mallory.ExpectEnd(packet.ReasonFrameTooLarge)
	mallory.Close()
	alice.Expect(announced(t, "mallory disconnected (frametoolarge)"))

	verbose := handshake(t, addr, "verbose")
	alice.Receive()
	verbose.Send(exampletest.New(t, packet.IDCloseConnection, obj{"reason": strings.Repeat("\u20ac", 20_000)}))
	alice.Expect(announced(t, "verbose disconnected ("+strings.Repeat("\u20ac", 100)+")"))
	odd := handshake(t, addr, "odd")
	alice.Receive()
	odd.Send(exampletest.New(t, packet.IDCloseConnection, obj{"reason": 7}))
	alice.Expect(announced(t, "odd disconnected (7)"))
}

// TestLine: what a member says is one line, that does nothing to a terminal.
func TestLine(t *testing.T) {
	text := "\x1b[2J\r\n[00:00:00] server: \x7f\u009b0m \u00e9"
	for want, m := range map[string]shown{
		"mal?lory: ?[2J??[00:00:00] server: ??0m \u00e9":          {Message: text, Origin: "mal\nlory"},
		"mal?lory whispers: ?[2J??[00:00:00] server: ??0m \u00e9": {Message: text, Origin: "mal\nlory", Private: true},
		"?[2J?\n[00:00:00] server: ??0m \u00e9":                   {Message: text, Origin: "server", Internal: true},
	} {
		m.Timestamp = -1.5
		if _, got, _ := strings.Cut(line(m), "] "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestErrors: they go to standard error, and say what to try.
func TestErrors(t *testing.T) {
	t.Parallel()
	ln := exampletest.Listen(t) // which is in use, and says nothing
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "simplechat: server or client?\n\nusage:\n"},
		{"join localhost", 2, "simplechat: unknown command \"join\": server or client?\n\nusage:\n"},
		{"server", 2, "simplechat: server takes an address\n\nusage:\n"},
		{"server a b", 2, "simplechat: unexpected argument \"b\"\n\nusage:\n"},
		{"client a Bob the Great", 2, "unexpected argument \"the\": a nickname with blanks stands in quotes\n\nusage:\n"},
		{"server :99999", 1, "try localhost:8080"},
		{"server " + ln.Addr(), 1, "take another address"},
		{"client a:b:c x", 1, "check the address"},
	} {
		p := exampletest.Start(t, exampletest.Build(t, "."), strings.Fields(test.args)...)
		p.Ends(test.code)
		text, isUsage := strings.CutSuffix(p.Stderr.Text(), usage)
		if !strings.Contains(p.Stderr.Text(), test.want) || isUsage != (test.code == 2) || !isUsage && strings.Count(text, "\n") != 1 || p.Stdout.Text() != "" {
			t.Errorf("simplechat %s: %q, want %q", test.args, p.Stderr.Text(), test.want)
		}
	}
	empty := exampletest.Start(t, exampletest.Build(t, "."), "server", "")
	empty.Ends(2) // it would listen for everybody
}

// TestHelp: what is asked for is no error.
func TestHelp(t *testing.T) {
	for _, args := range []string{"--help", "-h", "client --help"} {
		var out strings.Builder
		if err := run(t.Context(), strings.Fields(args), nil, &out); err != nil || out.String() != usage {
			t.Errorf("simplechat %s: %v, printed %q", args, err, &out)
		}
	}
}

// TestPythonClients: two Python clients chat.
func TestPythonClients(t *testing.T) {
	t.Parallel()
	program, addr := start(t)
	_, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	alice, bob := pypeer.StartPacketClient(t), pypeer.StartPacketClient(t)
	for name, p := range map[string]*pypeer.PacketPeer{"alice": alice, "bob": bob} {
		p.Do(obj{"op": "connect", "port": port, "packets": pypeer.Packets("chat:message", "chat:join"), "d1": true})
		p.Expect("handshake")
		p.Do(obj{"op": "send", "packet": "chat:join", "body": obj{"nickname": name}})
		p.Do(obj{"op": "send", "packet": "chat:message", "body": obj{"message": "/help", "timestamp": 1}})
		body := p.Expect("recv")["body"].(obj)
		if text, _ := body["message"].(string); !strings.HasPrefix(text, "Command help:\n") || body["private"] != true {
			t.Errorf("%s got %v", name, body)
		}
	}
	heard := func(p *pypeer.PacketPeer, text string) {
		t.Helper()
		for {
			if p.Expect("recv")["body"].(obj)["message"] == text {
				return
			}
		}
	}
	alice.Do(obj{"op": "send", "packet": "chat:message", "body": obj{"message": "hi bob", "timestamp": 1}})
	heard(bob, "hi bob")
	bob.Do(obj{"op": "send", "packet": "chat:message", "body": obj{"message": "/whisper alice psst", "timestamp": 1}})
	heard(alice, "psst")
	bob.Do(obj{"op": "close", "reason": "bye"})
	bob.Expect("closed")
	heard(alice, "bob disconnected (bye)")
	alice.Do(obj{"op": "send", "packet": "chat:message", "body": obj{"message": "/stop", "timestamp": 1}})
	alice.ExpectWith("closed", obj{"reason": "command"})
	program.Ends(0)
}

// TestPythonServer: the client in a Python server's room.
func TestPythonServer(t *testing.T) {
	t.Parallel()
	s := pypeer.StartPacketServer(t, obj{"packets": []obj{{"name": "chat:message", "smart": true}, {"name": "chat:join", "smart": true}}, "d1": true})
	program := client(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), "alice")
	s.ExpectWith("recv", obj{"packet": "chat:join", "body": obj{"nickname": "alice"}})
	s.Do(obj{"op": "send", "cid": 1, "packet": "chat:message", "body": obj{
		"message": "hello", "origin": "bob", "internal": false, "private": false, "timestamp": 1,
	}})
	program.Await("] bob: hello\n")
	s.Do(obj{"op": "send", "cid": 1, "packet": "chat:message", "body": obj{
		"message": "when?", "origin": "bob", "internal": false, "private": false, "timestamp": nil,
	}})
	program.Await("] bob: when?\n")
	program.Type("hi")
	if body := s.Expect("recv")["body"].(obj); body["message"] != "hi" || len(body) != 2 {
		t.Errorf("the server got %v", body)
	}
	program.Type("/quit")
	s.ExpectWith("closed", obj{"reason": "userrequest"})
	program.Ends(0)
}
