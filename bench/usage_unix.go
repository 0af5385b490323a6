//go:build unix

package main

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuTime is the user and system time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// yield has other processes go first, mostly. On Linux a priority is a thread's; those that are made later have that of who makes them.
func yield() error {
	threads, err := os.ReadDir("/proc/self/task")
	for _, of := range threads {
		id, bad := strconv.Atoi(of.Name())
		err = errors.Join(err, bad, syscall.Setpriority(syscall.PRIO_PROCESS, id, 10))
	}
	return err
}

// openFiles is how many files a process may have open.
func openFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(uint64(l.Max), 1<<30)) // which Go programs raise theirs to
}

// loadAverage is what the system says of how many processes have wanted the processors lately.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 2 {
		return strings.Join(fields[:3], " ")
	}
	return "unknown"
}
