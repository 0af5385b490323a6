package box

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"

	"golang.org/x/crypto/nacl/secretbox"
)

const (
	// NonceSize is the length of the nonce at the front of a sealed message.
	NonceSize = 24
	// Overhead is how many bytes longer a sealed message is than its text, before base64.
	Overhead = NonceSize + secretbox.Overhead
)

// Errors of [Tunnel.Open].
var (
	ErrNotBase64 = errors.New("sealed message is not base64")
	ErrForged    = errors.New("sealed message was not made with the two keys, or was changed")
)

// Tunnel is the shared key of two key pairs; it is the same in both directions.
type Tunnel struct {
	shared [32]byte
	peer   string
}

// Peer is the other side's public key.
func (t *Tunnel) Peer() string { return t.peer }

// Shared is the shared key, for checks against other implementations. It is secret.
func (t *Tunnel) Shared() [32]byte { return t.shared }

// Nonce makes a random nonce. They are random for every message, as both directions and all connections
// between two key pairs share one key.
func Nonce() (n [NonceSize]byte) {
	rand.Read(n[:]) // never fails: crypto/rand ends the program first
	return n
}

// Append seals a message and appends its frame text: base64 of nonce, authenticator and ciphertext.
// A text of n bytes becomes SealedLen(n) bytes.
func (t *Tunnel) Append(b, message []byte, nonce *[NonceSize]byte) []byte {
	n := len(b)
	size := SealedLen(len(message))
	b = slices.Grow(b, size)[:n+size]
	// The sealed bytes are put at the end of the frame's own space, and spread out to base64 from its front:
	// the encoder has written no further than it has read.
	raw := b[n+size-len(message)-Overhead:]
	copy(raw, nonce[:])
	sealed := secretbox.Seal(raw[:NonceSize], message, nonce, &t.shared)
	base64.StdEncoding.Encode(b[n:], sealed)
	return b
}

// SealedLen is the length of the frame text of a message of n bytes.
func SealedLen(n int) int { return base64.StdEncoding.EncodedLen(n + Overhead) }

// Open opens a frame text and appends the message to b; nonce is the one that it was sealed with. The frame
// is used as scratch space and is spoilt. Only clean standard base64 with padding is read: Python's reader
// also skips foreign characters, which no peer writes (section 4).
func (t *Tunnel) Open(b, frame []byte) (message []byte, nonce [NonceSize]byte, err error) {
	n, err := base64.StdEncoding.Strict().Decode(frame, frame)
	if err != nil {
		return b, nonce, ErrNotBase64
	}
	if n < Overhead {
		return b, nonce, ErrForged
	}
	copy(nonce[:], frame)
	message, ok := secretbox.Open(b, frame[NonceSize:n], &nonce, &t.shared)
	if !ok {
		return b, nonce, ErrForged
	}
	return message, nonce, nil
}
