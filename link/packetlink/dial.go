package packetlink

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"parlor"
	"parlor/link"
	"parlor/msgpack"
	"parlor/packet"
)

// DefaultPort is where the packet wire is by default, beside parlor.DefaultPort.
const DefaultPort = parlor.DefaultPort + 1

// ErrClear means a login that would have crossed a network without TLS.
var ErrClear = errors.New(adviceClear + " (tls://HOST:PORT), or allow it where the network protects what crosses it (AllowClear)")

// Dialer connects to servers of the packet wire. The zero Dialer connects without TLS, and logs in over the loopback only.
type Dialer struct {
	// TLS is how to check the server, for addresses that do not say tcp://; nil trusts the system's authorities, for those
	// that say tls://, and is no TLS for all others.
	TLS *tls.Config
	// AllowClear logs in without TLS to other machines too.
	AllowClear bool
	// Timeout bounds the opening of the connection, TLS included. Default 10 s.
	Timeout time.Duration
	// MessageSize bounds an envelope, in bytes, either way: it should be what the server takes. Default 1 MiB.
	MessageSize int
	// NoteInterval is how long this side may be silent before it sends a note; default 20 s. Silence is how long the server
	// may be, before the link has ended; default 45 s.
	NoteInterval, Silence time.Duration
	// DialContext opens the network connection; nil is net.Dialer's.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger gets what should not happen. Default: slog.Default.
	Logger *slog.Logger
}

// Dial opens a connection. The address is HOST, HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, or unix:/PATH; the default port
// is 38930. An IPv6 address with a port needs brackets. What it returns is a link.StreamConn; its Send and Receive are
// errors.ErrUnsupported, as this wire carries nothing but envelopes. The error is a packet.ErrNoHello where something else listens.
func (d Dialer) Dial(ctx context.Context, address string) (link.Conn, error) {
	network, at, secure, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	timeout := cmp.Or(d.Timeout, 10*time.Second)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := d.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	nc, err := dial(ctx, network, at)
	if err != nil {
		return nil, fmt.Errorf("call server at %s: %w", address, err)
	}
	c := newClientConn(d, nc)
	security := packet.TLS{Enabled: secure == always || secure == perhaps && d.TLS != nil, Config: d.TLS}
	if security.Enabled && (d.TLS == nil || d.TLS.ServerName == "") && network == "tcp" {
		security.ServerName, _, _ = net.SplitHostPort(at)
	}
	if !security.Enabled {
		security.Config = nil
	}
	c.c = packet.NewClient(newRegistry(c.handler), packet.Config{
		ConnType: ConnType, TLS: security, KeepIDs: true, NoEvents: true, NoCompression: true,
		MaxFrame: frameHeader + c.most, MaxBody: c.most, MaxDepth: msgpack.DefaultDepth + 1,
		HandshakeTimeout: timeout, Logger: cmp.Or(d.Logger, slog.Default()),
		Hooks: packet.Hooks{Close: func(_ *packet.Conn, why *packet.CloseError) { c.closed(why) }},
	})
	if err := c.c.AddConnType(ConnType, packet.ConnType{Init: func(c *packet.Conn) error {
		c.SetState(packet.StateActive)
		return nil
	}}); err != nil { // never: it is no other's name
		nc.Close()
		return nil, err
	}
	if err := c.c.ConnectConn(ctx, nc); err != nil {
		err = c.withCode(err)
		if errors.Is(err, packet.ErrNoHello) {
			err = fmt.Errorf("%w A packet wire with TLS is at tls://HOST:PORT, and a WebSocket port is for wslink.Dialer", err)
		}
		return nil, fmt.Errorf("call server at %s: %w", address, err)
	}
	_, from := whereFrom(nc.RemoteAddr())
	c.clear = !security.Enabled && !d.AllowClear && leaves(from)
	c.wg.Go(c.keepalive) // ends with the connection
	return c, nil
}

// whether says if an address wants TLS.
type whether int

const (
	perhaps whether = iota
	always
	never
)

// parseAddress says what to dial.
func parseAddress(address string) (network, at string, secure whether, err error) {
	if path, found := strings.CutPrefix(address, "unix:"); found {
		if path = strings.TrimPrefix(path, "//"); path == "" {
			return "", "", 0, fmt.Errorf("address %q: it names no socket; try unix:/PATH", address)
		}
		return "unix", path, perhaps, nil
	}
	scheme, host, found := strings.Cut(address, "://")
	switch {
	case !found:
		host = address
	case scheme == "tcp":
		secure = never
	case scheme == "tls":
		secure = always
	case scheme == "ws", scheme == "wss":
		return "", "", 0, fmt.Errorf("address %q: this is one of WebSocket, for wslink.Dialer; for the packet wire the scheme must be unix:, tcp:// or tls://", address)
	default:
		return "", "", 0, fmt.Errorf("address %q: the scheme must be unix:, tcp:// or tls://", address)
	}
	host = strings.TrimSuffix(host, "/")
	if ip := net.ParseIP(host); ip != nil && strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil || port == "" {
		port = strconv.Itoa(DefaultPort)
		name, _, err = net.SplitHostPort(strings.TrimSuffix(host, ":") + ":" + port)
	}
	if err != nil || name == "" {
		return "", "", 0, fmt.Errorf("address %q: this is no HOST or HOST:PORT; try localhost:%d, or [::1]:%[2]d for an IPv6 address", address, DefaultPort)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", 0, fmt.Errorf("address %q: the port must be a number from 1 to 65535", address)
	}
	return "tcp", net.JoinHostPort(name, port), secure, nil
}
