//go:build unix

package box

import (
	"errors"
	"os"
	"syscall"
)

// looseModes is true where file modes say nothing about who may read a file.
const looseModes = false

// syncFolder waits until the names in a folder are on disk. File systems that cannot do so for a folder say
// EINVAL or ENOTSUP, and there is nothing else to be done on them.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
