package pgnetfile

import (
	"errors"
	"io"
	"os"
	"time"
)

// previous is the path of the file before the file.
func (f *File) previous() string { return f.real + ".previous" }

// hasPrevious tells whether it is there, and when it was written.
func (f *File) hasPrevious() (at time.Time, there bool) {
	info, err := os.Stat(f.previous())
	if err != nil || !info.Mode().IsRegular() {
		return time.Time{}, false
	}
	return info.ModTime(), true
}

// previousDue tells whether the file is to become the previous one: at the first Save, so that it is the file
// of the last start and not of a second ago, and then when that is an hour old.
func (f *File) previousDue() bool {
	return f.kept.IsZero() || f.opts.Now().Sub(f.kept) >= f.opts.KeepPrevious
}

// keepPrevious makes the file, which stays, the previous one too. The replacement is atomic: there is an old
// or a new PATH.previous at any time.
func (f *File) keepPrevious() error {
	tmp := f.real + tmpPrevious
	// A rename does nothing if both names are links to one file, which they are after a Save that failed late.
	defer os.Remove(tmp)
	if err := f.step(stepLinkPrevious, func() error { return link(f.real, tmp) }); err != nil {
		if err := f.step(stepCopyPrevious, func() error { return copyFile(f.real, tmp) }); err != nil {
			return err
		}
	}
	if err := f.step(stepMovePrevious, func() error { return os.Rename(tmp, f.previous()) }); err != nil {
		return err
	}
	f.kept = f.opts.Now()
	return nil
}

// copyFile is for file systems without hard links.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = likeOld(dst, info)
	}
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err == nil {
		_ = os.Chtimes(to, time.Time{}, info.ModTime()) // as a link would have it; for the messages that tell it
	}
	return err
}
