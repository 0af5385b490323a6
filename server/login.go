package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"parlor"
	"parlor/internal/password"
	"parlor/internal/snapshot"
	"parlor/internal/turnstile"
	"parlor/link"
	"parlor/store"
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
		if s.resume(ss, p, c.user, o) {
			return parlor.Response{}, false
		}
	}
	return s.loginAnew(ss, c)
}

// loginAnew answers the first packet of a session that takes up no other.
func (s *Server) loginAnew(ss *session, c credentials) (parlor.Response, bool) {
	if text := s.refuse(c); text != "" {
		s.stats.LoginsRefused.Add(1)
		return refusal(text), true
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxLoginWait)
	ss.setCancel(cancel)
	s.proveLater(&proving{ctx: ctx, ss: ss, c: c, patient: true})
	return parlor.Response{}, false
}

// refuse is why a login cannot be accepted whatever its password, or empty.
func (s *Server) refuse(c credentials) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.sessions[c.user]
	switch {
	case s.stopping.Load():
		return textStopping
	case c.badUser:
		return textName
	case c.user == "":
		return "Missing non-empty username."
	case len(c.password) > s.cfg.Limits.PasswordSize:
		s.stats.TextsRefused.Add(1)
		return textLongPassword
	case old == nil:
	case old.deleted.Load():
		return textDeleted
	case !s.cfg.Takeover && !old.hasEnded() && !old.reclaimable():
		return textConnected
	}
	return ""
}

// proving is a login whose password is to be looked at. That takes a turn of the turnstile, as a hash is expensive: nobody waits for it
// on a goroutine.
type proving struct {
	ctx     context.Context // its end is how long she waits
	ss      *session
	c       credentials
	try     *attempt  // what it has taken from the budgets; nil: nothing yet
	due     time.Time // no answer comes earlier, as too many have failed
	patient bool      // it waits for a name whose session has ended

	check    *check // of the name; nil: not looked at yet
	seen     int    // its version then
	known    bool   // there is such a user
	hashed   bool   // a hash was made for it
	fits     bool   // the password is hers
	secret   string // for who is not known: the hash of her password
	imitated bool   // likewise: another one has nearly the same name
	crowded  bool   // likewise: her network has registered too many, so that there is none
}

// proveLater looks at the budgets of failures, and has the password looked at in its turn. Who is to be slowed down waits for the
// turn and for the end of the delay at the same time: one after the other would be longer than clients wait, in a storm of logins
// on her own name.
func (s *Server) proveLater(p *proving) {
	try, wait, ok := s.logins.begin(p.ss.peer.Addr, p.c.user)
	if try.slows {
		s.event(slog.LevelWarn, "too many failed logins from an address: slowing it down", "address", link.Network(p.ss.peer.Addr))
	}
	if !ok { // the text must not be that of a wrong password: nobody has looked at it
		s.stats.LoginsSlowed.Add(1)
		s.refused(p, textFailures)
		return
	}
	if wait > 0 {
		s.stats.LoginsSlowed.Add(1)
	}
	p.try, p.due = try, time.Now().Add(wait)
	s.queue(p)
}

// refused answers a login that is over. It counts as a failed one if it has cost a hash and its password was not right,
// whatever it is told: a name that is taken, and one that nobody has, are found out by guessing, too. So does one that hangs up meanwhile.
func (s *Server) refused(p *proving, text string) {
	if p.try != nil && (p.fits || !p.hashed) {
		p.try.cancel()
	}
	s.settled(p)
	s.stats.LoginsRefused.Add(1)
	p.ss.finish(refusal(text))
}

// queue has the password looked at in its turn.
func (s *Server) queue(p *proving) {
	key := turnstile.Key{Network: link.Network(p.ss.peer.Addr), Name: p.c.user}
	s.inLine(p.ctx, key, func(err error) {
		if err != nil || p.ss.hasEnded() {
			s.refused(p, textBusy)
			return
		}
		if err := s.prove(p); err != nil {
			if p.ctx.Err() == nil {
				s.trouble(slog.LevelError, "a user could not be read", "err", err)
			}
			s.refused(p, textBusy)
			return
		}
		if rest := time.Until(p.due); rest > 0 {
			time.AfterFunc(rest, func() { s.authenticate(p) })
			return
		}
		s.authenticate(p)
	})
}

// inLine has work called when it is its turn of the turnstile, or with why there is none, at once if too many wait.
func (s *Server) inLine(ctx context.Context, key turnstile.Key, work func(error)) {
	counted := func(err error) {
		if errors.Is(err, turnstile.ErrBusy) {
			s.stats.TurnsRefused.Add(1)
		}
		work(err)
	}
	if err := s.gate.Do(ctx, key, counted); err != nil {
		counted(err)
	}
}

// prove looks at the password. It blocks for the store and for the hash, and takes the same time for names that there are and
// for those that there are not. The error is that of the store.
func (s *Server) prove(p *proving) error {
	s.mu.Lock()
	if p.check == nil {
		p.check = s.checkOf(parlor.FoldDigits(p.c.user))
	}
	p.seen = p.check.version
	p.fits, p.secret, p.imitated, p.crowded = false, "", false, false // as they were when it was proved before
	admin, open := s.admin, s.registration || p.c.invite != "" || p.c.badInvite
	s.mu.Unlock()
	secret := admin
	if p.known = p.c.user == parlor.AdminName; !p.known {
		u, err := s.cfg.Store.User(p.ctx, p.c.user)
		switch {
		case err == nil:
			secret, p.known = u.Secret, true
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	switch {
	case p.known:
		fits, old, err := s.passwords.Check(secret, p.c.password)
		p.hashed = true
		if err != nil {
			s.logger.Error("the hash of a password cannot be read", "user", p.c.user, "err", err)
		}
		p.fits = fits && !p.c.badPassword
		if old && p.fits && !s.cfg.PgnetPasswords {
			p.secret = s.passwords.Hash(p.c.password)
		}
		if open && !p.fits { // as for a name that is not known
			if _, err = s.cfg.Store.Imitated(p.ctx, parlor.FoldDigits(p.c.user)); err != nil {
				return err
			}
		}
	case open:
		var err error
		if p.imitated, err = s.cfg.Store.Imitated(p.ctx, parlor.FoldDigits(p.c.user)); err != nil {
			return err
		}
		if p.crowded = s.crowded(p); p.crowded {
			return nil
		}
		p.secret = s.newSecret(p.c.password)
		if s.cfg.PgnetPasswords { // whose hashes cost nothing
			_, _, _ = s.passwords.Check(s.passwords.Dummy(), p.c.password)
		}
	default:
		_, _, _ = s.passwords.Check(s.passwords.Dummy(), p.c.password)
	}
	p.hashed = true
	return nil
}

// crowded tells whether a user would have to be refused as too many of her network have registered.
func (s *Server) crowded(p *proving) bool {
	if p.c.invite != "" || p.c.badInvite {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.registered.left(p.ss.peer.Addr)
}

// hasher makes the hashes of passwords, as password.Cost does.
type hasher interface {
	Hash(password string) string
	Check(text, password string) (fits, old bool, err error)
	Dummy() string
}

// newSecret is the hash of a new password.
func (s *Server) newSecret(text string) string {
	if !s.cfg.PgnetPasswords {
		return s.passwords.Hash(text)
	}
	u := snapshot.NewUser("", text)
	return password.Pgnet(u.Salt, u.Hash)
}

// check is a name, as it is folded, of which something is looked at.
type check struct {
	folded  string
	looks   int // of logins and requests that are under way
	version int // how often a user of such a name has changed since
}

// checkOf is one more look at a name. The lock is held.
func (s *Server) checkOf(folded string) *check {
	c := s.checks[folded]
	if c == nil {
		c = &check{folded: folded}
		s.checks[folded] = c
	}
	c.looks++
	return c
}

// settled ends the look of a login at a name.
func (s *Server) settled(p *proving) {
	p.ss.waitsNoMore()
	if p.check == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlook(p.check)
	p.check = nil
}

// unlook is one look less. The lock is held.
func (s *Server) unlook(c *check) {
	if c.looks--; c.looks == 0 {
		delete(s.checks, c.folded)
	}
}

// steadily has something read of a name, again if a user of such a name has changed meanwhile, and calls then with the lock held: what
// was read holds still. It blocks for read. The error is that of read.
func (s *Server) steadily(name string, read func() error, then func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.checkOf(parlor.FoldDigits(name))
	defer s.unlook(c)
	for {
		seen := c.version
		s.mu.Unlock()
		err := read()
		s.mu.Lock()
		if err != nil {
			return err
		}
		if seen == c.version {
			then()
			return nil
		}
	}
}

// changed notes that what was proved of a name may not be so any more. The lock is held.
func (s *Server) changed(name string) {
	if c := s.checks[parlor.FoldDigits(name)]; c != nil {
		c.version++
	}
}

// authenticate makes the checks of section 5.3, in their order, and reserves the name before anything is
// answered (defect 2). A new user is stored before she is answered. A patient login waits for a name whose
// session has ended already: a client that connects again at once shall not be told that it is connected.
func (s *Server) authenticate(p *proving) {
	ss, c := p.ss, p.c
	if ss.hasEnded() { // while she was waiting
		s.refused(p, textBusy) // which nobody reads
		return
	}
	s.mu.Lock()
	if p.seen != p.check.version { // the user has changed meanwhile
		s.mu.Unlock()
		s.queue(p)
		return
	}
	old := s.sessions[c.user]
	if old != nil && old.reclaimable() && p.fits && !s.deleting[c.user] {
		s.mu.Unlock()
		if old.reclaim(ss.port) {
			s.succeeded(p)
			return
		}
		s.mu.Lock()
		if p.seen != p.check.version {
			s.mu.Unlock()
			s.queue(p)
			return
		}
	}
	text, changes, undo := s.admit(p)
	if old := s.sessions[c.user]; p.patient && text == textConnected && old.hasEnded() {
		p.patient = false
		s.awaitName(old, func() { s.authenticate(p) })
		s.mu.Unlock()
		return
	}
	if text != "" {
		s.mu.Unlock()
		s.refused(p, text)
		return
	}
	_, ss.tookOver = s.sessions[c.user]
	s.sessions[c.user] = ss
	s.sessionWG.Add(1)
	ss.user = c.user
	if undo == nil {
		s.mu.Unlock()
		s.succeeded(p)
		s.welcome(ss)
		return
	}
	s.store(func(err error) { // asked for with the lock held, so that changes come to the store in the order in which they were made
		s.succeeded(p)
		s.enlisted(c.user, undo, err)
		if err == nil {
			s.event(slog.LevelInfo, "user registered", "user", c.user)
			s.welcome(ss)
			return
		}
		ss.finish(refusal(notStored(err)))
		ss.free()
	}, changes...)
	s.mu.Unlock()
}

// succeeded is behind a login with the right password.
func (s *Server) succeeded(p *proving) {
	if p.known && p.secret != "" { // an old hash, which she does not wait for
		s.mu.Lock()
		if p.seen == p.check.version && s.changing[p.c.user] == 0 && !s.deleting[p.c.user] { // or a newer password may be behind it, or her deletion
			s.putSecret(p.c.user, p.secret, func(error) {})
		}
		s.mu.Unlock()
	}
	s.settled(p)
	p.try.succeeded()
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
	textName      = "Username not allowed."
	textDeleted   = "User deleted."
	textStopping  = "Server is shutting down."
	textBusy      = "The server is busy. Try again later."
	textFailures  = "Limit of failed logins from your address reached. Try again later."
	textNotStored = "The server could not save this. Please try again later."
	textUnknown   = "The server does not know whether this was saved. Look before you try again."

	textNoPassword   = "User password required."
	textLongPassword = "Limit of password length reached."
	textUsers        = "Limit of registered users reached."
)

// admit makes the checks with the lock held, and returns the refusal's text; or else, for a new user, what is to be stored, and what
// follows when that is done, or has failed.
func (s *Server) admit(p *proving) (refused string, changes []store.Change, stored func(error)) {
	switch old := s.sessions[p.c.user]; {
	case s.stopping.Load(): // looked at with the lock, as end waits for the sessions that it finds
		return textStopping, nil, nil
	case old != nil && old.deleted.Load():
		return textDeleted, nil, nil
	case old != nil && !s.takeover(old, p):
		return textConnected, nil, nil
	case s.deleting[p.c.user]:
		return textDeleted, nil, nil
	case p.known && !p.fits:
		return textPassword, nil, nil
	case p.known:
		return "", nil, nil
	}
	return s.register(p)
}

// takeover ends the session that holds the name, if the server is set to and the password is right: one on pgnet's wire, as
// others are reclaimed. A login that is still under way is not taken over, as its user may not be stored yet. The name
// is free at once; the seat is given up before the new session can take one, in the room's own order.
func (s *Server) takeover(old *session, p *proving) bool {
	if !s.cfg.Takeover || !old.welcomed.Load() || !p.fits || s.deleting[old.user] {
		return false
	}
	go func() { // ends at once; the lock is held here
		old.close(link.CloseNormal, "")
		old.end()
	}()
	return true
}

// register makes the checks for a name that is not registered, and registers it.
func (s *Server) register(p *proving) (refused string, changes []store.Change, stored func(error)) {
	c, folded := p.c, parlor.FoldDigits(p.c.user)
	var invite *invitation
	if c.invite != "" || c.badInvite {
		if invite = s.invitation(c.invite, c.user); invite == nil {
			return textInvite, nil, nil
		}
	}
	switch {
	case invite == nil && (!s.registration || p.secret == "" && !p.crowded): // or was when she came, so that nothing was proved
		return "Registration blocked.", nil, nil
	case c.badPassword:
		return textPassword, nil, nil
	case s.cfg.RequirePassword && c.password == "":
		return textNoPassword, nil, nil
	case !parlor.UserNameAllowed(c.user) || p.imitated || s.registering[folded]:
		return textName, nil, nil
	case s.users >= s.cfg.Limits.Users:
		s.stats.UsersRefused.Add(1)
		return textUsers, nil, nil
	case p.crowded, invite == nil && !s.registered.allow(p.ss.peer.Addr):
		s.stats.UsersRefused.Add(1)
		return "Limit of new users of one network reached. Try again later, or with an invite code.", nil, nil
	}
	user, enlisted := s.enlist(c.user, p.secret)
	if invite == nil {
		return "", []store.Change{user}, enlisted
	}
	return "", []store.Change{user, s.use(invite)}, func(err error) {
		enlisted(err)
		if err != nil {
			s.giveBack(invite)
		}
	}
}

// enlist makes somebody a user who is to be stored: the change, and what follows when it is made or has failed. The lock is held for both.
func (s *Server) enlist(name, secret string) (change store.Change, stored func(error)) {
	folded := parlor.FoldDigits(name)
	s.users++
	s.registering[folded] = true
	return store.PutUser{Name: name, Folded: folded, Secret: secret}, func(err error) {
		delete(s.registering, folded)
		s.changed(name)
		if err != nil {
			s.users--
		}
	}
}

// enlisted is behind the storing of a new user: stored is what follows. While it is not known whether she is there, nobody else gets her name, or the use of an
// invite code that she has had.
func (s *Server) enlisted(name string, stored func(error), err error) {
	follow := func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		stored(err)
	}
	if !errors.Is(err, store.ErrUnknown) {
		follow(err)
		return
	}
	s.doubts.add(doubt{
		made: func(ctx context.Context) (bool, error) { return s.isThere(ctx, name) },
		tell: func(made bool) {
			if made {
				err = nil
			}
			follow(err)
		},
	})
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
// name are refused. It does not block.
func (s *Server) deleteUser(name string, done func(error)) {
	s.mu.Lock()
	before := s.deleting[name]
	s.deleting[name] = true
	s.mu.Unlock()
	if before {
		done(ErrNoUser)
		return
	}
	over := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.deleting, name)
	}
	go func() { // ends with the answer of the store
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Limits.CommitWait)
		defer cancel()
		u, err := s.cfg.Store.User(ctx, name)
		if err != nil {
			if errors.Is(err, store.ErrNotFound) {
				err = ErrNoUser
			}
			over()
			done(err)
			return
		}
		changes := []store.Change{store.DeleteUser{Name: name}}
		s.mu.Lock()
		if s.registering[parlor.FoldDigits(name)] { // of whom it may be in doubt whether she is there
			s.mu.Unlock()
			over()
			done(store.ErrUnknown)
			return
		}
		defer s.mu.Unlock()
		if ss := s.sessions[name]; ss != nil { // together, as whoever gets the name must not find it at the next start
			changes = append(changes, ss.unstored()...)
		}
		follow := func(made bool) {
			if made {
				s.event(slog.LevelInfo, "user deleted", "user", name)
				s.forgetUser(name)
			}
			over()
		}
		s.store(func(err error) {
			if errors.Is(err, store.ErrUnknown) { // until it is known nobody logs in under the name
				s.doubts.add(doubt{made: func(ctx context.Context) (bool, error) { return s.isGone(ctx, name, u.Number) }, tell: follow})
			} else {
				follow(err == nil)
			}
			done(err)
		}, changes...)
	}()
}

// forgetUser ends the session of a user who was deleted, and gives up the seats that are kept for her.
func (s *Server) forgetUser(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	s.changed(name)
	s.vacate(name, func(*vacancy) bool { return true }) // or who is given the name would sit there
	if ss := s.sessions[name]; ss != nil {
		ss.mu.Lock()
		ss.deleted.Store(true)
		ss.unstore() // also if it was stored meanwhile
		ss.mu.Unlock()
		time.AfterFunc(s.cfg.Limits.DeleteWait, func() { ss.close(link.CloseNormal, "") })
	}
}

func (s *Server) setRegistration(on bool, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.registration
	s.registration = on
	s.store(func(err error) {
		if err != nil {
			s.mu.Lock()
			s.registration = before
			s.mu.Unlock()
		}
		done(err)
	}, putRegistration(on))
}

func putRegistration(on bool) store.PutSetting {
	if on {
		return store.PutSetting{Name: store.SettingRegistration, Value: "on"}
	}
	return store.PutSetting{Name: store.SettingRegistration, Value: "off"}
}
