package folder

import "path/filepath"

// MakeWith is Make with another Sync.
func MakeWith(dir string, sync func(string) error) error { return makeAll(filepath.Clean(dir), sync) }
