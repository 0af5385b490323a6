package main

import (
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"parlor/internal/certtest"
	"parlor/internal/exampletest"
	"parlor/packet"
)

// TestConnectElsewhere: what answers, where it is no lobby, as ping finds it out.
func TestConnectElsewhere(t *testing.T) {
	t.Parallel()
	cert, key := certtest.Make(t)
	conf := packet.Config{TLS: packet.TLS{Enabled: true, CertFile: cert, KeyFile: key}, Logger: slog.New(slog.DiscardHandler)}
	plain, _ := servePackets(t, "127.0.0.1:0", packet.NewServer(packet.NewRegistry(), packet.Config{Logger: slog.New(slog.DiscardHandler)}))
	secured, _ := servePackets(t, "127.0.0.1:0", packet.NewServer(packet.NewRegistry(), conf))
	noLobby := "a packet server answers there, and no lobby (connect is for lobbies, which mostly have port 38929; " +
		"a packet server has clients of its own, and parlor ping "
	site := httptest.NewTLSServer(status(404, ""))
	site.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(site.Close)
	for name, test := range map[string]struct{ address, want string }{
		"packets":                 {plain, noLobby + plain + " measures how fast it answers)"},
		"packets, ws://":          {"ws://" + plain + "/path", noLobby + plain + " measures how fast it answers)"},
		"packets, wss://":         {"wss://" + plain, noLobby + plain + " measures how fast it answers)"},
		"packets with TLS":        {secured, "a server with TLS answers at " + secured + " (try --tls)"},
		"web":                     {web(t, status(404, "")), "with 404 Not Found: no lobby is there (check the port, and the path of a URL)"},
		"web, too many":           {web(t, status(503, "")), "with 503 Service Unavailable: the lobby takes no more connections for now"},
		"web with TLS":            {site.Listener.Addr().String(), "a server with TLS answers at " + site.Listener.Addr().String() + " (try --tls)"},
		"SSH":                     {saying(t, "SSH-2.0-OpenSSH_9.2\r\n"), `which says "SSH-2.0-OpenSSH_9.2" (check the port)`},
		"hangs up without a word": {saying(t, ""), "closes the connection w"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, _, err := runConnect(t, strings.NewReader(".help\n"), test.address, "--user", "alice")
			checkError(t, err, "connect to "+test.address+": ", test.want)
			if err != nil && strings.Contains(err.Error(), "malformed") || out != "" {
				t.Errorf("error %v, printed %q", err, out)
			}
		})
	}
}

// TestConnectPacketsTLS: with wss:// a packet server with TLS, whose certificate is taken, is found as well.
func TestConnectPacketsTLS(t *testing.T) {
	t.Parallel()
	cert, key := certtest.Make(t)
	conf := packet.Config{TLS: packet.TLS{Enabled: true, CertFile: cert, KeyFile: key}, Logger: slog.New(slog.DiscardHandler)}
	addr, _ := servePackets(t, "127.0.0.1:0", packet.NewServer(packet.NewRegistry(), conf))
	_, port, _ := net.SplitHostPort(addr)
	e := &connectError{what: "connect to x", reason: "unknown"}
	e.explainCall(t.Context(), connectOptions{address: "wss://localhost:" + port, wire: wireAuto, tls: tlsOptions{ca: cert}})
	checkError(t, e, "connect to x: a packet server answers there, and no lobby", "parlor ping localhost:"+port+" --tls measures")
}

// TestConnectNoLobby: addresses that are none of a lobby's are refused before anything is asked for.
func TestConnectNoLobby(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"/tmp/x": `address "/tmp/x": for a lobby's packet wire at a unix socket write unix:/tmp/x`,
		"./x":    `address "./x": for a lobby's packet wire at a unix socket write unix:./x`,
		"unix:":  `address "unix:": it names no socket: try unix:/PATH`,
		":8081":  `address ":8081": it names no host: try localhost:8081`,
		":":      `address ":": it names no host: try localhost:38929`,
	} {
		out, news, err := runConnect(t, strings.NewReader(""), address) // without a --user
		if err == nil || err.Error() != want || out != "" || news != "" {
			t.Errorf("error %v, want %q; output %q, news %q", err, want, out, news)
		}
	}
}

// TestPoliteConn: a server that speaks first is not heard before something was said to it.
func TestPoliteConn(t *testing.T) {
	t.Parallel()
	ln := exampletest.Listen(t)
	nc, err := quietDialer().DialContext(t.Context(), "tcp", ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c, ok := ln.Next()
	if !ok {
		t.Fatal("nobody came")
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	go func() { // ends with nc
		b := make([]byte, 5)
		n, _ := io.ReadFull(nc, b)
		heard <- string(b[:n])
	}()
	select {
	case text := <-heard:
		t.Errorf("heard %q too early", text)
	default:
	}
	if _, err := io.WriteString(nc, "x"); err != nil {
		t.Fatal(err)
	}
	if text := <-heard; text != "hello" {
		t.Errorf("heard %q", text)
	}
	nc.Close()

	silent, err := quietDialer().DialContext(t.Context(), "tcp", ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := silent.Read(make([]byte, 1)); done <- err }() // ends with silent
	silent.Close()
	if err := <-done; err == nil {
		t.Error("what is closed can be read")
	}
}
