package client

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
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

	ready chan struct{}  // closed when the login was answered, or the run has ended
	done  chan struct{}  // closed at the end of loop
	wg    sync.WaitGroup // the reader, and who closes the connection

	wake     chan struct{} // has an entry when queue may have one
	incoming chan incoming // from the reader

	// The next heartbeat, the loop's.
	beat   *time.Timer
	beatAt time.Time

	mu      sync.Mutex // guards the fields below
	urgent  []*request // the game calls, ahead of the rest, in the order of the calls (defect 11)
	queue   []*request
	beating bool     // a heartbeat is queued, being made, or under way: there is never more than one (defect 35)
	pending *request // the heartbeat that waits, if any: behind all requests
	closed  bool     // nothing is queued any more
}

// incoming is what the reader has read: an answer, or why there will be no more. Both come in one channel, as
// the server's last words tell more than the end of the connection after them.
type incoming struct {
	answer parlor.Response
	err    error
}

// request is one packet on its way, and who waits for the answer.
type request struct {
	packet parlor.Packet
	done   func(parlor.Response, error) // called on the loop; must not block
	silent bool                         // a heartbeat: its refusals are not logged
}

func newRun(c *Client) *run {
	r := &run{
		c:        c,
		ready:    make(chan struct{}),
		done:     make(chan struct{}),
		wake:     make(chan struct{}, 1),
		incoming: make(chan incoming),
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
	if conn, err := r.login(); err == nil {
		r.serve(conn)
	}
	r.wg.Wait()
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
	r.wg.Go(func() { <-r.ctx.Done(); conn.Close() }) // ends with the run; Close unblocks whoever waits at conn
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
	return net.JoinHostPort(strings.Trim(c.address, "[]"), strconv.Itoa(parlor.DefaultPort))
}

func (r *run) authenticate(conn link.Conn) error {
	cfg := &r.c.cfg
	ctx, cancel := r.timeout()
	defer cancel()
	key, err := conn.Handshake(ctx)
	if err != nil {
		return timedOut(ctx, err)
	}
	r.c.mu.Lock()
	r.c.serverKey = key
	r.c.mu.Unlock()
	if cfg.ServerKey != "" && cfg.ServerKey != key {
		return &DisconnectedError{Reason: ReasonWrongKey}
	}
	payload := struct {
		Username   string `json:"username"`
		Password   string `json:"password"`
		InviteCode string `json:"invite_code"`
	}{cfg.Username, cfg.Password, cfg.InviteCode}
	ctx, cancel = r.timeout()
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
	r.wg.Go(func() { r.read(conn) }) // ends when the connection is closed
	r.beat = time.NewTimer(0)
	defer r.beat.Stop()
	r.resetBeat()
	for r.ctx.Err() == nil {
		if req := r.next(); req != nil {
			r.exchange(conn, req)
			continue
		}
		select {
		case <-r.wake:
		case <-r.beat.C:
			r.heartbeat()
			r.resetBeat()
		case in := <-r.incoming:
			r.refuse(in)
		case <-r.ctx.Done():
		}
		// A beat that came due during an exchange is taken in the next turn: the select picks it up.
	}
}

// read hands the server's messages to the loop.
func (r *run) read(conn link.Conn) {
	for {
		answer, err := conn.Receive(context.Background())
		select {
		case r.incoming <- incoming{answer, err}:
		case <-r.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// refuse ends the run over a message that nobody asked for, as every later answer would be taken for the one
// before it; or over the end of the connection.
func (r *run) refuse(in incoming) {
	switch {
	case in.err != nil:
		r.endBy(in.err)
	case in.answer.Disconnecting:
		r.end(&DisconnectedError{Reason: in.answer.Message})
	default:
		r.end(&DisconnectedError{Reason: ReasonUnexpected, Err: errors.New(in.answer.Message)})
	}
}

// exchange sends a request and takes the answer.
func (r *run) exchange(conn link.Conn, req *request) {
	select {
	case in := <-r.incoming: // it came before the question
		r.refuse(in)
		req.done(parlor.Response{}, r.cause())
		return
	default:
	}
	if req.packet.CreatedOn == "" {
		req.packet.CreatedOn = parlor.Timestamp(time.Now())
	}
	if err := r.send(conn, req.packet); errors.Is(err, link.ErrTooLarge) {
		req.done(parlor.Response{}, err) // the connection is none the worse for it
		return
	} else if err != nil {
		r.unsent(err)
		req.done(parlor.Response{}, r.cause())
		return
	}
	timer := time.NewTimer(r.c.cfg.Timeout)
	defer timer.Stop()
	select {
	case in := <-r.incoming:
		if in.err == nil {
			r.take(req, in.answer)
			return
		}
		r.endBy(in.err)
	case <-timer.C:
		r.endBy(os.ErrDeadlineExceeded)
	case <-r.ctx.Done():
	}
	req.done(parlor.Response{}, r.cause())
}

// unsent ends the run over a packet that could not be sent. If the server has closed the connection at that moment, the
// reader knows better why: it has the server's last words, or its close code.
func (r *run) unsent(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.endBy(err)
		return
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case in := <-r.incoming:
		r.refuse(in)
	case <-timer.C:
		r.endBy(err)
	case <-r.ctx.Done():
	}
}

func (r *run) send(conn link.Conn, p parlor.Packet) error {
	ctx, cancel := r.timeout()
	defer cancel()
	if err := conn.Send(ctx, p); err != nil {
		return timedOut(ctx, err)
	}
	return nil
}

// take handles an answer in the order of section 13.4.
func (r *run) take(req *request, answer parlor.Response) {
	c := r.c
	if answer.Status != parlor.StatusOK && !req.silent {
		c.cfg.Logger.Info("request refused", "request", req.packet.Message, "status", answer.Status, "message", answer.Message)
	}
	c.mu.Lock()
	if old := c.game; answer.Game != old {
		r.dropBeat()
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
	if time.Until(r.beatAt) > c.beatInterval() { // a new rate takes effect with the next wait, unless it is faster
		r.resetBeat()
	}
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
	if rate > 0 && rate <= maxRate {
		return rate
	}
	return parlor.DefaultHeartbeatRate
}

// maxRate bounds the rate that a server may ask for; there is one heartbeat on its way at most in any case.
const maxRate = 1000

func (c *Client) beatInterval() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(min(float64(time.Hour), float64(time.Second)/c.rate))
}

func (r *run) resetBeat() {
	interval := r.c.beatInterval()
	r.beatAt = time.Now().Add(interval)
	r.beat.Reset(interval)
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

// timeout bounds one call of the connection. It does not end with the run: that would cut the connection off
// instead of closing it.
func (r *run) timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), r.c.cfg.Timeout, os.ErrDeadlineExceeded)
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
