package transcode

import (
	"encoding/binary"
	"math/bits"
)

const (
	ones = 0x0101010101010101
	tops = 0x80 * ones
)

// textRun returns the offset of the first byte from i on that is a quote, a backslash or a control character, and
// whether those before it are all ASCII. It looks at eight bytes at a time.
func textRun(b []byte, i int) (end int, ascii bool) {
	var all uint64
	for len(b)-i >= 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote := x ^ '"'*ones
		slash := x ^ '\\'*ones
		// The top bit of each byte that ends the run. Those above the lowest may be wrong, by a borrow.
		if m := ((quote-ones)&^quote | (slash-ones)&^slash | (x-' '*ones)&^x) & tops; m != 0 {
			n := bits.TrailingZeros64(m) / 8
			all |= x & (1<<(8*n) - 1)
			return i + n, all&tops == 0
		}
		all |= x
		i += 8
	}
	for ; i < len(b); i++ {
		c := b[i]
		if c == '"' || c == '\\' || c < ' ' {
			break
		}
		all |= uint64(c)
	}
	return i, all&tops == 0
}
