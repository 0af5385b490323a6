package pgnetfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"parlor/internal/folder"
	"parlor/internal/lockfile"
	"parlor/internal/snapshot"
)

const (
	defaultKeepPrevious = time.Hour
	defaultMaxSize      = 1 << 30
)

// Options are the choices of [Open]. The zero value works.
type Options struct {
	// Logger is told what is odd but no error. Nil for silence.
	Logger *slog.Logger
	// Now is the clock. Nil for [time.Now].
	Now func() time.Time
	// KeepPrevious is the age at which PATH.previous is replaced by the file as it is then. It is measured
	// from the last time this File did so, or else from its first Save. Zero means one hour.
	KeepPrevious time.Duration
	// MaxSize is the size in bytes above which a file is neither read nor written. Zero means 1 GiB.
	MaxSize int64
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.KeepPrevious == 0 {
		o.KeepPrevious = defaultKeepPrevious
	}
	if o.MaxSize == 0 {
		o.MaxSize = defaultMaxSize
	}
	return o
}

func (o Options) validate() error {
	if o.KeepPrevious < 0 {
		return fmt.Errorf("KeepPrevious is negative: %v", o.KeepPrevious)
	}
	if o.MaxSize < 0 {
		return fmt.Errorf("MaxSize is negative: %d", o.MaxSize)
	}
	return nil
}

// File is pgnet's save file.
type File struct {
	path   string // as configured
	real   string // absolute, and no symbolic link
	opts   Options
	lock   *lockfile.Lock // nil where there are no locks
	closed bool
	loaded bool      // whether a Load has succeeded: only then may a Save replace what is there
	games  gamesText // of the last Save
	kept   time.Time // when PATH.previous was last made, or the first Save; zero before it

	before func(step string) error // called before each step; an error fails the step. Nil but in tests
}

// Open takes the file at path, which need not exist yet, for this server alone, until [File.Close] or the end
// of the process. Missing folders are made, with mode 0700, and what a killed server left half written is
// removed. If path is a symbolic link, what it leads to is the file.
//
// The error is [ErrLocked] if another server has the file. Open reads nothing and does not wait.
func Open(path string, opts Options) (*File, error) {
	f, err := open(path, opts.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("open save file %s: %w", path, err)
	}
	return f, nil
}

func open(path string, opts Options) (*File, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	real, err := resolve(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, real: real, opts: opts}
	if err := folder.Make(filepath.Dir(real)); err != nil {
		return nil, fmt.Errorf("make its folder: %w", err)
	}
	if _, err := f.stat(); err != nil {
		return nil, err
	}
	if f.lock, err = lockfile.Acquire(real + ".lock"); err != nil {
		return nil, err
	}
	f.removeLeftovers()
	return f, nil
}

// Read is what the file at path holds, as File.Load reads it, without taking it: another server that has it can go on, and nothing
// is made beside it. The error is fs.ErrNotExist if there is none.
func Read(path string, opts Options) (snapshot.Snapshot, error) {
	opts = opts.withDefaults()
	real, err := resolve(path)
	if err == nil {
		err = opts.validate()
	}
	if err != nil {
		return snapshot.Snapshot{}, fmt.Errorf("read save file %s: %w", path, err)
	}
	f := &File{path: path, real: real, opts: opts}
	snap, found, err := f.Load()
	if err == nil && !found {
		err = fmt.Errorf("read save file %s: %w", path, fs.ErrNotExist)
	}
	return snap, err
}

// Write writes a snapshot as the file has it.
func Write(w io.Writer, s snapshot.Snapshot) error {
	var games gamesText
	for _, piece := range games.snapshot(s) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// Path is the path that was given to [Open].
func (f *File) Path() string { return f.path }

// Load reads the file. It blocks for the disk.
//
// A file that is not what pgnet or Parlor would write is a [*DamagedError] and stays as it is. One of more
// than Options.MaxSize is [ErrTooLarge]. After [File.Close] the error is [net.ErrClosed].
//
// A file that is not there is nothing found, unless PATH.previous is there: then it is [ErrOnlyPrevious], as
// something went wrong or is half done. A server that started empty would give away the names of all its
// users to whoever logs in first, and an hour later PATH.previous, perhaps the last copy, would be gone.
func (f *File) Load() (snapshot.Snapshot, bool, error) {
	if f.closed {
		return snapshot.Snapshot{}, false, fmt.Errorf("load save file %s: %w", f.path, net.ErrClosed)
	}
	data, err := f.read()
	if errors.Is(err, fs.ErrNotExist) {
		return f.loadNothing()
	}
	if err != nil {
		return snapshot.Snapshot{}, false, fmt.Errorf("load save file: %w", err)
	}
	d := decoder{data: data}
	if err := d.decode(); err != nil {
		return snapshot.Snapshot{}, false, f.damaged(err)
	}
	if d.repeats > 0 {
		f.opts.Logger.Warn("save file has names more than once, of which the last counts",
			"path", f.real, "count", d.repeats, "first", d.firstRepeat)
	}
	f.loaded = true
	return d.snap, true, nil
}

func (f *File) loadNothing() (snapshot.Snapshot, bool, error) {
	if at, there := f.hasPrevious(); there {
		return snapshot.Snapshot{}, false, fmt.Errorf(
			"load save file: %s %w: copy %[3]s, of %[4]s, to %[1]s to go on from it, without what changed since then, "+
				"or move %[3]s away to start with nothing",
			f.real, ErrOnlyPrevious, f.previous(), at.Format(time.DateTime))
	}
	f.loaded = true
	return snapshot.Snapshot{}, false, nil
}

// damaged adds the files to what the decoder found.
func (f *File) damaged(err *DamagedError) error {
	err.Path = f.real
	if at, there := f.hasPrevious(); there {
		err.Previous, err.PreviousAt = f.previous(), at
	}
	return err
}

// Save replaces the file, and then and when makes PATH.previous of the one before. When it returns nil the snapshot is there, whatever is killed.
// It writes all of the snapshot and blocks for the disk.
//
// If nothing was loaded yet, Save loads first and fails as [File.Load] does, so that a damaged file neither
// gets lost nor takes the place of a good PATH.previous. A snapshot that makes more than Options.MaxSize is
// [ErrTooLarge]. Of any error, the file is as it was and nothing stays beside it; there is one case in which
// that cannot be had, and its error says so: a file system without hard links that fails to sync the folder.
func (f *File) Save(s snapshot.Snapshot) error {
	if err := f.save(s); err != nil {
		return fmt.Errorf("save to %s: %w", f.path, err)
	}
	return nil
}

func (f *File) save(s snapshot.Snapshot) error {
	if f.closed {
		return net.ErrClosed
	}
	if !f.loaded {
		if _, _, err := f.Load(); err != nil {
			return err
		}
	}
	pieces := f.games.snapshot(s)
	var size int64
	for _, piece := range pieces {
		size += int64(len(piece))
	}
	if err := f.checkSize(size); err != nil {
		return err
	}
	return f.replace(pieces)
}

// Close lets other servers have the file. It may be called again, and does not wait.
func (f *File) Close() error {
	if f.closed {
		return nil
	}
	f.closed = true
	if f.lock == nil {
		return nil
	}
	return f.lock.Close()
}
