package packet

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// endpoint is what servers and clients have in common.
type endpoint struct {
	cfg      Config
	registry *Registry
	server   *Server // one of the two is set
	client   *Client
	zip      *compressor
	turns    turns
	events   hub
	silent   atomic.Bool // nothing more will happen but what waits for Process
	queue    queue
	stats    Stats
	begun    time.Time // when it was made

	warnings *rate.Limiter // of report, for each of which the other side may be the cause
	unsaid   atomic.Int64  // warnings that were left out since the last one
	needless sync.Once     // the warning of a Process without Config.Manual

	wg sync.WaitGroup // all goroutines

	mu    sync.Mutex           // guards types
	types map[string]*connType // by name
}

// Stats counts what happened. Every limit has a counter.
type Stats struct {
	Accepted         atomic.Int64 // connections
	Refused          atomic.Int64 // over Config.MaxConns, or turned away by Hooks.Accept
	FramesIn         atomic.Int64 // frames that were whole
	Waited           atomic.Int64 // bodies that had to wait over Config.MaxLarge or Config.MaxHuge
	WaitedQueued     atomic.Int64 // packets that had to wait over Config.QueuedPackets, QueuedBytes or MaxQueued
	Unknown          atomic.Int64 // packets with an ID that is not registered
	Early            atomic.Int64 // packets before the connection type was known
	Invalid          atomic.Int64 // smart packets that came and whose checks did not hold
	HandlerErrors    atomic.Int64 // handlers and hooks that failed or panicked
	InvalidFrames    atomic.Int64 // connections closed by ReasonInvalidFrame or ReasonEncryption
	TooLarge         atomic.Int64 // connections closed by ReasonFrameTooLarge or ReasonBodyTooLarge
	QueueFull        atomic.Int64 // connections closed by ReasonWriteQueueFull
	WriteTimeout     atomic.Int64 // connections closed by ReasonWriteTimeout
	HandshakeTimeout atomic.Int64 // connections closed by ReasonHandshakeTimeout
	IdleTimeout      atomic.Int64 // connections closed by ReasonIdleTimeout
	CloseTimeout     atomic.Int64 // connections that the other side did not close within Config.CloseTimeout
}

func newEndpoint(reg *Registry, cfg Config) *endpoint {
	e := &endpoint{cfg: cfg, registry: reg, zip: newCompressor(cfg.CompressLevel), turns: newTurns(&cfg), types: make(map[string]*connType), begun: time.Now()}
	e.warnings = rate.NewLimiter(10, 100) // a second, and in a burst
	e.events.off = cfg.NoEvents
	e.queue.init(&cfg)
	if option := cfg.TLS.forgotten(); option != "" && cfg.Logger != nil {
		cfg.Logger.Warn("packet: " + option + " is set, but TLS.Enabled is not: connections are in the clear")
	}
	if cfg.Manual && cfg.Logger != nil && cfg.MaxQueued/2/max(cfg.MaxConns, 1) < 1<<10 {
		cfg.Logger.Warn("packet: Config.MaxQueued is less than 2 KiB for each of Config.MaxConns: when many wait, handshakes wait for Process", "MaxQueued", cfg.MaxQueued, "MaxConns", cfg.MaxConns)
	}
	e.types[ConnTypeClassic] = &connType{e.classic(), ConnTypeClassic}
	return e
}

// Registry is that of this side. A client's is its own copy, with the server's IDs after the handshake.
func (e *endpoint) Registry() *Registry { return e.registry }

// Stats are the counters. They go on counting.
func (e *endpoint) Stats() *Stats { return &e.stats }

// Subscribe returns a subscription to the events of these names from now on, or to all if there are none. size is how
// many may wait for the listener. Events that nobody wants cost nothing: who listens to EventAccept and EventServerClose
// does not slow down packets.
//
// Of what does not fit, the newest are lost (Subscription.Dropped): who keeps a list of connections then makes it anew
// from Server.Conns, as at the beginning, since nothing is told of those who are there already.
func (e *endpoint) Subscribe(size int, names ...EventName) *Subscription {
	for _, name := range names {
		if !strings.HasPrefix(string(name), string(e.bySide("peng3dnet:server.", "peng3dnet:client."))) {
			e.log().Warn("packet: a subscription to an event that never happens on this side", "event", name)
		}
	}
	return e.events.subscribe(size, names)
}

// goes runs f on a goroutine of its own, which the end of the server or client waits for.
func (e *endpoint) goes(f func()) { e.wg.Go(f) }

func (e *endpoint) log() *slog.Logger { return e.cfg.Logger }

// emit sends an event, to whoever listens. Callers that would have to make something for it ask before.
func (e *endpoint) emit(ev Event) {
	if e.events.wants(ev.Name) {
		ev.Server, ev.Client = e.server, e.client
		e.events.put(ev)
	}
}

// wants tells whether somebody listens to an event of this side.
func (e *endpoint) wants(server, client EventName) bool {
	return e.events.now.Load() != nil && e.events.wants(e.bySide(server, client))
}

// lastEvent is called when the server or client has ended, and when Process has done something since: it closes the
// subscriptions behind what Process has still to tell.
func (e *endpoint) lastEvent() {
	if e.silent.Load() && e.queue.drained() {
		e.events.close()
	}
}

// Emit sends an event of the program's own, with a name and data of its own, to whoever listens.
func (e *endpoint) Emit(ev Event) { e.emit(ev) }

// bySide is one of two event names.
func (e *endpoint) bySide(server, client EventName) EventName {
	if e.server != nil {
		return server
	}
	return client
}

// forget takes a connection that has ended out of the table.
func (e *endpoint) forget(c *Conn) {
	if e.server != nil {
		e.server.forget(c)
	}
}

// isReady is called when a connection can be used: its handshake is complete, or its type has none.
func (e *endpoint) isReady(*Conn) {
	if e.client != nil {
		e.client.once.Do(func() { close(e.client.ready) })
	}
}
