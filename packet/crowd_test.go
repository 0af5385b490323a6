package packet_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"parlor/packet"
)

// crowded is a server with Config.Manual, and who floods it. All is within a bubble of synctest, whose Wait returns when
// everybody waits for Process.
type crowded struct {
	*packet.Server
	t       *testing.T
	ln      *listener
	handled map[int64]int // packets, by connection: Process's
	bytes   int           // of their bodies
}

const (
	crowdConns  = 32 // MaxConns
	crowdQueued = 128 << 10
	crowdPart   = crowdQueued / 2 / crowdConns
	crowdBody   = 500 // bytes of what the crowd sends
	crowdPacket = crowdBody + 3 + 256
)

func newCrowded(t *testing.T) (s *crowded, end func()) {
	s = &crowded{t: t, handled: make(map[int64]int)}
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "t:a", func(c *packet.Conn, b packet.Body) error {
		s.handled[c.CID()]++
		s.bytes += len(b)
		return nil
	})
	s.Server = packet.NewServer(reg, packet.Config{Manual: true, MaxConns: crowdConns, MaxQueued: crowdQueued, Logger: quiet,
		Hooks: packet.Hooks{Receive: func(*packet.Conn, *packet.Message) {}}}) // for which notes wait
	s.ln = serveMemory(t, s.Server)
	return s, func() {
		s.Close()
		for s.Process(0); len(s.Conns()) > 0; s.Process(0) {
			synctest.Wait()
		}
	}
}

// dial is a connection whose handshake is complete, which needs no Process whatever waits.
func (s *crowded) dial() *wire {
	w := s.stranger()
	w.handshake()
	return w
}

// stranger is a new connection. What it has written, the server has read.
func (s *crowded) stranger() *wire {
	ours, theirs := net.Pipe()
	s.ln.give(s.t, theirs)
	w := wireOf(s.t, ours)
	must(w.SetDeadline(never))
	return w
}

// flood sends until the connection ends, and counts what was read.
func (s *crowded) flood() (w *wire, sent *atomic.Int64) {
	w, sent = s.dial(), new(atomic.Int64)
	frame := frameOf(s.t, 64, strings.Repeat("x", crowdBody))
	go func() { // ends with the connection
		for {
			if _, err := w.Write(frame); err != nil {
				return
			}
			sent.Add(1)
		}
	}()
	return w, sent
}

// send sends without waiting, which may take until Process has made room.
func (s *crowded) send(w *wire, bodies ...string) {
	go func() { // ends with the connection
		for _, body := range bodies {
			if _, err := w.Write(frameOf(s.t, 64, body)); err != nil {
				return
			}
		}
	}()
	synctest.Wait()
}

// pass is one call of Process, and what follows from it. It returns the bodies' bytes.
func (s *crowded) pass() int {
	before := s.bytes
	s.Process(0)
	synctest.Wait()
	return s.bytes - before
}

// passes calls Process until the connection has had so many packets handled.
func (s *crowded) passes(cid int64, packets int) (n int) {
	for ; s.handled[cid] < packets; n++ {
		if n == 100 {
			s.t.Fatal("it starves")
		}
		s.pass()
	}
	return n
}

// TestManualCrowd checks that what waits for Process is bounded for all connections together, that who sends little waits
// for no crowd, and that nobody waits for ever.
func TestManualCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, end := newCrowded(t)
		defer end()
		const crowd = 20
		var floods []*wire
		var sent []*atomic.Int64
		for range crowd {
			w, n := s.flood()
			floods, sent = append(floods, w), append(sent, n)
		}
		synctest.Wait()
		read := 0
		for _, n := range sent {
			read += int(n.Load())
		}
		// What was read is queued, but for one packet of each.
		if most := crowdQueued / crowdPacket; read-crowd > most || read-crowd < most/2 {
			t.Errorf("%d packets wait, which take %d each, limit %d bytes", read-crowd, crowdPacket, crowdQueued)
		}
		if n := s.Stats().WaitedQueued.Load(); n != crowd {
			t.Errorf("%d had to wait", n)
		}

		small := s.dial()
		s.send(small, strings.Repeat("s", 500))
		large := s.dial()
		l := strings.Repeat("l", 30_000)
		s.send(large, l, l, l)
		if n := s.passes(crowd+1, 1); n != 1 {
			t.Errorf("the small packet came after %d calls of Process", n)
		}
		if n := s.passes(crowd+2, 3); n > 6 {
			t.Errorf("the large ones came after %d more", n)
		}
		s.send(large, strings.Repeat("h", 2*crowdQueued)) // more than may wait
		if n := s.passes(crowd+2, 4); n > 3 {
			t.Errorf("the huge one came after %d more", n)
		}

		// In the crowd everybody has a turn each time. Of the rest most is for who comes first while Process is at work.
		const calls = 20
		before := make(map[int64]int)
		for cid, n := range s.handled {
			before[cid] = n
		}
		for range calls {
			if n := s.pass(); n > crowdQueued {
				t.Errorf("%d bytes at once", n)
			}
		}
		for cid := range int64(crowd) {
			if n := s.handled[cid+1] - before[cid+1]; n < calls {
				t.Errorf("one had %d packets handled in %d calls", n, calls)
			}
		}
		s.send(small, "still here")
		if n := s.passes(crowd+1, 2); n != 1 {
			t.Errorf("at the end a small packet came after %d calls", n)
		}
		for _, w := range append(floods, small, large) {
			w.Close()
		}
	})
}

// TestManualCrowdLeaves checks that connections which end while they wait leave their places to others, without Process,
// and that nothing stays counted.
func TestManualCrowdLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, end := newCrowded(t)
		defer end()
		alone := func() int64 {
			w, n := s.flood()
			synctest.Wait()
			w.Close()
			for len(s.Conns()) > 0 {
				s.pass()
			}
			return n.Load()
		}
		first := alone()
		for range 3 {
			for i := range 10 {
				w, _ := s.flood()
				defer w.Close()
				if i == 0 {
					synctest.Wait() // it fills all that is shared
				}
			}
			synctest.Wait()
			conns := s.Conns()
			for i, c := range conns[1:] {
				if i%2 == 0 {
					c.Abort(nil) // in line
				}
			}
			synctest.Wait()
			last := conns[len(conns)-1].CID()
			if conns[len(conns)-1].Err() != nil {
				last = conns[len(conns)-2].CID()
			}
			if n := s.passes(last, s.handled[last]+10); n > 10 {
				t.Errorf("who stays had to wait for %d calls of Process", n)
			}
			for _, c := range conns {
				c.Abort(nil)
			}
			for len(s.Conns()) > 0 {
				s.pass()
			}
		}
		if last := alone(); last != first || first < crowdQueued/2/crowdPacket {
			t.Errorf("%d packets found room at the end, %d before", last, first)
		}
	})
}

// TestManualCrowdOfStrangers checks that what waits of the protocol's own packets, for the Receive hook, is bounded too,
// and that a handshake needs no Process all the same.
func TestManualCrowdOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, end := newCrowded(t)
		defer end()
		const crowd = 20
		out := frameOf(t, packet.IDHello, strings.Repeat("x", 3000)) // out of place, which is noted
		var sent atomic.Int64
		for range crowd {
			w := s.stranger()
			w.want(packet.IDHello)
			go func() { // ends with the connection
				for {
					if _, err := w.Write(out); err != nil {
						return
					}
					sent.Add(1)
				}
			}()
			defer w.Close()
		}
		synctest.Wait()
		if n := int(sent.Load()); n-crowd > crowdQueued/3256 {
			t.Errorf("%d wait", n-crowd)
		}
		w := s.dial()
		defer w.Close()
		s.send(w, "in time")
		if n := s.passes(crowd+1, 1); n != 1 {
			t.Errorf("a packet came after %d calls of Process", n)
		}
	})
}

// TestManualFirstInLine checks that who waits in line is called when there is room, also where those before it neither
// wait nor send any more.
func TestManualFirstInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, end := newCrowded(t)
		defer end()
		before, waits := s.dial(), s.dial()
		defer before.Close()
		defer waits.Close()
		synctest.Wait()
		s.pass()                                    // of what comes of its own nothing shall wait, which would call it too
		s.send(before, strings.Repeat("b", 60_000)) // nearly all that is shared
		s.send(waits, strings.Repeat("w", 30_000))
		if n := s.Stats().WaitedQueued.Load(); n != 1 {
			t.Errorf("%d wait", n)
		}
		s.pass()
		if s.pass(); s.handled[1] != 1 || s.handled[2] != 1 {
			t.Errorf("of the two connections %v were handled", s.handled)
		}
	})
}
