package packet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Client is the connecting end. It is good for one connection, which it is: its methods are those of [Conn] as well.
// Make it with NewClient, which may be followed by AddConnType and Subscribe, and call Connect.
type Client struct {
	*endpoint
	*Conn
	ready   chan struct{} // closed when the handshake is complete
	once    sync.Once     // closes ready
	started atomic.Bool
	err     error // of the config
}

// NewClient returns a client with a copy of this registry, and this config. What is wrong with them is what
// Connect returns.
func NewClient(reg *Registry, cfg Config) *Client {
	cfg, err := cfg.fill()
	if reg == nil {
		reg, err = NewRegistry(), fmt.Errorf("%w: the registry is nil: make one with NewRegistry", ErrRegistry)
	}
	e := newEndpoint(reg.clone(), cfg)
	c := &Client{endpoint: e, Conn: newConn(e, SideClient, 0), ready: make(chan struct{}), err: err}
	e.client = c
	return c
}

// Registry is the client's own copy, with the server's IDs after the handshake.
func (c *Client) Registry() *Registry { return c.endpoint.registry }

// Connect connects to "host:port" (IPv4, IPv6 or a name), to "unix:/path", or by default to Config.Dial, and waits until
// the handshake is complete; with a connection type of your own, until its Init has returned. With
// Config.Manual that, too, needs no Process. When ctx ends first the connection is dropped.
//
// Errors are those of the address, of the network and of TLS, *CloseError if the server refuses, ErrTimeout if ctx had a
// deadline, ErrConfig, and what Hooks.Connect says. A client connects once.
func (c *Client) Connect(ctx context.Context, addr string) error {
	if addr == "" {
		addr = c.endpoint.cfg.Dial
	}
	network, address, err := splitAddress(addr)
	if err != nil {
		return err
	}
	if err := c.usable(); err != nil {
		return err
	}
	var d net.Dialer
	deadline := c.deadline()
	dialCtx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	nc, err := d.DialContext(dialCtx, network, address)
	if err != nil {
		c.giveUp(err)
		return dialError(dialCtx, err)
	}
	return c.connect(ctx, nc, hostOf(network, address), deadline)
}

// ConnectConn is Connect over a socket that is open already. The client closes it.
func (c *Client) ConnectConn(ctx context.Context, nc net.Conn) error {
	if err := c.usable(); err != nil {
		nc.Close()
		return err
	}
	return c.connect(ctx, nc, "", c.deadline())
}

// deadline is when a connect that begins now must have led to a complete handshake: the network, TLS and the handshake
// have Config.HandshakeTimeout together.
func (c *Client) deadline() time.Time { return time.Now().Add(c.endpoint.cfg.HandshakeTimeout) }

// usable tells whether the client can connect, and takes note that it does.
func (c *Client) usable() error {
	if c.err != nil {
		return c.err
	}
	if c.endpoint.connType(c.endpoint.cfg.ConnType) == nil {
		return fmt.Errorf("%w: the connection type %q; add it with AddConnType", ErrNotRegistered, c.endpoint.cfg.ConnType)
	}
	if !c.started.CompareAndSwap(false, true) {
		if err := c.Err(); err != nil {
			return err
		}
		return fmt.Errorf("packet: a client connects only once; make another one")
	}
	c.emit(Event{Name: EventClientInitialize})
	return nil
}

func (c *Client) connect(ctx context.Context, nc net.Conn, host string, deadline time.Time) error {
	var asked atomic.Bool
	conf, err := c.endpoint.cfg.TLS.clientConfig(host, &asked)
	if err == nil && conf != nil {
		secured := tls.Client(nc, conf)
		tlsCtx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		if err = c.secure(tlsCtx, secured, &asked); err == nil {
			nc = secured
		}
	}
	if err != nil {
		nc.Close()
		c.giveUp(err)
		return dialError(ctx, err)
	}
	conn := c.Conn
	if !conn.open(nc) { // closed meanwhile
		nc.Close()
		c.giveUp(nil)
		return conn.closedError()
	}
	conn.setDeadline(max(time.Until(deadline), 1)) // zero would be no bound
	if c.endpoint.cfg.LogConnect {
		c.log().Debug("connected", "remote", nc.RemoteAddr(), "security", conn.Security())
	}
	c.emit(Event{Name: EventConnect, Conn: conn, Addr: nc.RemoteAddr()})
	if hook := c.endpoint.cfg.Hooks.Connect; hook != nil {
		if err := safely(func() error { return hook(conn) }); err != nil {
			err = fmt.Errorf("packet: Connect hook: %w", err)
			conn.abort(&CloseError{Cause: err})
			c.run()
			return err
		}
	}
	c.run()
	select {
	case <-c.ready:
		return nil
	case <-conn.stopping:
		return c.noHello(conn.closedError())
	case <-ctx.Done():
		select {
		case <-c.ready: // at the same time
			return nil
		default:
		}
		conn.Abort(nil)
		return c.noHello(contextError(ctx))
	}
}

// noHello adds to the error of a connect what is the matter if nothing has come that a packet server says.
func (c *Client) noHello(err error) error {
	closed, _ := errors.AsType[*CloseError](err)
	switch {
	case c.kind.Load() != nil, closed != nil && (closed.Remote || closed.Reason != ReasonSocketClose && closed.Reason != ReasonHandshakeTimeout):
		return err
	case c.endpoint.cfg.TLS.Enabled:
		return fmt.Errorf("%w; %w: is there a packet server behind TLS?", err, ErrNoHello)
	}
	return fmt.Errorf("%w; %w: is there a packet server, and one without TLS?", err, ErrNoHello)
}

// run starts the reader.
func (c *Client) run() {
	c.SetState(StateHelloWait)
	c.emit(Event{Name: EventClientStart})
	c.goes(func() { // ends with the connection
		c.Conn.serve()
	})
	go func() { // ends with the connection
		<-c.Conn.stopping
		c.wg.Wait()
		c.emit(Event{Name: EventClientStop, Reason: "method"})
		c.over()
	}()
}

// giveUp ends a client that did not get a connection.
func (c *Client) giveUp(err error) {
	c.shut(&CloseError{Reason: ReasonSocketClose, Cause: err}, false)
	c.ended()
}

// ended is the end of a client that never had a connection.
func (c *Client) ended() {
	c.state.Store(int32(StateClosed))
	c.SetMode(ModeClosed)
	close(c.Conn.done)
	c.over()
}

// over is behind the last event that is not Process's.
func (c *Client) over() {
	c.queue.close()
	c.silent.Store(true)
	c.lastEvent()
}

// WaitReady waits until the handshake is complete, as Connect does, for programs that connect on another goroutine. It
// returns at once when it is, why the connection ended when it has, and ErrTimeout at the deadline of ctx.
func (c *Client) WaitReady(ctx context.Context) error {
	select {
	case <-c.stopping:
		return c.closedError()
	default:
	}
	select {
	case <-c.ready:
		return nil
	case <-c.stopping:
		return c.closedError()
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// dialError puts the end of a context into the error of what it ended.
func dialError(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w (%w)", contextError(ctx), err)
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return fmt.Errorf("packet: %w (%w)", ErrTimeout, err)
	}
	return fmt.Errorf("packet: %w", err)
}
