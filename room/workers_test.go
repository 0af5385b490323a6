package room_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"parlor"
	"parlor/room"
)

// meeting is a game whose answers wait until all games of the meeting have been asked.
type meeting struct {
	here sync.WaitGroup
}

func (m *meeting) HandleGamePacket(parlor.Packet) parlor.Response {
	m.here.Done()
	m.here.Wait()
	return parlor.OK("met")
}

// TestCrowdOfRooms: rooms that wake at the same moment share goroutines, and yet none waits for the game of another, however many there are:
// here each waits for all others.
func TestCrowdOfRooms(t *testing.T) {
	for _, rooms := range []int{1, 2, 64, 65, 300} {
		t.Run(fmt.Sprint(rooms), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				workers := room.NewWorkers()
				defer workers.Close()
				var m meeting
				var all []*room.Room
				for range rooms {
					r := room.Open(room.Config{
						Name: "room", Logger: slog.New(slog.DiscardHandler), Workers: workers,
						New: func(parlor.Room, string) (parlor.Game, error) { return &m, nil }, Left: func(room.Member) {}, Ended: func() {},
					}, func(error) {})
					defer r.Close(func() {})
					all = append(all, r)
				}
				synctest.Wait() // and their goroutines are parked
				for range 3 {
					m.here.Add(rooms)
					sinks := make([]*sink, rooms)
					for i, r := range all {
						sinks[i] = newSink()
						sinks[i].left = 1
						r.Join("0", sinks[i], func(room.Joined, error) {})
						r.Packet(packets(1)[0], sinks[i])
					}
					for _, s := range sinks {
						<-s.done
					}
				}
			})
		})
	}
}
