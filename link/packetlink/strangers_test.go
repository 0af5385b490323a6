package packetlink_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/certtest"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/packetlink"
	"parlor/packet"
)

// door is a server with little room, in memory.
type door struct {
	*packetlink.Server
	t *testing.T
	n *memnet.Network
}

const doorAddress = "192.0.2.7:38930"

func newDoor(t *testing.T, cfg packetlink.Config) *door {
	t.Helper()
	cfg.Lobby, cfg.AllowClear = newScripted(), true
	n, srv := listenServer(t, cfg, doorAddress)
	return &door{srv, t, n}
}

// dial is a socket from an address. The server has seen it when it returns.
func (d *door) dial(from string) raw {
	d.t.Helper()
	nc, err := memnet.Dialer{Network: d.n, From: from}.Dial(d.t.Context(), doorAddress)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { nc.Close() })
	synctest.Wait()
	return raw{d.t, nc}
}

// user is who has logged in.
func (d *door) user(from string) raw {
	d.t.Helper()
	r := d.dial(from)
	if e := r.login(); e.Status != parlor.StatusOK {
		d.t.Fatalf("answered %q", e.Message)
	}
	synctest.Wait()
	return r
}

// works asks the session of a user something.
func (r raw) works(id uint64) {
	r.t.Helper()
	r.request(id, "move", map[string]any{})
	if e := r.envelope(); e.Message != "moved" {
		r.t.Errorf("answered %q", e.Message)
	}
	r.envelope() // the push
}

// isOut tells whether the other side has gone already, without a word.
func (r raw) isOut() bool {
	r.SetReadDeadline(time.Now().Add(time.Nanosecond))
	defer r.SetReadDeadline(time.Time{})
	for { // what came before is left out
		switch _, err := r.Read(make([]byte, 1<<10)); err {
		case nil:
		default:
			timeout, ok := err.(net.Error)
			return !ok || !timeout.Timeout()
		}
	}
}

func (d *door) counts(refused int64, links, strangers int) {
	d.t.Helper()
	synctest.Wait()
	if n := d.Stats().Refused.Load(); n != refused {
		d.t.Errorf("%d were counted, want %d", n, refused)
	}
	if left := d.Left(); left[0] != links || left[1] != strangers || left[3] != links {
		d.t.Errorf("there are %d links, %d strangers and %d connections, want %d, %d and %d", left[0], left[1], left[3], links, strangers, links)
	}
}

// TestStalledTLS: a TLS handshake that does not go on is a stranger as any other, who makes room for others.
func TestStalledTLS(t *testing.T) {
	cert, key := certtest.Make(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, limits := range map[string]packetlink.Config{
		"Pending":     {Pending: 3},
		"Connections": {Connections: 4},
	} {
		virtual(t, name, func(t *testing.T) {
			limits.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			d := newDoor(t, limits)
			user := func(from string) link.StreamConn {
				t.Helper()
				secure := &tls.Config{RootCAs: certtest.Pool(t, cert), ServerName: "localhost", Time: certTime(t, pair)}
				conn, err := dialing(packetlink.Dialer{DialContext: memnet.Dialer{Network: d.n, From: from}.DialContext, TLS: secure}, doorAddress)(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				login := parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"password": "secret"})}
				if _, w, err := conn.Login(t.Context(), login, link.Offer{}); err != nil || w == nil {
					t.Fatalf("welcome %v, error %v", w, err)
				}
				synctest.Wait()
				return conn
			}
			alice := user("198.51.100.7")
			lonely := d.dial("198.51.100.8")
			var crowd []raw
			for i := range 10 {
				r := d.dial("203.0.113.9")
				if i%2 == 0 {
					r.send([]byte{22, 3, 1, 1}) // the begin of a ClientHello
				}
				crowd = append(crowd, r)
			}
			d.counts(8, 4, 3)
			for i, r := range crowd {
				if out := r.isOut(); out != (i < 8) {
					t.Errorf("number %d of the crowd is out: %t", i, out)
				}
			}
			bobby := user("203.0.113.9") // of the same network
			d.counts(9, 4, 2)
			if !crowd[8].isOut() || crowd[9].isOut() || lonely.isOut() {
				t.Error("the wrong one had to go")
			}
			for _, conn := range []link.StreamConn{alice, bobby} {
				if err := conn.Write(t.Context(), &link.Envelope{Kind: link.KindRequest, ID: 1, Message: "move", Payload: parlor.Encode(parlor.Map{})}); err != nil {
					t.Fatal(err)
				}
				if es, err := conn.Read(t.Context()); err != nil || es[0].Message != "moved" {
					t.Errorf("read %v, error %v", es, err)
				}
			}
			time.Sleep(6 * time.Second) // sleep: virtual, for Config.LoginTimeout
			d.counts(9, 2, 0)
			if n := d.Packets().HandshakeTimeout.Load(); n != 2 {
				t.Errorf("%d have run out of time", n)
			}
		})
	}
}

// TestFull: over Config.Connections strangers make room, and who comes when there are only users hears why he is turned away.
func TestFull(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		d := newDoor(t, packetlink.Config{Connections: 3})
		users := []raw{d.user("198.51.100.1"), d.user("198.51.100.2")}
		stranger := d.dial("198.51.100.3")
		users = append(users, d.user("198.51.100.4"))
		if !stranger.isOut() {
			t.Error("the stranger is there still")
		}
		d.counts(1, 3, 0)
		for range 5 {
			r := d.dial("198.51.100.5")
			if reason := r.reason(); reason != packet.ReasonServerFull {
				t.Errorf("turned away with %v", reason)
			}
		}
		_, err := dialing(packetlink.Dialer{DialContext: memnet.Dialer{Network: d.n, From: "198.51.100.6"}.DialContext, AllowClear: true}, doorAddress)(t.Context())
		if why := (*link.CloseError)(nil); !errors.As(err, &why) || why.Code != link.CloseTryAgain {
			t.Errorf("the client got %v", err)
		}
		d.counts(7, 3, 0)
		for i, u := range users {
			u.works(uint64(1))
			if i == 0 {
				u.sendValue(packet.IDCloseConnection, map[string]any{"reason": "parlor:1000"})
				u.Close()
			}
		}
		d.counts(7, 2, 0)
		d.user("198.51.100.5").works(1)
		d.counts(7, 3, 0)
	})
}

// TestLargeLimits: limits may be as large as one likes.
func TestLargeLimits(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		newDoor(t, packetlink.Config{Connections: math.MaxInt, Pending: math.MaxInt}).user("198.51.100.1").works(1)
	})
}

// TestLonelyStranger: over Config.Connections, too, a crowd pushes out its own.
func TestLonelyStranger(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		d := newDoor(t, packetlink.Config{Connections: 5})
		user := d.user("198.51.100.1")
		lonely := d.dial("198.51.100.7")
		var crowd []raw
		for i := range 20 {
			crowd = append(crowd, d.dial(fmt.Sprintf("2001:db8:1:2::%x", i)))
		}
		d.counts(17, 5, 4)
		for i, r := range crowd {
			if out := r.isOut(); out != (i < 17) {
				t.Errorf("number %d of the crowd is out: %t", i, out)
			}
		}
		if e := lonely.login(); e.Status != parlor.StatusOK {
			t.Errorf("answered %q", e.Message)
		}
		user.works(1)
		d.counts(17, 5, 3)
	})
}

// TestLingerers: connections that were closed and do not go away count until they have, and are pushed out sooner.
func TestLingerers(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		d := newDoor(t, packetlink.Config{Connections: 4, CloseTimeout: time.Minute})
		user := d.user("198.51.100.1")
		var crowd []raw
		for range 3 {
			r := d.dial("203.0.113.9")
			r.announce("parlor")
			r.send(frame(64, []byte{0xc0}))
			crowd = append(crowd, r)
		}
		d.counts(0, 4, 3)
		begun := time.Now()
		other := d.user("203.0.113.10")
		d.counts(1, 4, 2)
		if !crowd[0].isOut() || crowd[1].isOut() || crowd[2].isOut() {
			t.Error("the wrong one had to go")
		}
		if took := time.Since(begun); took > time.Microsecond {
			t.Errorf("it took %v", took)
		}
		user.works(1)
		other.works(1)
		time.Sleep(2 * time.Minute) // sleep: virtual, for Config.CloseTimeout
		d.counts(1, 0, 0)           // the users were silent
		if n := d.Stats().Violations.Load(); n != 3 {
			t.Errorf("%d violations", n)
		}
	})
}

// TestLoginTimeoutCountsOnce: who does not log in, and does not go away either, is counted once.
func TestLoginTimeoutCountsOnce(t *testing.T) {
	virtual(t, "", func(t *testing.T) {
		d := newDoor(t, packetlink.Config{CloseTimeout: 10 * time.Second})
		r := d.dial("203.0.113.9")
		r.announce("parlor")
		time.Sleep(12 * time.Second) // sleep: virtual
		d.counts(0, 1, 1)
		time.Sleep(time.Minute) // sleep: virtual
		d.counts(0, 0, 0)
		if n := d.Stats().LoginTimeout.Load(); n != 1 {
			t.Errorf("%d counted", n)
		}
	})
}

// TestNothingIsLeft: connections that end in any state, many of them as they are pushed out, leave nothing counted.
func TestNothingIsLeft(t *testing.T) {
	cert, key := certtest.Make(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, secured := range []bool{false, true} {
		virtual(t, fmt.Sprint("TLS ", secured), func(t *testing.T) {
			var cfg packetlink.Config
			if secured {
				cfg.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			}
			cfg.Lobby, cfg.Connections, cfg.Pending = scripted{closed: make(chan bool, 1000)}, 8, 5
			n, srv := listenServer(t, cfg, "127.0.0.1:38930")
			var crowd sync.WaitGroup
			for i := range 16 {
				crowd.Go(func() {
					for j := range 25 {
						visit(t, n, secured, i+j)
					}
				})
			}
			crowd.Wait()
			synctest.Wait()
			if left := srv.Left(); left != [4]int{} {
				t.Errorf("left: %v", left)
			}
			if n := srv.Stats().Refused.Load(); n == 0 {
				t.Error("nobody was pushed out")
			}
		})
	}
}

// visit is a connection that may end at any time, and does at some step.
func visit(t *testing.T, n *memnet.Network, secured bool, steps int) {
	nc, err := n.Dial(t.Context(), "127.0.0.1:38930")
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	var c net.Conn = nc
	if secured && steps%3 > 0 { // else what it says is no TLS
		c = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	login := frame(64, []byte{0x95, 0, 0, 0, 0xa0, 0x81, 0xa8, 'p', 'a', 's', 's', 'w', 'o', 'r', 'd', 0xa6, 's', 'e', 'c', 'r', 'e', 't'})
	for _, b := range [][]byte{
		packet.AppendFrame(nil, packet.IDSetType, 0, append([]byte{0x81, 0xa8}, "conntype\xa6parlor"...)),
		login,
		frame(64, []byte{0xc0}),
	}[:steps%4] {
		if _, err := c.Write(b); err != nil {
			return
		}
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			return
		}
	}
	c.Write(login[:len(login)/2]) // and the rest never comes
	if steps%5 == 0 {
		io.Copy(io.Discard, c) // until it is pushed out, or for Config.LoginTimeout
	}
}
