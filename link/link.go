// Package link is the contract between what carries a session and the lobby that it is carried to.
//
// A wire (link/wslink, link/memlink) accepts a client, does its own handshake (keys, limits, timeouts), and
// opens a [Session] at the [Lobby] with the [Link] by which the lobby answers. The client's side of a wire
// is a [Conn], made by a [Dialer].
//
// Nothing here blocks for another client: a Lobby never waits for a socket, and a wire never waits for a
// game.
package link

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"parlor"
)

// Lobby is where links bring their clients.
type Lobby interface {
	// Open begins a session for a link whose own handshake is done. It does not block. An error, such as
	// ErrTooMany, refuses the link.
	Open(l Link) (Session, error)
}

// Session is the lobby's end of one link. The link calls it from one goroutine, its reader's.
type Session interface {
	// Receive takes the next packet. The first one is the login. It returns at once, but for a client that
	// sends faster than it is answered: then it waits for room in the session's queue, for a bounded
	// time. An error says that the link shall close; *CloseError says how.
	Receive(p parlor.Packet) error
	// Malformed takes note of a message that could be opened but was not a packet; it is answered in its
	// turn, and blocks like Receive.
	Malformed(err error) error
	// Request is Receive for the next envelope of a link that was welcomed (Stream): a request, or a note. It keeps no pointer to
	// it. ErrOutOfTurn means a number that cannot be. A request with an Err is answered with that, in its turn.
	Request(e *Envelope) error
	// Closed tells that the link has ended. It is called once, last, and does not block. On purpose is an end that the client
	// wanted: its session ends too, where otherwise it may wait for another link.
	Closed(onPurpose bool)
}

// Link is the server's end of one path to a client. Its methods may be called concurrently.
type Link interface {
	// Send encodes a response at once and queues it for writing; it does not block. ErrTooLarge means that the
	// peer would not accept it, and an encoding error that it cannot be written; nothing is sent then. A link
	// that has ended drops it and returns net.ErrClosed.
	Send(r parlor.Response) error
	// Close ends the link once what was sent before is written, with a close code of RFC 6455. It does not
	// block, and may be called again.
	Close(code Code, reason string)
	// Peer says who is at the other end.
	Peer() Peer
}

// Stream is a link whose client may speak envelopes (docs/PROTOCOL.md).
type Stream interface {
	Link
	// Offer is what the client said of envelopes in its login; ok is false for a client that speaks pgnet's wire. It is asked
	// when the login was received.
	Offer() (o Offer, ok bool)
	// Welcome answers the login of a client that has made an offer; from then on the link carries envelopes. It does not
	// block. Errors are those of Send.
	Welcome(r parlor.Response, w Welcome) error
	// Deliver encodes and queues messages in their order; it does not block. They acknowledge the client's requests up to the
	// number ack. ErrTooLarge, and the errors of AppendBody, mean that one of them cannot be sent, and none was. A link
	// that has ended drops them and returns net.ErrClosed. The slice is the caller's again afterwards.
	//
	// Several at once are what a client missed that has come back. They are not counted for the bound of what may wait for it: the lobby
	// bounds what it keeps for a client, and a link that closed for it would have the same to deliver again.
	//
	// Requests that no message has acknowledged for NoteAfter, or so many that Unnoted says so, are acknowledged by the link itself,
	// with a note: the last one that Session.Request has taken.
	Deliver(ack uint64, m ...Message) error
	// Abort ends the link at once, without a word, and lets go of what waits in it: its client has come back on another one, which
	// gets that again. It does not block, and may be called again.
	Abort()
}

// Offer is what a client says in its login, beside its name and password, to speak envelopes.
type Offer struct {
	Token []byte // of the session that it wants to resume; nil: none
	Seq   uint64 // the highest number that it has of that session
	ID    uint64 // up to this number all of its requests were answered
}

// Welcome is what the answer to such a login says.
type Welcome struct {
	Token   []byte        // the next token
	Window  time.Duration // how long the session outlives its link
	Resumed bool          // the session of the offer's token was taken up
	ID      uint64        // resumed: the highest number of a request that the server has; those behind it are to be sent again
	Lost    int           // resumed: how many pushes were dropped
}

// Message is an answer or a push of a session, which keeps it until the client has acknowledged it. What it points to is not
// changed.
type Message struct {
	Seq uint64
	// ID and Response are those of an answer.
	ID       uint64
	Response *parlor.Response
	// Push is set for a push. Many messages share it.
	Push *parlor.Push
}

// Peer is the other end of a link, as the server sees it.
type Peer struct {
	Remote string     // address and port, for debug texts; "::1" is shown as localhost (section 7.4)
	Addr   netip.Addr // the address that limits count by; the zero Addr for a peer in this process
	Key    string     // the client's public key in base64; empty where the wire has none
}

// Code is a close code of RFC 6455, section 7.4.
type Code uint16

// The codes that a server closes with (section 2.5).
const (
	CloseNormal      Code = 1000 // after a response that disconnects; a timeout; an undecryptable message
	CloseGoingAway   Code = 1001 // the server stops
	CloseProtocol    Code = 1002 // the peer broke the rules of the wire
	CloseInvalidText Code = 1007 // a text was not UTF-8
	ClosePolicy      Code = 1008 // the peer ran into a limit; the reason names it
	CloseTooLarge    Code = 1009 // a message was larger than the limit
	CloseInternal    Code = 1011 // unreadable before the login; keepalive timeout
	CloseTryAgain    Code = 1013 // more waited for the peer than the limit; its session is still there
)

// EndsSession tells whether a session ends with the link that was closed with the code; after any other, and without one, it may wait
// for another link (docs/PROTOCOL.md, section 2.3).
func (c Code) EndsSession() bool { return c == CloseNormal || c == ClosePolicy }

// CloseError is an error that says how the link shall close.
type CloseError struct {
	Code   Code
	Reason string
}

func (e *CloseError) Error() string { return "link closes: " + e.Reason }

// Errors that links and lobbies branch on.
var (
	ErrTooLarge      = errors.New("message larger than the peer accepts")
	ErrTooMany       = errors.New("too many connections")
	ErrOutOfTurn     = errors.New("envelope out of turn")
	ErrUndecryptable = errors.New("message could not be decrypted")
	ErrNoServerKey   = errors.New("missing public key string from server")
	ErrMalformedKey  = errors.New("malformed public key from server")
)

// Dialer opens the client's end of a path. Dial returns when the socket is open; it blocks until then or
// until ctx ends.
type Dialer interface {
	Dial(ctx context.Context, address string) (Conn, error)
}

// Conn is the client's end of a path to a server. Send and Receive may be used at the same time, each by
// one goroutine. An error ends the connection; net.ErrClosed is among its causes when it was closed.
type Conn interface {
	// Handshake trades keys and returns the server's public key, empty where the wire has none. It comes first.
	Handshake(ctx context.Context) (serverKey string, err error)
	// Send writes one packet. It blocks until it is written or ctx ends.
	Send(ctx context.Context, p parlor.Packet) error
	// Receive waits for the next response.
	Receive(ctx context.Context) (parlor.Response, error)
	// Remote is the server's IP:PORT, for status texts.
	Remote() string
	// Close ends the connection in order; it waits for the other side for a second at most. It may be called
	// again, and while Send or Receive wait, which then return.
	Close() error
}

// StreamConn is the client's end of a path on which both sides may speak envelopes.
type StreamConn interface {
	Conn
	// Login sends the login with an offer, after Handshake and in place of the first Send, and waits for the answer. If the
	// server took the offer w is set, and Write and Read take the place of Send and Receive; else the client goes on with those.
	Login(ctx context.Context, p parlor.Packet, o Offer) (r parlor.Response, w *Welcome, err error)
	// Write writes envelopes. It blocks until they are written or ctx ends. ErrTooLarge, and the errors of AppendBody, are of one of
	// them, and none was written.
	Write(ctx context.Context, e ...*Envelope) error
	// Read waits for the next envelopes, one at least. If the server has closed the connection, a *CloseError is among the causes
	// of the error, whose code says whether the session has ended; without one it may be there still.
	Read(ctx context.Context) ([]Envelope, error)
	// Abort ends the connection without a word, so that the session waits for another one; Close ends the session too, and behind
	// Abort lets go of what is left at this end. It does not block.
	Abort()
}

// Network is what limits count an address as: an IPv6 host has a /64 to choose from.
func Network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
