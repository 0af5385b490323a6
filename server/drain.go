package server

import "time"

// drain tells all games that the server is about to stop, and gives them Limits.DrainWait for what they do then.
// It returns as soon as all have done it.
func (s *Server) drain() {
	wait := max(s.cfg.Limits.DrainWait, 0)
	deadline := time.Now().Add(wait)
	askAll(s.listGames(), wait, func(g *game, done func()) { g.room.Drain(deadline, done) })
}
