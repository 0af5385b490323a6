package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
)

// drained is a game that is told of the end.
type drained struct {
	*actor
	told func(deadline time.Time)
}

func (d drained) Draining(deadline time.Time) { d.told(deadline) }

// TestDrain: games are told of the end before they are saved and users are sent off, and hold it up for a
// second at most.
func TestDrain(t *testing.T) {
	for name, slow := range map[string]bool{"quick": false, "stuck": true} {
		t.Run(name, func(t *testing.T) {
			var calls events
			d := &notingDisk{calls: &calls}
			synctest.Test(t, func(t *testing.T) {
				free := make(chan struct{})
				s := script{
					persistent: always(true),
					left:       func(user string) { calls.add("left " + user) },
					save:       func() string { calls.add("asked for the save"); return "x" },
				}
				games := map[string]parlor.NewGame{"": func(room parlor.Room, save string) (parlor.Game, error) {
					return drained{&actor{script: s, room: room}, func(deadline time.Time) {
						calls.add("told " + time.Until(deadline).String())
						if slow {
							<-free
						}
					}}, nil
				}}
				w := start(t, server.Config{Games: games, Store: d}, script{})
				w.login("alice").create("room")
				calls.list = nil
				began := time.Now()
				time.AfterFunc(10*time.Second, func() { close(free) })
				w.stop()
				if took := time.Since(began); slow && took > 8*time.Second || !slow && took != 0 {
					t.Errorf("stopped after %v", took)
				}
				pass(10 * time.Second)
				if slow {
					calls.list = calls.list[:1]
					calls.want(t, "told 1s")
				} else {
					calls.want(t, "told 1s", "asked for the save", "written", "left alice", "asked for the save", "written")
				}
			})
		})
	}
}
