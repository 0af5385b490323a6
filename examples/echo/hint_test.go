package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"parlor/internal/exampletest"
)

// socketFolder is one whose path is short enough for sockets.
func socketFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", program+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestSocketErrors: what is wrong with a unix socket, and what helps against it.
func TestSocketErrors(t *testing.T) {
	t.Parallel()
	dir := socketFolder(t)
	at := func(name string) string { return "unix:" + filepath.Join(dir, name) }
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "stale"))
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // as if the server had been killed
	ln.Close()
	start := "start a server with: " + program + " server "
	for _, test := range []struct{ command, address, want string }{
		{"server", at("none/x"), ": make the folder " + filepath.Join(dir, "none") + ", or take another path\n"},
		{"client", at("none/x"), ": there is no such socket: check the path, or " + start + at("none/x") + "\n"},
		{"server", at(strings.Repeat("x", 200)), ": the path of a unix socket may have about 100 bytes, and this one has 2"},
		{"client", at(strings.Repeat("x", 200)), ": the path of a unix socket may have about 100 bytes, and this one has 2"},
		{"server", at("file"), "address \"" + at("file") + "\": what is at that path is no socket: take another one\n"},
		{"client", at("file"), "address \"" + at("file") + "\": what is at that path is no socket: take another one\n"},
		{"server", at("file/x"), ": take another path, such as unix:/tmp/" + program + ".sock\n"},
		{"client", at("file/x"), ": check the path, such as unix:/tmp/" + program + ".sock\n"},
		{"server", at("stale"), ": delete the file\n"},
		{"client", at("stale"), ": its server has ended and left the socket behind: delete the file, and " + start + at("stale") + "\n"},
		{"server", "unix:", ": take another path, such as unix:/tmp/" + program + ".sock\n"},
		{"client", "unix:", ": check the path, such as unix:/tmp/" + program + ".sock\n"},
	} {
		p := exampletest.Start(t, exampletest.Build(t, "."), test.command, test.address)
		p.Ends(1)
		text := p.Stderr.Text()
		if !strings.Contains(text, test.want) || strings.Contains(text, "localhost") || strings.Count(text, "\n") != 1 {
			t.Errorf("%s %s: %q, want %q", test.command, test.address, text, test.want)
		}
	}
}

// TestStaleSocket: what the client says helps.
func TestStaleSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(socketFolder(t), "x.sock")
	server, _ := exampletest.StartServer(t, exampletest.Build(t, "."), "server", "unix:"+path)
	server.Signal(syscall.SIGKILL)
	server.Ends(-1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, addr := exampletest.StartServer(t, exampletest.Build(t, "."), "server", "unix:"+path)
	client := exampletest.Start(t, exampletest.Build(t, "."), "client", addr)
	client.Await("connected to unix:" + path + "; ")
}

// TestCheckAddress: what would be taken for the name of a host, and is none.
func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"/tmp/x.sock":           `address "/tmp/x.sock": for a unix socket write unix:/tmp/x.sock`,
		"./x":                   `address "./x": for a unix socket write unix:./x`,
		"tmp/x.sock":            `address "tmp/x.sock": for a unix socket write unix:tmp/x.sock`,
		"http://localhost:8080": `address "http://localhost:8080": this is a URL: give HOST:PORT alone, such as localhost:8080`,
		"localhost:8080/chat":   `address "localhost:8080/chat": this has a path: give HOST:PORT alone, such as localhost:8080`,
		"unix:/none/x.sock":     "",
		"localhost:8080":        "",
		"localhost":             "",
		"[::1]:8080":            "",
		":8080":                 "",
	} {
		text := ""
		err := checkAddress(address)
		if err != nil {
			text = err.Error()
		}
		if text != want {
			t.Errorf("%s: %s, want %s", address, text, want)
		}
		if want == "" {
			continue
		}
		for _, command := range []string{"server", "client"} {
			if got := run(t.Context(), []string{command, address}, strings.NewReader(""), &strings.Builder{}); got == nil || got.Error() != want {
				t.Errorf("%s %s: %v, want %s", command, address, got, want)
			}
		}
	}
}

// TestHints: rights that a test which may do everything cannot miss.
func TestHints(t *testing.T) {
	t.Parallel()
	denied := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}
	for _, test := range []struct{ got, want string }{
		{serverHint("unix:/run/x.sock", denied), ": you may not write into the folder /run: take another path"},
		{clientHint("unix:/run/x.sock", denied), ": you may not open the socket: ask who runs the server"},
		{serverHint("localhost:80", denied), ": ports below 1024 are mostly for administrators: try localhost:8080"},
		{serverHint("localhost:8080", syscall.EADDRINUSE), ""},
		{serverHint("nohost", errors.New("no such host")), ": try localhost:8080"},
		{clientHint("localhost:80", syscall.ECONNREFUSED), ": nothing listens there: start a server with: " + program + " server localhost:80"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}
