package packet

import (
	"fmt"
	"time"
)

// ConnType is what a connection is for (section 7). Its functions may be nil. Of Receive and Send, those of
// packets with IDs below 64 know nothing, nor does Send of packets that the caller names with "peng3dnet:".
type ConnType struct {
	// Init is called when the type has been chosen: on the server when SetType came, on the client when it was
	// sent. Nothing else happens on a connection of a type of your own, so that it stays in StateWaitType
	// until Init, or what it starts, calls SetState. An error closes the connection.
	Init func(c *Conn) error
	// Receive is called with each packet that came. If it returns true, that was all: no handler, hook or event
	// hears of it. An error is logged, and does the same. With Config.Manual, Process calls it; Init runs on the
	// goroutine of the connection all the same.
	Receive func(c *Conn, m *Message) (done bool, err error)
	// Send is called with each packet to send. If it returns true, no hook and no event hears of it, and it is
	// sent. An error refuses it.
	Send func(c *Conn, o *Outgoing) (done bool, err error)
	// Unjoined has each frame written with a call of its own, as for peers of 0.2.0 (D1). By default those of a
	// burst are joined.
	Unjoined bool
	// IdleTimeout is, on a server, how long nothing may come on a connection of this type: it is closed with
	// ReasonIdleTimeout then, or up to a quarter of the shortest of these timeouts later. 0: Config.IdleTimeout, and if
	// there is none, Config.HandshakeTimeout as long as the connection stays in StateWaitType and nothing is sent on it
	// either; negative: any time.
	IdleTimeout time.Duration
}

// connType is a connection type under its name.
type connType struct {
	ConnType
	name string
}

// classic is the type of ordinary connections: its init starts the Handshake.
func (e *endpoint) classic() ConnType {
	return ConnType{Unjoined: !e.cfg.JoinClassic, Init: func(c *Conn) error {
		c.SetState(StateHandshakeWait1)
		if c.side == SideClient {
			return nil
		}
		return c.sendInternal(IDHandshake, c.registry.view().handshake)
	}}
}

// AddConnType adds a connection type. A name that is taken is ErrAlreadyRegistered.
func (e *endpoint) AddConnType(name string, t ConnType) error {
	if name == "" || name == ConnTypeNotSet {
		return fmt.Errorf("%w: a connection type cannot be named %q", ErrRegistry, name)
	}
	if !e.addConnType(&connType{t, name}) {
		return fmt.Errorf("%w: the connection type %q", ErrAlreadyRegistered, name)
	}
	if s := e.server; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watchIdle()
	}
	return nil
}

func (e *endpoint) addConnType(k *connType) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.types[k.name] != nil {
		return false
	}
	e.types[k.name] = k
	return true
}

func (e *endpoint) connType(name string) *connType {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.types[name]
}
