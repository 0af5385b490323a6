//go:build unix

package pgnetfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// syncFolder waits until the names in a folder are on disk. File systems that cannot do so for a folder say
// EINVAL or ENOTSUP, and there is nothing else to be done on them.
func syncFolder(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	err = file.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}

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
