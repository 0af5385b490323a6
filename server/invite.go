package server

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"parlor"
	"parlor/internal/pyjson"
	"parlor/store"
)

// invitation is a code that is good, or used by somebody who is about to be stored.
type invitation struct {
	store.Invite
	revoked bool
}

// expired tells whether a code is good no more.
func (i *invitation) expired(now time.Time) bool { return i.Expires != 0 && i.Expires <= now.Unix() }

// invitation is the code that lets a user of this name register, or nil. The lock is held.
func (s *Server) invitation(code, user string) *invitation {
	i := s.findInvite(code)
	if i < 0 {
		return nil
	}
	if in := s.invites[i]; (in.User == "" || in.User == user) && !in.expired(time.Now()) {
		return in
	}
	return nil
}

func (s *Server) findInvite(code string) int {
	return slices.IndexFunc(s.invites, func(i *invitation) bool { return i.Code == code })
}

// use takes one use of a code. The lock is held.
func (s *Server) use(in *invitation) store.Change {
	if in.Left--; in.Left > 0 {
		return store.PutInvite(in.Invite)
	}
	s.dropInvite(in)
	return store.DeleteInvite{Code: in.Code}
}

// giveBack takes back that a code was used. The lock is held.
func (s *Server) giveBack(in *invitation) {
	if in.Left++; in.Left == 1 && !in.revoked {
		s.invites = append(s.invites, in)
	}
}

// dropInvite takes a code off the list. The lock is held.
func (s *Server) dropInvite(in *invitation) {
	s.invites = slices.DeleteFunc(s.invites, func(other *invitation) bool { return other == in })
}

// InviteLife is how long a code is good where nothing else is said.
const InviteLife = 30 * 24 * time.Hour

// maxUses bounds how many may register with one code.
const maxUses = 1_000_000

// invite answers create_invite. To pgnet's one argument it takes how often the code is good, and for how long.
func (s *Server) invite(ss *session, args arguments) (parlor.Response, bool) {
	uses, life := int64(1), max(0, s.cfg.Limits.InviteLife)
	if raw := args.values["uses"]; raw != nil && (pyjson.Bind(raw, &uses) != nil || uses < 1 || uses > maxUses) {
		return parlor.Unexpected("Expected a number from 1 to 1000000 for argument 'uses'."), true
	}
	if uses > 1 && s.cfg.PgnetPasswords {
		return parlor.Unexpected("With pgnet's save file (--save) a code is good once: make more of them, or serve with --store."), true
	}
	if raw := args.values["expires_in"]; raw != nil {
		var seconds float64
		if pyjson.Bind(raw, &seconds) != nil || !(seconds >= 0 && seconds <= maxLife.Seconds()) {
			return parlor.Unexpected("Expected a number of seconds from 0, which is never, to 3153600000 for argument 'expires_in'."), true
		}
		life = time.Duration(math.Ceil(seconds)) * time.Second
	}
	s.createInvite(args.text("username"), int(uses), life, func(code string, err error) {
		switch {
		case errors.Is(err, ErrTooManyCodes):
			ss.finish(parlor.Unexpected("Limit of invite codes reached."))
		case errors.Is(err, ErrLongName):
			ss.finish(parlor.Unexpected("Limit of name length reached."))
		case err != nil:
			ss.finish(parlor.Unexpected(notStored(err)))
		default:
			ss.finish(parlor.OK(textCode + code))
		}
	})
	return parlor.Response{}, false
}

// maxLife bounds how long a code is good that expires: a hundred years.
const maxLife = 100 * 365 * 24 * time.Hour

// createInvite makes a code that expires (defect 41), or does not if life is 0. Expired ones make room for it.
func (s *Server) createInvite(user string, uses int, life time.Duration, done func(code string, err error)) {
	if len(user) > s.cfg.Limits.TextSize {
		s.stats.TextsRefused.Add(1)
		done("", ErrLongName)
		return
	}
	now := time.Now()
	in := &invitation{Invite: store.NewInvite(user, uses, now, life)}
	s.mu.Lock()
	var changes []store.Change
	s.invites = slices.DeleteFunc(s.invites, func(i *invitation) bool {
		if i.expired(now) {
			changes = append(changes, store.DeleteInvite{Code: i.Code})
		}
		return i.expired(now)
	})
	if len(s.invites) >= s.cfg.Limits.Invites {
		s.mu.Unlock() // first: who is told may be at the end of her session, which takes it
		s.stats.InvitesRefused.Add(1)
		done("", ErrTooManyCodes)
		return
	}
	s.invites = append(s.invites, in)
	defer s.mu.Unlock()
	s.store(func(err error) {
		if err != nil {
			s.mu.Lock()
			s.dropInvite(in)
			s.mu.Unlock()
		}
		done(in.Code, err)
	}, append(changes, store.PutInvite(in.Invite))...)
}

// textInvites begins an answer whose payload has codes.
const textInvites = "See payload for invite codes."

// listInvites answers list_invites: in the order of the codes, as those that come and go meanwhile move nothing then.
func (s *Server) listInvites(ss *session, args arguments) (parlor.Response, bool) {
	type entry struct {
		Code     string `json:"code"`
		Username string `json:"username"`
		Uses     int    `json:"uses"`
		Expires  int64  `json:"expires"`
	}
	var payload struct {
		Invites []entry `json:"invites"`
		More    bool    `json:"more"`
	}
	after, now := args.text("after"), time.Now()
	s.mu.Lock()
	for _, in := range s.invites {
		if in.Code > after && !in.expired(now) {
			payload.Invites = append(payload.Invites, entry{in.Code, in.User, in.Left, in.Expires})
		}
	}
	s.mu.Unlock()
	slices.SortFunc(payload.Invites, func(a, b entry) int { return strings.Compare(a.Code, b.Code) })
	n := 0
	for size := 0; n < len(payload.Invites) && size < s.pageSize(); n++ {
		size += len(payload.Invites[n].Code) + len(payload.Invites[n].Username) + pageEntry
	}
	payload.Invites, payload.More = payload.Invites[:n], n < len(payload.Invites)
	return parlor.OK(textInvites, payload), true
}

// pageEntry is what an entry of a page takes beside its texts, in bytes, or more.
const pageEntry = 100

// pageSize is how many bytes of entries one answer has: far from the limit, as texts may take six times their bytes in JSON.
func (s *Server) pageSize() int { return s.cfg.Limits.ResponseSize / 12 }

// revokeInvite answers revoke_invite.
func (s *Server) revokeInvite(ss *session, args arguments) (parlor.Response, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.findInvite(args.text("code"))
	if i < 0 {
		return parlor.Unexpected("No such invite code."), true
	}
	in := s.invites[i]
	in.revoked = true
	s.dropInvite(in)
	s.store(func(err error) {
		if err == nil {
			ss.finish(parlor.OK("Revoked invite code."))
			return
		}
		s.mu.Lock()
		in.revoked = false
		s.invites = append(s.invites, in)
		s.mu.Unlock()
		ss.finish(parlor.Unexpected(notStored(err)))
	}, store.DeleteInvite{Code: in.Code})
	return parlor.Response{}, false
}
