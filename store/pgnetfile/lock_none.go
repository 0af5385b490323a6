//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package pgnetfile

import "os"

// acquire does nothing where there is no flock: that only one server uses the file is up to the operator.
func acquire(string) (*os.File, error) { return nil, nil }
