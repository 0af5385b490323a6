//go:build unix

package pgnetfile_test

import (
	"os"
	"syscall"
	"testing"

	"parlor/store/pgnetfile"
)

// TestOwner: a server that runs as root leaves the file to whom it belongs.
func TestOwner(t *testing.T) {
	path := sampleFile(t)
	const uid, gid = 12345, 12346
	isRoot := os.Chown(path, uid, gid) == nil
	before := owner(t, path)
	f := open(t, path, pgnetfile.Options{})
	save(t, f, sample())
	after := owner(t, path)
	if after.Uid != before.Uid || after.Gid != before.Gid || isRoot && after.Uid != uid {
		t.Errorf("the file belongs to %d:%d, before to %d:%d", after.Uid, after.Gid, before.Uid, before.Gid)
	}
}

func owner(t *testing.T, path string) *syscall.Stat_t {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t)
}
