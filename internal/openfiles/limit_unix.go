//go:build unix

package openfiles

import "syscall"

// limit is how many files and sockets the process may have open; 0 if that is not known.
func limit() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return int(min(uint64(l.Cur), 1<<30))
}
