package parlortest_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"parlor"
	"parlor/client"
	"parlor/internal/memnet"
	"parlor/parlortest"
)

// recorded are paths whose writes are kept, of so many connections.
func recorded(n int) []memnet.Path { return slices.Repeat([]memnet.Path{{Record: true}}, n) }

// told is all that a client has written on its last connection.
func told(c *parlortest.Client) []memnet.Write { return c.Socket().Out().Writes() }

// thief writes what was recorded on a connection of its own, each write when the one before was taken, and tells whether the server has
// closed the connection ten seconds later.
func thief(t *testing.T, l *parlortest.Lobby, wire parlortest.Wire, recording []memnet.Write) (closed bool) {
	t.Helper()
	socket := l.DialSocket(wire)
	for _, w := range recording {
		socket.Write(w.Bytes) // as far as the server takes it
		l.Settle()
	}
	l.Step(10 * time.Second)
	socket.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := io.Copy(io.Discard, socket)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// replayed runs a test with a game that notes what it executes.
func replayed(t *testing.T, test func(t *testing.T, l *parlortest.Lobby, executed func() string)) {
	var log []string
	parlortest.Run(t, func(r parlor.Room, _ string) (parlor.Game, error) { return &tally{r, &log}, nil },
		func(t *testing.T, l *parlortest.Lobby) {
			test(t, l, func() string {
				l.Settle()
				return strings.Join(log, ", ")
			})
		})
}

var ann = client.Config{Username: "ann", Password: "pw"}

// TestReplayedSession: all that a client has sent, from the first byte on, is sent again by somebody else on another connection: while she
// is there, and when she has gone.
func TestReplayedSession(t *testing.T) {
	for _, test := range []struct {
		wire parlortest.Wire
		gone string // what is executed when she has gone
	}{
		// The login is known.
		{parlortest.Native, "ann one, ann two"},
		{parlortest.Pgnet, "ann one, ann two"},
		// The password has crossed the loopback in clear: who has heard it may log in.
		{parlortest.Packet, "ann one, ann two, ann one, ann two"},
	} {
		t.Run(test.wire.String(), func(t *testing.T) {
			replayed(t, func(t *testing.T, l *parlortest.Lobby, executed func() string) {
				c := l.DialOver(test.wire, ann, recorded(1), nil)
				c.Join("table")
				c.Ask("one", nil)
				c.Ask("two", nil)
				recording := told(c)
				if !thief(t, l, test.wire, recording) {
					t.Error("the thief is connected beside her")
				}
				if got := executed(); got != "ann one, ann two" {
					t.Errorf("while she was there %q was executed", got)
				}
				if r := c.Ask(parlor.RequestHelp, nil); r.Status != parlor.StatusOK || !c.Linked() {
					t.Errorf("she was disturbed: %q", r.Message)
				}
				c.Close()
				c.Wait()
				l.Step(2 * time.Second)
				thief(t, l, test.wire, recording)
				if got := executed(); got != test.gone {
					t.Errorf("when she had gone %q was executed, want %q", got, test.gone)
				}
			})
		})
	}
}

// TestReplayedSessionAfterRestart: a server on the native wire that has forgotten the logins, as its file of them was lost, still does
// nothing that a recording asks for: the keys of a session are agreed upon anew.
func TestReplayedSessionAfterRestart(t *testing.T) {
	replayed(t, func(t *testing.T, l *parlortest.Lobby, executed func() string) {
		c := l.DialOver(parlortest.Native, ann, recorded(1), nil)
		c.Join("table")
		c.Ask("one", nil)
		recording := told(c)
		c.Close()
		c.Wait()
		l.Stop()
		l.Start()
		if !thief(t, l, parlortest.Native, recording) {
			t.Error("the thief is connected")
		}
		if got := executed(); got != "ann one" {
			t.Errorf("%q was executed", got)
		}
	})
}

// TestReplayedResume: what a client has sent to resume its session does not resume it again, neither while she is connected nor when she is
// away: a token is good once.
func TestReplayedResume(t *testing.T) {
	for _, wire := range []parlortest.Wire{parlortest.Native, parlortest.Packet} {
		t.Run(wire.String(), func(t *testing.T) {
			replayed(t, func(t *testing.T, l *parlortest.Lobby, executed func() string) {
				c := l.DialOver(wire, ann, recorded(2), nil)
				c.Join("table")
				c.Ask("one", nil)
				c.Cut()
				c.Ask("two", nil) // on the connection that has resumed
				l.Step(10 * time.Second)
				if n := c.Stats().Resumed; n != 1 {
					t.Fatalf("resumed %d times", n)
				}
				recording := told(c)
				if wire == parlortest.Packet && !slices.ContainsFunc(recording, func(w memnet.Write) bool { return bytes.Contains(w.Bytes, []byte("token")) }) {
					t.Fatal("there is no token in what she sent")
				}
				resumed := l.Server().Stats().Resumed.Load()
				if !thief(t, l, wire, recording) {
					t.Error("the thief is connected beside her")
				}
				c.Ask("three", nil)
				c.Offline()
				thief(t, l, wire, recording)
				if n := l.Server().Stats().Resumed.Load(); n != resumed {
					t.Errorf("the session was resumed %d times more", n-resumed)
				}
				if got := executed(); got != "ann one, ann two, ann three" {
					t.Errorf("%q was executed", got)
				}
			})
		})
	}
}

// TestReplayedFrames: what a client has sent is sent again on its own connection, by somebody in between: nothing is executed twice,
// and the connection ends; on Parlor's own wires the session goes on with another one.
func TestReplayedFrames(t *testing.T) {
	for _, wire := range []parlortest.Wire{parlortest.Native, parlortest.Pgnet, parlortest.Packet} {
		t.Run(wire.String(), func(t *testing.T) {
			replayed(t, func(t *testing.T, l *parlortest.Lobby, executed func() string) {
				c := l.DialOver(wire, ann, recorded(1), nil)
				c.Join("table")
				before := len(c.Socket().Out().Writes())
				c.Ask("one", nil)
				l.Settle()
				socket := c.Socket()
				var frame []byte
				for _, w := range socket.Out().Writes()[before:] {
					frame = append(frame, w.Bytes...)
				}
				c.Ask("two", nil)
				if _, err := socket.Write(frame); err != nil {
					t.Fatal(err)
				}
				l.Step(5 * time.Second)
				if _, err := socket.Write([]byte("x")); err == nil {
					t.Error("the connection goes on")
				}
				if got := executed(); got != "ann one, ann two" {
					t.Errorf("%q was executed", got)
				}
				if wire == parlortest.Pgnet {
					if c.Connected() {
						t.Error("she is connected still")
					}
					return
				}
				c.Ask("three", nil)
				if got := executed(); got != "ann one, ann two, ann three" || c.Stats().Resumed != 1 {
					t.Errorf("%q was executed, and she has resumed %d times", got, c.Stats().Resumed)
				}
			})
		})
	}
}
