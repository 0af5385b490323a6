package msgpack

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// What can be wrong with a message, whatever it is read into. They come within a [*SyntaxError] that says
// where. Append returns ErrUTF8 and ErrExt too, for values that have no form in MessagePack.
var (
	// ErrEmpty means there is no value at all.
	ErrEmpty = errors.New("msgpack: empty message")
	// ErrTruncated means a declared length or count goes beyond the end of the message.
	ErrTruncated = errors.New("msgpack: truncated")
	// ErrTrailing means there are bytes after the value.
	ErrTrailing = errors.New("msgpack: bytes after the value")
	// ErrLeadByte means the byte 0xc1, which starts no value.
	ErrLeadByte = errors.New("msgpack: invalid byte 0xc1")
	// ErrUTF8 means a str that is not valid UTF-8.
	ErrUTF8 = errors.New("msgpack: string is not valid UTF-8")
	// ErrKey means a map key that is neither str nor bin.
	ErrKey = errors.New("msgpack: map key is not a string or bytes")
	// ErrExt means an extension code of -2 to -128, or a malformed timestamp.
	ErrExt = errors.New("msgpack: extension not allowed")
)

// What can be too much in a message. They come within a [*LimitError] that has the limit. Append returns ErrDepth
// for cycles, and ErrBytes for a length above 2^32-1, which no header holds.
var (
	// ErrBytes means a message longer than Limits.Bytes.
	ErrBytes = errors.New("msgpack: too many bytes")
	// ErrDepth means values nested deeper than Limits.Depth.
	ErrDepth = errors.New("msgpack: nested too deep")
	// ErrElements means more values declared than Limits.Elements.
	ErrElements = errors.New("msgpack: too many elements")
)

// SyntaxError says where a message is not valid, and wraps the reason, such as [ErrTruncated].
type SyntaxError struct {
	// Offset is where the value at fault starts, in bytes from the start of the message.
	Offset int
	// Err is the reason.
	Err error
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%v, at byte %d", e.Err, e.Offset) }

// Unwrap returns the reason.
func (e *SyntaxError) Unwrap() error { return e.Err }

// LimitError says which limit a message exceeds, and wraps [ErrBytes], [ErrDepth] or [ErrElements].
type LimitError struct {
	// Max is the limit in force.
	Max int
	// Err is which limit.
	Err error
}

func (e *LimitError) Error() string { return fmt.Sprintf("%v: the limit is %d", e.Err, e.Max) }

// Unwrap returns which limit.
func (e *LimitError) Unwrap() error { return e.Err }

// TypeError means a valid value that does not fit the Go value it was to be read into.
type TypeError struct {
	// Want and Got are noun phrases: "an integer", "a string".
	Want, Got string
}

func (e *TypeError) Error() string { return "msgpack: want " + e.Want + ", got " + e.Got }

// UnsupportedTypeError means a Go type that has no form in MessagePack: channels, functions, complex numbers,
// maps without string keys, structs whose fields are all unexported.
type UnsupportedTypeError struct{ Type reflect.Type }

func (e *UnsupportedTypeError) Error() string {
	return "msgpack: unsupported Go type " + e.Type.String()
}

// PathError says which value within a message or a Go value an error is about.
type PathError struct {
	// Path is made of field names, indexes and keys: moves[3].x or users["bob"].
	Path string
	// Err is a [*TypeError], an [*UnsupportedTypeError], [ErrUTF8], or what a type's own method returned.
	Err error
}

func (e *PathError) Error() string {
	return "msgpack: " + e.Path + ": " + strings.TrimPrefix(e.Err.Error(), "msgpack: ")
}

// Unwrap returns the error itself.
func (e *PathError) Unwrap() error { return e.Err }

// inField, inIndex and inKey put one step in front of the path of err, on its way up.
func inField(name string, err error) error { return inPath(name, err) }

func inIndex(i int, err error) error { return inPath("["+strconv.Itoa(i)+"]", err) }

func inKey(key string, err error) error {
	const enough = 40 // the key may be the network's, the error may end in a log
	if len(key) > enough {
		key = strings.ToValidUTF8(key[:enough], "") + "..."
	}
	return inPath("["+strconv.Quote(key)+"]", err)
}

func inPath(step string, err error) error {
	var limit *LimitError
	if errors.As(err, &limit) {
		return err // 128 steps tell nobody anything
	}
	if p, ok := err.(*PathError); ok {
		if p.Path[0] != '[' {
			step += "."
		}
		step, err = step+p.Path, p.Err
	}
	return &PathError{Path: step, Err: err}
}
