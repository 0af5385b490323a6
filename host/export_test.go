package host

var OtherPort = otherPort

// Announce prints what a program does when it has started.
func (s *Server) Announce() { s.announce() }
