// Package game is tic-tac-toe for two players and any number of spectators.
//
// The first two users are the players X and O; whoever comes later watches, and takes a seat that becomes
// free between two matches. Packets: "move" with {"cell": 0 to 8}, "again" for a new match after one is
// over, "board" for the board.
//
// What happens is pushed: "joined", "left", "away", "back", "moved" and "again", each with the user whose doing it was and
// with the board, which is small: a client shows the last one that it got. Whoever made a move has the board in
// the answer. Who has just joined, or has missed something while away, is pushed a "board". Clients on pgnet's wire,
// which has no pushes, find the board in the answers to their heartbeats.
//
// The game is durable: a move that was answered is there again after a crash of the server.
//
// A player whose connection is lost keeps the seat, and one who is gone for good during a match does too, for a return:
// nobody wins by that.
package game

import (
	"encoding/json"
	"fmt"
	"slices"

	"parlor"
)

// Match is the game.
type Match struct {
	room  parlor.Room
	state state
}

var _ interface { // has the compiler check the methods
	parlor.UserJoiner
	parlor.UserLeaver
	parlor.UserVanisher
	parlor.UserReturner
	parlor.HeartbeatHandler
	parlor.Persister
	parlor.Saver
	parlor.LobbyInformer
	parlor.Durable
	parlor.HeartbeatLooker
} = (*Match)(nil)

// state is what is saved.
type state struct {
	Cells   [9]string `json:"cells"` // "", "X" or "O"
	Seats   [2]string `json:"seats"` // the users who play X and O
	Turn    int       `json:"turn"`  // the seat whose move it is
	Winner  string    `json:"winner"`
	Over    bool      `json:"over"`
	Matches int       `json:"matches"` // finished ones

	Away []string `json:"away,omitempty"` // users whose links are gone, but who may be back soon
}

var marks = [2]string{"X", "O"}

// New makes a match, or brings back a saved one.
func New(room parlor.Room, save string) (parlor.Game, error) {
	m := &Match{room: room}
	if save == "" {
		return m, nil
	}
	if err := json.Unmarshal([]byte(save), &m.state); err != nil {
		return nil, fmt.Errorf("read saved match: %w", err)
	}
	if m.state.Turn != 0 && m.state.Turn != 1 {
		return nil, fmt.Errorf("read saved match: the turn is %d, not 0 or 1", m.state.Turn)
	}
	return m, nil
}

// Durable has every move be on disk before it is answered.
func (m *Match) Durable() bool { return true }

// HeartbeatsOnlyLook is as they are answered with the board.
func (m *Match) HeartbeatsOnlyLook() bool { return true }

// Persistent keeps a match that is under way, so that its players can come back to it.
func (m *Match) Persistent() bool { return !m.state.Over && m.started() }

// SaveString is the state as JSON.
func (m *Match) SaveString() string {
	text, err := json.Marshal(m.state)
	if err != nil {
		panic(err) // the state holds text and numbers only
	}
	return string(text)
}

// LobbyInfo says who plays.
func (m *Match) LobbyInfo() string {
	s := &m.state
	switch {
	case s.Over && s.Winner != "":
		return s.Winner + " has won"
	case s.Over:
		return "drawn"
	case s.Seats[0] == "" || s.Seats[1] == "":
		return "waiting for players"
	}
	return s.Seats[0] + " against " + s.Seats[1]
}

// UserJoined gives the user a seat, if one is free.
func (m *Match) UserJoined(user string) {
	m.seat(user)
	m.tell("joined", user)
	m.room.Send(user, "board", m.view(user))
}

// UserLeft frees the seat, unless a match is under way: then it is kept for the user's return.
func (m *Match) UserLeft(user string) {
	if i := m.seatOf(user); i >= 0 && !m.Persistent() {
		m.state.Seats[i] = ""
	}
	m.isThere(user)
	m.tell("left", user)
}

// UserAway shows that a player may take a while: the room keeps her place in it, and so does the match.
func (m *Match) UserAway(user string) {
	m.state.Away = append(m.state.Away, user)
	m.tell("away", user)
}

// UserBack shows that she goes on. What was pushed meanwhile she has by now, unless it was too much.
func (m *Match) UserBack(user string, missed bool) {
	m.isThere(user)
	m.tell("back", user)
	if missed {
		m.room.Send(user, "board", m.view(user))
	}
}

func (m *Match) isThere(user string) {
	m.state.Away = slices.DeleteFunc(m.state.Away, func(u string) bool { return u == user })
}

// tell pushes what a user has done to all others.
func (m *Match) tell(event, user string) {
	m.room.Broadcast(event, parlor.Map{"user": user, "board": m.view("")}, user)
}

// HandleHeartbeat answers with the board.
func (m *Match) HandleHeartbeat(p parlor.Packet) parlor.Response {
	return parlor.OK("Board.", m.view(p.Username))
}

// HandleGamePacket takes moves.
func (m *Match) HandleGamePacket(p parlor.Packet) parlor.Response {
	switch p.Message {
	case "board":
		return parlor.OK("Board.", m.view(p.Username))
	case "move":
		return m.move(p)
	case "again":
		return m.again(p.Username)
	}
	return parlor.Unexpected("Unknown packet. Send board, move with a cell, or again.")
}

func (m *Match) move(p parlor.Packet) parlor.Response {
	var move struct {
		Cell *int `json:"cell"`
	}
	if err := p.Payload.Bind(&move); err != nil {
		return parlor.Unexpected(err.Error())
	}
	s, seat := &m.state, m.seatOf(p.Username)
	switch {
	case seat < 0:
		return m.refuse(p, "You are a spectator.")
	case s.Seats[0] == "" || s.Seats[1] == "":
		return m.refuse(p, "Wait for another player.")
	case s.Over:
		return m.refuse(p, "The match is over. Send again for a new one.")
	case seat != s.Turn:
		return m.refuse(p, "It is not your turn.")
	case move.Cell == nil || *move.Cell < 0 || *move.Cell > 8:
		return m.refuse(p, "The cell must be a number from 0 to 8.")
	case s.Cells[*move.Cell] != "":
		return m.refuse(p, "The cell is taken.")
	}
	s.Cells[*move.Cell] = marks[seat]
	s.Turn = 1 - seat
	if m.wins(marks[seat]) {
		s.Over, s.Winner = true, p.Username
	} else if !slices.Contains(s.Cells[:], "") {
		s.Over = true
	}
	if s.Over {
		s.Matches++
	}
	m.tell("moved", p.Username)
	return parlor.OK("Moved.", m.view(p.Username))
}

func (m *Match) refuse(p parlor.Packet, why string) parlor.Response {
	return parlor.Unexpected(why, m.view(p.Username))
}

// again starts a new match; the players change sides, and free seats go to spectators.
func (m *Match) again(user string) parlor.Response {
	s := &m.state
	if m.seatOf(user) < 0 {
		return parlor.Unexpected("You are a spectator.", m.view(user))
	}
	if !s.Over {
		return parlor.Unexpected("The match is not over.", m.view(user))
	}
	*s = state{Seats: [2]string{s.Seats[1], s.Seats[0]}, Matches: s.Matches, Away: s.Away}
	users := m.room.Users()
	for i, seated := range s.Seats {
		if !slices.Contains(users, seated) {
			s.Seats[i] = ""
		}
	}
	for _, u := range users {
		m.seat(u)
	}
	m.tell("again", user)
	return parlor.OK("New match.", m.view(user))
}

func (m *Match) seat(user string) {
	if m.seatOf(user) >= 0 {
		return
	}
	if i := slices.Index(m.state.Seats[:], ""); i >= 0 {
		m.state.Seats[i] = user
	}
}

func (m *Match) seatOf(user string) int { return slices.Index(m.state.Seats[:], user) }

func (m *Match) role(user string) string {
	if seat := m.seatOf(user); seat >= 0 {
		return marks[seat]
	}
	return "spectator"
}

func (m *Match) started() bool {
	return slices.ContainsFunc(m.state.Cells[:], func(c string) bool { return c != "" })
}

// lines are the winning triples.
var lines = [8][3]int{{0, 1, 2}, {3, 4, 5}, {6, 7, 8}, {0, 3, 6}, {1, 4, 7}, {2, 5, 8}, {0, 4, 8}, {2, 4, 6}}

func (m *Match) wins(mark string) bool {
	c := &m.state.Cells
	return slices.ContainsFunc(lines[:], func(l [3]int) bool {
		return c[l[0]] == mark && c[l[1]] == mark && c[l[2]] == mark
	})
}

// view is the board as a user sees it, or, without a user, as all do.
func (m *Match) view(user string) any {
	s := &m.state
	view := struct {
		Cells      []string `json:"cells"`
		X          string   `json:"x"`
		O          string   `json:"o"`
		You        string   `json:"you,omitempty"` // X, O or spectator
		Turn       string   `json:"turn"`
		Over       bool     `json:"over"`
		Winner     string   `json:"winner"`
		Spectators []string `json:"spectators"`
		Away       []string `json:"away,omitempty"`
	}{Cells: slices.Clone(s.Cells[:]), X: s.Seats[0], O: s.Seats[1], Over: s.Over, Winner: s.Winner, Away: m.state.Away}
	if user != "" {
		view.You = m.role(user)
	}
	if !s.Over {
		view.Turn = s.Seats[s.Turn]
	}
	for _, u := range m.room.Users() {
		if m.seatOf(u) < 0 {
			view.Spectators = append(view.Spectators, u)
		}
	}
	return view
}
