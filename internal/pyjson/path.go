package pyjson

import (
	"strconv"
	"unicode/utf8"
)

// A path names a place in a value, as in move.cells[2].x. It is built from the
// inside out, as an error makes its way up.

// joinPath puts the path of a value before a path inside it.
func joinPath(outer, inner string) string {
	switch {
	case outer == "":
		return inner
	case inner == "" || inner[0] == '[':
		return outer + inner
	default:
		return outer + "." + inner
	}
}

// KeyPath returns the path of a member of an object, as in x. Keys that could be
// taken for something else in a path are put in brackets, as Python would.
func KeyPath(key string) string {
	for i := range len(key) {
		c := key[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return "[" + shorten(ReprString(key)) + "]"
		}
	}
	if key == "" {
		return "['']"
	}
	return shorten(key)
}

// IndexPath returns the path of an item of an array, as in [2].
func IndexPath(i int) string {
	return "[" + strconv.Itoa(i) + "]"
}

// prefixError is what a path and the rest of an error text make. Paths as deep as
// a cycle makes them lose their middle.
func prefixError(path, text string) string {
	const keep = 80
	if path == "" {
		return text
	}
	if len(path) > 2*keep+3 {
		path = cut(path, keep) + "..." + path[tail(path, keep):]
	}
	return path + ": " + text
}

// shorten cuts a text for people down to a length that fits a message.
func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return cut(s, most-3) + "..."
}

// cut returns at most n bytes of s, whole characters only.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// tail returns the offset of the last n bytes of s or fewer, whole characters
// only.
func tail(s string, n int) int {
	i := len(s) - n
	for i < len(s) && !utf8.RuneStart(s[i]) {
		i++
	}
	return i
}
