package server_test

import (
	"cmp"
	"strings"

	"parlor"
)

// CaptureGame is the game behind the captures (testdata/pgnet). Its name shows in answers.
type CaptureGame struct {
	name, save string
	beats      int
}

func newCaptureGame(room parlor.Room, save string) (parlor.Game, error) {
	return &CaptureGame{name: room.Name(), save: save}, nil
}

func (g *CaptureGame) Persistent() bool   { return strings.HasPrefix(g.name, "keep") }
func (g *CaptureGame) SaveString() string { return cmp.Or(g.save, "state of "+g.name) }
func (g *CaptureGame) LobbyInfo() string  { return "topic of " + g.name }

func (g *CaptureGame) HeartbeatRate() float64 {
	if strings.HasPrefix(g.name, "slow") {
		return 2.5
	}
	return parlor.DefaultHeartbeatRate
}

func (g *CaptureGame) HandleHeartbeat(p parlor.Packet) parlor.Response {
	g.beats++
	return parlor.OK("beat", struct {
		N    int            `json:"n"`
		Sent parlor.Payload `json:"sent"`
	}{g.beats, p.Payload})
}

func (g *CaptureGame) HandleGamePacket(p parlor.Packet) parlor.Response {
	switch p.Message {
	case "echo":
		return parlor.OK("echo", struct {
			Username string         `json:"username"`
			Payload  parlor.Payload `json:"payload"`
		}{p.Username, p.Payload})
	case "status":
		var payload struct {
			Status parlor.Status `json:"status"`
		}
		if err := p.Payload.Bind(&payload); err != nil {
			return parlor.Unexpected(err.Error())
		}
		return parlor.Response{Message: "status set", Status: payload.Status}
	case "kick":
		return parlor.Response{Message: "You were removed.", Disconnecting: true}
	case "override_game":
		return parlor.Response{Message: "tries to set game", Game: "elsewhere"}
	case "raise":
		panic("raised on request")
	case "not_a_response":
		return parlor.OK("not a response", make(chan int))
	}
	return parlor.Unhandled(g)
}
