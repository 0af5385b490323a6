package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parlor"
	"parlor/link"
)

// Send queues a packet. The callback, if not nil, gets the response, or why there is none: a
// *DisconnectedError, ErrFlushed, or what kept the packet from being sent. It does not block. Errors are
// ErrNotConnected, ErrQueueFull, and the payload's own; the callback is not called then.
func (c *Client) Send(p parlor.Packet, callback func(parlor.Response, error)) error {
	return c.enqueue(c.withCallback(p, callback), false)
}

// SendNext is Send ahead of the packets that wait, but for those sent by SendNext before, and the game calls
// (section 13.3).
func (c *Client) SendNext(p parlor.Packet, callback func(parlor.Response, error)) error {
	return c.enqueue(c.withCallback(p, callback), true)
}

func (c *Client) withCallback(p parlor.Packet, callback func(parlor.Response, error)) *request {
	return &request{packet: p, done: func(resp parlor.Response, err error) {
		if callback != nil {
			c.events.putSized(sizeOf(resp.Message, resp.Payload), func() { callback(resp, err) })
		}
	}}
}

// Request sends a packet and waits for the response, whatever its status. The payload is any value that
// parlor.Encode takes; nil is the empty object. It blocks until the answer is here, the connection has ended,
// or ctx has. When ctx ends first, a request that was not sent yet is taken from the queue, and the answer to
// one that was is dropped. Errors are ErrNotConnected, ErrQueueFull, ErrFlushed, a *DisconnectedError, the
// payload's own, and the cause of ctx.
func (c *Client) Request(ctx context.Context, message string, payload any) (parlor.Response, error) {
	return c.ask(ctx, message, payload, false)
}

func (c *Client) ask(ctx context.Context, message string, payload any, urgent bool) (parlor.Response, error) {
	p := parlor.Packet{Message: message}
	if payload != nil {
		p.Payload = parlor.Encode(payload)
	}
	type answer struct {
		resp parlor.Response
		err  error
	}
	answered := make(chan answer, 1)
	req := &request{packet: p, done: func(resp parlor.Response, err error) { answered <- answer{resp, err} }}
	if err := c.enqueue(req, urgent); err != nil {
		return parlor.Response{}, err
	}
	defer c.events.ask()()
	select {
	case a := <-answered:
		return a.resp, a.err
	case <-ctx.Done():
		c.withdraw(req)
		return parlor.Response{}, fmt.Errorf("await answer to %q: %w", message, context.Cause(ctx))
	}
}

// enqueue puts a request in the queue of the connection.
func (c *Client) enqueue(req *request, urgent bool) error {
	if err := req.packet.Payload.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	r, connected := c.run, c.connected
	c.mu.Unlock()
	if r == nil || !connected {
		return ErrNotConnected
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return ErrNotConnected
	case len(r.urgent)+len(r.queue)+len(r.again)+len(r.sent) >= c.cfg.MaxPending:
		c.queueFull.Add(1)
		return ErrQueueFull
	case urgent:
		r.urgent = append(r.urgent, req)
	default:
		r.queue = append(r.queue, req)
	}
	r.poke()
	return nil
}

// poke wakes the loop (defect 36).
func (r *run) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// withdraw takes a request from the queue, if it is still there. Those that are to be sent again are not: the server may know the numbers of those
// behind them from before it was started again (docs/PROTOCOL.md, section 2.6).
func (c *Client) withdraw(req *request) {
	if r := c.lastRun(); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.urgent = without(r.urgent, req)
		r.queue = without(r.queue, req)
	}
}

func without(queue []*request, req *request) []*request {
	kept := queue[:0]
	for _, q := range queue {
		if q != req {
			kept = append(kept, q)
		}
	}
	clear(queue[len(kept):])
	return kept
}

// Flush empties the queue: whoever waits for an answer, or has given a callback, gets ErrFlushed. The
// requests that are under way are not affected.
func (c *Client) Flush() {
	c.mu.Lock()
	r := c.run
	c.mu.Unlock()
	if r == nil {
		return
	}
	r.mu.Lock()
	waiting := slices.Concat(r.urgent, r.queue) // and none that are to be sent again, as in withdraw
	r.urgent, r.queue = nil, nil
	r.mu.Unlock()
	for _, req := range waiting {
		req.done(parlor.Response{}, ErrFlushed)
	}
}

// Pending is how many requests wait to be sent.
func (c *Client) Pending() int {
	c.mu.Lock()
	r := c.run
	c.mu.Unlock()
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.again) + len(r.urgent) + len(r.queue)
}

// waiting are the requests that wait to be sent. The lock is held.
func (r *run) waiting() []*request { return slices.Concat(r.again, r.urgent, r.queue) }

// next takes the next request; nil if there is none.
func (r *run) next() *request {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.first(); q != nil {
		return takeFirst(q)
	}
	return nil
}

// first is the queue of the next request: those to be sent again, then game calls, then the others, then a heartbeat. The lock is
// held.
func (r *run) first() *[]*request {
	for _, q := range [...]*[]*request{&r.again, &r.urgent, &r.queue, &r.pending} {
		if len(*q) > 0 {
			return q
		}
	}
	return nil
}

func takeFirst(q *[]*request) *request {
	req := (*q)[0]
	(*q)[0] = nil
	*q = (*q)[1:]
	return req
}

// heartbeat makes a heartbeat if the user is in a game and none is on its way. The application makes the
// payload where its other functions run.
func (r *run) heartbeat() {
	c := r.c
	c.mu.Lock()
	inGame := c.game != ""
	c.mu.Unlock()
	r.mu.Lock()
	skip := r.beating || !inGame
	if !skip {
		r.beating = true
	}
	r.mu.Unlock()
	if skip {
		return
	}
	if c.cfg.HeartbeatPayload == nil {
		r.queueBeat(parlor.Payload{})
		return
	}
	c.events.put(func() { r.queueBeat(parlor.Encode(c.cfg.HeartbeatPayload())) })
}

func (r *run) queueBeat(payload parlor.Payload) {
	c := r.c
	req := &request{silent: true, packet: parlor.Packet{Message: parlor.RequestHeartbeat, Payload: payload}}
	req.done = func(resp parlor.Response, err error) {
		switch {
		case errors.Is(err, link.ErrTooLarge):
			r.end(&DisconnectedError{Reason: ReasonApplication, Err: fmt.Errorf("heartbeat: %w", err)})
		case err == nil && c.cfg.OnHeartbeat != nil:
			c.events.put(func() { c.cfg.OnHeartbeat(resp); r.beatDone() })
		default:
			r.beatDone()
		}
	}
	if err := payload.Err(); err != nil {
		r.end(&DisconnectedError{Reason: ReasonApplication, Err: fmt.Errorf("heartbeat: %w", err)})
		return
	}
	if c.Game() == "" { // left while the payload was made
		r.beatDone()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.pending = []*request{req}
		r.poke()
	}
}

// beatDone lets the next heartbeat be made.
func (r *run) beatDone() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beating = false
}

// dropBeat drops the heartbeat that waits, if any: it was for another game.
func (r *run) dropBeat() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) > 0 {
		r.pending, r.beating = nil, false
	}
}
