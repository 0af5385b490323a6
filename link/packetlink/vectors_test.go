package packetlink_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
)

// exchange is one of testdata/parlor/packetwire.json.
type exchange struct {
	Name    string
	Classic bool
	Steps   []step
}

type step struct{ From, Hex, Says string }

func (s step) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s.Hex, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// envelope is what a frame carries.
func (s step) envelope(t *testing.T) (packet.ID, link.Envelope) {
	t.Helper()
	id, flags, body, rest, ok, err := packet.CutFrame(s.bytes(t), packet.MaxPacketLength)
	if !ok || err != nil || len(rest) > 0 || flags != 0 {
		t.Fatalf("%s: no frame: %v", s.Says, err)
	}
	if id < packet.FirstAutoID {
		return id, link.Envelope{}
	}
	e, rest, err := link.DecodeEnvelope(body, msgpack.Limits{})
	if err != nil || len(rest) > 0 {
		t.Fatalf("%s: %v", s.Says, err)
	}
	return id, e
}

func exchanges(t testing.TB) []exchange {
	t.Helper()
	text, err := os.ReadFile("../../testdata/parlor/packetwire.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Exchanges []exchange }
	if err := json.Unmarshal(text, &file); err != nil || len(file.Exchanges) == 0 {
		t.Fatalf("%d exchanges, error %v", len(file.Exchanges), err)
	}
	return file.Exchanges
}

// scripted is the lobby of the exchanges.
type scripted struct {
	closed chan bool // whether the end of a link was on purpose
}

type scriptedSession struct {
	lobby scripted
	link  link.Stream
	id    uint64
	seq   uint64
}

func (l scripted) Open(to link.Link) (link.Session, error) {
	return &scriptedSession{lobby: l, link: to.(link.Stream)}, nil
}

func (s *scriptedSession) Receive(p parlor.Packet) error {
	if v, _ := p.Payload.Get("password"); v != "secret" {
		err := s.link.Send(parlor.Response{Message: "Incorrect password.", Status: parlor.StatusBad, Disconnecting: true})
		s.link.Close(link.CloseNormal, "")
		return err
	}
	w := link.Welcome{Token: []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Window: time.Minute}
	o, _ := s.link.Offer()
	if o.Token != nil {
		w.Resumed, w.ID, s.id, s.seq = true, 1, 1, 2
	}
	if err := s.link.Welcome(parlor.OK("Authenticated."), w); err != nil || o.Token == nil {
		return err
	}
	return s.link.Deliver(1, movedPush)
}

var movedPush = link.Message{Seq: 2, Push: &parlor.Push{Message: "moved", Game: "chess 1", Payload: parlor.Encode(json.RawMessage(`{"from": "e2", "to": "e4"}`))}}

func (s *scriptedSession) Malformed(err error) error { return err }
func (s *scriptedSession) Closed(onPurpose bool)     { s.lobby.closed <- onPurpose }

func (s *scriptedSession) Request(e *link.Envelope) error {
	if e.Kind == link.KindNote {
		return nil
	}
	if e.ID != s.id+1 {
		return link.ErrOutOfTurn
	}
	s.id++
	s.seq++
	switch e.Message {
	case "flood":
		return &link.CloseError{Code: link.ClosePolicy, Reason: "limit of waiting requests"}
	case "stop":
		s.link.Close(link.CloseGoingAway, "")
		return nil
	case "quit":
		r := parlor.OK("Bye.")
		r.Disconnecting = true
		err := s.link.Deliver(e.ID, link.Message{Seq: s.seq, ID: e.ID, Response: &r})
		s.link.Close(link.CloseNormal, "")
		return err
	}
	r := parlor.OK("moved", parlor.Map{"turn": "black"})
	r.Game = "chess 1"
	return s.link.Deliver(e.ID, link.Message{Seq: s.seq, ID: e.ID, Response: &r}, movedPush)
}

// TestVectorsServer: the server takes and writes these bytes, also when they come one by one.
func TestVectorsServer(t *testing.T) {
	for _, x := range exchanges(t) {
		for _, fragment := range []int{0, 1} {
			t.Run(x.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lobby := scripted{closed: make(chan bool, 1)}
					nc := dialServer(t, packetlink.Config{Lobby: lobby}, memnet.Dialer{Up: memnet.Path{Fragment: fragment}, Down: memnet.Path{Record: true}})
					for _, s := range x.Steps {
						if s.From == "client" {
							if _, err := nc.Write(s.bytes(t)); err != nil {
								t.Fatalf("%s: %v", s.Says, err)
							}
							continue
						}
						want := s.bytes(t)
						got := make([]byte, len(want))
						if n, err := io.ReadFull(nc, got); err != nil || string(got) != string(want) {
							t.Fatalf("%s: got\n%x\nwant\n%x\nerror %v", s.Says, got[:n], want, err)
						}
					}
					if rest, err := io.ReadAll(nc); err != nil || len(rest) > 0 {
						t.Errorf("at the end came %x, error %v", rest, err)
					}
					nc.Close()
					last := x.Steps[len(x.Steps)-1]
					want := !strings.Contains(last.Says, "another link") && !strings.Contains(last.Says, "tries again")
					if got := <-lobby.closed; got != want {
						t.Errorf("the link ended on purpose: %t, want %t", got, want)
					}
					if x.Classic { // where frames may not be joined
						for _, w := range nc.In().Writes() {
							if _, _, _, rest, ok, err := packet.CutFrame(w.Bytes, packet.MaxPacketLength); !ok || err != nil || len(rest) > 0 {
								t.Errorf("a write has %d bytes more than a frame, or no frame: %v", len(rest), err)
							}
						}
					}
				})
			})
		}
	}
}

// TestVectorsClient: so does the client.
func TestVectorsClient(t *testing.T) {
	for _, x := range exchanges(t) {
		if x.Classic { // which is for others
			continue
		}
		t.Run(x.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := memnet.New(1)
				ln, err := n.Listen("127.0.0.1:38930")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				played := make(chan struct{})
				go func() { // ends with the connection
					defer close(played)
					playServer(t, ln, x.Steps)
				}()
				playClient(t, packetlink.Dialer{DialContext: n.DialContext, Logger: quiet}, x.Steps)
				<-played
			})
		})
	}
}

// playServer writes the server's part, and wants the client's.
func playServer(t *testing.T, ln net.Listener, steps []step) {
	nc, err := ln.Accept()
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	for _, s := range steps {
		want := s.bytes(t)
		if s.From == "server" {
			if _, err := nc.Write(want); err != nil {
				t.Errorf("%s: %v", s.Says, err)
			}
			continue
		}
		got := make([]byte, len(want))
		if n, err := io.ReadFull(nc, got); err != nil || string(got) != string(want) {
			t.Errorf("%s: the client wrote\n%x\nwant\n%x\nerror %v", s.Says, got[:n], want, err)
			return
		}
	}
	if rest, err := io.ReadAll(nc); err != nil || len(rest) > 0 {
		t.Errorf("at the end the client wrote %x, error %v", rest, err)
	}
}

// playClient does what the client's bytes say, and wants to be told what the server's do.
func playClient(t *testing.T, d packetlink.Dialer, steps []step) {
	conn, err := dialing(d, "127.0.0.1")(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []link.Envelope
	for i, s := range steps {
		id, e := s.envelope(t)
		switch {
		case id == packetlink.IDRequest && e.Message == parlor.MessageHandshake:
			o, _, ok := link.OfferOf(e.Payload)
			if !ok {
				t.Fatal("a login without an offer")
			}
			password, _ := e.Payload.Get("password")
			login := parlor.Encode(struct {
				Username string `json:"username"`
				Password any    `json:"password"`
				Invite   string `json:"invite_code"`
			}{"alice", password, ""})
			r, w, err := conn.Login(ctx, parlor.Packet{Message: parlor.MessageHandshake, Payload: login}, o)
			_, answer := steps[i+1].envelope(t)
			want, _ := link.WelcomeOf(answer.Payload)
			if err != nil || r.Message != answer.Message || r.Status != answer.Status || r.Disconnecting != answer.Disconnecting || (w == nil) != (want == nil) {
				t.Fatalf("%s: answered %s, welcome %v, error %v", s.Says, r.DebugText(), w, err)
			}
			if w != nil && (string(w.Token) != string(want.Token) || w.Resumed != want.Resumed || w.ID != want.ID || w.Window != time.Minute) {
				t.Errorf("%s: welcomed with %+v, want %+v", s.Says, w, want)
			}
		case id == packetlink.IDRequest:
			if err := conn.Write(ctx, &e); err != nil {
				t.Fatalf("%s: %v", s.Says, err)
			}
		case id == packetlink.IDAnswer && e.Seq == 0: // the login's
		case id == packetlink.IDAnswer, id == packetlink.IDPush:
			for len(got) == 0 {
				if got, err = conn.Read(ctx); err != nil {
					t.Fatalf("%s: %v", s.Says, err)
				}
			}
			if string(encode(t, got[0])) != string(encode(t, e)) {
				t.Errorf("%s: read %x, want %x", s.Says, encode(t, got[0]), encode(t, e))
			}
			got = got[1:]
		case id == packet.IDCloseConnection && s.From == "client":
			conn.Close()
		case id == packet.IDCloseConnection:
			_, err := conn.Read(ctx)
			var closed *link.CloseError
			var says struct {
				Reason string `json:"reason"`
			}
			if err := msgpack.Unmarshal(s.bytes(t)[packet.FrameHead:], &says, msgpack.Limits{}); err != nil {
				t.Fatal(err)
			}
			if !errors.As(err, &closed) || says.Reason != strings.TrimSpace(fmt.Sprintf("parlor:%d %s", closed.Code, closed.Reason)) {
				t.Errorf("%s: read the error %v, want %s", s.Says, err, says.Reason)
			}
		}
	}
}

func encode(t *testing.T, e link.Envelope) []byte {
	t.Helper()
	b, err := e.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
