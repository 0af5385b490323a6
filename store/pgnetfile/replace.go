package pgnetfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"parlor/internal/folder"
)

// What is written beside the file. The names are fixed, as the lock leaves only one that writes; what is found
// under them is from a killed server.
const (
	tmpNew      = ".tmp-new"      // the next file
	tmpBack     = ".tmp-back"     // the file that is replaced, to go back to
	tmpPrevious = ".tmp-previous" // the next PATH.previous
)

// The steps of replacing the file, in their order.
const (
	stepCreate       = "create the new file"
	stepWrite        = "write the new file"
	stepSync         = "sync the new file"
	stepLinkPrevious = "link the previous file"
	stepCopyPrevious = "copy the previous file" // only where linking fails
	stepMovePrevious = "rename the previous file"
	stepLinkBack     = "link the file"
	stepMove         = "rename the new file"
	stepSyncFolder   = "sync the folder"
)

// step does one thing that can fail.
func (f *File) step(name string, do func() error) error {
	if f.before != nil {
		if err := f.before(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// replace makes the pieces of data the content of the file. Nothing is touched before the new file is whole and on disk, as
// that is where a full disk shows.
func (f *File) replace(data [][]byte) error {
	old, err := f.stat()
	if err != nil {
		return err
	}
	tmp := f.real + tmpNew
	defer os.Remove(tmp) // unless it was renamed
	if err := f.writeNew(tmp, data, old); err != nil {
		return err
	}
	if old != nil && f.previousDue() {
		if err := f.keepPrevious(); err != nil {
			return err
		}
	}
	if f.kept.IsZero() {
		f.kept = f.opts.Now()
	}
	return f.move(tmp, old != nil)
}

func (f *File) writeNew(tmp string, data [][]byte, old fs.FileInfo) error {
	var file *os.File
	err := f.step(stepCreate, func() (err error) {
		file, err = create(tmp)
		return err
	})
	if err != nil {
		return err
	}
	err = f.step(stepWrite, func() error {
		for _, piece := range data {
			if _, err := file.Write(piece); err != nil {
				return err
			}
		}
		if old != nil {
			return likeOld(file, old)
		}
		return nil
	})
	if err == nil {
		err = f.step(stepSync, file.Sync)
	}
	return errors.Join(err, file.Close())
}

// create makes a file that only its owner may read. What a killed server left is in the way; a link that
// somebody laid there is not followed.
func create(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// likeOld gives a new file the owner and mode of the old one. Only root may give files away; if the group
// cannot be kept, its rights are dropped rather than given to another group.
func likeOld(file *os.File, old fs.FileInfo) error {
	mode := old.Mode().Perm()
	if !keepOwner(file, old) {
		mode &^= 0o070
	}
	info, err := file.Stat()
	if err != nil || info.Mode().Perm() == mode {
		return err // file systems without modes refuse to set them, even to what they are
	}
	return file.Chmod(mode)
}

// move puts the new file in place. When the folder cannot be synced, nobody knows which of the two files a
// power failure would leave; the old one is put back, as the caller will take it that nothing was saved.
func (f *File) move(tmp string, isOld bool) error {
	back := f.real + tmpBack
	canUndo := true
	if isOld {
		defer os.Remove(back)
		canUndo = f.step(stepLinkBack, func() error { return link(f.real, back) }) == nil
	}
	if err := f.step(stepMove, func() error { return os.Rename(tmp, f.real) }); err != nil {
		return err
	}
	err := f.step(stepSyncFolder, func() error { return folder.Sync(filepath.Dir(f.real)) })
	if err == nil {
		return nil
	}
	switch {
	case !canUndo:
		return fmt.Errorf("%w (the new file is in place, but may not survive a power failure)", err)
	case isOld:
		return errors.Join(err, os.Rename(back, f.real))
	default:
		return errors.Join(err, os.Remove(f.real))
	}
}

// link is a hard link over whatever is there.
func link(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Link(from, to)
}

// removeLeftovers removes what a killed server was writing.
func (f *File) removeLeftovers() {
	for _, suffix := range []string{tmpNew, tmpBack, tmpPrevious} {
		err := os.Remove(f.real + suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.opts.Logger.Warn("cannot remove what a killed server left", "path", f.real+suffix, "error", err)
		}
	}
}
