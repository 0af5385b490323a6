package linktest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"parlor"
	"parlor/link"
)

// payloads are values of all sorts.
var payloads = []any{
	nil, parlor.Map{}, true, false, 0, -1, 1 << 40, uint64(math.MaxUint64), math.MinInt64, 1.5, 1.0, math.Inf(1), "", "text", "größer 🎲",
	[]any{}, []any{1, "two", nil, []any{3.5}}, parlor.Map{"x": 1, "y": parlor.Map{"deep": []any{true}}},
	strings.Repeat("long ", 4000),
}

// testEnvelopes: every kind comes as it was sent, both ways.
func testEnvelopes(t *testing.T, e *ends) {
	conn, s := e.connect()
	for i, payload := range payloads {
		ack := uint64(i)
		out := request(uint64(i+1), payload)
		out.Ack = ack
		e.write(conn, out)
		if got := heard(t, s, "a request"); text(&got) != text(out) {
			t.Errorf("the lobby got\n%s\nwant\n%s", text(&got), text(out))
		}
		m := []link.Message{answer(uint64(3*i+1), uint64(i+1), payload), push(uint64(3*i+2), payload), push(uint64(3*i+3), payload)}
		m[0].Response.Status = []parlor.Status{0, 1, 2, -1, 1 << 30, math.MinInt32}[i%6]
		m[0].Response.Disconnecting = i%2 == 1
		m[0].Response.Game = []string{"", "chess", "größer"}[i%3]
		m[0].Response.Message = []string{"", "moved", "größer"}[i%3]
		m[1].Push.Game = ""
		s.deliver(t, ack+1, m...)
		for j, got := range e.read(conn, 3) {
			if want := envelope(ack+1, m[j]); text(&got) != text(&want) {
				t.Errorf("the client got\n%s\nwant\n%s", text(&got), text(&want))
			}
		}
	}
	note := &link.Envelope{Kind: link.KindNote, Ack: 9}
	e.write(conn, note)
	got := receive(t, s.requests, "a note")
	for got.Kind == link.KindNote && got.Ack != note.Ack { // of the client itself, on a slow machine
		got = receive(t, s.requests, "a note")
	}
	if text(&got) != text(note) {
		t.Errorf("the lobby got %s, want %s", text(&got), text(note))
	}
}

// testOrder: what is sent first comes first, however it is joined.
func testOrder(t *testing.T, e *ends) {
	const n = 600
	conn, s := e.connect()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // ends with the last one, or the connection
		for seq := uint64(1); seq <= n; {
			var batch []link.Message
			for range seq%7 + 1 {
				if seq%3 == 0 {
					batch = append(batch, push(seq, seq))
				} else {
					batch = append(batch, answer(seq, seq, seq))
				}
				seq++
			}
			if err := s.link.Deliver(0, batch...); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Go(func() { // likewise
		for id := uint64(1); id <= n; {
			var batch []*link.Envelope
			for range id%5 + 1 {
				batch = append(batch, request(id, id))
				id++
			}
			if err := conn.Write(t.Context(), batch...); err != nil {
				t.Error(err)
				return
			}
		}
	})
	next := uint64(1)
	for next <= n {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		es, err := conn.Read(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range es {
			if got.Kind == link.KindNote {
				continue
			}
			if got.Seq != next {
				t.Fatalf("the client got %d, want %d", got.Seq, next)
			}
			next++
		}
	}
	for id := uint64(1); id <= n; id++ {
		if got := heard(t, s, "a request"); got.ID != id {
			t.Fatalf("the lobby got %d, want %d", got.ID, id)
		}
	}
}

// testLarge: an envelope may be nearly as large as the limit, one over it is refused, and the link goes on.
func testLarge(t *testing.T, e *ends) {
	most := e.wire.MessageSize
	if most == 0 {
		most = 1 << 20
	}
	conn, s := e.connect()
	fits := strings.Repeat("x", most-200)
	e.write(conn, request(1, fits))
	if got, want := heard(t, s, "a large request"), request(1, fits); text(&got) != text(want) {
		t.Errorf("the lobby got %s, want %s", text(&got), text(want))
	}
	for seq, m := range []link.Message{answer(1, 1, fits), push(2, fits)} {
		s.deliver(t, 1, m)
		got, want := e.read(conn, 1)[0], envelope(1, m)
		if text(&got) != text(&want) {
			t.Errorf("%d: the client got %s, want %s", seq, text(&got), text(&want))
		}
	}
	if e.wire.MessageSize == 0 {
		return
	}
	over := strings.Repeat("x", most+1)
	if err := conn.Write(t.Context(), request(2, over)); !errors.Is(err, link.ErrTooLarge) {
		t.Errorf("Write of more than the limit: %v", err)
	}
	if err := conn.Write(t.Context(), request(2, over), request(3, nil)); !errors.Is(err, link.ErrTooLarge) {
		t.Errorf("Write of more than the limit, and more: %v", err)
	}
	for _, m := range []link.Message{answer(3, 2, over), push(3, over)} {
		if err := s.link.Deliver(1, m); !errors.Is(err, link.ErrTooLarge) {
			t.Errorf("Deliver of more than the limit: %v", err)
		}
		if err := s.link.Deliver(1, m, push(4, nil)); !errors.Is(err, link.ErrTooLarge) {
			t.Errorf("Deliver of more than the limit, and more: %v", err)
		}
		if err := s.link.Deliver(1, push(3, nil), m); !errors.Is(err, link.ErrTooLarge) {
			t.Errorf("Deliver of something, and more than the limit: %v", err)
		}
	}
	goesOn(t, e, conn, s)
}

// goesOn wants nothing to have come, and what is sent now to do so.
func goesOn(t *testing.T, e *ends, conn link.StreamConn, s *session) {
	t.Helper()
	e.write(conn, request(2, "goes on"))
	if got := heard(t, s, "a request"); text(&got) != text(request(2, "goes on")) {
		t.Errorf("the lobby got %s", text(&got))
	}
	m := push(3, "goes on")
	s.deliver(t, 2, m)
	if got, want := e.read(conn, 1)[0], envelope(2, m); text(&got) != text(&want) {
		t.Errorf("the client got %s", text(&got))
	}
}

// testUnsendable: what has no form is refused where it is sent, and the link goes on.
func testUnsendable(t *testing.T, e *ends) {
	conn, s := e.connect()
	bad := make(chan int)
	if err := conn.Write(t.Context(), request(1, bad)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if err := conn.Write(t.Context(), request(1, bad), request(2, nil)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("Write of more: %v", err)
	}
	for _, m := range []link.Message{answer(1, 1, bad), push(1, bad)} {
		if err := s.link.Deliver(0, m); err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("Deliver: %v", err)
		}
		if err := s.link.Deliver(0, m, push(2, nil)); err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("Deliver of more: %v", err)
		}
		if err := s.link.Deliver(0, push(1, nil), m); err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("Deliver of something, and it: %v", err)
		}
	}
	goesOn(t, e, conn, s)
}

// testManyAtOnce: clients do not get in each other's way, nor do both directions of one.
func testManyAtOnce(t *testing.T, e *ends) {
	const clients, requests, inFlight = 8, 300, 32
	e.lobby.set(func(l *lobby) {
		l.request = func(s *session, r *link.Envelope) error {
			if r.Kind == link.KindNote {
				return nil
			}
			m := answer(2*r.ID-1, r.ID, nil)
			m.Response.Payload = r.Payload
			if err := s.link.Deliver(r.ID, m, push(2*r.ID, nil)); err != nil {
				return fmt.Errorf("deliver: %w", err)
			}
			return nil
		}
	})
	var conns [clients]link.StreamConn
	for i := range conns {
		conns[i], _ = e.connect()
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, conn := range conns {
		credit := make(chan struct{}, inFlight)
		payload := func(id uint64) any { return parlor.Map{"client": i, "id": id} }
		wg.Go(func() { // ends with the last one, or the connection
			for id := uint64(1); id <= requests; id++ {
				credit <- struct{}{}
				if err := conn.Write(t.Context(), request(id, payload(id))); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() { // likewise
			for seq := uint64(1); seq <= 2*requests; {
				es, err := conn.Read(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				for _, got := range es {
					if got.Kind == link.KindNote {
						continue
					}
					if got.Seq != seq {
						t.Errorf("client %d got %d, want %d", i, got.Seq, seq)
						conn.Abort()
						return
					}
					if seq++; got.Kind == link.KindPush {
						continue
					}
					<-credit
					want := envelope(got.ID, answer(got.Seq, got.ID, payload(got.ID)))
					if text(&got) != text(&want) {
						t.Errorf("client %d got %s, want %s", i, text(&got), text(&want))
					}
				}
			}
		})
	}
}

// testDeafClient: who does not read costs a bounded queue, holds up nobody, and loses the link, but not the session.
func testDeafClient(t *testing.T, e *ends) {
	_, s := e.connect()
	other, o := e.connect()
	payload := strings.Repeat("x", 32<<10)
	for seq := uint64(1); ; seq++ {
		start := time.Now()
		err := s.link.Deliver(0, push(seq, payload))
		if took := time.Since(start); took > e.most(time.Second) {
			t.Fatalf("Deliver took %v", took)
		}
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil || seq > 4096 {
			t.Fatalf("Deliver of number %d of 32 KiB: %v", seq, err)
		}
	}
	goesOn(t, e, other, o)
	s.ends(t, false)
}

// missed is what a client has missed, so many messages of 32 KiB.
func missed(n uint64) (all []link.Message) {
	for seq := uint64(1); seq <= n; seq++ {
		all = append(all, push(seq, strings.Repeat("x", 32<<10)))
	}
	return all
}

// testCatchUp: what a client missed does not count as what it does not read, so that new things can come behind it.
func testCatchUp(t *testing.T, e *ends) {
	const n, more = 300, 50 // 9.4 MiB
	conn, s := e.connect()
	s.deliver(t, 0, missed(n)...)
	for seq := uint64(n + 1); seq <= n+more; seq++ {
		s.deliver(t, 0, push(seq, seq))
	}
	for i, got := range e.read(conn, n+more) {
		if got.Seq != uint64(i+1) {
			t.Fatalf("the client got %d, want %d", got.Seq, i+1)
		}
	}
	goesOn(t, e, conn, s)
}

// testDeafCatchUp: behind what it missed a client that does not read has as much as any other, and no more when it has read that.
func testDeafCatchUp(t *testing.T, e *ends) {
	payload := strings.Repeat("x", 32<<10)
	fill := func(conn link.StreamConn, s *session, seq uint64) (n uint64) {
		for {
			if err := s.link.Deliver(0, push(seq, payload)); errors.Is(err, net.ErrClosed) {
				conn.Abort()
				s.ends(t, false)
				return n
			} else if err != nil || n > 4096 {
				t.Fatalf("Deliver of number %d of 32 KiB: %v", n, err)
			}
			seq, n = seq+1, n+1
		}
	}
	conn, s := e.connect()
	usual := fill(conn, s, 1)
	conn, s = e.connect()
	s.deliver(t, 0, missed(300)...)
	if n := fill(conn, s, 301); n > usual || n < usual/4 { // what the system has taken of it differs
		t.Errorf("behind what it missed a deaf client has %d messages, want %d", n, usual)
	}
	conn, s = e.connect()
	s.deliver(t, 0, missed(300)...)
	e.read(conn, 300)
	if n := fill(conn, s, 301); n > usual*3/2 {
		t.Errorf("a deaf client that has read what it missed has %d messages, want %d", n, usual)
	}
}

// testDeafLobby: a client whose requests are not taken waits, as long as it wants to.
func testDeafLobby(t *testing.T, e *ends) {
	stuck := make(chan struct{})
	release := sync.OnceFunc(func() { close(stuck) })
	defer release() // or a test that fails would wait for ever
	e.lobby.set(func(l *lobby) {
		l.request = func(*session, *link.Envelope) error {
			<-stuck
			return nil
		}
	})
	conn, s := e.connect()
	e.lobby.set(func(l *lobby) { l.request = nil })
	other, o := e.connect()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	payload := strings.Repeat("x", 32<<10)
	for id := uint64(1); ; id++ {
		err := conn.Write(ctx, request(id, payload))
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil || id > 4096 {
			t.Fatalf("Write of number %d of 32 KiB: %v", id, err)
		}
	}
	goesOn(t, e, other, o)
	conn.Abort()
	release()
	s.ends(t, false)
}

// testNotes: requests that nothing acknowledges are acknowledged by the link.
func testNotes(t *testing.T, e *ends) {
	conn, s := e.connect()
	start := time.Now()
	for id := uint64(1); id <= 3; id++ {
		e.write(conn, request(id, nil))
		heard(t, s, "a request")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	es, err := conn.Read(ctx)
	for !e.wire.Virtual && len(es) == 1 && es[0].Kind == link.KindNote && es[0].Ack < 3 { // the last request came late, on a slow machine
		es, err = conn.Read(ctx)
	}
	if err != nil || len(es) != 1 {
		t.Fatalf("the client got %s, error %v", texts(es), err)
	}
	got := es[0]
	if took := time.Since(start); got.Kind != link.KindNote || got.Ack != 3 || took < 100*time.Millisecond || took > e.most(4*time.Second) {
		t.Errorf("after %v the client got %s", took, text(&got))
	}
}

// testNotesOfMuch: many requests, or large ones, that nothing acknowledges are acknowledged before their time.
func testNotesOfMuch(t *testing.T, e *ends) {
	const rounds = 10
	conn, _ := e.connect()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start, id := time.Now(), uint64(0)
	for round := range rounds {
		var es []*link.Envelope
		if round%2 == 0 {
			for range link.NoteEnvelopes {
				id++
				es = append(es, request(id, nil))
			}
		} else {
			id++
			es = append(es, request(id, strings.Repeat("x", link.NoteBytes)))
		}
		e.write(conn, es...)
		for acked := uint64(0); acked < id; {
			es, err := conn.Read(ctx)
			if err != nil {
				t.Fatalf("round %d: the client got %v", round, err)
			}
			acked = es[len(es)-1].Ack
		}
	}
	if took := time.Since(start); took > e.most(rounds*link.NoteAfter/3) {
		t.Errorf("%d notes took %v", rounds, took)
	}
}

// testNoNotes: where an answer has acknowledged a request, nothing else does.
func testNoNotes(t *testing.T, e *ends) {
	conn, s := e.connect()
	e.write(conn, request(1, nil))
	heard(t, s, "a request")
	m := answer(1, 1, nil)
	s.deliver(t, 1, m)
	e.read(conn, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	if es, err := conn.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the client got %s, error %v", texts(es), err)
	}
}
