package packetlink

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"parlor"
	"parlor/link"
)

// Config says where clients are brought, and what they may do. Lobby is required.
type Config struct {
	Lobby link.Lobby
	// TLS is what connections are secured with; nil: nothing. It needs a certificate.
	TLS *tls.Config
	// AllowClear takes logins without TLS from other machines too: for a network that protects what crosses it. Without it
	// only those from the loopback and from unix sockets are taken.
	AllowClear bool
	// Ping is what pings are answered with, beside the versions. It must not change.
	Ping map[string]any

	// Connections is how many there may be at once, each from the moment that it is accepted to the end of its socket; default
	// 100,000. Over it who has not logged in makes room for newcomers, as over Pending; a newcomer is turned away if there are only
	// users.
	Connections int
	// Of them, those that have not logged in, TLS handshakes and pings included; default 10,000. Over it the oldest of the network
	// that has most of them is cut off.
	Pending int

	LoginSize   int // bytes of a frame before the login; default 16 KiB
	MessageSize int // bytes of an envelope; default 1 MiB
	// QueueSize is how many bytes of envelopes wait to be written; default 4 MiB. Over it the link is cut: the session stays. What a
	// client that has come back missed may be more.
	QueueSize int

	LoginTimeout time.Duration // for TLS and the connection type, and again for the login; default 5 s
	NoteInterval time.Duration // silence of this side before it sends a note; default 20 s
	Silence      time.Duration // of the other side, before the link is ended; default 45 s
	WriteTimeout time.Duration // for a client to take anything of what is written; default 30 s
	CloseTimeout time.Duration // for the other side to close behind this one; default 2 s

	// Logger gets what people who run the server should know. Default: slog.Default.
	Logger *slog.Logger
}

// leastMessage is the least that Config.MessageSize and LoginSize can be: a login must fit.
const leastMessage = 512

func (c *Config) fill() error {
	if c.Lobby == nil {
		return errors.New("packetlink: Config.Lobby is required")
	}
	c.Connections = cmp.Or(c.Connections, 100_000)
	c.Pending = cmp.Or(c.Pending, 10_000)
	c.LoginSize = cmp.Or(c.LoginSize, 16<<10)
	c.MessageSize = cmp.Or(c.MessageSize, parlor.MaxMessageSize)
	c.QueueSize = cmp.Or(c.QueueSize, 4<<20)
	c.LoginTimeout = cmp.Or(c.LoginTimeout, 5*time.Second)
	c.NoteInterval = cmp.Or(c.NoteInterval, noteInterval)
	c.Silence = cmp.Or(c.Silence, silence)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 30*time.Second)
	c.CloseTimeout = cmp.Or(c.CloseTimeout, 2*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	for _, f := range []struct {
		name         string
		value, least int
	}{
		{"Connections", c.Connections, 1}, {"Pending", c.Pending, 1}, {"QueueSize", c.QueueSize, 1},
		{"LoginSize", c.LoginSize, leastMessage}, {"MessageSize", c.MessageSize, leastMessage},
	} {
		if f.value < f.least {
			return fmt.Errorf("packetlink: Config.%s is %d, must be %d at least", f.name, f.value, f.least)
		}
	}
	return nil
}

// Times of section 4.2.
const (
	noteInterval = 20 * time.Second
	silence      = 45 * time.Second
)

// Stats counts what happened to links. Every limit has a counter, here or in Server.Packets.
type Stats struct {
	Refused      atomic.Int64 // connections cut off over Config.Connections or Config.Pending, and those that were turned away
	LoginTimeout atomic.Int64 // connections that did not log in
	Clear        atomic.Int64 // logins refused as they came without TLS
	TooLarge     atomic.Int64 // envelopes over Config.MessageSize that were to be sent
	QueueFull    atomic.Int64 // links cut over Config.QueueSize
	Violations   atomic.Int64 // links closed for what is no envelope, or comes out of turn
	Notes        atomic.Int64 // notes that were sent
}
