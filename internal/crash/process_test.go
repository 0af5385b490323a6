package crash_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// adminPassword is the administrator's of all servers.
const adminPassword = "the crash test's"

// host is a place where one server after another runs, always at the same addresses.
type host struct {
	t       *testing.T
	program string
	args    []string
	address string // of WebSocket
	packets string // of the packet wire, with its scheme
}

// newHost is one whose servers have a store.
func newHost(t *testing.T, args ...string) *host {
	t.Helper()
	program, err := serverProgram()
	if err != nil {
		t.Fatalf("build the server: %v", err)
	}
	sockets, err := os.MkdirTemp("", "parlor-crash") // a short path, as a socket's must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	h := &host{t: t, program: program, address: freeAddress(t), packets: "unix:" + filepath.Join(sockets, "packets")}
	h.args = append([]string{"--listen", h.address, "--packet-listen", h.packets}, args...)
	return h
}

// freeAddress is one that no connection of this machine gets by chance while a server is down: below those ports.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if ln, err := net.Listen("tcp", address); err == nil {
			ln.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// process is a server that runs.
type process struct {
	cmd   *exec.Cmd
	out   output
	ready chan struct{} // closed when it takes clients
	done  chan struct{} // closed when it has ended
}

// start starts a server. It does not wait until that takes clients.
func (h *host) start() *process {
	p := &process{cmd: exec.Command(h.program, h.args...), ready: make(chan struct{}), done: make(chan struct{})}
	p.out.ready = p.ready
	p.cmd.Env = append(os.Environ(), "PARLOR_ADMIN_PASSWORD="+adminPassword)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		h.t.Fatalf("start the server: %v", err)
	}
	go func() { p.cmd.Wait(); close(p.done) }() // ends with the process
	return p
}

// await waits until the server takes clients.
func (p *process) await(patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		return fmt.Errorf("the server has ended by itself: %v", p.cmd.ProcessState)
	case <-timer.C:
		return fmt.Errorf("the server takes no clients within %v", patience)
	}
}

// kill ends the server with SIGKILL, and looks at what it has said.
func (p *process) kill() error {
	p.cmd.Process.Kill()
	<-p.done
	if p.cmd.ProcessState.Exited() {
		return fmt.Errorf("the server had ended by itself before it was killed: %v", p.cmd.ProcessState)
	}
	return p.complaints()
}

// stop ends the server in order.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.cmd.Process.Kill()
		<-p.done
		return errors.New("the server does not end within a minute")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the server has ended with code %d", code)
	}
	return p.complaints()
}

// wrong are lines that no server may log, whatever is done to it.
var wrong = regexp.MustCompile(`(?m)^.*(could not be made again|panic|goroutine \d+|DATA RACE|does not do again).*$`)

func (p *process) complaints() error {
	if line := wrong.FindString(p.out.String()); line != "" {
		return fmt.Errorf("the server has said: %s", line)
	}
	return nil
}

// output is what a process prints.
type output struct {
	ready chan struct{}

	mu    sync.Mutex // guards what follows
	buf   bytes.Buffer
	ended bool // ready is closed
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	if !o.ended && strings.Contains(o.buf.String(), "\npublic key: ") {
		o.ended = true
		close(o.ready)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
