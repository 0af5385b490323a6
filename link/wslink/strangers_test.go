//go:build !js

package wslink_test

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"parlor/link/wslink"
)

// TestStrangersMakeRoom: however few connections there may be, strangers shut nobody out, whether they are
// upgraded or send nothing at all. Users stay.
func TestStrangersMakeRoom(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{Connections: 4, LoginTimeout: patience})
	alice := w.login(t, "alice")
	for i := range 12 {
		if i%2 == 0 {
			w.upgrade(t)
			continue
		}
		nc, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	bobby := w.login(t, "bobby")
	alice.works()
	bobby.works()
	if n := w.Stats().Refused.Load(); n < 9 {
		t.Errorf("%d counted", n)
	}
}

// TestCrowdPushesOutItsOwn: who comes when there are too many costs a stranger of the network that has most of them, not
// one who was there long before. A host's many addresses of IPv6 are one network.
func TestCrowdPushesOutItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const pending = 5
		w := startInMemory(t, wslink.Config{Pending: pending})
		w.from("198.51.100.7")
		stay := []*peer{w.upgrade(t)}
		var crowd []*peer
		for i := range 20 {
			w.from(fmt.Sprintf("2001:db8:1:2::%x", i))
			crowd = append(crowd, w.upgrade(t))
		}
		w.from("203.0.113.9")
		stay = append(stay, w.upgrade(t))
		gone := len(crowd) - (pending - len(stay))
		for i, p := range crowd[:gone] {
			if _, err := p.next(); err == nil {
				t.Errorf("number %d of the crowd is still there", i)
			}
		}
		for _, p := range append(stay, crowd[gone:]...) {
			p.message(ws.OpText, p.trade())
			p.expectClear(w)
		}
		if n := w.Stats().Refused.Load(); n != int64(gone) {
			t.Errorf("%d counted, want %d", n, gone)
		}
	})
}

// TestUnopenedCount: connections that send no request count with the others, and are no more together.
func TestUnopenedCount(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{Connections: 4, LoginTimeout: patience})
	users := []*peer{w.login(t, "alice"), w.login(t, "bobby")}
	var all []net.Conn
	for range 3 {
		nc, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		all = append(all, nc)
	}
	all[0].SetDeadline(time.Now().Add(patience))
	if _, err := all[0].Read(make([]byte, 1)); err == nil || w.Stats().Refused.Load() != 1 {
		t.Errorf("read: %v, %d counted", err, w.Stats().Refused.Load())
	}
	for _, u := range users {
		u.works()
	}
}

// TestNothingIsLeft: connections that end in any state, most of them as they are pushed out, leave nothing
// counted.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{Connections: 8, Pending: 5, StrangersSize: 150_000, LoginTimeout: patience, CloseTimeout: time.Second})
	nothing := func(when string) {
		t.Helper()
		for limit := time.Now().Add(patience); w.Left() != [6]int{}; time.Sleep(time.Millisecond) { // sleep: polls what has no event
			if time.Now().After(limit) {
				t.Errorf("left %s: %v", when, w.Left())
				return
			}
		}
	}
	defer func() {
		w.Close()
		// A visitor who had gone may be accepted only now; net/http tells of its end on a goroutine of its own.
		nothing("after the end")
	}()
	var crowd sync.WaitGroup
	for i := range 16 {
		crowd.Go(func() {
			for j := range 25 {
				w.visit(t, i+j)
			}
		})
	}
	crowd.Wait()
	nothing("of the crowd")
	if n := w.Stats().Refused.Load(); n == 0 {
		t.Error("nobody was pushed out")
	}
}

// visit is a connection that may end at any time, and does at some step.
func (w *wire) visit(t *testing.T, steps int) {
	nc, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	p := &peer{T: t, nc: nc, in: nc, key: newKey(t)}
	if p.tunnel, err = p.key.Tunnel(w.key.Public()); err != nil {
		t.Error(err)
		return
	}
	login := frame(ws.OpText, true, p.seal(loginText("alice")))
	steps %= 5
	for _, b := range [][]byte{
		[]byte(goodUpgrade + "\r\n"),
		frame(ws.OpText, true, p.largeTrade(40_000)),
		login,
		frame(ws.OpClose, true, []byte{3, 232}),
	}[:steps] {
		if _, err := nc.Write(b); err != nil {
			return
		}
		if _, err := nc.Read(make([]byte, 4096)); err != nil {
			return
		}
	}
	nc.Write(login[:len(login)/2]) // and the rest never comes
}
