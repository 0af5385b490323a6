package main

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"parlor"
	"parlor/internal/pyjson"
)

// keyWidth is how wide the keys of a payload are printed, in characters.
const keyWidth = 20

// appendRequest appends what is printed of a request (section 14); one that is not sent waits for the connection.
func appendRequest(b []byte, p parlor.Packet, sent bool) []byte {
	b = append(b, p.DebugText()...)
	if sent {
		b = append(b, "\n    SENT: "...)
	} else {
		b = append(b, "\n WAITING: "...)
	}
	b = append(b, p.CreatedOn...)
	return append(b, '\n')
}

// appendAnswer appends what is printed of the answer to a request. Text from the server is made visible:
// a line that is printed is a line of this format.
func appendAnswer(b []byte, r parlor.Response, received time.Time) []byte {
	b = append(b, "RECEIVED: "...)
	b = append(b, parlor.Timestamp(received)...)
	b = append(b, '\n')
	b = append(b, r.DebugText()...)
	b = append(b, '\n')
	b = append(b, strings.Repeat("-", keyWidth)...)
	b = append(b, "\nMESSAGE:  "...)
	b = append(b, visible(r.Message)...)
	b = append(b, '\n')
	b = appendPayload(b, r.Payload)
	b = append(b, strings.Repeat("=", keyWidth)...)
	return append(b, '\n')
}

// appendPayload appends a line for each member of a payload. A payload that is no object, which pgnet's
// servers may send, stands on one line without a key.
func appendPayload(b []byte, p parlor.Payload) []byte {
	raw, err := p.AppendPyJSON(nil)
	if err != nil || p.Empty() {
		return b
	}
	b = append(b, "PAYLOAD:\n"...)
	if !p.IsObject() {
		return appendMember(b, "", raw)
	}
	_ = pyjson.Members(raw, maxDepth, func(key, value []byte) error {
		b = appendMember(b, string(key), value)
		return nil
	})
	return b
}

// maxDepth is beyond the nesting of any payload that was accepted.
const maxDepth = 1 << 10

// appendMember appends one line of a payload: text as it is, and other values as Python renders them.
func appendMember(b []byte, key string, value []byte) []byte {
	key = visible(key)
	b = append(b, strings.Repeat(" ", max(0, keyWidth-utf8.RuneCountInString(key)))...)
	b = append(b, key...)
	b = append(b, " : "...)
	if text, ok := pyjson.Unquote(value); ok {
		b = append(b, visible(text)...)
	} else {
		b = pyjson.AppendRepr(b, value)
	}
	return append(b, '\n')
}

// visible escapes control characters and whatever else does not show, so that a hostile server can neither
// send escape sequences to the terminal nor lines that look like ours.
func visible(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0]), 16))
		case unicode.IsGraphic(r):
			b.WriteString(s[:size])
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

// appendEvent appends a line of news, such as a status text.
func appendEvent(b []byte, what, text string) []byte {
	b = append(b, what...)
	b = append(b, ": "...)
	b = append(b, visible(text)...)
	return append(b, '\n')
}
