package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/internal/snapshot"
	"parlor/link"
	"parlor/server"
)

// TestSleep covers defects 14 and 19.
func TestSleep(t *testing.T) {
	huge := new(big.Int).Exp(big.NewInt(10), big.NewInt(400), nil) // more than a float holds
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		admin := w.login("admin")
		for _, test := range []struct {
			payload any
			took    time.Duration
			want    string
			refused bool
		}{
			{parlor.Map{}, time.Second, "Slept for 1 seconds", false},
			{parlor.Map{"seconds": 0.25}, 250 * time.Millisecond, "Slept for 0.25 seconds", false},
			{parlor.Map{"seconds": 2}, 2 * time.Second, "Slept for 2 seconds", false},
			{parlor.Map{"seconds": 0}, 0, "Slept for 0 seconds", false},
			{parlor.Map{"seconds": math.Copysign(0, -1)}, 0, "Slept for -0.0 seconds", false},
			{parlor.Map{"seconds": 0.00001}, 10 * time.Microsecond, "Slept for 1e-05 seconds", false},
			{parlor.Map{"seconds": 4.9}, 4500 * time.Millisecond, "Slept for 4.9 seconds", false},
			{parlor.Map{"seconds": 5.0}, 4500 * time.Millisecond, "Slept for 5 seconds", false},
			{parlor.Map{"seconds": 1 << 40}, 4500 * time.Millisecond, "Slept for 5 seconds", false},
			{parlor.Map{"seconds": math.Inf(1)}, 4500 * time.Millisecond, "Slept for 5 seconds", false},
			{parlor.Map{"seconds": huge}, 4500 * time.Millisecond, "Slept for 5 seconds", false},
			{parlor.Map{"seconds": new(big.Int).Neg(huge)}, 0,
				"Expected a number from 0 up for argument 'seconds'. Instead got: -" + huge.String(), true},
			{parlor.Map{"seconds": -1}, 0, "Expected a number from 0 up for argument 'seconds'. Instead got: -1", true},
			{parlor.Map{"seconds": -0.5}, 0, "Expected a number from 0 up for argument 'seconds'. Instead got: -0.5", true},
			{parlor.Map{"seconds": math.NaN()}, 0, "Expected a number from 0 up for argument 'seconds'. Instead got: nan", true},
			{parlor.Map{"seconds": "1"}, 0, "Expected argument type <class 'float'> for argument 'seconds'. Instead got: <class 'str'> '1'", true},
			{parlor.Map{"seconds": true}, 0, "Expected argument type <class 'float'> for argument 'seconds'. Instead got: <class 'bool'> True", true},
		} {
			began := time.Now()
			r := admin.ask(parlor.RequestSleep, test.payload)
			if test.refused {
				admin.wantRefused(r, test.want)
			} else {
				admin.wantOK(r, test.want)
			}
			if took := time.Since(began); took != test.took {
				t.Errorf("%s: took %v, want %v", test.want, took, test.took)
			}
		}

		alice := w.login("alice")
		began := time.Now()
		admin.send(parlor.RequestSleep, parlor.Map{"seconds": 4})
		admin.send(parlor.RequestHelp, nil)
		alice.create("room")
		alice.wantOK(alice.ask("move", nil), "got move")
		if time.Since(began) != 0 {
			t.Error("another user waited")
		}
		admin.wantOK(admin.read(), "Slept for 4 seconds")
		admin.wantOK(admin.read(), "See payload for requests.")
	})
}

func TestJoinPassword(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		alice, bob := w.login("alice"), w.login("bob")
		join := func(name, password string) parlor.Response {
			return bob.ask(parlor.RequestJoinGame, parlor.Map{"name": name, "password": password})
		}
		alice.wantOK(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "private", "password": "sesame"}), "Created new game: 'private'.")
		bob.wantRefused(join("private", "guess"), "Failed to join game: Incorrect password.")
		bob.wantRefused(join("private", ""), "Failed to join game: Incorrect password.")
		bob.wantRefused(bob.ask(parlor.RequestJoinGame, parlor.Map{"name": "private"}), "Failed to join game: Incorrect password.")
		bob.wantOK(join("private", "sesame"), "Joined game: 'private'.")
		bob.wantRefused(join("private", "sesame"), "Must leave game first.")
		bob.leave("private")
		bob.wantOK(join("another", "key"), "Created new game: 'another'.")
		if dir := bob.games(); !dir["another"].Password || !dir["private"].Password {
			t.Errorf("directory %v, want both games protected", dir)
		}
		alice.leave("private")
		bob.leave("another")
		alice.create("open to all")
		bob.wantOK(join("open to all", "whatever"), "Joined game: 'open to all'.")
	})
}

func TestJoinOfNothing(t *testing.T) {
	t.Run("creates by default", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			alice := w.login("alice")
			alice.wantOK(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "mispelt"}), "Created new game: 'mispelt'.")
			alice.leave("mispelt")
			alice.wantRefused(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "a_b"}), "Game name not allowed.")
			alice.wantRefused(alice.ask(parlor.RequestJoinGame, nil), "Please specify a game name.")
		})
	})
	t.Run("refused if so configured", func(t *testing.T) {
		inWorld(t, server.Config{NoAutoCreate: true}, script{}, func(t *testing.T, w *world) {
			alice := w.login("alice")
			alice.wantRefused(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "mispelt"}), "No such game: 'mispelt'")
			alice.create("mispelt")
			bob := w.login("bob")
			bob.join("mispelt")
		})
	})
}

// TestNames covers defect 16: names that pgnet 0.2.1 takes, though they look like others.
func TestNames(t *testing.T) {
	saved := new(disk)
	saved.put(snapshot.Snapshot{Registration: true, Users: []snapshot.User{snapshot.NewUser("a٣३", passwordOf("a٣३"))},
		Games: []snapshot.Game{{Name: "tab\there", Data: "x"}}})
	inWorld(t, server.Config{Store: saved}, script{persistent: always(true), save: always("x")}, func(t *testing.T, w *world) {
		for _, name := range []string{"ab", "a b", "a_b", "café", "myAdmin", "a1१b", strings.Repeat("x", 21)} {
			g := w.connect()
			g.wantNoLogin(g.tryLogin(name, "pw"), "Username not allowed.")
		}
		w.login("٣٣٣")
		alice := w.login("a٣३")
		for _, name := range []string{"", "ab", " abc", "abc ", "abc\n", "a\tb", "a\nb", "a\u00a0b", "a\u3000b", "a٣३b", "admins", strings.Repeat("x", 51)} {
			alice.wantRefused(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": name}), "Game name not allowed.")
		}
		alice.wantOK(alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "tab\there"}), `Joined game: 'tab\there'.`)
		alice.wantOK(alice.ask(parlor.RequestLeaveGame, nil), `Left game: 'tab\there'.`)
		alice.create("a  b")
		alice.leave("a  b")
		alice.create("٣٣٣")
	})
}

// TestMalformed covers defect 25: what is no packet is answered, and the session lives.
func TestMalformed(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		spy := &spyLobby{Lobby: w.srv}
		alice := dial(t, spy)
		alice.tryLogin("alice", passwordOf("alice"))
		alice.create("room")
		_, err := parlor.DecodePacket([]byte(`["no packet"]`))
		if err == nil {
			t.Fatal("an array was taken for a packet")
		}
		spy.session.Malformed(err)
		r := alice.read()
		if r.Status != parlor.StatusUnexpected || !strings.HasPrefix(r.Message, "Malformed packet: ") || r.Disconnecting || r.Game != "room" {
			t.Errorf("answer %s, want status 2", r.DebugText())
		}
		alice.wantOK(alice.ask("move", nil), "got move")
		for _, payload := range []any{[]int{1}, "text", (*int)(nil), 5} {
			alice.want(alice.ask(parlor.RequestHelp, payload), parlor.StatusUnexpected, "Malformed packet: the payload of '__pgnet__.help' must be an object")
			alice.wantOK(alice.ask("anything goes in a game", payload), "got anything goes in a game")
		}
		if n := w.srv.Stats().Malformed.Load(); n != 1 {
			t.Errorf("%d counted, want 1", n)
		}
	})
}

// TestArguments checks section 7.1.
func TestArguments(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		alice.wantRefused(alice.ask(parlor.RequestSave, parlor.Map{"odd": 1}), "'__pgnet__.save' requires admin privileges.")
		alice.wantRefused(alice.ask(parlor.RequestHelp, parlor.Map{"o'dd": 1}), `Unexpected argument "o'dd" for request '__pgnet__.help'`)
		alice.wantRefused(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": 1.0}),
			"Expected argument type <class 'str'> for argument 'name'. Instead got: <class 'float'> 1.0")
		alice.wantRefused(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": nil}),
			"Expected argument type <class 'str'> for argument 'name'. Instead got: <class 'NoneType'> None")
		admin := w.login("admin")
		admin.wantRefused(admin.ask(parlor.RequestSetVerbose, parlor.Map{"set_as": 1}),
			"Expected argument type <class 'bool'> for argument 'set_as'. Instead got: <class 'int'> 1")
		admin.wantOK(admin.ask(parlor.RequestSetRegistration, nil), "Registration enabled: False")
		admin.wantOK(admin.ask(parlor.RequestSetRegistration, parlor.Map{"set_as": true}), "Registration enabled: True")
	})
}

// TestUnknownRequest checks section 6.2: in a game, unknown reserved names are the game's.
func TestUnknownRequest(t *testing.T) {
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		for _, message := range []string{"__pgnet__.x", parlor.RequestHeartbeat, "hello", ""} {
			alice.wantRefused(alice.ask(message, nil), "Please create/join a game.")
		}
		alice.create("room")
		alice.wantOK(alice.ask("__pgnet__.x", nil), "got __pgnet__.x")
		alice.wantOK(alice.ask(parlor.RequestHeartbeat, nil), "beat")
	})
}

// TestGamePacket checks what a game sees, and what it may answer (section 8.3).
func TestGamePacket(t *testing.T) {
	s := script{packet: func(p parlor.Packet) parlor.Response {
		switch p.Message {
		case "leave":
			return parlor.Response{Message: "bye", Status: 77, Disconnecting: true, Game: "elsewhere"}
		case "unsendable":
			return parlor.OK("no", parlor.Map{"f": func() {}})
		}
		return parlor.OK(p.Username, p.Payload)
	}}
	inWorld(t, server.Config{}, s, func(t *testing.T, w *world) {
		alice := w.login("alice")
		alice.create("room")
		p := parlor.Packet{Message: "hi", Username: "mallory", CreatedOn: "then", Payload: parlor.Encode([]int{1})}
		alice.conn.Send(t.Context(), p)
		if r := alice.wantOK(alice.read(), "alice"); string(r.Payload.JSON()) != "[1]" || r.Game != "room" {
			t.Errorf("answer %s", r.DebugText())
		}
		alice.want(alice.ask("unsendable", nil), parlor.StatusBad, "The game's answer could not be sent.")
		if r := alice.want(alice.ask("leave", nil), 77, "bye"); r.Disconnecting || r.Game != "" {
			t.Errorf("answer %s, want it to leave the connection, and no game", r.DebugText())
		}
		if n := len(alice.games()); n != 0 {
			t.Errorf("%d games, want none: the last user has left", n)
		}
	})
}

func TestHeartbeatRate(t *testing.T) {
	for _, test := range []struct {
		rate float64
		want string
	}{
		{10, `{"heartbeat_rate": 10}`},
		{2.5, `{"heartbeat_rate": 2.5}`},
		{0.1, `{"heartbeat_rate": 0.1}`},
		{0, `{"heartbeat_rate": 10}`},
		{-3, `{"heartbeat_rate": 10}`},
		{math.NaN(), `{"heartbeat_rate": 10}`},
		{math.Inf(1), `{"heartbeat_rate": 10}`},
		{1e300, `{"heartbeat_rate": 1e+300}`},
	} {
		inWorld(t, server.Config{}, script{rate: always(test.rate)}, func(t *testing.T, w *world) {
			alice, bob := w.login("alice"), w.login("bob")
			for _, r := range []parlor.Response{alice.create("room"), bob.join("room")} {
				if got := string(r.Payload.JSON()); got != test.want {
					t.Errorf("rate %v: %s, want %s", test.rate, got, test.want)
				}
			}
		})
	}
	t.Run("default", func(t *testing.T) {
		plain := func(parlor.Room, string) (parlor.Game, error) { return echo{}, nil }
		inWorld(t, server.Config{Games: map[string]parlor.NewGame{"": plain}}, script{}, func(t *testing.T, w *world) {
			alice := w.login("alice")
			if got := string(alice.create("room").Payload.JSON()); got != `{"heartbeat_rate": 10}` {
				t.Errorf("payload %s", got)
			}
			alice.wantOK(alice.ask(parlor.RequestHeartbeat, nil), "No heartbeat update configured for echo")
		})
	})
}

// TestPayloadOfKick: a response that takes the user out of the game has no payload that breaks pgnet's client,
// whatever the game gives; in all others the payload is the game's own business.
func TestPayloadOfKick(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for payload, want := range map[string]string{
		`null`: `{}`, `[1]`: `{}`, `"text"`: `{}`, `7`: `{}`,
		`{}`: `{}`, `{"score": 3}`: `{"score": 3}`,
		`{"heartbeat_rate": 5}`:                              `{"heartbeat_rate": 5}`,
		`{"heartbeat_rate": 0.5, "x": {"y": [1.0]}}`:         `{"heartbeat_rate": 0.5, "x": {"y": [1.0]}}`,
		`{"heartbeat_rate": 0}`:                              `{}`,
		`{"heartbeat_rate": -2}`:                             `{}`,
		`{"heartbeat_rate": null}`:                           `{}`,
		`{"heartbeat_rate": "10"}`:                           `{}`,
		`{"heartbeat_rate": true}`:                           `{}`,
		`{"heartbeat_rate": NaN}`:                            `{}`,
		`{"heartbeat_rate": Infinity}`:                       `{}`,
		`{"heartbeat_rate": 1e400}`:                          `{}`,
		`{"a": 1.0, "heartbeat_rate": 0, "b\u00e9": [null]}`: `{"a": 1.0, "b\u00e9": [null]}`,
		`{"heartbeat_rate": 1, "heartbeat_rate": 0}`:         `{}`,
		`{"heartbeat_rate": {}, "deep": ` + deep + `}`:       `{"deep": ` + deep + `}`,
	} {
		p, err := parlor.ParsePayload([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		s := script{packet: func(in parlor.Packet) parlor.Response {
			return parlor.Response{Message: "bye", Payload: p, Disconnecting: in.Message == "leave"}
		}}
		inWorld(t, server.Config{}, s, func(t *testing.T, w *world) {
			alice := w.login("alice")
			alice.create("room")
			if got := string(alice.wantOK(alice.ask("stay", nil), "bye").Payload.JSON()); got != payload {
				t.Errorf("payload %s became %s, though the game stayed", payload, got)
			}
			r := alice.wantOK(alice.ask("leave", nil), "bye")
			if got, err := r.Payload.AppendPyJSON(nil); err != nil || string(got) != want || r.Game != "" {
				t.Errorf("payload %s became %s, %v, want %s", payload, got, err, want)
			}
			if changed := want != payload; strings.Contains(w.log.String(), "breaks pgnet's clients") != changed {
				t.Errorf("payload %s: logged %v, want %v", payload, !changed, changed)
			}
		})
	}
}

// echo is the smallest game.
type echo struct{}

func (echo) HandleGamePacket(p parlor.Packet) parlor.Response { return parlor.OK(p.Message) }

// TestOtherKind: on Parlor's own wires nobody joins a game of another kind than the one that was asked for.
func TestOtherKind(t *testing.T) {
	made := func(parlor.Room, string) (parlor.Game, error) { return echo{}, nil }
	cfg := server.Config{Games: map[string]parlor.NewGame{"chess": made, "go": made}, DefaultKind: "go"}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		bob := w.login("bob")
		bob.wantOK(bob.ask(parlor.RequestCreateGame, parlor.Map{"name": "room"}), "Created new game: 'room'.")
		alice := &streamClient{t: t, srv: w.srv, name: "alice"}
		alice.connect(-1)
		for i, c := range [][2]string{
			{"chess", "Failed to join game: It is of the kind 'go'."},
			{"ludo", "No such kind of game: 'ludo'. Try chess or go."},
			{"go", "Joined game: 'room'."},
		} {
			e := &link.Envelope{
				Kind: link.KindRequest, Ack: alice.seq, ID: uint64(i + 1),
				Message: parlor.RequestJoinGame, Payload: parlor.Encode(parlor.Map{"name": "room", "kind": c[0]}),
			}
			if err := alice.link.session.Request(e); err != nil {
				t.Fatal(err)
			}
			alice.wants(fmt.Sprint(i+1, " ", c[1]))
		}
		carl := w.login("carl") // on pgnet's wire
		carl.wantOK(carl.ask(parlor.RequestJoinGame, parlor.Map{"name": "room", "kind": "chess"}), "Joined game: 'room'.")
	})
}

func TestKinds(t *testing.T) {
	named := func(name string) parlor.NewGame {
		return play(script{packet: func(parlor.Packet) parlor.Response { return parlor.OK(name) }})
	}
	cfg := server.Config{Games: map[string]parlor.NewGame{"chess": named("chess"), "go": named("go")}, DefaultKind: "go"}
	inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		for kind, want := range map[string]string{"": "go", "go": "go", "chess": "chess"} {
			alice.wantOK(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "room", "kind": kind}), "Created new game: 'room'.")
			alice.wantOK(alice.ask("which", nil), want)
			alice.leave("room")
		}
		alice.wantRefused(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "room", "kind": "ludo"}), "No such kind of game: 'ludo'. Try chess or go.")
		if help := string(alice.ask(parlor.RequestHelp, nil).Payload.JSON()); strings.Contains(help, "kind") {
			t.Errorf("help tells pgnet's clients of kinds: %s", help)
		}
	})
	for _, bad := range []server.Config{
		{AdminPassword: "x"},
		{Games: cfg.Games, AdminPassword: "x"},
		{Games: cfg.Games, DefaultKind: "ludo", AdminPassword: "x"},
		{Games: cfg.Games, DefaultKind: "go"},
	} {
		if _, err := server.New(bad); err == nil {
			t.Errorf("New(%+v) made a server", bad)
		}
	}
}

func TestMaxUsers(t *testing.T) {
	inWorld(t, server.Config{}, script{maxUsers: always(2)}, func(t *testing.T, w *world) {
		alice, bob, carol := w.login("alice"), w.login("bob"), w.login("carol")
		alice.create("room")
		bob.join("room")
		r := carol.wantRefused(carol.ask(parlor.RequestJoinGame, parlor.Map{"name": "room"}), "Failed to join game: Game is full.")
		if r.Game != "" {
			t.Errorf("in game %q, want none", r.Game)
		}
		bob.leave("room")
		carol.join("room")
	})
}

func TestExpiry(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		t.Run(fmt.Sprint("persistent ", keeps), func(t *testing.T) {
			inWorld(t, server.Config{}, script{persistent: always(keeps)}, func(t *testing.T, w *world) {
				alice, bob := w.login("alice"), w.login("bob")
				want := func(users, games int) {
					t.Helper()
					dir := bob.games()
					if len(dir) != games || dir["room"].Users != users {
						t.Errorf("directory %v, want %d games, %d users", dir, games, users)
					}
				}
				left := 0
				if keeps {
					left = 1
				}
				alice.create("room")
				bob.join("room")
				want(2, 1)
				alice.leave("room")
				want(1, 1)
				bob.leave("room")
				want(0, left)
				alice.ask(parlor.RequestJoinGame, parlor.Map{"name": "room"})
				want(1, 1)
				alice.close()
				want(0, left)
				if keeps {
					admin := w.login("admin")
					admin.wantOK(admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "room"}), "Destroyed game: 'room'")
					want(0, 0)
				}
			})
		})
	}
}

func TestDestroyGame(t *testing.T) {
	var left events
	inWorld(t, server.Config{}, script{left: left.add, persistent: always(true)}, func(t *testing.T, w *world) {
		admin, alice, bob := w.login("admin"), w.login("alice"), w.login("bob")
		destroy := func(name string) parlor.Response {
			return admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": name})
		}
		alice.create("room")
		bob.join("room")
		admin.wantRefused(destroy("other"), "No such game: 'other'")
		admin.wantOK(destroy("room"), "Destroyed game: 'room'")
		left.want(t, "alice", "bob")
		for _, g := range []*guest{alice, bob} {
			if r := g.wantRefused(g.ask("move", nil), "Please create/join a game."); r.Game != "" {
				t.Errorf("in game %q, want none", r.Game)
			}
		}
		alice.create("room")
	})
}

// TestTooLarge covers defect 33.
func TestTooLarge(t *testing.T) {
	big := strings.Repeat("x", 900_000)
	s := script{
		packet: func(p parlor.Packet) parlor.Response { return parlor.OK("ok", parlor.Map{"big": big}) },
		info:   always(big),
	}
	want := func(t *testing.T, w *world, g *guest) {
		t.Helper()
		g.wantOK(g.tryLogin("alice", "pw"), "Authenticated.")
		g.create("room")
		if r := g.wantRefused(g.ask("move", nil), "Limit of response size reached."); r.Game != "room" || r.Disconnecting {
			t.Errorf("answer %s, want the session to live on", r.DebugText())
		}
		g.wantOK(g.ask(parlor.RequestLeaveGame, nil), "Left game: 'room'.")
		if n := w.srv.Stats().TooLarge.Load(); n != 1 {
			t.Errorf("%d counted, want 1", n)
		}
	}
	t.Run("limit of the lobby", func(t *testing.T) {
		inWorld(t, server.Config{}, s, func(t *testing.T, w *world) { want(t, w, w.connect()) })
	})
	t.Run("limit of the link", func(t *testing.T) {
		inWorld(t, server.Config{}, s, func(t *testing.T, w *world) {
			want(t, w, dial(t, peer{w.srv, func(l link.Link) link.Link { return tightLink{l} }}))
		})
	})
	t.Run("directory", func(t *testing.T) {
		inWorld(t, server.Config{}, s, func(t *testing.T, w *world) {
			alice := w.login("alice")
			alice.create("room")
			if n := len(alice.games()["room"].Info); n != 1024 {
				t.Errorf("%d bytes of info, want it cut to 1024", n)
			}
		})
	})
}

// TestLimits covers defect 34: each limit has a text and a counter.
func TestLimits(t *testing.T) {
	counted := func(t *testing.T, counter interface{ Load() int64 }, want int64) {
		t.Helper()
		if n := counter.Load(); n != want {
			t.Errorf("%d counted, want %d", n, want)
		}
	}
	t.Run("links", func(t *testing.T) {
		inWorld(t, server.Config{Limits: server.Limits{Links: 2}}, script{}, func(t *testing.T, w *world) {
			first := w.connect()
			w.connect()
			if _, err := w.srv.Open(deafLink{}); !errors.Is(err, link.ErrTooMany) {
				t.Errorf("third link: %v, want ErrTooMany", err)
			}
			counted(t, &w.srv.Stats().LinksRefused, 1)
			first.close()
			w.connect()
		})
	})
	t.Run("users", func(t *testing.T) {
		inWorld(t, server.Config{Limits: server.Limits{Users: 1}}, script{}, func(t *testing.T, w *world) {
			w.login("alice").close()
			g := w.connect()
			g.wantNoLogin(g.tryLogin("bob", "pw"), "Limit of registered users reached.")
			counted(t, &w.srv.Stats().UsersRefused, 1)
			w.login("alice")
			w.login("admin")
		})
	})
	t.Run("games", func(t *testing.T) {
		inWorld(t, server.Config{Limits: server.Limits{Games: 1}}, script{}, func(t *testing.T, w *world) {
			alice, bob := w.login("alice"), w.login("bob")
			alice.create("one")
			bob.wantRefused(bob.ask(parlor.RequestCreateGame, parlor.Map{"name": "two"}), "Limit of games reached.")
			bob.wantRefused(bob.ask(parlor.RequestJoinGame, parlor.Map{"name": "two"}), "Limit of games reached.")
			counted(t, &w.srv.Stats().GamesRefused, 2)
			alice.leave("one")
			bob.create("two")
		})
	})
	t.Run("invites", func(t *testing.T) {
		inWorld(t, server.Config{Limits: server.Limits{Invites: 1}}, script{}, func(t *testing.T, w *world) {
			if _, err := w.srv.CreateInvite(""); err != nil {
				t.Fatal(err)
			}
			admin := w.login("admin")
			admin.wantRefused(admin.ask(parlor.RequestCreateInvite, nil), "Limit of invite codes reached.")
			counted(t, &w.srv.Stats().InvitesRefused, 1)
			if w.srv.RefusesInviteLocked() { // a session that ends there would wait for itself, and all others for it
				t.Error("she is refused with the lock held")
			}
		})
	})
	t.Run("requests per second", func(t *testing.T) {
		inWorld(t, server.Config{Limits: server.Limits{RequestsPerSecond: 5}}, script{}, func(t *testing.T, w *world) {
			alice, bob := w.login("alice"), w.login("bob")
			refused := 0
			for range 10 {
				if r := alice.ask(parlor.RequestHelp, nil); r.Message == "Limit of requests per second reached." && r.Status == parlor.StatusUnexpected {
					refused++
				}
			}
			if refused != 5 {
				t.Errorf("%d of 10 refused, want 5", refused)
			}
			counted(t, &w.srv.Stats().RequestsRefused, 5)
			bob.wantOK(bob.ask(parlor.RequestHelp, nil), "See payload for requests.")
			pass(time.Second)
			alice.wantOK(alice.ask(parlor.RequestHelp, nil), "See payload for requests.")
		})
	})
	t.Run("mailbox of a room", func(t *testing.T) {
		block := make(chan struct{})
		s := script{packet: func(parlor.Packet) parlor.Response { <-block; return parlor.OK("late") }}
		synctest.Test(t, func(t *testing.T) {
			block = make(chan struct{})
			w := start(t, server.Config{}, s)
			defer close(block)
			first := w.login("user0")
			first.create("room")
			var guests []*guest
			for i := range 1025 { // one is with the game, 1024 wait
				g := w.login(fmt.Sprint("user", i+1))
				g.join("room")
				guests = append(guests, g)
			}
			first.send("move", nil)
			synctest.Wait()
			for _, g := range guests[:1024] {
				g.send("move", nil)
			}
			g := guests[1024]
			g.wantRefused(g.ask("move", nil), "Limit of requests waiting for the game reached.")
			counted(t, &w.srv.Stats().Rooms.Busy, 1)
		})
	})
}

// TestPipelining checks section 6.1: requests of a session are answered in the order sent.
func TestPipelining(t *testing.T) {
	inWorld(t, server.Config{Store: new(disk)}, script{}, func(t *testing.T, w *world) {
		admin := w.connect()
		admin.send("handshake", parlor.Map{"username": "admin", "password": adminPassword})
		var want []string
		for i := range 30 {
			room := fmt.Sprint("room ", i)
			admin.send(parlor.RequestCreateGame, parlor.Map{"name": room})
			admin.send("move", nil)
			admin.send(parlor.RequestGameDir, nil)
			admin.send(parlor.RequestSave, nil)
			admin.send(parlor.RequestSleep, parlor.Map{"seconds": 0.5})
			admin.send("another", nil)
			admin.send(parlor.RequestLeaveGame, nil)
			want = append(want, "Created new game: '"+room+"'.", "got move", "See payload for games directory.",
				"Saved success=True server data to disk: memory", "Slept for 0.5 seconds", "got another", "Left game: '"+room+"'.")
		}
		admin.wantOK(admin.read(), "Authenticated.")
		for _, message := range want {
			admin.wantOK(admin.read(), message)
		}
	})
}

func TestQueue(t *testing.T) {
	cfg := server.Config{Limits: server.Limits{Queue: 4, QueueBytes: 1000, QueueWait: 2 * time.Second}}
	t.Run("waits for room", func(t *testing.T) {
		inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
			admin := w.login("admin")
			began := time.Now()
			admin.send(parlor.RequestSleep, nil)
			synctest.Wait() // it is under way, and not in the queue any more
			for range 4 {
				admin.send(parlor.RequestHelp, nil)
			}
			if time.Since(began) != 0 {
				t.Error("a link waited for a queue that was not full")
			}
			admin.send(parlor.RequestHelp, nil)
			if took := time.Since(began); took != time.Second {
				t.Errorf("waited for %v, want until the sleep was over", took)
			}
			admin.wantOK(admin.read(), "Slept for 1 seconds")
			for range 5 {
				admin.wantOK(admin.read(), "See payload for requests.")
			}
			if n := w.srv.Stats().QueueFull.Load(); n != 1 {
				t.Errorf("%d counted, want 1", n)
			}
		})
	})
	t.Run("closes in the end", func(t *testing.T) {
		inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
			admin := w.login("admin")
			began := time.Now()
			admin.send(parlor.RequestSleep, parlor.Map{"seconds": 4})
			synctest.Wait() // it is under way, and not in the queue any more
			for range 4 {
				admin.send(parlor.RequestHelp, nil)
			}
			err := admin.conn.Send(t.Context(), parlor.Packet{Message: parlor.RequestHelp})
			var closes *link.CloseError
			if !errors.As(err, &closes) || closes.Code != link.ClosePolicy || closes.Reason != "limit of waiting requests" {
				t.Errorf("%v, want a CloseError that names the limit", err)
			}
			if took := time.Since(began); took != 2*time.Second {
				t.Errorf("closed after %v, want 2 s", took)
			}
			admin.wantGone(time.Second)
			pass(10 * time.Second)
			w.login("admin")
		})
	})
	for name, p := range map[string]parlor.Packet{
		"bytes of payload": {Message: "x", Payload: parlor.Encode(parlor.Map{"x": strings.Repeat("x", 1000)})},
		"bytes of message": {Message: strings.Repeat("x", 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
				admin := w.login("admin")
				began := time.Now()
				admin.send(parlor.RequestSleep, nil)
				admin.conn.Send(t.Context(), p)
				admin.conn.Send(t.Context(), p)
				if took := time.Since(began); took != time.Second {
					t.Errorf("the second large packet waited for %v, want a second", took)
				}
			})
		})
	}
	t.Run("closed while waiting", func(t *testing.T) {
		inWorld(t, cfg, script{}, func(t *testing.T, w *world) {
			admin := w.login("admin")
			admin.send(parlor.RequestSleep, parlor.Map{"seconds": 4})
			synctest.Wait() // it is under way, and not in the queue any more
			for range 4 {
				admin.send(parlor.RequestHelp, nil)
			}
			began := time.Now()
			go func() { pass0(time.Second); admin.conn.Close() }()
			if err := admin.conn.Send(t.Context(), parlor.Packet{Message: "x"}); err == nil {
				t.Error("sent on a closed link")
			}
			if took := time.Since(began); took != time.Second {
				t.Errorf("returned after %v, want at once when closed", took)
			}
		})
	})
}

// pass0 lets virtual time go by, on a goroutine that is not the test's.
func pass0(d time.Duration) {
	time.Sleep(d) // sleep: virtual time, in a bubble of synctest
}

// TestDebug covers defect 46.
func TestDebug(t *testing.T) {
	inWorld(t, server.Config{PublicKey: "KEY"}, script{}, func(t *testing.T, w *world) {
		admin, alice := w.login("admin"), w.connectFrom("::1")
		alice.wantOK(alice.tryLogin("alice", "her secret"), "Authenticated.")
		alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "room", "password": "sesame"})
		code, err := w.srv.CreateInvite("carol")
		if err != nil {
			t.Fatal(err)
		}
		r := admin.wantOK(admin.ask(parlor.RequestDebug, nil), "Debug")
		text := string(r.Payload.JSON())
		for _, secret := range []string{"sesame", "her secret", adminPassword, code, code[:8]} {
			if strings.Contains(text, secret) {
				t.Errorf("debug shows %q: %s", secret, text)
			}
		}
		var payload struct {
			PublicKey    string            `json:"pubkey"`
			Games        []string          `json:"games"`
			Connected    []string          `json:"connected_users"`
			Users        []string          `json:"all_users"`
			Registration bool              `json:"registration"`
			Invites      map[string]string `json:"invite_codes"`
			Deleted      []string          `json:"deleted_users"`
			Verbose      bool              `json:"verbose"`
		}
		if err := json.Unmarshal([]byte(text), &payload); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"LobbyGame(name='room', password='***', connected_users={'alice'})",
			"UserConnection(tunnel=<Tunnel pubkey=ABCDEF...>, remote='localhost:4711', username='alice', game='room')",
		}
		if payload.Games[0] != want[0] || payload.Connected[1] != want[1] {
			t.Errorf("debug shows %q, %q", payload.Games, payload.Connected)
		}
		if fmt.Sprint(payload.Users) != "[admin alice]" || payload.PublicKey != "KEY" || !payload.Registration || payload.Verbose ||
			payload.Deleted == nil || len(payload.Invites) != 1 {
			t.Errorf("debug shows %s", text)
		}
	})
}

// TestInviteCodes covers defect 41.
func TestInviteCodes(t *testing.T) {
	inWorld(t, server.Config{NoRegistration: true}, script{}, func(t *testing.T, w *world) {
		admin := w.login("admin")
		seen := map[string]bool{}
		for range 100 {
			r := admin.ask(parlor.RequestCreateInvite, nil)
			code := strings.TrimPrefix(r.Message, "Created invite code: ")
			if !regexp.MustCompile("^[0-9a-f]{32}$").MatchString(code) || seen[code] {
				t.Fatalf("answer %q, want a new code of 128 bits", r.Message)
			}
			seen[code] = true
		}
	})
}

// TestVerbose runs a session of every request with verbose logging, and looks for secrets in the log.
func TestVerbose(t *testing.T) {
	inWorld(t, server.Config{Verbose: true, Store: new(disk)}, script{}, func(t *testing.T, w *world) {
		admin, alice := w.login("admin"), w.login("alice")
		wrong := w.connect()
		wrong.tryLogin("alice", "secret guess")
		code, _ := strings.CutPrefix(admin.ask(parlor.RequestCreateInvite, parlor.Map{"username": "carol"}).Message, "Created invite code: ")
		carol := w.connect()
		carol.wantOK(carol.ask("handshake", parlor.Map{"username": "carol", "password": "secret of carol", "invite_code": code}), "Authenticated.")
		next, _ := strings.CutPrefix(admin.ask(parlor.RequestCreateInvite, nil).Message, "Created invite code: ")

		secret := parlor.Map{"name": "room", "password": "secret of the game"}
		odd := parlor.Map{"password": []string{"secret of the game"}}
		alice.ask(parlor.RequestCreateGame, odd)
		alice.ask(parlor.RequestCreateGame, secret)
		carol.ask(parlor.RequestJoinGame, odd)
		carol.ask(parlor.RequestJoinGame, secret)
		alice.ask("handshake", parlor.Map{"password": "secret of alice"})
		admin.ask("handshake", parlor.Map{"password": adminPassword})
		admin.ask("__pgnet__.create_gmae", secret)
		alice.ask("__pgnet__.joingame", secret) // misspelt, from within a game
		alice.ask("a move", parlor.Map{"to": "e4"})
		admin.ask(parlor.RequestDebug, nil)
		admin.ask(parlor.RequestSave, nil)
		admin.ask(parlor.RequestGameDir, nil)
		admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": "room"})
		admin.ask(parlor.RequestDeleteUser, parlor.Map{"username": "carol"})
		admin.ask(parlor.RequestShutdown, nil)
		w.stop()
		text := w.log.String()
		for _, secret := range []string{"secret", adminPassword, code, next} {
			if secret == "" || strings.Contains(text, secret) {
				t.Errorf("the log holds %q:\n%s", secret, text)
			}
		}
		w.log.has(t, "a move")
		w.log.has(t, "e4")
		w.log.has(t, parlor.RequestDestroyGame)
	})
	t.Run("switch", func(t *testing.T) {
		inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
			admin := w.login("admin")
			admin.create("room")
			admin.ask("first", nil)
			admin.wantOK(admin.ask(parlor.RequestSetVerbose, parlor.Map{"set_as": true}), "Verbose logging enabled: True")
			admin.ask("second", nil)
			admin.wantOK(admin.ask(parlor.RequestSetVerbose, nil), "Verbose logging enabled: False")
			admin.ask("third", nil)
			w.log.has(t, "second")
			if text := w.log.String(); strings.Contains(text, "first") || strings.Contains(text, "third") {
				t.Errorf("logged while off:\n%s", text)
			}
		})
	})
}

// TestJoinEndedGame shows that a join that comes to a game as it ends makes a new one.
func TestJoinEndedGame(t *testing.T) {
	for _, auto := range []bool{true, false} {
		t.Run(fmt.Sprint("auto ", auto), func(t *testing.T) {
			block := make(chan struct{})
			s := script{packet: func(parlor.Packet) parlor.Response {
				<-block
				return parlor.Response{Message: "bye", Disconnecting: true}
			}}
			synctest.Test(t, func(t *testing.T) {
				block = make(chan struct{})
				w := start(t, server.Config{NoAutoCreate: !auto}, s)
				alice, bob := w.login("alice"), w.login("bob")
				alice.create("room")
				alice.send("last move", nil)
				synctest.Wait()
				bob.send(parlor.RequestJoinGame, parlor.Map{"name": "room"})
				synctest.Wait()
				close(block)
				if auto {
					bob.wantOK(bob.read(), "Created new game: 'room'.")
				} else {
					bob.wantRefused(bob.read(), "No such game: 'room'")
				}
				alice.wantOK(alice.read(), "bye")
			})
		})
	}
}

// TestAfterTheEnd refuses links once the server has stopped; to run it again is harmless, and ends at once.
func TestAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, server.Config{}, script{})
		w.login("alice").create("room")
		w.stop()
		var closes *link.CloseError
		if _, err := w.srv.Open(deafLink{}); !errors.As(err, &closes) || closes.Code != link.CloseGoingAway {
			t.Errorf("%v, want a CloseError with 1001", err)
		}
		if code, err := w.srv.Run(t.Context()); code != 0 || err != nil {
			t.Errorf("Run again: %d, %v", code, err)
		}
	})
}

// TestNoDefaultPassword covers defect 45.
func TestNoDefaultPassword(t *testing.T) {
	if _, err := server.New(server.Config{Games: map[string]parlor.NewGame{"": play(script{})}}); err == nil {
		t.Error("New made a server without an administrator password")
	}
	inWorld(t, server.Config{}, script{}, func(t *testing.T, w *world) {
		g := w.connect()
		g.wantNoLogin(g.tryLogin("admin", "admin"), "Incorrect password.")
		if strings.Contains(w.log.String(), adminPassword) {
			t.Error("the password is in the log")
		}
	})
}
