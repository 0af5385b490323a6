package server_test

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/snapshot"
	"parlor/link"
	"parlor/server"
)

var errDisk = errors.New("disk is full")

// TestLoginChecks goes through section 5.3: each login is refused by the first check that it fails, although
// it fails later ones too.
func TestLoginChecks(t *testing.T) {
	type m = parlor.Map
	memory := new(disk) // one for all: codes are used up
	memory.put(snapshot.Snapshot{
		Users:   []snapshot.User{snapshot.NewUser("alice", "pw"), snapshot.NewUser("bob", ""), snapshot.NewUser("x", "odd name")},
		Invites: []snapshot.Invite{{Code: "c0de", User: "carol"}, {Code: "any1"}, {Code: "any2"}},
	})
	for _, test := range []struct {
		name    string
		payload any
		want    string
	}{
		{"no name", m{"password": "x", "invite_code": "x"}, "Missing non-empty username."},
		{"nothing", m{}, "Missing non-empty username."},
		{"empty name", m{"username": ""}, "Missing non-empty username."},
		{"null name", m{"username": nil}, "Missing non-empty username."},
		{"zero name", m{"username": 0}, "Missing non-empty username."},
		{"false name", m{"username": false}, "Missing non-empty username."},
		{"empty list name", m{"username": []int{}}, "Missing non-empty username."},
		{"empty object name", m{"username": m{}}, "Missing non-empty username."},
		{"number name", m{"username": 5}, "Username not allowed."},
		{"true name", m{"username": true}, "Username not allowed."},
		{"list name", m{"username": []int{1}}, "Username not allowed."},
		{"payload is a list", []int{1}, "Missing non-empty username."},
		{"payload is null", (*int)(nil), "Missing non-empty username."},
		{"connected, wrong password", m{"username": "dora", "password": "no"}, "Username already connected."},
		{"wrong password, code ignored", m{"username": "alice", "password": "no", "invite_code": "nope"}, "Incorrect password."},
		{"no password", m{"username": "alice"}, "Incorrect password."},
		{"number password", m{"username": "alice", "password": 5}, "Incorrect password."},
		{"null password", m{"username": "bob", "password": nil}, "Incorrect password."},
		{"zero password", m{"username": "bob", "password": 0}, "Incorrect password."},
		{"false password", m{"username": "bob", "password": false}, "Incorrect password."},
		{"empty list password", m{"username": "bob", "password": []int{}}, "Incorrect password."},
		{"admin", m{"username": "admin", "password": "admin"}, "Incorrect password."},
		{"admin without password", m{"username": "admin"}, "Incorrect password."},
		{"code of another", m{"username": "eve", "password": "", "invite_code": "c0de"}, "Incorrect username or invite code."},
		{"unknown code, bad name", m{"username": "e_e", "invite_code": "nope"}, "Incorrect username or invite code."},
		{"number code", m{"username": "eve", "invite_code": 7}, "Incorrect username or invite code."},
		{"list code", m{"username": "eve", "invite_code": []int{7}}, "Incorrect username or invite code."},
		{"blocked", m{"username": "e_e", "password": ""}, "Registration blocked."},
		{"blocked with a null code", m{"username": "eve", "password": "x", "invite_code": nil}, "Registration blocked."},
		{"no password with code", m{"username": "e_e", "password": "", "invite_code": "any1"}, "User password required."},
		{"odd password with code", m{"username": "eve", "password": 1.5, "invite_code": "any1"}, "Incorrect password."},
		{"bad name with code", m{"username": "e_e", "password": "x", "invite_code": "any1"}, "Username not allowed."},
		{"Admin with code", m{"username": "Admin", "password": "x", "invite_code": "any1"}, "Username not allowed."},
		{"known user, empty password", m{"username": "bob"}, "Authenticated."},
		{"known user, name not allowed", m{"username": "x", "password": "odd name"}, "Authenticated."},
		{"code of her own", m{"username": "carol", "password": "x", "invite_code": "c0de"}, "Authenticated."},
		{"code of anyone", m{"username": "eve", "password": "x", "invite_code": "any1"}, "Authenticated."},
		{"code used up", m{"username": "fred", "password": "x", "invite_code": "any1"}, "Incorrect username or invite code."},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, server.Config{Store: memory, RequirePassword: true, NoRegistration: true}, script{})
				if test.want == "Username already connected." {
					if err := w.srv.SetRegistration(true); err != nil {
						t.Fatal(err)
					}
					w.login("dora")
				}
				g := w.connect()
				r := g.ask("handshake", test.payload)
				if test.want == parlor.MessageAuthenticated {
					g.wantOK(r, test.want)
				} else {
					g.wantNoLogin(r, test.want)
				}
				if err := w.srv.SetRegistration(false); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestLoginMalformed ends a link whose login is not a packet, without an answer (section 5.5).
func TestLoginMalformed(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		l := &spyLobby{Lobby: w.srv}
		g := dial(t, l)
		l.session.Malformed(errors.New("not JSON"))
		g.wantGone(time.Second)
		if n := w.srv.Stats().Malformed.Load(); n != 1 {
			t.Errorf("%d malformed messages counted, want 1", n)
		}
	})
}

// TestSimultaneousLogins shows that of many logins of one name at the same moment one succeeds.
func TestSimultaneousLogins(t *testing.T) {
	for _, registered := range []bool{false, true} {
		t.Run(fmt.Sprint("registered ", registered), func(t *testing.T) {
			inWorld(t, server.Config{Store: new(disk)}, script{}, func(t *testing.T, w *world) {
				if registered {
					w.login("alice").close()
				}
				texts := make(chan string, 20)
				var wg sync.WaitGroup
				for range cap(texts) {
					g := w.connect()
					g.beside = true
					wg.Go(func() { texts <- g.tryLogin("alice", passwordOf("alice")).Message })
				}
				wg.Wait()
				close(texts)
				count := map[string]int{}
				for text := range texts {
					count[text]++
				}
				if count["Authenticated."] != 1 || count["Username already connected."]+count["The server is busy. Try again later."] != 19 {
					t.Errorf("answers %v, want one login of 20", count)
				}
				if n := w.srv.Users(); n != 1 {
					t.Errorf("%d users, want 1", n)
				}
			})
		})
	}
}

func TestTakeover(t *testing.T) {
	cfg := server.Config{Takeover: true}

	t.Run("off by default", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			w.login("alice")
			g := w.connect()
			g.wantNoLogin(g.tryLogin("alice", passwordOf("alice")), "Username already connected.")
		})
	})
	t.Run("right password", func(t *testing.T) {
		inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
			old, other := w.login("alice"), w.login("bob")
			old.create("room")
			other.join("room")
			young := w.login("alice")
			old.wantGone(time.Second)
			if r := young.join("room"); r.Game != "room" {
				t.Errorf("in game %q, want the room", r.Game)
			}
			if n := other.games()["room"].Users; n != 2 || w.srv.Users() != 2 {
				t.Errorf("%d in the game, %d in all, want 2 and 2", n, w.srv.Users())
			}
		})
	})
	t.Run("wrong password", func(t *testing.T) {
		inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
			old := w.login("alice")
			g := w.connect()
			g.wantNoLogin(g.tryLogin("alice", "guess"), "Username already connected.")
			old.wantOK(old.ask(parlor.RequestHelp, nil), "See payload for requests.")
		})
	})
	t.Run("guesses count", func(t *testing.T) {
		inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
			w.login("alice")
			for range 30 {
				g := w.connectFrom("192.0.2.1")
				g.tryLogin("alice", "guess")
			}
			if n := w.srv.Stats().LoginsSlowed.Load(); n == 0 {
				t.Error("no guess was slowed down")
			}
		})
	})
	t.Run("not during the registration", func(t *testing.T) {
		d := new(disk)
		inWorld(t, server.Config{Takeover: true, Store: d}, script{}, func(t *testing.T, w *world) {
			open := d.block()
			first := w.connect()
			first.send("handshake", parlor.Map{"username": "alice", "password": "pw"})
			synctest.Wait()
			second := w.connect()
			second.wantNoLogin(second.tryLogin("alice", "pw"), "Username already connected.")
			open()
			first.wantOK(first.read(), "Authenticated.")
		})
	})
	t.Run("while being deleted", func(t *testing.T) {
		d := new(disk)
		inWorld(t, server.Config{Takeover: true, Store: d}, script{}, func(t *testing.T, w *world) {
			admin := w.login("admin")
			w.login("alice")
			open := d.block()
			admin.send(parlor.RequestDeleteUser, parlor.Map{"username": "alice"})
			synctest.Wait()
			g := w.connect()
			g.wantNoLogin(g.tryLogin("alice", passwordOf("alice")), "Username already connected.")
			open()
			admin.wantOK(admin.read(), "Requested delete user 'alice'")
		})
	})
	t.Run("connection callbacks", func(t *testing.T) {
		var calls events
		inWorld(t, server.Config{Takeover: true, OnConnection: calls.connection}, script{}, func(t *testing.T, w *world) {
			w.login("alice")
			w.login("alice")
			w.login("alice").close()
			calls.want(t, "alice true", "alice false")
		})
	})
}

// events notes what happened, in order.
type events struct {
	mu   sync.Mutex // guards list
	list []string
}

func (e *events) add(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, text)
}

func (e *events) connection(user string, connected bool) { e.add(fmt.Sprint(user, " ", connected)) }

// want compares what has happened when nothing is under way any more, and forgets it.
func (e *events) want(t *testing.T, list ...string) {
	t.Helper()
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !reflect.DeepEqual(e.list, list) {
		t.Errorf("events %q, want %q", e.list, list)
	}
	e.list = nil
}

// TestConnectionOrder checks sections 5.6 and 6.4: the callback comes after the answer to the login, and at
// the end after the game was told, when the name is free.
func TestConnectionOrder(t *testing.T) {
	var calls events
	var w *world
	cfg := server.Config{OnConnection: func(user string, connected bool) {
		calls.connection(user, connected)
		calls.add(fmt.Sprint("users ", w.srv.Users()))
	}}
	s := script{
		joined: func(user string) { calls.add("joined " + user) },
		left:   func(user string) { calls.add("left " + user) },
	}
	synctest.Test(t, func(t *testing.T) {
		w = start(t, cfg, s)
		first := dial(t, peer{w.srv, func(l link.Link) link.Link { return noting{l, &calls} }})
		first.wantOK(first.tryLogin("alice", "pw"), "Authenticated.")
		first.create("room")
		first.close()
		calls.want(t, "sent Authenticated.", "alice true", "users 1", "joined alice",
			"sent Created new game: 'room'.", "left alice", "alice false", "users 0")

		refused := w.connect()
		refused.tryLogin("alice", "wrong")
		refused.close()
		calls.want(t)
	})
}

// TestConnectionOrderRaces logs one user in and out many times: the callback never tells of a login before
// the end of the session before.
func TestConnectionOrderRaces(t *testing.T) {
	var calls events
	slowly := func(user string, connected bool) {
		for n := 0; n < 1000 && !connected; n++ {
			runtime.Gosched()
		}
		calls.connection(user, connected)
	}
	inWorld(t, server.Config{OnConnection: slowly}, script{}, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					g := w.connect()
					g.beside = true
					g.tryLogin("alice", "pw")
					g.conn.Close()
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		for i, call := range calls.list {
			if want := fmt.Sprint("alice ", i%2 == 0); call != want {
				t.Fatalf("call %d is %q, want %q", i, call, want)
			}
		}
		if len(calls.list)%2 != 0 || len(calls.list) == 0 {
			t.Errorf("%d calls, want pairs", len(calls.list))
		}
	})
}

// TestReconnect: who comes back while a room is still seeing her off waits for her name, and no longer.
func TestReconnect(t *testing.T) {
	const slow = 300 * time.Millisecond
	game := script{
		packet: func(p parlor.Packet) parlor.Response {
			time.Sleep(slow) // sleep: virtual time, in a bubble of synctest
			return parlor.OK("got " + p.Message)
		},
	}
	// leave logs alice in and out again, with her packet still in the game's hands.
	leave := func(w *world) {
		old := w.login("alice")
		old.create("room")
		old.send("move", nil)
		synctest.Wait() // or it could still be in her queue, which ends with her link
		old.close()
	}
	t.Run("waits for the room", func(t *testing.T) {
		var calls events
		inWorld(t, server.Config{OnConnection: calls.connection}, game, func(t *testing.T, w *world) {
			leave(w)
			began := time.Now()
			w.login("alice").create("another")
			if took := time.Since(began); took != slow {
				t.Errorf("the login took %v, want %v", took, slow)
			}
			calls.want(t, "alice true", "alice false", "alice true")
		})
	})
	t.Run("of several one gets the name", func(t *testing.T) {
		inWorld(t, server.Config{}, game, func(t *testing.T, w *world) {
			leave(w)
			texts := make(chan string, 5)
			for range cap(texts) {
				g := w.connect()
				g.beside = true
				go func() { texts <- g.tryLogin("alice", passwordOf("alice")).Message }()
			}
			count := map[string]int{}
			for range cap(texts) {
				count[<-texts]++
			}
			if count["Authenticated."] != 1 || count["Username already connected."] != 4 {
				t.Errorf("answers %v, want one login of 5", count)
			}
		})
	})
	t.Run("wrong password", func(t *testing.T) {
		inWorld(t, server.Config{}, game, func(t *testing.T, w *world) {
			leave(w)
			g := w.connect()
			g.wantNoLogin(g.tryLogin("alice", "guess"), "Incorrect password.")
		})
	})
	t.Run("gone again meanwhile", func(t *testing.T) {
		inWorld(t, server.Config{}, game, func(t *testing.T, w *world) {
			leave(w)
			g := w.connect()
			g.send("handshake", parlor.Map{"username": "alice", "password": passwordOf("alice")})
			g.close()
			pass(time.Minute)
			if n := w.srv.Users(); n != 0 {
				t.Errorf("%d users, want none", n)
			}
		})
	})
	t.Run("not for a session that is alive", func(t *testing.T) {
		inWorld(t, server.Config{}, game, func(t *testing.T, w *world) {
			w.login("alice")
			began := time.Now()
			g := w.connect()
			g.wantNoLogin(g.tryLogin("alice", passwordOf("alice")), "Username already connected.")
			if took := time.Since(began); took != 0 {
				t.Errorf("refused after %v, want at once", took)
			}
		})
	})
	t.Run("not for a deleted user", func(t *testing.T) {
		inWorld(t, server.Config{}, game, func(t *testing.T, w *world) {
			leave(w)
			if err := w.srv.DeleteUser("alice"); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			g := w.connect()
			g.wantNoLogin(g.tryLogin("alice", passwordOf("alice")), "User deleted.")
			if took := time.Since(began); took != 0 {
				t.Errorf("refused after %v, want at once", took)
			}
		})
	})
}

// TestDisconnectDuringLogin frees the name of a client who goes while the login is under way.
func TestDisconnectDuringLogin(t *testing.T) {
	var calls events
	d := new(disk)
	inWorld(t, server.Config{Store: d, OnConnection: calls.connection}, script{}, func(t *testing.T, w *world) {
		open := d.block()
		g := w.connect()
		g.send("handshake", parlor.Map{"username": "alice", "password": passwordOf("alice")})
		synctest.Wait() // she is being stored
		g.close()
		pass(5 * time.Second)
		calls.want(t)
		open()
		synctest.Wait()
		calls.want(t, "alice true", "alice false")
		w.login("alice")
	})
}

// TestNonTextPassword covers defect 47; TestLoginChecks has the other cases.
func TestNonTextPassword(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		for _, odd := range []any{5, nil, true, false, 0, []string{"a"}, parlor.Map{}} {
			g := w.connect()
			g.wantNoLogin(g.ask("handshake", parlor.Map{"username": "alice", "password": odd}), "Incorrect password.")
		}
		w.login("alice")
	})
}

// TestImitatedNames: a new name is not another user's with its digits in another script (defect 16); names that
// are known already are taken as they are, and a name is free again when its user is deleted.
func TestImitatedNames(t *testing.T) {
	d := new(disk)
	d.put(snapshot.Snapshot{Registration: true, Users: []snapshot.User{
		snapshot.NewUser("carol1", passwordOf("carol1")), snapshot.NewUser("carol१", passwordOf("carol१")),
	}})
	inWorld(t, server.Config{Store: d}, script{}, func(t *testing.T, w *world) {
		w.login("carol1").close()
		w.login("carol१").close()
		w.login("alice1").close()
		w.login("dave٢").close()
		for _, name := range []string{"alice１", "alice𝟏", "carol١", "dave2", "dave२"} {
			g := w.connect()
			g.wantNoLogin(g.tryLogin(name, "x"), "Username not allowed.")
		}
		for _, name := range []string{"alice1", "dave٢"} {
			if err := w.srv.DeleteUser(name); err != nil {
				t.Fatal(err)
			}
		}
		w.login("alice１").close()
		w.login("dave2").close()
	})
}

// TestRegistrationOpensMeanwhile: of a login of a stranger that waits while registration is off nothing was proved: when it is turned on
// meanwhile she is not stored without a password.
func TestRegistrationOpensMeanwhile(t *testing.T) {
	d := new(disk)
	inWorld(t, server.Config{Store: d, NoRegistration: true}, script{}, func(t *testing.T, w *world) {
		for i := range 40 { // so that the next one is slowed down
			w.connectFrom(fmt.Sprintf("192.0.2.%d", i)).send("handshake", parlor.Map{"username": "zoe", "password": "guess"})
		}
		synctest.Wait()
		answer := make(chan string)
		g := w.connectFrom("198.51.100.1")
		g.beside = true
		go func() { answer <- g.tryLogin("zoe", "pw").Message }()
		pass(time.Second)
		if err := w.srv.SetRegistration(true); err != nil {
			t.Fatal(err)
		}
		if got := <-answer; got != "Registration blocked." {
			t.Errorf("she is answered %q", got)
		}
		if users, err := d.Users(t.Context(), 0, 10); err != nil || len(users) != 0 {
			t.Errorf("stored are %v, %v", users, err)
		}
		w.login("zoe") // with a password of her own
	})
}
