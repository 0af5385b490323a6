//go:build unix

package sqlite_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"parlor/store/sqlite"
)

// TestOwner: when root looks at the store of another user's server, or changes it, all that is in the folder afterwards, or while it does so, is
// that user's, and nobody else's to read: else the server could not start any more.
func TestOwner(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	const uid, gid = 12345, 12346
	if err := os.Chown(filepath.Join(dir, "parlor.db"), uid, gid); err != nil {
		t.Skip("only root can tell:", err)
	}
	if err := os.Remove(filepath.Join(dir, "parlor.lock")); err != nil { // as where the database was copied
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 3 {
			t.Fatalf("%s: %v, %v", what, files, err)
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			if of := info.Sys().(*syscall.Stat_t); of.Uid != uid || of.Gid != gid || info.Mode() != 0o600 {
				t.Errorf("%s: %s belongs to %d:%d, with mode %v", what, f.Name(), of.Uid, of.Gid, info.Mode())
			}
		}
	}
	r := openReadOnly(t, dir, sqlite.Options{})
	check("while it is read")
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	check("after that")
	for _, behind := range []string{"-shm", "-wal"} {
		if err := os.Remove(filepath.Join(dir, "parlor.db"+behind)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	check("while it is written")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
