package exampletest

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/room"
)

// Room is a game in a room of its own, without lobby or wire: a test says who comes and goes, and sees what each user is
// pushed. It lives in a bubble of [synctest], where time is virtual.
type Room struct {
	tb      testing.TB
	room    *room.Room
	members map[string]*member
}

// OpenRoom makes the game, a new one or one from a save. The room closes with the test; its random source always has the
// same seed.
func OpenRoom(tb testing.TB, newGame parlor.NewGame, save string) *Room {
	tb.Helper()
	var opened error
	r := &Room{tb: tb, members: make(map[string]*member)}
	r.room = room.Open(room.Config{
		Name: "room", New: newGame, Save: save, Seed: [2]uint64{1, 2}, Logger: slog.New(slog.DiscardHandler),
		Left: func(room.Member) {}, Ended: func() {},
	}, func(err error) { opened = err })
	synctest.Wait()
	if opened != nil {
		tb.Fatal(opened)
	}
	tb.Cleanup(func() {
		r.room.Close(func() {})
		synctest.Wait()
		if n := r.room.Stats().Panics.Load(); n > 0 {
			tb.Errorf("the game has panicked %d times", n)
		}
		if n := r.room.Stats().PushesUnsent.Load() + r.room.Stats().PushesAstray.Load(); n > 0 {
			tb.Errorf("%d pushes of the game could not be sent, or were for nobody", n)
		}
	})
	return r
}

// Join has users enter.
func (r *Room) Join(users ...string) {
	r.tb.Helper()
	for _, user := range users {
		m := new(member)
		var failed error
		r.room.Join(user, m, func(_ room.Joined, err error) { failed = err })
		synctest.Wait()
		if failed != nil {
			r.tb.Fatalf("join of %s: %v", user, failed)
		}
		r.members[user] = m
	}
}

// Leave has a user leave.
func (r *Room) Leave(user string) {
	r.room.Leave(user, r.members[user], func() {})
	synctest.Wait()
}

// Away has the link of a user break.
func (r *Room) Away(user string) {
	r.room.Away(user, r.members[user])
	synctest.Wait()
}

// Back has her return, with all that was pushed to her meanwhile, or not.
func (r *Room) Back(user string, missed bool) {
	r.room.Back(user, r.members[user], missed)
	synctest.Wait()
}

// Send sends a packet and returns the answer.
func (r *Room) Send(user, message string, payload any) parlor.Response {
	r.tb.Helper()
	m := r.members[user]
	p := parlor.Packet{Message: message, Payload: parlor.Encode(payload), Username: user}
	if payload == nil {
		p.Payload = parlor.Payload{}
	}
	if err := r.room.Packet(p, m); err != nil {
		r.tb.Fatal(err)
	}
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.answer
}

// Save is the game's save; empty if it gives none.
func (r *Room) Save() (save string) {
	r.room.Save(func(s room.Save, _ bool, _ error) { save = s.Data })
	synctest.Wait()
	return save
}

// Pushes are what a user was pushed since they were asked for last.
func (r *Room) Pushes(user string) []*parlor.Push {
	synctest.Wait()
	m := r.members[user]
	m.mu.Lock()
	defer m.mu.Unlock()
	pushes := m.pushes
	m.pushes = nil
	return pushes
}

// Want checks what a user was pushed since she was asked about last: each a message, and the payload as Python renders it.
func (r *Room) Want(user string, want ...string) {
	r.tb.Helper()
	var got []string
	for _, p := range r.Pushes(user) {
		got = append(got, fmt.Sprint(p.Message, " ", p.Payload))
	}
	if !slices.Equal(got, want) {
		r.tb.Errorf("%s was pushed\n%q, want\n%q", user, got, want)
	}
}

// Asleep checks that the room does nothing at all while nobody sends anything: in a whole hour no hook is called and
// no timer goes off.
func (r *Room) Asleep() {
	r.tb.Helper()
	r.room.Refresh(func() {}) // from now on Info is fresh until the game is called for anything
	synctest.Wait()
	time.Sleep(time.Hour) // sleep: virtual, and what is to be seen is that nothing happens
	synctest.Wait()
	if _, fresh := r.room.Info(); !fresh {
		r.tb.Error("the game was called though nobody has sent anything")
	}
}

// member is a user in the room.
type member struct {
	mu     sync.Mutex // guards the fields below
	answer parlor.Response
	pushes []*parlor.Push
}

func (m *member) Answer(r parlor.Response, err error) {
	if err != nil {
		r = parlor.Bad(err.Error())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = r
}

func (m *member) Push(p *parlor.Push) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pushes = append(m.pushes, p)
}
