package link

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"parlor"
	"parlor/msgpack"
)

// Kind is the first element of an envelope (docs/PROTOCOL.md, section 1).
type Kind uint8

// The kinds of envelopes.
const (
	KindRequest Kind = 0 // of a client
	KindAnswer  Kind = 1 // of a server
	KindPush    Kind = 2 // of a server
	KindNote    Kind = 3 // of either side: an acknowledgement alone
)

var kindNames = [...]string{"request", "answer", "push", "note"}

// String is the name of a kind, else its number.
func (k Kind) String() string {
	if k.known() {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

func (k Kind) known() bool { return int(k) < len(kindNames) }

// shapes are the elements of each kind, in their order. More may follow.
var shapes = [...][]string{
	KindRequest: {"kind", "ack", "id", "message", "payload"},
	KindAnswer:  {"kind", "ack", "seq", "id", "status", "disconnecting", "game", "message", "payload"},
	KindPush:    {"kind", "ack", "seq", "game", "message", "payload"},
	KindNote:    {"kind", "ack"},
}

// Envelope is what Parlor's own wires carry. Which fields count depends on the kind.
type Envelope struct {
	Kind Kind
	Ack  uint64 // the highest number that came from the other side
	Seq  uint64 // of answers and pushes: 1, 2, 3, …; 0 answers the login
	ID   uint64 // of requests, and of the request that an answer is for: 1, 2, 3, …; 0 is the login

	Message       string
	Payload       parlor.Payload
	Status        parlor.Status // of answers
	Disconnecting bool          // of answers
	Game          string        // of answers and pushes; empty is none: written as nil, read from nil or an empty text

	// Err is why the payload of what was read has no form here. A request is answered with it, in its turn. It is not written.
	Err error
}

// MaxPerFrame is how many envelopes one frame of the native wire may have. It bounds what a frame full of notes, of three
// bytes each, can cost.
const MaxPerFrame = 256

// ErrEnvelope means bytes that are no envelope, or what cannot be written as one.
var ErrEnvelope = errors.New("not an envelope")

// AppendHead appends an envelope up to its message and payload, which AppendBody makes: those of a push to many are
// made once. Of a note the head is all. The error is of a kind that there is not, or a game that is no UTF-8; b is
// returned as it was then.
func (e *Envelope) AppendHead(b []byte) ([]byte, error) {
	if !e.Kind.known() {
		return b, fmt.Errorf("%w: unknown kind %d", ErrEnvelope, e.Kind)
	}
	start := b
	b = msgp.AppendArrayHeader(b, uint32(len(shapes[e.Kind])))
	b = msgp.AppendUint64(b, uint64(e.Kind))
	b = msgp.AppendUint64(b, e.Ack)
	switch e.Kind {
	case KindRequest:
		return msgp.AppendUint64(b, e.ID), nil
	case KindNote:
		return b, nil
	}
	b = msgp.AppendUint64(b, e.Seq)
	if e.Kind == KindAnswer {
		b = msgp.AppendUint64(b, e.ID)
		b = appendStatus(b, e.Status)
		b = msgp.AppendBool(b, e.Disconnecting)
	}
	if e.Game == "" {
		return msgp.AppendNil(b), nil
	}
	b, err := appendText(b, e.Game)
	if err != nil {
		return start, fmt.Errorf("game: %w", err)
	}
	return b, nil
}

func appendStatus(b []byte, s parlor.Status) []byte {
	if s >= 0 {
		return msgp.AppendUint64(b, uint64(s))
	}
	return msgp.AppendInt64(b, int64(s))
}

func appendText(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return b, msgpack.ErrUTF8
	}
	if uint64(len(s)) > math.MaxUint32 {
		return b, msgpack.ErrBytes
	}
	return msgp.AppendString(b, s), nil
}

// AppendBody appends a message and its payload. The error is of what cannot be written: text that is no UTF-8, and what
// MessagePack does not have; b is returned as it was then.
func AppendBody(b []byte, message string, payload parlor.Payload) ([]byte, error) {
	start := b
	b, err := appendText(b, message)
	if err != nil {
		return start, fmt.Errorf("message: %w", err)
	}
	if b, err = payload.AppendMsgPack(b); err != nil {
		return start, err
	}
	return b, nil
}

// Append appends the whole envelope. The error is that of AppendHead or AppendBody; b is returned as it was then.
func (e *Envelope) Append(b []byte) ([]byte, error) {
	start := b
	b, err := e.AppendHead(b)
	if err == nil && e.Kind != KindNote {
		b, err = AppendBody(b, e.Message, e.Payload)
	}
	if err != nil {
		return start, err
	}
	return b, nil
}

// DecodeEnvelope reads the envelope that b begins with, and returns what follows. It keeps nothing of b.
//
// An error that wraps ErrEnvelope says which element is wrong, or which limit was exceeded; b is returned as it was. Any
// other error is of the payload alone, and is the envelope's Err too: the envelope is whole but for that, its request can be
// answered, and what follows can be read (parlor.ParseMsgPack).
//
// The limits are those of one envelope, whatever follows; Depth is that of its payload.
func DecodeEnvelope(b []byte, lim msgpack.Limits) (e Envelope, rest []byte, err error) {
	if lim.Depth == 0 && lim.Elements == 0 {
		if e, rest, ok := decodeUsual(b); ok && (lim.Bytes <= 0 || len(b)-len(rest) <= lim.Bytes) {
			return e, rest, nil
		}
	}
	n, err := extent(b, lim)
	if err != nil {
		return Envelope{}, b, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	r := elements{b: b[:n]}
	r.envelope(&e)
	if r.err != nil {
		return Envelope{}, b, r.err
	}
	e.Payload, e.Err = r.payload()
	return e, b[n:], e.Err
}

// decodeUsual is DecodeEnvelope, with one look at each byte, for an envelope within the usual limits that has nothing wrong and
// nothing that only a later version knows.
func decodeUsual(b []byte) (e Envelope, rest []byte, ok bool) {
	r := elements{b: b}
	if r.envelope(&e); r.err != nil || !utf8.ValidString(e.Message) || !utf8.ValidString(e.Game) {
		return Envelope{}, nil, false
	}
	if e.Kind == KindNote {
		return e, r.b, r.at == r.n
	}
	if r.at != r.n-1 {
		return Envelope{}, nil, false
	}
	var err error
	e.Payload, rest, err = parlor.CutMsgPack(r.b)
	return e, rest, err == nil
}

// extent is how long the value is that b begins with, if it is within the limits.
func extent(b []byte, lim msgpack.Limits) (int, error) {
	if lim.Depth <= 0 {
		lim.Depth = msgpack.DefaultDepth
	}
	lim.Depth = min(lim.Depth, msgpack.MaxDepth) + 1 // the envelope's own array
	n, err := msgpack.First(b, lim)
	if err == nil && lim.Bytes > 0 && n > lim.Bytes {
		return 0, &msgpack.LimitError{Max: lim.Bytes, Err: msgpack.ErrBytes}
	}
	return n, err
}

// Envelopes reads the envelopes of a frame of the native wire, which stand one behind the other, one at least. It yields
// what DecodeEnvelope returns for each. An error that wraps ErrEnvelope is the last that it yields: such a
// frame ends the link. One with more than MaxPerFrame gives it behind these.
func Envelopes(frame []byte, lim msgpack.Limits) iter.Seq2[Envelope, error] {
	return func(yield func(Envelope, error) bool) {
		for n := 1; ; n++ {
			e, rest, err := DecodeEnvelope(frame, lim)
			fatal := errors.Is(err, ErrEnvelope)
			if fatal && n > 1 {
				err = fmt.Errorf("envelope %d of a frame: %w", n, err)
			}
			if !yield(e, err) || fatal || len(rest) == 0 {
				return
			}
			if n == MaxPerFrame {
				yield(Envelope{}, fmt.Errorf("%w: more than %d in a frame", ErrEnvelope, MaxPerFrame))
				return
			}
			frame = rest
		}
	}
}

// Envelope is what carries the message, with an acknowledgement.
func (m *Message) Envelope(ack uint64) Envelope {
	if p := m.Push; p != nil {
		return Envelope{Kind: KindPush, Ack: ack, Seq: m.Seq, Game: p.Game, Message: p.Message, Payload: p.Payload}
	}
	r := m.Response
	return Envelope{
		Kind: KindAnswer, Ack: ack, Seq: m.Seq, ID: m.ID, Message: r.Message, Payload: r.Payload,
		Status: r.Status, Disconnecting: r.Disconnecting, Game: r.Game,
	}
}

// Response is what an answer says. It has no time, as envelopes do not say.
func (e *Envelope) Response() parlor.Response {
	return parlor.Response{Message: e.Message, Payload: e.Payload, Status: e.Status, Disconnecting: e.Disconnecting, Game: e.Game}
}

// AppendMessage appends the envelope of a message, with an acknowledgement. What a push says is encoded once for all who
// get it. The error is that of AppendHead or AppendBody; b is returned as it was then.
func AppendMessage(b []byte, ack uint64, m Message) ([]byte, error) {
	e := m.Envelope(ack)
	if m.Push == nil {
		return e.Append(b)
	}
	body, err := m.Push.MsgPack(AppendBody)
	if err != nil {
		return b, err
	}
	start := b
	if b, err = e.AppendHead(b); err != nil {
		return start, err
	}
	return append(b, body...), nil
}
