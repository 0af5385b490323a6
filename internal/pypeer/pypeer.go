// Package pypeer runs the Python test peers: clients and servers that behave
// as pgnet 0.2.1 and peng3dnet 0.2.0, defects included, so that tests can show
// what a real peer would see.
//
// [StartServer] and [StartClient] start one of pgnet's, [StartPacketServer] and
// [StartPacketClient] one of peng3dnet's, as a child process that ends with the
// test. Their commands and events are listed in README.md, the behaviour in the
// project's descriptions of the two protocols.
//
// Nothing here may be called concurrently on one value, and everything fails
// the test by [testing.TB.Fatalf], so call it from the test's own goroutine.
package pypeer

import (
	"embed"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// scripts travel inside the test binary, so it finds them wherever it runs.
//
//go:embed lines.py pgnetpeer.py games.py client.py server.py packetpeer.py packetclient.py packetserver.py
var scripts embed.FS

// patience is how long a peer may take for one thing a test waits for. It is
// above the peers' own limits of 5 s for an answer and 10 s for a connection.
const patience = time.Minute

// found is the search of Find; what is installed does not change during a run.
var found = sync.OnceValues(func() (string, error) {
	return search(os.Getenv("PARLOR_PYTHON"), "/usr/bin/python3", "python3")
})

// Find returns a Python interpreter that can import websockets, nacl and msgpack:
// $PARLOR_PYTHON, /usr/bin/python3, or python3 of the path. If none can, the test
// fails; only with PARLOR_NO_PYTHON=1 it is skipped.
func Find(tb testing.TB) string {
	tb.Helper()
	if os.Getenv("PARLOR_NO_PYTHON") == "1" {
		tb.Skip("PARLOR_NO_PYTHON=1: tests with the Python peers are skipped")
	}
	python, err := found()
	if err != nil {
		tb.Fatal(err)
	}
	return python
}

// search returns the first interpreter that can run the peers.
func search(candidates ...string) (string, error) {
	var tried []string
	for _, python := range candidates {
		if python == "" {
			continue
		}
		out, err := exec.Command(python, "-c", "import websockets.legacy, nacl, msgpack").CombinedOutput()
		if err == nil {
			return python, nil
		}
		tried = append(tried, fmt.Sprintf("%s: %v %s", python, err, lastLine(out)))
	}
	return "", fmt.Errorf("no Python with websockets, nacl and msgpack: run `make test`, or "+
		"`apt-get install python3-websockets python3-nacl python3-msgpack`, or set PARLOR_PYTHON; tried\n%s",
		strings.Join(tried, "\n"))
}

func lastLine(out []byte) string {
	text := strings.TrimSpace(string(out))
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// ServerOptions are the options of a Python server. The zero value is a server
// with the capture game on a free port of localhost, administrator password
// "admin", open registration, and no save file.
type ServerOptions struct {
	Game            string   // "capture" (also if empty) or "example"
	Port            int      // 0: any free port
	AdminPassword   string   // empty: "admin"
	SaveFile        string   // empty: nothing is saved or loaded
	NoRegistration  bool     // new users need an invite code
	RequirePassword bool     // new users need a password
	ListenGlobally  bool     // all interfaces in place of localhost
	Key             string   // private key in base64; empty: a new one
	Args            []string // more arguments of server.py
}

func (o ServerOptions) arguments() []string {
	args := []string{"--stdin", "--game", "capture"}
	text := func(name, value string) {
		if value != "" {
			args = append(args, name, value)
		}
	}
	flag := func(name string, set bool) {
		if set {
			args = append(args, name)
		}
	}
	text("--game", o.Game)
	text("--port", fmt.Sprint(o.Port))
	text("--admin-password", o.AdminPassword)
	text("--save-file", o.SaveFile)
	text("--key", o.Key)
	flag("--no-registration", o.NoRegistration)
	flag("--require-password", o.RequirePassword)
	flag("--listen-globally", o.ListenGlobally)
	return append(args, o.Args...)
}

// Server is a running Python server.
type Server struct {
	Port   int    // where it listens
	PubKey string // its public key in base64

	proc *process
}

// StartServer starts a Python server and returns when it listens. It is killed
// when the test ends, unless it has stopped by then.
func StartServer(tb testing.TB, opts ServerOptions) *Server {
	tb.Helper()
	s := &Server{proc: start(tb, "server.py", opts.arguments()...)}
	opened := s.proc.expect("listening", nil)
	port, _ := opened["port"].(float64)
	s.Port = int(port)
	s.PubKey, _ = opened["pubkey"].(string)
	return s
}

// Addr returns the host and port to dial.
func (s *Server) Addr() string { return fmt.Sprintf("localhost:%d", s.Port) }

// Shutdown tells the server to stop with this exit code, as a program that
// embeds it would. It does not wait.
func (s *Server) Shutdown(result int) {
	s.proc.tb.Helper()
	s.proc.do(map[string]any{"op": "shutdown", "result": result})
}

// Wait blocks until the server has ended and returns its exit code. The server
// saves before that. The test fails if it takes more than 30 s: connections that
// do not answer the close can take 20.
func (s *Server) Wait() int {
	s.proc.tb.Helper()
	return s.proc.wait(patience)
}

// Stop stops the server in an orderly way and returns its exit code, normally 0.
func (s *Server) Stop() int {
	s.proc.tb.Helper()
	s.Shutdown(0)
	return s.Wait()
}

// Client is a running Python client program, connected or not.
type Client struct {
	proc   *process
	nextID int
}

// StartClient starts a Python client, not connected yet. It is killed when the
// test ends.
func StartClient(tb testing.TB) *Client {
	tb.Helper()
	return &Client{proc: start(tb, "client.py")}
}

// Do sends one command, e.g. {"op": "connect", "port": 1234, "username": "alice"}.
// It does not wait for anything.
func (c *Client) Do(command map[string]any) {
	c.proc.tb.Helper()
	c.proc.do(command)
}

// Expect returns the next event of this name. Other events stay for later calls;
// waiting too long fails the test. Numbers in events are float64.
func (c *Client) Expect(event string) map[string]any {
	c.proc.tb.Helper()
	return c.proc.expect(event, nil)
}

// ExpectWith is Expect for the next event that also has these values at its top
// level, such as {"text": "Left game: room"} for "status".
func (c *Client) ExpectWith(event string, values map[string]any) map[string]any {
	c.proc.tb.Helper()
	return c.proc.expect(event, values)
}

// Call sends a command that is answered with a response and returns that
// response, all six keys.
func (c *Client) Call(command map[string]any) map[string]any {
	c.proc.tb.Helper()
	c.nextID++
	command = maps.Clone(command)
	command["id"] = c.nextID
	c.proc.do(command)
	event := c.proc.expect("response", map[string]any{"id": float64(c.nextID)})
	response, _ := event["response"].(map[string]any)
	return response
}

// Connect connects to a server on this machine and returns when the client is
// logged in.
func (c *Client) Connect(port int, username, password string) {
	c.proc.tb.Helper()
	c.Do(map[string]any{
		"op": "connect", "address": "localhost", "port": port,
		"username": username, "password": password,
	})
	c.ExpectWith("connection", map[string]any{"value": true})
}

// Quit ends the program in an orderly way, without a close handshake of an open
// connection, and returns its exit code.
func (c *Client) Quit() int {
	c.proc.tb.Helper()
	c.Do(map[string]any{"op": "quit"})
	return c.proc.wait(patience)
}

// unpack writes the scripts into a directory of the test.
func unpack(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "pypeer"), scripts); err != nil {
		tb.Fatalf("unpack the Python peers: %v", err)
	}
	return filepath.Join(dir, "pypeer")
}
