//go:build unix

package folder

import (
	"errors"
	"os"
	"syscall"
)

// Sync waits until the names in a folder are on disk. File systems that cannot do so for a folder say
// EINVAL or ENOTSUP, and there is nothing else to be done on them.
func Sync(dir string) error {
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
