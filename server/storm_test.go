package server_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
	"parlor/store"
)

// slowLogins is a store of which each login takes as long as with a real hash on two processors: in virtual time a hash takes none.
type slowLogins struct {
	disk
	logins atomic.Int64 // that had their turn
}

func (s *slowLogins) User(ctx context.Context, name string) (store.User, error) {
	s.logins.Add(1)
	u, err := s.disk.User(ctx, name)
	time.Sleep(hashing()) // sleep: virtual time, in a bubble of synctest
	return u, err
}

// hashing is how long a hash takes in these tests: so long that there are 30 a second, however many processors this machine has.
func hashing() time.Duration { return time.Second / 120 * time.Duration(runtime.GOMAXPROCS(0)) }

// TestStorm has 10,000 wrong logins come within 10 s. Alice, who logged in before, is not held up where she did; and anywhere else no
// longer than clients wait.
func TestStorm(t *testing.T) {
	names := map[string]func(i int) string{
		"her name":      func(int) string { return "alice" },
		"names of all":  func(i int) string { return fmt.Sprint("user", i%10) },
		"unknown names": func(i int) string { return fmt.Sprint("nobody", i) },
	}
	for _, networks := range []int{1, 100} {
		for of, name := range names {
			t.Run(fmt.Sprintf("from %d, %s", networks, of), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testStorm(t, networks, name) })
			})
		}
	}
}

func testStorm(t *testing.T, networks int, name func(int) string) {
	const storm, logins = 10 * time.Second, 10_000
	users := new(slowLogins)
	w := start(t, server.Config{Store: users}, script{})
	for i := range 10 {
		w.login(fmt.Sprint("user", i)).close()
	}
	try := func(addr string) (time.Duration, parlor.Response) {
		began := time.Now()
		g := w.connectFrom(addr)
		r := g.tryLogin("alice", passwordOf("alice"))
		took := time.Since(began)
		g.close()
		return took, r
	}
	try("198.51.100.1")
	if err := w.srv.SetRegistration(false); err != nil {
		t.Fatal(err)
	}
	before := users.logins.Load()
	var wg sync.WaitGroup
	wg.Go(func() { // ends by itself
		for i := range logins {
			g := w.connectFrom(fmt.Sprintf("192.0.2.%d", i%networks))
			g.send("handshake", parlor.Map{"username": name(i), "password": "guess"})
			time.Sleep(storm / logins) // sleep: virtual time, in a bubble of synctest
		}
	})
	for i := range 2 {
		pass(storm / 4)
		if took, r := try("198.51.100.1"); r.Status != parlor.StatusOK || took > 200*time.Millisecond*time.Duration(max(1, runtime.GOMAXPROCS(0)/2)) {
			t.Errorf("from the address that she logged in from before: %q after %v", r.Message, took)
		}
		if took, r := try(fmt.Sprint("198.51.100.", 2+i)); r.Status != parlor.StatusOK || took > 4500*time.Millisecond {
			t.Errorf("from another address: %q after %v", r.Message, took)
		}
	}
	wg.Wait()
	pass(5 * time.Second)
	if turns := users.logins.Load() - before; turns > 600 {
		t.Errorf("%d logins had a turn, want 30 a second at most", turns)
	}
	if took, r := try("198.51.100.4"); r.Status != parlor.StatusOK {
		t.Errorf("afterwards: %q after %v", r.Message, took)
	}
}

// TestHungUp has somebody hang up while passwords are looked at: that uses up the budget, too.
func TestHungUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := new(slowLogins)
		w := start(t, server.Config{Store: users}, script{})
		w.login("alice").close()
		before := users.logins.Load()
		for range 100 {
			g := w.connectFrom("192.0.2.1")
			g.send("handshake", parlor.Map{"username": "alice", "password": "guess"})
			pass(hashing() / 2)
			g.close()
			pass(2 * hashing())
		}
		if turns := users.logins.Load() - before; turns > 60 {
			t.Errorf("%d of 100 logins had a turn", turns)
		}
	})
}

// TestBackOut has many hang up before their turn, when a name has no budget left: it has none from them either.
func TestBackOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, server.Config{Store: new(slowLogins)}, script{})
		w.login("alice").close()
		guests := make([]*guest, 100)
		for i := range guests {
			guests[i] = w.connectFrom(fmt.Sprint("192.0.2.", i))
			guests[i].send("handshake", parlor.Map{"username": "alice", "password": "guess"})
			synctest.Wait()
		}
		for _, g := range guests[50:] { // the others have taken all that there is
			g.close()
		}
		began := time.Now()
		g := w.connectFrom("198.51.100.1")
		g.wantOK(g.tryLogin("alice", passwordOf("alice")), parlor.MessageAuthenticated)
		if took := time.Since(began); took < 3*time.Second {
			t.Errorf("the name was slowed down by %v", took)
		}
	})
}

// TestTurnsRefused has so many networks log in at once that more come than may wait for a hash: the others are told at once, and counted.
func TestTurnsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, server.Config{Store: new(slowLogins)}, script{})
		var guests []*guest
		for i := range 1100 { // 1024 may wait
			g := w.connectFrom(fmt.Sprintf("192.0.%d.1", i/35))
			g.send("handshake", parlor.Map{"username": fmt.Sprint("user", i%35), "password": "x"})
			guests = append(guests, g)
		}
		synctest.Wait()
		if n := w.srv.Stats().TurnsRefused.Load(); n == 0 || n != w.srv.Stats().LoginsRefused.Load() {
			t.Errorf("%d were refused a turn, and %d a login", n, w.srv.Stats().LoginsRefused.Load())
		}
		for _, g := range guests {
			g.close()
		}
	})
}

// TestRegistrationStorm has a network register more than it may: the rest is refused before there is a hash, and so uses up no budget.
func TestRegistrationStorm(t *testing.T) {
	inWorld(t, server.Config{Limits: server.Limits{RegistrationBurst: 1}}, script{}, func(t *testing.T, w *world) {
		g := w.connectFrom("192.0.2.1")
		g.wantOK(g.tryLogin("user", "x"), parlor.MessageAuthenticated)
		for i := range 100 {
			g := w.connectFrom("192.0.2.1")
			g.wantNoLogin(g.tryLogin(fmt.Sprint("user", i), "x"), "Limit of new users of one network reached. Try again later, or with an invite code.")
		}
		st := w.srv.Stats()
		if slowed, refused := st.LoginsSlowed.Load(), st.UsersRefused.Load(); slowed != 0 || refused != 100 {
			t.Errorf("%d slowed and %d refused, want 0 and 100", slowed, refused)
		}
	})
}
