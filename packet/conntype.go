package packet

import "fmt"

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
		if err := c.sendInternal(IDHandshake, c.registry.view().handshake); err != nil {
			return err
		}
		c.introduced.Store(true)
		return nil
	}}
}

// AddConnType adds a connection type. A name that is taken is ErrAlreadyRegistered.
func (e *endpoint) AddConnType(name string, t ConnType) error {
	if name == "" || name == ConnTypeNotSet {
		return fmt.Errorf("%w: a connection type cannot be named %q", ErrRegistry, name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.types[name] != nil {
		return fmt.Errorf("%w: the connection type %q", ErrAlreadyRegistered, name)
	}
	e.types[name] = &connType{t, name}
	return nil
}

func (e *endpoint) connType(name string) *connType {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.types[name]
}
