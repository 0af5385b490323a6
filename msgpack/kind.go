package msgpack

// Lead bytes of the MessagePack specification that are not part of a range.
const (
	leadFixStr  = 0xa0 // with the length in its low five bits
	leadNil     = 0xc0
	leadNever   = 0xc1
	leadFalse   = 0xc2
	leadTrue    = 0xc3
	leadBin8    = 0xc4
	leadBin16   = 0xc5
	leadBin32   = 0xc6
	leadExt8    = 0xc7
	leadExt16   = 0xc8
	leadExt32   = 0xc9
	leadFloat32 = 0xca
	leadFloat64 = 0xcb
	leadUint8   = 0xcc
	leadUint16  = 0xcd
	leadUint32  = 0xce
	leadUint64  = 0xcf
	leadInt8    = 0xd0
	leadInt16   = 0xd1
	leadInt32   = 0xd2
	leadInt64   = 0xd3
	leadFixExt1 = 0xd4
	leadFixEx16 = 0xd8
	leadStr8    = 0xd9
	leadStr16   = 0xda
	leadStr32   = 0xdb
	leadArray16 = 0xdc
	leadArray32 = 0xdd
	leadMap16   = 0xde
	leadMap32   = 0xdf
)

// kind is the type of a value, whatever its width.
type kind uint8

const (
	kindNil kind = iota
	kindBool
	kindInt
	kindFloat
	kindStr
	kindBin
	kindArray
	kindMap
	kindExt
	kindNone // no value: no bytes, or leadNever
)

var kindNames = [...]string{
	"nil", "a bool", "an integer", "a float", "a string", "bytes", "an array", "a map", "an extension", "nothing",
}

func (k kind) String() string { return kindNames[k] }

// kinds maps lead bytes to kinds.
var kinds = func() (t [256]kind) {
	for c := range t {
		t[c] = kindOfLead(byte(c))
	}
	return t
}()

// kindOf is the kind of the value that b starts with.
func kindOf(b []byte) kind {
	if len(b) == 0 {
		return kindNone
	}
	return kinds[b[0]]
}

func kindOfLead(c byte) kind {
	switch {
	case c < 0x80, c >= 0xe0, c >= leadUint8 && c <= leadInt64:
		return kindInt
	case c < 0x90, c == leadMap16, c == leadMap32:
		return kindMap
	case c < 0xa0, c == leadArray16, c == leadArray32:
		return kindArray
	case c < 0xc0, c >= leadStr8 && c <= leadStr32:
		return kindStr
	case c == leadNil:
		return kindNil
	case c == leadFalse, c == leadTrue:
		return kindBool
	case c >= leadBin8 && c <= leadBin32:
		return kindBin
	case c == leadFloat32, c == leadFloat64:
		return kindFloat
	case c >= leadExt8 && c <= leadExt32, c >= leadFixExt1 && c <= leadFixEx16:
		return kindExt
	}
	return kindNone
}
