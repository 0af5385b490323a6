package packet

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"parlor/msgpack"
)

// Registry is the two-way table of packets: ID, name, handler. A server's is looked at by all its
// connections; a client copies the one that it is given, since the server's IDs replace its own at the
// handshake. Packets may be registered and deleted at any time: later handshakes tell of them, and on
// connections that stand they work with whatever IDs each side has.
type Registry struct {
	mu      sync.Mutex
	entries []*entry            // guarded by mu: in order of registration
	names   map[string]struct{} // likewise: of all entries
	ids     map[ID]string       // likewise: of all entries that have one
	next    ID                  // likewise: where to look for the next automatic ID; 0 when they are used up
	// now is what connections read; nil after a change, until somebody asks.
	now atomic.Pointer[view]
}

// entry is one registered packet. It is never changed.
type entry struct {
	name    string
	id      ID
	lost    bool // it lost its ID to another packet at a handshake
	checks  *checks
	receive func(c *Conn, m *Message) error
	sent    func(c *Conn, v any) error // the send hook, or nil
	origin  *origin
}

// origin is what an entry and its copies in other registries have in common.
type origin struct {
	name string
	typ  any // the *Type; nil for the protocol's own
}

// Entry is a packet as a look-up finds it.
type Entry struct {
	ID   ID
	Name string
	// Lost tells that another packet took over the ID at the handshake: it cannot be sent on this connection.
	Lost bool
}

// NewRegistry returns a registry that holds the protocol's own packets alone.
func NewRegistry() *Registry {
	return registryOf(internalEntries(), FirstAutoID)
}

func registryOf(entries []*entry, next ID) *Registry {
	r := &Registry{next: next}
	r.set(entries)
	return r
}

// set replaces all entries. r.mu is held, or r is new.
func (r *Registry) set(entries []*entry) {
	r.entries, r.names, r.ids = entries, make(map[string]struct{}, len(entries)), make(map[ID]string, len(entries))
	for _, e := range entries {
		r.names[e.name] = struct{}{}
		if !e.lost {
			r.ids[e.id] = e.name
		}
	}
	r.now.Store(nil)
}

// add registers an entry under the ID, or the next automatic one if that is nil. On an error the registry is as
// it was (D15).
func (r *Registry) add(e *entry, id *ID) error {
	if e.name == "" {
		return fmt.Errorf("%w: a packet needs a name, such as chess:move", ErrRegistry)
	}
	if strings.HasPrefix(e.name, ReservedPrefix) {
		return fmt.Errorf("%w: names that begin with %s are the protocol's own: %q", ErrRegistry, ReservedPrefix, e.name)
	}
	if !utf8.ValidString(e.name) {
		return fmt.Errorf("%w: the name %q is not valid UTF-8", ErrRegistry, e.name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.names[e.name]; ok {
		return fmt.Errorf("%w: the name %q", ErrAlreadyRegistered, e.name)
	}
	if id == nil {
		free := r.next
		for free != 0 && r.ids[free] != "" {
			free++ // to 0 after the last
		}
		if free == 0 {
			return fmt.Errorf("%w: there is no automatic ID left for %q", ErrRegistry, e.name)
		}
		e.id, r.next = free, free+1
	} else {
		if name := r.ids[*id]; name != "" {
			return fmt.Errorf("%w: ID %d of %q is that of %q", ErrAlreadyRegistered, *id, e.name, name)
		}
		e.id = *id
	}
	r.entries = append(r.entries, e)
	r.names[e.name] = struct{}{}
	r.ids[e.id] = e.name
	r.now.Store(nil)
	return nil
}

// Delete takes out a packet, given by ID, name or *Type. The protocol's own cannot be deleted.
func (r *Registry) Delete(key any) error {
	e, err := r.find(key)
	if err != nil {
		return err
	}
	if e.internal() {
		return fmt.Errorf("%w: %s is the protocol's own and cannot be deleted", ErrRegistry, e.name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(slices.DeleteFunc(slices.Clone(r.entries), func(old *entry) bool { return old.name == e.name }))
	return nil
}

// Lookup finds a packet by its ID (an ID, or any integer), its name or its *Type. ErrNotRegistered means
// that there is none.
func (r *Registry) Lookup(key any) (Entry, error) {
	e, err := r.find(key)
	if err != nil {
		return Entry{}, err
	}
	return Entry{ID: e.id, Name: e.name, Lost: e.lost}, nil
}

// Type returns the *Type that Register or Handle returned for a packet, given as for Lookup; nil for the protocol's
// own.
func (r *Registry) Type(key any) (any, error) {
	e, err := r.find(key)
	if err != nil {
		return nil, err
	}
	return e.origin.typ, nil
}

// Entries lists all packets in order of registration, the protocol's own last.
func (r *Registry) Entries() []Entry {
	v := r.view()
	list := make([]Entry, 0, len(v.order))
	for _, e := range v.order {
		list = append(list, Entry{ID: e.id, Name: e.name, Lost: e.lost})
	}
	return list
}

func (r *Registry) find(key any) (*entry, error) {
	v := r.view()
	var e *entry
	switch k := key.(type) {
	case string:
		e = v.byName[k]
	case ID:
		e = v.byID(k)
	case interface{ from() *origin }:
		e = v.byOrigin[k.from()]
	default:
		n, ok := integer(key)
		if !ok {
			return nil, fmt.Errorf("%w: packets are looked up by ID, name or *Type, not by %T", ErrRegistry, key)
		}
		if n >= 0 && n <= math.MaxUint32 {
			e = v.byID(ID(n))
		}
	}
	if e == nil {
		if t, ok := key.(interface{ from() *origin }); ok {
			key = t.from().name
		}
		return nil, fmt.Errorf("%w: packet %v", ErrNotRegistered, key)
	}
	return e, nil
}

// clone returns a registry with the same packets, for one client.
func (r *Registry) clone() *Registry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return registryOf(slices.Clone(r.entries), r.next)
}

// view is an unchanging look at a registry.
type view struct {
	order    []*entry // ours first, then the protocol's own, which is the order of the Handshake (section 5)
	low      [128]*entry
	high     map[ID]*entry
	byName   map[string]*entry
	byOrigin map[*origin]*entry
	// handshake is the encoded body of the Handshake packet.
	handshake []byte
}

func (r *Registry) view() *view {
	if v := r.now.Load(); v != nil {
		return v
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v := newView(r.entries)
	r.now.Store(v)
	return v
}

func newView(entries []*entry) *view {
	v := &view{high: make(map[ID]*entry), byName: make(map[string]*entry), byOrigin: make(map[*origin]*entry)}
	for _, internal := range []bool{false, true} {
		for _, e := range entries {
			if e.internal() == internal {
				v.order = append(v.order, e)
			}
		}
	}
	registry := make(msgpack.Map, 0, len(v.order))
	for _, e := range v.order {
		v.byName[e.name], v.byOrigin[e.origin] = e, e
		if e.lost {
			continue
		}
		registry = append(registry, msgpack.Pair{Key: e.name, Value: int64(e.id)})
		if int(e.id) < len(v.low) {
			v.low[e.id] = e
		} else {
			v.high[e.id] = e
		}
	}
	// It cannot fail but for names that are no UTF-8, which Register refuses.
	v.handshake, _ = msgpack.Append(nil, msgpack.Map{
		{Key: "version", Value: Version}, {Key: "protoversion", Value: ProtoVersion}, {Key: "registry", Value: registry}})
	return v
}

func (v *view) byID(id ID) *entry {
	if int64(id) < int64(len(v.low)) {
		return v.low[id]
	}
	return v.high[id]
}

// sameNames returns an error if the server's registry has not just the names of ours.
func (v *view) sameNames(server map[string]ID) error {
	for name := range server {
		if v.byName[name] == nil {
			return fmt.Errorf("%w: the server has a packet %.100q, which this client has not (AllowMissing lets it)", ErrRegistry, name)
		}
	}
	for name := range v.byName {
		if !hasKey(server, name) {
			return fmt.Errorf("%w: the server lacks the packet %.100q, which this client has (AllowMissing lets it)", ErrRegistry, name)
		}
	}
	return nil
}

// remap gives the packets known to both sides the server's IDs, all at once (D5). One that only this side has
// keeps its ID, or loses it if the server uses that for another. The protocol's own stay as they are.
func (r *Registry) remap(server map[string]ID) error {
	taken := make(map[ID]string, len(server))
	for name, id := range server {
		if other, ok := taken[id]; ok {
			return fmt.Errorf("%w: the server gives ID %d to both %q and %q", ErrRegistry, id, other, name)
		}
		taken[id] = name
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if other, ok := taken[e.id]; e.internal() && (ok && other != e.name || !ok && hasKey(server, e.name)) {
			return fmt.Errorf("%w: the server moves the protocol's own packet %s", ErrRegistry, e.name)
		}
	}
	entries := make([]*entry, len(r.entries))
	for i, e := range r.entries {
		moved := *e
		if id, ok := server[e.name]; ok {
			moved.id, moved.lost = id, false
		} else if _, ok := taken[e.id]; ok {
			moved.lost = true
		}
		entries[i] = &moved
	}
	r.set(entries)
	return nil
}

func hasKey(m map[string]ID, name string) bool {
	_, ok := m[name]
	return ok
}

// internal tells whether the packet is the protocol's own.
func (e *entry) internal() bool { return e.origin.typ == nil }

// integer is the value of any integer type of Go.
func integer(v any) (int64, bool) {
	switch n := v.(type) {
	case int:
		return int64(n), true
	case int8:
		return int64(n), true
	case int16:
		return int64(n), true
	case int32:
		return int64(n), true
	case int64:
		return n, true
	case uint8:
		return int64(n), true
	case uint16:
		return int64(n), true
	case uint32:
		return int64(n), true
	case uint:
		return int64(min(uint64(n), math.MaxInt64)), true
	case uint64:
		return int64(min(n, math.MaxInt64)), true
	}
	return 0, false
}
