package packet

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"parlor/msgpack"
)

// Type is a registered packet whose body is a T, and the fast way to send it.
type Type[T any] struct {
	source *origin
	values sync.Pool     // of *T: encoders and decoders want pointers, which would be allocated for each packet
	id     atomic.Uint32 // where it was found last, the same for most connections
}

// Register adds a packet, whose bodies are handed to receive as a T: a struct of the author's own, any for Go
// maps, or [Body] for the body undecoded. Names have the form namespace:category.name; the ID is the next
// automatic one unless [WithID] gives it. A receive of nil is for packets that are only sent.
//
// Structs are maps on the wire, read and written as package msgpack says: fields by their msgpack or json tag or their
// name, letter case counts, unknown keys are ignored, missing ones left alone, and nothing is converted.
//
// What receive returns, and panics, are logged and counted; the connection goes on. A body that does not fit T is
// such an error: the first one of each packet on a connection is a warning, others are logged at level debug only.
//
// Errors are ErrAlreadyRegistered, and ErrInvalidAction or ErrRegistry for options that make no sense.
func Register[T any](r *Registry, name string, receive func(c *Conn, body T) error, opts ...Option) (*Type[T], error) {
	if r == nil {
		return nil, fmt.Errorf("%w: packet %q: the registry is nil", ErrRegistry, name)
	}
	t := &Type[T]{source: &origin{name: name}}
	t.source.typ = t
	t.values.New = func() any { return new(T) }
	e := &entry{name: name, origin: t.source}
	if receive != nil {
		e.receive = t.receiver(receive)
	}
	id, err := applyOptions(e, opts)
	if err != nil {
		return nil, fmt.Errorf("packet %q: %w", name, err)
	}
	if err := r.add(e, id); err != nil {
		return nil, err
	}
	return t, nil
}

// Handle adds a packet whose handler takes the message itself, to look at its flags or to decode it in its own
// time. It is otherwise like [Register].
func (r *Registry) Handle(name string, receive func(c *Conn, m *Message) error, opts ...Option) (*Type[any], error) {
	t, err := Register[any](r, name, nil, append(slices.Clone(opts), func(s *settings) {
		if receive != nil {
			s.entry.receive = func(c *Conn, m *Message) error {
				c.decoded()
				return receive(c, m)
			}
		}
	})...)
	return t, err
}

// MustRegister is Register for packets that are known when the program is written. It panics on an error.
func MustRegister[T any](r *Registry, name string, receive func(c *Conn, body T) error, opts ...Option) *Type[T] {
	t, err := Register(r, name, receive, opts...)
	if err != nil {
		panic(err)
	}
	return t
}

// Name is the packet's name.
func (t *Type[T]) Name() string { return t.source.name }

func (t *Type[T]) from() *origin { return t.source }

// Send sends a packet, as [Conn.Send] does.
func (t *Type[T]) Send(c *Conn, body T) error {
	e := t.entry(c.registry.view())
	if e == nil {
		return t.notRegistered()
	}
	e, err := c.writable(e)
	if err != nil {
		return err
	}
	if c.watched(e) { // only now: before it was introduced it may not have had its type yet
		return c.send(e, t, body, e.internal())
	}
	buf := getBuffer()
	defer putBuffer(buf)
	b, err := t.appendFrame(buf, body, c.end)
	if err != nil {
		return fmt.Errorf("packet %q: %w", e.name, err)
	}
	return c.writeFrame(e.id, b)
}

// appendFrame puts space for a frame's head into a buffer, and the encoded body behind it.
func (t *Type[T]) appendFrame(buf *buffer, body T, end *endpoint) ([]byte, error) {
	if raw, ok := any(body).(Body); ok {
		return appendBody(buf, raw)
	}
	if _, ok := any(&body).(*any); ok {
		return appendValue(buf, body, end)
	}
	v := t.values.Get().(*T)
	*v = body
	b, err := appendValue(buf, v, end)
	var zero T
	*v = zero
	t.values.Put(v)
	return b, err
}

func (t *Type[T]) notRegistered() error {
	return fmt.Errorf("%w: packet %q, in the registry of this connection", ErrNotRegistered, t.source.name)
}

// entry finds the packet in a registry; nil if it is not there.
func (t *Type[T]) entry(v *view) *entry {
	if e := v.byID(ID(t.id.Load())); e != nil && e.origin == t.source {
		return e
	}
	e := v.byOrigin[t.source]
	if e != nil {
		t.id.Store(uint32(e.id))
	}
	return e
}

// misfitError means a body that is not what the handler takes. A peer can send as many as it likes, so that only the
// first one of each packet is a warning: it is how an author finds out that both sides do not mean the same.
type misfitError struct {
	packet string // its name
	err    error
}

func (e *misfitError) Error() string { return e.err.Error() }
func (e *misfitError) Unwrap() error { return e.err }

func (t *Type[T]) receiver(receive func(c *Conn, body T) error) func(*Conn, *Message) error {
	switch receive := any(receive).(type) {
	case func(*Conn, Body) error:
		return func(c *Conn, m *Message) error {
			c.decoded()
			return receive(c, m.Body())
		}
	case func(*Conn, any) error:
		return func(c *Conn, m *Message) error {
			v := m.Value()
			c.decoded()
			return receive(c, v)
		}
	}
	return func(c *Conn, m *Message) error {
		v := t.values.Get().(*T)
		err := msgpack.UnmarshalValid(m.body, v)
		body := *v
		var zero T
		*v = zero
		t.values.Put(v)
		if err != nil {
			return &misfitError{t.source.name, err}
		}
		c.decoded()
		return receive(c, body)
	}
}
