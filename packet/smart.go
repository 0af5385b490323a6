package packet

import (
	"fmt"
	"io"
)

// Action is what happens when a check of a smart packet does not hold.
type Action string

const (
	ActionIgnore Action = "ignore" // the packet is not sent, or not handled
	ActionClose  Action = "close"  // and the connection is closed with ReasonSmartPacketInvalid
)

// Option says something about a packet that is registered. Those that state where it is valid make it a smart
// packet (section 9): before it is sent and before it is handled all its checks must hold. If one does not, it
// is not sent, and the sender gets a *CheckError; or not handled. Checks are exact matches.
//
// State and mode belong to one end of a connection and are never sent: a server that calls SetState(StateLoggedIn) for
// a login has the client do the same when it hears of it, or the client's own checks refuse what it sends next.
type Option func(*settings)

type settings struct {
	entry  *entry
	id     *ID
	checks *checks
	err    error
}

// checks are those of a smart packet; nil fields are not checked.
type checks struct {
	side     *Side
	state    *State
	mode     *Mode
	connType *string
	security Security
	action   Action
}

func applyOptions(e *entry, opts []Option) (*ID, error) {
	s := settings{entry: e}
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("%w: an option is nil", ErrRegistry)
		}
		opt(&s)
	}
	e.checks = s.checks
	if s.err == nil && s.checks != nil {
		s.err = s.checks.possible()
	}
	return s.id, s.err
}

// WithID gives the packet a number instead of the next automatic one. Those below 64 pass by the connection type.
func WithID(id ID) Option { return func(s *settings) { s.id = &id } }

// OnSend has f called with each value that is about to be sent, after all checks and hooks, as peng3dnet's
// Packet.send is. An error refuses it. It must not change the value.
func OnSend(f func(c *Conn, v any) error) Option { return func(s *settings) { s.entry.sent = f } }

// Smart makes a packet valid only on connections whose handshake is complete (StateActive), which all other checks
// imply unless InState says otherwise.
func Smart() Option { return check(func(*checks) {}) }

// ReceivedBy makes a packet valid only towards one side.
func ReceivedBy(side Side) Option { return check(func(c *checks) { c.side = &side }) }

// InState makes a packet valid only in one state. The default of smart packets is StateActive.
func InState(state State) Option { return check(func(c *checks) { c.state = &state }) }

// InAnyState makes a smart packet valid in every state.
func InAnyState() Option { return check(func(c *checks) { c.state = nil }) }

// InMode makes a packet valid only in one mode.
func InMode(mode Mode) Option { return check(func(c *checks) { c.mode = &mode }) }

// OnConnType makes a packet valid only on connections of one type.
func OnConnType(name string) Option { return check(func(c *checks) { c.connType = &name }) }

// MinSecurity has a packet sent only over connections that are at least so secure. It is not checked on receipt.
func MinSecurity(level Security) Option { return check(func(c *checks) { c.security = level }) }

// OnInvalid says what happens when a check does not hold. The default is ActionIgnore.
func OnInvalid(a Action) Option {
	return func(s *settings) {
		check(func(c *checks) { c.action = a })(s)
		if a != ActionIgnore && a != ActionClose {
			s.err = fmt.Errorf("%w: %q; it can be %q or %q", ErrInvalidAction, a, ActionIgnore, ActionClose)
		}
	}
}

func check(set func(*checks)) Option {
	return func(s *settings) {
		if s.checks == nil {
			active := StateActive
			s.checks = &checks{state: &active, action: ActionIgnore}
		}
		set(s.checks)
	}
}

// possible returns an error if the checks can never hold.
func (k *checks) possible() error {
	switch {
	case k.side != nil && *k.side != SideClient && *k.side != SideServer:
		return fmt.Errorf("%w: there is no side %d", ErrRegistry, int8(*k.side))
	case k.state != nil && *k.state == StateClosed:
		return fmt.Errorf("%w: nothing is sent or handled in StateClosed", ErrRegistry)
	case k.security < SecurityNone || k.security > SecurityBothAuth:
		return fmt.Errorf("%w: there is no security level %d", ErrRegistry, int8(k.security))
	}
	return nil
}

// failed returns the first check that does not hold on a connection, or nil. receiver is who would get the packet.
func (k *checks) failed(c *Conn, name string, receiver Side, sending bool) *CheckError {
	if k == nil {
		return nil
	}
	switch state, mode := c.State(), c.Mode(); {
	case k.side != nil && *k.side != receiver:
		return &CheckError{name, "side", *k.side, receiver}
	case k.state != nil && *k.state != state:
		return &CheckError{name, "state", *k.state, state}
	case k.mode != nil && *k.mode != mode:
		return &CheckError{name, "mode", *k.mode, mode}
	case k.connType != nil && *k.connType != c.ConnType():
		return &CheckError{name, "conntype", *k.connType, c.ConnType()}
	case sending && c.Security() < k.security:
		return &CheckError{name, "security", k.security, c.Security()}
	}
	return nil
}

// Print returns a handler that prints each message it receives, with the connection's number on the server, as
// peng3dnet's PrintPacket does.
func Print(w io.Writer) func(c *Conn, body any) error {
	return func(c *Conn, body any) error {
		if c.Side() == SideServer {
			_, err := fmt.Fprintf(w, "%d: %v\n", c.CID(), body)
			return err
		}
		_, err := fmt.Fprintf(w, "%v\n", body)
		return err
	}
}
