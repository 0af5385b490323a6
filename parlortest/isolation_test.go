package parlortest_test

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	"parlor/link"
	"parlor/parlortest"
	"parlor/server"
)

// neighbour is a game like any other.
type neighbour struct{}

func (neighbour) HandleGamePacket(p parlor.Packet) parlor.Response {
	return parlor.OK("got " + p.Message)
}

// stuck is a game that does not return from its handler.
type stuck struct{ until chan struct{} }

func (g stuck) HandleGamePacket(p parlor.Packet) parlor.Response {
	<-g.until
	return parlor.OK("at last")
}

// broken is a game of which every hook panics, but for that of joining, if it is to have users at all.
type broken struct {
	refuses bool
	until   chan struct{} // when it is closed the game can be saved, for the end of the test
}

func (broken) HandleGamePacket(parlor.Packet) parlor.Response { panic("packet") }
func (broken) HandleHeartbeat(parlor.Packet) parlor.Response  { panic("heartbeat") }
func (broken) HeartbeatRate() float64                         { panic("heartbeat rate") }
func (broken) UserLeft(string)                                { panic("left") }
func (broken) UserAway(string)                                { panic("away") }
func (broken) UserBack(string, bool)                          { panic("back") }
func (broken) ResumeWindow() time.Duration                    { panic("window") }
func (broken) PushOnHeartbeat() bool                          { panic("pushes") }
func (broken) Draining(time.Time)                             { panic("draining") }
func (broken) Persistent() bool                               { panic("persistent") }
func (broken) LobbyInfo() string                              { panic("info") }
func (broken) MaxUsers() int                                  { panic("max users") }
func (broken) UpdateRate() float64                            { panic("update rate") }
func (broken) Update()                                        { panic("update") }

func (g broken) SaveString() string {
	select {
	case <-g.until:
		return ""
	default:
		panic("save")
	}
}

func (g broken) UserJoined(string) {
	if g.refuses {
		panic("joined")
	}
}

// torrent is a game that pushes 4 MB a second to each of its users.
type torrent struct {
	room parlor.Room
	seen *[]string
}

func (g torrent) HandleGamePacket(parlor.Packet) parlor.Response {
	text := strings.Repeat("x", 20_000)
	g.room.Every(5*time.Millisecond, func() { g.room.Broadcast("news", text) })
	return parlor.OK("here they come")
}

func (g torrent) UserAway(user string) { *g.seen = append(*g.seen, "away "+user) }
func (g torrent) UserLeft(user string) { *g.seen = append(*g.seen, "left "+user) }

// heap is how much memory is in use, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestIsolation: whatever happens in some rooms, requests in others are answered at the same moment of virtual time: beside a handler
// that is stuck, hooks that all panic, and clients that never read what is pushed to them. These lose their links, the
// server keeps no more for them than its limits, and at the end of the window they are gone.
func TestIsolation(t *testing.T) {
	var seen []string
	until := make(chan struct{})
	cfg := server.Config{Logger: slog.New(slog.DiscardHandler), Games: map[string]parlor.NewGame{
		"": func(r parlor.Room, _ string) (parlor.Game, error) {
			switch r.Name() {
			case "stuck":
				return stuck{until}, nil
			case "broken", "refuses":
				return broken{r.Name() == "refuses", until}, nil
			case "torrent":
				return torrent{r, &seen}, nil
			}
			return neighbour{}, nil
		},
	}}
	parlortest.RunServer(t, cfg, func(t *testing.T, l *parlortest.Lobby) {
		until = make(chan struct{}) // of the bubble, so that who waits on it does not hold up time
		defer close(until)
		var neighbours []*parlortest.Client
		for i, wire := range parlortest.Wires() {
			c := l.Dial(wire, client.Config{Username: fmt.Sprint("neighbour", i), Password: "pw"})
			c.Join(fmt.Sprint("room ", i))
			neighbours = append(neighbours, c)
		}
		eve, pan := l.Client("eve"), l.Client("pan")
		eve.Join("stuck")
		pan.Join("broken")
		if err := eve.Send(parlor.Packet{Message: "hang"}, func(parlor.Response, error) {}); err != nil {
			t.Fatal(err)
		}
		before := heap()
		deaf := map[parlortest.Wire]link.StreamConn{}
		for _, wire := range []parlortest.Wire{parlortest.Native, parlortest.Packet} {
			deaf[wire] = l.DialLink(wire, "deaf"+wire.String())
			err := deaf[wire].Write(t.Context(),
				&link.Envelope{Kind: link.KindRequest, ID: 1, Message: parlor.RequestJoinGame, Payload: parlor.Encode(parlor.Map{"name": "torrent"})})
			if err != nil {
				t.Fatal(err)
			}
		}
		l.Settle()
		if err := deaf[parlortest.Native].Write(t.Context(), &link.Envelope{Kind: link.KindRequest, ID: 2, Message: "begin"}); err != nil {
			t.Fatal(err)
		}
		closed, most := map[parlortest.Wire]bool{}, int64(0)
		for round := range 200 {
			l.Step(50 * time.Millisecond)
			began := time.Now()
			for _, c := range neighbours {
				if r := c.Ask("move", nil); r.Message != "got move" {
					t.Errorf("%s was answered %q", c.Username(), r.Message)
				}
			}
			if r := pan.Ask("move", nil); r.Status != parlor.StatusBad {
				t.Errorf("the broken game has answered %q", r.Message)
			}
			if round%50 == 0 {
				c := neighbours[round/50]
				if err := c.LeaveGame(t.Context()); err != nil {
					t.Error(err)
				}
				if r := c.Ask(parlor.RequestJoinGame, parlor.Map{"name": "refuses"}); r.Status == parlor.StatusOK {
					t.Errorf("joined the game that refuses all: %q", r.Message)
				}
				c.Join("another room of " + c.Username())
			}
			if took := time.Since(began); took != 0 {
				t.Fatalf("the neighbours waited for %v", took)
			}
			for wire, conn := range deaf {
				if closed[wire] || l.Unread(wire) == 0 {
					continue
				}
				closed[wire] = true
				var why *link.CloseError
				for {
					if _, err := conn.Read(t.Context()); err != nil {
						if !errors.As(err, &why) || why.Code != link.CloseTryAgain {
							t.Errorf("%s: the link has ended with %v, want code %d", wire, err, link.CloseTryAgain)
						}
						break
					}
				}
			}
			if round%20 == 0 {
				most = max(most, heap()-before)
			}
		}
		// What is kept, which both share, as it is and as MessagePack; and what waits to be written.
		if limit := int64(2*4<<20 + 2*4<<20 + 4<<20); most > limit {
			t.Errorf("%d bytes are held, want %d at most", most, limit)
		}
		t.Logf("%d bytes were held", most)
		want := []string{"away deafnative", "away deafpacket"}
		if slices.Sort(seen); !slices.Equal(seen, want) {
			t.Errorf("the game was told %q, want %q", seen, want)
		}
		if n := l.Server().Stats().PushesLost.Load(); n == 0 {
			t.Error("no lost pushes were counted")
		}
		l.Step(time.Minute + time.Second)
		if want = append(want, "left deafnative", "left deafpacket"); len(seen) != 4 || !slices.Contains(seen, want[2]) || !slices.Contains(seen, want[3]) {
			t.Errorf("the game was told %q, want %q", seen, want)
		}
		if users := l.Server().Users(); users != len(neighbours)+2 {
			t.Errorf("%d users are there, want %d", users, len(neighbours)+2)
		}
		if n := heap() - before; n > 4<<20 {
			t.Errorf("%d bytes are held behind it all", n)
		}
	})
}
