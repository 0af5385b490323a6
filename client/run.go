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

// run is one connection of a client, from the call to the end. Its loop owns the connection. On pgnet's wire it sends one
// request at a time and awaits the answer (section 13.3); a reader beside it notices at once when the
// connection ends, also while nothing is asked (defect 10). Where both sides speak envelopes, the loop writes and the reader
// takes what comes (stream.go), and when a link ends the run goes on with another (reconnect.go).
type run struct {
	c      *Client
	ctx    context.Context // ends with the run
	cancel context.CancelCauseFunc

	ready chan struct{}  // closed when the login was answered, or the run has ended
	done  chan struct{}  // closed at the end of loop
	wg    sync.WaitGroup // the readers, and who closes the connections

	wake     chan struct{} // has an entry when queue may have one
	incoming chan incoming // from the reader

	// The loop's: the next heartbeat, the key that the server has shown first, how often it was tried to connect again since a
	// good link (judge), and when a short one was that last.
	beat     *time.Timer
	beatAt   time.Time
	key      *string
	tries    int
	pardoned time.Time

	mu      sync.Mutex // guards the fields below
	urgent  []*request // the game calls, ahead of the rest, in the order of the calls (defect 11)
	queue   []*request
	beating bool       // a heartbeat is queued, being made, or under way: there is never more than one (defect 35)
	pending []*request // the heartbeat that waits, if any: behind all requests
	closed  bool       // nothing is queued any more

	stream // what goes over the links of a session that speaks envelopes
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
	id     uint64                       // on a stream, once it is sent; guarded by the run's mutex
	size   int                          // likewise: bytes of its texts
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
	p := r.login()
	for p != nil && p.welcome != nil {
		p = r.serveStream(p)
	}
	if p != nil {
		r.serve(p.conn)
	}
	r.wg.Wait()
	r.finish()
}

// path is a link on which the user is logged in.
type path struct {
	conn    link.Conn
	answer  parlor.Response // to the login
	welcome *link.Welcome   // nil on pgnet's wire
	drop    func()          // lets go of the link; the session may have another
}

// login calls the server and logs in (section 13.1). Without a path it has ended the run.
func (r *run) login() *path {
	c := r.c
	defer close(r.ready)
	c.mu.Lock()
	c.setStatus("Connecting to " + c.target() + "...")
	c.mu.Unlock()
	p, err := r.open(r.ctx, link.Offer{}, func() {
		c.mu.Lock()
		c.setStatus(statusLoggingIn)
		c.mu.Unlock()
	})
	if err != nil {
		r.endBy(err)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.cause() != nil {
		return nil // disconnected meanwhile (defect 8)
	}
	r.mu.Lock()
	r.begin(p.welcome)
	r.mu.Unlock()
	c.streams, c.linked = p.welcome != nil, true
	r.loggedIn(p)
	return p
}

// loggedIn tells of a session that has begun. The client's lock is held.
func (r *run) loggedIn(p *path) {
	c := r.c
	c.setConnected(true)
	c.setStatus("Logged in as " + c.cfg.Username + " @ " + p.conn.Remote())
	if p.welcome != nil { // the user may have a seat already
		r.setGame(p.answer)
	}
}

// open calls the server, tells that it was reached, and logs in. There is a path also with an error, once it was reached.
func (r *run) open(ctx context.Context, o link.Offer, reached func()) (*path, error) {
	conn, err := r.c.dialer.Dial(ctx, r.c.address)
	if err != nil {
		return nil, &DisconnectedError{Reason: ReasonCallFailed, Err: err}
	}
	p := &path{conn: conn, drop: r.watch(conn)}
	reached()
	p.answer, p.welcome, err = r.authenticate(conn, o)
	return p, err
}

// watch closes a connection when the run ends, which unblocks whoever waits at it. The function that it returns ends the
// connection before, so that its session waits for another one.
func (r *run) watch(conn link.Conn) (drop func()) {
	dropped, over := make(chan struct{}), make(chan struct{})
	r.wg.Go(func() { // ends with the run or the connection
		defer close(over)
		select {
		case <-r.ctx.Done():
		case <-dropped:
		}
		if stream, ok := conn.(link.StreamConn); ok && r.cause() == nil {
			stream.Abort() // without a word; what is left to close is at this end
		}
		conn.Close()
	})
	return func() {
		close(dropped)
		<-over
	}
}

// target is the address with its port, for the status text.
func (c *Client) target() string {
	if _, _, err := net.SplitHostPort(c.address); err == nil || strings.Contains(c.address, "://") || c.address == "" {
		return c.address
	}
	return net.JoinHostPort(strings.Trim(c.address, "[]"), strconv.Itoa(parlor.DefaultPort))
}

// authenticate logs in, with an offer where the connection may carry envelopes. An error that is a *DisconnectedError is
// final.
func (r *run) authenticate(conn link.Conn, o link.Offer) (answer parlor.Response, w *link.Welcome, err error) {
	cfg := &r.c.cfg
	ctx, cancel := r.timeout()
	defer cancel()
	key, err := conn.Handshake(ctx)
	if err != nil {
		return answer, nil, timedOut(ctx, err)
	}
	r.c.mu.Lock()
	r.c.serverKey = key
	r.c.mu.Unlock()
	if cfg.ServerKey != "" && cfg.ServerKey != key || r.key != nil && *r.key != key {
		return answer, nil, &DisconnectedError{Reason: ReasonWrongKey}
	}
	r.key = &key
	payload := struct {
		Username   string `json:"username"`
		Password   string `json:"password"`
		InviteCode string `json:"invite_code"`
	}{cfg.Username, cfg.Password, cfg.InviteCode}
	ctx, cancel = r.timeout()
	defer cancel()
	login := parlor.Packet{
		Message:   parlor.MessageHandshake,
		Payload:   parlor.Encode(payload),
		CreatedOn: parlor.Timestamp(time.Now()),
	}
	if stream, ok := conn.(link.StreamConn); ok {
		answer, w, err = stream.Login(ctx, login, o)
	} else if err = conn.Send(ctx, login); err == nil {
		answer, err = conn.Receive(ctx)
	}
	if err != nil {
		return answer, nil, timedOut(ctx, err)
	}
	if answer.Status != parlor.StatusOK {
		return answer, nil, &DisconnectedError{Reason: answer.Message}
	}
	return answer, w, nil
}

// serve works on pgnet's wire until the run ends.
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
			r.take(req, in.answer, nil)
			r.hurryBeat()
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

// take handles an answer in the order of section 13.4; bad is why its payload cannot be read.
func (r *run) take(req *request, answer parlor.Response, bad error) {
	c := r.c
	if answer.Status != parlor.StatusOK && !req.silent {
		c.cfg.Logger.Info("request refused", "request", req.packet.Message, "status", answer.Status, "message", answer.Message)
	}
	c.mu.Lock()
	r.setGame(answer)
	c.mu.Unlock()
	req.done(answer, bad)
	if answer.Disconnecting {
		r.end(&DisconnectedError{Reason: answer.Message})
	}
}

// setGame takes note of the game that an answer names. The client's lock is held.
func (r *run) setGame(answer parlor.Response) {
	c := r.c
	old := c.game
	if answer.Game == old {
		return
	}
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

// hurryBeat has a new rate take effect with the next heartbeat but one, unless it is faster.
func (r *run) hurryBeat() {
	if time.Until(r.beatAt) > r.c.beatInterval() {
		r.resetBeat()
	}
}

// endBy ends the run for the reason that an error stands for.
func (r *run) endBy(err error) { r.end(reasonOf(err)) }

// reasonOf is the reason that an error stands for.
func reasonOf(err error) *DisconnectedError {
	var named *DisconnectedError
	var malformed *parlor.MalformedError
	switch {
	case errors.As(err, &named):
		return named
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &DisconnectedError{Reason: ReasonTimeout}
	case errors.Is(err, link.ErrUndecryptable):
		return &DisconnectedError{Reason: ReasonUndecrypted, Err: err}
	case errors.Is(err, link.ErrNoServerKey):
		return &DisconnectedError{Reason: ReasonNoKey}
	case errors.As(err, &malformed), errors.Is(err, link.ErrMalformedKey):
		return &DisconnectedError{Reason: ReasonUnexpected, Err: err}
	}
	return &DisconnectedError{Reason: ReasonClosed, Err: err}
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
	c := r.c
	var why *DisconnectedError
	errors.As(r.cause(), &why)
	r.mu.Lock()
	r.closed = true
	sent, waiting := r.sent, r.waiting()
	r.stream = stream{}
	r.urgent, r.queue, r.pending = nil, nil, nil
	r.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	r.fail(sent, waiting, why)
	if c.connected {
		c.setConnected(false)
	}
	c.linked = false
	c.setStatus(statusDisconnected + why.Reason)
	c.run, c.ended = nil, r
}

// fail takes the user out of her game, whose session has ended, and tells those who wait for answers. The client's lock is held.
func (r *run) fail(sent, waiting []*request, why *DisconnectedError) {
	c := r.c
	if c.game != "" {
		c.setGame("")
	}
	c.rate = parlor.DefaultHeartbeatRate
	for _, req := range sent {
		req.done(parlor.Response{}, why.uncertain())
	}
	for _, req := range waiting {
		req.done(parlor.Response{}, why)
	}
}
