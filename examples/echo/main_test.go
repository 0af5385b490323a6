package main

import (
	"io"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"parlor"
	"parlor/client"
	"parlor/host"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEcho(t *testing.T) {
	newEcho := func(parlor.Room, string) (parlor.Game, error) { return echo{}, nil }
	c, err := host.Local(t.Context(), newEcho, client.Config{
		Username: "alice", Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.JoinGame(t.Context(), "room", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, payload := range []any{nil, parlor.Map{"n": 1, "f": 1.0, "text": "w\u00f6rld"}, []any{nil, true}} {
		want := parlor.Payload{}
		if payload != nil {
			want = parlor.Encode(payload)
		}
		r, err := c.Request(t.Context(), "hello", payload)
		if err != nil || r.Message != "hello" || r.Status != 0 || r.Payload.String() != want.String() {
			t.Errorf("%s came back as %s, %v", want, r.DebugText(), err)
		}
	}
}
