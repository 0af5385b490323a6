package parlor

import (
	"math"
	"strconv"
	"time"

	"parlor/internal/pyjson"
)

// Response is the one answer that a packet gets (section 3.4). Its JSON text may have 786,392 bytes: that is
// what pgnet's clients take, and a larger one is answered with a refusal instead (defect 33).
type Response struct {
	// Message is text for people.
	Message string
	// Payload is data; the zero value is the empty object.
	Payload Payload
	// Status says how it went; zero is success.
	Status Status
	// CreatedOn is when the response was made; the link that sends it fills it in when empty.
	CreatedOn string
	// Disconnecting ends the connection after this response. Set by a game, it takes the user out of the game
	// and leaves the connection (section 8.3).
	Disconnecting bool
	// Game is the game that the user is in after the request; empty is none. The server sets it.
	Game string
}

// OK is a response of success. A payload may follow the message: any value that [Encode] takes; only the
// first is used. A nil is the empty object, as a null payload can break pgnet's clients (section 3.4).
func OK(message string, payload ...any) Response { return response(StatusOK, message, payload) }

// Unexpected is a response of refusal: the request was wrong, or is not possible now.
func Unexpected(message string, payload ...any) Response {
	return response(StatusUnexpected, message, payload)
}

// Bad is a response of failure.
func Bad(message string, payload ...any) Response { return response(StatusBad, message, payload) }

func response(s Status, message string, payload []any) Response {
	r := Response{Status: s, Message: message}
	if len(payload) > 0 && payload[0] != nil {
		r.Payload = Encode(payload[0])
	}
	return r
}

// AppendJSON appends the response as pgnet writes it (section 3.1), with now as its time if it has none. The
// error is that of its payload; b is returned as it was then.
func (r Response) AppendJSON(b []byte, now time.Time) ([]byte, error) {
	start := b
	b = append(b, `{"message": `...)
	b = pyjson.AppendString(b, r.Message)
	b = append(b, `, "payload": `...)
	b, err := r.Payload.AppendPyJSON(b)
	if err != nil {
		return start, err
	}
	b = append(b, `, "status": `...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, `, "created_on": `...)
	if r.CreatedOn != "" {
		b = pyjson.AppendString(b, r.CreatedOn)
	} else {
		b = append(b, '"')
		b = appendTimestamp(b, now)
		b = append(b, '"')
	}
	b = append(b, `, "disconnecting": `...)
	b = strconv.AppendBool(b, r.Disconnecting)
	b = append(b, `, "game": `...)
	b = appendTextOrNull(b, r.Game)
	return append(b, '}'), nil
}

// DecodeResponse reads a response from JSON text. Missing keys but message take their defaults and unknown
// ones are ignored. As in pgnet's client the types of the others are not checked (section 3.2): odd values are
// taken as Python takes them, and texts that are none stand as Python renders them. The payload refers to
// text, which must not be changed afterwards. Errors are of type *[MalformedError].
func DecodeResponse(text []byte) (Response, error) {
	var r Response
	hasMessage := false
	err := pyjson.Members(text, maxDepth, func(key, value []byte) error {
		switch string(key) {
		case "message":
			hasMessage = true
			r.Message = textOf(value)
		case "payload":
			r.Payload = Payload{raw: value}
		case "status":
			r.Status = statusOf(value)
		case "created_on":
			r.CreatedOn, _ = pyjson.Unquote(value)
		case "disconnecting":
			r.Disconnecting = truth(value)
		case "game":
			r.Game = ""
			if pyjson.KindOf(value) != pyjson.Null {
				r.Game = textOf(value)
			}
		}
		return nil
	})
	if err != nil {
		return Response{}, malformed(err)
	}
	if !hasMessage {
		return Response{}, &MalformedError{Reason: "message is missing"}
	}
	return r, nil
}

// textOf is a text, or a value in the place of one as Python renders it.
func textOf(raw []byte) string {
	if text, ok := pyjson.Unquote(raw); ok {
		return text
	}
	return string(pyjson.AppendRepr(nil, raw))
}

// statusOf is a status. Zero is what Python takes as equal to 0, and nothing else: false and 0.0 are. Numbers
// too large are the largest there are; what is no whole number counts as refused.
func statusOf(raw []byte) Status {
	switch pyjson.KindOf(raw) {
	case pyjson.Bool:
		if truth(raw) {
			return StatusBad
		}
		return StatusOK
	case pyjson.Int, pyjson.Float:
		var n int
		if pyjson.Bind(raw, &n) == nil {
			return Status(n)
		}
		f, err := strconv.ParseFloat(string(raw), 64) // with an error only for a number over its range
		switch {
		case err != nil && raw[0] == '-', f <= math.MinInt:
			return math.MinInt
		case err != nil, f >= math.MaxInt:
			return math.MaxInt
		case f == math.Trunc(f):
			return Status(f)
		}
	}
	return StatusUnexpected
}

// truth tells whether Python takes a value as true.
func truth(raw []byte) bool {
	switch pyjson.KindOf(raw) {
	case pyjson.Bool:
		return string(raw) == "true"
	case pyjson.Int, pyjson.Float:
		f, err := strconv.ParseFloat(string(raw), 64)
		return f != 0 || err != nil
	case pyjson.String:
		return len(raw) > len(`""`)
	case pyjson.Array, pyjson.Object:
		return len(pyjson.AppendRepr(nil, raw)) > len("[]")
	}
	return false
}

// DebugText is the response as pgnet's debug texts show it (section 7.4).
func (r Response) DebugText() string {
	game := "None"
	if r.Game != "" {
		game = pyjson.ReprString(r.Game)
	}
	disconnecting := "False"
	if r.Disconnecting {
		disconnecting = "True"
	}
	return "Response(message=" + pyjson.ReprString(r.Message) + ", status=" + itoa(int(r.Status)) +
		", created_on=" + pyjson.ReprString(r.CreatedOn) + ")(game=" + game +
		", disconnecting=" + disconnecting + ")+" + r.Payload.String()
}
