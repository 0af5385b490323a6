package server

import (
	"time"

	"parlor"
)

// drain tells all clients that can be told, and then all games, that the server is about to stop, and gives them Limits.DrainWait
// for what they do then. It returns as soon as all games have done it.
func (s *Server) drain() {
	wait := max(s.cfg.Limits.DrainWait, 0)
	deadline := time.Now().Add(wait)
	told := &parlor.Push{Message: parlor.PushDraining, Payload: parlor.Encode(parlor.Map{"seconds": wait.Seconds()})}
	for _, ss := range s.listSessions() {
		ss.mu.Lock()
		if ss.stream != nil {
			_ = ss.push(told)
		}
		ss.mu.Unlock()
	}
	askAll(s.listGames(), wait, func(g *game, done func()) { g.room.Drain(deadline, done) })
}

// listSessions are those that have a name.
func (s *Server) listSessions() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*session, 0, len(s.sessions))
	for _, ss := range s.sessions {
		list = append(list, ss)
	}
	return list
}
