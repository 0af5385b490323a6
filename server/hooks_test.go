package server_test

import (
	"strings"
	"testing"

	"parlor"
	"parlor/server"
)

// misspelt has methods that look like abilities.
type misspelt struct{}

func (misspelt) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("ok") }
func (misspelt) Update(int)                                     {}
func (misspelt) SaveString() string                             { return "" }

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
		if n := strings.Count(w.log.String(), "method=Update"); n != 1 {
			t.Errorf("warned %d times", n)
		}
	})
}
