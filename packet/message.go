package packet

import "parlor/msgpack"

// Message is a packet that came. It belongs to the handler or hook that it is given to, until that returns.
type Message struct {
	ID    ID
	Flags Flags

	body  []byte // valid MessagePack, inflated
	name  string // of the packet, empty if it is not registered
	value any    // what Value returned
	asked bool
	// refused, with Config.Manual, is the check that did not hold when the packet came, before the handshake was complete.
	refused *CheckError
}

// Name is the packet's name, empty if its ID is not registered.
func (m *Message) Name() string { return m.name }

// Body is the body undecoded: one value that has been checked to be valid. It is not to be changed, nor kept.
func (m *Message) Body() Body { return Body(m.body) }

// Value is the body as Go's own types: maps are map[string]any, or msgpack.Map if they have keys of bytes. It is
// decoded at the first call; later ones return the same.
func (m *Message) Value() any {
	if !m.asked {
		m.asked = true
		// A message that is valid can always be decoded so.
		_ = msgpack.UnmarshalValid(m.body, &m.value)
	}
	return m.value
}

// Decode reads the body into what into points to, as msgpack.Unmarshal does. The error says what does not fit.
func (m *Message) Decode(into any) error { return msgpack.UnmarshalValid(m.body, into) }

// keep returns a copy that outlives the read buffer.
func (m *Message) keep() *Message {
	return &Message{ID: m.ID, Flags: m.Flags, name: m.name, body: append([]byte(nil), m.body...), refused: m.refused}
}

// Body is an encoded body. A handler that takes one gets it as it came, valid but for the handler's time only, and
// one that is sent goes out as it is: nothing is allocated for either.
type Body = msgpack.Raw

// Outgoing is a packet on its way out, before it is encoded. Connection types and hooks may change its value.
type Outgoing struct {
	ID   ID
	Name string
	// Type is the packet as the caller named it: an ID, a name or a *Type.
	Type any
	// Value is what will be encoded.
	Value any
}
