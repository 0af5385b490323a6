// Package linktest is the suite that every wire with a link.StreamConn passes: [Run] has clients log in to a lobby that the
// test plays, and looks at both ends.
package linktest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
)

// Wire is what the suite is run on.
type Wire struct {
	// Start brings clients to a lobby until the test ends (t.Cleanup), and returns what connects one.
	Start func(t *testing.T, lobby link.Lobby) func(ctx context.Context) (link.StreamConn, error)
	// Virtual runs each test in a bubble of testing/synctest: for wires that wait on nothing but channels and time.
	Virtual bool
	// MessageSize is how large an envelope may be, in bytes, either way; 0: any size, as the wire has no bytes.
	MessageSize int
	// Crowded is Start with room for so many connections, and for so many of them that have not logged in. What it returns
	// connects a client from an IP address. nil: nothing of that is tested, as the wire has no such limits. It needs Virtual.
	Crowded func(t *testing.T, lobby link.Lobby, connections, pending int) func(ctx context.Context, from string) (link.StreamConn, error)
}

// Run runs the suite.
func Run(t *testing.T, w Wire) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, e *ends)
	}{
		{"login", testLogin},
		{"login later", testLoginLater},
		{"login refused", testLoginRefused},
		{"login that nobody answers", testLoginUnanswered},
		{"lobby full", testLobbyFull},
		{"envelopes", testEnvelopes},
		{"order", testOrder},
		{"large", testLarge},
		{"unsendable", testUnsendable},
		{"many at once", testManyAtOnce},
		{"client closes", testClientCloses},
		{"client aborts", testClientAborts},
		{"server closes", testServerCloses},
		{"server closes while the client writes", testServerClosesWriter},
		{"server aborts", testServerAborts},
		{"session closes", testSessionCloses},
		{"client that does not read", testDeafClient},
		{"client that catches up", testCatchUp},
		{"client that catches up with nothing", testDeafCatchUp},
		{"lobby that does not take", testDeafLobby},
		{"notes", testNotes},
		{"notes of much", testNotesOfMuch},
		{"no notes where answers come", testNoNotes},
		{"contexts", testContexts},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.run(t, func(t *testing.T) {
				lobby := &lobby{opened: make(chan *session, 64)}
				c.test(t, &ends{t: t, wire: w, lobby: lobby, dial: w.Start(t, lobby)})
			})
		})
	}
	if w.Crowded != nil {
		t.Run("crowd", func(t *testing.T) { testCrowd(t, w) })
		t.Run("server full", func(t *testing.T) { testFull(t, w) })
	}
}

// run runs a test, in a bubble where the wire allows it.
func (w *Wire) run(t *testing.T, test func(t *testing.T)) {
	if w.Virtual {
		synctest.Test(t, test)
	} else {
		test(t)
	}
}

// patience is how long a test waits for anything that is to happen at once, and quick how long that may have taken where real time is
// measured.
const (
	patience = time.Minute
	quick    = 10 * time.Second
)

// ends are what a test has to do with: a wire, and both ends of it.
type ends struct {
	t     *testing.T
	wire  Wire
	lobby *lobby
	dial  func(ctx context.Context) (link.StreamConn, error)
}

// most is how long something may take that waits for nobody: a busy machine may come to it later.
func (e *ends) most(virtual time.Duration) time.Duration {
	if e.wire.Virtual {
		return virtual
	}
	return quick
}

// login is that of all tests.
var login = parlor.Packet{
	Message: parlor.MessageHandshake,
	Payload: parlor.Encode(parlor.Map{"username": "alice", "password": "opensesame", "invite_code": "12"}),
}

// open connects a client, which has not logged in yet. It is cut off when the test ends.
func (e *ends) open() link.StreamConn {
	e.t.Helper()
	conn, err := e.dial(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	if _, err := conn.Handshake(ctx); err != nil {
		e.t.Fatal(err)
	}
	return conn
}

// connect connects a client, and logs it in.
func (e *ends) connect() (link.StreamConn, *session) {
	e.t.Helper()
	conn := e.open()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	r, w, err := conn.Login(ctx, login, link.Offer{})
	if err != nil || w == nil {
		e.t.Fatalf("logged in with %+v, welcome %v, error %v", r, w, err)
	}
	return conn, e.session()
}

// session is the session that was opened next.
func (e *ends) session() *session {
	e.t.Helper()
	return receive(e.t, e.lobby.opened, "a session")
}

// read reads so many envelopes. Notes are left out: a link may send one at any time.
func (e *ends) read(conn link.StreamConn, n int) []link.Envelope {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	var all []link.Envelope
	for len(all) < n {
		es, err := conn.Read(ctx)
		if err != nil {
			e.t.Fatalf("read %d envelopes of %d: %v", len(all), n, err)
		}
		if len(es) == 0 {
			e.t.Fatal("Read returned nothing, and no error")
		}
		all = append(all, slices.DeleteFunc(es, func(e link.Envelope) bool { return e.Kind == link.KindNote })...)
	}
	if len(all) > n {
		e.t.Fatalf("read %d envelopes, want %d: %s", len(all), n, texts(all))
	}
	return all
}

// write writes envelopes.
func (e *ends) write(conn link.StreamConn, es ...*link.Envelope) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	if err := conn.Write(ctx, es...); err != nil {
		e.t.Fatal(err)
	}
}

// receive takes what comes next from a channel.
func receive[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		t.Fatalf("waited for %s for %v", what, patience)
		panic("not reached")
	}
}

// heard is the next request that the lobby has got. A client that has nothing to say for long, as it is busy reading on a slow machine, tells
// in a note that it is there.
func heard(t *testing.T, s *session, what string) link.Envelope {
	t.Helper()
	for {
		if e := receive(t, s.requests, what); e.Kind != link.KindNote {
			return e
		}
	}
}

// request is one with a payload of its own.
func request(id uint64, payload any) *link.Envelope {
	return &link.Envelope{Kind: link.KindRequest, ID: id, Message: "move", Payload: parlor.Encode(payload)}
}
