package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// The parent and a child speak over the child's standard input and output: the child says where it listens,
// and answers each command, a line, with a report, a line of JSON. It ends when its input does.
const (
	commandStats    = "stats"    // what the process has used so far
	commandSettle   = "settle"   // the same, after garbage is collected and unused memory given back
	commandProfiled = "profiled" // the same, after the profiles are written: for a child that is killed
	commandEnd      = "end"      // the same, after the server has shut down in order
)

// report is what a child says.
type report struct {
	Addr    string        // where it listens
	Mallocs uint64        // objects allocated since the start
	Bytes   uint64        // and their bytes
	CPU     time.Duration // user and system time of the process
	Running int           // goroutines
	Played  int64         // moves that durable games made, those that were made again included
}

// told are what a child does when it is told something. Either may be nil.
type told struct {
	begin    func() error // before the first figures that it gives; a server has its clients then
	end      func()       // to shut down in order
	profiled func()       // writes the profiles
}

// obey is the child's end. It returns when the parent closes its end, or is gone.
func obey(addr string, stdin io.Reader, stdout io.Writer, do told) error {
	enc := json.NewEncoder(stdout)
	if err := enc.Encode(report{Addr: addr}); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		if lines.Text() == commandSettle {
			runtime.GC()
			debug.FreeOSMemory() // which collects once more: pools take two to be emptied
		}
		if lines.Text() == commandEnd && do.end != nil {
			do.end()
		}
		if lines.Text() == commandProfiled && do.profiled != nil {
			do.profiled()
		}
		if lines.Text() == commandStats && do.begin != nil {
			if err := do.begin(); err != nil {
				return err
			}
			do.begin = nil
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		r := report{Addr: addr, Mallocs: m.Mallocs, Bytes: m.TotalAlloc, CPU: cpuTime(), Running: runtime.NumGoroutine(), Played: played.Load()}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return lines.Err()
}

// child is a process of our own, as its parent sees it.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	addr string
}

// endWait is how long a child gets to end by itself.
const endWait = 10 * time.Second

// start runs this program again. The child is killed when ctx ends; close awaits it in any case.
func start(ctx context.Context, args ...string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, exe, args...)}
	c.cmd.Stderr = os.Stderr
	c.cmd.WaitDelay = endWait
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start bench %s: %w", args[0], err)
	}
	var r report
	if err := c.out.Decode(&r); err != nil {
		return nil, errors.Join(fmt.Errorf("bench %s did not start: %w", args[0], err), c.close())
	}
	c.addr = r.Addr
	return c, nil
}

// ask gives a command and waits for the report.
func (c *child) ask(command string) (r report, err error) {
	if _, err = fmt.Fprintln(c.in, command); err == nil {
		err = c.out.Decode(&r)
	}
	if err != nil {
		err = fmt.Errorf("ask child for %s: %w", command, err)
	}
	return r, err
}

// close asks the child to end, kills it if it does not, and awaits it.
func (c *child) close() error {
	c.in.Close()
	timer := time.AfterFunc(endWait, func() { c.cmd.Process.Kill() })
	defer timer.Stop()
	return c.cmd.Wait()
}

// kill ends the child as a crash would, and awaits it.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait() // its error is that it was killed
}

// rss is the resident memory of the child in kB, as the system counts it.
func (c *child) rss() (kB float64, err error) { return c.memory("VmRSS:") }

// forgetPeak has the system take what is resident now for the most that ever was (VmHWM).
func (c *child) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", c.cmd.Process.Pid), []byte("5"), 0)
}

// memory is a line of what the system says of the child, in kB.
func (c *child) memory(of string) (kB float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, of); ok {
			_, err := fmt.Sscan(rest, &kB)
			return kB, err
		}
	}
	return 0, fmt.Errorf("no %s in the status of the process", of)
}
