package packet_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"parlor/packet"
)

// Section 13, with IPv6 beside.
func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		in   string
		host string
		port int
		want error
	}{
		{"localhost", "localhost", 8080, nil},
		{"localhost:1234", "localhost", 1234, nil},
		{"127.0.0.1:0", "127.0.0.1", 0, nil},
		{"127.0.0.1:65535", "127.0.0.1", 65535, nil},
		{"127.0.0.1:65536", "", 0, packet.ErrInvalidPort},
		{"h:-1", "", 0, packet.ErrInvalidPort},
		{"h:-0", "h", 0, nil},
		{"", "", 8080, nil},
		{":80", "", 80, nil},
		{"h:", "", 0, packet.ErrInvalidPort},
		{"ab", "ab", 8080, nil}, // no pair (D23)
		{"any thing!:1", "any thing!", 1, nil},

		// As Python's int reads them.
		{"h: 80 ", "h", 80, nil},
		{"h:\t80\n", "h", 80, nil},
		{"h:+80", "h", 80, nil},
		{"h:8_0", "h", 80, nil},
		{"h:1_2_3", "h", 123, nil},
		{"h:0080", "h", 80, nil},
		{"h:٨٠", "h", 80, nil},
		{"h:８０", "h", 80, nil},
		{"h:\U0001d7d8\U0001d7d9\U0001d7ff", "h", 19, nil}, // three of five runs in one range
		{"h:_80", "", 0, packet.ErrInvalidPort},
		{"h:80_", "", 0, packet.ErrInvalidPort},
		{"h:8__0", "", 0, packet.ErrInvalidPort},
		{"h:+ 80", "", 0, packet.ErrInvalidPort},
		{"h:+-80", "", 0, packet.ErrInvalidPort},
		{"h:--80", "", 0, packet.ErrInvalidPort},
		{"h:+", "", 0, packet.ErrInvalidPort},
		{"h:8 0", "", 0, packet.ErrInvalidPort},
		{"h:80.0", "", 0, packet.ErrInvalidPort},
		{"h:0x50", "", 0, packet.ErrInvalidPort},
		{"h:½", "", 0, packet.ErrInvalidPort},
		{"h:http", "", 0, packet.ErrInvalidPort},
		{"h:99999999999999999999999999", "", 0, packet.ErrInvalidPort},
		{"h:\xff", "", 0, packet.ErrInvalidPort},

		{"::1", "::1", 8080, nil},
		{"::", "::", 8080, nil},
		{"[::1]", "::1", 8080, nil},
		{"[::1]:80", "::1", 80, nil},
		{"[fe80::1%eth0]:80", "fe80::1%eth0", 80, nil},
		{"[::ffff:1.2.3.4]:80", "::ffff:1.2.3.4", 80, nil},
		{"[::1]:", "", 0, packet.ErrInvalidPort},
		{"[::1]80", "", 0, packet.ErrInvalidPort},
		{"[::1]:x", "", 0, packet.ErrInvalidPort},
		{"[::1", "", 0, packet.ErrInvalidHost},
		{"[1.2.3.4]:80", "", 0, packet.ErrInvalidHost},
		{"[host]:80", "", 0, packet.ErrInvalidHost},
		{"[]", "", 0, packet.ErrInvalidHost},
		{"a:b:c", "", 0, packet.ErrUnsupportedAddress},
		{"1.2.3.4:80:90", "", 0, packet.ErrUnsupportedAddress},
		{"::1:99999", "", 0, packet.ErrUnsupportedAddress},
	} {
		host, port, err := packet.ParseAddress(c.in, 8080)
		if host != c.host || port != c.port || !errors.Is(err, c.want) || (err != nil) != (c.want != nil) {
			t.Errorf("%q: %q, %d, %v; want %q, %d, %v", c.in, host, port, err, c.host, c.port, c.want)
		}
		if err != nil && !errors.Is(err, packet.ErrInvalidAddress) {
			t.Errorf("%q: %v is no ErrInvalidAddress", c.in, err)
		}
		if err == nil {
			if h, p, err := packet.ParseAddress(packet.FormatAddress(host, port), 1); err != nil || h != host || p != port {
				if host != "any thing!" {
					t.Errorf("%q formatted: %q, %d, %v", c.in, h, p, err)
				}
			}
		}
	}
	// The default port is looked at only if it is used.
	if _, port, err := packet.ParseAddress("h:5", -1); err != nil || port != 5 {
		t.Errorf("%d, %v", port, err)
	}
	for _, port := range []int{-1, 65536} {
		if _, _, err := packet.ParseAddress("h", port); !errors.Is(err, packet.ErrInvalidPort) {
			t.Errorf("default port %d: %v", port, err)
		}
	}
}

func TestListenAddresses(t *testing.T) {
	reg := packet.NewRegistry()
	got := make(chan any, 1)
	packet.MustRegister(reg, "t:a", func(_ *packet.Conn, v any) error { got <- v; return nil })
	unix := "unix:" + filepath.Join(t.TempDir(), "s")
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "[::1]:0", unix, ""} {
		t.Run(addr, func(t *testing.T) {
			s := packet.NewServer(reg, packet.Config{Listen: "127.0.0.1:0"})
			ln, err := s.Listen(addr)
			if err != nil && addr == "[::1]:0" {
				t.Skipf("no IPv6 here: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Serve(ln) }()
			to := ln.Addr().String()
			if addr == unix {
				to = unix
			}
			eventually(t, "it serves", func() bool { return len(s.Addrs()) == 1 })
			if s.Addrs()[0] != ln.Addr() || to == addr && addr != unix {
				t.Errorf("address %v", s.Addrs())
			}
			c := packet.NewClient(reg, packet.Config{Dial: to})
			connect(t, c, "")
			if err := c.Send("t:a", addr); err != nil {
				t.Fatal(err)
			}
			if v := receive(t, got); v != addr {
				t.Errorf("%v", v)
			}
			if c.RemoteAddr() == nil || s.Conn(1).RemoteAddr() == nil || c.NetConn() == nil {
				t.Error("no addresses")
			}
			s.Close()
			<-done
		})
	}
	s := packet.NewServer(reg, packet.Config{})
	for _, addr := range []string{"a:b:c", "h:x", "unix:"} {
		if err := s.ListenAndServe(addr); !errors.Is(err, packet.ErrInvalidAddress) {
			t.Errorf("%q: %v", addr, err)
		}
		if err := packet.NewClient(reg, packet.Config{}).Connect(t.Context(), addr); !errors.Is(err, packet.ErrInvalidAddress) {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

// TestStaleSocket: a server that was killed leaves the file of its unix socket, and the next one says so.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	s := packet.NewServer(packet.NewRegistry(), packet.Config{})
	defer s.Close()
	if _, err := s.Listen("unix:" + path); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "end it, or take another address") {
		t.Errorf("beside another server: %v", err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	if _, err := s.Listen("unix:" + path); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "delete the file") {
		t.Errorf("after one that is gone: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ln, err := s.Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if got := packet.AddressOf(ln.Addr()); got != "unix:"+path {
		t.Errorf("%s", got)
	}
}
