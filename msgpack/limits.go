package msgpack

// DefaultDepth is how deep values may nest if [Limits.Depth] does not say.
const DefaultDepth = 128

// MaxDepth is the most that [Limits.Depth] can be: what peng3dnet decodes, and safe for the stack.
const MaxDepth = 1024

// Limits bounds what a message may be. The zero value is the defaults.
//
// What a valid message costs in memory depends on what is built from it. Into a *any that is at most about 170
// times its length, for maps of one entry; into a slice of structs, the size of the struct for each byte.
// Where messages may be large, set Elements as well as Bytes.
type Limits struct {
	// Bytes is the longest message. Zero: any length, as when the frame was bounded before.
	Bytes int
	// Depth is how many arrays and maps may be open at once. Zero: DefaultDepth. More than MaxDepth counts
	// as MaxDepth.
	Depth int
	// Elements is how many values all arrays and maps of the message may declare together: an array of n
	// counts n, a map of n pairs 2n. Zero: the length of the message in bytes, which refuses no valid message
	// and ends the walk through an invalid one early.
	Elements int
}

// withDefaults fills the zero fields for a message of n bytes.
func (l Limits) withDefaults(n int) Limits {
	if l.Depth <= 0 {
		l.Depth = DefaultDepth
	}
	l.Depth = min(l.Depth, MaxDepth)
	if l.Elements <= 0 {
		l.Elements = n
	}
	return l
}
