package msgpack

import (
	"encoding/binary"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// Ext is an extension value, whose meaning is between the peers. Timestamps are not among them: they are
// [time.Time].
type Ext struct {
	// Code is 0 to 127; the negative ones are MessagePack's own.
	Code int8
	Data []byte
}

// timestampCode is the extension of MessagePack's timestamps.
const timestampCode = -1

func appendExt(b []byte, e Ext) ([]byte, error) {
	if e.Code < 0 {
		return b, ErrExt
	}
	return msgp.AppendExtension(b, &msgp.RawExtension{Type: e.Code, Data: e.Data})
}

// splitExt returns the code and the data of the valid extension that b starts with, and what follows.
func splitExt(b []byte) (code int8, data, rest []byte) {
	var n int
	switch c := b[0]; c {
	case leadExt8:
		n, b = int(b[1]), b[2:]
	case leadExt16:
		n, b = int(binary.BigEndian.Uint16(b[1:])), b[3:]
	case leadExt32:
		n, b = int(binary.BigEndian.Uint32(b[1:])), b[5:]
	default:
		n, b = 1<<(c-leadFixExt1), b[1:]
	}
	return int8(b[0]), b[1 : 1+n], b[1+n:]
}

// maxNanos is the most nanoseconds of a timestamp.
const maxNanos = 999_999_999

// validTimestamp tells whether data is a timestamp:
//
//	4 bytes   seconds, unsigned
//	8 bytes   nanoseconds (30 bits), seconds (34 bits), unsigned
//	12 bytes  nanoseconds (32 bits, unsigned), seconds (64 bits, signed)
func validTimestamp(data []byte) bool {
	switch len(data) {
	case 4:
		return true
	case 8:
		return binary.BigEndian.Uint64(data)>>34 <= maxNanos
	case 12:
		return binary.BigEndian.Uint32(data) <= maxNanos
	}
	return false
}

// readTimestamp reads a valid timestamp's data.
func readTimestamp(data []byte) time.Time {
	switch len(data) {
	case 4:
		return time.Unix(int64(binary.BigEndian.Uint32(data)), 0).UTC()
	case 8:
		v := binary.BigEndian.Uint64(data)
		return time.Unix(int64(v&(1<<34-1)), int64(v>>34)).UTC()
	default:
		return time.Unix(int64(binary.BigEndian.Uint64(data[4:])), int64(binary.BigEndian.Uint32(data))).UTC()
	}
}

// appendTime writes the shortest form that holds t. (msgp.AppendTimeExt takes a longer one for the epoch itself.)
func appendTime(b []byte, t time.Time) []byte {
	code := byte(0xff) // timestampCode
	sec, nsec := t.Unix(), uint32(t.Nanosecond())
	switch {
	case sec < 0 || sec >= 1<<34:
		b = append(b, leadExt8, 12, code)
		b = binary.BigEndian.AppendUint32(b, nsec)
		return binary.BigEndian.AppendUint64(b, uint64(sec))
	case nsec != 0 || sec >= 1<<32:
		b = append(b, leadFixExt1+3, code)
		return binary.BigEndian.AppendUint64(b, uint64(nsec)<<34|uint64(sec))
	default:
		b = append(b, leadFixExt1+2, code)
		return binary.BigEndian.AppendUint32(b, uint32(sec))
	}
}
