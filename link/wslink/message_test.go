//go:build !js

package wslink_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/gobwas/ws"

	"parlor"
	"parlor/link/wslink"
)

func toUTF16(order binary.AppendByteOrder, text []byte) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(string(text))) {
		b = order.AppendUint16(b, u)
	}
	return b
}

// TestBinaryKeyTrade: section 2.3.
func TestBinaryKeyTrade(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	for name, encode := range map[string]func([]byte) []byte{
		"UTF-8":                  func(b []byte) []byte { return b },
		"UTF-16LE":               func(b []byte) []byte { return toUTF16(binary.LittleEndian, b) },
		"UTF-16BE":               func(b []byte) []byte { return toUTF16(binary.BigEndian, b) },
		"UTF-16LE with its mark": func(b []byte) []byte { return append([]byte{0xFF, 0xFE}, toUTF16(binary.LittleEndian, b)...) },
		"UTF-16BE with its mark": func(b []byte) []byte { return append([]byte{0xFE, 0xFF}, toUTF16(binary.BigEndian, b)...) },
	} {
		t.Run(name, func(t *testing.T) {
			p := w.upgrade(t)
			p.message(ws.OpBinary, encode([]byte(`{"message": "é😀", "payload": {"pubkey": "`+p.key.Public()+`"}}`)))
			p.expectClear(w)
			p.send(loginText("alice"))
			p.answer()
			p.works()
			p.message(ws.OpBinary, p.seal(`{"message": "x"}`)) // counts as undecryptable after the key trade
			p.expectClose(1000, "")
		})
	}
}

// TestFragments: messages in many pieces, with pings between them.
func TestFragments(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	p := w.upgrade(t)
	fragments := func(text []byte, size int) (pings int) {
		op := ws.OpText
		for len(text) > size {
			p.write(frame(op, false, text[:size]))
			p.write(frame(ws.OpPing, true, []byte{byte(pings)}))
			op, text, pings = ws.OpContinuation, text[size:], pings+1
			if f := p.read(); f.Header.OpCode != ws.OpPong || len(f.Payload) != 1 || f.Payload[0] != byte(pings-1) {
				t.Fatalf("ping %d answered with opcode %d and payload %q", pings-1, f.Header.OpCode, f.Payload)
			}
		}
		p.write(frame(ws.OpContinuation, false, nil))
		p.write(frame(ws.OpContinuation, true, text))
		return pings
	}
	if n := fragments(p.trade(), 7); n < 5 {
		t.Fatalf("%d fragments", n)
	}
	p.expectClear(w)
	fragments(p.seal(loginText("alice")), 50)
	p.answer()
	fragments(p.seal(`{"message": "echo", "payload": "`+strings.Repeat("x", 100_000)+`"}`), 30_000)
	if r := p.answer(); len(r.Payload.JSON()) != 100_002 {
		t.Errorf("answered with %d bytes", len(r.Payload.JSON()))
	}
}

// TestSizes: section 2.3.
func TestSizes(t *testing.T) {
	t.Parallel()
	const most = 786_392
	packet := func(size int) string {
		const empty = `{"message": ""}`
		return empty[:len(empty)-2] + strings.Repeat("x", size-len(empty)) + `"}`
	}
	t.Run("the largest packet", func(t *testing.T) {
		w := start(t, wslink.Config{})
		p := w.login(t, "alice")
		p.send(packet(most))
		if r := p.answer(); r.Message != "message larger than the peer accepts" { // as the echo would be
			t.Errorf("answered with %.50q", r.Message)
		}
	})
	t.Run("a byte more", func(t *testing.T) {
		w := start(t, wslink.Config{})
		p := w.login(t, "alice")
		text := p.seal(packet(most + 1))
		if len(text) != 1<<20+4 {
			t.Fatalf("%d bytes", len(text))
		}
		p.message(ws.OpText, text)
		p.expectClose(1009, "")
		w.lobby.waitClosed(t, "alice")
		if w.Stats().TooLarge.Load() != 1 {
			t.Error("not counted")
		}
	})
	t.Run("a byte more in fragments", func(t *testing.T) {
		w := start(t, wslink.Config{})
		p := w.login(t, "alice")
		text := p.seal(packet(most + 1))
		p.write(frame(ws.OpText, false, text[:1<<19]))
		p.write(frame(ws.OpContinuation, false, text[1<<19:1<<20]))
		p.write(frame(ws.OpContinuation, true, text[1<<20:]))
		p.expectClose(1009, "")
	})
	t.Run("responses", func(t *testing.T) {
		w := start(t, wslink.Config{})
		p := w.login(t, "alice")
		p.send(fmt.Sprintf(`{"message": "large", "payload": {"n": %d}}`, most))
		if f := p.data(); len(f) != 1<<20 {
			t.Errorf("frame of %d bytes", len(f))
		}
		p.send(fmt.Sprintf(`{"message": "large", "payload": {"n": %d}}`, most+1))
		if r := p.answer(); r.Message != "message larger than the peer accepts" {
			t.Errorf("answered with %.50q", r.Message)
		}
	})
	t.Run("before the login", func(t *testing.T) {
		w := start(t, wslink.Config{LoginSize: 1000})
		for _, size := range []int{1001, 3 << 20} { // the second is more than the sockets take
			p := w.upgrade(t)
			go p.nc.Write(frame(ws.OpText, true, make([]byte, size))) // ends with the connection
			p.expectClose(1009, "")
			p = w.connect(t)
			p.send(packet(1000))
			p.expectClose(1009, "")
		}
	})
	t.Run("before the login, by default", func(t *testing.T) {
		w := start(t, wslink.Config{})
		for _, size := range []int{20_000, 1 << 20} {
			p := w.upgrade(t)
			p.message(ws.OpText, p.largeTrade(size))
			p.expectClear(w)
			p.send(loginText(`alice", "x": "` + strings.Repeat("x", 20_000)))
			p.send(packet(500_000)) // without waiting
			p.answer()
			if r := p.answer(); len(r.Message) != 500_000-len(`{"message": ""}`) {
				t.Errorf("answered with %.50q", r.Message)
			}
		}
		p := w.upgrade(t)
		p.message(ws.OpText, p.largeTrade(1<<20+1))
		p.expectClose(1009, "")
	})
	t.Run("after a login that is accepted late", func(t *testing.T) {
		w := start(t, wslink.Config{LoginSize: 1000})
		p := w.login(t, "later")
		p.send(packet(500_000))
		if r := p.answer(); len(r.Message) != 500_000-len(`{"message": ""}`) {
			t.Errorf("answered with %.50q", r.Message)
		}
	})
}

// largeTrade is a key trade of so many bytes.
func (p *peer) largeTrade(size int) []byte {
	text := `{"message": "key_trade", "payload": {"pubkey": "` + p.key.Public() + `", "x": "`
	return []byte(text + strings.Repeat("x", size-len(text)-len(`"}}`)) + `"}}`)
}

// TestStrangersSize: what connections hold before their logins is bounded for all of them together, and
// ordinary logins always have room.
func TestStrangersSize(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{StrangersSize: 100_000})
	large := func() *peer {
		p := w.upgrade(t)
		p.message(ws.OpText, p.largeTrade(16<<10+60_000))
		return p
	}
	const refused = "limit of bytes before logins; try again later"
	first, gone := large(), w.upgrade(t)
	first.expectClear(w)
	large().expectClose(1008, refused)
	gone.message(ws.OpText, gone.largeTrade(200_000))
	gone.expectClose(1008, refused)
	if n := w.Stats().Strangers.Load(); n != 2 {
		t.Errorf("%d counted, want 2", n)
	}
	w.login(t, "bobby").works()
	first.send(loginText("alice")) // which makes room
	first.answer()
	second := large()
	second.expectClear(w)
	second.message(ws.OpClose, []byte{3, 232}) // so does the end
	second.expectClose(1000, "")
	w.lobby.waitClosed(t, "")
	third := large()
	third.expectClear(w)
	first.works()
}

// TestDeclaredLength: a length that is only declared takes no memory.
func TestDeclaredLength(t *testing.T) {
	w := start(t, wslink.Config{})
	const users = 50
	head := frame(ws.OpText, true, make([]byte, 1<<20))[:14+100]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range users {
		p := w.login(t, "alice")
		p.write(head)
		p.nc.Close()
		w.lobby.waitClosed(t, "alice")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > users*(256<<10) {
		t.Errorf("%d bytes for %d frames", took, users)
	}
	for _, length := range []uint64{1<<20 + 1, 1 << 40, math.MaxInt64} {
		p := w.login(t, "alice")
		p.write(binary.BigEndian.AppendUint64([]byte{0x81, 0xFF}, length))
		p.write([]byte{1, 2, 3, 4, 5, 6})
		p.lost = true
		p.expectClose(1009, "")
	}
}

// TestViolations: breaches of RFC 6455.
func TestViolations(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	first := func(b byte, f []byte) []byte { f[0] = b; return f }
	cases := map[string][]byte{
		"unmasked":                       {0x81, 0x02, '{', '}'},
		"compressed":                     first(0xC1, frame(ws.OpText, true, []byte("x"))),
		"reserved opcode":                first(0x83, frame(ws.OpText, true, []byte("x"))),
		"reserved control":               first(0x8B, frame(ws.OpText, true, []byte("x"))),
		"continuation of nothing":        frame(ws.OpContinuation, true, []byte("x")),
		"text inside of a message":       append(frame(ws.OpText, false, []byte("x")), frame(ws.OpText, true, []byte("x"))...),
		"fragmented ping":                frame(ws.OpPing, false, []byte("x")),
		"long ping":                      frame(ws.OpPing, true, make([]byte, 126)),
		"length with the top bit":        append([]byte{0x81, 0xFF}, bytes.Repeat([]byte{0xFF}, 12)...),
		"close with a byte":              frame(ws.OpClose, true, []byte{3}),
		"close with a code that is none": frame(ws.OpClose, true, ws.NewCloseFrameBody(1005, "")),
		"close with text that is none":   frame(ws.OpClose, true, ws.NewCloseFrameBody(1000, "\xff")),
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			for _, p := range []*peer{w.login(t, "alice"), w.upgrade(t)} {
				p.write(b)
				p.lost = !p.closes
				p.expectClose(1002, "")
			}
		})
	}
	if n := w.Stats().Violations.Load(); n != 2*int64(len(cases)-3) {
		t.Errorf("%d counted", n)
	}
}

func TestCloseCodes(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	for code, want := range map[ws.StatusCode]ws.StatusCode{0: 1000, 1000: 1000, 1001: 1001, 1011: 1011, 3000: 3000, 4999: 4999} {
		p := w.login(t, "alice")
		var body []byte
		if code != 0 {
			body = ws.NewCloseFrameBody(code, "bye")
		}
		p.write(frame(ws.OpClose, true, body))
		p.expectClose(want, "")
		w.lobby.waitClosed(t, "alice")
	}
	p := w.login(t, "alice")
	p.send(`{"message": "policy"}`)
	p.expectClose(1008, "limit of patience")
}

// TestBeforeLogin: section 5.5.
func TestBeforeLogin(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	for _, text := range []string{``, `{nope`, `[]`, `{"payload": {}}`, "\ufeff{}"} {
		p := w.upgrade(t)
		p.message(ws.OpText, []byte(text))
		p.expectClose(1011, "")
		p = w.connect(t)
		p.send(text)
		p.expectClose(1011, "")
	}
	for _, text := range []string{"\xff\xfe", "{\"message\": \"\xff\"}"} { // no UTF-8
		for op, code := range map[ws.OpCode]ws.StatusCode{ws.OpText: 1007, ws.OpBinary: 1011} { // as pgnet's library does
			p := w.upgrade(t)
			p.message(op, []byte(text))
			p.expectClose(code, "")
		}
		p := w.connect(t)
		p.send(text)
		p.expectClose(1011, "")
	}
	for _, text := range []string{``, `AAAA`, `%%%`, loginText("alice")} {
		p := w.connect(t)
		p.message(ws.OpText, []byte(text))
		p.expectClose(1000, "")
	}
	for _, payload := range []string{`{}`, `{"pubkey": ""}`, `{"pubkey": 5}`, `{"pubkey": "!!!"}`, `{"pubkey": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`, `null`} {
		p := w.upgrade(t)
		p.message(ws.OpText, []byte(`{"message": "key_trade", "payload": `+payload+`}`))
		r, err := parlor.DecodeResponse(p.data())
		if err != nil || r.Message != "Missing public key string." || r.Status != parlor.StatusBad || !r.Disconnecting || !r.Payload.Empty() {
			t.Errorf("%s: %+v, error %v", payload, r, err)
		}
		p.expectClose(1000, "")
	}
}

func TestMalformedAfterLogin(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	p := w.login(t, "alice")
	p.send(`{nope`)
	if r := p.answer(); r.Status != parlor.StatusUnexpected {
		t.Errorf("%+v", r)
	}
	p.works()
	p.message(ws.OpText, []byte("AAAA"))
	p.expectClose(1000, "")
	if w.Stats().Undecrypted.Load() != 1 {
		t.Error("not counted")
	}
}

// TestLastRefusal: a refusal arrives although the client has sent much that nobody reads.
func TestLastRefusal(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	for i, after := range [][]byte{
		bytes.Repeat(frame(ws.OpText, true, make([]byte, 10_000)), 300),
		frame(ws.OpText, true, make([]byte, 3_000_000)),
		bytes.Repeat(frame(ws.OpText, false, make([]byte, 10_000)), 300),
	} {
		p := w.connect(t)
		all := frame(ws.OpText, true, p.seal(`{"message": "handshake"}`))
		p.write(append(all, after...))
		if r := p.answer(); r.Message != "Missing non-empty username." {
			t.Errorf("answered with %q", r.Message)
		}
		p.lost = i == 2 // a text begins inside of another
		p.expectClose(1000, "")
		w.lobby.waitClosed(t, "")
	}
	p := w.upgrade(t)
	junk := make([]byte, 100_000)
	rand.Read(junk)
	p.write(append(frame(ws.OpText, true, []byte(`{nope`)), junk...))
	p.lost = true
	p.expectClose(1011, "")
}

// TestPongsCount: pongs that take the place of others count as what they are.
func TestPongsCount(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][]int{{0, 125}, {125, 0}, {3, 70, 20}} {
		last := sizes[len(sizes)-1]
		if counted, waiting := wslink.Pongs(sizes...); counted != last || waiting != last {
			t.Errorf("after pings of %v bytes %d are counted and %d wait, want %d", sizes, counted, waiting, last)
		}
	}
}
