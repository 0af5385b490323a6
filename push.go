package parlor

import "sync/atomic"

// Push is a message to a user that answers no request: [Room.Send] and [Room.Broadcast] make it of what a
// game says, and the lobby makes some of its own. It never changes once it is sent, and is shared: a
// broadcast is one Push for all who get it. It must not be copied.
type Push struct {
	// Message is the push's name, or text for people.
	Message string
	// Payload is data; the zero value is the empty object.
	Payload Payload
	// Game is the game that it comes from. Empty: the lobby itself.
	Game string

	packed atomic.Pointer[packed]
}

// packed is message and payload in MessagePack, or why there is no such form.
type packed struct {
	b   []byte
	err error
}

// MsgPack is message and payload, one behind the other, in MessagePack, made by pack when it is asked for first, so that a
// broadcast is encoded once for all who get it. It must not be changed. It may be called concurrently.
func (p *Push) MsgPack(pack func(b []byte, message string, payload Payload) ([]byte, error)) ([]byte, error) {
	if done := p.packed.Load(); done != nil {
		return done.b, done.err
	}
	b, err := pack(nil, p.Message, p.Payload)
	p.packed.Store(&packed{b, err})
	return b, err
}
