package packet_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"parlor/msgpack"
	"parlor/packet"
	"parlor/packet/ping"
)

// plan says how a capture is replayed: what its setup means in Go, and where we do better than what it recorded. Nil
// replays it as it is.
type plan struct {
	server, client func(s *scene)
	// noServer and noClient say why one of our ends has nothing to do in a capture.
	noServer, noClient string
}

var asItIs plan

// plans are all captures. TestVectorsComplete fails for a file without a plan.
var plans = map[string]plan{
	"app_packet_before_accept": {
		server: func(s *scene) { s.options = smart("test:smart"); s.silence(4) },
		client: func(s *scene) { s.options = smart("test:smart") },
	},
	"app_packet_before_settype": {server: func(s *scene) { s.silence(1) }},
	"close_abrupt_client":       {server: func(s *scene) { s.fin = "c2s" }},
	"close_abrupt_server":       {server: func(s *scene) { s.fin = "c2s" }, client: func(s *scene) { s.fin = "s2c" }},
	"close_body_nil":            asItIs,
	"close_client_before_handshake": {client: func(s *scene) {
		s.drop(1) // the SetType that our client would have sent: it closes before
		s.cfg.Hooks.Connect = func(c *packet.Conn) error { c.Close("changed my mind"); return nil }
	}},
	"close_client_none":   asItIs, // D8: the client reported "socketclose", not what it had said itself
	"close_client_reason": asItIs, // D8
	"close_from_server_before_hello": {
		noServer: "TestServerFull replays it: it needs a server that is full",
	},
	"close_server_none":     {server: closing(nil)},      // D8: the client may have reported "socketclose"
	"close_server_reason":   {server: closing("kicked")}, // D8: the server reported nil, the client may have "socketclose"
	"compressed_small_body": asItIs,
	"custom_conntype": {server: custom, client: func(s *scene) {
		s.client = func(c *packet.Client) { addType(s.t, c, "custom") }
		s.after = func(c *packet.Client) { wantState(s.t, c.Conn, packet.StateClosed, packet.StateWaitType) }
	}},

	"echo_bool": asItIs, "echo_bytes": asItIs, "echo_compressible_100k": asItIs, "echo_empty_map": asItIs,
	"echo_ext_timestamp": asItIs, "echo_floats": asItIs, "echo_header_boundaries": asItIs,
	"echo_incompressible_20k": asItIs, "echo_ints": asItIs, "echo_list": asItIs, "echo_nested": asItIs,
	"echo_none": asItIs, "echo_small_dict": asItIs, "echo_threshold": asItIs, "echo_unicode": asItIs,
	"echo_uncompressed_100k": {
		server: func(s *scene) { s.config(s.c.Setup.ServerConfig) },
		client: func(s *scene) { s.config(s.c.Setup.ClientConfig) },
	},

	// D2: 0.2.0 said nothing and served nobody any more. Parlor closes that connection, with a reason.
	"error_aes_flag":          {server: refusing(packet.ReasonEncryption)},
	"error_bad_utf8":          {server: refusing(packet.ReasonInvalidFrame)},
	"error_bad_zlib":          {server: refusing(packet.ReasonInvalidFrame)},
	"error_empty_body":        {server: refusing(packet.ReasonInvalidFrame)},
	"error_int_map_key":       {server: refusing(packet.ReasonInvalidFrame)},
	"error_malformed_msgpack": {server: refusing(packet.ReasonInvalidFrame)},
	"error_short_frame":       {server: refusing(packet.ReasonInvalidFrame)},
	"error_trailing_bytes":    {server: refusing(packet.ReasonInvalidFrame)},
	"error_zero_length":       {server: refusing(packet.ReasonInvalidFrame)},
	"error_oversized_length":  {server: refusing(packet.ReasonFrameTooLarge)}, // D30: it waited for 4 GiB

	"example_echo":       {server: scripted, client: func(s *scene) { s.fin = "s2c" }},
	"example_simplechat": {server: scripted, client: func(s *scene) { s.fin = "s2c" }},

	"framing_coalesced":       asItIs,
	"framing_split_bytewise":  asItIs,
	"framing_split_in_prefix": {server: answered, client: answered}, // D1: it hung
	"framing_split_large":     asItIs,

	"handshake_accept_false": {
		server: func(s *scene) { s.options = smart("test:echo"); s.silence(4) },
		client: func(s *scene) { s.options = smart("test:echo") },
	},
	"handshake_classic_0": asItIs, "handshake_classic_2": asItIs, "handshake_classic_20": asItIs,
	"handshake_compressed_registry": asItIs, "handshake_default_conntype": asItIs,
	"handshake_other_version_string": {server: func(s *scene) {
		s.frames[0].b = helloFrame // our own version
		s.frames[2].b = handshakeFrame(msgpack.Map{{Key: "test:echo", Value: 64}})
	}},
	"handshake_pipelined": {
		server: func(s *scene) { s.options = smart("test:echo") },
		client: func(s *scene) { s.options = smart("test:echo") },
	},
	"handshake_without_hello": {server: func(s *scene) { s.frames[0].b = helloFrame }},
	"msgpack_accept":          asItIs,

	"ping_basic": {
		server: func(s *scene) { pingable(s, ping.Options{}); s.drop(5) }, // the second CloseConnection of D13: there is nobody to get it
		client: func(s *scene) {
			s.drop(4) // D13: the first one
			pings(s, map[string]any{"hello": 1, "time": s.time()})
		},
	},
	"ping_invalid_packet": {server: func(s *scene) { pingable(s, ping.Options{}) }, client: func(s *scene) {
		pings(s, packet.Body(s.frames[2].b[10:]))
		s.drop(2)
		s.add(2, "c2s", pingFrame(msgpack.Map{}))
	}},
	"ping_merge_override": {
		server: func(s *scene) {
			pingable(s, ping.Options{
				Data: map[string]any{"peng3dnet": "static", "k": "static"},
				Func: func(*packet.Conn, *packet.Message) map[string]any {
					return map[string]any{"oldmsg": "replaced", "k": "dynamic"}
				},
			})
		},
		client: func(s *scene) { pings(s, map[string]any{"time": 1.5}) },
	},
	"ping_nondict_request": {server: func(s *scene) { pingable(s, ping.Options{}) }, client: pingsAll},
	"ping_request_sent_to_client": {
		server: func(s *scene) {
			pingable(s, ping.Options{})
			s.frames[3].b = framed(ping.IDResponse, msgpack.Map{{Key: "oldmsg", Value: msgpack.Map{{Key: "time", Value: 5}}}, versions})
		},
		client: func(s *scene) { pings(s, map[string]any{"time": 5}) },
	},
	"ping_response_sent_to_server": {
		server: func(s *scene) { pingable(s, ping.Options{}) },
		client: func(s *scene) { s.frames[2].b = pingFrame(msgpack.Map{}); pings(s, packet.Body(s.frames[2].b[10:])) },
	},
	"ping_server_data": {
		server: func(s *scene) {
			s.drop(5) // D13
			pingable(s, ping.Options{
				Data: map[string]any{"name": "static name", "motd": "static wins over dynamic"},
				Func: func(*packet.Conn, *packet.Message) map[string]any {
					return map[string]any{"usercount": 3, "motd": "dynamic"}
				},
			})
			// A map of Go has no order: what one function returned is sorted.
			s.frames[3].b = reordered(s.t, s.frames[3].b, "oldmsg", "motd", "usercount", "name", "peng3dnet")
		},
		client: func(s *scene) {
			s.drop(4) // D13
			pings(s, map[string]any{"time": s.time()})
		},
	},
	"ping_unsupported_by_server": {
		// D4: 0.2.0 did not answer. The request behind SetType is not read any more.
		server: func(s *scene) { s.add(2, "s2c", closeFrame(packet.ReasonUnknownConnType)) },
		client: func(s *scene) { pings(s, nil) },
	},
	"ping_writeback_off": {
		server: func(s *scene) { pingable(s, ping.Options{NoWriteBack: true}) },
		client: func(s *scene) { pings(s, map[string]any{"time": 1.5}) },
	},

	"protoversion_mismatch_handshake": {server: func(s *scene) {
		s.frames[0].b = helloFrame
		s.frames[2].b = handshakeFrame(nil)
	}},
	"protoversion_mismatch_hello": {server: func(s *scene) { s.frames[0].b = helloFrame }},

	"registry_autosync_off":           {client: func(s *scene) { s.config(s.c.Setup.ClientConfig); s.after = s.checkIDs }},
	"registry_mismatch_client_extra":  asItIs,
	"registry_mismatch_ignore":        {client: func(s *scene) { s.config(s.c.Setup.ClientConfig); s.after = s.checkIDs }},
	"registry_mismatch_server_extra":  asItIs,
	"registry_remap_disjoint":         {client: func(s *scene) { s.after = s.checkIDs }},
	"registry_remap_permuted":         {server: permuted, client: permuted},
	"registry_remap_same_range_shift": {client: func(s *scene) { s.after = s.checkIDs }},
	"server_push": {server: func(s *scene) {
		s.active = func(c *packet.Conn) {
			for _, f := range s.frames[4:] {
				name, id := any(f.name), any(frameID(f.b))
				err := error(nil)
				if id == packet.FirstAutoID {
					err = c.Send(name.(string), frameValue(s.t, f.b))
				} else {
					err = c.SendID(id.(packet.ID), frameValue(s.t, f.b))
				}
				if err != nil {
					s.t.Error(err)
				}
			}
		}
	}},
	"settype_twice_ignored": asItIs,
	"shutdown_custom_reason": {server: func(s *scene) { // D8, D10
		s.active = func(c *packet.Conn) { c.Server().Stop("maintenance") }
	}},
	"shutdown_timeout": {server: func(s *scene) { // D8, D10
		s.active = func(c *packet.Conn) { c.Server().Stop(nil) }
	}},

	"smartpacket_close_receive_server": {server: func(s *scene) {
		s.options = state65(packet.ActionClose)
		s.silence(4)
	}},
	"smartpacket_close_send_client": {
		server: func(s *scene) { s.options = state65(packet.ActionIgnore); s.silence(5) },
		client: func(s *scene) { // D20: the offending frame went out behind CloseConnection
			s.drop(5)
			s.options = state65(packet.ActionClose)
			s.doNotClose = true
			s.after = func(c *packet.Client) { wantRefused(s.t, c.Conn) }
		},
	},
	"smartpacket_close_send_server": {
		server: func(s *scene) { // D33: the offending frame went out before CloseConnection
			s.drop(4)
			s.options = state65(packet.ActionClose)
			s.active = func(c *packet.Conn) { wantRefused(s.t, c) }
		},
		client: func(s *scene) { s.options = state65(packet.ActionIgnore); s.silence(4) },
	},
	"smartpacket_ignore_send": { // D32: the frames that may not be sent went out in both directions
		server: func(s *scene) {
			s.options = func(name string) []packet.Option {
				return append(state65(packet.ActionIgnore)(name), smart("test:echo")(name)...)
			}
			s.silence(4)
			s.drop(5)
			s.active = func(c *packet.Conn) { wantRefused(s.t, c) }
		},
		client: func(s *scene) {
			s.options = func(name string) []packet.Option {
				return append(state65(packet.ActionIgnore)(name), smart("test:echo")(name)...)
			}
			s.silence(5)
			s.drop(4)
			s.before = func(c *packet.Client) { wantRefused(s.t, c.Conn) }
		},
	},

	"unexpected_accept":              asItIs,
	"unexpected_handshake_at_server": asItIs,
	"unexpected_hello_at_server":     asItIs,
	"unknown_conntype": {
		server: func(s *scene) { s.add(-1, "s2c", closeFrame(packet.ReasonUnknownConnType)) }, // D4: it said nothing
		client: func(s *scene) { s.client = func(c *packet.Client) { addType(s.t, c, "bogus") } },
	},
	"unknown_conntype_retry": {server: func(s *scene) { // D4: the first SetType was swallowed
		s.frames = append(s.frames[:2:2], frame{dir: "s2c", b: closeFrame(packet.ReasonUnknownConnType)})
	}},
	"unknown_flag_bits": asItIs,
	"unknown_packet_id": asItIs,
}

// smart makes one packet a smart one with the default checks.
func smart(which string) func(string) []packet.Option {
	return func(name string) []packet.Option {
		if name == which {
			return []packet.Option{packet.Smart()}
		}
		return nil
	}
}

// state65 is the packet of the captures of smart packets.
func state65(a packet.Action) func(string) []packet.Option {
	return func(name string) []packet.Option {
		if name == "test:state65" {
			return []packet.Option{packet.InState(packet.StateLoggedIn), packet.OnInvalid(a)}
		}
		return nil
	}
}

// wantRefused sends the packet that may not be sent.
func wantRefused(t *testing.T, c *packet.Conn) {
	t.Helper()
	err := c.Send("test:state65", map[string]any{"v": 1})
	var check *packet.CheckError
	if !errors.As(err, &check) || !errors.Is(err, packet.ErrInvalidPacket) || check.Check != "state" {
		t.Errorf("the packet that may not be sent: %v", err)
	}
}

func wantState(t *testing.T, c *packet.Conn, any ...packet.State) {
	t.Helper()
	if !slices.Contains(any, c.State()) {
		t.Errorf("state %d, want %d", c.State(), any)
	}
}

func addType(t *testing.T, to interface {
	AddConnType(string, packet.ConnType) error
}, name string) {
	t.Helper()
	if err := to.AddConnType(name, packet.ConnType{}); err != nil {
		t.Error(err)
	}
}

// closing has the server close as soon as the handshake is complete.
func closing(reason any) func(*scene) {
	return func(s *scene) { s.active = func(c *packet.Conn) { c.Close(reason) } }
}

// custom is a connection type of which the server knows no more than its name.
func custom(s *scene) {
	s.server = func(srv *packet.Server) {
		err := srv.AddConnType("custom", packet.ConnType{Receive: func(c *packet.Conn, m *packet.Message) (bool, error) {
			wantState(s.t, c, packet.StateWaitType)
			return false, nil
		}})
		if err != nil {
			s.t.Error(err)
		}
	}
}

// refusing has the server close in answer to the last frame.
func refusing(reason string) func(*scene) {
	return func(s *scene) {
		s.tail = s.c.tail(s.t, "c2s")
		if len(s.tail) == 0 {
			s.silence(len(s.frames) - 1)
		}
		s.add(-1, "s2c", closeFrame(reason))
	}
}

// scripted has the server answer as the capture does, and then stop. D10: the example's CloseConnection was lost.
func scripted(s *scene) {
	s.scripts = true
	s.add(-1, "s2c", closeFrame(packet.ReasonServerShutdown))
}

// answered adds the echo that 0.2.0 failed to send.
func answered(s *scene) {
	last := s.frames[len(s.frames)-1]
	last.dir = "s2c"
	s.frames = append(s.frames, last)
}

// permuted adds the packet whose name 0.2.0 had lost (D5).
func permuted(s *scene) {
	b := framed(65, msgpack.Map{{Key: "n", Value: "test:a"}})
	s.frames = append(s.frames, frame{dir: "c2s", b: b, name: "test:a"}, frame{dir: "s2c", b: b, name: "test:a"})
	s.after = func(c *packet.Client) {
		for name, id := range map[string]packet.ID{"test:c": 64, "test:a": 65, "test:b": 66} {
			if e, err := c.Registry().Lookup(name); err != nil || e.ID != id || e.Lost {
				s.t.Errorf("%s: %v, %v", name, e, err)
			}
		}
	}
}

func (s *scene) checkIDs(c *packet.Client) {
	for name, id := range s.c.Setup.IDsAfter {
		if e, err := c.Registry().Lookup(name); err != nil || e.ID != packet.ID(id) || e.Lost {
			s.t.Errorf("%s: %v, %v; want %d", name, e, err, id)
		}
	}
}

// versions is what every answer to a ping ends with.
var versions = msgpack.Pair{Key: "peng3dnet", Value: msgpack.Map{
	{Key: "version", Value: "0.2.0"}, {Key: "release", Value: "0.2.0"}, {Key: "protoversion", Value: 2}}}

func pingable(s *scene, opts ping.Options) {
	s.server = func(srv *packet.Server) {
		if err := ping.Serve(srv, opts); err != nil {
			s.t.Error(err)
		}
	}
}

func pingFrame(v any) []byte { return framed(ping.IDRequest, v) }

// reordered is a frame whose map has its keys in another order.
func reordered(t *testing.T, b []byte, keys ...string) []byte {
	t.Helper()
	m := frameValue(t, b).(msgpack.Map)
	var out msgpack.Map
	for _, key := range keys {
		v, ok := m.Get(key)
		if !ok {
			t.Fatalf("no %s", key)
		}
		out = append(out, msgpack.Pair{Key: key, Value: v})
	}
	if len(out) != len(m) {
		t.Fatalf("%d keys of %d", len(out), len(m))
	}
	return framed(frameID(b), out)
}

// withoutClock is a frame with zeros as its "time", if that is a float.
func withoutClock(b []byte) []byte {
	b = bytes.Clone(b)
	for at := 0; ; {
		n := bytes.Index(b[at:], []byte("\xa4time\xcb"))
		if n < 0 || len(b) < at+n+14 {
			return b
		}
		at += n + 14
		clear(b[at-8 : at])
	}
}

// time is that of the request of a ping, which the answer of the capture repeats.
func (s *scene) time() float64 {
	v, _ := frameValue(s.t, s.frames[2].b).(msgpack.Map).Get("time")
	return v.(float64)
}

// pings has a ping client send its request, and check the answer.
func pings(s *scene, data any) {
	typed := false
	for i := range s.frames {
		if s.frames[i].dir == "c2s" && !typed {
			s.frames[i].b, typed = typeFrame(packet.ConnTypePing), true
		}
	}
	s.mask = withoutClock
	s.run = func(ctx context.Context, nc net.Conn) error {
		c, pong, err := ping.DialConn(ctx, nc, data, s.cfg)
		if err != nil {
			if !errors.Is(err, ping.ErrFailed) {
				s.t.Errorf("%v is not ErrFailed", err)
			}
			return err
		}
		for _, f := range s.frames {
			if f.is(ping.IDResponse) {
				var want any
				body, _ := frameBody(f.b)
				if err := msgpack.Unmarshal(body, &want, msgpack.Limits{}); err != nil {
					s.t.Error(err)
				}
				if diff := cmp.Diff(want, any(pong.Data)); diff != "" {
					s.t.Errorf("the pong (-want +got):\n%s", diff)
				}
			}
		}
		if _, _, by := s.ending("c2s"); by == "c2s" {
			c.Close()
		}
		<-c.Conn().Done()
		return c.Conn().Err()
	}
}

// pingsAll has a ping client send all requests of a capture.
func pingsAll(s *scene) {
	pings(s, nil)
	s.stepwise = true // an answer that comes before its request is dropped
	s.run = func(ctx context.Context, nc net.Conn) error {
		var c *ping.Client
		for _, f := range s.frames {
			if !f.is(ping.IDRequest) {
				continue
			}
			err := error(nil)
			if request := packet.Body(f.b[10:]); c == nil {
				c, _, err = ping.DialConn(ctx, nc, request, s.cfg)
			} else {
				_, err = c.Ping(ctx, request)
			}
			if err != nil {
				return err
			}
		}
		<-c.Conn().Done()
		return c.Conn().Err()
	}
}

// replay runs the replays of a capture over a network.
func replay(t *testing.T, name string, net network, split delivery, change ...func(s *scene)) {
	t.Run("server", func(t *testing.T) { atServer(t, name, net, split, change...) })
	t.Run("client", func(t *testing.T) { atClient(t, name, net, split, change...) })
}

func planOf(t *testing.T, name string) plan {
	t.Helper()
	p, ok := plans[name]
	if !ok {
		t.Fatal("there is no plan for this capture: add it to plans")
	}
	return p
}

func atServer(t *testing.T, name string, net network, split delivery, change ...func(s *scene)) {
	p := planOf(t, name)
	if p.noServer != "" {
		return
	}
	s := newScene(t, name)
	if p.server != nil {
		p.server(s)
	}
	if s.fin == "c2s" && s.tail == nil {
		s.tail = s.c.tail(t, "c2s")
	}
	for _, f := range change {
		f(s)
	}
	s.replayServer(net, split)
}

func atClient(t *testing.T, name string, net network, split delivery, change ...func(s *scene)) {
	p := planOf(t, name)
	if p.noClient != "" {
		return
	}
	s := newScene(t, name)
	if s.c.raw("c2s") && !strings.HasPrefix(name, "ping_") {
		s.asOurClient()
	}
	if p.client != nil {
		p.client(s)
	}
	for _, f := range change {
		f(s)
	}
	s.replayClient(net, split)
}

// TestVectors replays every capture, frame for frame in its order.
func TestVectors(t *testing.T) {
	for _, net := range networks {
		t.Run(net.name, func(t *testing.T) {
			for _, name := range captureNames(t) {
				t.Run(name, func(t *testing.T) { replay(t, name, net, nil) })
			}
		})
	}
}

// TestVectorsManual replays every capture with handlers that wait for Process: nothing else changes.
func TestVectorsManual(t *testing.T) {
	for _, name := range captureNames(t) {
		t.Run(name, func(t *testing.T) { replay(t, name, memory, nil, (*scene).manual) })
	}
}

// manual has our end handle its packets in Process, on a goroutine of its own.
func (s *scene) manual() {
	s.cfg.Manual = true
	process := func(e interface {
		ProcessWait(context.Context, int) (int, error)
	}) {
		for {
			if _, err := e.ProcessWait(context.Background(), 0); err != nil {
				return
			}
		}
	}
	server, client := s.server, s.client
	s.server = func(srv *packet.Server) {
		if server != nil {
			server(srv)
		}
		go process(srv) // ends with the server
	}
	s.client = func(c *packet.Client) {
		if client != nil {
			client(c)
		}
		go process(c) // ends with the client
	}
}

// TestVectorsGoodbye replays every capture with another side that never closes first. Behind our CloseConnection comes nothing
// but the end of the stream, and that exactly when we have waited long enough; where it is the other side that closes, the
// end comes at once.
func TestVectorsGoodbye(t *testing.T) {
	lingers := func(s *scene) { s.lingers = true }
	for _, name := range captureNames(t) {
		t.Run(name+"/server", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { atServer(t, name, memory, nil, lingers) })
		})
		t.Run(name+"/client", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { atClient(t, name, memory, nil, lingers) })
		})
	}
}

// TestVectorsJoined replays every capture with frames that are joined, in bursts over TCP.
func TestVectorsJoined(t *testing.T) {
	join := func(s *scene) { s.cfg.JoinClassic = true }
	joined := func(frames [][]byte) [][]byte { return [][]byte{bytes.Join(frames, nil)} }
	for _, name := range captureNames(t) {
		t.Run(name, func(t *testing.T) { replay(t, name, networks[2], joined, join) })
	}
}

// TestVectorsComplete checks that every capture has a plan, and every plan a capture.
func TestVectorsComplete(t *testing.T) {
	names := captureNames(t)
	for _, name := range names {
		if _, ok := plans[name]; !ok {
			t.Errorf("%s has no plan: nothing tests it", name)
		}
	}
	for name := range plans {
		if !slices.Contains(names, name) {
			t.Errorf("the plan %s has no capture", name)
		}
	}
}
