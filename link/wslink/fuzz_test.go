//go:build !js

package wslink_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"parlor/box"
	"parlor/link"
	"parlor/link/wslink"
)

// FuzzReader: no bytes make the frame reader panic or give a message over the limit, and what it reads is
// read again when it is written as whole frames.
func FuzzReader(f *testing.F) {
	whole := frame(ws.OpText, true, []byte("hello"))
	f.Add(whole)
	f.Add(append(frame(ws.OpText, false, []byte("he")), append(frame(ws.OpPing, true, []byte("?")), frame(ws.OpContinuation, true, []byte("llo"))...)...))
	f.Add(append(frame(ws.OpBinary, true, make([]byte, 300)), frame(ws.OpClose, true, ws.NewCloseFrameBody(1000, "bye"))...))
	f.Add(append(frame(ws.OpText, true, make([]byte, 2000)), whole...))
	f.Add([]byte{0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0})
	f.Add(bytes.Repeat([]byte{0xFF}, 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1000
		messages, err := wslink.ReadMessages(b, limit)
		if err == nil {
			t.Error("no error at the end")
		}
		var again []byte
		for _, m := range messages {
			if len(m) > limit {
				t.Errorf("message of %d bytes", len(m))
			}
			again = append(again, frame(ws.OpText, true, m)...)
		}
		same, _ := wslink.ReadMessages(again, limit)
		if len(same) != len(messages) {
			t.Fatalf("%d messages, then %d", len(messages), len(same))
		}
		for i := range same {
			if !bytes.Equal(same[i], messages[i]) {
				t.Errorf("message %q, then %q", messages[i], same[i])
			}
		}
	})
}

// FuzzFromUTF16: what is read as UTF-16 is UTF-8 then, and JSON in UTF-16 keeps its text.
func FuzzFromUTF16(f *testing.F) {
	f.Add([]byte("{\x00}\x00"))
	f.Add([]byte("\xfe\xff\x00{\x00}"))
	f.Add([]byte("{}"))
	f.Add([]byte(`{"a": "é😀"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		if got := wslink.FromUTF16(b); !bytes.Equal(got, before) && !utf8.Valid(got) {
			t.Errorf("%q is read as %q", before, got)
		}
		if !bytes.Equal(b, before) {
			t.Error("the input was changed")
		}
		if !utf8.Valid(b) {
			return
		}
		text := "{" + string(b) + "}"
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, mark := range []string{"", "\ufeff"} {
				var wide []byte
				for _, unit := range utf16.Encode([]rune(mark + text)) {
					wide = order.AppendUint16(wide, unit)
				}
				if got := wslink.FromUTF16(wide); string(got) != text {
					t.Errorf("%v: %q is read as %q", order, text, got)
				}
			}
		}
	})
}

// FuzzAddressURL: what is completed to a URL is complete, and refused otherwise with a text that names it.
func FuzzAddressURL(f *testing.F) {
	for _, address := range []string{"localhost", "localhost:1", "::1", "[::1]:38929", "ws://example.org/a?b", "wss://[::1]", "http://x", ":1", ""} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		url, err := wslink.AddressURL(address)
		if err != nil {
			if !strings.Contains(err.Error(), strconv.Quote(address)) {
				t.Errorf("the error does not name %q: %v", address, err)
			}
			return
		}
		scheme, rest, _ := strings.Cut(url, "://")
		host, _, slash := strings.Cut(rest, "/")
		name, port, err := net.SplitHostPort(host)
		if scheme != "ws" && scheme != "wss" || !slash || err != nil || name == "" || port == "" {
			t.Errorf("%q became %q, which is no whole URL", address, url)
		}
		if again, err := wslink.AddressURL(url); again != url || err != nil {
			t.Errorf("%q became %q, and that %q, %v", address, url, again, err)
		}
	})
}

// FuzzNonces: whatever stands in the file of logins, what is added to it is found by the next that opens it.
func FuzzNonces(f *testing.F) {
	f.Add([]byte(""), []byte("0123456789abcdef01234567"))
	f.Add([]byte("torn"), []byte("0123456789abcdef01234567"))
	f.Add(bytes.Repeat([]byte{7}, 80), make([]byte, box.NonceSize))
	f.Fuzz(func(t *testing.T, file, added []byte) {
		var nonce [box.NonceSize]byte
		copy(nonce[:], added)
		path := filepath.Join(t.TempDir(), "logins")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		n := openNonces(t, path)
		found := n.Has(nonce)
		if fresh, err := n.Add(nonce); fresh == found || err != nil || !n.Has(nonce) {
			t.Errorf("found %v, added %v, error %v", found, fresh, err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if !openNonces(t, path).Has(nonce) {
			t.Error("forgotten")
		}
	})
}

// FuzzForwardedFor: no header makes an address that cannot be shown, one from a stranger counts for nothing,
// and neither does what stands before the address that a proxy has added.
func FuzzForwardedFor(f *testing.F) {
	f.Add("6.6.6.6, 10.0.0.1")
	f.Add("[2001:db8::1]:80,::ffff:1.2.3.4")
	f.Add("fe80::1%\x1b[2J")
	f.Add(",junk, ")
	proxies := netip.MustParsePrefix("10.0.0.0/8")
	f.Fuzz(func(t *testing.T, claim string) {
		from := func(remote string, lines ...string) link.Peer {
			r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": lines}}
			return wslink.PeerOf(r, proxies)
		}
		if p := from("10.0.0.1:80", claim); !p.Addr.IsValid() || p.Addr.Is4In6() || p.Addr.Zone() != "" {
			t.Errorf("peer %+v", p)
		}
		if p := from("192.0.2.1:80", claim); p.Addr.String() != "192.0.2.1" || p.Remote != "192.0.2.1:80" {
			t.Errorf("peer %+v, want the stranger", p)
		}
		for _, lines := range [][]string{{claim + ", 192.0.2.7"}, {claim, "192.0.2.7,10.0.0.2"}} {
			if p := from("10.0.0.1:80", lines...); p.Addr.String() != "192.0.2.7" || p.Remote != "192.0.2.7" {
				t.Errorf("peer %+v, want the client", p)
			}
		}
	})
}
