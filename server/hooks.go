package server

import (
	"reflect"
	"strings"

	"parlor"
	"parlor/internal/near"
)

// abilities are the optional methods of a game and the interfaces that they belong to.
var abilities = map[string]reflect.Type{
	"UserJoined":      reflect.TypeFor[parlor.UserJoiner](),
	"UserLeft":        reflect.TypeFor[parlor.UserLeaver](),
	"HandleHeartbeat": reflect.TypeFor[parlor.HeartbeatHandler](),
	"HeartbeatRate":   reflect.TypeFor[parlor.HeartbeatRater](),
	"Persistent":      reflect.TypeFor[parlor.Persister](),
	"SaveString":      reflect.TypeFor[parlor.Saver](),
	"LobbyInfo":       reflect.TypeFor[parlor.LobbyInformer](),
	"Update":          reflect.TypeFor[parlor.Updater](),
	"HandlePacket":    reflect.TypeFor[parlor.PacketHandler](),
	"MaxUsers":        reflect.TypeFor[parlor.Limiter](),
	"UpdateRate":      reflect.TypeFor[parlor.UpdateRater](),
	"UserAway":        reflect.TypeFor[parlor.UserVanisher](),
	"UserBack":        reflect.TypeFor[parlor.UserReturner](),
	"ResumeWindow":    reflect.TypeFor[parlor.Resumer](),
	"PushOnHeartbeat": reflect.TypeFor[parlor.HeartbeatPusher](),
	"Draining":        reflect.TypeFor[parlor.Drainer](),

	"Durable":            reflect.TypeFor[parlor.Durable](),
	"SaveVersion":        reflect.TypeFor[parlor.Versioner](),
	"HeartbeatsOnlyLook": reflect.TypeFor[parlor.HeartbeatLooker](),
}

// checkAbilities warns of methods that look like abilities and are none, once for each type of game: found by
// assertion, a method of another name or signature would never be called, without a word.
func (s *Server) checkAbilities(g parlor.Game) {
	t := reflect.TypeOf(g)
	s.mu.Lock()
	known := s.checked[t]
	s.checked[t] = true
	s.mu.Unlock()
	if known {
		return
	}
	for name, ability := range abilities {
		if !t.Implements(ability) {
			s.checkAbility(t, name, ability)
		}
	}
	_, saves := g.(parlor.Saver)
	_, persists := g.(parlor.Persister)
	_, durable := g.(parlor.Durable)
	if saves && !persists && (!durable || s.cfg.NoJournals) {
		s.logger.Warn("the game is never saved, as it has no method Persistent() bool", "type", t.String())
	}
	if durable && !saves && !s.cfg.NoJournals && !s.cfg.unstored {
		s.logger.Warn("the game may be durable, and has no method SaveString() string: its journal only grows, and each start does all of it again", "type", t.String())
	}
	if durable && s.cfg.NoJournals {
		s.logger.Warn("the game may be durable, and the store keeps no journals: it is saved at intervals and at the end, and what was answered since can be lost; "+
			"use --store in place of --save", "type", t.String())
	}
	_, rated := g.(parlor.UpdateRater)
	if _, updates := g.(parlor.Updater); rated && !updates {
		s.logger.Warn("the game's UpdateRate has no effect, as it has no method Update()", "type", t.String())
	}
}

// checkAbility looks for what may be meant to be an ability that a type of game does not have, also among the
// methods of its pointer, which a game that is given by value lacks.
func (s *Server) checkAbility(t reflect.Type, name string, ability reflect.Type) {
	methods := t
	if t.Kind() != reflect.Pointer {
		methods = reflect.PointerTo(t)
	}
	for m := range methods.Methods() {
		logger := s.logger.With("type", t.String(), "method", m.Name, "interface", ability.String(),
			"want", name+strings.TrimPrefix(ability.Method(0).Type.String(), "func"))
		switch {
		case m.Name == name && methods.Implements(ability):
			logger.Warn("a method of the game is never called, as it has a pointer receiver: return &" + t.Name() + "{} instead of a value")
		case m.Name == name:
			logger.Warn("a method of the game is never called, as it is not what its interface wants", "has", m.Type.String())
		case misspelt(m.Name, name):
			logger.Warn("a method of the game is never called: its name is nearly that of an optional one; rename it, one way or the other")
		}
	}
}

// misspelt tells whether a method's name looks as if another one was meant: but for two letters, or with
// something before or behind that is missing or too much (UserJoin, GetSaveString). A name that is an ability's
// itself means that one.
func misspelt(method, name string) bool {
	if abilities[method] != nil {
		return false
	}
	a, b := strings.ToLower(method), strings.ToLower(name)
	if near.Distance(a, b) <= 2 {
		return true
	}
	short, long := min(len(a), len(b)), max(len(a), len(b))
	return (strings.Contains(a, b) || strings.Contains(b, a)) && 3*short >= 2*long // UpdateBoard is a name of its own
}
