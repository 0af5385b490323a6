package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
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
	wsEnd
	key       *box.Key
	serverKey string
	tunnel    *box.Tunnel
	nonce     [box.NonceSize]byte // random, and counted up: never used twice
	text      []byte              // the text that was received

	request []byte // the packet that exchange sends
	want    []byte // what its answer begins with
	size    sizes  // of the last request's and answer's frames
}

// login connects and logs in, as a new user if need be, and joins a game unless its name is empty.
func login(addr, user, game string) (*client, error) {
	c, err := connect(addr)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.setup(user, game), c.SetDeadline(time.Time{})); err != nil {
		c.Close()
		return nil, fmt.Errorf("client %q: %w", user, err)
	}
	return c, nil
}

// connect connects and trades keys. There is a deadline then, for what follows.
func connect(addr string) (*client, error) { return connectFrom(netip.Addr{}, addr) }

// connectFrom does so from an address of this machine.
func connectFrom(from netip.Addr, addr string) (*client, error) {
	end, err := openWebSocketFrom(from, addr, "/", 2048)
	if err != nil {
		return nil, err
	}
	c := &client{wsEnd: end, want: []byte(`{"message": "` + answer + `"`)}
	rand.Read(c.nonce[:])
	if err := c.tradeKeys(); err != nil {
		c.Close()
		return nil, fmt.Errorf("trade keys: %w", err)
	}
	return c, nil
}

// credentials are those of a user of the load.
func credentials(user string) parlor.Map {
	return parlor.Map{"username": user, "password": "correct horse", "invite_code": ""}
}

func (c *client) setup(user, game string) (err error) {
	if err := c.call("handshake", credentials(user)); err != nil {
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

func (c *client) tradeKeys() (err error) {
	if c.key, err = box.NewKey(); err != nil {
		return err
	}
	p, err := packetText(parlor.MessageKeyTrade, parlor.Map{"pubkey": c.key.Public()})
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
	c.serverKey, _ = theirs.(string)
	c.tunnel, err = c.key.Tunnel(c.serverKey)
	return err
}

// call makes a request of the lobby that must succeed.
func (c *client) call(message string, payload any) error {
	_, err := c.ask(message, payload)
	return err
}

// ask makes a request of the lobby, and returns the answer, which must be a good one.
func (c *client) ask(message string, payload any) (parlor.Response, error) {
	p, err := packetText(message, payload)
	if err != nil {
		return parlor.Response{}, err
	}
	text, err := c.roundTrip(p)
	if err != nil {
		return parlor.Response{}, fmt.Errorf("%s: %w", message, err)
	}
	r, err := parlor.DecodeResponse(bytes.Clone(text))
	if err == nil && r.Status != parlor.StatusOK {
		err = fmt.Errorf("%s: server answers %q", message, r.Message)
	}
	return r, err
}

func packetText(message string, payload any) ([]byte, error) {
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
	if op == ws.OpText && c.tunnel != nil {
		binary.LittleEndian.PutUint64(c.nonce[:], binary.LittleEndian.Uint64(c.nonce[:])+1)
		c.out = appendMasked(c.out[:0], op, box.SealedLen(len(payload)), func(b []byte) []byte {
			return c.tunnel.Append(b, payload, &c.nonce)
		})
	} else {
		c.out = appendMasked(c.out[:0], op, len(payload), func(b []byte) []byte { return append(b, payload...) })
	}
	c.size.in = len(c.out)
	_, err := c.nc.Write(c.out)
	return err
}

// receive waits for the next text, answers pings on the way, and opens it once there is a tunnel.
func (c *client) receive() ([]byte, error) {
	for {
		op, payload, frame, err := c.next()
		if err != nil {
			return nil, err
		}
		switch op {
		case ws.OpPing:
			if err := c.send(ws.OpPong, payload); err != nil {
				return nil, err
			}
		case ws.OpText:
			c.size.out = frame
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

// idle is a user who does nothing.
func (c *client) idle() {
	for {
		if _, err := c.receive(); err != nil {
			return
		}
	}
}
