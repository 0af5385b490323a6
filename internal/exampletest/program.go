// Package exampletest runs the example programs for their tests: the real ones as processes ([Build], [Start]), and
// with a capture of peng3dnet's program at the other end ([Load], [Dial], [Listen]); and games in rooms of their own,
// without lobby or wire ([OpenRoom]).
//
// Nothing here may be called concurrently on one value, and everything fails the test by [testing.TB.Fatalf], so call
// it from the test's own goroutine.
package exampletest

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long what a test waits for may take.
const Patience = time.Minute

// builds are the programs that were built, by folder.
var builds sync.Map

// Build builds the program of a folder, "." for that of the test itself, and returns where it is. It is built once
// for all tests of a package.
func Build(tb testing.TB, folder string) string {
	tb.Helper()
	abs, err := filepath.Abs(folder)
	if err != nil {
		tb.Fatal(err)
	}
	once, _ := builds.LoadOrStore(abs, sync.OnceValues(func() (string, error) { return build(abs) }))
	path, err := once.(func() (string, error))()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// built is where the programs are; Exit removes it.
var built = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "parlor-exampletest-") })

// Exit ends the tests of a package that builds programs: it removes those and exits. For TestMain:
//
//	goleak.VerifyTestMain(m, goleak.Cleanup(exampletest.Exit))
func Exit(code int) {
	if dir, err := built(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func build(folder string) (string, error) {
	dir, err := built()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(folder))
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".")
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &buildError{string(out), err}
	}
	return path, nil
}

type buildError struct {
	out string
	err error
}

func (e *buildError) Error() string { return "go build: " + e.err.Error() + "\n" + e.out }

// Process is a program that runs.
type Process struct {
	// Stdout and Stderr are what it has printed.
	Stdout, Stderr *Screen

	tb    testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
}

// Start starts a program in a folder of its own, as some leave files behind where they run. It is killed at the end of the test.
func Start(tb testing.TB, program string, args ...string) *Process {
	tb.Helper()
	p := &Process{Stdout: NewScreen(), Stderr: NewScreen(), tb: tb, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = p.Stdout, p.Stderr, tb.TempDir()
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() { // ends with the process
		p.cmd.Wait()
		close(p.done)
	}()
	tb.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if tb.Failed() {
			tb.Logf("%s %s:\n%s%s", filepath.Base(program), strings.Join(args, " "), p.Stdout.Text(), p.Stderr.Text())
		}
	})
	return p
}

// StartServer starts a program that prints "listening on ADDRESS", and returns that too.
func StartServer(tb testing.TB, program string, args ...string) (p *Process, addr string) {
	tb.Helper()
	p = Start(tb, program, args...)
	p.Await("listening on ")
	p.Await("\n")
	line, _, _ := strings.Cut(p.Stdout.Text(), "\n")
	return p, strings.TrimPrefix(line, "listening on ")
}

// StartLobby starts a program that is a lobby, on a free port of the loopback, and returns where it listens.
func StartLobby(tb testing.TB, program string, args ...string) (p *Process, addr string) {
	tb.Helper()
	p = Start(tb, program, append(args, "--listen", "127.0.0.1:0")...)
	p.Await("address: ")
	p.Await("\n")
	_, rest, _ := strings.Cut(p.Stdout.Text(), "address: ")
	addr, _, _ = strings.Cut(rest, "\n")
	return p, addr
}

// Type types a line on standard input.
func (p *Process) Type(line string) {
	p.tb.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.tb.Fatalf("type %q: %v", line, err)
	}
}

// CloseStdin ends standard input.
func (p *Process) CloseStdin() { p.stdin.Close() }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.tb.Fatal(err)
	}
}

// Await waits until standard output has a text.
func (p *Process) Await(text string) {
	p.tb.Helper()
	p.Stdout.await(p.tb, text, p.done)
}

// Ends waits for the end and checks the exit code.
func (p *Process) Ends(code int) {
	p.tb.Helper()
	select {
	case <-p.done:
	case <-time.After(Patience):
		p.tb.Fatal("the program does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.tb.Errorf("exit code %d, want %d", got, code)
	}
}

// Screen is what a program has printed. Its methods may be called concurrently.
type Screen struct {
	mu      sync.Mutex // guards b
	b       bytes.Buffer
	changed chan struct{} // holds a token after a change
}

// NewScreen returns an empty one, for a program in the test's own process.
func NewScreen() *Screen { return &Screen{changed: make(chan struct{}, 1)} }

// Await waits until the screen has a text.
func (s *Screen) Await(tb testing.TB, text string) {
	tb.Helper()
	s.await(tb, text, nil)
}

func (s *Screen) await(tb testing.TB, text string, done <-chan struct{}) {
	tb.Helper()
	late := time.After(Patience)
	for ended := false; !strings.Contains(s.Text(), text); {
		if ended {
			tb.Fatalf("the program has ended without %q", text)
		}
		select {
		case <-s.changed:
		case <-done:
			ended = true // one more look
		case <-late:
			tb.Fatalf("the program does not print %q; on its screen is\n%s", text, s.Text())
		}
	}
}

// Write is for the program.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Write(p)
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

// Text is all that was printed.
func (s *Screen) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
