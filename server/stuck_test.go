package server_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/snapshot"
	"parlor/server"
)

// stuckWorld is a world where one room hangs: "stuck", in which alice is.
type stuckWorld struct {
	*world
	disk  *disk
	alice *guest // her packet is with the game
}

// inStuckWorld runs a test in a world where a hook of the room "stuck" does not return before the end.
func inStuckWorld(t *testing.T, run func(t *testing.T, w stuckWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		s := script{
			packet: func(p parlor.Packet) parlor.Response {
				if p.Message == "hang" {
					<-block
				}
				return parlor.OK("got " + p.Message)
			},
			persistent: always(true),
			save:       always("state"),
			info:       always("info"),
		}
		d := new(disk)
		w := stuckWorld{world: start(t, server.Config{Store: d, Limits: server.Limits{DirectoryRate: -1}}, s), disk: d}
		defer close(block)
		w.alice = w.login("alice")
		w.alice.create("stuck")
		w.alice.games()
		w.alice.send("hang", nil)
		synctest.Wait()
		run(t, w)
	})
}

// TestStuckGame covers defect 18: a game that hangs blocks nobody but its own users, and them not for good.
func TestStuckGame(t *testing.T) {
	t.Run("other rooms", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			began := time.Now()
			bob := w.login("bob")
			bob.create("other")
			bob.wantOK(bob.ask("move", nil), "got move")
			bob.leave("other")
			if took := time.Since(began); took != 0 {
				t.Errorf("bob waited for %v", took)
			}
		})
	})
	t.Run("directory", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			bob := w.login("bob")
			began := time.Now()
			if dir := bob.games(); dir["stuck"].Users != 1 || dir["stuck"].Info != "info" {
				t.Errorf("directory %v, want the room with what it said last", dir)
			}
			if took := time.Since(began); took > 250*time.Millisecond {
				t.Errorf("bob waited for %v, want 250 ms at most", took)
			}
			began = time.Now()
			for range 1000 {
				bob.games()
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("bob waited for %v once the room was known to be slow", took)
			}
		})
	})
	t.Run("save", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			bob, admin := w.login("bob"), w.login("admin")
			bob.create("other")
			began := time.Now()
			r := admin.wantRefused(admin.ask(parlor.RequestSave, nil), "Saved success=False server data to disk: memory")
			if text := string(r.Payload.JSON()); text != `{"unsaved": {"stuck": "it did not answer in time"}}` {
				t.Errorf("payload %s", text)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("saved after %v, want 2 s at most", took)
			}
			if !hasGame(w.disk.content(), "other") {
				t.Error("the other game was not saved")
			}
		})
	})
	t.Run("shutdown", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			bob := w.login("bob")
			bob.create("other")
			began := time.Now()
			w.stop()
			if took := time.Since(began); took > 12*time.Second {
				t.Errorf("stopped after %v", took)
			}
			if !hasGame(w.disk.content(), "other") {
				t.Error("the other game was not saved")
			}
		})
	})
	t.Run("destroy", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			admin := w.login("admin")
			began := time.Now()
			admin.wantOK(admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "stuck"}), "Destroyed game: 'stuck'")
			if took := time.Since(began); took > time.Second {
				t.Errorf("destroyed after %v, want a second at most", took)
			}
			if dir := admin.games(); len(dir) != 0 {
				t.Errorf("directory %v, want none", dir)
			}
			admin.create("stuck")
		})
	})
	t.Run("its user comes back at once", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			w.alice.close()
			g, bob := w.connect(), w.connect()
			g.send("handshake", parlor.Map{"username": "alice", "password": passwordOf("alice")})
			began := time.Now()
			bob.wantOK(bob.tryLogin("bob", "pw"), "Authenticated.")
			bob.create("other")
			if took := time.Since(began); took != 0 {
				t.Errorf("bob waited for %v", took)
			}
			g.wantOK(g.read(), "Authenticated.")
			if took := time.Since(began); took > 1125*time.Millisecond {
				t.Errorf("alice waited for %v, want a second", took)
			}
			g.create("another")
		})
	})
	t.Run("its user leaves the server", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			w.alice.close()
			pass(1100 * time.Millisecond)
			w.login("alice").create("another")
		})
	})
	t.Run("its user leaves the server after its end", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			admin := w.login("admin")
			admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "stuck"})
			w.alice.close()
			pass(1100 * time.Millisecond)
			w.login("alice")
		})
	})
	t.Run("who joins leaves the server", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			bob := w.login("bob")
			bob.send(parlor.RequestJoinGame, parlor.Map{"name": "stuck"})
			bob.wantSilence(5 * time.Second)
			bob.close()
			pass(1100 * time.Millisecond)
			w.login("bob").create("another")
		})
	})
	t.Run("wakes up", func(t *testing.T) {
		block := make(chan struct{})
		var calls events
		s := script{
			packet: func(parlor.Packet) parlor.Response { <-block; return parlor.OK("late") },
			joined: func(user string) { calls.add("joined " + user) },
			left:   func(user string) { calls.add("left " + user) },
		}
		synctest.Test(t, func(t *testing.T) {
			block = make(chan struct{})
			w := start(t, server.Config{OnConnection: calls.connection}, s)
			alice, bob := w.login("alice"), w.login("bob")
			alice.create("stuck")
			alice.send("hang", nil)
			synctest.Wait()
			bob.send(parlor.RequestJoinGame, parlor.Map{"name": "stuck"})
			synctest.Wait()
			alice.close()
			bob.close()
			pass(1100 * time.Millisecond)
			close(block)
			synctest.Wait()
			if n := w.srv.Users(); n != 0 {
				t.Errorf("%d users, want none", n)
			}
			if dir := w.login("carol").games(); len(dir) != 0 {
				t.Errorf("directory %v, want none: the last user has left", dir)
			}
			w.stop()
			slices.Sort(calls.list)
			calls.want(t, "alice false", "alice true", "bob false", "bob true", "carol false", "carol true",
				"joined alice", "joined bob", "left alice", "left bob")
		})
	})
	t.Run("constructor", func(t *testing.T) {
		block := make(chan struct{})
		s := script{create: func(room parlor.Room, _ string) error {
			if room.Name() == "stuck" {
				<-block
			}
			return nil
		}}
		synctest.Test(t, func(t *testing.T) {
			block = make(chan struct{})
			w := start(t, server.Config{}, s)
			defer close(block)
			alice, bob, admin := w.login("alice"), w.login("bob"), w.login("admin")
			alice.send(parlor.RequestCreateGame, parlor.Map{"name": "stuck"})
			synctest.Wait()
			bob.create("other")
			if dir := bob.games(); len(dir) != 1 {
				t.Errorf("directory %v, want the game that is made only", dir)
			}
			bob.leave("other")
			bob.wantRefused(bob.ask(parlor.RequestCreateGame, parlor.Map{"name": "stuck"}), "Game name already exists.")
			admin.wantOK(admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "stuck"}), "Destroyed game: 'stuck'")
			alice.close()
			pass(1100 * time.Millisecond)
			w.login("alice")
		})
	})
	t.Run("mailbox stays small", func(t *testing.T) {
		inStuckWorld(t, func(t *testing.T, w stuckWorld) {
			for range 5000 {
				bob := w.login("bob")
				bob.send(parlor.RequestJoinGame, parlor.Map{"name": "stuck"})
				bob.close()
				pass(1100 * time.Millisecond)
			}
			bob := w.login("bob")
			bob.wantRefused(bob.ask(parlor.RequestJoinGame, parlor.Map{"name": "stuck"}), "Limit of requests waiting for the game reached.")
		})
	})
}

func hasGame(s snapshot.Snapshot, name string) bool {
	return slices.ContainsFunc(s.Games, func(g snapshot.Game) bool { return g.Name == name })
}

// TestSlowRestore shows that a saved game that is slow to come back holds up the start for ten seconds at
// most, and keeps its save until then.
func TestSlowRestore(t *testing.T) {
	d := new(disk)
	d.put(snapshot.Snapshot{Registration: true, Games: []snapshot.Game{{Name: "slow", Data: "state"}, {Name: "quick", Data: "state"}}})
	for name, ends := range map[string]error{"and succeeds": nil, "and fails": errDisk} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				block := make(chan struct{})
				s := script{persistent: always(true), save: always("state"), create: func(room parlor.Room, _ string) error {
					if room.Name() == "slow" {
						<-block
						return ends
					}
					return nil
				}}
				began := time.Now()
				w := start(t, server.Config{Store: d}, s)
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("started after %v, want 10 s", took)
				}
				admin := w.login("admin")
				if dir := admin.games(); len(dir) != 1 {
					t.Errorf("directory %v, want the quick game", dir)
				}
				admin.ask(parlor.RequestSave, nil)
				admin.wantRefused(admin.ask(parlor.RequestCreateGame, parlor.Map{"name": "slow"}), "Game name already exists.")
				close(block)
				synctest.Wait()
				if ends == nil {
					admin.join("slow")
				} else {
					admin.wantRefused(admin.ask(parlor.RequestJoinGame, parlor.Map{"name": "slow"}), "Failed to join game: it could not be restored from its save.")
				}
				w.stop()
				if !hasGame(d.content(), "slow") {
					t.Error("the slow game's save is lost")
				}
			})
		})
	}
}
