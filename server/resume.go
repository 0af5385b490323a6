package server

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"parlor"
	"parlor/link"
)

// envelope takes the next envelope of a link that was welcomed.
func (ss *session) envelope(p *port, e *link.Envelope) error {
	r := request{number: e.ID, packet: parlor.Packet{Message: e.Message, Payload: e.Payload}, err: e.Err}
	ss.mu.Lock()
	first, err := ss.accept(p, e, &r)
	ss.mu.Unlock()
	if first {
		ss.work(r)
	}
	return err
}

// accept takes note of what an envelope says, and admits its request. The lock is held.
func (ss *session) accept(p *port, e *link.Envelope, r *request) (first bool, err error) {
	st := ss.stream
	switch {
	case ss.port != p || ss.ended:
		return false, net.ErrClosed
	case st == nil, e.Kind != link.KindRequest && e.Kind != link.KindNote, e.Kind == link.KindRequest && e.ID != st.lastID+1:
		return false, link.ErrOutOfTurn
	}
	if err := st.acknowledge(e.Ack); err != nil {
		return false, err
	}
	if st.before != [2]tokenHash{} { // the client has the new one
		ss.srv.tokens.forget(st.before[:]...)
		st.before = [2]tokenHash{}
	}
	ss.letGo()
	if e.Kind == link.KindNote {
		return false, nil
	}
	return ss.admit(p, r)
}

// letGo has requests worked off that were held, when the client has acknowledged enough. The lock is held.
func (ss *session) letGo() {
	if ss.held && !ss.waits(ss.queue.at(0)) {
		ss.held, ss.busy = false, true
		go ss.work(ss.take()) // ends with the queue
	}
}

// Push takes a push of the user's room.
func (ss *session) Push(push *parlor.Push) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	_ = ss.push(push) // which counts it
}

// push gives the client a push of the room, or of the lobby. The error is why that cannot be sent. The lock is held.
func (ss *session) push(push *parlor.Push) error {
	switch {
	case ss.ended:
		ss.srv.stats.PushesDropped.Add(1)
		return net.ErrClosed
	case ss.stream == nil:
		ss.ride(push)
		return nil
	}
	err := ss.emit(link.Message{Push: push})
	if err != nil {
		ss.srv.stats.PushesDropped.Add(1)
	}
	return err
}

// emit numbers a message, keeps it and delivers it. The error is why it cannot be sent; it has no number then. The lock
// is held.
func (ss *session) emit(m link.Message) error {
	st := ss.stream
	if ss.ended { // behind an answer that disconnects nothing follows
		if m.Response != nil && ss.outlives() {
			st.add(m) // which is saved with the game
		}
		return net.ErrClosed
	}
	if st.restored { // the client is told that it has lost some
		ss.srv.stats.PushesLost.Add(1)
		return nil
	}
	m.Seq = st.seq + 1
	err := net.ErrClosed
	if ss.port != nil {
		st.next[0] = m
		err = ss.port.link.(link.Stream).Deliver(st.lastID, st.next[:]...)
		st.next[0] = link.Message{}
	}
	if errors.Is(err, net.ErrClosed) { // a link that has ended is about to say so
		err = carried(m)
	}
	if err == nil {
		st.add(m)
	}
	return err
}

// catchUp delivers what the client has not acknowledged. A link may not carry what the one before could: an answer is
// replaced then, and a push is lost; its number is missing. The lock is held.
func (ss *session) catchUp(l link.Stream) {
	st := ss.stream
	all := st.unacknowledged()
	if err := l.Deliver(st.lastID, all...); err == nil || errors.Is(err, net.ErrClosed) { // that link will say so
		return
	}
	for _, m := range all {
		err := l.Deliver(st.lastID, m)
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		case m.Push != nil:
			st.pushes.remove(m.Seq)
			st.drop(m.Seq)
		default:
			other := link.Message{Seq: m.Seq, ID: m.ID, Response: new(ss.instead(*m.Response, err))}
			st.answers.replace(other)
			_ = l.Deliver(st.lastID, other)
		}
	}
}

// goesAway tells whether a session outlives the link that has ended, and has it wait for another one. The lock is held.
func (ss *session) goesAway() bool {
	window := ss.keeps()
	if ss.stream == nil || window <= 0 || ss.ended || ss.srv.stopping.Load() || ss.deleted.Load() {
		return false
	}
	ss.port = nil
	ss.waitFor(window)
	return true
}

// waitFor has a session wait so long for another link, and tells the game, if it is in one: with the lock held, so that the game hears
// of away and back in their order.
func (ss *session) waitFor(window time.Duration) {
	st := ss.stream
	st.stopWaiting()
	ss.absences++
	n := ss.absences
	st.away = time.AfterFunc(window, func() { ss.expire(n) })
	if g := ss.game.Load(); g != nil {
		g.room.Away(ss.user, ss)
	}
}

// enter notes that the user is in a game, which keeps her seat for a time of its own: from now on for who has gone away while the
// game took her. The game hears of that now.
func (ss *session) enter(g *game, window time.Duration) {
	ss.mu.Lock()
	ss.window.Store(int64(window))
	ss.game.Store(g)
	if !g.journal.inUse() { // it may be stored for another game, of before the restart
		ss.unstore()
	}
	away := ss.port == nil && ss.stream != nil && !ss.ended
	if away && window > 0 {
		ss.waitFor(window)
		away = false
	}
	ss.ended = ss.ended || away
	ss.mu.Unlock()
	if away {
		ss.leave()
	}
}

// keeps is how long the session outlives its link.
func (ss *session) keeps() time.Duration {
	if ss.game.Load() != nil {
		return time.Duration(ss.window.Load())
	}
	return ss.srv.cfg.ResumeWindow
}

// withWindow adds to the answer to who has joined a game for how long that keeps the seat, if it is not as long as where the game does not
// say; for clients whose sessions outlive their links.
func (ss *session) withWindow(p parlor.Payload, window time.Duration) parlor.Payload {
	window = max(window, 0)
	if ss.speaks.Load() && window != max(ss.srv.cfg.ResumeWindow, 0) {
		return link.WithWindow(p, window)
	}
	return p
}

// expire ends a session whose client has not come back in the time of an absence, which may be over.
func (ss *session) expire(absence int) {
	ss.mu.Lock()
	if ss.port != nil || ss.ended || ss.absences != absence {
		ss.mu.Unlock()
		return
	}
	ss.ended = true
	ss.mu.Unlock()
	ss.leave()
}

// resume takes up the session of an offer's token on the link of a login, if there is one, at once or a little later. If it
// turns out then that there is none any more, it goes on with the login.
func (s *Server) resume(stranger *session, login parlor.Packet, user string, o link.Offer) (resumes bool) {
	p, used := stranger.port, hashToken(o.Token)
	ss := s.tokens.find(used)
	if ss == nil || ss.user != user {
		return false
	}
	again := func() {
		if stranger.hasEnded() {
			stranger.finish(refusal(textPassword)) // which nobody reads
		} else if resp, done := s.login(stranger, login); done {
			stranger.finish(resp)
		}
	}
	attach := func(token []byte) (resumed bool) {
		resumed, wait := ss.attach(p, o, used, token)
		if wait > 0 {
			s.stats.ResumesSlowed.Add(1)
			time.AfterFunc(wait, again) // another link of the client may have come before, for which it waits again
		}
		return resumed || wait > 0
	}
	if ss.returning() {
		time.AfterFunc(storingPause, again)
		return true
	}
	token := newToken()
	switch ss.storeNext(p, o, used, token, func() {
		if !attach(token) {
			again()
		}
	}) {
	case storesNow:
		return true
	case storesOther:
		time.AfterFunc(storingPause, again)
		return true
	}
	return attach(token)
}

// storingPause is how long a login waits that comes while the token of another one is being stored, before it looks again.
const storingPause = 100 * time.Millisecond

// What comes of storeNext.
const (
	storesNothing = iota
	storesNow
	storesOther
)

// storeNext has the session stored with its next token, before the client hears of that, if it is a stored one which the client may resume. It calls
// stored then, also if the store does not take it: she resumes all the same, for as long as the server lives. One after the other,
// as each token is stored beside the one before, which a client may have.
func (ss *session) storeNext(p *port, o link.Offer, used tokenHash, token []byte, stored func()) int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	switch {
	case ss.stored == "" || !ss.fits(p, o, used) || time.Until(ss.stream.paid) > 0:
		return storesNothing
	case ss.storing:
		return storesOther
	}
	ss.storing = true
	ss.srv.store(func(error) {
		ss.mu.Lock()
		ss.storing = false
		ss.mu.Unlock()
		stored()
	}, ss.row(hashToken(token), used, ss.stream.token)) // with the lock held, so that nothing about the session comes between
	return storesNow
}

// fits tells whether the client of a link may resume the session, and acknowledges what it has. The lock is held.
func (ss *session) fits(p *port, o link.Offer, used tokenHash) bool {
	st := ss.stream
	return !ss.ended && st != nil && slices.Contains(st.tokens(), used) && !ss.deleted.Load() && p.link.Peer().Key == ss.peer.Key &&
		(st.restored && possible(o) || !st.restored && st.acknowledge(o.Seq) == nil)
}

// attach gives a session the link of its client, who has come back. It fails for a session that has ended, or is another
// client's, or whose numbers the client cannot have, and on a link that has ended meanwhile; and for one that was sent so much again
// a moment ago that it has to wait. Token is the next one.
func (ss *session) attach(p *port, o link.Offer, used tokenHash, token []byte) (resumed bool, wait time.Duration) {
	ss.mu.Lock()
	st := ss.stream
	if !ss.fits(p, o, used) {
		ss.mu.Unlock()
		return false, 0
	}
	if wait = time.Until(st.paid); wait > 0 || !p.carry(ss) {
		ss.mu.Unlock()
		return false, max(wait, 0)
	}
	if st.restored {
		ss.continueFrom(o)
	}
	lost := st.lost() // until she acknowledges something behind it: she may not hear this answer
	w := ss.nextToken(used, token)
	w.Resumed, w.ID, w.Lost = true, st.lastID, lost
	ss.srv.stats.Resumed.Add(1) // before she hears of it
	before := ss.connect(p, &w)
	ss.pay()
	ss.catchUp(p.link.(link.Stream))
	ss.isBack(st.lost() > 0)
	ss.letGo()
	ss.mu.Unlock()
	if before != nil { // the server had not noticed its end yet
		before.link.(link.Stream).Abort()
	}
	return true, 0
}

// freeResume is how much a session may be sent again, in bytes, however soon it comes back: about what its login costs anyway.
const freeResume = 64 << 10

// pay has the session wait for its next resumption, by what it is about to be sent again; but not for so long that the window would be
// over, nor longer than a login is ever held back. The lock is held.
func (ss *session) pay() {
	rate, size := ss.srv.cfg.Limits.ResumeRate, ss.stream.answers.bytes+ss.stream.pushes.bytes
	if rate > 0 && size > freeResume {
		wait := time.Duration(float64(size) / float64(rate) * float64(time.Second))
		ss.stream.paid = time.Now().Add(min(wait, maxLoginDelay, ss.keeps()/2))
	}
}

// reclaimable tells whether the right password has the session: while the user is away, and with Config.Takeover also while
// she is connected, if she speaks envelopes. On pgnet's wire the seat is not kept (takeover).
func (ss *session) reclaimable() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.canBeReclaimed()
}

// canBeReclaimed is reclaimable with the lock held.
func (ss *session) canBeReclaimed() bool {
	return !ss.ended && ss.stream != nil && ss.welcomed.Load() && !ss.deleted.Load() && (ss.port == nil || ss.srv.cfg.Takeover)
}

// textTakenOver is why the link is closed of a client whose session another one has.
const textTakenOver = "taken over"

// reclaim gives a session a link that does not resume it, but has the right password. What waited for the client before is
// lost, and so are its requests, but for those that are under way, which nobody is told the answers of. It fails if the
// session is not reclaimable any more, or the link has ended meanwhile.
func (ss *session) reclaim(p *port) bool {
	ss.mu.Lock()
	if !ss.canBeReclaimed() || !p.carry(ss) {
		ss.mu.Unlock()
		return false
	}
	ss.stream.stopWaiting()
	ss.srv.tokens.forget(ss.stream.tokens()...)
	ss.setStream(nil)
	for ss.queue.len() > 0 {
		ss.take()
	}
	ss.held = false
	ss.orphans.Store(ss.busy)
	ss.srv.feed.forget(ss)
	var w *link.Welcome
	if _, ok := p.offer(); ok {
		ss.setStream(newStream(ss.srv))
		next := ss.nextToken(tokenHash{}, newToken())
		w = &next
	}
	ss.peer = p.link.Peer() // whose key is stored
	ss.beginAnew()
	ss.srv.stats.Logins.Add(1) // before she hears of it
	before := ss.connect(p, w)
	ss.untold.Store(true)
	ss.isBack(true)
	ss.mu.Unlock()
	if before != nil {
		before.link.Close(link.ClosePolicy, textTakenOver)
	}
	return true
}

// beginAnew notes that the numbers of a session begin anew, as another client has it. The lock is held.
func (ss *session) beginAnew() {
	ss.made.Store(nil)
	if ss.id == "" {
		return
	}
	wasStored := ss.stored != ""
	ss.unstore()
	ss.epoch.Add(1)
	if wasStored && ss.stream != nil {
		row := ss.putRow()
		ss.srv.store(row.written, row.PutSession) // until then she comes back with her password
	}
}

// setStream says whether the client speaks envelopes. What waited for the one before is lost. The lock is held.
func (ss *session) setStream(st *stream) {
	if ss.stream != nil {
		ss.stream.forget()
	}
	ss.stream = st
	ss.speaks.Store(st != nil)
}

// connect gives the session a link that carries it already, and answers the login there. It returns the link before, if there
// is one still. The lock is held.
func (ss *session) connect(p *port, w *link.Welcome) (before *port) {
	before = ss.port
	ss.port, ss.peer = p, p.link.Peer()
	ss.wake() // who waits on the link before has to stop
	r := parlor.OK(parlor.MessageAuthenticated)
	if w == nil {
		_ = p.link.Send(r)
		return before
	}
	ss.stream.stopWaiting()
	if g := ss.game.Load(); g != nil {
		r.Game = g.name
	}
	_ = p.link.(link.Stream).Welcome(r, *w)
	return before
}

// isBack tells the game. The lock is held, as in waitFor.
func (ss *session) isBack(missed bool) {
	if g := ss.game.Load(); g != nil {
		g.room.Back(ss.user, ss, missed)
	}
}

// nextToken has a token be the session's next one. The one that was used to resume stays good until the client shows that it has
// this one; and so does the one that she was told last, if it is another: that she has used an older one may be an old login,
// which comes late, and not her last. The lock is held.
func (ss *session) nextToken(used tokenHash, token []byte) link.Welcome {
	st := ss.stream
	good := [2]tokenHash{used}
	if st.token != used {
		good[1] = st.token
	}
	for _, old := range st.tokens() {
		if !slices.Contains(good[:], old) {
			ss.srv.tokens.forget(old)
		}
	}
	st.before, st.token = good, hashToken(token)
	ss.srv.tokens.add(st.token, ss)
	return link.Welcome{Token: token, Window: ss.keeps()}
}

// tokens find sessions by the hashes of what resumes them.
type tokens struct {
	mu sync.Mutex // guards m; it comes after those of sessions
	m  map[tokenHash]*session
}

func (t *tokens) find(hash tokenHash) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[hash]
}

func (t *tokens) add(hash tokenHash, ss *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m[hash] = ss
}

func (t *tokens) forget(hashes ...tokenHash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, hash := range hashes {
		delete(t.m, hash)
	}
}

// offer is what the client of a link has said of envelopes in its login.
func (p *port) offer() (o link.Offer, ok bool) {
	if stream, isStream := p.link.(link.Stream); isStream {
		return stream.Offer()
	}
	return o, false
}

// welcome answers the login of a new session.
func (ss *session) welcome() {
	if _, ok := ss.port.offer(); !ok {
		ss.reply(parlor.OK(parlor.MessageAuthenticated))
		return
	}
	ss.srv.stats.Requests.Add(1)
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.ended { // while she was stored: a token would be good for nothing, and stay
		return
	}
	ss.setStream(newStream(ss.srv))
	_ = ss.port.link.(link.Stream).Welcome(parlor.OK(parlor.MessageAuthenticated), ss.nextToken(tokenHash{}, newToken()))
}
