package packet_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"parlor/msgpack"
	"parlor/packet"
)

// costly counts how often it is encoded.
type costly struct{ n *atomic.Int64 }

func (v costly) MarshalMsg(b []byte) ([]byte, error) {
	if v.n.Add(1) < 0 {
		return b, errors.New("cannot be encoded")
	}
	return msgpack.Append(b, someNews)
}

var someNews = strings.Repeat("news ", 4000) // long enough to be compressed

func TestBroadcast(t *testing.T) {
	reg := packet.NewRegistry()
	news := packet.MustRegister[costly](reg, "t:news", nil)
	members := packet.MustRegister[string](reg, "t:members", nil, packet.Smart(), packet.InMode(packet.ModeChat))
	raw := packet.MustRegister[packet.Body](reg, "t:raw", nil)
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	var wires []*wire
	for range 3 {
		w := dialWire(t, s.addr)
		w.handshake()
		wires = append(wires, w)
	}
	heard := make(chan string, 1)
	mine := packet.NewRegistry()
	packet.MustRegister(mine, "t:news", func(_ *packet.Conn, text string) error { heard <- text; return nil })
	connect(t, packet.NewClient(mine, packet.Config{AllowMissing: true}), s.addr)
	dialWire(t, s.addr) // stays in its handshake
	eventually(t, "all are there", func() bool {
		return len(s.Conns()) == 5 && !slices.ContainsFunc(s.Conns()[:4], func(c *packet.Conn) bool { return c.State() < packet.StateActive })
	})
	conns := s.Conns()
	var encoded atomic.Int64
	if err := news.Broadcast(slices.Values(conns), costly{&encoded}); err != nil || encoded.Load() != 1 {
		t.Errorf("%v, encoded %d times", err, encoded.Load())
	}
	if err := raw.Broadcast(slices.Values(conns), packet.Body("\x01")); err != nil {
		t.Error(err)
	}
	conns[1].SetMode(packet.ModeChat)
	if err := members.Broadcast(slices.Values(conns), "welcome"); err != nil { // to the only one who may have it
		t.Error(err)
	}
	encoded.Store(-100)
	if err := news.Broadcast(slices.Values(conns), costly{&encoded}); err == nil || encoded.Load() != -99 {
		t.Errorf("%v, tried %d times", err, encoded.Load()+100)
	}
	if v := receive(t, heard); v != someNews {
		t.Errorf("a client got %.20q", v)
	}
	for i, w := range wires {
		if id, _, _ := w.next(); id != idOf(t, reg, news) { // compressed
			t.Errorf("client %d got packet %d", i, id)
		}
		if v := w.want(idOf(t, reg, raw)); v != int64(1) {
			t.Errorf("client %d got %v", i, v)
		}
	}
	if v := wires[1].want(idOf(t, reg, members)); v != "welcome" {
		t.Errorf("%v", v)
	}
	conns[0].Close(nil)
	if err := raw.Broadcast(slices.Values(conns), packet.Body("\x02")); err != nil {
		t.Errorf("with one that ends: %v", err)
	}
	if v := wires[2].want(idOf(t, reg, raw)); v != int64(2) {
		t.Errorf("%v", v)
	}
	if err := raw.Broadcast(slices.Values(conns), packet.Body("\xc1")); err == nil {
		t.Error("an invalid body was sent")
	}
}

// TestBroadcastWatched: hooks see a packet once for each connection, and may change it.
func TestBroadcastWatched(t *testing.T) {
	reg := packet.NewRegistry()
	news := packet.MustRegister[int](reg, "t:news", nil)
	s := serve(t, packet.NewServer(reg, packet.Config{Hooks: packet.Hooks{Send: func(c *packet.Conn, o *packet.Outgoing) error {
		if o.Name == "t:news" {
			o.Value = o.Value.(int) + int(c.CID())
		}
		return nil
	}}}))
	first, second := dialWire(t, s.addr), dialWire(t, s.addr)
	for _, w := range []*wire{first, second} {
		w.handshake()
	}
	eventually(t, "both are there", func() bool {
		return len(s.Conns()) == 2 && s.Conns()[0].State() == packet.StateActive && s.Conns()[1].State() == packet.StateActive
	})
	if err := news.Broadcast(slices.Values(s.Conns()), 10); err != nil {
		t.Error(err)
	}
	if a, b := first.want(64), second.want(64); a != int64(11) || b != int64(12) {
		t.Errorf("%v, %v", a, b)
	}
}

// TestBroadcastOverServers: each server has limits and a compression of its own.
func TestBroadcastOverServers(t *testing.T) {
	reg := packet.NewRegistry()
	news := packet.MustRegister[string](reg, "t:news", nil)
	var conns []*packet.Conn
	var peers []*raw
	for _, cfg := range []packet.Config{{MaxFrame: 1000, NoCompression: true}, {NoCompression: true}, {}} {
		cfg.Logger = quiet
		s := packet.NewServer(reg, cfg)
		r := dialRaw(t, serveMemory(t, s))
		r.shake()
		conns, peers = append(conns, active(t, s)), append(peers, r)
	}
	if err := news.Broadcast(slices.Values(conns), someNews); !errors.Is(err, packet.ErrFrameTooLarge) || strings.Contains(err.Error(), "connections") {
		t.Fatalf("%v, want %v of the first one alone", err, packet.ErrFrameTooLarge)
	}
	for i, want := range []packet.Flags{0, packet.FlagCompressed} {
		frame := peers[1+i].next()
		if flags := frameFlags(frame); flags != want || frameValue(t, frame) != someNews {
			t.Errorf("server %d: flags %d, want %d", 1+i, flags, want)
		}
	}
}

// TestIntroducedWithHandshake: who has the Handshake can be sent to, at once, by whoever hears of it on another way.
func TestIntroducedWithHandshake(t *testing.T) {
	reg := packet.NewRegistry()
	news := packet.MustRegister[int](reg, "t:news", nil, packet.WithID(64))
	s := serve(t, packet.NewServer(reg, packet.Config{Logger: quiet}))
	for n := range 500 {
		w := dialWire(t, s.addr)
		w.send(packet.IDSetType, map[string]any{"conntype": "classic"})
		w.want(packet.IDHello)
		w.want(packet.IDHandshake)
		if err := news.Send(s.Conn(int64(n+1)), n); err != nil {
			t.Fatalf("after %d good ones: %v", n, err)
		}
		if v := w.want(64); v != int64(n) {
			t.Fatalf("behind the Handshake came %v", v)
		}
		w.Close()
	}
}
