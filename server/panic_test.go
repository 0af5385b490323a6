package server_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
)

// TestPanics covers defects 20 to 24: a game of which one hook panics, and whom it harms.
func TestPanics(t *testing.T) {
	boom := func() { panic("the hook is broken") }
	d := new(disk) // of the subtest that runs

	// armed tells whether hooks panic yet.
	type armed struct{ on bool }
	for _, test := range []struct {
		hook string
		set  func(s *script, a *armed)
		// what alice sees, who is in the room or creates it
		run func(t *testing.T, w *world, alice *guest, a *armed)
		// gone: there is no room left when alice has left
		gone bool
	}{
		{hook: "create", gone: true,
			set: func(s *script, a *armed) {
				s.create = func(parlor.Room, string) error { boom(); return nil }
			},
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				alice.wantRefused(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "broken"}), "Game could not be created.")
				alice.wantRefused(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "broken"}), "Game could not be created.")
				alice.create("healthy two")
				alice.leave("healthy two")
			}},
		{hook: "user joined", gone: true,
			set: func(s *script, a *armed) {
				s.joined = func(user string) {
					if a.on || user == "alice" {
						boom()
					}
				}
			},
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				r := alice.wantRefused(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "broken"}), "Game could not be created.")
				if r.Game != "" || len(alice.games()) != 1 {
					t.Errorf("in game %q, %d games, want no trace", r.Game, len(alice.games()))
				}
				carol := w.login("carol")
				carol.create("broken")
				r = alice.want(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "broken"}), parlor.StatusBad, "Failed to join game: The game failed to take you.")
				if n := carol.games()["broken"].Users; n != 1 || r.Game != "" {
					t.Errorf("%d users, alice in %q, want carol only", n, r.Game)
				}
				carol.wantOK(carol.ask("move", nil), "got move")
				carol.leave("broken")
			}},
		{hook: "user left", gone: true,
			set: func(s *script, a *armed) { s.left = func(string) { boom() } },
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				alice.create("broken")
				alice.leave("broken")
				alice.create("broken")
				alice.close() // and logs in again, below
			}},
		{hook: "packet", gone: true,
			set: func(s *script, a *armed) {
				s.packet = func(parlor.Packet) parlor.Response { boom(); return parlor.Response{} }
			},
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				alice.create("broken")
				for range 20 {
					r := alice.want(alice.ask("move", nil), parlor.StatusBad, "The game failed to handle the request.")
					if r.Disconnecting || r.Game != "broken" {
						t.Errorf("answer %s, want alice to stay", r.DebugText())
					}
				}
				alice.wantOK(alice.ask(parlor.RequestHeartbeat, nil), "beat")
				alice.leave("broken")
			}},
		{hook: "heartbeat", gone: true,
			set: func(s *script, a *armed) {
				s.heartbeat = func(parlor.Packet) parlor.Response { boom(); return parlor.Response{} }
			},
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				alice.create("broken")
				alice.want(alice.ask(parlor.RequestHeartbeat, nil), parlor.StatusBad, "The game failed to handle the request.")
				alice.wantOK(alice.ask("move", nil), "got move")
				alice.leave("broken")
			}},
		{hook: "heartbeat rate", gone: true,
			set: func(s *script, a *armed) { s.rate = func() float64 { boom(); return 0 } },
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				if r := alice.create("broken"); string(r.Payload.JSON()) != `{"heartbeat_rate": 10}` {
					t.Errorf("payload %s, want the default rate", r.Payload)
				}
				alice.leave("broken")
			}},
		{hook: "lobby info", gone: true,
			set: func(s *script, a *armed) { s.info = func() string { boom(); return "" } },
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				alice.create("broken")
				if g := alice.games()["broken"]; g.Name != "broken" || g.Users != 1 || g.Info != "" {
					t.Errorf("directory shows %+v, want an empty info", g)
				}
				alice.leave("broken")
			}},
		{hook: "persistent",
			set: func(s *script, a *armed) { s.persistent = func() bool { boom(); return false } },
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				alice.create("broken")
				alice.leave("broken") // and the game is rather kept than lost
			}},
		{hook: "max users", gone: true,
			set: func(s *script, a *armed) { s.maxUsers = func() int { boom(); return 0 } },
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				alice.create("broken")
				w.login("carol").join("broken")
				alice.leave("broken")
			}},
		{hook: "save",
			set: func(s *script, a *armed) {
				s.persistent = always(true)
				s.save = func() string {
					if a.on {
						boom()
					}
					return "good state"
				}
			},
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				alice.create("broken")
				if err := w.srv.SaveNow(); err != nil {
					t.Error(err)
				}
				a.on = true
				if err := w.srv.SaveNow(); err == nil || !strings.Contains(err.Error(), `"broken" (it failed`) {
					t.Errorf("error %v, want one that names the game", err)
				}
				for _, g := range d.content().Games {
					if g.Name == "broken" && g.Data != "good state" {
						t.Errorf("saved %q, want what was saved before", g.Data)
					}
				}
				if s := d.content(); !hasGame(s, "broken") || !hasGame(s, "healthy") {
					t.Errorf("saved games %v, want both", s.Games)
				}
				alice.leave("broken")
			}},
		{hook: "update", gone: true,
			set: func(s *script, a *armed) { s.update = boom },
			run: func(t *testing.T, w *world, alice *guest, a *armed) {
				alice.create("broken")
				pass(10 * time.Second)
				alice.wantOK(alice.ask("move", nil), "got move")
				alice.leave("broken")
			}},
	} {
		t.Run(test.hook, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d = new(disk)
				a := new(armed)
				var broken script
				test.set(&broken, a)
				healthy := script{persistent: always(true), save: always("fine")}
				cfg := server.Config{Store: d, Games: map[string]parlor.NewGame{
					"": func(room parlor.Room, save string) (parlor.Game, error) {
						if room.Name() == "broken" {
							return play(broken)(room, save)
						}
						return play(healthy)(room, save)
					},
				}}
				w := start(t, cfg, script{})
				admin, bob := w.login("admin"), w.login("bob")
				bob.create("healthy")
				test.run(t, w, w.login("alice"), a)
				pass(2 * time.Second)
				w.log.has(t, "the hook is broken")

				bob.wantOK(bob.ask("move", nil), "got move")
				if _, ok := bob.games()["healthy"]; !ok {
					t.Error("the healthy game is gone")
				}
				destroyed := admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "broken"})
				switch {
				case test.hook == "max users": // carol is in it
					admin.wantOK(destroyed, "Destroyed game: 'broken'")
				case test.gone:
					admin.wantRefused(destroyed, "No such game: 'broken'")
				default:
					admin.wantOK(destroyed, "Destroyed game: 'broken'")
				}
				w.stop()
				if w.err != nil || !hasGame(d.content(), "healthy") {
					t.Errorf("the end: %v, saved %v, want the healthy game", w.err, d.content().Games)
				}
			})
		})
	}
}

// TestPanicFreesName shows that a user whose game panics as she leaves can log in again at once (defect 22).
func TestPanicFreesName(t *testing.T) {
	inWorld(t, server.Config{}, script{left: func(string) { panic("no") }}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		alice.create("room")
		alice.close()
		w.login("alice").create("room")
	})
}

// TestDestroyWithPanics destroys a game whose every hook panics, with users in it (defect 23).
func TestDestroyWithPanics(t *testing.T) {
	on := false
	check := func() {
		if on {
			panic("no")
		}
	}
	s := script{
		joined:     func(string) { check() },
		left:       func(string) { check() },
		packet:     func(parlor.Packet) parlor.Response { check(); return parlor.OK("ok") },
		rate:       func() float64 { check(); return 1 },
		info:       func() string { check(); return "" },
		save:       func() string { check(); return "x" },
		persistent: func() bool { check(); return true },
		maxUsers:   func() int { check(); return 0 },
	}
	inWorld(t, server.Config{Store: new(disk)}, s, func(t *testing.T, w *world) {
		admin, alice, bob, carol := w.login("admin"), w.login("alice"), w.login("bob"), w.login("carol")
		alice.create("room")
		bob.join("room")
		on = true
		carol.want(carol.ask(parlor.RequestJoinGame, parlor.Map{"name": "room"}), parlor.StatusBad, "Failed to join game: The game failed to take you.")
		admin.wantRefused(admin.ask(parlor.RequestSave, nil), "Saved success=False server data to disk: memory")
		admin.wantOK(admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "room"}), "Destroyed game: 'room'")
		for _, g := range []*guest{alice, bob, carol} {
			g.wantRefused(g.ask("move", nil), "Please create/join a game.")
		}
		alice.close()
		w.login("alice")
	})
}

// TestFailedCreation leaves no game behind whose creator could not join, also if it would be kept.
func TestFailedCreation(t *testing.T) {
	s := script{persistent: always(true), save: always("x"), joined: func(user string) {
		if user == "alice" {
			panic("no")
		}
	}}
	d := new(disk)
	inWorld(t, server.Config{Store: d}, s, func(t *testing.T, w *world) {
		alice, bob := w.login("alice"), w.login("bob")
		alice.wantRefused(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "room"}), "Game could not be created.")
		if dir := alice.games(); len(dir) != 0 {
			t.Errorf("directory %v, want none", dir)
		}
		bob.create("room")
	})
	if n := len(d.content().Games); n != 1 {
		t.Errorf("%d games saved, want bob's", n)
	}
}
