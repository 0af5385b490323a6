package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/client"
	"parlor/server"
	"parlor/store"
)

// mortal is a store whose server dies at a commit.
type mortal struct {
	*store.Memory
	dies func()

	mu    sync.Mutex // guards the fields below
	left  int        // commits until then; negative: it does not
	lands bool       // that commit is made
}

func (m *mortal) Commit(ctx context.Context, changes ...store.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.left > 0:
		m.left--
	case m.left == 0:
		m.left = -1
		m.dies()
		if m.lands {
			m.Memory.Commit(ctx, changes...)
		}
		return errors.New("the process is dead")
	case m.dies == nil:
		return errors.New("the process is dead")
	}
	return m.Memory.Commit(ctx, changes...)
}

// lines is a durable game that keeps what it is asked.
type lines struct{ all []string }

func (*lines) Durable() bool        { return true }
func (*lines) Persistent() bool     { return true }
func (l *lines) SaveString() string { b, _ := json.Marshal(l.all); return string(b) }
func (l *lines) HandleGamePacket(p parlor.Packet) parlor.Response {
	if p.Message != "all" {
		l.all = append(l.all, p.Message)
	}
	return parlor.OK(strings.Join(l.all, ","))
}

// TestServerIsKilled: a client notices a server that is killed at any commit, and started again, by nothing but that it takes a moment: what it asks its games
// is executed once, and answered. Requests of the lobby may be executed again, and hear that there is nothing to do. Who was in no game, as far as that is
// stored, has a new session, and is told so.
func TestServerIsKilled(t *testing.T) {
	for at := range 10 {
		for _, lands := range []bool{false, true} {
			t.Run(fmt.Sprint(at, " lands ", lands), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testKilled(t, at, lands) })
			})
		}
	}
}

func testKilled(t *testing.T, at int, lands bool) {
	w := &wire{t: t, cfg: server.Config{AdminPassword: "secret", Logger: slog.New(slog.DiscardHandler), SaveEvery: 2}}
	w.cfg.Games = map[string]parlor.NewGame{"lines": func(_ parlor.Room, save string) (parlor.Game, error) {
		l := &lines{}
		if save == "" {
			return l, nil
		}
		return l, json.Unmarshal([]byte(save), &l.all)
	}}
	memory := new(store.Memory)
	w.cfg.Store = memory
	w.start()
	w.stop()
	m := &mortal{Memory: memory, left: at + 1, lands: lands} // behind her registration
	m.dies = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.conns {
			c.Abort()
		}
		w.refuse = 1 << 20
		m.dies = nil
	}
	w.cfg.Store = m
	w.start()
	var j journal
	c := w.client("alice", &j, client.Config{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask := func(message string, payload any, sensible ...string) {
			r, err := c.Request(t.Context(), message, payload)
			var lost *client.DisconnectedError
			if errors.As(err, &lost) && lost.Reason == client.ReasonSessionLost && strings.HasPrefix(message, "__pgnet__.") {
				for !c.Connected() {
					time.Sleep(time.Millisecond) // sleep: virtual
				}
				r, err = c.Request(t.Context(), message, payload)
			}
			for _, text := range sensible {
				if err == nil && r.Message == text {
					return
				}
			}
			t.Errorf("%s: %q, %v", message, r.Message, err)
		}
		ask(parlor.RequestCreateGame, parlor.Map{"name": "one"}, "Created new game: 'one'.")
		ask("a", nil, "a")
		ask("b", nil, "a,b")
		ask(parlor.RequestLeaveGame, nil, "Left game: 'one'.", "Not in game.")
		ask(parlor.RequestJoinGame, parlor.Map{"name": "two"}, "Created new game: 'two'.", "Must leave game first.")
		ask("c", nil, "c")
		ask("d", nil, "c,d")
		ask(parlor.RequestJoinGame, parlor.Map{"name": "one"}, "Must leave game first.")
	}()
	time.Sleep(time.Second) // sleep: virtual
	w.stop()
	m.mu.Lock()
	m.left, m.dies = -1, nil
	m.mu.Unlock()
	w.cfg.Store = memory
	w.start()
	w.mu.Lock()
	w.refuse = 0
	w.mu.Unlock()
	<-done
	c.Close()
	c.Wait()
	w.stop()
	wants := map[string]string{"one": `["a","b"]`, "two": `["c","d"]`}
	games, err := memory.Games(t.Context())
	if err != nil || len(games) != len(wants) {
		t.Errorf("games %v, %v", games, err)
	}
	for _, g := range games {
		if s, err := memory.Save(t.Context(), g.Number); err != nil || s.Data != wants[g.Name] {
			t.Errorf("game %q has %q, want %q; %v", g.Name, s.Data, wants[g.Name], err)
		}
	}
}
