package packet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"parlor/packet"
)

// told is an event as a text, with what is documented for it.
func told(e packet.Event) string {
	parts := []string{strings.TrimPrefix(string(e.Name), "peng3dnet:")}
	if e.Addr != nil {
		parts = append(parts, "addr")
	}
	if e.Conn != nil {
		parts = append(parts, fmt.Sprintf("conn%d", e.Conn.CID()))
	}
	if e.Packet != nil {
		parts = append(parts, fmt.Sprintf("packet=%v", e.Packet))
	}
	if e.ID != 0 {
		parts = append(parts, fmt.Sprintf("id=%d", e.ID))
	}
	if v := e.Value(); v != nil && (e.ID >= 64 || e.ID == packet.IDCloseConnection) {
		parts = append(parts, fmt.Sprintf("data=%v", v))
	}
	if e.Reason != nil {
		parts = append(parts, fmt.Sprintf("reason=%v", e.Reason))
	}
	if e.Timeout != 0 {
		parts = append(parts, "timeout")
	}
	return strings.Join(parts, " ")
}

// until collects events up to the last one of a name.
func until(t *testing.T, s *packet.Subscription, last packet.EventName) []string {
	t.Helper()
	var all []string
	for {
		e := receive(t, s.C)
		if (e.Server == nil) == (e.Client == nil) || e.Conn != nil && (e.Conn.Server() != e.Server || e.Conn.Client() != e.Client) {
			t.Errorf("%s: server %v, client %v", e.Name, e.Server, e.Client)
		}
		all = append(all, told(e))
		if e.Name == last {
			return all
		}
	}
}

func equalLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s:\n%s\nwant:\n%s", what, g, w)
	}
}

// Every event of the documentation, in the order of section 8, with its data.
func TestEventsOfServerAndClient(t *testing.T) {
	reg := packet.NewRegistry()
	echoed := make(chan struct{}, 1)
	packet.MustRegister(reg, "t:a", func(c *packet.Conn, v any) error {
		if c.Side() == packet.SideServer {
			return c.SendID(64, "back")
		}
		echoed <- struct{}{}
		return nil
	})
	s := packet.NewServer(reg, packet.Config{})
	heard := s.Subscribe(100)
	ln, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	c := packet.NewClient(reg, packet.Config{})
	mine := c.Subscribe(100)
	connect(t, c, ln.Addr().String())
	eventually(t, "the handshake is told at both sides", func() bool { return len(mine.C) == 8 && len(heard.C) == 9 })
	if err := c.Send("t:a", "out"); err != nil {
		t.Fatal(err)
	}
	<-echoed
	eventually(t, "the packets are told", func() bool { return len(mine.C) == 10 && len(heard.C) == 11 })
	c.Interrupt()
	s.Interrupt()
	s.Emit(packet.Event{Name: "t:own", Data: 5})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.ShutdownReason(ctx, "maintenance"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, packet.ErrClosed) {
		t.Error(err)
	}
	<-c.Done()
	equalLines(t, "server", until(t, heard, packet.EventServerShutdown), []string{
		"server.initialize",
		"server.bind addr",
		"server.start",
		"server.connection.send conn1 packet=1 id=1",
		"server.connection.accept addr conn1",
		"server.connection.send conn1 packet=3 id=3",
		"server.connection.recv conn1 id=2",
		"server.connection.handshakecomplete conn1",
		"server.connection.recv conn1 id=4",
		"server.connection.send conn1 packet=64 id=64 data=back",
		"server.connection.recv conn1 id=64 data=out",
		"server.interrupt",
		"t:own",
		"server.connection.send conn1 packet=16 id=16 data=map[reason:maintenance]",
		"server.connection.close conn1 reason=maintenance",
		"server.stop reason=method",
		"server.interrupt",
		"server.shutdown reason=maintenance timeout",
	})
	equalLines(t, "client", until(t, mine, packet.EventClientStop), []string{
		"client.initialize",
		"client.connect addr conn0",
		"client.start",
		"client.send conn0 packet=2 id=2",
		"client.recv conn0 id=1",
		"client.send conn0 packet=4 id=4",
		"client.handshakecomplete conn0",
		"client.recv conn0 id=3",
		"client.send conn0 packet=t:a id=64 data=out",
		"client.recv conn0 id=64 data=back",
		"client.interrupt",
		"client.close conn0 reason=maintenance",
		"client.recv conn0 id=16 data=map[reason:maintenance]",
		"client.stop reason=method",
	})
	heard.Close()
	heard.Close()
	mine.Close()
	if _, ok := <-mine.C; ok || mine.Dropped() != 0 {
		t.Error("something came after Close")
	}
}

func TestSlowSubscriber(t *testing.T) {
	reg := packet.NewRegistry()
	got := make(chan int, 1)
	packet.MustRegister(reg, "t:a", func(_ *packet.Conn, n int) error {
		got <- n
		return nil
	})
	s := serve(t, packet.NewServer(reg, packet.Config{}))
	c := packet.NewClient(reg, packet.Config{})
	slow, quick := s.Subscribe(2), s.Subscribe(1000)
	defer quick.Close()
	connect(t, c, s.addr)
	for i := range 100 {
		if err := c.Send("t:a", i); err != nil {
			t.Fatal(err)
		}
		if n := receive(t, got); n != i {
			t.Fatalf("got %d, want %d", n, i)
		}
	}
	eventually(t, "all events", func() bool { return len(quick.C) >= 106 }) // 7 or 8 of the handshake may be before
	if n := slow.Dropped(); n < 100 || len(slow.C) != 2 || quick.Dropped() != 0 {
		t.Errorf("the slow one lost %d and has %d, the quick one lost %d", n, len(slow.C), quick.Dropped())
	}
	var wg sync.WaitGroup
	for range 10 { // subscribing and closing while events come
		wg.Go(func() {
			for range 20 {
				sub := s.Subscribe(0)
				s.Interrupt()
				sub.Close()
				for range sub.C {
				}
			}
		})
	}
	wg.Wait()
	slow.Close()
}

func TestNoEvents(t *testing.T) {
	cfg, err := packet.ConfigFromMap(map[string]any{"net.events.enable": false})
	if err != nil {
		t.Fatal(err)
	}
	c := packet.NewClient(regOf(t), cfg)
	sub := c.Subscribe(5)
	if _, ok := <-sub.C; ok {
		t.Error("an event came")
	}
	c.Interrupt()
	sub.Close()
}

// syncBuffer is a buffer for a logger.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestDebugFlags(t *testing.T) {
	flags := map[string]func(*packet.Config){
		"packet received": func(c *packet.Config) { c.LogRecv = true },
		"packet sent":     func(c *packet.Config) { c.LogSend = true },
		"connect":         func(c *packet.Config) { c.LogConnect = true },
		"closed":          func(c *packet.Config) { c.LogClose = true },
		"":                func(*packet.Config) {},
	}
	texts := map[string][2]string{ // at the server, at the client
		"packet received": {"packet=t:a id=64 body=1", "packet=t:a id=64 body=2"},
		"packet sent":     {"packet=t:a id=64 body=2", "packet=t:a id=64 body=1"},
		"connect":         {"connection accepted", "msg=connected"},
		"closed":          {"reason=bye", "reason=bye"},
	}
	for name, set := range flags {
		t.Run(name, func(t *testing.T) {
			var logs [2]syncBuffer
			var cfgs [2]packet.Config
			for i := range logs {
				cfgs[i].Logger = slog.New(slog.NewTextHandler(&logs[i], &slog.HandlerOptions{Level: slog.LevelDebug}))
				set(&cfgs[i])
			}
			reg := packet.NewRegistry()
			packet.MustRegister(reg, "t:a", func(c *packet.Conn, v any) error {
				if c.Side() == packet.SideServer {
					return c.Send("t:a", 2)
				}
				c.Close("bye")
				return nil
			})
			s := serve(t, packet.NewServer(reg, cfgs[0]))
			c := packet.NewClient(reg, cfgs[1])
			connect(t, c, s.addr)
			if err := c.Send("t:a", 1); err != nil {
				t.Fatal(err)
			}
			<-c.Done()
			eventually(t, "the server is done", func() bool { return len(s.Conns()) == 0 })
			for i := range logs {
				for other, text := range texts {
					if has := strings.Contains(logs[i].String(), text[i]); has != (other == name) {
						t.Errorf("side %d: %q is in the log: %t\n%s", i, text[i], has, logs[i].String())
					}
				}
				if told := strings.Contains(logs[i].String(), "id=16 body=bye"); told != (name == "packet sent" && i == 1) {
					t.Errorf("side %d: CloseConnection is in the log: %t\n%s", i, told, logs[i].String())
				}
				if name == "" && logs[i].String() != "" {
					t.Errorf("lines without any flag: %s", logs[i].String())
				}
			}
		})
	}
	// An unknown packet is a line with its number, and nothing ends (D28).
	var log syncBuffer
	s := serve(t, packet.NewServer(regOf(t), packet.Config{LogRecv: true,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}))
	w := dialWire(t, s.addr)
	w.handshake()
	w.send(999, 1)
	eventually(t, "it is logged", func() bool { return strings.Contains(log.String(), "id=999") })
}

// TestSlowSubscriberOfLargeBodies checks that what waits for a listener is bounded in bytes too, and that what it has
// read makes room.
func TestSlowSubscriberOfLargeBodies(t *testing.T) {
	s := packet.NewServer(regOf(t), packet.Config{})
	sub := s.Subscribe(256)
	defer sub.Close()
	body := make(packet.Body, 6<<20)
	emit := func(data any) { s.Emit(packet.Event{Name: "t:own", Data: data}) }
	for range 10 {
		emit(body)
	}
	if len(sub.C) != 2 || sub.Dropped() != 8 {
		t.Errorf("%d wait, %d were dropped", len(sub.C), sub.Dropped())
	}
	emit(5) // this one fits
	for range 3 {
		<-sub.C
	}
	emit(make(packet.Body, 20<<20)) // alone, it may be larger
	emit("no more")
	if len(sub.C) != 1 || sub.Dropped() != 9 {
		t.Errorf("%d wait, %d were dropped", len(sub.C), sub.Dropped())
	}
}

// TestClosingIsTold checks that the CloseConnection with which a side closes is an event as any other packet, before that
// of the close, whoever closes, and that no Send hook can refuse it, change it or hold it up.
func TestClosingIsTold(t *testing.T) {
	reg := regOf(t, "t:a")
	packet.MustRegister[any](reg, "t:strict", nil, packet.InState(99), packet.OnInvalid(packet.ActionClose))
	cfg := packet.Config{Logger: quiet, WriteQueue: 4000, Hooks: packet.Hooks{Send: func(_ *packet.Conn, o *packet.Outgoing) error {
		if o.ID == packet.IDCloseConnection {
			select {}
		}
		return nil
	}}}
	for reason, closes := range map[string]func(c *packet.Conn) error{
		"enough":                        func(c *packet.Conn) error { c.Close("enough"); return packet.ErrInvalidPacket },
		packet.ReasonSmartPacketInvalid: func(c *packet.Conn) error { return c.Send("t:strict", 1) },
		packet.ReasonWriteQueueFull: func(c *packet.Conn) (err error) {
			for err == nil { // the other side does not read yet
				err = c.Send("t:a", make([]byte, 1000))
			}
			return errors.Join(err, packet.ErrInvalidPacket)
		},
	} {
		closed := func(t *testing.T, c *packet.Conn, heard *packet.Subscription, w *wire, sent, end packet.EventName) {
			if err := closes(c); !errors.Is(err, packet.ErrInvalidPacket) {
				t.Error(err)
			}
			if got := w.reason(); got != reason {
				t.Errorf("the other side hears %v", got)
			}
			<-c.Done()
			all := slices.DeleteFunc(until(t, heard, end), func(line string) bool { return strings.Contains(line, "packet=t:a") })
			equalLines(t, string(sent), all, []string{
				fmt.Sprintf("%s conn%d packet=16 id=16 data=map[reason:%s]", strings.TrimPrefix(string(sent), "peng3dnet:"), c.CID(), reason),
				fmt.Sprintf("%s conn%d reason=%s", strings.TrimPrefix(string(end), "peng3dnet:"), c.CID(), reason)})
		}
		t.Run(reason+"/server", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := packet.NewServer(reg, cfg)
				ln, end := serveMemnet(t, s)
				defer end()
				w := wireOf(t, ln.dial())
				w.handshake()
				synctest.Wait()
				closed(t, s.Conns()[0], s.Subscribe(100), w, packet.EventServerSend, packet.EventServerClose)
			})
		})
		t.Run(reason+"/client", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := packet.NewClient(reg, cfg)
				ours, theirs := net.Pipe()
				w := wireOf(t, theirs)
				go w.shake(map[string]any{"t:a": 64, "t:strict": 65}) // ends with Connect
				if err := c.ConnectConn(t.Context(), ours); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				closed(t, c.Conn, c.Subscribe(100), w, packet.EventClientSend, packet.EventClientClose)
			})
		})
	}
}

func TestEventsOfStop(t *testing.T) {
	s := packet.NewServer(regOf(t), packet.Config{})
	heard := s.Subscribe(10)
	defer heard.Close()
	s.Stop(nil)
	s.Stop(nil)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	equalLines(t, "server", until(t, heard, packet.EventServerShutdown), []string{
		"server.stop reason=method", "server.interrupt", "server.shutdown reason=servershutdown"})
}
