package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parlor"
	"parlor/link"
	"parlor/room"
	"parlor/store"
)

// A session with a seat in a durable game is stored, so that it can be resumed after a restart (docs/PROTOCOL.md, section 2.6). What it is
// answered is not: the game's journal has what led to it, and a replay makes the answers again.

// A session that begins anew, as another client has its seat, counts its requests from 1 again. In journals their numbers have the
// count of these beginnings above them.
const epochShift = 40

// Session names the session in journals and in the store.
func (ss *session) Session() string {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.stream == nil {
		return ""
	}
	if ss.id == "" {
		var raw [12]byte
		rand.Read(raw[:])
		ss.id = base64.RawURLEncoding.EncodeToString(raw[:])
	}
	return ss.id
}

// Number is that of the i-th of the requests that the room has of the session, for its journal.
func (ss *session) Number(i int) uint64 {
	if !ss.speaks.Load() {
		return 0
	}
	n := ss.number
	if ss.handed != nil {
		n = ss.handed.numbers[i]
	}
	return ss.epoch.Load()<<epochShift | n
}

// Answers are those that the client may not have got.
func (ss *session) Answers() (list []room.Answered) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.stream == nil {
		return nil
	}
	epoch := ss.epoch.Load() << epochShift
	for _, m := range ss.stream.answers.all() {
		list = append(list, room.Answered{Number: epoch | m.ID, Response: *m.Response})
	}
	if made := ss.made.Load(); made != nil {
		for number, a := range made.answers {
			if ss.stream.restored || number > ss.stream.lastID {
				a.Number = epoch | number
				list = append(list, a)
			}
		}
	}
	return list
}

// made are the answers that a session of before the restart was given, or was about to.
type made struct {
	answers map[uint64]room.Answered // by the numbers of their requests
	last    uint64
}

// again is the answer to a request that was executed before the restart.
func (ss *session) again(number uint64) (resp parlor.Response, ok bool) {
	made := ss.made.Load()
	if made == nil {
		return resp, false
	}
	if number > made.last {
		ss.made.Store(nil)
		return resp, false
	}
	a, ok := made.answers[number]
	if !ok {
		return resp, false
	}
	if g := ss.game.Load(); a.Joined != nil && g != nil {
		text := textJoined
		if a.First {
			text = textCreated
		}
		return ss.joinedResponse(g, text, *a.Joined), true
	}
	return a.Response, true
}

// wasAnswered tells whether again has the answer to a request.
func (ss *session) wasAnswered(number uint64) bool {
	made := ss.made.Load()
	if made == nil {
		return false
	}
	_, was := made.answers[number]
	return was
}

// storedID is the name of the session in the store: its name, and how often it has begun anew, if it has.
func (ss *session) storedID() string {
	if epoch := ss.epoch.Load(); epoch > 0 {
		return ss.id + "." + strconv.FormatUint(epoch, 10)
	}
	return ss.id
}

// parseStoredID is the way back.
func parseStoredID(stored string) (id string, epoch uint64, err error) {
	id, count, anew := strings.Cut(stored, ".")
	if anew {
		epoch, err = strconv.ParseUint(count, 10, 64-epochShift)
	}
	return id, epoch, err
}

// appendStored appends what stores a session that is in a game, or about to be.
func (ss *session) appendStored(changes []store.Change, g *game) []store.Change {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.stream == nil || ss.ended || ss.id == "" {
		return changes
	}
	ss.stored = true
	return append(changes, ss.row(g))
}

// row is the session as it is stored, with tokens that are good beside those that are. The lock is held.
func (ss *session) row(g *game, more ...tokenHash) store.PutSession {
	row := store.PutSession{ID: ss.storedID(), User: ss.user, Key: ss.peer.Key, Game: g.number}
	for _, hash := range append(more, ss.stream.tokens()...) {
		if hash != (tokenHash{}) {
			row.Tokens = append(row.Tokens, slices.Clone(hash[:]))
		}
	}
	return row
}

// unstore has the store forget the session. The lock is held.
func (ss *session) unstore() {
	if !ss.stored {
		return
	}
	ss.stored = false
	ss.srv.store(func(error) {}, store.DeleteSession{ID: ss.storedID()}) // one that stays ends with its game, or with its window after a restart
}

// outlives tells whether the user's seat is kept until the next start of the server, which is about to stop. The lock is held.
func (ss *session) outlives() bool {
	g := ss.game.Load()
	return ss.srv.stopping.Load() && (ss.stored || g != nil && g.journal.inUse())
}

// restoreSessions makes the stored sessions again, before the games in which they have their seats.
func (s *Server) restoreSessions(ctx context.Context) error {
	rows, err := s.cfg.Store.Sessions(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := s.restoreSession(ctx, row); err != nil {
			s.logger.Warn("a session cannot be resumed", "user", row.User, "err", err)
			s.store(func(error) {}, store.DeleteSession{ID: row.ID})
		}
	}
	return nil
}

func (s *Server) restoreSession(ctx context.Context, row store.Session) error {
	id, epoch, err := parseStoredID(row.ID)
	if err != nil {
		return fmt.Errorf("read its name: %w", err)
	}
	if row.User != parlor.AdminName {
		if _, err := s.cfg.Store.User(ctx, row.User); err != nil {
			return err
		}
	}
	ss := newSession(s, link.Peer{Key: row.Key})
	ss.user, ss.id, ss.stored = row.User, id, true
	ss.epoch.Store(epoch)
	ss.welcomed.Store(true)
	s.mu.Lock()
	if s.sessions[ss.user] != nil {
		s.mu.Unlock()
		return errors.New("the user has another one")
	}
	s.sessions[ss.user] = ss
	s.sessionWG.Add(1)
	s.mu.Unlock()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.setStream(newStream(s))
	ss.stream.restore(row.Tokens, ss)
	ss.waitFor(s.cfg.ResumeWindow) // until it has its seat
	if s.cfg.OnConnection != nil {
		s.cfg.OnConnection(ss.user, true)
	}
	return nil
}

// restore is for the stream of a session of before the restart. What was sent on it is not known until the client says what it has.
func (st *stream) restore(tokens [][]byte, ss *session) {
	st.restored = true
	good := [...]*tokenHash{&st.token, &st.before[0], &st.before[1]}
	for i, hash := range tokens {
		if i < len(good) && copy(good[i][:], hash) == len(tokenHash{}) {
			st.srv.tokens.add(*good[i], ss)
		}
	}
}

// continueFrom goes on with the numbers that the client has. It has missed pushes, or may have: that is told as one that is lost. The answers
// that come next are those to the first requests that it has none of, as far as they are known; it sends the others again. The lock is held.
func (ss *session) continueFrom(o link.Offer) {
	st := ss.stream
	st.restored = false
	st.seq, st.acknowledged, st.lastID = o.Seq+1, o.Seq, o.ID
	st.drop(st.seq)
	for {
		resp, ok := ss.again(st.lastID + 1)
		if !ok {
			return
		}
		if g := ss.game.Load(); g != nil {
			resp.Game = g.name
		}
		st.lastID++
		st.add(link.Message{ID: st.lastID, Response: &resp})
	}
}

// reseat gives the session that has a seat of before the restart, or somebody who keeps the seat for a while: users of pgnet's wire come
// back by logging in and joining. It runs on the room's goroutine.
func (s *Server) reseat(g *game, seat room.Seated) room.Member {
	s.mu.Lock()
	ss := s.sessions[seat.User]
	s.mu.Unlock()
	if ss != nil && ss.sits(g, seat) {
		s.mu.Lock()
		g.members[ss] = struct{}{}
		s.mu.Unlock()
		return ss
	}
	window := seat.Joined.Window
	if seat.Joined.Window <= 0 {
		window = s.cfg.ResumeWindow
	}
	if window <= 0 {
		return nil
	}
	v := &vacancy{}
	time.AfterFunc(window, func() { g.room.Leave(seat.User, v, func() {}) })
	return v
}

// sits has the session of before the restart take its seat, if it is its own.
func (ss *session) sits(g *game, seat room.Seated) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	window := seat.Joined.Window
	if ss.ended || ss.stream == nil || !ss.stream.restored || ss.id != seat.Session || ss.game.Load() != nil || window <= 0 {
		return false
	}
	m := &made{answers: make(map[uint64]room.Answered)}
	for _, a := range seat.Answers {
		if a.Number>>epochShift == ss.epoch.Load() {
			number := a.Number & (1<<epochShift - 1)
			m.answers[number] = a
			m.last = max(m.last, number)
		}
	}
	if m.last > 0 {
		ss.made.Store(m)
	}
	ss.window.Store(int64(window))
	ss.game.Store(g)
	ss.told = g.name
	ss.waitFor(window)
	return true
}

// vacancy keeps the seat of a user who cannot resume a session.
type vacancy struct{ _ byte }

var _ room.Member = (*vacancy)(nil)

func (*vacancy) Answer(parlor.Response, error) {}
func (*vacancy) Push(*parlor.Push)             {}

// Vacant tells the room that whoever comes under the name has the seat.
func (*vacancy) Vacant() bool { return true }
