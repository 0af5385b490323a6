package server

import (
	"crypto/rand"
	"crypto/sha256"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parlor"
	"parlor/link"
)

// stream is what a session keeps of a client that speaks envelopes (docs/PROTOCOL.md, section 2): the numbers, and what
// the client has not acknowledged. It is guarded by the session's mutex.
type stream struct {
	srv *Server

	lastID       uint64 // the highest number of a request that came
	answered     uint64 // that of a request that was answered
	seq          uint64 // that of the last message
	acknowledged uint64 // the highest number of a message that the client has got
	answers      waiting
	largest      int // bytes of an answer so far
	pushes       waiting
	dropped      []span // pushes that had no room and were not acknowledged

	next [1]link.Message // what is being delivered

	token  tokenHash    // the one that the client was told last
	before [2]tokenHash // those that are good while it may not know that one
	away   *time.Timer

	restored bool      // it is of before a restart, and its client has not come back yet: it is not known what that has
	paid     time.Time // when it may be resumed again
}

// messages are the space of what streams keep.
var messages = newPool[link.Message]()

func newStream(s *Server) *stream {
	w := waiting{fifo: fifo[link.Message]{pool: messages}, kept: &s.stats.Kept}
	return &stream{srv: s, answers: w, pushes: w}
}

// waiting are messages in their order.
type waiting struct {
	fifo[link.Message]
	bytes int
	kept  *atomic.Int64 // bytes of all that wait, in whatever session
}

// count notes that it holds so many bytes more.
func (w *waiting) count(bytes int) {
	w.bytes += bytes
	w.kept.Add(int64(bytes))
}

func (w *waiting) add(m link.Message) {
	w.push(m)
	w.count(sizeOf(m))
}

func (w *waiting) removeFirst() link.Message {
	m := *w.at(0)
	w.drop(1)
	w.count(-sizeOf(m))
	return m
}

// find is where the message of a number is; -1 if it is not there.
func (w *waiting) find(seq uint64) int {
	return slices.IndexFunc(w.all(), func(m link.Message) bool { return m.Seq == seq })
}

// remove takes a message out, wherever it is.
func (w *waiting) remove(seq uint64) {
	if i := w.find(seq); i >= 0 {
		w.count(-sizeOf(*w.at(i)))
		for ; i > 0; i-- { // the first ones move up
			*w.at(i) = *w.at(i - 1)
		}
		w.drop(1)
	}
}

// replace puts a message in the place of the one with its number.
func (w *waiting) replace(m link.Message) {
	if i := w.find(m.Seq); i >= 0 {
		w.count(sizeOf(m) - sizeOf(*w.at(i)))
		*w.at(i) = m
	}
}

func (w *waiting) acknowledge(seq uint64) {
	n, bytes := 0, 0
	for all := w.all(); n < len(all) && all[n].Seq <= seq; n++ {
		bytes += sizeOf(all[n])
	}
	if n > 0 {
		w.drop(n)
		w.count(-bytes)
	}
}

// clear takes all out.
func (w *waiting) clear() {
	w.fifo.clear()
	w.count(-w.bytes)
}

// itself is what a message holds beside what it says, in bytes.
const itself = 64

// sizeOf is about what a message holds, in bytes. What a push says may be shared: it counts for each who keeps it, as it is held
// for as long as the last of them does.
func sizeOf(m link.Message) int {
	if p := m.Push; p != nil {
		return itself + len(p.Message) + len(p.Payload.JSON())
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
		st.answered = m.ID
		st.largest = max(st.largest, sizeOf(m))
		return
	}
	st.pushes.add(m)
	l := &st.srv.cfg.Limits
	for st.pushes.len() > l.Pushes || st.pushes.bytes > l.PushBytes && st.pushes.len() > 0 {
		st.drop(st.pushes.removeFirst().Seq)
	}
	for st.pushes.bytes > st.srv.share() {
		st.drop(st.pushes.removeFirst().Seq)
		st.srv.stats.PushesCrowded.Add(1)
	}
}

// share is how much a session may keep of pushes, and likewise of answers, in bytes, of what all may keep together: as much as it
// leaves free. So those that keep most have to give way first, whoever fills the rest, and what they take has an end. What a
// client may have got without acknowledging it is not touched: who is away for a moment, or follows the rules, notices nothing of a
// crowd.
func (s *Server) share() int {
	return max(sharedAnyway, s.cfg.Limits.KeptBytes-int(s.stats.Kept.Load()))
}

// sharedAnyway is as much as a client owes a note for, counted as sizeOf does: requests that wait for that note do not wait for long.
const sharedAnyway = link.NoteBytes + link.NoteEnvelopes*itself

// forget lets go of all that waits: nobody will come for it.
func (st *stream) forget() {
	st.answers.clear()
	st.pushes.clear()
	st.dropped = nil
}

// drop notes that a push is not kept.
func (st *stream) drop(seq uint64) {
	st.srv.stats.PushesLost.Add(1)
	i := len(st.dropped)
	for i > 0 && st.dropped[i-1].first > seq { // behind those that a link could not carry older ones may go
		i--
	}
	if i > 0 && st.dropped[i-1].last == seq-1 {
		st.dropped[i-1].last = seq
		return
	}
	st.dropped = slices.Insert(st.dropped, i, span{seq, seq})
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
	return st.answers.len() >= l.Unacknowledged || st.answers.bytes >= min(l.UnacknowledgedBytes, st.srv.share())
}

// space is how many requests may be executed before some answers were acknowledged, and about how many bytes those answers may
// have together: at the end of it one more may be, whatever it has. If all sessions together keep so much that little is left, only that one.
func (st *stream) space() (requests, bytes int) {
	l := &st.srv.cfg.Limits
	if st.srv.share() < l.UnacknowledgedBytes {
		return 1, 0
	}
	return max(l.Unacknowledged-st.answers.len(), 1), l.UnacknowledgedBytes - st.answers.bytes
}

// expected is how large the answer to a request is taken to be, in bytes: as the largest so far, and as the request, as many games answer
// with what they got.
func (st *stream) expected(r *request) int { return max(st.largest, r.size()) }

// maxEnvelope is the size of an envelope that every wire carries, in bytes, with something to spare for what it adds.
const maxEnvelope = parlor.MaxMessageSize - 64

// carried tells why not every wire could carry a message, whatever it acknowledges; nil if it could. It is for those that no link is there for.
func carried(m link.Message) error {
	b := scratch.Get().(*[]byte)
	defer scratch.Put(b)
	out, err := link.AppendMessage((*b)[:0], math.MaxUint64, m)
	if cap(out) <= maxScratch {
		*b = out
	}
	if err == nil && len(out) > maxEnvelope {
		err = link.ErrTooLarge
	}
	return err
}

// scratch are buffers to encode into what is not sent; of more than maxScratch bytes they are not kept.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

const maxScratch = 64 << 10

// tokens are those that are good; some may be none.
func (st *stream) tokens() []tokenHash { return []tokenHash{st.token, st.before[0], st.before[1]} }

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
