package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"parlor"
	"parlor/box"
)

// player is the raw client of a scenario: it shows every frame, and who closes.
type player struct {
	*testing.T
	lobby  *lobby
	name   string
	nc     net.Conn
	in     io.Reader
	key    *box.Key
	tunnel *box.Tunnel
	clear  bool      // the next answer is that of the key trade
	quiet  time.Time // before the last step that began a wait

	user     string // of the login that was sent
	loggedIn bool
}

// dial connects; key is the private key, or empty for a new one.
func (l *lobby) dial(t *testing.T, key string) *player {
	t.Helper()
	p := &player{T: t, lobby: l, quiet: time.Now(), clear: true}
	var err error
	if p.key, err = box.NewKey(); key != "" {
		p.key, err = box.ParseKey(key)
	}
	if err == nil {
		p.tunnel, err = p.key.Tunnel(l.key.Public())
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	nc, early, _, err := ws.Dial(ctx, "ws://"+l.address)
	if err != nil {
		t.Fatal(err)
	}
	p.nc, p.in = nc, nc
	if early != nil {
		p.in = early
	}
	t.Cleanup(func() { nc.Close() })
	return p
}

// deadline bounds the next step, not all that a player does: a scenario may be long.
func (p *player) deadline() error { return p.nc.SetDeadline(time.Now().Add(2 * patience)) }

func (p *player) write(op ws.OpCode, payload []byte) {
	p.Helper()
	p.quiet = time.Now()
	err := p.deadline()
	if err == nil {
		err = ws.WriteFrame(p.nc, ws.MaskFrame(ws.NewFrame(op, true, payload)))
	}
	if err != nil {
		p.Fatalf("%s: write: %v", p.name, err)
	}
}

func (p *player) seal(text string) string {
	nonce := box.Nonce()
	return string(p.tunnel.Append(nil, []byte(text), &nonce))
}

// ask sends a packet and returns the answer.
func (p *player) ask(text string) string {
	p.Helper()
	p.write(ws.OpText, []byte(p.seal(text)))
	return p.read(0)
}

// frame reads the next frame that is not a ping.
func (p *player) frame(step int) ws.Frame {
	p.Helper()
	for {
		var f ws.Frame
		err := p.deadline()
		if err == nil {
			f.Header, err = ws.ReadHeader(p.in)
		}
		if err == nil {
			f.Payload = make([]byte, f.Header.Length)
			_, err = io.ReadFull(p.in, f.Payload)
		}
		if err != nil {
			p.Fatalf("%s, frame %d: read: %v", p.name, step, err)
		}
		if !f.Header.Fin || f.Header.Masked || f.Header.Rsv != 0 {
			p.Fatalf("%s, frame %d: header %+v", p.name, step, f.Header)
		}
		if f.Header.OpCode != ws.OpPing {
			return f
		}
		p.write(ws.OpPong, f.Payload)
	}
}

// read reads the next answer: in clear in the key trade, then sealed.
func (p *player) read(step int) string {
	p.Helper()
	f := p.frame(step)
	if f.Header.OpCode != ws.OpText {
		p.Fatalf("%s, frame %d: frame with opcode %d and payload %q, want text", p.name, step, f.Header.OpCode, f.Payload)
	}
	if p.clear {
		p.clear = false
		return string(f.Payload)
	}
	text, _, err := p.tunnel.Open(nil, f.Payload)
	if err != nil {
		p.Fatalf("%s, frame %d: %v", p.name, step, err)
	}
	return string(text)
}

// noteLogin remembers whose login was sent.
func (p *player) noteLogin(text string) {
	var packet struct{ Payload struct{ Username any } }
	if !p.loggedIn && json.Unmarshal([]byte(text), &packet) == nil {
		if user, ok := packet.Payload.Username.(string); ok {
			p.user = user
		}
	}
}

func (p *player) noteAnswer(text string) {
	if strings.Contains(text, `"`+parlor.MessageAuthenticated+`"`) {
		p.loggedIn = true
	}
}

// close closes as clients do: the server answers with the same code, and ends the connection.
func (p *player) close(step int, code ws.StatusCode) {
	p.Helper()
	p.write(ws.OpClose, ws.NewCloseFrameBody(code, ""))
	p.expectCloseFrame(step, code)
	p.ended(step)
}

// expectClose waits for the server to close, and answers.
func (p *player) expectClose(step int, code ws.StatusCode) {
	p.Helper()
	p.expectCloseFrame(step, code)
	if err := ws.WriteFrame(p.nc, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))); err != nil {
		p.Fatalf("%s, frame %d: %v", p.name, step, err)
	}
	p.ended(step)
}

func (p *player) expectCloseFrame(step int, code ws.StatusCode) {
	p.Helper()
	f := p.frame(step)
	if f.Header.OpCode != ws.OpClose {
		text, _, _ := p.tunnel.Open(nil, f.Payload)
		p.Fatalf("%s, frame %d: frame with opcode %d and text %q, want close with code %d", p.name, step, f.Header.OpCode, text, code)
	}
	if got, reason := ws.ParseCloseFrameData(f.Payload); got != code || reason != "" {
		p.Fatalf("%s, frame %d: close with code %d and reason %q, want %d", p.name, step, got, reason, code)
	}
}

// ended waits for the end of the socket, and of the session.
func (p *player) ended(step int) {
	p.Helper()
	if _, err := p.in.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		p.Errorf("%s, frame %d: after the close: %v, want EOF", p.name, step, err)
	}
	p.nc.Close()
	if p.loggedIn {
		p.lobby.waitGone(p.user)
	}
}
