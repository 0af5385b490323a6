package server_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/password"
	"parlor/internal/snapshot"
	"parlor/link"
	"parlor/link/memlink"
	"parlor/server"
	"parlor/store"
)

const adminPassword = "the root of it"

// script is what the hooks of a test's game do; a nil one does nothing.
type script struct {
	create     func(room parlor.Room, save string) error
	joined     func(user string)
	left       func(user string)
	packet     func(p parlor.Packet) parlor.Response
	heartbeat  func(p parlor.Packet) parlor.Response
	rate       func() float64
	info       func() string
	save       func() string
	update     func()
	persistent func() bool
	maxUsers   func() int
}

// actor plays a script.
type actor struct {
	script
	room parlor.Room
}

// updater is an actor whose script has an update.
type updater struct{ *actor }

func (u updater) Update() { u.update() }

// play makes games of one script.
func play(s script) parlor.NewGame {
	return func(room parlor.Room, save string) (parlor.Game, error) {
		if s.create != nil {
			if err := s.create(room, save); err != nil {
				return nil, err
			}
		}
		a := &actor{script: s, room: room}
		if s.update != nil {
			return updater{a}, nil
		}
		return a, nil
	}
}

func (a *actor) HandleGamePacket(p parlor.Packet) parlor.Response {
	if a.packet != nil {
		return a.packet(p)
	}
	return parlor.OK("got " + p.Message)
}

func (a *actor) HandleHeartbeat(p parlor.Packet) parlor.Response {
	if a.heartbeat != nil {
		return a.heartbeat(p)
	}
	return parlor.OK("beat")
}

func (a *actor) UserJoined(user string) { call(a.joined, user) }
func (a *actor) UserLeft(user string)   { call(a.left, user) }

func call(hook func(string), user string) {
	if hook != nil {
		hook(user)
	}
}

func (a *actor) HeartbeatRate() float64 { return ask(a.rate, parlor.DefaultHeartbeatRate) }
func (a *actor) LobbyInfo() string      { return ask(a.info, "") }
func (a *actor) SaveString() string     { return ask(a.save, "") }
func (a *actor) Persistent() bool       { return ask(a.persistent, false) }
func (a *actor) MaxUsers() int          { return ask(a.maxUsers, 0) }

func ask[T any](hook func() T, otherwise T) T {
	if hook != nil {
		return hook()
	}
	return otherwise
}

func always[T any](v T) func() T { return func() T { return v } }

// logs collects what a server logs.
type logs struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// String is what the server has logged when nothing is under way any more: a room, say, logs from a goroutine of its own.
func (l *logs) String() string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) has(t *testing.T, text string) {
	t.Helper()
	if !strings.Contains(l.String(), text) {
		t.Errorf("the log does not say %q:\n%s", text, l.String())
	}
}

// world is a running server within the test's process, and the guests it may have.
type world struct {
	t    *testing.T
	srv  *server.Server
	log  *logs
	over chan struct{} // closed when Run has returned
	code int           // of Run, once it is over
	err  error
}

// start runs a server of games of one script, until the test ends. What the config leaves open is filled in.
func start(t *testing.T, cfg server.Config, s script) *world {
	t.Helper()
	w := &world{t: t, log: new(logs), over: make(chan struct{})}
	if cfg.Games == nil {
		cfg.Games = map[string]parlor.NewGame{"": play(s)}
	}
	cfg.Limits.HashMemory, cfg.Limits.HashPasses = cheap.Memory, cheap.Passes
	if cfg.AdminPassword == "" {
		cfg.AdminPassword = adminPassword
	}
	cfg.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if w.srv, err = server.New(cfg); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with Shutdown; stop waits
		defer close(w.over)
		w.code, w.err = w.srv.Run(context.Background())
	}()
	t.Cleanup(w.stop)
	return w
}

// stop ends the server and waits for it. It may be called again.
func (w *world) stop() {
	w.srv.Shutdown(0)
	<-w.over
}

// inWorld runs a test in virtual time with a server of its own.
func inWorld(t *testing.T, cfg server.Config, s script, run func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { run(t, start(t, cfg, s)) })
}

// guest is a client's connection.
type guest struct {
	t      *testing.T
	conn   link.Conn
	beside bool // played by a goroutine beside the test's own, which is the only one that waits for the server
}

// peer is a lobby that sees its links come from another place, or with other abilities, than they do.
type peer struct {
	link.Lobby
	change func(link.Link) link.Link
}

func (p peer) Open(l link.Link) (link.Session, error) { return p.Lobby.Open(p.change(l)) }

// linkAt is a link from an address.
type linkAt struct {
	link.Link
	addr netip.Addr
}

func (l linkAt) Peer() link.Peer {
	return link.Peer{Addr: l.addr, Remote: netip.AddrPortFrom(l.addr, 4711).String(), Key: "ABCDEFGHIJ"}
}

// tightLink takes responses of a few bytes only.
type tightLink struct{ link.Link }

func (l tightLink) Send(r parlor.Response) error {
	if len(r.Payload.JSON()) > 100 {
		return link.ErrTooLarge
	}
	return l.Link.Send(r)
}

// connect dials the server.
func (w *world) connect() *guest {
	w.t.Helper()
	return dial(w.t, w.srv)
}

// connectFrom dials the server from an address.
func (w *world) connectFrom(addr string) *guest {
	w.t.Helper()
	return dial(w.t, peer{w.srv, func(l link.Link) link.Link { return linkAt{l, netip.MustParseAddr(addr)} }})
}

func dial(t *testing.T, lobby link.Lobby) *guest {
	t.Helper()
	conn, err := memlink.Dialer{Lobby: lobby}.Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return &guest{t: t, conn: conn}
}

// login connects a user, with a password made of her name.
func (w *world) login(user string) *guest {
	w.t.Helper()
	g := w.connect()
	g.wantOK(g.tryLogin(user, passwordOf(user)), "Authenticated.")
	return g
}

func passwordOf(user string) string {
	if user == parlor.AdminName {
		return adminPassword
	}
	return "secret of " + user
}

func (g *guest) tryLogin(user, password string) parlor.Response {
	g.t.Helper()
	return g.ask("handshake", parlor.Map{"username": user, "password": password, "invite_code": ""})
}

// send sends a packet without waiting for the answer.
func (g *guest) send(message string, payload any) {
	g.t.Helper()
	if payload == nil {
		payload = parlor.Map{}
	}
	if err := g.conn.Send(g.t.Context(), parlor.Packet{Message: message, Payload: parlor.Encode(payload)}); err != nil {
		g.t.Fatalf("send %q: %v", message, err)
	}
}

// read waits for the next answer, for a minute, and then until the server has done what it does behind it, so that
// whatever the test looks at next has happened.
func (g *guest) read() parlor.Response {
	g.t.Helper()
	r, err := g.tryRead(time.Minute)
	if err != nil {
		g.t.Fatalf("receive: %v", err)
	}
	if !g.beside {
		synctest.Wait()
	}
	return r
}

func (g *guest) tryRead(wait time.Duration) (parlor.Response, error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), wait)
	defer cancel()
	return g.conn.Receive(ctx)
}

// ask sends a packet and waits for the answer.
func (g *guest) ask(message string, payload any) parlor.Response {
	g.t.Helper()
	g.send(message, payload)
	return g.read()
}

// wantGone fails unless the server has closed the link, or does so within the time.
func (g *guest) wantGone(within time.Duration) {
	g.t.Helper()
	if r, err := g.tryRead(within); !errors.Is(err, net.ErrClosed) {
		g.t.Errorf("receive: %q, %v, want the link closed", r.Message, err)
	}
}

// wantSilence fails if an answer comes within the time.
func (g *guest) wantSilence(within time.Duration) {
	g.t.Helper()
	if r, err := g.tryRead(within); err == nil || errors.Is(err, net.ErrClosed) {
		g.t.Errorf("receive: %q, %v, want nothing yet", r.Message, err)
	}
}

func (g *guest) want(r parlor.Response, status parlor.Status, message string) parlor.Response {
	g.t.Helper()
	if r.Status != status || r.Message != message {
		g.t.Errorf("answer %d %q, want %d %q", r.Status, r.Message, status, message)
	}
	return r
}

func (g *guest) wantOK(r parlor.Response, message string) parlor.Response {
	g.t.Helper()
	return g.want(r, parlor.StatusOK, message)
}

func (g *guest) wantRefused(r parlor.Response, message string) parlor.Response {
	g.t.Helper()
	return g.want(r, parlor.StatusUnexpected, message)
}

// wantNoLogin fails unless the answer to a login refuses it, and the link is closed.
func (g *guest) wantNoLogin(r parlor.Response, message string) {
	g.t.Helper()
	g.want(r, parlor.StatusBad, message)
	if !r.Disconnecting || r.Game != "" || !r.Payload.Empty() {
		g.t.Errorf("refusal %s, want one that disconnects and says nothing else", r.DebugText())
	}
	g.wantGone(time.Second)
}

func (g *guest) create(game string) parlor.Response {
	g.t.Helper()
	return g.wantOK(g.ask(parlor.RequestCreateGame, parlor.Map{"name": game}), "Created new game: '"+game+"'.")
}

func (g *guest) join(game string) parlor.Response {
	g.t.Helper()
	return g.wantOK(g.ask(parlor.RequestJoinGame, parlor.Map{"name": game}), "Joined game: '"+game+"'.")
}

func (g *guest) leave(game string) {
	g.t.Helper()
	g.wantOK(g.ask(parlor.RequestLeaveGame, nil), "Left game: '"+game+"'.")
}

// entry is a game in the directory.
type entry struct {
	Name     string `json:"name"`
	Users    int    `json:"users"`
	Password bool   `json:"password_protected"`
	Info     string `json:"info"`
}

// games are those in the directory.
func (g *guest) games() map[string]entry {
	g.t.Helper()
	var dir struct {
		Games map[string]entry `json:"games"`
	}
	r := g.wantOK(g.ask(parlor.RequestGameDir, nil), "See payload for games directory.")
	if err := r.Payload.Bind(&dir); err != nil {
		g.t.Fatal(err)
	}
	return dir.Games
}

// close ends the connection from the client's side, and waits until the server knows.
func (g *guest) close() {
	g.conn.Close()
	synctest.Wait()
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	time.Sleep(d) // sleep: virtual time, in a bubble of synctest
	synctest.Wait()
}

// disk is a store that can be slow or fail.
type disk struct {
	store.Memory
	mu     sync.Mutex    // guards the fields below
	writes int           // finished, whatever the result
	gate   chan struct{} // if not nil, writes wait until it is closed
	err    error         // what writes fail with
	once   error         // what the next one fails with
}

// put fills it.
func (d *disk) put(s snapshot.Snapshot) {
	changes, _ := snapshot.Changes(s, parlor.FoldDigits, password.Clear)
	if err := d.Memory.Commit(context.Background(), changes...); err != nil {
		panic(err)
	}
}

// cheap are hashes that cost next to nothing.
var cheap = password.Cost{Memory: 8, Passes: 1}

func (d *disk) Commit(ctx context.Context, changes ...store.Change) error {
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	if gate != nil {
		<-gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	if err := cmp.Or(d.once, d.err); err != nil {
		d.once = nil
		return err
	}
	return d.Memory.Commit(ctx, changes...)
}

func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// failOnce makes the next write fail.
func (d *disk) failOnce(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.once = err
}

// block makes writes wait, until the function that it returns is called.
func (d *disk) block() (open func()) {
	gate := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = gate
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		close(gate)
		d.gate = nil
	}
}

func (d *disk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

// content is what was written last.
func (d *disk) content() snapshot.Snapshot {
	s, _, err := snapshot.Of(d.Export(context.Background()))
	if err != nil {
		panic(err)
	}
	return s
}

func (d *disk) hasUser(name string) bool {
	for _, u := range d.content().Users {
		if u.Name == name {
			return true
		}
	}
	return false
}

// noting notes what is sent.
type noting struct {
	link.Link
	calls *events
}

func (l noting) Send(r parlor.Response) error {
	l.calls.add("sent " + r.Message)
	return l.Link.Send(r)
}

func (l noting) Close(code link.Code, reason string) {
	l.calls.add(fmt.Sprint("closed ", code))
	l.Link.Close(code, reason)
}

// spyLobby hands out the session that it has opened last.
type spyLobby struct {
	link.Lobby
	session link.Session
}

func (l *spyLobby) Open(end link.Link) (s link.Session, err error) {
	l.session, err = l.Lobby.Open(end)
	return l.session, err
}

// addrOf is one of many addresses.
func addrOf(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}
