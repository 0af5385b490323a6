package host_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"parlor"
	"parlor/host"
	"parlor/internal/certtest"
	"parlor/link"
	"parlor/link/packetlink"
	"parlor/packet/ping"

	packets "parlor/packet"
)

// packetUser is a user on the packet wire, without a client library: what it sends and gets are envelopes.
type packetUser struct {
	t    *testing.T
	conn link.StreamConn
	w    *link.Welcome
	id   uint64 // of the last request
	seq  uint64 // of the last answer or push
}

// dialPackets logs in on the packet wire.
func dialPackets(t *testing.T, d packetlink.Dialer, address, name string, o link.Offer) *packetUser {
	t.Helper()
	conn, err := d.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	u := &packetUser{t: t, conn: conn.(link.StreamConn), seq: o.Seq}
	t.Cleanup(func() { u.conn.Close() })
	login := parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": name, "password": "pw"})}
	r, w, err := u.conn.Login(t.Context(), login, o)
	if err != nil || w == nil {
		t.Fatalf("logged in: %s, welcome %v, error %v", r.DebugText(), w, err)
	}
	u.w, u.id = w, w.ID
	return u
}

// ask sends a request, and waits for its answer.
func (u *packetUser) ask(message string, payload any) link.Envelope {
	u.t.Helper()
	u.id++
	e := link.Envelope{Kind: link.KindRequest, Ack: u.seq, ID: u.id, Message: message, Payload: parlor.Encode(payload)}
	if err := u.conn.Write(u.t.Context(), &e); err != nil {
		u.t.Fatal(err)
	}
	return u.until(func(e *link.Envelope) bool { return e.Kind == link.KindAnswer && e.ID == u.id })
}

// until reads up to an envelope.
func (u *packetUser) until(is func(e *link.Envelope) bool) link.Envelope {
	u.t.Helper()
	for {
		es, err := u.conn.Read(u.t.Context())
		if err != nil {
			u.t.Fatal(err)
		}
		for i := range es {
			if es[i].Kind != link.KindNote {
				if es[i].Seq != u.seq+1 {
					u.t.Fatalf("number %d came behind %d", es[i].Seq, u.seq)
				}
				u.seq++
			}
			if is(&es[i]) {
				return es[i]
			}
		}
	}
}

// TestPacketWire: the program serves games on the packet wire, on every kind of listener, beside pgnet's.
func TestPacketWire(t *testing.T) {
	program, err := parlorProgram()
	if err != nil {
		t.Fatal(err)
	}
	cert, key := certtest.Make(t)
	trusting := packetlink.Dialer{TLS: &tls.Config{RootCAs: certtest.Pool(t, cert), ServerName: "localhost"}}
	for _, c := range []struct {
		name   string
		args   []string
		dialer packetlink.Dialer
		scheme string
	}{
		{"TCP", []string{"--packet-listen", "localhost:0"}, packetlink.Dialer{}, "tcp://"},
		{"TLS", []string{"--packet-listen", "localhost:0", "--tls-cert", cert, "--tls-key", key}, trusting, "tls://"},
		{"TCP as it is printed", []string{"--packet-listen", "tcp://localhost:0"}, packetlink.Dialer{}, "tcp://"},
		{"TLS as it is printed", []string{"--packet-listen", "tls://localhost:0", "--tls-cert", cert, "--tls-key", key}, trusting, "tls://"},
		{"unix socket", []string{"--packet-listen", "unix:" + filepath.Join(t.TempDir(), "s")}, packetlink.Dialer{}, "unix:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := run(t, program, append([]string{"serve", "--listen", "localhost:0", "--game", "chat"}, c.args...)...)
			address := p.stdout.field("packet address")
			if !strings.HasPrefix(address, c.scheme) {
				t.Fatalf("the packet wire is at %q", address)
			}
			alice := dialPackets(t, c.dialer, address, "alice", link.Offer{})
			if e := alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "talk"}); e.Status != parlor.StatusOK || e.Game != "talk" {
				t.Fatalf("she was answered %q in %q", e.Message, e.Game)
			}
			// Her link is cut: she takes up her session, and is in her game still.
			alice.conn.Abort()
			alice = dialPackets(t, c.dialer, address, "alice", link.Offer{Token: alice.w.Token, Seq: alice.seq})
			if !alice.w.Resumed || alice.w.ID != 1 || alice.w.Lost != 0 {
				t.Fatalf("she was welcomed with %+v", alice.w)
			}
			if e := alice.ask(parlor.RequestLeaveGame, parlor.Map{}); e.Status != parlor.StatusOK || e.Game != "" || e.ID != 2 {
				t.Errorf("she was answered %q in %q", e.Message, e.Game)
			}
			// Bob comes to the same lobby, and goes: his name is free.
			bob := dialPackets(t, c.dialer, address, "bobby", link.Offer{})
			if e := bob.ask(parlor.RequestGameDir, parlor.Map{}); e.Status != parlor.StatusOK || !strings.Contains(string(e.Payload.JSON()), "talk") {
				t.Errorf("he was answered %q %s", e.Message, e.Payload.JSON())
			}
			if err := bob.conn.Close(); err != nil {
				t.Error(err)
			}
			if bob = dialPackets(t, c.dialer, address, "bobby", link.Offer{}); bob.w.Resumed {
				t.Error("a session that was ended is resumed")
			}
			p.cmd.Process.Signal(syscall.SIGTERM)
			var err error
			for err == nil { // he is told of the end, before it comes
				_, err = bob.conn.Read(t.Context())
			}
			var closed *link.CloseError
			if !errors.As(err, &closed) || closed.Code != link.CloseGoingAway {
				t.Errorf("at the end he got %v", err)
			}
			bob.conn.Close()
			alice.conn.Close()
			p.ends(0)
			if n := p.stderr.String(); n != "" && strings.Contains(n, "ERROR") {
				t.Errorf("it says %s", n)
			}
		})
	}
}

// TestPacketWirePing: a ping is answered without a login.
func TestPacketWirePing(t *testing.T) {
	own := map[string]any{"motd": "hi", host.PingKey: "not the program's"}
	s := start(t, host.Config{PacketListen: "localhost:0", Packets: packetlink.Config{Ping: own}})
	pong, err := ping.Do(t.Context(), s.PacketAddrs()[0].String(), nil, packets.Config{})
	if err != nil || pong.Data["peng3dnet"] == nil {
		t.Errorf("got %v, error %v", pong, err)
	}
	lobby, _ := pong.Data[host.PingKey].(map[string]any)
	wires, _ := lobby["wires"].([]any)
	if len(lobby) != 3 || lobby["version"] != int64(1) || fmt.Sprint(wires) != "[native packet pgnet]" || lobby["public_key"] != s.Lobby().PublicKey() {
		t.Errorf("strangers are told %#v", lobby)
	}
	if pong.Data["motd"] != "hi" || own[host.PingKey] != "not the program's" {
		t.Errorf("got %v of the program's own %v", pong.Data, own)
	}
	if n := s.Packets().Packets().Accepted.Load(); n != 1 {
		t.Errorf("%d connections were counted", n)
	}
}

// TestDesertedSocket: a unix socket that was left behind does not keep a server from starting, a file of another kind does.
func TestDesertedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	start(t, host.Config{PacketListen: "unix:" + path}).stop()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Start(t.Context(), quiet(host.Config{PacketListen: "unix:" + path})); err == nil {
		t.Error("it listens at a file")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file has %q, %v", b, err)
	}
}

// TestPacketListenErrors: what cannot be served is said before anything is opened, with what to try.
func TestPacketListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := filepath.Join(t.TempDir(), "s")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, c := range []struct {
		cfg   host.Config
		parts []string
	}{
		{host.Config{PacketListen: "localhost"}, []string{"packet wire", "missing port", "localhost:38930"}},
		{host.Config{PacketListen: "/tmp/x"}, []string{"write unix:/tmp/x"}},
		{host.Config{PacketListen: "./x"}, []string{"write unix:./x"}},
		{host.Config{PacketListen: "ws://localhost:1"}, []string{"try localhost:38930, or unix:/PATH"}},
		{host.Config{PacketListen: "tls://localhost:1"}, []string{"--tls-cert", "or write localhost:1"}},
		{host.Config{PacketListen: "tcp://localhost:1", TLSCert: "a", TLSKey: "b"}, []string{"has TLS: write localhost:1"}},
		{host.Config{PacketListen: ":0"}, []string{":0 can be reached from other machines", "--admin-password"}},
		{host.Config{PacketInsecure: true}, []string{"--packet-insecure", "give --packet-listen"}},
		{host.Config{PacketListen: "localhost:0", PacketInsecure: true, TLSCert: "a", TLSKey: "b"}, []string{"--packet-insecure", "without TLS"}},
		{host.Config{PacketListen: taken.Addr().String()}, []string{"already running", "--packet-listen 127.0.0.1:"}},
		{host.Config{PacketListen: "unix:" + path}, []string{"already running", "delete the file"}},
		{host.Config{PacketListen: "unix:" + filepath.Join(path, "none", "s")}, []string{"--packet-listen unix:/PATH"}},
	} {
		t.Run(fmt.Sprint(c.cfg.PacketListen), func(t *testing.T) {
			s, err := host.Start(t.Context(), quiet(c.cfg))
			if err == nil {
				t.Fatalf("it listens at %v", s.PacketAddrs())
			}
			wantError(t, err, c.parts...)
		})
	}
}
