//go:build !unix

package main

import "time"

// cpuTime is not measured here.
func cpuTime() time.Duration { return 0 }

// openFiles is how many files a process may have open; 0 is unknown.
func openFiles() int { return 0 }

// yield has other processes go first, which there is no way to ask for here.
func yield() error { return nil }

// loadAverage is not known here.
func loadAverage() string { return "unknown" }
