package client

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"parlor"
	"parlor/link"
)

// run is one connection of a client, from the call to the end. Its loop owns the connection: it sends one
// request at a time and awaits the answer (section 13.3). A reader beside it notices at once when the
// connection ends, also while nothing is asked (defect 10).
type run struct {
	c      *Client
	ctx    context.Context // ends with the run
	cancel context.CancelCauseFunc

	ready chan struct{} // closed when the login was answered, or the run has ended
	done  chan struct{} // closed at the end of loop

	wake    chan struct{} // has an entry when queue may have one
	answers chan parlor.Response

	mu      sync.Mutex // guards the fields below
	urgent  []*request // the game calls, ahead of the rest, in the order of the calls (defect 11)
	queue   []*request
	beat    bool     // a heartbeat is queued, being made, or under way: there is never more than one (defect 35)
	pending *request // the heartbeat that waits, if any: behind all requests
	closed  bool     // nothing is queued any more
}

// request is one packet on its way, and who waits for the answer.
type request struct {
	packet parlor.Packet
	done   func(parlor.Response, error) // called on the loop; must not block
	silent bool                         // a heartbeat: its refusals are not logged
}

func newRun(c *Client) *run {
	r := &run{
		c:       c,
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
		wake:    make(chan struct{}, 1),
		answers: make(chan parlor.Response),
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// end ends the run for a reason; the first one counts. It does not block.
func (r *run) end(why *DisconnectedError) { r.cancel(why) }

// cause is why the run has ended, or nil while it has not.
func (r *run) cause() error {
	if r.ctx.Err() == nil {
		return nil
	}
	return context.Cause(r.ctx)
}

// loop is the run, from the first status to the last.
func (r *run) loop() {
	defer close(r.done)
	conn, err := r.login()
	if err == nil {
		r.serve(conn)
	}
	if conn != nil {
		conn.Close()
	}
	r.finish()
}

// login calls the server and logs in (section 13.1).
func (r *run) login() (link.Conn, error) {
	c := r.c
	defer close(r.ready)
	c.mu.Lock()
	c.setStatus("Connecting to " + c.target() + "...")
	c.mu.Unlock()
	conn, err := c.dialer.Dial(r.ctx, c.address)
	if err != nil {
		r.end(&DisconnectedError{Reason: ReasonCallFailed, Err: err})
		return nil, err
	}
	c.mu.Lock()
	c.setStatus(statusLoggingIn)
	c.mu.Unlock()
	if err := r.authenticate(conn); err != nil {
		r.endBy(err)
		return conn, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.cause() != nil {
		return conn, r.cause() // disconnected meanwhile (defect 8)
	}
	c.setConnected(true)
	c.setStatus("Logged in as " + c.cfg.Username + " @ " + conn.Remote())
	return conn, nil
}

// target is the address with its port, for the status text.
func (c *Client) target() string {
	if _, _, err := net.SplitHostPort(c.address); err == nil || strings.Contains(c.address, "://") || c.address == "" {
		return c.address
	}
	return c.address + ":38929"
}

func (r *run) authenticate(conn link.Conn) error {
	cfg := &r.c.cfg
	ctx, cancel := context.WithTimeoutCause(r.ctx, cfg.Timeout, os.ErrDeadlineExceeded)
	defer cancel()
	key, err := conn.Handshake(ctx)
	if err != nil {
		return timedOut(ctx, err)
	}
	if cfg.ServerKey != "" && cfg.ServerKey != key {
		return &DisconnectedError{Reason: ReasonWrongKey}
	}
	payload := struct {
		Username   string `json:"username"`
		Password   string `json:"password"`
		InviteCode string `json:"invite_code"`
	}{cfg.Username, cfg.Password, cfg.InviteCode}
	ctx, cancel = context.WithTimeoutCause(r.ctx, cfg.Timeout, os.ErrDeadlineExceeded)
	defer cancel()
	err = conn.Send(ctx, parlor.Packet{
		Message:   parlor.MessageHandshake,
		Payload:   parlor.Encode(payload),
		CreatedOn: parlor.Timestamp(time.Now()),
	})
	if err != nil {
		return timedOut(ctx, err)
	}
	answer, err := conn.Receive(ctx)
	if err != nil {
		return timedOut(ctx, err)
	}
	if answer.Status != parlor.StatusOK {
		return &DisconnectedError{Reason: answer.Message}
	}
	return nil
}

// serve works until the run ends.
func (r *run) serve(conn link.Conn) {
	var reader sync.WaitGroup
	reader.Go(func() { r.read(conn) }) // ends with the run, whose context ends its Receive
	defer reader.Wait()
	beat := time.NewTimer(r.c.beatInterval())
	defer beat.Stop()
	for r.ctx.Err() == nil {
		if req := r.next(); req != nil {
			r.exchange(conn, req)
			continue
		}
		select {
		case <-r.wake:
		case <-beat.C:
			r.heartbeat()
			beat.Reset(r.c.beatInterval())
		case unasked := <-r.answers:
			r.refuse(unasked)
		case <-r.ctx.Done():
		}
		// A beat that came due during an exchange is taken in the next turn: the select picks it up.
	}
}

// read hands the server's messages to the loop.
func (r *run) read(conn link.Conn) {
	for {
		answer, err := conn.Receive(r.ctx)
		if err != nil {
			r.endBy(err)
			return
		}
		select {
		case r.answers <- answer:
		case <-r.ctx.Done():
			return
		}
	}
}

// refuse ends the run over a message that nobody asked for: every later answer would be taken for the one
// before it.
func (r *run) refuse(unasked parlor.Response) {
	if unasked.Disconnecting {
		r.end(&DisconnectedError{Reason: unasked.Message})
		return
	}
	r.end(&DisconnectedError{Reason: ReasonUnexpected, Err: errors.New(unasked.Message)})
}

// exchange sends a request and takes the answer.
func (r *run) exchange(conn link.Conn, req *request) {
	fail := func(err error) {
		r.endBy(err)
		req.done(parlor.Response{}, r.cause())
	}
	if req.packet.CreatedOn == "" {
		req.packet.CreatedOn = parlor.Timestamp(time.Now())
	}
	select {
	case unasked := <-r.answers: // it came before the question
		r.refuse(unasked)
		fail(r.cause())
		return
	default:
	}
	ctx, cancel := context.WithTimeoutCause(r.ctx, r.c.cfg.Timeout, os.ErrDeadlineExceeded)
	err := conn.Send(ctx, req.packet)
	cancel()
	if err != nil {
		if errors.Is(err, link.ErrTooLarge) || req.packet.Payload.Err() != nil {
			req.done(parlor.Response{}, err) // the connection is none the worse for it
			return
		}
		fail(timedOut(ctx, err))
		return
	}
	timer := time.NewTimer(r.c.cfg.Timeout)
	defer timer.Stop()
	select {
	case answer := <-r.answers:
		r.take(req, answer)
	case <-timer.C:
		fail(os.ErrDeadlineExceeded)
	case <-r.ctx.Done():
		req.done(parlor.Response{}, r.cause())
	}
}

// take handles an answer in the order of section 13.4.
func (r *run) take(req *request, answer parlor.Response) {
	c := r.c
	if answer.Status != parlor.StatusOK && !req.silent {
		c.cfg.Logger.Info("request refused", "request", req.packet.Message, "status", answer.Status, "message", answer.Message)
	}
	c.mu.Lock()
	if old := c.game; answer.Game != old {
		c.rate = parlor.DefaultHeartbeatRate
		if answer.Game == "" {
			c.setStatus("Left game: " + old)
		} else {
			c.rate = heartbeatRate(answer.Payload)
			c.setStatus("Joined game: " + answer.Game)
		}
		c.setGame(answer.Game)
	}
	c.mu.Unlock()
	req.done(answer, nil)
	if answer.Disconnecting {
		r.end(&DisconnectedError{Reason: answer.Message})
	}
}

// heartbeatRate is the rate in a payload; 10 if there is none, or none to live with (defect 12).
func heartbeatRate(p parlor.Payload) float64 {
	v, _ := p.Get("heartbeat_rate")
	rate, _ := v.(float64)
	if n, ok := v.(int64); ok {
		rate = float64(n)
	}
	if rate > 0 && rate <= 1000 && !math.IsNaN(rate) {
		return rate
	}
	return parlor.DefaultHeartbeatRate
}

func (c *Client) beatInterval() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(time.Hour, time.Duration(float64(time.Second)/c.rate))
}

// endBy ends the run for the reason that an error stands for.
func (r *run) endBy(err error) {
	var named *DisconnectedError
	var malformed *parlor.MalformedError
	switch {
	case errors.As(err, &named):
		r.end(named)
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.end(&DisconnectedError{Reason: ReasonTimeout})
	case errors.Is(err, link.ErrUndecryptable):
		r.end(&DisconnectedError{Reason: ReasonUndecrypted, Err: err})
	case errors.Is(err, link.ErrNoServerKey):
		r.end(&DisconnectedError{Reason: ReasonNoKey})
	case errors.As(err, &malformed), errors.Is(err, link.ErrMalformedKey):
		r.end(&DisconnectedError{Reason: ReasonUnexpected, Err: err})
	default:
		r.end(&DisconnectedError{Reason: ReasonClosed, Err: err})
	}
}

// timedOut replaces the error of a call whose context has ended by the reason why that has.
func timedOut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// finish tells everybody of the end. The game and the queue do not carry over into the next connection
// (defect 9).
func (r *run) finish() {
	c, why := r.c, r.cause()
	r.mu.Lock()
	r.closed = true
	waiting := append(r.urgent, r.queue...)
	r.urgent, r.queue, r.pending = nil, nil, nil
	r.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.game != "" {
		c.setGame("")
	}
	c.rate = parlor.DefaultHeartbeatRate
	for _, req := range waiting {
		req.done(parlor.Response{}, why)
	}
	if c.connected {
		c.setConnected(false)
	}
	var d *DisconnectedError
	errors.As(why, &d)
	c.setStatus(statusDisconnected + d.Reason)
	c.run, c.ended = nil, r
}
