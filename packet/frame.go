package packet

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A frame (section 1), all numbers unsigned and big endian:
//
//	0  4  length   of everything after itself: 6 and the body
//	4  4  id       of the packet
//	8  2  flags
//	10    body     one MessagePack value, as a zlib stream if FlagCompressed is set
const (
	lengthSize = 4
	headerSize = 6 // id and flags; the least length that can be
	frameHead  = lengthSize + headerSize
)

// MaxPacketLength is the largest length that a frame can declare.
const MaxPacketLength = math.MaxUint32

// AppendFrame appends the frame of a body that is encoded already, and compressed if the flags say so.
func AppendFrame(b []byte, id ID, flags Flags, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	b = binary.BigEndian.AppendUint16(b, uint16(flags))
	return append(b, body...)
}

// CutFrame cuts the first frame off b: its body, which shares b's memory, and what follows. ok is false if b
// does not hold all of it yet. A length that is below 6 or above maxLength is ErrInvalidFrame or ErrFrameTooLarge,
// as soon as it is here.
func CutFrame(b []byte, maxLength int) (id ID, flags Flags, body, rest []byte, ok bool, err error) {
	size, err := frameSize(b, maxLength)
	if err != nil || size == 0 || len(b) < size {
		return 0, 0, nil, b, false, err
	}
	id = ID(binary.BigEndian.Uint32(b[lengthSize:]))
	flags = Flags(binary.BigEndian.Uint16(b[lengthSize+4:]))
	return id, flags, b[frameHead:size], b[size:], true, nil
}

// frameSize is how long the frame is that b begins with, prefix included; 0 if that is not known yet.
func frameSize(b []byte, maxLength int) (int, error) {
	if len(b) < lengthSize {
		return 0, nil
	}
	length := binary.BigEndian.Uint32(b)
	if length < headerSize {
		return 0, fmt.Errorf("%w: length %d, less than the header's %d", ErrInvalidFrame, length, headerSize)
	}
	if int64(length) > int64(maxLength) {
		return 0, fmt.Errorf("%w: length %d%s, limit %d", ErrFrameTooLarge, length, inText(b[:lengthSize]), maxLength)
	}
	return lengthSize + int(length), nil
}

// inText shows a length that is the beginning of a text: the other side is no packet server or client.
func inText(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return fmt.Sprintf(" (which is the text %q: the other side speaks another protocol)", b)
}

// setHead fills in the head of a frame whose space is at the start of b.
func setHead(b []byte, id ID, flags Flags) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-lengthSize))
	binary.BigEndian.PutUint32(b[lengthSize:], uint32(id))
	binary.BigEndian.PutUint16(b[lengthSize+4:], uint16(flags))
}
