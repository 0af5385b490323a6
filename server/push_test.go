package server_test

import (
	"testing"
	"time"

	"parlor"
	"parlor/server"
)

// TestPush: what a game pushes on a wire that has no pushes is dropped and counted, and disturbs nothing.
func TestPush(t *testing.T) {
	var host parlor.Room
	s := script{
		create: func(room parlor.Room, _ string) error { host = room; return nil },
		packet: func(p parlor.Packet) parlor.Response {
			host.Broadcast("moved", parlor.Map{"by": p.Username})
			host.Send(p.Username, "you", nil)
			return parlor.OK("moved")
		},
	}
	inWorld(t, server.Config{}, s, func(t *testing.T, w *world) {
		alice, bob := w.login("alice"), w.login("bob")
		alice.create("room")
		bob.join("room")
		for range 10 {
			alice.wantOK(alice.ask("move", nil), "moved")
		}
		bob.wantSilence(time.Second)
		if n := w.srv.Stats().PushesDropped.Load(); n != 30 {
			t.Errorf("%d pushes dropped, want 30", n)
		}
	})
}
