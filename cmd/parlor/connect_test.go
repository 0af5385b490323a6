package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"parlor"
	"parlor/client"
	chat "parlor/examples/chat/game"
	"parlor/host"
	"parlor/internal/exampletest"
	"parlor/internal/pypeer"
	"parlor/link"
	"parlor/link/memlink"
	"parlor/server"
)

var update = flag.Bool("update", false, "write the golden files anew")

// runConnect runs "parlor connect" with an input, as a script would.
func runConnect(t *testing.T, in io.Reader, args ...string) (out, news string, err error) {
	t.Helper()
	var outBuf, newsBuf bytes.Buffer
	cmd := connectCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetIn(in)
	cmd.SetOut(&outBuf)
	cmd.SetErr(&newsBuf)
	cmd.SetArgs(append([]string{}, args...)) // not nil, for which cobra takes the arguments of the test binary
	err = cmd.ExecuteContext(t.Context())
	return outBuf.String(), newsBuf.String(), err
}

// cheapHashes are good enough for a test's passwords. Dear ones take a busy machine longer than connect waits for a login.
var cheapHashes = server.Limits{HashMemory: 8, HashPasses: 1}

// mem is a server over memlink.
func mem(t *testing.T) (*server.Server, link.Dialer) {
	t.Helper()
	srv, err := server.New(server.Config{
		Games: map[string]parlor.NewGame{"chat": chat.New}, AdminPassword: "right", NoRegistration: true, Limits: cheapHashes,
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = srv.Run(context.Background())
	}()
	t.Cleanup(func() {
		srv.Shutdown(0)
		<-done
	})
	return srv, memlink.Dialer{Lobby: srv}
}

// script connects to a dialer's server with lines from a script.
func script(t *testing.T, in io.Reader, o connectOptions) (out, news string, err error) {
	t.Helper()
	var outBuf, newsBuf bytes.Buffer
	c := newConsole(in, &outBuf, &newsBuf)
	defer c.close()
	err = connect(t.Context(), c, o)
	return outBuf.String(), newsBuf.String(), err
}

func checkError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func checkContains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

var timestamps = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?[+-]\d\d:\d\d`)

// TestConnectScript runs a script against the server of --local, and compares all that is printed.
func TestConnectScript(t *testing.T) {
	in, err := os.Open("testdata/session.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, news, err := runConnect(t, in, "--local")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"testdata/session.out": out, "testdata/session.err": news} {
		text = timestamps.ReplaceAllString(text, "TIME")
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s: printed\n%s\nwant\n%s", name, text, want)
		}
	}
}

// TestConnectSendsWhatItPrints compares the printed request with what the server got, but for the time, which envelopes do not have.
func TestConnectSendsWhatItPrints(t *testing.T) {
	out, _, err := runConnect(t, strings.NewReader("nowhere;a=1\n"), "--local")
	if err != nil {
		t.Fatal(err)
	}
	sent, _, _ := strings.Cut(out, "\n")
	_, got, _ := strings.Cut(out, "              packet : ")
	got, _, _ = strings.Cut(got, "\n")
	if !timestamps.MatchString(sent) || timestamps.ReplaceAllString(sent, "TIME") != timestamps.ReplaceAllString(got, "TIME") {
		t.Errorf("printed %q, the server got %q", sent, got)
	}
}

func TestConnectEnds(t *testing.T) {
	for name, in := range map[string]string{
		"quit":                   "quit\n.help\n",
		"quit without line feed": "quit",
		"quit after CRLF lines":  ".help\r\nquit\r\n",
		"end of input":           ".help\n",
		"no input":               "",
		"shutdown":               ".shutdown\n.help\n",
	} {
		t.Run(name, func(t *testing.T) {
			out, news, err := runConnect(t, strings.NewReader(in), "--local")
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out, "RECEIVED: "); n > 1 || strings.HasPrefix(name, "quit") && n != strings.Count(in, "\r\nquit") {
				t.Errorf("%d answers:\n%s", n, out)
			}
			if !strings.Contains(news, "STATUS: Disconnected: ") {
				t.Errorf("news:\n%s", news)
			}
		})
	}
}

func TestConnectRefusedLogin(t *testing.T) {
	_, dialer := mem(t)
	for name, test := range map[string]struct {
		o    connectOptions
		says []string
	}{
		"wrong password": {connectOptions{user: "admin", password: "wrong"}, []string{"log in as admin", "Incorrect password.", "PARLOR_PASSWORD"}},
		"no password":    {connectOptions{user: "admin"}, []string{"Incorrect password."}},
		"blocked":        {connectOptions{user: "alice"}, []string{"Registration blocked.", "--invite"}},
		"invite":         {connectOptions{user: "alice", invite: "beef"}, []string{"Incorrect username or invite code.", "--invite"}},
		"name":           {connectOptions{user: "a\x1b]", invite: "beef"}, []string{`log in as a\x1b]`}},
		"key":            {connectOptions{user: "admin", password: "right", pubkey: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, []string{"Unverified server public key.", "--pubkey"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.dialer = dialer
			out, news, err := script(t, strings.NewReader(".help\n"), test.o)
			checkError(t, err, test.says...)
			if out != "" {
				t.Errorf("printed %s", out)
			}
			checkContains(t, news, "STATUS: Disconnected: ")
		})
	}
}

// nowhere fails to call any server.
type nowhere struct{ err error }

func (n nowhere) Dial(context.Context, string) (link.Conn, error) { return nil, n.err }

func TestConnectErrors(t *testing.T) {
	dns := &net.DNSError{Err: "no such host", Name: "nohost.invalid", IsNotFound: true}
	_, _, err := script(t, strings.NewReader(""), connectOptions{user: "alice", address: "nohost.invalid", dialer: nowhere{dns}})
	checkError(t, err, "connect to nohost.invalid", "no such host", "spelt")

	free := nobodyAt(t)
	for name, test := range map[string]struct {
		args []string
		says []string
	}{
		"nobody there":  {[]string{free, "--user", "alice"}, []string{free, "connection refused", "parlor serve", "--local"}},
		"scheme":        {[]string{"http://x", "--user", "alice"}, []string{`"http://x"`, "ws://", "HOST:PORT"}},
		"no host":       {[]string{":38929", "--user", "alice"}, []string{`":38929"`, "names no host", "localhost:38929"}},
		"port":          {[]string{"localhost:many", "--user", "alice"}, []string{"many", "HOST:PORT"}},
		"no user":       {[]string{}, []string{"--user", "PARLOR_USER"}},
		"flag":          {[]string{"--bad"}, []string{"unknown flag: --bad", "--help"}},
		"two addresses": {[]string{"a", "b"}, []string{`"b"`, "--help"}},
		"local address": {[]string{"--local", "a"}, []string{`"a"`, "--local"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := runConnect(t, strings.NewReader(".help\n"), test.args...)
			checkError(t, err, test.says...)
			if out != "" {
				t.Errorf("printed %s", out)
			}
		})
	}
}

func TestConnectEnvironment(t *testing.T) {
	t.Setenv("PARLOR_LOCAL", "true")
	t.Setenv("PARLOR_USER", "alice")
	t.Setenv("PARLOR_PASSWORD", "secret")
	_, news, err := runConnect(t, strings.NewReader("quit\n"))
	if err != nil {
		t.Fatal(err)
	}
	checkContains(t, news, "Logged in as alice @ ")
	t.Setenv("PARLOR_USER", "admin")
	if _, news, err = runConnect(t, strings.NewReader("quit\n")); err != nil { // its password becomes that of the server
		t.Fatal(err)
	}
	checkContains(t, news, "Logged in as admin @ ")
	t.Setenv("PARLOR_LOCAL", "maybe")
	_, _, err = runConnect(t, strings.NewReader("quit\n"))
	checkError(t, err, "PARLOR_LOCAL", "maybe")
}

// TestConnectLost loses the connection while the console waits for a line.
func TestConnectLost(t *testing.T) {
	srv, dialer := mem(t)
	in, keys := io.Pipe()
	defer keys.Close()
	go func() {
		_, _ = io.WriteString(keys, ".help\n")
		_, _ = io.WriteString(keys, ".game_dir\n.help\n") // taken when the one before is answered
		srv.Shutdown(0)
	}()
	out, _, err := script(t, in, connectOptions{user: "admin", password: "right", dialer: dialer})
	checkError(t, err, "connection lost: the server has stopped (connect again when it is back")
	checkContains(t, out, "__pgnet__.game_dir")
}

// TestLostError: people are told what has happened, without the words of libraries.
func TestLostError(t *testing.T) {
	closed := func(code websocket.StatusCode, reason string) error { // as wslink has it
		return fmt.Errorf("%w: %w: failed to get reader: %w", net.ErrClosed, &link.CloseError{Code: link.Code(code), Reason: reason},
			websocket.CloseError{Code: code, Reason: reason})
	}
	for want, err := range map[string]*client.DisconnectedError{
		"the server has stopped (connect again when it is back)": {Reason: client.ReasonClosed, Err: closed(1001, "")},
		"the server ended this session (another login of this user with --takeover, idle for an hour, or the user was deleted: connect again)": {
			Reason: client.ReasonClosed, Err: closed(1000, "")},
		"another login of this user has taken the session over (": {Reason: client.ReasonClosed, Err: closed(1008, "taken over")},
		"the server ended this session: limit of time (":          {Reason: client.ReasonClosed, Err: closed(1000, "limit of time")},
		`the server ended this session: limit of\x1b (`:           {Reason: client.ReasonClosed, Err: closed(1008, "limit of\x1b")},
		"Connection closed. (the server may have":                 {Reason: client.ReasonClosed, Err: io.ErrUnexpectedEOF},
		"Connection closed. (the server may":                      {Reason: client.ReasonClosed, Err: closed(1011, "")},
		"the server or the game took more than 5 s (":             {Reason: client.ReasonTimeout},
		"User deleted. (": {Reason: "User deleted."},
	} {
		got := lostError(err)
		checkError(t, got, "connection lost: "+want)
		for _, noise := range []string{"reader", "Status", "use of", "EOF"} {
			if strings.Contains(got.Error(), noise) {
				t.Errorf("%q has %q in it", got, noise)
			}
		}
		if !errors.Is(got, err) {
			t.Errorf("%q has lost its cause", got)
		}
	}
}

// TestConnectEnded is ended by a real server: by a login that takes over, and by its shutdown.
func TestConnectEnded(t *testing.T) {
	s, err := host.Start(t.Context(), host.Config{
		Games: map[string]parlor.NewGame{"chat": chat.New}, Listen: "127.0.0.1:0", AdminPassword: "right", Takeover: true, Limits: cheapHashes,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Run(context.Background())
	}()
	stop := func() { s.Lobby().Shutdown(0); <-done }
	defer stop()
	address := s.Addrs()[0].String()
	endWhileConnected(t, address, "another login of this user has taken the session over", func() {
		if _, _, err := runConnect(t, strings.NewReader("quit\n"), address, "--user", "alice", "--password", "pw"); err != nil {
			t.Error(err)
		}
	})
	endWhileConnected(t, address, "the server has stopped", stop)
}

// endWhileConnected connects, ends the connection in some way, and checks what is said of it.
func endWhileConnected(t *testing.T, address, want string, end func()) {
	t.Helper()
	in, keys := io.Pipe()
	ended := make(chan struct{})
	defer func() { <-ended }() // or what ends this connection could be cut off by the next one
	defer keys.Close()
	go func() {
		defer close(ended)
		_, _ = io.WriteString(keys, ".help\n")
		_, _ = io.WriteString(keys, "\n") // taken when .help is answered
		end()
	}()
	_, _, err := runConnect(t, in, address, "--user", "alice", "--password", "pw")
	checkError(t, err, "connection lost: "+want)
}

// TestConnectHints: hints go to standard error, and only where there is something to say.
func TestConnectHints(t *testing.T) {
	for line, want := range map[string]string{
		".create_game;name=x":             "HINT: a game's name has 3 to 50 letters",
		".join_game;name=administration":  "HINT: a game's name has 3 to 50 letters",
		".create_invite":                  "HINT: the code is good once, and for 30 days",
		".create_invite;username=carl":    "HINT: the code is good once, and for 30 days",
		".create_invite;username=me&you":  "HINT: nobody can register as me&you: a user's name has 3 to 20 letters",
		".create_invite;name=carl":        "", // the answer says it
		".hlep":                           "HINT: no such request: .hlep; did you mean .help? .help lists them",
		".Join_Game;name=chess":           "did you mean .join_game?",
		".list":                           "HINT: no such request: .list; .help lists them",
		".\a":                             `HINT: no such request: .\a; .help lists them`,
		".help":                           "",
		".heartbeat_update":               "",
		"..help":                          "",
		"help":                            "",
		".create_game;name=chess;user=me": "",
	} {
		out, news, err := runConnect(t, strings.NewReader(line+"\n"), "--local")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(news, want) || strings.Contains(news, "HINT") != (want != "") || strings.Contains(out, "HINT") {
			t.Errorf("%q: want %q on standard error, which is\n%s", line, want, news)
		}
	}
}

// TestConnectDeleted is told by the server why it ends.
func TestConnectDeleted(t *testing.T) {
	_, _, err := script(t, strings.NewReader("bye\nnever\n"), connectOptions{user: "admin", dialer: &scripted{
		answers: []parlor.Response{{Message: "Authenticated."}, {Message: "User deleted.", Disconnecting: true}},
	}})
	checkError(t, err, "connection lost", "User deleted.")
}

// TestConnectTooLarge sends more than a line, and then more than a link, may hold.
func TestConnectTooLarge(t *testing.T) {
	dialer := &scripted{answers: []parlor.Response{{Message: "Authenticated."}, {Message: "here"}}}
	line := strings.Repeat("a", parlor.MaxMessageSize*3/4)
	out, news, err := script(t, strings.NewReader(line+"\nsmall\n"), connectOptions{user: "admin", dialer: dialer})
	if err != nil {
		t.Fatal(err)
	}
	checkContains(t, news, "Not sent: ")
	checkContains(t, out, "MESSAGE:  here")

	in := strings.NewReader("small\n" + strings.Repeat("a", 2*parlor.MaxMessageSize))
	out, _, err = script(t, in, connectOptions{user: "admin", dialer: &scripted{answers: dialer.answers}})
	checkError(t, err, "line 2", "split it")
	checkContains(t, out, "MESSAGE:  here")
}

// TestConnectHostile gets escape sequences wherever a server may put text.
func TestConnectHostile(t *testing.T) {
	evil := "\x1b]0;evil\x07\r\x9b31m\u202e\n===="
	payload := parlor.Encode(parlor.Map{evil: evil, "list": []string{evil}, "heartbeat_rate": 1e-300})
	dialer := &scripted{answers: []parlor.Response{
		{Message: "Authenticated."},
		{Message: evil, Payload: payload, CreatedOn: evil, Game: evil},
		{Message: "list", Payload: parlor.Encode([]string{evil}), Game: evil},
		{Message: evil, Disconnecting: true},
	}}
	out, news, err := script(t, strings.NewReader("a\nb\nc\n"), connectOptions{user: "admin", dialer: dialer})
	checkError(t, err, `\x1b]0;evil\a\r`)
	for _, text := range []string{out, news, err.Error()} {
		if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || 0x7f <= r && r <= 0x9f || r == 0x202e }); i >= 0 {
			t.Errorf("control character %q in:\n%s", text[i], text)
		}
	}
	checkContains(t, out, `MESSAGE:  \x1b]0;evil\a\r`, `\n====`, "PAYLOAD:\n                     : ['\\x1b]0")
	checkContains(t, news, `GAME: \x1b]0;evil\a\r`)
	if n := strings.Count(out, "\n===="); n != 3 {
		t.Errorf("%d answers:\n%s", n, out)
	}

	_, _, err = script(t, strings.NewReader(""), connectOptions{user: "admin", dialer: &scripted{
		answers: []parlor.Response{{Message: evil, Status: parlor.StatusBad}},
	}})
	checkError(t, err, `\x1b]0;evil`, "the server's words")
}

// scripted is a server that gives prepared answers.
type scripted struct{ answers []parlor.Response }

func (s *scripted) Dial(context.Context, string) (link.Conn, error) {
	return &scriptedConn{answers: make(chan parlor.Response, len(s.answers)), rest: s.answers, closed: make(chan struct{})}, nil
}

type scriptedConn struct {
	answers chan parlor.Response
	rest    []parlor.Response
	closed  chan struct{}
	once    sync.Once // closes closed
}

func (c *scriptedConn) Handshake(context.Context) (string, error) { return "", nil }

func (c *scriptedConn) Send(_ context.Context, p parlor.Packet) error {
	text, err := p.AppendJSON(nil)
	if err != nil {
		return err
	}
	if len(text) > parlor.MaxMessageSize*3/4 {
		return link.ErrTooLarge
	}
	if len(c.rest) > 0 && p.Message != parlor.RequestHeartbeat {
		c.answers <- c.rest[0]
		c.rest = c.rest[1:]
	}
	return nil
}

func (c *scriptedConn) Receive(ctx context.Context) (parlor.Response, error) {
	select {
	case r := <-c.answers:
		return r, nil
	case <-c.closed:
		return parlor.Response{}, net.ErrClosed
	case <-ctx.Done():
		return parlor.Response{}, context.Cause(ctx)
	}
}

func (c *scriptedConn) Remote() string { return "scripted" }
func (c *scriptedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// TestConnectTerminal types at a terminal: the login, a completion, the history, and Ctrl-D.
func TestConnectTerminal(t *testing.T) {
	_, dialer := mem(t)
	typed := "\rright\r" + // admin, and the password
		".he\t\r" + // .help
		"\x1b[A\x1b[A\x1b[D\x1b[D\x7f\x1b[Ce\r" + // back to it with the arrows, which do not find the password; edited: .hlep
		".create_game;n\tarena;p\tpw\t\r" +
		".de\t\x15.quit\x1b[H\x04\r" // the choice between three, erased; quit
	var screen bytes.Buffer
	e := newEditor(strings.NewReader(typed), &screen)
	c := editorConsole(e, e.terminal, e.terminal)
	if err := connect(t.Context(), c, connectOptions{dialer: dialer}); err != nil {
		t.Fatal(err)
	}
	c.close()
	shown := screen.String()
	checkContains(t, shown, "Enter username (leave blank for admin): ", "Enter password for admin (leave blank for none): ",
		"STATUS: Logged in as admin @ ",
		"Packet(message='__pgnet__.help'", "Packet(message='__pgnet__.hlep'",
		"Packet(message='__pgnet__.create_game'", "{'name': 'arena', 'password': 'pw'}",
		"GAME: arena\r\n",
		".debug  .destroy_game  .delete_user\r\n",
	)
	if strings.Contains(shown, "right") {
		t.Error("the password is shown")
	}
	if strings.Contains(strings.ReplaceAll(shown, "\r\n", ""), "\n") {
		t.Error("a line feed without a carriage return")
	}
}

// TestConnectTerminalEnds ends at each prompt with Ctrl-C and Ctrl-D.
func TestConnectTerminalEnds(t *testing.T) {
	_, dialer := mem(t)
	for _, key := range []string{"\x03", "\x04", ""} {
		for name, typed := range map[string]string{"name": "", "password": "admin\r", "request": "admin\rright\r"} {
			var screen bytes.Buffer
			e := newEditor(strings.NewReader(typed+key), &screen)
			c := editorConsole(e, e.terminal, e.terminal)
			err := connect(t.Context(), c, connectOptions{dialer: dialer})
			c.close()
			if name == "request" && err != nil {
				t.Errorf("%s, %q: %v", name, key, err)
			}
			if name != "request" {
				checkError(t, err, "--user")
			}
		}
	}
}

// TestConnectTerminalWaits: while an answer is awaited a line may be typed, which is sent behind it; Ctrl-C ends the waiting.
func TestConnectTerminalWaits(t *testing.T) {
	hang := make(chan struct{})
	srv, err := server.New(server.Config{AdminPassword: "right", Limits: cheapHashes, Games: map[string]parlor.NewGame{
		"pushy": func(room parlor.Room, _ string) (parlor.Game, error) { return &pushy{room, hang}, nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = srv.Run(context.Background())
	}()
	defer func() { srv.Shutdown(0); <-done }()
	for _, end := range []string{"answer", "Ctrl-C"} {
		keyboard, keys := io.Pipe()
		screen := exampletest.NewScreen()
		e := newEditor(keyboard, screen)
		c := editorConsole(e, e.terminal, e.terminal)
		ended := make(chan error, 1)
		go func() { // ends with connect
			ended <- connect(t.Context(), c, connectOptions{user: "admin", password: "right", passwordGiven: true, pushes: true, dialer: memlink.Dialer{Lobby: srv}})
			c.close()
		}()
		_, _ = io.WriteString(keys, ".join_game;name=arena\rhang\r")
		screen.Await(t, "PUSH: hangs ") // the game has it, and not the link alone
		if end == "answer" {
			_, _ = io.WriteString(keys, "push\r")
			screen.Await(t, ">> push")
			if strings.Contains(screen.Text(), "message='push'") {
				t.Error("a line is sent before the answer to the one before")
			}
			hang <- struct{}{}
			screen.Await(t, "PUSH: hap\\x1bpens {'n': 1")
			screen.Await(t, "MESSAGE:  done push")
			_, _ = io.WriteString(keys, "\x04")
			if err := <-ended; err != nil {
				t.Error(err)
			}
		} else {
			_, _ = io.WriteString(keys, "\x03")
			checkError(t, <-ended, "interrupted; a request that was not answered yet may still be carried out")
			hang <- struct{}{}
		}
		keys.Close()
	}
}

func TestComplete(t *testing.T) {
	for before, want := range map[string]string{
		".he":                              "lp",
		".h":                               "elp",
		".s":                               "",
		".set":                             "_",
		".set_r":                           "egistration",
		".de":                              "",
		"..he":                             "",
		"he":                               "",
		"":                                 "",
		".nothing":                         "",
		".help;":                           "",
		".create_game;":                    "",
		".create_game;p":                   "assword=",
		".create_game;name=x;":             "",
		".create_game;name=x;k":            "ind=",
		`.create_game;name="a;p=\"";p`:     "assword=",
		".create_game;name=x;password=y;":  "kind=",
		".create_game;name=pa":             "",
		`.create_game;name="a;pa`:          "",
		".create_game;bad;p":               "",
		".sleep;":                          "seconds=",
		".set_registration;":               "set_as=",
		".unknown;":                        "",
		"__pgnet__.create_game;":           "",
		"_":                                "",
		"__":                               "parlor__.",
		"__parlor__.":                      "",
		"__parlor__.su":                    "bscribe",
		"__parlor__.subscribe;":            "",
		"__parlor__.ch":                    "ange_password",
		"__parlor__.set_password;u":        "sername=",
		".create_invite;e":                 "xpires_in=",
		".create_game;name=x;name=y;pass":  "word=",
		".create_game;name=x;password=y;z": "",
	} {
		if got, _ := complete(before); got != want {
			t.Errorf("%q: completed by %q, want %q", before, got, want)
		}
	}
	if _, words := complete("."); len(words) != 14 || words[0] != ".help" || words[13] != ".shutdown" {
		t.Errorf("words %q", words)
	}
}

// TestConnectInterrupted ends while a line is awaited, as by a signal.
func TestConnectInterrupted(t *testing.T) {
	_, dialer := mem(t)
	ctx, cancel := context.WithCancel(t.Context())
	in, keys := io.Pipe()
	defer keys.Close()
	go func() {
		_, _ = io.WriteString(keys, ".help\n")
		_, _ = io.WriteString(keys, ".help\n")
		cancel()
	}()
	c := newConsole(in, io.Discard, io.Discard)
	defer c.close()
	checkError(t, connect(ctx, c, connectOptions{user: "admin", password: "right", dialer: dialer}), "interrupted")
}

// TestConnectServer connects to a real server on a socket, in the way of a user.
func TestConnectServer(t *testing.T) {
	s, err := host.Start(t.Context(), host.Config{
		Games: map[string]parlor.NewGame{"chat": chat.New}, Listen: "127.0.0.1:0", AdminPassword: "right", Out: io.Discard, Limits: cheapHashes,
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Run(context.Background())
	}()
	defer func() {
		s.Lobby().Shutdown(0)
		<-done
	}()
	address, key := s.Addrs()[0].String(), s.Lobby().PublicKey()
	out, news, err := runConnect(t, strings.NewReader(".create_game;name=arena\nhello\nquit\n"),
		address, "--user", "alice", "--password", "pw", "--pubkey", key)
	if err != nil {
		t.Fatal(err)
	}
	checkContains(t, out, "MESSAGE:  Created new game: 'arena'.", "MESSAGE:  Message added.")
	checkContains(t, news, "STATUS: Connecting to "+address+"...\nSTATUS: Logging in...\nCONNECTION: True\nSTATUS: Logged in as alice @ "+address,
		"STATUS: Joined game: arena\nGAME: arena\n")
	_, _, err = runConnect(t, strings.NewReader(""), address, "--user", "alice", "--password", "other")
	checkError(t, err, "Incorrect password.")
	_, _, err = runConnect(t, strings.NewReader(""), "ws://"+address, "--user", "alice", "--pubkey", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	checkError(t, err, client.ReasonWrongKey)
	_, news, err = runConnect(t, strings.NewReader(".shutdown\n"), address, "--user", "admin", "--password", "right")
	if err != nil {
		t.Fatal(err)
	}
	checkContains(t, news, "STATUS: Disconnected: Connection closed.")
}

// TestConnectPython talks to a server that behaves as pgnet 0.2.1.
func TestConnectPython(t *testing.T) {
	srv := pypeer.StartServer(t, pypeer.ServerOptions{Game: "example"})
	out, _, err := runConnect(t, strings.NewReader(".create_game;name=\"123\"\nhello;a=nan;b=99999999999999999999\n.join_game;name=5\nquit\n"),
		srv.Addr(), "--user", "alice")
	if err != nil {
		t.Fatal(err)
	}
	checkContains(t, out, "MESSAGE:  Created new game: '123'.", "MESSAGE:  Message added.",
		"MESSAGE:  Expected argument type <class 'str'> for argument 'name'. Instead got: <class 'int'> 5")
}
