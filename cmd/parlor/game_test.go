package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parlor"
	"parlor/client"
	"parlor/host"
	"parlor/store"
)

// dice is a durable game; one that cheats throws one more.
type dice struct {
	room  parlor.Room
	cheat int
}

func (d *dice) Durable() bool      { return true }
func (d *dice) Persistent() bool   { return true }
func (d *dice) SaveString() string { return "-" }

func (d *dice) HandleGamePacket(parlor.Packet) parlor.Response {
	return parlor.OK("thrown", parlor.Map{"n": d.room.Rand().IntN(6) + 1 + d.cheat})
}

func newDice(cheat int) parlor.NewGame {
	return func(r parlor.Room, _ string) (parlor.Game, error) { return &dice{r, cheat}, nil }
}

// TestGameCommands: a game is listed and exported while its server runs, and played again; one that does not do what it did is found out.
func TestGameCommands(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data")
	s, err := host.Start(t.Context(), host.Config{
		Games: map[string]parlor.NewGame{"dice": newDice(0)}, Store: folder, Listen: "127.0.0.1:0", AdminPassword: "x",
		Out: io.Discard, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { defer close(over); s.Run(context.Background()) }() // ends with Shutdown, below
	defer func() { s.Lobby().Shutdown(0); <-over }()
	c := login(t, s.Addrs()[0].String(), client.Config{Username: "alice"})
	if err := c.CreateGame(t.Context(), "table 1", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := c.Request(t.Context(), "throw", nil); err != nil {
			t.Fatal(err)
		}
	}
	run := func(cheat int, args ...string) (string, error) {
		cmd := gameCommand(map[string]parlor.NewGame{"dice": newDice(cheat)}, "dice")
		var out bytes.Buffer
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	out, err := run(0, "list", "--store", folder, "--json")
	if err != nil {
		t.Fatal(err)
	}
	checkContains(t, out, `"name":"table 1"`, `"creator":"alice"`, `"durable":true`, `"entries":`)
	file := filepath.Join(t.TempDir(), "table.json")
	if _, err := run(0, "export", "table 1", file, "--store", folder); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	out, err = run(0, "replay", file)
	if err != nil || strings.Count(out, "throw") != 3 || !strings.Contains(out, "and did what they did") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, err = run(1, "replay", file)
	if err == nil || strings.Count(out, "throw") != 1 {
		t.Errorf("a game that cheats: %v:\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(other, bytes.Replace(text, []byte(`"kind": "dice",`), nil, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = run(1, "replay", other); err == nil || !strings.Contains(err.Error(), "was played as dice") {
		t.Errorf("a game of no kind that cheats: %v", err)
	}
	for want, args := range map[string][]string{
		`there is no game "x"`:           {"export", "x", file, "--store", folder},
		"a NAME and a FILE are needed":   {"export", "x"},
		"this is no game":                {"replay", filepath.Join(folder, "server.key")},
		"no such file":                   {"replay", "missing"},
		"name the server's with --store": {"list", "--store", t.TempDir()},
		"try list, export, replay; see ": {"nonsense"},
	} {
		if _, err := run(0, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("game %q: %v, want %s", args, err, want)
		}
	}
}

// TestGameExportEnded: of a game that ends while it is exported nothing is written that looks like one of which nothing was stored yet.
func TestGameExportEnded(t *testing.T) {
	var st store.Memory
	if err := st.Commit(t.Context(), store.PutGame{Number: 1, Name: "other"}, store.PutGame{Number: 2, Name: "table"}, store.DeleteGame{Number: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := readGame(t.Context(), &st, store.Game{Number: 1, Name: "other"}); err != nil {
		t.Error(err)
	}
	_, err := readGame(t.Context(), &st, store.Game{Number: 2, Name: "table"})
	checkError(t, err, `game "table" has just ended`)
}
