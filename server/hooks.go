package server

import (
	"reflect"

	"parlor"
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
}

// checkAbilities warns of methods that look like abilities and are none, once for each type of game: found by
// assertion, a method of another signature would never be called, without a word.
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
		if m, has := t.MethodByName(name); has && !t.Implements(ability) {
			s.logger.Warn("a method of the game is never called, as it is not what its interface wants",
				"type", t.String(), "method", name, "interface", ability.String(),
				"has", m.Type.String(), "want", ability.Method(0).Type.String())
		}
	}
	_, saves := g.(parlor.Saver)
	if _, persists := g.(parlor.Persister); saves && !persists {
		s.logger.Warn("the game is never saved, as it has no method Persistent() bool", "type", t.String())
	}
}
