package main

import (
	"log/slog"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"parlor/client"
	"parlor/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(exampletest.Exit)) }

// TestProgram: the real program starts, a client plays, and a signal ends it in order.
func TestProgram(t *testing.T) {
	program, address := exampletest.StartLobby(t, exampletest.Build(t, "."))
	c, err := client.Dial(t.Context(), address, client.Config{Username: "alice", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CreateGame(t.Context(), "room", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	r, err := c.Request(t.Context(), "hello", nil)
	if err != nil || r.Message != "Message added." || r.Game != "room" {
		t.Errorf("answer %s, %v", r.DebugText(), err)
	}
	c.Close()
	c.Wait()
	program.Signal(syscall.SIGTERM)
	program.Ends(0)
}
