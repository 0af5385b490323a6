//go:build !unix

package pgnetfile

import (
	"io/fs"
	"os"
)

// syncFolder does nothing where a folder cannot be opened.
func syncFolder(string) error { return nil }

// keepOwner does nothing where files have no owner and group as Unix has them.
func keepOwner(*os.File, fs.FileInfo) bool { return true }
