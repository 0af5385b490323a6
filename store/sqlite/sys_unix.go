//go:build unix

package sqlite

import (
	"os"
	"syscall"
)

// keepOwner gives a file the owner and group of another, if that is there, as far as it may.
func keepOwner(file *os.File, like string) {
	info, err := os.Stat(like)
	if err != nil {
		return
	}
	if of, ok := info.Sys().(*syscall.Stat_t); ok {
		_ = file.Chown(int(of.Uid), int(of.Gid)) // only root may
	}
}
