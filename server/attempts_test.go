package server_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
)

// TestAttempts covers defect 40.
func TestAttempts(t *testing.T) {
	// guess tries a wrong password, and returns how long the answer took.
	guess := func(w *world, addr, user string) time.Duration {
		began := time.Now()
		g := w.connectFrom(addr)
		g.wantNoLogin(g.tryLogin(user, "guess"), "Incorrect password.")
		return time.Since(began)
	}
	right := func(w *world, addr, user string) (time.Duration, bool) {
		began := time.Now()
		g := w.connectFrom(addr)
		ok := g.tryLogin(user, passwordOf(user)).Status == parlor.StatusOK
		g.close()
		return time.Since(began), ok
	}

	t.Run("one address", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			began := time.Now()
			for i := range 20 {
				if took := guess(w, "192.0.2.1", "admin"); took != 0 {
					t.Fatalf("guess %d took %v, want no delay", i, took)
				}
			}
			for range 40 {
				guess(w, "192.0.2.1", "admin")
			}
			if took := time.Since(began); took < 39*time.Second {
				t.Errorf("60 guesses in %v, want one a second after the first 20", took)
			}
			if w.srv.Stats().LoginsSlowed.Load() == 0 {
				t.Error("not counted")
			}
		})
	})
	t.Run("one address, many names", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			for i := range 40 {
				w.login(fmt.Sprint("user", i)).close()
			}
			began := time.Now()
			for i := range 40 {
				guess(w, "192.0.2.1", fmt.Sprint("user", i))
			}
			if took := time.Since(began); took < 19*time.Second {
				t.Errorf("40 guesses in %v", took)
			}
		})
	})
	t.Run("many addresses, one name", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			began := time.Now()
			for i := range 40 {
				guess(w, fmt.Sprintf("192.0.2.%d", i), "admin")
			}
			if took := time.Since(began); took < 19*time.Second {
				t.Errorf("40 guesses in %v", took)
			}
		})
	})
	t.Run("one network of IPv6", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			for i := range 40 {
				w.login(fmt.Sprint("user", i)).close()
			}
			began := time.Now()
			for i := range 40 {
				guess(w, fmt.Sprintf("2001:db8::%x", i+1), fmt.Sprint("user", i))
			}
			if took := time.Since(began); took < 19*time.Second {
				t.Errorf("40 guesses in %v", took)
			}
		})
	})
	t.Run("in parallel", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			var wg sync.WaitGroup
			for range 500 {
				g := w.connectFrom("192.0.2.1")
				g.beside = true
				wg.Go(func() { g.tryLogin("admin", "guess") })
			}
			wg.Wait()
			st := w.srv.Stats()
			// Those beyond the delay are refused unseen: they are no guesses.
			if n := st.LoginsSlowed.Load(); n < 470 {
				t.Errorf("%d of 500 slowed, want all but some 20", n)
			}
			if _, ok := right(w, "192.0.2.1", "admin"); ok && st.LoginsSlowed.Load() < 471 {
				t.Error("the next login was not slowed")
			}
		})
	})
	// What others guess from an address delays a right password there, and never calls it wrong.
	const limit = "Limit of failed logins from your address reached. Try again later."
	t.Run("right password among guesses", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			w.login("alice").close()
			for range 39 { // 20 are answered at once, 19 wait
				w.connectFrom("192.0.2.1").send("handshake", parlor.Map{"username": "admin", "password": "guess"})
			}
			if took, ok := right(w, "192.0.2.1", "alice"); !ok || took < time.Second || took > 4*time.Second {
				t.Errorf("login: %v after %v, want it slowed", ok, took)
			}
		})
	})
	t.Run("refusal over the limit names it", func(t *testing.T) {
		for _, password := range []string{"guess", adminPassword} {
			inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
				for range 100 {
					w.connectFrom("192.0.2.1").send("handshake", parlor.Map{"username": "admin", "password": "guess"})
				}
				g := w.connectFrom("192.0.2.1")
				g.wantNoLogin(g.tryLogin("admin", password), limit)
				if n := w.srv.Stats().LoginsSlowed.Load(); n != 81 {
					t.Errorf("%d slowed or refused, want all but 20 of 101", n)
				}
				pass(time.Minute)
				if took, ok := right(w, "192.0.2.1", "admin"); !ok || took != 0 {
					t.Errorf("login a minute later: %v after %v, want at once", ok, took)
				}
			})
		}
	})
	t.Run("guesses from an address do not hold up its users", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			right(w, "192.0.2.1", "alice")
			for range 100 {
				w.connectFrom("192.0.2.1").send("handshake", parlor.Map{"username": "admin", "password": "guess"})
			}
			for range 50 {
				if took, ok := right(w, "192.0.2.1", "alice"); !ok || took != 0 {
					t.Fatalf("login: %v after %v, want at once", ok, took)
				}
			}
			// Her own budget is one of guesses, too.
			began := time.Now()
			for range 40 {
				guess(w, "192.0.2.1", "alice")
			}
			if took := time.Since(began); took < 19*time.Second {
				t.Errorf("40 guesses in %v", took)
			}
		})
	})
	t.Run("known address is not locked out", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			if _, ok := right(w, "198.51.100.7", "alice"); !ok {
				t.Fatal("cannot register")
			}
			for i := range 60 { // more than are let through
				w.connectFrom(fmt.Sprintf("192.0.2.%d", i)).send("handshake", parlor.Map{"username": "alice", "password": "guess"})
			}
			synctest.Wait()
			if took, ok := right(w, "198.51.100.7", "alice"); !ok || took != 0 {
				t.Errorf("login from the known address: %v after %v, want at once", ok, took)
			}
			if took, ok := right(w, "198.51.100.8", "alice"); !ok || took < 3*time.Second || took > 4*time.Second {
				t.Errorf("login from another address: %v after %v, want it slowed, but never locked out", ok, took)
			}
			pass(time.Minute)
			if took, ok := right(w, "198.51.100.8", "alice"); !ok || took != 0 {
				t.Errorf("login a minute later: %v after %v, want at once", ok, took)
			}
		})
	})
	t.Run("success gives back no more than it took", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			right(w, "192.0.2.1", "mallory")
			began := time.Now()
			for range 40 {
				guess(w, "192.0.2.1", "admin")
				right(w, "192.0.2.1", "mallory")
			}
			if took := time.Since(began); took < 19*time.Second {
				t.Errorf("40 guesses in %v", took)
			}
		})
	})
	t.Run("codes are guesses too", func(t *testing.T) {
		inWorld(t, server.Config{NoRegistration: true}, script{}, func(t *testing.T, w *world) {
			began := time.Now()
			for i := range 40 {
				g := w.connectFrom("192.0.2.1")
				r := g.ask("handshake", parlor.Map{"username": fmt.Sprint("user", i), "password": "x", "invite_code": fmt.Sprint(i)})
				if i < 20 {
					g.wantNoLogin(r, "Incorrect username or invite code.")
				}
			}
			if took := time.Since(began); took < 19*time.Second {
				t.Errorf("40 guesses in %v", took)
			}
		})
	})
	t.Run("games' passwords are guesses too", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			alice, mallory := w.connectFrom("192.0.2.1"), w.connectFrom("192.0.2.2")
			alice.tryLogin("alice", "x")
			mallory.tryLogin("mallory", "x")
			secret := parlor.Map{"name": "secret", "password": "of alice"}
			alice.wantOK(alice.ask(parlor.RequestCreateGame, secret), "Created new game: 'secret'.")
			began := time.Now()
			for i := range 40 {
				mallory.wantRefused(mallory.ask(parlor.RequestJoinGame, parlor.Map{"name": "secret", "password": fmt.Sprint(i)}), "Failed to join game: Incorrect password.")
			}
			if took := time.Since(began); took < 19*time.Second {
				t.Errorf("40 guesses in %v", took)
			}
			began = time.Now()
			mallory.wantOK(mallory.ask(parlor.RequestJoinGame, secret), "Joined game: 'secret'.")
			if took := time.Since(began); took != 0 {
				t.Errorf("the right one took %v", took)
			}
		})
	})
	t.Run("names are guesses too", func(t *testing.T) {
		inWorld(t, server.Config{NoRegistration: true}, script{}, func(t *testing.T, w *world) {
			began := time.Now()
			for i := range 40 {
				g := w.connectFrom("192.0.2.1")
				g.wantNoLogin(g.tryLogin(fmt.Sprint("user", i), "x"), "Registration blocked.")
			}
			if took := time.Since(began); took < 19*time.Second {
				t.Errorf("40 guesses in %v", took)
			}
		})
	})
	t.Run("other refusals are no guesses", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			w.login("alice")
			for range 100 {
				g := w.connectFrom("192.0.2.1")
				g.wantNoLogin(g.tryLogin("alice", passwordOf("alice")), "Username already connected.")
			}
			if n := w.srv.Stats().LoginsSlowed.Load(); n != 0 {
				t.Errorf("%d slowed, want none", n)
			}
		})
	})
	t.Run("no limit", func(t *testing.T) {
		inWorld(t, server.Config{Limits: server.Limits{FailuresPerSecond: -1}}, script{}, func(t *testing.T, w *world) {
			for range 100 {
				guess(w, "192.0.2.1", "admin")
			}
			if n := w.srv.Stats().LoginsSlowed.Load(); n != 0 {
				t.Errorf("%d slowed, want none", n)
			}
		})
	})
	t.Run("gone while delayed", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			for range 22 {
				guess(w, "192.0.2.1", "admin")
			}
			g := w.connectFrom("192.0.2.1")
			g.send("handshake", parlor.Map{"username": "admin", "password": adminPassword})
			g.close()
			pass(time.Minute)
			if n := w.srv.Stats().Logins.Load(); n != 0 {
				t.Error("a client that had gone was logged in")
			}
			w.login("admin")
		})
	})
}

// TestAttemptsMemory shows that what is remembered of guesses is bounded.
func TestAttemptsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, server.Config{Limits: server.Limits{Addresses: 200}, NoRegistration: true}, script{})
		name := strings.Repeat("x", 20_000)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.GC() // which empties the pool of the hashes' memory, too
		runtime.ReadMemStats(&before)
		for i := range 500 {
			end := linkAt{deafLink{}, addrOf(i)}
			s, err := w.srv.Open(end)
			if err != nil {
				t.Fatal(err)
			}
			p := parlor.Packet{Payload: parlor.Encode(parlor.Map{"username": fmt.Sprint(i, name), "invite_code": "guess"})}
			s.Receive(p)
			s.Closed(true)
		}
		synctest.Wait()
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
			t.Errorf("%d bytes remembered of 500 guesses, want a few", grown)
		}
	})
}

// deafLink is a link that nobody listens to.
type deafLink struct{}

func (deafLink) Send(parlor.Response) error { return nil }
func (deafLink) Close(link.Code, string)    {}
func (deafLink) Peer() link.Peer            { return link.Peer{} }
