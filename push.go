package parlor

// Push is a message to a user that answers no request: [Room.Send] and [Room.Broadcast] make it of what a
// game says, and the lobby makes some of its own. It never changes once it is sent, and is shared: a
// broadcast is one Push for all who get it.
type Push struct {
	// Message is the push's name, or text for people.
	Message string
	// Payload is data; the zero value is the empty object.
	Payload Payload
	// Game is the game that it comes from. Empty: the lobby itself.
	Game string
}
