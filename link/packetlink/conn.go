package packetlink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"parlor"
	"parlor/link"
	"parlor/packet"
)

// clientConn is the client's end.
type clientConn struct {
	c      *packet.Client
	remote string
	most   int  // bytes of an envelope
	clear  bool // no login may be sent

	noteInterval, silence time.Duration

	welcomed atomic.Bool // envelopes may be written

	writing chan struct{} // holds a token while somebody writes
	wrote   atomic.Bool   // since keepalive looked
	ack     atomic.Uint64 // the last one that was written

	ready chan struct{} // has a token when queue may have something
	space chan struct{} // likewise, when it may have room
	ended chan struct{} // closed behind the last envelope
	stop  chan struct{} // closed by Close and Abort
	once  sync.Once     // closes stop
	wg    sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	queue   []link.Envelope
	size    int  // bytes in queue
	blocked bool // the reader waits for room in it
	err     error
}

var _ link.StreamConn = (*clientConn)(nil)

// What waits for Read. Over it the connection is not read from.
const (
	queueEnvelopes = 1024
	queueBytes     = 1 << 20
)

func newClientConn(d Dialer, nc net.Conn) *clientConn {
	c := &clientConn{
		most:         cmp.Or(d.MessageSize, parlor.MaxMessageSize),
		noteInterval: cmp.Or(d.NoteInterval, noteInterval),
		silence:      cmp.Or(d.Silence, silence),
		writing:      make(chan struct{}, 1),
		ready:        make(chan struct{}, 1),
		space:        make(chan struct{}, 1),
		ended:        make(chan struct{}),
		stop:         make(chan struct{}),
	}
	c.remote, _ = whereFrom(nc.RemoteAddr())
	return c
}

// handler takes what the server sends in a packet.
func (c *clientConn) handler(id packet.ID) func(*packet.Conn, packet.Body) error {
	return func(_ *packet.Conn, body packet.Body) error {
		var e link.Envelope
		err := error(link.ErrOutOfTurn)
		switch id {
		case idAnswer:
			e, err = decode(body, link.KindAnswer)
		case idPush:
			e, err = decode(body, link.KindPush, link.KindNote)
		}
		if err != nil {
			c.fail(err)
			return nil
		}
		c.put(e, len(body))
		return nil
	}
}

// fail ends a link whose server breaks the rules.
func (c *clientConn) fail(err error) {
	c.fails(fmt.Errorf("the server breaks the protocol: %w", err))
	c.c.Close(reasonOf(link.CloseProtocol, err.Error()))
}

// put queues an envelope for Read. It waits while there are too many.
func (c *clientConn) put(e link.Envelope, size int) {
	c.mu.Lock()
	for len(c.queue) >= queueEnvelopes || c.size > 0 && c.size+size > queueBytes {
		c.blocked = true
		c.mu.Unlock()
		select {
		case <-c.space:
		case <-c.stop:
			return
		}
		c.mu.Lock()
	}
	c.blocked = false
	c.queue = append(c.queue, e)
	c.size += size
	c.mu.Unlock()
	signal(c.ready)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// take takes all that waits, or as much.
func (c *clientConn) take(most int) []link.Envelope {
	c.mu.Lock()
	defer c.mu.Unlock()
	es := c.queue
	if len(es) == 0 {
		return nil
	}
	if len(es) > most {
		es, c.queue = es[:most:most], es[most:]
		signal(c.ready)
		return es
	}
	c.queue, c.size = nil, 0
	if c.blocked {
		signal(c.space)
	}
	return es
}

// closed is called behind the last envelope.
func (c *clientConn) closed(why *packet.CloseError) {
	c.fails(c.withCode(why))
	close(c.ended)
}

// fails notes why the connection ends. The first reason counts.
func (c *clientConn) fails(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

// withCode adds the close code to the error of a connection that the server has closed.
func (c *clientConn) withCode(err error) error {
	var why *packet.CloseError
	if !errors.As(err, &why) || !why.Remote {
		return err
	}
	return fmt.Errorf("%w: %w", net.ErrClosed, closeError(why.Reason))
}

// Remote is the server's IP:PORT.
func (c *clientConn) Remote() string { return c.remote }

// Handshake returns at once: there is no key on this wire.
func (c *clientConn) Handshake(context.Context) (string, error) { return "", nil }

var errEnvelopes = fmt.Errorf("the packet wire carries envelopes only, and Login begins: %w", errors.ErrUnsupported)

// Send is errors.ErrUnsupported.
func (c *clientConn) Send(context.Context, parlor.Packet) error { return errEnvelopes }

// Receive is errors.ErrUnsupported.
func (c *clientConn) Receive(context.Context) (parlor.Response, error) {
	return parlor.Response{}, errEnvelopes
}

// Login sends the login, and waits for its answer. ErrClear means that it was not sent, as it needs TLS.
func (c *clientConn) Login(ctx context.Context, p parlor.Packet, o link.Offer) (parlor.Response, *link.Welcome, error) {
	if c.clear {
		return parlor.Response{}, nil, ErrClear
	}
	if err := p.Payload.Err(); err != nil {
		return parlor.Response{}, nil, err
	}
	login := link.Envelope{Kind: link.KindRequest, Message: p.Message, Payload: link.WithOffer(p.Payload, o, nil)}
	if err := c.Write(ctx, &login); err != nil && !errors.Is(err, net.ErrClosed) { // what the server has said before is there to be read
		return parlor.Response{}, nil, err
	}
	es, err := c.read(ctx, 1)
	if err != nil {
		return parlor.Response{}, nil, err
	}
	e := &es[0]
	if e.Kind != link.KindAnswer || e.Seq != 0 || e.ID != 0 || e.Err != nil {
		c.fail(fmt.Errorf("%w: %v before the answer to the login", link.ErrOutOfTurn, e.Kind))
		return parlor.Response{}, nil, fmt.Errorf("the server breaks the protocol: %w", link.ErrOutOfTurn)
	}
	r := e.Response()
	w, _ := link.WelcomeOf(e.Payload)
	switch {
	case w == nil && r.Status == parlor.StatusOK && !r.Disconnecting:
		c.fail(fmt.Errorf("%w: an answer to the login that takes no offer", link.ErrEnvelope))
		return r, nil, fmt.Errorf("the server breaks the protocol: %w", link.ErrEnvelope)
	case w != nil:
		if w.Resumed {
			c.ack.Store(o.Seq)
		}
		c.welcomed.Store(true)
	}
	return r, w, nil
}

// Write writes envelopes, joined. The server's limit of their size is not known here, but taken to be Dialer.MessageSize.
func (c *clientConn) Write(ctx context.Context, es ...*link.Envelope) error {
	f := getFrames()
	defer putFrames(f)
	for _, e := range es {
		if e.Kind != link.KindRequest && e.Kind != link.KindNote {
			return fmt.Errorf("%w: a client does not write a %v", link.ErrEnvelope, e.Kind)
		}
		if err := f.add(idRequest, c.most, e.Append); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case c.writing <- struct{}{}:
	case <-c.ended:
		return c.why()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.writing }()
	for _, e := range es {
		c.ack.Store(e.Ack)
	}
	return c.write(ctx, f.b)
}

func (c *clientConn) write(ctx context.Context, frames []byte) error {
	c.wrote.Store(true)
	err := c.c.WriteFrames(frames)
	if err == nil {
		err = c.c.WaitWritten(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.withCode(err)
}

// why is why the connection has ended. It is net.ErrClosed among others.
func (c *clientConn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.err, net.ErrClosed) {
		return c.err
	}
	return fmt.Errorf("%w: %w", net.ErrClosed, c.err)
}

// Read returns all that has come.
func (c *clientConn) Read(ctx context.Context) ([]link.Envelope, error) {
	return c.read(ctx, queueEnvelopes)
}

func (c *clientConn) read(ctx context.Context, most int) ([]link.Envelope, error) {
	for {
		if ctx.Err() != nil { // or what is ready might win
			return nil, context.Cause(ctx)
		}
		if es := c.take(most); es != nil {
			return es, nil
		}
		select {
		case <-c.ready:
		case <-c.ended:
			if es := c.take(most); es != nil {
				return es, nil
			}
			return nil, c.why()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// keepalive sends a note when nothing was sent for a while, and cuts the connection when nothing has come.
func (c *clientConn) keepalive() {
	const parts = 4
	every := min(c.noteInterval, c.silence) / parts
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	reads := c.c.Reads()
	var unsaid, unheard time.Duration
	for {
		select {
		case <-ticker.C:
		case <-c.ended:
			return
		case <-c.stop:
			return
		}
		if !c.welcomed.Load() {
			continue // the login has a context of its own
		}
		if now := c.c.Reads(); now != reads || c.isBlocked() {
			reads, unheard = now, 0
		}
		if c.wrote.Swap(false) {
			unsaid = 0
		}
		if unheard += every; unheard > c.silence {
			c.c.Abort("nothing came for " + c.silence.String())
			return
		}
		if unsaid += every; unsaid >= c.noteInterval {
			c.note()
			c.wrote.Store(false)
			unsaid = 0
		}
	}
}

// note says that this side is there. It acknowledges nothing new.
func (c *clientConn) note() {
	select {
	case c.writing <- struct{}{}:
	default: // somebody writes, who says it too
		return
	}
	defer func() { <-c.writing }()
	f := getFrames()
	defer putFrames(f)
	e := link.Envelope{Kind: link.KindNote, Ack: c.ack.Load()}
	_ = f.add(idRequest, c.most, e.Append) // a note can be written
	_ = c.c.WriteFrames(f.b)               // and a link that has ended needs none
}

func (c *clientConn) isBlocked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocked
}

// Close ends the link and the session, and waits a second at most for the server to see it.
func (c *clientConn) Close() error {
	c.c.Close(reasonOf(link.CloseNormal, ""))
	c.once.Do(func() { close(c.stop) })
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-c.c.Done():
	case <-timer.C:
		c.c.Abort(nil)
		<-c.c.Done()
	}
	c.wg.Wait()
	return nil
}

// Abort ends the link without a word. The session waits for another one.
func (c *clientConn) Abort() {
	c.c.Abort(nil)
	c.once.Do(func() { close(c.stop) })
}
