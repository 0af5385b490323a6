package server

import (
	"parlor"
)

// logPacket logs a packet, for the verbose setting. Requests of the lobby are logged without their
// arguments, as those may be passwords: secrets never reach a log.
func (s *Server) logPacket(ss *session, p parlor.Packet) {
	text := p.DebugText()
	if specByMessage[p.Message] != nil {
		text = p.Message
	}
	s.logger.Info("packet", "user", ss.user, "packet", text)
}

// logResponse logs a response. The answer to create_invite is the one that carries a secret.
func (s *Server) logResponse(ss *session, r parlor.Response) {
	const code = "Created invite code: "
	if len(r.Message) > len(code) && r.Message[:len(code)] == code {
		r.Message = code + "(not logged)"
	}
	s.logger.Info("response", "user", ss.user, "response", r.DebugText())
}
