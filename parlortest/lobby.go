package parlortest

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/box"
	"parlor/internal/memnet"
	"parlor/link/packetlink"
	"parlor/link/wslink"
	"parlor/server"
	"parlor/store"
)

// AdminPassword is the administrator's password, if the configuration of a test has none.
const AdminPassword = "admin password"

// Lobby is a running server, and the network that its clients are on.
type Lobby struct {
	t       *testing.T
	cfg     server.Config
	key     *box.Key
	network *memnet.Network
	server  atomic.Pointer[running] // nil while it is stopped
}

// Run runs a test with a server for one kind of game, in virtual time.
func Run(t *testing.T, game parlor.NewGame, test func(t *testing.T, l *Lobby)) {
	t.Helper()
	RunServer(t, server.Config{Games: map[string]parlor.NewGame{"game": game}}, test)
}

// RunServer is Run with a server of a given configuration. What it leaves out is filled in: AdminPassword, a Logger that writes
// to the log of the test, a Store in memory, and a Seed, so that the random sources of rooms give the same in each run. What that Logger
// gets as an error, such as a game that panics, is an error of the test; give another one to a test that wants it to happen.
//
// The test runs in a bubble of testing/synctest, and begins at midnight UTC 2000-01-01. The server has saved and ended, and all clients
// have ended, before RunServer returns. Goroutines that do not end, such as that of a game whose method does not return, are an error
// of the test, which shows where they are.
func RunServer(t *testing.T, cfg server.Config, test func(t *testing.T, l *Lobby)) {
	t.Helper()
	var b bubble
	defer b.check(t)
	synctest.Test(t, func(t *testing.T) {
		b.enter()
		l := &Lobby{t: t, cfg: cfg, network: memnet.New(1)}
		if l.cfg.AdminPassword == "" {
			l.cfg.AdminPassword = AdminPassword
		}
		if l.cfg.Logger == nil {
			l.cfg.Logger = logger(t)
		}
		if l.cfg.Store == nil {
			l.cfg.Store = &store.Memory{}
		}
		if l.cfg.Seed == [2]uint64{} {
			l.cfg.Seed = [2]uint64{1, 2}
		}
		var err error
		if l.key, err = box.NewKey(); err != nil {
			t.Fatal(err)
		}
		l.cfg.PublicKey = l.key.Public()
		l.Start()
		t.Cleanup(func() {
			l.Stop()
			time.Sleep(time.Hour) // sleep: virtual; a game that is only slow has ended then
		})
		test(t, l)
	})
}

// Step lets virtual time pass, and returns when nothing more happens at the moment at its end.
func (l *Lobby) Step(d time.Duration) {
	time.Sleep(d) // sleep: virtual time
	synctest.Wait()
}

// Settle returns when nothing more happens at this moment of virtual time: every message that takes no time has arrived and
// was handled.
func (l *Lobby) Settle() { synctest.Wait() }

// Server is the server that runs, for its counters; nil while it is stopped.
func (l *Lobby) Server() *server.Server {
	if r := l.server.Load(); r != nil {
		return r.lobby
	}
	return nil
}

// The addresses at which the wires listen.
const (
	addressWS     = "127.0.0.1:38929"
	addressPacket = "127.0.0.1:38930"
	addressTLS    = "localhost:38931" // packets over TLS, for tests of our own
)

// running is a server with its wires.
type running struct {
	lobby   *server.Server
	ws      *wslink.Server
	packets *packetlink.Server
	done    chan error // has an entry for each of those that serve
}

// Start starts the server again that was stopped, with what it has saved.
func (l *Lobby) Start() {
	l.t.Helper()
	if l.server.Load() != nil {
		l.t.Fatal("parlortest: the server runs already")
	}
	r := &running{done: make(chan error, 3)}
	var err error
	if r.lobby, err = server.New(l.cfg); err != nil {
		l.t.Fatal(err)
	}
	if r.ws, err = wslink.New(wslink.Config{Lobby: r.lobby, Key: l.key, Logger: l.cfg.Logger}); err != nil {
		l.t.Fatal(err)
	}
	if r.packets, err = packetlink.New(packetlink.Config{Lobby: r.lobby, Logger: l.cfg.Logger}); err != nil {
		l.t.Fatal(err)
	}
	go func() { // ends with Stop, as those below
		_, err := r.lobby.Run(context.Background())
		r.done <- err
	}()
	go func() { r.done <- r.ws.Serve(l.listen(addressWS)) }()
	go func() { r.done <- r.packets.Serve(l.listen(addressPacket)) }()
	l.server.Store(r)
	synctest.Wait()
}

func (l *Lobby) listen(address string) net.Listener {
	ln, err := l.network.Listen(address)
	if err != nil {
		panic(fmt.Sprintf("parlortest: %v", err)) // never: the server before has ended
	}
	return ln
}

// Stop has the server save, say goodbye, and end. Clients reconnect when it is started again. It does nothing if the server is
// stopped.
func (l *Lobby) Stop() {
	l.t.Helper()
	r := l.server.Swap(nil)
	if r == nil {
		return
	}
	r.lobby.Shutdown(0)
	if err := <-r.done; err != nil {
		l.t.Errorf("parlortest: the server ends with: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, wire := range []interface{ Shutdown(context.Context) error }{r.ws, r.packets} {
		if err := wire.Shutdown(ctx); err != nil {
			l.t.Errorf("parlortest: a wire of the server ends with: %v", err)
		}
		if err := <-r.done; err != nil {
			l.t.Errorf("parlortest: a wire of the server ends with: %v", err)
		}
	}
	synctest.Wait()
}
