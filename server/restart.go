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
	epoch := ss.epoch.Load()
	if ss.orphans.Load() { // looked at last: it is set before the session begins anew
		return 0 // the client of that request is not told, and the other one has a request of that number, too
	}
	return epoch<<epochShift | n
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
			if ss.stream.restored || number > ss.stream.answered { // also if it has come again, and waits for others
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
	joined  uint64 // the number of the one to join the game, if it is there
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
	return a.Response, ok
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

// storedRow is what a session that joins a durable game has stored together with that.
type storedRow struct {
	store.PutSession
	ss    *session
	first bool // the store had nothing of the session
}

// rowToStore is what stores a session that is about to be in a game; nil if it cannot be resumed.
func (ss *session) rowToStore(g *game) *storedRow {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.stream == nil || ss.ended || ss.id == "" || ss.deleted.Load() {
		return nil
	}
	ss.seatIn = g.number
	return ss.putRow()
}

// putRow makes a row of the session as it is. The lock is held.
func (ss *session) putRow() *storedRow {
	row := &storedRow{PutSession: ss.row(ss.stream.tokens()...), ss: ss, first: ss.stored == ""}
	ss.stored = row.ID
	return row
}

// asked is behind the asking for the row: a session that has ended since it was made, or has begun anew, has its end stored behind it.
func (r *storedRow) asked() {
	r.ss.mu.Lock()
	defer r.ss.mu.Unlock()
	if r.ss.stored != r.ID {
		r.ss.srv.unstore(r.ID)
	}
}

// written is told whether the row is stored.
func (r *storedRow) written(err error) {
	r.ss.mu.Lock()
	defer r.ss.mu.Unlock()
	if err != nil && !errors.Is(err, store.ErrUnknown) && r.first && r.ss.stored == r.ID {
		r.ss.stored = ""
	}
}

// row is the session as it is stored, with the tokens that are good. The lock is held.
func (ss *session) row(good ...tokenHash) store.PutSession {
	row := store.PutSession{ID: ss.storedID(), User: ss.user, Key: ss.peer.Key, Game: ss.seatIn}
	for i, hash := range good {
		if hash != (tokenHash{}) && !slices.Contains(good[:i], hash) {
			row.Tokens = append(row.Tokens, slices.Clone(hash[:]))
		}
	}
	return row
}

// unstore has the store forget the session. The lock is held.
func (ss *session) unstore() {
	if ss.stored != "" {
		ss.srv.unstore(ss.stored)
		ss.stored = ""
	}
}

// unstore has the store forget a session.
func (s *Server) unstore(id string) {
	s.forget(store.DeleteSession{ID: id}, nil)
}

// outlives tells whether the user's seat is kept until the next start of the server, which is about to stop. The lock is held.
func (ss *session) outlives() bool {
	g := ss.game.Load()
	return ss.srv.stopping.Load() && !ss.deleted.Load() && (ss.stored != "" || g != nil && g.journal.inUse())
}

// restoreSessions makes the stored sessions again, before the games in which they have their seats.
func (s *Server) restoreSessions(ctx context.Context) error {
	rows, err := s.cfg.Store.Sessions(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		err := s.restoreSession(ctx, row)
		if errors.Is(err, errLost) {
			s.logger.Warn("a session cannot be resumed", "user", row.User, "err", err)
			s.unstore(row.ID)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// errLost is of a stored session that cannot be resumed.
var errLost = errors.New("session lost")

// restoreSession makes a stored session again. The error is errLost, or of the store.
func (s *Server) restoreSession(ctx context.Context, row store.Session) error {
	id, epoch, err := parseStoredID(row.ID)
	if err != nil {
		return fmt.Errorf("%w: read its name: %w", errLost, err)
	}
	if row.User != parlor.AdminName {
		_, err := s.cfg.Store.User(ctx, row.User)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%w: the user was deleted", errLost)
		} else if err != nil {
			return err
		}
	}
	ss := newSession(s, link.Peer{Key: row.Key})
	ss.user, ss.id, ss.stored, ss.seatIn = row.User, id, row.ID, row.Game
	ss.epoch.Store(epoch)
	ss.welcomed.Store(true)
	s.mu.Lock()
	if s.sessions[ss.user] != nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: the user has another one", errLost)
	}
	s.sessions[ss.user] = ss
	s.sessionWG.Add(1)
	s.returning[row.Game] = append(s.returning[row.Game], ss)
	s.mu.Unlock()
	if s.cfg.OnConnection != nil {
		s.cfg.OnConnection(ss.user, true)
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.setStream(newStream(s))
	ss.stream.restore(row.Tokens, ss)
	return nil
}

// returned is behind the making of a game again. Sessions that have no seat there are those of users who are in no game, and not stored if they have left.
// They are not resumed: what was answered before is not known, and a request that comes again would be refused, or executed twice. Who has the
// password has them.
func (s *Server) returned(number int64, err error) {
	s.mu.Lock()
	list := s.returning[number]
	s.mu.Unlock()
	for _, ss := range list {
		ss.mu.Lock()
		if ss.game.Load() == nil && !ss.ended {
			if err == nil && ss.seatIn == number { // and not of another game, which she is joining
				ss.unstore()
			}
			if ss.stream != nil && ss.stream.restored { // and no other client has come meanwhile, with the password
				s.tokens.forget(ss.stream.tokens()...)
				ss.stream.token, ss.stream.before = tokenHash{}, [2]tokenHash{} // also for a login that has found the session by one of them already
				ss.waitFor(max(s.cfg.ResumeWindow, 0))
			}
		}
		ss.mu.Unlock()
	}
	s.mu.Lock()
	delete(s.returning, number) // behind it, as logins wait for that
	s.mu.Unlock()
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

// possible tells whether what a client says it has can be of a session of before the restart, whose numbers are not known.
func possible(o link.Offer) bool { return o.Seq < 1<<62 && o.ID < 1<<(epochShift-1) }

// continueFrom goes on with the numbers that the client has. It has missed pushes, or may have: that is told as one that is lost. The answers
// that come next are those to the first requests that it has none of, as far as they are known; it sends the others again. The lock is held.
func (ss *session) continueFrom(o link.Offer) {
	st := ss.stream
	st.restored = false
	st.seq, st.acknowledged, st.lastID, st.answered = o.Seq+1, o.Seq, o.ID, o.ID
	st.drop(st.seq)
	for {
		made := ss.made.Load()
		resp, ok := ss.again(st.lastID + 1)
		if !ok {
			return
		}
		st.lastID++
		if g := ss.game.Load(); g != nil && st.lastID >= made.joined {
			resp.Game = g.name
		}
		st.add(link.Message{ID: st.lastID, Response: &resp})
	}
}

// returning tells whether the session's game is still being made again, after the restart: its client waits for that, as what it was answered is not
// known yet.
func (ss *session) returning() bool {
	ss.mu.Lock()
	in := ss.seatIn
	ss.mu.Unlock()
	ss.srv.mu.Lock()
	defer ss.srv.mu.Unlock()
	return slices.Contains(ss.srv.returning[in], ss)
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
	return s.vacancy(g, seat.User, window)
}

// vacancy keeps a seat for a user; nil if there is none of the name any more. It blocks for the store.
func (s *Server) vacancy(g *game, user string, window time.Duration) room.Member {
	ctx, cancel := context.WithTimeout(s.reads, s.cfg.Limits.CommitWait)
	defer cancel()
	v, there := &vacancy{game: g}, true
	_ = s.steadily(user, func() error {
		if user != parlor.AdminName {
			_, err := s.cfg.Store.User(ctx, user)
			there = !errors.Is(err, store.ErrNotFound) // as long as nothing says so she is
		}
		return nil
	}, func() {
		if there {
			s.vacancies[user] = append(s.vacancies[user], v)
		}
	})
	if !there {
		return nil
	}
	time.AfterFunc(window, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.vacate(user, func(other *vacancy) bool { return other == v })
	})
	return v
}

// vacate gives up seats that are kept for a user. The lock is held.
func (s *Server) vacate(user string, which func(*vacancy) bool) {
	kept := s.vacancies[user]
	for _, v := range kept {
		if which(v) {
			v.game.room.Leave(user, v, func() {})
		}
	}
	if s.vacancies[user] = slices.DeleteFunc(kept, which); len(s.vacancies[user]) == 0 {
		delete(s.vacancies, user)
	}
}

// sits has the session of before the restart take its seat, if it is its own.
func (ss *session) sits(g *game, seat room.Seated) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	window := seat.Joined.Window
	if ss.ended || ss.stream == nil || !ss.stream.restored || ss.id != seat.Session || ss.seatIn != g.number || window <= 0 {
		return false
	}
	m := &made{answers: make(map[uint64]room.Answered)}
	for _, a := range seat.Answers {
		if a.Number>>epochShift == ss.epoch.Load() {
			number := a.Number & (1<<epochShift - 1)
			if a.Joined != nil {
				text := textJoined
				if a.First {
					text = textCreated
				}
				a.Response = ss.joinedResponse(g, text, *a.Joined)
				m.joined = number
			}
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
type vacancy struct{ game *game }

var _ room.Member = (*vacancy)(nil)

func (*vacancy) Answer(parlor.Response, error) {}
func (*vacancy) Push(*parlor.Push)             {}

// Vacant tells the room that whoever comes under the name has the seat.
func (*vacancy) Vacant() bool { return true }
