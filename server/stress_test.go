package server_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parlor"
	"parlor/link/memlink"
	"parlor/server"
)

// TestStress lets many users create, join, leave, destroy, save, log out and be deleted at random, in real
// time, and checks that every request is answered and that nobody and nothing is left over.
func TestStress(t *testing.T) {
	const users, rounds = 16, 60
	var inGames atomic.Int64
	var opened sync.Map
	cfg := server.Config{
		Store:    new(disk),
		Takeover: true,
		OnConnection: func(user string, connected bool) {
			if connected {
				if _, twice := opened.LoadOrStore(user, true); twice {
					t.Errorf("%s connected twice", user)
				}
			} else if _, was := opened.LoadAndDelete(user); !was {
				t.Errorf("%s disconnected without having been connected", user)
			}
		},
	}
	s := script{
		joined: func(string) { inGames.Add(1) },
		left:   func(string) { inGames.Add(-1) },
		info:   always("info"),
		save:   always("x"),
		packet: func(p parlor.Packet) parlor.Response {
			switch p.Message {
			case "panic":
				panic("on purpose")
			case "go":
				return parlor.Response{Message: "gone", Disconnecting: true}
			}
			return parlor.OK(p.Message)
		},
	}
	w := start(t, cfg, s)
	var wg sync.WaitGroup
	for i := range users {
		name := fmt.Sprint("user", i/2) // two clients for each name
		if i == 0 {
			name = parlor.AdminName
		}
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range rounds {
				if err := wander(w, name, rng); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
	deadline := time.Now().Add(time.Minute)
	for w.srv.Users() > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // sleep: sessions end on goroutines of their own, in real time
	}
	w.stop()
	if n := w.srv.Users(); n != 0 {
		t.Errorf("%d users left", n)
	}
	if n := inGames.Load(); n != 0 {
		t.Errorf("%d users left in games", n)
	}
	opened.Range(func(user, _ any) bool { t.Errorf("%v never disconnected", user); return true })
}

// wander logs a user in and does a few random things.
func wander(w *world, name string, rng *rand.Rand) error {
	conn, err := memlink.Dialer{Lobby: w.srv}.Dial(context.Background(), "")
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pending := 0
	send := func(message string, payload parlor.Map) bool {
		err := conn.Send(ctx, parlor.Packet{Message: message, Payload: parlor.Encode(payload)})
		if err == nil {
			pending++
		}
		return err == nil
	}
	send("handshake", parlor.Map{"username": name, "password": passwordOf(name)})
	for range rng.IntN(12) {
		game := parlor.Map{"name": fmt.Sprint("room ", rng.IntN(3))}
		request := [...]string{parlor.RequestCreateGame, parlor.RequestJoinGame, parlor.RequestJoinGame, parlor.RequestLeaveGame,
			parlor.RequestGameDir, parlor.RequestHeartbeat, "move", "panic", "go", parlor.RequestDestroyGame, parlor.RequestSave,
			parlor.RequestDebug}[rng.IntN(12)]
		switch request {
		case parlor.RequestCreateGame, parlor.RequestJoinGame, parlor.RequestDestroyGame:
		default:
			game = nil
		}
		if !send(request, game) {
			break
		}
	}
	if rng.IntN(3) == 0 {
		return nil // and goes without waiting for the answers
	}
	for range pending {
		if _, err := conn.Receive(ctx); errors.Is(err, net.ErrClosed) {
			return nil // refused, or taken over
		} else if err != nil {
			return fmt.Errorf("%d requests sent, and one was not answered: %w", pending, err)
		}
	}
	return nil
}
