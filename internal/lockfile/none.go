//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package lockfile

import "os"

// Acquire does nothing where there is no flock: that only one server uses the file is up to the operator.
func Acquire(string) (*Lock, error) { return nil, nil }

// Share does nothing, either.
func Share(string) (*Lock, error) { return nil, nil }

func unlock(*os.File) error { return nil }
