package packet

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parlor/msgpack"
)

// EventName is what happened, by the name that peng3dnet documents.
type EventName string

// The events of servers and clients. Which fields of Event each has stands beside it; all have Server or Client.
const (
	EventServerInitialize EventName = "peng3dnet:server.initialize"                   // Serve was called for the first time
	EventServerBind       EventName = "peng3dnet:server.bind"                         // it listens: Addr, with the true port
	EventServerStart      EventName = "peng3dnet:server.start"                        // it is about to accept
	EventServerStop       EventName = "peng3dnet:server.stop"                         // Stop was called, or the connections of Shutdown have ended: Reason "method"
	EventServerInterrupt  EventName = "peng3dnet:server.interrupt"                    // Interrupt was called, or it stops
	EventServerShutdown   EventName = "peng3dnet:server.shutdown"                     // Shutdown is done: Reason, Timeout
	EventAccept           EventName = "peng3dnet:server.connection.accept"            // Conn, Addr; after Hello
	EventServerHandshake  EventName = "peng3dnet:server.connection.handshakecomplete" // Conn; before StateActive
	EventServerSend       EventName = "peng3dnet:server.connection.send"              // Conn, Packet, ID, Data; CloseConnection too
	EventServerRecv       EventName = "peng3dnet:server.connection.recv"              // Conn, ID, Data
	EventServerClose      EventName = "peng3dnet:server.connection.close"             // Conn, Reason

	EventClientInitialize EventName = "peng3dnet:client.initialize"        // Connect was called
	EventConnect          EventName = "peng3dnet:client.connect"           // the socket is open: Conn, Addr
	EventClientStart      EventName = "peng3dnet:client.start"             // it begins to read
	EventClientStop       EventName = "peng3dnet:client.stop"              // it reads no more: Reason "method"
	EventClientInterrupt  EventName = "peng3dnet:client.interrupt"         // Interrupt was called
	EventClientHandshake  EventName = "peng3dnet:client.handshakecomplete" // Conn; before StateActive
	EventClientRecv       EventName = "peng3dnet:client.recv"              // Conn, ID, Data
	EventClientSend       EventName = "peng3dnet:client.send"              // Conn, Packet, ID, Data; CloseConnection too
	EventClientClose      EventName = "peng3dnet:client.close"             // Conn, Reason
)

// Event is something that happened to a server or a client.
type Event struct {
	Name   EventName
	Server *Server // nil for a client's
	Client *Client // nil for a server's
	Conn   *Conn
	Addr   net.Addr
	// Packet is a packet that is sent, as the caller named it: an ID, a name or a *Type.
	Packet any
	// ID is that of a packet that is sent or came.
	ID ID
	// Data is the value that is sent, before it is encoded, or the body that came, as a [Body]: Value decodes it. Maps,
	// slices and pointers that are sent are the sender's: a listener may look at them as long as the sender leaves them alone.
	Data any
	// Reason is that of a close or a stop; nil if there is none.
	Reason any
	// Timeout is how long Shutdown may take; 0: no limit.
	Timeout time.Duration
}

// Value is Data, decoded if it is a body that came.
func (e *Event) Value() any {
	b, ok := e.Data.(Body)
	if !ok {
		return e.Data
	}
	var v any
	_ = msgpack.UnmarshalValid(b, &v) // it was checked when it came
	return v
}

// subscriptionBytes is how much Data may wait in one subscription.
const subscriptionBytes = 16 << 20

// Subscription is one listener to the events of a server or client. A listener that is slow loses events and is
// told how many; it stops nobody. What waits for it is bounded in number, and to 16 MiB of bodies, bytes and texts in
// Data.
type Subscription struct {
	// C has the events in the order in which they happened. It is closed by Close, and behind the last event of a server
	// or client that has ended: a client by itself, a server by Shutdown or Close; with Config.Manual when Process has come
	// to the last of what waits.
	C <-chan Event

	c       chan Event
	names   []EventName // what it wants; none: all
	mu      sync.Mutex  // guards the next three, and sending against Close
	closed  bool
	sizes   []int // of Data of the last events that were put, in order: one for each that waits, or more
	bytes   int   // their sum
	dropped atomic.Int64
	hub     *hub
}

// Dropped is how many events did not fit.
func (s *Subscription) Dropped() int64 { return s.dropped.Load() }

// Close ends the subscription. It may be called again.
func (s *Subscription) Close() {
	s.hub.remove(s)
	s.end()
}

// end closes the channel.
func (s *Subscription) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.c)
	}
}

func (s *Subscription) put(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for waiting := len(s.c); len(s.sizes) > waiting; s.sizes = s.sizes[1:] { // those were read
		s.bytes -= s.sizes[0]
	}
	size := e.size()
	if size > 0 && s.bytes > 0 && s.bytes+size > subscriptionBytes {
		s.dropped.Add(1)
		return
	}
	select {
	case s.c <- e:
		s.sizes = append(s.sizes, size)
		s.bytes += size
	default:
		s.dropped.Add(1)
	}
}

// size is what Data holds at least.
func (e *Event) size() int {
	reason, _ := e.Reason.(string)
	switch data := e.Data.(type) {
	case Body:
		return len(data) + len(reason)
	case []byte:
		return len(data) + len(reason)
	case string:
		return len(data) + len(reason)
	}
	return len(reason)
}

// hub hands events to subscriptions. With none it costs one load.
type hub struct {
	off  bool
	mu   sync.Mutex // guards over, and changes of now
	over bool       // the last event was told
	now  atomic.Pointer[listeners]
}

// listeners are the subscriptions of a time. They are never changed.
type listeners struct {
	list  []*Subscription
	all   bool        // one of them wants all events
	names []EventName // what the others want
}

func (h *hub) subscribe(size int, names []EventName) *Subscription {
	s := &Subscription{c: make(chan Event, max(size, 1)), hub: h, names: slices.Clone(names)}
	s.C = s.c
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off || h.over {
		s.end()
		return s
	}
	h.set(append(h.list(), s))
	return s
}

func (h *hub) remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set(slices.DeleteFunc(h.list(), func(o *Subscription) bool { return o == s }))
}

// close ends all subscriptions: nothing more will happen.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	for _, s := range h.list() {
		s.end()
	}
	h.set(nil)
}

// list is a copy of the subscriptions. The lock is held.
func (h *hub) list() []*Subscription {
	if l := h.now.Load(); l != nil {
		return slices.Clone(l.list)
	}
	return nil
}

// set replaces the subscriptions. The lock is held.
func (h *hub) set(list []*Subscription) {
	if len(list) == 0 {
		h.now.Store(nil)
		return
	}
	l := &listeners{list: list}
	for _, s := range list {
		l.all = l.all || len(s.names) == 0
		l.names = append(l.names, s.names...)
	}
	h.now.Store(l)
}

// wants tells whether an event is worth making.
func (h *hub) wants(name EventName) bool {
	l := h.now.Load()
	return l != nil && (l.all || slices.Contains(l.names, name))
}

func (h *hub) put(e Event) {
	l := h.now.Load()
	if l == nil {
		return
	}
	for _, s := range l.list {
		if len(s.names) == 0 || slices.Contains(s.names, e.Name) {
			s.put(e)
		}
	}
}
