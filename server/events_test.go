package server_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
)

// TestEvents: who runs the server is told of what happens in it.
func TestEvents(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		alice, admin := w.login("alice"), w.login("admin")
		alice.create("room one")
		alice.ask(parlor.RequestLeaveGame, nil)
		alice.create("room two")
		admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "room two"})
		alice.create("room three")
		admin.ask(parlor.RequestDeleteUser, parlor.Map{"username": "alice"})
		w.stop()
		var got []string
		for line := range strings.Lines(w.log.String()) {
			if _, event, ok := strings.Cut(line, "level=INFO "); ok {
				got = append(got, event)
			}
		}
		want := []string{
			`msg="user registered" user=alice`,
			`msg="game created" game="room one" kind="" user=alice`,
			`msg="game ended" game="room one"`,
			`msg="game created" game="room two" kind="" user=alice`,
			`msg="game destroyed" game="room two" user=admin`,
			`msg="game created" game="room three" kind="" user=alice`,
			`msg="user deleted" user=alice`,
			`msg="shutting down" "exit code"=0 users=2`,
		}
		if text := strings.Join(got, ""); text != strings.Join(want, "\n")+"\n" {
			t.Errorf("logged:\n%s", text)
		}
		if strings.Contains(w.log.String(), passwordOf("alice")) {
			t.Error("a password is in the log")
		}
	})
}

// TestTroubles: clients cannot hide behind events that the store fails, and a game that cannot be saved, and asks for it, fills no log.
func TestTroubles(t *testing.T) {
	d := new(disk)
	inWorld(t, server.Config{Store: d, Games: map[string]parlor.NewGame{"": newGrudger}}, script{}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		alice.create("grudger")
		pass(10 * time.Minute)
		if n := strings.Count(w.log.String(), "a game did not save"); n == 0 || n > 100 {
			t.Errorf("%d times it is logged in ten minutes that a game did not save", n)
		}
		bob := w.login("bob")
		for i := range 100 {
			bob.create(fmt.Sprint("room", i))
			bob.ask(parlor.RequestLeaveGame, nil)
		}
		pass(0)
		d.fail(errors.New("no more room"))
		if w.srv.SaveNow() == nil || !strings.Contains(w.log.String(), "no more room") {
			t.Error("the log does not say that the store has failed")
		}
		d.fail(nil)
	})
}

// grudger is a game that asks to be saved all the time, and cannot be.
type grudger struct{ room parlor.Room }

func newGrudger(r parlor.Room, _ string) (parlor.Game, error) { return grudger{r}, nil }

func (grudger) Persistent() bool                               { return true }
func (grudger) SaveString() string                             { panic("no") }
func (g grudger) Update()                                      { g.room.Save() }
func (grudger) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("") }

// TestEventsBounded: clients cannot fill the log.
func TestEventsBounded(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		for i := range 200 {
			alice.create(fmt.Sprint("room", i))
			alice.ask(parlor.RequestLeaveGame, nil)
		}
		if n := strings.Count(w.log.String(), `msg="game `); n != 99 { // and one registration
			t.Errorf("%d of 400 events are logged at once, want 99", n)
		}
		if n := w.srv.Stats().Unlogged.Load(); n != 301 {
			t.Errorf("counted %d, want 301", n)
		}
		time.Sleep(time.Second) // sleep: virtual, for the next one
		alice.create("later")
		w.log.has(t, `game=later kind="" user=alice "events not logged so far"=301`)
	})
}

// TestSlowedAddressLogged: one warning of each address, until it has been quiet for a while.
func TestSlowedAddressLogged(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		for i := range 30 {
			w.login(fmt.Sprint("user", i)).close()
		}
		guess := func(addr string) { // of many names, so that it is the address that is slowed down
			for i := range 30 {
				g := w.connectFrom(addr)
				g.wantNoLogin(g.tryLogin(fmt.Sprint("user", i), "guess"), "Incorrect password.")
			}
		}
		warnings := func(addr string) int {
			return strings.Count(w.log.String(), `level=WARN msg="too many failed logins from an address: slowing it down" address=`+addr+"\n")
		}
		guess("192.0.2.1")
		guess("192.0.2.1")
		guess("2001:db8::1")
		if one, six := warnings("192.0.2.1"), warnings("2001:db8::"); one != 1 || six != 1 {
			t.Errorf("%d and %d warnings, want 1 of each address:\n%s", one, six, w.log)
		}
		time.Sleep(time.Minute) // sleep: virtual, until the budget is full again
		synctest.Wait()
		guess("192.0.2.1")
		if n := warnings("192.0.2.1"); n != 2 {
			t.Errorf("%d warnings, want a second one", n)
		}
		if strings.Contains(w.log.String(), "guess") {
			t.Error("a password is in the log")
		}
	})
}

func TestConfigGames(t *testing.T) {
	made := play(script{})
	for name, test := range map[string]struct {
		cfg  server.Config
		want string
	}{
		"none":         {server.Config{}, "no games"},
		"nil":          {server.Config{Games: map[string]parlor.NewGame{"a": nil}}, `game "a": the function that makes it is nil`},
		"one of two":   {server.Config{Games: map[string]parlor.NewGame{"a": made, "b": nil}, DefaultKind: "a"}, `game "b": the function that makes it is nil`},
		"no default":   {server.Config{Games: map[string]parlor.NewGame{"b": made, "a": made}}, "several kinds of game and no default kind: set DefaultKind to one of a, b"},
		"some default": {server.Config{Games: map[string]parlor.NewGame{"a": made}, DefaultKind: "c"}, `the default kind "c" is not among the games: try one of a`},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.AdminPassword = adminPassword
			if _, err := server.New(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
