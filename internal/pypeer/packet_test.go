package pypeer_test

import (
	"fmt"
	"net"
	"os/exec"
	"testing"

	"parlor/internal/pypeer"
)

// TestPacketSession is the Python client with the Python server.
func TestPacketSession(t *testing.T) {
	packets := pypeer.Packets("test:one", "test:two")
	server := pypeer.StartPacketServer(t, map[string]any{"packets": packets, "echo": true})
	client := pypeer.StartPacketClient(t)
	client.Do(map[string]any{"op": "connect", "port": server.Port, "packets": pypeer.Packets("test:one", "test:two")})
	client.Expect("handshake")
	server.ExpectWith("handshake", map[string]any{"cid": 1.0})
	client.Do(map[string]any{"op": "send", "packet": "test:two", "body": []any{nil, map[string]any{"$bin": "00ff"}}})
	client.ExpectWith("recv", map[string]any{"packet": "test:two", "pid": 65.0, "body": []any{nil, map[string]any{"$bin": "00ff"}}})
	client.Do(map[string]any{"op": "close", "reason": "bye"})
	server.ExpectWith("closed", map[string]any{"reason": "bye"})
	client.ExpectWith("closed", map[string]any{"reason": "socketclose"})

	client.Do(map[string]any{"op": "connect", "port": server.Port, "packets": packets})
	client.Expect("handshake")
	server.Do(map[string]any{"op": "shutdown"})
	client.ExpectWith("closed", map[string]any{"reason": "servershutdown"})
	if code := server.Wait(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}

// TestPacketPeers replays the captures of peng3dnet with the peers.
func TestPacketPeers(t *testing.T) {
	out, err := exec.Command(pypeer.Find(t), "-B", "packetselftest.py", "../../testdata/peng3dnet").CombinedOutput()
	if err != nil {
		t.Errorf("packetselftest.py: %v\n%s", err, out)
	}
}

// TestHang: with the option d1 a read that ends within a prefix is the end.
func TestHang(t *testing.T) {
	server := pypeer.StartPacketServer(t, map[string]any{"d1": true})
	client := pypeer.StartPacketClient(t)
	client.Do(map[string]any{"op": "connect", "port": server.Port})
	client.Expect("handshake")
	client.Do(map[string]any{"op": "raw", "hex": "0000"})
	server.Expect("hung")
	if code := server.Wait(); code != 3 {
		t.Errorf("the server ended with %d, want 3", code)
	}
}

// TestDelay: what a peer has not handled when the stream ends is lost, the reason included (D8, D9).
func TestDelay(t *testing.T) {
	const bye = "\x00\x00\x00\x12\x00\x00\x00\x10\x00\x00\x81\xa6reason\xa3bye" // CloseConnection
	last := func(nc net.Conn, err error) {
		t.Helper()
		if err == nil {
			t.Cleanup(func() { nc.Close() })
			_, err = nc.Write([]byte(bye))
		}
		if err == nil {
			err = nc.(*net.TCPConn).CloseWrite()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, test := range []struct {
		delay          float64 // longer than any test, or none
		server, client any
	}{{0, "bye", "bye"}, {3600, nil, "socketclose"}} {
		server := pypeer.StartPacketServer(t, map[string]any{"delay": test.delay})
		last(net.Dial("tcp", fmt.Sprint("127.0.0.1:", server.Port)))
		server.ExpectWith("closed", map[string]any{"reason": test.server})

		client := pypeer.StartPacketClient(t)
		client.Do(map[string]any{"op": "connect", "port": ln.Addr().(*net.TCPAddr).Port, "delay": test.delay})
		last(ln.Accept())
		client.ExpectWith("closed", map[string]any{"reason": test.client})
	}
}
