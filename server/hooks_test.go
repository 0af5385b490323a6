package server_test

import (
	"strings"
	"testing"

	"parlor"
	"parlor/server"
	"parlor/store"
)

// misspelt has methods that look like abilities.
type misspelt struct{}

func (misspelt) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("ok") }
func (misspelt) Update(int)                                     {}
func (misspelt) SaveString() string                             { return "" }
func (misspelt) UpdateRate() float64                            { return 20 }
func (misspelt) UserBack(string)                                {}

func TestMisspeltAbilities(t *testing.T) {
	games := map[string]parlor.NewGame{"game": func(parlor.Room, string) (parlor.Game, error) { return misspelt{}, nil }}
	inWorld(t, server.Config{Games: games}, script{}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		for _, name := range []string{"one", "two"} {
			alice.wantOK(alice.ask(parlor.RequestCreateGame, parlor.Map{"name": name}), "Created new game: '"+name+"'.")
			alice.ask(parlor.RequestLeaveGame, nil)
		}
		w.log.has(t, "method=Update")
		w.log.has(t, "never saved")
		w.log.has(t, "UpdateRate has no effect")
		w.log.has(t, "UserBack(string, bool)")
		if n := strings.Count(w.log.String(), "method=Update"); n != 1 {
			t.Errorf("warned %d times", n)
		}
	})
}

// unsaved is durable, and cannot be saved.
type unsaved struct{}

func (unsaved) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("ok") }
func (unsaved) Durable() bool                                  { return true }

// TestDurableAbilities: a durable game is saved whether it is persistent or not, and should be.
func TestDurableAbilities(t *testing.T) {
	games := map[string]parlor.NewGame{"saved": newTally, "unsaved": func(parlor.Room, string) (parlor.Game, error) { return unsaved{}, nil }}
	inWorld(t, server.Config{Games: games, DefaultKind: "saved", Store: new(store.Memory)}, script{}, func(t *testing.T, w *world) {
		alice := w.login("alice")
		for kind := range games {
			alice.ask(parlor.RequestCreateGame, parlor.Map{"name": "one", "kind": kind})
			alice.ask(parlor.RequestLeaveGame, nil)
		}
		w.log.has(t, "its journal only grows")
		if text := w.log.String(); strings.Contains(text, "never saved") || strings.Count(text, "only grows") != 1 {
			t.Error(text)
		}
	})
}

// renamed has methods whose names are nearly those of abilities, some with a pointer receiver, and others that
// are its own.
type renamed struct{}

func (renamed) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("ok") }
func (renamed) UserJoin(string)                                {}
func (renamed) Userleft(string)                                {}
func (renamed) GetSaveString() string                          { return "" }
func (*renamed) Persistant() bool                              { return true }
func (*renamed) LobbyInfo() string                             { return "" }
func (*renamed) UpdateBoard()                                  {}
func (renamed) Users() int                                     { return 0 }
func (renamed) Delete()                                        {}
func (renamed) HandleHeartbeat(parlor.Packet) parlor.Response  { return parlor.OK("ok") }
func (renamed) HandleHeartbeats()                              {} // there is the right one too

func TestNearlyAbilities(t *testing.T) {
	games := map[string]parlor.NewGame{"game": func(parlor.Room, string) (parlor.Game, error) { return renamed{}, nil }}
	inWorld(t, server.Config{Games: games}, script{}, func(t *testing.T, w *world) {
		w.login("alice").ask(parlor.RequestCreateGame, parlor.Map{"name": "room"})
		for method, want := range map[string]string{
			"UserJoin": "UserJoined(string)", "Userleft": "UserLeft(string)", "GetSaveString": `"SaveString() string"`,
			"Persistant": `"Persistent() bool"`, "LobbyInfo": "pointer receiver: return &renamed{}",
		} {
			line := ""
			for l := range strings.Lines(w.log.String()) {
				if strings.Contains(l, "method="+method+" ") {
					line += l
				}
			}
			if strings.Count(line, "\n") != 1 || !strings.Contains(line, want) || !strings.Contains(line, "level=WARN") {
				t.Errorf("%s: want one warning with %q, logged:\n%s", method, want, line)
			}
		}
		if n := strings.Count(w.log.String(), "method="); n != 5 {
			t.Errorf("%d methods are warned of, want 5:\n%s", n, w.log)
		}
	})
}
