package server_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parlor"
	"parlor/server"
)

// keeper is a persistent game whose save is what it was told last, and whose directory line is long.
type keeper struct{ save string }

func newKeeper(_ parlor.Room, save string) (parlor.Game, error) { return &keeper{save}, nil }

func (k *keeper) Persistent() bool   { return true }
func (k *keeper) SaveString() string { return k.save }
func (k *keeper) LobbyInfo() string  { return strings.Repeat("x", 1000) }
func (k *keeper) HandleGamePacket(p parlor.Packet) parlor.Response {
	v, _ := p.Payload.Get("save")
	k.save, _ = v.(string)
	return parlor.OK("kept")
}

func keepers(kinds ...string) map[string]parlor.NewGame {
	games := make(map[string]parlor.NewGame)
	for _, kind := range kinds {
		games[kind] = newKeeper
	}
	return games
}

// good fails unless the answer is one of success, in whatever words.
func good(t *testing.T, r parlor.Response) {
	t.Helper()
	if r.Status != parlor.StatusOK {
		t.Errorf("answer %d %q", r.Status, r.Message)
	}
}

func TestSaveSize(t *testing.T) {
	d := new(disk)
	cfg := server.Config{Games: keepers("a"), Store: d, Limits: server.Limits{SaveSize: 10, SavesSize: 30}}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		keep := func(game, save, want string) {
			good(t, alice.ask(parlor.RequestJoinGame, parlor.Map{"name": game}))
			alice.wantOK(alice.ask("keep", parlor.Map{"save": save}), "kept")
			alice.ask(parlor.RequestLeaveGame, nil)
			err := w.srv.SaveNow()
			if got := fmt.Sprint(err); !strings.Contains(got, want) {
				t.Errorf("saving %q of %s: error %s, want %s", save, game, got, want)
			}
		}
		keep("one", "12345678", "<nil>")
		keep("one", "12345678901", `all was saved but games, which keep what they saved before: "one" (limit of save size reached: 11 of 10 bytes`)
		keep("one", "12345678", "<nil>")
		keep("two", "12345678", `"two" (limit of one user's saves reached: 16 bytes, and 14 are left for all`)
		keep("two", "1234567", "<nil>")
		snap := d.content()
		if got := fmt.Sprint(snap.Games); got != "[{one   12345678 0 alice} {two   1234567 0 alice}]" {
			t.Errorf("stored %s", got)
		}
		if n := w.srv.Stats().SavesRefused.Load(); n < 2 {
			t.Errorf("%d counted", n)
		}
		w.log.has(t, "limit of saves reached")
	})
}

// TestSavesAreShared: users who save all that they can leave something for the next one, who is saved, also after
// a restart; and what the administrator and the exit are told is what happened.
func TestSavesAreShared(t *testing.T) {
	d := new(disk)
	cfg := server.Config{Games: keepers("a"), Store: d, Limits: server.Limits{SavesSize: 1000}}
	keep := func(t *testing.T, w *world, user, game string, size int) {
		t.Helper()
		g := w.login(user)
		good(t, g.ask(parlor.RequestJoinGame, parlor.Map{"name": game}))
		g.wantOK(g.ask("keep", parlor.Map{"save": strings.Repeat("x", size)}), "kept")
		g.ask(parlor.RequestLeaveGame, nil)
		g.close()
	}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		for i := range 20 {
			keep(t, w, "greedy", fmt.Sprint("much ", i), 100)
		}
		w.srv.SaveNow()
		keep(t, w, "greedy2", "more", 250)
		if err := w.srv.SaveNow(); !errors.As(err, new(*server.UnsavedError)) {
			t.Errorf("error %v, want one that names the games of greedy", err)
		}
		w.stop()
		if !errors.As(w.err, new(*server.UnsavedError)) {
			t.Errorf("the end says %v, as if all games were saved", w.err)
		}
	})
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		keep(t, w, "greedy", "much 0", 101) // still hers
		keep(t, w, "victim", "small", 100)
		admin := w.login("admin")
		r := admin.wantRefused(admin.ask(parlor.RequestSave, nil), "Saved success=False server data to disk: memory")
		if text := string(r.Payload.JSON()); !strings.Contains(text, `"much 0": "limit of one user's saves reached`) || strings.Contains(text, "small") {
			t.Errorf("payload %s", text)
		}
		if !hasGame(d.content(), "small") {
			t.Error("the victim's game is not saved")
		}
		for i := range 20 {
			admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": fmt.Sprint("much ", i)}) // those that were saved, whichever they are
		}
		keep(t, w, "victim", "small", 300)
		admin.wantOK(admin.ask(parlor.RequestSave, nil), "Saved success=True server data to disk: memory")
	})
}

// TestDestroyedWhileSaving: the save of a game that was destroyed meanwhile does not count any more.
func TestDestroyedWhileSaving(t *testing.T) {
	d := new(disk)
	var slow atomic.Bool
	s := script{persistent: always(true), save: func() string {
		if slow.Load() {
			time.Sleep(2 * time.Second) // sleep: virtual time; a save that is not ready when the game is destroyed
		}
		return strings.Repeat("x", 100)
	}}
	inWorld(t, server.Config{Store: d, Limits: server.Limits{SavesSize: 350}}, s, func(t *testing.T, w *world) {
		admin := w.login("admin")
		for range 3 {
			slow.Store(true)
			admin.create("room")
			w.srv.SaveNow()
			admin.wantOK(admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "room"}), "Destroyed game: 'room'")
			pass(5 * time.Second)
		}
		slow.Store(false)
		admin.create("room")
		w.srv.SaveNow()
		if !hasGame(d.content(), "room") {
			t.Errorf("stored %v, want the game", d.content().Games)
		}
	})
}

// TestDefaultKindChanges: a saved game stays of its kind, whatever the default is at the next start.
func TestDefaultKindChanges(t *testing.T) {
	d := new(disk)
	for _, kind := range []string{"a", "b", "a"} {
		inWorld(t, server.Config{Games: keepers("a", "b"), DefaultKind: kind, Store: d}, script{}, func(t *testing.T, w *world) {
			alice := w.login("alice")
			good(t, alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "mine"}))
			alice.wantOK(alice.ask("keep", parlor.Map{"save": "x"}), "kept")
			alice.ask(parlor.RequestLeaveGame, nil)
			if err := w.srv.SaveNow(); err != nil {
				t.Fatal(err)
			}
		})
		if snap := d.content(); len(snap.Games) != 1 || snap.Games[0].Kind != "a" {
			t.Fatalf("with default %q: stored %v", kind, snap.Games)
		}
	}
}

func TestGamesPerUser(t *testing.T) {
	cfg := server.Config{Games: keepers("a"), Limits: server.Limits{GamesPerUser: 2}}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		alice, bob, admin := w.login("alice"), w.login("bobby"), w.login("admin")
		create := func(g *guest, name string) parlor.Response {
			defer g.ask(parlor.RequestLeaveGame, nil)
			return g.ask(parlor.RequestCreateGame, parlor.Map{"name": name})
		}
		good(t, create(alice, "one"))
		good(t, create(alice, "two"))
		alice.wantRefused(create(alice, "three"), "Limit of games of one user reached.")
		good(t, create(bob, "three"))
		good(t, admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "one"}))
		good(t, create(alice, "four"))
		if n := w.srv.Stats().GamesRefused.Load(); n != 1 {
			t.Errorf("%d counted", n)
		}
		alice.wantRefused(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "five", "password": strings.Repeat("x", 257)}),
			"Limit of password length reached.")
	})
}

// TestDirectoryIsCut: a directory that is too large to send leaves out empty games, as many as are over.
func TestDirectoryIsCut(t *testing.T) {
	cfg := server.Config{Games: keepers("a"), Limits: server.Limits{ResponseSize: 5000}}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		admin, bob := w.login("admin"), w.login("bobby")
		for i := range 5 {
			good(t, admin.ask(parlor.RequestCreateGame, parlor.Map{"name": fmt.Sprint("empty ", i)}))
			admin.ask(parlor.RequestLeaveGame, nil)
		}
		good(t, bob.ask(parlor.RequestCreateGame, parlor.Map{"name": "played"}))
		dir := bob.ask(parlor.RequestGameDir, nil)
		bob.wantOK(dir, "See payload for games directory.")
		if text := string(dir.Payload.JSON()); !strings.Contains(text, "played") || !strings.Contains(text, "empty 1") || strings.Contains(text, "empty 2") {
			t.Errorf("directory %.100s", text)
		}
	})
}

// TestDirectoryIsCutFairly: of the games that do not fit, it is those of whom has most that are left out.
func TestDirectoryIsCutFairly(t *testing.T) {
	cfg := server.Config{Games: keepers("a"), Limits: server.Limits{ResponseSize: 5000}}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		greedy, bob := w.login("greedy"), w.login("bobby")
		create := func(g *guest, name string) {
			t.Helper()
			good(t, g.ask(parlor.RequestCreateGame, parlor.Map{"name": name}))
			g.ask(parlor.RequestLeaveGame, nil)
		}
		for i := range 9 {
			create(greedy, fmt.Sprint("many ", i))
		}
		create(bob, "mine")
		good(t, bob.ask(parlor.RequestCreateGame, parlor.Map{"name": "played"}))
		var names []string
		for name := range bob.games() {
			names = append(names, name)
		}
		slices.Sort(names)
		if got := fmt.Sprint(names); got != "[many 0 mine played]" {
			t.Errorf("directory of %s", got)
		}
	})
}

// TestDirectoryRate: a session that asks for a large directory in a loop is slowed down, and nobody else.
func TestDirectoryRate(t *testing.T) {
	cfg := server.Config{Games: keepers("a"), Limits: server.Limits{DirectoryRate: 1000}}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		alice, bob := w.login("alice"), w.login("bobby")
		good(t, alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "room"})) // its line has more than 1000 bytes
		began := time.Now()
		for range 4 {
			alice.games()
		}
		if took := time.Since(began); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("four directories in %v, want one a second", took)
		}
		began = time.Now()
		bob.games()
		if took := time.Since(began); took != 0 {
			t.Errorf("bob waited for %v", took)
		}
		if n := w.srv.Stats().DirectoriesSlowed.Load(); n != 3 {
			t.Errorf("%d counted, want 3", n)
		}
	})
}

// TestInvitesExpire: a code is good for Limits.InviteLife (defect 41).
func TestInvitesExpire(t *testing.T) {
	d := new(disk)
	cfg := server.Config{Games: keepers("a"), Store: d, NoRegistration: true, Limits: server.Limits{InviteLife: time.Hour}}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		var codes [2]string
		for i := range codes {
			var err error
			if codes[i], err = w.srv.CreateInvite(""); err != nil {
				t.Fatal(err)
			}
		}
		register := func(g *guest, user, code string) parlor.Response {
			g.send("handshake", parlor.Map{"username": user, "password": "x", "invite_code": code})
			return g.read()
		}
		in := w.connect()
		in.wantOK(register(in, "alice", codes[0]), "Authenticated.")
		pass(time.Hour)
		late := w.connect()
		late.wantNoLogin(register(late, "carol", codes[1]), "Incorrect username or invite code.")
		if snap := d.content(); len(snap.Invites) != 1 || snap.Invites[0].Expires == 0 {
			t.Errorf("stored %v", snap.Invites)
		}
	})
}

// TestClosedStore: nothing is written after Run has returned, as the store may be closed then.
func TestClosedStore(t *testing.T) {
	d := new(disk)
	var srv *server.Server
	inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) { srv = w.srv })
	before := d.content()
	if _, err := srv.CreateInvite("carol"); err == nil {
		t.Error("an invite was made after the end")
	}
	if after := d.content(); len(after.Invites) != len(before.Invites) {
		t.Error("it was stored")
	}
}

// TestLargeArgument: an answer does not render what was too large to be meant.
func TestLargeArgument(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		r := alice.ask(parlor.RequestCreateGame, parlor.Map{"name": []string{strings.Repeat("x", 20_000)}})
		alice.wantRefused(r, "Expected argument type <class 'str'> for argument 'name'. Instead got: <class 'list'> (20004 bytes)")
	})
}

// TestInviteNameSize: a name in an invite is bounded, as it is kept.
func TestInviteNameSize(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		if _, err := w.srv.CreateInvite(strings.Repeat("x", 257)); !errors.Is(err, server.ErrLongName) {
			t.Errorf("error %v", err)
		}
		admin := w.login("admin")
		r := admin.ask(parlor.RequestCreateInvite, parlor.Map{"username": strings.Repeat("x", 257)})
		admin.wantRefused(r, "Limit of name length reached.")
	})
}

// TestRegistrationsOfOneNetwork: one host cannot use up all users and games. An invite, another network, the
// loopback and known users are not held up.
func TestRegistrationsOfOneNetwork(t *testing.T) {
	cfg := server.Config{Limits: server.Limits{RegistrationBurst: 3, Addresses: 2}}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		register := func(addr, user, code string) (*guest, parlor.Response) {
			g := w.connectFrom(addr)
			return g, g.ask("handshake", parlor.Map{"username": user, "password": passwordOf(user), "invite_code": code})
		}
		in := func(addr, user, code string) {
			t.Helper()
			g, r := register(addr, user, code)
			g.wantOK(r, "Authenticated.")
			g.close()
		}
		refused := func(addr, user string) {
			t.Helper()
			g, r := register(addr, user, "")
			g.wantNoLogin(r, "Limit of new users of one network reached. Try again later, or with an invite code.")
		}
		for i := range 3 {
			in(fmt.Sprint("2001:db8::", i), fmt.Sprint("user", i), "")
		}
		refused("2001:db8::9", "user9")
		in("2001:db8::9", "user1", "")
		code, err := w.srv.CreateInvite("")
		if err != nil {
			t.Fatal(err)
		}
		in("2001:db8::9", "user3", code)
		in("2001:db8:0:1::1", "user4", "")
		for i := range 10 {
			in("127.0.0.1", fmt.Sprint("local", i), "")
			in("::1", fmt.Sprint("six", i), "")
			in("::ffff:127.0.0.1", fmt.Sprint("mapped", i), "")
		}
		pass(10 * time.Second)
		in("2001:db8::9", "user9", "")
		refused("2001:db8::9", "user10")
		if n := w.srv.Stats().UsersRefused.Load(); n != 2 {
			t.Errorf("%d counted, want 2", n)
		}
	})
	cfg.Limits.RegistrationsPerSecond = -1
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		for i := range 10 {
			g := w.connectFrom("192.0.2.1")
			g.wantOK(g.tryLogin(fmt.Sprint("user", i), "x"), "Authenticated.")
		}
	})
}
