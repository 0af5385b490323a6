package server_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/snapshot"
	"parlor/link"
	"parlor/server"
	"parlor/store"
)

// TestShutdown covers section 12.2 and defect 28.
func TestShutdown(t *testing.T) {
	t.Run("request", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			admin, alice := w.login("admin"), w.login("alice")
			stranger := w.connect()
			admin.wantOK(admin.ask(parlor.RequestShutdown, nil), "Shutting down...")
			<-w.over
			if w.code != 0 || w.err != nil {
				t.Errorf("Run: %d, %v, want 0", w.code, w.err)
			}
			for _, g := range []*guest{admin, alice, stranger} {
				g.wantGone(time.Second)
			}
		})
	})
	t.Run("first code counts", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			w.srv.Shutdown(-1)
			w.srv.Shutdown(0)
			w.srv.Shutdown(5)
			<-w.over
			if w.code != -1 {
				t.Errorf("exit code %d, want -1", w.code)
			}
			select {
			case <-w.srv.Stopped():
			default:
				t.Error("Stopped is open")
			}
		})
	})
	t.Run("context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := start(t, server.Config{}, script{})
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			second, err := server.New(server.Config{Games: map[string]parlor.NewGame{"": play(script{})}, AdminPassword: "x"})
			if err != nil {
				t.Fatal(err)
			}
			if code, err := second.Run(ctx); code != 0 || err != nil {
				t.Errorf("Run: %d, %v, want 0", code, err)
			}
			w.login("admin") // the other server lives
		})
	})
	t.Run("order", func(t *testing.T) {
		var calls events
		d := &notingDisk{calls: &calls}
		cfg := server.Config{Store: d, OnConnection: calls.connection}
		s := script{
			persistent: always(true),
			left:       func(user string) { calls.add("left " + user) },
			save:       func() string { calls.add("asked for the save"); return "x" },
		}
		synctest.Test(t, func(t *testing.T) {
			w := start(t, cfg, s)
			g := dial(t, peer{w.srv, func(l link.Link) link.Link { return noting{l, &calls} }})
			g.tryLogin("alice", "pw")
			g.create("room")
			calls.list = nil
			w.stop()
			calls.want(t, "asked for the save", "written", // before anything can hold it up
				"closed 1001", "left alice", "alice false",
				"asked for the save", "written")
		})
	})
	t.Run("link that does not end", func(t *testing.T) {
		d := new(disk)
		inWorld(t, server.Config{Store: d}, script{persistent: always(true), save: always("x")}, func(t *testing.T, w *world) {
			g := dial(t, peer{w.srv, func(l link.Link) link.Link { return endless{l} }})
			g.tryLogin("alice", "pw")
			g.create("room")
			began := time.Now()
			w.stop()
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("stopped after %v, want EndWait at most", took)
			}
			if !hasGame(d.content(), "room") || w.err != nil {
				t.Errorf("saved %v, %v", d.content(), w.err)
			}
			g.conn.Close()
		})
	})
	t.Run("failing store", func(t *testing.T) {
		d := new(disk)
		inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) {
			d.fail(errDisk)
			w.stop()
			if !errors.Is(w.err, errDisk) {
				t.Errorf("Run: %v, want the store's error", w.err)
			}
		})
	})
	t.Run("during requests", func(t *testing.T) {
		inWorld(t, server.Config{Store: new(disk)}, script{}, func(t *testing.T, w *world) {
			admin := w.login("admin")
			admin.send(parlor.RequestSleep, parlor.Map{"seconds": 4})
			for range 30 {
				g := w.connectFrom("192.0.2.1") // some are delayed
				g.send("handshake", parlor.Map{"username": "admin", "password": "guess"})
			}
			began := time.Now()
			w.stop()
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("stopped after %v, want about the second that names are held", took)
			}
			pass(10 * time.Second)
		})
	})
	t.Run("link that waits for room in its queue", func(t *testing.T) {
		cfg := server.Config{Limits: server.Limits{Queue: 1, QueueWait: time.Hour}}
		inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
			// A wire's reader, which tells of the end of the link, is what waits.
			admin := dial(t, peer{w.srv, func(l link.Link) link.Link { return endless{l} }})
			admin.tryLogin("admin", adminPassword)
			admin.send(parlor.RequestSleep, parlor.Map{"seconds": 4})
			admin.send(parlor.RequestHelp, nil)
			began := time.Now()
			sent := make(chan time.Duration)
			go func() { // ends with the wait
				admin.conn.Send(t.Context(), parlor.Packet{Message: parlor.RequestHelp})
				sent <- time.Since(began)
			}()
			synctest.Wait()
			w.stop()
			if took := <-sent; took != 0 {
				t.Errorf("the link has waited for %v", took)
			}
			admin.conn.Close()
		})
	})
	t.Run("updates end", func(t *testing.T) {
		var mu sync.Mutex
		n := 0
		s := script{persistent: always(true), update: func() { mu.Lock(); n++; mu.Unlock() }}
		inWorld(t, server.Config{}, s, func(t *testing.T, w *world) {
			alice := w.login("alice")
			alice.create("room")
			pass(10*time.Second + 50*time.Millisecond)
			if n != 100 {
				t.Errorf("%d updates in 10 s, want 100", n)
			}
			w.stop()
			before := n
			pass(10 * time.Second)
			if n != before {
				t.Errorf("%d updates after the end", n-before)
			}
		})
	})
}

// endless is a link that takes no notice of being closed.
type endless struct{ link.Link }

func (endless) Close(link.Code, string) {}

// notingDisk notes when it is written.
type notingDisk struct {
	store.Memory
	calls *events
}

func (d *notingDisk) Commit(ctx context.Context, changes ...store.Change) error {
	d.calls.add("written")
	return d.Memory.Commit(ctx, changes...)
}

// TestHooksUseTheLobby covers defect 31: hooks that create and destroy games, and save, meanwhile.
func TestHooksUseTheLobby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w *world
		agent := make(chan *guest, 1)
		s := script{
			persistent: always(true),
			save:       always("x"),
			update: func() { // in every room: create one, or destroy one
				select {
				case g := <-agent:
					name := "spawned by an update"
					g.send(parlor.RequestLeaveGame, nil)
					g.send(parlor.RequestCreateGame, parlor.Map{"name": name})
					g.send(parlor.RequestDestroyGame, parlor.Map{"name": name})
					agent <- g
				default:
				}
			},
			info: func() string { w.srv.Stats(); w.srv.Users(); return "info" },
			left: func(string) { w.srv.Registration() },
		}
		w = start(t, server.Config{Store: new(disk)}, s)
		g := w.login("admin")
		alice := w.login("alice")
		alice.create("one")
		alice.leave("one")
		alice.create("two")
		agent <- g
		go func() { // ends with the link; reads the agent's answers
			for {
				if _, err := g.tryRead(time.Hour); err != nil {
					return
				}
			}
		}()
		for range 20 {
			pass(100 * time.Millisecond)
			alice.games()
			alice.wantOK(alice.ask("move", nil), "got move")
		}
		<-agent
		synctest.Wait()
		if dir := alice.games(); len(dir) != 2 {
			t.Errorf("directory %v, want two games", dir)
		}
		g.conn.Close()
	})
	t.Run("hook saves and deletes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w *world
			d := new(disk)
			s := script{
				persistent: always(true),
				save:       always("x"),
				packet: func(p parlor.Packet) parlor.Response {
					err := w.srv.SaveNow() // waits for this very room, for Limits.SaveWait
					return parlor.OK("saved", parlor.Map{"ok": err == nil})
				},
				left: func(user string) { w.srv.DeleteUser(user) },
			}
			w = start(t, server.Config{Store: d}, s)
			alice := w.login("alice")
			alice.create("room")
			began := time.Now()
			alice.wantOK(alice.ask("save", nil), "saved")
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("answered after %v", took)
			}
			alice.wantOK(alice.ask(parlor.RequestLeaveGame, nil), "User deleted.")
			if slices.ContainsFunc(d.content().Users, func(u snapshot.User) bool { return u.Name == "alice" }) {
				t.Error("alice is still stored")
			}
		})
	})
}
