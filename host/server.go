package host

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"parlor"
	"parlor/box"
	"parlor/internal/lockfile"
	"parlor/link"
	"parlor/link/packetlink"
	"parlor/link/wslink"
	"parlor/server"
	"parlor/store"
)

// Server is a lobby with its wires, its key and its store. Its methods may be called concurrently; Run
// is called once.
type Server struct {
	cfg       Config
	lobby     *server.Server
	ws        *wslink.Server
	listeners []net.Listener
	packets   *packetlink.Server // nil without Config.PacketListen, as are its listeners
	atPackets []net.Listener
	closers   []io.Closer // what was opened, in that order
	reached   string      // an address that others than this machine can reach; empty: there is none
	generated bool        // the administrator's password was made up here
	store     store.Store
	fresh     bool // the store had no settings when it was opened, which a server makes at its first start: it has had none
	hasAdmin  bool // it had the hash of an administrator's password
}

// shutdownWait is how long clients may hold up the end, from its beginning: the saves before and after their
// sessions count too, as others kill a program that takes long to end (Docker after 10 s).
const shutdownWait = 5 * time.Second

// Start opens everything: the store, the key, the listeners. When it returns, the ports are open; clients
// are answered once Run is called, which must follow, as it also frees everything. Ctx bounds the look-up of
// the address, the opening of the store, and the wait for it. An error says what could not be opened and what to try; nothing is left open
// then, and nothing that was saved is changed.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	at, err := resolve(ctx, cfg.Listen, parlor.DefaultPort)
	if err != nil {
		return nil, err
	}
	var packetsAt []netip.AddrPort
	if _, isUnix := unixPath(cfg.PacketListen); cfg.PacketListen != "" && !isUnix {
		if packetsAt, err = resolve(ctx, cfg.PacketListen, packetlink.DefaultPort); err != nil {
			return nil, fmt.Errorf("packet wire: %w", err)
		}
	}
	s := &Server{cfg: cfg}
	s.reached = cmp.Or(publicOf(cfg.Listen, at), publicOf(cfg.PacketListen, packetsAt))
	if s.cfg.AdminPassword == "" && s.reached != "" && s.hasNoAdmin() {
		return nil, s.noAdmin()
	}
	if publicOf(cfg.PacketListen, packetsAt) != "" && cfg.TLSCert == "" && !cfg.PacketInsecure {
		cfg.Logger.Warn("the packet wire has no TLS, and refuses logins from beyond the loopback: give --tls-cert and --tls-key, or --packet-insecure",
			"packet-listen", cfg.PacketListen)
	}
	tlsConfig, err := loadTLS(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, at, packetsAt, tlsConfig); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// start opens the ports first: whoever has them may have the store too, and a lobby that was opened saves at its end. Only a standby has
// none open while it waits.
func (s *Server) start(ctx context.Context, at, packetsAt []netip.AddrPort, secured *tls.Config) (err error) {
	if s.cfg.Standby {
		if err := s.openStore(ctx); err != nil {
			return err
		}
	}
	if s.listeners, err = listen(at, secured); err != nil {
		return listenError("--listen", s.cfg.Listen, err)
	}
	if s.cfg.PacketListen != "" {
		if s.atPackets, err = listenPackets(s.cfg.PacketListen, packetsAt); err != nil {
			return err
		}
	}
	if !s.cfg.Standby {
		if err := s.openStore(ctx); err != nil {
			return err
		}
	}
	if err := s.settleAdmin(); err != nil {
		return err
	}
	return s.open(secured)
}

// hasNoAdmin tells whether it can be seen before the store is opened that there is no administrator's password in it.
func (s *Server) hasNoAdmin() bool {
	return s.cfg.SaveFile != "" || !s.keeps() || isFolder(s.cfg.Store) && !isThere(filepath.Join(s.cfg.Store, databaseName))
}

func (s *Server) noAdmin() error {
	return fmt.Errorf("%s can be reached from other machines: give an administrator password "+
		"(--admin-password or PARLOR_ADMIN_PASSWORD), or listen at localhost", s.reached)
}

// settleAdmin makes up the administrator's password if none was given, and the store has none.
func (s *Server) settleAdmin() error {
	switch {
	case s.cfg.AdminPassword != "" || s.hasAdmin:
		return nil
	case s.reached != "":
		return s.noAdmin()
	}
	s.cfg.AdminPassword, s.generated = newPassword(), true
	return nil
}

// publicOf is an address that others than this machine can reach, else empty.
func publicOf(listen string, at []netip.AddrPort) string {
	if public(at) {
		return listen
	}
	return ""
}

// open opens the key, behind the store, as a name that is none shall not leave a key beside it, and makes the lobby and the wires.
func (s *Server) open(secured *tls.Config) error {
	key, nonces, err := s.openKey()
	if err != nil {
		return err
	}
	st := s.store
	if !s.keeps() {
		st = nil
	}
	s.lobby, err = server.New(server.Config{
		Games: s.cfg.Games, DefaultKind: s.cfg.DefaultKind,
		AdminPassword:  s.cfg.AdminPassword,
		NoRegistration: s.cfg.NoRegistration, RequirePassword: s.cfg.RequirePassword,
		NoAutoCreate: s.cfg.NoAutoCreate, Takeover: s.cfg.Takeover, Verbose: s.cfg.Verbose,
		ResumeWindow: s.cfg.ResumeWindow,
		OnConnection: s.cfg.OnConnection,
		Store:        st, PgnetPasswords: s.cfg.SaveFile != "", NoJournals: s.cfg.SaveFile != "", Autosave: s.cfg.Autosave,
		SaveEvery: s.cfg.SaveEvery, KeepJournals: s.cfg.KeepJournals, Divergence: s.cfg.Divergence,
		PublicKey: key.Public(), Limits: s.cfg.Limits, Logger: s.cfg.Logger,
	})
	if err != nil {
		return err
	}
	proxies, err := parseProxies(s.cfg.TrustedProxies)
	if err != nil {
		return err
	}
	wire := s.cfg.Wire
	wire.Lobby, wire.Key, wire.Nonces = s.lobby, key, nonces
	wire.Origins, wire.TrustedProxies, wire.Logger = s.cfg.Origins, proxies, s.cfg.Logger
	if s.ws, err = wslink.New(wire); err != nil || s.cfg.PacketListen == "" {
		return err
	}
	packets := s.cfg.Packets
	packets.Ping = pingData(packets.Ping, key.Public())
	packets.Lobby, packets.AllowClear, packets.Logger = s.lobby, s.cfg.PacketInsecure, s.cfg.Logger
	if secured != nil {
		packets.TLS = secured.Clone()
		packets.TLS.NextProtos = nil // those of HTTP
	}
	s.packets, err = packetlink.New(packets)
	return err
}

// keeps tells whether anything outlives the process.
func (s *Server) keeps() bool { return s.cfg.SaveFile != "" || s.cfg.Store != MemoryStore }

// PingKey is where the answers to pings of the packet wire say that it is a lobby's (docs/PROTOCOL.md, section 4.1): a map. The rest is what
// Config.Packets has for Ping.
const PingKey = "parlor"

// pingData is what strangers are told who ping: what they may be told on WebSocket too, and the program's own data.
func pingData(own map[string]any, publicKey string) map[string]any {
	data := map[string]any{}
	maps.Copy(data, own)
	data[PingKey] = map[string]any{"version": link.Version, "wires": []any{"native", "packet", "pgnet"}, "public_key": publicKey}
	return data
}

// openKey opens the key file, and the file of logins beside it.
func (s *Server) openKey() (*box.Key, *wslink.Nonces, error) {
	if s.cfg.KeyFile == "" {
		key, err := box.NewKey()
		return key, nil, err
	}
	_, missing := os.Stat(s.cfg.KeyFile)
	key, err := box.LoadKey(s.cfg.KeyFile)
	if err != nil {
		return nil, nil, err
	}
	if !s.fresh && errors.Is(missing, fs.ErrNotExist) {
		s.cfg.Logger.Warn("what is stored has no key file with it, so that a new key was made: clients that give the old one with "+
			"--pubkey will refuse this server; if there was one, end the server and restore it from a copy",
			"store", s.store.Path(), "key", s.cfg.KeyFile)
	}
	logins := LoginsFile(s.cfg.KeyFile)
	lock, err := lockfile.Acquire(logins) // two servers would overwrite what the other remembers
	if err != nil {
		return nil, nil, fmt.Errorf("open file of logins: %w", err)
	}
	if lock != nil {
		s.closers = append(s.closers, lock)
	}
	nonces, err := wslink.OpenNonces(logins)
	if err != nil {
		return nil, nil, err
	}
	s.closers = append(s.closers, nonces)
	return key, nonces, nil
}

func loadTLS(cfg Config) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}, nil
}

// Addrs are the addresses that the server listens at for WebSocket connections.
func (s *Server) Addrs() []net.Addr { return addrs(s.listeners) }

// PacketAddrs are those that it listens at for the packet wire.
func (s *Server) PacketAddrs() []net.Addr { return addrs(s.atPackets) }

func addrs(listeners []net.Listener) (all []net.Addr) {
	for _, ln := range listeners {
		all = append(all, ln.Addr())
	}
	return all
}

// Lobby is the lobby, for programs that look at it or change it.
func (s *Server) Lobby() *server.Server { return s.lobby }

// Wire is the server of the WebSocket connections, for its counters.
func (s *Server) Wire() *wslink.Server { return s.ws }

// Packets is the server of the packet wire, for its counters; nil if there is none.
func (s *Server) Packets() *packetlink.Server { return s.packets }

// AdminPassword is the administrator's password, and whether it was made up at the start. It is empty if the store has it, which knows a
// hash of it only.
func (s *Server) AdminPassword() (password string, generated bool) {
	return s.cfg.AdminPassword, s.generated
}

// Run serves until Lobby().Shutdown, an administrator's shutdown, or the end of ctx. It blocks, ends in
// order (save, close connections with 1001, save again), and returns the exit code of section 12.2. The
// error is that of a listener or of the last save.
func (s *Server) Run(ctx context.Context) (exitCode int, err error) {
	serving, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	for _, ln := range s.listeners {
		wg.Go(func() { // ends with close, below
			if err := s.ws.Serve(ln); err != nil {
				fail(fmt.Errorf("accept connections: %w", err))
			}
		})
	}
	for _, ln := range s.atPackets {
		wg.Go(func() { // likewise
			if err := s.packets.Serve(ln); err != nil {
				fail(fmt.Errorf("accept connections of the packet wire: %w", err))
			}
		})
	}
	ending, cut := context.WithCancel(context.Background())
	defer cut()
	wg.Go(func() { // ends with close, below
		<-s.lobby.Stopped()
		select {
		case <-time.After(shutdownWait):
			cut()
		case <-ending.Done():
		}
	})
	exitCode, err = s.lobby.Run(serving)
	if ctx.Err() == nil { // the program was not asked to end: by the lobby itself, or by a listener
		err = errors.Join(err, context.Cause(serving))
	}
	err = errors.Join(err, s.close(ending))
	cut()
	wg.Wait()
	return exitCode, err
}

// close closes the wires, whose clients are cut off when ctx ends, and then what was opened, the last first.
func (s *Server) close(ctx context.Context) error {
	var errs []error
	if s.ws != nil {
		errs = append(errs, s.ws.Shutdown(ctx))
	}
	if s.packets != nil {
		errs = append(errs, s.packets.Shutdown(ctx))
	}
	closeAll(s.listeners)
	closeAll(s.atPackets)
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i].Close())
	}
	return errors.Join(errs...)
}
