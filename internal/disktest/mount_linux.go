package disktest

import "syscall"

func mount(dir, size string) error { return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size) }

// unmount does not wait for files that are still open.
func unmount(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }

func remount(dir, size string, readOnly bool) error {
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", flags, "size="+size)
}
