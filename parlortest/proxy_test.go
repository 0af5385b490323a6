package parlortest_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/host"
	"parlor/internal/certtest"
	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/packetlink"
	"parlor/link/wslink"
)

// TestProxy: the same over real sockets, and in real time. Two clients talk over proxies that cut each of their connections at a random
// byte, in one way or the other. Everything is executed once and seen once, in the same order by both.
func TestProxy(t *testing.T) {
	for _, wire := range []string{"native", "packet"} {
		for _, secure := range []bool{false, true} {
			name := wire
			if secure {
				name += " over TLS"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				testProxy(t, wire, secure)
			})
		}
	}
}

func testProxy(t *testing.T, wire string, secure bool) {
	var log []string // the room's, until the server has ended
	cfg := host.Config{
		Listen: "localhost:0", PacketListen: "localhost:0", AdminPassword: "secret",
		Logger: slog.New(slog.DiscardHandler), Out: io.Discard,
		Games: map[string]parlor.NewGame{"tally": func(r parlor.Room, _ string) (parlor.Game, error) { return &tally{r, &log}, nil }},
	}
	var trust *tls.Config
	if secure {
		cfg.TLSCert, cfg.TLSKey = certtest.Make(t)
		trust = &tls.Config{RootCAs: certtest.Pool(t, cfg.TLSCert), ServerName: "localhost"}
	}
	srv, err := host.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { // ends with Shutdown
		_, err := srv.Run(t.Context())
		ran <- err
	}()
	stop := sync.OnceFunc(func() {
		srv.Lobby().Shutdown(0)
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)

	at := srv.Addrs()[0]
	if wire == "packet" {
		at = srv.PacketAddrs()[0]
	}
	players := []*proxied{newProxied(t, "ann", 1, at, wire, trust), newProxied(t, "bob", 2, at, wire, trust)}
	const requests = 500 // of each
	var talking sync.WaitGroup
	for _, p := range players {
		talking.Go(func() { // ends when all is said
			for i := range requests {
				p.send(t, p.Client, fmt.Sprint(i), parlor.Payload{})
				if i%10 == 9 {
					p.settle(t)
				}
			}
		})
	}
	talking.Wait()
	for _, p := range players {
		p.settle(t)
		if p.Game() != "table" {
			t.Errorf("%s is in game %q: %s", p.user, p.Game(), p.Status())
		}
		p.Close()
		p.Wait()
	}
	stop()

	want, asked := map[string][]string{}, map[string]int{}
	for n, line := range log {
		user, message, _ := strings.Cut(line, " ")
		if message != fmt.Sprint(asked[user]) {
			t.Fatalf("executed as number %d: %s", n, line)
		}
		asked[user]++
		for _, p := range players {
			want[p.user] = append(want[p.user], fmt.Sprint("did ", parlor.Encode(parlor.Map{"what": line, "n": n + 1})))
		}
		want[user] = append(want[user], fmt.Sprintf("%s: done %[1]s %s", message, parlor.Encode(parlor.Map{"n": n + 1})))
	}
	if len(log) != 2*requests {
		t.Errorf("%d requests were executed", len(log))
	}
	for _, p := range players {
		if !slices.Equal(p.lines, want[p.user]) {
			t.Errorf("%s was told\n%q\nwant\n%q", p.user, p.lines, want[p.user])
		}
		s := p.Stats()
		t.Logf("%s has come back %d times", p.user, s.Resumed)
		if s.Resumed < 5 || s.Resumed != s.Links || s.PushesLost != 0 {
			t.Errorf("%s: %+v", p.user, s)
		}
	}
}

// proxied is a client behind a proxy, and what it was told.
type proxied struct {
	*client.Client
	notebook
	user string
}

// settle waits until she has been told all that was executed so far: the answer comes behind it.
func (p *proxied) settle(t *testing.T) {
	if _, err := p.Request(t.Context(), parlor.RequestHelp, nil); err != nil {
		t.Error(err)
	}
}

// newProxied has a user join the table. The seed says where her connections are cut.
func newProxied(t *testing.T, user string, seed uint64, at net.Addr, wire string, trust *tls.Config) *proxied {
	most := int64(3000)
	if trust != nil {
		most = 6000 // or nobody would come through the handshake
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	proxy, err := memnet.NewProxy(at.String(), func(n int) (up, down []memnet.Fault) {
		cut := []memnet.Fault{{At: rng.Int64N(most), Do: []memnet.Action{memnet.Reset, memnet.End}[n%2]}}
		if rng.IntN(2) == 0 {
			return cut, nil
		}
		return nil, cut
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	key, err := box.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	address := proxy.Addr()
	var dialer link.Dialer = packetlink.Dialer{TLS: trust, Logger: slog.New(slog.DiscardHandler)}
	if wire == "native" {
		dialer = wslink.Dialer{Key: key, TLS: trust}
		if trust != nil {
			address = "wss://" + address
		}
	}
	p := &proxied{user: user}
	p.Client, err = client.New(address, client.Config{
		Username: user, Password: "pw", Dialer: dialer, Logger: slog.New(slog.DiscardHandler),
		Reconnect: client.Reconnect{Min: time.Millisecond, Max: 10 * time.Millisecond},
		Timeout:   time.Minute, // the machine may be busy
		OnPush:    func(push *parlor.Push) { p.note("%s %s", push.Message, push.Payload) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		p.Wait()
	})
	for range 20 {
		if err = p.Connect(t.Context()); err == nil {
			break
		}
		var why *client.DisconnectedError // cut while she logs in
		if !errors.As(err, &why) {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.JoinGame(t.Context(), "table", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	return p
}
