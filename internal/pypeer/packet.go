package pypeer

import (
	"encoding/json"
	"testing"
)

// PacketPeer is a running Python client or server of peng3dnet's protocol.
type PacketPeer struct {
	Port int // where a server listens

	proc *process
}

// StartPacketServer starts a Python server with these options, or none, and returns
// when it listens. It is killed when the test ends.
func StartPacketServer(tb testing.TB, options map[string]any) *PacketPeer {
	tb.Helper()
	if options == nil {
		options = map[string]any{}
	}
	text, err := json.Marshal(options)
	if err != nil {
		tb.Fatalf("packetserver.py: options %v: %v", options, err)
	}
	p := &PacketPeer{proc: start(tb, "packetserver.py", string(text))}
	port, _ := p.Expect("listening")["port"].(float64)
	p.Port = int(port)
	return p
}

// StartPacketClient starts a Python client, not connected yet. It is killed when
// the test ends.
func StartPacketClient(tb testing.TB) *PacketPeer {
	tb.Helper()
	return &PacketPeer{proc: start(tb, "packetclient.py")}
}

// Do sends one command, e.g. {"op": "connect", "port": 1234}. It does not wait for
// anything.
func (p *PacketPeer) Do(command map[string]any) {
	p.proc.tb.Helper()
	p.proc.do(command)
}

// Expect returns the next event of this name. Other events stay for later calls;
// waiting too long fails the test. Numbers in events are float64.
func (p *PacketPeer) Expect(event string) map[string]any {
	p.proc.tb.Helper()
	return p.proc.expect(event, nil)
}

// ExpectWith is Expect for the next event that also has these values at its top
// level.
func (p *PacketPeer) ExpectWith(event string, values map[string]any) map[string]any {
	p.proc.tb.Helper()
	return p.proc.expect(event, values)
}

// Wait blocks until the program has ended and returns its exit code.
func (p *PacketPeer) Wait() int {
	p.proc.tb.Helper()
	return p.proc.wait(patience)
}

// Packets are options for packets with these names and automatic IDs.
func Packets(names ...string) []map[string]any {
	var list []map[string]any
	for _, name := range names {
		list = append(list, map[string]any{"name": name})
	}
	return list
}
