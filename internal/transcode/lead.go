package transcode

import "encoding/binary"

// Lead bytes of MessagePack. Where a length follows, it is big endian.
const (
	leadFixMap   = 0x80 // up to 0x8f, the number of pairs in its low four bits
	leadFixArray = 0x90 // up to 0x9f, the number of items in its low four bits
	leadFixStr   = 0xa0 // up to 0xbf, the length in its low five bits
	leadNil      = 0xc0
	leadFalse    = 0xc2
	leadTrue     = 0xc3
	leadBin8     = 0xc4
	leadBin16    = 0xc5
	leadBin32    = 0xc6
	leadExt8     = 0xc7
	leadExt16    = 0xc8
	leadExt32    = 0xc9
	leadFloat32  = 0xca
	leadFloat64  = 0xcb
	leadUint8    = 0xcc
	leadUint16   = 0xcd
	leadUint32   = 0xce
	leadUint64   = 0xcf
	leadInt8     = 0xd0
	leadInt16    = 0xd1
	leadInt32    = 0xd2
	leadInt64    = 0xd3
	leadFixExt1  = 0xd4
	leadFixExt2  = 0xd5
	leadFixExt4  = 0xd6
	leadFixExt8  = 0xd7
	leadFixExt16 = 0xd8
	leadStr8     = 0xd9
	leadStr16    = 0xda
	leadStr32    = 0xdb
	leadArray16  = 0xdc
	leadArray32  = 0xdd
	leadMap16    = 0xde
	leadMap32    = 0xdf
	leadFixNeg   = 0xe0 // up to 0xff, the integers from -32 to -1
)

// appendUint appends a positive integer in its smallest form.
func appendUint(b []byte, u uint64) []byte {
	switch {
	case u < 0x80:
		return append(b, byte(u))
	case u < 1<<8:
		return append(b, leadUint8, byte(u))
	case u < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, leadUint16), uint16(u))
	case u < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, leadUint32), uint32(u))
	default:
		return binary.BigEndian.AppendUint64(append(b, leadUint64), u)
	}
}

// appendNegative appends a negative integer in its smallest form.
func appendNegative(b []byte, i int64) []byte {
	switch {
	case i >= -1<<5:
		return append(b, byte(i))
	case i >= -1<<7:
		return append(b, leadInt8, byte(i))
	case i >= -1<<15:
		return binary.BigEndian.AppendUint16(append(b, leadInt16), uint16(i))
	case i >= -1<<31:
		return binary.BigEndian.AppendUint32(append(b, leadInt32), uint32(i))
	default:
		return binary.BigEndian.AppendUint64(append(b, leadInt64), uint64(i))
	}
}

// appendFloatBits appends a float of 64 bits.
func appendFloatBits(b []byte, bits uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, leadFloat64), bits)
}

// appendTextHeader appends what comes before a text of n bytes.
func appendTextHeader(b []byte, n int) []byte {
	switch {
	case n < 1<<5:
		return append(b, leadFixStr|byte(n))
	case n < 1<<8:
		return append(b, leadStr8, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, leadStr16), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, leadStr32), uint32(n))
	}
}
