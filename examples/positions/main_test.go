package main

import (
	"log/slog"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parlor"
	"parlor/client"
	"parlor/examples/positions/game"
	"parlor/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(exampletest.Exit)) }

// TestProgram: the real program starts, a client walks, and a signal ends it in order.
func TestProgram(t *testing.T) {
	program, address := exampletest.StartLobby(t, exampletest.Build(t, "."))
	beats := make(chan parlor.Response, 1)
	c, err := client.Dial(t.Context(), address, client.Config{
		Username: "alice", Logger: slog.New(slog.DiscardHandler),
		OnHeartbeat: func(beat parlor.Response) {
			select {
			case beats <- beat:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.JoinGame(t.Context(), "field", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	var at struct {
		Players map[string]struct {
			X int `json:"x"`
		} `json:"players"`
	}
	r, err := c.Request(t.Context(), "look", nil)
	if err != nil || r.Payload.Bind(&at) != nil {
		t.Fatalf("answer %s, %v", r.DebugText(), err)
	}
	by := game.Speed // away from the fence
	if at.Players["alice"].X > game.Size/2 {
		by = -by
	}
	r, err = c.Request(t.Context(), "steer", parlor.Map{"x": by, "y": 0})
	if err != nil || r.Message != "Steered." || r.Game != "field" {
		t.Errorf("answer %s, %v", r.DebugText(), err)
	}
	late := time.After(exampletest.Patience)
	for step := int64(0); step < 3; {
		select {
		case beat := <-beats:
			v, _ := beat.Payload.Get("step")
			step, _ = v.(int64)
		case <-late:
			t.Fatalf("in the end there were %d steps", step)
		}
	}
	c.Close()
	c.Wait()
	program.Signal(syscall.SIGTERM)
	program.Ends(0)
}
