package server

import (
	"fmt"
	"sync/atomic"

	"parlor"
)

// CountHashes counts from now on the hashes that the server makes or checks. It comes before the first login.
func (s *Server) CountHashes() *atomic.Int64 {
	c := &counter{hasher: s.passwords}
	s.passwords = c
	return &c.n
}

type counter struct {
	hasher
	n atomic.Int64
}

func (c *counter) Hash(password string) string {
	c.n.Add(1)
	return c.hasher.Hash(password)
}

func (c *counter) Check(text, password string) (fits, old bool, err error) {
	c.n.Add(1)
	return c.hasher.Check(text, password)
}

// ParseCredentials is parseCredentials; bad tells of values that are not text.
func ParseCredentials(p parlor.Payload) (user, password, invite string, badUser, badPassword, badInvite bool) {
	c := parseCredentials(p)
	return c.user, c.password, c.invite, c.badUser, c.badPassword, c.badInvite
}

// CheckArguments is arguments.check, for the request of the given message; the values are raw JSON.
func CheckArguments(message string, p parlor.Payload) (values map[string][]byte, known bool, err error) {
	sp := specByMessage[message]
	if sp == nil {
		return nil, false, nil
	}
	args := arguments{packet: parlor.Packet{Message: message, Payload: p}}
	err = args.check(sp)
	return args.values, true, err
}

// Subscribers is how many sessions have subscribed to the directory.
func (s *Server) Subscribers() int {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return len(s.feed.subscribers)
}

// Tokens is how many tokens the server takes for sessions.
func (s *Server) Tokens() int {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return len(s.tokens.m)
}

// SharedAnyway is how much a session may keep of pushes, and of answers, whatever the others keep.
const SharedAnyway = sharedAnyway

// Keeps is what sessions keep for their clients, in bytes, looked at one by one.
func (s *Server) Keeps() (bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ss := range s.sessions {
		ss.mu.Lock()
		if st := ss.stream; st != nil {
			for _, m := range st.unacknowledged() {
				bytes += int64(sizeOf(m))
			}
		}
		ss.mu.Unlock()
	}
	return bytes
}

// RefusesInviteLocked tells whether who is refused an invite code is told with the server's lock held.
func (s *Server) RefusesInviteLocked() (locked bool) {
	s.createInvite("", 1, 0, func(string, error) {
		if locked = !s.mu.TryLock(); !locked {
			s.mu.Unlock()
		}
	})
	return locked
}

// Accounts is how many users the server counts, and what it has of accounts that are being made, changed or given up.
func (s *Server) Accounts() (users int, rest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.registering) + len(s.checks) + len(s.deleting) + len(s.changing) + len(s.vacancies); n > 0 {
		rest = fmt.Sprintf("registering %d, checks %d, deleting %d, changing %d, vacancies %d",
			len(s.registering), len(s.checks), len(s.deleting), len(s.changing), len(s.vacancies))
	}
	return s.users, rest
}
