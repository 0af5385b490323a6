//go:build !unix

package folder

// Sync does nothing where a folder cannot be opened.
func Sync(string) error { return nil }
