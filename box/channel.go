package box

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/flynn/noise"
)

// Channels are what Parlor's own peers seal with: Noise_KK_25519_AESGCM_SHA256 over the key pairs that they have traded
// (docs/PROTOCOL.md, section 3.2). Beyond a tunnel they give forward secrecy, and they tell when a message was
// repeated, left out or moved.
var suite = noise.NewCipherSuite(noise.DH25519, noise.CipherAESGCM, noise.HashSHA256)

// prologue keeps what is sealed here apart from other uses of the same keys.
const prologue = "parlor native 1"

// ChannelOverhead is how much longer a sealed message is than what it seals, in bytes.
const ChannelOverhead = 16

// ErrNoChannel means a handshake message that does not fit the keys, or is none.
var ErrNoChannel = errors.New("handshake does not fit the keys")

// ErrNotOpened means a message that is not the next one of its channel, or was changed.
var ErrNotOpened = errors.New("message could not be opened")

// agreement is the suite of one handshake. Noise names private keys by their bytes, and to make a key of these computes its
// public half again, which costs as much as to agree: so it keeps those that are in use.
type agreement struct {
	noise.CipherSuite
	static, ephemeral *ecdh.PrivateKey
}

// GenerateKeypair makes the key of this handshake alone, unless it was given one. It does not need the source of random bytes:
// crypto/ecdh has its own.
func (a *agreement) GenerateKeypair(random io.Reader) (pair noise.DHKey, err error) {
	if a.ephemeral == nil {
		if a.ephemeral, err = ecdh.X25519().GenerateKey(random); err != nil {
			return noise.DHKey{}, err
		}
	}
	return noise.DHKey{Private: a.ephemeral.Bytes(), Public: a.ephemeral.PublicKey().Bytes()}, nil
}

// DH agrees by one of the two keys with a public one. The error is of one of low order.
func (a *agreement) DH(private, public []byte) ([]byte, error) {
	peer, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	for _, k := range []*ecdh.PrivateKey{a.static, a.ephemeral} {
		if k != nil && bytes.Equal(k.Bytes(), private) {
			return k.ECDH(peer)
		}
	}
	return nil, errors.New("not a key of this handshake") // never
}

// forget drops the keys. The channel keeps its suite, and what was said shall not be read by who finds them there later.
func (a *agreement) forget() { a.static, a.ephemeral = nil, nil }

// Initiation is a client's half of a handshake that waits for the server's answer.
type Initiation struct {
	state *noise.HandshakeState
	keys  *agreement
}

// Initiate begins a handshake with the holder of a public key. It returns the message for the other side. The
// error is ErrBadKey.
func (k *Key) Initiate(peer string) (*Initiation, []byte, error) { return k.initiate(peer, nil) }

// initiate is Initiate with an ephemeral key; nil: a random one.
func (k *Key) initiate(peer string, ephemeral *ecdh.PrivateKey) (*Initiation, []byte, error) {
	state, keys, err := k.handshake(peer, true, ephemeral)
	if err != nil {
		return nil, nil, err
	}
	message, _, _, err := state.WriteMessage(nil, nil)
	if err != nil { // with keys of low order
		return nil, nil, fmt.Errorf("%w: %w", ErrBadKey, err)
	}
	return &Initiation{state, keys}, message, nil
}

// Complete takes the other side's answer. The error is ErrNoChannel.
func (i *Initiation) Complete(answer []byte) (*Channel, error) {
	_, send, receive, err := i.state.ReadMessage(nil, answer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoChannel, err)
	}
	i.keys.forget()
	return newChannel(send, receive)
}

// Respond answers the handshake message of the holder of a public key. Errors are ErrBadKey and ErrNoChannel.
func (k *Key) Respond(peer string, message []byte) (c *Channel, answer []byte, err error) {
	return k.respond(peer, message, nil)
}

// respond is Respond with an ephemeral key; nil: a random one.
func (k *Key) respond(peer string, message []byte, ephemeral *ecdh.PrivateKey) (c *Channel, answer []byte, err error) {
	state, keys, err := k.handshake(peer, false, ephemeral)
	if err != nil {
		return nil, nil, err
	}
	if _, _, _, err := state.ReadMessage(nil, message); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoChannel, err)
	}
	answer, receive, send, err := state.WriteMessage(nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoChannel, err)
	}
	keys.forget()
	c, err = newChannel(send, receive)
	return c, answer, err
}

func (k *Key) handshake(peer string, initiator bool, ephemeral *ecdh.PrivateKey) (*noise.HandshakeState, *agreement, error) {
	theirs, err := decodeKey(peer)
	if err != nil {
		return nil, nil, fmt.Errorf("public key: %w", err)
	}
	keys := &agreement{CipherSuite: suite, static: k.private, ephemeral: ephemeral}
	state, err := noise.NewHandshakeState(noise.Config{
		CipherSuite: keys, Random: rand.Reader, Pattern: noise.HandshakeKK, Initiator: initiator, Prologue: []byte(prologue),
		StaticKeypair: noise.DHKey{Private: k.private.Bytes(), Public: k.private.PublicKey().Bytes()}, PeerStatic: theirs,
	})
	return state, keys, err
}

// Channel seals and opens messages, each once and in order. Seal is for one goroutine at a time, and so is Open.
type Channel struct{ send, receive direction }

func newChannel(send, receive *noise.CipherState) (*Channel, error) {
	c := &Channel{}
	return c, errors.Join(c.send.begin(send), c.receive.begin(receive))
}

// Seal appends the next message to b. It fails only after 2^64-1 messages.
func (c *Channel) Seal(b, message []byte) ([]byte, error) {
	nonce, err := c.send.next()
	if err != nil {
		return b, err
	}
	c.send.n++
	return c.send.aead.Seal(b, nonce, message, nil), nil
}

// Open appends what the next message of the other side seals to b. The error is ErrNotOpened; the channel is of no
// use then, as no later message can be opened either, unless the next one is given again.
func (c *Channel) Open(b, sealed []byte) ([]byte, error) {
	nonce, err := c.receive.next()
	if err != nil {
		return b, err
	}
	out, err := c.receive.aead.Open(b, nonce, sealed, nil)
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrNotOpened, err)
	}
	c.receive.n++
	return out, nil
}

// direction is the cipher state of one direction (Noise, section 5.1, and section 12.4 for AES-GCM). It is not the library's, which
// makes a nonce on the heap for each message.
type direction struct {
	aead  cipher.AEAD
	n     uint64
	nonce [12]byte // scratch space
}

func (d *direction) begin(state *noise.CipherState) error {
	key := state.UnsafeKey()
	block, err := aes.NewCipher(key[:])
	if err == nil {
		d.aead, err = cipher.NewGCM(block)
	}
	return err
}

// next is the nonce of the next message.
func (d *direction) next() ([]byte, error) {
	if d.n == math.MaxUint64 {
		return nil, noise.ErrMaxNonce
	}
	binary.BigEndian.PutUint64(d.nonce[4:], d.n)
	return d.nonce[:], nil
}
