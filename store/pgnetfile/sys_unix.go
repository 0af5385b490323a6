//go:build unix

package pgnetfile

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file the owner and group of another as far as it may, and tells whether the group is right.
func keepOwner(file *os.File, like fs.FileInfo) bool {
	info, err := file.Stat()
	if err != nil {
		return false
	}
	now, ok1 := info.Sys().(*syscall.Stat_t)
	old, ok2 := like.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 {
		return false
	}
	if now.Uid != old.Uid && file.Chown(int(old.Uid), int(old.Gid)) == nil {
		return true
	}
	return now.Gid == old.Gid || file.Chown(-1, int(old.Gid)) == nil
}
