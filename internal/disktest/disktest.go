// Package disktest makes small disks for tests: file systems in memory that can be filled, and made read-only.
package disktest

import "testing"

// Disk is a small file system, for as long as a test.
type Disk struct {
	Dir string // where it is

	tb testing.TB
}

// New mounts one of a size, such as 6m, at a folder, which must be there. Who may not mount, and who is on another system than Linux,
// skips the test.
func New(tb testing.TB, dir, size string) *Disk {
	tb.Helper()
	if err := mount(dir, size); err != nil {
		tb.Skipf("no small disk for this test, which takes an administrator on Linux: %v", err)
	}
	tb.Cleanup(func() {
		if err := unmount(dir); err != nil {
			tb.Errorf("unmount %s: %v", dir, err)
		}
	})
	return &Disk{Dir: dir, tb: tb}
}

// Change gives it another size, and says whether it may be written, which no file may be open for if not.
func (d *Disk) Change(size string, readOnly bool) {
	d.tb.Helper()
	if err := remount(d.Dir, size, readOnly); err != nil {
		d.tb.Fatalf("remount %s: %v", d.Dir, err)
	}
}
