package transcode

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"

	"parlor/internal/keyset"
	"parlor/internal/pyjson"
	"parlor/msgpack"
)

// AppendJSON appends to b, as JSON text in Python's form, the MessagePack value that mp begins with, and returns how many bytes
// that takes. If it has no form in JSON it gives an [*Error], if it is not valid the error of [msgpack.First], which need not
// be asked before; and b as it was.
//
// It allocates only for b to grow, unless a map has more than 16 keys, keys repeat, or it fails.
func AppendJSON(b, mp []byte) ([]byte, int, error) {
	b = slices.Grow(b, min(2*len(mp), usual))
	u := unpacker{mp: mp}
	out, n := u.value(b, 0, maxDepth)
	if n >= 0 {
		return out, n, nil
	}
	// Something is odd. It may be within a value that does not count, as an equal key replaces it.
	n, err := msgpack.First(mp, msgpack.Limits{Depth: maxDepth})
	if err != nil {
		if errors.Is(err, msgpack.ErrDepth) {
			return b, 0, &Error{Err: ErrDepth}
		}
		return b, 0, err
	}
	mp = mp[:n]
	u = unpacker{mp: mp, again: true, odd: oddMaps(mp)}
	if out, end := u.value(b, 0, maxDepth); end >= 0 {
		return out, n, nil
	}
	return b, 0, u.asError()
}

// usual is how long a text is made room for at once.
const usual = 4 << 10

// An unpacker walks a message and appends JSON text. Its methods take the offset to look at and return the one after
// what they found, or -1 if they stop.
type unpacker struct {
	fault
	mp    []byte
	again bool           // the message is valid, and the way to a fault is wanted
	odd   map[int]oddMap // with again, the maps in which keys repeat, by their offsets
}

// errInvalid stops an unpacker, for [msgpack.First] to say why.
var errInvalid = errors.New("not MessagePack")

// value appends the value at i, in which left arrays and maps may nest.
func (u *unpacker) value(b []byte, i, left int) ([]byte, int) {
	if i >= len(u.mp) {
		return b, u.stop(errInvalid)
	}
	switch c := u.mp[i]; {
	case c < leadFixMap:
		return appendSmall(b, c), i + 1
	case c < leadFixArray:
		return u.object(b, i, i+1, int(c&0x0f), left)
	case c < leadFixStr:
		return u.array(b, i+1, int(c&0x0f), left)
	case c < leadNil:
		return u.text(b, i+1, int(c&0x1f))
	case c >= leadFixNeg:
		return strconv.AppendInt(b, int64(int8(c)), 10), i + 1
	case c == leadNil:
		return append(b, "null"...), i + 1
	case c == leadFalse:
		return append(b, "false"...), i + 1
	case c == leadTrue:
		return append(b, "true"...), i + 1
	case c == leadFloat64 && len(u.mp)-i > 8:
		return pyjson.AppendFloat(b, math.Float64frombits(binary.BigEndian.Uint64(u.mp[i+1:]))), i + 9
	}
	return u.other(b, i, left)
}

// appendSmall appends an integer below 128.
func appendSmall(b []byte, c byte) []byte {
	if c < 10 {
		return append(b, '0'+c)
	}
	return strconv.AppendUint(b, uint64(c), 10)
}

// other appends the value at i, which is none of the most usual.
func (u *unpacker) other(b []byte, i, left int) ([]byte, int) {
	k, n, at := header(u.mp, i)
	switch k {
	case kindText:
		return u.text(b, at, n)
	case kindArray:
		return u.array(b, at, n, left)
	case kindMap:
		return u.object(b, i, at, n, left)
	}
	data, end := u.mp[at:at+n], at+n
	switch k {
	case kindUint:
		return strconv.AppendUint(b, unsigned(data), 10), end
	case kindInt:
		return strconv.AppendInt(b, signed(data), 10), end
	case kindFloat32:
		return pyjson.AppendFloat(b, float64(math.Float32frombits(binary.BigEndian.Uint32(data)))), end
	case kindBytes:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, data)
		return append(b, '"'), end
	case kindExt:
		if data[0] == timestampCode {
			return b, u.stop(ErrTimestamp)
		}
		return b, u.stop(ErrExtension)
	}
	return b, u.stop(errInvalid)
}

// text appends the text of n bytes at i.
func (u *unpacker) text(b []byte, i, n int) ([]byte, int) {
	if n > len(u.mp)-i {
		return b, u.stop(errInvalid)
	}
	b, ok := pyjson.AppendUTF8(b, u.mp[i:i+n])
	if !ok {
		return b, u.stop(errInvalid)
	}
	return b, i + n
}

// array appends the array of n items, of which the first is at i.
func (u *unpacker) array(b []byte, i, n, left int) ([]byte, int) {
	if left <= 0 {
		return b, u.stop(ErrDepth)
	}
	if n > len(u.mp)-i { // each takes a byte at least
		return b, u.stop(errInvalid)
	}
	b = append(b, '[')
	for item := range n {
		if item > 0 {
			b = append(b, ", "...)
		}
		if b, i = u.value(b, i, left-1); i < 0 {
			u.inItem(item)
			return b, i
		}
	}
	return append(b, ']'), i
}

// object appends the map at start, of n pairs, of which the first is at i.
func (u *unpacker) object(b []byte, start, i, n, left int) ([]byte, int) {
	if left <= 0 {
		return b, u.stop(ErrDepth)
	}
	if n > (len(u.mp)-i)/2 {
		return b, u.stop(errInvalid)
	}
	if u.again {
		if m, ok := u.odd[start]; ok {
			return u.oddObject(b, m, left)
		}
	}
	var keys keyset.Set
	b = append(b, '{')
	for pair := range n {
		if pair > 0 {
			b = append(b, ", "...)
		}
		size, key := u.key(i)
		if key < 0 {
			return b, key
		}
		if b, i = u.text(b, key, size); i < 0 {
			return b, i
		}
		if !u.again && keys.Add(u.mp, key, i) >= 0 {
			return b, u.stop(errRepeats)
		}
		b = append(b, ": "...)
		if b, i = u.value(b, i, left-1); i < 0 {
			u.inKey(key, size)
			return b, i
		}
	}
	return append(b, '}'), i
}

// inItem notes a step of the way to a fault, if it is wanted.
func (u *unpacker) inItem(n int) {
	if u.again {
		u.in(pyjson.IndexPath(n))
	}
}

// inKey notes a step by the key of size bytes at i.
func (u *unpacker) inKey(i, size int) {
	if u.again {
		u.in(pyjson.KeyPath(string(u.mp[i : i+size])))
	}
}

// key returns the length of the key at i and where its text starts.
func (u *unpacker) key(i int) (size, at int) {
	if i < len(u.mp) && u.mp[i]>>5 == leadFixStr>>5 {
		return int(u.mp[i] & 0x1f), i + 1
	}
	switch k, size, at := header(u.mp, i); k {
	case kindText:
		return size, at
	case kindBytes:
		return 0, u.stop(ErrKey)
	}
	return 0, u.stop(errInvalid)
}

// oddObject appends a map in which keys repeat.
func (u *unpacker) oddObject(b []byte, m oddMap, left int) ([]byte, int) {
	b = append(b, '{')
	for n, p := range m.pairs {
		if n > 0 {
			b = append(b, ", "...)
		}
		b, _ = u.text(b, p.key, p.size)
		b = append(b, ": "...)
		var i int
		if b, i = u.value(b, p.value, left-1); i < 0 {
			u.inKey(p.key, p.size)
			return b, i
		}
	}
	return append(b, '}'), m.end
}

// unsigned reads an integer of 1, 2, 4 or 8 bytes.
func unsigned(data []byte) uint64 {
	var u uint64
	for _, c := range data {
		u = u<<8 | uint64(c)
	}
	return u
}

// signed reads one that may be negative.
func signed(data []byte) int64 {
	unused := 64 - 8*len(data)
	return int64(unsigned(data)<<unused) >> unused
}
