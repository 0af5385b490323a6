package transcode

import "encoding/binary"

// kind is what a value of MessagePack is, whatever its width.
type kind uint8

const (
	kindNone kind = iota // no value, or one that is cut off
	kindWord             // nil, false, true
	kindUint
	kindInt
	kindFloat32
	kindFloat64
	kindText
	kindBytes
	kindExt
	kindArray
	kindMap
)

// timestampCode is the code, as a byte, of the extension that is a timestamp.
const timestampCode = 0xff

// form is one of the forms with lead bytes from c0 to df.
type form struct {
	kind   kind
	length uint8 // bytes of length after the lead byte
	size   uint8 // bytes after these, besides those that the length is of
}

var forms = [256]form{
	leadNil:      {kind: kindWord},
	leadFalse:    {kind: kindWord},
	leadTrue:     {kind: kindWord},
	leadBin8:     {kindBytes, 1, 0},
	leadBin16:    {kindBytes, 2, 0},
	leadBin32:    {kindBytes, 4, 0},
	leadExt8:     {kindExt, 1, 1}, // with the code
	leadExt16:    {kindExt, 2, 1},
	leadExt32:    {kindExt, 4, 1},
	leadFloat32:  {kindFloat32, 0, 4},
	leadFloat64:  {kindFloat64, 0, 8},
	leadUint8:    {kindUint, 0, 1},
	leadUint16:   {kindUint, 0, 2},
	leadUint32:   {kindUint, 0, 4},
	leadUint64:   {kindUint, 0, 8},
	leadInt8:     {kindInt, 0, 1},
	leadInt16:    {kindInt, 0, 2},
	leadInt32:    {kindInt, 0, 4},
	leadInt64:    {kindInt, 0, 8},
	leadFixExt1:  {kindExt, 0, 1 + 1},
	leadFixExt2:  {kindExt, 0, 1 + 2},
	leadFixExt4:  {kindExt, 0, 1 + 4},
	leadFixExt8:  {kindExt, 0, 1 + 8},
	leadFixExt16: {kindExt, 0, 1 + 16},
	leadStr8:     {kindText, 1, 0},
	leadStr16:    {kindText, 2, 0},
	leadStr32:    {kindText, 4, 0},
	leadArray16:  {kindArray, 2, 0},
	leadArray32:  {kindArray, 4, 0},
	leadMap16:    {kindMap, 2, 0},
	leadMap32:    {kindMap, 4, 0},
}

// header reads the header of the value at i. It returns the kind, how many bytes the value has behind its header (those
// of an extension with the code), or how many items or pairs, and where they start. There is a byte at least for each.
func header(mp []byte, i int) (kind, int, int) {
	if i >= len(mp) {
		return kindNone, 0, i
	}
	c := mp[i]
	i++
	switch {
	case c < leadFixMap, c >= leadFixNeg:
		return kindInt, 0, i
	case c < leadFixArray:
		return sized(mp, kindMap, uint64(c&0x0f), i)
	case c < leadFixStr:
		return sized(mp, kindArray, uint64(c&0x0f), i)
	case c < leadNil:
		return sized(mp, kindText, uint64(c&0x1f), i)
	}
	f := forms[c]
	size, at := uint64(f.size), i+int(f.length)
	if at > len(mp) {
		return kindNone, 0, i
	}
	switch f.length {
	case 1:
		size += uint64(mp[i])
	case 2:
		size += uint64(binary.BigEndian.Uint16(mp[i:]))
	case 4:
		size += uint64(binary.BigEndian.Uint32(mp[i:]))
	}
	return sized(mp, f.kind, size, at)
}

// sized is a header, if there is enough behind it.
func sized(mp []byte, k kind, n uint64, at int) (kind, int, int) {
	if n > uint64(len(mp)-at) {
		return kindNone, 0, at
	}
	return k, int(n), at
}
