package packet

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"parlor/internal/openfiles"
	"parlor/msgpack"
)

// Config says how a server or a client behaves. The zero value is the defaults.
type Config struct {
	// Listen is where ListenAndServe listens if it is given no address; default "0.0.0.0:8080".
	Listen string
	// Dial is where Connect connects to if it is given no address; default "localhost:8080".
	Dial string

	// NoCompression turns compression off for what is sent. What comes is inflated in any case.
	NoCompression bool
	// CompressAbove is the length of a body, in bytes, above which it is compressed; default 8192. Negative:
	// every body.
	CompressAbove int
	// CompressLevel is that of zlib, 1 (fast) to 9 (small); default 6. LevelStore only wraps.
	CompressLevel int

	// TLS is off unless TLS.Enabled.
	TLS TLS

	// KeepIDs has a client leave its registry as it is, and not compare it with the server's
	// (net.registry.autosync false).
	KeepIDs bool
	// AllowMissing has a client accept a server whose packets are not the same as its own: either may have some that
	// the other one lacks (net.registry.missingpacketaction "ignore"). By default the client closes with
	// ReasonRegistryMismatch.
	AllowMissing bool

	// ConnType is what a client announces; default ConnTypeClassic. Others must be added before (AddConnType).
	ConnType string

	// Hooks are called as things happen.
	Hooks Hooks
	// NoEvents turns subscriptions off. Without it there are events as soon as somebody subscribes.
	NoEvents bool

	// LogRecv, LogSend, LogConnect and LogClose write a line for each to Logger, at level debug.
	LogRecv, LogSend, LogConnect, LogClose bool
	// Logger gets what went wrong in handlers, 10 lines a second at most after 100 at once, and what the server could
	// not do. Default: slog.Default.
	Logger *slog.Logger

	// Manual has packets wait until the program calls Process, instead of handling them on the goroutine of their
	// connection. At the end something may still wait, the Close hooks of connections among it: a game loop ends with
	// "for { if _, err := srv.ProcessWait(ctx, 0); err != nil { break } }" after Shutdown. Hooks.Connect and
	// ConnType.Init are called on the connection's goroutine all the same.
	Manual bool
	// QueuedPackets and QueuedBytes bound what waits for Process, for each connection; default 1024 and 1 MiB. While
	// the next packet does not fit, the connection is not read from; one that is larger than QueuedBytes waits alone.
	// A connection that has ended counts towards MaxConns until the last of it was processed.
	QueuedPackets, QueuedBytes int
	// MaxQueued bounds what waits for Process of all connections together, in bytes, of which a packet takes 256 beside
	// its body; default 256 MiB. One half is divided equally among MaxConns, and within its part no connection waits for
	// another: 1 KiB is enough for a handshake, which then needs no Process. For the other half those that have more stand
	// in line, each for one packet, not read from until Process has made room; a packet that is larger waits alone. The
	// packet by which the other side closes has its place in any case.
	MaxQueued int

	// JoinClassic allows several frames to be written with one call on classic connections too. It is much
	// faster for bursts, but clients and servers of peng3dnet 0.2.0 may hang on it (D1). Connection types of your
	// own do so unless they say otherwise.
	JoinClassic bool

	MaxConns    int // connections of a server at once; default 100,000, or what the limit of open files allows (on Unix)
	MaxFrame    int // length of a frame, as its prefix declares it; default 1 MiB. It bounds what is sent too
	MaxBody     int // bytes of an inflated body; default 8 MiB
	MaxDepth    int // of nested arrays and maps; default 128
	MaxElements int // that all arrays and maps of a body declare together; default 262,144
	MaxLarge    int // bodies above 8 KiB that are inflated and decoded at once, of all connections; default 64. Others wait
	MaxHuge     int // bodies above 256 KiB that are handled at once; default 8. Others wait
	WriteQueue  int // bytes that wait to be written; default 4 MiB. Over it the connection is closed

	// HandshakeTimeout is from the begin of the connect to the end of the handshake, TLS included; default 30 s. That of a
	// connection type of your own ends when the type is announced; as long as the type has not set a state, its clients
	// must say something in each such time (ConnType.IdleTimeout).
	HandshakeTimeout time.Duration
	IdleTimeout      time.Duration // of a server, for something to come from a client, as ConnType.IdleTimeout says; default 0: any time
	WriteTimeout     time.Duration // for the other side to take anything of what is written; default 30 s
	CloseTimeout     time.Duration // for the other side to close after CloseConnection; default 2 s
}

// LevelStore is the compression level of zlib that does not compress.
const LevelStore = -2

// TLS is how connections are secured. Files are in PEM form.
type TLS struct {
	Enabled bool
	// Optional lets a server without certificate start without TLS (net.ssl.force false). By default it does not
	// start.
	Optional bool
	// CAFile has the certificates that sign those of the other side; default: the system's, for servers none.
	CAFile string
	// CertFile and KeyFile are this side's own certificate: a server needs one, a client may have one.
	CertFile, KeyFile string
	// RequireClientCert has a server refuse clients without a certificate that CAFile signed. Without it a
	// certificate is asked for if there is a CAFile, and must be good if there is one.
	RequireClientCert bool
	// SkipHostname has a client accept a good certificate that is for another host. The security level
	// is SecurityEncrypted then.
	SkipHostname bool
	// SkipVerify has a client accept any certificate: nothing is known about who the server is.
	SkipVerify bool
	// ServerVerifies tells a client that the server verifies client certificates, as those of this package do with a
	// CAFile: the client cannot see it. With it the security level is SecurityBothAuth when the server has asked for
	// the client's certificate and got it; without it a client reports SecurityServerAuth at most. It does not relax
	// anything. Servers report what they have verified themselves.
	ServerVerifies bool
	// ServerName is the name that the server's certificate must have; default: the host that is connected to.
	ServerName string
	// Config is what all of this is applied to, for what has no field here. It is not changed.
	Config *tls.Config
}

// Hooks are functions that a server calls for each of its connections, or a client for its own. Each may be
// nil. Those of one connection are called one after the other, but Send by whoever sends; with Config.Manual, Handshake,
// Receive, Close and Done are called by Process, but Connect, and Send with the protocol's own packets, still on the goroutine of
// the connection.
type Hooks struct {
	// Accept is called by Serve, before all else, when a server has accepted a socket; clients do not call it. It tells whether
	// the connection is let in, if there is room for it among Config.MaxConns. Who is not is turned away as over that limit,
	// and counted in Stats.Refused: with ReasonServerFull where there is no TLS, and no hook hears of him again. A panic turns him
	// away too, with ReasonInternalError, and is logged. Close hears once of each connection that was let in, whatever becomes of it:
	// also where its TLS fails, or the server ends meanwhile.
	//
	// It must not wait, as nobody else is accepted meanwhile. It may end other connections (Conn.Abort), to make room. Of this one
	// it knows the address (Conn.RemoteAddr). Nothing can be sent yet.
	Accept func(c *Conn) bool
	// Connect is called when a connection is there, its handshake still to come. An error, or a panic, ends it, and its text
	// stays on this side. Of a server's the client hears ReasonInternalError, and the log has it, as a warning. A client's
	// is what its Connect returns, and the server hears nothing. In both cases it is the Cause of what Close gets. Who
	// means to turn somebody away calls c.Close with a reason, which the other side hears instead of Hello, and returns
	// nil: nothing is logged then.
	Connect func(c *Conn) error
	// Handshake is called when the handshake is complete, with the state StateActive.
	Handshake func(c *Conn)
	// Receive is called after a packet was handled, the protocol's own and those refused by their checks included,
	// but not one whose handler failed.
	Receive func(c *Conn, m *Message)
	// Send is called with what is about to be sent; it may change the value. An error refuses it. Of the CloseConnection
	// with which this side closes only the event tells: nothing may change, refuse or hold up the end of a connection,
	// which whoever shuts down a server begins for all of them. Close hears of it, with the reason.
	Send func(c *Conn, o *Outgoing) error
	// Close is called once, when the connection has ended, before its state is StateClosed. The error is what
	// Conn.Err will return. This side may still have to wait for the other one to close, for Config.CloseTimeout.
	Close func(c *Conn, err *CloseError)
	// Done is called behind Close, once, when nothing of the connection is left: it has given back its place in
	// Config.MaxConns. Who counts connections counts until then.
	Done func(c *Conn)
}

// fill returns the config with its defaults, checked.
func (cfg Config) fill() (Config, error) {
	cfg.Listen = cmp.Or(cfg.Listen, "0.0.0.0:8080")
	cfg.Dial = cmp.Or(cfg.Dial, "localhost:8080")
	cfg.CompressAbove = cmp.Or(cfg.CompressAbove, 8192)
	if cfg.CompressAbove < 0 {
		cfg.CompressAbove = 0 // no body is empty
	}
	switch level := cfg.CompressLevel; {
	case level == 0 || level == -1:
		cfg.CompressLevel = 6
	case level == LevelStore:
		cfg.CompressLevel = 0
	case level < LevelStore || level > 9:
		return cfg, fmt.Errorf("%w: CompressLevel is %d, must be 1 to 9, or LevelStore", ErrConfig, level)
	}
	cfg.ConnType = cmp.Or(cfg.ConnType, ConnTypeClassic)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	for _, f := range []struct {
		name   string
		value  *int
		normal int
	}{
		{"QueuedPackets", &cfg.QueuedPackets, 1024},
		{"QueuedBytes", &cfg.QueuedBytes, 1 << 20},
		{"MaxQueued", &cfg.MaxQueued, 256 << 20},
		{"MaxConns", &cfg.MaxConns, openfiles.AtMost(100_000)},
		{"MaxFrame", &cfg.MaxFrame, 1 << 20},
		{"MaxBody", &cfg.MaxBody, 8 << 20},
		{"MaxDepth", &cfg.MaxDepth, msgpack.DefaultDepth},
		{"MaxElements", &cfg.MaxElements, 1 << 18},
		{"MaxLarge", &cfg.MaxLarge, 64},
		{"MaxHuge", &cfg.MaxHuge, 8},
		{"WriteQueue", &cfg.WriteQueue, 4 << 20},
	} {
		*f.value = cmp.Or(*f.value, f.normal)
		if *f.value < 0 {
			return cfg, fmt.Errorf("%w: %s is %d, must not be negative", ErrConfig, f.name, *f.value)
		}
	}
	if cfg.MaxFrame < headerSize+1 || cfg.MaxFrame > MaxPacketLength {
		return cfg, fmt.Errorf("%w: MaxFrame is %d, must be %d to %d", ErrConfig, cfg.MaxFrame, headerSize+1, MaxPacketLength)
	}
	if cfg.MaxDepth > msgpack.MaxDepth {
		return cfg, fmt.Errorf("%w: MaxDepth is %d, must be at most %d", ErrConfig, cfg.MaxDepth, msgpack.MaxDepth)
	}
	for _, f := range []struct {
		name   string
		value  *time.Duration
		normal time.Duration
	}{
		{"HandshakeTimeout", &cfg.HandshakeTimeout, 30 * time.Second},
		{"IdleTimeout", &cfg.IdleTimeout, 0},
		{"WriteTimeout", &cfg.WriteTimeout, 30 * time.Second},
		{"CloseTimeout", &cfg.CloseTimeout, 2 * time.Second},
	} {
		*f.value = cmp.Or(*f.value, f.normal)
		if *f.value < 0 {
			return cfg, fmt.Errorf("%w: %s is %v, must not be negative", ErrConfig, f.name, *f.value)
		}
	}
	return cfg, nil
}

// Until the handshake is over, and for the protocol's own packets but the Handshake itself, less will do: nothing is
// known of the peer yet, and it costs him nothing.
const (
	shortFrame    = 64 << 10 // of a frame, and of its body inflated
	shortElements = 1024
)

func (cfg *Config) limits() msgpack.Limits {
	return msgpack.Limits{Depth: cfg.MaxDepth, Elements: cfg.MaxElements}
}
