package server

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"parlor"
	"parlor/internal/pyjson"
	"parlor/link"
	"parlor/store"
)

func (s *Server) help(ss *session, _ arguments) (parlor.Response, bool) {
	return parlor.OK("See payload for requests.", ss.listing().help), true
}

// save answers when everything is on disk.
func (s *Server) save(ss *session, _ arguments) (parlor.Response, bool) {
	if s.cfg.unstored {
		return parlor.OK("Saved success=False server data to disk: None"), true // status 0 as ever (defect 13)
	}
	s.saveGames(func(err error) {
		if err != nil {
			ss.finish(parlor.Unexpected("Saved success=False server data to disk: "+s.cfg.Store.Path(), unsavedPayload(err)))
			return
		}
		ss.finish(parlor.OK("Saved success=True server data to disk: " + s.cfg.Store.Path()))
	})
	return parlor.Response{}, false
}

// unsavedPayload names the games that were not saved, a hundred of them at most.
func unsavedPayload(err error) parlor.Map {
	var unsaved *UnsavedError
	if !errors.As(err, &unsaved) {
		return parlor.Map{}
	}
	games := parlor.Map{}
	for _, name := range sortedKeys(unsaved.Games)[:min(100, len(unsaved.Games))] {
		games[name] = unsaved.Games[name]
	}
	return parlor.Map{"unsaved": games}
}

const textCode = "Created invite code: "

// removal answers delete_user. The statuses are the old ones (defect 13).
func (s *Server) removal(ss *session, args arguments) (parlor.Response, bool) {
	name := args.text("username")
	if name == parlor.AdminName {
		return parlor.OK("Requested delete user 'admin'"), true
	}
	s.deleteUser(name, func(err error) {
		switch {
		case errors.Is(err, ErrNoUser):
			ss.finish(parlor.OK("No such username " + pyjson.ReprString(name)))
		case err != nil:
			ss.finish(parlor.Unexpected(notStored(err)))
		default:
			ss.finish(parlor.OK("Requested delete user " + pyjson.ReprString(name)))
		}
	})
	return parlor.Response{}, false
}

func (s *Server) registrationRequest(ss *session, args arguments) (parlor.Response, bool) {
	on := args.bool("set_as")
	s.setRegistration(on, func(err error) {
		if err != nil {
			ss.finish(parlor.Unexpected(notStored(err)))
			return
		}
		ss.finish(parlor.OK("Registration enabled: " + pyBool(on)))
	})
	return parlor.Response{}, false
}

func (s *Server) verboseRequest(ss *session, args arguments) (parlor.Response, bool) {
	on := args.bool("set_as")
	s.SetVerbose(on)
	return parlor.OK("Verbose logging enabled: " + pyBool(on)), true
}

func pyBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// maxSleep is how many seconds sleep answers with at most (section 7.3). It takes Limits.SleepTime at most.
const maxSleep = 5

// sleep delays this answer, and nothing else (defect 19). It takes any number from 0 up (defect 14).
func (s *Server) sleep(ss *session, args arguments) (parlor.Response, bool) {
	raw := args.values["seconds"]
	if raw == nil {
		raw = []byte("1")
	}
	var seconds float64
	err := pyjson.Bind(raw, &seconds)
	if err != nil && pyjson.KindOf(raw) == pyjson.Int && raw[0] != '-' {
		seconds, err = maxSleep, nil // larger than any float
	}
	if err != nil || math.IsNaN(seconds) || seconds < 0 {
		return parlor.Unexpected("Expected a number from 0 up for argument 'seconds'. Instead got: " +
			string(pyjson.AppendRepr(nil, raw))), true
	}
	text := string(pyjson.AppendRepr(nil, raw))
	if seconds >= maxSleep {
		seconds, text = maxSleep, "5"
	}
	wait := min(s.cfg.Limits.SleepTime, time.Duration(seconds*float64(time.Second)))
	time.AfterFunc(wait, func() { ss.finish(parlor.OK("Slept for " + text + " seconds")) })
	return parlor.Response{}, false
}

// shutdownRequest stops the server with exit code 0, once the answer is on its way.
func (s *Server) shutdownRequest(ss *session, _ arguments) (parlor.Response, bool) {
	ss.finish(parlor.OK("Shutting down..."))
	s.Shutdown(0)
	return parlor.Response{}, false
}

// maxShown is how many users debug shows at most, those who registered first.
const maxShown = 10_000

// debug shows the lobby (section 7.4). Passwords and invite codes are not shown (defect 46).
func (s *Server) debug(ss *session, args arguments) (parlor.Response, bool) {
	s.withUsers(ss, 0, maxShown, func(users []store.User) parlor.Response { return s.debugOf(args, users) })
	return parlor.Response{}, false
}

func (s *Server) debugOf(args arguments, users []store.User) parlor.Response {
	var payload struct {
		Packet       string         `json:"packet"`
		PublicKey    string         `json:"pubkey"`
		Games        []string       `json:"games"`
		Connected    []string       `json:"connected_users"`
		Users        []string       `json:"all_users"`
		Registration bool           `json:"registration"`
		Invites      parlor.Payload `json:"invite_codes"`
		Deleted      []string       `json:"deleted_users"`
		Verbose      bool           `json:"verbose"`
	}
	payload.Packet = args.packet.DebugText()
	payload.PublicKey = s.cfg.PublicKey
	payload.Verbose = s.verbose.Load()
	payload.Users = append(payload.Users, parlor.AdminName)
	for _, u := range users {
		payload.Users = append(payload.Users, u.Name)
	}
	slices.Sort(payload.Users)
	s.mu.Lock()
	defer s.mu.Unlock()
	payload.Registration = s.registration
	for _, name := range sortedKeys(s.games) {
		payload.Games = append(payload.Games, gameText(s.games[name]))
	}
	for _, name := range sortedKeys(s.sessions) {
		other := s.sessions[name]
		payload.Connected = append(payload.Connected, other.debugText())
		if other.deleted.Load() {
			payload.Deleted = append(payload.Deleted, name)
		}
	}
	invites := []byte{'{'}
	for i, invite := range s.invites {
		if i > 0 {
			invites = append(invites, ", "...)
		}
		invites = pyjson.AppendString(invites, fmt.Sprintf("%s... #%d", invite.Code[:min(4, len(invite.Code)/4)], i+1))
		invites = append(invites, ": "...)
		invites = pyjson.AppendString(invites, invite.User)
	}
	payload.Invites, _ = parlor.ParsePayload(append(invites, '}'))
	return parlor.OK("Debug", payload)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func gameText(g *game) string {
	users := make([]string, 0, len(g.members))
	for m := range g.members {
		users = append(users, pyjson.ReprString(m.user))
	}
	slices.Sort(users)
	set := "set()"
	if len(users) > 0 {
		set = "{" + strings.Join(users, ", ") + "}"
	}
	password := "''"
	if g.secret != "" {
		password = "'***'"
	}
	return "LobbyGame(name=" + pyjson.ReprString(g.name) + ", password=" + password + ", connected_users=" + set + ")"
}

func (ss *session) debugText() string {
	game := "None"
	if g := ss.game.Load(); g != nil {
		game = pyjson.ReprString(g.name)
	}
	key := ss.peer.Key[:min(6, len(ss.peer.Key))]
	return "UserConnection(tunnel=<Tunnel pubkey=" + key + "...>, remote=" + pyjson.ReprString(remoteText(ss.peer)) +
		", username=" + pyjson.ReprString(ss.user) + ", game=" + game + ")"
}

// remoteText shows ::1 as localhost, as pgnet does.
func remoteText(p link.Peer) string {
	if at, err := netip.ParseAddrPort(p.Remote); err == nil && at.Addr() == netip.IPv6Loopback() {
		return fmt.Sprintf("localhost:%d", at.Port())
	}
	return p.Remote
}
