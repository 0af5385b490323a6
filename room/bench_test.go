package room_test

import (
	"fmt"
	"log/slog"
	"testing"

	"parlor"
	"parlor/room"
)

// sink is a member that counts what it is given, and tells when the last of a burst has come. Its users wait for
// that before they begin the next one.
type sink struct {
	left int
	done chan struct{}
}

func newSink() *sink { return &sink{done: make(chan struct{}, 1)} }

func (s *sink) Answer(parlor.Response, error) {
	if s.left--; s.left == 0 {
		s.done <- struct{}{}
	}
}

func (s *sink) Push(*parlor.Push) {}

// herald answers packets without doing anything, but for one that it broadcasts.
type herald struct{ host parlor.Room }

func (h *herald) HandleGamePacket(p parlor.Packet) parlor.Response {
	if p.Message == "broadcast" {
		h.host.Broadcast("moved", p.Payload)
	}
	return parlor.OK("ok")
}

// sinkRoom is a room of a herald with a number of members, of which it returns the first.
func sinkRoom(tb testing.TB, users int) (*room.Room, *sink) {
	tb.Helper()
	workers := room.NewWorkers()
	ended := make(chan struct{})
	r := room.Open(room.Config{
		Name: "room", Logger: slog.New(slog.DiscardHandler), Workers: workers,
		New:   func(host parlor.Room, _ string) (parlor.Game, error) { return &herald{host: host}, nil },
		Left:  func(room.Member) {},
		Ended: func() { close(ended) },
	}, func(error) {})
	tb.Cleanup(func() {
		r.Close(func() {})
		<-ended
		workers.Close()
	})
	first := newSink()
	r.Join("0", first, func(room.Joined, error) {})
	for i := 1; i < users; i++ {
		r.Join(fmt.Sprint(i), newSink(), func(room.Joined, error) {})
	}
	joined := make(chan struct{})
	r.Refresh(func() { close(joined) })
	<-joined
	return r, first
}

func packets(n int) []parlor.Packet {
	ps := make([]parlor.Packet, n)
	for i := range ps {
		ps[i] = parlor.Packet{Message: "move", Username: "0"}
	}
	return ps
}

// burst hands packets to a room, together or one by one, and waits until they are answered.
func (s *sink) burst(r *room.Room, ps []parlor.Packet, together bool) {
	s.left = len(ps)
	if together {
		r.Packets(ps, s)
	} else {
		for i := range ps {
			r.Packet(ps[i], s)
		}
	}
	<-s.done
}

// BenchmarkPacket measures the way of a packet through the mailbox to a game that does nothing, and of the answer to
// the member, by how many are handed over before the first is waited for.
func BenchmarkPacket(b *testing.B) {
	r, s := sinkRoom(b, 1)
	for _, n := range []int{1, 16, 256} {
		for _, together := range []bool{false, true} {
			how := "singly"
			if together {
				how = "together"
			}
			b.Run(fmt.Sprintf("%d %s", n, how), func(b *testing.B) {
				b.ReportAllocs()
				ps := packets(n)
				for i := 0; i < b.N; i += n {
					s.burst(r, ps, together)
				}
			})
		}
	}
}

// BenchmarkBroadcast measures a broadcast to a thousand users, by deliveries.
func BenchmarkBroadcast(b *testing.B) {
	const users = 1000
	r, s := sinkRoom(b, users)
	ps := packets(1)
	ps[0].Message, ps[0].Payload = "broadcast", parlor.Encode(parlor.Map{"x": 17, "y": 4})
	b.ReportAllocs()
	for i := 0; i < b.N; i += users {
		s.burst(r, ps, true)
	}
}

// TestPacketAllocations: what costs memory for each packet would cost it for each of hundreds of thousands a
// second.
func TestPacketAllocations(t *testing.T) {
	spare := 0.0
	if raceEnabled { // sync.Pool forgets a quarter of what it is given then
		spare = 16
	}
	r, s := sinkRoom(t, 100)
	ps := packets(64)
	s.burst(r, ps, true)
	s.burst(r, ps, false)
	if n := testing.AllocsPerRun(100, func() { s.burst(r, ps, true) }); n >= 1+spare {
		t.Errorf("64 packets together: %v allocations, want none", n)
	}
	ps = ps[:32] // as the mailbox of a room that was very busy is not kept
	if n := testing.AllocsPerRun(100, func() { s.burst(r, ps, false) }); n >= 1+spare {
		t.Errorf("32 packets singly: %v allocations, want none", n)
	}
	ps = ps[:1]
	ps[0].Message, ps[0].Payload = "broadcast", parlor.Encode(1)
	if n := testing.AllocsPerRun(100, func() { s.burst(r, ps, true) }); n >= 4+spare {
		t.Errorf("broadcast to 100 users: %v allocations, want one Push and little else", n)
	}
}
