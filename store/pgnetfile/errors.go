package pgnetfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"parlor/internal/lockfile"
)

var (
	// ErrLocked says that another server, or another [File], has the save file open.
	ErrLocked = lockfile.ErrLocked
	// ErrOnlyPrevious says that the save file is missing, and the one before it is there.
	ErrOnlyPrevious = errors.New("is missing, but the one before it is there")
	// ErrTooLarge says that a save file is, or would be, above Options.MaxSize.
	ErrTooLarge = errors.New("more than the limit of MaxSize")
)

// DamagedError says where a save file is not what it should be. The file was left as it is.
type DamagedError struct {
	Path     string
	Offset   int    // bytes before the damage; -1 if unknown
	Line     int    // from 1; 0 if unknown
	Column   int    // in characters, from 1; 0 if unknown
	Key      string // such as users[3].salt; empty if the text is no JSON at all
	What     string // what is wrong
	Previous string // path of the file before this one; empty if there is none
	// PreviousAt is when that was written: what changed later is not in it.
	PreviousAt time.Time
}

// Error tells an operator where the damage is and what can be done about it.
func (e *DamagedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "save file %s is damaged", e.Path)
	if e.Line > 0 {
		fmt.Fprintf(&b, " at line %d, column %d", e.Line, e.Column)
	}
	if e.Key != "" {
		fmt.Fprintf(&b, " (%s)", e.Key)
	}
	fmt.Fprintf(&b, ": %s. Nothing was overwritten. ", e.What)
	if e.Previous != "" {
		fmt.Fprintf(&b, "The file before this one is %s, of %s: to go back to it, without what changed since then, copy it over %s",
			e.Previous, e.PreviousAt.Format(time.DateTime), e.Path)
	} else {
		b.WriteString("There is no file before this one: repair it, restore it from a copy, or move it away to start with nothing")
	}
	return b.String()
}

// at sets the place of the damage in data.
func (e *DamagedError) at(data []byte, offset int) {
	e.Offset = min(offset, len(data))
	before := data[:e.Offset]
	e.Line = 1 + bytes.Count(before, []byte("\n"))
	e.Column = 1 + utf8.RuneCount(before[1+bytes.LastIndexByte(before, '\n'):])
}
