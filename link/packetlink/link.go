package packetlink

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"parlor"
	"parlor/internal/crowd"
	"parlor/link"
	"parlor/packet"
)

// serverLink is the server's end of one connection.
type serverLink struct {
	srv  *Server
	conn *packet.Conn
	peer link.Peer

	place *crowd.Place[*serverLink] // among the strangers, nil for a user; guarded by Server.mu
	since atomic.Int64              // Server.clock when the connection was ready for a login; 0: not yet, or it is no link
	over  atomic.Bool               // it ends: there is nothing to look after any more

	// These are the reader's. The offer is set before the lobby hears of the login.
	session link.Session
	offer   link.Offer
	in      link.Envelope // the one that is being taken
	unnoted link.Unnoted

	welcomed atomic.Bool
	received atomic.Uint64 // the number of the last request that came
	acked    atomic.Uint64 // the highest number that the client was told of
	taken    atomic.Uint64 // the highest number that the session has taken
	sent     atomic.Int64  // likewise, when something was sent

	before uint64 // the sweeper's: taken when it came before

	out  sync.Mutex // guards held, and the order of what is written
	held *frames    // answers that wait for others; nil: none
}

var _ link.Stream = (*serverLink)(nil)

// ready is called when a login may come.
func (l *serverLink) ready() { l.since.Store(l.srv.clock.Load()) }

// receive takes a packet of the client. It is the reader's.
func (l *serverLink) receive(id packet.ID, body packet.Body) {
	if err := l.take(id, body); err != nil {
		l.closeBy(err)
	}
}

func (l *serverLink) take(id packet.ID, body packet.Body) error {
	if id != idRequest || l.since.Load() == 0 {
		return link.ErrOutOfTurn
	}
	var err error
	if l.in, err = decode(body, link.KindRequest, link.KindNote); err != nil {
		return err
	}
	kind, number := l.in.Kind, l.in.ID
	if l.session == nil {
		return l.login(&l.in)
	}
	if kind == link.KindRequest {
		l.received.Store(number)
	}
	err = l.session.Request(&l.in)
	l.in = link.Envelope{} // an idle link holds none
	if err != nil {
		return err
	}
	if kind == link.KindRequest {
		l.taken.Store(number)
	}
	if taken := l.taken.Load(); l.unnoted.Add(len(body), taken, l.acked.Load()) {
		l.note(taken)
	}
	return nil
}

// login takes the first packet.
func (l *serverLink) login(e *link.Envelope) error {
	switch {
	case e.Kind != link.KindRequest || e.ID != 0:
		return link.ErrOutOfTurn
	case !l.srv.cfg.AllowClear && l.conn.Security() == packet.SecurityNone && leaves(l.peer.Addr):
		l.srv.stats.Clear.Add(1)
		l.refuse(adviceClear + ".")
		return nil
	case e.Err != nil:
		l.refuse("Malformed packet: " + e.Err.Error())
		return nil
	}
	l.offer, _, _ = link.OfferOf(e.Payload) // who makes none is served as if it had made an empty one
	session, err := l.srv.cfg.Lobby.Open(l)
	if err != nil {
		return err
	}
	l.session = session
	return session.Receive(parlor.Packet{Message: e.Message, Payload: e.Payload})
}

// refuse answers the login, and closes.
func (l *serverLink) refuse(text string) {
	_ = l.Send(parlor.Response{Message: text, Status: parlor.StatusBad, Disconnecting: true}) // a link that has ended needs none
	l.Close(link.CloseNormal, "")
}

// closeBy closes in the way that an error asks for.
func (l *serverLink) closeBy(err error) {
	var byCode *link.CloseError
	switch {
	case errors.As(err, &byCode):
		l.Close(byCode.Code, byCode.Reason)
	case errors.Is(err, link.ErrTooMany):
		l.Close(link.ClosePolicy, err.Error())
	case errors.Is(err, link.ErrEnvelope), errors.Is(err, link.ErrOutOfTurn):
		l.srv.stats.Violations.Add(1)
		l.Close(link.CloseProtocol, err.Error())
	case errors.Is(err, net.ErrClosed): // the session has ended, or has another link
		l.Close(link.CloseNormal, "")
	default:
		l.Close(link.CloseInternal, "")
	}
}

// Peer is the client. There is no key on this wire.
func (l *serverLink) Peer() link.Peer { return l.peer }

// Offer is what the login said; who says nothing of envelopes speaks them all the same.
func (l *serverLink) Offer() (link.Offer, bool) { return l.offer, true }

// Send refuses a login: an answer with no number, to the request with no number.
func (l *serverLink) Send(r parlor.Response) error { return l.deliver(0, link.Message{Response: &r}) }

// Welcome answers the login. The client may send larger envelopes from then on.
func (l *serverLink) Welcome(r parlor.Response, w link.Welcome) error {
	l.acked.Store(w.ID)
	l.received.Store(w.ID)
	l.taken.Store(w.ID)
	l.conn.SetMaxFrame(0)
	l.srv.loggedIn(l)
	r.Payload = link.WithWelcome(r.Payload, w, nil)
	err := l.deliver(w.ID, link.Message{Response: &r})
	l.welcomed.Store(true)
	return err
}

// Deliver writes messages, with one call if the client's connection joins frames.
func (l *serverLink) Deliver(ack uint64, messages ...link.Message) error {
	return l.deliver(ack, messages...)
}

func (l *serverLink) deliver(ack uint64, messages ...link.Message) error {
	f := getFrames()
	waits := true
	for _, m := range messages {
		id := idAnswer
		if m.Push != nil {
			id = idPush
		}
		if err := f.add(id, l.srv.cfg.MessageSize, func(b []byte) ([]byte, error) { return link.AppendMessage(b, ack, m) }); err != nil {
			putFrames(f)
			if errors.Is(err, link.ErrTooLarge) {
				l.srv.stats.TooLarge.Add(1)
			}
			return err
		}
		waits = waits && m.Push == nil && m.ID != l.received.Load()
	}
	if len(messages) > 1 { // by a client that has come back
		return l.write(ack, f, false, true)
	}
	return l.write(ack, f, waits, false)
}

// note acknowledges alone.
func (l *serverLink) note(ack uint64) {
	l.srv.stats.Notes.Add(1)
	f := getFrames()
	e := link.Envelope{Kind: link.KindNote, Ack: ack}
	_ = f.add(idPush, l.srv.cfg.MessageSize, e.Append) // a note can be written
	_ = l.write(ack, f, false, false)                  // and a link that has ended needs none
}

// heldMost is how many bytes of answers wait for others.
const heldMost = 16 << 10

// write writes frames that acknowledge so much; they belong to it. Answers behind which others are to be expected may wait for
// these, for a moment; what was missed on the link before does not count for what may wait. The only error is net.ErrClosed.
func (l *serverLink) write(ack uint64, f *frames, waits, missed bool) error {
	for old := l.acked.Load(); ack > old && !l.acked.CompareAndSwap(old, ack); old = l.acked.Load() {
	}
	l.out.Lock()
	first := l.held == nil
	if first {
		l.held = f
	} else {
		l.held.b = append(l.held.b, f.b...)
		putFrames(f)
	}
	if waits && len(l.held.b) < heldMost && (!first || l.srv.late.Add(l)) {
		l.out.Unlock()
		return nil
	}
	err := l.flush(missed)
	l.out.Unlock()
	return err
}

// Flush writes what waits.
func (l *serverLink) Flush() {
	l.out.Lock()
	defer l.out.Unlock()
	_ = l.flush(false) // who delivers next hears of the end
}

// flush is Flush with the lock held.
func (l *serverLink) flush(missed bool) error {
	if l.held == nil {
		return nil
	}
	l.sent.Store(l.srv.clock.Load())
	write := l.conn.WriteFrames
	if missed {
		write = l.conn.WriteMissed
	}
	err := write(l.held.b)
	putFrames(l.held)
	l.held = nil
	if err != nil {
		if errors.Is(err, packet.ErrWriteQueueFull) {
			l.srv.stats.QueueFull.Add(1)
		}
		return net.ErrClosed
	}
	return nil
}

// Close ends the link after what was sent before.
func (l *serverLink) Close(code link.Code, reason string) {
	l.over.Store(true)
	l.Flush()
	l.conn.Close(reasonOf(code, reason))
}

// Abort cuts the link off.
func (l *serverLink) Abort() { l.conn.Abort(nil) }

// closed is called when the connection has ended.
func (l *serverLink) closed(why *packet.CloseError) {
	l.over.Store(true)
	if l.session == nil {
		return
	}
	purpose := false
	switch text, isText := why.Reason.(string); {
	case why.Remote: // what the client may say for itself is that it wants to go
		purpose = closeError(why.Reason).Code == link.CloseNormal
	case isText:
		purpose = closeError(text).Code.EndsSession()
	}
	l.session.Closed(purpose)
}

// check is called by the sweeper.
func (l *serverLink) check(now int64) {
	cfg, stats := &l.srv.cfg, &l.srv.stats
	switch {
	case l.over.Load():
		return
	case !l.welcomed.Load():
		if since := l.since.Load(); since != 0 && ticks(now-since) > cfg.LoginTimeout {
			stats.LoginTimeout.Add(1)
			l.Close(link.CloseNormal, "limit of time for a login")
		}
		return
	}
	taken := l.taken.Load()
	switch {
	case l.acked.Load() < l.before, ticks(now-l.sent.Load()) >= cfg.NoteInterval:
		l.note(taken)
	}
	l.before = taken
}
