package host_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	"parlor/internal/pypeer"
)

// The programs that tests run are built once.
var parlorProgram = sync.OnceValues(func() (string, error) { return build("..", "./cmd/parlor", "GOFLAGS=-buildvcs=false") })

// programs is where they are built; TestMain removes it.
var programs = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "parlor-host-test-") })

func build(dir, pkg string, env ...string) (path string, err error) {
	to, err := programs()
	if err != nil {
		return "", err
	}
	path = filepath.Join(to, strings.ReplaceAll(filepath.Base(dir)+filepath.Base(pkg), ".", "_"))
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// process is a program that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout output
	stderr output
	done   chan struct{}
}

// run starts a program in a folder of its own and waits until it listens. It is killed at the end of the test.
func run(t *testing.T, program string, args ...string) *process {
	t.Helper()
	return runIn(t, t.TempDir(), program, args...)
}

// runIn starts it in a folder.
func runIn(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	p := startIn(t, dir, program, args...)
	until(t, func() bool {
		select {
		case <-p.done:
			t.Fatal("the program has ended")
		default:
		}
		return p.stdout.field("public key") != "" && strings.HasSuffix(p.stdout.String(), "\n")
	})
	return p
}

// startIn starts a program that may end at once, or wait before it listens.
func startIn(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s:\n%s%s", filepath.Base(program), &p.stdout, &p.stderr)
		}
	})
	return p
}

func (p *process) addr() string { return p.stdout.field("address") }

func (p *process) port() int {
	p.t.Helper()
	_, text, _ := strings.Cut(p.addr(), ":")
	port, err := strconv.Atoi(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return port
}

// ends waits for the end and checks the exit code.
func (p *process) ends(want int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Fatal("the program does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Errorf("exit code %d, want %d", got, want)
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

const authorsGame = `package main

import (
	"parlor"
	"parlor/host"
)

type counter struct{ n int }

func (c *counter) HandleGamePacket(parlor.Packet) parlor.Response {
	c.n++
	return parlor.OK("counted", parlor.Map{"n": c.n})
}

func main() {
	host.Main(func(parlor.Room, string) (parlor.Game, error) { return &counter{}, nil })
}
`

// TestMainProgram is an author's first day: an empty folder, a module, a game, a server, by the commands of the
// README. As for the author, go mod tidy downloads what the module cache lacks: it looks further than what
// Parlor's own build has needed.
func TestMainProgram(t *testing.T) {
	t.Parallel()
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.sum":  string(sums), // or go mod tidy would ask the checksum database, with a warm cache too
		"main.go": authorsGame,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"mod", "init", "mygame"},
		{"mod", "edit", "-require=parlor@v0.0.0", "-replace=parlor=" + checkout},
		{"mod", "tidy"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v (without network, run go mod download beforehand)\n%s", strings.Join(args, " "), err, out)
		}
	}
	program, err := build(dir, ".", "GOWORK=off")
	if err != nil {
		t.Fatal(err)
	}
	save := filepath.Join(t.TempDir(), "save.json")
	p := run(t, program, "--listen", "localhost:0", "--save", save)
	c := dial(t, p.addr(), client.Config{Username: "alice", ServerKey: p.stdout.field("public key")})
	if err := c.JoinGame(t.Context(), "room", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	r := wantAnswer(t, c, "count", nil, "counted", 0)
	if n, _ := r.Payload.Get("n"); n != int64(1) {
		t.Errorf("counted %v", n)
	}
	p.signal(syscall.SIGTERM)
	p.ends(0)
	wantReason(t, c.Wait(), client.ReasonClosed)
	if text, err := os.ReadFile(save); err != nil || !bytes.Contains(text, []byte(`"alice"`)) {
		t.Errorf("the save holds %s, %v", text, err)
	}

	bad := exec.Command(program, "--listen", "nowhere")
	out, err := bad.CombinedOutput()
	if bad.ProcessState.ExitCode() != 1 || !strings.HasPrefix(string(out), filepath.Base(program)+": address \"nowhere\"") {
		t.Errorf("a bad address: %v, %s", err, out)
	}
}

// TestProgramWithPythonClients is "parlor serve" as people run it, and pgnet's clients.
func TestProgramWithPythonClients(t *testing.T) {
	t.Parallel()
	program, err := parlorProgram()
	if err != nil {
		t.Fatal(err)
	}
	save := filepath.Join(t.TempDir(), "save.json")
	p := run(t, program, "serve", "--listen", "localhost:0", "--save", save, "--admin-password", "secret")
	alice, bob := pypeer.StartClient(t), pypeer.StartClient(t)
	alice.Connect(p.port(), "alice", "pw")
	bob.Connect(p.port(), "bobby", "")
	want(t, alice.Call(map[string]any{"op": "create", "name": "room one", "password": "sesame"}), "Created new game: 'room one'.", 0, "room one")
	want(t, bob.Call(map[string]any{"op": "join", "name": "room one", "password": "x"}), "Failed to join game: Incorrect password.", 2, nil)
	want(t, bob.Call(map[string]any{"op": "join", "name": "room one", "password": "sesame"}), "Joined game: 'room one'.", 0, "room one")
	want(t, bob.Call(map[string]any{"op": "send", "message": "hello"}), "Message added.", 0, "room one")
	awaitLog(t, alice, "bobby says: 'hello'")

	p.signal(syscall.SIGINT)
	p.ends(0)
	for _, c := range []*pypeer.Client{alice, bob} {
		if ended := c.Expect("ended"); ended["close_code"] != 1001.0 {
			t.Errorf("the client saw %v, want the close code 1001", ended)
		}
	}

	p = run(t, program, "serve", "--listen", "localhost:0", "--save", save, "--admin-password", "secret")
	alice.Do(map[string]any{"op": "connect", "port": p.port(), "username": "alice", "password": "wrong"})
	alice.ExpectWith("status", map[string]any{"text": "Disconnected: Incorrect password."})
	alice.Expect("ended")
	alice.Connect(p.port(), "alice", "pw")
	want(t, alice.Call(map[string]any{"op": "join", "name": "room one", "password": "sesame"}), "Joined game: 'room one'.", 0, "room one")
	awaitLog(t, alice, "bobby says: 'hello'")
	admin := pypeer.StartClient(t)
	admin.Connect(p.port(), "admin", "secret")
	want(t, admin.Call(map[string]any{"op": "send", "message": parlor.RequestSave}), "Saved success=True server data to disk: "+save, 0, nil)
	want(t, admin.Call(map[string]any{"op": "send", "message": parlor.RequestShutdown}), "Shutting down...", 0, nil)
	p.ends(0)
	admin.Do(map[string]any{"op": "send", "message": "x"}) // outside a game pgnet's client notices nothing by itself
	for _, c := range []*pypeer.Client{alice, admin} {
		if ended := c.Expect("ended"); ended["close_code"] != 1001.0 {
			t.Errorf("the client saw %v, want the close code 1001", ended)
		}
	}
	if strings.Contains(p.stdout.String()+p.stderr.String(), "secret") {
		t.Error("the administrator password was printed")
	}
}

// want checks a response that a Python client got.
func want(t *testing.T, got map[string]any, message string, status int, game any) {
	t.Helper()
	if got["message"] != message || got["status"] != float64(status) || got["game"] != game {
		t.Errorf("got %v, want %q with status %d and game %v", got, message, status, game)
	}
}

// awaitLog waits for a line in the log that heartbeats of the example game carry.
func awaitLog(t *testing.T, c *pypeer.Client, line string) {
	t.Helper()
	until(t, func() bool {
		beat := c.Expect("heartbeat")["response"].(map[string]any)
		payload, _ := beat["payload"].(map[string]any)
		lines, _ := payload["log"].([]any)
		for _, l := range lines {
			if l == line {
				return beat["message"] == "Latest log entries."
			}
		}
		return false
	})
}

// TestFewFiles: connections that send nothing leave descriptors for the save file, however few there are.
func TestFewFiles(t *testing.T) {
	t.Parallel()
	program, err := parlorProgram()
	if err != nil {
		t.Fatal(err)
	}
	p := run(t, "sh", "-c", `ulimit -n 256 && exec "$0" "$@"`, program, "serve", "--listen", "127.0.0.1:0",
		"--admin-password", "secret", "--save", filepath.Join(t.TempDir(), "save.json"))
	admin := dial(t, p.addr(), client.Config{Username: "admin", Password: "secret"})
	for range 400 {
		nc, err := net.Dial("tcp", p.addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		r, err := admin.Request(t.Context(), parlor.RequestCreateInvite, nil) // answered when it is saved
		if err != nil || r.Status != parlor.StatusOK {
			t.Fatalf("%s, %v", r.DebugText(), err)
		}
	}
	dial(t, p.addr(), client.Config{Username: "alice", Password: "pw"})
	p.signal(syscall.SIGTERM)
	p.ends(0)
}
