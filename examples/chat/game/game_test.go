package game_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"parlor"
	"parlor/examples/chat/game"
	"parlor/host"
	"parlor/internal/exampletest"
	"parlor/internal/pypeer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mute is a room in which nobody hears anything.
type mute struct{ parlor.Room }

func (mute) Send(string, string, any)         {}
func (mute) Broadcast(string, any, ...string) {}

// chat makes a game, for what it says in answers.
func chat(t *testing.T, save string) *game.Chat {
	t.Helper()
	g, err := game.New(mute{}, save)
	if err != nil {
		t.Fatal(err)
	}
	return g.(*game.Chat)
}

// TestTexts are those of pgnet's example game, to the letter.
func TestTexts(t *testing.T) {
	c := chat(t, "")
	c.UserJoined("alice")
	r := c.HandleGamePacket(parlor.Packet{Username: "alice", Message: "it's \"fine\"\n"})
	if r.Message != "Message added." || r.Status != 0 || !r.Payload.Empty() {
		t.Errorf("answer %s", r.DebugText())
	}
	c.UserLeft("alice")
	const log = "Game started\nJoined: alice\nalice says: 'it\\'s \"fine\"\\n'\nLeft: alice"
	if got := c.SaveString(); got != log || !c.Persistent() {
		t.Errorf("save %q, want %q", got, log)
	}
	beat := c.HandleHeartbeat(parlor.Packet{})
	if want := `{'log': ['Game started', 'Joined: alice', 'alice says: \'it\\\'s "fine"\\n\'', 'Left: alice']}`; beat.Message != "Latest log entries." || beat.Payload.String() != want {
		t.Errorf("heartbeat %s, want %s", beat.DebugText(), want)
	}
	if got := chat(t, log).SaveString(); got != log {
		t.Errorf("restored as %q", got)
	}
}

// TestPushes: lines come to all, who said them included, in one order; who comes or missed something gets the log.
func TestPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := exampletest.OpenRoom(t, game.New, "an old line")
		r.Join("alice", "bobby")
		r.Want("alice", `log {'away': [], 'log': ['an old line', 'Joined: alice']}`, `line {'line': 'Joined: bobby'}`)
		r.Want("bobby", `log {'away': [], 'log': ['an old line', 'Joined: alice', 'Joined: bobby']}`)
		r.Send("alice", "hello", nil)
		r.Send("bobby", strings.Repeat("x", 2000), nil)
		long := `line {'line': "` + "bobby says: '" + strings.Repeat("x", 1000-13) + `..."}` // cut as it is kept
		r.Want("alice", `line {'line': "alice says: 'hello'"}`, long)
		r.Want("bobby", `line {'line': "alice says: 'hello'"}`, long)

		r.Away("bobby")
		r.Join("carol")
		r.Want("alice", `away {'user': 'bobby'}`, `line {'line': 'Joined: carol'}`)
		if log := r.Pushes("carol")[0].Payload.String(); !strings.HasPrefix(log, `{'away': ['bobby'], `) || !strings.HasSuffix(log, `'Joined: carol']}`) {
			t.Errorf("carol is shown %s", log)
		}
		r.Back("bobby", false)
		r.Want("alice", `back {'user': 'bobby'}`)
		r.Want("carol", `back {'user': 'bobby'}`)
		r.Want("bobby", `line {'line': 'Joined: carol'}`) // kept for her, and no log

		save := r.Save()
		r.Away("bobby")
		r.Back("bobby", true)
		got := r.Pushes("bobby")
		if len(got) != 1 || got[0].Message != "log" || !strings.HasPrefix(got[0].Payload.String(), `{'away': [], `) {
			t.Errorf("after missing something bobby is shown %v", got)
		}
		if now := r.Save(); now != save {
			t.Errorf("the log was %q, and is %q", save, now)
		}
		r.Away("bobby")
		r.Leave("bobby") // she did not come back in time
		r.Want("alice", `away {'user': 'bobby'}`, `back {'user': 'bobby'}`, `away {'user': 'bobby'}`, `line {'line': 'Left: bobby'}`)
		r.Join("bobby")
		if log := r.Pushes("bobby")[0].Payload.String(); !strings.HasPrefix(log, `{'away': [], `) {
			t.Errorf("bobby, who has joined again, is shown %s", log)
		}
	})
}

// TestLongLog: heartbeats carry the last ten lines, and old ones are dropped in the end.
func TestLongLog(t *testing.T) {
	c := chat(t, "")
	for i := range 20_000 {
		c.HandleGamePacket(parlor.Packet{Username: "alice", Message: fmt.Sprint(i)})
	}
	var news struct {
		Log []string `json:"log"`
	}
	if err := c.HandleHeartbeat(parlor.Packet{}).Payload.Bind(&news); err != nil {
		t.Fatal(err)
	}
	if len(news.Log) != 10 || news.Log[0] != "alice says: '19990'" || news.Log[9] != "alice says: '19999'" {
		t.Errorf("heartbeat %q", news.Log)
	}
	if lines := strings.Count(c.SaveString(), "\n") + 1; lines != 10_000 {
		t.Errorf("%d lines are kept", lines)
	}
}

// TestLogSize: however much is said, the whole log stays far below what a server saves of one game (8 MiB), also
// when it comes from a save that was larger; the last lines are there.
func TestLogSize(t *testing.T) {
	const most = 256 << 10
	c := chat(t, strings.Repeat(strings.Repeat("x", 1000)+"\n", 10_000)+"the end")
	if save := c.SaveString(); len(save) > most || !strings.HasSuffix(save, "\nthe end") {
		t.Errorf("restored a save of %d bytes", len(save))
	}
	for i := range 10_000 {
		c.HandleGamePacket(parlor.Packet{Username: "alice", Message: fmt.Sprint(i, strings.Repeat("x", 900))})
	}
	save := c.SaveString()
	if len(save) > most || len(save) < most/2 || !strings.Contains(save, "says: '9999xxx") {
		t.Errorf("the save has %d bytes", len(save))
	}
}

// TestLongMessageIsCutFirst: a message of the size that a packet may have is not rendered as a whole, which
// would take its room many milliseconds.
func TestLongMessageIsCutFirst(t *testing.T) {
	c := chat(t, "")
	message := strings.Repeat("\u00ad", 380_000) // each is rendered as \xad
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		c.HandleGamePacket(parlor.Packet{Username: "alice", Message: message})
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(message)) {
		t.Errorf("10 messages of %d bytes took %d bytes of memory", len(message), n)
	}
	if !strings.Contains(c.SaveString(), `alice says: '\xad\xad`) {
		t.Errorf("log %.100q", c.SaveString())
	}
}

// TestPythonClients talk to each other.
func TestPythonClients(t *testing.T) {
	s, err := host.Start(t.Context(), host.Config{
		Games: map[string]parlor.NewGame{"chat": game.New}, Listen: "localhost:0",
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	port := s.Addrs()[0].(*net.TCPAddr).Port
	alice, bob := pypeer.StartClient(t), pypeer.StartClient(t)
	alice.Connect(port, "alice", "")
	bob.Connect(port, "bobby", "")
	alice.Call(map[string]any{"op": "create", "name": "test"})
	bob.Call(map[string]any{"op": "join", "name": "test"})
	bob.Call(map[string]any{"op": "send", "message": "h\u00f6llo"})
	const want = "[Game started Joined: alice Joined: bobby bobby says: 'h\u00f6llo']"
	for got := ""; got != want; {
		beat := alice.Expect("heartbeat")["response"].(map[string]any)
		got = fmt.Sprint(beat["payload"].(map[string]any)["log"])
		if beat["message"] != "Latest log entries." || beat["status"] != 0.0 {
			t.Fatalf("heartbeat %v", beat)
		}
	}
}

// TestLongLine: one line cannot fill the heartbeat of everybody.
func TestLongLine(t *testing.T) {
	c := chat(t, "")
	for range 20 {
		c.HandleGamePacket(parlor.Packet{Username: "alice", Message: strings.Repeat("é", 100_000)})
	}
	if n := len(c.HandleHeartbeat(parlor.Packet{}).Payload.JSON()); n > 100_000 {
		t.Errorf("heartbeat of %d bytes", n)
	}
}
