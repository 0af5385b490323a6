package transcode

import (
	"errors"
	"math"
	"slices"
	"unicode/utf8"

	"parlor/internal/keyset"
	"parlor/internal/pyjson"
	"parlor/msgpack"
)

// maxDepth is how deep arrays and objects may nest, on either side.
const maxDepth = msgpack.DefaultDepth

// longest is how long a text may be: what it has in it is then never too long or too many for a header.
const longest = min(math.MaxUint32, math.MaxInt)

// AppendMsgPack appends to b, as one MessagePack value, the value that the JSON text stands for. If there is no such
// value it gives an [*Error], if the text is not JSON the error of [pyjson.Check], and b as it was.
//
// It allocates only for b to grow, unless an object has more than 16 keys, more than eight objects and arrays have
// more than 15 items, keys repeat, or it fails.
func AppendMsgPack(b, json []byte) ([]byte, error) {
	if len(json) > longest {
		return b, &msgpack.LimitError{Max: longest, Err: msgpack.ErrBytes}
	}
	b = slices.Grow(b, len(json)) // mostly more than enough
	p := packer{json: json}
	if out, ok := p.all(b); ok {
		return out, nil
	}
	// Something is odd. It may be within a value that does not count, as an equal key replaces it.
	if err := pyjson.Check(json, maxDepth); err != nil {
		if errors.Is(err, pyjson.ErrDepth) {
			return b, &Error{Err: ErrDepth}
		}
		return b, err
	}
	p = packer{json: pyjson.AppendRaw(nil, json), again: true}
	if out, ok := p.all(b); ok {
		return out, nil
	}
	return b, p.asError()
}

// A packer walks a JSON text and appends MessagePack. Its methods take the offset to look at and return the one after
// what they found, or -1 if they stop.
type packer struct {
	fault
	json  []byte
	again bool // no keys repeat any more, and the way to a fault is wanted
	wide  wideHeaders
}

// What stops a packer, for AppendMsgPack to have a closer look.
var (
	errSyntax  = errors.New("not JSON")
	errRepeats = errors.New("a key that repeats")
)

func (p *packer) all(b []byte) ([]byte, bool) {
	b, i := p.value(b, p.space(0), maxDepth)
	if i < 0 {
		return b, false
	}
	if p.space(i) < len(p.json) {
		p.stop(errSyntax)
		return b, false
	}
	return p.wide.insert(b), true
}

// space returns the offset of the first byte from i on that is not white space.
func (p *packer) space(i int) int {
	for i < len(p.json) && p.json[i] <= ' ' && isSpace[p.json[i]] {
		i++
	}
	return i
}

var isSpace = [' ' + 1]bool{' ': true, '\t': true, '\n': true, '\r': true}

// value appends the value at i, in which left arrays and objects may nest.
func (p *packer) value(b []byte, i, left int) ([]byte, int) {
	if i >= len(p.json) {
		return b, p.stop(errSyntax)
	}
	c := p.json[i]
	if c == '"' {
		return p.text(b, i)
	}
	if c <= '9' {
		return p.number(b, i)
	}
	rest := p.json[i:]
	switch c {
	case '{':
		return p.object(b, i, left)
	case '[':
		return p.array(b, i, left)
	case 't':
		if len(rest) >= 4 && string(rest[:4]) == "true" {
			return append(b, leadTrue), i + 4
		}
	case 'f':
		if len(rest) >= 5 && string(rest[:5]) == "false" {
			return append(b, leadFalse), i + 5
		}
	case 'n':
		if len(rest) >= 4 && string(rest[:4]) == "null" {
			return append(b, leadNil), i + 4
		}
	case 'N':
		return p.word(appendFloatBits(b, nanBits), i, "NaN")
	case 'I':
		return p.word(appendFloatBits(b, infBits), i, "Infinity")
	}
	return b, p.stop(errSyntax)
}

func (p *packer) word(b []byte, i int, w string) ([]byte, int) {
	if len(p.json)-i < len(w) || string(p.json[i:i+len(w)]) != w {
		return b, p.stop(errSyntax)
	}
	return b, i + len(w)
}

func (p *packer) array(b []byte, i, left int) ([]byte, int) {
	if left <= 0 {
		return b, p.stop(ErrDepth)
	}
	at := len(b)
	b = append(b, leadFixArray)
	i = p.space(i + 1)
	if i < len(p.json) && p.json[i] == ']' {
		return b, i + 1
	}
	for n := 1; ; n++ {
		if b, i = p.value(b, i, left-1); i < 0 {
			p.inItem(n - 1)
			return b, i
		}
		i = p.space(i)
		if i >= len(p.json) {
			return b, p.stop(errSyntax)
		}
		switch p.json[i] {
		case ',':
			i = p.space(i + 1)
		case ']':
			p.count(b, at, n, leadArray16)
			return b, i + 1
		default:
			return b, p.stop(errSyntax)
		}
	}
}

func (p *packer) object(b []byte, i, left int) ([]byte, int) {
	if left <= 0 {
		return b, p.stop(ErrDepth)
	}
	at := len(b)
	b = append(b, leadFixMap)
	i = p.space(i + 1)
	if i < len(p.json) && p.json[i] == '}' {
		return b, i + 1
	}
	var keys keyset.Set
	for n := 1; ; n++ {
		if i >= len(p.json) || p.json[i] != '"' {
			return b, p.stop(errSyntax)
		}
		key := i
		before := len(b)
		if b, i = p.text(b, i); i < 0 {
			p.inKey(key)
			return b, i
		}
		if !p.again && keys.Add(b[:cap(b)], before+textHeaderLen(b[before]), len(b)) >= 0 {
			return b, p.stop(errRepeats)
		}
		if i = p.space(i); i >= len(p.json) || p.json[i] != ':' {
			return b, p.stop(errSyntax)
		}
		if b, i = p.value(b, p.space(i+1), left-1); i < 0 {
			p.inKey(key)
			return b, i
		}
		if i = p.space(i); i >= len(p.json) {
			return b, p.stop(errSyntax)
		}
		switch p.json[i] {
		case ',':
			i = p.space(i + 1)
		case '}':
			p.count(b, at, n, leadMap16)
			return b, i + 1
		default:
			return b, p.stop(errSyntax)
		}
	}
}

// inItem notes a step of the way to a fault, if it is wanted.
func (p *packer) inItem(n int) {
	if p.again {
		p.in(pyjson.IndexPath(n))
	}
}

// inKey notes a step by the key at i.
func (p *packer) inKey(i int) {
	if !p.again {
		return
	}
	end := i + 1
	for p.json[end] != '"' {
		if p.json[end] == '\\' {
			end++
		}
		end++
	}
	key, _ := pyjson.Unquote(p.json[i : end+1])
	p.in(pyjson.KeyPath(key))
}

// count completes the header of one byte at b[at:], or notes that it takes more.
func (p *packer) count(b []byte, at, n int, lead16 byte) {
	if n <= 15 {
		b[at] |= byte(n)
		return
	}
	p.wide.add(wideHeader{at, uint32(n), lead16})
}

// text appends the text whose opening quote is at i.
func (p *packer) text(b []byte, i int) ([]byte, int) {
	end, ascii := textRun(p.json, i+1)
	if end >= len(p.json) {
		return b, p.stop(errSyntax)
	}
	if p.json[end] != '"' {
		return p.escapedText(b, i)
	}
	text := p.json[i+1 : end]
	if !ascii && !utf8.Valid(text) {
		return b, p.stop(errSyntax)
	}
	return append(appendTextHeader(b, len(text)), text...), end + 1
}

// escapedText is text for one that has escapes, so that its length is not known before its end.
func (p *packer) escapedText(b []byte, i int) ([]byte, int) {
	at := len(b)
	b = append(b, leadFixStr)
	i++
	for {
		end, ascii := textRun(p.json, i)
		if end >= len(p.json) || p.json[end] < ' ' || !ascii && !utf8.Valid(p.json[i:end]) {
			return b, p.stop(errSyntax)
		}
		b = append(b, p.json[i:end]...)
		if p.json[end] == '"' {
			return lengthen(b, at), end + 1
		}
		r, size := pyjson.DecodeEscape(p.json[end:])
		if size == 0 {
			return b, p.stop(errSyntax)
		}
		if 0xd800 <= r && r <= 0xdfff {
			return b, p.stop(ErrSurrogate)
		}
		b = utf8.AppendRune(b, r)
		i = end + size
	}
}

// lengthen completes the header at b[at], of one byte, for the text that follows it up to the end of b.
func lengthen(b []byte, at int) []byte {
	n := len(b) - at - 1
	if n < 1<<5 {
		b[at] |= byte(n)
		return b
	}
	var few [5]byte
	header := appendTextHeader(few[:0], n)
	b = append(b, header[1:]...) // for its length
	copy(b[at+len(header):], b[at+1:])
	copy(b[at:], header)
	return b
}

// textHeaderLen is how many bytes come before a text, of which c is the first.
func textHeaderLen(c byte) int {
	switch c {
	case leadStr8:
		return 2
	case leadStr16:
		return 3
	case leadStr32:
		return 5
	}
	return 1
}
