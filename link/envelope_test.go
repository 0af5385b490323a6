package link_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"parlor"
	"parlor/link"
	"parlor/msgpack"
)

// failer is a test, or one case of it.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// text is all that an envelope says. A JSON null is another payload than none.
func text(e link.Envelope) string {
	payload, err := e.Payload.AppendPyJSON(nil)
	return fmt.Sprintf("%v ack %d seq %d id %d %v %t game %q: %q %s %v", e.Kind, e.Ack, e.Seq, e.ID, e.Status, e.Disconnecting,
		e.Game, e.Message, payload, err)
}

func appendEnvelope(t failer, b []byte, e link.Envelope) []byte {
	t.Helper()
	b, err := e.Append(b)
	if err != nil {
		t.Fatalf("%s: %v", text(e), err)
	}
	return b
}

func decodeEnvelope(t failer, b []byte) link.Envelope {
	t.Helper()
	e, rest, err := link.DecodeEnvelope(b, msgpack.Limits{})
	if err != nil || len(rest) > 0 {
		t.Fatalf("%x: %x is left, error %v", b, rest, err)
	}
	return e
}

func TestVectors(t *testing.T) {
	for _, c := range readVectors(t).Envelopes {
		t.Run(c.Name, func(t *testing.T) {
			want, b := c.envelope(t), c.bytes(t)
			if got := decodeEnvelope(t, b); text(got) != text(want) {
				t.Errorf("got  %s\nwant %s", text(got), text(want))
			}
			if got := appendEnvelope(t, nil, want); !bytes.Equal(got, c.written(t)) {
				t.Errorf("wrote %x, want %x", got, c.written(t))
			}
			checkDecode(t, b)
		})
	}
}

func TestRefused(t *testing.T) {
	for _, c := range readVectors(t).Refused {
		t.Run(c.Name, func(t *testing.T) {
			b := c.bytes(t)
			_, _, err := link.DecodeEnvelope(b, msgpack.Limits{})
			if !errors.Is(err, link.ErrEnvelope) || !strings.Contains(err.Error(), c.Says) {
				t.Errorf("got %v, want %q", err, c.Says)
			}
			checkDecode(t, b)
		})
	}
}

// A payload that has no form in JSON leaves the rest of its envelope to be had, and what follows.
func TestPayloadWithoutForm(t *testing.T) {
	for _, c := range readVectors(t).Payloads {
		t.Run(c.Name, func(t *testing.T) {
			b := c.bytes(t)
			e, rest, err := link.DecodeEnvelope(append(b, 1, 2, 3), msgpack.Limits{})
			if err == nil || errors.Is(err, link.ErrEnvelope) || !strings.Contains(err.Error(), c.Says) {
				t.Errorf("got %v, want %q", err, c.Says)
			}
			if text(e) != text(c.envelope(t)) || !bytes.Equal(rest, []byte{1, 2, 3}) {
				t.Errorf("got %s, and %x is left", text(e), rest)
			}
			checkDecode(t, b)
		})
	}
}

// checkDecode checks all that DecodeEnvelope promises for some bytes, which may be no envelope. It tells if they are one.
func checkDecode(t failer, b []byte) bool {
	t.Helper()
	before := bytes.Clone(b)
	e, rest, err := link.DecodeEnvelope(b, msgpack.Limits{})
	if !bytes.Equal(before, b) {
		t.Fatalf("%x was changed to %x", before, b)
	}
	want, refused := model(b)
	if refused != errors.Is(err, link.ErrEnvelope) {
		t.Fatalf("%x: error %v, the model refuses it: %t", b, err, refused)
	}
	if refused {
		if text(e) != text(link.Envelope{}) || !bytes.Equal(rest, b) {
			t.Fatalf("%x: got %s, and %x is left, with error %v", b, text(e), rest, err)
		}
		return false
	}
	n, firstErr := msgpack.First(b, msgpack.Limits{Depth: msgpack.DefaultDepth + 1})
	if firstErr != nil || !bytes.Equal(rest, b[n:]) {
		t.Fatalf("%x: %x is left, error %v", b, rest, firstErr)
	}
	if text(e) != text(want) {
		t.Fatalf("%x:\ngot  %s\nwant %s", b, text(e), text(want))
	}
	if err != nil {
		return false // the payload has no form
	}
	again := appendEnvelope(t, nil, e)
	if got := decodeEnvelope(t, again); text(got) != text(e) {
		t.Fatalf("%x: %s was written as %x and became %s", b, text(e), again, text(got))
	}
	return true
}

// model reads an envelope in another way: all of it at first, and then the elements.
func model(b []byte) (e link.Envelope, refused bool) {
	n, err := msgpack.First(b, msgpack.Limits{Depth: msgpack.DefaultDepth + 1})
	if err != nil {
		return e, true
	}
	var list []msgpack.Raw
	if b[0] < 0x80 || msgpack.Unmarshal(b[:n], &list, msgpack.Limits{Depth: msgpack.DefaultDepth + 1}) != nil || len(list) == 0 {
		return e, true
	}
	var kind uint64
	bad := msgpack.Unmarshal(list[0], &kind, msgpack.Limits{}) != nil
	fields := map[uint64][]any{
		0: {&kind, &e.Ack, &e.ID, &e.Message},
		1: {&kind, &e.Ack, &e.Seq, &e.ID, &e.Status, &e.Disconnecting, &e.Game, &e.Message},
		2: {&kind, &e.Ack, &e.Seq, &e.Game, &e.Message},
		3: {&kind, &e.Ack},
	}[kind]
	if bad || fields == nil || len(list) < len(fields) || kind != 3 && len(list) == len(fields) {
		return e, true
	}
	for i, field := range fields {
		if field == &e.Game && bytes.Equal(list[i], []byte{0xc0}) {
			continue
		}
		if msgpack.Unmarshal(list[i], field, msgpack.Limits{}) != nil {
			return e, true
		}
	}
	e.Kind = link.Kind(kind)
	if kind != 3 {
		e.Payload, _ = parlor.ParseMsgPack(list[len(fields)])
	}
	return e, false
}

// What is cut off is no envelope, and no byte that is another makes the reader panic, or take what cannot be written again.
func TestEveryTruncationAndMutation(t *testing.T) {
	mutated, valid := 0, 0
	var buf []byte
	for _, b := range readVectors(t).all(t) {
		for n := range b {
			if _, _, err := link.DecodeEnvelope(b[:n], msgpack.Limits{}); !errors.Is(err, link.ErrEnvelope) {
				t.Fatalf("%x, cut off behind %d bytes: error %v", b, n, err)
			}
		}
		for i := range b {
			was := b[i]
			for c := range 256 {
				b[i] = byte(c)
				mutated++
				e, _, err := link.DecodeEnvelope(b, msgpack.Limits{})
				if err == nil {
					valid++
					buf = appendEnvelope(t, buf[:0], e)
				}
				if mutated%17 == 0 { // to check all of them takes most of a minute
					checkDecode(t, b)
				}
			}
			b[i] = was
		}
	}
	t.Logf("of %d mutations %d are envelopes", mutated, valid)
}

func TestWhatFollowsIsLeft(t *testing.T) {
	for _, c := range readVectors(t).Envelopes {
		for _, more := range []string{"00", "c1", "920300", "95"} {
			b := append(c.bytes(t), unhex(t, more)...)
			e, rest, err := link.DecodeEnvelope(b, msgpack.Limits{})
			if err != nil || text(e) != text(c.envelope(t)) || !bytes.Equal(rest, unhex(t, more)) {
				t.Errorf("%s, with %s behind it: got %s, %x is left, error %v", c.Name, more, text(e), rest, err)
			}
		}
	}
}

func TestNothingIsKept(t *testing.T) {
	for _, c := range readVectors(t).Envelopes {
		b := c.bytes(t)
		e := decodeEnvelope(t, b)
		clear(b)
		if text(e) != text(c.envelope(t)) {
			t.Errorf("%s: became %s", c.Name, text(e))
		}
	}
}

// nested is a request whose payload nests so deep.
func nested(depth int) []byte {
	b := append([]byte{0x95, 0, 0, 1, 0xa0}, bytes.Repeat([]byte{0x91}, depth-1)...)
	return append(b, 0x90)
}

func TestDepth(t *testing.T) {
	for _, c := range []struct {
		name      string
		depth     int
		lim       msgpack.Limits
		tooDeep   bool
		noPayload bool
	}{
		{"one", 1, msgpack.Limits{}, false, false},
		{"as deep as a payload may be", 128, msgpack.Limits{}, false, false},
		{"one deeper", 129, msgpack.Limits{}, true, false},
		{"100,000", 100_000, msgpack.Limits{}, true, false},
		{"the caller's depth", 5, msgpack.Limits{Depth: 5}, false, false},
		{"one deeper than that", 6, msgpack.Limits{Depth: 5}, true, false},
		{"the caller allows more than payloads have", 129, msgpack.Limits{Depth: math.MaxInt}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, _, err := link.DecodeEnvelope(nested(c.depth), c.lim)
			if c.tooDeep {
				if !errors.Is(err, link.ErrEnvelope) || !errors.Is(err, msgpack.ErrDepth) {
					t.Errorf("got %v", err)
				}
				return
			}
			if (err != nil) != c.noPayload || errors.Is(err, link.ErrEnvelope) || e.ID != 1 {
				t.Fatalf("got %s, error %v", text(e), err)
			}
			if err == nil && !bytes.Equal(appendEnvelope(t, nil, e), nested(c.depth)) {
				t.Errorf("written as %x", appendEnvelope(t, nil, e))
			}
		})
	}
}

func TestLimits(t *testing.T) {
	request := unhex(t, "95 00 00 01 a46d6f7665 82a17801a17902") // 5 elements and 4 within, 16 bytes
	for _, c := range []struct {
		name string
		lim  msgpack.Limits
		want error
	}{
		{"none", msgpack.Limits{}, nil},
		{"bytes", msgpack.Limits{Bytes: len(request)}, nil},
		{"a byte less", msgpack.Limits{Bytes: len(request) - 1}, msgpack.ErrBytes},
		{"elements", msgpack.Limits{Elements: 9}, nil},
		{"an element less", msgpack.Limits{Elements: 8}, msgpack.ErrElements},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, b := range [][]byte{request, append(bytes.Clone(request), make([]byte, 100)...)} { // of one envelope, whatever follows
				_, _, err := link.DecodeEnvelope(b, c.lim)
				if !errors.Is(err, c.want) || (err != nil) != errors.Is(err, link.ErrEnvelope) {
					t.Errorf("%d bytes: got %v, want %v", len(b), err, c.want)
				}
				if limit, ok := errors.AsType[*msgpack.LimitError](err); ok != (c.want != nil) || ok && limit.Max == 0 {
					t.Errorf("%d bytes: %v does not name the limit", len(b), err)
				}
			}
		})
	}
}

func TestStatusOfAnInt(t *testing.T) {
	for _, status := range []parlor.Status{0, 1, -1, -32, -33, 127, 128, math.MaxInt32, math.MinInt32, math.MaxInt, math.MinInt} {
		e := link.Envelope{Kind: link.KindAnswer, Status: status}
		if got := decodeEnvelope(t, appendEnvelope(t, nil, e)); got.Status != status {
			t.Errorf("%d became %d", status, got.Status)
		}
	}
}

func TestHeadAndBody(t *testing.T) {
	for _, c := range readVectors(t).Envelopes {
		e := c.envelope(t)
		b, err := e.AppendHead([]byte("<"))
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != link.KindNote {
			body, err := link.AppendBody(nil, e.Message, e.Payload)
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, body...)
		}
		if want := append([]byte("<"), c.written(t)...); !bytes.Equal(b, want) {
			t.Errorf("%s: got %x, want %x", c.Name, b, want)
		}
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	huge, err := parlor.ParsePayload([]byte(`{"n": 18446744073709551616}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		is         error
		e          link.Envelope
	}{
		{"a kind that there is not", "unknown kind 4", link.ErrEnvelope, link.Envelope{Kind: 4}},
		{"a message that is no UTF-8", "message: ", msgpack.ErrUTF8, link.Envelope{Message: "\xff"}},
		{"a game that is no UTF-8", "game: ", msgpack.ErrUTF8, link.Envelope{Kind: link.KindPush, Game: "\xff"}},
		{"a payload that MessagePack does not have", "payload.n: ", nil, link.Envelope{Payload: huge}},
		{"a payload that could not be encoded", "encode payload", nil, link.Envelope{Payload: parlor.Encode(make(chan int))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := c.e.Append([]byte("<"))
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) || string(b) != "<" {
				t.Errorf("got %q, error %v", b, err)
			}
		})
	}
}

func TestKindString(t *testing.T) {
	if got := fmt.Sprint(link.KindRequest, link.KindAnswer, link.KindPush, link.KindNote, link.Kind(9)); got != "request answer push note Kind(9)" {
		t.Errorf("got %s", got)
	}
}
