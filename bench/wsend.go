package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/gobwas/ws"
)

// inbox cuts what comes on a connection into frames: it reads as much as there is, as often as needed.
type inbox struct {
	nc         net.Conn
	buf        []byte // grows to the largest frame
	start, end int    // of what is not taken yet
}

// maxFrame bounds the frames of a server, in bytes.
const maxFrame = 4 << 20

func newInbox(nc net.Conn, size int) inbox { return inbox{nc: nc, buf: make([]byte, size)} }

func (in *inbox) waiting() []byte { return in.buf[in.start:in.end] }

// grow makes room for frames of a size.
func (in *inbox) grow(size int) {
	if size > len(in.buf) {
		in.buf = append(in.buf, make([]byte, size-len(in.buf))...)
	}
}

// fill waits for more bytes. What was taken before is overwritten.
func (in *inbox) fill() error {
	in.end = copy(in.buf, in.waiting())
	in.start = 0
	if in.end == len(in.buf) {
		if in.end >= maxFrame {
			return errors.New("frame of the server is too long for this client")
		}
		in.grow(2 * len(in.buf))
	}
	n, err := in.nc.Read(in.buf[in.end:])
	in.end += n
	if n > 0 {
		return nil
	}
	return err
}

// wsFrame takes the next frame of a WebSocket if it is here as a whole; frame is how long it was, 0 if it is not. The payload is good
// until the inbox is filled.
func (in *inbox) wsFrame() (op ws.OpCode, payload []byte, frame int, err error) {
	b := in.waiting()
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	n, at := uint64(b[1]), 2
	switch {
	case n > 127 || b[0]&0xF0 != 0x80:
		return 0, nil, 0, errors.New("frame of the server is masked, or not whole")
	case n == 126:
		at = 4
	case n == 127:
		at = 10
	}
	if len(b) < at {
		return 0, nil, 0, nil
	}
	switch at {
	case 4:
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		n = binary.BigEndian.Uint64(b[2:])
	}
	if n > uint64(len(b)-at) {
		return 0, nil, 0, nil
	}
	frame = at + int(n)
	in.start += frame
	return ws.OpCode(b[0] & 0x0F), b[at:frame], frame, nil
}

// wsEnd is the client's end of a WebSocket, as light as the load wants it: whole frames of a server that keeps to
// the rules.
type wsEnd struct {
	nc  net.Conn
	in  inbox
	out []byte // the frames that are sent
}

// openWebSocket connects and does the opening handshake (RFC 6455, section 4.1). The connection has a deadline then,
// for what the caller has to set up.
func openWebSocket(addr, path string, buffer int) (wsEnd, error) {
	return openWebSocketFrom(netip.Addr{}, addr, path, buffer)
}

// openWebSocketFrom does so from an address of this machine; the zero Addr is any.
func openWebSocketFrom(from netip.Addr, addr, path string, buffer int) (wsEnd, error) {
	d := net.Dialer{Timeout: dialTimeout}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return wsEnd{}, err
	}
	w := wsEnd{nc: nc, in: newInbox(nc, buffer)}
	nc.SetDeadline(time.Now().Add(dialTimeout))
	if err := w.upgrade(addr, path); err != nil {
		nc.Close()
		return wsEnd{}, fmt.Errorf("open WebSocket: %w", err)
	}
	return w, nil
}

func (w *wsEnd) upgrade(addr, path string) error {
	_, err := fmt.Fprintf(w.nc, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, addr)
	if err != nil {
		return err
	}
	for {
		head, _, found := bytes.Cut(w.in.waiting(), []byte("\r\n\r\n"))
		if !found {
			if err := w.in.fill(); err != nil {
				return err
			}
			continue
		}
		text := append(bytes.Clone(head), "\r\n\r\n"...)
		w.in.start += len(text)
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("server answers %s", resp.Status)
		}
		return nil
	}
}

// next waits for the next frame.
func (w *wsEnd) next() (op ws.OpCode, payload []byte, frame int, err error) {
	for {
		op, payload, frame, err = w.in.wsFrame()
		if frame > 0 || err != nil {
			return op, payload, frame, err
		}
		if err := w.in.fill(); err != nil {
			return 0, nil, 0, err
		}
	}
}

// appendMasked appends the frame of a payload of n bytes, masked; payload appends these.
func appendMasked(b []byte, op ws.OpCode, n int, payload func(b []byte) []byte) []byte {
	b = append(b, 0x80|byte(op))
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	var mask [4]byte
	binary.NativeEndian.PutUint32(mask[:], mrand.Uint32())
	b = append(b, mask[:]...)
	head := len(b)
	b = payload(b)
	ws.Cipher(b[head:], mask, 0)
	return b
}

// closeFrame is the frame of a client that leaves on purpose.
func closeFrame() []byte {
	code := binary.BigEndian.AppendUint16(nil, uint16(ws.StatusNormalClosure))
	return appendMasked(nil, ws.OpClose, len(code), func(b []byte) []byte { return append(b, code...) })
}

func (w *wsEnd) SetDeadline(t time.Time) error { return w.nc.SetDeadline(t) }
func (w *wsEnd) Close() error                  { return w.nc.Close() }
