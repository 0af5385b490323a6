package packetlink_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/certtest"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/packetlink"
)

// countingLobby counts what comes to another one.
type countingLobby struct {
	link.Lobby
	opened atomic.Int64
}

func (l *countingLobby) Open(to link.Link) (link.Session, error) {
	l.opened.Add(1)
	return l.Lobby.Open(to)
}

// TestReplayOverTLS: what a client has sent over TLS, sent again on another connection, comes to no session: each connection has keys of
// its own. Nor does a part of it that is sent again on the same one: TLS numbers its records.
func TestReplayOverTLS(t *testing.T) {
	certFile, keyFile := certtest.Make(t)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{RootCAs: certtest.Pool(t, certFile), ServerName: "localhost", Time: certTime(t, pair)}
	virtual(t, "", func(t *testing.T) {
		lobby := &countingLobby{Lobby: newScripted()}
		n, srv := listenServer(t, packetlink.Config{Lobby: lobby, TLS: &tls.Config{Certificates: []tls.Certificate{pair}}}, "far:38930")
		var socket *memnet.Conn
		dial := func(ctx context.Context, _, address string) (_ net.Conn, err error) {
			socket, err = memnet.Dialer{Network: n, Up: memnet.Path{Record: true}}.Dial(ctx, address)
			return socket, err
		}
		dialed, err := packetlink.Dialer{TLS: client, DialContext: dial, Logger: quiet}.Dial(t.Context(), "far")
		if err != nil {
			t.Fatal(err)
		}
		conn := dialed.(link.StreamConn)
		defer conn.Close()
		if _, err := conn.Handshake(t.Context()); err != nil {
			t.Fatal(err)
		}
		login := parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "secret"})}
		if _, w, err := conn.Login(t.Context(), login, link.Offer{}); err != nil || w == nil {
			t.Fatalf("welcome %v, error %v", w, err)
		}
		if err := conn.Write(t.Context(), &link.Envelope{Kind: link.KindRequest, ID: 1, Message: "move"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		recording := socket.Out().Writes()
		if n := lobby.opened.Load(); n != 1 || len(recording) < 3 {
			t.Fatalf("%d sessions, %d writes", n, len(recording))
		}
		thief, err := n.Dial(t.Context(), "far:38930")
		if err != nil {
			t.Fatal(err)
		}
		defer thief.Close()
		for _, w := range recording {
			thief.Write(w.Bytes) // as far as the server takes it
			synctest.Wait()
		}
		thief.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, thief); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Error("the thief is connected still")
			}
		}
		if n := lobby.opened.Load(); n != 1 {
			t.Errorf("the thief has a session")
		}
		if _, err := socket.Write(recording[len(recording)-1].Bytes); err != nil { // the request
			t.Fatal(err)
		}
		for err = nil; err == nil; { // what she is answered, and the end
			_, err = conn.Read(t.Context())
		}
		if n := srv.Stats().Violations.Load(); n != 0 {
			t.Errorf("%d envelopes came that TLS should have refused", n)
		}
	})
}
