package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parlor/packet"
)

// socketFolder is one whose path is short enough for sockets.
func socketFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ping-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestPingUnix: servers of either kind at a unix socket, whose address is printed as it is typed.
func TestPingUnix(t *testing.T) {
	t.Parallel()
	dir := socketFolder(t)
	packets, lobby := "unix:"+filepath.Join(dir, "packets"), "unix:"+filepath.Join(dir, "lobby")
	servePackets(t, packets, pingable(t, packet.Config{}, nil))
	ln, err := net.Listen("unix", strings.TrimPrefix(lobby, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: webSockets(t)}
	done := make(chan error, 1)
	go func() { done <- web.Serve(ln) }()
	t.Cleanup(func() { web.Close(); <-done })
	for address, kind := range map[string]string{packets: "packet server", lobby: "lobby"} {
		out, news, err := runPinging(t, address, "-c", "2", "-i", "0", "-W", "20")
		want := "PING " + address + ": a " + kind + " at " + address + ", connected in "
		if err != nil || news != "" || !strings.HasPrefix(out, want) || !strings.Contains(out, "--- "+address+" ---\n2 sent, 2 answered, 0% lost\n") {
			t.Errorf("error %v, news %q, output\n%s", err, news, out)
		}
	}
}

// TestPingNoSocket: paths at which nobody listens, and why.
func TestPingNoSocket(t *testing.T) {
	t.Parallel()
	dir := socketFolder(t)
	stale, file := filepath.Join(dir, "stale"), filepath.Join(dir, "file")
	ln, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // as if the server had been killed
	ln.Close()
	for { // a process that another test starts has the socket too, until it begins with its program
		nc, err := net.Dial("unix", stale)
		if err != nil {
			break
		}
		nc.Close()
		time.Sleep(time.Millisecond) // sleep: polls another process
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 200))
	for path, want := range map[string]string{
		stale:                      "nothing listens at unix:" + stale + ": the file of the socket is left over from a server that has ended",
		file:                       "unix:" + file + " is no socket (check the path)",
		filepath.Join(dir, "none"): "there is no socket unix:" + filepath.Join(dir, "none") + " (check the path",
		long:                       "unix:" + long + ": the path of a socket may have about 100 bytes",
	} {
		out, news, err := runPinging(t, "unix:"+path, "-c", "1", "-W", "20")
		wantCode(t, err, 1)
		if !strings.Contains(news, want) || !strings.Contains(out, "1 sent, 0 answered, 100% lost") {
			t.Errorf("news %q, want %q; output\n%s", news, want, out)
		}
	}
}
