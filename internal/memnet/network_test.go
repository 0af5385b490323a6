package memnet_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"parlor/internal/memnet"
)

func TestAddresses(t *testing.T) {
	n := memnet.New(1)
	for _, test := range []struct{ listen, dial, from, server, client string }{
		{"127.0.0.1:80", "127.0.0.1:80", "", "127.0.0.1", "127.0.0.1"},
		{"localhost:81", "127.0.0.1:81", "", "127.0.0.1", "127.0.0.1"},
		{"[::1]:80", "[::1]:80", "", "::1", "::1"},
		{"lobby:80", "lobby:80", "", "198.18.0.1", "192.0.2.1"},
		{"other:80", "198.18.0.2:80", "203.0.113.7", "198.18.0.2", "203.0.113.7"},
		{"[2001:db8::7]:80", "[2001:db8::7]:80", "", "2001:db8::7", "2001:db8::1"},
		{"[2001:db8::8]:80", "[2001:db8::8]:80", "[2001:db8:1::2]:7", "2001:db8::8", "2001:db8:1::2"},
		{"lobby:82", "lobby:82", "203.0.113.7:0", "198.18.0.1", "203.0.113.7"},
		{":83", "lobby:83", "203.0.113.7:4242", "198.18.0.1", "203.0.113.7"},
		{"0.0.0.0:84", "127.0.0.1:84", "", "127.0.0.1", "127.0.0.1"},
		{":85", ":85", "", "127.0.0.1", "127.0.0.1"},
	} {
		ln := must(n.Listen(test.listen))
		c, err := memnet.Dialer{Network: n, From: test.from}.Dial(t.Context(), test.dial)
		if err != nil {
			t.Errorf("%s: %v", test.dial, err)
			continue
		}
		accepted := must(ln.AcceptConn())
		at := func(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }
		if server, client := at(c.RemoteAddr()), at(c.LocalAddr()); server.Addr().String() != test.server || client.Addr().String() != test.client ||
			server.Port() != at(ln.Addr()).Port() || client.Port() == 0 {
			t.Errorf("%s: %v is connected to %v", test.dial, client, server)
		}
		if from, err := netip.ParseAddrPort(test.from); err == nil && from.Port() != 0 && at(c.LocalAddr()) != from {
			t.Errorf("%s: from %v", test.dial, c.LocalAddr())
		}
		if at(accepted.LocalAddr()) != at(c.RemoteAddr()) || at(accepted.RemoteAddr()) != at(c.LocalAddr()) {
			t.Errorf("%s: the ends do not agree", test.dial)
		}
		c.Close()
		accepted.Close()
		ln.Close()
	}
	for _, address := range []string{"", "lobby", "lobby:http", "lobby:70000", "::1:80"} {
		if _, err := n.Listen(address); err == nil {
			t.Errorf("listens on %q", address)
		}
		if _, err := n.Dial(t.Context(), address); err == nil {
			t.Errorf("connects to %q", address)
		}
	}
	ln := must(n.Listen("lobby:0"))
	if ln.Addr().(*net.TCPAddr).Port == must(n.Listen("lobby:0")).Addr().(*net.TCPAddr).Port {
		t.Error("the same port twice")
	}
	var bad *net.AddrError
	if _, err := (memnet.Dialer{Network: n, From: "phone"}).Dial(t.Context(), ln.Addr().String()); !errors.As(err, &bad) {
		t.Errorf("%v", err)
	}
}

// TestConns are those that somebody still has to close.
func TestConns(t *testing.T) {
	n := memnet.New(1)
	var clients, servers []*memnet.Conn
	for range 10 {
		a, b := n.Pair()
		clients, servers = append(clients, a), append(servers, b)
	}
	for i := range clients {
		clients[i].Reset()
		clients[i].Close()
		all := n.Conns()
		if len(all) != 10-i || all[0] != clients[i] || all[len(all)-1] != clients[9] {
			t.Fatalf("%d connections", len(all))
		}
		servers[i].Close()
	}
	if len(n.Conns()) != 0 {
		t.Error("some are left")
	}
}
