package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"parlor"
	"parlor/link"
	"parlor/room"
)

// session is a stranger behind a link, and from the login on a user, who may come back on another link.
//
// Its queue (queue.go) is worked off one request at a time. Whoever hands in a request while none is under way works
// it off; a request that is answered elsewhere (a room, a timer, the store) is finished by that goroutine
// with finish, which has the next one worked off. Several that are for the user's game go there together (handover.go).
type session struct {
	srv     *Server
	limiter *rate.Limiter

	mu       sync.Mutex // guards the fields below, and the order in which messages get their numbers and are delivered
	port     *port      // the link; nil while the user is away
	peer     link.Peer  // of that link, or of the one before
	stream   *stream    // nil on pgnet's wire
	queue    fifo[request]
	bytes    int           // payload bytes in queue, and of what waits in handed
	handed   *handover     // what the room has got together, of which it is answering one; nil: current alone
	underway int           // how many of that wait
	space    chan struct{} // closed when there is room again; nil while nobody waits
	busy     bool          // a request is under way
	held     bool          // those in the queue wait until the client has acknowledged some answers
	ended    bool          // the user is to be gone
	absences int           // how often she went away
	id       string        // its name in journals and in the store; empty until it has a seat in a durable game
	stored   string        // the name under which the store has it, or is about to; empty: it has nothing of it
	seatIn   int64         // the number of the game in which it is stored to have its seat
	storing  bool          // its next token is being stored

	riders       riders
	subscription *subscription // to the directory; nil: none

	user     string // set by the login, while busy
	tookOver bool   // likewise: the name was another session's

	welcomed atomic.Bool          // the login is over, and the connection callback was called
	leaving  atomic.Bool          // the user has asked to leave the game, and is not answered yet
	speaks   atomic.Bool          // the client speaks envelopes: stream is not nil
	game     atomic.Pointer[game] // where the user is
	window   atomic.Int64         // how long that game keeps the seat of a user who is away, a time.Duration
	current  parlor.Packet        // the packet that a room is answering; belongs to whoever is busy
	number   uint64               // likewise: of that request on a stream
	told     string               // likewise: the game that the last response named
	untold   atomic.Bool          // another client has come, which was told nothing
	nextDir  time.Time            // when it may have the directory again; likewise
	orphans  atomic.Bool          // those under way are of a client that another one has taken the place of
	epoch    atomic.Uint64        // how often it has begun anew
	made     atomic.Pointer[made] // answers of before a restart; nil: none
	deleted  atomic.Bool          // the user was deleted; her next packet is told so
	freed    sync.Once            // the name is given back
	cancel   context.CancelFunc   // ends what the login waits for; guarded by mu, nil behind it
	gone     chan struct{}        // closed when it is; guarded by Server.mu, nil while nobody waits
}

var _ room.Member = (*session)(nil)

func newSession(s *Server, peer link.Peer) *session {
	ss := &session{srv: s, peer: peer, queue: fifo[request]{pool: requests}}
	if r := s.cfg.Limits.RequestsPerSecond; r > 0 {
		ss.limiter = rate.NewLimiter(rate.Limit(r), max(1, int(r)))
	}
	return ss
}

// setCancel gives a function that the end of the session calls.
func (ss *session) setCancel(cancel context.CancelFunc) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.cancel = cancel; ss.ended {
		cancel()
	}
}

// waitsNoMore is behind what that would have ended.
func (ss *session) waitsNoMore() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.cancel != nil {
		ss.cancel()
		ss.cancel = nil
	}
}

// work works off a request and those behind it, until one is finished elsewhere.
func (ss *session) work(r request) {
	for ok := true; ok; r, ok = ss.proceed() {
		resp, done := ss.srv.handle(ss, r)
		if !done {
			return
		}
		ss.reply(resp)
	}
}

// proceed is next, and the end of a session that has ended meanwhile.
func (ss *session) proceed() (request, bool) {
	r, ok := ss.next()
	if !ok && ss.hasEnded() {
		ss.release()
	}
	return r, ok
}

// finish answers the request under way, on another goroutine than the one it came on.
func (ss *session) finish(resp parlor.Response) {
	ss.reply(resp)
	ss.goOn()
}

// reply sends a response. The game is always the lobby's to say (section 6.3).
func (ss *session) reply(resp parlor.Response) {
	srv := ss.srv
	if ss.orphans.Load() {
		return
	}
	if ss.deleted.Load() {
		resp = userDeleted()
	}
	resp.Game = ""
	if g := ss.game.Load(); g != nil {
		resp.Game = g.name
	}
	if ss.untold.Swap(false) {
		ss.told = ""
	}
	if resp.Game != ss.told {
		var changed bool
		if resp.Payload, changed = payloadForChange(resp.Payload); changed {
			srv.logger.Debug("a response that changes the game had a payload that breaks pgnet's clients: no object, or its heartbeat_rate no positive number",
				"user", ss.user, "from", ss.told, "to", resp.Game, "message", resp.Message)
		}
		ss.told = resp.Game
	}
	srv.stats.Requests.Add(1)
	if srv.verbose.Load() {
		srv.logResponse(ss, resp)
	}
	if err := ss.send(resp); err != nil && !errors.Is(err, net.ErrClosed) {
		ss.send(ss.instead(resp, err))
	}
	if resp.Disconnecting && !ss.hasEnded() { // as it has behind the first of several that the room has
		ss.close(link.CloseNormal, "")
	}
}

// instead is what takes the place of a response that cannot be sent.
func (ss *session) instead(resp parlor.Response, err error) parlor.Response {
	srv := ss.srv
	if errors.Is(err, link.ErrTooLarge) {
		srv.stats.TooLarge.Add(1)
		srv.logger.Warn("response too large to send", "user", ss.user, "game", resp.Game)
		return parlor.Response{Message: "Limit of response size reached.", Status: parlor.StatusUnexpected, Game: resp.Game}
	}
	srv.logger.Error("response cannot be sent", "user", ss.user, "game", resp.Game, "err", err)
	return parlor.Response{Message: "The answer could not be sent.", Status: parlor.StatusBad, Game: resp.Game}
}

// send sends a response of the size that the lobby allows; the link may allow less. After an error nothing was sent.
func (ss *session) send(r parlor.Response) error {
	if len(r.Message)+len(r.Payload.JSON()) > ss.srv.cfg.Limits.ResponseSize {
		return link.ErrTooLarge
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.orphans.Load() { // since a moment ago
		return net.ErrClosed
	}
	if ss.stream != nil {
		return ss.emit(link.Message{ID: ss.number, Response: &r})
	}
	if ss.port == nil {
		return net.ErrClosed
	}
	return ss.port.link.Send(r)
}

// close ends the session: the link after what was sent, and takes no more requests.
func (ss *session) close(code link.Code, reason string) {
	ss.mu.Lock()
	p := ss.port
	ss.mu.Unlock()
	if p != nil {
		p.link.Close(code, reason) // first, as a reader whose request is refused closes for that
	}
	ss.mu.Lock()
	away := ss.port == nil && !ss.ended
	ss.ended = true
	if !ss.outlives() { // at once, as the link may take its time
		ss.unstore()
	}
	ss.wake()
	ss.mu.Unlock()
	if away { // nobody else will
		ss.leave()
	}
}

func (ss *session) hasEnded() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.ended
}

// address is that of the client, on whatever link.
func (ss *session) address() netip.Addr {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.peer.Addr
}

// closed tells that a link has ended. The session may wait for another one.
func (ss *session) closed(p *port, onPurpose bool) {
	ss.mu.Lock()
	if ss.port != p { // it has another one already
		ss.mu.Unlock()
		return
	}
	ss.wake()
	if !onPurpose && ss.goesAway() {
		ss.mu.Unlock()
		return
	}
	ss.ended = true
	ss.mu.Unlock()
	ss.leave()
}

// end is the end of a session whose name another one has taken.
func (ss *session) end() {
	ss.mu.Lock()
	p := ss.port
	ss.mu.Unlock()
	if p != nil {
		p.Closed(true)
	}
}

// leave is the end of a session that has ended. A request that is under way is finished first, but the user's seat
// is given up at once, behind it in the room's mailbox. A request that is stuck, such as joining a game that
// is, holds the name for a bounded time only.
func (ss *session) leave() {
	ss.mu.Lock()
	ss.queue.clear()
	ss.bytes = 0
	if ss.cancel != nil {
		ss.cancel()
	}
	busy := ss.busy
	if st := ss.stream; st != nil {
		st.stopWaiting()
		if !ss.outlives() {
			st.forget()
			ss.unstore()
		}
		ss.srv.tokens.forget(st.tokens()...)
	}
	subscribes := ss.subscription != nil
	ss.mu.Unlock()
	if subscribes {
		ss.srv.feed.remove(ss)
	}
	switch {
	case !busy || ss.game.Load() != nil:
		ss.release()
	case ss.welcomed.Load():
		time.AfterFunc(ss.srv.cfg.Limits.LeaveWait, ss.free)
	}
}

// release gives up the user's seat and then the name, in this order (section 6.4). A game that is slow to
// see its user off holds the name for a bounded time only. It may be called again.
func (ss *session) release() {
	ss.mu.Lock()
	outlives := ss.outlives()
	ss.mu.Unlock()
	g := ss.game.Load()
	if g == nil || outlives {
		ss.free()
		return
	}
	timer := time.AfterFunc(ss.srv.cfg.Limits.LeaveWait, ss.free)
	g.room.Leave(ss.user, ss, func() {
		timer.Stop()
		ss.free()
	})
}

// free gives the name back.
func (ss *session) free() {
	ss.freed.Do(func() { ss.srv.freeName(ss) })
}
