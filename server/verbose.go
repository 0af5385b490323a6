package server

import (
	"strings"

	"parlor"
)

// logPacket logs a packet, for the verbose setting. What a game gets is logged in full; of requests to the
// lobby, whatever they are, only the message is, as arguments may be passwords: secrets never reach a log.
func (s *Server) logPacket(ss *session, p parlor.Packet) {
	text := p.DebugText()
	reserved := strings.HasPrefix(p.Message, parlor.RequestPrefix) && p.Message != parlor.RequestHeartbeat
	if reserved || p.Message == parlor.MessageHandshake || ss.game.Load() == nil {
		text = p.Message
	}
	s.logger.Info("packet", "user", ss.user, "packet", text)
}

// secretAfter lists how messages begin that quote an argument or a code behind it, or in the payload.
var secretAfter = []string{textCode, textArgumentType, textNowhere}

// logResponse logs a response, without the secrets that it may quote.
func (s *Server) logResponse(ss *session, r parlor.Response) {
	for _, text := range secretAfter {
		if strings.HasPrefix(r.Message, text) {
			r.Message, r.Payload = text+"(not logged)", parlor.Payload{}
		}
	}
	s.logger.Info("response", "user", ss.user, "response", r.DebugText())
}
