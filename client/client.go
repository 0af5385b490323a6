// Package client talks to a lobby: Parlor's, or that of pgnet 0.2.1 (section 13 of its protocol).
//
// [Dial] connects and logs in. Requests are made by methods that wait for the answer ([Client.Request],
// [Client.JoinGame], ...) or with a callback ([Client.Send]). News come by the functions in [Config]: status
// texts, connection and game events, heartbeats. All of them, and callbacks, are called one after another by
// one goroutine at a time, so that an application needs no locks for them; they may call any method of the
// client but [Client.Wait].
//
// Parlor's own wires carry envelopes (docs/PROTOCOL.md, [Client.Streams]): then requests are under way together, the server
// pushes ([Config.OnPush]), and a session outlives its link: the client connects again by itself and goes on where it was
// ([Reconnect]). [Config].Dialer chooses between them: WebSocket without one, the packet wire with a packetlink.Dialer. To pgnet's
// servers, and over a Dialer that has no envelopes, it speaks pgnet's wire: one request at a time, and
// the session ends with the connection.
//
// The methods of Client may be called concurrently.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"parlor"
	"parlor/box"
	"parlor/link"
	"parlor/link/wslink"
)

// Config says who connects, and whom to tell. Username is required.
type Config struct {
	Username   string
	Password   string
	InviteCode string // for registering where registration is off

	// ServerKey is the public key that the server must show, as it prints it: 44 characters of base64. The
	// client disconnects from any other before it sends anything of the login. Empty: any key.
	ServerKey string
	// Key is the client's key pair. Default: a new one for the client, kept over reconnects. It is for the
	// default Dialer, and a wslink.Dialer without a Key; another one has its own.
	Key *box.Key
	// Dialer opens the connection, and says on which wire. Default: a wslink.Dialer with Key: WebSocket, on which Parlor's servers
	// speak the native wire, and others pgnet's. wslink.Dialer{TLS: ...} trusts other authorities for a wss:// address; packetlink.Dialer{}
	// is for the packet wire, at tcp://, tls:// and unix: addresses.
	Dialer link.Dialer

	// The functions below are called in the order of sections 13.1 and 13.4, and pushes and answers as they happened at the
	// server. One that blocks holds up all that come after it, but not the connection, until 1024 wait, or 4 MiB of answers and
	// pushes: then an own wire is read no further, until there are fewer, somebody waits for an answer (Request and its like), or
	// 5 s have passed. From then on it is read again, and the oldest pushes are dropped. Only an answer behind so many that wait
	// holds it up for longer: such a link is closed in the end, and resumed.

	// OnStatus is told each status text, such as "Logging in...". A session that outlives its link has three more:
	// "Connection lost: REASON", "Reconnecting to ADDRESS:PORT (try N)..." and "Resumed as NAME @ IP:PORT"; when the
	// session is gone it is "Logged in as NAME @ IP:PORT" again.
	OnStatus func(status string)
	// OnConnection is told that the client has logged in, and afterwards that it is disconnected. The end of a link that the
	// session outlives is none of both; if the session is found gone when the client is back, it is told both, one after the
	// other: false for the old one, true for the new one.
	OnConnection func(connected bool)
	// OnLink is told that the link of a session has ended, and the client is about to reconnect (false); and that
	// there is one again (true), also if it is a new session's, behind OnConnection.
	OnLink func(up bool)
	// OnGame is told the game that the user has joined, or "" when she is in none any more: at once where the server pushes
	// (parlor.PushLeftGame), with its next answer otherwise.
	OnGame func(game string)
	// OnPush is given what the server says by itself: pushes of the game, and of the lobby (their Game is empty). Pgnet's wire
	// has none. A push must not be changed.
	OnPush func(push *parlor.Push)
	// OnLost is told that so many pushes were lost before those that follow: more than the server keeps for a client
	// that is away, or over 2048, or 8 MiB, that waited for OnPush while the application was slow. It is told of one when the
	// server was started again, whatever was lost then. What the game's news had said up to here has to be asked for.
	OnLost func(pushes int)
	// OnHeartbeat is given the answers to heartbeats. Where the server pushes, heartbeats are sent only if this or HeartbeatPayload
	// is set, as games have no need of them there.
	OnHeartbeat func(heartbeat parlor.Response)
	// HeartbeatPayload makes the payload of the next heartbeat: any value that parlor.Encode takes. Default: {}.
	HeartbeatPayload func() any

	// MaxPending bounds the requests that wait; Send returns ErrQueueFull beyond it. Default 1024. Where many are under way
	// together (128 and 1 MiB at most), these count too, until they are answered.
	MaxPending int
	// Timeout is how long sending, waiting for an answer, and each step of the login may take before the client
	// disconnects. Default 5 s. Opening the socket is the Dialer's business: 10 s by default.
	//
	// Where many requests are under way together it does not bound the wait for an answer: a slow game is no dead link, which
	// the wire's own keepalive finds. There the context of a Request bounds it. A send that takes longer ends the link, and the client
	// reconnects.
	Timeout time.Duration
	// Reconnect says how the client goes on when a link has ended that its session may outlive.
	Reconnect Reconnect
	// Logger gets refused requests and failures of callbacks. Default: slog.Default.
	Logger *slog.Logger
}

// Errors of requests and of Connect. A request that was waiting or under way when the connection ended
// fails with a *DisconnectedError; ErrUncertain is among the causes of one that was under way in a session of envelopes,
// as the server may have executed it.
var (
	ErrConnected    = errors.New("cannot open more than one connection per client") // of Connect
	ErrNotConnected = errors.New("not connected")                                   // of every request
	ErrQueueFull    = errors.New("too many requests waiting for the server")        // of every request
	ErrFlushed      = errors.New("request flushed from the queue")                  // of a request that Flush took
	ErrUncertain    = errors.New("it is not known whether the request was executed")
)

// Reasons of a disconnect (section 13.2). Besides these there are the messages of the server's refusals.
const (
	ReasonCallFailed   = "Failed to call server." // or no handshake answer in time
	ReasonNoKey        = "Missing public key string from server."
	ReasonWrongKey     = "Unverified server public key."
	ReasonClosed       = "Connection closed."
	ReasonTimeout      = "Connection timed out."
	ReasonUndecrypted  = "Failed to encrypt message."
	ReasonByClient     = "Client closed connection."
	ReasonUnexpected   = "Unexpected message from server."        // where pgnet's client is left in limbo (defect 12)
	ReasonApplication  = "Application failed to handle an event." // likewise
	ReasonSessionLost  = "Session lost."                          // of requests: the client is back, but its session was gone
	statusNew          = "New client."
	statusLoggingIn    = "Logging in..."
	statusLost         = "Connection lost: " // the client is reconnecting
	statusDisconnected = "Disconnected: "
)

// DisconnectedError is why a connection ended, or was not made.
type DisconnectedError struct {
	Reason string // one of the reasons above, or the server's own words
	Err    error  // the cause, if there is more to say
}

func (e *DisconnectedError) Error() string {
	if e.Err == nil {
		return "disconnected: " + e.Reason
	}
	return "disconnected: " + e.Reason + " (" + e.Err.Error() + ")"
}

// Unwrap returns the cause.
func (e *DisconnectedError) Unwrap() error { return e.Err }

// Is tells errors.Is that a disconnect is a net.ErrClosed.
func (e *DisconnectedError) Is(target error) bool { return target == net.ErrClosed }

// uncertain is the error for a request that was under way.
func (e *DisconnectedError) uncertain() *DisconnectedError {
	if e.Err == nil {
		return &DisconnectedError{Reason: e.Reason, Err: ErrUncertain}
	}
	return &DisconnectedError{Reason: e.Reason, Err: fmt.Errorf("%w: %w", ErrUncertain, e.Err)}
}

// Client is a user's client. It may be connected again after a disconnect.
type Client struct {
	cfg     Config
	address string
	dialer  link.Dialer
	events  events

	links, resumed, lost, queueFull atomic.Int64 // see Stats

	mu        sync.Mutex // guards the fields below
	status    string
	serverKey string
	connected bool
	linked    bool // and there is a link
	streams   bool // which carries envelopes
	game      string
	rate      float64 // heartbeats a second
	run       *run    // the connection in progress; nil when there is none
	ended     *run    // the one before
}

// New makes a client for the server at an address: HOST, HOST:PORT, or a ws:// or wss:// URL; with a Dialer of another wire what
// that takes. It does not connect yet. Errors are those of a ServerKey that is none, and of making a key.
func New(address string, cfg Config) (*Client, error) {
	if cfg.ServerKey != "" && box.CheckPublic(cfg.ServerKey) != nil {
		return nil, fmt.Errorf("server key %q is no public key: it must be the 44 characters that the server prints at its start", cfg.ServerKey)
	}
	if cfg.MaxPending <= 0 {
		cfg.MaxPending = 1024
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	cfg.Reconnect.fill()
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	socket, own := cfg.Dialer.(wslink.Dialer)
	keyless := cfg.Dialer == nil || own && socket.Key == nil
	if keyless && cfg.Key == nil {
		key, err := box.NewKey()
		if err != nil {
			return nil, err
		}
		cfg.Key = key
	}
	if keyless { // it would make one for each link, but a session is resumed with the same key only
		socket.Key = cfg.Key
		cfg.Dialer = socket
	}
	c := &Client{cfg: cfg, address: address, dialer: cfg.Dialer, status: statusNew, rate: parlor.DefaultHeartbeatRate}
	c.events.failed = c.callbackFailed
	c.events.lost = func(pushes int) {
		if cfg.OnLost != nil {
			cfg.OnLost(pushes)
		}
	}
	return c, nil
}

// Dial makes a client and connects it. It blocks until the login is answered or ctx ends; ctx does not bound
// the connection afterwards. A connection that was not made is a *DisconnectedError, with the server's words
// as its Reason if it refused the login.
func Dial(ctx context.Context, address string, cfg Config) (*Client, error) {
	c, err := New(address, cfg)
	if err != nil {
		return nil, err
	}
	if err := c.Connect(ctx); err != nil {
		c.Wait()
		return nil, err
	}
	return c, nil
}

// Connect connects and logs in. It blocks until the login is answered or ctx ends. Errors are ErrConnected
// and *DisconnectedError.
func (c *Client) Connect(ctx context.Context) error {
	r := newRun(c)
	c.mu.Lock()
	if c.run != nil {
		c.mu.Unlock()
		return ErrConnected
	}
	c.run = r
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { r.end(&DisconnectedError{Reason: ReasonByClient, Err: context.Cause(ctx)}) })
	go r.loop() // ends with the connection; Wait waits
	<-r.ready
	if !stop() && r.cause() == nil { // ctx ended at the last moment, after the login
		<-r.done
	}
	if err := r.cause(); err != nil {
		<-r.done
		return err
	}
	return nil
}

// Disconnect ends the connection, also one whose login is not complete yet (defect 8), and the session with it. While the client is
// reconnecting it ends that: the server, which cannot be told, keeps the session for its window. It does not block: Wait
// does.
func (c *Client) Disconnect() {
	c.mu.Lock()
	r := c.run
	c.mu.Unlock()
	if r != nil {
		r.end(&DisconnectedError{Reason: ReasonByClient})
	}
}

// Close disconnects and waits until the connection is closed, for about a second at most, and for a server
// of its own (host.Local) until that has saved and ended. Events may still be on their way when it returns.
// It may be called again. The error is always nil.
func (c *Client) Close() error {
	c.Disconnect()
	if r := c.lastRun(); r != nil {
		<-r.done
	}
	return nil
}

// Wait blocks until the client is disconnected and the last event was handled, and returns why it was
// disconnected, as a *DisconnectedError; nil if it never was connected. A function of Config or a callback
// that called it would wait for itself.
func (c *Client) Wait() error {
	r := c.lastRun()
	if r == nil {
		return nil
	}
	<-r.done
	c.events.wait()
	return r.cause()
}

// Done is closed when the connection in progress, or else the last one, has ended; nil if there was none.
func (c *Client) Done() <-chan struct{} {
	if r := c.lastRun(); r != nil {
		return r.done
	}
	return nil
}

func (c *Client) lastRun() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run != nil {
		return c.run
	}
	return c.ended
}

// Connected tells whether the client is logged in, also while it reconnects to a session.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected
}

// Linked tells whether there is a link at the moment. A client that is Connected without one is reconnecting; requests wait.
func (c *Client) Linked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected && c.linked
}

// Streams tells whether the connection, or else the last one, carries envelopes: the server pushes, and the session outlives a link.
func (c *Client) Streams() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams
}

// Stats counts what happened to a client since it was made.
type Stats struct {
	Links      int64 // links that took the place of one that had ended
	Resumed    int64 // of these, links that took up the session
	PushesLost int64 // pushes that OnLost told of
	Slowed     int64 // times that the link was read no further, as the application was slow
	QueueFull  int64 // requests over Config.MaxPending
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	return Stats{
		Links: c.links.Load(), Resumed: c.resumed.Load(), PushesLost: c.lost.Load(),
		Slowed: c.events.slow(), QueueFull: c.queueFull.Load(),
	}
}

// Status is the last status text; "New client." before the first.
func (c *Client) Status() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// ServerKey is the public key that the server has shown last, empty before it has: an application that keeps
// it, and gives it as Config.ServerKey from then on, trusts on first use.
func (c *Client) ServerKey() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serverKey
}

// Game is the game that the user is in; empty for none.
func (c *Client) Game() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.game
}

// Username is the user of the client.
func (c *Client) Username() string { return c.cfg.Username }

// setStatus stores a status text and tells of it. The lock is held.
func (c *Client) setStatus(text string) {
	c.status = text
	if c.cfg.OnStatus != nil {
		c.events.put(func() { c.cfg.OnStatus(text) })
	}
}

// setConnected likewise.
func (c *Client) setConnected(connected bool) {
	c.connected = connected
	if c.cfg.OnConnection != nil {
		c.events.put(func() { c.cfg.OnConnection(connected) })
	}
}

// setLinked likewise.
func (c *Client) setLinked(up bool) {
	c.linked = up
	if c.cfg.OnLink != nil {
		c.events.put(func() { c.cfg.OnLink(up) })
	}
}

// setGame likewise.
func (c *Client) setGame(game string) {
	c.game = game
	if c.cfg.OnGame != nil {
		c.events.put(func() { c.cfg.OnGame(game) })
	}
}

// callbackFailed disconnects after a panic in a function of the application (defect 12).
func (c *Client) callbackFailed(cause any, stack []byte) {
	c.cfg.Logger.Error("event handler panicked", "panic", cause, "stack", string(stack))
	c.mu.Lock()
	r := c.run
	c.mu.Unlock()
	if r != nil {
		r.end(&DisconnectedError{Reason: ReasonApplication})
	}
}
