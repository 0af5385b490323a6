package server

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"parlor"
	"parlor/internal/snapshot"
	"parlor/link"
)

// credentials is the payload of a login (section 5.1).
type credentials struct {
	user, password, invite string

	badPassword bool // a password that is not text
	badInvite   bool
	badUser     bool
}

func parseCredentials(p parlor.Payload) credentials {
	var c credentials
	c.user, c.badUser = textArgument(p, "username")
	c.password, c.badPassword = passwordArgument(p)
	c.invite, c.badInvite = textArgument(p, "invite_code")
	return c
}

// textArgument is the text under a key, empty if it is missing. Values that Python takes as empty (null, 0,
// false, [] and {}) are empty too; bad is true for any other value that is not text.
func textArgument(p parlor.Payload, key string) (text string, bad bool) {
	v, found := p.Get(key)
	if !found {
		return "", false
	}
	switch v := v.(type) {
	case string:
		return v, false
	case nil:
		return "", false
	case bool:
		return "", v
	case int64:
		return "", v != 0
	case float64:
		return "", v != 0
	case []any:
		return "", len(v) > 0
	case map[string]any:
		return "", len(v) > 0
	}
	return "", true
}

// passwordArgument is the password, empty if it is missing. Nothing but text is taken for one: pgnet 0.2.1
// makes text of other values, and null or 0 must not pass for the empty password (defect 47).
func passwordArgument(p parlor.Payload) (text string, bad bool) {
	v, found := p.Get("password")
	text, isText := v.(string)
	return text, found && !isText
}

// refusal is a login's answer that ends the connection (section 5.3).
func refusal(text string) parlor.Response {
	return parlor.Response{Message: text, Status: parlor.StatusBad, Disconnecting: true}
}

// login answers the first packet of a session.
func (s *Server) login(ss *session, p parlor.Packet) (parlor.Response, bool) {
	c := parseCredentials(p.Payload)
	if o, ok := ss.port.offer(); ok && o.Token != nil {
		resumed, wait := s.resume(ss.port, c.user, o)
		if wait > 0 {
			s.stats.ResumesSlowed.Add(1)
			time.AfterFunc(wait, func() { // another link of the client may have come before, for which it waits again
				if ss.hasEnded() {
					ss.finish(refusal(textPassword)) // which nobody reads
				} else if resp, done := s.login(ss, p); done {
					ss.finish(resp)
				}
			})
		}
		if resumed || wait > 0 {
			return parlor.Response{}, false // resumed: the link is another session's now
		}
	}
	try, wait, ok := s.logins.begin(ss.peer.Addr, c.user)
	if try.slows {
		s.event(slog.LevelWarn, "too many failed logins from an address: slowing it down", "address", link.Network(ss.peer.Addr))
	}
	if !ok { // the text must not be that of a wrong password: nobody has looked at it
		s.stats.LoginsSlowed.Add(1)
		s.stats.LoginsRefused.Add(1)
		return refusal(textFailures), true
	}
	if wait > 0 {
		s.stats.LoginsSlowed.Add(1)
		time.AfterFunc(wait, func() {
			if resp, done := s.authenticate(ss, c, try, true); done {
				ss.finish(resp)
			}
		})
		return parlor.Response{}, false
	}
	return s.authenticate(ss, c, try, true)
}

// authenticate makes the checks of section 5.3, in their order, and reserves the name before anything is
// answered (defect 2). A new user is stored before she is answered. If patient, it waits for a name whose
// session has ended already: a client that connects again at once shall not be told that it is connected.
func (s *Server) authenticate(ss *session, c credentials, try *attempt, patient bool) (parlor.Response, bool) {
	if ss.hasEnded() { // while it was delayed
		return refusal(textPassword), true // which nobody reads
	}
	s.mu.Lock()
	old := s.sessions[c.user]
	reclaims := old != nil && old.reclaimable()
	if reclaims && s.passwordFits(c) {
		s.mu.Unlock()
		if old.reclaim(ss.port) {
			try.succeeded()
			return parlor.Response{}, false // likewise
		}
		s.mu.Lock()
	}
	text, undo := s.admit(ss, c)
	if old := s.sessions[c.user]; patient && text == textConnected && old.hasEnded() {
		s.awaitName(old, func() {
			if resp, done := s.authenticate(ss, c, try, false); done {
				ss.finish(resp)
			}
		})
		s.mu.Unlock()
		return parlor.Response{}, false
	}
	if text != "" {
		s.mu.Unlock()
		s.stats.LoginsRefused.Add(1)
		if !s.guessed(text) && !(text == textConnected && reclaims) { // as the right password has it
			try.cancel()
		}
		return refusal(text), true
	}
	_, ss.tookOver = s.sessions[c.user]
	s.sessions[c.user] = ss
	s.sessionWG.Add(1)
	ss.user = c.user
	s.mu.Unlock()
	try.succeeded()
	if undo == nil {
		return s.welcome(ss)
	}
	s.store(func(err error) {
		if err == nil {
			s.event(slog.LevelInfo, "user registered", "user", c.user)
			s.welcome(ss)
			return
		}
		s.mu.Lock()
		undo()
		s.mu.Unlock()
		ss.finish(refusal(textNotStored))
		ss.free()
	})
	return parlor.Response{}, false
}

// awaitName calls next when a session that has ended has given its name back, or a little after the time in
// which it should have. The lock is held.
func (s *Server) awaitName(old *session, next func()) {
	if old.gone == nil {
		old.gone = make(chan struct{})
	}
	gone := old.gone
	bound := s.cfg.Limits.LeaveWait * 9 / 8 // not to race with the other's timer
	go func() {                             // ends then at the latest
		timer := time.NewTimer(bound)
		defer timer.Stop()
		select {
		case <-gone:
		case <-timer.C:
		}
		next()
	}()
}

// guessed tells whether a refusal says that a password or a code was wrong.
func (s *Server) guessed(refused string) bool {
	switch refused {
	case textPassword, textInvite:
		return true
	case textConnected: // with the right password the session would have been taken over
		return s.cfg.Takeover
	}
	return false
}

// welcome answers an accepted login; then the connection callback is called (section 5.6).
func (s *Server) welcome(ss *session) (parlor.Response, bool) {
	s.stats.Logins.Add(1)
	remote := ss.peer.Remote // from here on the session may get another link
	ss.welcome()
	if s.cfg.OnConnection != nil && !ss.tookOver {
		s.connections.Lock()
		s.cfg.OnConnection(ss.user, true)
		s.connections.Unlock()
	}
	ss.welcomed.Store(true)
	s.logger.Debug("logged in", "user", ss.user, "remote", remote)
	if r, ok := ss.proceed(); ok {
		go ss.work(r) // ends with the queue
	}
	return parlor.Response{}, false
}

const (
	textPassword  = "Incorrect password."
	textInvite    = "Incorrect username or invite code."
	textConnected = "Username already connected."
	textFailures  = "Limit of failed logins from your address reached. Try again later."
	textNotStored = "The server could not save this. Please try again later."
)

// admit makes the checks with the lock held, and returns the refusal's text, or else, for a new user, what
// takes the registration back.
func (s *Server) admit(ss *session, c credentials) (refused string, undo func()) {
	switch old := s.sessions[c.user]; {
	case s.stopping.Load(): // looked at with the lock, as end waits for the sessions that it finds
		return "Server is shutting down.", nil
	case c.badUser:
		return "Username not allowed.", nil
	case c.user == "":
		return "Missing non-empty username.", nil
	case old != nil && old.deleted.Load():
		return "User deleted.", nil
	case old != nil && !s.takeover(old, c):
		return textConnected, nil
	}
	if c.user == parlor.AdminName || s.users[c.user] != nil {
		if !s.passwordFits(c) {
			return textPassword, nil
		}
		return "", nil
	}
	return s.register(ss, c)
}

// passwordFits checks the password of a known user.
func (s *Server) passwordFits(c credentials) bool {
	if c.badPassword {
		return false // pgnet 0.2.1 turns it into text (defect 47)
	}
	if c.user == parlor.AdminName {
		return subtle.ConstantTimeCompare([]byte(c.password), []byte(s.cfg.AdminPassword)) == 1
	}
	u := s.users[c.user] // nil for a user who is being deleted
	return u != nil && u.Check(c.password)
}

// takeover ends the session that holds the name, if the server is set to and the password is right: one on pgnet's wire, as
// others are reclaimed. A login that is still under way is not taken over, as its user may not be stored yet. The name
// is free at once; the seat is given up before the new session can take one, in the room's own order.
func (s *Server) takeover(old *session, c credentials) bool {
	if !s.cfg.Takeover || !old.welcomed.Load() || !s.passwordFits(c) {
		return false
	}
	go func() { // ends at once; the lock is held here
		old.close(link.CloseNormal, "")
		old.end()
	}()
	return true
}

// register makes the checks for a name that is not registered, and registers it.
func (s *Server) register(ss *session, c credentials) (refused string, undo func()) {
	invite := -1
	if c.invite != "" || c.badInvite {
		invite = slices.IndexFunc(s.invites, func(i snapshot.Invite) bool {
			return i.Code == c.invite && (i.User == "" || i.User == c.user) && (i.Expires == 0 || i.Expires > time.Now().Unix())
		})
		if invite < 0 {
			return textInvite, nil
		}
	}
	switch {
	case invite < 0 && !s.registration:
		return "Registration blocked.", nil
	case c.badPassword:
		return textPassword, nil
	case s.cfg.RequirePassword && c.password == "":
		return "User password required.", nil
	case !parlor.UserNameAllowed(c.user) || s.imitates(c.user):
		return "Username not allowed.", nil
	case len(s.users) >= s.cfg.Limits.Users:
		s.stats.UsersRefused.Add(1)
		return "Limit of registered users reached.", nil
	case invite < 0 && !s.registered.allow(ss.peer.Addr):
		s.stats.UsersRefused.Add(1)
		return "Limit of new users of one network reached. Try again later, or with an invite code.", nil
	}
	u := snapshot.NewUser(c.user, c.password)
	s.addUser(&u)
	var used snapshot.Invite
	if invite >= 0 {
		used = s.invites[invite]
		s.invites = slices.Delete(s.invites, invite, invite+1)
	}
	return "", func() {
		s.removeUser(&u)
		if used.Code != "" {
			s.invites = append(s.invites, used)
		}
	}
}

// imitates tells whether a name differs from a user's by the script of its digits only (defect 16).
func (s *Server) imitates(name string) bool {
	folded := parlor.FoldDigits(name)
	return folded != name && s.users[folded] != nil || s.oddDigits[folded] > 0
}

func (s *Server) addUser(u *snapshot.User) {
	s.users[u.Name] = u
	s.order = append(s.order, u)
	if folded := parlor.FoldDigits(u.Name); folded != u.Name {
		s.oddDigits[folded]++
	}
}

func (s *Server) removeUser(u *snapshot.User) {
	delete(s.users, u.Name)
	if folded := parlor.FoldDigits(u.Name); folded != u.Name {
		if s.oddDigits[folded]--; s.oddDigits[folded] == 0 {
			delete(s.oddDigits, folded)
		}
	}
	s.order = slices.DeleteFunc(s.order, func(o *snapshot.User) bool { return o == u })
}

// freeName takes a session off the table of users, and tells who wants to know.
func (s *Server) freeName(ss *session) {
	if ss.user == "" {
		return
	}
	s.connections.Lock() // the next session of the name is told of after this one
	s.mu.Lock()
	gone := s.sessions[ss.user] == ss // and not taken over by another session
	if gone {
		delete(s.sessions, ss.user)
	}
	if ss.gone != nil {
		close(ss.gone)
	}
	s.mu.Unlock()
	if gone && s.cfg.OnConnection != nil && ss.welcomed.Load() {
		s.cfg.OnConnection(ss.user, false)
	}
	s.connections.Unlock()
	s.sessionWG.Done()
}

// deleteUser deletes a user at once (defects 4 and 5), and ends her session: her next packet is told so, and
// if none comes within Limits.DeleteWait the link is closed. Until her session is gone, logins under the
// name are refused.
func (s *Server) deleteUser(name string, done func(error)) {
	s.mu.Lock()
	u := s.users[name]
	if u == nil {
		s.mu.Unlock()
		done(ErrNoUser)
		return
	}
	s.removeUser(u)
	ss := s.sessions[name]
	s.mu.Unlock()
	s.store(func(err error) {
		if err != nil {
			s.mu.Lock()
			if s.users[name] == nil {
				s.addUser(u)
			}
			s.mu.Unlock()
		} else {
			s.event(slog.LevelInfo, "user deleted", "user", name)
			if ss != nil {
				ss.deleted.Store(true)
				time.AfterFunc(s.cfg.Limits.DeleteWait, func() { ss.close(link.CloseNormal, "") })
			}
		}
		done(err)
	})
}

// createInvite makes a code of 128 random bits that expires (defect 41). Expired ones make room for it.
func (s *Server) createInvite(user string, done func(code string, err error)) {
	var raw [16]byte
	rand.Read(raw[:])
	code := hex.EncodeToString(raw[:])
	s.mu.Lock()
	if len(user) > s.cfg.Limits.TextSize {
		s.mu.Unlock()
		s.stats.TextsRefused.Add(1)
		done("", ErrLongName)
		return
	}
	now := time.Now().Unix()
	s.invites = slices.DeleteFunc(s.invites, func(i snapshot.Invite) bool { return i.Expires != 0 && i.Expires <= now })
	if len(s.invites) >= s.cfg.Limits.Invites {
		s.mu.Unlock()
		s.stats.InvitesRefused.Add(1)
		done("", ErrTooManyCodes)
		return
	}
	invite := snapshot.Invite{Code: code, User: user}
	if life := s.cfg.Limits.InviteLife; life > 0 {
		invite.Expires = now + int64(life/time.Second)
	}
	s.invites = append(s.invites, invite)
	s.mu.Unlock()
	s.store(func(err error) {
		if err != nil {
			s.mu.Lock()
			s.invites = slices.DeleteFunc(s.invites, func(i snapshot.Invite) bool { return i.Code == code })
			s.mu.Unlock()
		}
		done(code, err)
	})
}

func (s *Server) setRegistration(on bool, done func(error)) {
	s.mu.Lock()
	before := s.registration
	s.registration = on
	s.mu.Unlock()
	s.store(func(err error) {
		if err != nil {
			s.mu.Lock()
			s.registration = before
			s.mu.Unlock()
		}
		done(err)
	})
}
