package packet

import (
	"fmt"
	"math"

	"parlor/msgpack"
)

const nameCloseConnection = ReservedPrefix + "internal.closeconn"

// internalEntries are the protocol's own packets (section 3), in the order in which the Handshake lists them.
func internalEntries() []*entry {
	var list []*entry
	for _, p := range []struct {
		id      ID
		name    string
		receive func(c *Conn, m *Message) error
	}{
		{IDHello, "peng3dnet:internal.hello", receiveHello},
		{IDSetType, "peng3dnet:internal.settype", receiveSetType},
		{IDHandshake, "peng3dnet:internal.handshake", receiveHandshake},
		{IDHandshakeAccept, "peng3dnet:internal.handshake.accept", receiveAccept},
		{IDCloseConnection, nameCloseConnection, receiveClose},
	} {
		list = append(list, &entry{name: p.name, id: p.id, receive: p.receive, origin: &origin{name: p.name}})
	}
	return list
}

// field is a value of a body that is a map.
func field(m *Message, key string) (v any, ok bool) {
	switch body := m.Value().(type) {
	case map[string]any:
		v, ok = body[key]
	case msgpack.Map:
		v, ok = body.Get(key)
	}
	return v, ok
}

// hello begins a connection of a server.
func (c *Conn) hello() error {
	err := c.sendInternal(IDHello, msgpack.Map{{Key: "version", Value: Version}, {Key: "protoversion", Value: ProtoVersion}})
	c.SetState(StateWaitType)
	return err
}

// sendNeeded is sendInternal for what the other side waits for. If the program refuses it, the connection ends.
func (c *Conn) sendNeeded(id ID, v any) error {
	err := safely(func() error { return c.sendInternal(id, v) }) // it calls hooks
	if err != nil {
		c.shut(&CloseError{Reason: ReasonInternalError, Cause: err}, true)
	}
	return err
}

// receiveHello is step 1 of the handshake (section 5): the client announces its connection type. Hello out of place is ignored.
func receiveHello(c *Conn, m *Message) error {
	if c.side != SideClient || c.State() != StateHelloWait || c.kind.Load() != nil {
		c.end.stats.Invalid.Add(1)
		return nil
	}
	if err := checkVersion(m); err != nil {
		c.shut(&CloseError{Reason: ReasonProtoVersion, Cause: err}, true)
		return nil
	}
	k := c.end.connType(c.end.cfg.ConnType)
	if err := c.sendNeeded(IDSetType, map[string]any{"conntype": k.name}); err != nil {
		return err
	}
	c.SetState(StateWaitType)
	c.begin(k)
	return nil
}

// begin gives the connection its type.
func (c *Conn) begin(k *connType) {
	c.kind.Store(k)
	if k.name != ConnTypeClassic {
		c.introduced.Store(true)
	}
	if k.Init != nil {
		if err := safely(func() error { return k.Init(c) }); err != nil {
			c.report("Init of connection type "+k.name, err)
			c.shut(&CloseError{Reason: ReasonInternalError, Cause: err}, true)
			return
		}
	}
	if c.settled() {
		c.setDeadline(0)
		c.end.isReady(c)
	}
}

// receiveSetType is step 2. SetType out of place, or whose body is no map, is ignored.
func receiveSetType(c *Conn, m *Message) error {
	if c.side != SideServer || c.State() != StateWaitType || c.kind.Load() != nil {
		c.end.stats.Invalid.Add(1)
		return nil
	}
	switch m.Value().(type) {
	case map[string]any, msgpack.Map:
	default:
		c.end.stats.Invalid.Add(1)
		return nil
	}
	name, given := field(m, "conntype")
	if !given {
		name = ConnTypeClassic
	}
	text, _ := name.(string)
	k := c.end.connType(text)
	if k == nil {
		c.shut(&CloseError{Reason: ReasonUnknownConnType, Cause: fmt.Errorf("the client asks for the connection type %q", brief(name))}, true)
		return nil
	}
	c.begin(k)
	return nil
}

// receiveHandshake is step 3: the client takes over the server's IDs and accepts.
func receiveHandshake(c *Conn, m *Message) error {
	if c.side != SideClient || c.State() != StateHandshakeWait1 {
		c.misplaced("Handshake")
		return nil
	}
	err := checkVersion(m)
	registry, ok := field(m, "registry")
	if !ok && err == nil {
		err = fmt.Errorf("%w: a Handshake without registry", ErrInvalidFrame)
	}
	if err != nil {
		c.shut(&CloseError{Reason: ReasonProtoVersion, Cause: err}, true)
		return nil
	}
	if err := c.syncRegistry(registry); err != nil {
		c.shut(&CloseError{Reason: ReasonRegistryMismatch, Cause: err}, true)
		return nil
	}
	if err := c.sendNeeded(IDHandshakeAccept, map[string]any{"success": true}); err != nil {
		return err
	}
	c.handshakeComplete()
	return nil
}

// receiveAccept is step 4.
func receiveAccept(c *Conn, m *Message) error {
	if c.side != SideServer || c.State() != StateHandshakeWait1 {
		c.misplaced("HandshakeAccept")
		return nil
	}
	if success, _ := field(m, "success"); truthy(success) {
		c.handshakeComplete()
	}
	return nil
}

// misplaced closes the connection for a packet of the handshake that may not come now.
func (c *Conn) misplaced(name string) {
	c.end.stats.Invalid.Add(1)
	c.shut(&CloseError{Reason: ReasonSmartPacketInvalid, Cause: fmt.Errorf("%s in state %d at the %s", name, c.State(), c.side)}, true)
}

func (c *Conn) handshakeComplete() {
	c.setDeadline(0)
	c.end.emit(Event{Name: c.end.bySide(EventServerHandshake, EventClientHandshake), Conn: c})
	c.SetState(StateActive)
	if hook := c.end.cfg.Hooks.Handshake; hook != nil {
		c.inTurn(func() { c.guard("Handshake hook", func() { hook(c) }) })
	}
	c.end.isReady(c)
}

// receiveClose ends the connection, in any state. Whatever the reason is, it is passed on; where there is none it is nil.
func receiveClose(c *Conn, m *Message) error {
	reason, _ := field(m, "reason")
	if len(m.body) > longReason {
		reason = inShort(reason, longReason/4) // the program may hold it for long
	}
	c.shut(&CloseError{Reason: reason, Remote: true}, false)
	c.ending()
	return nil
}

// longReason is how large a CloseConnection may be whose reason is kept whole.
const longReason = 4 << 10

// syncRegistry is section 6.
func (c *Conn) syncRegistry(v any) error {
	if c.end.cfg.KeepIDs {
		return nil
	}
	server, err := registryMap(v)
	if err != nil {
		return err
	}
	if !c.end.cfg.AllowMissing {
		if err := c.registry.view().sameNames(server); err != nil {
			return err
		}
	}
	return c.registry.remap(server)
}

// registryMap reads the registry of a Handshake.
func registryMap(v any) (map[string]ID, error) {
	pairs, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: the server's is not a map of names", ErrRegistry)
	}
	server := make(map[string]ID, len(pairs))
	for name, v := range pairs {
		id, ok := integer(v)
		if !ok || id < 0 || id > math.MaxUint32 {
			return nil, fmt.Errorf("%w: the server's ID of %.100q is %s, must be 0 to %d", ErrRegistry, name, brief(v), uint32(math.MaxUint32))
		}
		server[name] = ID(id)
	}
	return server, nil
}

// checkVersion compares the protocol's version. A float that is equal passes, as in Python.
func checkVersion(m *Message) error {
	if _, ok := field(m, "version"); !ok {
		return fmt.Errorf("%w: no version", ErrInvalidFrame)
	}
	v, ok := field(m, "protoversion")
	if !ok {
		return fmt.Errorf("%w: no protoversion", ErrInvalidFrame)
	}
	switch n := v.(type) {
	case int64:
		ok = n == ProtoVersion
	case uint64:
		ok = n == ProtoVersion
	case float64:
		ok = n == ProtoVersion
	default:
		ok = false
	}
	if !ok {
		return fmt.Errorf("the server speaks protocol version %s, this client %d", brief(v), ProtoVersion)
	}
	return nil
}

// truthy is what counts as true in Python.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []byte:
		return len(v) > 0
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}
