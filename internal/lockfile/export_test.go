package lockfile

import "os"

// File is the file that is locked.
func (l *Lock) File() *os.File { return l.file }
