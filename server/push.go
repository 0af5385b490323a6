package server

import "parlor"

// Push takes a message that the session's game sends it, on the room's goroutine. It must not block. No wire
// carries pushes yet: they are dropped and counted.
func (ss *session) Push(*parlor.Push) { ss.srv.stats.PushesDropped.Add(1) }
