//go:build !js

package wslink

import (
	"cmp"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"parlor"
	"parlor/box"
	"parlor/link"
)

// Config says where clients are brought, and what they may do. Lobby and Key are required.
type Config struct {
	Lobby link.Lobby
	Key   *box.Key
	// Nonces remembers logins, so that a recorded session cannot be replayed. Default: in memory.
	Nonces *Nonces

	// Origins are the values of the Origin header that are let in, such as "https://example.org". Clients that
	// are not browsers send none and are always let in. Default: all, as pgnet does (defect 48).
	Origins []string
	// TrustedProxies are the networks of reverse proxies. The address of a client that comes through one is
	// taken from the X-Forwarded-For header.
	TrustedProxies []netip.Prefix

	// Connections is how many there may be at once, from the moment that they are accepted; default 100,000.
	// Over it, and over Pending, those who have not logged in make room: the oldest of the network that has most
	// of them. Where there are only users, one more connection gets an answer that says so.
	Connections int
	Pending     int // of them, those that have not logged in yet; default 10,000

	LoginSize int // bytes of a message before the login; default 1 MiB, too (section 2.3)
	// StrangersSize bounds what the messages of all connections before their logins hold together, in bytes,
	// beyond the first 16 KiB of each: an ordinary login always has room. Default 64 MiB.
	StrangersSize int
	MessageSize   int // bytes of a message after it; default 1 MiB, which pgnet's clients can send
	// QueueSize is how many bytes of responses, and pushes, may wait to be written; default 4 MiB. What a client of the native wire
	// missed while it was away may be more.
	QueueSize int

	LoginTimeout time.Duration // for the key trade, and again for the login; default 5 s
	MessageTime  time.Duration // from the first to the last byte of a message; default 30 s
	IdleTimeout  time.Duration // until the next packet, on pgnet's wire; default 3600 s
	PingInterval time.Duration // silence before a ping is sent; default 10 s
	PingTimeout  time.Duration // further silence before the connection is closed; default 10 s
	WriteTimeout time.Duration // for a client to take what is written; default 5 s
	CloseTimeout time.Duration // for the other side to take what is left and answer the close frame; default 2 s

	// Logger gets what people who run the server should know. Default: slog.Default.
	Logger *slog.Logger
}

// maxText is how long a JSON text may be so that its frame is one that pgnet's peers accept (section 2.3).
const maxText = 786_392

func (c *Config) fill() error {
	if c.Lobby == nil || c.Key == nil {
		return errors.New("wslink: Config.Lobby and Config.Key are required")
	}
	if c.Nonces == nil {
		c.Nonces = newNonces()
	}
	c.Connections = cmp.Or(c.Connections, 100_000)
	c.Pending = cmp.Or(c.Pending, 10_000)
	c.LoginSize = cmp.Or(c.LoginSize, parlor.MaxMessageSize)
	c.StrangersSize = cmp.Or(c.StrangersSize, 64<<20)
	c.MessageSize = cmp.Or(c.MessageSize, parlor.MaxMessageSize)
	c.QueueSize = cmp.Or(c.QueueSize, 4<<20)
	c.LoginTimeout = cmp.Or(c.LoginTimeout, 5*time.Second)
	c.MessageTime = cmp.Or(c.MessageTime, 30*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 3600*time.Second)
	c.PingInterval = cmp.Or(c.PingInterval, 10*time.Second)
	c.PingTimeout = cmp.Or(c.PingTimeout, 10*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 5*time.Second)
	c.CloseTimeout = cmp.Or(c.CloseTimeout, 2*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return nil
}

// Stats counts what happened to connections. Every limit has a counter.
type Stats struct {
	Accepted     atomic.Int64 // upgraded connections
	BadUpgrades  atomic.Int64 // requests that were not, or not good, WebSocket upgrades
	Refused      atomic.Int64 // connections over Config.Connections or Config.Pending
	Forbidden    atomic.Int64 // connections of an Origin that is not let in
	LoginTimeout atomic.Int64 // connections silent before the login
	MessageTime  atomic.Int64 // messages that took longer than Config.MessageTime to come
	IdleTimeout  atomic.Int64 // sessions without a packet for Config.IdleTimeout
	PingTimeout  atomic.Int64 // peers that did not answer a ping
	WriteTimeout atomic.Int64 // peers that did not read
	TooLarge     atomic.Int64 // messages over a size limit
	Strangers    atomic.Int64 // messages over Config.StrangersSize
	QueueFull    atomic.Int64 // connections closed over Config.QueueSize
	Undecrypted  atomic.Int64 // messages that could not be opened
	Replayed     atomic.Int64 // messages that had been sent before
	Violations   atomic.Int64 // breaches of RFC 6455
}
