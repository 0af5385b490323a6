package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"parlor"
	"parlor/host"
	"parlor/internal/exampletest"
	"parlor/internal/pypeer"
	"parlor/packet"
	"parlor/packet/ping"
)

// saying is the address of a server that says this to everybody and hangs up.
func saying(t *testing.T, text string) string {
	ln := exampletest.Listen(t)
	go func() { // ends with ln
		for {
			c, ok := ln.Next()
			if !ok {
				return
			}
			io.WriteString(c, text)
			c.Close()
		}
	}()
	return ln.Addr()
}

// web is the address of an HTTP server.
func web(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// status answers every request so.
func status(code int, location string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if location != "" {
			w.Header().Set("Location", location)
		}
		w.WriteHeader(code)
	}
}

// nobodyAt is an address where nobody listens, nor can begin to during the test.
func nobodyAt(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	taken, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	return taken.LocalAddr().String()
}

// TestPingErrors: what does not answer, and what to try.
func TestPingErrors(t *testing.T) {
	t.Parallel()
	unpingable, _ := servePackets(t, "127.0.0.1:0", packet.NewServer(packet.NewRegistry(), packet.Config{}))
	old := pypeer.StartPacketServer(t, map[string]any{})
	newer := pypeer.StartPacketServer(t, map[string]any{"protoversion": 3})
	packets, _ := servePackets(t, "127.0.0.1:0", pingable(t, packet.Config{}, nil))
	secured := httptest.NewUnstartedServer(status(404, ""))
	secured.Config.ErrorLog = log.New(io.Discard, "", 0)
	secured.StartTLS()
	t.Cleanup(secured.Close)
	nobody := nobodyAt(t)
	for name, test := range map[string]struct {
		args, timeout string
		sent          int // of two
		want          string
	}{
		"nobody":                 {nobody, "20", 2, "nothing listens at " + nobody + " (check the host and port; a lobby has 38929 and a packet server 8080"},
		"nobody, URL":            {"ws://" + nobody, "20", 2, "nothing listens at " + nobody + " (check the host and port; a lobby has 38929 unless"},
		"no ping":                {unpingable, "20", 1, "the packet server at " + unpingable + " does not answer pings"},
		"no ping, as 0.2.0":      {fmt.Sprint("127.0.0.1:", old.Port), "6", 2, "no answer in 6s"},
		"another version":        {fmt.Sprint("127.0.0.1:", newer.Port), "20", 1, "speaks another version of the protocol"},
		"silence":                {exampletest.Listen(t).Addr(), "1", 2, "no answer in 1s"},
		"silence before timeout": {exampletest.Listen(t).Addr(), "0.1", 2, " in 100ms ("},
		"silence with TLS":       {exampletest.Listen(t).Addr() + " --tls", "2", 2, "no answer to the handshake of TLS in 2s (perhaps the server has no TLS: leave out --tls)"},
		"hangs up":               {saying(t, ""), "20", 2, "closes the connection w"}, // "without a word", or "when asked", if it is slow
		"hangs up with TLS":      {saying(t, "") + " --tls", "20", 2, "closes the connection in the handshake of TLS (check the port; perhaps it has no TLS: leave out --tls)"},
		"SSH":                    {saying(t, "SSH-2.0-OpenSSH_9.2\r\n"), "20", 1, `an SSH server answers at 127.0.0.1:PORT, which says "SSH-2.0-OpenSSH_9.2" (check the port)`},
		"SSH, URL":               {"ws://" + saying(t, "SSH-2.0-OpenSSH_9.2\r\n"), "20", 1, `an SSH server answers at 127.0.0.1:PORT, which says "SSH-2.0-OpenSSH_9.2" (check the port)`},
		"SSH with TLS":           {saying(t, "SSH-2.0-OpenSSH_9.2\r\n") + " --tls", "20", 1, "an SSH server answers at 127.0.0.1:PORT (check the port)"},
		"mail":                   {saying(t, "220 mail.example ESMTP\r\n"), "20", 1, `a mail or FTP server answers at 127.0.0.1:PORT, which says "220 mail.example ESMTP"`},
		"something else":         {saying(t, "hello\x1b[2J"), "20", 1, `is neither a packet server nor a lobby, and says "hello\x1b[2J" (check the port)`},
		"no frame":               {saying(t, "\x00\x00\x00\x01\x00"), "20", 1, "is neither a packet server nor a lobby (check the port)"},
		"packets at a URL":       {"ws://" + packets, "20", 1, "a packet server answers at " + packets + ", and no lobby (ping it without ws://)"},
		"web":                    {web(t, status(404, "")), "20", 1, "an HTTP server answers at 127.0.0.1:PORT, with 404 Not Found: no lobby is there"},
		"web that sends on":      {web(t, status(301, "https://example.org/")), "20", 1, "with 301 Moved Permanently: it sends to https://example.org/ (try that, with wss:// for https://"},
		"web with TLS":           {secured.Listener.Addr().String(), "20", 1, "a server with TLS answers at 127.0.0.1:PORT (try --tls)"},
		"web with TLS, URL":      {"ws://" + secured.Listener.Addr().String(), "20", 1, "a server with TLS answers at 127.0.0.1:PORT (try wss://)"},
		"web, clear, with TLS":   {web(t, status(404, "")) + " --tls", "20", 1, "an HTTP server without TLS answers, perhaps a lobby, at 127.0.0.1:PORT (leave out --tls)"},
		"proxy":                  {web(t, status(502, "")), "20", 2, "with 502 Bad Gateway: perhaps a proxy whose lobby is down"},
		"no more connections":    {web(t, status(503, "")), "20", 2, "with 503 Service Unavailable: the lobby takes no more connections for now"},
		"full":                   {saying(t, "\x00\x00\x00\x19\x00\x00\x00\x10\x00\x00\x81\xa6reason\xaaserverfull"), "20", 2, "serverfull"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, news, err := runPinging(t, append(strings.Fields(test.args), "-c", "2", "-i", "0", "-W", test.timeout)...)
			wantCode(t, err, 1)
			news = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllStringFunc(news, func(at string) string {
				if strings.Contains(test.want, at) {
					return at
				}
				return "127.0.0.1:PORT"
			})
			sum := fmt.Sprintf("\n%d sent, 0 answered, 100%% lost\n", test.sent)
			if strings.Count(news, test.want) != test.sent || strings.Count(news, "\n") != test.sent || !strings.Contains(out, sum) {
				t.Errorf("news %q, want %q; output %q, want %q", news, test.want, out, sum)
			}
		})
	}
}

// TestPingNoMap: an answer that is none is not called slow, in either form of the output.
func TestPingNoMap(t *testing.T) {
	t.Parallel()
	srv := packet.NewServer(packet.NewRegistry(), packet.Config{})
	err := srv.AddConnType(packet.ConnTypePing, packet.ConnType{Receive: func(c *packet.Conn, _ *packet.Message) (bool, error) {
		return true, c.WritePacket(ping.IDResponse, []any{1})
	}})
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := servePackets(t, "127.0.0.1:0", srv)
	want := "the packet server at " + addr + " does not answer pings as it should: the answer is no map of names: a list of 1"
	for _, more := range [][]string{nil, {"--json"}} {
		out, news, err := runPinging(t, append(more, addr, "-c", "2", "-i", "0", "-W", "20")...)
		wantCode(t, err, 1)
		if more == nil && (news != "seq=1: "+want+"\n" || !strings.Contains(out, "\n1 sent, 0 answered, 100% lost\n")) ||
			more != nil && (news != "" || strings.Count(out, `"error":"`+want+`"`) != 2) { // of the ping, and in the summary
			t.Errorf("%q: news %q, output\n%s", more, news, out)
		}
	}
}

// wantCode checks the exit code that a command asks for.
func wantCode(t *testing.T, err error, want int) {
	t.Helper()
	var code host.ExitError
	if !errors.As(err, &code) || int(code) != want {
		t.Errorf("error %v, want exit code %d", err, want)
	}
}

// TestPingOtherPort: of a lobby's default port and a packet server's, the hint is the other one.
func TestPingOtherPort(t *testing.T) {
	for address, want := range map[string]string{
		"localhost":       "nothing listens at localhost:38929 (the address names no port, so that it is a lobby's; for a packet server try localhost:8080)",
		"::1":             "nothing listens at [::1]:38929 (the address names no port, so that it is a lobby's; for a packet server try [::1]:8080)",
		"localhost:38929": "nothing listens at localhost:38929 (check the host, and the port, which is a lobby's; for a packet server try localhost:8080)",
		"localhost:8080":  "nothing listens at localhost:8080 (check the host, and the port, which is a packet server's; for a lobby try localhost:38929)",
		"ws://localhost":  "nothing listens at localhost:38929 (check the host and port; a lobby has 38929 unless it is told another)",
	} {
		target, err := newTarget(address, tlsOptions{}, parlor.DefaultPort)
		if err != nil {
			t.Fatal(err)
		}
		refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		if got := target.explain(t.Context(), refused, time.Second).Error(); got != want {
			t.Errorf("ping %s: %s, want %s", address, got, want)
		}
	}
}

// TestPingZone: an IPv6 address of one network needs the name of an interface.
func TestPingZone(t *testing.T) {
	invalid := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EINVAL)}
	for _, test := range []struct {
		address, want string
		names         []string
	}{
		{"fe80::1", "fe80::1 is an address within one network, and does not say at which interface that is: try [fe80::1%en0]:38929 (interfaces here: en0, wlan0)", []string{"en0", "wlan0"}},
		{"[fe80::1]:8080", "fe80::1 is an address within one network, and does not say at which interface that is: try [fe80::1%eth0]:8080 (interfaces here: none that is known)", nil},
		{"fe80::1%none", `there is no network interface "none" for fe80::1: try [fe80::1%en0]:38929 (interfaces here: en0)`, []string{"en0"}},
		{"::1", "", []string{"en0"}},
		{"localhost", "", []string{"en0"}},
	} {
		target, err := newTarget(test.address, tlsOptions{}, parlor.DefaultPort)
		if err != nil {
			t.Fatal(err)
		}
		if got := target.zone(test.names); got != test.want {
			t.Errorf("%s: %q, want %q", test.address, got, test.want)
		}
		text := target.explain(t.Context(), invalid, time.Second).Error()
		if known := strings.Contains(text, "interface"); known != (test.want != "") {
			t.Errorf("ping %s: %s", test.address, text)
		}
	}
}

// TestPingZoneLobby: a lobby at an address with an interface.
func TestPingZoneLobby(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	all, err := net.Interfaces()
	loopback := slices.IndexFunc(all, func(i net.Interface) bool { return i.Flags&net.FlagLoopback != 0 })
	if err != nil || loopback < 0 {
		t.Skip("no loopback interface is known here: ", err)
	}
	web := &http.Server{Handler: webSockets(t)}
	done := make(chan error, 1)
	go func() { done <- web.Serve(ln) }()
	t.Cleanup(func() { web.Close(); <-done })
	address := strings.Replace(ln.Addr().String(), "]", "%"+all[loopback].Name+"]", 1)
	out, news, err := runPinging(t, address, "-c", "1", "-W", "20")
	if err != nil || news != "" || !strings.Contains(out, "PING "+address+": a lobby at ") {
		t.Errorf("error %v, news %q, output\n%s", err, news, out)
	}
}
