package packetlink_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/packetlink"
	"parlor/msgpack"
	"parlor/packet"
	"parlor/packet/ping"
)

// dialServer starts a server, and connects a socket to it.
func dialServer(t *testing.T, cfg packetlink.Config, d memnet.Dialer) *memnet.Conn {
	t.Helper()
	n, _ := listenServer(t, cfg, "127.0.0.1:38930")
	d.Network = n
	nc, err := d.Dial(t.Context(), "127.0.0.1:38930")
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

func listenServer(t *testing.T, cfg packetlink.Config, address string) (*memnet.Network, *packetlink.Server) {
	t.Helper()
	n := memnet.New(1)
	ln, err := n.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	return n, start(t, ln, cfg)
}

// raw is a client that writes bytes.
type raw struct {
	t *testing.T
	net.Conn
}

// frame is the frame of an encoded body.
func frame(id packet.ID, body []byte) []byte { return packet.AppendFrame(nil, id, 0, body) }

func (r raw) send(b []byte) {
	r.t.Helper()
	if _, err := r.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

func (r raw) sendValue(id packet.ID, v any) {
	r.t.Helper()
	body, err := msgpack.Append(nil, v)
	if err != nil {
		r.t.Fatal(err)
	}
	r.send(frame(id, body))
}

// next is the next frame; ok is false at the end.
func (r raw) next() (id packet.ID, body []byte, ok bool) {
	r.t.Helper()
	head := make([]byte, packet.FrameHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, false
	}
	body = make([]byte, binary.BigEndian.Uint32(head)-6)
	if _, err := io.ReadFull(r, body); err != nil {
		r.t.Fatal(err)
	}
	return packet.ID(binary.BigEndian.Uint32(head[4:])), body, true
}

func (r raw) envelope() link.Envelope {
	r.t.Helper()
	id, body, ok := r.next()
	e, _, err := link.DecodeEnvelope(body, msgpack.Limits{})
	if !ok || err != nil {
		r.t.Fatalf("packet %d, %q instead of an envelope, error %v", id, body, err)
	}
	return e
}

// reason is why the server closes; what comes before is left out. It is empty if the server does not say.
func (r raw) reason() any {
	r.t.Helper()
	for {
		id, body, ok := r.next()
		if !ok {
			return ""
		}
		if id == packet.IDCloseConnection {
			var v map[string]any
			if err := msgpack.Unmarshal(body, &v, msgpack.Limits{}); err != nil {
				r.t.Fatal(err)
			}
			r.Close()
			return v["reason"]
		}
	}
}

// announce is the beginning of a connection.
func (r raw) announce(kind string) {
	r.t.Helper()
	r.next() // Hello
	r.sendValue(packet.IDSetType, map[string]any{"conntype": kind})
}

func (r raw) request(id uint64, message string, payload any) {
	r.t.Helper()
	r.sendValue(packetlink.IDRequest, []any{0, 0, id, message, payload})
}

func (r raw) login() link.Envelope {
	r.t.Helper()
	r.announce("parlor")
	r.request(0, parlor.MessageHandshake, map[string]any{"username": "alice", "password": "secret"})
	return r.envelope()
}

// virtual runs a test in virtual time.
func virtual(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func newScripted() scripted { return scripted{closed: make(chan bool, 8)} }

// TestClear: without TLS, logins come from this machine.
func TestClear(t *testing.T) {
	for _, c := range []struct {
		address string
		allow   bool
		ok      bool
	}{
		{"127.0.0.1:38930", false, true},
		{"127.8.9.1:38930", false, true},
		{"192.0.2.7:38930", false, false},
		{"far:38930", false, false},
		{"far:38930", true, true},
	} {
		virtual(t, fmt.Sprint(c.address, c.allow), func(t *testing.T) {
			n, srv := listenServer(t, packetlink.Config{Lobby: newScripted(), AllowClear: c.allow}, c.address)
			from := "127.0.0.1"
			if !c.ok || c.allow {
				from = "198.51.100.1"
			}
			nc, err := memnet.Dialer{Network: n, From: from}.Dial(t.Context(), c.address)
			if err != nil {
				t.Fatal(err)
			}
			r := raw{t, nc}
			e := r.login()
			if ok := e.Status == parlor.StatusOK; ok != c.ok || !ok && (!e.Disconnecting || !strings.Contains(e.Message, "connect with TLS")) {
				t.Errorf("the login was answered %v %q", e.Status, e.Message)
			}
			if n := srv.Stats().Clear.Load(); (n == 1) == c.ok {
				t.Errorf("%d refusals were counted", n)
			}
			if !c.ok {
				if reason := r.reason(); reason != "parlor:1000" {
					t.Errorf("closed with %v", reason)
				}
			}
			r.Close()

			// A client does not even send the password.
			conn, err := dialing(packetlink.Dialer{DialContext: n.DialContext, AllowClear: c.allow}, c.address)(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			login := parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"password": "secret"})}
			if _, w, err := conn.Login(t.Context(), login, link.Offer{}); (err == nil) != c.ok || !c.ok && !errors.Is(err, packetlink.ErrClear) {
				t.Errorf("Login: welcome %v, error %v", w, err)
			}
		})
	}
}

// TestBreaches: what is no envelope, or comes out of turn, ends the link; the session waits for another one.
func TestBreaches(t *testing.T) {
	request := func(elements ...any) []byte {
		b, err := msgpack.Append(nil, elements)
		if err != nil {
			t.Fatal(err)
		}
		return frame(packetlink.IDRequest, b)
	}
	note := []byte{0x92, 3, 0}
	for _, c := range []struct {
		name   string
		frame  []byte
		reason string
	}{
		{"nil", frame(64, []byte{0xc0}), "parlor:1002 not an envelope: want an array, got nil"},
		{"a map", frame(64, []byte{0x80}), "parlor:1002 not an envelope: want an array, got a map"},
		{"an answer", request(1, 0, 1, 1, 0, false, nil, "x", nil), "parlor:1002 not an envelope: answer in the wrong packet"},
		{"a request that is cut off", request(0, 0, 1), "parlor:1002 not an envelope: request: message is missing"},
		{"a second login", request(0, 0, 0, "handshake", parlor.Map{}), "parlor:1002 envelope out of turn"},
		{"a number that is used", request(0, 0, 1, "move", parlor.Map{}), "parlor:1002 envelope out of turn"},
		{"a gap", request(0, 0, 3, "move", parlor.Map{}), "parlor:1002 envelope out of turn"},
		{"a client's answer", frame(packetlink.IDAnswer, note), "parlor:1002 envelope out of turn"},
		{"a client's push", frame(packetlink.IDPush, note), "parlor:1002 envelope out of turn"},
		{"two envelopes", frame(64, append(note, note...)), "invalidframe"},
		{"no MessagePack", frame(64, []byte{0xc1}), "invalidframe"},
		{"encrypted", packet.AppendFrame(nil, 64, packet.FlagEncryptedAES, note), "encryptionunsupported"},
		{"too large", frame(64, make([]byte, 1<<20+1)), "frametoolarge"},
		{"too deep", frame(64, append([]byte{0x95, 0, 0, 2, 0xa0}, append([]byte(strings.Repeat("\x91", 129)), 0)...)), "bodytoolarge"},
	} {
		virtual(t, c.name, func(t *testing.T) {
			lobby := newScripted()
			r := raw{t, dialServer(t, packetlink.Config{Lobby: lobby}, memnet.Dialer{})}
			r.login()
			r.request(1, "move", map[string]any{})
			r.envelope()
			r.envelope()
			r.send(c.frame)
			if reason := r.reason(); reason != c.reason {
				t.Errorf("closed with %q, want %q", reason, c.reason)
			}
			if <-lobby.closed {
				t.Error("the session has ended")
			}
		})
	}
}

// TestBeforeTheLogin: what comes in its place ends the connection, and so does nothing.
func TestBeforeTheLogin(t *testing.T) {
	for _, c := range []struct {
		name   string
		send   func(r raw)
		reason string
		after  time.Duration // at the most
	}{
		{"a note", func(r raw) { r.announce("parlor"); r.send(frame(64, []byte{0x92, 3, 0})) }, "parlor:1002 envelope out of turn", 0},
		{"a request", func(r raw) { r.announce("parlor"); r.request(1, "move", nil) }, "parlor:1002 envelope out of turn", 0},
		{"a timestamp in the payload", func(r raw) {
			r.announce("parlor")
			r.send(frame(64, []byte{0x95, 0, 0, 0, 0xa0, 0x81, 0xa1, 'x', 0xd6, 0xff, 0, 0, 0, 0}))
		}, "parlor:1000", 0},
		{"a login that is too large", func(r raw) { r.announce("parlor"); r.request(0, "handshake", strings.Repeat("x", 16<<10)) }, "frametoolarge", 0},
		{"a type that there is not", func(r raw) { r.announce("chess") }, "unknownconntype", 0},
		{"nothing", func(r raw) { r.announce("parlor") }, "parlor:1000 limit of time for a login", 6 * time.Second},
		{"not even a type", func(r raw) { r.next() }, "handshaketimeout", 6 * time.Second},
		{"a handshake that is not ended", func(r raw) { r.announce("classic") }, "handshaketimeout", 6 * time.Second},
		{"nothing behind the handshake", func(r raw) {
			r.announce("classic")
			r.next()
			r.sendValue(packet.IDHandshakeAccept, map[string]any{"success": true})
		}, "parlor:1000 limit of time for a login", 6 * time.Second},
		{"a login before the handshake has ended", func(r raw) {
			r.announce("classic")
			r.request(0, "handshake", nil)
		}, "parlor:1002 envelope out of turn", 0},
	} {
		virtual(t, c.name, func(t *testing.T) {
			r := raw{t, dialServer(t, packetlink.Config{Lobby: newScripted()}, memnet.Dialer{})}
			begun := time.Now()
			c.send(r)
			reason := r.reason()
			if took := time.Since(begun); reason != c.reason || took > c.after {
				t.Errorf("closed with %q after %v, want %q after %v", reason, took, c.reason, c.after)
			}
		})
	}
}

// TestCut: a connection that is cut ends the link, and not the session, wherever it is cut.
func TestCut(t *testing.T) {
	for _, action := range []memnet.Action{memnet.Reset, memnet.End} {
		for at := int64(0); at < 40; at++ {
			virtual(t, fmt.Sprint(action, at), func(t *testing.T) {
				lobby := newScripted()
				r := raw{t, dialServer(t, packetlink.Config{Lobby: lobby}, memnet.Dialer{})}
				r.login()
				nc := r.Conn.(*memnet.Conn)
				nc.Out().Add(memnet.Fault{At: nc.Out().Sent() + at, Do: action})
				for id := uint64(1); id < 4; id++ {
					body, _ := msgpack.Append(nil, []any{0, 0, id, "move", parlor.Map{}})
					if _, err := r.Write(frame(64, body)); err != nil {
						break
					}
				}
				if <-lobby.closed {
					t.Error("the session has ended")
				}
				r.Close()
			})
		}
	}
}

// TestAlive: a link on which nobody says anything stays, as both sides send notes; where one side does not, it ends.
func TestAlive(t *testing.T) {
	virtual(t, "both", func(t *testing.T) {
		lobby := newScripted()
		n, _ := listenServer(t, packetlink.Config{Lobby: lobby}, "127.0.0.1:38930")
		conn, err := dialing(packetlink.Dialer{DialContext: memnet.Dialer{Network: n, Up: memnet.Path{Record: true}, Down: memnet.Path{Record: true}}.DialContext}, "127.0.0.1")(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		login := parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"password": "secret"})}
		if _, w, err := conn.Login(t.Context(), login, link.Offer{}); err != nil || w == nil {
			t.Fatal(w, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		for {
			es, err := conn.Read(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			if err != nil || len(es) != 1 || es[0].Kind != link.KindNote {
				t.Fatalf("read %v, error %v", es, err)
			}
		}
		socket := n.Conns()[0]
		for name, writes := range map[string][]memnet.Write{"client": socket.Out().Writes(), "server": socket.In().Writes()} {
			for i := 1; i < len(writes); i++ {
				if pause := writes[i].Time.Sub(writes[i-1].Time); pause > 20*time.Second {
					t.Errorf("the %s paused for %v", name, pause)
				}
			}
			if len(writes) > 130 {
				t.Errorf("the %s wrote %d times in half an hour", name, len(writes))
			}
		}
	})
	virtual(t, "silent client", func(t *testing.T) {
		lobby := newScripted()
		r := raw{t, dialServer(t, packetlink.Config{Lobby: lobby}, memnet.Dialer{})}
		begun := time.Now()
		r.login()
		reason := r.reason()
		if took := time.Since(begun); reason != "idletimeout" || took < 45*time.Second || took > time.Minute {
			t.Errorf("closed with %v after %v", reason, took)
		}
		if <-lobby.closed {
			t.Error("the session has ended")
		}
	})
	virtual(t, "client without requests", func(t *testing.T) { // but with notes: it may only watch
		lobby := newScripted()
		r := raw{t, dialServer(t, packetlink.Config{Lobby: lobby}, memnet.Dialer{})}
		r.login()
		for range 24 * 60 * 3 {
			time.Sleep(20 * time.Second) // sleep: virtual
			if _, err := r.Write(frame(64, []byte{0x92, 3, 0})); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-lobby.closed:
			t.Error("the link has ended")
		default:
		}
	})
	virtual(t, "silent server", func(t *testing.T) {
		n := memnet.New(1)
		ln, err := n.Listen("127.0.0.1:38930")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() { // ends with the connection
			nc, err := ln.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			steps := exchanges(t)[0].Steps
			nc.Write(steps[0].bytes(t))
			nc.Write(steps[3].bytes(t))
			io.Copy(io.Discard, nc)
		}()
		conn, err := dialing(packetlink.Dialer{DialContext: n.DialContext}, "127.0.0.1")(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, w, err := conn.Login(t.Context(), parlor.Packet{Message: parlor.MessageHandshake}, link.Offer{}); err != nil || w == nil {
			t.Fatal(w, err)
		}
		begun := time.Now()
		_, err = conn.Read(t.Context())
		if took := time.Since(begun); !errors.Is(err, net.ErrClosed) || took < 45*time.Second || took > 55*time.Second {
			t.Errorf("after %v Read returned %v", took, err)
		}
		var closed *link.CloseError
		if errors.As(err, &closed) {
			t.Errorf("nobody has closed, but Read returned %v", err)
		}
	})
}

// TestHostileServer: what a server may not say ends the connection, which says so.
func TestHostileServer(t *testing.T) {
	steps := exchanges(t)[0].Steps
	hello, welcome := steps[0].bytes(t), steps[3].bytes(t)
	envelope := func(id packet.ID, elements ...any) []byte {
		b, err := msgpack.Append(nil, elements)
		if err != nil {
			t.Fatal(err)
		}
		return frame(id, b)
	}
	for _, c := range []struct {
		name   string
		answer []byte // to the login
		behind []byte
		reason string
		says   string
	}{
		{"a push before the answer", envelope(packetlink.IDPush, 2, 0, 1, nil, "x", nil), nil, "parlor:1002 envelope out of turn: push before the answer to the login", "out of turn"},
		{"an answer with a number", envelope(packetlink.IDAnswer, 1, 0, 1, 1, 0, false, nil, "x", nil), nil, "parlor:1002 envelope out of turn: answer before the answer to the login", "out of turn"},
		{"no welcome", envelope(packetlink.IDAnswer, 1, 0, 0, 0, 0, false, nil, "x", parlor.Map{}), nil, "parlor:1002 not an envelope: an answer to the login that takes no offer", "not an envelope"},
		{"nil", frame(packetlink.IDAnswer, []byte{0xc0}), nil, "parlor:1002 not an envelope: want an array, got nil", "want an array, got nil"},
		{"a request", welcome, envelope(packetlink.IDPush, 0, 0, 1, "x", nil), "parlor:1002 not an envelope: request in the wrong packet", "in the wrong packet"},
		{"an answer as push", welcome, envelope(packetlink.IDPush, 1, 0, 1, 1, 0, false, nil, "x", nil), "parlor:1002 not an envelope: answer in the wrong packet", "in the wrong packet"},
		{"a client's packet", welcome, envelope(packetlink.IDRequest, 3, 0), "parlor:1002 envelope out of turn", "out of turn"},
		{"too large", welcome, frame(packetlink.IDPush, make([]byte, 1<<20+1)), "frametoolarge", "frame too large"},
		{"no MessagePack", welcome, frame(packetlink.IDPush, []byte{0xc1}), "invalidframe", "invalid frame"},
	} {
		virtual(t, c.name, func(t *testing.T) {
			n := memnet.New(1)
			ln, err := n.Listen("127.0.0.1:38930")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			reason := make(chan any, 1)
			go func() { // ends with the connection
				nc, err := ln.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				defer nc.Close()
				r := raw{t, nc}
				r.send(hello)
				r.next() // SetType
				r.next() // the login
				r.send(append(c.answer, c.behind...))
				reason <- r.reason()
			}()
			conn, err := dialing(packetlink.Dialer{DialContext: n.DialContext}, "127.0.0.1")(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, w, err := conn.Login(t.Context(), parlor.Packet{Message: parlor.MessageHandshake}, link.Offer{})
			if err == nil && w != nil {
				_, err = conn.Read(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the client got %v", err)
			}
			if got := <-reason; got != c.reason {
				t.Errorf("the server was told %q, want %q", got, c.reason)
			}
		})
	}
}

// TestBackWithMoreThanTheQueue: what a client has missed may be more than Config.QueueSize.
func TestBackWithMoreThanTheQueue(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		const pushes, size = 40, 100 << 10
		lobby := &missed{newScripted(), pushes, size}
		n, srv := listenServer(t, packetlink.Config{Lobby: lobby, QueueSize: 1 << 20}, "127.0.0.1:38930")
		conn, err := dialing(packetlink.Dialer{DialContext: n.DialContext}, "127.0.0.1")(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, w, err := conn.Login(t.Context(), parlor.Packet{Message: parlor.MessageHandshake}, link.Offer{}); err != nil || w == nil {
			t.Fatal(w, err)
		}
		for got := 0; got < pushes; {
			es, err := conn.Read(t.Context())
			if err != nil {
				t.Fatalf("after %d pushes: %v", got, err)
			}
			got += len(es)
		}
		if n := srv.Stats().QueueFull.Load(); n != 0 {
			t.Errorf("%d links were cut", n)
		}
	})
}

// missed is a lobby whose users have missed something.
type missed struct {
	scripted
	pushes, size int
}

func (l *missed) Open(to link.Link) (link.Session, error) {
	return &missedSession{scriptedSession{lobby: l.scripted, link: to.(link.Stream)}, l}, nil
}

type missedSession struct {
	scriptedSession
	missed *missed
}

func (s *missedSession) Receive(parlor.Packet) error {
	if err := s.link.Welcome(parlor.OK("back"), link.Welcome{Token: make([]byte, 16), Resumed: true}); err != nil {
		return err
	}
	var all []link.Message
	for seq := range s.missed.pushes {
		all = append(all, link.Message{Seq: uint64(seq + 1), Push: &parlor.Push{Payload: parlor.Encode(strings.Repeat("x", s.missed.size))}})
	}
	return s.link.Deliver(0, all...)
}

// TestPending: who does not log in makes room for newcomers, the oldest first, and users stay.
func TestPending(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		n, srv := listenServer(t, packetlink.Config{Lobby: newScripted(), Pending: 3}, "127.0.0.1:38930")
		dial := func() raw {
			nc, err := n.Dial(t.Context(), "127.0.0.1:38930")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { nc.Close() })
			return raw{t, nc}
		}
		user := dial()
		user.login()
		var strangers []raw
		for range 5 {
			r := dial()
			r.announce("parlor")
			strangers = append(strangers, r)
			synctest.Wait()
		}
		for i, r := range strangers[:2] {
			if reason := r.reason(); reason != "" {
				t.Errorf("stranger %d was closed with %v", i, reason)
			}
		}
		if n := srv.Stats().Refused.Load(); n != 2 {
			t.Errorf("%d were counted", n)
		}
		strangers[2].request(0, parlor.MessageHandshake, map[string]any{"password": "secret"})
		if e := strangers[2].envelope(); e.Status != parlor.StatusOK {
			t.Errorf("answered %q", e.Message)
		}
		user.request(1, "move", map[string]any{})
		if e := user.envelope(); e.Message != "moved" {
			t.Errorf("answered %q", e.Message)
		}
	})
}

// TestCrowdPushesOutItsOwn: who comes when there are too many costs a stranger of the network that has most of them, not one
// who was there long before. A host's many addresses of IPv6 are one network.
func TestCrowdPushesOutItsOwn(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		n, srv := listenServer(t, packetlink.Config{Lobby: newScripted(), Pending: 4, AllowClear: true}, "127.0.0.1:38930")
		dial := func(from string) raw {
			nc, err := memnet.Dialer{Network: n, From: from}.Dial(t.Context(), "127.0.0.1:38930")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { nc.Close() })
			r := raw{t, nc}
			r.announce("parlor")
			synctest.Wait()
			return r
		}
		stay := []raw{dial("198.51.100.7")}
		var crowd []raw
		for i := range 20 {
			crowd = append(crowd, dial(fmt.Sprintf("2001:db8:1:2::%x", i)))
		}
		stay = append(stay, dial("203.0.113.9"))
		for i, r := range crowd[:18] {
			if reason := r.reason(); reason != "" {
				t.Errorf("number %d of the crowd was closed with %v", i, reason)
			}
		}
		if n := srv.Stats().Refused.Load(); n != 18 {
			t.Errorf("%d were counted", n)
		}
		for i, r := range append(stay, crowd[18:]...) {
			r.request(0, parlor.MessageHandshake, map[string]any{"password": "secret"})
			if e := r.envelope(); e.Status != parlor.StatusOK {
				t.Errorf("number %d of those who may stay was answered %q", i, e.Message)
			}
		}
	})
}

// TestPing: pings are answered, with what the program says.
func TestPing(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		n, _ := listenServer(t, packetlink.Config{Lobby: newScripted(), Ping: map[string]any{"motd": "hello"}}, "127.0.0.1:38930")
		nc, err := n.Dial(t.Context(), "127.0.0.1:38930")
		if err != nil {
			t.Fatal(err)
		}
		r := raw{t, nc}
		r.announce("ping")
		r.sendValue(ping.IDRequest, map[string]any{})
		id, body, ok := r.next()
		var v map[string]any
		if err := msgpack.Unmarshal(body, &v, msgpack.Limits{}); err != nil || !ok || id != ping.IDResponse || v["motd"] != "hello" {
			t.Errorf("packet %d: %v, error %v", id, v, err)
		}
		nc.Close()
	})
}

// TestPayloadWithoutForm: it reaches the session as a request of its own, and the link goes on.
func TestPayloadWithoutForm(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		got := make(chan link.Envelope, 4)
		r := raw{t, dialServer(t, packetlink.Config{Lobby: &seeing{newScripted(), got}}, memnet.Dialer{})}
		r.login()
		r.send(frame(64, []byte{0x95, 0, 0, 1, 0xa1, 'x', 0xd6, 0xff, 0, 0, 0, 0}))
		r.request(2, "y", map[string]any{})
		for id := uint64(1); id <= 2; id++ {
			if e := <-got; e.ID != id || (e.Err != nil) != (id == 1) {
				t.Errorf("the session got %d, error %v", e.ID, e.Err)
			}
		}
		r.Close()
	})
}

type seeing struct {
	scripted
	got chan link.Envelope
}

func (l *seeing) Open(to link.Link) (link.Session, error) {
	return &seeingSession{scriptedSession{lobby: l.scripted, link: to.(link.Stream)}, l.got}, nil
}

type seeingSession struct {
	scriptedSession
	got chan link.Envelope
}

func (s *seeingSession) Request(e *link.Envelope) error { s.got <- *e; return nil }

// TestWhatAClientSays: a client that wants to go says 1000, or nothing. Whatever else it says, its session is there still.
func TestWhatAClientSays(t *testing.T) {
	for reason, purpose := range map[any]bool{
		nil: true, "": true, "parlor:1000": true, "parlor:1000 bye": true,
		"parlor:1001": false, "parlor:1008": false, "parlor:1008 rules": false, "parlor:4001": false, "x": false, 7: false,
	} {
		virtual(t, fmt.Sprint(reason), func(t *testing.T) {
			lobby := newScripted()
			r := raw{t, dialServer(t, packetlink.Config{Lobby: lobby}, memnet.Dialer{})}
			r.login()
			r.sendValue(packet.IDCloseConnection, map[string]any{"reason": reason})
			if got := <-lobby.closed; got != purpose {
				t.Errorf("the session was told %t, want %t", got, purpose)
			}
			r.Close()
		})
	}
}

// TestNoteAfterAResumption: what the login has acknowledged stays so, in the notes of a client that has nothing else to say.
func TestNoteAfterAResumption(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		got := make(chan link.Envelope, 4)
		n, _ := listenServer(t, packetlink.Config{Lobby: &seeing{newScripted(), got}}, "127.0.0.1:38930")
		conn, err := dialing(packetlink.Dialer{DialContext: n.DialContext}, "127.0.0.1")(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		login := parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"password": "secret"})}
		if _, w, err := conn.Login(t.Context(), login, link.Offer{Token: make([]byte, 16), Seq: 7}); err != nil || w == nil || !w.Resumed {
			t.Fatal(w, err)
		}
		begun := time.Now()
		e := <-got
		if took := time.Since(begun); e.Kind != link.KindNote || e.Ack != 7 || took > 20*time.Second {
			t.Errorf("after %v %v acknowledges %d, want a note of 7", took, e.Kind, e.Ack)
		}
		if err := conn.Write(t.Context(), &link.Envelope{Kind: link.KindNote, Ack: 9}); err != nil {
			t.Fatal(err)
		}
		if <-got; (<-got).Ack != 9 {
			t.Error("the note behind it does not say what was acknowledged last")
		}
	})
}

// TestAcknowledgedOnce: an acknowledgement that is older than one before is none that a note has to make up for.
func TestAcknowledgedOnce(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		n, srv := listenServer(t, packetlink.Config{Lobby: &backwards{newScripted()}}, "127.0.0.1:38930")
		nc, err := n.Dial(t.Context(), "127.0.0.1:38930")
		if err != nil {
			t.Fatal(err)
		}
		r := raw{t, nc}
		r.login()
		for id := uint64(1); id <= 2; id++ {
			r.request(id, "move", map[string]any{})
			for _, ack := range []uint64{id, id - 1} {
				if e := r.envelope(); e.Ack != ack {
					t.Errorf("%v acknowledges %d, want %d", e.Kind, e.Ack, ack)
				}
			}
			time.Sleep(5 * time.Second) // sleep: virtual
		}
		if n := srv.Stats().Notes.Load(); n != 0 {
			t.Errorf("%d notes were sent", n)
		}
		r.Close()
	})
}

// backwards is a lobby whose pushes acknowledge less than the answers before them, as of another goroutine.
type backwards struct{ scripted }

func (l *backwards) Open(to link.Link) (link.Session, error) {
	return &backwardsSession{scriptedSession{lobby: l.scripted, link: to.(link.Stream)}}, nil
}

type backwardsSession struct{ scriptedSession }

func (s *backwardsSession) Request(e *link.Envelope) error {
	r := parlor.OK("moved")
	if err := s.link.Deliver(e.ID, link.Message{Seq: 2*e.ID - 1, ID: e.ID, Response: &r}); err != nil {
		return err
	}
	return s.link.Deliver(e.ID-1, link.Message{Seq: 2 * e.ID, Push: &parlor.Push{Message: "moved"}})
}

// TestSlowReader: a client that does not read for long, as its application is slow, does not take that for silence of the server.
func TestSlowReader(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		const pushes = 3000
		lobby := &missed{newScripted(), pushes, 500}
		n, _ := listenServer(t, packetlink.Config{Lobby: lobby, WriteTimeout: time.Hour}, "127.0.0.1:38930")
		conn, err := dialing(packetlink.Dialer{DialContext: n.DialContext}, "127.0.0.1")(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, w, err := conn.Login(t.Context(), parlor.Packet{Message: parlor.MessageHandshake}, link.Offer{}); err != nil || w == nil {
			t.Fatal(w, err)
		}
		got := uint64(0)
		for got < pushes {
			time.Sleep(3 * time.Minute) // sleep: virtual
			es, err := conn.Read(t.Context())
			if err != nil {
				t.Fatalf("after %d pushes: %v", got, err)
			}
			for _, e := range es {
				if e.Kind != link.KindPush { // a note
					continue
				}
				if got++; e.Seq != got {
					t.Fatalf("%v %d, want %d", e.Kind, e.Seq, got)
				}
			}
		}
	})
}

// TestAddresses: what an address means, and what is wrong with it.
func TestAddresses(t *testing.T) {
	dialed := errors.New("dialed")
	for _, c := range []struct {
		address, want string
		good          bool
	}{
		{"localhost", "tcp localhost:38930", true},
		{"localhost:", "tcp localhost:38930", true},
		{"localhost:1", "tcp localhost:1", true},
		{"tcp://example.org", "tcp example.org:38930", true},
		{"tls://example.org:444/", "tcp example.org:444", true},
		{"::1", "tcp [::1]:38930", true},
		{"[::1]:5", "tcp [::1]:5", true},
		{"unix:/run/s", "unix /run/s", true},
		{"unix:///run/s", "unix /run/s", true},
		{"", "this is no HOST or HOST:PORT", false},
		{":5", "this is no HOST or HOST:PORT", false},
		{"ws://example.org", "for wslink.Dialer; for the packet wire the scheme must be unix:, tcp:// or tls://", false},
		{"http://example.org", `"http://example.org": the scheme must be unix:, tcp:// or tls://`, false},
		{"localhost:x", "the port must be a number from 1 to 65535", false},
		{"localhost:0", "the port must be a number from 1 to 65535", false},
		{"unix:", "it names no socket", false},
	} {
		d := packetlink.Dialer{DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return nil, fmt.Errorf("%s %s: %w", network, address, dialed)
		}}
		_, err := d.Dial(t.Context(), c.address)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, dialed) != c.good {
			t.Errorf("%q: %v, want %q", c.address, err, c.want)
		}
	}
}

// TestNoPacketWire: what listens there does not speak first, as WebSocket and TLS do not.
func TestNoPacketWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		go io.Copy(io.Discard, b) // ends with the connection
		d := packetlink.Dialer{DialContext: func(context.Context, string, string) (net.Conn, error) { return a, nil }}
		_, err := d.Dial(t.Context(), "127.0.0.1:38929")
		b.Close() // or the client waits for it, for a moment
		synctest.Wait()
		if !errors.Is(err, packet.ErrNoHello) || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v", err)
		}
		if text := fmt.Sprint(err); !strings.Contains(text, "tls://HOST:PORT") || !strings.Contains(text, "wslink.Dialer") || strings.Contains(text, "TLS.Enabled") {
			t.Error(text)
		}
	})
}

// TestConfigErrors: a config that cannot be served is refused.
func TestConfigErrors(t *testing.T) {
	for want, cfg := range map[string]packetlink.Config{
		"Lobby is required":         {},
		"Pending is -1":             {Lobby: newScripted(), Pending: -1},
		"MessageSize is 100":        {Lobby: newScripted(), MessageSize: 100},
		"LoginSize is 1, must be 5": {Lobby: newScripted(), LoginSize: 1},
	} {
		if _, err := packetlink.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
