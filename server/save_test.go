package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/snapshot"
	"parlor/server"
	"parlor/store"
)

// TestStoredBeforeAnswered covers defect 27: what is answered is stored.
func TestStoredBeforeAnswered(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(w *world, admin *guest) *guest // returns who waits for the answer
		want string                              // how the answer begins
	}{
		{"registration", func(w *world, admin *guest) *guest {
			g := w.connect()
			g.send("handshake", parlor.Map{"username": "bob", "password": "pw"})
			return g
		}, "Authenticated."},
		{"invite", func(w *world, admin *guest) *guest {
			admin.send(parlor.RequestCreateInvite, nil)
			return admin
		}, "Created invite code: "},
		{"deletion", func(w *world, admin *guest) *guest {
			admin.send(parlor.RequestDeleteUser, parlor.Map{"username": "alice"})
			return admin
		}, "Requested delete user 'alice'"},
		{"set_registration", func(w *world, admin *guest) *guest {
			admin.send(parlor.RequestSetRegistration, parlor.Map{"set_as": false})
			return admin
		}, "Registration enabled: False"},
		{"save", func(w *world, admin *guest) *guest {
			admin.send(parlor.RequestSave, nil)
			return admin
		}, "Saved success=True"},
		{"destroy", func(w *world, admin *guest) *guest {
			admin.send(parlor.RequestDestroyGame, parlor.Map{"name": "room"})
			return admin
		}, "Destroyed game: 'room'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := new(disk)
			inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) {
				admin := w.login("admin")
				w.login("alice").create("room")
				open := d.block()
				before := d.count()
				g := test.send(w, admin)
				g.wantSilence(5 * time.Second)
				open()
				if r := g.read(); !strings.HasPrefix(r.Message, test.want) || r.Status != parlor.StatusOK {
					t.Errorf("answer %s, want %q", r.DebugText(), test.want)
				}
				if n := d.count() - before; n != 1 {
					t.Errorf("%d writes, want 1", n)
				}
			})
		})
	}
}

// TestJoinedWrites registers many users at once, which costs few writes.
func TestJoinedWrites(t *testing.T) {
	d := new(disk)
	inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) {
		open := d.block()
		var guests []*guest
		for i := range 500 {
			g := w.connect()
			g.send("handshake", parlor.Map{"username": fmt.Sprint("user", i), "password": "pw"})
			guests = append(guests, g)
		}
		synctest.Wait()
		open()
		for _, g := range guests {
			g.wantOK(g.read(), "Authenticated.")
		}
		if n := d.count(); n > 3 {
			t.Errorf("%d writes for 500 registrations, want 2 or 3", n)
		}
		if n := len(d.content().Users); n != 500 {
			t.Errorf("%d users stored, want 500", n)
		}
	})
}

// TestFailingStore refuses what cannot be stored, and takes it back.
func TestFailingStore(t *testing.T) {
	const refused = "The server could not save this. Please try again later."
	d := new(disk)
	var calls events
	cfg := server.Config{Store: d, OnConnection: calls.connection}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		admin := w.login("admin")
		code, err := w.srv.CreateInvite("")
		if err != nil {
			t.Fatal(err)
		}
		calls.want(t, "admin true")
		d.fail(errDisk)

		bob := w.connect()
		bob.wantNoLogin(bob.ask("handshake", parlor.Map{"username": "bob", "password": "pw", "invite_code": code}), refused)
		admin.wantRefused(admin.ask(parlor.RequestCreateInvite, nil), refused)
		admin.wantRefused(admin.ask(parlor.RequestSetRegistration, nil), refused)
		admin.wantRefused(admin.ask(parlor.RequestSave, nil), "Saved success=False server data to disk: memory")
		if !w.srv.Registration() || w.srv.Users() != 1 {
			t.Errorf("registration %v, %d users, want what was before", w.srv.Registration(), w.srv.Users())
		}
		if n := w.srv.Stats().SaveErrors.Load(); n != 4 {
			t.Errorf("%d errors counted, want 4", n)
		}
		w.log.has(t, "disk is full")
		calls.want(t)

		d.fail(nil)
		admin.wantOK(admin.ask(parlor.RequestSave, nil), "Saved success=True server data to disk: memory")
		if s := d.content(); len(s.Users) != 0 || len(s.Invites) != 1 || s.Invites[0].Code != code || !s.Registration {
			t.Errorf("stored %+v, want what was before", s)
		}
		bob = w.connect()
		bob.wantOK(bob.ask("handshake", parlor.Map{"username": "bob", "password": "other", "invite_code": code}), "Authenticated.")
	})
}

// TestSaveWithoutStore keeps the old status (defect 13).
func TestSaveWithoutStore(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		admin := w.login("admin")
		admin.wantOK(admin.ask(parlor.RequestSave, nil), "Saved success=False server data to disk: None")
	})
}

// TestRegistrationOfSave covers defect 29.
func TestRegistrationOfSave(t *testing.T) {
	for _, saved := range []bool{true, false} {
		t.Run(fmt.Sprint(saved), func(t *testing.T) {
			for _, off := range []bool{true, false} {
				d := new(disk)
				d.put(snapshot.Snapshot{Registration: saved})
				inWorld(t, server.Config{Store: d, NoRegistration: off}, script{}, func(t *testing.T, w *world) {
					if got, want := w.srv.Registration(), saved && !off; got != want {
						t.Errorf("registration %v, want %v", got, want)
					}
					if logged := strings.Contains(w.log.String(), "registration is off"); logged != (saved == off) {
						t.Errorf("log: %s", w.log.String())
					}
				})
			}
		})
	}
}

// TestRestore brings a server back from its save.
func TestRestore(t *testing.T) {
	d := new(disk)
	states := map[string]string{}
	var mu sync.Mutex
	s := script{persistent: always(true), save: always("the state"), create: func(room parlor.Room, save string) error {
		mu.Lock()
		defer mu.Unlock()
		states[room.Name()] = save
		return nil
	}}
	inWorld(t, server.Config{Store: d}, s, func(t *testing.T, w *world) {
		alice := w.login("alice")
		for _, name := range []string{"zebra", "aardvark", "mole"} {
			alice.create(name)
			alice.leave(name)
		}
		alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "private", "password": "sesame"})
	})
	inWorld(t, server.Config{Store: d}, s, func(t *testing.T, w *world) {
		alice := w.login("alice")
		text := string(alice.ask(parlor.RequestGameDir, nil).Payload.JSON())
		at := -1
		for _, name := range []string{"zebra", "aardvark", "mole", "private"} {
			i := strings.Index(text, `"`+name+`": {`)
			if i <= at || states[name] != "the state" {
				t.Errorf("game %q came back with %q, or out of order: %s", name, states[name], text)
			}
			at = i
		}
		alice.wantRefused(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "private"}), "Failed to join game: Incorrect password.")
	})
}

// form is a game of which only the form of its saves matters.
type form struct{ save string }

func (*form) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("ok") }
func (*form) Persistent() bool                               { return true }
func (*form) SaveVersion() int                               { return 1 }
func (f *form) SaveString() string                           { return f.save }

// TestVersionOfSave: a save of a game that is not durable is of the version that it was made as, and is not upgraded twice.
func TestVersionOfSave(t *testing.T) {
	memory := new(store.Memory)
	if err := memory.Commit(t.Context(), store.PutGame{Number: 1, Name: "old"}, store.PutSave{Save: store.Save{Game: 1, Data: "x"}}); err != nil {
		t.Fatal(err)
	}
	newForm := parlor.Upgrades{0: func(save string) (string, error) { return save + "!", nil }}.
		For(func(_ parlor.Room, save string) (parlor.Game, error) { return &form{save}, nil })
	for range 3 {
		inWorld(t, server.Config{Store: memory, Games: map[string]parlor.NewGame{"": newForm}}, script{}, func(t *testing.T, w *world) {
			w.stop()
			if got, err := memory.Save(context.Background(), 1); got.Data != "x!" || got.Version != 1 || err != nil {
				t.Errorf("saved %q of version %d, %v, want %q of version 1", got.Data, got.Version, err, "x!")
			}
		})
	}
}

// TestRestoreOddities takes a save that pgnet would not write.
func TestRestoreOddities(t *testing.T) {
	d := new(disk)
	d.put(snapshot.Snapshot{Registration: true,
		Users: []snapshot.User{snapshot.NewUser("admin", "hacked"), snapshot.NewUser("alice", "first"), snapshot.NewUser("alice", "second")},
		Games: []snapshot.Game{{Name: "twin", Data: "first"}, {Name: "twin", Data: "second"}, {Name: "odd kind", Kind: "ludo", Data: "kept"}},
	})
	s := script{persistent: always(true), save: always("new")}
	inWorld(t, server.Config{Store: d}, s, func(t *testing.T, w *world) {
		g := w.connect()
		g.wantNoLogin(g.tryLogin("admin", "hacked"), "Incorrect password.")
		g = w.connect()
		g.wantOK(g.tryLogin("alice", "first"), "Authenticated.")
		g.wantRefused(g.ask(parlor.RequestJoinGame, parlor.Map{"name": "odd kind"}), "Failed to join game: it could not be restored from its save.")
		w.log.has(t, "a saved game is of a kind that this server does not have; its save is kept")
		w.stop()
		s := d.content()
		if len(s.Users) != 1 || len(s.Games) != 2 || s.Games[1] != (snapshot.Game{Name: "odd kind", Kind: "ludo", Data: "kept"}) {
			t.Errorf("stored %+v", s)
		}
	})
}

// TestFailingSavedGame keeps the save of a game that cannot be made again, until it is destroyed.
func TestFailingSavedGame(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errDisk },
		"panic": func() error { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			d := new(disk)
			d.put(snapshot.Snapshot{Registration: true, Games: []snapshot.Game{{Name: "broken", Password: "pw", Data: "precious"}}})
			s := script{create: func(parlor.Room, string) error { return fail() }}
			inWorld(t, server.Config{Store: d}, s, func(t *testing.T, w *world) {
				alice := w.login("alice")
				if n := len(alice.games()); n != 0 {
					t.Errorf("%d games in the directory, want none", n)
				}
				alice.wantRefused(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "broken"}), "Game name already exists.")
				alice.wantRefused(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "broken", "password": "pw"}),
					"Failed to join game: it could not be restored from its save.")
				w.stop()
				if s := d.content(); len(s.Games) != 1 || s.Games[0].Data != "precious" || s.Games[0].Password != "pw" {
					t.Errorf("stored games %+v, want what was there", s.Games)
				}
			})
			inWorld(t, server.Config{Store: d}, s, func(t *testing.T, w *world) {
				admin := w.login("admin")
				admin.wantOK(admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "broken"}), "Destroyed game: 'broken'")
				if n := len(d.content().Games); n != 0 {
					t.Errorf("%d games stored, want none", n)
				}
			})
		})
	}
}

// TestAutosave saves at intervals of a clock that nobody sets (defect 30).
func TestAutosave(t *testing.T) {
	d := new(disk)
	s := script{persistent: always(true), save: always("x")}
	inWorld(t, server.Config{Store: d}, s, func(t *testing.T, w *world) {
		w.login("alice").create("room")
		before := d.count()
		pass(299 * time.Second)
		if n := d.count(); n != before || hasGame(d.content(), "room") {
			t.Errorf("%d writes before the interval is over", n-before)
		}
		pass(2 * time.Second)
		if n := d.count(); n != before+1 || !hasGame(d.content(), "room") {
			t.Errorf("%d writes after it, want 1", n-before)
		}
		d.fail(errDisk)
		pass(300 * time.Second)
		w.log.has(t, "autosave failed")
		d.fail(nil)
		pass(300 * time.Second)
		if n := d.count(); n != before+3 {
			t.Errorf("%d writes, want 3", n-before)
		}
	})
}

// TestDamagedStore does not start over a store that cannot be read.
func TestDamagedStore(t *testing.T) {
	_, err := server.New(server.Config{Store: damaged{}, AdminPassword: "x", Games: map[string]parlor.NewGame{"": play(script{})}})
	if err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("New: %v, want the store's error", err)
	}
}

// TestDamagedGame: a server that cannot be made of all games lets go of those that it has made.
func TestDamagedGame(t *testing.T) {
	memory := new(store.Memory)
	err := memory.Commit(t.Context(), store.PutGame{Number: 1, Name: "one"}, store.PutSave{Save: store.Save{Game: 1, Data: "one"}},
		store.PutGame{Number: 2, Name: "two"}, store.PutSave{Save: store.Save{Game: 2, Data: "two"}})
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	games := map[string]parlor.NewGame{"": play(script{create: func(room parlor.Room, _ string) error {
		made++
		room.Every(time.Second, func() {})
		return nil
	}})}
	_, err = server.New(server.Config{Store: torn{memory}, AdminPassword: "x", Games: games, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), `game "two": disk is full`) || made != 1 {
		t.Errorf("New: %v, want the store's error; %d games made", err, made)
	}
}

// torn is a store whose second game cannot be read.
type torn struct{ *store.Memory }

func (t torn) Save(ctx context.Context, game int64) (store.Save, error) {
	if game == 2 {
		return store.Save{}, errDisk
	}
	return t.Memory.Save(ctx, game)
}

type damaged struct{ store.Store }

func (damaged) Settings(context.Context) (map[string]string, error) { return nil, errDisk }

// scribe is a game that counts what it is told, and asks to be saved when it is told "save".
type scribe struct {
	room  parlor.Room
	notes int
}

func newScribe(r parlor.Room, save string) (parlor.Game, error) {
	g := &scribe{room: r}
	if save == "" {
		return g, nil
	}
	_, err := fmt.Sscan(save, &g.notes)
	return g, err
}

func (g *scribe) Persistent() bool {
	g.room.Save() // in vain, as below
	return true
}
func (g *scribe) SaveString() string {
	g.room.Save() // in vain
	if g.room.Name() == "slow" {
		time.Sleep(time.Second / 2) // sleep: virtual
	}
	return fmt.Sprint(g.notes)
}
func (g *scribe) HandleGamePacket(p parlor.Packet) parlor.Response {
	if g.notes++; p.Message == "save" {
		g.room.Save()
		g.room.Save()
	}
	return parlor.OK("noted")
}

// TestSaveOfAGame: a game that asks for it is saved at once, but not more than once a second, and no older save comes behind.
func TestSaveOfAGame(t *testing.T) {
	d := new(disk)
	inWorld(t, server.Config{Store: d, Games: map[string]parlor.NewGame{"": newScribe}}, script{}, func(t *testing.T, w *world) {
		alice, bob, admin := w.login("alice"), w.login("bob"), w.login("admin")
		alice.create("quick")
		bob.create("slow")
		saved := func(name, want string) {
			t.Helper()
			synctest.Wait()
			for _, g := range d.content().Games {
				if g.Name == name && g.Data == want {
					return
				}
			}
			t.Errorf("there is %v, want %s of %s", d.content().Games, want, name)
		}
		tell := func(g *guest, message string) { g.wantOK(g.ask(message, nil), "noted") }
		tell(alice, "note")
		tell(alice, "save")
		saved("quick", "2")
		before := d.count()
		for range 10 {
			tell(alice, "save")
		}
		saved("quick", "2")
		pass(time.Second)
		saved("quick", "12")
		if n := d.count() - before; n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
		pass(time.Minute)
		if n := d.count() - before; n != 1 {
			t.Errorf("a minute later %d writes, want 1", n)
		}
		// Who saves is answered when all is stored, also if another one, who saves too, was given newer saves meanwhile.
		tell(alice, "note")
		admin.send(parlor.RequestSave, nil) // which waits for the slow one
		pass(time.Second / 4)
		tell(alice, "note")
		var other sync.WaitGroup
		other.Go(func() { _ = w.srv.SaveNow() }) // ends when the slow one has answered again
		admin.wantOK(admin.read(), "Saved success=True server data to disk: memory")
		saved("quick", "13")
		other.Wait()
		saved("quick", "14")

		tell(bob, "note")
		admin.send(parlor.RequestSave, nil)
		pass(time.Second / 4)
		tell(alice, "save")
		saved("quick", "15")
		pass(time.Second)
		admin.wantOK(admin.read(), "Saved success=True server data to disk: memory")
		saved("quick", "15")
		saved("slow", "1")
	})
}
