package parlor

import (
	"fmt"
	"strconv"
	"time"

	"parlor/internal/pyjson"
)

// Packet is one request of a user (section 3.3).
type Packet struct {
	// Message is a request name, or text for the game. A client may send any JSON value here; what is not
	// text stands as its JSON text.
	Message string
	// Payload holds the arguments, as they came.
	Payload Payload
	// CreatedOn is when the packet was made, as its sender wrote it; a client fills it in when it is empty.
	// Nobody parses it (section 3.5).
	CreatedOn string
	// Username is the user who sent the packet. The server sets it: what a client writes has no effect.
	Username string

	odd  *oddFields
	held int // bytes of the text that the packet was read from, all of which it holds on to
}

// Size is how many bytes of memory the packet holds, about.
func (p Packet) Size() int {
	return max(p.held, len(p.Message)+len(p.CreatedOn)+len(p.Payload.raw))
}

// oddFields are fields of a packet that were not text, as they came: they show in debug texts.
type oddFields struct{ message, createdOn []byte }

// MalformedError says what was wrong with a text that should have been a packet or a response.
type MalformedError struct{ Reason string }

func (e *MalformedError) Error() string { return "malformed message: " + e.Reason }

// DecodePacket reads a packet from JSON text (section 3.2). Missing keys but message take their defaults,
// and unknown ones are ignored, where pgnet 0.2.1 breaks the connection (defect 25). The payload refers to
// text, which must not be changed afterwards. Text nested deeper than 128 levels is refused. Errors are of
// type *[MalformedError].
func DecodePacket(text []byte) (Packet, error) {
	var p Packet
	hasMessage := false
	err := pyjson.Members(text, maxDepth, func(key, value []byte) error {
		switch string(key) {
		case "message":
			hasMessage = true
			return p.setMessage(value)
		case "payload":
			p.Payload = Payload{raw: value}
		case "created_on":
			p.setCreatedOn(value)
		}
		return nil
	})
	if err != nil {
		return Packet{}, malformed(err)
	}
	if !hasMessage {
		return Packet{}, &MalformedError{Reason: "message is missing"}
	}
	p.held = len(text)
	return p, nil
}

func (p *Packet) setMessage(raw []byte) error {
	if p.odd != nil {
		p.odd.message = nil // of an equal key before
	}
	switch pyjson.KindOf(raw) {
	case pyjson.String:
		p.Message, _ = pyjson.Unquote(raw)
	case pyjson.Array, pyjson.Object:
		return &MalformedError{Reason: "message is neither text nor a plain value"}
	default:
		p.Message = string(raw)
		p.oddOf().message = raw
	}
	return nil
}

// setCreatedOn passes any value on unread; null and empty values count as missing (section 3.3).
func (p *Packet) setCreatedOn(raw []byte) {
	if p.odd != nil {
		p.odd.createdOn = nil // of an equal key before
	}
	s, ok := pyjson.Unquote(raw)
	p.CreatedOn = s
	if !ok && pyjson.KindOf(raw) != pyjson.Null {
		p.CreatedOn = string(raw)
		p.oddOf().createdOn = raw
	}
}

func (p *Packet) oddOf() *oddFields {
	if p.odd == nil {
		p.odd = &oddFields{}
	}
	return p.odd
}

// AppendJSON appends the packet as pgnet writes it (section 3.1). The error is that of its payload; b is
// returned as it was then.
func (p Packet) AppendJSON(b []byte) ([]byte, error) {
	start := b
	b = append(b, `{"message": `...)
	b = pyjson.AppendString(b, p.Message)
	b = append(b, `, "payload": `...)
	b, err := p.Payload.AppendPyJSON(b)
	if err != nil {
		return start, err
	}
	b = append(b, `, "created_on": `...)
	b = pyjson.AppendString(b, p.CreatedOn)
	b = append(b, `, "username": `...)
	b = appendTextOrNull(b, p.Username)
	return append(b, '}'), nil
}

// maxDebugPayload bounds the payload that a debug text renders, in bytes: what a client sends at no cost
// shall not cost the server much more. Of a larger one the size is told.
const maxDebugPayload = 16 << 10

// DebugText is the packet as pgnet's debug texts show it (section 7.4), but for payloads over 16 KiB.
func (p Packet) DebugText() string {
	var message, createdOn []byte
	if p.odd != nil {
		message, createdOn = p.odd.message, p.odd.createdOn
	}
	b := append([]byte(nil), "Packet(message="...)
	b = appendReprOf(b, p.Message, message)
	b = append(b, ", created_on="...)
	b = appendReprOf(b, p.CreatedOn, createdOn)
	b = append(b, ")+"...)
	if n := len(p.Payload.raw); n > maxDebugPayload {
		return string(fmt.Appendf(b, "(%d bytes)", n))
	}
	return string(append(b, p.Payload.String()...))
}

// Timestamp is t as created_on is written: local time with offset, microseconds left out if exactly zero
// (section 3.5).
func Timestamp(t time.Time) string {
	var space [len("2006-01-02T15:04:05.999999-07:00") + 4]byte
	return string(appendTimestamp(space[:0], t))
}

func appendTimestamp(b []byte, t time.Time) []byte {
	var space [len("2006-01-02T15:04:05-07:00") + 4]byte
	text := t.AppendFormat(space[:0], time.RFC3339) // which has a fast path, where other layouts have none
	const seconds = len("2006-01-02T15:04:05")
	b = append(b, text[:seconds]...)
	if micros := t.Nanosecond() / 1000; micros != 0 {
		b = append(b, '.')
		for unit := 100_000; unit > 0; unit /= 10 {
			b = append(b, byte('0'+micros/unit%10))
		}
	}
	if zone := text[seconds:]; string(zone) != "Z" {
		return append(b, zone...)
	}
	return append(b, "+00:00"...)
}

// appendReprOf renders a text, or the odd JSON value that came in its place.
func appendReprOf(b []byte, text string, odd []byte) []byte {
	if odd != nil {
		return pyjson.AppendRepr(b, odd)
	}
	return pyjson.AppendReprString(b, text)
}

func appendTextOrNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return pyjson.AppendString(b, s)
}

func malformed(err error) error {
	if m, ok := err.(*MalformedError); ok {
		return m
	}
	return &MalformedError{Reason: err.Error()}
}

func itoa(n int) string { return strconv.Itoa(n) }
