package packet_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"parlor/packet"
)

// reg adds packets that are only sent, under automatic IDs.
func regOf(t testing.TB, names ...string) *packet.Registry {
	t.Helper()
	r := packet.NewRegistry()
	for _, name := range names {
		addTo(t, r, name)
	}
	return r
}

func addTo(t testing.TB, r *packet.Registry, name string, opts ...packet.Option) packet.ID {
	t.Helper()
	if _, err := packet.Register[any](r, name, nil, opts...); err != nil {
		t.Fatal(err)
	}
	return idOf(t, r, name)
}

func idOf(t testing.TB, r *packet.Registry, key any) packet.ID {
	t.Helper()
	e, err := r.Lookup(key)
	if err != nil {
		t.Fatal(err)
	}
	return e.ID
}

func TestRegistryAutomaticIDs(t *testing.T) {
	r := packet.NewRegistry()
	var got []packet.ID
	got = append(got, addTo(t, r, "t:a"))
	addTo(t, r, "t:explicit", packet.WithID(65))
	addTo(t, r, "t:explicit2", packet.WithID(66))
	addTo(t, r, "t:low", packet.WithID(20))
	got = append(got, addTo(t, r, "t:b"), addTo(t, r, "t:c"))
	if err := r.Delete("t:c"); err != nil {
		t.Fatal(err)
	}
	got = append(got, addTo(t, r, "t:d"))
	if want := []packet.ID{64, 67, 68, 69}; !slices.Equal(got, want) {
		t.Errorf("automatic IDs %v, want %v", got, want)
	}
}

func TestRegistryExplicitIDs(t *testing.T) {
	r := packet.NewRegistry()
	for _, id := range []packet.ID{0, 5, 17, 63, 64, 127, 128, 65535, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32 - 1, math.MaxUint32} {
		name := fmt.Sprintf("t:%d", id)
		if got := addTo(t, r, name, packet.WithID(id)); got != id {
			t.Errorf("%s has %d", name, got)
		}
		if e, err := r.Lookup(id); err != nil || e.Name != name {
			t.Errorf("ID %d: %v, %v", id, e, err)
		}
	}
	if got := addTo(t, r, "t:auto"); got != 65 {
		t.Errorf("automatic ID %d, want 65", got)
	}
}

// A conflict is an error that leaves the registry as it was (D15).
func TestRegistryConflicts(t *testing.T) {
	r := regOf(t, "t:a", "t:b")
	before := r.Entries()
	for _, c := range []struct {
		name string
		opts []packet.Option
		want error
	}{
		{"t:a", nil, packet.ErrAlreadyRegistered},
		{"t:a", []packet.Option{packet.WithID(900)}, packet.ErrAlreadyRegistered},
		{"t:new", []packet.Option{packet.WithID(65)}, packet.ErrAlreadyRegistered},
		{"t:new", []packet.Option{packet.WithID(packet.IDHello)}, packet.ErrAlreadyRegistered},
		{"t:new", []packet.Option{packet.WithID(packet.IDCloseConnection)}, packet.ErrAlreadyRegistered},
		{"peng3dnet:internal.hello", nil, packet.ErrRegistry},
		{"peng3dnet:mine", nil, packet.ErrRegistry},
		{"", nil, packet.ErrRegistry},
		{"t:\xff", nil, packet.ErrRegistry},
		{"t:new", []packet.Option{packet.OnInvalid("explode")}, packet.ErrInvalidAction},
	} {
		if _, err := packet.Register[any](r, c.name, nil, c.opts...); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.name, err, c.want)
		}
		if after := r.Entries(); !slices.Equal(before, after) {
			t.Errorf("%q: the registry is now %v", c.name, after)
		}
	}
	if id := addTo(t, r, "t:new"); id != 66 {
		t.Errorf("the next automatic ID is %d, want 66", id)
	}
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, packet.ErrAlreadyRegistered) {
				t.Errorf("MustRegister: %v", err)
			}
		}()
		packet.MustRegister[any](r, "t:a", nil)
	}()
}

func TestRegistryLookup(t *testing.T) {
	r := packet.NewRegistry()
	typ := packet.MustRegister[move](r, "t:move", nil, packet.WithID(300))
	body := packet.MustRegister[packet.Body](r, "t:body", nil)
	raw, err := r.Handle("t:raw", func(*packet.Conn, *packet.Message) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{"t:move", packet.ID(300), 300, int16(300), int32(300), int64(300), uint16(300), uint32(300), uint(300), uint64(300), typ} {
		if e, err := r.Lookup(key); err != nil || e != (packet.Entry{ID: 300, Name: "t:move"}) {
			t.Errorf("%T %v: %v, %v", key, key, e, err)
		}
		if got, err := r.Type(key); err != nil || got != typ {
			t.Errorf("%T %v: %v, %v", key, key, got, err)
		}
	}
	if idOf(t, r, body) != 64 || idOf(t, r, raw) != 65 || raw.Name() != "t:raw" {
		t.Error("wrong IDs")
	}
	if e, err := r.Lookup("peng3dnet:internal.closeconn"); err != nil || e.ID != 16 {
		t.Errorf("%v, %v", e, err)
	}
	if got, err := r.Type(packet.IDHello); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	other := packet.MustRegister[move](packet.NewRegistry(), "t:move", nil)
	for _, key := range []any{"t:none", packet.ID(999), -1, int64(math.MinInt64), uint64(math.MaxUint64), int64(1) << 32, other, ""} {
		if _, err := r.Lookup(key); !errors.Is(err, packet.ErrNotRegistered) || !errors.Is(err, packet.ErrRegistry) {
			t.Errorf("%T %v: %v", key, key, err)
		}
		if _, err := r.Type(key); !errors.Is(err, packet.ErrNotRegistered) {
			t.Errorf("%T %v: %v", key, key, err)
		}
	}
	for _, key := range []any{nil, 1.5, []byte("t:move"), true, struct{}{}} {
		if _, err := r.Lookup(key); !errors.Is(err, packet.ErrRegistry) || errors.Is(err, packet.ErrNotRegistered) || !strings.Contains(err.Error(), fmt.Sprintf("%T", key)) {
			t.Errorf("%T %v: %v", key, key, err)
		}
	}
}

func TestRegistryDelete(t *testing.T) {
	r := packet.NewRegistry()
	typ := packet.MustRegister[move](r, "t:a", nil)
	addTo(t, r, "t:b")
	addTo(t, r, "t:c", packet.WithID(900))
	for _, key := range []any{typ, "t:b", 900} {
		if err := r.Delete(key); err != nil {
			t.Errorf("%v: %v", key, err)
		}
		if err := r.Delete(key); !errors.Is(err, packet.ErrNotRegistered) {
			t.Errorf("%v again: %v", key, err)
		}
	}
	if err := r.Delete("peng3dnet:internal.hello"); !errors.Is(err, packet.ErrRegistry) {
		t.Errorf("the protocol's own: %v", err)
	}
	if list := r.Entries(); len(list) != 5 {
		t.Errorf("what is left: %v", list)
	}
	if id := addTo(t, r, "t:c", packet.WithID(900)); id != 900 { // name and ID are free again
		t.Errorf("ID %d", id)
	}
	addTo(t, r, "t:a")
	if _, err := r.Lookup(typ); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("a type that was deleted finds another packet of its name: %v", err)
	}
}

func TestRegistryConcurrently(t *testing.T) {
	r := packet.NewRegistry()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				name := fmt.Sprintf("t:%d.%d", i, j)
				if _, err := packet.Register[any](r, name, nil); err != nil {
					t.Error(err)
				}
				if _, err := r.Lookup(name); err != nil {
					t.Error(err)
				}
				if j%2 == 0 {
					if err := r.Delete(name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[packet.ID]bool)
	for _, e := range r.Entries() {
		if seen[e.ID] {
			t.Errorf("ID %d twice", e.ID)
		}
		seen[e.ID] = true
	}
	if len(seen) != 8*25+5 {
		t.Errorf("%d packets", len(seen))
	}
}

// Each kind of handler gets the body in its own form, and what is registered, deleted or sent meanwhile counts at once.
func TestRegisterKinds(t *testing.T) {
	reg := packet.NewRegistry()
	got := make(chan any, 1)
	fail := errors.New("on purpose")
	typed := packet.MustRegister(reg, "t:typed", func(_ *packet.Conn, m move) error { got <- m; return nil })
	asAny := packet.MustRegister(reg, "t:any", func(_ *packet.Conn, v any) error { got <- v; return nil })
	body := packet.MustRegister(reg, "t:body", func(_ *packet.Conn, b packet.Body) error { got <- string(b); return nil })
	number := packet.MustRegister(reg, "t:number", func(_ *packet.Conn, n int) error { got <- n; return nil })
	pointer := packet.MustRegister(reg, "t:pointer", func(_ *packet.Conn, m *move) error { got <- m; return nil })
	list := packet.MustRegister(reg, "t:list", func(_ *packet.Conn, l []string) error { got <- l; return fail })
	message, err := reg.Handle("t:message", func(_ *packet.Conn, m *packet.Message) error {
		var into move
		if err := m.Decode(&into); err != nil {
			return err
		}
		got <- fmt.Sprintln(m.ID, m.Flags, m.Name(), len(m.Body()), into.X, m.Value().(map[string]any)["x"])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, packet.NewServer(reg, packet.Config{Logger: quiet}))
	c := packet.NewClient(reg, packet.Config{})
	connect(t, c, s.addr)
	for _, step := range []struct {
		name string
		send func() error
		want any
	}{
		{"struct", func() error { return typed.Send(c.Conn, move{1, 2, "s"}) }, move{1, 2, "s"}},
		{"struct given as a map", func() error { return c.Send("t:typed", map[string]any{"x": 5, "unknown": nil}) }, move{X: 5}},
		{"any", func() error { return asAny.Send(c.Conn, "text") }, "text"},
		{"any nil", func() error { return asAny.Send(c.Conn, nil) }, nil},
		{"any that is a Body", func() error { return asAny.Send(c.Conn, packet.Body{0xa1, 'x'}) }, "x"},
		{"Body", func() error { return body.Send(c.Conn, packet.Body{0xc3}) }, "\xc3"},
		{"number", func() error { return number.Send(c.Conn, -7) }, -7},
		{"by ID", func() error { return c.SendID(idOf(t, reg, number), 8) }, 8},
		{"Handle", func() error { return message.Send(c.Conn, move{X: 3}) }, "70 0 t:message 18 3 3\n"},
	} {
		t.Run(step.name, func(t *testing.T) {
			if err := step.send(); err != nil {
				t.Fatal(err)
			}
			if v := receive(t, got); v != step.want {
				t.Errorf("got %#v, want %#v", v, step.want)
			}
		})
	}
	if err := pointer.Send(c.Conn, &move{X: 9}); err != nil {
		t.Fatal(err)
	}
	first := receive(t, got).(*move)
	if err := pointer.Send(c.Conn, &move{X: 10}); err != nil {
		t.Fatal(err)
	}
	if second := receive(t, got).(*move); first.X != 9 || second.X != 10 || first == second {
		t.Errorf("pointers share memory: %v, %v", first, second)
	}
	if err := list.Send(c.Conn, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	receive(t, got)
	if err := c.Send("t:typed", "not a map"); err != nil { // neither closes the connection
		t.Fatal(err)
	}
	if err := number.Send(c.Conn, 1); err != nil {
		t.Fatal(err)
	}
	if v := receive(t, got); v != 1 {
		t.Errorf("%v", v)
	}
	if n := s.Stats().HandlerErrors.Load(); n != 2 {
		t.Errorf("%d handler errors, want 2", n)
	}

	late := packet.MustRegister(reg, "t:late", func(_ *packet.Conn, v any) error { got <- v; return nil })
	if err := late.Send(c.Conn, 1); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("a packet that the client's copy has not: %v", err)
	}
	if err := s.Registry().Delete("t:number"); err != nil {
		t.Fatal(err)
	}
	if err := number.Send(c.Conn, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a deleted packet is unknown", func() bool { return s.Stats().Unknown.Load() == 1 })
	for _, err := range []error{c.Send("t:none", 1), c.SendID(9999, 1), c.Send("", 1)} {
		if !errors.Is(err, packet.ErrNotRegistered) {
			t.Errorf("%v", err)
		}
	}
	if err := c.Send("t:any", make(chan int)); err == nil {
		t.Error("a channel was sent")
	}
	if err := c.Send("t:any", packet.Body{0xc1}); err == nil {
		t.Error("an invalid body was sent")
	}
	if err := asAny.Send(c.Conn, packet.Body{0x91}); err == nil {
		t.Error("an invalid body was sent")
	}
	if err := asAny.Send(c.Conn, strings.Repeat("x", 100_000)); err != nil { // compressed
		t.Error(err)
	}
	receive(t, got)
}

func TestPrintPacket(t *testing.T) {
	var out bytes.Buffer
	done := make(chan struct{}, 1)
	reg := packet.NewRegistry()
	print := packet.Print(&out)
	packet.MustRegister(reg, "t:print", func(c *packet.Conn, v any) error {
		err := print(c, v)
		done <- struct{}{}
		return err
	})
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	c := packet.NewClient(reg, packet.Config{})
	connect(t, c, s.addr)
	if err := c.Send("t:print", map[string]any{"a": 1}); err != nil {
		t.Fatal(err)
	}
	receive(t, done)
	if err := s.Conn(1).Send("t:print", "text"); err != nil {
		t.Fatal(err)
	}
	receive(t, done)
	if got, want := out.String(), "1: map[a:1]\ntext\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
