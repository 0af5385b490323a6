//go:build !js

package client_test

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/wslink"
)

// network is a network in memory with a listener where clients look for a lobby, for real wires in virtual time.
type network struct {
	*memnet.Network
	*memnet.Listener
}

func newNetwork(t *testing.T) network { return networkAt(t, "lobby:38929") }

func networkAt(t *testing.T, address string) network {
	t.Helper()
	n := memnet.New(1)
	ln, err := n.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return network{n, ln}
}

// serveHTTP runs a web server on the network until the end of the test.
func (n network) serveHTTP(t *testing.T, h http.HandlerFunc) {
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { srv.Serve(n); close(done) }()
	t.Cleanup(func() { srv.Close(); <-done })
}

// serveRaw answers each connection with some text, after the request has come.
func (n network) serveRaw(t *testing.T, text string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := n.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			io.WriteString(c, text)
			c.Close()
		}
	}()
	t.Cleanup(func() { n.Close(); <-done })
}

// player is the server's end of a WebSocket that the test plays.
type player struct {
	t      *testing.T
	ws     *websocket.Conn
	key    *box.Key
	tunnel *box.Tunnel
}

// servePlayer lets play answer every connection.
func (n network) servePlayer(t *testing.T, key *box.Key, play func(*player)) {
	n.serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		ws.SetReadLimit(1 << 21)
		defer ws.CloseNow()
		play(&player{t: t, ws: ws, key: key})
	})
}

func (p *player) write(text string) error {
	return p.ws.Write(context.Background(), websocket.MessageText, []byte(text))
}

// say sends a sealed text.
func (p *player) say(text string) error {
	nonce := box.Nonce()
	return p.write(string(p.tunnel.Append(nil, []byte(text), &nonce)))
}

// hear reads a message and opens it; empty at the end.
func (p *player) hear() string {
	_, frame, err := p.ws.Read(context.Background())
	if err != nil {
		return ""
	}
	if p.tunnel == nil {
		return string(frame)
	}
	text, _, err := p.tunnel.Open(nil, frame)
	if err != nil {
		p.t.Errorf("open the client's message: %v", err)
	}
	return string(text)
}

// trade answers the key trade.
func (p *player) trade() {
	var err error
	packet, err := parlor.DecodePacket([]byte(p.hear()))
	if err != nil {
		return // the client is gone
	}
	public, _ := packet.Payload.Get("pubkey")
	if p.tunnel, err = p.key.Tunnel(public.(string)); err != nil {
		p.t.Error(err)
	}
	p.write(fmt.Sprintf(`{"message": "key_trade", "payload": {"pubkey": %q}}`, p.key.Public()))
}

// login answers key trade and login.
func (p *player) login() {
	p.trade()
	p.hear()
	p.say(`{"message": "Authenticated."}`)
}

// closing waits for the client's close and returns its code.
func (p *player) closing() websocket.StatusCode {
	_, _, err := p.ws.Read(context.Background())
	return websocket.CloseStatus(err)
}

func newKey(t *testing.T) *box.Key {
	t.Helper()
	key, err := box.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestDefect12FailedOpening: an opening handshake that fails is a disconnect with a reason, and the client
// can connect again.
func TestDefect12FailedOpening(t *testing.T) {
	const upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	status := func(code int) func(*testing.T, network) {
		return func(t *testing.T, n network) {
			n.serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Sec-WebSocket-Extensions") != "" || r.Header.Get("Sec-WebSocket-Protocol") != "" || r.Header.Get("Origin") != "" {
					t.Errorf("the client offers something: %v", r.Header)
				}
				w.Header().Set("Location", "/again")
				http.Error(w, "no", code)
			})
		}
	}
	accepted := func(header string) func(*testing.T, network) {
		return func(t *testing.T, n network) {
			n.serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				c, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				io.WriteString(c, upgrade+"Sec-WebSocket-Accept: "+acceptKey(r.Header.Get("Sec-WebSocket-Key"))+"\r\n"+header+"\r\n")
				c.Read(make([]byte, 1))
			})
		}
	}
	raw := func(text string) func(*testing.T, network) {
		return func(t *testing.T, n network) { n.serveRaw(t, text) }
	}
	for name, serve := range map[string]func(*testing.T, network){
		"426":                   status(426),
		"400":                   status(400),
		"200":                   status(200),
		"503":                   status(503),
		"redirects without end": status(302),
		"subprotocol":           accepted("Sec-WebSocket-Protocol: parlor\r\n"),
		"extension":             accepted("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
		"wrong accept":          raw(upgrade + "Sec-WebSocket-Accept: AAAA\r\n\r\n"),
		"not HTTP":              raw("SSH-2.0-OpenSSH_9.6\r\n"),
		"nothing":               raw(""),
		"endless header":        raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				serve(t, n)
				var events journal
				c, err := client.New("lobby", events.config(client.Config{Dialer: wslink.Dialer{DialContext: n.DialContext}}))
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					d := wantReason(t, c.Connect(t.Context()), client.ReasonCallFailed)
					if d.Err == nil {
						t.Error("the cause is missing")
					}
					c.Wait()
					events.want(t, "status Connecting to lobby:38929...", "status Disconnected: Failed to call server.")
				}
			})
		})
	}
}

// TestRedirect is followed, as pgnet's client does.
func TestRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, key := newNetwork(t), newKey(t)
		n.serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/there" {
				http.Redirect(w, r, "/there", http.StatusFound)
				return
			}
			ws, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			p := &player{t: t, ws: ws, key: key}
			p.login()
			p.closing()
		})
		c, err := client.Dial(t.Context(), "ws://lobby/here", client.Config{Username: "alice", Dialer: wslink.Dialer{DialContext: n.DialContext}})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		c.Wait()
	})
}

// TestCallTimeout: a server that accepts and says nothing is given up after 10 s (section 2.1).
func TestCallTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		var held net.Conn
		accepted := make(chan struct{})
		go func() { held, _ = n.Accept(); io.Copy(io.Discard, held); held.Close(); close(accepted) }()
		start := time.Now()
		_, err := client.Dial(t.Context(), "lobby", client.Config{Username: "alice", Dialer: wslink.Dialer{DialContext: n.DialContext}})
		wantReason(t, err, client.ReasonCallFailed)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("given up after %v", took)
		}
		<-accepted
	})
}

// TestAddresses: what is called for which address.
func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"localhost":             "localhost:38929",
		"localhost:7":           "localhost:7",
		"::1":                   "[::1]:38929",
		"[::1]":                 "[::1]:38929",
		"[::1]:7":               "[::1]:7",
		"ws://example.org/path": "example.org:38929",
		"wss://example.org:443": "example.org:443",
	} {
		var called string
		_, err := client.Dial(t.Context(), address, client.Config{Username: "alice", Logger: quiet, Dialer: wslink.Dialer{
			DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
				called = address
				return nil, errors.New("not today")
			},
		}})
		if wantReason(t, err, client.ReasonCallFailed); called != want {
			t.Errorf("%s: called %s, want %s", address, called, want)
		}
	}
}

func TestBadAddresses(t *testing.T) {
	for _, address := range []string{"http://localhost", "ws://", "", ":", "local host", "localhost:x"} {
		_, err := client.Dial(t.Context(), address, client.Config{Username: "alice"})
		wantReason(t, err, client.ReasonCallFailed)
	}
}

// TestKeyTrade: what a server may say in it, and what becomes of that.
func TestKeyTrade(t *testing.T) {
	key := newKey(t)
	for name, test := range map[string]struct{ answer, want string }{
		"missing":        {`{"message": "Missing public key string.", "status": 1, "disconnecting": true}`, client.ReasonNoKey},
		"empty":          {`{"message": "key_trade", "payload": {"pubkey": ""}}`, client.ReasonNoKey},
		"no text":        {`{"message": "key_trade", "payload": {"pubkey": 5}}`, client.ReasonNoKey},
		"no object":      {`{"message": "key_trade", "payload": [1]}`, client.ReasonNoKey},
		"null payload":   {`{"message": "key_trade", "payload": null}`, client.ReasonNoKey},
		"no base64":      {`{"message": "key_trade", "payload": {"pubkey": "hello"}}`, client.ReasonUnexpected},
		"short":          {`{"message": "key_trade", "payload": {"pubkey": "AAAA"}}`, client.ReasonUnexpected},
		"all zero":       {`{"message": "key_trade", "payload": {"pubkey": "` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"}}`, client.ReasonUnexpected},
		"not JSON":       {`hello`, client.ReasonUnexpected},
		"no message":     {`{"payload": {"pubkey": "` + key.Public() + `"}}`, client.ReasonUnexpected},
		"another's":      {`{"message": "x", "payload": {"pubkey": "` + key.Public() + `"}}`, client.ReasonWrongKey},
		"status ignored": {`{"message": "x", "status": 2, "disconnecting": true, "extra": 1, "payload": {"more": 1, "pubkey": "` + key.Public() + `"}}`, client.ReasonWrongKey},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				codes := make(chan websocket.StatusCode, 1)
				n.servePlayer(t, key, func(p *player) {
					p.hear()
					p.write(test.answer)
					codes <- p.closing()
				})
				var events journal
				_, err := client.Dial(t.Context(), "lobby", events.config(client.Config{
					ServerKey: newKey(t).Public(), Dialer: wslink.Dialer{DialContext: n.DialContext},
				}))
				wantReason(t, err, test.want)
				if code := <-codes; code != websocket.StatusNormalClosure {
					t.Errorf("closed with %d, want 1000", code)
				}
				events.want(t, "status Connecting to lobby:38929...", "status Logging in...", "status Disconnected: "+test.want)
			})
		})
	}
}

// TestDefect12UnexpectedMessages: whatever the server sends, the connection ends with a reason, and in order.
func TestDefect12UnexpectedMessages(t *testing.T) {
	big := strings.Repeat("x", 786_392-len(`{"message": ""}`))
	for name, test := range map[string]struct {
		say  func(*player)
		want string // empty: it is an answer
		code websocket.StatusCode
	}{
		"unknown key":       {sealed(`{"message": "x", "extra": 1}`), "", 1000},
		"message only":      {sealed(`{"message": "x"}`), "", 1000},
		"unescaped":         {sealed("{\"game\":null,\n\"message\":\"w\u00f6rld\"}"), "", 1000},
		"odd payload":       {sealed(`{"message": "x", "payload": null}`), "", 1000},
		"largest":           {sealed(`{"message": "` + big + `"}`), "", 1000},
		"fragmented":        {func(p *player) { p.fragmented(`{"message": "x"}`) }, "", 1000},
		"no message":        {sealed(`{"status": 0}`), client.ReasonUnexpected, 1000},
		"not JSON":          {sealed(`hello`), client.ReasonUnexpected, 1000},
		"array":             {sealed(`[1]`), client.ReasonUnexpected, 1000},
		"empty":             {sealed(``), client.ReasonUnexpected, 1000},
		"odd types":         {sealed(`{"message": 5, "status": "OK", "disconnecting": null, "game": null}`), "", 1000},
		"not UTF-8":         {sealed("{\"message\": \"\xff\"}"), client.ReasonUnexpected, 1000},
		"clear text":        {func(p *player) { p.write(`{"message": "x"}`) }, client.ReasonUndecrypted, 1000},
		"forged":            {func(p *player) { p.write(strings.Repeat("A", 80)) }, client.ReasonUndecrypted, 1000},
		"binary":            {func(p *player) { p.ws.Write(p.t.Context(), websocket.MessageBinary, []byte("x")) }, client.ReasonUndecrypted, 1000},
		"larger than 1 MiB": {sealed(`{"message": "` + big + `x"}`), client.ReasonClosed, 1009},
		"closed":            {func(p *player) { p.ws.Close(1011, "bug") }, client.ReasonClosed, -1},
		"cut off":           {func(p *player) { p.ws.CloseNow() }, client.ReasonClosed, -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				codes := make(chan websocket.StatusCode, 1)
				n.servePlayer(t, newKey(t), func(p *player) {
					p.login()
					p.hear()
					test.say(p)
					codes <- p.closing()
				})
				c, err := client.Dial(t.Context(), "lobby", client.Config{Username: "alice", Dialer: wslink.Dialer{DialContext: n.DialContext}})
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.Request(t.Context(), "x", nil)
				if test.want == "" {
					if err != nil {
						t.Errorf("request: %v", err)
					}
					c.Close()
					test.want = client.ReasonByClient
				} else {
					wantReason(t, err, test.want)
				}
				wantReason(t, c.Wait(), test.want)
				if code := <-codes; code != test.code {
					t.Errorf("closed with %d, want %d", code, test.code)
				}
			})
		})
	}
}

func sealed(text string) func(*player) { return func(p *player) { p.say(text) } }

func (p *player) fragmented(text string) {
	nonce := box.Nonce()
	frame := p.tunnel.Append(nil, []byte(text), &nonce)
	w, err := p.ws.Writer(context.Background(), websocket.MessageText)
	if err != nil {
		p.t.Error(err)
		return
	}
	w.Write(frame[:7])
	w.Write(frame[7:])
	w.Close()
}

// TestLargestRequest is what pgnet's servers accept; one byte more is refused here.
func TestLargestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		lengths := make(chan int, 1)
		n.servePlayer(t, newKey(t), func(p *player) {
			p.login()
			for text := p.hear(); text != ""; text = p.hear() {
				lengths <- len(text)
				p.say(`{"message": "done"}`)
			}
		})
		c, err := client.Dial(t.Context(), "lobby", client.Config{Username: "alice", Dialer: wslink.Dialer{DialContext: n.DialContext}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Request(t.Context(), "", nil); err != nil {
			t.Fatal(err)
		}
		fill := 786_392 - <-lengths - 8 // the time's fraction, if the microseconds are zero this time
		if _, err := c.Request(t.Context(), strings.Repeat("x", fill), nil); err != nil {
			t.Fatal(err)
		}
		if got := <-lengths; got > 786_392 {
			t.Errorf("%d bytes were sent", got)
		}
		if _, err := c.Request(t.Context(), strings.Repeat("x", fill+17), nil); !errors.Is(err, link.ErrTooLarge) {
			t.Errorf("a request that no server accepts: %v", err)
		}
		if !c.Connected() {
			t.Error("it ended the connection")
		}
	})
}

// TestSilentConnection: a connection that was cut without a word ends by the ping timeout (section 2.4),
// though nothing is asked.
func TestSilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		silent := make(chan struct{})
		n.servePlayer(t, newKey(t), func(p *player) { p.login(); <-silent })
		c, err := client.Dial(t.Context(), "lobby", client.Config{Username: "alice", Dialer: wslink.Dialer{DialContext: n.DialContext}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wantReason(t, c.Wait(), client.ReasonClosed)
		if took := time.Since(start); took < 20*time.Second || took > 42*time.Second {
			t.Errorf("noticed after %v", took)
		}
		close(silent)
	})
}

// TestPings keep a connection alive on which nothing is asked.
func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		n.servePlayer(t, newKey(t), func(p *player) {
			p.login()
			closed := make(chan struct{})
			go func() { p.closing(); close(closed) }()
			for open := true; open; { // the server pings too
				p.ws.Ping(context.Background())
				select {
				case <-time.After(7 * time.Second):
				case <-closed:
					open = false
				}
			}
		})
		c, err := client.Dial(t.Context(), "lobby", client.Config{Username: "alice", Dialer: wslink.Dialer{DialContext: n.DialContext}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // sleep: virtual
		if !c.Connected() {
			t.Errorf("disconnected: %v", c.Wait())
		}
		c.Close()
		wantReason(t, c.Wait(), client.ReasonByClient)
	})
}

// TestCloseIsBounded: a server that does not answer the close gets a second.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		silent := make(chan struct{})
		n.servePlayer(t, newKey(t), func(p *player) { p.login(); <-silent })
		c, err := client.Dial(t.Context(), "lobby", client.Config{Username: "alice", Dialer: wslink.Dialer{DialContext: n.DialContext}})
		if err != nil {
			t.Fatal(err)
		}
		c.Send(parlor.Packet{Message: "x"}, nil) // that nobody reads
		synctest.Wait()
		start := time.Now()
		c.Close()
		if took := time.Since(start); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		wantReason(t, c.Wait(), client.ReasonByClient)
		close(silent)
	})
}

// TestDisconnectWhileLoggingIn closes the connection in order, too.
func TestDisconnectWhileLoggingIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		codes := make(chan websocket.StatusCode, 1)
		n.servePlayer(t, newKey(t), func(p *player) { p.trade(); p.hear(); codes <- p.closing() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := client.Dial(ctx, "lobby", client.Config{Username: "alice", Dialer: wslink.Dialer{DialContext: n.DialContext}})
		wantReason(t, err, client.ReasonByClient)
		if code, took := <-codes, time.Since(start); code != websocket.StatusNormalClosure || took != time.Second {
			t.Errorf("closed with %d after %v", code, took)
		}
	})
}

// TestReconnectKeepsTheKey: one key pair for the life of the client (section 4).
func TestReconnectKeepsTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		keys := make(chan string, 2)
		n.servePlayer(t, newKey(t), func(p *player) { p.login(); keys <- p.tunnel.Peer(); p.closing() })
		key := newKey(t)
		c, err := client.New("lobby", client.Config{Username: "alice", Key: key, Dialer: wslink.Dialer{Key: key, DialContext: n.DialContext}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := <-keys; got != key.Public() {
				t.Errorf("the client showed %s", got)
			}
			c.Close()
			c.Wait()
		}
	})
}

// acceptKey is the answer to a Sec-WebSocket-Key (RFC 6455, section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
