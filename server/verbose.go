package server

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"parlor"
)

// logPacket logs a packet, for the verbose setting. What a game gets is logged in full; of requests to the
// lobby, whatever they are, only the message is, as arguments may be passwords: secrets never reach a log.
func (s *Server) logPacket(ss *session, p parlor.Packet) {
	text := p.DebugText()
	reserved := strings.HasPrefix(p.Message, parlor.RequestPrefix) && p.Message != parlor.RequestHeartbeat ||
		strings.HasPrefix(p.Message, parlor.RequestOwnPrefix)
	if reserved || p.Message == parlor.MessageHandshake || ss.game.Load() == nil {
		text = p.Message
	}
	s.logger.Info("packet", "user", ss.user, "packet", text)
}

// secretAfter lists how messages begin that quote an argument or a code behind it, or in the payload.
var secretAfter = []string{textCode, textInvites, textArgumentType, textNowhere}

// logResponse logs a response, without the secrets that it may quote.
func (s *Server) logResponse(ss *session, r parlor.Response) {
	for _, text := range secretAfter {
		if strings.HasPrefix(r.Message, text) {
			r.Message, r.Payload = text+"(not logged)", parlor.Payload{}
		}
	}
	s.logger.Info("response", "user", ss.user, "response", r.DebugText())
}

// How many events a second are logged, after a burst: what people can read, and no disk is filled with.
const (
	eventsPerSecond = 10
	eventBurst      = 100
)

// As few of what is wrong with the store are: it may be of all games, again and again, for as long as a disk is full.
const (
	troublesEvery = 10 * time.Second
	troubleBurst  = 20
)

// event logs what a client has made happen. Clients can make it happen as fast as they like, so that the log
// gets some of it only, and how much was left out so far.
func (s *Server) event(level slog.Level, message string, args ...any) {
	s.logSome(s.events, level, message, args)
}

// trouble logs what is wrong with the store. It has bounds of its own, so that no client can hide it behind events.
func (s *Server) trouble(level slog.Level, message string, args ...any) {
	s.logSome(s.troubles, level, message, args)
}

func (s *Server) logSome(some *rate.Limiter, level slog.Level, message string, args []any) {
	if !some.Allow() {
		s.stats.Unlogged.Add(1)
		return
	}
	if n := s.stats.Unlogged.Load(); n > 0 {
		args = append(args, "events not logged so far", n)
	}
	s.logger.Log(context.Background(), level, message, args...)
}
