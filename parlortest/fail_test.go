package parlortest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	"parlor/link"
	"parlor/parlortest"
)

// bad is a game that does what games should not.
type bad struct{}

func newBad(parlor.Room, string) (parlor.Game, error) { return bad{}, nil }

func (bad) HandleGamePacket(p parlor.Packet) parlor.Response {
	switch p.Message {
	case "panic":
		panic("what has it done")
	case "stuck":
		select {}
	case "slow":
		time.Sleep(30 * time.Minute) // sleep: virtual
	}
	return parlor.OK("good")
}

// failures are tests that fail, and what they say then.
var failures = []struct {
	name string
	test func(t *testing.T, l *parlortest.Lobby)
	says string
}{
	{"expect", func(t *testing.T, l *parlortest.Lobby) { l.Client("ann").Expect("connected", "push hello") },
		"ann has seen\n\tconnected\nwant\n\tconnected\n\tpush hello\n"},
	{"expect nothing", func(t *testing.T, l *parlortest.Lobby) { l.Client("ann").Expect() }, "ann has seen\n\tconnected\nwant\n\t(nothing)\n"},
	{"await", func(t *testing.T, l *parlortest.Lobby) { l.Client("ann").Await("push hello") },
		"ann has seen\n\tconnected\nand within 1m0s no\n\tpush hello\n"},
	{"fatal", func(t *testing.T, l *parlortest.Lobby) { table(l); t.Fatal("in the middle") }, "in the middle"},
	{"fatal offline", func(t *testing.T, l *parlortest.Lobby) { table(l).Offline(); t.Fatal("in the middle") }, "in the middle"},
	{"fatal while stopped", func(t *testing.T, l *parlortest.Lobby) { table(l); l.Stop(); t.Fatal("in the middle") }, "in the middle"},
	{"ask while stopped", func(t *testing.T, l *parlortest.Lobby) { ann := table(l); l.Stop(); ann.Ask("who", nil) },
		`parlortest: ann asks "who": await answer to "who": context deadline exceeded`},
	{"dial while stopped", func(t *testing.T, l *parlortest.Lobby) { l.Stop(); l.Client("ann") }, "connection refused"},
	{"start twice", func(t *testing.T, l *parlortest.Lobby) { l.Start() }, "parlortest: the server runs already"},
	{"join", func(t *testing.T, l *parlortest.Lobby) { l.Client("ann").Join("?") }, `parlortest: ann joins game "?": `},
	{"login twice", func(t *testing.T, l *parlortest.Lobby) { table(l); l.Client("ann") },
		"parlortest: ann logs in on the native wire: disconnected: Username already connected."},
	{"no wire", func(t *testing.T, l *parlortest.Lobby) { l.Dial(7, client.Config{Username: "ann"}) }, "parlortest: there is no wire 7"},
	{"game panics", func(t *testing.T, l *parlortest.Lobby) { table(l).Ask("panic", nil) },
		"parlortest: hook panicked: this was logged as an error, as shown above\ngoroutine "},
	{"game is stuck", func(t *testing.T, l *parlortest.Lobby) { table(l).Ask("stuck", nil) }, "goroutines of it wait for ever"},
	{"game is slow", func(t *testing.T, l *parlortest.Lobby) { table(l).Ask("slow", nil) },
		`parlortest: ann asks "slow": await answer to "slow": context deadline exceeded`},
	{"function is stuck", func(t *testing.T, l *parlortest.Lobby) {
		l.Dial(parlortest.Packet, client.Config{Username: "ann", OnConnection: func(bool) { select {} }})
	}, "parlortest: a function of ann's configuration, or a callback, does not return"},
	{"function panics", func(t *testing.T, l *parlortest.Lobby) {
		l.Dial(parlortest.Local, client.Config{Username: "ann", OnConnection: func(bool) { panic("what has it done") }})
		l.Settle()
	}, "parlortest: event handler panicked: this was logged as an error, as shown above\ngoroutine "},
	{"goroutine is left", func(t *testing.T, l *parlortest.Lobby) { go func() { select {} }() }, "goroutines of it wait for ever"},
	{"client is left", func(t *testing.T, l *parlortest.Lobby) {
		mine, err := client.New("127.0.0.1:1", client.Config{Username: "ann", Dialer: stuckDialer{}})
		if err != nil {
			t.Fatal(err)
		}
		go mine.Connect(t.Context())
		l.Settle()
	}, "goroutines of it wait for ever"},
}

func table(l *parlortest.Lobby) *parlortest.Client {
	ann := l.Client("ann")
	ann.Join("table")
	return ann
}

// TestFailures: a test that fails says why, takes no other test with it, and leaves no time to wait for. Each runs in a process of
// its own, as it is to fail there.
func TestFailures(t *testing.T) {
	if name := os.Getenv("PARLOR_FAILURE"); name != "" {
		for _, f := range failures {
			if f.name == name {
				t.Run("it", func(t *testing.T) { parlortest.Run(t, newBad, f.test) })
				t.Run("other", func(t *testing.T) {
					parlortest.Run(t, newBad, func(t *testing.T, l *parlortest.Lobby) { table(l).Ask("?", nil) })
				})
			}
		}
		return
	}
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestFailures$", "-test.v", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), "PARLOR_FAILURE="+f.name)
			out, err := cmd.CombinedOutput()
			text := strings.ReplaceAll(string(out), "\n        ", "\n") // testing indents what is said
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(text, f.says) || strings.Contains(text, "\npanic: ") ||
				!strings.Contains(text, "--- FAIL: TestFailures/it") || !strings.Contains(text, "--- PASS: TestFailures/other") {
				t.Errorf("%v:\n%s\nwant\n%s", err, text, f.says)
			}
		})
	}
}

// stuckDialer does not look at its context.
type stuckDialer struct{}

func (stuckDialer) Dial(context.Context, string) (link.Conn, error) { select {} }
