package server

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"time"

	"parlor/link"
)

// stream is what a session keeps of a client that speaks envelopes (docs/PROTOCOL.md, section 2): the numbers, and what
// the client has not acknowledged. It is guarded by the session's mutex.
type stream struct {
	srv *Server

	lastID       uint64 // the highest number of a request that came
	seq          uint64 // that of the last message
	acknowledged uint64 // the highest number of a message that the client has got
	answers      waiting
	largest      int // bytes of an answer so far
	pushes       waiting
	dropped      []span // pushes that had no room and were not acknowledged

	next [1]link.Message // what is being delivered

	token, before tokenHash // the one that the client was told last, and the one before while it may not know that one
	away          *time.Timer
}

// messages are the space of what streams keep.
var messages = newPool[link.Message]()

func newStream(s *Server) *stream {
	w := waiting{fifo: fifo[link.Message]{pool: messages}}
	return &stream{srv: s, answers: w, pushes: w}
}

// waiting are messages in their order.
type waiting struct {
	fifo[link.Message]
	bytes int
}

func (w *waiting) add(m link.Message) {
	w.push(m)
	w.bytes += sizeOf(m)
}

func (w *waiting) removeFirst() link.Message {
	m := *w.at(0)
	w.drop(1)
	w.bytes -= sizeOf(m)
	return m
}

func (w *waiting) acknowledge(seq uint64) {
	for w.len() > 0 && w.at(0).Seq <= seq {
		w.removeFirst()
	}
}

func sizeOf(m link.Message) int {
	const itself = 64 // about, of the message
	if m.Push != nil {
		return itself // what it says is shared, and belongs to the room
	}
	return itself + len(m.Response.Message) + len(m.Response.Payload.JSON())
}

// span is a run of numbers.
type span struct{ first, last uint64 }

// add numbers a message and keeps it.
func (st *stream) add(m link.Message) {
	st.seq++
	m.Seq = st.seq
	if m.Push == nil {
		st.answers.add(m)
		st.largest = max(st.largest, sizeOf(m))
		return
	}
	st.pushes.add(m)
	for st.pushes.len() > st.srv.cfg.Limits.Pushes {
		st.srv.stats.PushesLost.Add(1)
		st.drop(st.pushes.removeFirst().Seq)
	}
}

// drop notes that a push is not kept.
func (st *stream) drop(seq uint64) {
	if n := len(st.dropped); n > 0 && st.dropped[n-1].last == seq-1 {
		st.dropped[n-1].last = seq
		return
	}
	st.dropped = append(st.dropped, span{seq, seq})
}

// acknowledge forgets what the client has. The error is ErrOutOfTurn for what it cannot have.
func (st *stream) acknowledge(seq uint64) error {
	if seq > st.seq {
		return link.ErrOutOfTurn
	}
	st.acknowledged = max(st.acknowledged, seq)
	st.answers.acknowledge(seq)
	st.pushes.acknowledge(seq)
	for len(st.dropped) > 0 && st.dropped[0].first <= seq {
		if st.dropped[0].last > seq {
			st.dropped[0].first = seq + 1
			break
		}
		st.dropped = st.dropped[1:]
	}
	return nil
}

// lost is how many pushes were dropped that the client has not got, as far as it has acknowledged.
func (st *stream) lost() (n int) {
	for _, s := range st.dropped {
		n += int(s.last - s.first + 1)
	}
	return n
}

// unacknowledged is all that waits, in order.
func (st *stream) unacknowledged() []link.Message {
	all := slices.Concat(st.answers.all(), st.pushes.all())
	slices.SortFunc(all, func(a, b link.Message) int {
		if a.Seq < b.Seq {
			return -1
		}
		return 1
	})
	return all
}

// stopWaiting stops the clock of a session that was away.
func (st *stream) stopWaiting() {
	if st.away != nil {
		st.away.Stop()
		st.away = nil
	}
}

// full tells whether no more requests are to be executed before some answers were acknowledged.
func (st *stream) full() bool {
	l := &st.srv.cfg.Limits
	return st.answers.len() >= l.Unacknowledged || st.answers.bytes >= l.UnacknowledgedBytes
}

// space is about how many requests may be executed before some answers were acknowledged: at the end of it one more, and with
// the first large answers of a client some more bytes.
func (st *stream) space() int {
	l := &st.srv.cfg.Limits
	n := l.Unacknowledged - st.answers.len()
	if st.largest > 0 {
		n = min(n, (l.UnacknowledgedBytes-st.answers.bytes)/st.largest)
	}
	return max(n, 1)
}

// tokenHash is what the server keeps of a token; the zero value is of none.
type tokenHash [sha256.Size]byte

// tokenSize is how long a token is, in bytes.
const tokenSize = 16

// newToken makes a token.
func newToken() []byte {
	token := make([]byte, tokenSize)
	rand.Read(token)
	return token
}

func hashToken(token []byte) tokenHash {
	if len(token) != tokenSize {
		return tokenHash{}
	}
	return sha256.Sum256(token)
}
