package pgnetfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxLinks is how many symbolic links in a row are followed, as many as Linux does.
const maxLinks = 40

// stepRead is the one step of reading the file.
const stepRead = "read the file"

// resolve finds the file behind path: absolute, as the process may change its folder, and without symbolic
// links in its last part, as renaming over one would replace it. Unlike filepath.EvalSymlinks it takes a path
// whose file, or folders, do not exist yet.
func resolve(path string) (string, error) {
	if path == "" {
		return "", errors.New("the path is empty")
	}
	path, err := absolute(path)
	if err != nil {
		return "", err
	}
	for range maxLinks {
		// Link by link, and not cleaned: what .. means depends on the links before it.
		dir, name := filepath.Split(path)
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			path = filepath.Join(real, name)
		}
		target, err := os.Readlink(path)
		if err != nil {
			return filepath.Clean(path), nil // no link, or nothing there
		}
		if !filepath.IsAbs(target) {
			target = filepath.Dir(path) + string(filepath.Separator) + target
		}
		path = target
	}
	return "", errors.New("too many symbolic links")
}

// absolute is filepath.Abs without cleaning.
func absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	dir, err := os.Getwd()
	return dir + string(filepath.Separator) + path, err
}

// stat looks at the file, and returns nil if there is none.
func (f *File) stat() (fs.FileInfo, error) {
	info, err := os.Stat(f.real)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder, not a file", f.real)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file (%v)", f.real, info.Mode().Type())
	}
	return info, nil
}

// read returns the bytes of the file, or fs.ErrNotExist.
func (f *File) read() (data []byte, err error) {
	info, err := f.stat()
	if err != nil {
		return nil, err
	}
	if info == nil {
		return nil, fs.ErrNotExist
	}
	if err := f.checkSize(info.Size()); err != nil {
		return nil, err
	}
	err = f.step(stepRead, func() error {
		data, err = readFile(f.real, info.Size(), f.opts.MaxSize)
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, f.checkSize(int64(len(data)))
}

// readFile reads a file of about size bytes, and one byte more than limit of one that is larger.
func readFile(path string, size, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var buf bytes.Buffer
	buf.Grow(int(size) + bytes.MinRead)
	_, err = buf.ReadFrom(io.LimitReader(file, limit+1))
	return buf.Bytes(), err
}

func (f *File) checkSize(size int64) error {
	if size <= f.opts.MaxSize {
		return nil
	}
	return fmt.Errorf("%s has %d bytes, %w, %d bytes", f.real, size, ErrTooLarge, f.opts.MaxSize)
}
