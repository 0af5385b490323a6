//go:build !js

package wslink_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"parlor"
	"parlor/link"
	"parlor/link/wslink"
)

const goodUpgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

// exchange sends a request as it is and reads the answer.
func (w *wire) exchange(t *testing.T, request string) (*http.Response, net.Conn) {
	t.Helper()
	nc, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, request); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return r, nc
}

// TestBadUpgrades: section 2.1.
func TestBadUpgrades(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	without := func(line string) string { return strings.Replace(goodUpgrade, line, "", 1) + "\r\n" }
	for name, test := range map[string]struct {
		request string
		status  int
	}{
		"no upgrade":        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426},
		"other upgrade":     {strings.Replace(goodUpgrade, "websocket\r\n", "h2c\r\n", 1) + "\r\n", 426},
		"no Connection":     {without("Connection: Upgrade\r\n"), 426},
		"POST":              {strings.Replace(goodUpgrade, "GET", "POST", 1) + "Content-Length: 0\r\n\r\n", 400},
		"HEAD":              {"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"version 12":        {strings.Replace(goodUpgrade, "13", "12", 1) + "\r\n", 400},
		"no version":        {without("Sec-WebSocket-Version: 13\r\n"), 400},
		"no key":            {without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400},
		"short key":         {strings.Replace(goodUpgrade, "dGhlIHNhbXBsZSBub25jZQ==", "abc", 1) + "\r\n", 400},
		"key of 15 bytes":   {strings.Replace(goodUpgrade, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jAAA=", 1) + "\r\n", 400},
		"key of no base64":  {strings.Replace(goodUpgrade, "dGhlIHNhbXBsZSBub25jZQ==", "dGhl_HNhbXBsZSBub25jZQ==", 1) + "\r\n", 400},
		"OPTIONS":           {"OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"OPTIONS *":         {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"HTTP/1.0":          {strings.Replace(goodUpgrade, "HTTP/1.1", "HTTP/1.0", 1) + "\r\n", 400},
		"garbage":           {"\x16\x03\x01\x02\r\n\r\n", 400},
		"no Host":           {without("Host: x\r\n"), 400},
		"very large header": {goodUpgrade + "X-Large: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431},
	} {
		r, _ := w.exchange(t, test.request)
		body, _ := io.ReadAll(r.Body)
		if r.StatusCode != test.status || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") || len(body) == 0 && name != "HEAD" || len(body) > 200 {
			t.Errorf("%s: status %d, %v, body %q, want %d and a line of text", name, r.StatusCode, r.Header, body, test.status)
		}
		if test.status == 426 && r.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%s: no Upgrade header in %v", name, r.Header)
		}
	}
	if n := w.Stats().BadUpgrades.Load(); n < 9 {
		t.Errorf("%d bad upgrades counted", n)
	}
	w.login(t, "alice").works()
}

func TestGoodUpgrades(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	for name, request := range map[string]string{
		"plain":           goodUpgrade,
		"path and query":  strings.Replace(goodUpgrade, "GET /", "GET /some/%20where?x=1&y=", 1),
		"origin":          goodUpgrade + "Origin: https://example.org\r\n",
		"subprotocol":     goodUpgrade + "Sec-WebSocket-Protocol: chat, superchat\r\n",
		"Parlor's":        goodUpgrade + "Sec-WebSocket-Protocol: parlor.1\r\n",
		"Parlor's, later": goodUpgrade + "Sec-WebSocket-Protocol: parlor.2, parlor.1\r\n",
		"extensions":      goodUpgrade + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other\r\n",
		"odd extensions":  goodUpgrade + "Sec-WebSocket-Extensions: ;;=\"\r\n",
		"letter case":     strings.NewReplacer("websocket", "WebSocket", ": Upgrade", ": keep-alive, UPGRADE").Replace(goodUpgrade),
		"several tokens":  strings.Replace(goodUpgrade, ": websocket", ": h2c, websocket", 1),
		"unknown headers": goodUpgrade + "X-One: 1\r\nUser-Agent: Python/3.11 websockets/10.4\r\n",
	} {
		r, _ := w.exchange(t, request+"\r\n")
		if r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Errorf("%s: status %d, header %v", name, r.StatusCode, r.Header)
		}
		want := ""
		if strings.Contains(request, wslink.Subprotocol) {
			want = wslink.Subprotocol
		}
		if r.Header.Get("Sec-WebSocket-Protocol") != want || r.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("%s: the answer names %v", name, r.Header)
		}
	}
}

// TestEarlyData: a client may send before it has read the answer.
func TestEarlyData(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	key := newKey(t)
	trade := []byte(`{"message": "", "payload": {"pubkey": "` + key.Public() + `"}}`)
	r, nc := w.exchange(t, goodUpgrade+"\r\n"+string(frame(ws.OpText, true, trade)))
	if r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", r.StatusCode)
	}
	nc.(*net.TCPConn).CloseWrite()
	w.lobby.waitClosed(t, "")
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{Origins: []string{"https://example.org"}})
	for origin, status := range map[string]int{
		"": 101, "Origin: https://example.org\r\n": 101,
		"Origin: https://evil.example\r\n": 403, "Origin: https://example.org.evil.example\r\n": 403,
		"Origin: http://example.org\r\n": 403, "Origin: null\r\n": 403,
	} {
		if r, _ := w.exchange(t, goodUpgrade+origin+"\r\n"); r.StatusCode != status {
			t.Errorf("%q: status %d, want %d", origin, r.StatusCode, status)
		}
	}
	if n := w.Stats().Forbidden.Load(); n != 4 {
		t.Errorf("%d counted", n)
	}
}

func TestForwardedFor(t *testing.T) {
	t.Parallel()
	direct := start(t, wslink.Config{})
	proxied := start(t, wslink.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}})
	for _, test := range []struct {
		w        *wire
		headers  []string
		wantAddr string
	}{
		{direct, nil, "127.0.0.1"},
		{direct, []string{"X-Forwarded-For", "1.2.3.4"}, "127.0.0.1"}, // anybody can write that
		{proxied, nil, "127.0.0.1"},
		{proxied, []string{"X-Forwarded-For", "1.2.3.4"}, "1.2.3.4"},
		{proxied, []string{"X-Forwarded-For", "6.6.6.6, 1.2.3.4, 10.0.0.1"}, "1.2.3.4"}, // 6.6.6.6 is the client's claim
		{proxied, []string{"X-Forwarded-For", "6.6.6.6", "X-Forwarded-For", "1.2.3.4"}, "1.2.3.4"},
		{proxied, []string{"X-Forwarded-For", "::ffff:1.2.3.4"}, "1.2.3.4"},
		{proxied, []string{"X-Forwarded-For", "2001:db8::1"}, "2001:db8::1"},
		{proxied, []string{"X-Forwarded-For", "1.2.3.4:5678"}, "1.2.3.4"}, // as some proxies write it
		{proxied, []string{"X-Forwarded-For", "junk"}, "127.0.0.1"},
	} {
		p := test.w.connect(t, test.headers...)
		p.send(loginText("alice"))
		p.answer()
		got := test.w.lobby.lastPeer(t)
		if got.Addr.String() != test.wantAddr || got.Key != p.key.Public() {
			t.Errorf("%v: peer %+v, want the address %s", test.headers, got, test.wantAddr)
		}
		if test.wantAddr == "127.0.0.1" && got.Remote != p.nc.LocalAddr().String() {
			t.Errorf("%v: remote %s, want %s", test.headers, got.Remote, p.nc.LocalAddr())
		}
	}
}

// TestGarbage: random bytes, before the upgrade and after it.
func TestGarbage(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	junk := make([]byte, 4096)
	for range 50 {
		rand.Read(junk)
		nc, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		nc.Write(junk)
		nc.Close()
		p := w.upgrade(t)
		p.nc.Write(junk)
		p.nc.Close()
		p = w.connect(t)
		p.nc.Write(junk)
		p.nc.Close()
	}
	for range 50 {
		w.lobby.waitClosed(t, "")
	}
	w.login(t, "alice").works()
}

// TestTooMany: users are not cut off for a newcomer, who is told.
func TestTooMany(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{Connections: 3})
	var users []*peer
	for range 3 {
		users = append(users, w.login(t, "alice"))
	}
	r, _ := w.exchange(t, goodUpgrade+"\r\n") // the fourth
	if text, _ := io.ReadAll(r.Body); string(text) != "Limit of connections reached. Try again later.\n" {
		t.Errorf("text %q", text)
	}
	if r.StatusCode != http.StatusServiceUnavailable || w.Stats().Refused.Load() != 1 {
		t.Errorf("status %d, %d counted", r.StatusCode, w.Stats().Refused.Load())
	}
	for _, u := range users {
		u.works()
	}
}

func TestTooManyPending(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{Pending: 3})
	oldest := w.upgrade(t)
	w.upgrade(t)
	w.upgrade(t)
	w.login(t, "alice").works() // at the cost of the oldest of those who do not log in
	oldest.expectEnd()
	if n := w.Stats().Refused.Load(); n != 1 {
		t.Errorf("%d counted", n)
	}
}

// TestTooManyUnopened: connections that send no request count as well.
func TestTooManyUnopened(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{Pending: 3})
	var all []net.Conn
	for range 4 {
		nc, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		all = append(all, nc)
	}
	nc := all[0] // the oldest makes room
	nc.SetDeadline(time.Now().Add(patience))
	if _, err := nc.Read(make([]byte, 1)); err == nil || w.Stats().Refused.Load() != 1 {
		t.Errorf("read: %v, %d counted", err, w.Stats().Refused.Load())
	}
}

func TestLobbyRefuses(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{Lobby: &echoLobby{refuse: link.ErrTooMany}})
	w.connect(t).expectClose(1008, "too many connections")
	w = start(t, wslink.Config{Lobby: &echoLobby{refuse: &link.CloseError{Code: link.CloseGoingAway}}})
	w.connect(t).expectClose(1001, "")
}

// TestPendingCrowd: 2,000 connections that never log in hold up nobody.
func TestPendingCrowd(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	alice := w.login(t, "alice")
	for i := range 2000 {
		if i%2 == 0 {
			w.upgrade(t)
		} else {
			w.connect(t)
		}
		if i%100 == 0 {
			alice.works()
		}
	}
	w.login(t, "bobby").works()
	alice.works()
	for limit := time.Now().Add(patience); w.Stats().Accepted.Load() != 2002; time.Sleep(time.Millisecond) { // sleep: they are counted behind their answers
		if time.Now().After(limit) {
			t.Fatalf("%d connections, want 2002", w.Stats().Accepted.Load())
		}
	}
}

// TestDialer: the two ends of this package understand each other.
func TestDialer(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	c, err := wslink.Dialer{}.Dial(t.Context(), w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	key, err := c.Handshake(t.Context())
	if err != nil || key != w.key.Public() || c.Remote() != w.address {
		t.Fatalf("key %s at %s, error %v", key, c.Remote(), err)
	}
	for _, p := range []parlor.Packet{
		{Message: "handshake", Payload: parlor.Encode(parlor.Map{"username": "alice"})},
		{Message: "hello", Payload: parlor.Encode(parlor.Map{"x": 1.0})},
	} {
		if err := c.Send(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if r, err := c.Receive(t.Context()); err != nil || r.Status != parlor.StatusOK {
			t.Fatalf("%+v, error %v", r, err)
		}
	}
}

// TestDialerErrors: addresses and ports of the packet wire are said to be that.
func TestDialerErrors(t *testing.T) {
	for address, want := range map[string]string{
		"tcp://localhost:38930": "for packetlink.Dialer",
		"tls://localhost":       "for packetlink.Dialer",
		"unix:/run/lobby":       "for packetlink.Dialer",
		"http://localhost":      "the scheme must be ws:// or wss://",
		"localhost:38930":       "no WebSocket server; perhaps it is a packet port, for packetlink.Dialer",
	} {
		d := wslink.Dialer{DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() { // ends with the connection
				defer server.Close()
				if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
					io.WriteString(server, "\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x80\x80")
				}
			}()
			return client, nil
		}}
		if _, err := d.Dial(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", address, err, want)
		}
	}
}
