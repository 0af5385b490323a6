package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"parlor/host"
	"parlor/internal/certtest"
	"parlor/internal/exampletest"
	"parlor/internal/pypeer"
	"parlor/packet"
	"parlor/packet/ping"
)

// runPinging runs "parlor ping" until it ends.
func runPinging(t *testing.T, args ...string) (out, news string, err error) {
	t.Helper()
	p := startPinging(t, args...)
	p.awaitEnd(t)
	return p.out.Text(), p.news.Text(), p.err
}

// pingRun is a "parlor ping" in this process.
type pingRun struct {
	out, news *exampletest.Screen
	stop      context.CancelFunc
	done      chan struct{}
	err       error // once done is closed
}

func startPinging(t *testing.T, args ...string) *pingRun {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &pingRun{out: exampletest.NewScreen(), news: exampletest.NewScreen(), stop: cancel, done: make(chan struct{})}
	cmd := rootCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(p.out)
	cmd.SetErr(p.news)
	cmd.SetArgs(append([]string{"ping"}, args...))
	go func() {
		defer close(p.done)
		p.err = cmd.ExecuteContext(ctx)
	}()
	t.Cleanup(func() { cancel(); <-p.done })
	return p
}

func (p *pingRun) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * exampletest.Patience):
		t.Fatalf("ping goes on:\n%s%s", p.out.Text(), p.news.Text())
	}
}

// servePackets serves at an address until stop is called, or the test ends.
func servePackets(t *testing.T, addr string, srv *packet.Server) (at string, stop func()) {
	t.Helper()
	ln, err := srv.Listen(addr)
	for tries := 0; errors.Is(err, syscall.EADDRINUSE) && tries < 6000; tries++ {
		time.Sleep(10 * time.Millisecond) // sleep: a process that another test starts has the socket that was closed here, until it begins with its program
		ln, err = srv.Listen(addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		srv.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

func pingable(t *testing.T, cfg packet.Config, data map[string]any) *packet.Server {
	t.Helper()
	srv := packet.NewServer(packet.NewRegistry(), cfg)
	if err := ping.Serve(srv, ping.Options{Data: data}); err != nil {
		t.Fatal(err)
	}
	return srv
}

// TestPingPacketServer: the chat example's answers carry its data.
func TestPingPacketServer(t *testing.T) {
	t.Parallel()
	server, addr := exampletest.StartServer(t, exampletest.Build(t, "../../examples/simplechat"), "server", "127.0.0.1:0")
	out, news, err := runPinging(t, addr, "-c", "3", "-i", "0", "-W", "20")
	want := regexp.MustCompile(`^PING 127\.0\.0\.1:\d+: a packet server at 127\.0\.0\.1:\d+, connected in \d+\.\d{3} ms
(seq=[123] time=\d+\.\d{3} ms \{"couldjoin":true,"maxusers":128,"peng3dnet":\{.*\},"usercount":0,"usersample":\[\]\}
){3}--- 127\.0\.0\.1:\d+ ---
3 sent, 3 answered, 0% lost
min/median/p99/max = \d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3} ms
$`)
	if err != nil || news != "" || !want.MatchString(out) {
		t.Errorf("error %v, news %q, output\n%s", err, news, out)
	}
	server.Signal(syscall.SIGTERM)
	server.Ends(0)
	if log := server.Stderr.Text(); log != "" {
		t.Errorf("the server's log says %q", log)
	}
}

// TestPingJSON: one object a line.
func TestPingJSON(t *testing.T) {
	t.Parallel()
	addr, _ := servePackets(t, "127.0.0.1:0", pingable(t, packet.Config{}, map[string]any{"motd": "hi"}))
	out, news, err := runPinging(t, addr, "--count", "2", "--interval", "1ms", "--timeout", "20s", "--json")
	if err != nil || news != "" {
		t.Fatalf("error %v, news %q", err, news)
	}
	var lines []map[string]any
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var line map[string]any
		if err := dec.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		lines = append(lines, line)
	}
	if len(lines) != 3 || strings.Count(out, "\n") != 3 {
		t.Fatalf("output\n%s", out)
	}
	data, _ := lines[1]["data"].(map[string]any)
	if rtt, _ := lines[1]["rtt_ms"].(float64); lines[1]["type"] != "ping" || lines[1]["seq"] != 2.0 || lines[1]["server"] != "packet" || data["motd"] != "hi" || rtt <= 0 {
		t.Errorf("ping %v", lines[1])
	}
	sum := lines[2]
	if sum["type"] != "summary" || sum["sent"] != 2.0 || sum["received"] != 2.0 || sum["loss_percent"] != 0.0 || sum["address"] != addr {
		t.Errorf("summary %v", sum)
	}
	low, _ := sum["min_ms"].(float64)
	high, _ := sum["max_ms"].(float64)
	median, _ := sum["median_ms"].(float64)
	if low <= 0 || high < low || math.Abs(median-(low+high)/2) > 0.0011 || sum["p99_ms"] != high {
		t.Errorf("summary %v", sum)
	}
}

// lobby starts "parlor serve".
func lobby(t *testing.T, args ...string) (p *exampletest.Process, port string) {
	t.Helper()
	p = exampletest.Start(t, exampletest.Build(t, "."), append([]string{"serve", "--listen", "localhost:0"}, args...)...)
	p.Await("\nstore: ")
	_, rest, _ := strings.Cut(p.Stdout.Text(), "address: ")
	addr, _, _ := strings.Cut(rest, "\n")
	return p, addr[strings.LastIndex(addr, ":")+1:]
}

// TestPingLobby: a lobby says nothing first, and is pinged by WebSocket. It hangs up on those who do not log in;
// before that the connection is closed, and opened anew for the next ping.
func TestPingLobby(t *testing.T) {
	t.Parallel()
	server, port := lobby(t)
	python := pypeer.StartServer(t, pypeer.ServerOptions{})
	for _, args := range [][]string{
		{"127.0.0.1:" + port, "-i", "1.6"}, {"ws://localhost:" + port + "/path", "-i", "0"}, {python.Addr(), "-i", "0"},
	} {
		out, news, err := runPinging(t, append(args, "-c", "3", "-W", "20")...)
		if err != nil || news != "" || !strings.Contains(out, ": a lobby at ") || !strings.Contains(out, "\n3 sent, 3 answered, 0% lost\n") {
			t.Errorf("error %v, news %q, output\n%s", err, news, out)
		}
	}
	server.Signal(syscall.SIGTERM)
	server.Ends(0)
	if log := server.Stderr.Text(); strings.Contains(log, "WARN") || strings.Contains(log, "ERROR") {
		t.Errorf("the server's log says %q", log)
	}
}

// TestPingWires: which wires a lobby speaks is told of each of its addresses, without a login.
func TestPingWires(t *testing.T) {
	t.Parallel()
	socket := "unix:" + filepath.Join(socketFolder(t), "s")
	h := startHost(t, host.Config{PacketListen: "127.0.0.1:0"})
	startHost(t, host.Config{PacketListen: socket})
	cert, key := certtest.Make(t)
	secured := startHost(t, host.Config{PacketListen: "127.0.0.1:0", TLSCert: cert, TLSKey: key})
	python := pypeer.StartServer(t, pypeer.ServerOptions{})
	packets, others := ": a lobby at .*, wires: packet\n.*\"public_key\"", ": a lobby at .*, wires: native, pgnet\n"
	for args, want := range map[string]string{
		h.address():                       others,
		"ws://" + h.address():             others,
		h.packets():                       packets,
		"tcp://" + h.packets():            packets,
		socket:                            packets,
		secured.packets() + " --insecure": packets,
		"tls://" + secured.packets() + " --insecure": packets,
		python.Addr():           ": a lobby at .*, wires: pgnet\n",
		h.packets() + " --json": `"server":"lobby","wires":\["packet"\],"rtt_ms".*\n.*"server":"lobby","wires":\["packet"\]`,
		h.address() + " --json": `"server":"lobby","wires":\["native","pgnet"\]`,
	} {
		out, news, err := runPinging(t, append(strings.Fields(args), "-c", "1", "-W", "20")...)
		if err != nil || news != "" || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("ping %s: error %v, news %q, want %s in\n%s", args, err, news, want, out)
		}
	}
	for args, want := range map[string]string{
		"tcp://" + h.address():       "a lobby on WebSocket answers at " + h.address() + ", and no packets (ping it without tcp://)",
		"ws://" + h.packets():        "a packet server answers at " + h.packets() + ", and no lobby (ping it without ws://)",
		"tls://" + h.packets():       "a packet server without TLS answers at " + h.packets() + " (try tcp:// instead of tls://)",
		"tcp://" + secured.packets(): "a server with TLS answers at " + secured.packets() + " (try tls://)",
	} {
		_, news, err := runPinging(t, append(strings.Fields(args), "-c", "3", "-W", "20")...)
		wantCode(t, err, 1)
		if !strings.Contains(news, want) || strings.Count(news, "\n") != 1 {
			t.Errorf("ping %s: news %q, want %q", args, news, want)
		}
	}
}

// TestPingLoss: a server that goes is missed, and one that comes back is found.
func TestPingLoss(t *testing.T) {
	t.Parallel()
	addr, stop := servePackets(t, "127.0.0.1:0", pingable(t, packet.Config{}, nil))
	p := startPinging(t, addr, "-i", "0.01", "-W", "20")
	p.out.Await(t, "seq=2 ")
	stop()
	p.news.Await(t, "nothing listens at ")
	servePackets(t, addr, pingable(t, packet.Config{}, map[string]any{"back": true}))
	p.out.Await(t, `"back":true`)
	p.stop()
	p.awaitEnd(t)
	if out := p.out.Text(); p.err != nil || strings.Contains(out, " 0% lost") || !strings.Contains(out, "min/median") || strings.Count(out, "PING") != 1 {
		t.Errorf("error %v, output\n%s", p.err, out)
	}
}

// TestPingSlowHello: a packet server that is late with its Hello is not taken for a lobby in the end, and it is
// not waited for when it takes the request for a WebSocket for the beginning of a long frame.
func TestPingSlowHello(t *testing.T) {
	t.Parallel()
	srv := pingable(t, packet.Config{}, nil)
	ln, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with srv
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		nc.Read(make([]byte, 1)) // the request for a WebSocket
		nc.Write(packet.AppendFrame(nil, packet.IDHello, 0, []byte("\x82\xa7version\xa50.2.0\xacprotoversion\x02")))
		io.Copy(io.Discard, nc) // until the other side gives up
		nc.Close()
		srv.Serve(ln)
	}()
	t.Cleanup(func() { srv.Close(); ln.Close(); <-done })
	out, news, err := runPinging(t, ln.Addr().String(), "-c", "1", "-W", "20")
	if err != nil || news != "" || !strings.Contains(out, ": a packet server at ") {
		t.Errorf("error %v, news %q, output\n%s", err, news, out)
	}
}

// TestPingHostileData: what a server says is shown in one line that does nothing to a terminal.
func TestPingHostileData(t *testing.T) {
	t.Parallel()
	data := map[string]any{
		"a": "\x1b[2J\n\u202e\U000e0041\u0085", "b": []byte{1, 2}, "c": math.NaN(), "d": time.Unix(0, 0),
		"e": map[string]any{"<": []any{nil, 1.0}}, "f": strings.Repeat("\u00e9", 1000),
	}
	addr, _ := servePackets(t, "127.0.0.1:0", pingable(t, packet.Config{}, data))
	for _, more := range [][]string{nil, {"--json"}} {
		out, _, err := runPinging(t, append(more, addr, "-c", "1", "-W", "20")...)
		want := `{"a":"\u001b[2J\n\u202e\udb40\udc41\u0085","b":"AQI=","c":"NaN","d":"1970-01-01T00:00:00Z","e":{"<":[null,1]},"f":"` + strings.Repeat("\u00e9", 200)
		if err != nil || !strings.Contains(out, want) || slices.ContainsFunc([]rune(out), func(r rune) bool { return r < ' ' && r != '\n' || r == '\u202e' }) {
			t.Errorf("error %v, output\n%q", err, out)
		}
		if long := strings.Contains(out, strings.Repeat("\u00e9", 1000)); long != (more != nil) {
			t.Errorf("output\n%s", out)
		}
	}
}

// TestPingInterrupted: Ctrl-C ends the real program, with the summary and the right exit code.
func TestPingInterrupted(t *testing.T) {
	t.Parallel()
	ended := make(chan any, 10)
	addr, _ := servePackets(t, "127.0.0.1:0", pingable(t, packet.Config{
		Hooks: packet.Hooks{Close: func(_ *packet.Conn, err *packet.CloseError) { ended <- err.Reason }},
	}, nil))
	p := exampletest.Start(t, exampletest.Build(t, "."), "ping", addr, "-W", "20", "-i", "0.05")
	p.Await("seq=2 ")
	p.Signal(os.Interrupt)
	p.Ends(0)
	p.Await("% lost\nmin/median/p99/max")
	if reason := <-ended; reason != ping.ReasonComplete {
		t.Errorf("the server was told %v", reason)
	}

	ln := exampletest.Listen(t)
	p = exampletest.Start(t, exampletest.Build(t, "."), "ping", ln.Addr(), "-W", "60")
	c := ln.Accept()
	p.Signal(os.Interrupt)
	p.Ends(1)
	p.Await("1 sent, 0 answered, 100% lost\n")
	p.Stderr.Await(t, "seq=1: given up after ")
	c.Close()
}

// TestPingMisuseFound: what is wrong is said where it is, and with --json as the help says.
func TestPingMisuseFound(t *testing.T) {
	for name, value := range map[string]string{"COUNT": "-1", "INTERVAL": "-0.5", "TIMEOUT": "0"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PARLOR_"+name, value)
			out, news, err := runPinging(t, "a", "--json")
			wantCode(t, err, 2)
			if out != "" || !strings.HasPrefix(news, "parlor: PARLOR_"+name+"="+value+": ") || strings.Count(news, "\n") != 1 {
				t.Errorf("output %q, news %q", out, news)
			}
		})
	}
	help := strings.Join(strings.Fields(pingHelp), " ")
	if !strings.Contains(help, "It is 2 if a flag, a file or the address is wrong: then nothing is pinged, and what is wrong is text on standard error, also with --json.") {
		t.Errorf("the help is\n%s", pingHelp)
	}
}

// TestPingMisuse: what cannot be understood is answered with what to try, and the exit code that UNIX's ping has.
func TestPingMisuse(t *testing.T) {
	cert, key := certtest.Make(t)
	both := func(host string) string {
		return "try " + host + ":38929 for a lobby, or " + host + ":8080 for a packet server"
	}
	for line, want := range map[string]string{
		"":        "ping takes one address, such as localhost:38929; see parlor ping --help",
		"a b":     "ping takes one address, such as localhost:38929; see parlor ping --help",
		"a 80":    "ping takes one address, such as a:80; see parlor ping --help",
		"a --x":   "unknown flag: --x; see parlor ping --help",
		"a -i x":  `--interval: "x" is not a number of seconds, or a duration such as 200ms; see parlor ping --help`,
		"a -c x":  `--count: "x" is not a whole number; see parlor ping --help`,
		"a -c -1": "--count -1: the number of pings cannot be negative: give 1 or more, or 0 to go on until Ctrl-C",
		"a -i -1": "--interval -1: the time between pings cannot be negative: give 0 or more seconds; " +
			"0 sends each ping right after the answer to the one before",
		"a -W 0":                            "--timeout 0: that leaves no time for an answer: give more than 0 seconds, such as 5, or 200ms",
		"a --timeout=-1s":                   "--timeout -1s: that leaves no time for an answer: give more than 0 seconds, such as 5, or 200ms",
		"http://a":                          `address "http://a": a lobby's URL begins with ws:// or wss://: try ws://a`,
		"https://a:1/x":                     `address "https://a:1/x": a lobby's URL begins with ws:// or wss://: try wss://a:1/x`,
		"ftp://a":                           `address "ftp://a": want HOST:PORT, unix:/PATH, or a URL with ws:// or wss://, or for packets tcp:// or tls://`,
		"ws://a:b":                          `address "ws://a:b": invalid port ":b" after host: try ws://a:38929`,
		"WSS://:80/":                        `address "WSS://:80/": it names no host: try wss://localhost:80`,
		":8081":                             `address ":8081": it names no host: try localhost:8081`,
		":":                                 `address ":": its port is no number from 1 to 65535: ` + both("localhost"),
		":0":                                `address ":0": it names no host: ` + both("localhost"),
		"a:0":                               `address "a:0": no server is at port 0: ` + both("a"),
		"a:http":                            `address "a:http": its port is no number from 1 to 65535: ` + both("a"),
		"a:99999":                           `address "a:99999": its port is no number from 1 to 65535: ` + both("a"),
		"a:8080:80":                         `address "a:8080:80": it has several colons, and is no IPv6 address: ` + both("a"),
		"::1:80:x":                          `address "::1:80:x": it has several colons, and is no IPv6 address: ` + both("[::1]"),
		"[::1]80":                           `address "[::1]80": its port is no number from 1 to 65535: ` + both("[::1]"),
		"[::1":                              `address "[::1": invalid address: invalid host: "[::1" has no closing bracket: ` + both("[::1]"),
		"unix:":                             `address "unix:": it names no socket: try unix:/PATH`,
		"/run/x":                            `address "/run/x": for a unix socket write unix:/run/x`,
		"../x":                              `address "../x": for a unix socket write unix:../x`,
		"run/x.sock":                        `address "run/x.sock": for a unix socket write unix:run/x.sock`,
		"a:80/x":                            `address "a:80/x": what has a path is a URL: try ws://a:80/x`,
		"a --ca /none":                      "--ca /none: the file cannot be read: no such file or directory (check the path)",
		"a --ca /":                          "--ca /: the file cannot be read: is a directory (check the path, and that you may read it)",
		"a --ca " + key:                     "--ca " + key + ": the file holds no certificate in PEM form: give one with a line -----BEGIN CERTIFICATE-----",
		"a --cert /none --key " + key:       "--cert /none: the file cannot be read: no such file or directory (check the path)",
		"a --cert " + cert + " --key /none": "--key /none: the file cannot be read: no such file or directory (check the path)",
		"a --cert x":                        "--cert without --key: give both, the file of the certificate and that of its private key",
		"a --key x":                         "--key without --cert: give both, the file of the certificate and that of its private key",
		"ws://a --ca x":                     "ws:// and --ca contradict each other: take wss:// for a server with TLS, or leave out --ca for one without",
		"ws://a --tls":                      "ws:// and --tls contradict each other: take wss:// for a server with TLS, or leave out --tls for one without",
		"a --tls=0 --ca x":                  "--tls=false and --ca contradict each other: leave out what you do not want",
		"wss://a --tls=0":                   "--tls=false and wss:// contradict each other: take ws:// for a server without TLS, or leave out --tls=false",
		"a --ca x --insecure": "--ca and --insecure contradict each other: --insecure takes any certificate, whoever signed it; " +
			"leave out one of them",
		"ws://a --cert " + cert + " --key " + key: "ws:// and --cert, --key contradict each other: take wss:// for a server with TLS, or leave out --cert, --key for one without",
		"a --cert " + key + " --key " + cert: "--cert " + key + ", --key " + cert + ": tls: failed to find certificate PEM data in certificate input, " +
			"but did find a private key; PEM inputs may have been switched (want files in PEM form, and a key without passphrase)",
	} {
		out, news, err := runPinging(t, strings.Fields(line)...)
		wantCode(t, err, 2)
		if out != "" || news != "parlor: "+want+"\n" {
			t.Errorf("parlor ping %s: output %q, news %q, want %q", line, out, news, want)
		}
	}
}
