package packetlink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"parlor/link"
	"parlor/msgpack"
	"parlor/packet"
)

// The packets of this wire (section 4.1).
const (
	idRequest packet.ID = 64 // client to server: requests and notes
	idAnswer  packet.ID = 65 // server to client: answers
	idPush    packet.ID = 66 // server to client: pushes and notes
)

// Their names, by which clients of peng3dnet find the IDs.
const (
	nameRequest = "parlor:request"
	nameAnswer  = "parlor:answer"
	namePush    = "parlor:push"
)

// ConnType is the connection type of Parlor's own clients. It has no handshake, and joins frames.
const ConnType = "parlor"

// newRegistry registers the three packets, whose handlers are called with what has come.
func newRegistry(receive func(id packet.ID) func(*packet.Conn, packet.Body) error) *packet.Registry {
	reg := packet.NewRegistry()
	for i, name := range []string{nameRequest, nameAnswer, namePush} {
		id := idRequest + packet.ID(i)
		packet.MustRegister(reg, name, receive(id), packet.WithID(id))
	}
	return reg
}

// decode reads the envelope that a body is. An error that wraps ErrEnvelope ends the link; any other is the envelope's own.
func decode(body packet.Body, kinds ...link.Kind) (link.Envelope, error) {
	e, rest, err := link.DecodeEnvelope(body, msgpack.Limits{})
	switch {
	case errors.Is(err, link.ErrEnvelope):
		return e, err
	case len(rest) > 0:
		return e, fmt.Errorf("%w: %d bytes follow it", link.ErrEnvelope, len(rest))
	}
	for _, k := range kinds {
		if e.Kind == k {
			return e, nil
		}
	}
	return e, fmt.Errorf("%w: %v in the wrong packet", link.ErrEnvelope, e.Kind)
}

// frameHeader is what the length of a frame counts beside the body.
const frameHeader = 6

// frames are envelopes on their way out.
type frames struct{ b []byte }

var pool = sync.Pool{New: func() any { return &frames{b: make([]byte, 0, 4<<10)} }}

func getFrames() *frames {
	f := pool.Get().(*frames)
	f.b = f.b[:0]
	return f
}

// keptFrames is how large a buffer may be that is used again.
const keptFrames = 64 << 10

func putFrames(f *frames) {
	if cap(f.b) <= keptFrames {
		pool.Put(f)
	}
}

// add appends a frame whose body add appends. The body may have so many bytes. After an error there is none.
func (f *frames) add(id packet.ID, most int, body func(b []byte) ([]byte, error)) error {
	var head [packet.FrameHead]byte
	start := len(f.b)
	b, err := body(append(f.b, head[:]...))
	if err == nil && len(b)-start-packet.FrameHead > most {
		err = fmt.Errorf("%w: %d bytes, limit %d", link.ErrTooLarge, len(b)-start-packet.FrameHead, most)
	}
	if err != nil {
		return err
	}
	packet.SetFrameHead(b[start:], id, 0)
	f.b = b
	return nil
}

// reasonPrefix begins the reason of a CloseConnection that carries a close code (section 4.3).
const reasonPrefix = "parlor:"

// maxReason is how long the text behind the code may be, in bytes.
const maxReason = 512

func reasonOf(code link.Code, text string) string {
	reason := reasonPrefix + strconv.Itoa(int(code))
	if text == "" {
		return reason
	}
	return reason + " " + short(text)
}

// packetReasons are the close codes of those that package packet closes with.
var packetReasons = map[string]link.Code{
	packet.ReasonServerShutdown:     link.CloseGoingAway,
	packet.ReasonServerFull:         link.CloseTryAgain,
	packet.ReasonWriteQueueFull:     link.CloseTryAgain,
	packet.ReasonFrameTooLarge:      link.CloseTooLarge,
	packet.ReasonBodyTooLarge:       link.CloseTooLarge,
	packet.ReasonInvalidFrame:       link.CloseProtocol,
	packet.ReasonEncryption:         link.CloseProtocol,
	packet.ReasonSmartPacketInvalid: link.CloseProtocol,
	packet.ReasonUnknownConnType:    link.CloseProtocol,
	packet.ReasonProtoVersion:       link.CloseProtocol,
	packet.ReasonRegistryMismatch:   link.CloseProtocol,
}

// closeError is what the reason of a CloseConnection says. One without a reason is an end on purpose, as are those of
// peng3dnet's clients; others that are not known are internal errors, after which the session may be there still.
func closeError(reason any) *link.CloseError {
	text, isText := reason.(string)
	if reason == nil || isText && text == "" {
		return &link.CloseError{Code: link.CloseNormal}
	}
	if code, found := packetReasons[text]; found {
		return &link.CloseError{Code: code, Reason: text}
	}
	if rest, found := strings.CutPrefix(text, reasonPrefix); found {
		number, text, _ := strings.Cut(rest, " ")
		if code, err := strconv.ParseUint(number, 10, 16); err == nil {
			return &link.CloseError{Code: link.Code(code), Reason: short(text)}
		}
	}
	if !isText {
		text = fmt.Sprint(reason)
	}
	return &link.CloseError{Code: link.CloseInternal, Reason: short(text)}
}

// short is the beginning of a text of a reason, either way: it is shown to people.
func short(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxReason)], "") }

// whereFrom is the address of a socket's other side. That of a unix socket counts as the loopback.
func whereFrom(addr net.Addr) (remote string, at netip.Addr) {
	if addr == nil {
		return "", netip.Addr{}
	}
	if addr.Network() == "unix" {
		return "unix socket", netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	where, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String(), netip.Addr{}
	}
	where = netip.AddrPortFrom(where.Addr().Unmap(), where.Port())
	return where.String(), where.Addr()
}

// leaves tells whether what is sent to an address leaves this machine, as far as can be known.
func leaves(at netip.Addr) bool { return !at.IsLoopback() }

const adviceClear = "Login without TLS refused, as the password would cross the network in clear: connect with TLS"
