//go:build !js

package client_test

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/internal/memnet"
	"parlor/link/wslink"
	"parlor/server"
)

// nativeLobby is a server on the native wire, on a network in memory.
type nativeLobby struct {
	net     *memnet.Network
	address string
	game    *counting
	conns   []*memnet.Conn // that were dialed
	cut     func(c *memnet.Conn)
}

func startNative(t *testing.T) *nativeLobby {
	t.Helper()
	l := &nativeLobby{net: memnet.New(1), game: &counting{gate: make(chan struct{})}}
	srv, err := server.New(server.Config{
		AdminPassword: "secret", Logger: slog.New(slog.DiscardHandler), Limits: cheapHashes,
		Games: map[string]parlor.NewGame{"counting": func(r parlor.Room, _ string) (parlor.Game, error) { l.game.room = r; return l.game, nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := box.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := l.net.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.address = ln.Addr().String()
	wire, err := wslink.New(wslink.Config{Lobby: srv, Key: key, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ended, served := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); srv.Run(context.Background()) }() // ends with Shutdown
	go func() { defer close(served); wire.Serve(ln) }()               // ends with Close
	t.Cleanup(func() {
		srv.Shutdown(0)
		<-ended
		wire.Close()
		<-served
	})
	return l
}

func (l *nativeLobby) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	c, err := l.net.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if l.conns = append(l.conns, c); len(l.conns) == 1 && l.cut != nil {
		l.cut(c)
	}
	return c, nil
}

// TestNativeCutAtBytes: the connection of the native wire is cut within frames, on either way; all is there once and in order. The
// dialer has no key of its own, and the client gives it one for all links.
func TestNativeCutAtBytes(t *testing.T) {
	var login, whole [2]int64
	play := func(t *testing.T, cut func(c *memnet.Conn)) (got []string, resumed int64) {
		synctest.Test(t, func(t *testing.T) {
			l := startNative(t)
			l.cut = cut
			var j journal
			c, err := client.Dial(t.Context(), l.address, client.Config{
				Username: "alice", Password: "pw", Logger: quiet, Dialer: wslink.Dialer{DialContext: l.DialContext},
				OnPush: func(p *parlor.Push) { j.add("push %s", p.Message) },
				OnLost: func(n int) { j.add("lost %d", n) },
			})
			if err != nil {
				t.Fatal(err)
			}
			if !c.Streams() {
				t.Error("not on the native wire")
			}
			synctest.Wait()
			if cut == nil {
				login = [2]int64{l.conns[0].Out().Sent(), l.conns[0].In().Received()}
			}
			for i, text := range asks {
				c.Send(packet(text), j.callback(text))
				if i%2 == 0 {
					time.Sleep(2 * time.Second) // sleep: virtual
				}
			}
			time.Sleep(15 * time.Second) // sleep: virtual
			synctest.Wait()
			got = j.take()
			if cut == nil {
				whole = [2]int64{l.conns[0].Out().Sent(), l.conns[0].In().Received()}
			}
			if l.game.n != 4 {
				t.Errorf("%d requests were executed", l.game.n)
			}
			resumed = c.Stats().Resumed
			c.Close()
			c.Wait()
		})
		return got, resumed
	}
	want, _ := play(t, nil)
	if len(want) != 11 {
		t.Fatalf("undisturbed she sees %q", want)
	}
	played, cut := 0, 0
	for way := range 2 {
		if whole[way] < login[way]+300 {
			t.Fatalf("%d bytes of login, %d of all", login, whole)
		}
		for at := login[way] + 1; at < whole[way]; at += 23 {
			for _, do := range []memnet.Action{memnet.Reset, memnet.End} {
				played++
				for range 5 { // frames are joined in other ways each time, so the last bytes may not come: then it is played again
					got, resumed := play(t, func(c *memnet.Conn) {
						[]*memnet.Stream{c.Out(), c.In()}[way].Add(memnet.Fault{At: at, Do: do})
					})
					if !slices.Equal(got, want) || resumed > 1 {
						t.Errorf("cut at byte %d, way %d, %v: resumed %d times, saw %q", at, way, do, resumed, got)
					}
					if resumed > 0 {
						cut++
						break
					}
				}
			}
		}
	}
	if cut < played/2 { // these are many if all went into more frames without a cut than with one, which is up to the scheduler
		t.Errorf("only %d of %d were cut", cut, played)
	}
}
