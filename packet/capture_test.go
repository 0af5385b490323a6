package packet_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"parlor/msgpack"
	"parlor/packet"
)

const captureDir = "../testdata/peng3dnet"

// capture is a file of testdata/peng3dnet; its README says what is in it.
type capture struct {
	Peers struct{ Client, Server string }
	Setup struct {
		ServerPackets []captured `json:"server_packets"`
		ClientPackets []captured `json:"client_packets"`
		Rule          string     `json:"server_packets_rule"`
		Kind          string     `json:"packet_kind"`
		ConnType      string
		ServerConfig  map[string]any `json:"server_cfg"`
		ClientConfig  map[string]any `json:"client_cfg"`
		IDsAfter      map[string]int `json:"client_ids_after"`
	}
	Frames []struct {
		Dir     string
		Hex     string
		Omitted *struct {
			Len    int
			SHA256 string
		} `json:"hex_omitted"`
		Decoded struct {
			Length uint32
			PID    *uint32
			Flags  *uint16
			Name   string
			Error  string
			Body   json.RawMessage
		}
	}
	Closing  []struct{ Dir, Event string }
	Segments []struct{ Hex string }
	Tail     map[string]string `json:"incomplete_tail"`
	list     []frame
}

// captured is a registered packet: its ID is a number, or "auto".
type captured struct {
	Name string
	ID   any
}

// frame is a frame of a capture, or what a test expects in its place.
type frame struct {
	dir    string // "c2s" or "s2c"
	b      []byte
	name   string // of the packet, if it is registered
	silent bool   // it reaches no handler
}

func (f *frame) is(id packet.ID) bool { return len(f.b) >= 10 && frameID(f.b) == id }

// app tells whether a frame is of a packet that the application registered.
func (f *frame) app() bool {
	return f.name != "" && !strings.HasPrefix(f.name, packet.ReservedPrefix) && !strings.HasPrefix(f.name, "ping ")
}

func captureNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(captureDir + "/*.json")
	if err != nil || len(files) < 80 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	return names
}

// readCapture returns a capture, which is not to be changed: it is read once.
func readCapture(t testing.TB, name string) *capture {
	t.Helper()
	known, _ := captureOnce.LoadOrStore(name, sync.OnceValue(func() *capture { return parseCapture(t, name) }))
	c := known.(func() *capture)()
	if c == nil {
		t.Fatalf("%s cannot be read", name)
	}
	return c
}

var captureOnce sync.Map // of functions, by name

func parseCapture(t testing.TB, name string) *capture {
	text, err := os.ReadFile(filepath.Join(captureDir, name+".json"))
	c := new(capture)
	if err == nil {
		err = json.Unmarshal(text, c)
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	if c.Setup.Rule != "" { // handshake_compressed_registry: 250 packets named ...0000 to 0249, IDs 64 to 313
		for i := range 250 {
			p := captured{fmt.Sprintf("compression.test:category.subcategory.packet%04d", i), "auto"}
			c.Setup.ServerPackets = append(c.Setup.ServerPackets, p)
		}
		c.Setup.ClientPackets = c.Setup.ServerPackets
	}
	if c.Setup.ClientPackets == nil {
		c.Setup.ClientPackets = c.Setup.ServerPackets
	}
	if c.Setup.ServerPackets == nil {
		c.Setup.ServerPackets = c.Setup.ClientPackets
	}
	c.list = c.readFrames(t)
	return c
}

// frames are the frames of the capture, in its order. The list is the caller's, the bytes are not.
func (c *capture) frames(t testing.TB) []frame { return slices.Clone(c.list) }

func (c *capture) readFrames(t testing.TB) []frame {
	var list []frame
	for _, f := range c.Frames {
		b, err := hex.DecodeString(f.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if f.Omitted != nil {
			b = framed(packet.ID(*f.Decoded.PID), rebuilt(t, f.Decoded.Body))
			if sum := sha256.Sum256(b); len(b) != f.Omitted.Len || hex.EncodeToString(sum[:]) != f.Omitted.SHA256 {
				t.Fatalf("frame %d was rebuilt as %d other bytes", len(list), len(b))
			}
		}
		list = append(list, frame{dir: f.Dir, b: b, name: f.Decoded.Name})
	}
	return list
}

// rebuilt is the value of a long body, a map whose values are repeated texts.
func rebuilt(t testing.TB, text []byte) any {
	t.Helper()
	var body map[string]map[string]struct {
		Str   string
		Count int
	}
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatal(err)
	}
	m := msgpack.Map{}
	for key, v := range body {
		m = append(m, msgpack.Pair{Key: key, Value: strings.Repeat(v["$repeat"].Str, v["$repeat"].Count)})
	}
	return m
}

// tail is what follows the last whole frame of a direction.
func (c *capture) tail(t testing.TB, dir string) []byte {
	t.Helper()
	b, err := hex.DecodeString(c.Tail[dir])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// raw tells whether an end of the capture was no library, and so may have sent anything.
func (c *capture) raw(dir string) bool {
	peer := c.Peers.Client
	if dir == "s2c" {
		peer = c.Peers.Server
	}
	return strings.Contains(peer, "raw")
}

// TestCapturedFrames checks that frames are cut and put together as the captures have them.
func TestCapturedFrames(t *testing.T) {
	for _, name := range captureNames(t) {
		c := readCapture(t, name)
		for i, f := range c.frames(t) {
			want := c.Frames[i].Decoded
			id, flags, body, rest, ok, err := packet.CutFrame(append(f.b[:len(f.b):len(f.b)], "rest"...), 1<<20)
			if want.PID == nil { // what is too short to have one
				if err == nil {
					t.Errorf("%s: frame %d was cut", name, i)
				}
				continue
			}
			if !ok || err != nil || string(rest) != "rest" || id != packet.ID(*want.PID) || flags != packet.Flags(*want.Flags) || len(body) != int(want.Length)-6 {
				t.Fatalf("%s: frame %d: %d %d %d %q %v %v", name, i, id, flags, len(body), rest, ok, err)
			}
			if again := packet.AppendFrame([]byte("x"), id, flags, body); string(again) != "x"+string(f.b) {
				t.Errorf("%s: frame %d: put together as %x", name, i, again)
			}
			for n := range f.b {
				if _, _, _, _, ok, err := packet.CutFrame(f.b[:n], 1<<20); ok || err != nil {
					t.Fatalf("%s: frame %d: %d bytes of it: %v %v", name, i, n, ok, err)
				}
				if n > 20 {
					break
				}
			}
		}
	}
}
