// Package folder makes folders that are still there after the machine lost its power, and has what is in one last: a file that was synced is
// not safe while its name is not. It may be used concurrently.
package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Make makes a folder and those above it that are missing, with mode 0700, and syncs each into the one above. So it does with the last of those
// that were there, if it can: whoever made that may have been killed before.
func Make(dir string) error { return makeAll(filepath.Clean(dir), Sync) }

// makeAll is Make of a path that is clean: the folder above "data/" would be "data".
func makeAll(dir string, sync func(string) error) error {
	parent := filepath.Dir(dir)
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrNotExist) && parent != dir:
		if err := makeAll(parent, sync); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	case err == nil:
		_ = sync(filepath.Dir(parent)) // the parent was there: perhaps of another disk, or where one may not look
	}
	if err == nil {
		if err = sync(parent); errors.Is(err, fs.ErrPermission) {
			return nil // its user may pass through, and not look
		}
		return err
	}
	if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
		_ = sync(parent)
		return nil // it was there, perhaps where nothing may be made
	}
	return err
}
