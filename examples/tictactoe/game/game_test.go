package game_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parlor"
	"parlor/client"
	"parlor/examples/tictactoe/game"
	"parlor/internal/exampletest"
	"parlor/link/memlink"
	"parlor/parlortest"
	"parlor/server"
	"parlor/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is a server with users at one match.
type table struct {
	t     *testing.T
	store store.Memory
	srv   *server.Server
	users map[string]*client.Client
	stop  func()
}

// open starts the server; what the table has saved is there again.
func (tb *table) open() {
	tb.t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	srv, err := server.New(server.Config{
		Games: map[string]parlor.NewGame{"tictactoe": game.New}, AdminPassword: "secret", Store: &tb.store, Logger: quiet,
	})
	if err != nil {
		tb.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { srv.Run(ctx); close(done) }()
	tb.srv, tb.users = srv, map[string]*client.Client{}
	tb.stop = func() {
		cancel()
		<-done
		for _, c := range tb.users {
			c.Wait()
		}
	}
}

// join brings a user to the table.
func (tb *table) join(name string) {
	tb.t.Helper()
	c, err := client.Dial(tb.t.Context(), "local", client.Config{
		Username: name, Dialer: memlink.Dialer{Lobby: tb.srv}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		tb.t.Fatal(err)
	}
	tb.users[name] = c
	if c.Game() == "match" { // she has kept her seat while the server was started again
		return
	}
	if err := c.JoinGame(tb.t.Context(), "match", client.GameOptions{}); err != nil {
		tb.t.Fatal(err)
	}
}

// want sends "USER PACKET" or "USER CELL" and compares the answer with "MESSAGE BOARD TURN", where the board
// has a dot for a free cell and the turn is who is to move, or who has won with a bang, or nothing.
func (tb *table) want(send, want string) {
	tb.t.Helper()
	user, what, _ := strings.Cut(send, " ")
	message, payload := what, any(nil)
	if len(what) == 1 {
		message, payload = "move", parlor.Map{"cell": int(what[0] - '0')}
	}
	r, err := tb.users[user].Request(tb.t.Context(), message, payload)
	if err != nil {
		tb.t.Fatal(err)
	}
	if got := r.Message + " " + board(tb.t, r.Payload); got != want {
		tb.t.Errorf("%s: %s, want %s", send, got, want)
	}
	if ok := r.Message == "Moved." || r.Message == "Board." || r.Message == "New match."; ok != (r.Status == 0) {
		tb.t.Errorf("%s: status %v for %q", send, r.Status, r.Message)
	}
}

type view struct {
	Cells      []string `json:"cells"`
	X          string   `json:"x"`
	O          string   `json:"o"`
	You        string   `json:"you"`
	Turn       string   `json:"turn"`
	Over       bool     `json:"over"`
	Winner     string   `json:"winner"`
	Spectators []string `json:"spectators"`
	Away       []string `json:"away"`
}

func parse(t *testing.T, p parlor.Payload) (v view) {
	t.Helper()
	if err := p.Bind(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func board(t *testing.T, p parlor.Payload) string {
	t.Helper()
	v := parse(t, p)
	text := ""
	for _, c := range v.Cells {
		if c == "" {
			c = "."
		}
		text += c
	}
	switch {
	case v.Winner != "":
		return text + " " + v.Winner + "!"
	case v.Over:
		return text + " drawn"
	}
	return text + " " + v.Turn
}

func (tb *table) info(want string) {
	tb.t.Helper()
	for _, c := range tb.users {
		games, err := c.GameDir(tb.t.Context())
		if err != nil || len(games) != 1 || games[0].Info != want {
			tb.t.Errorf("directory %+v, %v, want the line %q", games, err, want)
		}
		return
	}
}

func TestMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := &table{t: t}
		tb.open()
		defer func() { tb.stop() }()
		tb.join("alice")
		tb.info("waiting for players")
		tb.want("alice 0", "Wait for another player. ......... alice")
		tb.join("bobby")
		tb.join("carol")
		tb.info("alice against bobby")
		tb.want("carol board", "Board. ......... alice")
		tb.want("bobby 0", "It is not your turn. ......... alice")
		tb.want("carol 0", "You are a spectator. ......... alice")
		tb.want("alice 0", "Moved. X........ bobby")
		tb.want("alice 1", "It is not your turn. X........ bobby")
		tb.want("bobby 0", "The cell is taken. X........ bobby")
		tb.want("bobby 9", "The cell must be a number from 0 to 8. X........ bobby")
		tb.want("bobby move", "The cell must be a number from 0 to 8. X........ bobby")
		tb.want("bobby again", "The match is not over. X........ bobby")
		tb.want("carol again", "You are a spectator. X........ bobby")
		r, err := tb.users["bobby"].Request(t.Context(), "move", parlor.Map{"cell": "x"})
		if err != nil || r.Status != parlor.StatusUnexpected || !strings.Contains(r.Message, "cell") {
			t.Errorf("a cell that is text: %s, %v", r.DebugText(), err)
		}
		if r, err := tb.users["bobby"].Request(t.Context(), "castle", nil); err != nil || r.Message != "Unknown packet. Send board, move with a cell, or again." {
			t.Errorf("%s, %v", r.DebugText(), err)
		}

		r, err = tb.users["carol"].Request(t.Context(), parlor.RequestHeartbeat, nil)
		v := parse(t, r.Payload)
		if err != nil || v.You != "spectator" || v.X != "alice" || v.O != "bobby" || fmt.Sprint(v.Spectators) != "[carol]" {
			t.Errorf("carol sees %+v, %v", v, err)
		}
		if r, _ := tb.users["bobby"].Request(t.Context(), "board", nil); parse(t, r.Payload).You != "O" {
			t.Errorf("bobby sees %s", r.DebugText())
		}

		tb.want("bobby 4", "Moved. X...O.... alice")
		tb.want("alice 1", "Moved. XX..O.... bobby")
		tb.want("bobby 5", "Moved. XX..OO... alice")
		tb.want("alice 2", "Moved. XXX.OO... alice!")
		tb.want("bobby 3", "The match is over. Send again for a new one. XXX.OO... alice!")
		tb.info("alice has won")

		tb.want("carol again", "You are a spectator. XXX.OO... alice!")
		tb.want("alice again", "New match. ......... bobby") // the sides have changed
		for i, cell := range []string{"bobby 0", "alice 1", "bobby 2", "alice 4", "bobby 3", "alice 5", "bobby 7", "alice 6"} {
			r, err := tb.users[cell[:5]].Request(t.Context(), "move", parlor.Map{"cell": int(cell[6] - '0')})
			if err != nil || r.Status != 0 {
				t.Fatalf("move %d: %s, %v", i, r.DebugText(), err)
			}
		}
		tb.want("bobby 8", "Moved. XOXXOOOXX drawn")
		tb.info("drawn")

		if err := tb.users["alice"].LeaveGame(t.Context()); err != nil {
			t.Error(err)
		}
		tb.want("bobby again", "New match. ......... carol") // who takes the free seat, and X
	})
}

// TestSaveAndRestore: a match under way is there again after the end of the server, with its seats.
func TestSaveAndRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := &table{t: t}
		tb.open()
		tb.join("alice")
		tb.join("bobby")
		tb.want("alice 4", "Moved. ....X.... bobby")
		tb.stop()
		tb.open()
		defer func() { tb.stop() }()
		tb.join("carol")
		tb.info("alice against bobby")
		tb.want("carol 0", "You are a spectator. ....X.... bobby")
		tb.join("bobby")
		tb.want("bobby 0", "Moved. O...X.... alice")
		tb.join("alice")
		tb.want("alice 2", "Moved. O.X.X.... bobby")
		if err := tb.users["alice"].LeaveGame(t.Context()); err != nil { // the seat is kept
			t.Error(err)
		}
		tb.want("bobby 1", "Moved. OOX.X.... alice")
	})
}

// TestCrash: a match does the same again when the server has crashed, and goes on, for who was away, too.
func TestCrash(t *testing.T) {
	parlortest.Run(t, game.New, func(t *testing.T, l *parlortest.Lobby) {
		alice, bobby := l.Client("alice"), l.Client("bobby")
		alice.Join("match")
		bobby.Join("match")
		alice.Ask("move", parlor.Map{"cell": 4})
		bobby.Offline()
		l.Step(5 * time.Second)
		l.Crash()
		l.Step(5 * time.Second)
		l.Start()
		bobby.Online()
		alice.Await("link up")
		bobby.Await("link up")
		if r := bobby.Ask("move", parlor.Map{"cell": 0}); r.Message != "Moved." || board(t, r.Payload) != "O...X.... alice" || len(parse(t, r.Payload).Away) > 0 {
			t.Errorf("answer %s", r.DebugText())
		}
		if r := alice.Ask("move", parlor.Map{"cell": 1}); board(t, r.Payload) != "OX..X.... bobby" {
			t.Errorf("answer %s", r.DebugText())
		}
	})
}

// board1 is how a push shows the board with an X in the cell 0.
const board1 = `{'cells': ['X', '', '', '', '', '', '', '', ''], 'x': 'alice', 'o': 'bobby', 'turn': 'bobby', 'over': False, 'winner': '', 'spectators': ['carol']`

// TestPushes: whatever happens is pushed to the others, with the board.
func TestPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := exampletest.OpenRoom(t, game.New, "")
		r.Join("alice")
		r.Want("alice", `board {'cells': ['', '', '', '', '', '', '', '', ''], 'x': 'alice', 'o': '', 'you': 'X', 'turn': 'alice', 'over': False, 'winner': '', 'spectators': []}`)
		r.Join("bobby", "carol")
		if got := events(t, r, "alice"); got != "joined bobby ......... alice, joined carol ......... alice" {
			t.Errorf("alice was pushed %q", got)
		}
		r.Pushes("bobby")
		r.Pushes("carol")
		r.Send("bobby", "move", parlor.Map{"cell": 0}) // not her turn: nobody hears of it
		if a := r.Send("alice", "move", parlor.Map{"cell": 0}); board(t, a.Payload) != "X........ bobby" {
			t.Errorf("answer %s", a.DebugText())
		}
		r.Want("alice") // she has the answer
		r.Want("bobby", "moved {'board': "+board1+"}, 'user': 'alice'}")
		r.Want("carol", "moved {'board': "+board1+"}, 'user': 'alice'}")
		for _, m := range []string{"bobby 3", "alice 1", "bobby 4", "alice 2"} {
			r.Send(m[:5], "move", parlor.Map{"cell": int(m[6] - '0')})
		}
		r.Send("bobby", "again", nil)
		r.Leave("carol")
		if got := events(t, r, "alice"); got != "moved bobby X..O..... alice, moved bobby XX.OO.... alice, again bobby ......... bobby, left carol ......... bobby" {
			t.Errorf("alice was pushed %q", got)
		}
		if got := events(t, r, "bobby"); got != "moved alice XX.O..... bobby, moved alice XXXOO.... alice!, left carol ......... bobby" {
			t.Errorf("bobby was pushed %q", got)
		}
	})
}

// TestAway: who is away for a while loses nothing, and who is gone for good during a match finds it again. The others see it.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := exampletest.OpenRoom(t, game.New, "")
		r.Join("alice", "bobby", "carol")
		r.Send("alice", "move", parlor.Map{"cell": 0})
		for _, user := range []string{"alice", "bobby", "carol"} {
			r.Pushes(user)
		}
		r.Away("bobby")
		r.Want("carol", "away {'board': "+board1+", 'away': ['bobby']}, 'user': 'bobby'}")
		if beat := r.Send("alice", parlor.RequestHeartbeat, nil); !strings.HasSuffix(beat.Payload.String(), `'away': ['bobby']}`) {
			t.Errorf("heartbeat %s", beat.DebugText())
		}
		if a := r.Send("alice", "move", parlor.Map{"cell": 1}); a.Message != "It is not your turn." {
			t.Errorf("answer %s", a.DebugText())
		}
		r.Back("bobby", false)
		r.Want("carol", "back {'board': "+board1+"}, 'user': 'bobby'}")
		r.Want("bobby")
		r.Away("bobby")
		r.Back("bobby", true)
		r.Want("bobby", "board "+strings.Replace(board1, "'turn'", "'you': 'O', 'turn'", 1)+"}")

		r.Away("bobby")
		r.Leave("bobby") // her time is over
		r.Pushes("carol")
		r.Join("bobby")
		if got := events(t, r, "carol"); got != "joined bobby X........ bobby" {
			t.Errorf("carol was pushed %q", got)
		}
		if a := r.Send("bobby", "move", parlor.Map{"cell": 4}); board(t, a.Payload) != "X...O.... alice" || len(parse(t, a.Payload).Away) > 0 {
			t.Errorf("answer %s", a.DebugText())
		}
		r.Away("alice")
		if a := r.Send("bobby", "again", nil); a.Message != "The match is not over." {
			t.Errorf("answer %s", a.DebugText())
		}
	})
}

// events are what a user was pushed: each event, who did it, and the board.
func events(t *testing.T, r *exampletest.Room, user string) string {
	t.Helper()
	var all []string
	for _, p := range r.Pushes(user) {
		var what struct {
			User  string         `json:"user"`
			Board parlor.Payload `json:"board"`
		}
		if err := p.Payload.Bind(&what); err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Message+" "+what.User+" "+board(t, what.Board))
	}
	return strings.Join(all, ", ")
}

// TestUnstarted: a match without a move ends with its last user, and a save that is damaged is refused.
func TestUnstarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := &table{t: t}
		tb.open()
		defer func() { tb.stop() }()
		tb.join("alice")
		if err := tb.users["alice"].LeaveGame(t.Context()); err != nil {
			t.Error(err)
		}
		if games, err := tb.users["alice"].GameDir(t.Context()); err != nil || len(games) != 0 {
			t.Errorf("directory %v, %v", games, err)
		}
	})
	for _, save := range []string{"hello", `{"cells": 5}`, `{"turn": 7}`, `{"turn": -1}`} {
		if _, err := game.New(nil, save); err == nil {
			t.Errorf("the save %s was taken", save)
		}
	}
}
