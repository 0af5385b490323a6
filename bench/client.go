package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/gobwas/ws"

	"parlor"
	"parlor/box"
)

// dialTimeout bounds connecting, and connecting and logging in.
const dialTimeout = 10 * time.Second

// client is a raw client of pgnet's wire: it seals every request and opens every answer, and does little
// else, so that the load costs as little as it can. One goroutine may use it.
type client struct {
	nc     net.Conn
	br     *bufio.Reader
	tunnel *box.Tunnel
	nonce  [box.NonceSize]byte // random, and counted up: never used twice
	out    []byte              // the frame that is sent
	text   []byte              // the text that was received

	request []byte // the packet that exchange sends
	want    []byte // what its answer begins with
	size    sizes  // of the last request's and answer's frames
}

// login connects and logs in, as a new user if need be, and joins a game unless its name is empty.
func login(addr, user, game string) (*client, error) {
	nc, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	c := &client{nc: nc, br: bufio.NewReaderSize(nc, 2048), want: []byte(`{"message": "` + answer + `"`)}
	nc.SetDeadline(time.Now().Add(dialTimeout))
	rand.Read(c.nonce[:])
	if err := errors.Join(c.setup(addr, user, game), nc.SetDeadline(time.Time{})); err != nil {
		nc.Close()
		return nil, fmt.Errorf("client %q: %w", user, err)
	}
	return c, nil
}

func (c *client) setup(addr, user, game string) (err error) {
	if err := c.upgrade(addr); err != nil {
		return fmt.Errorf("open WebSocket: %w", err)
	}
	if err := c.tradeKeys(); err != nil {
		return fmt.Errorf("trade keys: %w", err)
	}
	credentials := parlor.Map{"username": user, "password": "correct horse", "invite_code": ""}
	if err := c.call("handshake", credentials); err != nil {
		return err
	}
	if game != "" {
		if err := c.call(parlor.RequestJoinGame, parlor.Map{"name": game}); err != nil {
			return err
		}
	}
	c.request, err = packetText(message, parlor.Map{"from": "e2", "to": "e4", "piece": "pawn", "offer_draw": false, "clock": 173})
	return err
}

// upgrade does WebSocket's opening handshake (RFC 6455, section 4.1).
func (c *client) upgrade(addr string) error {
	_, err := fmt.Fprintf(c.nc, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("server answers %s", resp.Status)
	}
	return nil
}

func (c *client) tradeKeys() error {
	key, err := box.NewKey()
	if err != nil {
		return err
	}
	p, err := packetText(parlor.MessageKeyTrade, parlor.Map{"pubkey": key.Public()})
	if err != nil {
		return err
	}
	if err := c.send(ws.OpText, p); err != nil {
		return err
	}
	text, err := c.receive()
	if err != nil {
		return err
	}
	r, err := parlor.DecodeResponse(text)
	if err != nil {
		return err
	}
	theirs, _ := r.Payload.Get("pubkey")
	public, _ := theirs.(string)
	c.tunnel, err = key.Tunnel(public)
	return err
}

// call makes a request of the lobby that must succeed.
func (c *client) call(message string, payload parlor.Map) error {
	p, err := packetText(message, payload)
	if err != nil {
		return err
	}
	text, err := c.roundTrip(p)
	if err != nil {
		return fmt.Errorf("%s: %w", message, err)
	}
	r, err := parlor.DecodeResponse(text)
	if err == nil && r.Status != parlor.StatusOK {
		err = fmt.Errorf("%s: server answers %q", message, r.Message)
	}
	return err
}

func packetText(message string, payload parlor.Map) ([]byte, error) {
	p := parlor.Packet{Message: message, Payload: parlor.Encode(payload), CreatedOn: parlor.Timestamp(time.Now())}
	return p.AppendJSON(nil)
}

// exchange makes the request that is measured.
func (c *client) exchange() error {
	text, err := c.roundTrip(c.request)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(text, c.want) {
		return fmt.Errorf("the answer is not the game's: %s", text)
	}
	return nil
}

// roundTrip seals and sends a packet, and opens the answer; it is good until the next one.
func (c *client) roundTrip(text []byte) ([]byte, error) {
	if err := c.send(ws.OpText, text); err != nil {
		return nil, err
	}
	return c.receive()
}

// send writes one frame, masked; text is sealed once there is a tunnel.
func (c *client) send(op ws.OpCode, payload []byte) error {
	sealed := op == ws.OpText && c.tunnel != nil
	n := len(payload)
	if sealed {
		n = box.SealedLen(n)
	}
	b := append(c.out[:0], 0x80|byte(op))
	if n < 126 {
		b = append(b, 0x80|byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n)) // ours are below 64 KiB
	}
	var mask [4]byte
	binary.NativeEndian.PutUint32(mask[:], mrand.Uint32())
	b = append(b, mask[:]...)
	head := len(b)
	if sealed {
		binary.LittleEndian.PutUint64(c.nonce[:], binary.LittleEndian.Uint64(c.nonce[:])+1)
		b = c.tunnel.Append(b, payload, &c.nonce)
	} else {
		b = append(b, payload...)
	}
	ws.Cipher(b[head:], mask, 0)
	c.out, c.size.in = b, len(b)
	_, err := c.nc.Write(b)
	return err
}

// receive waits for the next text, answers pings on the way, and opens it once there is a tunnel.
func (c *client) receive() ([]byte, error) {
	for {
		op, payload, err := c.readFrame()
		if err != nil {
			return nil, err
		}
		switch op {
		case ws.OpPing:
			if err := c.send(ws.OpPong, payload); err != nil {
				return nil, err
			}
		case ws.OpText:
			if c.tunnel == nil {
				return payload, nil
			}
			c.text, _, err = c.tunnel.Open(c.text[:0], payload)
			return c.text, err
		default:
			return nil, fmt.Errorf("server sends a frame of type %d: %q", op, payload)
		}
	}
}

// readFrame reads one frame; the payload is in the read buffer, and good until the next one.
func (c *client) readFrame() (op ws.OpCode, payload []byte, err error) {
	head, err := c.br.Peek(2)
	if err != nil {
		return 0, nil, err
	}
	op = ws.OpCode(head[0] & 0x0F)
	n, at := int(head[1]), 2
	if n == 126 {
		if head, err = c.br.Peek(4); err != nil {
			return 0, nil, err
		}
		n, at = int(binary.BigEndian.Uint16(head[2:])), 4
	} else if n > 126 {
		return 0, nil, errors.New("frame of the server is masked, or too long for this client")
	}
	frame, err := c.br.Peek(at + n)
	if err != nil {
		return 0, nil, err
	}
	c.size.out = len(frame)
	_, err = c.br.Discard(len(frame))
	return op, frame[at:], err
}

// idle answers pings until the connection ends.
func (c *client) idle() {
	for {
		if _, err := c.receive(); err != nil {
			return
		}
	}
}

func (c *client) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }
func (c *client) Close() error                  { return c.nc.Close() }
