package parlortest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
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
	phones  []*phone                // of all clients made so far
	trust   *tls.Config             // of clients on the wire PacketTLS, nil before the first
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
		if l.cfg.Limits.HashMemory == 0 { // a test's passwords are no secrets
			l.cfg.Limits.HashMemory, l.cfg.Limits.HashPasses = 8, 1
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
	addressWS     = "localhost:38929"
	addressPacket = "localhost:38930"
	addressTLS    = "localhost:38931"
)

// running is a server with its wires.
type running struct {
	lobby     *server.Server
	dead      *atomic.Bool
	logger    *slog.Logger // silent once it is dead
	wires     []wireServer
	listeners []net.Listener
	done      chan error // has an entry for each of those that serve
}

type wireServer interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// Start starts the server again that was stopped, or has crashed, with what it has stored.
func (l *Lobby) Start() {
	l.t.Helper()
	if l.server.Load() != nil {
		l.t.Fatal("parlortest: the server runs already")
	}
	dead := new(atomic.Bool)
	cfg := l.cfg
	cfg.Store, cfg.Logger = mortalStore{l.cfg.Store, dead}, slog.New(mortalLog{l.cfg.Logger.Handler(), dead})
	lobby, err := server.New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	r := &running{lobby: lobby, dead: dead, logger: cfg.Logger, done: make(chan error, 4)}
	go func() { // ends with Stop or Crash
		_, err := lobby.Run(context.Background())
		r.done <- err
	}()
	l.server.Store(r)
	ws, err := wslink.New(wslink.Config{Lobby: lobby, Key: l.key, Logger: r.logger})
	l.serve(ws, err, addressWS)
	l.servePackets(addressPacket, nil)
	if l.trust != nil {
		l.servePackets(addressTLS, l.trust)
	}
	synctest.Wait()
}

func (l *Lobby) servePackets(address string, secure *tls.Config) {
	l.t.Helper()
	r := l.server.Load()
	packets, err := packetlink.New(packetlink.Config{Lobby: r.lobby, TLS: secure, Logger: r.logger})
	l.serve(packets, err, address)
}

// serve has a wire listen, unless it could not be made.
func (l *Lobby) serve(w wireServer, err error, address string) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	ln, err := l.network.Listen(address)
	if err != nil {
		l.t.Fatal(err)
	}
	r := l.server.Load()
	r.wires, r.listeners = append(r.wires, w), append(r.listeners, ln)
	go func() { r.done <- w.Serve(ln) }() // ends with Stop or Crash
}

// secure has the wire PacketTLS be served, by a server that runs and by those that come.
func (l *Lobby) secure() {
	l.t.Helper()
	if l.trust != nil {
		return
	}
	cert, err := certificate()
	if err != nil {
		l.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	l.trust = &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool}
	if l.Server() != nil {
		l.servePackets(addressTLS, l.trust)
		synctest.Wait()
	}
}

// certificate is one for localhost that signs itself, good for a hundred years.
func certificate() (cert tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(100, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return cert, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// Stop has the server save, say goodbye, and end. Clients reconnect when it is started again. It does nothing if the server is
// stopped. A durable game is made of its save then: what happens to it behind a crash is shown by Crash.
func (l *Lobby) Stop() {
	l.t.Helper()
	if r := l.server.Swap(nil); r != nil {
		if err := r.end(); err != nil {
			l.t.Errorf("parlortest: %v", err)
		}
		synctest.Wait()
	}
}

// Crash ends the server as if it was killed, when all that happens at this moment of virtual time is done. Nothing is saved: what is there at the next
// Start is what was stored until now. A durable game is made of its last save, and all that was done since is done
// again by its code: if that does not do the same, which is logged as an error, the test fails. Any other game is as it was when it was last saved
// (server.Config.Autosave, 5 minutes, or the administrator's save), or gone.
//
// Clients are told nothing: their links are cut. They connect again by themselves when the server is started, and are resumed if they
// were in a durable game; a session of others is a new one. On pgnet's wire they are disconnected.
//
// The games of before, which are of no effect any more, may still hear of the end. It does nothing if the server is stopped.
func (l *Lobby) Crash() {
	l.t.Helper()
	synctest.Wait() // so that nobody runs until the links are cut, and hears of a store that takes nothing
	r := l.server.Swap(nil)
	if r == nil {
		return
	}
	r.dead.Store(true)
	for _, ln := range r.listeners {
		ln.Close()
	}
	for _, p := range l.phones {
		p.set(func() {}, true)
	}
	_ = r.end() // which goes wrong, as it cannot save
	synctest.Wait()
}

// end ends the server and its wires.
func (r *running) end() (err error) {
	r.lobby.Shutdown(0)
	wrong := func(who string, e error) {
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s ends with: %w", who, e))
		}
	}
	wrong("the server", <-r.done)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, wire := range r.wires {
		wrong("a wire of the server", wire.Shutdown(ctx))
		wrong("a wire of the server", <-r.done)
	}
	return err
}
