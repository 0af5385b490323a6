package pyjson

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// deepest bounds every nesting limit. The scanner and the rewriter recurse, and
// a goroutine stack that outgrows its limit ends the process.
const deepest = 10000

// maxNesting is how deep [Append] and [Bind] follow a value.
const maxNesting = 512

var (
	// ErrDepth says that a text nests more containers than was allowed.
	ErrDepth = errors.New("JSON nested too deep")
	// ErrNotObject says that a JSON text is something other than an object.
	ErrNotObject = errors.New("not a JSON object")
	// ErrNotArray says that a JSON text is something other than an array.
	ErrNotArray = errors.New("not a JSON array")
)

// A SyntaxError says where and why a text is not JSON.
type SyntaxError struct {
	Offset int // bytes from the start of the text
	Msg    string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("bad JSON at offset %d: %s", e.Offset, e.Msg)
}

// Kind is the type of a JSON value as Python sees it. Unlike in JSON itself,
// integers and floats are different types.
type Kind uint8

// The kinds of a value. Invalid is the zero value and no JSON value has it.
const (
	Invalid Kind = iota
	Null
	Bool
	Int
	Float
	String
	Array
	Object
)

var pythonTypes = [...]string{"", "NoneType", "bool", "int", "float", "str", "list", "dict"}

// PythonType returns the name of the Python type json.loads makes of a value of
// this kind, empty for Invalid.
func (k Kind) PythonType() string {
	if int(k) >= len(pythonTypes) {
		return ""
	}
	return pythonTypes[k]
}

func (k Kind) String() string {
	if k == Invalid {
		return "invalid"
	}
	return k.PythonType()
}

// KindOf returns the kind of one valid JSON value, which white space may
// precede. It looks no further than it must: text that is not JSON may well
// have a kind.
func KindOf(raw []byte) Kind {
	i := skipSpace(raw, 0)
	if i == len(raw) {
		return Invalid
	}
	switch c := raw[i]; c {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Object
	case 'N', 'I':
		return Float
	default:
		return numberKind(raw[i:])
	}
}

// Check validates that b is exactly one JSON value, with white space allowed
// around it, in which containers nest at most maxDepth deep: 0 admits scalars
// only, and anything above 10000 counts as 10000. It fails with a *SyntaxError
// or with [ErrDepth]. It does not allocate unless it fails.
func Check(b []byte, maxDepth int) error {
	s := scanner{b: b}
	i := s.value(skipSpace(b, 0), min(maxDepth, deepest))
	if !s.end(i) {
		return s.err()
	}
	return nil
}

// Members validates b as exactly one object, nested at most maxDepth deep
// itself included, and calls fn for each member in order, equal keys each time.
//
// key is decoded and valid only during the call. value is the member's text in
// b, without the white space around it. As b is walked once, fn may have been
// called for members before a place where b turns out to be broken. If fn fails,
// Members stops and returns its error. Valid JSON other than an object gives
// [ErrNotObject].
//
// Members allocates only for keys with escapes, and when it fails.
func Members(b []byte, maxDepth int, fn func(key, value []byte) error) error {
	s := scanner{b: b}
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '{' {
		return notA(b, maxDepth, ErrNotObject)
	}
	if maxDepth < 1 {
		return ErrDepth
	}
	left := min(maxDepth, deepest) - 1
	var scratch []byte
	i, more := s.open(i, '}')
	for more {
		k := i
		keyEnd := s.key(i)
		v := s.colon(keyEnd)
		if v < 0 {
			return s.err()
		}
		end := s.value(v, left)
		if end < 0 {
			return s.err()
		}
		key := b[k+1 : keyEnd-1 : keyEnd-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			scratch, _ = appendUnquoted(scratch[:0], key)
			key = scratch
		}
		if err := fn(key, b[v:end:end]); err != nil {
			return err
		}
		i, more = s.next(end, '}')
	}
	if !s.end(i) {
		return s.err()
	}
	return nil
}

// Elements does for arrays what [Members] does for objects. Valid JSON other
// than an array gives [ErrNotArray].
func Elements(b []byte, maxDepth int, fn func(value []byte) error) error {
	s := scanner{b: b}
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '[' {
		return notA(b, maxDepth, ErrNotArray)
	}
	if maxDepth < 1 {
		return ErrDepth
	}
	left := min(maxDepth, deepest) - 1
	i, more := s.open(i, ']')
	for more {
		end := s.value(i, left)
		if end < 0 {
			return s.err()
		}
		if err := fn(b[i:end:end]); err != nil {
			return err
		}
		i, more = s.next(end, ']')
	}
	if !s.end(i) {
		return s.err()
	}
	return nil
}

// notA returns wrong for valid text, and what is broken about any other.
func notA(b []byte, maxDepth int, wrong error) error {
	if err := Check(b, maxDepth); err != nil {
		return err
	}
	return wrong
}

// A scanner walks one text. Its methods take the offset to look at and return
// the offset after what they found, or -1 having noted why not.
type scanner struct {
	b   []byte
	off int
	msg string
}

const depthMsg = "nested too deep"

func (s *scanner) fail(off int, msg string) int {
	s.off, s.msg = off, msg
	return -1
}

func (s *scanner) err() error {
	if s.msg == depthMsg {
		return ErrDepth
	}
	return &SyntaxError{Offset: s.off, Msg: s.msg}
}

// end reports whether only white space follows i.
func (s *scanner) end(i int) bool {
	if i < 0 {
		return false
	}
	if i = skipSpace(s.b, i); i < len(s.b) {
		s.fail(i, "text after the end of the value")
		return false
	}
	return true
}

// value passes over the value that starts at i, in which left containers may
// nest.
func (s *scanner) value(i, left int) int {
	if i >= len(s.b) {
		return s.fail(i, "expected a value")
	}
	switch c := s.b[i]; c {
	case '"':
		return s.str(i)
	case '{':
		return s.object(i, left)
	case '[':
		return s.array(i, left)
	case 't':
		return s.word(i, "true")
	case 'f':
		return s.word(i, "false")
	case 'n':
		return s.word(i, "null")
	case 'N':
		return s.word(i, "NaN")
	case 'I':
		return s.word(i, "Infinity")
	default:
		return s.number(i)
	}
}

func (s *scanner) word(i int, w string) int {
	if len(s.b)-i < len(w) || string(s.b[i:i+len(w)]) != w {
		return s.fail(i, "expected a value")
	}
	return i + len(w)
}

func (s *scanner) object(i, left int) int {
	if left <= 0 {
		return s.fail(i, depthMsg)
	}
	i, more := s.open(i, '}')
	for more {
		if i = s.colon(s.key(i)); i < 0 {
			return -1
		}
		if i = s.value(i, left-1); i < 0 {
			return -1
		}
		i, more = s.next(i, '}')
	}
	return i
}

func (s *scanner) array(i, left int) int {
	if left <= 0 {
		return s.fail(i, depthMsg)
	}
	i, more := s.open(i, ']')
	for more {
		if i = s.value(i, left-1); i < 0 {
			return -1
		}
		i, more = s.next(i, ']')
	}
	return i
}

// open passes over the bracket at i and says whether an item follows.
func (s *scanner) open(i int, closing byte) (int, bool) {
	i = skipSpace(s.b, i+1)
	if i < len(s.b) && s.b[i] == closing {
		return i + 1, false
	}
	return i, true
}

// next passes over what follows an item: a comma, or the closing bracket, after
// which no more items follow.
func (s *scanner) next(i int, closing byte) (int, bool) {
	i = skipSpace(s.b, i)
	if i < len(s.b) {
		switch s.b[i] {
		case ',':
			return skipSpace(s.b, i+1), true
		case closing:
			return i + 1, false
		}
	}
	if closing == '}' {
		return s.fail(i, "expected a comma or the end of the object"), false
	}
	return s.fail(i, "expected a comma or the end of the array"), false
}

func (s *scanner) key(i int) int {
	if i >= len(s.b) || s.b[i] != '"' {
		return s.fail(i, "expected a key in double quotes")
	}
	return s.str(i)
}

// colon passes over the colon after a key and the white space around it.
func (s *scanner) colon(i int) int {
	if i < 0 {
		return -1
	}
	i = skipSpace(s.b, i)
	if i >= len(s.b) || s.b[i] != ':' {
		return s.fail(i, "expected a colon after the key")
	}
	return skipSpace(s.b, i+1)
}

// str passes over the string whose opening quote is at i.
func (s *scanner) str(i int) int {
	b := s.b
	i++
	for {
		i = plainRun(b, i)
		if i >= len(b) {
			return s.fail(i, "string without an end")
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i); i < 0 {
				return -1
			}
		case c < 0x20:
			return s.fail(i, "control character in a string")
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return s.fail(i, "invalid UTF-8 in a string")
			}
			i += size
		}
	}
}

// escape passes over the escape whose backslash is at i.
func (s *scanner) escape(i int) int {
	if len(s.b)-i < 2 {
		return s.fail(i, "string without an end")
	}
	c := s.b[i+1]
	if c == 'u' {
		if hex4(s.b[i+2:]) < 0 {
			return s.fail(i, `expected four hex digits after \u`)
		}
		return i + 6
	}
	if unescaped[c] == 0 {
		return s.fail(i, "unknown escape in a string")
	}
	return i + 2
}

// skipSpace returns the offset of the first byte from i on that is not white
// space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && isSpace[b[i]] {
		i++
	}
	return i
}

var isSpace = [' ' + 1]bool{' ': true, '\t': true, '\n': true, '\r': true}
