package packet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parlor/internal/pypeer"
	"parlor/msgpack"
	"parlor/packet"
)

// obj is a JSON object, as the Python peers are driven by.
type obj = map[string]any

// values are what packets can carry, in the captures' notation, by which the Python peers are told, and in Go.
var values = []struct {
	note string
	v    any
}{
	{`null`, nil}, {`true`, true}, {`false`, false},
	{`0`, int64(0)}, {`127`, int64(127)}, {`128`, int64(128)}, {`255`, int64(255)}, {`256`, int64(256)},
	{`65535`, int64(65535)}, {`65536`, int64(65536)}, {`4294967295`, int64(math.MaxUint32)}, {`4294967296`, int64(math.MaxUint32 + 1)},
	{`{"$int":"9223372036854775807"}`, int64(math.MaxInt64)}, {`{"$int":"18446744073709551615"}`, uint64(math.MaxUint64)},
	{`-1`, int64(-1)}, {`-32`, int64(-32)}, {`-33`, int64(-33)}, {`-128`, int64(-128)}, {`-129`, int64(-129)},
	{`-32769`, int64(-32769)}, {`-2147483649`, int64(-2147483649)}, {`{"$int":"-9223372036854775808"}`, int64(math.MinInt64)},
	{`{"$float":"1.0","bits":"3ff0000000000000"}`, 1.0}, {`{"$float":"-0.0","bits":"8000000000000000"}`, math.Copysign(0, -1)},
	{`{"$float":"inf","bits":"7ff0000000000000"}`, math.Inf(1)}, {`{"$float":"nan","bits":"7ff8000000000000"}`, math.Float64frombits(0x7ff8 << 48)},
	{`{"$float":"0.1","bits":"3fb999999999999a"}`, 0.1},
	{`""`, ""}, {`"hello"`, "hello"}, {`"żółć 中文 🎲 \u0000"`, "żółć 中文 🎲 \x00"}, {`"` + strings.Repeat("x", 300) + `"`, strings.Repeat("x", 300)},
	{`{"$bin":""}`, []byte{}}, {`{"$bin":"00ff"}`, []byte{0, 255}},
	{`[]`, []any{}}, {`{}`, map[string]any{}},
	{`[1,["a",{"$bin":"01"}],null]`, []any{int64(1), []any{"a", []byte{1}}, nil}},
	{`{"key":{"n":[true]}}`, map[string]any{"key": map[string]any{"n": []any{true}}}},
	{`{"$map":[[{"$bin":"01"},"bytes"]]}`, msgpack.Map{{Key: "\x01", Bin: true, Value: "bytes"}}},
	{`{"$ext":[5,"0102"]}`, msgpack.Ext{Code: 5, Data: []byte{1, 2}}},
	{`{"$timestamp":[1,0]}`, time.Unix(1, 0).UTC()}, {`{"$timestamp":[17179869184,5]}`, time.Unix(1<<34, 5).UTC()},
	{`{"$timestamp":[-1,0]}`, time.Unix(-1, 0).UTC()},
}

func encoded(t testing.TB, v any) packet.Body {
	t.Helper()
	b, err := msgpack.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fromJSON(t testing.TB, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// wait waits for something on a channel.
func wait[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("it does not come")
		panic("unreachable")
	}
}

// collector is a registry whose packets put what comes into a channel.
func collector(names ...string) (*packet.Registry, chan packet.Body) {
	reg, got := packet.NewRegistry(), make(chan packet.Body, 1000)
	for _, name := range names {
		packet.MustRegister(reg, name, func(_ *packet.Conn, b packet.Body) error { got <- bytes.Clone(b); return nil })
	}
	return reg, got
}

func pyServer(t *testing.T, options obj) (*pypeer.PacketPeer, string) {
	t.Helper()
	s := pypeer.StartPacketServer(t, options)
	return s, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
}

// pyConnect starts a Python client and connects it.
func pyConnect(t *testing.T, addr string, options obj) *pypeer.PacketPeer {
	t.Helper()
	c := pypeer.StartPacketClient(t)
	pyReconnect(t, c, addr, options)
	return c
}

func pyReconnect(t *testing.T, c *pypeer.PacketPeer, addr string, options obj) {
	t.Helper()
	_, text, _ := net.SplitHostPort(addr)
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	command := obj{"op": "connect", "port": port}
	for k, v := range options {
		command[k] = v
	}
	c.Do(command)
	c.Expect("connect")
}

// closeReason waits for the end of a connection and returns why.
func closeReason(t *testing.T, c *packet.Conn) *packet.CloseError {
	t.Helper()
	wait(t, c.Done())
	var why *packet.CloseError
	if !errors.As(c.Err(), &why) {
		t.Fatalf("ended with %v", c.Err())
	}
	return why
}

// TestPythonServerEcho: every kind of value goes to a Python server and back. That server breaks where 0.2.0
// hangs (D1), which a classic connection does not provoke while one frame is under way.
func TestPythonServerEcho(t *testing.T) {
	t.Parallel()
	_, addr := pyServer(t, obj{"packets": pypeer.Packets("test:echo"), "echo": true, "d1": true})
	reg, got := collector("test:echo")
	c := packet.NewClient(reg, packet.Config{})
	connect(t, c, addr)
	echo := func(v any) {
		t.Helper()
		want := encoded(t, v)
		if err := c.Send("test:echo", v); err != nil {
			t.Fatalf("%v: %v", v, err)
		}
		if b := wait(t, got); !bytes.Equal(b, want) {
			t.Errorf("%x came back as %x", want, b)
		}
	}
	for _, test := range values {
		echo(test.v)
	}
	random := make([]byte, 20480)
	rand.NewChaCha8([32]byte{}).Read(random)
	for _, v := range []any{
		strings.Repeat("x", 8189), strings.Repeat("x", 8190), strings.Repeat("abc", 100_000), random, obj{"b": random},
	} {
		echo(v)
	}
	for size := range 1100 { // frames that end at every place of a read
		echo(random[:size])
	}
}

// TestPythonClientEcho: every kind of value comes from a Python client, is understood, and goes back.
func TestPythonClientEcho(t *testing.T) {
	t.Parallel()
	reg, got := packet.NewRegistry(), make(chan any, 1)
	packet.MustRegister(reg, "test:echo", func(c *packet.Conn, v any) error {
		got <- v
		return c.Send("test:echo", v)
	})
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	c := pyConnect(t, s.addr, obj{"packets": pypeer.Packets("test:echo"), "d1": true})
	c.Expect("handshake")
	for _, test := range values {
		note := fromJSON(t, test.note)
		c.Do(obj{"op": "send", "packet": "test:echo", "body": note})
		v := wait(t, got)
		if when, ok := v.(time.Time); ok {
			v = when.UTC()
		}
		if diff := cmp.Diff(encoded(t, test.v), encoded(t, v)); diff != "" {
			t.Errorf("%s: understood %#v, want %#v", test.note, v, test.v)
		}
		if event := c.ExpectWith("recv", obj{"packet": "test:echo"}); !cmp.Equal(event["body"], note) {
			t.Errorf("%s came back as %v", test.note, event["body"])
		}
	}
	for size := 990; size < 1024; size++ { // frames that end at every place near the end of a read
		body := obj{"$bin": strings.Repeat("00", size)}
		c.Do(obj{"op": "send", "packet": "test:echo", "body": body})
		wait(t, got)
		c.ExpectWith("recv", obj{"body": body})
	}
	for flags, length := range []int{8189, 8190} { // 8192 and 8193 bytes with their heads
		text := strings.Repeat("y", length)
		c.Do(obj{"op": "send", "packet": "test:echo", "body": text})
		wait(t, got)
		c.ExpectWith("recv", obj{"flags": float64(flags), "body": text})
	}
}

// TestPythonCompression: each side inflates what comes, whatever its own configuration is.
func TestPythonCompression(t *testing.T) {
	t.Parallel()
	_, addr := pyServer(t, obj{"packets": pypeer.Packets("test:echo"), "echo": true, "compression": obj{"threshold": 10, "level": 9}})
	reg := packet.NewRegistry()
	got := make(chan packet.Flags, 1)
	if _, err := reg.Handle("test:echo", func(_ *packet.Conn, m *packet.Message) error { got <- m.Flags; return nil }); err != nil {
		t.Fatal(err)
	}
	c := packet.NewClient(reg, packet.Config{NoCompression: true})
	connect(t, c, addr)
	for flags, text := range []string{"below it", "that is above the threshold"} {
		if err := c.Send("test:echo", text); err != nil {
			t.Fatal(err)
		}
		if f := wait(t, got); f != packet.Flags(flags) {
			t.Errorf("%q has the flags %d", text, f)
		}
	}
}

// TestPythonRemap: either client takes over the IDs of the other's server.
func TestPythonRemap(t *testing.T) {
	t.Parallel()
	t.Run("Go client", func(t *testing.T) {
		t.Parallel()
		packets := []obj{{"name": "test:a", "id": 66}, {"name": "test:b", "id": 64}, {"name": "test:c", "id": 65}, {"name": "test:far", "id": 4294967295}}
		s, addr := pyServer(t, obj{"packets": packets, "echo": true})
		reg, got := collector("test:a", "test:b", "test:c", "test:far") // permuted, which 0.2.0 gets wrong (D5)
		c := packet.NewClient(reg, packet.Config{})
		connect(t, c, addr)
		for _, p := range packets {
			if err := c.Send(p["name"].(string), p["name"]); err != nil {
				t.Fatal(err)
			}
			s.ExpectWith("recv", obj{"packet": p["name"], "pid": float64(p["id"].(int)), "body": p["name"]})
			wait(t, got)
		}
	})
	t.Run("Python client", func(t *testing.T) {
		t.Parallel()
		reg := packet.NewRegistry()
		for i, name := range []string{"test:a", "test:b", "test:c"} {
			packet.MustRegister(reg, name, func(c *packet.Conn, b packet.Body) error { return c.Send(name, b) }, packet.WithID(packet.ID(1001+i)))
		}
		s := serve(t, packet.NewServer(reg, packet.Config{}))
		c := pyConnect(t, s.addr, obj{"packets": pypeer.Packets("test:c", "test:b", "test:a")})
		c.Expect("handshake")
		for i, name := range []string{"test:a", "test:b", "test:c"} {
			c.Do(obj{"op": "send", "packet": name, "body": i})
			c.ExpectWith("recv", obj{"packet": name, "pid": float64(1001 + i), "body": float64(i)})
		}
	})
	t.Run("names differ", func(t *testing.T) {
		t.Parallel()
		reg, _ := collector("test:a", "test:server")
		s := serve(t, packet.NewServer(reg, packet.Config{}))
		c := pyConnect(t, s.addr, obj{"packets": pypeer.Packets("test:a")})
		c.ExpectWith("closed", obj{"reason": "socketclose"}) // its own packetregmismatch, which it does not remember (D8)
		pyReconnect(t, c, s.addr, obj{"packets": pypeer.Packets("test:a"), "missing": "ignore"})
		c.Expect("handshake")

		py, addr := pyServer(t, obj{"packets": pypeer.Packets("test:a")})
		reg, _ = collector("test:a", "test:client")
		err := packet.NewClient(reg, packet.Config{}).Connect(t.Context(), addr)
		var why *packet.CloseError
		if !errors.As(err, &why) || why.Reason != packet.ReasonRegistryMismatch || why.Remote {
			t.Errorf("error %v", err)
		}
		py.ExpectWith("closed", obj{"reason": packet.ReasonRegistryMismatch})
		connect(t, packet.NewClient(reg, packet.Config{AllowMissing: true}), addr)
		py.Expect("handshake")
	})
}

// TestPythonPush: a server sends unasked, by name and by ID.
func TestPythonPush(t *testing.T) {
	t.Parallel()
	py, addr := pyServer(t, obj{"packets": pypeer.Packets("test:news")})
	reg, got := collector("test:news")
	connect(t, packet.NewClient(reg, packet.Config{}), addr)
	py.Expect("handshake")
	for _, to := range []any{"test:news", 64} {
		py.Do(obj{"op": "send", "cid": 1, "packet": to, "body": "extra", "times": 20})
		for range 20 {
			if b := wait(t, got); !bytes.Equal(b, encoded(t, "extra")) {
				t.Errorf("got %x", b)
			}
		}
	}

	reg, _ = collector("test:news")
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	c := pyConnect(t, s.addr, obj{"packets": pypeer.Packets("test:news")})
	conn := active(t, s.Server)
	for i := range 20 {
		if err := errors.Join(conn.Send("test:news", i), conn.SendID(64, []int{i})); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		c.ExpectWith("recv", obj{"body": float64(i)})
		c.ExpectWith("recv", obj{"body": []any{float64(i)}})
	}
}

// TestPythonCloses: reasons arrive, in both directions and of either side.
func TestPythonCloses(t *testing.T) {
	t.Parallel()
	t.Run("Go client", func(t *testing.T) {
		t.Parallel()
		py, addr := pyServer(t, nil)
		cid := 0
		open := func() *packet.Conn {
			t.Helper()
			c := packet.NewClient(packet.NewRegistry(), packet.Config{})
			connect(t, c, addr)
			cid++
			py.ExpectWith("handshake", obj{"cid": float64(cid)})
			return c.Conn
		}
		for _, reason := range []any{"kicked", nil} {
			c := open()
			py.Do(obj{"op": "close", "cid": cid, "reason": reason})
			if why := closeReason(t, c); why.Reason != reason || !why.Remote {
				t.Errorf("the client was told %v", why)
			}
			c = open()
			c.Close(reason)
			py.ExpectWith("closed", obj{"cid": float64(cid), "reason": reason})
			if why := closeReason(t, c); why.Reason != reason || why.Remote {
				t.Errorf("the client says %v", why)
			}
		}
		c := open()
		py.Do(obj{"op": "drop", "cid": cid})
		if why := closeReason(t, c); why.Reason != packet.ReasonSocketClose || why.Remote {
			t.Errorf("the client was told %v", why)
		}
		all := []*packet.Conn{open(), open(), open()}
		py.Do(obj{"op": "shutdown", "reason": "maintenance"})
		for _, c := range all {
			if why := closeReason(t, c); why.Reason != "maintenance" || !why.Remote {
				t.Errorf("the client was told %v", why)
			}
		}
		if code := py.Wait(); code != 0 {
			t.Errorf("the server ended with %d", code)
		}
	})
	t.Run("Go server", func(t *testing.T) {
		t.Parallel()
		ended := make(chan *packet.CloseError, 1)
		s := serve(t, packet.NewServer(packet.NewRegistry(), packet.Config{
			Hooks: packet.Hooks{Close: func(_ *packet.Conn, err *packet.CloseError) { ended <- err }},
		}))
		c, cid := pypeer.StartPacketClient(t), int64(0)
		open := func() *packet.Conn {
			t.Helper()
			pyReconnect(t, c, s.addr, nil)
			c.Expect("handshake")
			cid++
			return s.Conn(cid)
		}
		for _, reason := range []any{"kicked", nil} {
			open().Close(reason)
			c.ExpectWith("closed", obj{"reason": reason})
			if why := wait(t, ended); why.Reason != reason || why.Remote {
				t.Errorf("the server says %v", why)
			}
			open()
			c.Do(obj{"op": "close", "reason": reason})
			if why := wait(t, ended); why.Reason != reason || !why.Remote {
				t.Errorf("the server was told %v", why)
			}
			c.ExpectWith("closed", obj{"reason": "socketclose"}) // which is what 0.2.0 remembers (D8)
		}
		open()
		c.Do(obj{"op": "drop"})
		c.Expect("closed")
		if why := wait(t, ended); why.Reason != nil || why.Remote {
			t.Errorf("the server was told %v", why)
		}
		open()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := s.ShutdownReason(ctx, "maintenance"); err != nil {
			t.Error(err)
		}
		c.ExpectWith("closed", obj{"reason": "maintenance"})
	})
}

// TestPythonUnknownPackets: they are dropped, and the connection goes on.
func TestPythonUnknownPackets(t *testing.T) {
	t.Parallel()
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:echo", func(c *packet.Conn, b packet.Body) error { return c.Send("test:echo", b) })
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	c := pyConnect(t, s.addr, obj{"packets": pypeer.Packets("test:echo")})
	c.Expect("handshake")
	for _, id := range []int{999, 5, 4294967295} {
		c.Do(obj{"op": "send", "packet": id, "body": "nobody knows"})
	}
	c.Do(obj{"op": "send", "packet": "test:echo", "body": "alive"})
	c.ExpectWith("recv", obj{"body": "alive"})
	if n := s.Stats().Unknown.Load(); n != 3 {
		t.Errorf("%d unknown packets, want 3", n)
	}

	py, addr := pyServer(t, obj{"packets": pypeer.Packets("test:echo"), "echo": true})
	mine, got := collector("test:echo")
	client := packet.NewClient(mine, packet.Config{})
	connect(t, client, addr)
	py.Expect("handshake")
	if err := errors.Join(client.WritePacket(998, nil), client.Send("test:echo", "alive")); err != nil {
		t.Fatal(err)
	}
	py.ExpectWith("unknown", obj{"pid": 998.0})
	wait(t, got)
	py.Do(obj{"op": "send", "cid": 1, "packet": 999, "body": "nobody knows"})
	py.Do(obj{"op": "send", "cid": 1, "packet": "test:echo", "body": "alive"})
	wait(t, got)
	if n := client.Stats().Unknown.Load(); n != 1 {
		t.Errorf("%d unknown packets, want 1", n)
	}
}

// TestPythonBadFrames: what cannot be decoded ends that connection, with a reason, and no other.
func TestPythonBadFrames(t *testing.T) {
	t.Parallel()
	s := serve(t, packet.NewServer(packet.NewRegistry(), packet.Config{Logger: quiet}))
	c := pypeer.StartPacketClient(t)
	for frame, reason := range map[string]string{
		"00000007000000400000c1":         packet.ReasonInvalidFrame,
		"000000060000000100000000000600": packet.ReasonInvalidFrame,
		"00000007000000400002c0":         packet.ReasonEncryption,
		"00000009000000400001c0c0c0":     packet.ReasonInvalidFrame,
		"ffffffff000000400000":           packet.ReasonFrameTooLarge,
	} {
		pyReconnect(t, c, s.addr, nil)
		c.Expect("handshake")
		c.Do(obj{"op": "raw", "hex": frame})
		c.ExpectWith("closed", obj{"reason": reason})
	}
}

// TestPythonConnType: types of the program's own, and one that the other side does not know.
func TestPythonConnType(t *testing.T) {
	t.Parallel()
	active := packet.ConnType{Init: func(c *packet.Conn) error { c.SetState(packet.StateActive); return nil }}
	t.Run("Go server", func(t *testing.T) {
		t.Parallel()
		reg := packet.NewRegistry()
		packet.MustRegister(reg, "test:echo", func(c *packet.Conn, b packet.Body) error { return c.Send("test:echo", b) }, packet.OnConnType("own"))
		server := packet.NewServer(reg, packet.Config{})
		if err := errors.Join(server.AddConnType("own", active), server.AddConnType("idle", packet.ConnType{})); err != nil {
			t.Fatal(err)
		}
		s := serve(t, server)
		options := obj{"packets": pypeer.Packets("test:echo"), "conntype": "own", "conntypes": obj{"own": 64}}
		c := pyConnect(t, s.addr, options)
		c.Expect("conntype")
		c.Do(obj{"op": "send", "packet": "test:echo", "body": "typed"})
		c.ExpectWith("recv", obj{"body": "typed"})

		options["conntype"] = "nonsense"
		pyReconnect(t, c, s.addr, options)
		c.ExpectWith("closed", obj{"reason": packet.ReasonUnknownConnType})
	})
	t.Run("Go client", func(t *testing.T) {
		t.Parallel()
		packets := []obj{{"name": "test:echo", "smart": true}}
		py, addr := pyServer(t, obj{"packets": packets, "echo": true, "conntypes": obj{"own": 64}})
		reg, got := collector("test:echo")
		c := packet.NewClient(reg, packet.Config{ConnType: "own"})
		if err := c.AddConnType("own", active); err != nil {
			t.Fatal(err)
		}
		connect(t, c, addr)
		py.ExpectWith("conntype", obj{"conntype": "own", "known": true})
		if err := c.Send("test:echo", 1); err != nil {
			t.Fatal(err)
		}
		wait(t, got)
	})
}

// TestPythonVersions: a client does not stay with a server of another protocol.
func TestPythonVersions(t *testing.T) {
	t.Parallel()
	py, addr := pyServer(t, obj{"protoversion": 3})
	err := packet.NewClient(packet.NewRegistry(), packet.Config{}).Connect(t.Context(), addr)
	var why *packet.CloseError
	if !errors.As(err, &why) || why.Reason != packet.ReasonProtoVersion {
		t.Errorf("error %v", err)
	}
	py.ExpectWith("closed", obj{"reason": packet.ReasonProtoVersion})

	_, addr = pyServer(t, obj{"version": "7.0"})
	connect(t, packet.NewClient(packet.NewRegistry(), packet.Config{}), addr)
}

// TestPythonManyClients: several Python clients talk to one server at once.
func TestPythonManyClients(t *testing.T) {
	t.Parallel()
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "test:all", func(c *packet.Conn, b packet.Body) error {
		var errs []error
		for _, other := range c.Server().Conns() {
			if other.State() == packet.StateActive {
				errs = append(errs, other.Send("test:all", b))
			}
		}
		return errors.Join(errs...)
	})
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	var clients []*pypeer.PacketPeer
	for range 3 {
		c := pyConnect(t, s.addr, obj{"packets": pypeer.Packets("test:all")})
		c.Expect("handshake")
		clients = append(clients, c)
	}
	for active := 0; active < len(clients); { // a client has its Handshake before the server has its answer
		active = 0
		for _, c := range s.Conns() {
			if c.State() == packet.StateActive {
				active++
			}
		}
		time.Sleep(time.Millisecond) // sleep: polls
	}
	for i, c := range clients {
		c.Do(obj{"op": "send", "packet": "test:all", "body": fmt.Sprint("from ", i)})
	}
	for _, c := range clients {
		for i := range clients {
			c.ExpectWith("recv", obj{"body": fmt.Sprint("from ", i)})
		}
	}
}
