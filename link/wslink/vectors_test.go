//go:build !js

package wslink_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flynn/noise"
	"github.com/gobwas/ws"

	"parlor"
	"parlor/box"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/wslink"
	"parlor/msgpack"
)

var update = flag.Bool("update", false, "write testdata/parlor/native.json anew")

const nativeFile = "../../testdata/parlor/native.json"

// nativeVectors are testdata/parlor/native.json, which its README describes. All bytes are in hexadecimal.
type nativeVectors struct {
	Protocol    string        `json:"protocol"`
	Prologue    string        `json:"prologue"`
	Client      nativeKeys    `json:"client"`
	Server      nativeKeys    `json:"server"`
	N1          string        `json:"n1"`
	N2          string        `json:"n2"`
	Hash        string        `json:"hash"`
	ClientSends string        `json:"client_sends"`
	ServerSends string        `json:"server_sends"`
	Login       nativeMessage `json:"login"`
	Answer      nativeMessage `json:"answer"`
	Frames      []nativeFrame `json:"frames"`
}

type nativeKeys struct {
	Private          string `json:"private"`
	Public           string `json:"public"`
	EphemeralPrivate string `json:"ephemeral_private"`
	EphemeralPublic  string `json:"ephemeral_public"`
}

type nativeMessage struct {
	Message string          `json:"message"`
	Payload json.RawMessage `json:"payload"`
}

type nativeFrame struct {
	From      string   `json:"from"`
	Says      string   `json:"says"`
	Nonce     string   `json:"nonce"`
	Envelopes []string `json:"envelopes"`
	Sealed    string   `json:"sealed"`
}

func readNative(t *testing.T) (v nativeVectors) {
	t.Helper()
	text, err := os.ReadFile(nativeFile)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// plain are the envelopes of a frame, as they are sealed.
func (f nativeFrame) plain(t *testing.T) (all []byte) {
	t.Helper()
	for _, e := range f.Envelopes {
		all = append(all, unhex(t, e)...)
	}
	return all
}

// decoded are the envelopes of a frame.
func (f nativeFrame) decoded(t *testing.T) (all []*link.Envelope) {
	t.Helper()
	for e, err := range link.Envelopes(f.plain(t), msgpack.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &e)
	}
	return all
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// key is a side's key pair.
func (k nativeKeys) key(t *testing.T) *box.Key {
	t.Helper()
	key, err := box.ParseKey(base64.StdEncoding.EncodeToString(unhex(t, k.Private)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// handshake is a side's half of the handshake, made by the library alone. Its ephemeral key is not random.
func (v nativeVectors) handshake(t *testing.T, initiator bool) *noise.HandshakeState {
	t.Helper()
	ours, theirs := v.Server, v.Client
	if initiator {
		ours, theirs = theirs, ours
	}
	state, err := noise.NewHandshakeState(noise.Config{
		CipherSuite: noise.NewCipherSuite(noise.DH25519, noise.CipherAESGCM, noise.HashSHA256),
		Pattern:     noise.HandshakeKK, Initiator: initiator, Prologue: []byte(v.Prologue), Random: bytes.NewReader(unhex(t, ours.EphemeralPrivate)),
		StaticKeypair: noise.DHKey{Private: unhex(t, ours.Private), Public: unhex(t, ours.Public)}, PeerStatic: unhex(t, theirs.Public),
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// nativeScript is what both sides say: a frame of a client, and the server's that answers it, and so on.
var nativeScript = []struct {
	from, says string
	envelopes  []link.Envelope
}{
	{"client", "two requests in one frame", []link.Envelope{
		{Kind: link.KindRequest, ID: 1, Message: parlor.RequestJoinGame, Payload: parlor.Encode(json.RawMessage(`{"name": "chess 1"}`))},
		{Kind: link.KindRequest, ID: 2, Message: "move", Payload: parlor.Encode(json.RawMessage(`{"from": "e2", "to": "e4"}`))},
	}},
	{"server", "both answers, and a push between them", []link.Envelope{
		{Kind: link.KindAnswer, Ack: 2, Seq: 1, ID: 1, Game: "chess 1", Message: "Joined game: 'chess 1'.", Payload: parlor.Encode(json.RawMessage(`{"heartbeat_rate": 10.0}`))},
		{Kind: link.KindPush, Ack: 2, Seq: 2, Game: "chess 1", Message: "moved", Payload: parlor.Encode(json.RawMessage(`{"from": "e2", "to": "e4"}`))},
		{Kind: link.KindAnswer, Ack: 2, Seq: 3, ID: 2, Game: "chess 1", Message: "moved"},
	}},
	{"client", "a note: the client has all that came", []link.Envelope{{Kind: link.KindNote, Ack: 3}}},
	{"server", "a push of the lobby, which is of no game", []link.Envelope{
		{Kind: link.KindPush, Ack: 2, Seq: 4, Message: parlor.PushDraining, Payload: parlor.Encode(json.RawMessage(`{"seconds": 1.0}`))},
	}},
	{"client", "a request whose payload is no map", []link.Envelope{
		{Kind: link.KindRequest, Ack: 4, ID: 3, Message: "größer?", Payload: parlor.Encode(json.RawMessage(`[null, true, -1, 300, 1.5, "♞"]`))},
	}},
	{"server", "an answer that refuses it", []link.Envelope{
		{Kind: link.KindAnswer, Ack: 3, Seq: 5, ID: 3, Status: parlor.StatusUnexpected, Game: "chess 1", Message: "No such move."},
	}},
}

// makeNative makes the vectors: with the Noise library alone, as the peers have no say in their keys.
func makeNative(t *testing.T) (v nativeVectors) {
	t.Helper()
	v.Protocol, v.Prologue = "Noise_KK_25519_AESGCM_SHA256", "parlor native 1"
	count := byte(0)
	pair := func() (private, public string) {
		b := make([]byte, 32)
		for i := range b {
			count++
			b[i] = count
		}
		made, err := noise.DH25519.GenerateKeypair(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(made.Private), hex.EncodeToString(made.Public)
	}
	v.Client.Private, v.Client.Public = pair()
	v.Server.Private, v.Server.Public = pair()
	v.Client.EphemeralPrivate, v.Client.EphemeralPublic = pair()
	v.Server.EphemeralPrivate, v.Server.EphemeralPublic = pair()

	client, server := v.handshake(t, true), v.handshake(t, false)
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	n1, _, _, err := client.WriteMessage(nil, nil)
	must(nil, err)
	_, _, _, err = server.ReadMessage(nil, n1)
	must(nil, err)
	n2, _, _, err := server.WriteMessage(nil, nil)
	must(nil, err)
	_, up, down, err := client.ReadMessage(nil, n2)
	must(nil, err)
	v.N1, v.N2, v.Hash = hex.EncodeToString(n1), hex.EncodeToString(n2), hex.EncodeToString(client.ChannelBinding())
	upKey, downKey := up.UnsafeKey(), down.UnsafeKey()
	v.ClientSends, v.ServerSends = hex.EncodeToString(upKey[:]), hex.EncodeToString(downKey[:])

	login := parlor.Encode(json.RawMessage(`{"username": "alice", "password": "secret", "invite_code": ""}`))
	v.Login = nativeMessage{parlor.MessageHandshake, link.WithOffer(login, link.Offer{}, n1).JSON()}
	token := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	v.Answer = nativeMessage{parlor.MessageAuthenticated, link.WithWelcome(parlor.Payload{}, link.Welcome{Token: token, Window: time.Minute}, n2).JSON()}

	counts := map[string]uint64{}
	for _, s := range nativeScript {
		f := nativeFrame{From: s.from, Says: s.says, Nonce: hex.EncodeToString(binary.BigEndian.AppendUint64(make([]byte, 4), counts[s.from]))}
		counts[s.from]++
		var plain []byte
		for _, e := range s.envelopes {
			one := must(e.Append(nil))
			f.Envelopes = append(f.Envelopes, hex.EncodeToString(one))
			plain = append(plain, one...)
		}
		seals := map[string]*noise.CipherState{"client": up, "server": down}[s.from]
		f.Sealed = hex.EncodeToString(must(seals.Encrypt(nil, nil, plain)))
		v.Frames = append(v.Frames, f)
	}
	return v
}

// TestNativeVectors: the file is what the Noise library makes of its keys and envelopes. The tests of box make the same with nothing
// but the standard library, and with its own channels.
func TestNativeVectors(t *testing.T) {
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(makeNative(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(nativeFile, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(nativeFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s differs from\n%s", nativeFile, &want)
	}
}

// withNoise is a payload of the file with the handshake message of another ephemeral key, in one line.
func (m nativeMessage) withNoise(t *testing.T, was string, noise []byte) string {
	t.Helper()
	old := base64.StdEncoding.EncodeToString(unhex(t, was))
	if bytes.Count(m.Payload, []byte(old)) != 1 {
		t.Fatalf("no %s in %s", old, m.Payload)
	}
	return compact(t, bytes.Replace(m.Payload, []byte(old), []byte(base64.StdEncoding.EncodeToString(noise)), 1))
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// nativeLobby says what the server says in the vectors, each frame behind the client's that it answers.
type nativeLobby struct {
	t      *testing.T
	frames []nativeFrame
	link   link.Stream
	got    []byte // of the client's frame that is next
}

func (l *nativeLobby) Open(to link.Link) (link.Session, error) {
	l.link = to.(link.Stream)
	return l, nil
}

func (l *nativeLobby) Receive(p parlor.Packet) error {
	v := readNative(l.t)
	if got, want := compact(l.t, p.Payload.JSON()), compact(l.t, v.Login.Payload); p.Message != v.Login.Message || got != want {
		l.t.Errorf("the login was\n%s, want\n%s", got, want)
	}
	w, _ := link.WelcomeOf(parlor.Encode(v.Answer.Payload))
	return l.link.Welcome(parlor.Response{Message: v.Answer.Message}, *w)
}

func (l *nativeLobby) Malformed(err error) error { return err }
func (l *nativeLobby) Closed(bool)               {}

func (l *nativeLobby) Request(e *link.Envelope) error {
	var err error
	if l.got, err = e.Append(l.got); err != nil {
		return err
	}
	ours, theirs := l.frames[0], l.frames[1]
	if want := ours.plain(l.t); len(l.got) < len(want) {
		return nil
	} else if !bytes.Equal(l.got, want) {
		l.t.Errorf("%s: the session got\n%x, want\n%x", ours.Says, l.got, want)
	}
	l.got, l.frames = nil, l.frames[2:]
	var messages []link.Message
	var ack uint64
	for _, e := range theirs.decoded(l.t) {
		m := link.Message{Seq: e.Seq, ID: e.ID}
		if ack = e.Ack; e.Kind == link.KindPush {
			m.Push = &parlor.Push{Message: e.Message, Game: e.Game, Payload: e.Payload}
		} else {
			m.Response = &parlor.Response{Message: e.Message, Game: e.Game, Payload: e.Payload, Status: e.Status, Disconnecting: e.Disconnecting}
		}
		messages = append(messages, m)
	}
	return l.link.Deliver(ack, messages...)
}

// TestNativeVectorsServer: the server takes the client's bytes as they stand in the file, and says what it says there. As its
// ephemeral key is random, only the seals differ.
func TestNativeVectorsServer(t *testing.T) {
	v := readNative(t)
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		ln, err := n.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		key := v.Server.key(t)
		srv, err := wslink.New(wslink.Config{Lobby: &nativeLobby{t: t, frames: v.Frames}, Key: key, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }() // ends with Close
		defer func() { srv.Close(); <-served }()
		w := &wire{ln: ln, dial: memnet.Dialer{Network: n}.DialContext, key: key, address: ln.Addr().String()}
		p := w.upgrade(t)
		p.key = v.Client.key(t)
		if p.tunnel, err = p.key.Tunnel(key.Public()); err != nil {
			t.Fatal(err)
		}
		p.message(ws.OpText, p.trade())
		p.expectClear(w)

		state := v.handshake(t, true)
		if n1, _, _, err := state.WriteMessage(nil, nil); err != nil || !bytes.Equal(n1, unhex(t, v.N1)) {
			t.Fatalf("N1 is %x, error %v", n1, err)
		}
		p.send(`{"message": "` + v.Login.Message + `", "payload": ` + string(v.Login.Payload) + `}`)
		r := p.answer()
		_, n2 := link.WelcomeOf(r.Payload)
		if got, want := compact(t, r.Payload.JSON()), v.Answer.withNoise(t, v.N2, n2); r.Message != v.Answer.Message || got != want {
			t.Errorf("answered %q with\n%s, want\n%s", r.Message, got, want)
		}
		_, up, down, err := state.ReadMessage(nil, n2)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range v.Frames {
			if f.From == "client" {
				sealed, err := up.Encrypt(nil, nil, f.plain(t))
				if err != nil {
					t.Fatal(err)
				}
				p.message(ws.OpBinary, sealed)
				continue
			}
			got := p.read()
			text, err := down.Decrypt(nil, nil, got.Payload)
			if err != nil || got.Header.OpCode != ws.OpBinary || !bytes.Equal(text, f.plain(t)) {
				t.Fatalf("%s: a frame of opcode %d has\n%x, want\n%x, error %v", f.Says, got.Header.OpCode, text, f.plain(t), err)
			}
		}
	})
}

// TestNativeVectorsClient: so does the client.
func TestNativeVectorsClient(t *testing.T) {
	v := readNative(t)
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		ln, err := n.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		played := make(chan struct{})
		go func() { // ends with the connection
			defer close(played)
			playNativeServer(t, ln, v)
		}()
		defer func() { <-played }()
		c, err := wslink.Dialer{Key: v.Client.key(t), DialContext: memnet.Dialer{Network: n}.DialContext}.Dial(t.Context(), ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conn := c.(link.StreamConn)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if key, err := conn.Handshake(ctx); err != nil || key != v.Server.key(t).Public() {
			t.Fatalf("traded %q, error %v", key, err)
		}
		login := parlor.Encode(json.RawMessage(`{"username": "alice", "password": "secret", "invite_code": ""}`))
		r, w, err := conn.Login(ctx, parlor.Packet{Message: v.Login.Message, Payload: login}, link.Offer{})
		if err != nil || w == nil || r.Message != v.Answer.Message || w.Window != time.Minute || w.Resumed || len(w.Token) != 16 {
			t.Fatalf("answered %q, welcome %+v, error %v", r.Message, w, err)
		}
		for _, f := range v.Frames {
			if f.From == "client" {
				if err := conn.Write(ctx, f.decoded(t)...); err != nil {
					t.Fatalf("%s: %v", f.Says, err)
				}
				continue
			}
			es, err := conn.Read(ctx)
			var got []byte
			for _, e := range es {
				got, _ = e.Append(got)
			}
			if err != nil || !bytes.Equal(got, f.plain(t)) {
				t.Fatalf("%s: read\n%x, want\n%x, error %v", f.Says, got, f.plain(t), err)
			}
		}
	})
}

// playNativeServer plays the server of the vectors to one client.
func playNativeServer(t *testing.T, ln net.Listener, v nativeVectors) {
	nc, err := ln.Accept()
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	if _, err := ws.Upgrade(nc); err != nil {
		t.Error(err)
		return
	}
	read := func(op ws.OpCode) []byte {
		h, err := ws.ReadHeader(nc)
		if err != nil || h.OpCode != op || h.Length > parlor.MaxMessageSize {
			t.Errorf("a frame of opcode %d and %d bytes, want opcode %d, error %v", h.OpCode, h.Length, op, err)
			return nil
		}
		b := make([]byte, h.Length)
		if _, err := io.ReadFull(nc, b); err != nil {
			t.Error(err)
		}
		ws.Cipher(b, h.Mask, 0)
		return b
	}
	write := func(op ws.OpCode, b []byte) {
		if err := ws.WriteFrame(nc, ws.NewFrame(op, true, b)); err != nil {
			t.Error(err)
		}
	}
	key := v.Server.key(t)
	tunnel, err := key.Tunnel(v.Client.key(t).Public())
	if err != nil {
		t.Error(err)
		return
	}
	read(ws.OpText)
	trade, _ := parlor.OK("", parlor.Map{"pubkey": key.Public()}).AppendJSON(nil, time.Now())
	write(ws.OpText, trade)

	text, _, err := tunnel.Open(nil, slices.Clone(read(ws.OpText)))
	if err != nil {
		t.Error(err)
		return
	}
	login, err := parlor.DecodePacket(text)
	_, n1, ok := link.OfferOf(login.Payload)
	if err != nil || !ok {
		t.Errorf("no login with an offer: %s", text)
		return
	}
	if got, want := compact(t, login.Payload.JSON()), v.Login.withNoise(t, v.N1, n1); login.Message != v.Login.Message || got != want {
		t.Errorf("the login is\n%s, want\n%s", got, want)
	}
	state := v.handshake(t, false)
	if _, _, _, err := state.ReadMessage(nil, n1); err != nil {
		t.Error(err)
		return
	}
	n2, up, down, err := state.WriteMessage(nil, nil)
	if err != nil || !bytes.Equal(n2[:32], unhex(t, v.Server.EphemeralPublic)) {
		t.Errorf("N2 is %x, error %v", n2, err)
		return
	}
	answer, _ := parlor.Response{Message: v.Answer.Message, Payload: parlor.Encode(json.RawMessage(v.Answer.withNoise(t, v.N2, n2)))}.AppendJSON(nil, time.Now())
	nonce := box.Nonce()
	write(ws.OpText, tunnel.Append(nil, answer, &nonce))

	for _, f := range v.Frames {
		if f.From == "server" {
			sealed, err := down.Encrypt(nil, nil, f.plain(t))
			if err != nil {
				t.Error(err)
			}
			write(ws.OpBinary, sealed)
			continue
		}
		if got, err := up.Decrypt(nil, nil, read(ws.OpBinary)); err != nil || !bytes.Equal(got, f.plain(t)) {
			t.Errorf("%s: the client wrote\n%x, want\n%x, error %v", f.Says, got, f.plain(t), err)
			return
		}
	}
	read(ws.OpClose)
}
