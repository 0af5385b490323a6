package transcode

import (
	"errors"
	"strings"

	"parlor/internal/pyjson"
)

// Error says why a value has no form on the other side, and where in it. Err is one of the variables of this
// package.
type Error = pyjson.AppendError

// Why a value has no form on the other side. The texts say what to try, and may be shown to whoever sent the value.
var (
	// ErrInteger means an integer below -2^63 or above 2^64-1, towards MessagePack.
	ErrInteger = errors.New("an integer of more than 64 bits has no form in MessagePack: send it as text or as a float")
	// ErrSurrogate means text with a lone surrogate, towards MessagePack.
	ErrSurrogate = errors.New("text with a lone surrogate has no form in MessagePack, whose text is UTF-8: " +
		"leave the surrogate out or replace it")
	// ErrExtension means an extension that is no timestamp, towards JSON.
	ErrExtension = errors.New("an extension of MessagePack has no form in JSON: send text, numbers or bytes")
	// ErrTimestamp means a timestamp, towards JSON.
	ErrTimestamp = errors.New("a timestamp of MessagePack has no form in JSON: send it as text or as a number of seconds")
	// ErrKey means a map with a key of bytes, towards JSON.
	ErrKey = errors.New("a key of bytes has no form in JSON: use text for the keys of a map")
	// ErrDepth means a value that nests deeper than 128 levels, in either direction.
	ErrDepth = errors.New("nested deeper than 128 levels: make it flatter, or send it in parts")
)

// fault is why a walk has stopped, and where.
type fault struct {
	err   error
	steps []string // from the inside out
}

// stop notes why the walk stops, and returns what walks return then instead of an offset.
func (f *fault) stop(err error) int {
	f.err = err
	return -1
}

// in notes one step of the way to the fault.
func (f *fault) in(step string) { f.steps = append(f.steps, step) }

// asError is the fault as an [*Error].
func (f *fault) asError() error {
	var path strings.Builder
	for i := len(f.steps) - 1; i >= 0; i-- {
		if path.Len() > 0 && f.steps[i][0] != '[' {
			path.WriteByte('.')
		}
		path.WriteString(f.steps[i])
	}
	return &Error{Path: path.String(), Err: f.err}
}
