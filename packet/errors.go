package packet

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// Errors that callers branch on. All that can be returned wrap one of them, unless they come from the system.
var (
	// ErrInvalidAddress means an address that cannot be used; ErrInvalidPort, ErrInvalidHost and
	// ErrUnsupportedAddress are kinds of it.
	ErrInvalidAddress     = errors.New("invalid address")
	ErrInvalidPort        = fmt.Errorf("%w: invalid port", ErrInvalidAddress)
	ErrInvalidHost        = fmt.Errorf("%w: invalid host", ErrInvalidAddress)
	ErrUnsupportedAddress = fmt.Errorf("%w: unsupported kind", ErrInvalidAddress)

	// ErrInvalidAction means an action other than ActionIgnore and ActionClose.
	ErrInvalidAction = errors.New("invalid action of a smart packet")
	// ErrInvalidPacket means that a packet may not be sent here and now; a *CheckError says why.
	ErrInvalidPacket = errors.New("packet not valid here")

	// ErrRegistry is any problem of a registry; ErrAlreadyRegistered and ErrNotRegistered are kinds of it.
	ErrRegistry          = errors.New("registry")
	ErrAlreadyRegistered = fmt.Errorf("%w: already registered", ErrRegistry)
	ErrNotRegistered     = fmt.Errorf("%w: not registered", ErrRegistry)

	// ErrConfig means options that cannot work together, or that ConfigFromMap does not know.
	ErrConfig = errors.New("configuration")

	// ErrFrameTooLarge means a frame over Config.MaxFrame, ErrBodyTooLarge an inflated body over Config.MaxBody,
	// ErrInvalidFrame one that cannot be decoded, ErrEncryption one that is encrypted with AES.
	ErrFrameTooLarge = errors.New("frame too large")
	ErrBodyTooLarge  = errors.New("body too large")
	ErrInvalidFrame  = errors.New("invalid frame")
	ErrEncryption    = errors.New("AES-encrypted packets are not supported; use TLS")

	// ErrWriteQueueFull means that the other side does not read, over Config.WriteQueue.
	ErrWriteQueueFull = errors.New("write queue full: the other side does not read")
	// ErrServerFull means that the server has as many connections as its Config.MaxConns, or its Hooks.Accept, lets it.
	ErrServerFull = errors.New("too many connections")

	// ErrNoHello means that what a client has connected to says nothing that a packet server would: perhaps it is none, or one
	// with TLS (Config.TLS).
	ErrNoHello = errors.New("no Hello came")
	// ErrNotConnected means a client that has not connected yet.
	ErrNotConnected = errors.New("packet: not connected")
	// ErrClosed means a connection, client or server that has ended. It is net.ErrClosed to errors.Is.
	ErrClosed error = closedError{}

	// ErrTimeout means a wait that its deadline ended. It is a net.Error with Timeout.
	ErrTimeout error = timeoutError{}
)

type closedError struct{}

func (closedError) Error() string        { return "packet: closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }

type timeoutError struct{}

func (timeoutError) Error() string   { return "timed out" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// CloseError says why a connection ended.
type CloseError struct {
	// Reason is a text, nil where none was given, or whatever else a peer sent; of more than 4 KiB the first 1 KiB,
	// as a text.
	Reason any
	// Remote tells that the other side gave it.
	Remote bool
	// Cause is what went wrong on this side, or nil.
	Cause error
}

func (e *CloseError) Error() string {
	text := "connection closed"
	if e.Remote {
		text += " by the other side"
	}
	if e.Reason != nil {
		text += ": " + brief(e.Reason)
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// brief is a peer's value as a text that is not too long.
func brief(v any) string { return inShort(v, 200) }

// inShort is a peer's value as a text of so many bytes at most, and dots.
func inShort(v any, most int) string {
	text, ok := v.(string)
	if !ok {
		text = fmt.Sprint(v)
	}
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// Unwrap makes it its cause and net.ErrClosed to errors.Is, and ErrServerFull where that is the reason. The cause comes
// first, so that as a net.Error it is a timeout if that was the cause.
func (e *CloseError) Unwrap() []error {
	var all []error
	if e.Cause != nil {
		all = append(all, e.Cause)
	}
	if e.Reason == ReasonServerFull {
		all = append(all, ErrServerFull)
	}
	return append(all, ErrClosed)
}

// CheckError says which check of a smart packet failed, and wraps ErrInvalidPacket.
type CheckError struct {
	Packet    string // its name
	Check     string // "side", "state", "mode", "conntype" or "security"
	Want, Got any
}

func (e *CheckError) Error() string {
	hint := ""
	switch e.Check {
	case "state":
		hint = " (each side has its own: SetState)"
	case "mode":
		hint = " (each side has its own: SetMode)"
	}
	return fmt.Sprintf("%s: %v: %s is %v, must be %v%s", e.Packet, ErrInvalidPacket, e.Check, e.Got, e.Want, hint)
}

func (e *CheckError) Unwrap() error { return ErrInvalidPacket }
