package packetlink

import "parlor/link"

// The packets of the wire.
const (
	IDRequest = idRequest
	IDAnswer  = idAnswer
	IDPush    = idPush
)

// CloseErrorOf is closeError.
func CloseErrorOf(reason any) *link.CloseError { return closeError(reason) }

// Left is what is counted: links, those of them that have not logged in, networks of these, and connections beneath.
func (s *Server) Left() [4]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return [4]int{len(s.links), s.strangers.Len(), s.strangers.Crowds(), len(s.packets.Conns())}
}
