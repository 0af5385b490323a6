//go:build !unix

package pgnetfile

import (
	"io/fs"
	"os"
)

// keepOwner does nothing where files have no owner and group as Unix has them.
func keepOwner(*os.File, fs.FileInfo) bool { return true }
