package link

import "time"

// When who has got something, and has sent nothing since that would say so, sends a note (docs/PROTOCOL.md, section 2.2).
const (
	NoteAfter     = time.Second
	NoteEnvelopes = 64
	NoteBytes     = 64 << 10
)

// Unnoted is what has come on a link since its client was told of something. Its zero value is of a new link.
type Unnoted struct {
	acked uint64
	bytes int
}

// Add counts so many bytes that came, and tells whether a note is due before its time: when the requests up to a number were taken,
// and those up to another one acknowledged.
func (u *Unnoted) Add(bytes int, taken, acked uint64) bool {
	if acked != u.acked {
		u.acked, u.bytes = acked, 0
	}
	u.bytes += bytes
	return taken >= acked+NoteEnvelopes || taken > acked && u.bytes >= NoteBytes
}
