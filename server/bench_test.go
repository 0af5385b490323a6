package server_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"parlor"
	"parlor/link"
	"parlor/server"
)

// crowdLink is the server's end of a link whose client keeps some requests on their way, and takes the answers as fast as
// they come.
type crowdLink struct {
	session  link.Session
	welcomed chan struct{}
	wake     chan struct{} // has an entry when there was an answer
	seq      atomic.Uint64 // of the last message
	answered atomic.Uint64
}

func (l *crowdLink) Peer() link.Peer           { return link.Peer{Remote: "192.0.2.1:4711"} }
func (l *crowdLink) Offer() (link.Offer, bool) { return link.Offer{}, true }
func (l *crowdLink) Send(parlor.Response) error {
	return nil
}

func (l *crowdLink) Welcome(parlor.Response, link.Welcome) error {
	close(l.welcomed)
	return nil
}

func (l *crowdLink) Deliver(_ uint64, messages ...link.Message) error {
	for _, m := range messages {
		l.seq.Store(m.Seq)
		if m.Push == nil {
			l.answered.Add(1)
		}
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

func (l *crowdLink) Close(link.Code, string) { go l.session.Closed(true) } // ends at once
func (l *crowdLink) Abort()                  { go l.session.Closed(false) }

// ask sends n requests, so many of them at once, and returns when all are answered.
func (l *crowdLink) ask(first, n, flying uint64, e link.Envelope) error {
	sent, end, before := first, first+n, first
	for l.answered.Load() < end {
		for ; sent < end && sent-l.answered.Load() < flying; sent++ {
			e.Ack, e.ID = l.seq.Load(), sent+1
			if err := l.session.Request(&e); err != nil {
				return err
			}
		}
		if before == l.answered.Load() {
			<-l.wake
		}
		before = l.answered.Load()
	}
	return nil
}

// BenchmarkSessions measures the way of requests from the link to the game and of the answers back, without a wire: 16
// sessions that have 32 requests on their way each, or one.
func BenchmarkSessions(b *testing.B) {
	for _, flying := range []uint64{1, 32} {
		for _, rooms := range []int{1, 16} {
			b.Run(fmt.Sprintf("%d in flight/%d rooms", flying, rooms), func(b *testing.B) { benchmarkSessions(b, 16, rooms, flying) })
		}
	}
}

func benchmarkSessions(b *testing.B, sessions, rooms int, flying uint64) {
	answer := parlor.OK("moved", parlor.Map{"x": 17, "y": 4})
	echo := script{packet: func(parlor.Packet) parlor.Response { return answer }}
	srv, err := server.New(server.Config{
		Games: map[string]parlor.NewGame{"": play(echo)}, AdminPassword: adminPassword, Logger: slog.New(slog.DiscardHandler),
		Limits: server.Limits{RequestsPerSecond: 1e9, HashMemory: cheap.Memory, HashPasses: cheap.Passes},
	})
	if err != nil {
		b.Fatal(err)
	}
	over := make(chan struct{})
	go func() { defer close(over); srv.Run(b.Context()) }()
	defer func() { srv.Shutdown(0); <-over }()
	links := make([]*crowdLink, sessions)
	for i := range links {
		l := &crowdLink{welcomed: make(chan struct{}), wake: make(chan struct{}, 1)}
		links[i] = l
		if l.session, err = srv.Open(l); err != nil {
			b.Fatal(err)
		}
		login := parlor.Map{"username": fmt.Sprint("user", i), "password": ""}
		if err := l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(login)}); err != nil {
			b.Fatal(err)
		}
		<-l.welcomed
		room := parlor.Encode(parlor.Map{"name": fmt.Sprint("room", i%rooms)})
		if err := l.ask(0, 1, 1, link.Envelope{Kind: link.KindRequest, Message: parlor.RequestJoinGame, Payload: room}); err != nil {
			b.Fatal(err)
		}
	}
	each := uint64(max(b.N/sessions, 1))
	move := link.Envelope{Kind: link.KindRequest, Message: "move", Payload: parlor.Encode(parlor.Map{"dx": 1, "dy": -1})}
	b.ReportAllocs()
	b.ResetTimer()
	var clients sync.WaitGroup
	for _, l := range links {
		clients.Go(func() {
			if err := l.ask(1, each, flying, move); err != nil {
				b.Error(err)
			}
		})
	}
	clients.Wait()
	b.ReportMetric(float64(each*uint64(sessions))/b.Elapsed().Seconds(), "req/s")
}
