package main

import (
	"io"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"parlor/client"
	"parlor/host"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCounter(t *testing.T) {
	c, err := host.Local(t.Context(), newCounter, client.Config{
		Username: "alice", Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.JoinGame(t.Context(), "room", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	for want := int64(1); want <= 3; want++ {
		r, err := c.Request(t.Context(), "count", nil)
		if err != nil || r.Message != "counted" || r.Status != 0 {
			t.Fatalf("%s, %v", r.DebugText(), err)
		}
		if n, _ := r.Payload.Get("n"); n != want {
			t.Errorf("counted %v, want %d", n, want)
		}
	}
}
