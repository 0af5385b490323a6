//go:build !js

package wslink

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"unicode/utf16"

	"github.com/gobwas/ws"

	"parlor/link"
)

// errPeerClosed ends the reading: the other side has sent a close frame, and was answered.
var errPeerClosed = errors.New("closed by the other side")

// errStrangers is the limit of Config.StrangersSize.
var errStrangers = &link.CloseError{Code: link.ClosePolicy, Reason: "limit of bytes before logins; try again later"}

// readChunk is how much space is taken for a frame at a time: a declared length is not believed before the
// bytes are here.
const readChunk = 32 << 10

// readMessage reads one data message into buf, however it is fragmented, and answers control frames on the
// way. Errors are link.ErrTooLarge, errStrangers, ws.ProtocolError, errPeerClosed, or the socket's.
func (c *conn) readMessage(buf *buffer) (op ws.OpCode, err error) {
	state := ws.StateServerSide
	for {
		h, err := c.readHeader(state)
		if err != nil {
			return 0, err
		}
		if h.OpCode.IsControl() {
			if err := c.readControl(h); err != nil {
				return 0, err
			}
			continue
		}
		c.begun.CompareAndSwap(0, c.srv.clock.Load()+1)
		if h.Length > int64(c.limit()-len(buf.b)) {
			c.skip = h.Length
			return 0, link.ErrTooLarge
		}
		if err := c.readPayload(buf, h); err != nil {
			return 0, err
		}
		if h.OpCode != ws.OpContinuation {
			op = h.OpCode
		}
		if h.Fin {
			c.begun.Store(0)
			return op, nil
		}
		state = state.Set(ws.StateFragmented)
	}
}

// limit is how long a message may be. The login may be accepted while the next message is waited for.
func (c *conn) limit() int {
	if c.accepted.Load() {
		return c.srv.cfg.MessageSize
	}
	return c.srv.cfg.LoginSize
}

// readHeader reads the next frame's header and checks that the frame may come now.
func (c *conn) readHeader(state ws.State) (ws.Header, error) {
	h, err := ws.ReadHeaderBuffer(c.br, c.head[:])
	if errors.Is(err, ws.ErrHeaderLengthMSB) {
		err = ws.ProtocolError(err.Error())
	}
	if err == nil {
		err = ws.CheckHeader(h, state)
	}
	if err == nil {
		c.heard.Store(c.srv.clock.Load())
		c.pinged.Store(false)
	}
	return h, err
}

// readPayload appends a frame's payload, unmasked.
func (c *conn) readPayload(buf *buffer, h ws.Header) error {
	start := len(buf.b)
	for left := int(h.Length); left > 0; {
		n := min(left, readChunk)
		at := len(buf.b)
		if over := min(n, at+n-usualLogin); over > 0 && !c.accepted.Load() && !c.srv.hold(c, over) {
			c.skip = int64(left)
			return errStrangers
		}
		buf.b = slices.Grow(buf.b, n)[:at+n]
		if _, err := io.ReadFull(c.br, buf.b[at:]); err != nil {
			return err
		}
		left -= n
	}
	ws.Cipher(buf.b[start:], h.Mask, 0)
	return nil
}

// readControl reads and answers a control frame.
func (c *conn) readControl(h ws.Header) error {
	var space [ws.MaxControlFramePayloadSize]byte
	payload := space[:h.Length]
	if _, err := io.ReadFull(c.br, payload); err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPing:
		c.control(ws.OpPong, payload)
	case ws.OpClose:
		c.peerClosed = true
		m := closeMessage(closeCode(payload), "")
		m.answers = true
		c.enqueue(m)
		return errPeerClosed
	}
	return nil
}

// closeCode is the code to answer a close frame with: its own, if it has one and is well-formed.
func closeCode(payload []byte) link.Code {
	if len(payload) == 0 {
		return link.CloseNormal
	}
	if len(payload) == 1 {
		return link.CloseProtocol
	}
	code := ws.StatusCode(binary.BigEndian.Uint16(payload))
	if ws.CheckCloseFrameData(code, string(payload[2:])) != nil {
		return link.CloseProtocol
	}
	return link.Code(code)
}

// drain reads on after a close, until the other side answers it or the time for that is over. Closing a
// socket with unread input would reset it, and cost the peer our last message.
func (c *conn) drain() {
	for !c.peerClosed {
		if _, err := io.CopyN(io.Discard, c.br, c.skip); err != nil {
			return
		}
		c.skip = 0
		h, err := c.readHeader(ws.StateServerSide)
		var violation ws.ProtocolError
		switch {
		case errors.Is(err, ws.ErrProtocolContinuationUnexpected): // of a message that was not read to its end
			c.skip = h.Length
		case errors.As(err, &violation): // where the next frame begins is anyone's guess
			c.skip = math.MaxInt64
		case err != nil:
			return
		case h.OpCode.IsControl():
			if c.readControl(h) != nil {
				return
			}
		default:
			c.skip = h.Length
		}
	}
}

// fromUTF16 turns JSON text in UTF-16 into UTF-8, and leaves other text alone. Like Python's reader it goes
// by the byte order mark, or by where the zeros of the first two characters are.
func fromUTF16(b []byte) []byte {
	if len(b) < 4 || len(b)%2 != 0 {
		return b
	}
	var order binary.ByteOrder
	switch {
	case b[0] == 0xFF && b[1] == 0xFE:
		order, b = binary.LittleEndian, b[2:]
	case b[0] == 0xFE && b[1] == 0xFF:
		order, b = binary.BigEndian, b[2:]
	case b[0] == 0 && b[1] != 0:
		order = binary.BigEndian
	case b[0] != 0 && b[1] == 0:
		order = binary.LittleEndian
	default:
		return b
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}
