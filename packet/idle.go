package packet

import (
	"cmp"
	"fmt"
	"time"
)

// silence is since when nothing has come on a connection, as the sweeper knows it.
type silence struct {
	turns uint32 // of the connection's input, at the last look
	sent  uint32 // frames, likewise, where they count
	since time.Time
}

// idleTimeout is how long nothing may come on a connection; 0: any time. Before its handshake is complete that is
// HandshakeTimeout's.
func (c *Conn) idleTimeout() time.Duration {
	k := c.kind.Load()
	if k == nil || !c.settled() || c.over.Load() {
		return 0
	}
	switch {
	case k.IdleTimeout != 0:
		return max(k.IdleTimeout, 0)
	case c.State() == StateWaitType:
		return c.end.cfg.stateTimeout()
	}
	return c.end.cfg.IdleTimeout
}

// stateTimeout is the idle timeout of a connection of the program's own type as long as no state was set. It has no
// handshake but what the type makes of it: who announces the type and says no more shall not stay for longer than who
// does not complete the classic one.
func (cfg *Config) stateTimeout() time.Duration {
	return cmp.Or(cfg.IdleTimeout, cfg.HandshakeTimeout)
}

// sweepEvery is how often to look for idle connections; 0: never.
func (s *Server) sweepEvery() time.Duration {
	shortest := s.cfg.IdleTimeout
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	for _, k := range s.types {
		timeout := k.IdleTimeout
		if timeout == 0 && k.name != ConnTypeClassic {
			timeout = s.cfg.stateTimeout()
		}
		if timeout > 0 && (shortest == 0 || timeout < shortest) {
			shortest = timeout
		}
	}
	return (shortest + 3) / 4
}

// watchIdle starts the sweeper, once there is something to sweep. The server's lock is held.
func (s *Server) watchIdle() {
	if s.begun && !s.stopped && !s.sweeping && s.sweepEvery() > 0 {
		s.sweeping = true
		s.goes(s.sweepIdle) // ends with the server
	}
}

// sweepIdle closes connections on which nothing has come for their idle timeout, and a quarter of the shortest of
// these at most: one goroutine for all, so that an idle connection costs no timer, and a busy one no clock.
func (s *Server) sweepIdle() {
	seen := make(map[*Conn]silence)
	timer := time.NewTimer(s.sweepEvery())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.end.Done():
			return
		}
		now, still := time.Now(), make(map[*Conn]silence, len(seen))
		for _, c := range s.Conns() {
			timeout := c.idleTimeout()
			if timeout == 0 {
				continue
			}
			turns, sent := c.in.turns.Load(), uint32(0)
			if c.State() == StateWaitType { // who listens to what the program has to say is no stranger
				sent = c.out.sentFrames()
			}
			quiet, known := seen[c]
			if !known || quiet.turns != turns || quiet.sent != sent || !waiting(turns) {
				quiet = silence{turns, sent, now}
			}
			if now.Sub(quiet.since) >= timeout {
				c.fail(ReasonIdleTimeout, fmt.Errorf("%w: nothing came for %v", ErrTimeout, timeout), &s.stats.IdleTimeout)
				continue
			}
			still[c] = quiet
		}
		seen = still
		timer.Reset(s.sweepEvery())
	}
}

// waiting tells whether an input waits for the other side, rather than this side for what came before: its turns are
// counted when next is called, and when it returns.
func waiting(turns uint32) bool { return turns%2 == 1 }
