package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"parlor/packet"
)

// program is its name in what it says.
const program = "simplechat"

// checkAddress finds what no server can be at, but would be taken for the name of a host, or for a socket that is left
// over.
func checkAddress(address string) error {
	path, isUnix := strings.CutPrefix(address, "unix:")
	before, after, hasPath := strings.Cut(address, "/")
	info, err := os.Stat(path)
	switch {
	case isUnix && err == nil && info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("address %q: what is at that path is no socket: take another one", address)
	case isUnix || !hasPath:
		return nil
	case strings.HasSuffix(before, ":") && strings.HasPrefix(after, "/"):
		return fmt.Errorf("address %q: this is a URL: give HOST:PORT alone, such as localhost:8080", address)
	case strings.Contains(before, ":"):
		return fmt.Errorf("address %q: this has a path: give HOST:PORT alone, such as localhost:8080", address)
	}
	return fmt.Errorf("address %q: for a unix socket write unix:%s", address, address)
}

// serverHint says what to try when a server cannot listen.
func serverHint(address string, err error) string {
	path, isUnix := strings.CutPrefix(address, "unix:")
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "" // it says that itself
	case isUnix && errors.Is(err, syscall.EINVAL):
		return tooLong(path)
	case isUnix && errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf(": make the folder %s, or take another path", filepath.Dir(path))
	case isUnix && errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf(": you may not write into the folder %s: take another path", filepath.Dir(path))
	case isUnix:
		return ": take another path, such as unix:/tmp/" + program + ".sock"
	case errors.Is(err, fs.ErrPermission):
		return ": ports below 1024 are mostly for administrators: try localhost:8080"
	}
	return ": try localhost:8080"
}

// clientHint says what to try when a client cannot connect.
func clientHint(address string, err error) string {
	path, isUnix := strings.CutPrefix(address, "unix:")
	start := "start a server with: " + program + " server " + address
	closed, isClosed := errors.AsType[*packet.CloseError](err)
	switch {
	case isClosed && closed.Reason == packet.ReasonRegistryMismatch:
		return ": the server there is another one than " + program
	case isUnix && errors.Is(err, syscall.ECONNREFUSED):
		return ": its server has ended and left the socket behind: delete the file, and " + start
	case isUnix && errors.Is(err, syscall.EINVAL):
		return tooLong(path)
	case isUnix && errors.Is(err, fs.ErrNotExist):
		return ": there is no such socket: check the path, or " + start
	case isUnix && errors.Is(err, fs.ErrPermission):
		return ": you may not open the socket: ask who runs the server"
	case isUnix:
		return ": check the path, such as unix:/tmp/" + program + ".sock"
	case errors.Is(err, syscall.ECONNREFUSED):
		return ": nothing listens there: " + start
	}
	return ": check the address, such as localhost:8080"
}

func tooLong(path string) string {
	return fmt.Sprintf(": the path of a unix socket may have about 100 bytes, and this one has %d: take a shorter one", len(path))
}
