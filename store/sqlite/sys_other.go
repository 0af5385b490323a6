//go:build !unix

package sqlite

import "os"

// keepOwner does nothing where files have no owner as Unix has them.
func keepOwner(*os.File, string) {}
