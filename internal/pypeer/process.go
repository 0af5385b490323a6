package pypeer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"
)

// maxBacklog bounds the events a test has not asked for, heartbeats above all.
// Beyond it the oldest are dropped and counted.
const maxBacklog = 10_000

// process is a Python child process that speaks JSON lines on both ends.
type process struct {
	tb     testing.TB
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer  // complete once done is closed
	done   chan struct{} // closed when the process has ended and was reaped
	wake   chan struct{} // capacity 1: something was added to backlog

	mu      sync.Mutex
	backlog []map[string]any // guarded by mu; oldest first
	dropped int              // guarded by mu
}

// start runs a script; the test's cleanup kills it.
func start(tb testing.TB, script string, args ...string) *process {
	tb.Helper()
	python := Find(tb)
	args = append([]string{"-B", filepath.Join(unpack(tb), script)}, args...)
	p := &process{
		tb:   tb,
		name: script,
		cmd:  exec.Command(python, args...),
		done: make(chan struct{}),
		wake: make(chan struct{}, 1),
	}
	p.cmd.Env = append(os.Environ(), "PYTHONUTF8=1")
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		tb.Fatalf("%s: %v", script, err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		tb.Fatalf("%s: %v", script, err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", script, err)
	}
	go p.read(stdout) // ends with the process; cleanup kills it and waits for done
	tb.Cleanup(p.cleanup)
	return p
}

// read collects events until the process closes its output, then reaps it.
func (p *process) read(stdout io.Reader) {
	defer close(p.done)
	for r := bufio.NewReader(stdout); ; {
		line, err := r.ReadBytes('\n')
		var event map[string]any
		if json.Unmarshal(line, &event) == nil {
			p.add(event)
		}
		if err != nil {
			break
		}
	}
	_ = p.cmd.Wait() // the exit code is read from ProcessState
}

func (p *process) add(event map[string]any) {
	p.mu.Lock()
	if len(p.backlog) == maxBacklog {
		p.backlog = append(p.backlog[:0], p.backlog[1:]...)
		p.dropped++
	}
	p.backlog = append(p.backlog, event)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// do writes one command.
func (p *process) do(command map[string]any) {
	p.tb.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		p.tb.Fatalf("%s: command %v: %v", p.name, command, err)
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		p.tb.Fatalf("%s: send command %s: %v", p.name, line, err)
	}
}

// expect takes the oldest event of this name and with these values out of the
// backlog, waiting for it if need be.
func (p *process) expect(name string, values map[string]any) map[string]any {
	p.tb.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for ended := false; ; {
		if event := p.take(name, values); event != nil {
			return event
		}
		if ended {
			p.tb.Fatalf("%s ended without event %q %v; %s", p.name, name, values, p.leftover())
		}
		select {
		case <-p.wake:
		case <-p.done:
			ended = true // one more look: events may have come before the end
		case <-late.C:
			p.tb.Fatalf("%s: no event %q %v in %v; %s", p.name, name, values, patience, p.leftover())
		}
	}
}

func (p *process) take(name string, values map[string]any) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, event := range p.backlog {
		if event["event"] == name && includes(event, values) {
			p.backlog = append(p.backlog[:i], p.backlog[i+1:]...)
			return event
		}
	}
	return nil
}

func includes(event, values map[string]any) bool {
	for key, value := range values {
		if got, ok := event[key]; !ok || !reflect.DeepEqual(got, value) {
			return false
		}
	}
	return true
}

// leftover describes the events nobody took, the last ten of them.
func (p *process) leftover() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, _ := json.Marshal(map[string]any{
		"dropped": p.dropped, "not taken": len(p.backlog),
		"last": p.backlog[max(0, len(p.backlog)-10):],
	})
	return string(text)
}

// wait awaits the end and returns the exit code, -1 after a signal.
func (p *process) wait(limit time.Duration) int {
	p.tb.Helper()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-late.C:
		p.kill()
		p.tb.Fatalf("%s did not end within %v", p.name, limit)
		return -1
	}
}

// kill ends the process and waits for it; it may have ended already.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// cleanup ends the process; what it wrote on standard error goes to the log of
// a failed test.
func (p *process) cleanup() {
	p.kill()
	_ = p.stdin.Close()
	if p.tb.Failed() && p.stderr.Len() > 0 {
		p.tb.Logf("%s, standard error:\n%s", p.name, p.stderr.String())
	}
}
