package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"parlor"
	"parlor/link"
)

// The bounds of what is on its way to the server. A server of default limits takes so many requests of one session as are
// under way, however slow the game is.
const (
	maxUnderWay      = 128
	maxUnderWayBytes = 1 << 20
	maxWrite         = 64 << 10 // bytes of the requests that are written with one call, but for the first of them
)

// stream is what a run keeps of a session that speaks envelopes, over all of its links. Its run's mutex guards it, but for
// token, which is the loop's.
type stream struct {
	token  []byte        // that resumes the session. One whose answer was lost is good still
	window time.Duration // for which the server keeps the session

	sent   []*request // that were not answered, by their numbers
	again  []*request // that were sent on a link before, but did not get to the server: ahead of all others
	bytes  int        // of those in sent
	lastID uint64     // the number of the last one that was sent
	alone  int        // so many requests are to be written one by one, as one of them cannot be

	seq      uint64 // the highest number that came
	toldLost int    // pushes of which it is known that they were lost, but whose numbers are to be skipped yet
	owes     owes
}

// owes is what came since something was acknowledged (docs/PROTOCOL.md, section 2.2).
type owes struct {
	envelopes, bytes int
	by               time.Time // when a note is due
}

// begin begins a session. The lock is held.
func (st *stream) begin(w *link.Welcome) {
	if w != nil {
		st.token, st.window = w.Token, w.Window
	}
}

// keeps is for how long the server keeps the session.
func (r *run) keeps() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.window
}

func (r *run) received() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seq
}

// offer is what resumes the session.
func (r *run) offer() link.Offer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return link.Offer{Token: r.token, Seq: r.seq, ID: r.settled()}
}

// idle tells whether no request is under way.
func (r *run) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent) == 0
}

// settled is the highest number up to which all were answered. The lock is held.
func (st *stream) settled() uint64 {
	if len(st.sent) > 0 {
		return st.sent[0].id - 1
	}
	return st.lastID
}

// takeBack has the requests behind a number sent again, which the server does not have. The lock is held.
func (st *stream) takeBack(id uint64) {
	kept := 0
	for kept < len(st.sent) && st.sent[kept].id <= id {
		kept++
	}
	back := st.sent[kept:]
	for _, req := range back {
		st.bytes -= req.size
	}
	st.again = append(append([]*request(nil), back...), st.again...)
	clear(back)
	st.sent = st.sent[:kept]
	st.lastID = id
}

// answered takes the request of an answer out; nil if none is under way with that number. The lock is held.
func (st *stream) answered(id uint64) *request {
	i := slices.IndexFunc(st.sent, func(req *request) bool { return req.id == id }) // 0, unless the server is an odd one
	if i < 0 {
		return nil
	}
	req := st.sent[i]
	if st.bytes -= req.size; i == 0 {
		takeFirst(&st.sent)
	} else {
		st.sent = slices.Delete(st.sent, i, i+1)
	}
	return req
}

// serveStream carries a session that speaks envelopes until its link ends, and goes on with another one. It returns nil when the
// run has ended.
func (r *run) serveStream(p *path) *path {
	began, had := time.Now(), r.received()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	conn := p.conn.(link.StreamConn)
	read := &reader{done: make(chan struct{})}
	r.wg.Go(func() { // ends when the connection is closed
		defer close(read.done)
		read.err = r.readEnvelopes(ctx, conn)
	})
	err := r.writeEnvelopes(conn, read)
	var named *DisconnectedError
	switch {
	case r.cause() != nil:
	case errors.As(err, &named):
		r.end(named)
	case hasEnded(err), r.c.cfg.Reconnect.For < 0:
		r.endBy(err)
	default:
		cancel()
		p.drop()
		<-read.done
		r.judge(began, r.received() > had)
		return r.reconnect(err)
	}
	return nil
}

// hasEnded tells whether the server has ended the session with the link.
func hasEnded(err error) bool {
	var closes *link.CloseError
	return errors.As(err, &closes) && closes.Code.EndsSession()
}

// reader is who reads a link.
type reader struct {
	done chan struct{}
	err  error // why it has ended; set before done is closed
}

// writeEnvelopes writes what is to be written until the link ends, and returns why; or until the run does.
func (r *run) writeEnvelopes(conn link.StreamConn, read *reader) error {
	beat := r.startBeat()
	defer r.beat.Stop()
	note := time.NewTimer(time.Hour)
	defer note.Stop()
	for r.ctx.Err() == nil {
		list, wait := r.batch(time.Now())
		if len(list) > 0 {
			if err := r.write(conn, list); err != nil {
				return r.whyUnsent(read, err)
			}
			continue
		}
		note.Stop()
		if wait > 0 {
			note.Reset(wait)
		}
		select {
		case <-r.wake:
			r.hurryBeat()
		case <-beat:
			r.heartbeat()
			r.resetBeat()
		case <-note.C:
		case <-read.done:
			return read.err
		case <-r.ctx.Done():
		}
	}
	return nil
}

// startBeat starts the clock of the heartbeats. Games that push need none: they are sent to applications that ask for them.
func (r *run) startBeat() <-chan time.Time {
	r.beat, r.beatAt = time.NewTimer(time.Hour), time.Time{}
	if r.c.cfg.OnHeartbeat == nil && r.c.cfg.HeartbeatPayload == nil {
		r.beat.Stop()
		return nil
	}
	r.resetBeat()
	return r.beat.C
}

// batch is what to write next: requests, as many as go together, or a note if one is due. If there is nothing, wait is the
// time until a note is, or 0.
func (r *run) batch(now time.Time) (list []*link.Envelope, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size, most := 0, link.MaxPerFrame
	if r.alone > 0 {
		most = 1
		r.alone--
	}
	for len(list) < most && len(r.sent) < maxUnderWay {
		q := r.first()
		if q == nil {
			break
		}
		req := (*q)[0]
		req.size = sizeOf(req.packet.Message, req.packet.Payload)
		if len(list) > 0 && size+req.size > maxWrite || len(r.sent) > 0 && r.bytes+req.size > maxUnderWayBytes {
			break
		}
		size += req.size
		takeFirst(q)
		list = append(list, r.number(req))
	}
	if len(list) == 0 {
		if r.owes.envelopes == 0 {
			return nil, 0
		}
		if wait = r.owes.by.Sub(now); wait > 0 && r.owes.envelopes < link.NoteEnvelopes && r.owes.bytes < link.NoteBytes {
			return nil, wait
		}
		list = append(list, &link.Envelope{Kind: link.KindNote, Ack: r.seq})
	}
	r.owes = owes{}
	return list, 0
}

// sizeOf is how many bytes a message and its payload take.
func sizeOf(message string, payload parlor.Payload) int { return len(message) + len(payload.JSON()) }

// number makes the envelope of a request. The lock is held.
func (st *stream) number(req *request) *link.Envelope {
	st.lastID++
	req.id = st.lastID
	st.sent = append(st.sent, req)
	st.bytes += req.size
	return &link.Envelope{Kind: link.KindRequest, Ack: st.seq, ID: req.id, Message: req.packet.Message, Payload: req.packet.Payload}
}

// write writes envelopes. A request that cannot be written fails by itself; to find out which, those that were to be
// written with it are written one by one.
func (r *run) write(conn link.StreamConn, list []*link.Envelope) error {
	ctx, cancel := r.timeout()
	defer cancel()
	err := conn.Write(ctx, list...)
	if err == nil {
		return nil
	}
	bad := unsendable(err, list)
	if bad == nil {
		return timedOut(ctx, err)
	}
	var req *request
	r.mu.Lock()
	r.takeBack(list[0].ID - 1)
	if len(list) == 1 {
		req = takeFirst(&r.again)
	} else {
		r.alone = len(list)
	}
	r.mu.Unlock()
	if req != nil {
		req.done(parlor.Response{}, bad) // the link is none the worse for it
	}
	return nil
}

// unsendable is why one of some requests cannot be written, if that is what an error of Write says.
func unsendable(err error, list []*link.Envelope) error {
	switch {
	case list[0].Kind != link.KindRequest, errors.Is(err, net.ErrClosed):
		return nil
	case errors.Is(err, link.ErrTooLarge):
		return err
	}
	for _, e := range list {
		if _, bad := link.AppendBody(nil, e.Message, e.Payload); bad != nil {
			return bad
		}
	}
	return nil
}

// whyUnsent is why a link has ended on which something could not be sent: the reader may know better, as in unsent.
func (r *run) whyUnsent(read *reader, err error) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-read.done:
		return read.err
	case <-timer.C:
	case <-r.ctx.Done():
	}
	return err
}

// readEnvelopes takes what comes until the link ends, and returns why. It reads no further while the application is slow, for a
// moment.
func (r *run) readEnvelopes(ctx context.Context, conn link.StreamConn) error {
	for {
		list, err := conn.Read(context.Background())
		for i := range list {
			r.c.events.awaitRoom(ctx, list[i].Kind == link.KindAnswer)
			if err := r.receive(&list[i]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// receive takes an envelope. The error is of one that cannot be.
func (r *run) receive(e *link.Envelope) error {
	req, push, err := r.admit(e)
	switch {
	case err != nil:
		return err
	case push:
		r.pushed(e)
	case req != nil:
		if e.Err != nil {
			err = fmt.Errorf("read answer to %q: %w", req.packet.Message, e.Err)
		}
		if name := req.packet.Message; name == parlor.RequestJoinGame || name == parlor.RequestCreateGame {
			r.learnWindow(e.Payload)
		}
		resp := e.Response()
		resp.CreatedOn = parlor.Timestamp(time.Now())
		r.take(req, resp, err)
		r.poke() // there is room for another one, and the game's rate may be another
	}
	return nil
}

// admit looks at an envelope's numbers. It returns the request of an answer that is new, or that it is a push that is.
func (r *run) admit(e *link.Envelope) (req *request, push bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Ack > r.lastID {
		return nil, false, unexpected("it acknowledges request %d of %d", e.Ack, r.lastID)
	}
	switch {
	case e.Kind == link.KindNote:
		return nil, false, nil
	case e.Kind != link.KindAnswer && e.Kind != link.KindPush:
		return nil, false, unexpected("an envelope of kind %v", e.Kind)
	case e.Seq <= r.seq: // it has come before
		return nil, false, nil
	}
	if e.Kind == link.KindAnswer {
		if req = r.answered(e.ID); req == nil {
			return nil, false, unexpected("an answer to request %d, which is not under way", e.ID)
		}
	}
	r.skip(e.Seq - r.seq - 1)
	r.seq = e.Seq
	r.owe(sizeOf(e.Message, e.Payload))
	return req, e.Kind == link.KindPush, nil
}

// skip takes note of numbers that are missing: those of pushes that the server has dropped. The lock is held.
func (r *run) skip(n uint64) {
	if n <= uint64(r.toldLost) {
		r.toldLost -= int(n)
		return
	}
	untold := n - uint64(r.toldLost)
	r.toldLost = 0
	r.lost(int(min(untold, 1<<31-1)))
}

// lost tells of pushes that were lost.
func (r *run) lost(n int) {
	r.c.lost.Add(int64(n))
	r.c.events.putLost(n)
}

// owe notes that something is to be acknowledged. The lock is held.
func (r *run) owe(bytes int) {
	if r.owes.envelopes == 0 {
		r.owes.by = time.Now().Add(link.NoteAfter)
		r.poke()
	}
	r.owes.envelopes++
	r.owes.bytes += bytes
	if r.owes.envelopes >= link.NoteEnvelopes || r.owes.bytes >= link.NoteBytes {
		r.poke()
	}
}

// pushed hands a push to the application. That the user is in no game any more is for the client too.
func (r *run) pushed(e *link.Envelope) {
	c := r.c
	if e.Message == parlor.PushLeftGame && e.Game == "" && e.Err == nil {
		c.mu.Lock()
		if name, _ := e.Payload.Get("game"); name == c.game && c.game != "" {
			r.setGame(parlor.Response{})
		}
		c.mu.Unlock()
	}
	switch {
	case c.cfg.OnPush == nil:
		return
	case e.Err != nil:
		c.cfg.Logger.Warn("a push cannot be read", "push", e.Message, "game", e.Game, "err", e.Err)
		r.lost(1)
		return
	}
	push := &parlor.Push{Message: e.Message, Payload: e.Payload, Game: e.Game}
	c.lost.Add(int64(c.events.putPush(sizeOf(e.Message, e.Payload), func() { c.cfg.OnPush(push) })))
}

// learnWindow takes note of how long a game keeps seats, if the answer to who has joined it says so and it is longer than what the server
// has said before: who leaves it is told nothing.
func (r *run) learnWindow(p parlor.Payload) {
	if window, ok := link.WindowOf(p); ok {
		r.mu.Lock()
		r.window = max(r.window, window)
		r.mu.Unlock()
	}
}

// unexpected is the end of a client whose server breaks the rules.
func unexpected(format string, args ...any) *DisconnectedError {
	return &DisconnectedError{Reason: ReasonUnexpected, Err: fmt.Errorf(format, args...)}
}
